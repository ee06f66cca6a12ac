// link: api_core agent_core rd_attest rd_data rd_io rd_model rd_crypto rd_base PkgConfig::pq
/* Calls through the link side of the API: relay, the apps origin and the wrapper over HTTP, the event stream; and what
 * happens while PostgreSQL is dead or Redis is empty. */
#include "api/hold.h"
#include "tests/support/links_world.h"

/* ---- tests: calls ---- */

typedef struct call_seen {
    int status;
    rd_buf body;
    char receipt[16];
    bool is_done;
    rd_code code;
} call_seen;

#define STREAMED(trailer)                                                                                              \
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Redoubt-Receipt\r\n\r\n3\r\nhi "                        \
    "\r\n5\r\nthere\r\n0\r\n" trailer "\r\n\r\n"

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

static void seen_receipt(void *context, const char *receipt)
{
    call_seen *seen = context;
    (void)snprintf(seen->receipt, sizeof seen->receipt, "%s", receipt);
}

static void seen_done(void *context, const rd_err *err)
{
    call_seen *seen = context;
    seen->is_done = true;
    seen->code = err ? err->code : RD_OK;
}

static rd_code call(const rd_id *instance, const char *method, const char *body, call_seen *seen)
{
    static const api_call_events events = { seen_head, seen_body, seen_receipt, seen_done };
    rd_err err = RD_ERR_INIT;
    api_call *handle;
    *seen = (call_seen){ 0 };
    api_call_spec spec = { .app = &w.app,
                           .instance = instance,
                           .method = rd_bytes_str(method),
                           .target = RD_BYTES_LIT("/x?y=1"),
                           .body = rd_bytes_str(body) };
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
    assert_int_equal(call(NULL, "POST", "", &seen), RD_E_NO_INSTANCE);
    host *h = host_with_job(&instance, &job);
    serve(h, job, &instance);
    UNTIL(api_targets_instance(api_relay_targets(w.links->relay), &instance));
    assert_int_equal(call(NULL, "POST", "hello", &seen), RD_OK);
    assert_int_equal(seen.status, 200);
    assert_true(rd_starts_with(h->agent.last_path, "POST /x?y=1 HTTP/1.1\r\n"));
    for (int i = 0; i < 20; i++)
        assert_int_equal(call(&instance, "POST", "again", &seen), RD_OK);
    assert_int_equal(h->agent.connects, 1); /* one pipe, kept */
    h->agent.answer_head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n";
    assert_int_equal(call(NULL, "POST", "", &seen), RD_E_RESPONSE_INVALID);
    h->agent.answer_head = STREAMED("redoubt-receipt: e30");
    assert_int_equal(call(NULL, "POST", "", &seen), RD_OK);
    assert_string_equal(seen.receipt, "e30");
    h->agent.answer_head = "HTTP/1.1 503 X\r\nRedoubt-Error: draining\r\nContent-Length: 0\r\n\r\n";
    assert_int_equal(call(NULL, "POST", "", &seen), RD_E_NO_INSTANCE); /* there is no other */
    h->agent.answer_head = NULL;
    UNTIL(call(NULL, "POST", "", &seen) == RD_OK); /* a refusal is not for ever */
    host_free(h);
    UNTIL(call(NULL, "POST", "", &seen) == RD_E_INSTANCE_ELSEWHERE);
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

/* ---- tests: apps that sleep ---- */

static size_t held_calls(void)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    api_relay_metrics(w.links->relay, &text);
    const char *line = strstr(rd_buf_text(&text), "\nredoubt_relay_calls_held ");
    return line ? (size_t)strtoul(line + strlen("\nredoubt_relay_calls_held "), NULL, 10) : 0;
}

static void begin(call_seen *seen)
{
    static const api_call_events events = { seen_head, seen_body, seen_receipt, seen_done };
    rd_err err = RD_ERR_INIT;
    api_call *handle;
    *seen = (call_seen){ 0 };
    api_call_spec spec = {
        .app = &w.app, .method = RD_BYTES_LIT("POST"), .target = RD_BYTES_LIT("/"), .body = RD_BYTES_LIT("x")
    };
    if (api_relay_call(w.links->relay, &spec, &events, seen, &handle, &err) < 0)
        fail_msg("%s", err.text);
}

