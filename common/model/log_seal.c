#include "common/model/log_seal.h"

#include <string.h>

#include "common/base/cursor.h"
#include "common/base/mem.h"
#include "common/crypto/frame.h"

#define HEAD_SIZE 5 /* level and size */
#define TAG_SIZE  16

const char *const rd_line_level_names[] = { "debug", "info", "warn", "error", NULL };

static size_t padded_size(size_t text_size)
{
    return (HEAD_SIZE + text_size + RD_LOG_STEP - 1) / RD_LOG_STEP * RD_LOG_STEP;
}

static rd_buf info_of(const rd_log_origin *origin)
{
    rd_buf epoch = { 0 };
    rd_buf info = { 0 };
    (void)rd_buf_append_u64be(&epoch, origin->epoch);
    const rd_bytes parts[] = { RD_BYTES_ARRAY(origin->app.b), RD_BYTES_ARRAY(origin->instance.b),
                               rd_buf_bytes(&epoch) };
    (void)rd_frame_info(&info, RD_INFO_LOG_LINE, parts, RD_ARRAY_LEN(parts));
    rd_buf_done(&epoch);
    return info;
}

static rd_buf aad_of(rd_bytes number)
{
    rd_buf aad = { 0 };
    (void)rd_frame_aad(&aad, RD_AAD_LOG_LINE, &number, 1);
    return aad;
}

int rd_log_sealer_init(rd_log_sealer *sealer, const uint8_t log_key[RD_X25519_SIZE], const rd_log_origin *origin,
                       const rd_random *random, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf info = info_of(origin);
    return rd_hpke_setup_sender(RD_HPKE_AES_256_GCM, log_key, rd_buf_bytes(&info), random, sealer->enc, &sealer->hpke,
                                err);
}

void rd_log_sealer_done(rd_log_sealer *sealer)
{
    rd_hpke_done(&sealer->hpke);
}

int rd_log_seal(rd_log_sealer *sealer, rd_line_level level, rd_bytes text, rd_buf *ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_wipe) rd_buf plain = { 0 };
    text.size = RD_MIN(text.size, (size_t)RD_LOG_TEXT_MAX);
    size_t size = padded_size(text.size);
    (void)rd_buf_reserve(&plain, size);
    (void)rd_buf_append_u8(&plain, (uint8_t)level);
    (void)rd_buf_append_u32be(&plain, (uint32_t)text.size);
    (void)rd_buf_append_bytes(&plain, text);
    while (plain.size < size)
        (void)rd_buf_append_u8(&plain, 0);
    size_t before = ret->size;
    (void)rd_buf_append(ret, sealer->enc, sizeof sealer->enc);
    if (!rd_buf_append_u64be(ret, sealer->hpke.seq))
        return rd_err_set(err, RD_E_TOO_LARGE, "no room for a log line");
    RD_CLEANUP(rd_buf_done) rd_buf aad = aad_of(rd_bytes_of(ret->data + before + RD_X25519_SIZE, 8));
    return rd_hpke_seal(&sealer->hpke, rd_buf_bytes(&aad), rd_buf_bytes(&plain), ret, err);
}

static int unpad(rd_bytes plain, rd_log_line *ret, rd_err *err)
{
    rd_cursor cursor = rd_cursor_of(plain);
    uint8_t level = rd_cursor_u8(&cursor);
    uint32_t size = rd_cursor_u32be(&cursor);
    if (!rd_cursor_is_ok(&cursor) || level > RD_LINE_ERROR || size > RD_LOG_TEXT_MAX || plain.size != padded_size(size))
        return rd_err_set(err, RD_E_SEAL_FORMAT, "padded otherwise than log lines are");
    rd_bytes text = rd_cursor_take(&cursor, size);
    rd_bytes padding = rd_cursor_rest(&cursor);
    for (size_t i = 0; i < padding.size; i++)
        if (padding.data[i] != 0)
            return rd_err_set(err, RD_E_SEAL_FORMAT, "padded with something other than zeros");
    ret->level = (rd_line_level)level;
    (void)rd_buf_append_bytes(&ret->text, text);
    return 0;
}

int rd_log_open(const rd_secret *log_key, const rd_log_origin *origin, rd_bytes record, rd_log_line *ret, rd_err *err)
{
    *ret = (rd_log_line){ 0 };
    if (record.size < RD_X25519_SIZE + 8 + RD_LOG_STEP + TAG_SIZE || record.size > RD_LOG_SEALED_MAX)
        return rd_err_set(err, RD_E_SEAL_FORMAT, "%zu bytes are no sealed log line", record.size);
    rd_cursor cursor = rd_cursor_of(record);
    memcpy(ret->enc, rd_cursor_take(&cursor, RD_X25519_SIZE).data, RD_X25519_SIZE);
    RD_CLEANUP(rd_buf_done) rd_buf aad = aad_of(rd_bytes_of(record.data + RD_X25519_SIZE, 8));
    ret->number = rd_cursor_u64be(&cursor);
    if (ret->number >> 63)
        return rd_err_set(err, RD_E_SEAL_FORMAT, "no line has that number");
    RD_CLEANUP(rd_buf_done) rd_buf info = info_of(origin);
    RD_CLEANUP(rd_buf_wipe) rd_buf plain = { 0 };
    RD_CLEANUP(rd_hpke_recipient_free_p) rd_hpke_recipient *reader = rd_hpke_recipient_new(log_key);
    rd_hpke hpke;
    int outcome = rd_hpke_setup_recipient(RD_HPKE_AES_256_GCM, reader, ret->enc, rd_buf_bytes(&info), &hpke, err);
    if (outcome == 0) {
        hpke.seq = ret->number;
        outcome = rd_hpke_open(&hpke, rd_buf_bytes(&aad), rd_cursor_rest(&cursor), &plain, err);
        rd_hpke_done(&hpke);
    }
    if (outcome < 0)
        return rd_err_set(err, RD_E_SEAL_CONTEXT, "not sealed to this log key, or not a line of this instance");
    return unpad(rd_buf_bytes(&plain), ret, err);
}

void rd_log_line_done(rd_log_line *line)
{
    rd_buf_wipe(&line->text);
}
