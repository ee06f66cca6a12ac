#include "enclave/engine/subtle_priv.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

encl_subtle *encl_subtle_new(int (*random)(void *context, uint8_t *out, size_t size), void *context)
{
    encl_subtle *subtle = rd_alloc(sizeof(*subtle));

    subtle->random = random;
    subtle->context = context;
    return subtle;
}

encl_subtle *encl_subtle_free(encl_subtle *subtle)
{
    if (!subtle)
        return NULL;
    encl_keys_done(&subtle->keys);
    encl_iv_memory_free(subtle->ivs);
    free(subtle);
    return NULL;
}

void encl_subtle_seal(encl_subtle *subtle)
{
    encl_keys_seal(&subtle->keys);
}

void encl_subtle_unseal(encl_subtle *subtle)
{
    encl_keys_unseal(&subtle->keys);
}

void encl_subtle_reset(encl_subtle *subtle)
{
    encl_keys_reset(&subtle->keys);
}

/* --- reading and answering ---------------------------------------------------------------------------------------- */

int encl_ask_refuse(encl_ask *ask, enum encl_ask_status status, const char *sentence)
{
    ask->status = status;
    ask->sentence = sentence;
    return -1;
}

rd_bytes encl_ask_field(encl_ask *ask)
{
    uint32_t size = rd_cursor_u32le(&ask->in);

    return rd_cursor_take(&ask->in, size);
}

uint32_t encl_ask_number(encl_ask *ask)
{
    rd_cursor number = rd_cursor_of(encl_ask_field(ask));
    uint32_t value = rd_cursor_u32le(&number);

    if (!rd_cursor_is_done(&number))
        ask->in.has_failed = true;
    return value;
}

int encl_ask_end(encl_ask *ask)
{
    return rd_cursor_is_done(&ask->in) ? 0 : encl_ask_refuse(ask, ENCL_ASK_TYPE, "the question is malformed");
}

int encl_ask_put_field(encl_ask *ask, rd_bytes bytes)
{
    if (rd_buf_append_u32le(ask->out, (uint32_t)bytes.size) && rd_buf_append_bytes(ask->out, bytes))
        return 0;
    return encl_ask_refuse(ask, ENCL_ASK_OPERATION, "the result is too large");
}

const encl_key *encl_ask_key(encl_ask *ask, rd_bytes handle, uint32_t alg, uint32_t may)
{
    const encl_key *key = encl_keys_find(&ask->subtle->keys, handle);

    if (!key) {
        (void)encl_ask_refuse(ask, ENCL_ASK_ACCESS, "the key is of another request");
        return NULL;
    }
    if (key->alg != alg || (may != 0 && !(key->flags & may))) {
        (void)encl_ask_refuse(ask, ENCL_ASK_ACCESS, "the key may not be used for this");
        return NULL;
    }
    return key;
}

const EVP_MD *encl_ask_md(uint32_t hash)
{
    switch (hash) {
    case ENCL_HASH_SHA1:
        return EVP_sha1();
    case ENCL_HASH_SHA256:
        return EVP_sha256();
    case ENCL_HASH_SHA384:
        return EVP_sha384();
    case ENCL_HASH_SHA512:
        return EVP_sha512();
    default:
        return NULL;
    }
}

int encl_ask_put_key(encl_ask *ask, encl_key *key)
{
    uint8_t handle[ENCL_KEY_HANDLE_SIZE];
    uint32_t type = key->type;
    uint32_t bits = (uint32_t)key->secret.size * 8;

    if (!encl_keys_add(&ask->subtle->keys, key, handle)) {
        encl_key_done(key);
        return encl_ask_refuse(ask, ENCL_ASK_QUOTA, "more than 1024 keys at once");
    }
    if (!rd_buf_append(ask->out, handle, sizeof(handle)) || !rd_buf_append_u32le(ask->out, type) ||
        !rd_buf_append_u32le(ask->out, bits))
        return encl_ask_refuse(ask, ENCL_ASK_OPERATION, "the result is too large");
    return 0;
}

