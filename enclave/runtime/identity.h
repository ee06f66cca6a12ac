/* identity: the keys of an instance and the evidence over them.
 * Used by the instance and its evidence endpoint. With receipts it is what moves into a process of its own once the
 * engine gets one (docs/decisions/0005): nothing of the engine's side includes it.
 * The private key never leaves; there is no call that signs bytes chosen outside.
 */
#ifndef ENCL_IDENTITY_H
#define ENCL_IDENTITY_H

#include "common/crypto/sign.h"
#include "common/model/statement.h"
#include "enclave/platform/platform.h"
#include "enclave/runtime/seal.h"
#include "enclave/runtime/specialise.h"

typedef struct encl_identity encl_identity;

/* Extends redoubt.app with the header, then redoubt.closed, and shuts the register: before anything else is read. */
int encl_identity_measure(encl_platform *platform, const uint8_t header[RD_LAUNCH_HEADER_SIZE],
                          rd_err *err) RD_NODISCARD;

/* Evidence of purpose blank, before any header: which runtime this is, with nothing in register 3, over a nonce of its
 * own. begin appends the canonical statement and has its quote made meanwhile; the other appends the bundle. Neither
 * changes or closes the register. Errors: TEE_UNAVAILABLE, TEE_REFUSED. */
int encl_identity_begin_blank(encl_platform *platform, rd_buf *ret_statement, rd_err *err) RD_NODISCARD;
int encl_identity_blank_evidence(encl_platform *platform, rd_bytes statement, rd_buf *ret, rd_err *err) RD_NODISCARD;

/* Draws the receipt key. platform and seal, whose keys evidence names, are borrowed; app's facts are copied. */
int encl_identity_new(encl_platform *platform, encl_seal *seal, const uint8_t header[RD_LAUNCH_HEADER_SIZE],
                      const encl_app *app, const rd_id *instance, uint64_t epoch, encl_identity **ret,
                      rd_err *err) RD_NODISCARD;
/* Wipes the key. */
encl_identity *encl_identity_free(encl_identity *identity);
void encl_identity_free_p(encl_identity **identity);

/* Has the quote of the next status evidence with this nonce made meanwhile. Errors: TEE_UNAVAILABLE, TEE_REFUSED. */
int encl_identity_begin_status(encl_identity *identity, const uint8_t nonce[RD_NONCE_SIZE], rd_err *err) RD_NODISCARD;
/* Appends an evidence bundle of purpose status. The digest of the first one's statement becomes what receipts name as
 * their evidence. Errors: TEE_UNAVAILABLE, TEE_REFUSED. */
int encl_identity_status_evidence(encl_identity *identity, const uint8_t nonce[RD_NONCE_SIZE], rd_buf *ret,
                                  rd_err *err) RD_NODISCARD;

/* A quote of purpose client that answers all nonces of a tree. */
typedef struct encl_shared_quote {
    rd_nonce_tree *tree;
    rd_buf statement, quote;
} encl_shared_quote;

void encl_shared_quote_done(encl_shared_quote *shared);
/* count as in rd_nonce_tree_new. Call encl_shared_quote_done also after a failure. Errors: TEE_UNAVAILABLE,
 * TEE_REFUSED. */
int encl_identity_share_quote(encl_identity *identity, const uint8_t (*nonces)[RD_NONCE_SIZE], size_t count,
                              encl_shared_quote *ret, rd_err *err) RD_NODISCARD;
/* Appends the bundle for the nonce at index. */
int encl_identity_client_evidence(const encl_identity *identity, const encl_shared_quote *shared, size_t index,
                                  rd_buf *ret, rd_err *err) RD_NODISCARD;
/* Evidence with purpose grant, under a head, and with the key that the grant is sealed to; ret_statement gets the
 * canonical statement. */
int encl_identity_grant_evidence(encl_identity *identity, const uint8_t grant_key[32], const rd_digest *head,
                                 const uint8_t nonce[RD_NONCE_SIZE], rd_buf *ret_statement, rd_buf *ret,
                                 rd_err *err) RD_NODISCARD;
/* Evidence of purpose app, with a nonce of its own and 32 bytes of the function in `user`: all that application code
 * reaches. */
int encl_identity_app_evidence(encl_identity *identity, const uint8_t user[32], rd_buf *ret, rd_err *err) RD_NODISCARD;
/* Evidence of purpose channel: tls is SHA-256 of the SubjectPublicKeyInfo of the TLS server's certificate, exporter
 * that server's own of the connection. For channel.c alone. */
int encl_identity_channel_evidence(encl_identity *identity, const uint8_t tls[32],
                                   const uint8_t exporter[RD_CHANNEL_SIZE], const uint8_t nonce[RD_NONCE_SIZE],
                                   rd_buf *ret, rd_err *err) RD_NODISCARD;
/* Appends the value of an RA-TLS extension over that key, as CCC's interoperable form has it: a quote whose report data
 * is the hash of the claims and zeros, which no statement's hash is. */
int encl_identity_ratls(encl_identity *identity, const uint8_t tls[32], rd_buf *ret, rd_err *err) RD_NODISCARD;
/* H("statement-v1", S) of the first status statement: what receipts name (formats.md). Needs one made. */
const rd_digest *encl_identity_status(const encl_identity *identity);
/* For receipts alone. Borrowed. */
const rd_signing_key *encl_identity_receipt_key(const encl_identity *identity);

#endif
