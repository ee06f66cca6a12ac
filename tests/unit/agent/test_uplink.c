/* The agent's answers over a real link to a plane in the same process; the pool is scripted to have no enclave. */
#include "agent/uplink.h"

#include "common/base/log.h"
#include "common/base/text.h"
#include "common/io/config.h"
#include "common/model/json.h"
#include "common/model/kms_genesis.h"
#include "tests/support/link_pki.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define INSTANCE "ins_aaaaaaaaaaaaaaaaaaaaaaaaaa"

int agent_pool_take(agent_pool *pool, agent_pool_taken_fn taken, void *context, uint64_t *ret_ticket, rd_err *err)
{
    (void)pool, (void)taken, (void)context, (void)ret_ticket;
    return rd_err_set(err, RD_E_UNAVAILABLE, "no enclave in this test");
}

void agent_pool_cancel(agent_pool *pool, uint64_t ticket)
{
    (void)pool, (void)ticket;
}

static const agent_launcher_info *describe(agent_launcher *launcher)
{
    static const agent_launcher_info info = { .name = "none", .class_ = "simulated", .tee = "sim", .limits = "" };
    (void)launcher;
    return &info;
}

typedef struct world {
    char dir[64];
    rd_loop *loop;
    rd_timer *tick;
    link_pki pki;
    rd_tls_context *server, *client;
    rd_link_plane *plane;
    rd_link *link;
    agent_state state;
    agent_jobs *jobs;
    agent_reports *reports;
    agent_logs *logs;
    agent_receipts *receipts;
    agent_journal *journal;
    agent_blobs *blobs, *evidence;
    agent_launcher_ops ops;
    agent_launcher launcher;
    agent_instances *instances;
    agent_uplink *uplink;
    agent_kms kms;
    int ups; /* links so far */
    /* the last answer */
    int answers, status;
    rd_buf body;
    /* lines */
    rd_buf lines;
    size_t line_count;
    int lines_closed;
} world;

static void on_tick(void *context)
{
    (void)context;
}

#define WAIT(w, condition)                                                                                             \
    do {                                                                                                               \
        uint64_t until_ = uv_hrtime() + UINT64_C(60000000000);                                                         \
        while (!(condition) && uv_hrtime() < until_)                                                                   \
            rd_loop_turn((w)->loop, true);                                                                             \
        assert_true(condition);                                                                                        \
    } while (0)

static void on_report(void *context, const agent_report *report)
{
    world *w = context;
    agent_journal_report(w->journal, agent_reports_add(w->reports, report));
}

static void on_log(void *context, const char *instance, uint64_t epoch, const char *level, rd_bytes text)
{
    (void)context, (void)instance, (void)epoch, (void)level, (void)text;
}

static void on_empty(void *context)
{
    (void)context;
}

static void on_durable(void *context)
{
    world *w = context;
    if (w->uplink)
        agent_uplink_wake(w->uplink);
}

static void on_failed(void *context, const rd_err *error)
{
    (void)context;
    (void)error;
}

static void plane_up(void *context, rd_link *link)
{
    world *w = context;
    w->link = link;
    w->ups++;
}

static void plane_down(void *context, rd_link *link, const char *reason)
{
    (void)reason;
    world *w = context;
    if (w->link == link)
        w->link = NULL;
}

