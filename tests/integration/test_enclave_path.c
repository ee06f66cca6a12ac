// link: agent_core rd_attest rd_io rd_model rd_crypto rd_base PkgConfig::uv
/* The whole way of an enclave beside an agent: simulated TEE, zygote, blank, specialised, evidence, answers with
 * receipts, drain, and adoption after the agent was killed. Everything is checked with the verifier. */
#include "tests/support/enclave_path.h"

#include "attest/attest.h"
#include "common/io/config.h"
#include "common/model/receipt.h"

static void check_evidence(const fixture *f, const test_app *app, rd_bytes bundle, rd_purpose purpose,
                           const uint8_t nonce[32], rd_attest_report *report)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_buf_done) rd_buf collateral = { 0 };
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/collateral.json", f->pki);
    assert_int_equal(rd_file_read(path, RD_COLLATERAL_SIZE_MAX, &collateral, &err), 0);
    rd_anchors anchors;
    rd_anchors_init(&anchors);
    assert_int_equal(rd_anchors_add_simulated(&anchors, f->fingerprint, &err), 0);
    const uint64_t epoch = 7;
    const rd_evidence_check check = { .evidence = bundle,
                                      .collateral = rd_buf_bytes(&collateral),
                                      .anchors = &anchors,
                                      .policy = &app->policy,
                                      .expect = { .purpose = purpose,
                                                  .nonce = nonce,
                                                  .app = &app->id,
                                                  .release = &app->release_digest,
                                                  .head = &app->head_digest,
                                                  .epoch = &epoch },
                                      .time_us = rd_clock_wall_us(rd_clock_system()) };
    if (rd_attest_check_evidence(&check, report, &err) < 0)
        fail_msg("evidence: %s: %s", rd_code_describe(err.code)->name, err.text);
}

/* The receipt of a reply, checked against the status statement; returns its sequence number. */
static uint64_t check_receipt(const reply *r, rd_bytes statement, const char *method, const char *target,
                              const uint8_t *salt, const uint8_t *nonce, const char *body)
{
    rd_err err = RD_ERR_INIT;
    static char text[32768];
    char type[128] = "", salt_text[64];
    uint8_t drawn[32];
    assert_non_null(header_of(r, "Redoubt-Receipt", text, sizeof(text)));
    rd_receipt receipt = { 0 };
    if (rd_receipt_parse_header(text, strlen(text), &receipt, &err) < 0)
        fail_msg("receipt: %s", err.text);
    if (salt == NULL) {
        assert_non_null(header_of(r, "Redoubt-Salt", salt_text, sizeof(salt_text)));
        assert_int_equal(rd_base64url_decode(salt_text, strlen(salt_text), drawn, 32), 32);
        salt = drawn;
    }
    (void)header_of(r, "Content-Type", type, sizeof(type));
    const rd_exchange exchange = { .method = rd_bytes_str(method),
                                   .target = rd_bytes_str(target),
                                   .request_type = body != NULL ? RD_BYTES_LIT("text/plain") : RD_BYTES_NULL,
                                   .request_body = body != NULL ? rd_bytes_str(body) : RD_BYTES_NULL,
                                   .status = (uint32_t)r->status,
                                   .response_type = rd_bytes_str(type),
                                   .response_body = rd_buf_bytes(&r->body) };
    const rd_receipt_expect expect = { .statement = &statement, .nonce = nonce, .salt = salt, .exchange = &exchange };
    rd_step_result steps[RD_STEP_COUNT];
    if (rd_receipt_verify(&receipt, &expect, steps, &err) < 0)
        fail_msg("receipt: %s: %s", rd_code_describe(err.code)->name, err.text);
    uint64_t seq = receipt.claims.seq;
    rd_receipt_done(&receipt);
    return seq;
}

static void print_memory(pid_t pid)
{
    char path[64], line[256];
    (void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "Pss:", 4) == 0 || strncmp(line, "Private_Dirty:", 14) == 0)
            print_message("%s", line);
    }
    if (file != NULL)
        (void)fclose(file);
}

/* --- tests ------------------------------------------------------------------------------------------------------ */

