#include "api/store_orgs.h"

#include <string.h>

#include "common/base/text.h"
#include "common/crypto/hash.h"
#include "common/crypto/random.h"

static const rd_pg_stmt stmts[] = {
    { "token_find",
      "SELECT token_id, org_id, user_id, role, expires_at, last_used_day = current_date FROM token_find($1)", 1 },
    { "token_used", "UPDATE tokens SET last_used_day = current_date WHERE token_id = $1", 1 },
    { "session_find", "SELECT org_id, user_id, role, csrf_hash, expires_at FROM session_find($1)", 1 },
    { "org_get", "SELECT o.name, o.kind FROM orgs o WHERE o.org_id = $1", 1 },
    { "org_add", "INSERT INTO orgs (org_id, name, kind) VALUES ($1, $2, 'both')", 2 },
    { "quota_add",
      "INSERT INTO org_quota (org_id, inst_limit, cpu_m_limit, mem_limit) VALUES ($1, 1000, 1000000, 1099511627776)",
      1 },
    { "user_add", "INSERT INTO users (user_id, name) VALUES ($1, $2)", 2 },
    { "member_add", "INSERT INTO members (org_id, user_id, role) VALUES ($1, $2, $3)", 3 },
    { "member_role", "SELECT role FROM members WHERE org_id = $1 AND user_id = $2", 2 },
    { "user_get",
      "SELECT u.user_id, u.name, m.role FROM users u JOIN members m USING (user_id) WHERE m.org_id = $1 AND u.user_id "
      "= $2",
      2 },
    { "token_add",
      "INSERT INTO tokens (token_id, org_id, user_id, name, role, hash, expires_at) VALUES ($1, $2, $3, $4, $5, $6, "
      "$7)",
      7 },
    { "token_get",
      "SELECT token_id, name, role, expires_at, last_used_day, at, user_id FROM tokens"
      " WHERE token_id = $1 AND revoked_at IS NULL",
      1 },
    { "token_list",
      "SELECT token_id, name, role, expires_at, last_used_day, at, user_id FROM tokens WHERE revoked_at IS NULL"
      " AND ($1::timestamptz IS NULL OR (at, token_id) < ($1, $2::uuid)) ORDER BY at DESC, token_id DESC LIMIT $3",
      3 },
    /* The new one lives as long as the old one was meant to; the old one for the overlap ($4, seconds) at most. */
    { "token_rotate",
      "WITH old AS (SELECT token_id, org_id, user_id, name, role, expires_at, at FROM tokens WHERE token_id = $1"
      " AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp()) FOR UPDATE),"
      " cut AS (UPDATE tokens t SET expires_at = least(t.expires_at, clock_timestamp() + $4::bigint * interval '1 s')"
      " FROM old WHERE t.token_id = old.token_id)"
      " INSERT INTO tokens (token_id, org_id, user_id, name, role, hash, expires_at)"
      " SELECT $2, org_id, user_id, name, role, $3, clock_timestamp() + (expires_at - at) FROM old RETURNING 1",
      4 },
    { "token_revoke",
      "UPDATE tokens SET revoked_at = clock_timestamp() WHERE token_id = $1 AND revoked_at IS NULL"
      " RETURNING 1",
      1 },
    { "session_add",
      "INSERT INTO sessions (hash, kind, org_id, user_id, role, csrf_hash, expires_at) VALUES ($1, $2, $3, $4, $5, $6, "
      "$7)",
      7 },
    { "session_end", "DELETE FROM sessions WHERE hash = $1 AND kind = 'session'", 1 },
    { "login_take", "SELECT org_id, user_id, role FROM login_take($1)", 1 },
    { "prepared_add",
      "INSERT INTO prepared (code_hash, org_id, user_id, app_id, body, bundle, expires_at)"
      " VALUES ($1, $2, $3, $4, $5, $6, $7)",
      7 },
    { "prepared_get",
      "SELECT app_id, body, bundle, result, done_at, expires_at, at FROM prepared"
      " WHERE code_hash = $1 AND expires_at > clock_timestamp()",
      1 },
    { "prepared_done",
      "UPDATE prepared SET result = $2, done_at = clock_timestamp() WHERE code_hash = $1 AND done_at IS NULL"
      " AND expires_at > clock_timestamp() RETURNING 1",
      2 },
    { "ready_check", "SELECT partitions_ahead()", 0 },
    { "audit_list",
      "SELECT at, id, actor, action, subject, request_id, detail FROM audit"
      " WHERE org_id = $4 AND ($1::timestamptz IS NULL OR (at, id) < ($1, $2::bigint)) ORDER BY at DESC, id DESC LIMIT "
      "$3",
      4 },
};
const rd_pg_stmts api_store_orgs = { stmts, RD_ARRAY_LEN(stmts) };

