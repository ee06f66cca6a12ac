#include "enclave/runtime/uplink.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/canonical.h"

#define BACKLOG_MAX      ((size_t)512 << 10)
#define LOG_BACKLOG      ((size_t)64 << 10)
#define RECEIPTS_BACKLOG ((size_t)256 << 10)
#define LINE_MAX         ((size_t)8 << 10)
#define READ_MAX         ((size_t)64 << 10)

static int watch(const encl_uplink *uplink, int operation, int fd, uint32_t events, uint32_t tag)
{
    struct epoll_event event = { .events = events, .data.u32 = tag };
    return epoll_ctl(uplink->epoll_fd, operation, fd, &event);
}

int encl_uplink_init(encl_uplink *uplink, int epoll_fd, int fd, int listen_fd, rd_err *err)
{
    memset(uplink, 0, sizeof(*uplink));
    uplink->epoll_fd = epoll_fd;
    uplink->fd = fd;
    uplink->listen_fd = listen_fd;
    encl_control_init(&uplink->control);
    rd_buf_init(&uplink->out, BACKLOG_MAX);
    if (watch(uplink, EPOLL_CTL_ADD, fd, EPOLLIN, ENCL_UPLINK_TAG) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "watching the control stream");
    return 0;
}

void encl_uplink_done(encl_uplink *uplink)
{
    encl_control_done(&uplink->control);
    rd_buf_done(&uplink->out);
    rd_close_p(&uplink->fd);
    rd_close_p(&uplink->listen_fd);
}

int encl_uplink_listen(encl_uplink *uplink, rd_err *err)
{
    if (watch(uplink, EPOLL_CTL_ADD, uplink->listen_fd, EPOLLIN, ENCL_UPLINK_LISTEN_TAG) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "watching the control listener");
    return 0;
}

static void lose(encl_uplink *uplink)
{
    rd_close_p(&uplink->fd);
    rd_buf_clear(&uplink->out);
    uplink->wants_write = false;
}

int encl_uplink_read(encl_uplink *uplink, rd_err *err)
{
    if (uplink->fd < 0)
        return 0;
    size_t room = encl_control_room(&uplink->control);
    if (room == 0)
        return 0;
    uint8_t chunk[READ_MAX];
    ssize_t got = recv(uplink->fd, chunk, RD_MIN(room, sizeof(chunk)), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got <= 0) {
        lose(uplink);
        return 1;
    }
    return encl_control_feed(&uplink->control, rd_bytes_of(chunk, (size_t)got), err);
}

/* A controller that crashed may be noticed only now. */
static bool is_lost(const encl_uplink *uplink)
{
    char byte;
    if (uplink->fd < 0)
        return true;
    ssize_t got = recv(uplink->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

bool encl_uplink_has_controller(const encl_uplink *uplink)
{
    return !is_lost(uplink);
}

bool encl_uplink_accept(encl_uplink *uplink)
{
    int fd = accept4(uplink->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return false;
    if (!is_lost(uplink)) {
        (void)close(fd);
        return false;
    }
    lose(uplink);
    encl_control_done(&uplink->control);
    encl_control_init_orders(&uplink->control);
    uplink->fd = fd;
    if (watch(uplink, EPOLL_CTL_ADD, fd, EPOLLIN, ENCL_UPLINK_TAG) < 0)
        lose(uplink);
    return uplink->fd >= 0;
}

int encl_uplink_accept_line(encl_uplink *uplink)
{
    return is_lost(uplink) ? -1 : accept4(uplink->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

void encl_uplink_flush(encl_uplink *uplink)
{
    uplink->is_gathering = false;
    while (uplink->fd >= 0 && uplink->out.size > 0) {
        ssize_t put = send(uplink->fd, uplink->out.data, uplink->out.size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            break; /* full: epoll says when; broken: reading notices */
        rd_buf_consume(&uplink->out, (size_t)put);
    }
    bool wants_write = uplink->fd >= 0 && uplink->out.size > 0;
    if (uplink->fd >= 0 && wants_write != uplink->wants_write)
        (void)watch(uplink, EPOLL_CTL_MOD, uplink->fd, EPOLLIN | (wants_write ? EPOLLOUT : 0), ENCL_UPLINK_TAG);
    uplink->wants_write = wants_write;
    if (uplink->out.size == 0 && uplink->out.capacity > LOG_BACKLOG) {
        rd_buf_done(&uplink->out);
        rd_buf_init(&uplink->out, BACKLOG_MAX);
    }
}

void encl_uplink_finish(encl_uplink *uplink)
{
    for (int tries = 0; tries < 20 && uplink->fd >= 0 && uplink->out.size > 0; tries++) {
        struct pollfd one = { .fd = uplink->fd, .events = POLLOUT };
        if (poll(&one, 1, 50) > 0 && (one.revents & (POLLERR | POLLHUP)) != 0)
            return;
        encl_uplink_flush(uplink);
    }
}

void encl_uplink_send(encl_uplink *uplink, encl_control_type type, rd_bytes payload)
{
    if (uplink->fd < 0 || uplink->out.size + payload.size + 5 > BACKLOG_MAX)
        return;
    (void)encl_control_put(&uplink->out, type, payload);
    if (!uplink->is_gathering)
        encl_uplink_flush(uplink);
}

void encl_uplink_gather(encl_uplink *uplink)
{
    uplink->is_gathering = true;
}

/* JSON strings are UTF-8; what a handler wrote may not be. */
static void put_text(rd_buf *out, rd_bytes text)
{
    if (rd_is_utf8(text) && rd_canonical_put_string(out, text))
        return;
    RD_CLEANUP(rd_buf_done) rd_buf plain = { 0 };
    for (size_t i = 0; i < text.size; i++)
        rd_buf_append_u8(&plain, text.data[i] < 0x80 ? text.data[i] : '?');
    (void)rd_canonical_put_string(out, rd_buf_bytes(&plain));
}

void encl_uplink_log(encl_uplink *uplink, const char *level, rd_bytes line)
{
    if (uplink->out.size > LOG_BACKLOG) {
        uplink->dropped_lines++;
        return;
    }
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_buf_printf(&text, "{\"dropped\":%llu,\"level\":\"%s\",\"text\":", (unsigned long long)uplink->dropped_lines,
                  level);
    uplink->dropped_lines = 0;
    put_text(&text, rd_bytes_of(line.data, RD_MIN(line.size, LINE_MAX)));
    rd_buf_append_u8(&text, '}');
    encl_uplink_send(uplink, ENCL_CONTROL_LOG, rd_buf_bytes(&text));
    encl_uplink_flush(uplink); /* what runs long, or is killed, has said it */
}

void encl_uplink_receipts(encl_uplink *uplink, rd_bytes record)
{
    if (uplink->out.size + record.size <= RECEIPTS_BACKLOG)
        encl_uplink_send(uplink, ENCL_CONTROL_RECEIPTS, record);
}

void encl_uplink_phase(encl_uplink *uplink, const char *phase, const char *reason, const char *detail)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_buf_append_str(&text, "{\"detail\":");
    put_text(&text, rd_bytes_str(detail));
    rd_buf_printf(&text, ",\"phase\":\"%s\",\"reason\":\"%s\"}", phase, reason);
    encl_uplink_send(uplink, ENCL_CONTROL_PHASE, rd_buf_bytes(&text));
}
