/* The front's part of a join: messages, quotes, and what is kept. What goes over is between the root processes. */
#include <string.h>

#include "attest/collateral_set.h"
#include "common/base/cursor.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "enclave/kms/kms_channel.h"
#include "enclave/kms/kms_front.h"
#include "enclave/kms/kms_joined.h"

static int ask_nonce(kms_front *front, uint8_t out[RD_NONCE_SIZE], rd_err *err)
{
    return kms_channel_ask(front->root_fd, KMS_OP_NONCE, RD_BYTES_NULL, RD_BYTES_NULL, out, RD_NONCE_SIZE, NULL, err);
}

static int write_collateral(kms_front *front, rd_buf *ret, rd_err *err)
{
    if (rd_collateral_set_count(front->collateral) == 0)
        return rd_err_set(err, RD_E_COLLATERAL_MISSING, "this replica was given no collateral to judge another by");
    return rd_collateral_set_write(front->collateral, ret, err);
}

int kms_front_join_nonce(kms_front *front, rd_bytes payload, rd_buf *ret, rd_err *err)
{
    uint8_t nonce[RD_NONCE_SIZE];
    if (payload.size != 0)
        return rd_err_set(err, RD_E_KMS_FRAME, "a join begins with nothing");
    if (ask_nonce(front, nonce, err) < 0)
        return -1;
    rd_buf_append(ret, nonce, sizeof(nonce));
    return 0;
}

/* --- the replica that waits --- */

static int floor_of(kms_front *front, kms_floor *ret, rd_err *err)
{
    *ret = (kms_floor){ .pck_crl_number = front->state.pck_crl_number,
                        .root_crl_number = front->state.root_crl_number,
                        .evaluation_number = front->state.evaluation_number };
    return kms_front_time(front, &ret->now_us, err);
}

static int meet(kms_front *front, const rd_kms_join_message *message, uint8_t ret_key[RD_X25519_SIZE], rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf collateral = { .size_max = RD_COLLATERAL_SIZE_MAX };
    RD_CLEANUP(rd_buf_done) rd_buf more = { .size_max = KMS_CHANNEL_MAX };
    kms_floor floor;
    if (floor_of(front, &floor, err) < 0 || write_collateral(front, &collateral, err) < 0)
        return -1;
    const kms_ask_meet ask = { .floor = floor,
                               .genesis_size = (uint32_t)message->genesis.size,
                               .evidence_size = (uint32_t)message->evidence.size,
                               .collateral_size = (uint32_t)collateral.size };
    rd_buf_append_bytes(&more, message->genesis);
    rd_buf_append_bytes(&more, message->evidence);
    rd_buf_append_bytes(&more, rd_buf_bytes(&collateral));
    return kms_channel_ask(front->root_fd, KMS_OP_MEET, rd_bytes_of(&ask, sizeof(ask)), rd_buf_bytes(&more), ret_key,
                           RD_X25519_SIZE, NULL, err);
}

/* The class is the one of the genesis, which the judge has opened by its id. */
int kms_front_join(kms_front *front, rd_bytes payload, rd_buf *ret, rd_err *err)
{
    rd_kms_join_message message;
    rd_kms_genesis genesis;
    rd_statement statement = { .purpose = RD_PURPOSE_JOIN, .has_grant_key = true };
    if (rd_kms_join_message_parse(payload, &message, err) < 0 || meet(front, &message, statement.grant_key, err) < 0 ||
        rd_kms_genesis_open(message.genesis, &front->id, &genesis, err) < 0)
        return -1;
    statement.class = genesis.class;
    memcpy(statement.nonce, message.nonce.data, sizeof(statement.nonce));
    rd_buf_clear(&front->join_statement);
    return kms_front_quote(front, &statement, &front->join_statement, ret, err);
}

/* The state first, then the root: a root without what it remembers never stands here. Where it cannot be kept, the
 * process ends too: what the root process was given counts as used up. */
