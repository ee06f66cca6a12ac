// link: rd_model
/* The strict decoders of text: whatever is accepted is what its encoder writes. */
#include "common/base/text.h"
#include "common/model/ids.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 4096 /* no decoder writes more bytes than it reads digits */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(const char *text, size_t size, const char *written)
{
    if (strlen(written) != size || memcmp(text, written, size) != 0)
        abort();
}

static void check_base64(const char *text, size_t size)
{
    uint8_t raw[TEXT_MAX];
    rd_buf written;
    rd_buf_init(&written, 0);
    ssize_t raw_size = rd_base64url_decode(text, size, raw, sizeof(raw));
    if (raw_size >= 0) {
        (void)rd_buf_append_base64url(&written, rd_bytes_of(raw, (size_t)raw_size));
        same(text, size, rd_buf_text(&written));
    }
    rd_buf_clear(&written);
    raw_size = rd_base64_decode(text, size, raw, sizeof(raw));
    if (raw_size >= 0) {
        (void)rd_buf_append_base64(&written, rd_bytes_of(raw, (size_t)raw_size));
        same(text, size, rd_buf_text(&written));
    }
    rd_buf_done(&written);
}

static void check_names(const char *text, size_t size)
{
    rd_err err = RD_ERR_INIT;
    char written[256];
    rd_id id;
    rd_app_id app;
    rd_digest digest;
    if (rd_id_parse("dep", text, size, &id, &err) == 0) {
        rd_id_format("dep", &id, written);
        same(text, size, written);
    }
    if (rd_app_id_parse(text, size, &app, &err) == 0) {
        rd_app_id_format(&app, written);
        same(text, size, written);
    }
    if (rd_digest_parse(text, size, &digest, &err) == 0) {
        rd_digest_format(&digest, written);
        same(text, size, written);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    if (size > TEXT_MAX)
        return 0;
    check_base64(text, size);
    check_names(text, size);
    uint8_t raw[TEXT_MAX];
    char written[TEXT_MAX + 1];
    if (size > 0 && rd_base32_size(size * 5 / 8) == size && rd_base32_decode(text, size, raw, size * 5 / 8) == 0) {
        rd_base32_encode(rd_bytes_of(raw, size * 5 / 8), written);
        same(text, size, written);
    }
    (void)rd_hex_decode(text, size, raw, size / 2);
    (void)rd_is_utf8(rd_bytes_of(data, size));
    int64_t time_us, again_us;
    if (rd_time_parse(text, size, &time_us) == 0) {
        rd_time_format(time_us, written);
        if (rd_time_parse(written, strlen(written), &again_us) < 0 || again_us != time_us)
            abort();
    }
    uint64_t number;
    if (rd_parse_u64(text, size, UINT64_MAX, &number) == 0) {
        (void)snprintf(written, sizeof(written), "%llu", (unsigned long long)number);
        same(text, size, written);
    }
    return 0;
}
