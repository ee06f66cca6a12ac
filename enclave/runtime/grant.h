/* grant: the instance's end of its key service: the key that a grant is sealed to, the check of what comes, the term,
 * the app's keys and secrets. Used by the instance before anything of the app is loaded, and for every renewal.
 * Believes nobody on the way: what does not verify under the KMS that the header measured changes nothing. Time and
 * requests are counted from when the evidence was made, so that a grant which was held back ends no later.
 */
#ifndef ENCL_GRANT_H
#define ENCL_GRANT_H

#include "common/model/grant.h"
#include "enclave/platform/platform.h"
#include "enclave/runtime/specialise.h"

typedef struct encl_grant encl_grant;

/* Draws the key. app is borrowed for the life of the grant, platform too. */
int encl_grant_new(encl_platform *platform, const encl_app *app, encl_grant **ret, rd_err *err) RD_NODISCARD;
/* Wipes keys and secrets. */
encl_grant *encl_grant_free(encl_grant *grant);

/* The public half, for the statement. 32 bytes, borrowed. */
const uint8_t *encl_grant_public(const encl_grant *grant);
/* Evidence was made over a nonce of the key service, under the head of this number; statement is its canonical form.
 * requests: that reached the function so far. What was asked before is void. */
void encl_grant_asked(encl_grant *grant, const uint8_t nonce[RD_NONCE_SIZE], uint64_t head_seq, rd_bytes statement,
                      int64_t now_us, uint64_t requests);
/* The answer to what was asked last. Errors: those of rd_grant_open; CONTROL_ORDER when nothing was asked. After a
 * failure the grant before, if any, goes on. */
int encl_grant_take(encl_grant *grant, rd_bytes answer, int64_t now_us, rd_err *err) RD_NODISCARD;
bool encl_grant_is_held(const encl_grant *grant);

/* The key of the sealed code of a release: SECRETS_INCOMPLETE when the grant has none. Borrowed. */
int encl_grant_code_key(const encl_grant *grant, const rd_digest *code, const uint8_t **ret, rd_err *err) RD_NODISCARD;
/* A key of the app, 32 bytes, borrowed until the next grant; NULL before the first. */
const uint8_t *encl_grant_key(const encl_grant *grant, rd_grant_key label);

/* Names and values for the handler's env, those of the runtime's own left out; borrowed until the next grant. False at
 * the end; start with *at = 0. */
bool encl_grant_next_secret(const encl_grant *grant, size_t *at, const char **ret_name, rd_bytes *ret_value);

/* The code is opened and the env given: values are not needed any more, and wiped. Keys stay. */
void encl_grant_forget_secrets(encl_grant *grant);

/* Times are of CLOCK_BOOTTIME. When it is to be renewed, or asked for again; and when it ends. INT64_MAX: never. */
int64_t encl_grant_renew_us(const encl_grant *grant);
int64_t encl_grant_end_us(const encl_grant *grant);
/* Whether it is to be renewed, by now or after so many requests; and whether it has ended, by either. */
bool encl_grant_is_due(const encl_grant *grant, int64_t now_us, uint64_t requests);
bool encl_grant_has_ended(const encl_grant *grant, int64_t now_us, uint64_t requests);
/* How many requests it still covers; UINT64_MAX: any. */
uint64_t encl_grant_left(const encl_grant *grant, uint64_t requests);
/* A nonce was wanted: the next wish comes a while, and some requests, later. */
void encl_grant_wished(encl_grant *grant, int64_t now_us, uint64_t requests);

#endif
