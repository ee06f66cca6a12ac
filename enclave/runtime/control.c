#include "enclave/runtime/control.h"

#include "common/base/cursor.h"

#define FRAME_HEAD 5
#define READ_ROOM  ((size_t)64 << 10)

/* One row a type: in which state it may come, how long its payload is, what follows. */
typedef struct control_row {
    uint8_t type;
    encl_control_state when, then;
    uint32_t size_min, size_max;
} control_row;

static const control_row rows[] = {
    { ENCL_CONTROL_HEADER, ENCL_WANT_HEADER, ENCL_WANT_MEASURE, ENCL_HEADER_SIZE, ENCL_HEADER_SIZE },
    { ENCL_CONTROL_GENESIS, ENCL_WANT_GENESIS, ENCL_WANT_HEAD, 1, 64 << 10 },
    { ENCL_CONTROL_HEAD, ENCL_WANT_HEAD, ENCL_WANT_RELEASE, 1, 96 << 10 },
    { ENCL_CONTROL_RELEASE, ENCL_WANT_RELEASE, ENCL_WANT_CODE, 1, 96 << 10 },
    { ENCL_CONTROL_CODE, ENCL_WANT_CODE, ENCL_WANT_START, 1, 4 << 20 },
    { ENCL_CONTROL_START, ENCL_WANT_START, ENCL_WANT_ORDERS, 1, 96 << 10 },
    { ENCL_CONTROL_EVIDENCE, ENCL_WANT_ORDERS, ENCL_WANT_ORDERS, 1, 1 << 10 },
    { ENCL_CONTROL_DRAIN, ENCL_WANT_ORDERS, ENCL_WANT_ORDERS, 0, 0 },
    { ENCL_CONTROL_STOP, ENCL_WANT_ORDERS, ENCL_WANT_ORDERS, 0, 0 },
    { ENCL_CONTROL_NONCE, ENCL_WANT_ORDERS, ENCL_WANT_ORDERS, 32, 32 + (96 << 10) },
    { ENCL_CONTROL_GRANT, ENCL_WANT_ORDERS, ENCL_WANT_ORDERS, 1, 768 << 10 },
};

void encl_control_init(encl_control *control)
{
    *control = (encl_control){ .state = ENCL_WANT_HEADER };
    rd_buf_init(&control->in, ((size_t)4 << 20) + READ_ROOM + FRAME_HEAD);
}

void encl_control_init_orders(encl_control *control)
{
    encl_control_init(control);
    control->state = ENCL_WANT_ORDERS;
}

void encl_control_done(encl_control *control)
{
    rd_buf_done(&control->in);
}

static void drop_taken(encl_control *control)
{
    rd_buf_consume(&control->in, control->taken);
    control->taken = 0;
}

size_t encl_control_room(const encl_control *control)
{
    size_t have = control->in.size - control->taken;
    if (control->state == ENCL_WANT_MEASURE || control->state == ENCL_CONTROL_BROKEN)
        return 0;
    if (control->state != ENCL_WANT_HEADER)
        return READ_ROOM;
    /* The head first, so that a wrong length is known before its payload is read. */
    return have < FRAME_HEAD ? FRAME_HEAD - have : FRAME_HEAD + ENCL_HEADER_SIZE - have;
}

int encl_control_feed(encl_control *control, rd_bytes bytes, rd_err *err)
{
    if (bytes.size > encl_control_room(control))
        return rd_err_set(err, RD_E_CONTROL_ORDER, "%zu bytes where %zu were wanted", bytes.size,
                          encl_control_room(control));
    drop_taken(control);
    if (!rd_buf_append_bytes(&control->in, bytes))
        return rd_err_set(err, RD_E_CONTROL_FRAME, "control stream past its bound");
    return 0;
}

static const control_row *find_row(uint8_t type)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        if (rows[i].type == type)
            return &rows[i];
    }
    return NULL;
}

static int check_head(encl_control_state state, uint32_t size, uint8_t type, const control_row **ret, rd_err *err)
{
    const control_row *row = find_row(type);
    if (row == NULL)
        return rd_err_set(err, RD_E_CONTROL_FRAME, "control frame of unknown type %u", type);
    if (row->when != state)
        return rd_err_set(err, RD_E_CONTROL_ORDER, "control frame %u is not expected now", type);
    if (size < 1 || size - 1 < row->size_min || size - 1 > row->size_max)
        return rd_err_set(err, RD_E_CONTROL_FRAME, "control frame %u with a length of %u, wanted %u to %u", type, size,
                          row->size_min + 1, row->size_max + 1);
    *ret = row;
    return 0;
}

int encl_control_next(encl_control *control, encl_control_message *ret, rd_err *err)
{
    drop_taken(control);
    if (control->state == ENCL_CONTROL_BROKEN)
        return rd_err_set(err, RD_E_CONTROL_ORDER, "the control stream is broken");
    if (control->in.size < FRAME_HEAD)
        return 0;
    rd_cursor cursor = rd_cursor_of(rd_buf_bytes(&control->in));
    uint32_t size = rd_cursor_u32be(&cursor);
    uint8_t type = rd_cursor_u8(&cursor);
    const control_row *row = NULL;
    if (check_head(control->state, size, type, &row, err) < 0) {
        control->state = ENCL_CONTROL_BROKEN;
        return -1;
    }
    rd_bytes payload = rd_cursor_take(&cursor, size - 1);
    if (!rd_cursor_is_ok(&cursor))
        return 0;
    control->taken = rd_cursor_offset(&cursor);
    control->state = row->then;
    *ret = (encl_control_message){ .type = (encl_control_type)type, .payload = payload };
    return 1;
}

void encl_control_measured(encl_control *control)
{
    if (control->state == ENCL_WANT_MEASURE)
        control->state = ENCL_WANT_GENESIS;
}

bool encl_control_put(rd_buf *out, encl_control_type type, rd_bytes payload)
{
    return rd_buf_append_u32be(out, (uint32_t)payload.size + 1) && rd_buf_append_u8(out, (uint8_t)type) &&
           rd_buf_append_bytes(out, payload);
}
