#include "api/agents_private.h"

#include "common/model/json.h"
#include "common/model/kms_genesis.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MINUTE_US         ((int64_t)60 * 1000000)
#define ISSUED_EARLIER_US ((int64_t)5 * 60 * 1000000)

static const rd_pg_stmt stmts[] = {
    { "attach_identity",
      "SELECT i.operator_org, i.shard, i.retired_at IS NOT NULL, i.revoked_at IS NOT NULL, i.agent_key = $2,"
      " $3::bigint >= i.cert_floor, c.era, c.plane_id, host_is_marked(i.host_id) FROM host_identity i, cluster c"
      " WHERE i.host_id = $1",
      3 },
    /* A session for a host that may have one; lock order: host_links alone. */
    { "attach_claim",
      "INSERT INTO host_links AS k (host_id, session, replica_id, state)"
      " SELECT i.host_id, 1, $2, 1 FROM host_identity i WHERE i.host_id = $1 AND i.retired_at IS NULL"
      " AND i.revoked_at IS NULL AND i.agent_key = $3 AND $4::bigint >= i.cert_floor"
      " AND NOT EXISTS (SELECT 1 FROM host_marks m WHERE m.host_id = i.host_id AND m.is_cut AND "
      "host_is_marked(m.host_id))"
      " ON CONFLICT (host_id) DO UPDATE SET session = k.session + 1, replica_id = EXCLUDED.replica_id, state = 1,"
      " down_cause = NULL, changed_at = clock_timestamp()"
      " RETURNING session, incarnation, journal_id, acked_seq, event_seq",
      4 },
    { "attach_hello",
      "UPDATE host_links SET journal_id = $3, boot_id = $4, incarnation = $5, event_seq = $6, acked_seq = $7,"
      " reported_cpu_m = $8, reported_mem = $9, reported_slots = $10, agent_version = $11, skew_us = $12,"
      " engines = CASE WHEN $13::boolean THEN '{\"engine.jsc\": \"yes\"}' ELSE '{}' END::jsonb"
      " WHERE host_id = $1 AND session = $2 RETURNING 1",
      13 },
    { "attach_leases",
      "SELECT " API_LEASE_COLUMNS " FROM leases l" API_LEASE_JOINS " WHERE l.host_id = $1 AND (l.live OR l.held"
      " OR l.job_seq > $2) ORDER BY l.job_seq LIMIT 10000",
      2 },
    /* What the agent holds and the plane has ended (1), or never granted to this host (2). */
    { "attach_strays",
      "SELECT u.instance_id, u.epoch, CASE WHEN l.instance_id IS NOT NULL OR h.instance_id IS NOT NULL THEN 1 ELSE 2 "
      "END"
      " FROM unnest($2::uuid[], $3::bigint[]) AS u(instance_id, epoch)"
      " LEFT JOIN leases l ON l.instance_id = u.instance_id AND l.epoch = u.epoch AND l.host_id = $1"
      " LEFT JOIN LATERAL (SELECT x.instance_id FROM lease_history x WHERE x.instance_id = u.instance_id"
      " AND x.epoch = u.epoch LIMIT 1) h ON true WHERE l.live IS NOT TRUE",
      3 },
    { "attach_evaluate", "SELECT evaluate($1::integer, 2::smallint, $2::bytea, 'link')", 2 },
    { "attach_kms", "SELECT kms_note($1, $2, $3, $4)", 4 },
    { "attach_fault", "SELECT host_fault($1, $2, $3, 1, $4)", 4 },
    { "attach_event",
      "INSERT INTO events (org_id, kind, subject, body) VALUES ($1, 'host', $2, jsonb_build_object('link', $3::text,"
      " 'cause', $4::text))",
      4 },
    { "attach_reconciled",
      "UPDATE host_links SET reconciled_session = session WHERE host_id = $1 AND session = $2 AND state = 1"
      " AND reconciled_session < session RETURNING 1",
      2 },
    { "attach_down",
      "WITH d AS (UPDATE host_links SET state = 2, down_cause = $4, changed_at = clock_timestamp() WHERE host_id = $1"
      " AND session = $2 AND replica_id = $3 AND state = 1 RETURNING host_id),"
      " e AS (INSERT INTO events (org_id, kind, subject, body) SELECT $5::uuid, 'host', uuid_send(d.host_id),"
      " jsonb_build_object('link', 'down', 'cause', $4::text) FROM d RETURNING 1)"
      " SELECT evaluate($6::integer, 2::smallint, uuid_send(d.host_id), 'link'), (SELECT count(*) FROM e) FROM d",
      6 },
};
const rd_pg_stmts api_attach_stmts = { stmts, RD_ARRAY_LEN(stmts) };

