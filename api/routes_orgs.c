#include <string.h>

#include "api/reply.h"
#include "api/routes.h"
#include "api/store_orgs.h"
#include "common/base/text.h"
#include "common/crypto/hash.h"
#include "common/crypto/random.h"

/* --- who is logged in --- */

static int session_json(api_worker *worker, const api_principal *p, const char *csrf, json_t **ret, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *org = NULL;
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *user = NULL;
    if (api_store_get(worker, p->org_id, "org_get", &org, err, rd_pg_uuid(p->org_id)) < 0 ||
        api_store_need(org, "organisation", err) < 0 ||
        api_store_get(worker, p->org_id, "user_get", &user, err, rd_pg_uuid(p->org_id), rd_pg_uuid(p->user_id)) < 0)
        return -1;
    json_t *session = json_object(), *org_json = json_object(), *user_json = json_object();
    rd_id id;
    memcpy(id.b, p->org_id, sizeof(id.b));
    rd_json_set_id(org_json, "id", RD_PREFIX_ORG, &id);
    rd_json_set_str(org_json, "name", rd_pg_get_text(org, 0, 0));
    if (rd_pg_rows(user) > 0) {
        memcpy(id.b, p->user_id, sizeof(id.b));
        rd_json_set_id(user_json, "id", RD_PREFIX_USER, &id);
        rd_json_set_str(user_json, "name", rd_pg_get_text(user, 0, 1));
    }
    rd_json_set_str(session, "csrf", csrf);
    rd_json_set(session, "organisation", org_json);
    rd_json_set(session, "user", rd_pg_rows(user) > 0 ? user_json : (json_decref(user_json), json_null()));
    rd_json_set_str(session, "role", api_role_name(p->role));
    rd_json_set_bool(session, "is_session", p->is_session);
    if (p->expires_us == INT64_MAX)
        rd_json_set_null(session, "expires");
    else
        rd_json_set_time(session, "expires", p->expires_us);
    *ret = session;
    return 0;
}

int api_session_get(api_request *request, api_worker *worker, rd_err *err)
{
    const api_principal *p = api_request_principal(request);
    char csrf[API_SECRET_TEXT_SIZE] = "";
    json_t *session;
    if (p->is_session)
        api_csrf_of(api_auth_cookie(api_request_header(request, "Cookie")), csrf);
    if (session_json(worker, p, p->is_session ? csrf : NULL, &session, err) < 0)
        return -1;
    api_reply_resource(request, 200, session, 0);
    return 0;
}

typedef struct login {
    char code[128], token[128];
    bool has_code, has_token;
    uint8_t hash[32]; /* of code or token */
    char secret[API_SECRET_TEXT_SIZE], csrf[API_SECRET_TEXT_SIZE];
    uint8_t session_hash[32], csrf_hash[32];
    api_principal principal;
    int64_t expires_us;
} login;

static rd_pg_outcome take_code(rd_pg *pg, login *l, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    rd_pg_outcome outcome = rd_pg_call(pg, "login_take", &row, err, rd_pg_bytes(RD_BYTES_ARRAY(l->hash)));
    if (outcome == RD_PG_NONE)
        return (void)rd_err_set(err, RD_E_LOGIN_CODE, "the login code is not valid"), RD_PG_FAILED;
    if (outcome != RD_PG_SOME)
        return outcome;
    rd_pg_get_fixed(row, 0, 0, l->principal.org_id, 16);
    rd_pg_get_fixed(row, 0, 1, l->principal.user_id, 16);
    l->principal.role = api_role_by_name(rd_pg_get_text(row, 0, 2));
    return api_store_enter(pg, l->principal.org_id, err);
}

/* A session has its user's role; a token of a narrower role must not widen itself by logging in. */
static rd_pg_outcome check_member(rd_pg *pg, const login *l, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    rd_pg_outcome outcome =
        rd_pg_call(pg, "member_role", &row, err, rd_pg_uuid(l->principal.org_id), rd_pg_uuid(l->principal.user_id));
    if (outcome == RD_PG_NONE ||
        (outcome == RD_PG_SOME && api_role_by_name(rd_pg_get_text(row, 0, 0)) != l->principal.role)) {
        (void)rd_err_set(err, RD_E_FORBIDDEN, "this token is no person's own; log in with a login link");
        return RD_PG_FAILED;
    }
    return outcome;
}

