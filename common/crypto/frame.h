/* frame: the one function that frames whatever is signed, hashed, derived or bound, and the hash and key derivation on
 * it. Used wherever an object of ours meets a hash or a key. Layout and labels: docs/protocol/formats.md and
 * labels.def. Each kind of label is a type of its own, so that a signing label cannot be hashed with by mistake. */
#ifndef RD_CRYPTO_FRAME_H
#define RD_CRYPTO_FRAME_H

#include "common/crypto/hash.h"

typedef enum rd_hash_label {
#define RD_LABEL_HASH(symbol, label) RD_HASH_##symbol,
#include "common/crypto/labels.def"
    RD_HASH_LABEL_COUNT
} rd_hash_label;

typedef enum rd_sign_label {
#define RD_LABEL_SIGN(symbol, label) RD_SIGN_##symbol,
#include "common/crypto/labels.def"
    RD_SIGN_LABEL_COUNT
} rd_sign_label;

typedef enum rd_kdf_label {
#define RD_LABEL_KDF(symbol, label) RD_KDF_##symbol,
#include "common/crypto/labels.def"
    RD_KDF_LABEL_COUNT
} rd_kdf_label;

typedef enum rd_info_label {
#define RD_LABEL_INFO(symbol, label) RD_INFO_##symbol,
#include "common/crypto/labels.def"
    RD_INFO_LABEL_COUNT
} rd_info_label;

typedef enum rd_aad_label {
#define RD_LABEL_AAD(symbol, label) RD_AAD_##symbol,
#include "common/crypto/labels.def"
    RD_AAD_LABEL_COUNT
} rd_aad_label;

typedef enum rd_evidence_label {
#define RD_LABEL_EVIDENCE(symbol, label) RD_EVIDENCE_##symbol,
#include "common/crypto/labels.def"
    RD_EVIDENCE_LABEL_COUNT
} rd_evidence_label;

/* H(label, parts…): out gets 32 bytes. */
void rd_h(rd_hash_label label, const rd_bytes *parts, size_t count, uint8_t out[RD_SHA256_SIZE]);
/* RD_H(digest.b, RD_HASH_HEAD, bytes): as rd_h with the parts written out (at least one). */
#define RD_H(out, label, ...)                                                                                          \
    rd_h((label), (const rd_bytes[]){ __VA_ARGS__ }, sizeof((const rd_bytes[]){ __VA_ARGS__ }) / sizeof(rd_bytes),     \
         (out))

/* Feeds F("hash", label, parts…) into a hasher of any algorithm. */
void rd_hasher_frame(rd_hasher *hasher, rd_hash_label label, const rd_bytes *parts, size_t count);

/* KDF(ikm, label, parts…): 32 bytes. */
void rd_kdf(rd_bytes ikm, rd_kdf_label label, const rd_bytes *parts, size_t count, uint8_t out[32]);

/* The framed bytes themselves, appended to out; false past its cap. */
bool rd_frame_hash(rd_buf *out, rd_hash_label label, const rd_bytes *parts, size_t count);
bool rd_frame_sign(rd_buf *out, rd_sign_label label, rd_bytes message);
bool rd_frame_info(rd_buf *out, rd_info_label label, const rd_bytes *parts, size_t count);
bool rd_frame_aad(rd_buf *out, rd_aad_label label, const rd_bytes *parts, size_t count);

/* SHA-512(F("evidence", label, statement)): the report data of evidence. */
void rd_evidence_hash(rd_evidence_label label, rd_bytes statement, uint8_t out[RD_SHA512_SIZE]);

/* Text of a label, for messages and tests. */
const char *rd_sign_label_text(rd_sign_label label);
const char *rd_hash_label_text(rd_hash_label label);

#endif