typedef struct finder {
    const uint8_t *hash;
    api_principal *ret;
} finder;

static int64_t expiry_of(const rd_pg_result *row, int column)
{
    return rd_pg_is_null(row, 0, column) ? INT64_MAX : rd_pg_get_time(row, 0, column);
}

static rd_pg_outcome read_org(rd_pg *pg, api_principal *principal, rd_err *err)
{
    rd_pg_result *results[2] = { NULL };
    if (rd_pg_set_org(pg, principal->org_id, err) < 0 ||
        rd_pg_push(pg, "org_get", err, rd_pg_uuid(principal->org_id)) < 0)
        return RD_PG_FAILED;
    rd_pg_outcome outcome = rd_pg_flush(pg, results, 2, err);
    if (outcome == RD_PG_SOME)
        principal->is_operating =
            rd_pg_rows(results[1]) > 0 && strcmp(rd_pg_get_text(results[1], 0, 1), "customer") != 0;
    rd_pg_result_free(results[0]);
    rd_pg_result_free(results[1]);
    return outcome;
}

static rd_pg_outcome find_token(rd_pg *pg, void *context, rd_err *err)
{
    finder *f = context;
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    rd_pg_outcome outcome = rd_pg_call(pg, "token_find", &row, err, rd_pg_bytes(rd_bytes_of(f->hash, 32)));
    if (outcome == RD_PG_NONE) {
        (void)rd_err_set(err, RD_E_TOKEN_INVALID, "the token is not valid");
        return RD_PG_FAILED;
    }
    if (outcome != RD_PG_SOME)
        return outcome;
    api_principal *p = f->ret;
    rd_pg_get_fixed(row, 0, 0, p->token_id, 16);
    rd_pg_get_fixed(row, 0, 1, p->org_id, 16);
    rd_pg_get_fixed(row, 0, 2, p->user_id, 16);
    p->role = api_role_by_name(rd_pg_get_text(row, 0, 3));
    p->expires_us = expiry_of(row, 4);
    outcome = read_org(pg, p, err);
    bool was_used_today = !rd_pg_is_null(row, 0, 5) && rd_pg_get_bool(row, 0, 5);
    if (outcome == RD_PG_SOME && !was_used_today && rd_pg_push(pg, "token_used", err, rd_pg_uuid(p->token_id)) < 0)
        return RD_PG_FAILED;
    return outcome;
}

static rd_pg_outcome find_session(rd_pg *pg, void *context, rd_err *err)
{
    finder *f = context;
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    rd_pg_outcome outcome = rd_pg_call(pg, "session_find", &row, err, rd_pg_bytes(rd_bytes_of(f->hash, 32)));
    if (outcome == RD_PG_NONE) {
        (void)rd_err_set(err, RD_E_TOKEN_INVALID, "the session is not valid");
        return RD_PG_FAILED;
    }
    if (outcome != RD_PG_SOME)
        return outcome;
    api_principal *p = f->ret;
    p->is_session = true;
    rd_pg_get_fixed(row, 0, 0, p->org_id, 16);
    rd_pg_get_fixed(row, 0, 1, p->user_id, 16);
    memcpy(p->token_id, f->hash, 16);
    p->role = api_role_by_name(rd_pg_get_text(row, 0, 2));
    rd_pg_get_fixed(row, 0, 3, p->csrf, 32);
    p->expires_us = expiry_of(row, 4);
    return read_org(pg, p, err);
}

