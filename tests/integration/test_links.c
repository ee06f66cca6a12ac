// link: api_core agent_core rd_attest rd_data rd_io rd_model rd_crypto rd_base PkgConfig::pq
/* The link side of the API against real PostgreSQL and Redis, with an agent on script: attach, jobs, blobs, evidence
 * that is believed and evidence that is not, order of events, sessions, revocation, calls, renewal, events. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "agent/sim_pki.h"
#include "api/agents_private.h"
#include "api/auth.h"
#include "api/limits.h"
#include "api/links_private.h"
#include "api/metrics.h"
#include "api/routes.h"
#include "api/server.h"
#include "api/store.h"
#include "common/crypto/random.h"
#include "common/data/migrate.h"
#include "common/io/config.h"
#include "common/model/head.h"
#include "common/model/release.h"
#include "tests/support/fake_agent.h"
#include "tests/support/private_pg.h"
#include "tests/support/private_redis.h"

#define WAIT_US INT64_C(15000000)
#define ORG     "00000000-0000-7000-8000-000000000001"
#define EPOCH0  ((uint64_t)1 << 40)

typedef struct world {
    char dir[64], pki[96], platform[96], state[96], blobs[96];
    private_pg pg;
    private_redis redis;
    PGconn *sql;
    rd_loop *loop;
    rd_timer *tick;
    api_config config;
    api_context context;
    rd_pg_stmts stmts[API_STORE_COUNT];
    char root_hex[65];
    rd_buf collateral;
    api_links *links;
    /* the app */
    rd_app_id app;
    rd_digest release, head;
    uint8_t mrtd[48];
    char app_hex[65];
    /* hosts and leases made so far */
    unsigned hosts, leases;
} world;

static world w;

/* ---- helpers ---- */

static void on_tick(void *context)
{
    (void)context;
}

static int64_t now_us(void)
{
    return rd_clock_boot_us(rd_clock_system());
}

