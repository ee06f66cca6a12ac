#include "common/model/secret_seal.h"

#include "common/base/cursor.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdio.h>
#include <string.h>

/* --- names --- */

bool rd_secret_name_is_ok(const char *name)
{
    size_t size = strnlen(name, 65);
    if (size == 0 || size > 64 || (name[0] >= '0' && name[0] <= '9'))
        return false;
    for (size_t i = 0; i < size; i++)
        if (!(name[i] >= 'A' && name[i] <= 'Z') && !(name[i] >= '0' && name[i] <= '9') && name[i] != '_')
            return false;
    return true;
}

static bool is_code_name(const char *name)
{
    size_t prefix = strlen(RD_SECRET_CODE_PREFIX);
    if (strnlen(name, RD_SECRET_NAME_MAX + 1) != RD_SECRET_NAME_MAX || !rd_starts_with(name, RD_SECRET_CODE_PREFIX))
        return false;
    return strspn(name + prefix, "0123456789abcdef") == RD_SECRET_NAME_MAX - prefix;
}

bool rd_secret_name_is_known(const char *name)
{
    return rd_secret_name_is_ok(name) || is_code_name(name);
}

void rd_secret_code_name(const rd_digest *code, char out[RD_SECRET_NAME_MAX + 1])
{
    memcpy(out, RD_SECRET_CODE_PREFIX, strlen(RD_SECRET_CODE_PREFIX));
    rd_hex_encode(RD_BYTES_ARRAY(code->b), out + strlen(RD_SECRET_CODE_PREFIX));
}

/* --- one secret --- */

static void put_u64be(uint8_t out[8], uint64_t value)
{
    for (size_t i = 0; i < 8; i++)
        out[i] = (uint8_t)(value >> (56 - 8 * i));
}

static bool frame(const rd_app_id *app, const char *name, uint64_t version, rd_buf *info, rd_buf *aad)
{
    uint8_t number[8];
    put_u64be(number, version);
    const rd_bytes parts[] = { RD_BYTES_ARRAY(app->b), rd_bytes_str(name), RD_BYTES_ARRAY(number) };
    return rd_frame_info(info, RD_INFO_SECRET, parts, 1) && rd_frame_aad(aad, RD_AAD_SECRET, parts, 3);
}

static int check_name(const char *name, uint64_t version, rd_err *err)
{
    if (!rd_secret_name_is_known(name))
        return rd_err_set(err, RD_E_SECRET_NAME, "not a name of a secret");
    if (version == 0 || version > RD_SECRET_VERSION_MAX)
        return rd_err_set(err, RD_E_SEAL_FORMAT, "secret %s: a version is 1 to 2^53 - 1", name);
    return 0;
}

static size_t padded_size(size_t value_size)
{
    return (4 + value_size + RD_SECRET_STEP - 1) / RD_SECRET_STEP * RD_SECRET_STEP;
}

int rd_secret_seal(const uint8_t seal_key[RD_X25519_SIZE], const rd_app_id *app, const char *name, uint64_t version,
                   rd_bytes value, const rd_random *random, rd_buf *ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf info = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf aad = { 0 };
    if (check_name(name, version, err) < 0)
        return -1;
    if (value.size > RD_SECRET_VALUE_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "secret %s: %zu bytes, at most %zu", name, value.size,
                          RD_SECRET_VALUE_MAX);
    size_t size = padded_size(value.size);
    RD_CLEANUP(rd_secret_free_p) rd_secret *plain = rd_secret_new(size);
    uint8_t *at = rd_secret_data(plain);
    for (size_t i = 0; i < 4; i++)
        at[i] = (uint8_t)(value.size >> (24 - 8 * i));
    if (value.size > 0)
        memcpy(at + 4, value.data, value.size);
    if (!frame(app, name, version, &info, &aad))
        return rd_err_set(err, RD_E_INTERNAL, "framing a secret");
    return rd_hpke_seal_once(seal_key, rd_buf_bytes(&info), rd_buf_bytes(&aad), rd_secret_bytes(plain), random, ret,
                             err);
}