static void serve_and_verify(fixture *f, heard *h, const test_app *app)
{
    RD_CLEANUP(rd_buf_done) rd_buf statement = { 0 };
    statement_of(rd_buf_bytes(&h->evidence), &statement);
    rd_bytes s = rd_buf_bytes(&statement);
    reply *r = rd_alloc(sizeof(*r));
    uint8_t salt[32], nonce[32];
    rd_random_bytes(salt, 32);
    rd_random_bytes(nonce, 32);
    int fd = dial(agent_enclave_socket(h->enclave));

    send_request(fd, "POST", "/a?b=c", salt, nonce, "body");
    read_reply(fd, r);
    assert_int_equal(r->status, 201);
    assert_string_equal(rd_buf_text(&r->body), "hello 1 body");
    char seen[64];
    assert_string_equal(header_of(r, "x-seen", seen, sizeof(seen)), "no salt");
    assert_int_equal(check_receipt(r, s, "POST", "/a?b=c", salt, nonce, "body"), 1);

    /* Without a salt the enclave draws one; the machine is pristine: calls counts from one again. */
    send_request(fd, "GET", "/", NULL, NULL, NULL);
    read_reply(fd, r);
    assert_string_equal(rd_buf_text(&r->body), "hello 1 ");
    assert_int_equal(check_receipt(r, s, "GET", "/", NULL, NULL, NULL), 2);

    static const struct {
        const char *target, *code;
        int status;
    } rows[] = { { "/throw", "function_error", 500 },
                 { "/number", "function_bad_response", 502 },
                 { "/spin", "function_timeout", 504 },
                 { "/eat", "function_memory", 507 } };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        char code[64];
        print_message("%s\n", rows[i].target);
        send_request(fd, "GET", rows[i].target, salt, NULL, NULL);
        read_reply(fd, r);
        assert_int_equal(r->status, rows[i].status);
        assert_string_equal(header_of(r, "Redoubt-Error", code, sizeof(code)), rows[i].code);
        assert_null(strstr(rd_buf_text(&r->body), "the secret of the handler"));
        (void)check_receipt(r, s, "GET", rows[i].target, salt, NULL, NULL);
    }

    /* The runtime's own endpoints. */
    char target[160] = "/.well-known/redoubt/evidence?nonce=";
    rd_base64url_encode(RD_BYTES_ARRAY(nonce), target + strlen(target));
    send_request(fd, "GET", target, NULL, NULL, NULL);
    read_reply(fd, r);
    assert_int_equal(r->status, 200);
    rd_attest_report report;
    check_evidence(f, app, rd_buf_bytes(&r->body), RD_PURPOSE_CLIENT, nonce, &report);
    strcat(target, "&purpose=status");
    send_request(fd, "GET", target, NULL, NULL, NULL);
    read_reply(fd, r);
    assert_int_equal(r->status, 422);
    send_request(fd, "GET", "/.well-known/redoubt/docs", NULL, NULL, NULL);
    read_reply(fd, r);
    assert_int_equal(r->status, 200);
    assert_non_null(strstr(rd_buf_text(&r->body), "\"genesis\""));

    /* A body past the release's bound: refused with a receipt over an empty body. */
    RD_CLEANUP(rd_free_p) char *big = rd_alloc((64 << 10) + 2);
    memset(big, 'x', (64 << 10) + 1);
    send_request(fd, "PUT", "/big", salt, NULL, big);
    read_reply(fd, r);
    assert_int_equal(r->status, 413);
    (void)close(fd);
    rd_buf_done(&r->body);
    free(r);
}

static void test_path(void **state)
{
    fixture *f = *state;
    heard h;
    test_app app;
    uint8_t nonce[32];
    open_launcher(f);
    f->pool = agent_pool_new(f->launcher, &(agent_pool_options){ .size = 1 });
    take_blank(f, &h);
    make_app(f, &app, (test_app_spec){ .time_ms = 1500 });
    start(f, &h, &app, nonce);
    assert_string_equal(h.phases, "launching attesting serving ");
    rd_attest_report report;
    check_evidence(f, &app, rd_buf_bytes(&h.evidence), RD_PURPOSE_STATUS, nonce, &report);
    serve_and_verify(f, &h, &app);
    print_memory(agent_enclave_pid(h.enclave));

    /* Renewal. */
    rd_err err = RD_ERR_INIT;
    rd_random_bytes(nonce, 32);
    assert_int_equal(agent_enclave_renew(h.enclave, nonce, &err), 0);
    while (h.evidence_count < 2) {
        h.is_done = false;
        run_until(f, &h.is_done);
    }
    check_evidence(f, &app, rd_buf_bytes(&h.evidence), RD_PURPOSE_STATUS, nonce, &report);
    assert_non_null(strstr(h.logs, "called 1"));
    assert_non_null(strstr(h.logs, "the secret of the handler"));

    agent_enclave_drain(h.enclave);
    run_until(f, &h.is_ended);
    assert_true(h.is_drained);
    assert_string_equal(h.how, "exit 0");
    agent_enclave_forget(h.enclave);
    rd_buf_done(&h.evidence);
    test_app_done(&app);
    agent_pool_close(f->pool, NULL, NULL);
    close_launcher(f, true);
}