static rd_pg_outcome start_session(rd_pg *pg, void *context, rd_err *err)
{
    login *l = context;
    rd_pg_outcome outcome = l->has_code ? take_code(pg, l, err) : api_store_enter(pg, l->principal.org_id, err);
    if (outcome == RD_PG_SOME)
        outcome = check_member(pg, l, err);
    if (outcome != RD_PG_SOME)
        return outcome;
    if (rd_pg_push(pg, "session_add", err, rd_pg_bytes(RD_BYTES_ARRAY(l->session_hash)), rd_pg_text("session"),
                   rd_pg_uuid(l->principal.org_id), rd_pg_uuid(l->principal.user_id),
                   rd_pg_text(api_role_name(l->principal.role)), rd_pg_bytes(RD_BYTES_ARRAY(l->csrf_hash)),
                   rd_pg_time(l->expires_us)) < 0)
        return RD_PG_FAILED;
    return RD_PG_SOME;
}

static int read_login(api_request *request, api_worker *worker, login *l, rd_err *err)
{
    static const rd_json_field fields[] = {
        { "code", RD_JSON_TEXT, offsetof(login, code), RD_OPTIONAL, .min = 1, .max = 127,
          .has = RD_HAS(login, has_code) },
        { "token", RD_JSON_TEXT, offsetof(login, token), RD_OPTIONAL, .min = 1, .max = 127,
          .has = RD_HAS(login, has_token) },
        RD_JSON_END,
    };
    json_t *body;
    if (api_request_json(request, &body, err) < 0 || rd_json_read(body, fields, RD_UNKNOWN_REFUSED, "", l, err) < 0)
        return -1;
    if (l->has_code == l->has_token)
        return rd_err_set(err, RD_E_JSON_MISSING, "give a code or a token");
    rd_sha256(rd_bytes_str(l->has_code ? l->code : l->token), l->hash);
    if (l->has_token && api_orgs_find_token(worker->pg, l->hash, &l->principal, err) < 0)
        return -1;
    api_secret_new("", l->secret, l->session_hash);
    api_csrf_of(rd_bytes_str(l->secret), l->csrf);
    rd_sha256(rd_bytes_str(l->csrf), l->csrf_hash);
    l->expires_us = rd_clock_wall_us(worker->context->clock) + API_SESSION_TERM_US;
    return 0;
}

static int open_session(api_request *request, api_worker *worker, login *l, rd_err *err)
{
    if (read_login(request, worker, l, err) < 0)
        return -1;
    rd_pg_outcome outcome = rd_pg_tx(worker->pg, NULL, start_session, l, err);
    if (outcome == RD_PG_UNKNOWN)
        return rd_err_set(err, RD_E_UNAVAILABLE, "the connection broke at commit");
    if (outcome != RD_PG_SOME && outcome != RD_PG_NONE)
        return -1;
    char cookie[256];
    json_t *session;
    l->principal.is_session = true;
    l->principal.expires_us = l->expires_us;
    if (session_json(worker, &l->principal, l->csrf, &session, err) < 0)
        return -1;
    snprintf(cookie, sizeof(cookie), "__Host-redoubt=%s; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=%lld",
             l->secret, (long long)(API_SESSION_TERM_US / 1000000));
    api_reply_header(request, "Set-Cookie", cookie);
    rd_wipe(cookie, sizeof(cookie));
    api_reply_json(request, 200, session);
    return 0;
}

int api_login(api_request *request, api_worker *worker, rd_err *err)
{
    login l = { .has_code = false };
    int rc = open_session(request, worker, &l, err);
    rd_wipe(&l, sizeof(l));
    return rc;
}