static bool is_gone(const api_host_link *host)
{
    return !host->link || host->state == API_ATTACH_DOWN || host->agents->is_closing;
}

static void wake_scheduler(api_host_link *host)
{
    rd_redis *redis = host->agents->options.redis;
    if (!redis || !rd_redis_is_connected(redis))
        return;
    char key[32];
    snprintf(key, sizeof key, "wake:%" PRId64, host->shard);
    rd_err err = RD_ERR_INIT;
    (void)!rd_redis_command(redis, NULL, NULL, &err, RD_BYTES_LIT("XADD"), rd_bytes_str(key), RD_BYTES_LIT("MAXLEN"),
                            RD_BYTES_LIT("~"), RD_BYTES_LIT("10000"), RD_BYTES_LIT("*"), RD_BYTES_LIT("k"),
                            rd_bytes_str(host->name));
    (void)!rd_redis_command(redis, NULL, NULL, &err, RD_BYTES_LIT("PUBLISH"), RD_BYTES_LIT("tail"), RD_BYTES_LIT(""));
}

/* ---- 1: identity and session ---- */

static const char *refusal_of(const rd_pg_result *identity)
{
    if (rd_pg_rows(identity) == 0)
        return "host_unknown";
    if (rd_pg_get_bool(identity, 0, 3) || rd_pg_get_bool(identity, 0, 2))
        return "host_revoked";
    if (!rd_pg_get_bool(identity, 0, 4) || !rd_pg_get_bool(identity, 0, 5))
        return "certificate_superseded";
    if (rd_pg_get_bool(identity, 0, 8))
        return "host_quarantined";
    return "session_refused";
}

/* Ten sessions in a minute: two agents with one key, or a flapping one. */
static bool is_fighting(api_host_link *host)
{
    rd_bytes key = RD_BYTES_ARRAY(host->host.b);
    api_session_mark *mark = rd_table_get(host->agents->marks, key);
    int64_t now_us = rd_clock_boot_us(host->agents->options.clock);
    if (!mark) {
        mark = rd_alloc(sizeof *mark);
        if (!rd_table_set(host->agents->marks, key, mark, NULL)) {
            free(mark);
            return false;
        }
        *mark = (api_session_mark){ host->session, now_us };
    }
    bool is_fight = host->session - mark->session >= API_SESSIONS_A_MINUTE;
    if (is_fight || now_us - mark->at_us > MINUTE_US)
        *mark = (api_session_mark){ host->session, now_us };
    return is_fight;
}

static void on_faulted(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                       const rd_err *err)
{
    (void)failed;
    api_host_link *host = context;
    if ((outcome != RD_PG_SOME && outcome != RD_PG_NONE) || count != 1)
        rd_log(RD_ERROR, "host_fault_unnoted", RD_STR("host", host->name), RD_ERR(err));
    else if (rd_pg_rows(results[0]) == 1 && rd_pg_get_bool(results[0], 0, 0) && !host->agents->is_closing)
        wake_scheduler(host);
    api_host_release(host);
}

