#include "common/model/kms_share.h"

#include <string.h>

#include "common/base/cursor.h"
#include "common/base/mem.h"

#define SIGNED_SIZE (32 + 1 + RD_KMS_SHARE_VALUE)

/* kms ‖ index ‖ value: secret as the value is. */
static void signed_message(const rd_kms_share *share, const rd_kms_id *kms, uint8_t out[SIGNED_SIZE])
{
    memcpy(out, kms->b, 32);
    out[32] = share->index;
    memcpy(out + 33, share->value, RD_KMS_SHARE_VALUE);
}

int rd_kms_share_sign(rd_kms_share *share, const rd_kms_id *kms, const rd_signing_key *root, rd_err *err)
{
    uint8_t message[SIGNED_SIZE];
    signed_message(share, kms, message);
    int outcome = rd_sign(root, RD_SIGN_RECOVERY, RD_BYTES_ARRAY(message), &share->signature, err);
    rd_wipe(message, sizeof message);
    return outcome;
}

void rd_kms_share_encode(const rd_kms_share *share, rd_buf *out)
{
    (void)rd_buf_reserve(out, RD_KMS_SHARE_SIZE);
    rd_buf_append_u8(out, share->index);
    rd_buf_append(out, share->value, sizeof share->value);
    rd_buf_append(out, share->signature.b, sizeof share->signature.b);
}

int rd_kms_share_accept(rd_bytes plain, const rd_kms_id *kms, const rd_kms_genesis *genesis, rd_kms_share *ret,
                        rd_err *err)
{
    uint8_t message[SIGNED_SIZE];
    rd_cursor cursor = rd_cursor_of(plain);
    ret->index = rd_cursor_u8(&cursor);
    rd_cursor_copy(&cursor, ret->value, sizeof ret->value);
    rd_cursor_copy(&cursor, ret->signature.b, sizeof ret->signature.b);
    if (!rd_cursor_is_done(&cursor) || ret->index == 0 || ret->index > genesis->recovery_count)
        return rd_err_set(err, RD_E_RECOVERY, "this is no share of this key service");
    signed_message(ret, kms, message);
    int outcome = rd_verify(&genesis->root, RD_SIGN_RECOVERY, RD_BYTES_ARRAY(message), &ret->signature, NULL);
    rd_wipe(message, sizeof message);
    return outcome == 0 ? 0
                        : rd_err_set(err, RD_E_RECOVERY,
                                     "the share is spoiled, or another key service's: its root did not sign it");
}

static bool frame(const rd_kms_id *kms, rd_buf *info)
{
    const rd_bytes part = RD_BYTES_ARRAY(kms->b);
    return rd_frame_info(info, RD_INFO_RECOVERY, &part, 1);
}

int rd_kms_share_seal(const uint8_t key[RD_X25519_SIZE], const rd_kms_id *kms, rd_bytes plain, rd_buf *ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf info = { 0 };
    if (!frame(kms, &info))
        return rd_err_set(err, RD_E_INTERNAL, "framing a share");
    return rd_hpke_seal_once(key, rd_buf_bytes(&info), RD_BYTES_NULL, plain, rd_random_system(), ret, err);
}

int rd_kms_share_open(const rd_secret *key, const rd_kms_id *kms, rd_bytes sealed, rd_buf *ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf info = { 0 };
    if (sealed.size != RD_KMS_SHARE_SEALED_SIZE || !frame(kms, &info) ||
        rd_hpke_open_once(key, rd_buf_bytes(&info), RD_BYTES_NULL, sealed, ret, NULL) < 0)
        return rd_err_set(err, RD_E_RECOVERY, "the sealed share does not open: it is spoiled, or another key's");
    return 0;
}
