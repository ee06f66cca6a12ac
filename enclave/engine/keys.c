#include "enclave/engine/keys.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cursor.h"

void encl_key_done(encl_key *key)
{
    rd_buf_wipe(&key->secret);
    EVP_PKEY_free(key->pkey);
    memset(key, 0, sizeof(*key));
}

static void drop_from(encl_keys *keys, size_t first)
{
    for (size_t i = first; i < keys->count; i++)
        encl_key_done(&keys->items[i]);
    keys->count = first;
}

void encl_keys_done(encl_keys *keys)
{
    drop_from(keys, 0);
    free(keys->items);
    memset(keys, 0, sizeof(*keys));
}

bool encl_keys_add(encl_keys *keys, encl_key *key, uint8_t ret_handle[ENCL_KEY_HANDLE_SIZE])
{
    if (keys->count == ENCL_KEYS_MAX)
        return false;
    if (keys->count == keys->capacity) {
        keys->capacity = keys->capacity == 0 ? 16 : keys->capacity * 2;
        keys->items = rd_realloc(keys->items, keys->capacity * sizeof(*keys->items));
    }
    for (int i = 0; i < 4; i++) {
        ret_handle[i] = (uint8_t)(keys->count >> 8 * i);
        ret_handle[4 + i] = (uint8_t)(keys->generation >> 8 * i);
    }
    keys->items[keys->count++] = *key;
    memset(key, 0, sizeof(*key));
    return true;
}

const encl_key *encl_keys_find(const encl_keys *keys, rd_bytes handle)
{
    rd_cursor cursor = rd_cursor_of(handle);
    uint32_t index = rd_cursor_u32le(&cursor);
    uint32_t generation = rd_cursor_u32le(&cursor);
    bool is_base = index < keys->base_count || keys->generation == 0;

    if (!rd_cursor_is_done(&cursor) || index >= keys->count)
        return NULL;
    return generation == (is_base ? 0 : keys->generation) ? &keys->items[index] : NULL;
}

void encl_keys_seal(encl_keys *keys)
{
    keys->base_count = keys->count;
    keys->generation = 1;
}

void encl_keys_unseal(encl_keys *keys)
{
    drop_from(keys, 0);
    keys->base_count = keys->generation = 0;
}

void encl_keys_reset(encl_keys *keys)
{
    drop_from(keys, keys->base_count);
    keys->generation = keys->generation == UINT32_MAX ? 1 : keys->generation + 1;
}
