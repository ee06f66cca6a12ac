#include "cli/dev_serve.h"

#include "cli/dev_sockets.h"
#include "cli/dev_wire.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/random.h"
#include "common/model/problem.h"
#include "enclave/engine/guest/guest_abi.h"
#include "common/http/field.h"
#include "common/http/head.h"
#include "enclave/world/reserved.h"
#include "enclave/world/world.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_MS    10000 /* for a request to arrive */
#define CONNECT_MS 10000

/* Known to everybody who reads this: keys derived from it are for trying out alone. */
static const uint8_t insecure_app_key[ENCL_APP_KEY_SIZE] = "redoubt dev: no secret at all ..";

typedef struct dev {
    const cli_out *out;
    const cli_manifest *manifest;
    encl_engine *engine;
    encl_world *world;
    encl_app_keys *keys;
    cli_dev_sockets *sockets;
    int caller_fd;
    int64_t began_us; /* of the call under way */
    bool is_streaming, is_caller_gone;
    struct {
        uint64_t id;
        const rd_egress_entry *entry;
    } dialled[ENCL_EGRESS_AT_ONCE];
    size_t dialled_count;
} dev;

/* --- what the engine asks of its host --------------------------------------------------------------------------- */

static int64_t wall_us(void *context RD_UNUSED)
{
    return rd_clock_wall_us(rd_clock_system());
}

static int64_t monotonic_us(void *context RD_UNUSED)
{
    return rd_clock_boot_us(rd_clock_system());
}

static int draw(void *context RD_UNUSED, uint8_t *out, size_t size)
{
    rd_random_bytes(out, size);
    return 0;
}

static void print_line(void *context, encl_log_level level, rd_bytes line)
{
    static const cli_style styles[] = { CLI_DIM, CLI_PLAIN, CLI_YELLOW, CLI_RED };
    const dev *self = context;
    (void)fprintf(stderr, "%s", cli_style_code(self->out, styles[RD_MIN((unsigned)level, 3u)]));
    for (size_t i = 0; i < line.size; i++) { /* a terminal takes no escapes from a handler */
        uint8_t c = line.data[i];
        (void)fputc(c == '\n' || c == '\t' || c >= 0x20 ? c : '?', stderr);
    }
    (void)fprintf(stderr, "%s\n", cli_style_code(self->out, CLI_PLAIN));
}

static int dial(void *context, uint64_t id, const rd_egress_entry *entry, rd_err *err)
{
    dev *self = context;
    if (self->dialled_count == ENCL_EGRESS_AT_ONCE)
        return rd_err_set(err, RD_E_EGRESS_REFUSED, "too many connections at once");
    self->dialled[self->dialled_count].id = id;
    self->dialled[self->dialled_count++].entry = entry;
    return 0;
}

static int connect_one(const struct addrinfo *address)
{
    RD_CLEANUP(rd_close_p)
    int fd = socket(address->ai_family, address->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address->ai_protocol);
    int error = 0;
    socklen_t size = sizeof error;
    if (fd < 0 || (connect(fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS))
        return -1;
    struct pollfd one = { .fd = fd, .events = POLLOUT };
    if (poll(&one, 1, CONNECT_MS) != 1 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0)
        return -1;
    return rd_fd_take(&fd);
}

/* This machine's own resolver and network; what an operator's rules close is open here. */
static void connect_dialled(dev *self, uint64_t id, const rd_egress_entry *entry)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    char host[RD_EGRESS_HOST_MAX + 1], port[8];
    bool is_bracketed = entry->host[0] == '[';
    (void)snprintf(host, sizeof host, "%.*s", (int)(strlen(entry->host) - (is_bracketed ? 2 : 0)),
                   entry->host + is_bracketed);
    (void)snprintf(port, sizeof port, "%u", entry->port);
    bool has_name = getaddrinfo(host, port, &hints, &found) == 0;
    int fd = -1;
    for (const struct addrinfo *one = found; has_name && one && fd < 0; one = one->ai_next)
        fd = connect_one(one);
    if (has_name)
        freeaddrinfo(found);
    encl_egress_connected(encl_world_egress(self->world), id, fd,
                          fd >= 0    ? ENCL_LINE_OPEN
                          : has_name ? ENCL_LINE_UNREACHABLE
                                     : ENCL_LINE_NO_NAME);
}

