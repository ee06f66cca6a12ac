/* uplink: the instance's end of the control stream: frames in, reports out, one controller at a time.
 * Used by the instance. Reports are bounded; log lines are dropped first. A lost controller may come back over the
 * control listener, and finds the instance among the orders (EVIDENCE, DRAIN, STOP).
 */
#ifndef ENCL_UPLINK_H
#define ENCL_UPLINK_H

#include "enclave/runtime/control.h"

#define ENCL_UPLINK_TAG        0u /* epoll's data.u32 of the stream */
#define ENCL_UPLINK_LISTEN_TAG 1u

typedef struct encl_uplink {
    int epoll_fd;
    int fd; /* -1: no controller */
    int listen_fd;
    encl_control control;
    rd_buf out;
    bool wants_write;
    bool is_gathering; /* what is sent waits for a flush */
    uint64_t dropped_lines;
} encl_uplink;

/* Takes over fd and listen_fd. Errors: IO. */
int encl_uplink_init(encl_uplink *uplink, int epoll_fd, int fd, int listen_fd, rd_err *err) RD_NODISCARD;
void encl_uplink_done(encl_uplink *uplink);
/* From now on a controller may come back (before that, losing it ends the instance). */
int encl_uplink_listen(encl_uplink *uplink, rd_err *err) RD_NODISCARD;

/* Reads once what may be read. 1: the controller is gone; -1: CONTROL_FRAME. Then take messages from .control. */
int encl_uplink_read(encl_uplink *uplink, rd_err *err) RD_NODISCARD;
/* Takes a controller who dialled; true when he is the new one (the old one had gone). */
bool encl_uplink_accept(encl_uplink *uplink);
/* Takes a connection that the living controller makes for an outgoing request; -1 when there is none, or when he is
 * gone and whoever calls may be the next one. */
int encl_uplink_accept_line(encl_uplink *uplink);
bool encl_uplink_has_controller(const encl_uplink *uplink);

/* Queues a frame and writes what the socket takes. Frames past 512 KiB of backlog are lost. */
void encl_uplink_send(encl_uplink *uplink, encl_control_type type, rd_bytes payload);
/* One log line; dropped when more than 64 KiB wait. */
void encl_uplink_log(encl_uplink *uplink, const char *level, rd_bytes line);
/* A burst's record; lost when more than 256 KiB wait or nobody listens, which its numbers will show. */
void encl_uplink_receipts(encl_uplink *uplink, rd_bytes record);
/* PHASE with reason and detail ("" for none). */
void encl_uplink_phase(encl_uplink *uplink, const char *phase, const char *reason, const char *detail);
/* What is sent from here on leaves with the next flush. */
void encl_uplink_gather(encl_uplink *uplink);
/* Writes on when the socket takes more. */
void encl_uplink_flush(encl_uplink *uplink);
/* Writes the rest out before the process ends, for at most a second. */
void encl_uplink_finish(encl_uplink *uplink);

#endif