#define UNTIL(condition)                                                                                               \
    do {                                                                                                               \
        int64_t until_limit = now_us() + WAIT_US;                                                                      \
        while (!(condition)) {                                                                                         \
            if (now_us() > until_limit)                                                                                \
                fail_msg("line %d: not in time: %s", __LINE__, #condition);                                            \
            rd_loop_turn(w.loop, true);                                                                                \
        }                                                                                                              \
    } while (0)

static void turn_for(int64_t us)
{
    int64_t limit = now_us() + us;
    while (now_us() < limit)
        rd_loop_turn(w.loop, true);
}

/* The first value of the last statement, in one of a few static buffers. */
static const char *sql(const char *fmt, ...) RD_PRINTF(1, 2);
static const char *sql(const char *fmt, ...)
{
    static char text[65536], values[4][512];
    static unsigned turn;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    PGresult *result = PQexec(w.sql, text);
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
        fail_msg("%s\n%s", PQerrorMessage(w.sql), text);
    char *value = values[turn++ % 4];
    snprintf(value, sizeof values[0], "%s", PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    return value;
}

static const char *hex_of(const void *bytes, size_t size)
{
    static char texts[8][8192];
    static unsigned turn;
    char *text = texts[turn++ % 8];
    assert_true(size * 2 < sizeof texts[0]);
    rd_hex_encode(rd_bytes_of(bytes, size), text);
    return text;
}

/* ---- the app, its owner's documents ---- */

static void make_app(void)
{
    rd_err err = RD_ERR_INIT;
    rd_signing_key *key = rd_signing_key_new();
    rd_genesis genesis = { .owners_count = 1, .threshold = 1 };
    genesis.owners[0] = *rd_signing_key_public(key);
    rd_random_bytes(genesis.salt, sizeof genesis.salt);
    rd_buf bytes = { 0 }, doc = { 0 }, release_text = { 0 }, head_text = { 0 };
    assert_int_equal(rd_genesis_encode(&genesis, &bytes, &err), 0);
    rd_genesis_app_id(rd_buf_bytes(&bytes), &w.app);
    rd_hex_encode(RD_BYTES_ARRAY(w.app.b), w.app_hex);

    rd_release release;
    rd_envelope envelope;
    rd_release_init(&release);
    release.app = w.app;
    release.number = 1;
    release.code_size = 10;
    assert_int_equal(rd_release_encode(&release, &doc, &err), 0);
    rd_release_digest(rd_buf_bytes(&doc), &w.release);
    rd_envelope_init(&envelope, rd_buf_bytes(&doc));
    assert_int_equal(rd_envelope_sign(&envelope, key, RD_SIGN_RELEASE, &err), 0);
    assert_int_equal(rd_envelope_encode(&envelope, &release_text, &err), 0);
    rd_envelope_done(&envelope);
    sql("INSERT INTO orgs (org_id, name) VALUES ('%s', 'one')", ORG);
    sql("INSERT INTO apps (app_id, org_id, name, genesis) VALUES ('\\x%s', '%s', 'app', '\\x%s')", w.app_hex, ORG,
        hex_of(bytes.data, bytes.size));
    sql("INSERT INTO releases (release_id, org_id, app_id, number, manifest, digest, signatures, envelope, code_digest,"
        " cpu_m, mem) VALUES (gen_random_uuid(), '%s', '\\x%s', 1, '\\x%s', '\\x%s', '[]', '\\x%s', '\\x%s', 100,"
        " 1048576)",
        ORG, w.app_hex, hex_of(doc.data, doc.size), hex_of(w.release.b, 32),
        hex_of(release_text.data, release_text.size), hex_of(release.code_digest.b, 32));
    rd_release_done(&release);

    rd_head head = { .app = w.app, .seq = 1, .class = RD_CLASS_SIMULATED, .releases_count = 1, .not_before_us = 0 };
    head.releases[0] = w.release;
    head.not_before_us = INT64_C(1700000000) * 1000000;
    head.policy = (rd_policy){ .is_simulated = true,
                               .tees = { RD_TEE_TDX },
                               .tees_count = 1,
                               .tcb = { RD_TCB_UP_TO_DATE, RD_TCB_SW_HARDENING_NEEDED },
                               .tcb_count = 2,
                               .measurements_count = 1,
                               .max_collateral_age_s = 604800 };
    memcpy(head.policy.measurements[0], w.mrtd, 48);
    rd_buf_clear(&doc);
    assert_int_equal(rd_head_encode(&head, &doc, &err), 0);
    rd_head_digest(rd_buf_bytes(&doc), &w.head);
    rd_envelope_init(&envelope, rd_buf_bytes(&doc));
    assert_int_equal(rd_envelope_sign(&envelope, key, RD_SIGN_HEAD, &err), 0);
    assert_int_equal(rd_envelope_encode(&envelope, &head_text, &err), 0);
    rd_envelope_done(&envelope);
    sql("INSERT INTO heads (org_id, app_id, seq, head, digest, signatures, envelope, class) VALUES ('%s', '\\x%s', 1,"
        " '\\x%s', '\\x%s', '[]', '\\x%s', 'simulated')",
        ORG, w.app_hex, hex_of(doc.data, doc.size), hex_of(w.head.b, 32), hex_of(head_text.data, head_text.size));
    rd_signing_key_free(key);
    rd_buf_done(&bytes);
    rd_buf_done(&doc);
    rd_buf_done(&release_text);
    rd_buf_done(&head_text);
}

/* ---- hosts, leases ---- */

typedef struct host {
    rd_id id;
    char name[RD_ID_TEXT_SIZE];
    char uuid[33];
    fake_agent agent;
    uint64_t job_seq;
} host;

/* Enrolled, with a platform of its own; not dialled yet. */
static host *host_new(void)
{
    host *h = rd_alloc(sizeof *h);
    uint8_t spki[32];
    rd_err err = RD_ERR_INIT;
    h->id = rd_id_new(rd_clock_wall_us(rd_clock_system()), rd_random_system());
    rd_id_format(RD_PREFIX_HOST, &h->id, h->name);
    rd_hex_encode(RD_BYTES_ARRAY(h->id.b), h->uuid);
    h->job_seq = EPOCH0;
    h->agent = (fake_agent){ .era = 1, .incarnation = 5, .connect_status = 200, .answer_status = 200 };
    snprintf(h->agent.journal, sizeof h->agent.journal, "%s", h->uuid);
    fake_enrol(&h->agent, w.context.plane, h->name, spki);
    assert_int_equal(agent_sim_quoter_open(w.platform, &h->agent.quoter, &err), 0);
    w.hosts++;
    sql("INSERT INTO host_identity (host_id, operator_org, platform_id, agent_key, tee, simulated) VALUES"
        " ('%s', '%s', '\\x%s', '\\x%s', 'tdx', true)",
        h->uuid, ORG, h->uuid, hex_of(spki, 32));
    return h;
}

static host *host_free(host *h)
{
    fake_done(&h->agent);
    turn_for(20000);
    free(h);
    return NULL;
}

static void host_dial(host *h)
{
    unsigned hellos = h->agent.hellos;
    fake_dial(&h->agent, w.loop, api_links_link_port(w.links));
    UNTIL(h->agent.hellos > hellos && h->agent.events && api_agents_link(w.links->agents, &h->id));
}

/* The scheduler's part: a deployment with one lease at this host. Returns the instance's id. */
static rd_id lease_add(host *h, uint64_t epoch)
{
    rd_id deployment = rd_id_new(rd_clock_wall_us(rd_clock_system()) + ++w.leases * 1000, rd_random_system());
    rd_id instance = rd_instance_id(&deployment, 0);
    sql("INSERT INTO deployments (deployment_id, org_id, app_id, gen, release_id, head_seq, min, max, kind) SELECT"
        " '%s', '%s', '\\x%s', %u, release_id, 1, 1, 1, 1 FROM releases",
        hex_of(deployment.b, 16), ORG, w.app_hex, w.leases);
    sql("INSERT INTO leases (instance_id, epoch, org_id, app_id, deployment_gen, slot, shard, host_id, job_seq,"
        " release_digest, class, cpu_m, mem, plan_no) VALUES ('%s', %" PRIu64
        ", '%s', '\\x%s', %u, 0, 0, '%s', %" PRIu64 ", '\\x%s', 1, 100, 1048576, 1)",
        hex_of(instance.b, 16), epoch, ORG, w.app_hex, w.leases, h->uuid, ++h->job_seq, hex_of(w.release.b, 32));
    return instance;
}

static void hint(host *h)
{
    rd_err err = RD_ERR_INIT;
    UNTIL(rd_redis_is_connected(w.links->redis));
    assert_int_equal(rd_redis_command(w.links->redis, NULL, NULL, &err, RD_BYTES_LIT("XADD"),
                                      rd_bytes_str(w.links->jobs_key), RD_BYTES_LIT("*"), RD_BYTES_LIT("host"),
                                      rd_bytes_str(h->name)),
                     0);
}

static const char *phase_of(const rd_id *instance)
{
    return sql("SELECT coalesce((SELECT phase::text || ' ' || reason FROM lease_status WHERE instance_id = '%s'"
               " ORDER BY epoch DESC LIMIT 1), '')",
               hex_of(instance->b, 16));
}

static rd_statement good_statement(const fake_job *job)
{
    rd_statement s = { .purpose = RD_PURPOSE_STATUS,
                       .class = RD_CLASS_SIMULATED,
                       .has_app = true,
                       .has_release = true,
                       .has_head = true,
                       .has_instance = true,
                       .has_receipt_key = true,
                       .app = w.app,
                       .release = w.release,
                       .head = w.head,
                       .epoch = job->epoch };
    rd_err err = RD_ERR_INIT;
    memcpy(s.nonce, job->nonce, 32);
    assert_int_equal(rd_id_parse(RD_PREFIX_INSTANCE, job->instance, strlen(job->instance), &s.instance, &err), 0);
    rd_signing_key *key = rd_signing_key_new();
    s.receipt_key = *rd_signing_key_public(key);
    rd_signing_key_free(key);
    return s;
}

/* A host with one lease whose job has arrived. */
static host *host_with_job(rd_id *ret_instance, fake_job **ret_job)
{
    host *h = host_new();
    *ret_instance = lease_add(h, EPOCH0 + 10 + w.leases);
    host_dial(h);
    UNTIL(h->agent.job_count == 1);
    *ret_job = &h->agent.jobs[0];
    return h;
}

static void serve(host *h, const fake_job *job, const rd_id *instance)
{
    rd_statement statement = good_statement(job);
    rd_digest digest = fake_evidence_make(&h->agent, &statement, w.mrtd);
    fake_event(&h->agent, job, "launching", NULL);
    fake_event(&h->agent, job, "attesting", NULL);
    fake_event(&h->agent, job, "serving", &digest);
    UNTIL(rd_starts_with(phase_of(instance), "4"));
}

/* ---- tests: attach and jobs ---- */

static void attach_sends_jobs_in_order_with_blobs(void **state)
{
    (void)state;
    host *h = host_new();
    h->agent.needs_everything = true;
    rd_id first = lease_add(h, EPOCH0 + 1), second = lease_add(h, EPOCH0 + 2);
    host_dial(h);
    UNTIL(h->agent.job_count == 2 && h->agent.blob_count >= 3);
    assert_int_equal(h->agent.jobs[0].prev, 0);
    assert_int_equal(h->agent.jobs[0].seq, EPOCH0 + 1);
    assert_int_equal(h->agent.jobs[1].prev, EPOCH0 + 1);
    assert_string_equal(h->agent.jobs[0].want, "run");
    assert_string_equal(h->agent.jobs[0].class_, "simulated");
    assert_true(rd_digest_equal(&h->agent.jobs[0].release, &w.release));
    UNTIL(rd_starts_with(phase_of(&first), "1 ") && rd_starts_with(phase_of(&second), "1 "));
    UNTIL(strcmp(sql("SELECT acked_seq - 1099511627776 FROM host_links WHERE host_id = '%s'", h->uuid), "2") == 0);
    UNTIL(strcmp(sql("SELECT session = reconciled_session AND state = 1 AND reported_slots = 8 FROM host_links"
                     " WHERE host_id = '%s'",
                     h->uuid),
                 "t") == 0);
    /* a hint alone brings what came later; a lost hint is found at the next */
    lease_add(h, EPOCH0 + 3);
    lease_add(h, EPOCH0 + 4);
    hint(h);
    UNTIL(h->agent.job_count == 4);
    assert_int_equal(h->agent.jobs[3].prev, h->agent.jobs[2].seq);
    /* a gap that the agent sees is filled from its floor */
    h->agent.refuses_first_job = true;
    lease_add(h, EPOCH0 + 5);
    hint(h);
    UNTIL(h->agent.job_count == 5);
    host_free(h);
}

static void levels_of_ended_leases_are_sent_too(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    sql("UPDATE leases SET want = 3, live = false, held = false, ended_at = now(), end_reason = 'stopped', job_seq = "
        "%" PRIu64 " WHERE instance_id = '%s'",
        ++h->job_seq, hex_of(instance.b, 16));
    hint(h);
    UNTIL(h->agent.job_count == 2);
    assert_string_equal(h->agent.jobs[1].want, "stop");
    assert_false(h->agent.jobs[1].has_blobs);
    host_free(h);
}

/* ---- tests: evidence ---- */

static void honest_evidence_is_believed(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    int64_t started_us = now_us();
    serve(h, job, &instance);
    print_message("serving after %lld us\n", (long long)(now_us() - started_us));
    assert_string_equal(sql("SELECT result || ' ' || simulated || ' ' || (valid_until > now() + interval '14 min')"
                            " FROM lease_verdicts WHERE instance_id = '%s'",
                            hex_of(instance.b, 16)),
                        "1 true true");
    assert_string_equal(sql("SELECT count(*) FROM lease_evidence WHERE instance_id = '%s'", hex_of(instance.b, 16)),
                        "1");
    assert_string_equal(
        sql("SELECT count(*) FROM evidence_log WHERE instance_id = '%s' AND accepted", hex_of(instance.b, 16)), "1");
    UNTIL(h->agent.acked == h->agent.seq);
    assert_string_not_equal(sql("SELECT count(*) FROM evaluations WHERE subject = '\\x%s'", w.app_hex), "0");
    assert_string_equal(
        sql("SELECT string_agg(body->>'phase', ' ' ORDER BY xid, id) FROM events WHERE subject = '\\x%s'"
            " AND body->>'phase' <> 'delivered' AND body->>'phase' <> 'launching'"
            " AND body->>'phase' <> 'attesting'",
            hex_of(instance.b, 16)),
        "serving");
    host_free(h);
}

typedef void (*spoiler)(rd_statement *s, uint8_t mrtd[48]);
static void spoil_app(rd_statement *s, uint8_t mrtd[48])
{
    (void)mrtd;
    s->app.b[0] ^= 1;
}
static void spoil_release(rd_statement *s, uint8_t mrtd[48])
{
    (void)mrtd;
    s->release.b[0] ^= 1;
}
static void spoil_head(rd_statement *s, uint8_t mrtd[48])
{
    (void)mrtd;
    s->head.b[0] ^= 1;
}
static void spoil_instance(rd_statement *s, uint8_t mrtd[48])
{
    (void)mrtd;
    s->instance.b[3] ^= 1;
}
static void spoil_epoch(rd_statement *s, uint8_t mrtd[48])
{
    (void)mrtd;
    s->epoch--;
}
static void spoil_purpose(rd_statement *s, uint8_t mrtd[48])
{
    (void)mrtd;
    s->purpose = RD_PURPOSE_CLIENT;
}
static void spoil_class(rd_statement *s, uint8_t mrtd[48])
{
    (void)mrtd;
    s->class = RD_CLASS_HARDWARE;
}
static void spoil_measurement(rd_statement *s, uint8_t mrtd[48])
{
    (void)s;
    mrtd[0] ^= 1;
}

static const struct {
    const char *name;
    spoiler spoil;
    const char *want; /* code */
} lies[] = {
    { "another app", spoil_app, "attest_statement" },
    { "another release", spoil_release, "attest_statement" },
    { "a head that is none of the app's", spoil_head, "attest_statement" },
    { "another instance", spoil_instance, "attest_statement" },
    { "an older epoch", spoil_epoch, "attest_statement" },
    { "another purpose", spoil_purpose, "purpose" },
    { "the other class", spoil_class, "class_mismatch" },
    { "another measurement", spoil_measurement, "attest_measurement" },
};

static void spoiled_evidence_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(lies); i++) {
        rd_id instance;
        fake_job *job;
        host *h = host_with_job(&instance, &job);
        rd_statement statement = good_statement(job);
        uint8_t mrtd[48];
        memcpy(mrtd, w.mrtd, sizeof mrtd);
        lies[i].spoil(&statement, mrtd);
        rd_digest digest = fake_evidence_make(&h->agent, &statement, mrtd);
        fake_event(&h->agent, job, "attesting", NULL);
        fake_event(&h->agent, job, "serving", &digest);
        UNTIL(rd_starts_with(phase_of(&instance), "8"));
        print_message("%s: %s\n", lies[i].name, phase_of(&instance));
        if (strcmp(phase_of(&instance) + 2, lies[i].want) != 0)
            fail_msg("%s: refused as %s, not as %s", lies[i].name, phase_of(&instance) + 2, lies[i].want);
        assert_string_equal(sql("SELECT result FROM lease_verdicts WHERE instance_id = '%s'", hex_of(instance.b, 16)),
                            "2");
        assert_string_equal(
            sql("SELECT count(*) FROM evidence_log WHERE instance_id = '%s' AND NOT accepted", hex_of(instance.b, 16)),
            "1");
        UNTIL(h->agent.acked == h->agent.seq);
        host_free(h);
    }
}

