// link: agent_core rd_attest rd_io rd_model rd_crypto rd_base PkgConfig::uv
// needs: redoubt-enclave
/* Real enclaves whose agent and key service the test is: a grant's whole life, and what a hostile agent does with it.
 */
#include <pthread.h>

#include "common/model/receipt.h"
#include "enclave/runtime/control.h"
#include "tests/support/granted.h"

#define SHORT_US 4500000 /* a third of it is time enough for everything at once */

/* Past the agent's own order of things: one raw frame. */
static void push(granted *g, encl_control_type type, rd_bytes payload)
{
    uv_os_fd_t fd = -1;
    RD_CLEANUP(rd_buf_done) rd_buf frame = { 0 };
    assert_int_equal(uv_fileno((uv_handle_t *)&g->h.enclave->control, &fd), 0);
    (void)rd_buf_append_u32be(&frame, (uint32_t)payload.size + 1);
    (void)rd_buf_append_u8(&frame, (uint8_t)type);
    (void)rd_buf_append_bytes(&frame, payload);
    assert_int_equal(send(fd, frame.data, frame.size, MSG_NOSIGNAL), (ssize_t)frame.size);
}

/* R32: a plane that withholds renewals ends the instance at the term's end and not one that was renewed beside it; a
 * grant for so many requests ends after them. The wish to renew comes by itself, at a third of the term. */
static void test_terms(void **state)
{
    fixture *f = *state;
    granted *withheld = rd_alloc(sizeof *withheld), *renewed = rd_alloc(sizeof *renewed),
            *counted = rd_alloc(sizeof *counted);
    rd_err err = RD_ERR_INIT;
    begin(f, counted);
    give(counted, 3600000000, 2);
    begin(f, withheld);
    give(withheld, SHORT_US, 0);
    wait_serving(f, withheld);
    begin(f, renewed);
    give(renewed, SHORT_US, 0);
    wait_serving(f, renewed);
    wait_serving(f, counted);

    call(counted);
    assert_false(counted->h.is_failed);
    call(counted);
    wait_ended(f, counted);
    assert_string_equal(counted->h.reason, "grant_expired");

    wait_wish(f, renewed, 3);
    assert_int_equal(renewed->h.wish.size, 0); /* over a nonce of its own */
    assert_int_equal(agent_enclave_nonce(renewed->h.enclave, withheld->nonce, RD_BYTES_NULL, &err), 0);
    wait_wish(f, renewed, 4);
    give(renewed, 3600000000, 0);

    /* What another instance was given extends nothing. */
    wait_wish(f, withheld, 3);
    rd_random_bytes(withheld->nonce, 32);
    assert_int_equal(agent_enclave_nonce(withheld->h.enclave, withheld->nonce, RD_BYTES_NULL, &err), 0);
    wait_wish(f, withheld, 4);
    RD_CLEANUP(rd_buf_done) rd_buf foreign = { 0 };
    answer(renewed, 3600000000, 0, &foreign);
    assert_int_equal(agent_enclave_grant(withheld->h.enclave, rd_buf_bytes(&foreign), &err), 0);
    wait_ended(f, withheld);
    assert_string_equal(withheld->h.reason, "grant_expired");
    assert_string_equal(withheld->h.how, "exit 1");

    assert_false(renewed->h.is_failed);
    call(renewed);
    agent_enclave_stop(renewed->h.enclave);
    wait_ended(f, renewed);
    finish(withheld);
    finish(renewed);
    finish(counted);
    free(withheld);
    free(renewed);
    free(counted);
}

/* R20: an enclave that runs one app is given another, by every frame that could begin it; it refuses and is gone. */
static void test_specialised_twice(void **state)
{
    fixture *f = *state;
    granted *g = rd_alloc(sizeof *g);
    static const encl_control_type frames[] = { ENCL_CONTROL_HEADER, ENCL_CONTROL_START };
    for (size_t i = 0; i < RD_ARRAY_LEN(frames); i++) {
        uint8_t header[RD_LAUNCH_HEADER_SIZE] = { 1 };
        begin(f, g);
        if (i == 0) {
            give(g, 3600000000, 0);
            wait_serving(f, g);
            call(g);
        }
        push(g, frames[i], RD_BYTES_ARRAY(header));
        wait_ended(f, g);
        assert_true(g->h.is_failed);
        assert_string_equal(g->h.reason, "control_order");
        assert_string_equal(g->h.how, "exit 1");
        finish(g);
    }
    free(g);
}

