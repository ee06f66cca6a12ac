/* R77: the owner's webhook as an instance asks it, with a hostile service behind it and a hostile agent before it: what
 * is slow, huge, redirected, signed by another key or for an earlier start gives no answer; the function's own
 * connections go on beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "enclave/runtime/hook.h"

#define SECOND INT64_C(1000000)

typedef struct fixture {
    int epoll_fd, agent_fd;
    struct sockaddr_un address; /* the control listener's */
    socklen_t address_size;
    encl_uplink uplink;
    encl_lines lines;
    encl_platform *platform;
    encl_hook *hook;
    rd_signing_key *key;
    rd_webhook webhook;
    rd_kms_id kms;
    uint64_t asked; /* questions so far */
    int64_t now_us;
} fixture;

static int setup(void **state)
{
    fixture *f = rd_alloc(sizeof(*f));
    int control[2];
    rd_err err = RD_ERR_INIT;
    f->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    f->address.sun_family = AF_UNIX;
    int listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(listen_fd, (struct sockaddr *)&f->address, sizeof(sa_family_t)), 0); /* a name of its own */
    f->address_size = sizeof(f->address);
    assert_int_equal(getsockname(listen_fd, (struct sockaddr *)&f->address, &f->address_size), 0);
    assert_int_equal(listen(listen_fd, 64), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, control), 0);
    f->agent_fd = control[1];
    assert_int_equal(encl_uplink_init(&f->uplink, f->epoll_fd, control[0], listen_fd, &err), 0);
    assert_int_equal(encl_uplink_listen(&f->uplink, &err), 0);
    encl_lines_init(&f->lines, &f->uplink);
    f->platform = encl_platform_skeleton_new();
    f->hook = encl_hook_new(&f->lines, f->platform);
    f->key = rd_signing_key_new();
    f->webhook = (rd_webhook){ .is_set = true,
                               .is_private = true,
                               .key = *rd_signing_key_public(f->key),
                               .url = "http://grants.example:8080/ask?x=1" };
    f->kms = (rd_kms_id){ { 7 } };
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    f->hook = encl_hook_free(f->hook);
    f->key = rd_signing_key_free(f->key);
    encl_platform_free(f->platform);
    encl_lines_done(&f->lines);
    encl_uplink_done(&f->uplink);
    rd_close_p(&f->agent_fd);
    rd_close_p(&f->epoll_fd);
    free(f);
    return 0;
}

/* Asks about this statement; what the agent hears of it. */
static void ask(fixture *f, const char *statement)
{
    char order[128], said[512];
    rd_err err = RD_ERR_INIT;
    const encl_hook_question question = { .webhook = &f->webhook,
                                          .kms = &f->kms,
                                          .statement = rd_bytes_str(statement),
                                          .evidence = RD_BYTES_LIT("evidence") };
    assert_int_equal(encl_hook_ask(f->hook, &question, f->now_us, &err), 0);
    (void)snprintf(order, sizeof(order), "{\"host\":\"grants.example\",\"id\":%llu,\"port\":8080,\"private\":true}",
                   (unsigned long long)(ENCL_LINE_OF_HOOK + ++f->asked));
    ssize_t size = read(f->agent_fd, said, sizeof(said));
    assert_true(size > 0 && memmem(said, (size_t)size, order, strlen(order)) != NULL);
    assert_true(encl_hook_is_asking(f->hook));
}

/* The agent calls in. */
static int call(const fixture *f, uint64_t id, uint8_t outcome)
{
    uint8_t preamble[ENCL_LINE_PREAMBLE] = { [8] = outcome };
    for (int i = 0; i < 8; i++)
        preamble[i] = (uint8_t)(id >> 8 * (7 - i));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&f->address, f->address_size), 0);
    assert_int_equal(write(fd, preamble, sizeof(preamble)), sizeof(preamble));
    return fd;
}

