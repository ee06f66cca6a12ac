#include "api/auth.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/server.h"
#include "api/store_orgs.h"
#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/base/text.h"
#include "common/crypto/hash.h"

#define CACHE_MAX    8192
#define CACHE_TTL_US INT64_C(5000000)
/* While PostgreSQL is away nobody can be looked up: who was known of late stays known, so that what serves goes on. For
 * so long a token may outlive its end at a replica that alone is cut off. */
#define CACHE_AWAY_US INT64_C(60000000)
#define SECRET_MAX    128

typedef struct known {
    api_principal principal;
    int64_t since_us;
} known;

struct api_auth {
    const rd_clock *clock;
    pthread_mutex_t lock;
    rd_table *cache; /* SHA-256 of the secret → known */
};

static const char *const role_names[] = { NULL, "viewer", "developer", "owner", "operator", "auditor" };

const char *api_role_name(api_role role)
{
    return role < RD_ARRAY_LEN(role_names) ? role_names[role] : NULL;
}

api_role api_role_by_name(const char *name)
{
    for (size_t i = 1; i < RD_ARRAY_LEN(role_names); i++)
        if (strcmp(name, role_names[i]) == 0)
            return (api_role)i;
    return API_ROLE_NONE;
}

bool api_role_may(const api_principal *principal, api_need need)
{
    api_role role = principal->role;
    bool is_owner = role == API_ROLE_OWNER;
    switch (need) {
    case API_NEED_NONE:
        return true;
    case API_NEED_ANY:
        return role != API_ROLE_NONE;
    case API_NEED_VIEWER:
        return role != API_ROLE_NONE;
    case API_NEED_DEVELOPER:
        return is_owner || role == API_ROLE_DEVELOPER;
    case API_NEED_OWNER:
        return is_owner;
    case API_NEED_OPERATOR:
        return principal->is_operating && (is_owner || role == API_ROLE_OPERATOR);
    case API_NEED_AUDITOR:
        return is_owner || role == API_ROLE_AUDITOR;
    }
    return false;
}

api_auth *api_auth_new(const rd_clock *clock)
{
    api_auth *auth = rd_alloc(sizeof(*auth));
    auth->clock = clock;
    auth->cache = rd_table_new(CACHE_MAX);
    pthread_mutex_init(&auth->lock, NULL);
    return auth;
}

static void drop_older(api_auth *auth, int64_t limit_us)
{
    size_t iterator = 0;
    rd_bytes key;
    void *value;
    while (rd_table_next(auth->cache, &iterator, &key, &value)) {
        if (((known *)value)->since_us >= limit_us)
            continue;
        free(rd_table_remove(auth->cache, key));
    }
}

api_auth *api_auth_free(api_auth *auth)
{
    if (!auth)
        return NULL;
    drop_older(auth, INT64_MAX);
    rd_table_free(auth->cache);
    pthread_mutex_destroy(&auth->lock);
    free(auth);
    return NULL;
}

rd_bytes api_auth_bearer(const char *authorization)
{
    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
        return RD_BYTES_NULL;
    const char *token = authorization + 7;
    while (*token == ' ')
        token++;
    size_t size = strcspn(token, " ,");
    if (!rd_starts_with(token, "rdt_") || size > SECRET_MAX || token[size] != '\0')
        return RD_BYTES_NULL;
    return rd_bytes_of(token, size);
}

/* RFC 6265, 4.2.1: name=value pairs set apart by "; ". */
rd_bytes api_auth_cookie(const char *cookie)
{
    static const char name[] = "__Host-redoubt=";
    for (const char *at = cookie; at && *at; at += strspn(at, "; ")) {
        size_t size = strcspn(at, ";");
        if (size > sizeof(name) - 1 && strncmp(at, name, sizeof(name) - 1) == 0) {
            rd_bytes value = rd_bytes_of(at + sizeof(name) - 1, size - (sizeof(name) - 1));
            return value.size <= SECRET_MAX ? value : RD_BYTES_NULL;
        }
        at += size;
    }
    return RD_BYTES_NULL;
}

