/* control: the frames of the control stream in the order that an instance accepts them (docs/protocol/enclave.md).
 * Used by the instance; pure, so that order and bounds can be tested and fuzzed without a process.
 * Asks for no byte beyond the header until the header was measured.
 */
#ifndef ENCL_CONTROL_H
#define ENCL_CONTROL_H

#include "common/base/bytes.h"
#include "common/base/err.h"

#define ENCL_HEADER_SIZE 96

typedef enum encl_control_type {
    ENCL_CONTROL_HEADER = 1,
    ENCL_CONTROL_GENESIS = 2,
    ENCL_CONTROL_HEAD = 3,
    ENCL_CONTROL_RELEASE = 4,
    ENCL_CONTROL_CODE = 5,
    ENCL_CONTROL_START = 6,
    ENCL_CONTROL_EVIDENCE = 7,
    ENCL_CONTROL_DRAIN = 8,
    ENCL_CONTROL_STOP = 9,
    ENCL_CONTROL_NONCE = 10,
    ENCL_CONTROL_GRANT = 11,
    /* to the agent */
    ENCL_CONTROL_BLANK = 0x81,
    ENCL_CONTROL_PHASE = 0x82,
    ENCL_CONTROL_EVIDENCE_BUNDLE = 0x83,
    ENCL_CONTROL_LOG = 0x84,
    ENCL_CONTROL_DRAINED = 0x85,
    ENCL_CONTROL_STATE = 0x86,
    ENCL_CONTROL_EGRESS = 0x87,
    ENCL_CONTROL_GRANT_WANTED = 0x88,
    ENCL_CONTROL_RECEIPTS = 0x89,
    ENCL_CONTROL_ATTESTED = 0x8a,
} encl_control_type;

typedef enum encl_control_state {
    ENCL_WANT_HEADER,
    ENCL_WANT_MEASURE, /* the header was handed out; nothing is read until encl_control_measured */
    ENCL_WANT_GENESIS,
    ENCL_WANT_HEAD,
    ENCL_WANT_RELEASE,
    ENCL_WANT_CODE,
    ENCL_WANT_START,
    ENCL_WANT_ORDERS, /* EVIDENCE, DRAIN, STOP, NONCE, GRANT, any number */
    ENCL_CONTROL_BROKEN,
} encl_control_state;

typedef struct encl_control {
    encl_control_state state;
    rd_buf in;
    size_t taken; /* bytes at the front of `in` that the last message borrowed */
} encl_control;

typedef struct encl_control_message {
    encl_control_type type;
    rd_bytes payload; /* borrowed until the next call */
} encl_control_message;

void encl_control_init(encl_control *control);
/* A stream that begins among the orders: a controller that comes back. */
void encl_control_init_orders(encl_control *control);
void encl_control_done(encl_control *control);

/* How many bytes may be read from the stream now: exact up to the header's last byte, 0 while it is not measured. */
size_t encl_control_room(const encl_control *control);
/* Adds bytes as read, at most encl_control_room of them. */
int encl_control_feed(encl_control *control, rd_bytes bytes, rd_err *err) RD_NODISCARD;
/* 1: *ret is the next message; 0: more bytes are needed; -1: CONTROL_ORDER (not now, or twice), CONTROL_FRAME (a size
 * outside the type's bounds, an unknown type). After -1 the process must end. */
int encl_control_next(encl_control *control, encl_control_message *ret, rd_err *err) RD_NODISCARD;
/* The header was extended and the register closed: go on. */
void encl_control_measured(encl_control *control);

/* Appends one frame. */
bool encl_control_put(rd_buf *out, encl_control_type type, rd_bytes payload);

#endif
