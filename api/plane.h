/* plane: the plane's own identity: plane id, MAC key for job records, and the CA of links.
 * Used by enrolment (client certificates), by links (certificates of this replica) and by job delivery (MAC).
 * Lives in the state directory (0600), never in PostgreSQL; read-only after load, any thread. */
#ifndef API_PLANE_H
#define API_PLANE_H

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/crypto/sign.h"

typedef struct api_plane api_plane;

/* Makes a new plane in dir: ca.pem, ca.key, plane.key, plane.id. Does nothing when all are there; refuses half a set.
 */
int api_plane_init(const char *dir, int64_t now_us, rd_err *err) RD_NODISCARD;
int api_plane_load(const char *dir, api_plane **ret, rd_err *err) RD_NODISCARD;
api_plane *api_plane_free(api_plane *plane);

/* "pln_…" text. */
const char *api_plane_id(const api_plane *plane);
/* 32 bytes. */
const uint8_t *api_plane_mac_key(const api_plane *plane);
/* Signs decision records (record-v1); derived from the plane key, so every replica has the same. Borrowed. */
const rd_signing_key *api_plane_record_key(const api_plane *plane);
/* The CA's certificate, PEM. */
rd_bytes api_plane_ca_pem(const api_plane *plane);

#define API_HOST_TERM_US ((int64_t)24 * 3600 * 1000000)
/* Client certificate of a host for a CSR (PEM): CN=hst_…, SAN URI redoubt:host:hst_…, from 5 minutes ago for
 * API_HOST_TERM_US. Whatever names the CSR asks for are ignored. ret_spki_digest: SHA-256 of its public key. */
int api_plane_issue_host(const api_plane *plane, const char *host_id, rd_bytes csr_pem, int64_t now_us, rd_buf *ret_pem,
                         uint8_t ret_spki_digest[32], int64_t *ret_expires_us, rd_err *err) RD_NODISCARD;
/* A fresh key and certificate of this replica for links, 30 days; both PEM; wipe the key's buffer. The server's is for
 * the link port; the client's (CN=rpl_…, SAN URI redoubt:replica:rpl_…) for dialling other replicas. */
int api_plane_issue_link(const api_plane *plane, const char *replica, bool is_client, int64_t now_us,
                         rd_buf *ret_certificate, rd_buf *ret_key, rd_err *err) RD_NODISCARD;

#endif