static void start_agent(world *w)
{
    rd_err err = RD_ERR_INIT;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/journal", w->dir);
    w->jobs = agent_jobs_new();
    w->reports = agent_reports_new(77);
    w->logs = agent_logs_new(4096);
    w->receipts = agent_receipts_new(4096);
    const agent_journal_config journal = { .path = path,
                                           .incarnation = 77,
                                           .jobs = w->jobs,
                                           .reports = w->reports,
                                           .context = w,
                                           .on_durable = on_durable,
                                           .on_failed = on_failed };
    assert_int_equal(0, agent_journal_open(w->loop, &journal, &w->journal, &err));
    (void)snprintf(path, sizeof path, "%s/blobs", w->dir);
    assert_int_equal(0, agent_blobs_open(path, 1 << 20, NULL, &w->blobs, &err));
    (void)snprintf(path, sizeof path, "%s/evidence", w->dir);
    assert_int_equal(0, agent_blobs_open(path, 1 << 20, NULL, &w->evidence, &err));
    w->ops.describe = describe;
    w->launcher.ops = &w->ops;
    const agent_instances_config instances = { .loop = w->loop,
                                               .launcher = &w->launcher,
                                               .blobs = w->blobs,
                                               .evidence = w->evidence,
                                               .capacity = { 4000, 1 << 30, 8 },
                                               .drain_timeout_us = 1000000,
                                               .context = w,
                                               .on_report = on_report,
                                               .on_log = on_log,
                                               .on_empty = on_empty };
    w->instances = agent_instances_new(&instances);
    agent_instances_adopted(w->instances);
    const rd_endpoint at = { .host = "127.0.0.1", .port = rd_link_plane_port(w->plane) };
    const agent_uplink_config uplink = { .loop = w->loop,
                                         .state = &w->state,
                                         .tls = w->client,
                                         .jobs = w->jobs,
                                         .reports = w->reports,
                                         .journal = w->journal,
                                         .instances = w->instances,
                                         .blobs = w->blobs,
                                         .evidence = w->evidence,
                                         .logs = w->logs,
                                         .receipts = w->receipts,
                                         .kms = &w->kms,
                                         .capacity = { 4000, 1 << 30, 8 },
                                         .endpoints = &at,
                                         .endpoint_count = 1,
                                         .dial_first_max_us = 1000 };
    assert_int_equal(0, agent_uplink_new(&uplink, &w->uplink, &err));
}

static int setup(void **state)
{
    world *w = rd_alloc(sizeof *w);
    rd_err err = RD_ERR_INIT;
    rd_log_init("test", RD_ERROR, open("/dev/null", O_WRONLY | O_CLOEXEC));
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/test-uplink-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    assert_int_equal(0, agent_state_open(w->dir, false, &w->state, &err));
    w->state.plane_id = rd_strdup("plane-1");
    assert_int_equal(0, rd_loop_new(&w->loop, &err));
    w->tick = rd_timer_new(w->loop, on_tick, w);
    rd_timer_start(w->tick, 5000, 5000);
    link_pki_init(&w->pki, "plane CA");
    w->server = link_pki_context(&w->pki, &w->pki, RD_TLS_LINK_SERVER, RD_CERT_KIND_SERVER, 3600000000);
    w->client = link_pki_context(&w->pki, &w->pki, RD_TLS_LINK_CLIENT, RD_CERT_KIND_CLIENT, 3600000000);
    const rd_link_plane_config plane = {
        .listen = { .host = "127.0.0.1" }, .tls = w->server, .context = w, .on_up = plane_up, .on_down = plane_down
    };
    assert_int_equal(0, rd_link_plane_new(w->loop, &plane, &w->plane, &err));
    start_agent(w);
    WAIT(w, w->link);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    agent_uplink_close(w->uplink);
    w->instances = agent_instances_free(w->instances);
    w->journal = agent_journal_close(w->journal);
    w->plane = rd_link_plane_free(w->plane);
    w->tick = rd_timer_free(w->tick);
    rd_loop_free(w->loop);
    agent_uplink_free(w->uplink);
    agent_jobs_free(w->jobs);
    agent_reports_free(w->reports);
    agent_logs_free(w->logs);
    agent_receipts_free(w->receipts);
    agent_blobs_free(w->blobs);
    agent_blobs_free(w->evidence);
    rd_tls_context_free(w->server);
    rd_tls_context_free(w->client);
    link_pki_done(&w->pki);
    agent_kms_done(&w->kms);
    agent_state_done(&w->state);
    char *command = rd_asprintf("rm -rf %s", w->dir);
    (void)!system(command);
    free(command);
    rd_buf_done(&w->body);
    rd_buf_done(&w->lines);
    free(w);
    return 0;
}

/* ---- asking ---- */

