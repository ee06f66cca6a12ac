/* Recovery: the root in shares, made with it, each sealed to a key of the genesis; and the root out of enough of them,
 * in a replica that waits. docs/protocol/kms.md, "Recovery". */
#include <string.h>

#include "common/base/cursor.h"
#include "common/base/mem.h"
#include "common/model/kms_share.h"
#include "enclave/kms/kms_root_priv.h"

void kms_recover_done(kms_recover *recover)
{
    rd_wipe(recover, sizeof(*recover));
}

/* --- with the root --- */

static int seal_share(const kms_root *self, const kms_share *share, rd_buf *ret, rd_err *err)
{
    const rd_kms_genesis *genesis = &self->keys.genesis;
    RD_CLEANUP(rd_buf_wipe) rd_buf plain = { 0 };
    rd_kms_share opened = { .index = share->x };
    memcpy(opened.value, share->y, sizeof(opened.value));
    int outcome = rd_kms_share_sign(&opened, &self->keys.id, self->keys.signer, err);
    if (outcome == 0)
        rd_kms_share_encode(&opened, &plain);
    rd_wipe(&opened, sizeof(opened));
    return outcome < 0 ? -1
                       : rd_kms_share_seal(genesis->recovery_keys[share->x - 1], &self->keys.id, rd_buf_bytes(&plain),
                                           ret, err);
}

int kms_recover_split(const kms_root *self, rd_buf *ret, rd_err *err)
{
    const rd_kms_genesis *genesis = &self->keys.genesis;
    uint8_t secret[KMS_SHARED_SIZE];
    kms_share shares[KMS_SHARES_MAX];
    int outcome = 0;
    memcpy(secret, rd_secret_bytes(self->keys.root).data, 32);
    rd_signing_key_seed(self->keys.signer, secret + 32);
    kms_shares_split(secret, genesis->recovery_threshold, genesis->recovery_count, rd_random_system(), shares);
    rd_wipe(secret, sizeof(secret));
    for (size_t i = 0; outcome == 0 && i < genesis->recovery_count; i++)
        outcome = seal_share(self, &shares[i], ret, err);
    rd_wipe(shares, sizeof(shares));
    return outcome;
}

/* --- without it --- */

/* Holders come one after the other: the key stays, and what was given stays, until the genesis is another. */
int kms_recover_begin(kms_root *self, int fd, rd_bytes genesis_bytes, rd_err *err)
{
    kms_recover *recover = &self->recover;
    rd_kms_id kms;
    uint8_t public_key[RD_X25519_SIZE];
    memcpy(kms.b, self->place.kms, sizeof(kms.b));
    if (rd_kms_genesis_open(genesis_bytes, &kms, &recover->genesis, err) < 0)
        return -1;
    if (recover->genesis.recovery_count == 0)
        return rd_err_set(err, RD_E_RECOVERY, "this key service was made without recovery shares");
    if (self->recovery_key == NULL) {
        self->recovery_key = rd_secret_random(RD_X25519_SIZE);
        if (!rd_buf_append_bytes(&self->recovery_genesis, genesis_bytes))
            return rd_err_set(err, RD_E_TOO_LARGE, "genesis");
    }
    rd_x25519_public(self->recovery_key, public_key);
    return kms_channel_tell(fd, RD_BYTES_ARRAY(public_key), RD_BYTES_NULL);
}

static int add_share(kms_root *self, const rd_kms_share *share, rd_err *err)
{
    kms_recover *recover = &self->recover;
    for (size_t i = 0; i < recover->count; i++)
        if (recover->shares[i].x == share->index)
            return rd_equal_ct(recover->shares[i].y, share->value, sizeof(share->value))
                       ? 0 /* a holder whose answer was lost: it counts once */
                       : rd_err_set(err, RD_E_RECOVERY, "another share %u was given already", share->index);
    kms_share *one = &recover->shares[recover->count++];
    one->x = share->index;
    memcpy(one->y, share->value, sizeof(one->y));
    return 0;
}

static int combine(kms_root *self, rd_err *err)
{
    uint8_t secret[KMS_SHARED_SIZE];
    kms_shares_combine(self->recover.shares, self->recover.count, secret);
    kms_keys_done(&self->keys);
    int outcome =
        kms_keys_take(rd_bytes_of(secret, 32), secret + 32, rd_buf_bytes(&self->recovery_genesis), &self->keys, err);
    rd_wipe(secret, sizeof(secret));
    if (outcome < 0 || kms_root_check_place(self, err) < 0)
        return -1;
    return kms_keys_seal(&self->keys, rd_secret_bytes(self->seal_key).data, &self->more, err);
}

static int take_share(kms_root *self, rd_bytes sealed, rd_err *err)
{
    kms_recover *recover = &self->recover;
    rd_kms_share share;
    rd_kms_id kms;
    RD_CLEANUP(rd_buf_wipe) rd_buf plain = { 0 };
    memcpy(kms.b, self->place.kms, sizeof(kms.b));
    (void)rd_buf_reserve(&plain, sealed.size);
    int outcome = rd_kms_share_open(self->recovery_key, &kms, sealed, &plain, err);
    if (outcome == 0)
        outcome = rd_kms_share_accept(rd_buf_bytes(&plain), &kms, &recover->genesis, &share, err);
    if (outcome == 0)
        outcome = add_share(self, &share, err);
    rd_wipe(&share, sizeof(share));
    return outcome < 0 || recover->count < recover->genesis.recovery_threshold ? outcome : combine(self, err);
}

int kms_recover_share(kms_root *self, int fd, rd_bytes question, rd_err *err)
{
    const kms_recover *recover = &self->recover;
    kms_ask_share ask;
    RD_CLEANUP(rd_buf_done) rd_buf records = { .size_max = RD_KMS_RECORDS_MAX };
    rd_cursor cursor = rd_cursor_of(question);
    rd_cursor_copy(&cursor, &ask, sizeof(ask));
    if (!rd_cursor_is_ok(&cursor))
        return rd_err_set(err, RD_E_CONTROL_FRAME, "share");
    if (self->recovery_key == NULL)
        return rd_err_set(err, RD_E_RECOVERY, "no recovery has begun");
    if (take_share(self, rd_cursor_rest(&cursor), err) < 0) {
        kms_root_note(self, ask.now_us, err);
        return -1;
    }
    kms_told_share told = { .given = (uint8_t)recover->count,
                            .needed = (uint8_t)recover->genesis.recovery_threshold,
                            .sealed_size = (uint32_t)self->more.size };
    if (told.sealed_size > 0 && kms_root_chain_notes(self, true, ask.now_us, &records, err) < 0)
        return -1;
    told.end = kms_root_end(self);
    told.records_size = (uint32_t)records.size;
    if (!rd_buf_append_bytes(&self->more, rd_buf_bytes(&records)))
        return rd_err_set(err, RD_E_TOO_LARGE, "records");
    return kms_channel_tell(fd, rd_bytes_of(&told, sizeof(told)), rd_buf_bytes(&self->more));
}