static void serving_without_evidence_is_refused(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    fake_event(&h->agent, job, "serving", NULL);
    UNTIL(strcmp(phase_of(&instance), "8 evidence_missing") == 0);
    host_free(h);
}

static void bytes_of_another_digest_are_refused(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    rd_statement statement = good_statement(job);
    rd_digest digest = fake_evidence_make(&h->agent, &statement, w.mrtd);
    h->agent.evidence[0].bundle.data[10] ^= 1; /* the name stays */
    fake_event(&h->agent, job, "serving", &digest);
    UNTIL(strcmp(phase_of(&instance), "8 digest_mismatch") == 0);
    host_free(h);
}

/* An old nonce is asked for again, twice; then it is a refusal. */
static void old_nonces_are_asked_for_again(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    rd_statement statement = good_statement(job);
    memset(statement.nonce, 7, sizeof statement.nonce);
    rd_digest digest = fake_evidence_make(&h->agent, &statement, w.mrtd);
    fake_event(&h->agent, job, "serving", &digest);
    UNTIL(h->agent.evidence_requests == 1 && rd_starts_with(phase_of(&instance), "3 attest_nonce"));
    memcpy(statement.nonce, h->agent.asked_nonce, 32);
    digest = fake_evidence_make(&h->agent, &statement, w.mrtd);
    fake_event(&h->agent, job, "serving", &digest);
    UNTIL(rd_starts_with(phase_of(&instance), "4"));
    host_free(h);
    h = host_with_job(&instance, &job);
    statement = good_statement(job);
    memset(statement.nonce, 7, sizeof statement.nonce);
    digest = fake_evidence_make(&h->agent, &statement, w.mrtd);
    for (unsigned i = 0; i < 3; i++)
        fake_event(&h->agent, job, "serving", &digest);
    UNTIL(strcmp(phase_of(&instance), "8 attest_nonce") == 0);
    assert_int_equal(h->agent.evidence_requests, 2);
    host_free(h);
}

