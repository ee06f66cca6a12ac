// link: rd_model
/* Sealed log lines as a plane hands them on: what is no line of this key is refused, whatever the bytes. The first byte
 * says whether they are taken as they are, or as a plaintext that somebody with the public key sealed. */
#include "common/base/mem.h"
#include "common/crypto/frame.h"
#include "common/model/log_seal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const rd_log_origin origin = { .epoch = 1 };

static void put_zero(rd_buf *out)
{
    (void)rd_buf_append_u64be(out, 0);
}

static void seal_anything(const rd_secret *key, rd_bytes plain, rd_buf *record)
{
    RD_CLEANUP(rd_buf_done) rd_buf number = { 0 }, aad = { 0 };
    uint8_t public_key[RD_X25519_SIZE];
    rd_log_sealer sealer;
    rd_err err = RD_ERR_INIT;
    rd_x25519_public(key, public_key);
    put_zero(&number);
    const rd_bytes part = rd_buf_bytes(&number);
    if (rd_log_sealer_init(&sealer, public_key, &origin, rd_random_system(), &err) < 0 ||
        !rd_frame_aad(&aad, RD_AAD_LOG_LINE, &part, 1))
        abort();
    (void)rd_buf_append(record, sealer.enc, sizeof sealer.enc);
    put_zero(record);
    if (rd_hpke_seal(&sealer.hpke, rd_buf_bytes(&aad), plain, record, &err) < 0)
        abort();
    rd_log_sealer_done(&sealer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t seed[RD_X25519_SIZE] = { 7 };
    RD_CLEANUP(rd_secret_free_p) rd_secret *key = rd_secret_copy(RD_BYTES_ARRAY(seed));
    RD_CLEANUP(rd_buf_done) rd_buf record = { 0 };
    rd_log_line line;
    rd_err err = RD_ERR_INIT;
    if (size == 0)
        return 0;
    bool is_sealed_here = data[0] & 1;
    if (is_sealed_here)
        seal_anything(key, rd_bytes_of(data + 1, size - 1), &record);
    else
        (void)rd_buf_append(&record, data + 1, size - 1);
    int outcome = rd_log_open(key, &origin, rd_buf_bytes(&record), &line, &err);
    if (outcome == 0 && (!is_sealed_here || line.text.size > RD_LOG_TEXT_MAX || line.level > RD_LINE_ERROR))
        abort();
    if (outcome < 0 && (err.code == RD_OK || line.text.size > 0))
        abort();
    rd_log_line_done(&line);
    return 0;
}
