// link: api_core
/* What a caller controls before a handler runs: path, Authorization, Cookie. First byte picks the method. */
#include <stdlib.h>
#include <string.h>

#include "api/auth.h"
#include "api/routes.h"
#include "common/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW" };
    if (size == 0 || size > 8192)
        return 0;
    char *text = rd_strndup((const char *)data + 1, size - 1);
    api_match match;
    if (api_router_match(api_routes, api_route_count, methods[data[0] & 7], text, &match) == API_MATCH_FOUND) {
        for (size_t i = 0; i < match.param_count; i++)
            if (strcmp(match.params[i].value, "..") == 0 || strlen(match.params[i].value) >= API_PARAM_SIZE)
                abort();
    } else if (match.param_count != 0) {
        abort();
    }
    rd_bytes bearer = api_auth_bearer(text), cookie = api_auth_cookie(text);
    if (bearer.size > 128 || cookie.size > 128)
        abort();
    free(text);
    return 0;
}