static api_host_link *link_of(const host *h)
{
    return rd_table_get(w.links->agents->hosts, RD_BYTES_ARRAY(h->id.b));
}

/* At half of its term the verdict is renewed by evidence with a nonce of now; the log does not grow by it. */
static void evidence_is_renewed(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    serve(h, job, &instance);
    UNTIL(h->agent.acked == h->agent.seq);
    char before[64];
    snprintf(before, sizeof before, "%s",
             sql("SELECT verified_at FROM lease_verdicts WHERE instance_id = '%s'", hex_of(instance.b, 16)));
    api_host_lease *lease = api_host_lease_of(link_of(h), &instance, job->epoch);
    assert_true(lease->renew_at_us > rd_clock_wall_us(rd_clock_system()) + INT64_C(7) * 60 * 1000000);
    lease->renew_at_us = 1;
    UNTIL(h->agent.evidence_requests == 1);
    rd_statement statement = good_statement(job);
    memcpy(statement.nonce, h->agent.asked_nonce, 32);
    rd_digest digest = fake_evidence_make(&h->agent, &statement, w.mrtd);
    fake_event(&h->agent, job, "serving", &digest);
    UNTIL(strcmp(before,
                 sql("SELECT verified_at FROM lease_verdicts WHERE instance_id = '%s'", hex_of(instance.b, 16))) != 0);
    assert_string_equal(sql("SELECT count(*) FROM evidence_log WHERE instance_id = '%s'", hex_of(instance.b, 16)), "1");
    assert_string_equal(sql("SELECT count(*) FROM verdict_log WHERE instance_id = '%s'", hex_of(instance.b, 16)), "1");
    assert_true(rd_starts_with(phase_of(&instance), "4"));
    host_free(h);
}

static void certificates_are_renewed_and_end_the_link(void **state)
{
    (void)state;
    host *h = host_new();
    host_dial(h);
    link_of(h)->cert_begin_us -= INT64_C(48) * 3600 * 1000000;
    UNTIL(h->agent.renewals == 1);
    link_of(h)->cert_end_us = 1;
    unsigned downs = h->agent.downs;
    UNTIL(h->agent.downs > downs);
    host_free(h);
}

/* A host whose journal is new says what it has; an old database number does not silence it. */
static void a_new_journal_is_a_new_incarnation(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    serve(h, job, &instance);
    UNTIL(h->agent.acked == h->agent.seq);
    fake_hang_up(&h->agent);
    turn_for(20000);
    snprintf(h->agent.journal, sizeof h->agent.journal, "new");
    h->agent.floor = h->agent.seq = h->agent.acked = h->agent.acked_event = 0;
    h->agent.job_count = 0;
    host_dial(h);
    UNTIL(h->agent.job_count == 1); /* everything above its floor again */
    assert_string_equal(sql("SELECT incarnation FROM host_links WHERE host_id = '%s'", h->uuid), "2");
    fake_event(&h->agent, job, "failed", NULL); /* number 1 of the new incarnation */
    UNTIL(rd_starts_with(phase_of(&instance), "8"));
    host_free(h);
}

/* What the plane has ended and the host still runs keeps the host from being ready until it says that it stopped. */
static void strays_hold_back_reconciliation(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    serve(h, job, &instance);
    UNTIL(h->agent.acked == h->agent.seq);
    fake_hang_up(&h->agent);
    turn_for(20000);
    sql("UPDATE leases SET want = 3, live = false, held = false, ended_at = now(), end_reason = 'lost', job_seq = "
        "%" PRIu64 " WHERE instance_id = '%s'",
        ++h->job_seq, hex_of(instance.b, 16));
    snprintf(h->agent.inventory, sizeof h->agent.inventory,
             "{\"instance\":\"%s\",\"epoch\":%" PRIu64 ",\"phase\":\"serving\"}", job->instance, job->epoch);
    h->agent.acked_event = h->agent.seq;
    h->agent.job_count = 0;
    host_dial(h);
    UNTIL(h->agent.job_count == 1);
    assert_string_equal(h->agent.jobs[0].want, "stop");
    turn_for(1200000);
    assert_string_equal(sql("SELECT session = reconciled_session FROM host_links WHERE host_id = '%s'", h->uuid), "f");
    fake_event(&h->agent, job, "stopped", NULL);
    UNTIL(strcmp(sql("SELECT session = reconciled_session FROM host_links WHERE host_id = '%s'", h->uuid), "t") == 0);
    host_free(h);
}