/* A fault that needs no second one. is_cut: no link of this host until its operator releases it. */
static void mark_host(api_host_link *host, rd_code code, const char *detail, bool is_cut)
{
    rd_log(RD_ERROR, "host_fault", RD_STR("host", host->name), RD_STR("reason", rd_code_describe(code)->name),
           RD_STR("detail", detail));
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    rd_pg_batch_call(batch, "attach_fault", rd_pg_uuid(host->host.b), rd_pg_text(rd_code_describe(code)->name),
                     rd_pg_text(detail), rd_pg_bool(is_cut));
    rd_err err = RD_ERR_INIT;
    api_host_hold(host);
    if (rd_pg_async_submit(host->agents->options.pg, batch, on_faulted, host, &err) < 0) {
        rd_log(RD_ERROR, "host_fault_unnoted", RD_STR("host", host->name), RD_ERR(&err));
        api_host_release(host);
    }
}

static void send_hello(api_host_link *host, const char *plane_id);

static void on_claimed(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                       const rd_err *err)
{
    (void)failed;
    api_host_link *host = context;
    api_agents *agents = host->agents;
    if (is_gone(host)) {
        /* The session may stand in PostgreSQL as up: note that it is not. */
        if (count == 2 && rd_pg_rows(results[1]) == 1) {
            host->session = rd_pg_get_i64(results[1], 0, 0);
            api_attach_down(host);
        }
        api_host_release(host);
        return;
    }
    if ((outcome != RD_PG_SOME && outcome != RD_PG_NONE) || count != 2) {
        api_host_fail(host, "claim", err);
        api_host_release(host);
        return;
    }
    if (rd_pg_rows(results[1]) == 0) {
        const char *why = refusal_of(results[0]);
        agents->refused++;
        rd_log(RD_WARN, "link_refused", RD_STR("host", host->name), RD_STR("reason", why));
        api_host_close(host, why);
        api_host_release(host);
        return;
    }
    (void)rd_pg_get_fixed(results[0], 0, 0, host->operator_org, 16);
    host->shard = rd_pg_get_i64(results[0], 0, 1);
    host->era = rd_pg_get_i64(results[0], 0, 6);
    host->session = rd_pg_get_i64(results[1], 0, 0);
    host->incarnation = rd_pg_get_i64(results[1], 0, 1);
    host->has_journal = rd_pg_get_fixed(results[1], 0, 2, host->known_journal.b, 16);
    host->known_acked = rd_pg_get_i64(results[1], 0, 3);
    host->known_events = rd_pg_get_i64(results[1], 0, 4);
    if (is_fighting(host)) {
        agents->refused++;
        mark_host(host, RD_E_HOST_SESSIONS, "ten links within a minute: its key may be in use twice", true);
        api_host_close(host, "host_quarantined");
    } else {
        void *old = NULL;
        (void)rd_table_set(agents->hosts, RD_BYTES_ARRAY(host->host.b), host, &old);
        if (old && old != host)
            api_host_close(old, "a newer session of this host is here");
        host->state = API_ATTACH_GREETING;
        send_hello(host, api_plane_id(agents->options.plane));
    }
    api_host_release(host);
}

void api_attach_begin(api_host_link *host)
{
    host->state = API_ATTACH_CLAIMING;
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    rd_pg_value id = rd_pg_uuid(host->host.b), key = rd_pg_bytes(RD_BYTES_ARRAY(host->spki));
    /* cert_floor: seconds; certificates begin five minutes before they are issued (plane.h). */
    rd_pg_value begin = rd_pg_i64((host->cert_begin_us + ISSUED_EARLIER_US) / 1000000);
    rd_pg_batch_call(batch, "attach_identity", id, key, begin);
    rd_pg_batch_call(batch, "attach_claim", id, rd_pg_uuid(host->agents->options.replica.b), key, begin);
    rd_err err = RD_ERR_INIT;
    api_host_hold(host);
    if (rd_pg_async_submit(host->agents->options.pg, batch, on_claimed, host, &err) < 0) {
        api_host_fail(host, "claim", &err);
        api_host_release(host);
    }
}

/* ---- 2 and 3: hello (agents_words.h), and compare ---- */

/* The journal's name may have any form: 16 bytes of its digest stand for it. */
static void short_id(const char *text, uint8_t out[16])
{
    uint8_t digest[32];
    rd_sha256(rd_bytes_str(text), digest);
    memcpy(out, digest, 16);
}

