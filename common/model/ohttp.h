/* ohttp: oblivious HTTP (RFC 9458) with the instance as gateway: key configurations, sealed requests, sealed answers.
 * Used by the enclave's runtime on one end and by the command line on the other; the relay between sees sizes and
 * times. One suite: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM. Whatever does not open is SEAL and nothing
 * more, so that failures look alike.
 */
#ifndef RD_MODEL_OHTTP_H
#define RD_MODEL_OHTTP_H

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/crypto/hpke.h"

#define RD_OHTTP_KEYS_TYPE     "application/ohttp-keys"
#define RD_OHTTP_REQUEST_TYPE  "message/ohttp-req"
#define RD_OHTTP_RESPONSE_TYPE "message/ohttp-res"

/* What the runtime answers itself at an instance, and in it where sealed requests go. */
#define RD_RUNTIME_PREFIX "/.well-known/redoubt/"
#define RD_OHTTP_PATH     RD_RUNTIME_PREFIX "sealed"

/* One configuration with its length before it (RFC 9458, 3.1 and 3.2). */
#define RD_OHTTP_KEYS_SIZE     43
#define RD_OHTTP_REQUEST_EXTRA (7 + RD_X25519_SIZE + 16) /* around the message */
#define RD_OHTTP_ANSWER_EXTRA  (16 + 16)

typedef struct rd_ohttp_key {
    uint8_t id;
    uint8_t public_key[RD_X25519_SIZE];
} rd_ohttp_key;

/* application/ohttp-keys with this key alone. */
void rd_ohttp_keys_write(const rd_ohttp_key *key, uint8_t out[RD_OHTTP_KEYS_SIZE]);
/* The first key of the list that has our suite. TRUNCATED, ENCODING, or UNSUPPORTED when none has. */
int rd_ohttp_keys_read(rd_bytes bytes, rd_ohttp_key *ret, rd_err *err) RD_NODISCARD;

/* One exchange, as either end holds it from the request to the answer. By value; wiped by rd_ohttp_done. */
typedef struct rd_ohttp {
    rd_hpke hpke;
    uint8_t enc[RD_X25519_SIZE]; /* names the request: the gateway takes each one once */
} rd_ohttp;

void rd_ohttp_done(rd_ohttp *exchange);

/* The largest sealed form, padding included, of a message whose content has at most this many bytes. */
uint64_t rd_ohttp_sealed_max(uint64_t content_max);

/* The client: appends the sealed request. KEY_FORMAT, TOO_LARGE. */
int rd_ohttp_seal_request(const rd_ohttp_key *key, rd_bytes message, const rd_random *random, rd_ohttp *ret,
                          rd_buf *sealed, rd_err *err) RD_NODISCARD;
/* Appends the answer's message. SEAL. */
int rd_ohttp_open_answer(const rd_ohttp *exchange, rd_bytes sealed, rd_buf *ret, rd_err *err) RD_NODISCARD;

/* Which key a sealed request names; false when it is none of this suite. */
bool rd_ohttp_key_id(rd_bytes sealed, uint8_t *ret);
/* The gateway: appends the request's message. SEAL. */
int rd_ohttp_open_request(const rd_ohttp_key *key, const rd_hpke_recipient *recipient, rd_bytes sealed, rd_ohttp *ret,
                          rd_buf *message, rd_err *err) RD_NODISCARD;
/* Appends the sealed answer. TOO_LARGE. */
int rd_ohttp_seal_answer(const rd_ohttp *exchange, rd_bytes message, const rd_random *random, rd_buf *sealed,
                         rd_err *err) RD_NODISCARD;

#endif