static int unpad(rd_bytes plain, rd_buf *ret, rd_err *err)
{
    rd_cursor cursor = rd_cursor_of(plain);
    uint32_t size = rd_cursor_u32be(&cursor);
    if (!rd_cursor_is_ok(&cursor) || size > RD_SECRET_VALUE_MAX || plain.size != padded_size(size))
        return rd_err_set(err, RD_E_SEAL_FORMAT, "padded otherwise than secrets are");
    rd_bytes value = rd_cursor_take(&cursor, size);
    rd_bytes padding = rd_cursor_rest(&cursor);
    for (size_t i = 0; i < padding.size; i++)
        if (padding.data[i] != 0)
            return rd_err_set(err, RD_E_SEAL_FORMAT, "padded with something other than zeros");
    return rd_buf_append_bytes(ret, value) ? 0 : rd_err_set(err, RD_E_TOO_LARGE, "no room for the value");
}

int rd_secret_open(const rd_secret *seal_key, const rd_app_id *app, const char *name, uint64_t version, rd_bytes sealed,
                   rd_buf *ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf info = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf aad = { 0 };
    RD_CLEANUP(rd_buf_wipe) rd_buf plain = { 0 };
    if (check_name(name, version, err) < 0)
        return -1;
    if (sealed.size < RD_X25519_SIZE + RD_SECRET_STEP + 16 || sealed.size > RD_SECRET_SEALED_MAX)
        return rd_err_set(err, RD_E_SEAL_FORMAT, "secret %s: %zu sealed bytes", name, sealed.size);
    if (!frame(app, name, version, &info, &aad))
        return rd_err_set(err, RD_E_INTERNAL, "framing a secret");
    if (rd_hpke_open_once(seal_key, rd_buf_bytes(&info), rd_buf_bytes(&aad), sealed, &plain, err) < 0)
        return rd_err_set(err, RD_E_SEAL_CONTEXT, "secret %s, version %llu, does not open for this app", name,
                          (unsigned long long)version);
    if (unpad(rd_buf_bytes(&plain), ret, err) < 0)
        return rd_err_wrap(err, "secret %s", name);
    return 0;
}

/* --- the set --- */

void rd_secrets_root(const rd_secret_ref *refs, size_t count, rd_digest *ret)
{
    RD_CLEANUP(rd_free_p) rd_bytes *parts = rd_alloc_array(3 * count + 1, sizeof *parts);
    RD_CLEANUP(rd_free_p) uint8_t *versions = rd_alloc_array(count + 1, 8);
    for (size_t i = 0; i < count; i++) {
        put_u64be(versions + 8 * i, refs[i].version);
        parts[3 * i] = rd_bytes_str(refs[i].name);
        parts[3 * i + 1] = rd_bytes_of(versions + 8 * i, 8);
        parts[3 * i + 2] = RD_BYTES_ARRAY(refs[i].sealed.b);
    }
    rd_h(RD_HASH_SECRETS, parts, 3 * count, ret->b);
}

int rd_secret_ref_compare(const void *a, const void *b)
{
    return strcmp(((const rd_secret_ref *)a)->name, ((const rd_secret_ref *)b)->name);
}

static size_t sealed_size(const rd_secret_set *set)
{
    size_t size = 0;
    for (size_t i = 0; i < set->count; i++)
        size += set->sealed[i].size;
    return size;
}

int rd_secret_set_add(rd_secret_set *set, const char *name, uint64_t version, rd_bytes sealed, rd_err *err)
{
    if (check_name(name, version, err) < 0)
        return -1;
    if (set->count == RD_SECRETS_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "an app has at most %d secrets", RD_SECRETS_MAX);
    if (sealed.size == 0 || sealed.size > RD_SECRET_SEALED_MAX)
        return rd_err_set(err, RD_E_SEAL_FORMAT, "secret %s: %zu sealed bytes", name, sealed.size);
    if (sealed_size(set) + sealed.size > RD_SECRETS_SEALED_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "an app's secrets have at most %zu bytes together",
                          RD_SECRETS_SEALED_MAX);
    if (set->count > 0 && strcmp(set->refs[set->count - 1].name, name) >= 0)
        return rd_err_set(err, RD_E_SEAL_FORMAT, "secret %s: names come in byte order, none twice", name);
    rd_secret_ref *ref = &set->refs[set->count];
    *ref = (rd_secret_ref){ .version = version };
    memcpy(ref->name, name, strlen(name) + 1);
    rd_sha256(sealed, ref->sealed.b);
    set->sealed[set->count++] = sealed;
    return 0;
}

