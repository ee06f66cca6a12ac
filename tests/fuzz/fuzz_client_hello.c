// link: api_core
#include <stdlib.h>
#include <string.h>

#include "api/client_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is whole and what grows byte by byte must agree; a refusal stands; a name is one. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    api_client_hello whole, grown;
    rd_err err = RD_ERR_INIT;
    int outcome = api_client_hello_read(rd_bytes_of(data, size), &whole, &err);
    if (outcome == API_HELLO_DONE)
        for (const char *c = whole.name; c == whole.name || *c; c++)
            if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-._", *c) || *c == 0)
                abort();
    if (outcome == API_HELLO_MORE && size >= API_HELLO_MAX)
        abort();
    if (size > 1024)
        return 0;
    int step = API_HELLO_MORE;
    for (size_t i = 0; i <= size && step == API_HELLO_MORE; i++)
        step = api_client_hello_read(rd_bytes_of(data, i), &grown, &err);
    if (step != outcome && outcome != -1)
        abort();
    if (step == API_HELLO_DONE && outcome == API_HELLO_DONE && strcmp(whole.name, grown.name) != 0)
        abort();
    return 0;
}
