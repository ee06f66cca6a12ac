/* ohttp_private: what both forms of oblivious HTTP share. Included by ohttp*.c alone. */
#ifndef RD_MODEL_OHTTP_PRIVATE_H
#define RD_MODEL_OHTTP_PRIVATE_H

#include "common/model/ohttp.h"

#define RD_OHTTP_HEADER_SIZE 7  /* key id, KEM, KDF, AEAD */
#define RD_OHTTP_KEY_SIZE    16 /* of AES-128-GCM, and so of the answer's nonce and secret (RFC 9458, 4.4) */

/* Draws the exchange and appends header and enc. */
int rd_ohttp_begin_request(const rd_ohttp_key *key, const char *label, const rd_random *random, rd_ohttp *ret,
                           rd_buf *sealed, rd_err *err) RD_NODISCARD;
/* Reads them; what follows is *ret_rest. SEAL. */
int rd_ohttp_read_request(const rd_ohttp_key *key, const char *label, const rd_hpke_recipient *recipient,
                          rd_bytes sealed, rd_ohttp *ret, rd_bytes *ret_rest, rd_err *err) RD_NODISCARD;
/* What an answer under this nonce is sealed with. */
void rd_ohttp_answer_keys(const rd_ohttp *exchange, const char *label, const uint8_t nonce[RD_OHTTP_KEY_SIZE],
                          rd_hpke *ret);
int rd_ohttp_does_not_open(rd_err *err);

#endif
