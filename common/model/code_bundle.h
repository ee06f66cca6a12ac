/* code_bundle: the modules of a function, as one blob that a release names by plain SHA-256.
 * Used by the CLI, which makes it, by the API, which checks it before it stores it, and by the function runtime.
 * Not signed by itself; strict all the same. */
#ifndef RD_MODEL_CODE_BUNDLE_H
#define RD_MODEL_CODE_BUNDLE_H

#include "common/model/json.h"

#define RD_MODULES_MAX          256
#define RD_MODULE_NAME_MAX      255
#define RD_CODE_BUNDLE_SIZE_MAX ((size_t)4 << 20)

typedef struct rd_module {
    char *name;   /* [A-Za-z0-9_./-]{1,255}, no "..", no leading '/' */
    char *source; /* UTF-8 without NUL, NUL-terminated */
    size_t source_size;
} rd_module;

typedef struct rd_code_bundle {
    char *main; /* name of one of the modules */
    rd_module *modules;
    size_t modules_count;
} rd_code_bundle;

void rd_code_bundle_done(rd_code_bundle *bundle);
bool rd_module_name_is_ok(const char *name);
/* Into a fresh struct; call rd_code_bundle_done also after a failure. JSON_RANGE for a bad or repeated name, or a main
 * that is none of the modules. */
int rd_code_bundle_parse(rd_bytes json, rd_code_bundle *ret, rd_err *err) RD_NODISCARD;
/* Adds a copy; the checks of parsing. */
int rd_code_bundle_add(rd_code_bundle *bundle, const char *name, rd_bytes source, rd_err *err) RD_NODISCARD;
/* Appends canonical JSON, so that equal sources give equal digests. main must have been added. */
int rd_code_bundle_encode(const rd_code_bundle *bundle, rd_buf *out, rd_err *err) RD_NODISCARD;
/* NULL when there is none. */
const rd_module *rd_code_bundle_find(const rd_code_bundle *bundle, const char *name);

#endif
