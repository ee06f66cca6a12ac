/* bhttp: binary HTTP messages of known length (RFC 9292): what stands inside a sealed request and its answer.
 * Used by whoever seals and opens (ohttp.h). Reading borrows from the input and refuses what HTTP/1.1 would (RFC 9112):
 * names that are no tokens or not in lower case, control characters in values, targets that are no path. Messages of
 * indeterminate length are refused by name: bhttp_stream.h reads them.
 */
#ifndef RD_MODEL_BHTTP_H
#define RD_MODEL_BHTTP_H

#include "common/base/bytes.h"
#include "common/base/err.h"

#define RD_BHTTP_FIELDS_MAX 100
#define RD_BHTTP_METHOD_MAX 32
#define RD_BHTTP_PATH_MAX   ((size_t)8 << 10)
#define RD_BHTTP_HEAD_MAX   ((size_t)40 << 10) /* everything but the content and the padding */

typedef struct rd_bhttp_field {
    rd_bytes name;
    rd_bytes value;
} rd_bhttp_field;

typedef struct rd_bhttp_message {
    bool is_request;
    rd_bytes method, scheme, authority, path; /* of a request */
    unsigned status;                          /* of an answer: 200 to 599 */
    rd_bhttp_field fields[RD_BHTTP_FIELDS_MAX];
    size_t field_count;
    rd_bytes content;
} rd_bhttp_message;

/* Trailers are checked and dropped, informational answers are refused. Padding must be zeros. Errors: TRUNCATED,
 * ENCODING, TOO_LARGE, HTTP_SYNTAX, UNSUPPORTED. */
int rd_bhttp_read(rd_bytes bytes, rd_bhttp_message *ret, rd_err *err) RD_NODISCARD;
/* Appends the message, without trailers, padded with zeros to rd_bhttp_bucket of its size. TOO_LARGE past ret's cap. */
int rd_bhttp_write(const rd_bhttp_message *message, rd_buf *ret, rd_err *err) RD_NODISCARD;
/* The first field of a name in lower case, or NULL. */
const rd_bhttp_field *rd_bhttp_find(const rd_bhttp_message *message, const char *name);
/* The size a message is padded to, so that sizes say little: 256, powers of two to 64 KiB, then steps of 64 KiB. */
size_t rd_bhttp_bucket(size_t size);

#endif
