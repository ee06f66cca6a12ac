#include "common/crypto/frame.h"

#include "common/base/mem.h"

#include <assert.h>
#include <string.h>

#define KDF_INFO_ROOM 128

static const char *const hash_labels[] = {
#define RD_LABEL_HASH(symbol, label) [RD_HASH_##symbol] = (label),
#include "common/crypto/labels.def"
};
static const char *const sign_labels[] = {
#define RD_LABEL_SIGN(symbol, label) [RD_SIGN_##symbol] = (label),
#include "common/crypto/labels.def"
};
static const char *const kdf_labels[] = {
#define RD_LABEL_KDF(symbol, label) [RD_KDF_##symbol] = (label),
#include "common/crypto/labels.def"
};
static const char *const info_labels[] = {
#define RD_LABEL_INFO(symbol, label) [RD_INFO_##symbol] = (label),
#include "common/crypto/labels.def"
};
static const char *const aad_labels[] = {
#define RD_LABEL_AAD(symbol, label) [RD_AAD_##symbol] = (label),
#include "common/crypto/labels.def"
};
static const char *const evidence_labels[] = {
#define RD_LABEL_EVIDENCE(symbol, label) [RD_EVIDENCE_##symbol] = (label),
#include "common/crypto/labels.def"
};

/* Where framed bytes go: a hasher or a buffer. */
typedef struct sink {
    void (*put)(void *context, rd_bytes bytes);
    void *context;
} sink;

static void put_hasher(void *context, rd_bytes bytes)
{
    rd_hasher_update(context, bytes);
}

static void put_buf(void *context, rd_bytes bytes)
{
    (void)rd_buf_append_bytes(context, bytes); /* the buffer remembers a failure */
}

static void put_size(const sink *to, uint64_t value, size_t width)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < width; i++)
        bytes[i] = (uint8_t)(value >> (8 * (width - 1 - i)));
    to->put(to->context, rd_bytes_of(bytes, width));
}

/* F(kind, label, parts…) of docs/protocol/formats.md. */
static void frame(const sink *to, const char *kind, const char *label, const rd_bytes *parts, size_t count)
{
    assert(count <= UINT32_MAX);
    to->put(to->context, rd_bytes_of("redoubt", 8)); /* the NULs are part of the frame */
    to->put(to->context, rd_bytes_of(kind, strlen(kind) + 1));
    to->put(to->context, rd_bytes_of(label, strlen(label) + 1));
    put_size(to, count, 4);
    for (size_t i = 0; i < count; i++) {
        put_size(to, parts[i].size, 8);
        to->put(to->context, parts[i]);
    }
}

static bool frame_to_buf(rd_buf *out, const char *kind, const char *label, const rd_bytes *parts, size_t count)
{
    frame(&(sink){ put_buf, out }, kind, label, parts, count);
    return !out->has_failed;
}

void rd_hasher_frame(rd_hasher *hasher, rd_hash_label label, const rd_bytes *parts, size_t count)
{
    frame(&(sink){ put_hasher, hasher }, "hash", hash_labels[label], parts, count);
}

void rd_h(rd_hash_label label, const rd_bytes *parts, size_t count, uint8_t out[RD_SHA256_SIZE])
{
    rd_hasher hasher;
    rd_hasher_init(&hasher, RD_SHA256);
    rd_hasher_frame(&hasher, label, parts, count);
    rd_hasher_final(&hasher, out);
}

void rd_kdf(rd_bytes ikm, rd_kdf_label label, const rd_bytes *parts, size_t count, uint8_t out[32])
{
    rd_buf info = { 0 };
    (void)rd_buf_reserve(&info, KDF_INFO_ROOM); /* receipts derive on the hot path */
    bool is_framed = frame_to_buf(&info, "kdf", kdf_labels[label], parts, count);
    assert(is_framed);
    (void)is_framed;
    rd_hkdf_sha256(RD_BYTES_NULL, ikm, rd_buf_bytes(&info), out, 32);
    rd_buf_wipe(&info);
}

bool rd_frame_hash(rd_buf *out, rd_hash_label label, const rd_bytes *parts, size_t count)
{
    return frame_to_buf(out, "hash", hash_labels[label], parts, count);
}

bool rd_frame_sign(rd_buf *out, rd_sign_label label, rd_bytes message)
{
    return frame_to_buf(out, "sign", sign_labels[label], &message, 1);
}

bool rd_frame_info(rd_buf *out, rd_info_label label, const rd_bytes *parts, size_t count)
{
    return frame_to_buf(out, "info", info_labels[label], parts, count);
}

bool rd_frame_aad(rd_buf *out, rd_aad_label label, const rd_bytes *parts, size_t count)
{
    return frame_to_buf(out, "aad", aad_labels[label], parts, count);
}

void rd_evidence_hash(rd_evidence_label label, rd_bytes statement, uint8_t out[RD_SHA512_SIZE])
{
    rd_hasher hasher;
    rd_hasher_init(&hasher, RD_SHA512);
    frame(&(sink){ put_hasher, &hasher }, "evidence", evidence_labels[label], &statement, 1);
    rd_hasher_final(&hasher, out);
}

const char *rd_sign_label_text(rd_sign_label label)
{
    return sign_labels[label];
}

const char *rd_hash_label_text(rd_hash_label label)
{
    return hash_labels[label];
}
