#include "common/model/grant.h"

#include "common/base/cursor.h"
#include "common/base/mem.h"

#include <string.h>

#define MAGIC      "redoubt/grant/v1"
#define MAGIC_SIZE (sizeof(MAGIC) - 1)
#define FIXED_SIZE (MAGIC_SIZE + 3 * 32 + 8 + 32 + 6 * 8 + 1 + (RD_GRANT_KEY_END - 1) * 33 + 2)

/* --- payload --- */

static size_t payload_size(const rd_grant_payload *payload)
{
    size_t size = FIXED_SIZE;
    for (size_t i = 0; i < payload->secrets_count; i++)
        size += 1 + strlen(payload->secrets[i].name) + 8 + 32 + 4 + payload->values[i].size;
    return size;
}

int rd_grant_payload_encode(const rd_grant_payload *payload, rd_buf *out, rd_err *err)
{
    size_t size = payload_size(payload);
    if (size > RD_GRANT_PAYLOAD_MAX || !rd_buf_reserve(out, size))
        return rd_err_set(err, RD_E_TOO_LARGE, "a grant of %zu bytes, at most %zu", size, RD_GRANT_PAYLOAD_MAX);
    (void)rd_buf_append_str(out, MAGIC);
    (void)rd_buf_append(out, payload->app.b, 32);
    (void)rd_buf_append(out, payload->release.b, 32);
    (void)rd_buf_append(out, payload->head.b, 32);
    (void)rd_buf_append_u64be(out, payload->head_seq);
    (void)rd_buf_append(out, payload->instance, 32);
    (void)rd_buf_append_u64be(out, payload->epoch);
    (void)rd_buf_append_u64be(out, payload->record);
    (void)rd_buf_append_u64be(out, (uint64_t)payload->not_before_us);
    (void)rd_buf_append_u64be(out, (uint64_t)payload->not_after_us);
    (void)rd_buf_append_u64be(out, payload->requests_max);
    (void)rd_buf_append_u8(out, RD_GRANT_KEY_END - 1);
    for (unsigned label = 1; label < RD_GRANT_KEY_END; label++) {
        (void)rd_buf_append_u8(out, (uint8_t)label);
        (void)rd_buf_append(out, payload->keys[label], 32);
    }
    (void)rd_buf_append_u16be(out, (uint16_t)payload->secrets_count);
    for (size_t i = 0; i < payload->secrets_count; i++) {
        const rd_secret_ref *ref = &payload->secrets[i];
        (void)rd_buf_append_u8(out, (uint8_t)strlen(ref->name));
        (void)rd_buf_append_str(out, ref->name);
        (void)rd_buf_append_u64be(out, ref->version);
        (void)rd_buf_append(out, ref->sealed.b, 32);
        (void)rd_buf_append_u32be(out, (uint32_t)payload->values[i].size);
        (void)rd_buf_append_bytes(out, payload->values[i]);
    }
    return 0;
}

static int misformed(rd_err *err, const char *sentence)
{
    return rd_err_set(err, RD_E_GRANT_FORMAT, "grant: %s", sentence);
}

static int parse_keys(rd_cursor *cursor, rd_grant_payload *payload, rd_err *err)
{
    if (rd_cursor_u8(cursor) != RD_GRANT_KEY_END - 1)
        return misformed(err, "not the keys that this version knows");
    for (unsigned label = 1; label < RD_GRANT_KEY_END; label++) {
        if (rd_cursor_u8(cursor) != label)
            return misformed(err, "keys out of order");
        rd_cursor_copy(cursor, payload->keys[label], 32);
    }
    return 0;
}

static int parse_secret(rd_cursor *cursor, rd_grant_payload *payload, rd_err *err)
{
    rd_secret_ref *ref = &payload->secrets[payload->secrets_count];
    uint8_t name_size = rd_cursor_u8(cursor);
    rd_bytes name = rd_cursor_take(cursor, name_size);
    if (name.size == 0 || name.size > RD_SECRET_NAME_MAX || memchr(name.data, 0, name.size))
        return misformed(err, "not a name of a secret");
    memcpy(ref->name, name.data, name.size);
    ref->name[name.size] = '\0';
    ref->version = rd_cursor_u64be(cursor);
    rd_cursor_copy(cursor, ref->sealed.b, 32);
    uint32_t size = rd_cursor_u32be(cursor);
    payload->values[payload->secrets_count] = rd_cursor_take(cursor, size);
    if (!rd_cursor_is_ok(cursor) || size > RD_SECRET_VALUE_MAX || !rd_secret_name_is_known(ref->name))
        return misformed(err, "not a secret");
    if (payload->secrets_count > 0 && strcmp(ref[-1].name, ref->name) >= 0)
        return misformed(err, "secrets out of order");
    payload->secrets_count++;
    return 0;
}

