/* static: the dashboard's files, read into memory at the start, with their security headers.
 * Used by main (load) and by the routes of pages. Refuses links, dot files and anything outside its folder. */
#ifndef API_STATIC_H
#define API_STATIC_H

#include "api/request.h"

typedef struct api_static api_static;

/* Reads dir (at most 256 files, 8 MiB each, 32 MiB in all). A missing folder gives an empty set, with a warning. */
int api_static_load(const char *dir, api_static **ret, rd_err *err) RD_NODISCARD;
api_static *api_static_free(api_static *files);

/* GET /{path*}: a file, or index.html for the dashboard's own paths. */
void api_static_get(struct api_request *request);

#endif
