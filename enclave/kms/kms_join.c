/* The root goes over, from one root process to another: docs/protocol/kms.md, "Replicas". Whether the other side is an
 * enclave of the genesis is the judge's word, never the front's. */
#include <string.h>

#include "common/base/cursor.h"
#include "common/base/mem.h"
#include "enclave/kms/kms_root_priv.h"

#define MAGIC      "redoubt/kms-join/v1"
#define MAGIC_SIZE (sizeof(MAGIC) - 1)

void kms_join_done(kms_join *join)
{
    join->key = rd_secret_free(join->key);
    rd_buf_done(&join->genesis);
    rd_buf_done(&join->admit_statement);
    *join = (kms_join){ .has_nonce = false };
}

int kms_join_nonce(kms_root *self, int fd, rd_bytes question, rd_err *err)
{
    if (question.size != 0)
        return rd_err_set(err, RD_E_CONTROL_FRAME, "nonce");
    rd_random_bytes(self->join.nonce, sizeof(self->join.nonce));
    self->join.has_nonce = true;
    return kms_channel_tell(fd, RD_BYTES_ARRAY(self->join.nonce), RD_BYTES_NULL);
}

/* --- who the other side is --- */

/* Asks the judge over the nonce, which is spent by that. Appends the statement. */
static int judge(kms_root *self, rd_purpose purpose, const kms_floor *floor, rd_bytes genesis, rd_bytes evidence,
                 rd_bytes collateral, kms_told_judge *told, rd_buf *ret_statement, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf more = { .size_max = KMS_CHANNEL_MAX };
    kms_ask_judge ask = { .purpose = (uint8_t)purpose,
                          .floor = *floor,
                          .genesis_size = (uint32_t)genesis.size,
                          .evidence_size = (uint32_t)evidence.size,
                          .collateral_size = (uint32_t)collateral.size };
    if (!self->join.has_nonce)
        return rd_err_set(err, RD_E_KMS_NONCE, "no join has begun, or its one message has come already");
    self->join.has_nonce = false;
    memcpy(ask.nonce, self->join.nonce, sizeof(ask.nonce));
    memcpy(ask.kms, self->phase == KMS_ROOT_WAITS ? self->place.kms : self->keys.id.b, sizeof(ask.kms));
    memcpy(ask.measurement, self->place.measurement, sizeof(ask.measurement));
    if (!rd_buf_append_bytes(&more, genesis) || !rd_buf_append_bytes(&more, evidence) ||
        !rd_buf_append_bytes(&more, collateral))
        return rd_err_set(err, RD_E_TOO_LARGE, "what a join is judged by");
    return kms_channel_ask(self->judge_fd, KMS_OP_JUDGE, rd_bytes_of(&ask, sizeof(ask)), rd_buf_bytes(&more), told,
                           sizeof(*told), ret_statement, err);
}

/* --- what goes over --- */

typedef struct handover {
    const rd_kms_id *kms;
    rd_bytes admit, join; /* both statements */
} handover;

static bool frame(const handover *what, rd_buf *info, rd_buf *aad)
{
    const rd_bytes parts[] = { RD_BYTES_ARRAY(what->kms->b), what->admit, what->join };
    return rd_frame_info(info, RD_INFO_JOIN, parts, 3) && rd_frame_aad(aad, RD_AAD_JOIN, parts, 1);
}

/* kms ‖ H("statement-v1", admit) ‖ H("statement-v1", join) ‖ SHA-256(sealed). */
static void signed_message(const handover *what, rd_bytes sealed, uint8_t out[4 * 32])
{
    rd_digest digest;
    memcpy(out, what->kms->b, 32);
    rd_statement_digest(what->admit, &digest);
    memcpy(out + 32, digest.b, 32);
    rd_statement_digest(what->join, &digest);
    memcpy(out + 64, digest.b, 32);
    rd_sha256(sealed, out + 96);
}

