// link: api_core
/* What names an app on the origin of applications: the host of a caller, and the headers that go on to the function. */
#include "api/apps_listener.h"
#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096)
        return 0;
    char *text = rd_strndup((const char *)data, size);
    rd_app_id app;
    char name[RD_APP_ID_TEXT_SIZE];
    if (api_apps_parse_host(text, "apps.example", &app)) {
        rd_app_id_format(&app, name);
        if (strncasecmp(text + 4, name + 4, strlen(name + 4)) != 0)
            abort();
    }
    char *rest = strchr(text, '\n');
    if (rest)
        *rest++ = '\0';
    (void)api_apps_passes_header(text, rest ? rest : "close");
    free(text);
    return 0;
}