int api_logout(api_request *request, api_worker *worker, rd_err *err)
{
    const api_principal *p = api_request_principal(request);
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *ignored = NULL;
    uint8_t hash[32];
    rd_sha256(api_auth_cookie(api_request_header(request, "Cookie")), hash);
    if (p->is_session &&
        api_store_get(worker, p->org_id, "session_end", &ignored, err, rd_pg_bytes(RD_BYTES_ARRAY(hash))) < 0)
        return -1;
    api_auth_forget(worker->context->auth);
    api_reply_header(request, "Set-Cookie", "__Host-redoubt=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    api_reply_empty(request, 204);
    return 0;
}

typedef struct login_link {
    uint8_t hash[32];
    const api_principal *principal;
    int64_t expires_us;
} login_link;

static rd_pg_outcome insert_link(rd_pg *pg, api_change *change, rd_err *err)
{
    const login_link *l = change->state;
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *member = NULL;
    const api_principal *p = l->principal;
    rd_pg_outcome outcome = rd_pg_call(pg, "member_role", &member, err, rd_pg_uuid(p->org_id), rd_pg_uuid(p->user_id));
    if (outcome == RD_PG_NONE)
        return (void)rd_err_set(err, RD_E_FORBIDDEN, "this token belongs to no person"), RD_PG_FAILED;
    if (outcome != RD_PG_SOME)
        return outcome;
    if (rd_pg_push(pg, "session_add", err, rd_pg_bytes(RD_BYTES_ARRAY(l->hash)), rd_pg_text("login"),
                   rd_pg_uuid(p->org_id), rd_pg_uuid(p->user_id), rd_pg_text(rd_pg_get_text(member, 0, 0)),
                   rd_pg_null(), rd_pg_time(l->expires_us)) < 0)
        return RD_PG_FAILED;
    change->status = 201;
    rd_hex_encode(rd_bytes_of(l->hash, 8), change->resource);
    return RD_PG_SOME;
}

int api_login_links_create(api_request *request, api_worker *worker, rd_err *err)
{
    login_link l = { .principal = api_request_principal(request),
                     .expires_us = rd_clock_wall_us(worker->context->clock) + API_LOGIN_TERM_US };
    char code[API_SECRET_TEXT_SIZE];
    api_secret_new("", code, l.hash);
    api_change change = { .action = "login_link.create", .apply = insert_link, .state = &l };
    if (api_change_run(request, worker, &change, err) < 0)
        return -1;
    json_t *answer = json_object();
    RD_CLEANUP(rd_free_p) char *url = rd_asprintf("%s/login#%s", worker->context->config->public_url, code);
    rd_json_set_str(answer, "url", change.is_replay ? NULL : url);
    rd_json_set_str(answer, "code", change.is_replay ? NULL : code);
    rd_json_set_time(answer, "expires", l.expires_us);
    api_reply_json(request, change.status, answer);
    return 0;
}

/* --- tokens --- */

typedef struct new_token {
    char name[129];
    int role;
    int64_t expires_in_s, now_us;
    uint8_t hash[32];
    rd_id id;
    const api_principal *principal;
} new_token;

static const char *const roles[] = { "", "viewer", "developer", "owner", "operator", "auditor", NULL };

static json_t *token_json(const rd_pg_result *row, size_t r)
{
    json_t *token = json_object();
    rd_id id;
    rd_pg_get_fixed(row, r, 0, id.b, sizeof(id.b));
    rd_json_set_id(token, "id", RD_PREFIX_TOKEN, &id);
    rd_json_set_str(token, "name", rd_pg_get_text(row, r, 1));
    rd_json_set_str(token, "role", rd_pg_get_text(row, r, 2));
    if (rd_pg_is_null(row, r, 3))
        rd_json_set_null(token, "expires");
    else
        rd_json_set_time(token, "expires", rd_pg_get_time(row, r, 3));
    if (rd_pg_is_null(row, r, 4))
        rd_json_set_null(token, "last_used_at");
    else /* a date: days since 2000-01-01 */
        rd_json_set_time(token, "last_used_at", (rd_pg_get_i64(row, r, 4) + 10957) * INT64_C(86400) * INT64_C(1000000));
    rd_json_set_time(token, "created_at", rd_pg_get_time(row, r, 5));
    return token;
}

static rd_pg_outcome insert_token(rd_pg *pg, api_change *change, rd_err *err)
{
    const new_token *t = change->state;
    static const uint8_t nobody[16] = { 0 };
    bool has_user = memcmp(t->principal->user_id, nobody, 16) != 0;
    if (rd_pg_push(pg, "token_add", err, rd_pg_uuid(t->id.b), rd_pg_uuid(t->principal->org_id),
                   has_user ? rd_pg_uuid(t->principal->user_id) : rd_pg_null(), rd_pg_text(t->name),
                   rd_pg_text(roles[t->role]), rd_pg_bytes(RD_BYTES_ARRAY(t->hash)),
                   t->expires_in_s ? rd_pg_time(t->now_us + t->expires_in_s * 1000000) : rd_pg_null()) < 0)
        return RD_PG_FAILED;
    change->status = 201;
    rd_id_format(RD_PREFIX_TOKEN, &t->id, change->resource);
    return RD_PG_SOME;
}

int api_tokens_create(api_request *request, api_worker *worker, rd_err *err)
{
    static const rd_json_field fields[] = {
        { "name", RD_JSON_TEXT, offsetof(new_token, name), RD_REQUIRED, .min = 1, .max = 128 },
        { "role", RD_JSON_ENUM, offsetof(new_token, role), RD_REQUIRED, .names = roles },
        { "expires_in_s", RD_JSON_I64, offsetof(new_token, expires_in_s), RD_OPTIONAL, .min = 60,
          .max = INT64_C(10) * 366 * 86400 },
        RD_JSON_END,
    };
    new_token t = { .principal = api_request_principal(request), .now_us = rd_clock_wall_us(worker->context->clock) };
    char secret[API_SECRET_TEXT_SIZE];
    json_t *body;
    if (api_request_json(request, &body, err) < 0 || rd_json_read(body, fields, RD_UNKNOWN_REFUSED, "", &t, err) < 0)
        return -1;
    t.id = rd_id_new(t.now_us, rd_random_system());
    api_secret_new("rdt_", secret, t.hash);
    api_change change = { .action = "token.create", .apply = insert_token, .state = &t };
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    if (api_change_run(request, worker, &change, err) < 0 ||
        (change.is_replay && rd_id_parse(RD_PREFIX_TOKEN, change.resource, strlen(change.resource), &t.id, err) < 0) ||
        api_store_get(worker, t.principal->org_id, "token_get", &row, err, rd_pg_uuid(t.id.b)) < 0 ||
        api_store_need(row, "token", err) < 0)
        return -1;
    json_t *token = token_json(row, 0);
    rd_json_set_str(token, "token", change.is_replay ? NULL : secret);
    api_reply_json(request, change.status, token);
    rd_wipe(secret, sizeof(secret));
    return 0;
}

int api_tokens_list(api_request *request, api_worker *worker, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *rows = NULL;
    const api_principal *p = api_request_principal(request);
    api_cursor cursor;
    size_t limit;
    if (api_request_limit(request, &limit, err) < 0 || api_cursor_read(request, 16, &cursor, err) < 0 ||
        api_store_get(worker, p->org_id, "token_list", &rows, err, api_cursor_at(&cursor), api_cursor_id(&cursor),
                      rd_pg_i64((int64_t)limit)) < 0)
        return -1;
    json_t *items = json_array();
    size_t count = rd_pg_rows(rows);
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(items, token_json(rows, i));
    rd_bytes last = count ? rd_pg_get_bytes(rows, count - 1, 0) : RD_BYTES_NULL;
    api_reply_resource(request, 200, api_list_new(items, limit, count ? rd_pg_get_time(rows, count - 1, 5) : 0, last),
                       0);
    return 0;
}

static rd_pg_outcome revoke_token(rd_pg *pg, api_change *change, rd_err *err)
{
    const rd_id *id = change->state;
    if (api_if_match(change->request, 0, err) < 0)
        return RD_PG_FAILED;
    rd_pg_outcome outcome = rd_pg_call(pg, "token_revoke", NULL, err, rd_pg_uuid(id->b));
    if (outcome == RD_PG_NONE)
        return (void)rd_err_set(err, RD_E_NOT_FOUND, "no such token"), RD_PG_FAILED;
    if (outcome != RD_PG_SOME)
        return outcome;
    change->status = 204;
    rd_id_format(RD_PREFIX_TOKEN, id, change->resource);
    return RD_PG_SOME;
}

int api_tokens_revoke(api_request *request, api_worker *worker, rd_err *err)
{
    rd_id id;
    if (api_path_id(request, "token", RD_PREFIX_TOKEN, &id, err) < 0)
        return -1;
    api_change change = { .action = "token.revoke", .apply = revoke_token, .state = &id };
    if (api_change_run(request, worker, &change, err) < 0)
        return -1;
    api_auth_forget(worker->context->auth);
    api_reply_empty(request, 204);
    return 0;
}

typedef struct rotation {
    rd_id old, id;
    uint8_t hash[32];
    int64_t overlap_s;
} rotation;

static rd_pg_outcome rotate_token(rd_pg *pg, api_change *change, rd_err *err)
{
    const rotation *r = change->state;
    rd_pg_outcome outcome = rd_pg_call(pg, "token_rotate", NULL, err, rd_pg_uuid(r->old.b), rd_pg_uuid(r->id.b),
                                       rd_pg_bytes(RD_BYTES_ARRAY(r->hash)), rd_pg_i64(r->overlap_s));
    if (outcome == RD_PG_NONE)
        return (void)rd_err_set(err, RD_E_NOT_FOUND, "no such token"), RD_PG_FAILED;
    if (outcome != RD_PG_SOME)
        return outcome;
    change->status = 201;
    rd_id_format(RD_PREFIX_TOKEN, &r->id, change->resource);
    return RD_PG_SOME;
}

/* Owners rotate any token, everybody else the one that they came with. */
static int check_rotation(const api_principal *p, const rotation *r, rd_err *err)
{
    if (p->role == API_ROLE_OWNER || (!p->is_session && memcmp(p->token_id, r->old.b, sizeof(p->token_id)) == 0))
        return 0;
    return rd_err_set(err, RD_E_FORBIDDEN, "only owners rotate other tokens than their own");
}

int api_tokens_rotate(api_request *request, api_worker *worker, rd_err *err)
{
    static const rd_json_field fields[] = {
        { "overlap_s", RD_JSON_I64, offsetof(rotation, overlap_s), RD_OPTIONAL, .min = 0, .max = 7 * 86400 },
        RD_JSON_END,
    };
    rotation r = { .overlap_s = 3600 };
    const api_principal *p = api_request_principal(request);
    char secret[API_SECRET_TEXT_SIZE];
    json_t *body = NULL;
    if (api_path_id(request, "token", RD_PREFIX_TOKEN, &r.old, err) < 0 || check_rotation(p, &r, err) < 0 ||
        (api_request_body(request).size > 0 && (api_request_json(request, &body, err) < 0 ||
                                                rd_json_read(body, fields, RD_UNKNOWN_REFUSED, "", &r, err) < 0)))
        return -1;
    r.id = rd_id_new(rd_clock_wall_us(worker->context->clock), rd_random_system());
    api_secret_new("rdt_", secret, r.hash);
    api_change change = { .action = "token.rotate", .apply = rotate_token, .state = &r };
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    if (api_change_run(request, worker, &change, err) < 0 ||
        (change.is_replay && rd_id_parse(RD_PREFIX_TOKEN, change.resource, strlen(change.resource), &r.id, err) < 0) ||
        api_store_get(worker, p->org_id, "token_get", &row, err, rd_pg_uuid(r.id.b)) < 0 ||
        api_store_need(row, "token", err) < 0)
        return -1;
    api_auth_forget(worker->context->auth);
    json_t *token = token_json(row, 0);
    rd_json_set_str(token, "token", change.is_replay ? NULL : secret);
    api_reply_json(request, change.status, token);
    rd_wipe(secret, sizeof(secret));
    return 0;
}

/* --- audit --- */

int api_audit_list(api_request *request, api_worker *worker, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *rows = NULL;
    const api_principal *p = api_request_principal(request);
    api_cursor cursor;
    size_t limit;
    if (api_request_limit(request, &limit, err) < 0 || api_cursor_read(request, 8, &cursor, err) < 0)
        return -1;
    int64_t id = 0;
    for (size_t i = 0; i < 8; i++)
        id = (int64_t)((uint64_t)id << 8 | cursor.id[i]);
    if (api_store_get(worker, p->org_id, "audit_list", &rows, err, api_cursor_at(&cursor),
                      cursor.is_set ? rd_pg_i64(id) : rd_pg_null(), rd_pg_i64((int64_t)limit),
                      rd_pg_uuid(p->org_id)) < 0)
        return -1;
    json_t *items = json_array();
    size_t count = rd_pg_rows(rows);
    uint8_t last[8] = { 0 };
    for (size_t i = 0; i < count; i++) {
        json_t *entry = json_object();
        id = rd_pg_get_i64(rows, i, 1);
        for (size_t b = 0; b < 8; b++)
            last[b] = (uint8_t)((uint64_t)id >> (56 - 8 * b));
        char id_text[24];
        snprintf(id_text, sizeof(id_text), "%lld", (long long)id);
        rd_json_set_str(entry, "id", id_text);
        rd_json_set_time(entry, "at", rd_pg_get_time(rows, i, 0));
        rd_json_set_str(entry, "actor", rd_pg_get_text(rows, i, 2));
        rd_json_set_str(entry, "action", rd_pg_get_text(rows, i, 3));
        rd_json_set_str(entry, "subject", rd_pg_get_text(rows, i, 4));
        rd_json_set_str(entry, "request_id", rd_pg_get_text(rows, i, 5));
        (void)json_array_append_new(items, entry);
    }
    api_reply_resource(request, 200,
                       api_list_new(items, limit, count ? rd_pg_get_time(rows, count - 1, 0) : 0, RD_BYTES_ARRAY(last)),
                       0);
    return 0;
}