static int answer(encl_ask *ask, uint32_t op)
{
    switch (op) {
    case ENCL_ASK_DIGEST:
        return encl_subtle_digest(ask);
    case ENCL_ASK_IMPORT:
        return encl_subtle_import(ask);
    case ENCL_ASK_EXPORT:
        return encl_subtle_export(ask);
    case ENCL_ASK_GENERATE:
        return encl_subtle_generate(ask);
    case ENCL_ASK_SIGN:
        return encl_subtle_sign(ask);
    case ENCL_ASK_VERIFY:
        return encl_subtle_verify(ask);
    case ENCL_ASK_ENCRYPT:
    case ENCL_ASK_DECRYPT:
        return encl_subtle_crypt(ask, op == ENCL_ASK_ENCRYPT);
    case ENCL_ASK_DERIVE:
        return encl_subtle_derive(ask);
    default:
        return encl_ask_refuse(ask, ENCL_ASK_NOT_SUPPORTED, "an unknown question");
    }
}

void encl_subtle_ask(encl_subtle *subtle, uint32_t op, rd_bytes question, rd_buf *reply)
{
    encl_ask ask = { .subtle = subtle, .in = rd_cursor_of(question), .out = reply };

    rd_buf_append_u8(reply, ENCL_ASK_OK);
    if (answer(&ask, op) == 0 && !reply->has_failed)
        return;
    ERR_clear_error();
    if (ask.status == ENCL_ASK_OK)
        (void)encl_ask_refuse(&ask, ENCL_ASK_OPERATION, "the result is too large");
    rd_wipe(reply->data, reply->size);
    rd_buf_clear(reply);
    rd_buf_append_u8(reply, (uint8_t)ask.status);
    rd_buf_append_str(reply, ask.sentence);
}

/* --- before a process is confined --------------------------------------------------------------------------------- */

static void put_number(rd_buf *out, uint32_t value)
{
    rd_buf_append_u32le(out, 4);
    rd_buf_append_u32le(out, value);
}

static void put_field(rd_buf *out, rd_bytes bytes)
{
    rd_buf_append_u32le(out, (uint32_t)bytes.size);
    rd_buf_append_bytes(out, bytes);
}

/* Asks once; 0 when it was answered. */
static int try_once(encl_subtle *subtle, uint32_t op, rd_buf *question, rd_buf *reply)
{
    rd_buf_clear(reply);
    encl_subtle_ask(subtle, op, rd_buf_bytes(question), reply);
    rd_buf_clear(question);
    return reply->size > 0 && reply->data[0] == ENCL_ASK_OK ? 0 : -1;
}

static int try_pair(encl_subtle *subtle, uint32_t alg, rd_buf *question, rd_buf *reply)
{
    uint8_t handle[ENCL_KEY_HANDLE_SIZE];
    RD_CLEANUP(rd_buf_done) rd_buf der = { 0 };

    put_number(question, alg);
    put_number(question, 0);
    put_number(question, 0);
    put_number(question, (alg == ENCL_ALG_X25519 ? ENCL_MAY_DERIVE_BITS : ENCL_MAY_SIGN) | ENCL_KEY_EXTRACTABLE);
    put_number(question, ENCL_KEY_EXTRACTABLE);
    if (try_once(subtle, ENCL_ASK_GENERATE, question, reply) < 0)
        return -1;
    for (int half = 0; half < 2; half++) {
        uint32_t format = half == 0 ? ENCL_FORMAT_SPKI : ENCL_FORMAT_PKCS8;
        if (half == 0)
            memcpy(handle, reply->data + 1, sizeof(handle));
        put_number(question, format);
        if (half == 1) {
            handle[0]++; /* the private half follows the public one */
            put_field(question, RD_BYTES_ARRAY(handle));
        } else {
            put_field(question, RD_BYTES_ARRAY(handle));
        }
        if (try_once(subtle, ENCL_ASK_EXPORT, question, reply) < 0)
            return -1;
        rd_buf_clear(&der);
        rd_buf_append(&der, reply->data + 1, reply->size - 1);
        put_number(question, format);
        put_number(question, alg);
        put_number(question, 0);
        put_number(question, 0);
        put_field(question, rd_buf_bytes(&der));
        if (try_once(subtle, ENCL_ASK_IMPORT, question, reply) < 0)
            return -1;
    }
    if (alg == ENCL_ALG_X25519)
        return 0;
    put_number(question, alg);
    put_number(question, ENCL_HASH_SHA256);
    put_field(question, RD_BYTES_ARRAY(handle));
    put_field(question, RD_BYTES_LIT("warm"));
    return try_once(subtle, ENCL_ASK_SIGN, question, reply);
}