/* ---- tests: order and authority of events ---- */

static void reports_never_go_back(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    serve(h, job, &instance);
    uint64_t seq = h->agent.seq;
    fake_event(&h->agent, job, "launching", NULL); /* backwards: not legal */
    UNTIL(h->agent.acked == seq + 1);
    assert_true(rd_starts_with(phase_of(&instance), "4"));
    fake_event_at(&h->agent, 1, job->instance, job->epoch, "failed", NULL); /* a number that was there before */
    fake_event(&h->agent, job, "stopping", NULL);
    UNTIL(rd_starts_with(phase_of(&instance), "6"));
    fake_event(&h->agent, job, "stopped", NULL);
    UNTIL(rd_starts_with(phase_of(&instance), "9"));
    fake_event(&h->agent, job, "failed", NULL); /* out of a final phase */
    UNTIL(h->agent.acked == h->agent.seq);
    assert_true(rd_starts_with(phase_of(&instance), "9"));
    host_free(h);
}

static void a_host_speaks_for_its_own_leases_only(void **state)
{
    (void)state;
    rd_id mine, other;
    fake_job *job, *other_job;
    host *victim = host_with_job(&other, &other_job);
    host *h = host_with_job(&mine, &job);
    serve(victim, other_job, &other);
    fake_event_at(&h->agent, ++h->agent.seq, other_job->instance, other_job->epoch, "failed", NULL);
    rd_statement statement = good_statement(other_job);
    rd_digest digest = fake_evidence_make(&h->agent, &statement, w.mrtd);
    fake_event_at(&h->agent, ++h->agent.seq, other_job->instance, other_job->epoch, "serving", &digest);
    UNTIL(h->agent.acked == h->agent.seq);
    assert_true(rd_starts_with(phase_of(&other), "4"));
    assert_string_equal(sql("SELECT result FROM lease_verdicts WHERE instance_id = '%s'", hex_of(other.b, 16)), "1");
    host_free(victim);
    host_free(h);
}

static void old_epochs_change_nothing_that_lives(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    serve(h, job, &instance);
    fake_event_at(&h->agent, ++h->agent.seq, job->instance, job->epoch - 1, "failed", NULL);
    UNTIL(h->agent.acked == h->agent.seq);
    assert_true(rd_starts_with(phase_of(&instance), "4"));
    host_free(h);
}

static void garbage_ends_the_link(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    rd_err err = RD_ERR_INIT;
    unsigned downs = h->agent.downs;
    assert_int_equal(rd_link_stream_write(h->agent.events, rd_bytes_str("{\"seq\":-1}\n"), &err), 0);
    UNTIL(h->agent.downs > downs);
    UNTIL(h->agent.hellos == 2 && h->agent.events); /* it comes back and attaches anew */
    host_free(h);
}

/* ---- tests: sessions ---- */

static void sessions_and_revocation(void **state)
{
    (void)state;
    host *h = host_new();
    host_dial(h);
    int64_t first = h->agent.session;
    fake_agent twin = h->agent; /* the same key, dialled again: the newer session wins */
    twin.dialer = NULL;
    twin.link = NULL;
    twin.events = twin.logs = NULL;
    unsigned downs = h->agent.downs;
    fake_dial(&twin, w.loop, api_links_link_port(w.links));
    UNTIL(twin.events && h->agent.downs > downs);
    assert_true(twin.session > first);
    fake_hang_up(&twin);
    fake_hang_up(&h->agent);
    turn_for(50000);
    UNTIL(strcmp(sql("SELECT state || down_cause FROM host_links WHERE host_id = '%s'", h->uuid), "2host") == 0);
    sql("UPDATE host_identity SET revoked_at = now() WHERE host_id = '%s'", h->uuid);
    unsigned hellos = h->agent.hellos;
    downs = h->agent.downs;
    fake_dial(&h->agent, w.loop, api_links_link_port(w.links));
    UNTIL(h->agent.downs > downs);
    assert_int_equal(h->agent.hellos, hellos);
    assert_int_equal(twin.evidence_count, 0);
    host_free(h);
}

static void revocation_elsewhere_ends_the_link(void **state)
{
    (void)state;
    host *h = host_new();
    host_dial(h);
    sql("BEGIN; UPDATE host_identity SET revoked_at = now() WHERE host_id = '%s'; INSERT INTO events (org_id, kind,"
        " subject, body) VALUES ('%s', 'host', '\\x%s', '{\"state\":\"revoked\"}'); COMMIT",
        h->uuid, ORG, h->uuid);
    UNTIL(!api_agents_link(w.links->agents, &h->id));
    UNTIL(strcmp(sql("SELECT down_cause FROM host_links WHERE host_id = '%s'", h->uuid), "closed") == 0);
    host_free(h);
}

static void a_newer_era_is_not_believed(void **state)
{
    (void)state;
    host *h = host_new();
    h->agent.era = 9;
    fake_dial(&h->agent, w.loop, api_links_link_port(w.links));
    UNTIL(h->agent.hellos >= 1 && h->agent.downs >= 1);
    assert_null(h->agent.events);
    host_free(h);
}

static void a_fighting_key_is_quarantined(void **state)
{
    (void)state;
    host *h = host_new();
    fake_dial(&h->agent, w.loop, api_links_link_port(w.links));
    for (unsigned i = 1; i <= 10; i++) {
        UNTIL(h->agent.ups >= i);
        if (!h->agent.link)
            continue;
        unsigned downs = h->agent.downs;
        UNTIL(h->agent.hellos >= i || h->agent.downs > downs);
        if (h->agent.link)
            rd_link_close(h->agent.link, "flap");
        UNTIL(h->agent.downs > downs);
    }
    UNTIL(h->agent.ups >= 12);
    turn_for(300000);
    assert_true(h->agent.hellos <= 10);
    host_free(h);
}

/* ---- tests: calls ---- */

typedef struct call_seen {
    int status;
    rd_buf body;
    bool is_done;
    rd_code code;
} call_seen;

static void seen_head(void *context, const api_http_response *response, const api_target *target)
{
    (void)target;
    ((call_seen *)context)->status = response->status;
}

