// link: api_core
/* A whole connection of a front: the first byte says in what pieces the rest comes. However it is cut, the same
 * requests are heard, with the same bodies, in the same order, and as many answers go out. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/front_private.h"
#include "common/base/log.h"
#include "common/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct heard {
    size_t requests, answers;
    rd_buf text;
} heard;

static uv_loop_t loop;
static api_context context;
static api_front *front;
static heard *now;

static void on_request(api_turn *turn, const rd_http_head *head)
{
    rd_bytes body = api_turn_body(turn);
    if (head->target.data[0] != '/' || body.size > 256 || head->method.size > 32)
        abort();
    now->requests++;
    (void)rd_buf_append_bytes(&now->text, head->method);
    (void)rd_buf_append_bytes(&now->text, head->target);
    (void)rd_buf_append_bytes(&now->text, body);
    (void)rd_buf_append_u8(&now->text, '\n');
    api_turn_answer(turn, 200);
    api_turn_begin(turn, head->target.size > 1 && head->target.data[1] == 's' && !head->is_old ? -1 : 2,
                   head->target.size > 1 && head->target.data[1] == 'g');
    (void)api_turn_write(turn, RD_BYTES_LIT("ok"));
    api_turn_end(turn);
}

static int on_body(api_turn *turn, const rd_http_head *head, rd_err *err)
{
    api_turn_payer(turn, 'x', RD_BYTES_NULL);
    return head->target.size > 2 ? rd_err_set(err, RD_E_APP_UNKNOWN, "none") : 0;
}

static void on_gone(api_turn *turn)
{
    (void)turn;
    abort(); /* each is answered at once */
}

static void begin(void)
{
    rd_err err = RD_ERR_INIT;
    (void)uv_loop_init(&loop);
    context = (api_context){ .loop = &loop, .clock = rd_clock_system() };
    const api_front_options options = { .context = &context,
                                        .name = "fuzz",
                                        .route = "/",
                                        .listen = "127.0.0.1:0",
                                        .body_max = 256,
                                        .body_memory_max = 4096,
                                        .on_body = on_body,
                                        .on_request = on_request,
                                        .on_gone = on_gone };
    rd_log_init("fuzz", RD_ERROR, 2);
    if (api_front_new(&options, &front, &err) < 0)
        abort();
}

/* False: nothing came. */
static bool hear(int fd, rd_buf *received)
{
    char bytes[8192];
    ssize_t size;
    bool has_heard = false;
    for (; (size = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0; has_heard = true)
        rd_buf_append(received, bytes, (size_t)size);
    return has_heard;
}

static size_t count_answers(const rd_buf *received)
{
    size_t count = 0;
    if (received->size == 0)
        return 0;
    const char *at = (const char *)received->data, *end = at + received->size;
    for (; (at = memmem(at, (size_t)(end - at), "HTTP/1.1 ", 9)); at++)
        count += end - at < 12 || memcmp(at + 9, "100", 3) != 0;
    return count;
}

static void run(const uint8_t *data, size_t size, size_t piece, heard *ret)
{
    int fds[2];
    RD_CLEANUP(rd_buf_done) rd_buf received = { 0 };
    *ret = (heard){ 0 };
    now = ret;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
        abort();
    api_turn *c = front_connection_new(front);
    if (uv_tcp_open(&c->socket, fds[0]) < 0)
        abort();
    front_wait_for(c, WAIT_IDLE);
    front_read_start(c);
    for (size_t at = 0; at < size; at += piece) {
        if (send(fds[1], data + at, RD_MIN(piece, size - at), MSG_NOSIGNAL) < 0)
            break;
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        (void)hear(fds[1], &received);
    }
    /* Whoever hangs up has taken back what was not looked at: first it reads all that is there. */
    for (bool is_quiet = false; !is_quiet;) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        is_quiet = !hear(fds[1], &received);
    }
    (void)shutdown(fds[1], SHUT_WR);
    for (int i = 0; front->count > 0 && i < 100; i++) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        (void)hear(fds[1], &received);
    }
    if (front->count > 0)
        abort();
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    (void)hear(fds[1], &received);
    ret->answers = count_answers(&received);
    (void)close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    heard whole, pieces;
    if (!front)
        begin();
    if (size < 2 || size > 4096)
        return 0;
    run(data + 1, size - 1, size, &whole);
    run(data + 1, size - 1, (size_t)data[0] % 61 + 1, &pieces);
    if (whole.requests != pieces.requests || whole.answers < whole.requests ||
        !rd_bytes_equal(rd_buf_bytes(&whole.text), rd_buf_bytes(&pieces.text)))
        abort();
    rd_buf_done(&whole.text);
    rd_buf_done(&pieces.text);
    return 0;
}
