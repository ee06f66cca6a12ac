/* bhttp_private: what binary HTTP of known and of indeterminate length share. Included by bhttp*.c alone. */
#ifndef RD_MODEL_BHTTP_PRIVATE_H
#define RD_MODEL_BHTTP_PRIVATE_H

#include "common/base/cursor.h"
#include "common/model/bhttp.h"

enum {
    RD_BHTTP_KNOWN_REQUEST = 0,
    RD_BHTTP_KNOWN_ANSWER = 1,
    RD_BHTTP_OPEN_REQUEST = 2,
    RD_BHTTP_OPEN_ANSWER = 3,
};

/* Bytes with their length before them. */
rd_bytes rd_bhttp_read_piece(rd_cursor *cursor);
void rd_bhttp_write_piece(rd_buf *buf, rd_bytes bytes);

/* Method to path, or the status; ret->is_request says which. Checked by rd_bhttp_check_control. */
void rd_bhttp_read_control(rd_cursor *cursor, rd_bhttp_message *ret);
void rd_bhttp_write_control(rd_buf *buf, const rd_bhttp_message *message);
int rd_bhttp_check_control(const rd_bhttp_message *message, rd_err *err) RD_NODISCARD;
/* Adds a field to ret: HTTP_SYNTAX, TOO_LARGE. */
int rd_bhttp_add_field(rd_bhttp_message *ret, rd_bhttp_field field, rd_err *err) RD_NODISCARD;

int rd_bhttp_check_padding(rd_bytes padding, rd_err *err) RD_NODISCARD;
/* Zeros until what was appended since start has its bucket's size. */
void rd_bhttp_pad(rd_buf *buf, size_t start);

#endif