static size_t seen_body(void *context, rd_bytes piece)
{
    (void)rd_buf_append_bytes(&((call_seen *)context)->body, piece);
    return piece.size;
}

static void seen_done(void *context, const rd_err *err)
{
    call_seen *seen = context;
    seen->is_done = true;
    seen->code = err ? err->code : RD_OK;
}

static rd_code call(const rd_id *instance, const char *method, const char *body, call_seen *seen)
{
    static const api_call_events events = { seen_head, seen_body, seen_done };
    rd_err err = RD_ERR_INIT;
    api_call *handle;
    *seen = (call_seen){ 0 };
    api_call_spec spec = {
        .app = &w.app, .instance = instance, .method = method, .target = "/x?y=1", .body = rd_bytes_str(body)
    };
    if (api_relay_call(w.links->relay, &spec, &events, seen, &handle, &err) < 0)
        return err.code;
    UNTIL(seen->is_done);
    rd_buf_done(&seen->body);
    return seen->code;
}

static void calls_go_to_instances_that_serve(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    call_seen seen;
    /* those of the tests before: their hosts are linked to nobody */
    assert_int_equal(call(NULL, "POST", "", &seen), RD_E_INSTANCE_ELSEWHERE);
    host *h = host_with_job(&instance, &job);
    serve(h, job, &instance);
    UNTIL(api_targets_instance(api_relay_targets(w.links->relay), &instance));
    assert_int_equal(call(NULL, "POST", "hello", &seen), RD_OK);
    assert_int_equal(seen.status, 200);
    assert_true(rd_starts_with(h->agent.last_path, "POST /x?y=1 HTTP/1.1\r\n"));
    for (int i = 0; i < 20; i++)
        assert_int_equal(call(&instance, "POST", "again", &seen), RD_OK);
    assert_int_equal(h->agent.connects, 1); /* one pipe, kept */
    h->agent.answer_head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_int_equal(call(NULL, "POST", "", &seen), RD_E_RESPONSE_INVALID);
    h->agent.answer_head = "HTTP/1.1 503 X\r\nRedoubt-Error: draining\r\nContent-Length: 0\r\n\r\n";
    assert_int_equal(call(NULL, "POST", "", &seen), RD_E_INSTANCE_ELSEWHERE); /* there is no other here */
    h->agent.answer_head = NULL;
    host_free(h);
    UNTIL(!api_targets_instance(api_relay_targets(w.links->relay), &instance) ||
          call(NULL, "POST", "", &seen) == RD_E_INSTANCE_ELSEWHERE);
}

static void an_old_epoch_gets_no_call(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    call_seen seen;
    host *h = host_with_job(&instance, &job);
    serve(h, job, &instance);
    UNTIL(api_targets_instance(api_relay_targets(w.links->relay), &instance));
    h->agent.connect_status = 421;
    assert_int_equal(call(&instance, "POST", "", &seen), RD_E_NO_INSTANCE);
    sql("BEGIN; UPDATE leases SET live = false, held = false, want = 3, ended_at = now(), end_reason = 'lost' WHERE"
        " instance_id = '%s'; INSERT INTO events (org_id, kind, subject, app_id) VALUES ('%s', 'instance', '\\x%s',"
        " '\\x%s'); COMMIT",
        hex_of(instance.b, 16), ORG, hex_of(instance.b, 16), w.app_hex);
    UNTIL(!api_targets_instance(api_relay_targets(w.links->relay), &instance));
    host_free(h);
}

/* ---- tests: HTTP ---- */

/* curl beside the loop; returns the status and puts head and body into out. seconds: it is ended after that. */
static int http(const char *args, int seconds, rd_buf *out)
{
    char command[1024], path[128];
    rd_err err = RD_ERR_INIT;
    snprintf(path, sizeof path, "%s/out", w.dir);
    snprintf(command, sizeof command, "exec curl -sSi -N -m %d -o %s %s 2>/dev/null", seconds, path, args);
    (void)unlink(path);
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    int status;
    while (waitpid(pid, &status, WNOHANG) == 0)
        rd_loop_turn(w.loop, true);
    rd_buf_done(out);
    if (rd_file_read(path, 32 << 20, out, &err) < 0)
        return -1;
    const char *text = rd_buf_text(out);
    return rd_starts_with(text, "HTTP/1.1 ") ? atoi(text + 9) : -1;
}