static void end_leases(void)
{
    sql("BEGIN; UPDATE leases SET live = false, held = false, want = 3, ended_at = now(), end_reason = 'stopped' WHERE "
        "live;"
        " INSERT INTO events (org_id, kind, subject, app_id) VALUES ('%s', 'app', '\\x%s', '\\x%s'); COMMIT",
        ORG, w.app_hex, w.app_hex);
    UNTIL(api_targets_app(api_relay_targets(w.links->relay), &w.app)->count == 0);
}

/* The newest deployment runs only when called. */
static void let_sleep(void)
{
    sql("BEGIN; INSERT INTO deployments (deployment_id, org_id, app_id, gen, release_id, head_seq, min, max, kind) "
        "SELECT"
        " gen_random_uuid(), '%s', '\\x%s', %u, release_id, 1, 0, 1, 3 FROM releases; INSERT INTO events (org_id, kind,"
        " subject, app_id) VALUES ('%s', 'app', '\\x%s', '\\x%s'); COMMIT",
        ORG, w.app_hex, ++w.leases, ORG, w.app_hex, w.app_hex);
    UNTIL(api_targets_app(api_relay_targets(w.links->relay), &w.app)->sleeps);
}

/* The instance refuses one call and is avoided for a while: nobody tells when that is over. */
static void a_held_call_needs_no_news(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    call_seen seen;
    end_leases(); /* of the tests before */
    host *h = host_with_job(&instance, &job);
    serve(h, job, &instance);
    UNTIL(api_targets_instance(api_relay_targets(w.links->relay), &instance));
    let_sleep();
    h->agent.answer_head = "HTTP/1.1 503 X\r\nRedoubt-Error: draining\r\nContent-Length: 0\r\n\r\n";
    begin(&seen);
    UNTIL(held_calls() == 1);
    h->agent.answer_head = NULL;
    UNTIL(seen.is_done);
    assert_int_equal(seen.code, RD_OK);
    rd_buf_done(&seen.body);
    /* Let in while another release was the newest: the one that came up takes callers with a token alone. */
    static const api_call_events events = { seen_head, seen_body, seen_receipt, seen_done };
    rd_err err = RD_ERR_INIT;
    api_call *handle;
    api_call_spec anonymous = {
        .app = &w.app, .method = RD_BYTES_LIT("GET"), .target = RD_BYTES_LIT("/"), .is_anonymous = true
    };
    assert_int_equal(api_relay_call(w.links->relay, &anonymous, &events, &seen, &handle, &err), -1);
    assert_int_equal(err.code, RD_E_CLI_NO_TOKEN);
    end_leases();
    host_free(h);
}

/* Nothing is waited for in vain, and many learn it as soon as one. */
static void a_line_goes_when_its_app_is_paused(void **state)
{
    (void)state;
    call_seen seen[API_HOLD_APP_MAX];
    for (size_t i = 0; i < RD_ARRAY_LEN(seen); i++)
        begin(&seen[i]);
    assert_int_equal(held_calls(), RD_ARRAY_LEN(seen));
    for (int paused = 1; paused >= 0; paused--) {
        sql("BEGIN; UPDATE apps SET paused = %s WHERE app_id = '\\x%s'; INSERT INTO events (org_id, kind, subject, "
            "app_id)"
            " VALUES ('%s', 'app', '\\x%s', '\\x%s'); COMMIT",
            paused ? "true" : "false", w.app_hex, ORG, w.app_hex, w.app_hex);
        UNTIL(api_targets_app(api_relay_targets(w.links->relay), &w.app)->is_paused == (paused == 1));
        for (size_t i = 0; i < RD_ARRAY_LEN(seen); i++) {
            UNTIL(seen[i].is_done);
            assert_int_equal(seen[i].code, RD_E_APP_PAUSED);
        }
    }
    assert_int_equal(held_calls(), 0);
}

/* ---- tests: HTTP ---- */

