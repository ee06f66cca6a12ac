// link: agent_core rd_attest rd_io rd_model rd_crypto rd_base PkgConfig::uv
// needs: redoubt-enclave
/* R77: real enclaves that ask their owner's webhook, over the agent's way out, before they ask for a grant. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include "agent/egress.h"
#include "tests/support/granted.h"

/* Longer than an owner has for his answer. */
static const char slow_hello[] = "export default async request => {"
                                 "  if (request.url.endsWith('/slow')) await new Promise(go => setTimeout(go, 5200));"
                                 "  return new Response('hello');"
                                 "};";

typedef enum owner_mood { SAYS_YES, SAYS_NO, SAYS_NOTHING } owner_mood;

/* The owner's service: one question a connection. */
typedef struct owner {
    pthread_t thread;
    int listen_fd, silent_fd;
    rd_buf unsaid; /* what would have been answered there */
    _Atomic owner_mood mood;
    _Atomic unsigned asked;
    rd_signing_key *key;
    rd_webhook webhook;
} owner;

/* The body of a request: what stands behind the empty line, as long as content-length says. */
static bool read_body(int fd, rd_buf *request, rd_bytes *ret)
{
    for (;;) {
        uint8_t *into = rd_buf_reserve(request, 65536);
        ssize_t got = read(fd, into, 65536);
        if (got <= 0)
            return false;
        rd_buf_commit(request, (size_t)got);
        const char *text = rd_buf_text(request), *end = strstr(text, "\r\n\r\n");
        const char *length = strstr(text, "content-length: ");
        if (end == NULL || length == NULL)
            continue;
        *ret = rd_bytes_of(end + 4, request->size - (size_t)(end + 4 - text));
        if (ret->size == strtoul(length + 16, NULL, 10))
            return true;
    }
}

static void answer_question(const owner *o, rd_bytes body, rd_buf *ret)
{
    RD_CLEANUP(rd_webhook_question_done) rd_webhook_question question = { .statement = { 0 } };
    uint8_t yes[RD_WEBHOOK_ANSWER_SIZE];
    if (o->mood == SAYS_NO)
        (void)!rd_webhook_no_write("not today", ret, NULL);
    else if (rd_webhook_question_read(body, &question, NULL) == 0 &&
             rd_webhook_sign(o->key, &question.kms, rd_buf_bytes(&question.statement), 0, yes, NULL) == 0)
        (void)!rd_webhook_yes_write(yes, ret, NULL);
}

static void *run_owner(void *context)
{
    owner *o = context;
    for (;;) {
        RD_CLEANUP(rd_buf_done) rd_buf request = { 0 };
        RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
        RD_CLEANUP(rd_buf_done) rd_buf response = { 0 };
        rd_bytes body;
        int fd = accept(o->listen_fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        if (read_body(fd, &request, &body)) {
            answer_question(o, body, &text);
            rd_buf_printf(&response, "HTTP/1.1 200 OK\r\ncontent-length: %zu\r\n\r\n", text.size);
            rd_buf_append_bytes(&response, rd_buf_bytes(&text));
            if (o->mood == SAYS_NOTHING) {
                rd_close_p(&o->silent_fd);
                o->silent_fd = fd;
                rd_buf_clear(&o->unsaid);
                rd_buf_append_bytes(&o->unsaid, rd_buf_bytes(&response));
                o->asked++;
                continue;
            }
            o->asked++;
            (void)!write(fd, response.data, response.size);
        }
        (void)close(fd);
    }
}

static void owner_init(owner *o)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof address;
    *o = (owner){ .listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .silent_fd = -1 };
    assert_int_equal(bind(o->listen_fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(o->listen_fd, 8), 0);
    assert_int_equal(getsockname(o->listen_fd, (struct sockaddr *)&address, &size), 0);
    o->key = rd_signing_key_new();
    o->webhook = (rd_webhook){ .is_set = true, .is_private = true, .key = *rd_signing_key_public(o->key) };
    (void)snprintf(o->webhook.url, sizeof o->webhook.url, "http://127.0.0.1:%u/ask", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&o->thread, NULL, run_owner, o), 0);
}

static void owner_done(owner *o)
{
    (void)shutdown(o->listen_fd, SHUT_RDWR);
    (void)pthread_join(o->thread, NULL);
    rd_close_p(&o->listen_fd);
    rd_close_p(&o->silent_fd);
    rd_buf_done(&o->unsaid);
    o->key = rd_signing_key_free(o->key);
}

static void nonce_with(granted *g, rd_bytes head)
{
    rd_err err = RD_ERR_INIT;
    g->nonce[0]++;
    g->h.logs[0] = 0;
    g->h.has_logged = false;
    assert_int_equal(agent_enclave_nonce(g->h.enclave, g->nonce, head, &err), 0);
}

static void wait_log(fixture *f, granted *g, const char *said)
{
    run_until(f, &g->h.has_logged);
    assert_non_null(strstr(g->h.logs, said));
}

/* The wish has the owner's answer beside it, or none where there is no webhook. */
static void assert_answer(const granted *g, const rd_webhook *webhook)
{
    RD_CLEANUP(rd_buf_done) rd_buf statement = { 0 };
    uint32_t term_s;
    statement_of(rd_buf_bytes(&g->h.wish), &statement);
    assert_int_equal(
        rd_webhook_accept(webhook, &g->kms.id, rd_buf_bytes(&statement), rd_buf_bytes(&g->h.webhook), &term_s, NULL),
        0);
}