int rd_grant_payload_parse(rd_bytes bytes, rd_grant_payload *ret, rd_err *err)
{
    rd_cursor cursor = rd_cursor_of(bytes);
    if (!rd_bytes_equal(rd_cursor_take(&cursor, MAGIC_SIZE), RD_BYTES_LIT(MAGIC)))
        return misformed(err, "of another type");
    *ret = (rd_grant_payload){ 0 };
    rd_cursor_copy(&cursor, ret->app.b, 32);
    rd_cursor_copy(&cursor, ret->release.b, 32);
    rd_cursor_copy(&cursor, ret->head.b, 32);
    ret->head_seq = rd_cursor_u64be(&cursor);
    rd_cursor_copy(&cursor, ret->instance, 32);
    ret->epoch = rd_cursor_u64be(&cursor);
    ret->record = rd_cursor_u64be(&cursor);
    uint64_t not_before = rd_cursor_u64be(&cursor);
    uint64_t not_after = rd_cursor_u64be(&cursor);
    ret->requests_max = rd_cursor_u64be(&cursor);
    if (!rd_cursor_is_ok(&cursor) || not_before > INT64_MAX || not_after > INT64_MAX || not_before >= not_after)
        return misformed(err, "its term");
    ret->not_before_us = (int64_t)not_before;
    ret->not_after_us = (int64_t)not_after;
    if (parse_keys(&cursor, ret, err) < 0)
        return -1;
    uint16_t count = rd_cursor_u16be(&cursor);
    if (!rd_cursor_is_ok(&cursor) || count > RD_SECRETS_MAX)
        return misformed(err, "ends early, or too many secrets");
    for (uint16_t i = 0; i < count; i++)
        if (parse_secret(&cursor, ret, err) < 0)
            return -1;
    return rd_cursor_is_done(&cursor) ? 0 : misformed(err, "bytes behind its end");
}

/* --- answer --- */

int rd_grant_answer_encode(const rd_grant_answer *answer, rd_buf *out, rd_err *err)
{
    if (answer->sealed.size < RD_X25519_SIZE || answer->signature.size != RD_SIGNATURE_SIZE ||
        answer->certificate.size > RD_KMS_DOCUMENT_SIZE_MAX || answer->record.size > RD_KMS_DOCUMENT_SIZE_MAX)
        return misformed(err, "parts of another size");
    (void)rd_buf_append_u32be(out, (uint32_t)answer->sealed.size);
    (void)rd_buf_append_bytes(out, answer->sealed);
    (void)rd_buf_append_bytes(out, answer->signature);
    (void)rd_buf_append_u16be(out, (uint16_t)answer->certificate.size);
    (void)rd_buf_append_bytes(out, answer->certificate);
    return rd_buf_append_bytes(out, answer->record) ? 0 : rd_err_set(err, RD_E_TOO_LARGE, "no room for the grant");
}

int rd_grant_answer_parse(rd_bytes bytes, rd_grant_answer *ret, rd_err *err)
{
    if (bytes.size > RD_GRANT_SIZE_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "a grant of %zu bytes", bytes.size);
    rd_cursor cursor = rd_cursor_of(bytes);
    uint32_t size = rd_cursor_u32be(&cursor);
    ret->sealed = rd_cursor_take(&cursor, size);
    ret->signature = rd_cursor_take(&cursor, RD_SIGNATURE_SIZE);
    uint16_t certificate_size = rd_cursor_u16be(&cursor);
    ret->certificate = rd_cursor_take(&cursor, certificate_size);
    ret->record = rd_cursor_rest(&cursor);
    if (!rd_cursor_is_ok(&cursor) || ret->sealed.size < RD_X25519_SIZE || certificate_size == 0 ||
        certificate_size > RD_KMS_DOCUMENT_SIZE_MAX || ret->record.size == 0 ||
        ret->record.size > RD_KMS_DOCUMENT_SIZE_MAX)
        return misformed(err, "it ends early, or goes on behind its end");
    return 0;
}

/* --- sealing and opening --- */

#define SIGNED_SIZE (3 * 32)

/* kms ‖ H("statement-v1", S) ‖ SHA-256(enc ‖ ciphertext). */
static void signed_message(const rd_grant_request *request, rd_bytes sealed, uint8_t out[SIGNED_SIZE])
{
    rd_digest statement;
    rd_statement_digest(request->statement, &statement);
    memcpy(out, request->kms.b, 32);
    memcpy(out + 32, statement.b, 32);
    rd_sha256(sealed, out + 64);
}