static void the_apps_origin(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    rd_buf out = { 0 };
    char args[512], label[64];
    char app[RD_APP_ID_TEXT_SIZE];
    rd_app_id_format(&w.app, app);
    snprintf(label, sizeof label, "app-%s", app + 4);
    unsigned port = api_links_apps_port(w.links), rest = api_server_port(w.context.server);
    host *h = host_with_job(&instance, &job);
    serve(h, job, &instance);
    UNTIL(api_targets_instance(api_relay_targets(w.links->relay), &instance));
#define APPS(extra)                                                                                                    \
    snprintf(args, sizeof args, "-H 'Host: %s.apps.localhost' %s http://127.0.0.1:%u/p?q=1", label, extra, port)
    APPS("-d hi");
    assert_int_equal(http(args, 10, &out), 401);
    assert_non_null(strstr(rd_buf_text(&out), "application/problem+json"));
    APPS("-d hi -H 'Authorization: Bearer rdt_wrong'");
    assert_int_equal(http(args, 10, &out), 401);
    sql("INSERT INTO orgs (org_id, name) VALUES ('00000000-0000-7000-8000-000000000002', 'two')");
    const char *tokens[] = { "rdt_one", "rdt_two" };
    for (int i = 0; i < 2; i++) {
        uint8_t hash[32];
        rd_sha256(rd_bytes_str(tokens[i]), hash);
        sql("INSERT INTO tokens (token_id, org_id, role, hash) VALUES (gen_random_uuid(),"
            " '00000000-0000-7000-8000-00000000000%d', 'developer', '\\x%s')",
            i + 1, hex_of(hash, 32));
    }
    APPS("-d hi -H 'Authorization: Bearer rdt_two'");
    assert_int_equal(http(args, 10, &out), 403);
    APPS("-d hi -H 'Authorization: Bearer rdt_one' -H 'X-Forwarded-For: 1.2.3.4' -H 'X-Mine: 7'");
    assert_int_equal(http(args, 10, &out), 200);
    assert_non_null(strstr(rd_buf_text(&out), "Redoubt-Instance: ins_"));
    assert_non_null(strstr(rd_buf_text(&out), "X-Content-Type-Options: nosniff"));
    assert_non_null(strstr(rd_buf_text(&out), "\r\n\r\nhi"));
    assert_true(rd_starts_with(h->agent.last_path, "POST /p?q=1 HTTP/1.1\r\nhost: instance\r\n"));
    assert_null(strstr(h->agent.last_path, "rdt_one"));
    assert_null(strcasestr(h->agent.last_path, "x-forwarded"));
    assert_non_null(strcasestr(h->agent.last_path, "x-mine: 7"));
    APPS("-H 'Authorization: Bearer rdt_one'");
    assert_int_equal(http(args, 10, &out), 200);
    snprintf(args, sizeof args, "-H 'Host: nothing.apps.localhost' http://127.0.0.1:%u/", port);
    assert_int_equal(http(args, 10, &out), 404);
    assert_non_null(strstr(rd_buf_text(&out), "app_unknown"));
    /* the wrapper on the API's origin, and what asks the instance itself */
    snprintf(args, sizeof args,
             "-H 'Authorization: Bearer rdt_one' -d hi http://127.0.0.1:%u/v1/apps/%s/invoke?path=/z", rest, app);
    assert_int_equal(http(args, 10, &out), 200);
    assert_non_null(strstr(rd_buf_text(&out), "\"body\":\"aGk=\""));
    assert_true(rd_starts_with(h->agent.last_path, "POST /z HTTP/1.1"));
    snprintf(args, sizeof args, "-H 'Authorization: Bearer rdt_two' -d hi http://127.0.0.1:%u/v1/apps/%s/invoke", rest,
             app);
    assert_int_equal(http(args, 10, &out), 404);
    snprintf(args, sizeof args,
             "-H 'Authorization: Bearer rdt_one' "
             "'http://127.0.0.1:%u/v1/instances/%s/evidence?nonce=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'",
             rest, job->instance);
    assert_int_equal(http(args, 10, &out), 200);
    assert_true(rd_starts_with(h->agent.last_path, "GET /.well-known/redoubt/evidence?nonce=AAAA"));
    snprintf(args, sizeof args, "-H 'Authorization: Bearer rdt_one' http://127.0.0.1:%u/v1/instances/%s/evidence", rest,
             job->instance);
    assert_int_equal(http(args, 10, &out), 200);
    assert_non_null(strstr(rd_buf_text(&out), "redoubt/evidence/v1"));
    snprintf(args, sizeof args, "-H 'Authorization: Bearer rdt_two' http://127.0.0.1:%u/v1/instances/%s/evidence", rest,
             job->instance);
    assert_int_equal(http(args, 10, &out), 404);
    rd_buf_done(&out);
    host_free(h);
}

static void add_event(const char *org, int n)
{
    sql("INSERT INTO events (org_id, kind, subject, app_id, body) VALUES ('00000000-0000-7000-8000-00000000000%s', "
        "'app',"
        " '\\x%s', '\\x%s', '{\"n\":%d}')",
        org, w.app_hex, w.app_hex, n);
}

static void on_add_event(void *context)
{
    (void)context;
    add_event("2", 71);
    add_event("1", 72);
}

/* Events come in order, of one's own organisation; a resume misses none; an unknown place is told. */
static void events_as_a_stream(void **state)
{
    (void)state;
    rd_buf out = { 0 };
    char args[512], id[64] = "";
    unsigned rest = api_server_port(w.context.server);
    snprintf(args, sizeof args, "-H 'Authorization: Bearer rdt_one' http://127.0.0.1:%u/v1/events", rest);
    rd_timer *timer = rd_timer_new(w.loop, on_add_event, NULL);
    rd_timer_start(timer, 500000, 0);
    assert_int_equal(http(args, 2, &out), 200);
    rd_timer_free(timer);
    const char *text = rd_buf_text(&out);
    assert_non_null(strstr(text, "Content-Type: text/event-stream"));
    assert_non_null(strstr(text, "event: app\n"));
    assert_non_null(strstr(text, "\"body\":{\"n\": 72}}"));
    assert_null(strstr(text, "71}}"));
    const char *place = strstr(text, "id: ");
    assert_non_null(place);
    sscanf(place, "id: %63[0-9-]", id);
    add_event("1", 73);
    add_event("1", 74);
    snprintf(args, sizeof args,
             "-H 'Authorization: Bearer rdt_one' -H 'Last-Event-ID: %s' http://127.0.0.1:%u/v1/events", id, rest);
    assert_int_equal(http(args, 2, &out), 200);
    const char *a = strstr(rd_buf_text(&out), "72}}"), *b = strstr(rd_buf_text(&out), "73}}"),
               *c = strstr(rd_buf_text(&out), "74}}");
    assert_true(a && b && c && a < b && b < c);
    snprintf(args, sizeof args,
             "-H 'Authorization: Bearer rdt_one' -H 'Last-Event-ID: 9-1-1' http://127.0.0.1:%u/v1/events", rest);
    assert_int_equal(http(args, 5, &out), 200);
    assert_non_null(strstr(rd_buf_text(&out), "event: gone"));
    snprintf(args, sizeof args,
             "-H 'Authorization: Bearer rdt_one' -H 'Last-Event-ID: x' http://127.0.0.1:%u/v1/events", rest);
    assert_int_equal(http(args, 5, &out), 422);
    rd_buf_done(&out);
}

/* ---- tests: faults ---- */

/* PostgreSQL is killed while reports are under way: nothing is acknowledged that is not durable, and all of it arrives.
 */
static void reports_survive_a_dead_database(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    PQfinish(w.sql);
    private_pg_kill(&w.pg);
    rd_statement statement = good_statement(job);
    rd_digest digest = fake_evidence_make(&h->agent, &statement, w.mrtd);
    fake_event(&h->agent, job, "launching", NULL);
    fake_event(&h->agent, job, "serving", &digest);
    turn_for(500000);
    assert_int_equal(h->agent.acked, 0);
    private_pg_restart(&w.pg);
    w.sql = PQconnectdb(w.pg.conninfo);
    UNTIL(rd_starts_with(phase_of(&instance), "4"));
    UNTIL(h->agent.acked == h->agent.seq);
    host_free(h);
}

static void hints_survive_an_empty_redis(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    private_redis_kill(&w.redis);
    lease_add(h, EPOCH0 + 900);
    turn_for(100000);
    private_redis_restart(&w.redis);
    UNTIL(h->agent.job_count == 2); /* the reader's restart asks for all hosts */
    host_free(h);
}

