#include "common/model/code_seal.h"

#include "common/base/mem.h"
#include "common/crypto/aead.h"

#define SEALED_CHUNK_SIZE (RD_CODE_CHUNK_SIZE + RD_AEAD_TAG_SIZE)

static size_t chunks_of(size_t size)
{
    return size == 0 ? 1 : (size + RD_CODE_CHUNK_SIZE - 1) / RD_CODE_CHUNK_SIZE;
}

size_t rd_code_sealed_size(size_t size)
{
    return size + chunks_of(size) * RD_AEAD_TAG_SIZE;
}

static void nonce_of(uint64_t index, bool is_final, uint8_t out[RD_AEAD_NONCE_SIZE])
{
    out[0] = out[1] = out[2] = 0;
    for (size_t i = 0; i < 8; i++)
        out[3 + i] = (uint8_t)(index >> (56 - 8 * i));
    out[11] = is_final;
}

int rd_code_seal(const uint8_t key[RD_CODE_KEY_SIZE], rd_bytes code, rd_buf *ret, rd_err *err)
{
    size_t count = chunks_of(code.size);
    for (size_t i = 0; i < count; i++) {
        uint8_t nonce[RD_AEAD_NONCE_SIZE];
        size_t at = i * RD_CODE_CHUNK_SIZE;
        rd_bytes chunk = rd_bytes_of(code.data ? code.data + at : NULL, RD_MIN(code.size - at, RD_CODE_CHUNK_SIZE));
        nonce_of(i, i + 1 == count, nonce);
        if (rd_aead_seal(rd_bytes_of(key, RD_CODE_KEY_SIZE), nonce, RD_BYTES_NULL, chunk, ret, err) < 0)
            return -1;
    }
    return 0;
}

static int open_chunks(const uint8_t key[RD_CODE_KEY_SIZE], rd_bytes sealed, rd_buf *ret, rd_err *err)
{
    size_t count = (sealed.size + SEALED_CHUNK_SIZE - 1) / SEALED_CHUNK_SIZE;
    for (size_t i = 0; i < count; i++) {
        uint8_t nonce[RD_AEAD_NONCE_SIZE];
        size_t at = i * SEALED_CHUNK_SIZE;
        rd_bytes chunk = rd_bytes_of(sealed.data + at, RD_MIN(sealed.size - at, SEALED_CHUNK_SIZE));
        nonce_of(i, i + 1 == count, nonce);
        if (rd_aead_open(rd_bytes_of(key, RD_CODE_KEY_SIZE), nonce, RD_BYTES_NULL, chunk, ret, err) < 0)
            return rd_err_wrap(err, "sealed code, chunk %zu of %zu", i, count);
    }
    return 0;
}

int rd_code_open(const uint8_t key[RD_CODE_KEY_SIZE], rd_bytes sealed, rd_buf *ret, rd_err *err)
{
    size_t before = ret->size;
    if (sealed.size < RD_AEAD_TAG_SIZE)
        return rd_err_set(err, RD_E_SEAL, "shorter than sealed code can be");
    if (open_chunks(key, sealed, ret, err) == 0)
        return 0;
    if (ret->size > before)
        rd_wipe(ret->data + before, ret->size - before);
    ret->size = before;
    return -1;
}
