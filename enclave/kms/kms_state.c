#include "enclave/kms/kms_state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cursor.h"
#include "common/base/mem.h"

#define MAGIC      "redoubt/kms-memory/v2"
#define MAGIC_SIZE (sizeof(MAGIC) - 1)

void kms_state_done(kms_state *state)
{
    free(state->apps);
    free(state->instances);
    *state = (kms_state){ 0 };
}

bool kms_state_encode(const kms_state *state, rd_buf *out)
{
    rd_buf_append_str(out, MAGIC);
    rd_buf_append_u64be(out, state->record_number);
    rd_buf_append(out, state->record.b, 32);
    rd_buf_append_u64be(out, (uint64_t)state->floor_us);
    rd_buf_append_u32be(out, state->evaluation_number);
    rd_buf_append_u64be(out, (uint64_t)state->pck_crl_number);
    rd_buf_append_u64be(out, (uint64_t)state->root_crl_number);
    rd_buf_append_u32be(out, (uint32_t)state->apps_count);
    for (size_t i = 0; i < state->apps_count; i++) {
        const kms_seen_app *one = &state->apps[i];
        rd_buf_append(out, one->app.b, sizeof(one->app.b));
        rd_buf_append_u64be(out, one->head.seq);
        rd_buf_append(out, one->head.digest.b, 32);
        rd_buf_append_u64be(out, one->head.owners_seq);
    }
    rd_buf_append_u32be(out, (uint32_t)state->instances_count);
    rd_buf_append_u32be(out, (uint32_t)state->instances_next);
    for (size_t i = 0; i < state->instances_count; i++) {
        const kms_seen_instance *one = &state->instances[i];
        rd_buf_append(out, one->instance.b, sizeof(one->instance.b));
        rd_buf_append_u64be(out, one->epoch);
        rd_buf_append(out, one->receipt_key.b, sizeof(one->receipt_key.b));
    }
    return !out->has_failed;
}

static int misformed(rd_err *err)
{
    return rd_err_set(err, RD_E_KMS_STATE, "the state is not one of this version");
}

static int parse_apps(rd_cursor *cursor, kms_state *state, rd_err *err)
{
    uint32_t count = rd_cursor_u32be(cursor);
    if (count > KMS_APPS_MAX)
        return misformed(err);
    state->apps = rd_alloc_array(KMS_APPS_MAX, sizeof(*state->apps));
    for (uint32_t i = 0; i < count; i++) {
        kms_seen_app *one = &state->apps[i];
        rd_cursor_copy(cursor, one->app.b, sizeof(one->app.b));
        one->head.seq = rd_cursor_u64be(cursor);
        rd_cursor_copy(cursor, one->head.digest.b, 32);
        one->head.owners_seq = rd_cursor_u64be(cursor);
    }
    state->apps_count = count;
    return 0;
}

static int parse_instances(rd_cursor *cursor, kms_state *state, rd_err *err)
{
    uint32_t count = rd_cursor_u32be(cursor);
    uint32_t next = rd_cursor_u32be(cursor);
    if (count > KMS_INSTANCES_MAX || next >= KMS_INSTANCES_MAX)
        return misformed(err);
    state->instances = rd_alloc_array(KMS_INSTANCES_MAX, sizeof(*state->instances));
    for (uint32_t i = 0; i < count; i++) {
        kms_seen_instance *one = &state->instances[i];
        rd_cursor_copy(cursor, one->instance.b, sizeof(one->instance.b));
        one->epoch = rd_cursor_u64be(cursor);
        rd_cursor_copy(cursor, one->receipt_key.b, sizeof(one->receipt_key.b));
    }
    state->instances_count = count;
    state->instances_next = next;
    return 0;
}

int kms_state_parse(rd_bytes bytes, kms_state *ret, rd_err *err)
{
    rd_cursor cursor = rd_cursor_of(bytes);
    if (!rd_bytes_equal(rd_cursor_take(&cursor, MAGIC_SIZE), RD_BYTES_LIT(MAGIC)))
        return misformed(err);
    ret->record_number = rd_cursor_u64be(&cursor);
    rd_cursor_copy(&cursor, ret->record.b, 32);
    ret->floor_us = (int64_t)rd_cursor_u64be(&cursor);
    ret->evaluation_number = rd_cursor_u32be(&cursor);
    ret->pck_crl_number = (int64_t)rd_cursor_u64be(&cursor);
    ret->root_crl_number = (int64_t)rd_cursor_u64be(&cursor);
    if (parse_apps(&cursor, ret, err) < 0 || parse_instances(&cursor, ret, err) < 0)
        return -1;
    return rd_cursor_is_done(&cursor) ? 0 : misformed(err);
}

