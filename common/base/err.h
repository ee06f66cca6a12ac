/* err: the error object, a value on the caller's stack, and the registry of all public error codes.
 * Used by every function that can fail; problem documents, exit codes and manuals come from the registry.
 * Allocates nothing, so that it works when memory has run out; long sentences are cut. */
#ifndef RD_BASE_ERR_H
#define RD_BASE_ERR_H

#include "common/base/defs.h"

typedef enum rd_code {
    RD_OK = 0,
#define RD_E(symbol, name, http, retryable, exit_code, hint) RD_E_##symbol,
#include "common/base/err_codes.def"
#undef RD_E
    RD_CODE_COUNT
} rd_code;

/* What went wrong: a code from err_codes.def, a sentence (lower case, no full stop, never a secret) that grows to the
 * front as callers say what they were doing, and where it arose. Untouched on success. Initialise with RD_ERR_INIT. */
typedef struct rd_err {
    rd_code code;
    const char *file;
    int line;
    char text[512];
    char pointer[96]; /* RFC 6901 pointer of the offending member, or "" */
} rd_err;

#define RD_ERR_INIT                                                                                                    \
    {                                                                                                                  \
        .code = RD_OK                                                                                                  \
    }

/* One row of the registry. */
typedef struct rd_code_info {
    const char *name;  /* stable, snake_case: what clients branch on */
    int http_status;   /* status of the problem document */
    bool is_retryable; /* the same request may succeed later unchanged */
    int exit_code;     /* of the command line: 1 failure, 2 usage, 3 not found, 4 auth, 5 conflict, 6 attestation, 7
                          timeout, 8 unavailable */
    const char *hint;  /* what would mend it; "" when the sentence says it all */
} rd_code_info;

/* Each of these gives -1, said where compilers and analysers see it: `return rd_err_set(…)`. err may be NULL. */
#define RD_ERR_FAIL(call)                                                                                              \
    __extension__({                                                                                                    \
        call;                                                                                                          \
        -1;                                                                                                            \
    })

/* Sets code and sentence. */
#define rd_err_set(err, code, ...) RD_ERR_FAIL(rd_err_set_at((err), (code), __FILE__, __LINE__, __VA_ARGS__))
void rd_err_set_at(rd_err *err, rd_code code, const char *file, int line, const char *fmt, ...) RD_PRINTF(5, 6);

/* As rd_err_set with strerror(errno_value) appended; the code is INTERNAL's or the one given. */
#define rd_err_set_errno(err, code, errno_value, ...)                                                                  \
    RD_ERR_FAIL(rd_err_set_errno_at((err), (code), (errno_value), __FILE__, __LINE__, __VA_ARGS__))
void rd_err_set_errno_at(rd_err *err, rd_code code, int errno_value, const char *file, int line, const char *fmt, ...)
    RD_PRINTF(6, 7);

/* Puts "fmt: " before the sentence. */
#define rd_err_wrap(err, ...) RD_ERR_FAIL(rd_err_prefix((err), __VA_ARGS__))
void rd_err_prefix(rd_err *err, const char *fmt, ...) RD_PRINTF(2, 3);

/* Notes which member of the input offended (RFC 6901), e.g. "/limits/time_ms". */
#define rd_err_at(err, pointer) RD_ERR_FAIL(rd_err_point((err), (pointer)))
void rd_err_point(rd_err *err, const char *pointer);

/* The registry row of a code; never NULL (unknown codes give INTERNAL's row). */
const rd_code_info *rd_code_describe(rd_code code);

/* The code of a registered name, or RD_OK when there is none. */
rd_code rd_code_by_name(const char *name);

#endif
