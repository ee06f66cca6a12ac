// link: agent_core rd_attest rd_io rd_model rd_crypto rd_base PkgConfig::uv
/* Blanks of the warm pool prove themselves before they count as ready: the real enclave under the simulated TEE, whose
 * quotes are good, too large to be carried, or under certificates that are out of date. */
#include "tests/support/enclave_path.h"

#include "agent/sim_files.h"
#include "common/model/evidence.h"

typedef struct proved {
    heard h; /* what follows its order */
    rd_buf bundle;
    bool is_blank, is_attested;
} proved;

static void on_blank(void *context, agent_enclave *enclave, rd_bytes report)
{
    (void)enclave, (void)report;
    ((proved *)context)->is_blank = true;
}

static void on_attested(void *context, agent_enclave *enclave, rd_bytes bundle)
{
    (void)enclave;
    proved *p = context;
    assert_true(p->is_blank);
    assert_false(p->is_attested);
    rd_buf_append_bytes(&p->bundle, bundle);
    p->is_attested = true;
}

static const agent_enclave_events blank_events = { .on_blank = on_blank, .on_attested = on_attested };

static rd_code check_blank(fixture *f, const rd_buf *bundle)
{
    rd_err err = RD_ERR_INIT;
    return f->launcher->ops->check_blank(f->launcher, rd_buf_bytes(bundle), &err) < 0 ? err.code : RD_OK;
}

/* R20: a quote before the header takes nothing from what the header does. */
static void test_evidence(void **state)
{
    fixture *f = *state;
    proved p = { .is_blank = false };
    rd_err err = RD_ERR_INIT;
    rd_evidence evidence = { 0 };
    test_app app;
    uint8_t nonce[32], rtmr[RD_RTMR_SIZE];
    open_launcher(f);
    assert_int_equal(agent_launch(f->launcher, &blank_events, &p, &p.h.enclave, &err), 0);
    run_until(f, &p.is_attested);
    assert_int_equal(agent_enclave_get_state(p.h.enclave), AGENT_ENCLAVE_BLANK);
    assert_int_equal(check_blank(f, &p.bundle), RD_OK);
    assert_int_equal(rd_evidence_parse(rd_buf_bytes(&p.bundle), &evidence, &err), 0);
    assert_int_equal(evidence.statement.purpose, RD_PURPOSE_BLANK);
    assert_int_equal(evidence.events_count, 0);
    rd_evidence_done(&evidence);

    agent_enclave_set_events(p.h.enclave, &events, &p.h);
    make_app(f, &app, (test_app_spec){ .time_ms = 1500 });
    start(f, &p.h, &app, nonce);
    assert_string_equal(p.h.phases, "launching attesting serving ");
    assert_int_equal(p.h.evidence_count, 1);
    assert_int_equal(rd_evidence_parse(rd_buf_bytes(&p.h.evidence), &evidence, &err), 0);
    assert_int_equal(evidence.statement.purpose, RD_PURPOSE_STATUS);
    assert_int_equal(rd_evidence_check_log(&evidence, rtmr, &err), 0);
    assert_int_equal(evidence.events_count, 2);
    rd_evidence_done(&evidence);
    assert_int_equal(check_blank(f, &p.h.evidence), RD_E_PURPOSE);

    agent_enclave_stop(p.h.enclave);
    run_until(f, &p.h.is_ended);
    agent_enclave_forget(p.h.enclave);
    rd_buf_done(&p.h.evidence);
    rd_buf_done(&p.bundle);
    test_app_done(&app);
    close_launcher(f, true);
}

static bool is_full(const fixture *f)
{
    return agent_pool_ready_count(f->pool) == 2;
}

static bool is_in_trouble(const fixture *f)
{
    return agent_pool_trouble(f->pool)[0] != '\0';
}

static void turn_until(fixture *f, bool (*is_so)(const fixture *f))
{
    bool is_late = false;
    uv_timer_t timer;
    (void)uv_timer_init(&f->loop, &timer);
    timer.data = &is_late;
    (void)uv_timer_start(&timer, on_deadline, 60000, 0);
    while (!is_so(f) && !is_late)
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_false(is_late);
}

static void test_pool_fills(void **state)
{
    fixture *f = *state;
    open_launcher(f);
    f->pool = agent_pool_new(f->launcher, &(agent_pool_options){ .size = 2 });
    turn_until(f, is_full);
    assert_string_equal(agent_pool_trouble(f->pool), "");
    agent_pool_close(f->pool, NULL, NULL);
    close_launcher(f, true);
}

/* --- a platform that quotes badly ------------------------------------------------------------------------------- */

/* The quote carries the chain: with this it is larger than evidence may be. */
static void spoil_size(fixture *f)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_buf_done) rd_buf chain = { 0 };
    assert_int_equal(agent_sim_read(f->platform, "pck-chain.pem", &chain, &err), 0);
    for (size_t i = 0; i < RD_QUOTE_SIZE_MAX; i++)
        rd_buf_append_u8(&chain, '\n');
    assert_int_equal(agent_sim_write(f->platform, "pck-chain.pem", 0600, rd_buf_bytes(&chain), &err), 0);
}

static void spoil_time(fixture *f)
{
    rd_err err = RD_ERR_INIT;
    int64_t long_ago = rd_clock_wall_us(rd_clock_system()) - INT64_C(45) * 366 * 86400 * 1000000;
    (void)snprintf(f->pki, sizeof(f->pki), "%s/old-pki", f->dir);
    (void)snprintf(f->platform, sizeof(f->platform), "%s/old-platform", f->dir);
    if (agent_sim_pki_create(f->pki, long_ago, &err) < 0 ||
        agent_sim_pki_issue_platform(f->pki, f->platform, long_ago, &err) < 0)
        fail_msg("%s", err.text);
}

static void none_gets_ready(fixture *f, void (*spoil)(fixture *f), const char *why)
{
    spoil(f);
    open_launcher(f);
    f->pool = agent_pool_new(f->launcher, &(agent_pool_options){ .size = 2, .backoff_us_max = 1000 });
    turn_until(f, is_in_trouble);
    print_message("%s\n", agent_pool_trouble(f->pool));
    assert_int_equal(strncmp(agent_pool_trouble(f->pool), why, strlen(why)), 0);
    assert_int_equal(agent_pool_ready_count(f->pool), 0);
}

static void test_no_quote(void **state)
{
    fixture *f = *state;
    heard h;
    none_gets_ready(f, spoil_size, "too_large: evidence of a blank: quote of ");
    /* Who wants an enclave all the same is told by its own phase. */
    take_blank(f, &h);
    run_until(f, &h.is_ended);
    assert_true(h.is_failed);
    assert_string_equal(h.reason, "too_large");
    agent_enclave_forget(h.enclave);
    agent_pool_close(f->pool, NULL, NULL);
    close_launcher(f, true);
}

static void test_quote_that_does_not_hold(void **state)
{
    fixture *f = *state;
    none_gets_ready(f, spoil_time, "chain_time: ");
    agent_pool_close(f->pool, NULL, NULL);
    close_launcher(f, true);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "sim-tee") == 0)
        return agent_sim_tee_main(argc - 1, argv + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_evidence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pool_fills, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_quote, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quote_that_does_not_hold, setup, teardown),
    };
    return cmocka_run_group_tests_name("enclave_blank", tests, NULL, NULL);
}