static void on_answer(void *context, int status, rd_bytes body, const rd_err *error)
{
    world *w = context;
    assert_null(error);
    w->answers++;
    w->status = status;
    rd_buf_clear(&w->body);
    (void)rd_buf_append_bytes(&w->body, body);
}

static void send_to(world *w, const char *method, const char *path, const char *body)
{
    rd_err err = RD_ERR_INIT;
    const rd_link_request request = { .method = method, .path = path, .body = rd_bytes_str(body) };
    assert_int_equal(0, rd_link_send(w->link, &request, on_answer, w, &err));
}

static int ask(world *w, const char *method, const char *path, const char *body)
{
    int before = w->answers;
    send_to(w, method, path, body);
    WAIT(w, w->answers == before + 1);
    return w->status;
}

static bool said(world *w, const char *text)
{
    return strstr(rd_buf_text(&w->body), text) != NULL;
}

static void greet(world *w, int session)
{
    char body[160];
    (void)snprintf(body, sizeof body, "{\"era\":0,\"plane_id\":\"plane-1\",\"replica\":\"rpl_x\",\"session\":%d}",
                   session);
    assert_int_equal(200, ask(w, "POST", "/hello", body));
}

static int put_job(world *w, int seq, int prev, int epoch, const char *want)
{
    char path[32], body[256];
    (void)snprintf(path, sizeof path, "/jobs/%d", seq);
    (void)snprintf(body, sizeof body,
                   "{\"era\":0,\"prev\":%d,\"instance\":\"" INSTANCE "\",\"epoch\":%d,\"want\":\"%s\"}", prev, epoch,
                   want);
    return ask(w, "PUT", path, body);
}

/* ---- rows ---- */

static void test_hello_comes_first(void **state)
{
    world *w = *state;
    assert_int_equal(403, ask(w, "PUT", "/jobs/1", "{}"));
    assert_int_equal(
        403, ask(w, "POST", "/hello", "{\"era\":0,\"plane_id\":\"other\",\"replica\":\"rpl_x\",\"session\":1}"));
    assert_int_equal(403, ask(w, "GET", "/logs", ""));
    greet(w, 3);
    assert_true(said(w, "\"incarnation\":77"));
    assert_true(said(w, "\"floor\":{\"era\":0,\"job_seq\":0}"));
    assert_true(said(w, "\"inventory\":[]"));
    assert_true(said(w, "\"capacity\":{\"cpu_m\":4000"));
    assert_int_equal(
        409, ask(w, "POST", "/hello", "{\"era\":0,\"plane_id\":\"plane-1\",\"replica\":\"rpl_x\",\"session\":2}"));
}

static void serve_kms(world *w)
{
    rd_err err = RD_ERR_INIT;
    char path[128];
    rd_signing_key *root = rd_signing_key_new();
    rd_buf bytes = { 0 };
    const rd_kms_genesis genesis = { .class = RD_CLASS_SIMULATED,
                                     .root = *rd_signing_key_public(root),
                                     .measurements_count = 1,
                                     .platforms_count = 1,
                                     .replicas = 1,
                                     .quorum = 1 };
    assert_int_equal(0, rd_kms_genesis_encode(&genesis, &bytes, &err));
    (void)snprintf(path, sizeof path, "%s/genesis.json", w->dir);
    assert_int_equal(0, rd_file_write_atomic(path, bytes.data, bytes.size, 0644, &err));
    rd_buf_done(&bytes);
    (void)rd_signing_key_free(root);
    agent_kms_init(&w->kms, w->dir, w->dir);
    w->kms.is_ready = true;
}

/* A key service that comes late is told on a fresh link; one that only started again ends nothing. */
static void test_key_service_comes_late(void **state)
{
    world *w = *state;
    greet(w, 1);
    assert_true(said(w, "\"kms\":null"));
    serve_kms(w);
    agent_uplink_tell_kms(w->uplink);
    WAIT(w, w->ups == 2 && w->link);
    greet(w, 2);
    assert_true(said(w, "\"id\":\"kms_"));
    agent_uplink_tell_kms(w->uplink);
    greet(w, 3);
    assert_int_equal(w->ups, 2);
}

