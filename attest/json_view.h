/* json_view: JSON (RFC 8259) read where it lies: one strict pass over the text notes where each object and array ends,
 * and views then walk it. No tree: eight bytes an object or array are all that it takes.
 * Used for signed collateral of vendors, of which few members count and none may be written twice.
 * Refused: anything that is no JSON or not UTF-8, members of one name, NUL, lone surrogates, integers beyond 64 bits,
 * exponents of more than two digits, more than 16 levels, 256 members that are open at a time, or 8192 objects and
 * arrays. */
#ifndef RD_ATTEST_JSON_VIEW_H
#define RD_ATTEST_JSON_VIEW_H

#include "common/base/bytes.h"
#include "common/base/err.h"

typedef struct rd_json_box {
    uint32_t end;  /* offset behind it */
    uint32_t next; /* the first that begins behind it */
} rd_json_box;

/* Borrows the text. */
typedef struct rd_json_doc {
    rd_bytes text;
    rd_json_box *boxes; /* of objects and arrays, in the order in which they begin */
    uint32_t count;
} rd_json_doc;

/* One value of a document; by value, and as long as that lives. */
typedef struct rd_json_view {
    const rd_json_doc *doc;
    uint32_t at;  /* offset of its first byte */
    uint32_t box; /* the first box that begins there or later */
} rd_json_view;

/* One object or array and nothing behind it. COLLATERAL_FORMAT. Call rd_json_doc_done also after a failure. */
int rd_json_doc_read(rd_bytes text, rd_json_doc *ret, rd_err *err) RD_NODISCARD;
void rd_json_doc_done(rd_json_doc *doc);
rd_json_view rd_json_doc_root(const rd_json_doc *doc);

bool rd_json_view_is_object(rd_json_view view);
bool rd_json_view_is_array(rd_json_view view);
/* The value of a member. False: no object, or it has none of this name. */
bool rd_json_view_get(rd_json_view object, const char *name, rd_json_view *ret);
/* Items of an array: 0 for what is none. */
size_t rd_json_view_count(rd_json_view array);
/* A place before the first item of an array; each call takes one. False when there is none. */
rd_json_view rd_json_view_items(rd_json_view array);
bool rd_json_view_next(rd_json_view *place, rd_json_view *ret);
/* A string, decoded and NUL-terminated; its size. -1: no string, or not within room with its NUL. */
ssize_t rd_json_view_text(rd_json_view view, char *out, size_t room);
/* An integer, written without fraction or exponent. */
bool rd_json_view_int(rd_json_view view, int64_t *ret);

#endif