static int wait_for(void *context, int64_t until_us)
{
    dev *self = context;
    encl_egress *egress = encl_world_egress(self->world);
    for (;;) {
        size_t count = self->dialled_count;
        self->dialled_count = 0;
        for (size_t i = 0; i < count; i++)
            connect_dialled(self, self->dialled[i].id, self->dialled[i].entry);
        bool goes_on = encl_egress_turn(egress);
        int64_t left_us = until_us - monotonic_us(NULL);
        if (encl_egress_has_news(egress) || left_us <= 0)
            return 0;
        struct pollfd fds[1 + ENCL_EGRESS_AT_ONCE] = { { .fd = self->is_caller_gone ? -1 : self->caller_fd,
                                                         .events = POLLRDHUP } };
        nfds_t watched = 1 + encl_egress_watch(egress, fds + 1);
        if (poll(fds, watched, goes_on ? 0 : (int)RD_MIN(left_us / 1000 + 1, 60000)) > 0 &&
            (fds[0].revents & (POLLHUP | POLLERR | POLLRDHUP)) != 0) {
            self->is_caller_gone = true;
            return self->is_streaming ? 0 : -1;
        }
    }
}

static void ask(void *context, uint32_t op, rd_bytes question, rd_buf *reply)
{
    encl_world_ask(((dev *)context)->world, op, question, reply);
}

static bool is_pending(void *context)
{
    return encl_world_is_pending(((dev *)context)->world);
}

static bool send_chunk(void *context, rd_bytes piece)
{
    dev *self = context;
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    rd_buf_printf(&out, "%zx\r\n", piece.size);
    rd_buf_append_bytes(&out, piece);
    rd_buf_append_str(&out, "\r\n");
    self->is_caller_gone = !cli_dev_send(self->caller_fd, rd_buf_bytes(&out));
    return true;
}

static int room(void *context)
{
    return ((const dev *)context)->is_caller_gone ? ENCL_ROOM_GONE : ENCL_ROOM_SOME;
}

static void forget(void *context)
{
    dev *self = context;
    self->dialled_count = 0;
    encl_world_forget(self->world);
}

/* --- loading ---------------------------------------------------------------------------------------------------- */

static int add_secrets(dev *self, const json_t *secrets, rd_err *err)
{
    const char *name;
    json_t *value;
    self->keys = encl_app_keys_new(insecure_app_key);
    json_object_foreach((json_t *)secrets, name, value)
    {
        if (!json_is_string(value))
            return rd_err_set(err, RD_E_JSON_TYPE, "secret %s must be a text", name);
        if (encl_app_keys_add_secret(self->keys, name, rd_bytes_str(json_string_value(value)), err) < 0)
            return -1;
    }
    return 0;
}

static int load(dev *self, const rd_code_bundle *code, const json_t *secrets, rd_err *err)
{
    const rd_release *release = &self->manifest->release;
    const encl_engine_limits limits = encl_world_limits(release);
    const encl_engine_host host = { .wall_us = wall_us,
                                    .monotonic_us = monotonic_us,
                                    .random = draw,
                                    .log = print_line,
                                    .wait = wait_for,
                                    .ask = ask,
                                    .is_pending = is_pending,
                                    .write = send_chunk,
                                    .room = room,
                                    .forget = forget,
                                    .context = self };
    const encl_world_host world = { .egress = { .dial = dial, .time_us = wall_us, .context = self },
                                    .random = draw,
                                    .context = self };
    if (add_secrets(self, secrets, err) < 0)
        return -1;
    self->world = encl_world_new(&release->egress, &world);
    encl_world_set_keys(self->world, self->keys);
    if (encl_engine_new(&host, &limits, &self->engine, err) < 0)
        return -1;
    RD_CLEANUP(rd_buf_done) rd_buf env = { 0 };
    encl_world_env(release, self->keys, &env);
    RD_CLEANUP(rd_free_p) encl_module *modules = rd_alloc_array(code->modules_count, sizeof *modules);
    for (size_t i = 0; i < code->modules_count; i++)
        modules[i] = (encl_module){ .name = code->modules[i].name,
                                    .source = rd_bytes_of(code->modules[i].source, code->modules[i].source_size) };
    return encl_engine_load(self->engine, modules, code->modules_count, code->main, rd_buf_bytes(&env), err);
}