int rd_secret_set_parse(rd_bytes bytes, rd_secret_set *ret, rd_err *err)
{
    rd_cursor cursor = rd_cursor_of(bytes);
    uint16_t count = rd_cursor_u16be(&cursor);
    ret->count = 0;
    for (uint16_t i = 0; i < count; i++) {
        char name[RD_SECRET_NAME_MAX + 1] = "";
        uint8_t name_size = rd_cursor_u8(&cursor);
        rd_bytes text = rd_cursor_take(&cursor, name_size);
        uint64_t version = rd_cursor_u64be(&cursor);
        uint32_t size = rd_cursor_u32be(&cursor);
        rd_bytes sealed = rd_cursor_take(&cursor, size);
        if (!rd_cursor_is_ok(&cursor))
            return rd_err_set(err, RD_E_SEAL_FORMAT, "the set of secrets ends early");
        if (text.size == 0 || text.size > RD_SECRET_NAME_MAX || memchr(text.data, 0, text.size))
            return rd_err_set(err, RD_E_SECRET_NAME, "not a name of a secret");
        memcpy(name, text.data, text.size);
        if (rd_secret_set_add(ret, name, version, sealed, err) < 0)
            return -1;
    }
    return rd_cursor_is_done(&cursor) ? 0 : rd_err_set(err, RD_E_SEAL_FORMAT, "bytes behind the set of secrets");
}

int rd_secret_set_encode(const rd_secret_set *set, rd_buf *out, rd_err *err)
{
    (void)rd_buf_append_u16be(out, (uint16_t)set->count);
    for (size_t i = 0; i < set->count; i++) {
        (void)rd_buf_append_u8(out, (uint8_t)strlen(set->refs[i].name));
        (void)rd_buf_append_str(out, set->refs[i].name);
        (void)rd_buf_append_u64be(out, set->refs[i].version);
        (void)rd_buf_append_u32be(out, (uint32_t)set->sealed[i].size);
        (void)rd_buf_append_bytes(out, set->sealed[i]);
    }
    return out->has_failed ? rd_err_set(err, RD_E_TOO_LARGE, "no room for the set of secrets") : 0;
}

int rd_secrets_check(const rd_secret_ref *refs, size_t count, uint64_t wanted_count, const rd_digest *wanted_root,
                     rd_err *err)
{
    rd_digest root;
    if (count != wanted_count)
        return rd_err_set(err, RD_E_SECRETS_INCOMPLETE, "%zu secrets, the head names %llu", count,
                          (unsigned long long)wanted_count);
    rd_secrets_root(refs, count, &root);
    if (!rd_digest_equal(&root, wanted_root))
        return rd_err_set(err, RD_E_SECRETS_INCOMPLETE, "a name, a version or a sealed value is not the head's");
    return 0;
}

/* --- seal keys --- */

#define SEAL_KEY_MESSAGE_SIZE (32 + 8 + RD_X25519_SIZE)

static void seal_key_message(const rd_app_id *app, uint64_t version, const uint8_t key[RD_X25519_SIZE],
                             uint8_t out[SEAL_KEY_MESSAGE_SIZE])
{
    memcpy(out, app->b, 32);
    put_u64be(out + 32, version);
    memcpy(out + 40, key, RD_X25519_SIZE);
}

int rd_seal_key_sign(const rd_signing_key *root, const rd_app_id *app, uint64_t version,
                     const uint8_t key[RD_X25519_SIZE], rd_signature *ret, rd_err *err)
{
    uint8_t message[SEAL_KEY_MESSAGE_SIZE];
    seal_key_message(app, version, key, message);
    return rd_sign(root, RD_SIGN_APP_SEAL, RD_BYTES_ARRAY(message), ret, err);
}

int rd_seal_key_verify(const rd_public_key *root, const rd_app_id *app, uint64_t version,
                       const uint8_t key[RD_X25519_SIZE], const rd_signature *signature, rd_err *err)
{
    uint8_t message[SEAL_KEY_MESSAGE_SIZE];
    seal_key_message(app, version, key, message);
    if (rd_verify(root, RD_SIGN_APP_SEAL, RD_BYTES_ARRAY(message), signature, err) < 0)
        return rd_err_wrap(err, "seal key of the app");
    return 0;
}