/* --- heads --- */

static kms_seen_app *find_app(const kms_state *state, const rd_app_id *app)
{
    for (size_t i = 0; i < state->apps_count; i++)
        if (rd_app_id_equal(&state->apps[i].app, app))
            return &state->apps[i];
    return NULL;
}

const rd_head_known *kms_state_head(const kms_state *state, const rd_app_id *app)
{
    const kms_seen_app *one = find_app(state, app);
    return one ? &one->head : NULL;
}

int kms_state_learn_head(kms_state *state, const rd_app_id *app, const rd_head_known *head, rd_err *err)
{
    kms_seen_app *one = find_app(state, app);
    if (!state->apps)
        state->apps = rd_alloc_array(KMS_APPS_MAX, sizeof(*state->apps));
    if (!one && state->apps_count == KMS_APPS_MAX)
        return rd_err_set(err, RD_E_NO_CAPACITY, "this replica remembers %d apps, and takes no more", KMS_APPS_MAX);
    if (!one) {
        one = &state->apps[state->apps_count++];
        *one = (kms_seen_app){ .app = *app };
    }
    const uint64_t owners_seq = RD_MAX(one->head.owners_seq, head->owners_seq);
    if (head->seq > one->head.seq)
        one->head = *head;
    one->head.owners_seq = owners_seq;
    return 0;
}

int kms_state_learn(kms_state *state, const kms_state *theirs, rd_err *err)
{
    for (size_t i = 0; i < theirs->apps_count; i++)
        if (kms_state_learn_head(state, &theirs->apps[i].app, &theirs->apps[i].head, err) < 0)
            return -1;
    state->floor_us = RD_MAX(state->floor_us, theirs->floor_us);
    state->evaluation_number = RD_MAX(state->evaluation_number, theirs->evaluation_number);
    state->pck_crl_number = RD_MAX(state->pck_crl_number, theirs->pck_crl_number);
    state->root_crl_number = RD_MAX(state->root_crl_number, theirs->root_crl_number);
    return 0;
}

/* --- epochs --- */

static kms_seen_instance *find_instance(const kms_state *state, const rd_id *instance)
{
    for (size_t i = 0; i < state->instances_count; i++)
        if (rd_id_equal(&state->instances[i].instance, instance))
            return &state->instances[i];
    return NULL;
}

int kms_state_check_epoch(const kms_state *state, const rd_id *instance, uint64_t epoch, const rd_public_key *key,
                          rd_err *err)
{
    const kms_seen_instance *one = find_instance(state, instance);
    if (one && epoch < one->epoch)
        return rd_err_set(err, RD_E_EPOCH_STALE, "epoch %" PRIu64 ", this instance was seen with %" PRIu64, epoch,
                          one->epoch);
    if (one && epoch == one->epoch && !rd_public_key_equal(key, &one->receipt_key))
        return rd_err_set(err, RD_E_EPOCH_STALE, "epoch %" PRIu64 " of this instance is another enclave's", epoch);
    return 0;
}

/* Where a new instance goes: a free place, or that of the oldest. */
static kms_seen_instance *new_instance(kms_state *state)
{
    if (!state->instances)
        state->instances = rd_alloc_array(KMS_INSTANCES_MAX, sizeof(*state->instances));
    if (state->instances_count < KMS_INSTANCES_MAX)
        return &state->instances[state->instances_count++];
    kms_seen_instance *oldest = &state->instances[state->instances_next];
    state->instances_next = (state->instances_next + 1) % KMS_INSTANCES_MAX;
    return oldest;
}

void kms_state_learn_epoch(kms_state *state, const rd_id *instance, uint64_t epoch, const rd_public_key *key)
{
    kms_seen_instance *one = find_instance(state, instance);
    if (!one)
        one = new_instance(state);
    *one = (kms_seen_instance){ .instance = *instance, .epoch = epoch, .receipt_key = *key };
}
