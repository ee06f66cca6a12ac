/* auth: who calls: tokens (SHA-256 of them is stored), dashboard sessions, roles and what they may.
 * Used by server for every route and by the applications' listener for its callers.
 * Keeps accepted tokens in memory for a few seconds, never a refusal; compares secrets in constant time. */
#ifndef API_AUTH_H
#define API_AUTH_H

#include "api/context.h"
#include "api/router.h"
#include "common/base/bytes.h"

typedef enum api_role {
    API_ROLE_NONE,
    API_ROLE_VIEWER,
    API_ROLE_DEVELOPER,
    API_ROLE_OWNER,
    API_ROLE_OPERATOR,
    API_ROLE_AUDITOR
} api_role;

typedef struct api_principal {
    api_role role;
    bool is_session;   /* a dashboard's session: changes need CSRF token and Origin */
    bool is_operating; /* the organisation may enrol hosts */
    uint8_t org_id[16];
    uint8_t user_id[16];  /* zero: a token without a user */
    uint8_t token_id[16]; /* of the token or the session */
    uint8_t csrf[32];     /* SHA-256 of the session's CSRF token */
    int64_t expires_us;   /* INT64_MAX: never */
} api_principal;

/* "owner" …; NULL for NONE. */
const char *api_role_name(api_role role);
/* API_ROLE_NONE when unknown. */
api_role api_role_by_name(const char *name);
bool api_role_may(const api_principal *principal, api_need need);

struct api_worker;
typedef struct api_auth api_auth;

api_auth *api_auth_new(const rd_clock *clock);
api_auth *api_auth_free(api_auth *auth);

/* The secret of "Authorization: Bearer rdt_…" or of the session cookie; empty when there is none. */
rd_bytes api_auth_bearer(const char *authorization);
rd_bytes api_auth_cookie(const char *cookie);

/* What the cache knows of a secret: true and *ret when it was accepted within the last seconds. Any thread. */
bool api_auth_cached(api_auth *auth, rd_bytes secret, api_principal *ret);
/* Looks the secret up in PostgreSQL and fills the cache; while PostgreSQL is away, one that was accepted within the
 * last minute stays accepted. On a worker. TOKEN_INVALID, TOKEN_EXPIRED, UNAVAILABLE. */
int api_auth_lookup(api_auth *auth, struct api_worker *worker, rd_bytes secret, api_principal *ret,
                    rd_err *err) RD_NODISCARD;
/* For loop code outside a route with a need (the applications' listener): answers by done, at once from the cache or
 * after a look-up on a worker of context->server. err is NULL when accepted. Loop thread. */
void api_auth_check(api_context *context, rd_bytes secret,
                    void (*done)(void *arg, const api_principal *principal, const rd_err *err), void *arg);
/* Forgets everything cached (a token was revoked, a session ended). Any thread. */
void api_auth_forget(api_auth *auth);

#endif