/* A journal not seen before, or one that has forgotten what it had acknowledged (data-model.md 8, Incarnation). */
static bool is_new_journal(const api_host_link *host, const api_hello *h, const uint8_t journal[16])
{
    if (!host->has_journal || memcmp(host->known_journal.b, journal, 16) != 0)
        return true;
    return h->floor_seq < (uint64_t)host->known_acked || h->last_event < (uint64_t)host->known_events;
}

/* The inventory as a report of the new incarnation, older than any event that follows. */
static void report_inventory(api_host_link *host, const api_hello *h)
{
    for (size_t i = 0; i < h->inventory_count; i++) {
        api_report report = { .host = host->host,
                              .instance = h->inventory[i].instance,
                              .epoch = h->inventory[i].epoch,
                              .incarnation = host->incarnation,
                              .phase = (rd_phase)h->inventory[i].phase };
        api_ingest_add(host->agents->options.ingest, &report, NULL, NULL, NULL);
    }
}

static void on_compared(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                        const rd_err *err)
{
    (void)failed;
    api_host_link *host = context;
    if (is_gone(host)) {
        api_host_release(host);
        return;
    }
    if ((outcome != RD_PG_SOME && outcome != RD_PG_NONE) || count != 6) {
        api_host_fail(host, "compare", err);
        api_host_release(host);
        return;
    }
    if (rd_pg_rows(results[0]) == 0) {
        api_host_close(host, "a newer session of this host is elsewhere");
        api_host_release(host);
        return;
    }
    for (size_t i = 0; i < rd_pg_rows(results[1]); i++)
        (void)api_jobs_note_lease(host, results[1], i);
    for (size_t i = 0; i < rd_pg_rows(results[2]); i++) {
        rd_id instance;
        (void)rd_pg_get_fixed(results[2], i, 0, instance.b, 16);
        uint64_t epoch = (uint64_t)rd_pg_get_i64(results[2], i, 1);
        if (rd_pg_get_i64(results[2], i, 2) != 1) {
            host->agents->strays_unknown++; /* never killed: an operator looks (T10, step 7) */
            rd_log(RD_ERROR, "stray_unknown", RD_STR("host", host->name), RD_U64("epoch", epoch));
            continue;
        }
        api_lease_key key = api_lease_key_of(&instance, epoch);
        (void)rd_table_set(host->strays, RD_BYTES_ARRAY(key.b), host, NULL);
    }
    if (host->has_kms && !rd_pg_get_bool(results[5], 0, 0)) {
        rd_log(RD_WARN, "kms_not_taken", RD_STR("host", host->name), RD_STR("meaning", "it has brought in too many"));
        host->has_kms = false;
    }
    host->agents->attached++;
    host->state = API_ATTACH_SENDING;
    wake_scheduler(host);
    api_events_begin(host);
    api_logs_begin(host);
    api_grants_begin(host);
    api_receipts_begin(host);
    api_jobs_need(host, host->needs, 0);
    api_jobs_want(host);
    api_host_release(host);
}

/* What the host carries, when the genesis is that of the id; clients and enclaves judge it themselves. */
static void note_kms(api_host_link *host, const api_hello *h, rd_pg_batch *batch)
{
    rd_kms_genesis genesis;
    rd_err err = RD_ERR_INIT;
    rd_bytes bytes = rd_buf_bytes(&h->kms_genesis);
    host->has_kms = h->has_kms && rd_kms_genesis_open(bytes, &h->kms, &genesis, &err) == 0;
    host->kms = h->kms;
    if (h->has_kms && !host->has_kms)
        rd_log(RD_WARN, "kms_not_taken", RD_STR("host", host->name), RD_ERR(&err));
    rd_pg_batch_call(batch, "attach_kms", rd_pg_uuid(host->host.b),
                     host->has_kms ? rd_pg_bytes(RD_BYTES_ARRAY(host->kms.b)) : rd_pg_null(),
                     host->has_kms ? rd_pg_bytes(bytes) : rd_pg_null(),
                     host->has_kms ? rd_pg_text(rd_class_name(genesis.class)) : rd_pg_null());
}

