#include "enclave/runtime/seal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/model/ohttp_chunks.h"

#define NAME_SIZE 16 /* of an enc: a caller who makes two of one half only loses his second */
#define SLOTS_MIN 256

/* One key and the requests that it has taken, in open addressing; a slot of zeros is free. */
typedef struct seal_key {
    rd_ohttp_key config;
    rd_hpke_recipient *recipient; /* NULL: none */
    int64_t born_us;
    uint8_t (*slots)[NAME_SIZE];
    size_t slot_count, taken;
} seal_key;

struct encl_seal {
    encl_platform *platform;
    const rd_clock *clock;
    rd_random random;
    encl_seal_limits limits;
    seal_key now, before;
};

/* ---- which requests were taken ---- */

static bool is_free(const uint8_t name[NAME_SIZE])
{
    static const uint8_t zeros[NAME_SIZE] = { 0 };
    return memcmp(name, zeros, NAME_SIZE) == 0;
}

/* The name's slot, or the free one where it belongs. */
static uint8_t *find(const seal_key *key, const uint8_t *enc)
{
    uint32_t hash;
    memcpy(&hash, enc, sizeof hash);
    for (size_t i = hash % key->slot_count;; i = (i + 1) % key->slot_count)
        if (is_free(key->slots[i]) || memcmp(key->slots[i], enc, NAME_SIZE) == 0)
            return key->slots[i];
}

static void grow(seal_key *key)
{
    seal_key wider = { .slot_count = key->slot_count ? key->slot_count * 2 : SLOTS_MIN };
    wider.slots = rd_alloc_array(wider.slot_count, NAME_SIZE);
    for (size_t i = 0; i < key->slot_count; i++)
        if (!is_free(key->slots[i]))
            memcpy(find(&wider, key->slots[i]), key->slots[i], NAME_SIZE);
    free(key->slots);
    key->slots = wider.slots;
    key->slot_count = wider.slot_count;
}

/* False when it was taken before, or no more can be remembered. */
static bool take(seal_key *key, size_t taken_max, const uint8_t *enc)
{
    if (key->taken >= taken_max || is_free(enc))
        return false;
    if (key->taken + 1 > key->slot_count / 4 * 3)
        grow(key);
    uint8_t *slot = find(key, enc);
    if (!is_free(slot))
        return false;
    memcpy(slot, enc, NAME_SIZE);
    key->taken++;
    return true;
}

/* ---- keys ---- */

static void key_close(seal_key *key)
{
    rd_hpke_recipient_free(key->recipient);
    free(key->slots);
    *key = (seal_key){ .config = { .id = key->config.id } };
}

static int draw(encl_seal *seal, rd_err *err)
{
    uint8_t id;
    RD_CLEANUP(rd_secret_free_p) rd_secret *private_key = rd_secret_new(RD_X25519_SIZE);
    if (encl_platform_random(seal->platform, &id, sizeof id, err) < 0 ||
        encl_platform_random(seal->platform, rd_secret_data(private_key), RD_X25519_SIZE, err) < 0)
        return -1;
    key_close(&seal->before);
    seal->before = seal->now;
    if (id == seal->before.config.id)
        id++;
    seal->now = (seal_key){ .config = { .id = id }, .born_us = rd_clock_boot_us(seal->clock) };
    seal->now.recipient = rd_hpke_recipient_new(private_key);
    memcpy(seal->now.config.public_key, rd_hpke_recipient_public(seal->now.recipient), RD_X25519_SIZE);
    return 0;
}

static bool has_ended(const seal_key *key, int64_t now_us)
{
    return key->recipient != NULL && now_us - key->born_us >= ENCL_SEAL_END_US;
}

void encl_seal_tidy(encl_seal *seal)
{
    int64_t now_us = rd_clock_boot_us(seal->clock);
    if (has_ended(&seal->before, now_us))
        key_close(&seal->before);
    if (has_ended(&seal->now, now_us))
        key_close(&seal->now);
}

