/* local_files: the dashboard's files as they were when this program was built (embed_web.cmake).
 * Used by cmd_dashboard.c: what it serves came with the command line and not from a control plane. */
#ifndef CLI_LOCAL_FILES_H
#define CLI_LOCAL_FILES_H

#include <stddef.h>

typedef struct cli_local_file {
    const char *path; /* "/pages/app.js" */
    const unsigned char *data;
    size_t size;
} cli_local_file;

extern const cli_local_file cli_local_files[];
extern const size_t cli_local_file_count;

#endif
