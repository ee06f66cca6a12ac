#include "enclave/kms/kms_front.h"

#include <string.h>
#include <time.h>

#include "attest/collateral_set.h"
#include "common/base/cursor.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "enclave/kms/kms_channel.h"

#define CLOCK_SLACK_US INT64_C(300000000)

int kms_front_init(kms_front *front, rd_err *err)
{
    front->collateral = rd_collateral_set_new();
    front->cache = rd_attest_cache_new(0);
    encl_platform_raise_floor(front->platform, front->state.floor_us);
    if (front->waits)
        return 0;
    rd_kms_genesis_id(rd_buf_bytes(&front->genesis_document), &front->id);
    if (rd_kms_genesis_parse(rd_buf_bytes(&front->genesis_document), &front->genesis, err) < 0)
        return -1;
    front->anchors = (rd_anchors){ .count = 0 };
    if (front->genesis.class == RD_CLASS_HARDWARE)
        rd_anchors_init(&front->anchors);
    else if (front->genesis.has_sim_root && rd_anchors_add_simulated(&front->anchors, front->genesis.sim_root, err) < 0)
        return -1;
    return 0;
}

void kms_front_done(kms_front *front)
{
    rd_collateral_set_free(front->collateral);
    rd_attest_cache_free(front->cache);
    kms_state_done(&front->state);
    kms_store_done(&front->store);
    rd_buf_done(&front->genesis_document);
    rd_buf_done(&front->join_statement);
    encl_platform_free(front->platform);
    rd_wipe(front->state_key, sizeof(front->state_key));
}

/* --- time and state --- */

static int64_t boot_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int kms_front_time(kms_front *front, int64_t *ret_us, rd_err *err)
{
    int64_t host_us = front->platform->host_us();
    if (host_us < front->platform->floor_us - CLOCK_SLACK_US)
        return rd_err_set(err, RD_E_KMS_CLOCK, "the host's clock stands %lld s below what was seen already",
                          (long long)((front->platform->floor_us - host_us) / 1000000));
    *ret_us = encl_platform_time_us(front->platform);
    return 0;
}

/* What changed, where the log has room for it; the whole otherwise. */
static int write_state(kms_front *front, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf change = { .size_max = KMS_CHANGE_MAX };
    RD_CLEANUP(rd_buf_done) rd_buf whole = { .size_max = KMS_STATE_MAX };
    if (kms_state_encode_changes(&front->state, &change) && kms_store_has_room(&front->store, change.size))
        return kms_store_append(&front->store, front->state_key, rd_buf_bytes(&change), err);
    if (!kms_state_encode(&front->state, &whole))
        return rd_err_set(err, RD_E_KMS_AUDIT, "the state has outgrown its file");
    return kms_store_save(&front->store, front->state_key, rd_buf_bytes(&whole), err);
}

int kms_front_save(kms_front *front, uint64_t record_number, const uint8_t record[32], rd_err *err)
{
    if (front->is_behind)
        return rd_err_set(err, RD_E_KMS_AUDIT, "the state could not be kept; the key service starts again");
    front->is_behind = true;
    front->state.record_number = record_number;
    memcpy(front->state.record.b, record, 32);
    if (write_state(front, err) < 0)
        return -1;
    kms_state_saved(&front->state);
    front->is_behind = false;
    return 0;
}

int kms_front_record_start(kms_front *front, rd_err *err)
{
    kms_told_record told;
    const kms_ask_record ask = { .kind = RD_KMS_RECORD_START, .at_us = encl_platform_time_us(front->platform) };
    if (kms_channel_ask(front->root_fd, KMS_OP_RECORD, rd_bytes_of(&ask, sizeof(ask)), RD_BYTES_NULL, &told,
                        sizeof(told), NULL, err) < 0)
        return -1;
    return kms_front_save(front, told.record_number, told.record, err);
}

/* --- answers --- */

static void refuse(const rd_err *why, rd_bytes record, rd_buf *out)
{
    RD_CLEANUP(rd_buf_done) rd_buf payload = { 0 };
    const rd_kms_refusal refusal = { .code = rd_bytes_str(rd_code_describe(why->code)->name),
                                     .detail = rd_bytes_str(why->text),
                                     .record = record };
    if (rd_kms_refusal_encode(&refusal, &payload, NULL) < 0 ||
        rd_kms_frame(RD_KMS_REFUSAL, rd_buf_bytes(&payload), out, NULL) < 0)
        rd_log(RD_ERROR, "refusal_lost", RD_ERR(why));
}