/* R1: what the key service did not seal for this question starts nothing. */
static void test_nothing_starts(void **state)
{
    fixture *f = *state;
    granted *g = rd_alloc(sizeof *g), *other = rd_alloc(sizeof *other);
    rd_err err = RD_ERR_INIT;
    begin(f, other);
    for (int i = 0; i < 3; i++) {
        static const char *const reasons[] = { "grant_signature", "grant_signature", "grant_format" };
        RD_CLEANUP(rd_buf_done) rd_buf grant = { 0 };
        begin(f, g);
        answer(i == 0 ? other : g, 3600000000, 0, &grant);
        if (i == 1)
            grant.data[8] ^= 1; /* sealed by somebody else */
        if (i == 2)
            grant.size = 3;
        assert_int_equal(agent_enclave_grant(g->h.enclave, rd_buf_bytes(&grant), &err), 0);
        wait_ended(f, g);
        assert_true(g->h.is_failed);
        assert_false(g->h.is_serving);
        assert_string_equal(g->h.reason, reasons[i]);
        finish(g);
    }
    agent_enclave_stop(other->h.enclave);
    wait_ended(f, other);
    finish(other);
    free(other);
    free(g);
}

/* --- a newer head --- */

/* The head that evidence names. */
static rd_digest head_of(const rd_buf *bundle)
{
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    rd_statement statement;
    statement_of(rd_buf_bytes(bundle), &bytes);
    assert_int_equal(rd_statement_parse(rd_buf_bytes(&bytes), &statement, NULL), 0);
    return statement.head;
}

static void assert_head(const rd_buf *bundle, const rd_digest *head)
{
    rd_digest named = head_of(bundle);
    assert_true(rd_digest_equal(&named, head));
}

/* A nonce with a head beside it; the wish that follows is in g->h.wish. */
static void offer(fixture *f, granted *g, rd_bytes head)
{
    rd_err err = RD_ERR_INIT;
    unsigned known = g->h.wishes;
    g->nonce[0]++;
    assert_int_equal(agent_enclave_nonce(g->h.enclave, g->nonce, head, &err), 0);
    wait_wish(f, g, known + 1);
}

/* What is no newer head of this app: the wish stays under the head that it was under, and the log says why. */
static void offer_bad(fixture *f, granted *g, rd_bytes head, const char *why, const rd_digest *stays)
{
    char line[256];
    (void)snprintf(line, sizeof line, "warn: newer head: %s\n", why);
    g->h.logs[0] = 0;
    offer(f, g, head);
    assert_head(&g->h.wish, stays);
    assert_string_equal(g->h.logs, line);
}

static void show(fixture *f, granted *g)
{
    rd_err err = RD_ERR_INIT;
    unsigned known = g->h.evidence_count;
    assert_int_equal(agent_enclave_renew(g->h.enclave, g->nonce, &err), 0);
    while (g->h.evidence_count == known)
        wait_done(f, g);
}

/* A nonce, and what is asked for behind it: no wish came in between. Empty: the newest head that was seen still rules.
 */
static void offer_unfit(fixture *f, granted *g, rd_bytes head, const char *why)
{
    char line[256] = "";
    rd_err err = RD_ERR_INIT;
    unsigned known = g->h.wishes;
    if (why)
        (void)snprintf(line, sizeof line, "warn: no further grant is asked for: newer head: %s\n", why);
    g->h.logs[0] = 0;
    g->nonce[0]++;
    assert_int_equal(agent_enclave_nonce(g->h.enclave, g->nonce, head, &err), 0);
    show(f, g);
    assert_int_equal(g->h.wishes, known);
    assert_string_equal(g->h.logs, line);
}

/* The receipt of a call names head and evidence of this status bundle. */
static void call_under(granted *g, const rd_buf *status)
{
    reply *r = rd_alloc(sizeof(*r));
    static char text[32768];
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_buf_done) rd_buf statement = { 0 };
    statement_of(rd_buf_bytes(status), &statement);
    rd_bytes bytes = rd_buf_bytes(&statement);
    int fd = dial(agent_enclave_socket(g->h.enclave));
    send_request(fd, "GET", "/", NULL, NULL, NULL);
    read_reply(fd, r);
    assert_non_null(header_of(r, "Redoubt-Receipt", text, sizeof(text)));
    rd_receipt receipt = { 0 };
    if (rd_receipt_parse_header(text, strlen(text), &receipt, &err) < 0)
        fail_msg("%s", err.text);
    const rd_receipt_expect expect = { .statement = &bytes };
    if (rd_receipt_verify(&receipt, &expect, NULL, &err) < 0)
        fail_msg("%s", err.text);
    rd_receipt_done(&receipt);
    send_request(fd, "GET", "/.well-known/redoubt/docs", NULL, NULL, NULL);
    read_reply(fd, r);
    assert_non_null(strstr(rd_buf_text(&r->body), (const char *)rd_buf_text(&g->app.head)));
    (void)close(fd);
    rd_buf_done(&r->body);
    free(r);
}

