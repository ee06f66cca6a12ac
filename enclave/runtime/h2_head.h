/* h2_head: the heads of HTTP/2 as those of HTTP/1.1, which one parser reads (RFC 9113, 8.3).
 * Used by h2. What could be read in two ways as text is refused here, before it is text.
 */
#ifndef ENCL_H2_HEAD_H
#define ENCL_H2_HEAD_H

#include "common/base/bytes.h"
#include "common/base/err.h"

/* A block of fields while it comes. By value, zero at the start. */
typedef struct h2_head {
    rd_buf method, path, authority;
    rd_buf cookies;  /* crumbs, which are one field outside HTTP/2 (RFC 9113, 8.2.3) */
    bool has_line;   /* the pseudo fields are through */
    rd_code refusal; /* 0: none yet */
} h2_head;

void h2_head_begin(h2_head *head);
void h2_head_done(h2_head *head);
/* The next field of the block; the text grows at the end of ret. */
void h2_head_add(h2_head *head, rd_bytes name, rd_bytes value, rd_buf *ret);
/* The block is whole. 0, or why it is no head: HTTP_SYNTAX, HTTP_HEADERS_TOO_LARGE; then ret says nothing. */
rd_code h2_head_end(h2_head *head, rd_buf *ret);

#endif