void kms_front_refuse(const rd_err *why, rd_buf *out)
{
    refuse(why, RD_BYTES_NULL, out);
}

static int answer_nonce(kms_front *front, rd_bytes payload, rd_buf *ret, rd_err *err)
{
    rd_cursor cursor = rd_cursor_of(payload);
    uint16_t count = rd_cursor_u16be(&cursor);
    if (!rd_cursor_is_done(&cursor) || count == 0 || count > RD_KMS_NONCES_MAX)
        return rd_err_set(err, RD_E_KMS_FRAME, "1 to %d nonces at once", RD_KMS_NONCES_MAX);
    for (uint16_t i = 0; i < count; i++) {
        uint8_t nonce[32];
        kms_nonces_draw(&front->nonces, boot_us(), nonce);
        rd_buf_append(ret, nonce, sizeof(nonce));
    }
    return 0;
}

static int quote(kms_front *front, rd_statement *statement, rd_buf *ret_statement, rd_buf *ret, rd_err *err)
{
    uint8_t report_data[RD_REPORT_DATA_SIZE];
    statement->kms[0] = front->id;
    statement->kms_count = 1;
    statement->has_user = true;
    memcpy(statement->user, front->id.b, sizeof(statement->user));
    if (rd_statement_encode(statement, ret_statement, err) < 0)
        return -1;
    rd_statement_report_data(rd_buf_bytes(ret_statement), report_data);
    return encl_platform_quote(front->platform, report_data, ret, err);
}

int kms_front_quote(kms_front *front, rd_statement *statement, rd_buf *ret_statement, rd_buf *ret_bundle, rd_err *err)
{
    uint8_t header[RD_LAUNCH_HEADER_SIZE];
    RD_CLEANUP(rd_buf_done) rd_buf quoted = { 0 };
    rd_kms_launch_header(&front->id, front->waits, header);
    if (quote(front, statement, ret_statement, &quoted, err) < 0)
        return -1;
    return rd_evidence_encode(rd_buf_bytes(&quoted), rd_buf_bytes(ret_statement), header, NULL, ret_bundle, err);
}

static int answer_asker(const kms_front *front, const rd_nonce_tree *tree, size_t index, rd_bytes quoted,
                        rd_bytes statement, rd_buf *out, rd_err *err)
{
    uint8_t header[RD_LAUNCH_HEADER_SIZE];
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    rd_nonce_path path;
    rd_kms_launch_header(&front->id, front->waits, header);
    rd_nonce_tree_path(tree, index, &path);
    if (rd_evidence_encode(quoted, statement, header, &path, &bundle, err) < 0)
        return -1;
    return rd_kms_frame(RD_KMS_ANSWER | RD_KMS_EVIDENCE, rd_buf_bytes(&bundle), out, err);
}

void kms_front_evidence(kms_front *front, const uint8_t (*nonces)[RD_NONCE_SIZE], size_t count, rd_buf *const *outs)
{
    RD_CLEANUP(rd_nonce_tree_free_p) rd_nonce_tree *tree = rd_nonce_tree_new(nonces, count);
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf quoted = { 0 };
    rd_statement statement = { .purpose = RD_PURPOSE_KMS, .class = front->genesis.class };
    rd_err err = RD_ERR_INIT;
    rd_nonce_tree_root(tree, statement.nonce);
    int outcome = quote(front, &statement, &text, &quoted, &err);
    if (outcome < 0)
        rd_log(RD_WARN, "refused", RD_U64("type", RD_KMS_EVIDENCE), RD_ERR(&err));
    for (size_t i = 0; i < count; i++)
        if (outcome < 0 || answer_asker(front, tree, i, rd_buf_bytes(&quoted), rd_buf_bytes(&text), outs[i], &err) < 0)
            kms_front_refuse(&err, outs[i]);
}

/* Only malformed questions come here. */
static int answer_evidence(kms_front *front RD_UNUSED, rd_bytes payload, rd_buf *ret RD_UNUSED, rd_err *err)
{
    return rd_err_set(err, RD_E_KMS_FRAME, "a nonce has %d bytes, not %zu", RD_NONCE_SIZE, payload.size);
}