static int keep(kms_front *front, const kms_told_record *end, rd_bytes sealed, rd_err *err)
{
    const rd_digest record = front->state.record;
    front->is_finished = true;
    if (kms_front_save(front, front->state.record_number, record.b, err) < 0 ||
        kms_joined_write(front->joined_fd, front->state_key, sealed, end, err) < 0)
        return -1;
    rd_log(RD_INFO, "kms_has_root", RD_STR("next", "starts again with it"));
    return 0;
}

static int learn(kms_front *front, rd_bytes memory, rd_err *err)
{
    kms_state theirs = { .record_number = 0 };
    int outcome = kms_state_parse(memory, &theirs, err);
    if (outcome == 0)
        outcome = kms_state_learn(&front->state, &theirs, err);
    kms_state_done(&theirs);
    return outcome;
}

int kms_front_joined(kms_front *front, rd_bytes payload, rd_buf *ret, rd_err *err)
{
    kms_told_import told;
    RD_CLEANUP(rd_buf_done) rd_buf question = { .size_max = KMS_CHANNEL_MAX };
    RD_CLEANUP(rd_buf_done) rd_buf answer = { .size_max = KMS_CHANNEL_MAX };
    const kms_ask_import ask = { .now_us = encl_platform_time_us(front->platform),
                                 .statement_size = (uint32_t)front->join_statement.size,
                                 .root_size = (uint32_t)payload.size };
    rd_buf_append_bytes(&question, rd_buf_bytes(&front->join_statement));
    rd_buf_append_bytes(&question, payload);
    if (kms_channel_ask(front->root_fd, KMS_OP_IMPORT, rd_bytes_of(&ask, sizeof(ask)), rd_buf_bytes(&question), &told,
                        sizeof(told), &answer, err) < 0)
        return -1;
    rd_cursor cursor = rd_cursor_of(rd_buf_bytes(&answer));
    rd_bytes sealed = rd_cursor_take(&cursor, told.sealed_size);
    rd_bytes memory = rd_cursor_take(&cursor, told.memory_size);
    rd_bytes records = rd_cursor_take(&cursor, told.records_size);
    if (!rd_cursor_is_done(&cursor))
        return rd_err_set(err, RD_E_CONTROL_LOST, "the root's answer is cut off");
    if (learn(front, memory, err) < 0 || keep(front, &told.end, sealed, err) < 0)
        return -1;
    rd_buf_append_bytes(ret, records);
    return 0;
}

/* --- the replica that waits for shares --- */

int kms_front_recover(kms_front *front, rd_bytes payload, rd_buf *ret, rd_err *err)
{
    rd_kms_genesis genesis;
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_statement statement = { .purpose = RD_PURPOSE_JOIN, .has_grant_key = true };
    if (payload.size <= RD_NONCE_SIZE)
        return rd_err_set(err, RD_E_KMS_FRAME, "a nonce and a genesis begin a recovery");
    rd_bytes document = rd_bytes_of(payload.data + RD_NONCE_SIZE, payload.size - RD_NONCE_SIZE);
    if (kms_channel_ask(front->root_fd, KMS_OP_RECOVER, document, RD_BYTES_NULL, statement.grant_key,
                        sizeof(statement.grant_key), NULL, err) < 0 ||
        rd_kms_genesis_open(document, &front->id, &genesis, err) < 0)
        return -1;
    statement.class = genesis.class;
    memcpy(statement.nonce, payload.data, RD_NONCE_SIZE);
    return kms_front_quote(front, &statement, &text, ret, err);
}

int kms_front_share(kms_front *front, rd_bytes payload, rd_buf *ret, rd_err *err)
{
    kms_told_share told;
    const kms_ask_share ask = { .now_us = encl_platform_time_us(front->platform) };
    RD_CLEANUP(rd_buf_done) rd_buf answer = { .size_max = KMS_CHANNEL_MAX };
    if (kms_channel_ask(front->root_fd, KMS_OP_SHARE, rd_bytes_of(&ask, sizeof(ask)), payload, &told, sizeof(told),
                        &answer, err) < 0)
        return -1;
    rd_cursor cursor = rd_cursor_of(rd_buf_bytes(&answer));
    rd_bytes sealed = rd_cursor_take(&cursor, told.sealed_size);
    rd_bytes records = rd_cursor_take(&cursor, told.records_size);
    if (!rd_cursor_is_done(&cursor))
        return rd_err_set(err, RD_E_CONTROL_LOST, "the root's answer is cut off");
    rd_log(RD_INFO, "share_given", RD_U64("given", told.given), RD_U64("needed", told.needed));
    if (sealed.size > 0 && keep(front, &told.end, sealed, err) < 0)
        return -1;
    rd_buf_append_u8(ret, told.given);
    rd_buf_append_u8(ret, told.needed);
    rd_buf_append_bytes(ret, records);
    return 0;
}

