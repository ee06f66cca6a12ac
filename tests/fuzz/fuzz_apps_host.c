// link: api_core
/* What names an app on the origin of applications: the host of a caller, and the headers that go on to the function. */
#include "api/apps_listener.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096)
        return 0;
    rd_bytes text = rd_bytes_of(data, size);
    rd_app_id app;
    char name[RD_APP_ID_TEXT_SIZE];
    if (api_apps_parse_host(text, "apps.example", &app)) {
        rd_app_id_format(&app, name);
        if (strncasecmp((const char *)data + 4, name + 4, strlen(name + 4)) != 0)
            abort();
    }
    const uint8_t *rest = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t first = rest ? (size_t)(rest - data) : size;
    (void)api_apps_passes_header(rd_bytes_of(data, first),
                                 rest ? rd_bytes_of(rest + 1, size - first - 1) : RD_BYTES_LIT("close"));
    return 0;
}