static int answer_seal_key(kms_front *front, rd_bytes payload, rd_buf *ret, rd_err *err)
{
    kms_ask_seal_key ask = { .version = 0 };
    kms_told_seal_key told;
    rd_cursor cursor = rd_cursor_of(payload);
    rd_cursor_copy(&cursor, ask.app, sizeof(ask.app));
    ask.version = rd_cursor_u64be(&cursor);
    if (!rd_cursor_is_done(&cursor))
        return rd_err_set(err, RD_E_KMS_FRAME, "an app id and a version");
    if (ask.version != 1)
        return rd_err_set(err, RD_E_UNSUPPORTED, "seal keys of version 1 alone");
    if (kms_channel_ask(front->root_fd, KMS_OP_SEAL_KEY, rd_bytes_of(&ask, sizeof(ask)), RD_BYTES_NULL, &told,
                        sizeof(told), NULL, err) < 0)
        return -1;
    rd_buf_append(ret, told.key, sizeof(told.key));
    rd_buf_append(ret, told.signature, sizeof(told.signature));
    return 0;
}

static int answer_collateral(kms_front *front, rd_bytes payload, rd_buf *ret, rd_err *err)
{
    (void)ret;
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *given = NULL;
    if (rd_collateral_set_parse(payload, &given, err) < 0)
        return -1;
    return rd_collateral_set_merge(front->collateral, given, true, err) < 0 ? -1 : 0;
}

static int answer_genesis(kms_front *front, rd_bytes payload, rd_buf *ret, rd_err *err)
{
    (void)payload;
    return rd_buf_append_bytes(ret, rd_buf_bytes(&front->genesis_document))
               ? 0
               : rd_err_set(err, RD_E_TOO_LARGE, "genesis");
}

typedef struct answerer {
    int (*answer)(kms_front *front, rd_bytes payload, rd_buf *ret, rd_err *err);
    bool of_open, of_waiting; /* whom it may be asked */
} answerer;

static const answerer answerers[RD_KMS_TYPE_END] = { [RD_KMS_NONCE] = { answer_nonce, true, false },
                                                     [RD_KMS_EVIDENCE] = { answer_evidence, true, false },
                                                     [RD_KMS_SEAL_KEY] = { answer_seal_key, true, false },
                                                     [RD_KMS_COLLATERAL] = { answer_collateral, true, true },
                                                     [RD_KMS_GRANT] = { NULL, true, false },
                                                     [RD_KMS_JOIN_NONCE] = { kms_front_join_nonce, false, true },
                                                     [RD_KMS_ADMIT] = { kms_front_admit, true, false },
                                                     [RD_KMS_JOIN] = { kms_front_join, false, true },
                                                     [RD_KMS_ROOT] = { NULL, true, false },
                                                     [RD_KMS_JOINED] = { kms_front_joined, false, true },
                                                     [RD_KMS_RECOVER] = { kms_front_recover, false, true },
                                                     [RD_KMS_SHARE] = { kms_front_share, false, true },
                                                     [RD_KMS_GENESIS] = { answer_genesis, true, false } };

static int check_state(const kms_front *front, uint8_t type, rd_err *err)
{
    if (front->is_finished)
        return rd_err_set(err, RD_E_KMS_WAITS, "this replica has its root now, and starts again with it");
    if (front->waits && !answerers[type].of_waiting)
        return rd_err_set(err, RD_E_KMS_WAITS, "this replica waits for the root of its key service");
    if (!front->waits && !answerers[type].of_open)
        return rd_err_set(err, RD_E_KMS_JOIN, "this replica has its root already");
    return 0;
}

bool kms_front_shares_quote(const kms_front *front, uint8_t type, rd_bytes payload)
{
    rd_err ignored = RD_ERR_INIT;
    return type == RD_KMS_EVIDENCE && payload.size == RD_NONCE_SIZE && check_state(front, type, &ignored) == 0;
}

bool kms_front_answer(kms_front *front, uint8_t type, rd_bytes payload, rd_buf *out)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_buf_done) rd_buf answer = { .size_max = RD_KMS_GRANT_MAX };
    RD_CLEANUP(rd_buf_done) rd_buf record = { 0 };
    int outcome = check_state(front, type, &err);
    if (outcome == 0 && type == RD_KMS_GRANT)
        outcome = kms_front_grant(front, payload, &answer, &record, &err);
    else if (outcome == 0 && type == RD_KMS_ROOT)
        outcome = kms_front_root(front, payload, &answer, &record, &err);
    else if (outcome == 0)
        outcome = answerers[type].answer(front, payload, &answer, &err);
    if (outcome == 0)
        outcome = rd_kms_frame((uint8_t)(RD_KMS_ANSWER | type), rd_buf_bytes(&answer), out, &err);
    if (outcome == 0)
        return true;
    rd_log(RD_WARN, "refused", RD_U64("type", type), RD_ERR(&err));
    refuse(&err, rd_buf_bytes(&record), out);
    return err.code != RD_E_KMS_FRAME && err.code != RD_E_CONTROL_LOST;
}