int encl_seal_timeout_ms(const encl_seal *seal)
{
    const seal_key *first = seal->before.recipient != NULL ? &seal->before : &seal->now;
    if (first->recipient == NULL)
        return -1;
    int64_t left_us = first->born_us + ENCL_SEAL_END_US - rd_clock_boot_us(seal->clock);
    return left_us <= 0 ? 0 : (int)(left_us / 1000 + 1);
}

/* The kernel's generator behind the one door; without it nothing here may go on (as rd_random_system). */
static void fill_random(void *context, void *out, size_t size)
{
    rd_err err = RD_ERR_INIT;
    encl_seal *seal = context;
    if (encl_platform_random(seal->platform, out, size, &err) < 0)
        abort();
}

int encl_seal_new(encl_platform *platform, const rd_clock *clock, encl_seal_limits limits, encl_seal **ret, rd_err *err)
{
    encl_seal *seal = rd_alloc(sizeof *seal);
    seal->platform = platform;
    seal->clock = clock;
    seal->limits = limits;
    seal->random = (rd_random){ .fill = fill_random, .context = seal };
    if (draw(seal, err) < 0) {
        free(seal);
        return -1;
    }
    *ret = seal;
    return 0;
}

encl_seal *encl_seal_free(encl_seal *seal)
{
    if (seal != NULL) {
        key_close(&seal->now);
        key_close(&seal->before);
        free(seal);
    }
    return NULL;
}

void encl_seal_free_p(encl_seal **seal)
{
    *seal = encl_seal_free(*seal);
}

int encl_seal_keys(encl_seal *seal, uint8_t out[RD_OHTTP_KEYS_SIZE], rd_err *err)
{
    encl_seal_tidy(seal);
    bool is_old = rd_clock_boot_us(seal->clock) - seal->now.born_us >= ENCL_SEAL_OLD_US ||
                  seal->now.taken >= seal->limits.taken_many;
    if ((is_old || seal->now.recipient == NULL) && draw(seal, err) < 0)
        return -1;
    rd_ohttp_keys_write(&seal->now.config, out);
    return 0;
}

/* ---- requests ---- */

/* The key that a request names; an unknown name is tried with the newest, so that every failure takes the same way. */
static seal_key *choose(encl_seal *seal, uint8_t id, bool *ret_is_named)
{
    seal_key *keys[] = { &seal->now, &seal->before };
    for (size_t i = 0; i < RD_ARRAY_LEN(keys); i++) {
        *ret_is_named = keys[i]->recipient != NULL && keys[i]->config.id == id;
        if (*ret_is_named)
            return keys[i];
    }
    return &seal->now;
}

int encl_seal_open(encl_seal *seal, bool is_chunked, rd_bytes sealed, rd_ohttp *ret, rd_buf *message, rd_err *err)
{
    int (*open)(const rd_ohttp_key *key, const rd_hpke_recipient *recipient, rd_bytes sealed, rd_ohttp *ret,
                rd_buf *message, rd_err *err) = is_chunked ? rd_ohttp_open_chunked : rd_ohttp_open_request;
    size_t before = message->size;
    uint8_t id = 0;
    bool is_named = false;
    encl_seal_tidy(seal);
    if (rd_ohttp_key_id(sealed, &id)) {
        seal_key *key = choose(seal, id, &is_named);
        const rd_ohttp_key config = { .id = id };
        rd_err ignored = RD_ERR_INIT;
        if (key->recipient != NULL && open(&config, key->recipient, sealed, ret, message, &ignored) == 0) {
            if (is_named && take(key, seal->limits.taken_max, ret->enc))
                return 0;
            rd_wipe(message->data + before, message->size - before);
            message->size = before;
            rd_ohttp_done(ret);
        }
    }
    return rd_err_set(err, RD_E_SEAL, "the seal does not open");
}

const rd_random *encl_seal_random(const encl_seal *seal)
{
    return &seal->random;
}