/* --- the replica that admits --- */

int kms_front_admit(kms_front *front, rd_bytes payload, rd_buf *ret, rd_err *err)
{
    uint8_t nonce[RD_NONCE_SIZE];
    rd_statement statement = { .purpose = RD_PURPOSE_ADMIT, .class = front->genesis.class };
    if (payload.size != RD_NONCE_SIZE)
        return rd_err_set(err, RD_E_KMS_FRAME, "a nonce has %d bytes", RD_NONCE_SIZE);
    memcpy(statement.nonce, payload.data, RD_NONCE_SIZE);
    if (ask_nonce(front, nonce, err) < 0)
        return -1;
    rd_buf_append(ret, nonce, sizeof(nonce));
    rd_buf_clear(&front->join_statement);
    return kms_front_quote(front, &statement, &front->join_statement, ret, err);
}

/* What a newcomer is to know: heads and floors. Instances and records are each replica's own. */
static int write_memory(const kms_front *front, rd_buf *ret, rd_err *err)
{
    kms_state memory = front->state;
    memory.record_number = 0;
    memory.record = (rd_digest){ { 0 } };
    memory.instances_count = memory.instances_next = 0;
    return kms_state_encode(&memory, ret) ? 0 : rd_err_set(err, RD_E_TOO_LARGE, "memory");
}

static int export_root(kms_front *front, rd_bytes evidence, kms_told_record *told, rd_buf *ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf collateral = { .size_max = RD_COLLATERAL_SIZE_MAX };
    RD_CLEANUP(rd_buf_done) rd_buf memory = { .size_max = RD_KMS_ROOT_MAX - 1024 };
    RD_CLEANUP(rd_buf_done) rd_buf more = { .size_max = KMS_CHANNEL_MAX };
    kms_floor floor;
    if (floor_of(front, &floor, err) < 0 || write_collateral(front, &collateral, err) < 0 ||
        write_memory(front, &memory, err) < 0)
        return -1;
    const kms_ask_export ask = { .floor = floor,
                                 .statement_size = (uint32_t)front->join_statement.size,
                                 .evidence_size = (uint32_t)evidence.size,
                                 .collateral_size = (uint32_t)collateral.size,
                                 .memory_size = (uint32_t)memory.size };
    rd_buf_append_bytes(&more, rd_buf_bytes(&front->join_statement));
    rd_buf_append_bytes(&more, evidence);
    rd_buf_append_bytes(&more, rd_buf_bytes(&collateral));
    rd_buf_append_bytes(&more, rd_buf_bytes(&memory));
    return kms_channel_ask(front->root_fd, KMS_OP_EXPORT, rd_bytes_of(&ask, sizeof(ask)), rd_buf_bytes(&more), told,
                           sizeof(*told), ret, err);
}

int kms_front_root(kms_front *front, rd_bytes evidence, rd_buf *ret, rd_buf *ret_record, rd_err *err)
{
    kms_told_record told;
    rd_err why = RD_ERR_INIT;
    static const kms_ask_record nothing_known;
    if (export_root(front, evidence, &told, ret, &why) == 0 &&
        kms_front_save(front, told.record_number, told.record, &why) == 0) {
        rd_log(RD_INFO, "admitted", RD_U64("record", told.record_number));
        return 0;
    }
    rd_buf_clear(ret);
    if (why.code != RD_E_KMS_NONCE) /* no join had begun: nothing was judged, and it cost whoever sent it nothing */
        kms_front_record_refusal(front, &nothing_known, ret_record, &why);
    *err = why;
    return -1;
}
