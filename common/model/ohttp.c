#include "common/model/ohttp.h"

#include "common/base/cursor.h"
#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "common/model/bhttp.h"
#include "common/model/ohttp_private.h"

#include <string.h>

#define HEADER_SIZE    RD_OHTTP_HEADER_SIZE
#define KEY_SIZE       RD_OHTTP_KEY_SIZE
#define REQUEST_LABEL  "message/bhttp request"
#define RESPONSE_LABEL "message/bhttp response"
#define INFO_MAX       64

/* ---- key configurations ---- */

static void put_u16(uint8_t *out, unsigned value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

void rd_ohttp_keys_write(const rd_ohttp_key *key, uint8_t out[RD_OHTTP_KEYS_SIZE])
{
    put_u16(out, RD_OHTTP_KEYS_SIZE - 2);
    out[2] = key->id;
    put_u16(out + 3, RD_HPKE_KEM_X25519);
    memcpy(out + 5, key->public_key, RD_X25519_SIZE);
    put_u16(out + 37, 4);
    put_u16(out + 39, RD_HPKE_KDF_SHA256);
    put_u16(out + 41, RD_HPKE_AES_128_GCM);
}

/* Whether the configuration is of our suite. */
static bool read_config(rd_cursor *config, rd_ohttp_key *ret)
{
    ret->id = rd_cursor_u8(config);
    if (rd_cursor_u16be(config) != RD_HPKE_KEM_X25519)
        return false;
    rd_cursor_copy(config, ret->public_key, RD_X25519_SIZE);
    rd_cursor suites = rd_cursor_of(rd_cursor_take(config, rd_cursor_u16be(config)));
    bool has_suite = false;
    while (rd_cursor_left(&suites) > 0) {
        unsigned kdf = rd_cursor_u16be(&suites), aead = rd_cursor_u16be(&suites);
        has_suite |= kdf == RD_HPKE_KDF_SHA256 && aead == RD_HPKE_AES_128_GCM;
    }
    return has_suite && rd_cursor_is_ok(&suites) && rd_cursor_is_done(config);
}

int rd_ohttp_keys_read(rd_bytes bytes, rd_ohttp_key *ret, rd_err *err)
{
    rd_cursor cursor = rd_cursor_of(bytes);
    while (rd_cursor_left(&cursor) > 0) {
        rd_cursor config = rd_cursor_of(rd_cursor_take(&cursor, rd_cursor_u16be(&cursor)));
        if (!rd_cursor_is_ok(&cursor))
            return rd_err_set(err, RD_E_TRUNCATED, "the key configurations end within one");
        if (read_config(&config, ret))
            return 0;
    }
    return rd_err_set(err, RD_E_UNSUPPORTED, "no key configuration of X25519, HKDF-SHA256 and AES-128-GCM");
}

/* ---- requests (RFC 9458, 4.3) ---- */

static void header_of(uint8_t id, uint8_t out[HEADER_SIZE])
{
    out[0] = id;
    put_u16(out + 1, RD_HPKE_KEM_X25519);
    put_u16(out + 3, RD_HPKE_KDF_SHA256);
    put_u16(out + 5, RD_HPKE_AES_128_GCM);
}

/* The label with its NUL, then the header. */
static rd_bytes info_of(const char *label, const uint8_t header[HEADER_SIZE], uint8_t out[INFO_MAX])
{
    size_t size = strlen(label) + 1;
    memcpy(out, label, size);
    memcpy(out + size, header, HEADER_SIZE);
    return rd_bytes_of(out, size + HEADER_SIZE);
}

void rd_ohttp_done(rd_ohttp *exchange)
{
    rd_wipe(exchange, sizeof *exchange);
}

uint64_t rd_ohttp_sealed_max(uint64_t content_max)
{
    return rd_bhttp_bucket((size_t)content_max + RD_BHTTP_HEAD_MAX) + RD_OHTTP_REQUEST_EXTRA;
}

int rd_ohttp_begin_request(const rd_ohttp_key *key, const char *label, const rd_random *random, rd_ohttp *ret,
                           rd_buf *sealed, rd_err *err)
{
    uint8_t header[HEADER_SIZE], info[INFO_MAX];
    header_of(key->id, header);
    if (rd_hpke_setup_sender(RD_HPKE_AES_128_GCM, key->public_key, info_of(label, header, info), random, ret->enc,
                             &ret->hpke, err) < 0)
        return -1;
    if (rd_buf_append(sealed, header, sizeof header) && rd_buf_append(sealed, ret->enc, sizeof ret->enc))
        return 0;
    return rd_err_set(err, RD_E_TOO_LARGE, "the sealed request does not fit");
}

int rd_ohttp_seal_request(const rd_ohttp_key *key, rd_bytes message, const rd_random *random, rd_ohttp *ret,
                          rd_buf *sealed, rd_err *err)
{
    if (rd_ohttp_begin_request(key, REQUEST_LABEL, random, ret, sealed, err) < 0)
        return -1;
    return rd_hpke_seal(&ret->hpke, RD_BYTES_NULL, message, sealed, err);
}

int rd_ohttp_does_not_open(rd_err *err)
{
    return rd_err_set(err, RD_E_SEAL, "the seal does not open");
}

bool rd_ohttp_key_id(rd_bytes sealed, uint8_t *ret)
{
    uint8_t header[HEADER_SIZE];
    if (sealed.size < RD_OHTTP_REQUEST_EXTRA)
        return false;
    header_of(sealed.data[0], header);
    *ret = header[0];
    return memcmp(header, sealed.data, sizeof header) == 0;
}

int rd_ohttp_read_request(const rd_ohttp_key *key, const char *label, const rd_hpke_recipient *recipient,
                          rd_bytes sealed, rd_ohttp *ret, rd_bytes *ret_rest, rd_err *err)
{
    uint8_t id, info[INFO_MAX];
    if (!rd_ohttp_key_id(sealed, &id) || id != key->id)
        return rd_ohttp_does_not_open(err);
    size_t at = HEADER_SIZE + sizeof ret->enc;
    memcpy(ret->enc, sealed.data + HEADER_SIZE, sizeof ret->enc);
    *ret_rest = rd_bytes_of(sealed.data + at, sealed.size - at);
    return rd_hpke_setup_recipient(RD_HPKE_AES_128_GCM, recipient, ret->enc, info_of(label, sealed.data, info),
                                   &ret->hpke, err);
}

int rd_ohttp_open_request(const rd_ohttp_key *key, const rd_hpke_recipient *recipient, rd_bytes sealed, rd_ohttp *ret,
                          rd_buf *message, rd_err *err)
{
    rd_bytes rest;
    if (rd_ohttp_read_request(key, REQUEST_LABEL, recipient, sealed, ret, &rest, err) < 0)
        return -1;
    if (rd_hpke_open(&ret->hpke, RD_BYTES_NULL, rest, message, err) == 0)
        return 0;
    rd_ohttp_done(ret);
    return -1;
}

/* ---- answers (RFC 9458, 4.4) ---- */

void rd_ohttp_answer_keys(const rd_ohttp *exchange, const char *label, const uint8_t nonce[KEY_SIZE], rd_hpke *ret)
{
    uint8_t secret[KEY_SIZE], salt[RD_X25519_SIZE + KEY_SIZE], prk[RD_SHA256_SIZE];
    *ret = (rd_hpke){ .aead = RD_HPKE_AES_128_GCM };
    rd_hpke_export(&exchange->hpke, rd_bytes_str(label), secret, sizeof secret);
    memcpy(salt, exchange->enc, RD_X25519_SIZE);
    memcpy(salt + RD_X25519_SIZE, nonce, KEY_SIZE);
    rd_hmac_sha256(RD_BYTES_ARRAY(salt), RD_BYTES_ARRAY(secret), prk);
    rd_hkdf_expand_sha256(prk, RD_BYTES_LIT("key"), ret->key, KEY_SIZE);
    rd_hkdf_expand_sha256(prk, RD_BYTES_LIT("nonce"), ret->base_nonce, sizeof ret->base_nonce);
    rd_wipe(secret, sizeof secret);
    rd_wipe(prk, sizeof prk);
}

int rd_ohttp_seal_answer(const rd_ohttp *exchange, rd_bytes message, const rd_random *random, rd_buf *sealed,
                         rd_err *err)
{
    uint8_t nonce[KEY_SIZE];
    rd_hpke keys;
    rd_random_fill(random, nonce, sizeof nonce);
    rd_ohttp_answer_keys(exchange, RESPONSE_LABEL, nonce, &keys);
    int status = rd_buf_append(sealed, nonce, sizeof nonce)
                     ? rd_hpke_seal(&keys, RD_BYTES_NULL, message, sealed, err)
                     : rd_err_set(err, RD_E_TOO_LARGE, "the sealed answer does not fit");
    rd_hpke_done(&keys);
    return status;
}

int rd_ohttp_open_answer(const rd_ohttp *exchange, rd_bytes sealed, rd_buf *ret, rd_err *err)
{
    rd_hpke keys;
    if (sealed.size < RD_OHTTP_ANSWER_EXTRA)
        return rd_ohttp_does_not_open(err);
    rd_ohttp_answer_keys(exchange, RESPONSE_LABEL, sealed.data, &keys);
    int status =
        rd_hpke_open(&keys, RD_BYTES_NULL, rd_bytes_of(sealed.data + KEY_SIZE, sealed.size - KEY_SIZE), ret, err);
    rd_hpke_done(&keys);
    return status;
}