static int run_finder(rd_pg *pg, rd_pg_tx_fn work, const uint8_t hash[32], api_principal *ret, rd_err *err)
{
    finder f = { hash, ret };
    rd_pg_outcome outcome = rd_pg_tx(pg, NULL, work, &f, err);
    if (outcome == RD_PG_UNKNOWN)
        return rd_err_set(err, RD_E_UNAVAILABLE, "the database went away");
    return outcome == RD_PG_SOME || outcome == RD_PG_NONE ? 0 : -1;
}

int api_orgs_find_token(rd_pg *pg, const uint8_t hash[32], api_principal *ret, rd_err *err)
{
    return run_finder(pg, find_token, hash, ret, err);
}

int api_orgs_find_session(rd_pg *pg, const uint8_t hash[32], api_principal *ret, rd_err *err)
{
    return run_finder(pg, find_session, hash, ret, err);
}

void api_secret_new(const char *prefix, char ret_text[API_SECRET_TEXT_SIZE], uint8_t ret_hash[32])
{
    uint8_t raw[32];
    size_t size = strlen(prefix);
    rd_random_bytes(raw, sizeof(raw));
    memcpy(ret_text, prefix, size);
    rd_base64url_encode(RD_BYTES_ARRAY(raw), ret_text + size);
    rd_wipe(raw, sizeof(raw));
    rd_sha256(rd_bytes_str(ret_text), ret_hash);
}

void api_csrf_of(rd_bytes session_secret, char ret_text[API_SECRET_TEXT_SIZE])
{
    uint8_t mac[RD_SHA256_SIZE];
    rd_hmac_sha256(session_secret, RD_BYTES_LIT("redoubt csrf"), mac);
    rd_base64url_encode(RD_BYTES_ARRAY(mac), ret_text);
}

static rd_pg_outcome bootstrap(rd_pg *pg, void *context, rd_err *err)
{
    const api_bootstrap *b = context;
    rd_pg_value org = rd_pg_uuid(b->org.b), user = rd_pg_uuid(b->user.b);
    if (rd_pg_push(pg, "org_add", err, org, rd_pg_text(b->org_name)) < 0 || rd_pg_push(pg, "quota_add", err, org) < 0 ||
        rd_pg_push(pg, "user_add", err, user, rd_pg_text(b->user_name)) < 0 ||
        rd_pg_push(pg, "member_add", err, org, user, rd_pg_text("owner")) < 0 ||
        rd_pg_push(pg, "token_add", err, rd_pg_uuid(b->token.b), org, user, rd_pg_text("bootstrap"),
                   rd_pg_text("owner"), rd_pg_bytes(RD_BYTES_ARRAY(b->token_hash)), rd_pg_null()) < 0 ||
        rd_pg_push(pg, "session_add", err, rd_pg_bytes(RD_BYTES_ARRAY(b->login_hash)), rd_pg_text("login"), org, user,
                   rd_pg_text("owner"), rd_pg_null(), rd_pg_time(b->now_us + API_LOGIN_TERM_US)) < 0)
        return RD_PG_FAILED;
    return RD_PG_SOME;
}

int api_orgs_bootstrap(rd_pg *pg, api_bootstrap *b, rd_err *err)
{
    rd_pg_outcome outcome = rd_pg_tx(pg, b->org.b, bootstrap, b, err);
    if (outcome == RD_PG_UNKNOWN)
        return rd_err_set(err, RD_E_UNAVAILABLE, "the connection broke at commit");
    return outcome == RD_PG_SOME || outcome == RD_PG_NONE ? 0 : -1;
}