static bool frame(const rd_grant_request *request, rd_buf *info, rd_buf *aad)
{
    rd_digest statement;
    rd_statement_digest(request->statement, &statement);
    const rd_bytes parts[] = { RD_BYTES_ARRAY(request->kms.b), RD_BYTES_ARRAY(statement.b) };
    const rd_bytes nonce = rd_bytes_of(request->nonce, RD_NONCE_SIZE);
    return rd_frame_info(info, RD_INFO_GRANT, parts, 2) && rd_frame_aad(aad, RD_AAD_GRANT, &nonce, 1);
}

int rd_grant_seal(const rd_grant_request *request, const uint8_t grant_key[RD_X25519_SIZE], rd_bytes payload,
                  const rd_signing_key *replica, const rd_random *random, rd_buf *ret_sealed,
                  rd_signature *ret_signature, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf info = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf aad = { 0 };
    uint8_t message[SIGNED_SIZE];
    if (!frame(request, &info, &aad))
        return rd_err_set(err, RD_E_INTERNAL, "framing a grant");
    if (rd_hpke_seal_once(grant_key, rd_buf_bytes(&info), rd_buf_bytes(&aad), payload, random, ret_sealed, err) < 0)
        return -1;
    signed_message(request, rd_buf_bytes(ret_sealed), message);
    return rd_sign(replica, RD_SIGN_GRANT, RD_BYTES_ARRAY(message), ret_signature, err);
}

void rd_grant_done(rd_grant *grant)
{
    rd_wipe(&grant->payload, sizeof grant->payload);
    rd_buf_wipe(&grant->bytes);
}

static int check_signature(const rd_grant_answer *answer, const rd_grant_check *check, rd_err *err)
{
    rd_kms_genesis genesis;
    rd_kms_certificate certificate;
    rd_signature signature;
    uint8_t message[SIGNED_SIZE];
    if (rd_kms_genesis_open(check->kms_genesis, &check->request.kms, &genesis, err) < 0 ||
        rd_kms_certificate_accept(answer->certificate, &genesis, &check->request.kms, check->now_us, &certificate,
                                  err) < 0)
        return -1;
    signed_message(&check->request, answer->sealed, message);
    memcpy(signature.b, answer->signature.data, sizeof signature.b);
    if (rd_verify(&certificate.key, RD_SIGN_GRANT, RD_BYTES_ARRAY(message), &signature, err) < 0)
        return rd_err_set(err, RD_E_GRANT_SIGNATURE,
                          "the grant is not signed by the replica for this instance's statement");
    return 0;
}

static int differs(rd_err *err, const char *what)
{
    return rd_err_set(err, RD_E_GRANT_MISMATCH, "the grant names another %s", what);
}

static int check_payload(const rd_grant_payload *payload, const rd_statement *asked, rd_err *err)
{
    uint8_t thumbprint[32];
    rd_jwk_thumbprint(&asked->receipt_key, thumbprint);
    if (!rd_app_id_equal(&payload->app, &asked->app))
        return differs(err, "app");
    if (!rd_digest_equal(&payload->release, &asked->release))
        return differs(err, "release");
    if (!rd_digest_equal(&payload->head, &asked->head))
        return differs(err, "head");
    if (memcmp(payload->instance, thumbprint, sizeof thumbprint) != 0)
        return differs(err, "instance");
    if (payload->epoch != asked->epoch)
        return differs(err, "epoch");
    return 0;
}

static int open_payload(const rd_grant_answer *answer, const rd_grant_check *check, rd_grant *ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf info = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf aad = { 0 };
    if (!frame(&check->request, &info, &aad))
        return rd_err_set(err, RD_E_INTERNAL, "framing a grant");
    if (rd_hpke_open_once(check->grant_key, rd_buf_bytes(&info), rd_buf_bytes(&aad), answer->sealed, &ret->bytes, err) <
        0)
        return rd_err_wrap(err, "grant");
    return rd_grant_payload_parse(rd_buf_bytes(&ret->bytes), &ret->payload, err);
}

int rd_grant_open(rd_bytes bytes, const rd_grant_check *check, rd_grant *ret, rd_err *err)
{
    rd_grant_answer answer;
    rd_statement asked;
    *ret = (rd_grant){ .bytes = { .size_max = RD_GRANT_SIZE_MAX } };
    if (rd_statement_parse(check->request.statement, &asked, err) < 0)
        return -1;
    if (asked.purpose != RD_PURPOSE_GRANT)
        return rd_err_set(err, RD_E_PURPOSE, "grants answer statements of purpose grant");
    if (rd_grant_answer_parse(bytes, &answer, err) < 0 || check_signature(&answer, check, err) < 0 ||
        open_payload(&answer, check, ret, err) < 0 || check_payload(&ret->payload, &asked, err) < 0)
        return -1;
    return rd_secrets_check(ret->payload.secrets, ret->payload.secrets_count, check->secrets_count, check->secrets_root,
                            err);
}
