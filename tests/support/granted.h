/* granted: a real enclave whose agent and key service the test is, from its wish for a grant to its end.
 * Used by tests/integration/test_enclave_grant.c and test_enclave_webhook.c. Header only. */
#ifndef TESTS_SUPPORT_GRANTED_H
#define TESTS_SUPPORT_GRANTED_H

#include "agent/enclave_priv.h"
#include "tests/support/enclave_path.h"
#include "tests/support/own_kms.h"

RD_UNUSED static const char hello[] = "export default () => new Response('hello');";

typedef struct granted {
    heard h;
    test_app app;
    own_kms kms;
    uint8_t nonce[32];
} granted;

RD_UNUSED static void wait_done(fixture *f, granted *g)
{
    g->h.is_done = false;
    run_until(f, &g->h.is_done);
}

RD_UNUSED static void wait_wish(fixture *f, granted *g, unsigned count)
{
    while (g->h.wishes < count) {
        assert_false(g->h.is_failed || g->h.is_ended);
        wait_done(f, g);
    }
}

RD_UNUSED static void wait_ended(fixture *f, granted *g)
{
    run_until(f, &g->h.is_ended);
}

/* Up to the nonce that it makes evidence over. */
RD_UNUSED static void begin_asking(fixture *f, granted *g, test_app_spec spec)
{
    char id[RD_KMS_ID_TEXT_SIZE];
    rd_err err = RD_ERR_INIT;
    uint8_t nonce[32];
    *g = (granted){ .nonce = { 0 } };
    own_kms_init(&g->kms, rd_clock_wall_us(rd_clock_system()) + INT64_C(86400000000));
    rd_kms_id_format(&g->kms.id, id);
    take_blank(f, &g->h);
    spec.kms = &g->kms.id;
    make_app(f, &g->app, spec);
    specialise(&g->h, &g->app, (agent_specialise){ .kms = rd_buf_bytes(&g->kms.genesis), .kms_id = id }, nonce);
    wait_wish(f, g, 1);
    assert_int_equal(g->h.wish.size, 0);
    rd_random_bytes(g->nonce, sizeof g->nonce);
    assert_int_equal(agent_enclave_nonce(g->h.enclave, g->nonce, RD_BYTES_NULL, &err), 0);
}

/* Up to the wish with evidence, over a nonce that was asked for first. */
RD_UNUSED static void begin_app(fixture *f, granted *g, const char *source)
{
    begin_asking(f, g, (test_app_spec){ .source = source });
    wait_wish(f, g, 2);
    assert_true(g->h.wish.size > 0);
    assert_int_equal(g->h.webhook.size, 0);
}

RD_UNUSED static void begin(fixture *f, granted *g)
{
    begin_app(f, g, hello);
}

/* The key service's answer to the wish at hand. */
RD_UNUSED static void answer_under(granted *g, uint64_t head_seq, int64_t term_us, uint64_t requests_max, rd_buf *ret)
{
    RD_CLEANUP(rd_buf_done) rd_buf statement = { 0 };
    const own_grant what = { .head_seq = head_seq,
                             .not_before_us = rd_clock_wall_us(rd_clock_system()),
                             .term_us = term_us,
                             .requests_max = requests_max };
    statement_of(rd_buf_bytes(&g->h.wish), &statement);
    own_kms_grant(&g->kms, rd_buf_bytes(&statement), &what, ret);
}

RD_UNUSED static void answer(granted *g, int64_t term_us, uint64_t requests_max, rd_buf *ret)
{
    answer_under(g, 1, term_us, requests_max, ret);
}

RD_UNUSED static void give(granted *g, int64_t term_us, uint64_t requests_max)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_buf_done) rd_buf grant = { 0 };
    answer(g, term_us, requests_max, &grant);
    assert_int_equal(agent_enclave_grant(g->h.enclave, rd_buf_bytes(&grant), &err), 0);
}

RD_UNUSED static void wait_serving(fixture *f, granted *g)
{
    while (!g->h.is_serving) {
        if (g->h.is_failed || g->h.is_ended)
            fail_msg("%s %s", g->h.reason, g->h.how);
        wait_done(f, g);
    }
}

RD_UNUSED static void finish(granted *g)
{
    agent_enclave_forget(g->h.enclave);
    rd_buf_done(&g->h.evidence);
    rd_buf_done(&g->h.wish);
    rd_buf_done(&g->h.webhook);
    test_app_done(&g->app);
    own_kms_done(&g->kms);
}

RD_UNUSED static void call_at(granted *g, const char *target)
{
    reply *r = rd_alloc(sizeof(*r));
    int fd = dial(agent_enclave_socket(g->h.enclave));
    send_request(fd, "GET", target, NULL, NULL, NULL);
    read_reply(fd, r);
    assert_int_equal(r->status, 200);
    assert_string_equal(rd_buf_text(&r->body), "hello");
    (void)close(fd);
    rd_buf_done(&r->body);
    free(r);
}

RD_UNUSED static void call(granted *g)
{
    call_at(g, "/");
}

RD_UNUSED static int group_setup(void **state)
{
    if (setup(state) < 0)
        return -1;
    fixture *f = *state;
    open_launcher(f);
    f->pool = agent_pool_new(f->launcher, &(agent_pool_options){ .size = 2 });
    return 0;
}

RD_UNUSED static int group_teardown(void **state)
{
    fixture *f = *state;
    agent_pool_close(f->pool, NULL, NULL);
    close_launcher(f, true);
    return teardown(state);
}

/* The next head of the same app. */
RD_UNUSED static void make_next(const test_app *app, test_app_spec spec, test_app *ret)
{
    rd_err err = RD_ERR_INIT;
    *ret = *app;
    ret->head = (rd_buf){ 0 };
    if (test_app_head(ret, &spec, &err) < 0)
        fail_msg("%s", err.text);
}

#endif