/* Offers each row's head upon the one before, and is left with the last. */
static void offer_row(fixture *f, granted *g, test_app *at, const test_app_spec *spec, const char *why)
{
    test_app next;
    make_next(at, *spec, &next);
    offer_unfit(f, g, rd_buf_bytes(&next.head), why);
    if (at->head.data != g->app.head.data)
        rd_buf_done(&at->head);
    *at = next;
}

/* R4: what is no head of this app, or an older one, changes nothing. */
static void offer_all_bad(fixture *f, granted *g)
{
    const struct {
        test_app_spec spec;
        const char *why;
    } rows[] = {
        { { .kms = &g->kms.id, .seq = 2, .other_signer = true }, "head: signature 0 is by none of the app's owners" },
        { { .kms = &g->kms.id, .seq = 2, .expires_us = INT64_C(1700000001000000) }, "head: expired" },
        { { .kms = &g->kms.id, .seq = 2, .not_before_us = INT64_C(4000000000000000) }, "head: not yet valid" },
        { { .kms = &g->kms.id, .seq = 1, .not_before_us = INT64_C(1700000002000000) }, "another head 1 is known" },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        test_app other;
        make_next(&g->app, rows[i].spec, &other);
        offer_bad(f, g, rd_buf_bytes(&other.head), rows[i].why, &g->app.head_digest);
        rd_buf_done(&other.head);
    }
    offer_bad(f, g, RD_BYTES_LIT("{}"), "envelope: document is missing", &g->app.head_digest);
}

/* Renewal under the newest head. */
static void test_newer_head(void **state)
{
    fixture *f = *state;
    granted *g = rd_alloc(sizeof *g);
    test_app next;
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_buf_done) rd_buf grant = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf first = { 0 }; /* the evidence that receipts name */
    begin(f, g);
    give(g, 3600000000, 0);
    wait_serving(f, g);
    (void)rd_buf_append_bytes(&first, rd_buf_bytes(&g->h.evidence));
    offer_all_bad(f, g);

    make_next(&g->app, (test_app_spec){ .kms = &g->kms.id, .seq = 2 }, &next);
    offer(f, g, rd_buf_bytes(&next.head));
    assert_head(&g->h.wish, &next.head_digest);
    show(f, g); /* asked for, not granted */
    assert_head(&g->h.evidence, &g->app.head_digest);
    call_under(g, &first);

    /* Granted or not, callers see the head that they have verified. */
    answer_under(g, 2, 3600000000, 0, &grant);
    assert_int_equal(agent_enclave_grant(g->h.enclave, rd_buf_bytes(&grant), &err), 0);
    show(f, g);
    assert_head(&g->h.evidence, &g->app.head_digest);
    call_under(g, &first);

    /* Never back: a grant is asked under the newest head that was seen. */
    offer_bad(f, g, rd_buf_bytes(&g->app.head), "head 1 is older than head 2", &next.head_digest);
    offer(f, g, RD_BYTES_NULL);
    assert_head(&g->h.wish, &next.head_digest);
    rd_buf_done(&next.head);
    agent_enclave_stop(g->h.enclave);
    wait_ended(f, g);
    finish(g);
    free(g);
}

/* R32: the newest head withdraws the release, moves to another key service or has other secrets. Nothing is asked under
 * the one before any more, until the owners list again what runs; meanwhile it serves out its term. */
static void test_superseded(void **state)
{
    fixture *f = *state;
    granted *g = rd_alloc(sizeof *g);
    begin(f, g);
    give(g, 3600000000, 0);
    wait_serving(f, g);
    test_app at = g->app, fits;
    offer_row(f, g, &at, &(test_app_spec){ .kms = &g->kms.id, .seq = 2, .lists_other_release = true },
              "it does not list the release");
    offer_row(f, g, &at, &(test_app_spec){ .kms = &g->kms.id, .seq = 3, .secrets = 1 },
              "its secrets are others than those that were read here");
    offer_row(f, g, &at, &(test_app_spec){ .seq = 4 }, "it names another key service");
    offer_unfit(f, g, RD_BYTES_NULL, NULL);
    offer_unfit(f, g, rd_buf_bytes(&at.head), "it names another key service");
    g->h.logs[0] = 0;
    make_next(&at, (test_app_spec){ .kms = &g->kms.id, .seq = 5 }, &fits);
    offer(f, g, rd_buf_bytes(&fits.head));
    assert_head(&g->h.wish, &fits.head_digest);
    assert_string_equal(g->h.logs, "");
    rd_buf_done(&fits.head);
    rd_buf_done(&at.head);
    agent_enclave_stop(g->h.enclave);
    wait_ended(f, g);
    finish(g);
    free(g);
}