/* What the agent would not start (R52), the enclave refuses for itself. */
static void test_refusals(void **state)
{
    static const struct {
        const char *name, *reason;
        test_app_spec spec;
    } rows[] = {
        { "head expired", "head_time", { .expires_us = INT64_C(1700000001000000) } },
        { "head of the future", "head_time", { .not_before_us = INT64_C(4000000000000000) } },
        { "hardware class", "class_mismatch", { .is_hardware = true } },
        { "release not listed", "release_not_allowed", { .lists_other_release = true } },
        { "another engine", "engine_mismatch", { .engine = RD_ENGINE_JSC } },
        { "other code", "code_mismatch", { .other_code = true } },
        { "stranger's head", "signature", { .other_signer = true } },
        { "code throws", "engine_load", { .source = "throw new Error('at load');" } },
        /* R34: code is JavaScript alone, whatever else somebody signed. */
        { "native code", "engine_load", { .source = "\177ELF\2\1\1" } },
        { "WebAssembly", "engine_load", { .source = "\001asm" } },
        { "no handler", "engine_no_handler", { .source = "export const a = 1;" } },
        { "entropy at load",
          "ENTROPY_BEFORE_SNAPSHOT",
          { .source = "const r = Math.random(); export default () => new Response(String(r));" } },
    };
    fixture *f = *state;
    open_launcher(f);
    f->pool = agent_pool_new(f->launcher, &(agent_pool_options){ .size = 2 });
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        heard h;
        test_app app;
        uint8_t nonce[32];
        print_message("%s\n", rows[i].name);
        take_blank(f, &h);
        make_app(f, &app, rows[i].spec);
        start(f, &h, &app, nonce);
        assert_true(h.is_failed);
        assert_string_equal(h.reason, rows[i].reason);
        run_until(f, &h.is_ended);
        assert_string_equal(h.how, "exit 1");
        agent_enclave_forget(h.enclave);
        rd_buf_done(&h.evidence);
        test_app_done(&app);
    }
    agent_pool_close(f->pool, NULL, NULL);
    close_launcher(f, true);
}

/* --- adoption --------------------------------------------------------------------------------------------------- */

/* An agent of its own: starts one instance, tells its status statement, and waits to be killed. */
static void doomed_agent(fixture *f, int out)
{
    heard h;
    test_app app;
    uint8_t nonce[32];
    open_launcher(f);
    f->pool = agent_pool_new(f->launcher, &(agent_pool_options){ .size = 2 });
    take_blank(f, &h);
    make_app(f, &app, (test_app_spec){ .time_ms = 1500 });
    start(f, &h, &app, nonce);
    RD_CLEANUP(rd_buf_done) rd_buf statement = { 0 };
    statement_of(rd_buf_bytes(&h.evidence), &statement);
    (void)!write(out, statement.data, statement.size);
    (void)close(out);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    _exit(0);
}

static void on_adopted(void *context, agent_enclave *enclave)
{
    heard *h = context;
    h->enclave = enclave;
}

static void on_adopt_done(void *context, size_t count)
{
    heard *h = context;
    print_message("adopted: %zu\n", count);
    h->is_blank = true;
}

static void test_adoption(void **state)
{
    fixture *f = *state;
    int out[2];
    assert_int_equal(pipe(out), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(out[0]);
        doomed_agent(f, out[1]);
    }
    (void)close(out[1]);
    uint8_t statement[4096];
    ssize_t size = read(out[0], statement, sizeof(statement));
    assert_true(size > 0);
    (void)close(out[0]);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);

    heard h = { .is_blank = false };
    rd_err err = RD_ERR_INIT;
    open_launcher(f);
    assert_int_equal(f->launcher->ops->adopt(f->launcher, &events, &h, on_adopted, on_adopt_done, &err), 0);
    run_until(f, &h.is_blank);
    assert_non_null(h.enclave);
    assert_string_equal(agent_enclave_instance(h.enclave), INSTANCE);
    assert_int_equal(agent_enclave_epoch(h.enclave), 7);
    assert_int_equal(agent_enclave_get_state(h.enclave), AGENT_ENCLAVE_SERVING);

    /* Its receipts go on under the same evidence, and its registers still answer. */
    reply *r = rd_alloc(sizeof(*r));
    int fd = dial(agent_enclave_socket(h.enclave));
    uint8_t salt[32] = { 1 };
    send_request(fd, "GET", "/", salt, NULL, NULL);
    read_reply(fd, r);
    assert_int_equal(check_receipt(r, rd_bytes_of(statement, (size_t)size), "GET", "/", salt, NULL, NULL), 1);
    (void)close(fd);
    rd_buf_done(&r->body);
    free(r);
    assert_int_equal(agent_enclave_renew(h.enclave, salt, &err), 0);
    while (h.evidence_count < 1) {
        h.is_done = false;
        run_until(f, &h.is_done);
    }
    agent_enclave_stop(h.enclave);
    run_until(f, &h.is_ended);
    assert_string_equal(h.how, "exit 0");
    agent_enclave_forget(h.enclave);
    rd_buf_done(&h.evidence);
    close_launcher(f, true);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "sim-tee") == 0)
        return agent_sim_tee_main(argc - 1, argv + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_path, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_adoption, setup, teardown),
    };
    return cmocka_run_group_tests_name("enclave_path", tests, NULL, NULL);
}
