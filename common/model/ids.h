/* ids: prefixed, time-sortable identifiers, the self-certifying app id, instance ids and the text form of digests.
 * Used wherever a thing has a name. Parsing is strict: one text for each id.
 * Time and randomness come in as arguments. */
#ifndef RD_MODEL_IDS_H
#define RD_MODEL_IDS_H

#include "common/base/err.h"
#include "common/crypto/hash.h"
#include "common/crypto/random.h"

/* 16 bytes in UUID version 7 layout (RFC 9562, 5.7), except instance ids, which are derived. */
typedef struct rd_id {
    uint8_t b[16];
} rd_id;

/* H("app-genesis-v1", genesis). */
typedef struct rd_app_id {
    uint8_t b[32];
} rd_app_id;

/* H("kms-genesis-v1", genesis of a key service): which one, not only which build of one. */
typedef struct rd_kms_id {
    uint8_t b[32];
} rd_kms_id;

#define RD_ID_TEXT_SIZE     31 /* "dep_" + 26 characters + NUL; prefixes have three letters */
#define RD_APP_ID_TEXT_SIZE 57 /* "app_" + 52 characters + NUL */
#define RD_KMS_ID_TEXT_SIZE 57 /* "kms_" + 52 characters + NUL */
#define RD_DIGEST_TEXT_SIZE 72 /* "sha256:" + 64 digits + NUL */

#define RD_PREFIX_ORG      "org"
#define RD_PREFIX_USER     "usr"
#define RD_PREFIX_TOKEN    "tok"
#define RD_PREFIX_RELEASE  "rel"
#define RD_PREFIX_DEPLOY   "dep"
#define RD_PREFIX_HOST     "hst"
#define RD_PREFIX_REPLICA  "rpl"
#define RD_PREFIX_REQUEST  "req"
#define RD_PREFIX_OPERATOR "opn"
#define RD_PREFIX_INSTANCE "ins"

/* A fresh id: 48 bits of milliseconds, the rest random. */
rd_id rd_id_new(int64_t wall_us, const rd_random *source);
bool rd_id_equal(const rd_id *a, const rd_id *b);
void rd_id_format(const char *prefix, const rd_id *id, char out[RD_ID_TEXT_SIZE]);
/* ID_FORMAT unless exactly prefix, '_' and 26 characters of lower-case base32. */
int rd_id_parse(const char *prefix, const char *text, size_t text_size, rd_id *ret, rd_err *err) RD_NODISCARD;

bool rd_app_id_equal(const rd_app_id *a, const rd_app_id *b);
void rd_app_id_format(const rd_app_id *id, char out[RD_APP_ID_TEXT_SIZE]);
int rd_app_id_parse(const char *text, size_t text_size, rd_app_id *ret, rd_err *err) RD_NODISCARD;

bool rd_kms_id_equal(const rd_kms_id *a, const rd_kms_id *b);
void rd_kms_id_format(const rd_kms_id *id, char out[RD_KMS_ID_TEXT_SIZE]);
int rd_kms_id_parse(const char *text, size_t text_size, rd_kms_id *ret, rd_err *err) RD_NODISCARD;

/* First 12 bytes of the deployment's id, then the slot; the slot's top 7 bits are the shard. */
rd_id rd_instance_id(const rd_id *deployment, int32_t slot);
int32_t rd_instance_slot(const rd_id *instance);

void rd_digest_format(const rd_digest *digest, char out[RD_DIGEST_TEXT_SIZE]);
/* ENCODING unless "sha256:" and 64 lower-case hex digits. */
int rd_digest_parse(const char *text, size_t text_size, rd_digest *ret, rd_err *err) RD_NODISCARD;

#endif
