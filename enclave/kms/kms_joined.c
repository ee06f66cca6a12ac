#include "enclave/kms/kms_joined.h"

#include <string.h>

#include "common/base/cursor.h"
#include "common/base/mem.h"
#include "common/crypto/aead.h"
#include "common/crypto/hash.h"
#include "common/crypto/random.h"
#include "enclave/kms/kms_store.h"

#define MAGIC    "redoubt/kms-joined/v1"
#define END_SIZE (RD_AEAD_NONCE_SIZE + 8 + 32 + RD_AEAD_TAG_SIZE)

/* The end is of this very root. */
static void aad_of(rd_bytes sealed, rd_buf *out)
{
    uint8_t digest[RD_SHA256_SIZE];
    rd_sha256(sealed, digest);
    rd_buf_append_str(out, MAGIC);
    rd_buf_append(out, digest, sizeof(digest));
}

int kms_joined_write(int fd, const uint8_t state_key[32], rd_bytes sealed, const kms_told_record *end, rd_err *err)
{
    uint8_t nonce[RD_AEAD_NONCE_SIZE];
    RD_CLEANUP(rd_buf_done) rd_buf aad = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf plain = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf whole = { .size_max = KMS_ROOT_FILE_MAX };
    rd_random_bytes(nonce, sizeof(nonce));
    aad_of(sealed, &aad);
    rd_buf_append_u64be(&plain, end->record_number);
    rd_buf_append(&plain, end->record, sizeof(end->record));
    rd_buf_append_bytes(&whole, sealed);
    rd_buf_append(&whole, nonce, sizeof(nonce));
    if (rd_aead_seal(rd_bytes_of(state_key, 32), nonce, rd_buf_bytes(&aad), rd_buf_bytes(&plain), &whole, err) < 0)
        return -1;
    return kms_store_write_joined(fd, rd_buf_bytes(&whole), err);
}

int kms_joined_read(const char *dir, const uint8_t state_key[32], rd_buf *ret_sealed, kms_told_record *ret_end,
                    bool *ret_there, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf whole = { .size_max = KMS_ROOT_FILE_MAX };
    RD_CLEANUP(rd_buf_done) rd_buf aad = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf plain = { 0 };
    if (kms_store_read_joined(dir, &whole, ret_there, err) < 0)
        return -1;
    if (!*ret_there)
        return 0;
    if (whole.size <= END_SIZE)
        return rd_err_set(err, RD_E_KMS_STATE, "%s/" KMS_FILE_JOINED " is too short", dir);
    rd_bytes sealed = rd_bytes_of(whole.data, whole.size - END_SIZE);
    const uint8_t *nonce = whole.data + sealed.size;
    rd_bytes end = rd_bytes_of(nonce + RD_AEAD_NONCE_SIZE, END_SIZE - RD_AEAD_NONCE_SIZE);
    aad_of(sealed, &aad);
    if (rd_aead_open(rd_bytes_of(state_key, 32), nonce, rd_buf_bytes(&aad), end, &plain, NULL) < 0)
        return rd_err_set(err, RD_E_KMS_STATE,
                          "%s/" KMS_FILE_JOINED " is another build's, another machine's or damaged", dir);
    rd_cursor cursor = rd_cursor_of(rd_buf_bytes(&plain));
    ret_end->record_number = rd_cursor_u64be(&cursor);
    rd_cursor_copy(&cursor, ret_end->record, sizeof(ret_end->record));
    return rd_buf_append_bytes(ret_sealed, sealed) ? 0 : rd_err_set(err, RD_E_TOO_LARGE, "root");
}

int kms_joined_is_taken(const char *dir, rd_bytes sealed, const kms_told_record *end, uint64_t record_number,
                        bool *ret_taken, rd_err *err)
{
    bool has_root = false;
    RD_CLEANUP(rd_buf_done) rd_buf root = { 0 };
    if (kms_store_read(dir, KMS_FILE_ROOT, KMS_ROOT_FILE_MAX, &root, &has_root, err) < 0)
        return -1;
    *ret_taken = has_root && rd_bytes_equal(rd_buf_bytes(&root), sealed) && record_number >= end->record_number;
    return 0;
}