/* Appends signature ‖ sealed. */
static int seal(kms_root *self, const handover *what, const uint8_t key[RD_X25519_SIZE], rd_bytes memory, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf info = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf aad = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    RD_CLEANUP(rd_buf_wipe) rd_buf plain = { 0 };
    uint8_t seed[RD_SEED_SIZE], message[4 * 32];
    rd_signature signature;
    (void)rd_buf_reserve(&plain, MAGIC_SIZE + 32 + sizeof(seed) + memory.size);
    rd_signing_key_seed(self->keys.signer, seed);
    rd_buf_append_str(&plain, MAGIC);
    rd_buf_append_bytes(&plain, rd_secret_bytes(self->keys.root));
    rd_buf_append(&plain, seed, sizeof(seed));
    rd_wipe(seed, sizeof(seed));
    if (!rd_buf_append_bytes(&plain, memory) || !frame(what, &info, &aad))
        return rd_err_set(err, RD_E_TOO_LARGE, "what goes over");
    if (rd_hpke_seal_once(key, rd_buf_bytes(&info), rd_buf_bytes(&aad), rd_buf_bytes(&plain), rd_random_system(),
                          &sealed, err) < 0)
        return -1;
    signed_message(what, rd_buf_bytes(&sealed), message);
    if (rd_sign(self->keys.signer, RD_SIGN_JOIN, RD_BYTES_ARRAY(message), &signature, err) < 0)
        return -1;
    rd_buf_append(&self->more, signature.b, sizeof(signature.b));
    return rd_buf_append_bytes(&self->more, rd_buf_bytes(&sealed)) ? 0
                                                                   : rd_err_set(err, RD_E_TOO_LARGE, "what goes over");
}

static int open_sealed(const kms_root *self, const handover *what, const rd_public_key *root, rd_bytes message,
                       rd_buf *ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf info = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf aad = { 0 };
    rd_cursor cursor = rd_cursor_of(message);
    uint8_t signed_bytes[4 * 32];
    rd_signature signature;
    rd_cursor_copy(&cursor, signature.b, sizeof(signature.b));
    rd_bytes sealed = rd_cursor_rest(&cursor);
    signed_message(what, sealed, signed_bytes);
    if (!rd_cursor_is_ok(&cursor) || rd_verify(root, RD_SIGN_JOIN, RD_BYTES_ARRAY(signed_bytes), &signature, NULL) < 0)
        return rd_err_set(err, RD_E_KMS_JOIN, "the root of the genesis did not sign this for this join");
    if (!frame(what, &info, &aad) ||
        rd_hpke_open_once(self->join.key, rd_buf_bytes(&info), rd_buf_bytes(&aad), sealed, ret, NULL) < 0)
        return rd_err_set(err, RD_E_KMS_JOIN, "what came does not open for this join");
    return 0;
}

/* --- the newcomer --- */

int kms_join_meet(kms_root *self, int fd, rd_bytes question, rd_err *err)
{
    kms_ask_meet ask;
    kms_told_judge told;
    rd_cursor cursor = rd_cursor_of(question);
    rd_cursor_copy(&cursor, &ask, sizeof(ask));
    rd_bytes genesis = rd_cursor_take(&cursor, ask.genesis_size);
    rd_bytes evidence = rd_cursor_take(&cursor, ask.evidence_size);
    rd_bytes collateral = rd_cursor_take(&cursor, ask.collateral_size);
    if (!rd_cursor_is_done(&cursor))
        return rd_err_set(err, RD_E_CONTROL_FRAME, "meet");
    rd_buf_clear(&self->join.genesis);
    rd_buf_clear(&self->join.admit_statement);
    self->join.key = rd_secret_free(self->join.key);
    if (judge(self, RD_PURPOSE_ADMIT, &ask.floor, genesis, evidence, collateral, &told, &self->join.admit_statement,
              err) < 0) {
        kms_root_note(self, ask.floor.now_us, err);
        return -1;
    }
    uint8_t public_key[RD_X25519_SIZE];
    if (!rd_buf_append_bytes(&self->join.genesis, genesis))
        return rd_err_set(err, RD_E_TOO_LARGE, "genesis");
    self->join.key = rd_secret_random(RD_X25519_SIZE);
    rd_x25519_public(self->join.key, public_key);
    return kms_channel_tell(fd, RD_BYTES_ARRAY(public_key), RD_BYTES_NULL);
}

/* Root and seed into keys that are kept; the memory is what lies behind them. */
static int keep_root(kms_root *self, rd_bytes plain, rd_bytes *ret_memory, rd_err *err)
{
    rd_cursor cursor = rd_cursor_of(plain);
    bool is_ours = rd_bytes_equal(rd_cursor_take(&cursor, MAGIC_SIZE), RD_BYTES_LIT(MAGIC));
    rd_bytes root = rd_cursor_take(&cursor, 32);
    rd_bytes seed = rd_cursor_take(&cursor, RD_SEED_SIZE);
    *ret_memory = rd_cursor_rest(&cursor);
    if (!is_ours || !rd_cursor_is_ok(&cursor))
        return rd_err_set(err, RD_E_KMS_JOIN, "what came is no root");
    if (kms_keys_take(root, seed.data, rd_buf_bytes(&self->join.genesis), &self->keys, err) < 0 ||
        kms_root_check_place(self, err) < 0)
        return -1;
    return kms_keys_seal(&self->keys, rd_secret_bytes(self->seal_key).data, &self->more, err);
}

