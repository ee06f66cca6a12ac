#include "common/model/ids.h"

#include "common/base/text.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define PREFIX_SIZE 4 /* "dep_" */

rd_id rd_id_new(int64_t wall_us, const rd_random *source)
{
    rd_id id;
    rd_random_fill(source, id.b, sizeof id.b);
    uint64_t ms = wall_us > 0 ? (uint64_t)wall_us / 1000 : 0;
    for (int i = 0; i < 6; i++)
        id.b[i] = (uint8_t)(ms >> (8 * (5 - i)));
    id.b[6] = (uint8_t)(0x70 | (id.b[6] & 0x0f)); /* RFC 9562, 5.7: version 7 */
    id.b[8] = (uint8_t)(0x80 | (id.b[8] & 0x3f)); /* RFC 9562, 4.1: variant 10 */
    return id;
}

bool rd_id_equal(const rd_id *a, const rd_id *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

void rd_id_format(const char *prefix, const rd_id *id, char out[RD_ID_TEXT_SIZE])
{
    assert(strlen(prefix) == PREFIX_SIZE - 1);
    memcpy(out, prefix, PREFIX_SIZE - 1);
    out[PREFIX_SIZE - 1] = '_';
    rd_base32_encode(RD_BYTES_ARRAY(id->b), out + PREFIX_SIZE);
}

static bool has_prefix(const char *prefix, const char *text, size_t text_size)
{
    return text_size > PREFIX_SIZE && memcmp(text, prefix, PREFIX_SIZE - 1) == 0 && text[PREFIX_SIZE - 1] == '_';
}

int rd_id_parse(const char *prefix, const char *text, size_t text_size, rd_id *ret, rd_err *err)
{
    rd_id id;
    if (!has_prefix(prefix, text, text_size) ||
        rd_base32_decode(text + PREFIX_SIZE, text_size - PREFIX_SIZE, id.b, sizeof id.b) < 0)
        return rd_err_set(err, RD_E_ID_FORMAT, "not an id of the form %s_ and 26 characters", prefix);
    *ret = id;
    return 0;
}

bool rd_app_id_equal(const rd_app_id *a, const rd_app_id *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

/* Self-certifying ids: a prefix and 52 characters of a digest. */
static void format_digest_id(const char *prefix, const uint8_t bytes[32], char *out)
{
    memcpy(out, prefix, PREFIX_SIZE);
    rd_base32_encode(rd_bytes_of(bytes, 32), out + PREFIX_SIZE);
}

static int parse_digest_id(const char *prefix, const char *text, size_t text_size, uint8_t ret[32], rd_err *err)
{
    uint8_t bytes[32];
    if (!has_prefix(prefix, text, text_size) ||
        rd_base32_decode(text + PREFIX_SIZE, text_size - PREFIX_SIZE, bytes, sizeof bytes) < 0)
        return rd_err_set(err, RD_E_ID_FORMAT, "not an id of the form %s_ and 52 characters", prefix);
    memcpy(ret, bytes, sizeof bytes);
    return 0;
}

void rd_app_id_format(const rd_app_id *id, char out[RD_APP_ID_TEXT_SIZE])
{
    format_digest_id("app_", id->b, out);
}

int rd_app_id_parse(const char *text, size_t text_size, rd_app_id *ret, rd_err *err)
{
    return parse_digest_id("app", text, text_size, ret->b, err);
}

bool rd_kms_id_equal(const rd_kms_id *a, const rd_kms_id *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

void rd_kms_id_format(const rd_kms_id *id, char out[RD_KMS_ID_TEXT_SIZE])
{
    format_digest_id("kms_", id->b, out);
}

int rd_kms_id_parse(const char *text, size_t text_size, rd_kms_id *ret, rd_err *err)
{
    return parse_digest_id("kms", text, text_size, ret->b, err);
}

rd_id rd_instance_id(const rd_id *deployment, int32_t slot)
{
    rd_id id = *deployment;
    for (int i = 0; i < 4; i++)
        id.b[12 + i] = (uint8_t)((uint32_t)slot >> (8 * (3 - i)));
    return id;
}

int32_t rd_instance_slot(const rd_id *instance)
{
    uint32_t slot = 0;
    for (int i = 12; i < 16; i++)
        slot = slot << 8 | instance->b[i];
    return (int32_t)slot;
}

void rd_digest_format(const rd_digest *digest, char out[RD_DIGEST_TEXT_SIZE])
{
    memcpy(out, "sha256:", 7);
    rd_hex_encode(RD_BYTES_ARRAY(digest->b), out + 7);
}

int rd_digest_parse(const char *text, size_t text_size, rd_digest *ret, rd_err *err)
{
    rd_digest digest;
    bool is_ok = text_size == RD_DIGEST_TEXT_SIZE - 1 && memcmp(text, "sha256:", 7) == 0;
    for (size_t i = 7; is_ok && i < text_size; i++)
        is_ok = text[i] < 'A' || text[i] > 'F';
    if (!is_ok || rd_hex_decode(text + 7, text_size - 7, digest.b, sizeof digest.b) < 0)
        return rd_err_set(err, RD_E_ENCODING, "not a digest of the form sha256: and 64 lower-case hex digits");
    *ret = digest;
    return 0;
}