typedef struct flood {
    int fd;
    size_t count;    /* of requests */
    size_t answered; /* once its threads are over */
} flood;

/* Requests without a pause, until nobody takes them. */
static void *pour(void *context)
{
    const flood *f = context;
    static const char request[] = "GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n";
    for (size_t i = 0; i < f->count; i++)
        if (send(f->fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)sizeof request - 1)
            break;
    return NULL;
}

static void *count_answers(void *context)
{
    flood *f = context;
    static const char line[] = "HTTP/1.1 200";
    size_t fits = 0;
    char piece[16384];
    ssize_t got;
    while ((got = recv(f->fd, piece, sizeof piece, 0)) > 0)
        for (ssize_t i = 0; i < got; i++) {
            fits = piece[i] == line[fits] ? fits + 1 : piece[i] == line[0];
            f->answered += fits == sizeof line - 1;
            fits = fits == sizeof line - 1 ? 0 : fits;
        }
    return NULL;
}

/* Longer than an answer waits for others to be signed with. */
static const char slow[] = "export default () => { const end = Date.now() + 3; while (Date.now() < end); return new "
                           "Response('slow'); }";

/* R32: callers who never let it rest get no more than the grant covers, and the order to stop is heard among them. */
static void test_flooded(void **state)
{
    fixture *f = *state;
    granted *g = rd_alloc(sizeof *g);
    for (int is_capped = 0; is_capped < 2; is_capped++) {
        begin_app(f, g, slow);
        give(g, 3600000000, is_capped ? 50 : 0);
        wait_serving(f, g);
        flood floods[2];
        pthread_t threads[4];
        size_t answered = 0;
        for (size_t i = 0; i < 2; i++) {
            floods[i] = (flood){ .fd = dial(agent_enclave_socket(g->h.enclave)), .count = 2000 };
            assert_int_equal(pthread_create(&threads[2 * i], NULL, pour, &floods[i]), 0);
            assert_int_equal(pthread_create(&threads[2 * i + 1], NULL, count_answers, &floods[i]), 0);
        }
        if (!is_capped)
            agent_enclave_stop(g->h.enclave);
        wait_ended(f, g);
        for (size_t i = 0; i < 4; i++)
            (void)pthread_join(threads[i], NULL);
        for (size_t i = 0; i < 2; i++) {
            (void)close(floods[i].fd);
            answered += floods[i].answered;
        }
        assert_string_equal(g->h.how, is_capped ? "exit 1" : "exit 0"); /* of itself */
        if (is_capped) {
            assert_string_equal(g->h.reason, "grant_expired");
            assert_in_range(answered, 48, 50); /* the last ones may be on their way when it ends */
        }
        finish(g);
    }
    free(g);
}

/* R32: a third of the requests asks for the next grant, which counts from its own question. */
static void test_counted(void **state)
{
    fixture *f = *state;
    granted *g = rd_alloc(sizeof *g);
    rd_err err = RD_ERR_INIT;
    begin(f, g);
    give(g, 3600000000, 9);
    wait_serving(f, g);
    for (int i = 0; i < 2; i++)
        call(g);
    assert_int_equal(g->h.wishes, 2);
    call(g);
    wait_wish(f, g, 3);
    assert_int_equal(g->h.wish.size, 0);
    g->nonce[0]++;
    assert_int_equal(agent_enclave_nonce(g->h.enclave, g->nonce, RD_BYTES_NULL, &err), 0);
    wait_wish(f, g, 4);
    give(g, 3600000000, 9);
    show(f, g); /* behind the grant on the same stream */
    for (int i = 3; i < 11; i++)
        call(g);
    assert_false(g->h.is_failed);
    call(g);
    wait_ended(f, g);
    assert_string_equal(g->h.reason, "grant_expired");
    finish(g);
    free(g);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "sim-tee") == 0)
        return agent_sim_tee_main(argc - 1, argv + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_terms),      cmocka_unit_test(test_specialised_twice), cmocka_unit_test(test_newer_head),
        cmocka_unit_test(test_superseded), cmocka_unit_test(test_nothing_starts),    cmocka_unit_test(test_counted),
        cmocka_unit_test(test_flooded),
    };
    return cmocka_run_group_tests_name("enclave_grant", tests, group_setup, group_teardown);
}