static bool is_hung_up(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

/* Turns until something comes of it, or nothing more can. RD_OK: a yes; RD_CODE_COUNT: it still waits. */
static rd_code turn(fixture *f, rd_err *err)
{
    uint8_t answer[RD_WEBHOOK_ANSWER_SIZE];
    *err = (rd_err)RD_ERR_INIT;
    for (int i = 0; i < 50; i++) {
        int outcome = encl_hook_turn(f->hook, f->now_us, answer, err);
        if (outcome != 0) {
            assert_false(encl_hook_is_asking(f->hook));
            return outcome > 0 ? RD_OK : err->code;
        }
    }
    return RD_CODE_COUNT;
}

static rd_buf yes(const rd_signing_key *key, const fixture *f, const char *statement)
{
    uint8_t answer[RD_WEBHOOK_ANSWER_SIZE];
    rd_buf text = { 0 };
    assert_int_equal(rd_webhook_sign(key, &f->kms, rd_bytes_str(statement), 0, answer, NULL), 0);
    assert_int_equal(rd_webhook_yes_write(answer, &text, NULL), 0);
    return text;
}

/* The service answers whatever was asked last with these bytes after "HTTP/1.1 ". */
static rd_code answer(fixture *f, const char *status, rd_bytes body, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf response = { 0 };
    int fd = call(f, ENCL_LINE_OF_HOOK + f->asked, ENCL_LINE_OPEN);
    char request[1024];
    rd_buf_printf(&response, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n", status, body.size);
    rd_buf_append_bytes(&response, body);
    assert_int_equal(turn(f, err), RD_CODE_COUNT);
    ssize_t size = read(fd, request, sizeof(request));
    assert_true(size > 0 && memcmp(request, "POST /ask?x=1 HTTP/1.1\r\nhost: grants.example:8080\r\n", 51) == 0);
    assert_int_equal(write(fd, response.data, response.size), (ssize_t)response.size);
    rd_code code = turn(f, err);
    assert_true(is_hung_up(fd));
    (void)close(fd);
    return code;
}

static void test_a_yes(void **state)
{
    fixture *f = *state;
    rd_err err;
    uint8_t none[RD_WEBHOOK_ANSWER_SIZE];
    assert_int_equal(encl_hook_turn(f->hook, 0, none, &err), 0); /* nobody was asked */
    ask(f, "one");
    RD_CLEANUP(rd_buf_done) rd_buf first = yes(f->key, f, "one");
    assert_int_equal(answer(f, "200 OK", rd_buf_bytes(&first), &err), RD_OK);
    ask(f, "two"); /* the answer of an earlier start is none to this one */
    assert_int_equal(answer(f, "200 OK", rd_buf_bytes(&first), &err), RD_E_WEBHOOK_ANSWER);
    ask(f, "three");
    RD_CLEANUP(rd_buf_done) rd_buf third = yes(f->key, f, "three");
    assert_int_equal(answer(f, "200 OK", rd_buf_bytes(&third), &err), RD_OK);
}

static void test_no_answers(void **state)
{
    fixture *f = *state;
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *other = rd_signing_key_new();
    rd_err err;
    RD_CLEANUP(rd_buf_done) rd_buf good = yes(f->key, f, "s");
    RD_CLEANUP(rd_buf_done) rd_buf foreign = yes(other, f, "s");
    RD_CLEANUP(rd_buf_done) rd_buf huge = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf padded = { 0 };
    rd_buf_append_bytes(&padded, rd_buf_bytes(&good));
    while (padded.size < RD_WEBHOOK_JSON_MAX)
        rd_buf_append_u8(&padded, ' ');
    rd_buf_append_bytes(&huge, rd_buf_bytes(&padded));
    rd_buf_append_u8(&huge, ' ');
    const struct {
        const char *status;
        rd_bytes body;
        rd_code code;
        const char *said;
    } rows[] = {
        { "200 OK", rd_buf_bytes(&padded), RD_OK, "" },
        { "200 OK", rd_buf_bytes(&huge), RD_E_WEBHOOK_REQUIRED, "webhook: grants.example:8080: " },
        { "200 OK", rd_buf_bytes(&foreign), RD_E_WEBHOOK_ANSWER, "not signed by the webhook key" },
        { "200 OK", RD_BYTES_LIT("{\"type\":\"redoubt/webhook-answer/v1\",\"allow\":false,\"reason\":\"two run\"}"),
          RD_E_WEBHOOK_REFUSED, "says no: two run" },
        { "200 OK", RD_BYTES_LIT("yes"), RD_E_WEBHOOK_ANSWER, "form" },
        { "200 OK", RD_BYTES_NULL, RD_E_WEBHOOK_ANSWER, "form" },
        { "201 Created", rd_buf_bytes(&good), RD_E_WEBHOOK_REQUIRED, "status 201" },
        { "302 Found\r\nLocation: /other", rd_buf_bytes(&good), RD_E_WEBHOOK_REQUIRED, "redirects" },
        { "503 Busy", rd_buf_bytes(&good), RD_E_WEBHOOK_REQUIRED, "status 503" },
        { "OK", rd_buf_bytes(&good), RD_E_WEBHOOK_REQUIRED, "does not begin as HTTP" },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        ask(f, "s");
        rd_code code = answer(f, rows[i].status, rows[i].body, &err);
        if (code != rows[i].code || strstr(err.text, rows[i].said) == NULL)
            fail_msg("row %zu: %s: %s", i, rd_code_describe(code)->name, err.text);
    }
}

/* Five seconds, wherever it stands; whoever sends byte by byte has no more. */
static void test_slow(void **state)
{
    fixture *f = *state;
    rd_err err;
    ask(f, "s");
    assert_int_equal(encl_hook_timeout_ms(f->hook, f->now_us), 5000);
    f->now_us += 5 * SECOND - 1;
    assert_int_equal(turn(f, &err), RD_CODE_COUNT);
    f->now_us++;
    assert_int_equal(turn(f, &err), RD_E_WEBHOOK_REQUIRED);
    assert_non_null(strstr(err.text, "no answer within five seconds"));
    int late = call(f, ENCL_LINE_OF_HOOK + f->asked, ENCL_LINE_OPEN);
    ask(f, "t");
    int fd = call(f, ENCL_LINE_OF_HOOK + f->asked, ENCL_LINE_OPEN);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(turn(f, &err), RD_CODE_COUNT);
        assert_int_equal(write(fd, "H" + (i > 0), i == 0), i == 0);
        f->now_us += SECOND;
    }
    assert_int_equal(turn(f, &err), RD_E_WEBHOOK_REQUIRED);
    assert_true(is_hung_up(late)); /* it was for a question that is over */
    (void)close(late);
    (void)close(fd);
}

/* The instance had a call to do. */
static void work(fixture *f, int64_t took_us)
{
    f->now_us += took_us;
    encl_hook_delayed(f->hook, took_us);
}

/* Calls that leave the hook a turn each two seconds, or ten, cost a question nothing; what keeps it up for longer than
 * a minute, or lets it have its turns, does. */
static void test_busy(void **state)
{
    fixture *f = *state;
    rd_err err;
    ask(f, "s");
    for (int i = 0; i < 4; i++) {
        work(f, i % 2 == 0 ? 2 * SECOND : 10 * SECOND);
        assert_int_equal(turn(f, &err), RD_CODE_COUNT);
    }
    RD_CLEANUP(rd_buf_done) rd_buf text = yes(f->key, f, "s");
    assert_int_equal(answer(f, "200 OK", rd_buf_bytes(&text), &err), RD_OK);

    ask(f, "t"); /* the minute is each question's own */
    work(f, 40 * SECOND);
    assert_int_equal(encl_hook_timeout_ms(f->hook, f->now_us), 4900);
    work(f, 20 * SECOND - 1);
    assert_int_equal(turn(f, &err), RD_CODE_COUNT);
    work(f, 1);
    assert_int_equal(turn(f, &err), RD_E_WEBHOOK_REQUIRED);

    ask(f, "u");
    for (int i = 0; i < 50; i++) {
        assert_int_equal(turn(f, &err), RD_CODE_COUNT);
        work(f, SECOND / 10);
    }
    assert_int_equal(turn(f, &err), RD_E_WEBHOOK_REQUIRED);
}

static void test_who_asks_again_has_one_question(void **state)
{
    fixture *f = *state;
    rd_err err;
    ask(f, "one");
    int first = call(f, ENCL_LINE_OF_HOOK + f->asked, ENCL_LINE_OPEN);
    assert_int_equal(turn(f, &err), RD_CODE_COUNT);
    ask(f, "two");
    char request[1024];
    assert_true(recv(first, request, sizeof(request), MSG_DONTWAIT) > 0);
    assert_true(is_hung_up(first));
    RD_CLEANUP(rd_buf_done) rd_buf text = yes(f->key, f, "two");
    assert_int_equal(answer(f, "200 OK", rd_buf_bytes(&text), &err), RD_OK);
    (void)close(first);
}

static void test_forgotten(void **state)
{
    fixture *f = *state;
    rd_err err;
    ask(f, "s");
    int fd = call(f, ENCL_LINE_OF_HOOK + f->asked, ENCL_LINE_OPEN);
    assert_int_equal(turn(f, &err), RD_CODE_COUNT);
    encl_hook_forget(f->hook);
    assert_false(encl_hook_is_asking(f->hook));
    char request[1024];
    assert_true(recv(fd, request, sizeof(request), MSG_DONTWAIT) > 0);
    assert_true(is_hung_up(fd));
    assert_int_equal(turn(f, &err), RD_CODE_COUNT);
    (void)close(fd);
}

static void test_the_agent_says_no_or_goes(void **state)
{
    fixture *f = *state;
    rd_err err;
    ask(f, "s");
    (void)close(call(f, f->asked, ENCL_LINE_OPEN)); /* the function's first line: nobody waits for it */
    assert_int_equal(turn(f, &err), RD_CODE_COUNT);
    (void)close(call(f, ENCL_LINE_OF_HOOK + f->asked, ENCL_LINE_REFUSED));
    assert_int_equal(turn(f, &err), RD_E_WEBHOOK_REQUIRED);
    assert_non_null(strstr(err.text, "the host refuses this address"));
    ask(f, "s");
    rd_close_p(&f->agent_fd);
    assert_int_equal(turn(f, &err), RD_E_WEBHOOK_REQUIRED);
    assert_non_null(strstr(err.text, "agent went away"));
    const encl_hook_question question = { .webhook = &f->webhook, .kms = &f->kms };
    assert_int_equal(encl_hook_ask(f->hook, &question, 0, &err), -1);
    assert_int_equal(err.code, RD_E_WEBHOOK_REQUIRED);
}

static int function_dial(void *context, uint64_t id, const rd_egress_entry *entry, rd_err *err)
{
    return encl_lines_ask(&((fixture *)context)->lines, id, entry, err);
}

static int64_t function_time(void *context)
{
    (void)context;
    return 0;
}

/* A call of the function takes the lines of both, each to whom it belongs. */
static void test_beside_the_function(void **state)
{
    fixture *f = *state;
    rd_err err = RD_ERR_INIT;
    const encl_egress_host host = { .dial = function_dial, .time_us = function_time, .context = f };
    rd_egress_entry place = { .host = "plain.example", .port = 80, .is_plain = true };
    rd_egress list = { .count = 0 };
    uint32_t id = 0;
    unsigned status = 0;
    char request[1024];
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 };
    assert_int_equal(rd_egress_add(&list, &place, &err), 0);
    encl_egress *egress = encl_egress_new(&list, &host);
    encl_egress_begin(egress);
    ask(f, "s");
    const encl_fetch fetch = { .entry = &list.items[0], .method = RD_BYTES_LIT("GET"), .target = RD_BYTES_LIT("/") };
    assert_int_equal(encl_egress_start(egress, &fetch, &id, &err), 0);
    int hooks = call(f, ENCL_LINE_OF_HOOK + 1, ENCL_LINE_OPEN), own = call(f, 1, ENCL_LINE_OPEN);
    encl_lines_turn(&f->lines, egress);
    (void)encl_egress_turn(egress);
    assert_true(read(own, request, sizeof(request)) > 0 && memcmp(request, "GET / ", 6) == 0);
    assert_int_equal(write(own, "HTTP/1.1 204 No\r\n\r\n", 19), 19);
    (void)encl_egress_turn(egress);
    assert_int_equal(encl_egress_whole(egress, id, &status, &body, &err), 1);
    assert_int_equal(status, 204);
    assert_int_equal(turn(f, &err), RD_CODE_COUNT);
    assert_true(read(hooks, request, sizeof(request)) > 0 && memcmp(request, "POST /ask", 9) == 0);
    (void)close(hooks);
    assert_int_equal(turn(f, &err), RD_E_WEBHOOK_REQUIRED);
    (void)close(own);
    encl_egress_free(egress);
    rd_egress_done(&list);
}

int main(void)
{
#define ROW(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        ROW(test_a_yes),
        ROW(test_no_answers),
        ROW(test_slow),
        ROW(test_busy),
        ROW(test_who_asks_again_has_one_question),
        ROW(test_forgotten),
        ROW(test_the_agent_says_no_or_goes),
        ROW(test_beside_the_function),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