static void compare(api_host_link *host, const api_hello *h)
{
    uint8_t journal[16], boot[16];
    short_id(h->journal_id, journal);
    short_id(h->boot_id, boot);
    bool is_new = is_new_journal(host, h, journal);
    if (is_new)
        host->incarnation++;
    host->agent_incarnation = (int64_t)h->incarnation;
    host->floor = host->sent = h->floor_seq;
    host->event_acked = host->event_told = h->acked_event;
    host->need_count = h->need_count;
    memcpy(host->needs, h->needs, h->need_count * sizeof h->needs[0]);
    if (is_new)
        report_inventory(host, h);
    rd_pg_array instances, epochs;
    rd_pg_array_init(&instances, RD_PG_T_UUID);
    rd_pg_array_init(&epochs, RD_PG_T_INT8);
    for (size_t i = 0; i < h->inventory_count; i++)
        if (!rd_phase_is_final((rd_phase)h->inventory[i].phase)) {
            rd_pg_array_bytes(&instances, RD_BYTES_ARRAY(h->inventory[i].instance.b));
            rd_pg_array_i64(&epochs, (int64_t)h->inventory[i].epoch);
        }
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    rd_pg_value id = rd_pg_uuid(host->host.b);
    rd_pg_batch_call(batch, "attach_hello", id, rd_pg_i64(host->session), rd_pg_uuid(journal), rd_pg_uuid(boot),
                     rd_pg_i64(host->incarnation), rd_pg_i64((int64_t)h->acked_event), rd_pg_i64((int64_t)h->floor_seq),
                     rd_pg_i64(h->cpu_m), rd_pg_i64(h->memory_bytes), rd_pg_i64(h->slots), rd_pg_text(h->agent_version),
                     rd_pg_i64(h->clock_us - api_agents_wall_us(host->agents)), rd_pg_bool(h->has_jsc));
    rd_pg_batch_call(batch, "attach_leases", id, rd_pg_i64((int64_t)h->floor_seq));
    rd_pg_batch_call(batch, "attach_strays", id, rd_pg_array_value(&instances), rd_pg_array_value(&epochs));
    rd_pg_batch_call(batch, "attach_evaluate", rd_pg_i64(host->shard), rd_pg_bytes(RD_BYTES_ARRAY(host->host.b)));
    rd_pg_batch_call(batch, "attach_event", rd_pg_uuid(host->operator_org), rd_pg_bytes(RD_BYTES_ARRAY(host->host.b)),
                     rd_pg_text("up"), rd_pg_text(""));
    note_kms(host, h, batch);
    rd_pg_array_done(&instances);
    rd_pg_array_done(&epochs);
    rd_err err = RD_ERR_INIT;
    host->state = API_ATTACH_COMPARING;
    api_host_hold(host);
    if (rd_pg_async_submit(host->agents->options.pg, batch, on_compared, host, &err) < 0) {
        api_host_fail(host, "compare", &err);
        api_host_release(host);
    }
}

static void on_hello(void *context, int status, rd_bytes body, const rd_err *error)
{
    api_host_link *host = context;
    api_hello *h = rd_alloc(sizeof *h);
    rd_err err = RD_ERR_INIT;
    if (is_gone(host)) {
        /* nothing left to do */
    } else if (error) {
        api_host_fail(host, "hello", error);
    } else if (status != 200) {
        (void)rd_err_set(&err, RD_E_LINK_PROTOCOL, "hello answered with status %d", status);
        api_host_fail(host, "hello", &err);
    } else if (api_hello_read(body, h, &err) < 0) {
        api_host_fail(host, "hello", &err);
    } else if (h->floor_era > host->era) {
        /* It knows a newer era than the database. Only a record with the plane's MAC could prove that (T10, step 7). */
        (void)rd_err_set(&err, RD_E_JOB_ERA, "the host's era %" PRId64 " is above the plane's %" PRId64, h->floor_era,
                         host->era);
        host->agents->refused++;
        mark_host(host, err.code, err.text, false);
        api_host_fail(host, "era", &err);
    } else {
        compare(host, h);
    }
    api_hello_done(h);
    free(h);
    api_host_release(host);
}