/* --- one request after another ---------------------------------------------------------------------------------- */

static void put_head(rd_buf *out, unsigned status)
{
    rd_buf_printf(out, "HTTP/1.1 %u %s\r\nConnection: close\r\nRedoubt-Dev: unproved\r\n", status,
                  rd_http_reason(status));
}

static void put_problem(rd_buf *out, const rd_err *err, bool is_head)
{
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 };
    (void)rd_problem_write(err, NULL, &body);
    put_head(out, (unsigned)rd_problem_status(err));
    if (err->code == RD_E_WEBSOCKET_VERSION) /* RFC 6455, 4.4 */
        rd_buf_append_str(out, "Sec-WebSocket-Version: 13\r\n");
    rd_buf_printf(out, "Content-Type: " RD_PROBLEM_TYPE "\r\nContent-Length: %zu\r\n\r\n", body.size);
    if (!is_head)
        rd_buf_append_bytes(out, rd_buf_bytes(&body));
}

static void put_response(rd_buf *out, const encl_response *response, bool is_head)
{
    put_head(out, response->status);
    if (response->has_stream)
        rd_buf_append_str(out, is_head ? "" : "Transfer-Encoding: chunked\r\n");
    else if (rd_http_has_length(response->status))
        rd_buf_printf(out, "Content-Length: %zu\r\n", response->body.size);
    for (size_t i = 0; i < response->header_count; i++) {
        if (encl_http_is_reserved(response->headers[i].name))
            continue;
        rd_buf_append_bytes(out, response->headers[i].name);
        rd_buf_append_str(out, ": ");
        rd_buf_append_bytes(out, response->headers[i].value);
        rd_buf_append_str(out, "\r\n");
    }
    rd_buf_append_str(out, "\r\n");
    if (!is_head)
        rd_buf_append_bytes(out, response->body);
}

/* Reads until *in holds size bytes more than it had to; -1 when they do not come. */
static int read_some(int fd, rd_buf *in)
{
    struct pollfd one = { .fd = fd, .events = POLLIN };
    uint8_t *room = rd_buf_reserve(in, 65536);
    if (!room || poll(&one, 1, READ_MS) != 1)
        return -1;
    ssize_t got = recv(fd, room, 65536, 0);
    if (got <= 0)
        return -1;
    rd_buf_commit(in, (size_t)got);
    return 0;
}

static int read_request(int fd, uint64_t body_max, rd_buf *in, rd_http_head *ret, rd_err *err)
{
    size_t scanned = 0;
    int outcome = RD_HTTP_MORE;
    while (outcome == RD_HTTP_MORE) {
        if (read_some(fd, in) < 0)
            return rd_err_set(err, RD_E_CANCELLED, "the caller left");
        outcome = rd_http_head_parse(rd_buf_bytes(in), 0, &scanned, ret, err);
    }
    if (outcome < 0)
        return -1;
    if (ret->content_length > body_max)
        return rd_err_set(err, RD_E_REQUEST_TOO_LARGE, "a body of %llu bytes, the manifest allows %llu",
                          (unsigned long long)ret->content_length, (unsigned long long)body_max);
    size_t head_size = ret->head_size;
    uint64_t wanted = head_size + ret->content_length;
    while (in->size < wanted) {
        if (read_some(fd, in) < 0)
            return rd_err_set(err, RD_E_CANCELLED, "the caller left");
    }
    scanned = 0; /* the buffer may have moved */
    return rd_http_head_parse(rd_buf_bytes(in), 0, &scanned, ret, err);
}

