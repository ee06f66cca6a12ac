#include "enclave/runtime/lines.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/cursor.h"
#include "common/base/mem.h"

void encl_lines_init(encl_lines *lines, encl_uplink *uplink)
{
    memset(lines, 0, sizeof(*lines));
    lines->uplink = uplink;
    for (size_t i = 0; i < ENCL_LINES_MAX; i++)
        lines->calling[i].fd = -1;
}

void encl_lines_done(encl_lines *lines)
{
    for (size_t i = 0; lines->uplink != NULL && i < ENCL_LINES_MAX; i++)
        rd_close_p(&lines->calling[i].fd);
}

int encl_lines_ask(encl_lines *lines, uint64_t id, const rd_egress_entry *entry, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };

    if (!encl_uplink_has_controller(lines->uplink))
        return rd_err_set(err, RD_E_UNAVAILABLE, "%s:%u: the host's agent is away", entry->host, entry->port);
    /* The host's form was checked: nothing in it needs escaping. */
    rd_buf_printf(&text, "{\"host\":\"%s\",\"id\":%llu,\"port\":%u,\"private\":%s}", entry->host,
                  (unsigned long long)id, entry->port, entry->is_private ? "true" : "false");
    encl_uplink_send(lines->uplink, ENCL_CONTROL_EGRESS, rd_buf_bytes(&text));
    return 0;
}

size_t encl_lines_watch(const encl_lines *lines, struct pollfd *ret)
{
    const encl_uplink *uplink = lines->uplink;
    size_t count = 0;

    if (encl_uplink_has_controller(uplink)) {
        ret[count++] = (struct pollfd){ .fd = uplink->listen_fd, .events = POLLIN };
        ret[count++] = (struct pollfd){ .fd = uplink->fd, .events = POLLRDHUP | (uplink->wants_write ? POLLOUT : 0) };
    }
    for (size_t i = 0; i < ENCL_LINES_MAX; i++) {
        if (lines->calling[i].fd >= 0)
            ret[count++] = (struct pollfd){ .fd = lines->calling[i].fd, .events = POLLIN };
    }
    return count;
}

static void accept_some(encl_lines *lines)
{
    for (size_t i = 0; i < ENCL_LINES_MAX; i++) {
        if (lines->calling[i].fd >= 0)
            continue;
        lines->calling[i].fd = encl_uplink_accept_line(lines->uplink);
        lines->calling[i].got = 0;
        if (lines->calling[i].fd < 0)
            return;
    }
}

static void read_one(encl_lines *lines, size_t i, encl_egress *egress)
{
    uint8_t *preamble = lines->calling[i].preamble;
    size_t missing = ENCL_LINE_PREAMBLE - lines->calling[i].got;
    ssize_t got = recv(lines->calling[i].fd, preamble + lines->calling[i].got, missing, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        rd_close_p(&lines->calling[i].fd);
        return;
    }
    lines->calling[i].got += (size_t)got;
    if (lines->calling[i].got < ENCL_LINE_PREAMBLE)
        return;
    rd_cursor cursor = rd_cursor_of(rd_bytes_of(preamble, ENCL_LINE_PREAMBLE));
    uint64_t id = rd_cursor_u64be(&cursor);
    uint8_t outcome = rd_cursor_u8(&cursor);
    encl_egress *whose = (id & ENCL_LINE_OF_HOOK) != 0 ? lines->hook : egress;
    if (whose == NULL)
        rd_close_p(&lines->calling[i].fd);
    else
        encl_egress_connected(whose, id & ~ENCL_LINE_OF_HOOK, rd_fd_take(&lines->calling[i].fd),
                              (encl_line_outcome)outcome);
}

void encl_lines_turn(encl_lines *lines, encl_egress *egress)
{
    encl_uplink_flush(lines->uplink);
    if (!encl_uplink_has_controller(lines->uplink)) {
        /* Who calls now may be the next controller, and knows nothing of what was asked. */
        if (egress != NULL)
            encl_egress_abandon(egress);
        if (lines->hook != NULL)
            encl_egress_abandon(lines->hook);
    }
    accept_some(lines);
    for (size_t i = 0; i < ENCL_LINES_MAX; i++) {
        if (lines->calling[i].fd >= 0)
            read_one(lines, i, egress);
    }
}
