/* links_world: PostgreSQL, Redis, a simulation PKI, an app with signed documents and the link side of the API in one
 * process and one loop, for its integration tests. The scheduler's part (leases) is done by SQL.
 * One world a test program; agents are on script (fake_agent.h). */
#ifndef TESTS_SUPPORT_LINKS_WORLD_H
#define TESTS_SUPPORT_LINKS_WORLD_H

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
#include "api/collateral.h"
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

#define WAIT_US INT64_C(60000000)
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
    char collateral[128];
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

static RD_UNUSED void on_tick(void *context)
{
    (void)context;
}

static RD_UNUSED int64_t now_us(void)
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

static RD_UNUSED void turn_for(int64_t us)
{
    int64_t limit = now_us() + us;
    while (now_us() < limit)
        rd_loop_turn(w.loop, true);
}

/* The first value of the last statement, in one of a few static buffers. */
static const char *sql(const char *fmt, ...) RD_PRINTF(1, 2);
static RD_UNUSED const char *sql(const char *fmt, ...)
{
    static char text[65536], values[4][4096];
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

static RD_UNUSED const char *hex_of(const void *bytes, size_t size)
{
    static char texts[8][8192];
    static unsigned turn;
    char *text = texts[turn++ % 8];
    assert_true(size * 2 < sizeof texts[0]);
    rd_hex_encode(rd_bytes_of(bytes, size), text);
    return text;
}

/* ---- the app, its owner's documents ---- */

static RD_UNUSED void make_app(void)
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
    release.is_plain = true;
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
                               .max_collateral_age_s = 604800 };
    assert_int_equal(rd_policy_add_mrtd(&head.policy, w.mrtd), 0);
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
static RD_UNUSED host *host_new(void)
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

static RD_UNUSED host *host_free(host *h)
{
    fake_done(&h->agent);
    turn_for(20000);
    free(h);
    return NULL;
}

static RD_UNUSED void host_dial(host *h)
{
    unsigned hellos = h->agent.hellos;
    fake_dial(&h->agent, w.loop, api_links_link_port(w.links));
    UNTIL(h->agent.hellos > hellos && h->agent.events && api_agents_link(w.links->agents, &h->id));
}

/* The scheduler's part: a deployment with one lease at this host. Returns the instance's id. */
static RD_UNUSED rd_id lease_add(host *h, uint64_t epoch)
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

static RD_UNUSED void hint(host *h)
{
    rd_err err = RD_ERR_INIT;
    UNTIL(rd_redis_is_connected(w.links->redis));
    assert_int_equal(rd_redis_command(w.links->redis, NULL, NULL, &err, RD_BYTES_LIT("XADD"),
                                      rd_bytes_str(w.links->jobs_key), RD_BYTES_LIT("*"), RD_BYTES_LIT("host"),
                                      rd_bytes_str(h->name)),
                     0);
}

static RD_UNUSED const char *phase_of(const rd_id *instance)
{
    return sql("SELECT coalesce((SELECT phase::text || ' ' || reason FROM lease_status WHERE instance_id = '%s'"
               " ORDER BY epoch DESC LIMIT 1), '')",
               hex_of(instance->b, 16));
}

static RD_UNUSED rd_statement good_statement(const fake_job *job)
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
static RD_UNUSED host *host_with_job(rd_id *ret_instance, fake_job **ret_job)
{
    host *h = host_new();
    *ret_instance = lease_add(h, EPOCH0 + 10 + w.leases);
    host_dial(h);
    UNTIL(h->agent.job_count == 1);
    *ret_job = &h->agent.jobs[0];
    return h;
}

static RD_UNUSED void serve(host *h, const fake_job *job, const rd_id *instance)
{
    rd_statement statement = good_statement(job);
    rd_digest digest = fake_evidence_make(&h->agent, &statement, w.mrtd);
    fake_event(&h->agent, job, "launching", NULL);
    fake_event(&h->agent, job, "attesting", NULL);
    fake_event(&h->agent, job, "serving", &digest);
    UNTIL(rd_starts_with(phase_of(instance), "4"));
}

/* ---- the world ---- */

static RD_UNUSED void start_context(void)
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
                             .collateral = w.collateral,
                             .simulation_root = w.root_hex,
                             .workers = 1 };
    w.context = (api_context){ .magic = API_CONTEXT_MAGIC, .config = &w.config, .clock = rd_clock_system() };
    rd_id id = rd_id_new(rd_clock_wall_us(w.context.clock), rd_random_system());
    memcpy(w.context.replica_id, id.b, 16);
    rd_id_format(RD_PREFIX_REPLICA, &id, w.context.replica);
    api_store_all(w.stmts);
    w.context.stmts = w.stmts;
    w.context.stmts_count = API_STORE_COUNT;
    assert_int_equal(api_collateral_new(&w.context, &w.context.collateral, &err), 0);
    assert_int_equal(api_plane_init(w.state, rd_clock_wall_us(w.context.clock), &err), 0);
    assert_int_equal(api_plane_load(w.state, &w.context.plane, &err), 0);
    w.context.loop = rd_loop_uv(w.loop);
    w.context.metrics = api_metrics_new();
    w.context.auth = api_auth_new(w.context.clock);
}

static RD_UNUSED int world_start(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    uint8_t fingerprint[32];
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
    snprintf(w.collateral, sizeof w.collateral, "%s/collateral.json", w.pki);
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

static RD_UNUSED int world_stop(void **state)
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
    w.context.collateral = api_collateral_free(w.context.collateral);
    PQfinish(w.sql);
    private_redis_stop(&w.redis);
    private_pg_stop(&w.pg);
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", w.dir);
    return system(command) == 0 ? 0 : -1;
}

#endif
