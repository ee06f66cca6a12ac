/* evidence_vectors: cases of the vectors folder (real evidence with the vendor's collateral), and ways to break them.
 * Used by test_vectors. Nothing of the folder is copied into the tree; its layout is told in its own README. */
#ifndef TESTS_SUPPORT_EVIDENCE_VECTORS_H
#define TESTS_SUPPORT_EVIDENCE_VECTORS_H

#include "attest/attest.h"
#include "attest/eventlog.h"
#include "common/model/json.h"

#define VEC_FILES_MAX 16

typedef struct vec_file {
    char name[48];
    rd_buf bytes;
} vec_file;

typedef struct vec_case {
    char name[96]; /* "tdx/dstack-v4-event-log" */
    json_t *expect;
    vec_file files[VEC_FILES_MAX];
    size_t file_count;
    int64_t time_us;
    rd_anchors anchors;
} vec_case;

/* The folder, from REDOUBT_VECTORS or ../shared/vectors; NULL when there is none. */
const char *vec_root(void);
/* False when the case cannot be read. */
bool vec_load(const char *root, const char *name, vec_case *ret);
void vec_done(vec_case *c);
/* NULL when the case has no such file. */
rd_buf *vec_file_of(vec_case *c, const char *name);
/* Applies a mutation; false when its operation is not one of quotes, reports or collateral. */
bool vec_mutate(const char *root, vec_case *c, const json_t *mutation);
rd_code vec_verify(vec_case *c, rd_verdict *ret, rd_err *err);
/* Replays the case's event log, and compares it with its quote when it has one. */
rd_code vec_replay(vec_case *c, rd_register_log *ret, rd_err *err);
/* The vectors' error class is one that this code stands for. */
bool vec_class_fits(rd_code code, const char *error_class);
/* As above, or also_acceptable lists one that does. */
bool vec_error_fits(rd_code code, const json_t *expect);

#endif