static int call(dev *self, const rd_http_head *request, rd_bytes body, bool is_event, encl_response *ret, rd_err *err)
{
    encl_header headers[RD_HTTP_COUNT_MAX + 1];
    RD_CLEANUP(rd_buf_done) rd_buf url = { 0 };
    encl_request passed = { .method = request->method, .headers = headers, .body = body };
    for (size_t i = 0; i < request->headers_count; i++) {
        if (!encl_http_is_reserved(request->headers[i].name))
            headers[passed.header_count++] =
                (encl_header){ .name = request->headers[i].name, .value = request->headers[i].value };
    }
    if (is_event)
        headers[passed.header_count++] =
            (encl_header){ .name = RD_BYTES_LIT(ENCL_WS_EVENT_HEADER), .value = RD_BYTES_LIT("1") };
    rd_buf_append_str(&url, "http://");
    rd_buf_append_bytes(&url, request->host.size ? request->host : RD_BYTES_LIT("localhost"));
    rd_buf_append_bytes(&url, request->target);
    passed.url = rd_buf_bytes(&url);
    encl_world_begin(self->world);
    return encl_engine_call(self->engine, &passed, ret, err);
}

/* The body of an answer that leaves while it is made; one that is cut has no last chunk. */
static int stream(dev *self, bool *ret_background, rd_err *err)
{
    self->is_streaming = true;
    int outcome = encl_engine_stream(self->engine, ret_background, err);
    self->is_streaming = false;
    if (outcome == 0)
        (void)cli_dev_send(self->caller_fd, RD_BYTES_LIT("0\r\n\r\n"));
    return outcome;
}

static void say(const dev *self, const char *what, unsigned status, const rd_err *err)
{
    uint32_t asked = 0, failed = 0;
    char outside[64] = "";
    encl_world_counts(self->world, &asked, &failed);
    if (asked > 0)
        (void)snprintf(outside, sizeof outside, ", %u request%s out, %u failed", asked, asked == 1 ? "" : "s", failed);
    (void)fprintf(stderr, "%s%s  %u  %.1f ms%s%s%s%s\n", cli_style_code(self->out, status < 400 ? CLI_GREEN : CLI_RED),
                  what, status, (double)(monotonic_us(NULL) - self->began_us) / 1000.0, outside, err ? "  " : "",
                  err ? err->text : "", cli_style_code(self->out, CLI_PLAIN));
}

/* What is left is done without the caller. */
static void put_back(dev *self, bool has_background)
{
    rd_err err = RD_ERR_INIT;
    self->caller_fd = -1;
    if (has_background && encl_engine_finish(self->engine, &err) < 0)
        (void)fprintf(stderr, "waitUntil: %s\n", err.text);
    encl_engine_reset(self->engine);
}

/* --- WebSockets -------------------------------------------------------------------------------------------------- */

static int call_event(void *context, const rd_http_head *request, rd_bytes event, encl_response *ret, rd_err *err)
{
    dev *self = context;
    self->caller_fd = -1; /* between events its own loop looks at a socket */
    self->is_caller_gone = false;
    self->began_us = monotonic_us(NULL);
    return call(self, request, event, true, ret, err);
}

static void end_event(void *context, const encl_response *response, const char *line, const rd_err *err)
{
    dev *self = context;
    say(self, line, err ? (unsigned)rd_problem_status(err) : response->status, err);
    put_back(self, !err && response->has_background);
}

/* Answers with a problem, unless the socket is open. */
static void open_socket(dev *self, int *fd, const rd_http_head *request, rd_bytes rest)
{
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    rd_err err = RD_ERR_INIT;
    if (cli_dev_sockets_open(self->sockets, request, rest, fd, &err) == 0)
        return;
    put_problem(&out, &err, false);
    (void)cli_dev_send(*fd, rd_buf_bytes(&out));
    (void)shutdown(*fd, SHUT_WR);
}

/* --- one request after another ----------------------------------------------------------------------------------- */