static void test_jobs(void **state)
{
    world *w = *state;
    greet(w, 1);
    assert_int_equal(200, put_job(w, 5, 0, 2, "stop"));
    assert_true(said(w, "\"job_seq\":5"));
    assert_int_equal(200, put_job(w, 5, 0, 2, "stop")); /* again */
    assert_int_equal(409, put_job(w, 9, 7, 3, "stop"));
    assert_true(said(w, "\"job_seq\":5"));                              /* the floor, to go on from */
    assert_int_equal(200, put_job(w, 9, 5, 1, "run") == 422 ? 200 : 0); /* a run without documents */
    assert_int_equal(200, put_job(w, 9, 5, 1, "stop"));                 /* superseded: 200, and the floor moves */
    assert_true(said(w, "\"job_seq\":9"));
    assert_int_equal(2, (int)agent_jobs_find(w->jobs, INSTANCE)->epoch);
    assert_int_equal(422, ask(w, "PUT", "/jobs/x", "{}"));
    assert_int_equal(422, ask(w, "PUT", "/jobs/10", "{}"));
    assert_int_equal(400, ask(w, "PUT", "/jobs/10", "nonsense"));
}

/* The plane does not wait between jobs: each is judged by what is on its way. */
static void test_jobs_in_one_go(void **state)
{
    world *w = *state;
    greet(w, 1);
    int before = w->answers;
    for (int seq = 1; seq <= 64; seq++) {
        char path[32], body[256];
        (void)snprintf(path, sizeof path, "/jobs/%d", seq);
        (void)snprintf(body, sizeof body,
                       "{\"era\":0,\"prev\":%d,\"instance\":\"" INSTANCE "\",\"epoch\":%d,\"want\":\"stop\"}", seq - 1,
                       seq);
        send_to(w, "PUT", path, body);
    }
    WAIT(w, w->answers == before + 64);
    assert_int_equal(200, w->status);
    assert_int_equal(64, (int)agent_jobs_floor(w->jobs).job_seq);
}

static bool on_line(rd_link_stream *stream, void *context, rd_bytes line)
{
    (void)stream;
    world *w = context;
    w->line_count++;
    (void)rd_buf_append_bytes(&w->lines, line);
    (void)rd_buf_append_str(&w->lines, "\n");
    return true;
}

static void on_lines_closed(void *context, const rd_err *error)
{
    (void)error;
    ((world *)context)->lines_closed++;
}

static const rd_link_line_events line_events = { .on_line = on_line, .on_closed = on_lines_closed };

static void test_events(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    rd_link_stream *stream = NULL;
    greet(w, 1);
    assert_int_equal(200, put_job(w, 1, 0, 1, "stop"));
    assert_int_equal(0, rd_link_lines(w->link, "/events?after=0", &line_events, w, &stream, &err));
    WAIT(w, w->line_count == 1);
    assert_non_null(strstr(rd_buf_text(&w->lines), "\"seq\":1,\"incarnation\":77"));
    assert_non_null(strstr(rd_buf_text(&w->lines), "\"phase\":\"stopped\""));
    assert_int_equal(200, put_job(w, 2, 1, 2, "stop")); /* live */
    WAIT(w, w->line_count == 2);
    assert_int_equal(409, ask(w, "PUT", "/events/ack", "{\"incarnation\":76,\"seq\":1}"));
    assert_int_equal(409, ask(w, "PUT", "/events/ack", "{\"incarnation\":77,\"seq\":9}"));
    assert_int_equal(204, ask(w, "PUT", "/events/ack", "{\"incarnation\":77,\"seq\":2}"));
    assert_int_equal(2, (int)agent_reports_acked(w->reports));
    assert_int_equal(0, rd_link_lines(w->link, "/events?after=2", &line_events, w, &stream, &err));
    WAIT(w, w->lines_closed == 1); /* one reader: the newer takes over */
    assert_int_equal(200, put_job(w, 3, 2, 3, "stop"));
    WAIT(w, w->line_count == 3);
    assert_int_equal(400, ask(w, "GET", "/events?before=2", ""));
}

