// link: api_core
/* Short texts that come back to the API: a list's cursor, and the authority that another replica names. */
#include <stdlib.h>
#include <string.h>

#include "api/peers.h"
#include "api/store.h"
#include "common/base/mem.h"
#include "common/base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is read is written as it was. */
static void read_cursor(const char *text, size_t id_size)
{
    api_cursor cursor;
    uint8_t raw[40];
    char again[64];
    if (api_cursor_parse(text, id_size, &cursor, NULL) < 0)
        return;
    if (!cursor.is_set || cursor.at_us < 0 || cursor.id_size != id_size)
        abort();
    for (size_t i = 0; i < 8; i++)
        raw[i] = (uint8_t)(cursor.at_us >> (56 - 8 * i));
    memcpy(raw + 8, cursor.id, id_size);
    rd_base64url_encode(rd_bytes_of(raw, 8 + id_size), again);
    if (strcmp(again, text) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t id_sizes[] = { 8, 16, 32 };
    if (size > 4096)
        return 0;
    RD_CLEANUP(rd_free_p) char *text = rd_strndup((const char *)data, size);
    rd_id id;
    uint64_t epoch = 0;
    for (size_t i = 0; i < RD_ARRAY_LEN(id_sizes); i++)
        read_cursor(text, id_sizes[i]);
    if (api_peers_authority_parse(text, &id, &epoch, NULL) == 0) {
        char name[RD_ID_TEXT_SIZE], again[RD_ID_TEXT_SIZE + 24];
        rd_id_format(RD_PREFIX_INSTANCE, &id, name);
        (void)snprintf(again, sizeof again, "%s.%llu", name, (unsigned long long)epoch);
        if (epoch > INT64_MAX || strcmp(again, text) != 0)
            abort();
    }
    return 0;
}