static void wait_asked(fixture *f, const owner *o, unsigned count)
{
    while (o->asked < count)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
}

/* The instance has asked for a way to its owner; the agent, whose loop stands still, has not heard it yet. */
static void wait_way_wanted(const granted *g)
{
    char said[4096];
    ssize_t size;
    uv_os_fd_t fd;
    assert_int_equal(uv_fileno((const uv_handle_t *)&g->h.enclave->control, &fd), 0);
    do {
        struct pollfd one = { .fd = fd, .events = POLLIN };
        assert_int_equal(poll(&one, 1, 60000), 1);
        size = recv(fd, said, sizeof said, MSG_PEEK);
        assert_true(size > 0);
    } while (memmem(said, (size_t)size, "127.0.0.1", 9) == NULL);
}

/* The service's word on a question that the instance has put aside, which hangs up on it. */
static void say_too_late(fixture *f, const owner *o)
{
    char byte;
    (void)!write(o->silent_fd, o->unsaid.data, o->unsaid.size);
    while (recv(o->silent_fd, &byte, 1, MSG_DONTWAIT) != 0)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
}

/* R77: the owner is asked before each grant, by the instance and over the agent's way out; a no at the start ends it,
 * one at a renewal, or a service that says nothing, leaves what serves alone, and so does
 * a call that outlasts the five seconds. The newest head says who is asked. */
static void test_owner_is_asked(void **state)
{
    fixture *f = *state;
    granted *g = rd_alloc(sizeof *g), *refused = rd_alloc(sizeof *refused);
    owner o;
    test_app next, last;
    rd_err err = RD_ERR_INIT;
    static const rd_webhook none;
    agent_egress_rules rules = { .allow_count = 0 };
    bool is_closed = false;
    owner_init(&o);
    const test_app_spec spec = { .source = slow_hello, .time_ms = 8000, .webhook = o.webhook };
    assert_int_equal(agent_egress_rules_allow(&rules, "127.0.0.0/8", &err), 0);
    f->launcher->egress = agent_egress_new(&f->loop, &rules);

    o.mood = SAYS_NO;
    begin_asking(f, refused, spec);
    wait_ended(f, refused);
    assert_string_equal(refused->h.reason, "webhook_refused");
    assert_int_equal(refused->h.wishes, 1); /* the key service was not asked */
    finish(refused);
    free(refused);

    o.mood = SAYS_YES;
    begin_asking(f, g, spec);
    wait_wish(f, g, 2);
    assert_answer(g, &o.webhook);
    give(g, 3600000000, 0);
    wait_serving(f, g);

    nonce_with(g, RD_BYTES_NULL);
    wait_way_wanted(g);
    call_at(g, "/slow"); /* the loop runs on behind it alone */
    wait_wish(f, g, 3);
    assert_answer(g, &o.webhook);

    o.mood = SAYS_NO;
    nonce_with(g, RD_BYTES_NULL);
    wait_log(f, g, "the owner's webhook says no: not today");
    call(g);
    o.mood = SAYS_NOTHING;
    nonce_with(g, RD_BYTES_NULL);
    wait_asked(f, &o, 5);
    call(g); /* while the owner is waited for */
    assert_int_equal(g->h.wishes, 3);
    o.mood = SAYS_YES;
    nonce_with(g, RD_BYTES_NULL); /* what was asked before is void */
    wait_wish(f, g, 4);
    assert_answer(g, &o.webhook);

    o.mood = SAYS_NOTHING;
    nonce_with(g, RD_BYTES_NULL);
    wait_asked(f, &o, 7);
    make_next(&g->app, (test_app_spec){ .kms = &g->kms.id, .seq = 2 }, &next);
    nonce_with(g, rd_buf_bytes(&next.head)); /* nor is the owner asked any more */
    wait_wish(f, g, 5);
    assert_answer(g, &none);
    say_too_late(f, &o);
    call(g);

    o.mood = SAYS_YES;
    rd_webhook changed = o.webhook;
    changed.key = *rd_signing_key_public(g->app.owner);
    make_next(&next, (test_app_spec){ .kms = &g->kms.id, .seq = 3, .webhook = changed }, &last);
    nonce_with(g, rd_buf_bytes(&last.head));
    wait_log(f, g, "not signed by the webhook key of the policy");
    assert_int_equal(o.asked, 8);
    assert_int_equal(g->h.wishes, 5);
    rd_buf_done(&next.head);
    rd_buf_done(&last.head);

    agent_enclave_stop(g->h.enclave);
    wait_ended(f, g);
    finish(g);
    free(g);
    agent_egress_close(f->launcher->egress, on_closed, &is_closed);
    f->launcher->egress = NULL;
    run_until(f, &is_closed);
    owner_done(&o);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "sim-tee") == 0)
        return agent_sim_tee_main(argc - 1, argv + 1);
    (void)signal(SIGPIPE, SIG_IGN); /* as the agent: one side of what it proxies hangs up first */
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_owner_is_asked) };
    return cmocka_run_group_tests_name("enclave_webhook", tests, group_setup, group_teardown);
}
