/* problem: RFC 9457 problem documents from errors, with the members that err_codes.def promises.
 * Used by the API and by the enclave's HTTP. Internal errors show no sentence of theirs. */
#ifndef RD_MODEL_PROBLEM_H
#define RD_MODEL_PROBLEM_H

#include "common/base/bytes.h"
#include "common/base/err.h"

#define RD_PROBLEM_TYPE "application/problem+json"

/* HTTP status of the error. */
int rd_problem_status(const rd_err *err);
/* Appends {"type":"/problems/<code>","title","status","detail","code","retryable","hint","request_id","pointer"}; hint,
 * request_id (may be NULL) and pointer only when there is one. For code internal the detail is left out: it may tell of
 * our insides. False past out's cap. */
bool rd_problem_write(const rd_err *err, const char *request_id, rd_buf *out);

#endif