static int curl_code; /* of the last one */

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
    curl_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    rd_buf_done(out);
    if (rd_file_read(path, 32 << 20, out, &err) < 0)
        return -1;
    const char *text = rd_buf_text(out);
    return rd_starts_with(text, "HTTP/1.1 ") ? atoi(text + 9) : -1;
}

/* A host with an instance of the app that may be called. */
static host *serving_host(rd_id *ret_instance, fake_job **ret_job, char ret_app[RD_APP_ID_TEXT_SIZE])
{
    rd_app_id_format(&w.app, ret_app);
    host *h = host_with_job(ret_instance, ret_job);
    serve(h, *ret_job, ret_instance);
    UNTIL(api_targets_instance(api_relay_targets(w.links->relay), ret_instance));
    return h;
}

static void the_apps_origin(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    rd_buf out = { 0 };
    char args[512], app[RD_APP_ID_TEXT_SIZE];
    unsigned port = api_links_apps_port(w.links), rest = api_server_port(w.context.server);
    host *h = serving_host(&instance, &job, app);
#define APPS(extra)                                                                                                    \
    snprintf(args, sizeof args, "-H 'Host: app-%s.apps.localhost' %s http://127.0.0.1:%u/p?q=1", app + 4, extra, port)
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

/* An answer in chunks goes on as it comes, its receipt behind it; what is cut never looks whole. */
static void streamed_answers(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    rd_buf out = { 0 };
    char args[512], app[RD_APP_ID_TEXT_SIZE];
    unsigned port = api_links_apps_port(w.links), rest = api_server_port(w.context.server);
    host *h = serving_host(&instance, &job, app);
    h->agent.answer_head = STREAMED("Redoubt-Receipt: e30");
    APPS("-H 'Authorization: Bearer rdt_one'");
    assert_int_equal(http(args, 10, &out), 200);
    assert_int_equal(curl_code, 0);
    const char *text = rd_buf_text(&out), *body = strstr(text, "\r\n\r\nhi there");
    assert_non_null(strstr(text, "Transfer-Encoding: chunked"));
    assert_non_null(strstr(text, "Trailer: Redoubt-Receipt"));
    assert_non_null(body);
    if (!strstr(body, "Redoubt-Receipt: e30"))
        fail_msg("no receipt behind the body: %s", text);
    APPS("-0 -H 'Authorization: Bearer rdt_one'");
    assert_int_equal(http(args, 10, &out), 505);
    snprintf(args, sizeof args, "-H 'Authorization: Bearer rdt_one' -d hi http://127.0.0.1:%u/v1/apps/%s/invoke", rest,
             app);
    assert_int_equal(http(args, 10, &out), 200);
    assert_non_null(strstr(rd_buf_text(&out), "\"receipt\":\"e30\""));
    assert_non_null(strstr(rd_buf_text(&out), "\"body\":\"aGkgdGhlcmU=\""));

    static const char *const cut[] = { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhi \r\n5\r\nth",
                                       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhi \r\n",
                                       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhi \r\n0\r\nRedo",
                                       STREAMED("Set-Cookie: a=b") };
    h->agent.cuts_answers = true;
    for (size_t i = 0; i < RD_ARRAY_LEN(cut); i++) {
        h->agent.answer_head = cut[i];
        APPS("-d hi -H 'Authorization: Bearer rdt_one'");
        (void)http(args, 10, &out);
        if (curl_code != 18 && curl_code != 56) /* partial file; the peer closed */
            fail_msg("cut %zu does not look cut (%d): %s", i, curl_code, rd_buf_text(&out));
        assert_null(strstr(rd_buf_text(&out), "Set-Cookie"));
    }
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_go_to_instances_that_serve),
        cmocka_unit_test(an_old_epoch_gets_no_call),
        cmocka_unit_test(a_held_call_needs_no_news),
        cmocka_unit_test(a_line_goes_when_its_app_is_paused),
        cmocka_unit_test(the_apps_origin),
        cmocka_unit_test(streamed_answers),
        cmocka_unit_test(events_as_a_stream),
        cmocka_unit_test(reports_survive_a_dead_database),
        cmocka_unit_test(hints_survive_an_empty_redis),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