static bool is_known(api_auth *auth, const uint8_t digest[RD_SHA256_SIZE], int64_t within_us, api_principal *ret)
{
    int64_t now_us = rd_clock_boot_us(auth->clock);
    pthread_mutex_lock(&auth->lock);
    const known *k = rd_table_get(auth->cache, rd_bytes_of(digest, RD_SHA256_SIZE));
    bool is_fresh = k && now_us - k->since_us < within_us;
    if (is_fresh)
        *ret = k->principal;
    pthread_mutex_unlock(&auth->lock);
    return is_fresh && ret->expires_us > rd_clock_wall_us(auth->clock);
}

bool api_auth_cached(api_auth *auth, rd_bytes secret, api_principal *ret)
{
    uint8_t digest[RD_SHA256_SIZE];
    rd_sha256(secret, digest);
    return is_known(auth, digest, CACHE_TTL_US, ret);
}

static void remember(api_auth *auth, const uint8_t digest[RD_SHA256_SIZE], const api_principal *principal)
{
    known *k = rd_alloc(sizeof(*k));
    void *old = NULL;
    *k = (known){ *principal, rd_clock_boot_us(auth->clock) };
    pthread_mutex_lock(&auth->lock);
    if (rd_table_count(auth->cache) >= CACHE_MAX)
        drop_older(auth, INT64_MAX);
    if (!rd_table_set(auth->cache, rd_bytes_of(digest, RD_SHA256_SIZE), k, &old))
        free(k);
    pthread_mutex_unlock(&auth->lock);
    free(old);
}

void api_auth_forget(api_auth *auth)
{
    pthread_mutex_lock(&auth->lock);
    drop_older(auth, INT64_MAX);
    pthread_mutex_unlock(&auth->lock);
}

int api_auth_lookup(api_auth *auth, api_worker *worker, rd_bytes secret, api_principal *ret, rd_err *err)
{
    uint8_t digest[RD_SHA256_SIZE];
    rd_sha256(secret, digest);
    *ret = (api_principal){ .role = API_ROLE_NONE };
    bool is_token = secret.size > 4 && memcmp(secret.data, "rdt_", 4) == 0;
    int rc = is_token ? api_orgs_find_token(worker->pg, digest, ret, err)
                      : api_orgs_find_session(worker->pg, digest, ret, err);
    /* A database that is merely busy will be asked again. */
    bool is_away = rc < 0 && err->code == RD_E_UNAVAILABLE && !rd_pg_is_connected(worker->pg);
    if (is_away && is_known(auth, digest, CACHE_AWAY_US, ret)) {
        *err = (rd_err)RD_ERR_INIT;
        return 0;
    }
    if (rc < 0)
        return -1;
    remember(auth, digest, ret);
    return 0;
}

/* --- for loop code --- */

typedef struct check {
    api_context *context;
    rd_buf secret;
    api_principal principal;
    bool is_accepted;
    rd_err err;
    void (*done)(void *arg, const api_principal *principal, const rd_err *err);
    void *arg;
} check;

static void run_check(api_worker *worker, void *arg)
{
    check *c = arg;
    c->is_accepted = api_auth_lookup(c->context->auth, worker, rd_buf_bytes(&c->secret), &c->principal, &c->err) == 0;
}

static void finish_check(void *arg)
{
    check *c = arg;
    if (!c->is_accepted && c->err.code == RD_OK)
        (void)rd_err_set(&c->err, RD_E_UNAVAILABLE, "this replica is stopping");
    c->done(c->arg, &c->principal, c->is_accepted ? NULL : &c->err);
    rd_buf_wipe(&c->secret);
    free(c);
}

void api_auth_check(api_context *context, rd_bytes secret,
                    void (*done)(void *arg, const api_principal *principal, const rd_err *err), void *arg)
{
    api_principal principal = { .role = API_ROLE_NONE };
    rd_err err = RD_ERR_INIT;
    if (secret.size == 0) {
        (void)rd_err_set(&err, RD_E_UNAUTHENTICATED, "this needs a token");
        done(arg, &principal, &err);
        return;
    }
    if (api_auth_cached(context->auth, secret, &principal)) {
        done(arg, &principal, NULL);
        return;
    }
    check *c = rd_alloc(sizeof(*c));
    *c = (check){ .context = context, .done = done, .arg = arg };
    (void)rd_buf_append_bytes(&c->secret, secret);
    if (context->server && api_server_work(context->server, run_check, finish_check, c))
        return;
    (void)rd_err_set(&err, RD_E_BUSY, "the queue of look-ups is full");
    done(arg, &principal, &err);
    rd_buf_wipe(&c->secret);
    free(c);
}