/* ---- the world ---- */

static void start_context(void)
{
    rd_err err = RD_ERR_INIT;
    w.config = (api_config){ .listen = "127.0.0.1:0",
                             .apps_listen = "127.0.0.1:0",
                             .apps_domain = "apps.localhost",
                             .public_url = "http://127.0.0.1",
                             .link_listen = "127.0.0.1:0",
                             .link_address = "127.0.0.1:0",
                             .database = w.pg.conninfo,
                             .redis = w.redis.address,
                             .blob_dir = w.blobs,
                             .state_dir = w.state,
                             .simulation_root = w.root_hex,
                             .workers = 1 };
    w.context = (api_context){ .magic = API_CONTEXT_MAGIC, .config = &w.config, .clock = rd_clock_system() };
    rd_id id = rd_id_new(rd_clock_wall_us(w.context.clock), rd_random_system());
    memcpy(w.context.replica_id, id.b, 16);
    rd_id_format(RD_PREFIX_REPLICA, &id, w.context.replica);
    api_store_all(w.stmts);
    w.context.stmts = w.stmts;
    w.context.stmts_count = API_STORE_COUNT;
    w.context.collateral = rd_buf_bytes(&w.collateral);
    assert_int_equal(api_plane_init(w.state, rd_clock_wall_us(w.context.clock), &err), 0);
    assert_int_equal(api_plane_load(w.state, &w.context.plane, &err), 0);
    w.context.loop = rd_loop_uv(w.loop);
    w.context.metrics = api_metrics_new();
    w.context.auth = api_auth_new(w.context.clock);
}

static int world_start(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    uint8_t fingerprint[32];
    char path[160];
    strcpy(w.dir, "/tmp/rd-links-XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    snprintf(w.pki, sizeof w.pki, "%s/pki", w.dir);
    snprintf(w.platform, sizeof w.platform, "%s/platform", w.dir);
    snprintf(w.state, sizeof w.state, "%s/state", w.dir);
    snprintf(w.blobs, sizeof w.blobs, "%s/blobs", w.dir);
    int64_t wall_us = rd_clock_wall_us(rd_clock_system());
    assert_int_equal(agent_sim_pki_create(w.pki, wall_us - 60000000, &err), 0);
    assert_int_equal(agent_sim_pki_issue_platform(w.pki, w.platform, wall_us - 60000000, &err), 0);
    assert_int_equal(agent_sim_pki_fingerprint(w.pki, fingerprint, &err), 0);
    rd_hex_encode(RD_BYTES_ARRAY(fingerprint), w.root_hex);
    snprintf(path, sizeof path, "%s/collateral.json", w.pki);
    assert_int_equal(rd_file_read(path, 1 << 20, &w.collateral, &err), 0);
    memset(w.mrtd, 0x42, sizeof w.mrtd);
    private_pg_start(&w.pg, NULL);
    private_redis_start(&w.redis);
    assert_int_equal(rd_migrate(w.pg.conninfo, NULL, 10000, NULL, &err), 0);
    w.sql = PQconnectdb(w.pg.conninfo);
    make_app();
    assert_int_equal(rd_loop_new(&w.loop, &err), 0);
    w.tick = rd_timer_new(w.loop, on_tick, NULL);
    rd_timer_start(w.tick, 5000, 5000);
    start_context();
    w.context.limits = api_limits_new(w.context.clock);
    api_server_options server = {
        .name = "rest", .listen = w.config.listen, .routes = api_routes, .route_count = api_route_count, .workers = 1
    };
    assert_int_equal(api_server_start(&w.context, &server, &w.context.server, &err), 0);
    if (api_links_start(&w.context, w.loop, &w.links, &err) < 0)
        fail_msg("start: %s", err.text);
    return 0;
}

static int world_stop(void **state)
{
    (void)state;
    rd_buf text = { 0 };
    api_metrics_write(w.context.metrics, &text);
    assert_non_null(strstr(rd_buf_text(&text), "redoubt_relay_calls_total"));
    rd_buf_done(&text);
    api_server_stop(w.context.server);
    w.links = api_links_stop(w.links);
    assert_string_equal(sql("SELECT count(*) FROM host_links WHERE state = 1"), "0");
    assert_string_equal(sql("SELECT state FROM replicas"), "3");
    rd_timer_free(w.tick);
    for (int i = 0; i < 8; i++)
        rd_loop_turn(w.loop, false);
    w.context.server = api_server_free(w.context.server);
    w.loop = rd_loop_free(w.loop);
    w.context.limits = api_limits_free(w.context.limits);
    w.context.metrics = api_metrics_free(w.context.metrics);
    w.context.auth = api_auth_free(w.context.auth);
    w.context.plane = api_plane_free(w.context.plane);
    rd_buf_done(&w.collateral);
    PQfinish(w.sql);
    private_redis_stop(&w.redis);
    private_pg_stop(&w.pg);
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", w.dir);
    return system(command) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attach_sends_jobs_in_order_with_blobs),
        cmocka_unit_test(levels_of_ended_leases_are_sent_too),
        cmocka_unit_test(honest_evidence_is_believed),
        cmocka_unit_test(spoiled_evidence_is_refused),
        cmocka_unit_test(serving_without_evidence_is_refused),
        cmocka_unit_test(bytes_of_another_digest_are_refused),
        cmocka_unit_test(old_nonces_are_asked_for_again),
        cmocka_unit_test(evidence_is_renewed),
        cmocka_unit_test(certificates_are_renewed_and_end_the_link),
        cmocka_unit_test(a_new_journal_is_a_new_incarnation),
        cmocka_unit_test(strays_hold_back_reconciliation),
        cmocka_unit_test(reports_never_go_back),
        cmocka_unit_test(a_host_speaks_for_its_own_leases_only),
        cmocka_unit_test(old_epochs_change_nothing_that_lives),
        cmocka_unit_test(garbage_ends_the_link),
        cmocka_unit_test(sessions_and_revocation),
        cmocka_unit_test(revocation_elsewhere_ends_the_link),
        cmocka_unit_test(a_newer_era_is_not_believed),
        cmocka_unit_test(a_fighting_key_is_quarantined),
        cmocka_unit_test(calls_go_to_instances_that_serve),
        cmocka_unit_test(an_old_epoch_gets_no_call),
        cmocka_unit_test(the_apps_origin),
        cmocka_unit_test(events_as_a_stream),
        cmocka_unit_test(reports_survive_a_dead_database),
        cmocka_unit_test(hints_survive_an_empty_redis),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