/* Out of what the other one sent; plain keeps the memory's bytes. */
static int take_root(kms_root *self, rd_bytes statement, rd_bytes message, rd_buf *plain, rd_bytes *ret_memory,
                     rd_err *err)
{
    rd_kms_id kms;
    rd_kms_genesis genesis;
    memcpy(kms.b, self->place.kms, sizeof(kms.b));
    const handover what = { .kms = &kms, .admit = rd_buf_bytes(&self->join.admit_statement), .join = statement };
    (void)rd_buf_reserve(plain, message.size);
    if (rd_kms_genesis_open(rd_buf_bytes(&self->join.genesis), &kms, &genesis, err) < 0 ||
        open_sealed(self, &what, &genesis.root, message, plain, err) < 0)
        return -1;
    kms_keys_done(&self->keys);
    return keep_root(self, rd_buf_bytes(plain), ret_memory, err);
}

int kms_join_import(kms_root *self, int fd, rd_bytes question, rd_err *err)
{
    kms_ask_import ask;
    rd_bytes memory;
    RD_CLEANUP(rd_buf_wipe) rd_buf plain = { .size_max = KMS_CHANNEL_MAX };
    RD_CLEANUP(rd_buf_done) rd_buf records = { .size_max = RD_KMS_RECORDS_MAX };
    rd_cursor cursor = rd_cursor_of(question);
    rd_cursor_copy(&cursor, &ask, sizeof(ask));
    rd_bytes statement = rd_cursor_take(&cursor, ask.statement_size);
    rd_bytes message = rd_cursor_take(&cursor, ask.root_size);
    if (!rd_cursor_is_done(&cursor))
        return rd_err_set(err, RD_E_CONTROL_FRAME, "import");
    if (self->join.key == NULL)
        return rd_err_set(err, RD_E_KMS_JOIN, "nobody was met who could have sent a root");
    if (take_root(self, statement, message, &plain, &memory, err) < 0) {
        kms_root_note(self, ask.now_us, err);
        return -1;
    }
    kms_told_import told = { .sealed_size = (uint32_t)self->more.size, .memory_size = (uint32_t)memory.size };
    rd_buf_append_bytes(&self->more, memory);
    if (kms_root_chain_notes(self, false, ask.now_us, &records, err) < 0)
        return -1;
    told.end = kms_root_end(self);
    told.records_size = (uint32_t)records.size;
    if (!rd_buf_append_bytes(&self->more, rd_buf_bytes(&records)))
        return rd_err_set(err, RD_E_TOO_LARGE, "records");
    return kms_channel_tell(fd, rd_bytes_of(&told, sizeof(told)), rd_buf_bytes(&self->more));
}

/* --- the one that admits --- */

int kms_join_export(kms_root *self, int fd, rd_bytes question, rd_err *err)
{
    kms_ask_export ask;
    kms_told_judge told;
    RD_CLEANUP(rd_buf_done) rd_buf joining = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf envelope = { 0 };
    rd_cursor cursor = rd_cursor_of(question);
    rd_cursor_copy(&cursor, &ask, sizeof(ask));
    rd_bytes admitting = rd_cursor_take(&cursor, ask.statement_size);
    rd_bytes evidence = rd_cursor_take(&cursor, ask.evidence_size);
    rd_bytes collateral = rd_cursor_take(&cursor, ask.collateral_size);
    rd_bytes memory = rd_cursor_take(&cursor, ask.memory_size);
    if (!rd_cursor_is_done(&cursor) || ask.floor.now_us < 0)
        return rd_err_set(err, RD_E_CONTROL_FRAME, "export");
    if (judge(self, RD_PURPOSE_JOIN, &ask.floor, rd_buf_bytes(&self->keys.document), evidence, collateral, &told,
              &joining, err) < 0)
        return -1;
    const handover what = { .kms = &self->keys.id, .admit = admitting, .join = rd_buf_bytes(&joining) };
    rd_kms_record record = { .kind = RD_KMS_RECORD_JOIN, .at_us = ask.floor.now_us, .has_statement = true };
    rd_statement_digest(what.join, &record.statement);
    if (seal(self, &what, told.grant_key, memory, err) < 0 || kms_root_chain(self, &record, &envelope, err) < 0)
        return -1;
    return kms_root_tell_record(self, fd);
}
