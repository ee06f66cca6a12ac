/* ear: the caller's own key for attestation results, and the result itself as text.
 * Used by `redoubt evidence verify --ear`. */
#ifndef CLI_EAR_H
#define CLI_EAR_H

#include "attest/ear.h"

/* Zero-initialise; free with cli_ear_key_done. One of the two is set after cli_ear_key_load. */
typedef struct cli_ear_key {
    rd_p256_key *p256;
    rd_signing_key *ed25519;
} cli_ear_key;

/* A private key in PEM, P-256 or Ed25519. KEY_FORMAT for any other. */
int cli_ear_key_load(const char *path, cli_ear_key *ret, rd_err *err) RD_NODISCARD;
void cli_ear_key_done(cli_ear_key *key);
/* Appends the signed JWT. */
int cli_ear_append(const rd_ear_input *input, const cli_ear_key *key, rd_buf *out, rd_err *err) RD_NODISCARD;

#endif