static int try_secrets(encl_subtle *subtle, rd_buf *question, rd_buf *reply)
{
    static const uint8_t zeros[16];
    uint8_t handle[ENCL_KEY_HANDLE_SIZE];

    for (uint32_t hash = ENCL_HASH_SHA1; hash <= ENCL_HASH_SHA512; hash++) {
        put_number(question, hash);
        put_field(question, RD_BYTES_ARRAY(zeros));
        if (try_once(subtle, ENCL_ASK_DIGEST, question, reply) < 0)
            return -1;
    }
    put_number(question, ENCL_FORMAT_RAW);
    put_number(question, ENCL_ALG_HKDF);
    put_number(question, 0);
    put_number(question, ENCL_MAY_DERIVE_KEY);
    put_field(question, RD_BYTES_ARRAY(zeros));
    if (try_once(subtle, ENCL_ASK_IMPORT, question, reply) < 0)
        return -1;
    memcpy(handle, reply->data + 1, sizeof(handle));
    put_number(question, ENCL_ALG_HKDF);
    put_field(question, RD_BYTES_ARRAY(handle));
    put_number(question, ENCL_HASH_SHA256);
    put_field(question, RD_BYTES_ARRAY(zeros));
    put_field(question, RD_BYTES_NULL);
    put_number(question, 128);
    put_number(question, ENCL_ALG_AES_GCM);
    put_number(question, 0);
    put_number(question, ENCL_MAY_ENCRYPT);
    if (try_once(subtle, ENCL_ASK_DERIVE, question, reply) < 0)
        return -1;
    memcpy(handle, reply->data + 1, sizeof(handle));
    put_field(question, RD_BYTES_ARRAY(handle));
    put_field(question, rd_bytes_of(zeros, 12));
    put_field(question, RD_BYTES_NULL);
    put_number(question, 128);
    put_field(question, RD_BYTES_ARRAY(zeros));
    return try_once(subtle, ENCL_ASK_ENCRYPT, question, reply);
}

/* Keys that are thrown away at once need no secret. */
static int no_secret(void *context, uint8_t *out, size_t size)
{
    (void)context;
    memset(out, 0x42, size);
    return 0;
}

int encl_subtle_warm_up(rd_err *err)
{
    encl_subtle trial = { .random = no_secret };
    RD_CLEANUP(rd_buf_done) rd_buf question = { 0 };
    RD_CLEANUP(rd_buf_wipe) rd_buf reply = { 0 };

    encl_keys_seal(&trial.keys);
    int outcome = try_secrets(&trial, &question, &reply);
    for (uint32_t alg = ENCL_ALG_ED25519; outcome == 0 && alg <= ENCL_ALG_X25519; alg++)
        outcome = try_pair(&trial, alg, &question, &reply);
    encl_keys_done(&trial.keys);
    encl_iv_memory_free(trial.ivs);
    if (outcome == 0)
        return 0;
    return rd_err_set(err, RD_E_INTERNAL, "OpenSSL lacks an algorithm of crypto.subtle: %.*s", (int)reply.size,
                      (const char *)reply.data);
}
