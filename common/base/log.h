/* log: structured events, one JSON line each, to the sink that the process chose.
 * Used by processes where they decide; libraries return errors instead. Never bodies, keys, tokens or sealed data.
 *   rd_log(RD_WARN, "lease_expired", RD_STR("instance", id), RD_U64("epoch", epoch)); */
#ifndef RD_BASE_LOG_H
#define RD_BASE_LOG_H

#include "common/base/err.h"

typedef enum rd_log_level { RD_DEBUG, RD_INFO, RD_WARN, RD_ERROR } rd_log_level;

typedef enum rd_field_kind { RD_FIELD_STR, RD_FIELD_U64, RD_FIELD_I64, RD_FIELD_BOOL, RD_FIELD_ERR } rd_field_kind;

typedef struct rd_field {
    rd_field_kind kind;
    const char *name;
    union {
        const char *text;
        uint64_t u64;
        int64_t i64;
        bool flag;
        const rd_err *err;
    } value;
} rd_field;

#define RD_STR(field, v)  ((rd_field){ RD_FIELD_STR, (field), { .text = (v) } })
#define RD_U64(field, v)  ((rd_field){ RD_FIELD_U64, (field), { .u64 = (v) } })
#define RD_I64(field, v)  ((rd_field){ RD_FIELD_I64, (field), { .i64 = (v) } })
#define RD_BOOL(field, v) ((rd_field){ RD_FIELD_BOOL, (field), { .flag = (v) } })
/* The error as members "code" and "error". */
#define RD_ERR(v) ((rd_field){ RD_FIELD_ERR, "error", { .err = (v) } })

/* One event, always valid JSON: strings are cut at 1 KiB; past 8 KiB a line, the fields that do not fit are left out
 * and "cut":true says so. Written with a single write(2). */
#define rd_log(level, event, ...)                                                                                      \
    rd_log_fields((level), (event), (const rd_field[]){ __VA_ARGS__ __VA_OPT__(, ) RD_STR(NULL, NULL) })
/* fields end with a row whose name is NULL. */
void rd_log_fields(rd_log_level level, const char *event, const rd_field *fields);

/* Sets process name, lowest level written and file descriptor (2 by default). Call once, before threads. */
void rd_log_init(const char *process, rd_log_level minimum, int fd);
bool rd_log_level_parse(const char *text, rd_log_level *ret);

#endif
