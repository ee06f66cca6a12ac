/* sim_files: the small files of a simulation PKI: PEM, keys, collateral.
 * Used by sim_pki and sim_quoter. Files are written beside their name and renamed, keys with mode 0600. */
#ifndef AGENT_SIM_FILES_H
#define AGENT_SIM_FILES_H

#include "common/crypto/x509.h"
#include "common/crypto/sign.h"

/* Appends the file dir/name, at most 1 MiB, to out. */
int agent_sim_read(const char *dir, const char *name, rd_buf *out, rd_err *err) RD_NODISCARD;
int agent_sim_read_key(const char *dir, const char *name, rd_p256_key **ret, rd_err *err) RD_NODISCARD;
int agent_sim_read_cert(const char *dir, const char *name, rd_cert **ret, rd_err *err) RD_NODISCARD;

/* SHA-256 of the simulation root that a platform folder's certificates end in. */
int agent_sim_read_root(const char *platform_dir, uint8_t ret[32], rd_err *err) RD_NODISCARD;

int agent_sim_write(const char *dir, const char *name, unsigned mode, rd_bytes bytes, rd_err *err) RD_NODISCARD;
int agent_sim_write_key(const char *dir, const char *name, const rd_p256_key *key, rd_err *err) RD_NODISCARD;
int agent_sim_write_cert(const char *dir, const char *name, const rd_cert *cert, rd_err *err) RD_NODISCARD;

/* Makes the folder, 0700, when it is not there. */
int agent_sim_make_dir(const char *dir, rd_err *err) RD_NODISCARD;
bool agent_sim_exists(const char *dir, const char *name);

#endif
