/* json: strict parsing with bounds, field lists that read objects into structs, and helpers that build objects.
 * Used at every edge where JSON comes in or goes out; behind the edge there are structs only.
 * Refuses duplicate members, NUL, lone surrogates, excess depth and size; errors carry the RFC 6901 pointer of the
 * offender. */
#ifndef RD_MODEL_JSON_H
#define RD_MODEL_JSON_H

#include "common/base/err.h"
#include "common/crypto/sign.h"
#include "common/model/ids.h"

#include <jansson.h>

#define RD_JSON_DEPTH_MAX 16
#define RD_JSON_SIZE_MAX  ((size_t)64 << 10)
#define RD_JSON_INT_MAX   INT64_C(9007199254740991) /* 2^53 - 1 */

typedef struct rd_json_limits {
    size_t size_max;    /* 0: RD_JSON_SIZE_MAX */
    unsigned depth_max; /* 0: RD_JSON_DEPTH_MAX */
    bool integers_only; /* refuse fractions, exponents and integers beyond 2^53 - 1 with JSON_RANGE */
} rd_json_limits;

/* One object or array and nothing after it. *ret is a new reference; limits may be NULL.
 * Codes: TOO_LARGE, JSON_DEPTH, JSON_DUPLICATE, JSON_SYNTAX, JSON_RANGE, ENCODING (not UTF-8), TRAILING, TRUNCATED
 * (empty). */
int rd_json_parse(rd_bytes text, const rd_json_limits *limits, json_t **ret, rd_err *err) RD_NODISCARD;
void rd_json_free_p(json_t **value); /* for RD_CLEANUP: drops a reference */

typedef enum rd_json_kind {
    RD_JSON_TEXT,    /* char[max + 1] inside the struct; min and max in bytes */
    RD_JSON_STRING,  /* char *, allocated; min and max in bytes */
    RD_JSON_BOOL,    /* bool */
    RD_JSON_I64,     /* int64_t, min..max; both zero: the whole range of ±(2^53 - 1) */
    RD_JSON_U64,     /* uint64_t, min..max; max zero: 2^53 - 1 */
    RD_JSON_I32,     /* int32_t, min..max; both zero: all */
    RD_JSON_U32,     /* uint32_t, min..max; max zero: all */
    RD_JSON_DIGEST,  /* rd_digest, "sha256:…" */
    RD_JSON_B64,     /* uint8_t[max], base64url of exactly max bytes */
    RD_JSON_B64_BUF, /* rd_buf, base64url of min..max bytes */
    RD_JSON_HEX,     /* uint8_t[max], lower-case hex of exactly max bytes */
    RD_JSON_KEY,     /* rd_public_key, base64url, checked by rd_public_key_check */
    RD_JSON_TIME,    /* int64_t microseconds, RFC 3339 */
    RD_JSON_ID,      /* rd_id with prefix .text */
    RD_JSON_APP_ID,  /* rd_app_id */
    RD_JSON_KMS_ID,  /* rd_kms_id */
    RD_JSON_ENUM,    /* int (any enum): the index in .names, a NULL-terminated list; "" entries never match */
    RD_JSON_CONST,   /* a string that equals .text; nothing is stored */
    RD_JSON_NULL,    /* must be null; nothing is stored */
    RD_JSON_OBJECT,  /* a struct at offset, read by .fields */
    RD_JSON_CUSTOM,  /* .parse(value, struct + offset, pointer, err) */
} rd_json_kind;

/* Flags of a field. */
#define RD_REQUIRED 0u
#define RD_OPTIONAL 1u /* may be absent */
#define RD_NULLABLE 2u /* may be null */

/* For .has: a bool in the struct, set to whether the member was there and not null. */
#define RD_HAS(type, member) (offsetof(type, member) + 1)

typedef int (*rd_json_reader)(const json_t *value, void *into, const char *pointer, rd_err *err);

typedef struct rd_json_field {
    const char *name;
    rd_json_kind kind;
    size_t offset;
    unsigned flags;
    int64_t min, max;
    const char *text;
    const char *const *names;
    const struct rd_json_field *fields; /* ends with a row whose name is NULL */
    rd_json_reader parse;
    size_t has; /* RD_HAS(…) or 0 */
} rd_json_field;

#define RD_JSON_END                                                                                                    \
    {                                                                                                                  \
        .name = NULL                                                                                                   \
    }

typedef enum rd_json_unknown { RD_UNKNOWN_REFUSED, RD_UNKNOWN_IGNORED } rd_json_unknown;

/* Reads an object into a zeroed struct by a list that ends with RD_JSON_END. pointer: where the object stands ("" for
 * the document). Codes: JSON_TYPE, JSON_MISSING, JSON_UNKNOWN, JSON_RANGE, ENCODING, ID_FORMAT, KEY_FORMAT. After a
 * failure the struct may hold allocated members: call its x_done. */
int rd_json_read(const json_t *object, const rd_json_field *fields, rd_json_unknown unknown, const char *pointer,
                 void *into, rd_err *err) RD_NODISCARD;
/* Parse and read in one step. */
int rd_json_load(rd_bytes text, const rd_json_limits *limits, const rd_json_field *fields, rd_json_unknown unknown,
                 void *into, rd_err *err) RD_NODISCARD;

/* An array of at most count_max (JSON_RANGE) whose items are read one by one: for RD_JSON_CUSTOM. */
typedef int (*rd_json_item_reader)(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err);
int rd_json_each(const json_t *array, size_t count_min, size_t count_max, const char *pointer,
                 rd_json_item_reader read_item, void *context, rd_err *err) RD_NODISCARD;
/* Single values, for item readers: as the kind of the same name. */
int rd_json_digest(const json_t *value, const char *pointer, rd_digest *ret, rd_err *err) RD_NODISCARD;
int rd_json_b64(const json_t *value, const char *pointer, uint8_t *out, size_t size, rd_err *err) RD_NODISCARD;
int rd_json_kms_id(const json_t *value, const char *pointer, rd_kms_id *ret, rd_err *err) RD_NODISCARD;
int rd_json_enum(const json_t *value, const char *pointer, const char *const *names, int *ret,
                 rd_err *err) RD_NODISCARD;

/* Building: each sets a member of object; values that may be absent take NULL and give null. */
void rd_json_set_str(json_t *object, const char *name, const char *text);
void rd_json_set_int(json_t *object, const char *name, int64_t value);
void rd_json_set_bool(json_t *object, const char *name, bool value);
void rd_json_set_null(json_t *object, const char *name);
void rd_json_set(json_t *object, const char *name, json_t *value_stolen);
void rd_json_set_digest(json_t *object, const char *name, const rd_digest *digest);
void rd_json_set_b64(json_t *object, const char *name, rd_bytes bytes);
void rd_json_set_hex(json_t *object, const char *name, rd_bytes bytes);
void rd_json_set_time(json_t *object, const char *name, int64_t time_us);
void rd_json_set_id(json_t *object, const char *name, const char *prefix, const rd_id *id);
void rd_json_set_app_id(json_t *object, const char *name, const rd_app_id *id);
/* NULL gives null. */
void rd_json_set_kms_id(json_t *object, const char *name, const rd_kms_id *id);
/* New references. */
json_t *rd_json_new_kms_id(const rd_kms_id *id);
json_t *rd_json_new_digest(const rd_digest *digest);
json_t *rd_json_new_b64(rd_bytes bytes);

/* Compact text, members in insertion order; for what no signature covers. False past the buffer's cap. */
bool rd_json_dump(const json_t *value, rd_buf *out);

#endif
