/* store_orgs: organisations, people, tokens, sessions, login codes, prepared deployments, audit.
 * Used by auth.c and routes_orgs.c on workers. Stores secrets as SHA-256 only. */
#ifndef API_STORE_ORGS_H
#define API_STORE_ORGS_H

#include "api/store.h"

#define API_SESSION_TERM_US ((int64_t)12 * 3600 * 1000000)
#define API_LOGIN_TERM_US   ((int64_t)600 * 1000000)

/* TOKEN_INVALID when unknown, expired or revoked. Notes the day of use at most once a day. */
int api_orgs_find_token(rd_pg *pg, const uint8_t hash[32], api_principal *ret, rd_err *err) RD_NODISCARD;
int api_orgs_find_session(rd_pg *pg, const uint8_t hash[32], api_principal *ret, rd_err *err) RD_NODISCARD;

/* A fresh secret: prefix and 32 random bytes as base64url, and its SHA-256. */
#define API_SECRET_TEXT_SIZE 64
void api_secret_new(const char *prefix, char ret_text[API_SECRET_TEXT_SIZE], uint8_t ret_hash[32]);
/* CSRF token of a session: derived from its secret, so that a page load can have it again. */
void api_csrf_of(rd_bytes session_secret, char ret_text[API_SECRET_TEXT_SIZE]);

/* Makes organisation, user (owner), quota and an owner token and a login code; for `redoubt-api bootstrap`. */
typedef struct api_bootstrap {
    const char *org_name, *user_name;
    rd_id org, user, token, login;
    uint8_t token_hash[32], login_hash[32];
    int64_t now_us;
} api_bootstrap;
int api_orgs_bootstrap(rd_pg *pg, api_bootstrap *bootstrap, rd_err *err) RD_NODISCARD;

#endif