static void send_hello(api_host_link *host, const char *plane_id)
{
    RD_CLEANUP(rd_json_free_p) json_t *object = json_object();
    rd_json_set_int(object, "era", host->era);
    rd_json_set_str(object, "plane_id", plane_id);
    rd_json_set_str(object, "replica", host->agents->options.replica_name);
    rd_json_set_int(object, "session", host->session);
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 };
    (void)rd_json_dump(object, &body);
    rd_link_request request = { .method = "POST", .path = "/hello", .body = rd_buf_bytes(&body) };
    rd_err err = RD_ERR_INIT;
    api_host_hold(host);
    if (rd_link_send(host->link, &request, on_hello, host, &err) < 0) {
        api_host_fail(host, "hello", &err);
        api_host_release(host);
    }
}

/* ---- 4: open, reconciled ---- */

void api_attach_opened(api_host_link *host)
{
    host->state = API_ATTACH_OPEN;
    rd_log(RD_INFO, "link_open", RD_STR("host", host->name), RD_I64("session", host->session),
           RD_U64("floor", host->floor));
    size_t iterator = 0;
    void *value;
    while (rd_table_next(host->leases, &iterator, NULL, &value))
        host->agents->options.on_app(host->agents->options.context, &((const api_host_lease *)value)->app);
    if (host->has_kms)
        host->agents->options.on_kms(host->agents->options.context, &host->kms);
    api_attach_check_reconciled(host);
}

static void on_reconciled(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                          const rd_err *err)
{
    (void)results;
    (void)count;
    (void)failed;
    api_host_link *host = context;
    if (outcome != RD_PG_SOME && outcome != RD_PG_NONE) {
        rd_log(RD_WARN, "reconcile_failed", RD_STR("host", host->name), RD_ERR(err));
        host->is_reconciled = false; /* tried again with the next second's look */
    } else if (!is_gone(host)) {
        wake_scheduler(host);
    }
    api_host_release(host);
}

void api_attach_check_reconciled(api_host_link *host)
{
    if (host->is_reconciled || is_gone(host) || host->state != API_ATTACH_OPEN || rd_table_count(host->strays) > 0)
        return;
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    rd_pg_batch_call(batch, "attach_reconciled", rd_pg_uuid(host->host.b), rd_pg_i64(host->session));
    rd_pg_batch_call(batch, "attach_evaluate", rd_pg_i64(host->shard), rd_pg_bytes(RD_BYTES_ARRAY(host->host.b)));
    rd_err err = RD_ERR_INIT;
    host->is_reconciled = true;
    api_host_hold(host);
    if (rd_pg_async_submit(host->agents->options.pg, batch, on_reconciled, host, &err) < 0) {
        host->is_reconciled = false;
        api_host_release(host);
    }
}

/* ---- 5: down ---- */

static void on_noted(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                     const rd_err *err)
{
    (void)results;
    (void)count;
    (void)failed;
    api_host_link *host = context;
    if (outcome != RD_PG_SOME && outcome != RD_PG_NONE)
        rd_log(RD_WARN, "link_down_unnoted", RD_STR("host", host->name), RD_ERR(err));
    else if (!host->agents->is_closing)
        wake_scheduler(host);
    api_host_release(host);
}

void api_attach_down(api_host_link *host)
{
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    rd_pg_batch_call(batch, "attach_down", rd_pg_uuid(host->host.b), rd_pg_i64(host->session),
                     rd_pg_uuid(host->agents->options.replica.b), rd_pg_text(host->close_cause),
                     rd_pg_uuid(host->operator_org), rd_pg_i64(host->shard));
    rd_err err = RD_ERR_INIT;
    api_host_hold(host);
    if (rd_pg_async_submit(host->agents->options.pg, batch, on_noted, host, &err) < 0) {
        rd_log(RD_WARN, "link_down_unnoted", RD_STR("host", host->name), RD_ERR(&err));
        api_host_release(host);
    }
}
