/* platform_source: the JavaScript of the platform as it is built into the program, in the order of loading.
 * Used by engine. The table is generated from enclave/engine/platform at build time.
 * Holds no code of tenants. */
#ifndef ENCL_PLATFORM_SOURCE_H
#define ENCL_PLATFORM_SOURCE_H

#include "common/base/bytes.h"

typedef struct encl_platform_file {
    const char *name; /* "redoubt:url" in stacks */
    rd_bytes source;
} encl_platform_file;

/* Ends with a row whose name is NULL. */
extern const encl_platform_file encl_platform_files[];

#endif