/* A report of evidence of so many bytes of 'e', kept or not. */
static void report_evidence(world *w, size_t size, bool is_kept)
{
    rd_err err = RD_ERR_INIT;
    rd_buf bytes = { 0 };
    agent_report report = { .epoch = 1, .phase = RD_PHASE_SERVING, .has_evidence = true };
    memset(rd_buf_reserve(&bytes, size), 'e', size);
    rd_buf_commit(&bytes, size);
    rd_sha256(rd_buf_bytes(&bytes), report.evidence.b);
    if (is_kept)
        assert_int_equal(0, agent_blobs_put(w->evidence, &report.evidence, rd_buf_bytes(&bytes), &err));
    (void)snprintf(report.instance, sizeof report.instance, INSTANCE);
    on_report(w, &report);
    rd_buf_done(&bytes);
}

/* Evidence goes along where a line has room for it; the report comes whole in any case. */
static void test_evidence_goes_along(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    rd_link_stream *stream = NULL;
    static const struct {
        size_t size;
        bool is_kept, comes;
    } rows[] = {
        { 3, true, true },          { 40 << 10, true, true }, { (40 << 10) + 1, true, false },
        { 128 << 10, true, false }, { 4, false, false },
    };
    greet(w, 1);
    assert_int_equal(0, rd_link_lines(w->link, "/events?after=0", &line_events, w, &stream, &err));
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        rd_buf_clear(&w->lines);
        report_evidence(w, rows[i].size, rows[i].is_kept);
        WAIT(w, w->line_count == i + 1);
        assert_non_null(strstr(rd_buf_text(&w->lines), "\"evidence\":\"sha256:"));
        assert_int_equal(rows[i].comes, strstr(rd_buf_text(&w->lines), "\"bundle\":\"ZWVl") != NULL);
        assert_int_equal('}', w->lines.data[w->lines.size - 2]);
    }
    assert_int_equal(0, w->lines_closed);
}

static void test_logs(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    rd_link_stream *stream = NULL;
    greet(w, 1);
    for (int i = 0; i < 100; i++) /* more than the ring of 4 KiB holds */
        agent_logs_add(w->logs, INSTANCE, 1, "info", RD_BYTES_LIT("a line \xff of output"), 0);
    assert_int_equal(0, rd_link_lines(w->link, "/logs", &line_events, w, &stream, &err));
    WAIT(w, w->line_count > 2);
    assert_true(rd_starts_with(rd_buf_text(&w->lines), "{\"dropped\":"));
    assert_non_null(strstr(rd_buf_text(&w->lines), "a line ? of output"));
}

/* Told again on each stream until the plane says that it keeps them. */
static void test_receipts(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    rd_link_stream *stream = NULL;
    greet(w, 1);
    agent_receipts_add(w->receipts, INSTANCE, 1, RD_BYTES_LIT("one"));
    agent_receipts_add(w->receipts, INSTANCE, 1, RD_BYTES_LIT("two"));
    assert_int_equal(409, ask(w, "PUT", "/receipts/ack", "{\"n\":1}")); /* nothing was told on this link */
    assert_int_equal(0, rd_link_lines(w->link, "/receipts", &line_events, w, &stream, &err));
    WAIT(w, w->line_count == 2);
    assert_non_null(strstr(rd_buf_text(&w->lines), "\"n\":1} b25l"));
    assert_int_equal(409, ask(w, "PUT", "/receipts/ack", "{\"n\":3}"));
    assert_int_equal(422, ask(w, "PUT", "/receipts/ack", "{}"));
    assert_int_equal(204, ask(w, "PUT", "/receipts/ack", "{\"n\":1}"));
    agent_receipts_add(w->receipts, INSTANCE, 1, RD_BYTES_LIT("three"));
    agent_uplink_wake(w->uplink);
    WAIT(w, w->line_count == 3);
    assert_int_equal(0, rd_link_lines(w->link, "/receipts", &line_events, w, &stream, &err));
    WAIT(w, w->line_count == 5); /* two and three once more */
    WAIT(w, w->lines_closed == 1);
}

