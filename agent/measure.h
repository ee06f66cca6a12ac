/* measure: an enclave binary as a sealed copy in memory and its SHA-384, which the simulated TEE reports as MRTD.
 * Used by the simulated TEE, which runs exactly the bytes it measured, and by `redoubt-agent measure`.
 */
#ifndef AGENT_MEASURE_H
#define AGENT_MEASURE_H

#include "common/base/err.h"

#define AGENT_MRTD_SIZE 48

/* Copies the file into a sealed memfd and measures the copy. *ret_fd is the caller's. Errors: IO, TOO_LARGE (256 MiB).
 */
int agent_measure_open(const char *path, int *ret_fd, uint8_t ret_mrtd[AGENT_MRTD_SIZE], rd_err *err) RD_NODISCARD;
/* redoubt-enclave beside this program, or path when it is not NULL; into out[4096]. */
int agent_enclave_path(const char *path, char *out, size_t out_size, rd_err *err) RD_NODISCARD;
/* The same program with the other engine: redoubt-enclave-jsc beside the one at enclave. False: it is not there. */
bool agent_enclave_find_jsc(const char *enclave, char *out, size_t out_size);

#endif