static void answer(dev *self, int *fd, const rd_err *load_error)
{
    RD_CLEANUP(rd_buf_done) rd_buf in = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    rd_http_head request = { .method = { NULL, 0 } };
    encl_response response = { .status = 500 };
    rd_err err = RD_ERR_INIT;
    bool is_loaded = self && !load_error;
    uint64_t body_max = self ? self->manifest->release.limits.request_bytes : RD_BODY_BYTES_MAX;
    int outcome = read_request(*fd, body_max, &in, &request, &err);
    if (outcome < 0 && err.code == RD_E_CANCELLED)
        return;
    if (outcome == 0 && is_loaded && encl_ws_is_upgrade(&request)) {
        open_socket(self, fd, &request, rd_bytes_of(in.data + request.head_size, in.size - request.head_size));
        return;
    }
    if (outcome == 0 && !is_loaded) {
        err = *load_error;
        outcome = -1;
    } else if (outcome == 0) {
        self->caller_fd = *fd;
        self->is_caller_gone = false;
        self->began_us = monotonic_us(NULL);
        rd_bytes body = rd_bytes_of(in.data + request.head_size, (size_t)request.content_length);
        outcome = call(self, &request, body, false, &response, &err);
    }
    bool is_head = rd_bytes_equal(request.method, RD_BYTES_LIT("HEAD"));
    if (outcome < 0)
        put_problem(&out, &err, is_head);
    else
        put_response(&out, &response, is_head);
    (void)cli_dev_send(*fd, rd_buf_bytes(&out));
    if (outcome == 0 && response.has_stream && !is_head)
        outcome = stream(self, &response.has_background, &err);
    (void)shutdown(*fd, SHUT_WR);
    if (!is_loaded)
        return;
    char what[256];
    (void)snprintf(what, sizeof what, "%.*s %.*s", (int)RD_MIN(request.method.size, (size_t)32),
                   (const char *)request.method.data, (int)RD_MIN(request.target.size, (size_t)200),
                   (const char *)request.target.data);
    say(self, what, outcome < 0 ? (unsigned)rd_problem_status(&err) : response.status, outcome < 0 ? &err : NULL);
    put_back(self, response.has_background);
}

static void serve(dev *self, int listen_fd, const rd_err *load_error) RD_NORETURN;

static void serve(dev *self, int listen_fd, const rd_err *load_error)
{
    for (;;) {
        struct pollfd watched[1 + CLI_DEV_SOCKETS_MAX] = { { .fd = listen_fd, .events = POLLIN } };
        nfds_t sockets = self && self->sockets ? cli_dev_sockets_watch(self->sockets, watched + 1) : 0;
        if (poll(watched, 1 + sockets, -1) < 0) {
            if (errno != EINTR) /* the engine's alarm */
                _exit(1);
            continue;
        }
        if (sockets > 0)
            cli_dev_sockets_turn(self->sockets, watched + 1, sockets);
        if (watched[0].revents == 0)
            continue;
        RD_CLEANUP(rd_close_p) int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            answer(self, &fd, load_error);
        else if (errno != EINTR && errno != ECONNABORTED)
            _exit(1);
    }
}

void cli_dev_serve(const cli_out *out, const cli_manifest *manifest, const rd_code_bundle *code, const json_t *secrets,
                   int listen_fd)
{
    dev self = { .out = out, .manifest = manifest, .caller_fd = -1 };
    rd_err err = RD_ERR_INIT;
    int64_t began_us = monotonic_us(NULL);
    if (load(&self, code, secrets, &err) < 0) {
        cli_print_error(out, &err, NULL);
        serve(&self, listen_fd, &err);
    }
    if (self.manifest->release.machine == RD_MACHINE_SHARED)
        cli_note(out, "one machine for all callers: what the handler keeps of one can reach another");
    cli_note(out, "loaded %zu module%s in %.0f ms", code->modules_count, code->modules_count == 1 ? "" : "s",
             (double)(monotonic_us(NULL) - began_us) / 1000.0);
    const cli_dev_sockets_host host = { .call = call_event, .done = end_event, .context = &self };
    self.sockets = cli_dev_sockets_new(&host, (size_t)manifest->release.limits.request_bytes);
    serve(&self, listen_fd, NULL);
}

void cli_dev_serve_error(int listen_fd, const rd_err *err)
{
    serve(NULL, listen_fd, err);
}