static void test_blobs_and_evidence(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    rd_digest digest;
    char hex[65], path[128];
    greet(w, 1);
    rd_sha256(RD_BYTES_LIT("content"), digest.b);
    rd_hex_encode(RD_BYTES_ARRAY(digest.b), hex);
    (void)snprintf(path, sizeof path, "/blobs/%s", hex);
    assert_int_equal(422, ask(w, "PUT", path, "other content"));
    assert_int_equal(204, ask(w, "PUT", path, "content"));
    assert_true(agent_blobs_has(w->blobs, &digest));
    assert_int_equal(400, ask(w, "PUT", "/blobs/abc", "content"));
    (void)snprintf(path, sizeof path, "/evidence/%s", hex);
    assert_int_equal(404, ask(w, "GET", path, "")); /* blobs are not evidence */
    assert_int_equal(0, agent_blobs_put(w->evidence, &digest, RD_BYTES_LIT("content"), &err));
    assert_int_equal(200, ask(w, "GET", path, ""));
    assert_string_equal("content", rd_buf_text(&w->body));
}

static void pipe_response(rd_link_stream *stream, void *context, int status)
{
    (void)stream;
    ((world *)context)->status = status;
}

static void pipe_closed(rd_link_stream *stream, void *context, const rd_err *error)
{
    (void)stream;
    (void)error;
    ((world *)context)->lines_closed++;
}

static void test_small_refusals(void **state)
{
    world *w = *state;
    static const struct {
        const char *method, *path, *body;
        int status;
    } rows[] = {
        { "GET", "/", "", 404 },
        { "GET", "/hello", "", 404 },
        { "POST", "/jobs/1", "{}", 404 },
        { "PUT", "/jobs/", "{}", 404 },
        { "GET", "/events/ack", "", 404 },
        { "PUT", "/state", "{\"state\":\"ready\"}", 204 },
        { "PUT", "/state", "{\"state\":\"happy\"}", 422 },
        { "PUT", "/state", "", 400 },
        { "POST", "/evidence-requests",
          "{\"instance\":\"" INSTANCE "\",\"epoch\":1,\"nonce\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
          421 },
        { "POST", "/evidence-requests", "{\"instance\":\"" INSTANCE "\",\"epoch\":1,\"nonce\":\"AA\"}", 400 },
        { "PUT", "/renewal/certificate", "{\"certificate\":\"x\",\"ca\":\"y\"}", 500 },
    };
    greet(w, 1);
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        int status = ask(w, rows[i].method, rows[i].path, rows[i].body);
        if (status != rows[i].status)
            fail_msg("%s %s: %d %s", rows[i].method, rows[i].path, status, rd_buf_text(&w->body));
    }
    static const rd_link_stream_events events = { .on_response = pipe_response, .on_closed = pipe_closed };
    static const char *const authorities[] = { INSTANCE ".1", "nonsense", ".1", INSTANCE ".x" };
    for (size_t i = 0; i < RD_ARRAY_LEN(authorities); i++) {
        rd_err err = RD_ERR_INIT;
        rd_link_stream *stream = NULL;
        int before = w->lines_closed;
        assert_int_equal(0, rd_link_connect(w->link, authorities[i], &events, w, &stream, &err));
        WAIT(w, w->lines_closed == before + 1);
        assert_int_equal(i == 0 ? 421 : 422, w->status);
    }
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as the programs do: a peer that is gone is an error of its write */
#define ROW(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        ROW(test_hello_comes_first),
        ROW(test_key_service_comes_late),
        ROW(test_jobs),
        ROW(test_jobs_in_one_go),
        ROW(test_events),
        ROW(test_logs),
        ROW(test_receipts),
        ROW(test_evidence_goes_along),
        ROW(test_blobs_and_evidence),
        ROW(test_small_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
