#include "enclave/kms/kms_keys.h"

#include <string.h>

#include "common/base/cursor.h"
#include "common/base/mem.h"
#include "common/crypto/aead.h"

#define MAGIC      "redoubt/kms-root/v1"
#define MAGIC_SIZE (sizeof(MAGIC) - 1)

void kms_keys_done(kms_keys *keys)
{
    keys->root = rd_secret_free(keys->root);
    keys->signer = rd_signing_key_free(keys->signer);
    keys->replica = rd_signing_key_free(keys->replica);
    rd_buf_done(&keys->document);
}

int kms_keys_make(const rd_kms_genesis *what, kms_keys *ret, rd_err *err)
{
    *ret = (kms_keys){
        .root = rd_secret_random(32), .signer = rd_signing_key_new(), .replica = rd_signing_key_new(), .genesis = *what
    };
    ret->genesis.root = *rd_signing_key_public(ret->signer);
    /* As everybody will read it: nothing is kept under a genesis that nobody takes. */
    if (rd_kms_genesis_encode(&ret->genesis, &ret->document, err) < 0 ||
        rd_kms_genesis_parse(rd_buf_bytes(&ret->document), &ret->genesis, err) < 0)
        return -1;
    rd_kms_genesis_id(rd_buf_bytes(&ret->document), &ret->id);
    return 0;
}

static int take_genesis(kms_keys *keys, rd_bytes genesis, rd_err *err)
{
    if (!rd_buf_append_bytes(&keys->document, genesis) || rd_kms_genesis_parse(genesis, &keys->genesis, err) < 0)
        return -1;
    if (!rd_public_key_equal(&keys->genesis.root, rd_signing_key_public(keys->signer)))
        return rd_err_set(err, RD_E_KMS_STATE, "the signing key is not the one of the genesis");
    rd_kms_genesis_id(genesis, &keys->id);
    return 0;
}

/* --- at rest --- */

int kms_keys_seal(const kms_keys *keys, const uint8_t seal_key[32], rd_buf *ret, rd_err *err)
{
    uint8_t nonce[RD_AEAD_NONCE_SIZE], seeds[2][RD_SEED_SIZE];
    RD_CLEANUP(rd_buf_wipe) rd_buf plain = { 0 };
    rd_random_bytes(nonce, sizeof(nonce));
    rd_signing_key_seed(keys->signer, seeds[0]);
    rd_signing_key_seed(keys->replica, seeds[1]);
    (void)rd_buf_reserve(&plain, 3 * 32 + keys->document.size);
    rd_buf_append_bytes(&plain, rd_secret_bytes(keys->root));
    rd_buf_append(&plain, seeds, sizeof(seeds));
    rd_buf_append_bytes(&plain, rd_buf_bytes(&keys->document));
    rd_wipe(seeds, sizeof(seeds));
    rd_buf_append_str(ret, MAGIC);
    rd_buf_append(ret, nonce, sizeof(nonce));
    return rd_aead_seal(rd_bytes_of(seal_key, 32), nonce, RD_BYTES_LIT(MAGIC), rd_buf_bytes(&plain), ret, err);
}

int kms_keys_unseal(rd_bytes sealed, const uint8_t seal_key[32], kms_keys *ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_wipe) rd_buf plain = { 0 };
    rd_cursor cursor = rd_cursor_of(sealed);
    bool is_ours = rd_bytes_equal(rd_cursor_take(&cursor, MAGIC_SIZE), RD_BYTES_LIT(MAGIC));
    rd_bytes nonce = rd_cursor_take(&cursor, RD_AEAD_NONCE_SIZE);
    rd_bytes rest = rd_cursor_rest(&cursor);
    if (!is_ours || !rd_cursor_is_ok(&cursor) ||
        rd_aead_open(rd_bytes_of(seal_key, 32), nonce.data, RD_BYTES_LIT(MAGIC), rest, &plain, NULL) < 0)
        return rd_err_set(err, RD_E_KMS_STATE, "the sealed root does not open for this build on this machine");
    rd_cursor in = rd_cursor_of(rd_buf_bytes(&plain));
    rd_bytes root = rd_cursor_take(&in, 32);
    rd_bytes signer = rd_cursor_take(&in, RD_SEED_SIZE);
    rd_bytes replica = rd_cursor_take(&in, RD_SEED_SIZE);
    rd_bytes genesis = rd_cursor_rest(&in);
    if (!rd_cursor_is_ok(&in))
        return rd_err_set(err, RD_E_KMS_STATE, "the sealed root is cut off");
    *ret = (kms_keys){ .root = rd_secret_copy(root),
                       .signer = rd_signing_key_from_seed(signer.data),
                       .replica = rd_signing_key_from_seed(replica.data) };
    return take_genesis(ret, genesis, err);
}

int kms_keys_take(rd_bytes root, const uint8_t signer_seed[RD_SEED_SIZE], rd_bytes genesis, kms_keys *ret, rd_err *err)
{
    *ret = (kms_keys){ .root = rd_secret_copy(root),
                       .signer = rd_signing_key_from_seed(signer_seed),
                       .replica = rd_signing_key_new() };
    return take_genesis(ret, genesis, err);
}

/* --- keys of apps --- */

rd_secret *kms_keys_app_root(const kms_keys *keys, const rd_app_id *app)
{
    rd_secret *app_root = rd_secret_new(32);
    rd_kdf(rd_secret_bytes(keys->root), RD_KDF_APP_ROOT,
           (const rd_bytes[]){ rd_bytes_str(rd_class_name(keys->genesis.class)), RD_BYTES_ARRAY(app->b) }, 2,
           rd_secret_data(app_root));
    return app_root;
}

rd_secret *kms_keys_derive(const rd_secret *app_root, rd_kdf_label label, uint64_t version)
{
    uint8_t number[8];
    for (size_t i = 0; i < sizeof(number); i++)
        number[i] = (uint8_t)(version >> (56 - 8 * i));
    rd_secret *key = rd_secret_new(32);
    rd_bytes part = RD_BYTES_ARRAY(number);
    rd_kdf(rd_secret_bytes(app_root), label, &part, 1, rd_secret_data(key));
    return key;
}
