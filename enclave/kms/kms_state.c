#include "enclave/kms/kms_state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cursor.h"
#include "common/base/mem.h"

#define MAGIC         "redoubt/kms-memory/v2"
#define CHANGES_MAGIC "redoubt/kms-change/v1"

void kms_state_done(kms_state *state)
{
    rd_table_free(state->by_app);
    rd_table_free(state->by_instance);
    free(state->apps);
    free(state->instances);
    *state = (kms_state){ 0 };
}

static int misformed(rd_err *err)
{
    return rd_err_set(err, RD_E_KMS_STATE, "the state is not one of this version");
}

/* --- lists --- */

static void make_apps(kms_state *state)
{
    if (state->apps)
        return;
    state->apps = rd_alloc_array(KMS_APPS_MAX, sizeof(*state->apps));
    state->by_app = rd_table_new(KMS_APPS_MAX);
}

static void make_instances(kms_state *state)
{
    if (state->instances)
        return;
    state->instances = rd_alloc_array(KMS_INSTANCES_MAX, sizeof(*state->instances));
    state->by_instance = rd_table_new(KMS_INSTANCES_MAX);
}

static kms_seen_app *find_app(const kms_state *state, const rd_app_id *app)
{
    return state->by_app ? rd_table_get(state->by_app, RD_BYTES_ARRAY(app->b)) : NULL;
}

static kms_seen_instance *find_instance(const kms_state *state, const rd_id *instance)
{
    return state->by_instance ? rd_table_get(state->by_instance, RD_BYTES_ARRAY(instance->b)) : NULL;
}

/* NULL: there is no place left. */
static kms_seen_app *add_app(kms_state *state, const rd_app_id *app)
{
    make_apps(state);
    if (state->apps_count == KMS_APPS_MAX)
        return NULL;
    kms_seen_app *one = &state->apps[state->apps_count++];
    *one = (kms_seen_app){ .app = *app };
    (void)rd_table_set(state->by_app, RD_BYTES_ARRAY(one->app.b), one, NULL);
    return one;
}

/* --- changes --- */

static bool has_place(const uint16_t *places, size_t count, size_t place)
{
    for (size_t i = 0; i < count; i++)
        if (places[i] == place)
            return true;
    return false;
}

static void mark(kms_changes *changes, uint16_t *places, size_t *count, size_t place)
{
    _Static_assert(KMS_INSTANCES_MAX <= UINT16_MAX && KMS_APPS_MAX <= UINT16_MAX, "a place has 16 bits");
    if (has_place(places, *count, place))
        return;
    if (*count == KMS_CHANGES_MAX)
        changes->is_whole = true;
    else
        places[(*count)++] = (uint16_t)place;
}

static void mark_app(kms_state *state, const kms_seen_app *one)
{
    kms_changes *changes = &state->changes;
    mark(changes, changes->apps, &changes->apps_count, (size_t)(one - state->apps));
}

static void mark_instance(kms_state *state, const kms_seen_instance *one)
{
    kms_changes *changes = &state->changes;
    mark(changes, changes->instances, &changes->instances_count, (size_t)(one - state->instances));
}

void kms_state_saved(kms_state *state)
{
    state->changes = (kms_changes){ .is_whole = false };
}

/* --- the two forms --- */

static void encode_scalars(const kms_state *state, rd_buf *out)
{
    rd_buf_append_u64be(out, state->record_number);
    rd_buf_append(out, state->record.b, 32);
    rd_buf_append_u64be(out, (uint64_t)state->floor_us);
    rd_buf_append_u32be(out, state->evaluation_number);
    rd_buf_append_u64be(out, (uint64_t)state->pck_crl_number);
    rd_buf_append_u64be(out, (uint64_t)state->root_crl_number);
}

static void encode_app(const kms_seen_app *one, rd_buf *out)
{
    rd_buf_append(out, one->app.b, sizeof(one->app.b));
    rd_buf_append_u64be(out, one->head.seq);
    rd_buf_append(out, one->head.digest.b, 32);
    rd_buf_append_u64be(out, one->head.owners_seq);
}

static void encode_instance(const kms_seen_instance *one, rd_buf *out)
{
    rd_buf_append(out, one->instance.b, sizeof(one->instance.b));
    rd_buf_append_u64be(out, one->epoch);
    rd_buf_append(out, one->receipt_key.b, sizeof(one->receipt_key.b));
}

bool kms_state_encode(const kms_state *state, rd_buf *out)
{
    rd_buf_append_str(out, MAGIC);
    encode_scalars(state, out);
    rd_buf_append_u32be(out, (uint32_t)state->apps_count);
    for (size_t i = 0; i < state->apps_count; i++)
        encode_app(&state->apps[i], out);
    rd_buf_append_u32be(out, (uint32_t)state->instances_count);
    rd_buf_append_u32be(out, (uint32_t)state->instances_next);
    for (size_t i = 0; i < state->instances_count; i++)
        encode_instance(&state->instances[i], out);
    return !out->has_failed;
}

bool kms_state_encode_changes(const kms_state *state, rd_buf *out)
{
    const kms_changes *changes = &state->changes;
    if (changes->is_whole)
        return false;
    rd_buf_append_str(out, CHANGES_MAGIC);
    encode_scalars(state, out);
    rd_buf_append_u32be(out, (uint32_t)changes->apps_count);
    for (size_t i = 0; i < changes->apps_count; i++)
        encode_app(&state->apps[changes->apps[i]], out);
    rd_buf_append_u32be(out, (uint32_t)changes->instances_count);
    for (size_t i = 0; i < changes->instances_count; i++)
        encode_instance(&state->instances[changes->instances[i]], out);
    return !out->has_failed;
}

static void parse_scalars(rd_cursor *cursor, kms_state *ret)
{
    ret->record_number = rd_cursor_u64be(cursor);
    rd_cursor_copy(cursor, ret->record.b, 32);
    ret->floor_us = (int64_t)rd_cursor_u64be(cursor);
    ret->evaluation_number = rd_cursor_u32be(cursor);
    ret->pck_crl_number = (int64_t)rd_cursor_u64be(cursor);
    ret->root_crl_number = (int64_t)rd_cursor_u64be(cursor);
}

static kms_seen_app parse_app(rd_cursor *cursor)
{
    kms_seen_app one;
    rd_cursor_copy(cursor, one.app.b, sizeof(one.app.b));
    one.head.seq = rd_cursor_u64be(cursor);
    rd_cursor_copy(cursor, one.head.digest.b, 32);
    one.head.owners_seq = rd_cursor_u64be(cursor);
    return one;
}

static kms_seen_instance parse_instance(rd_cursor *cursor)
{
    kms_seen_instance one;
    rd_cursor_copy(cursor, one.instance.b, sizeof(one.instance.b));
    one.epoch = rd_cursor_u64be(cursor);
    rd_cursor_copy(cursor, one.receipt_key.b, sizeof(one.receipt_key.b));
    return one;
}

static int parse_apps(rd_cursor *cursor, kms_state *state, rd_err *err)
{
    uint32_t count = rd_cursor_u32be(cursor);
    if (count > KMS_APPS_MAX)
        return misformed(err);
    for (uint32_t i = 0; i < count && rd_cursor_is_ok(cursor); i++) {
        const kms_seen_app one = parse_app(cursor);
        if (find_app(state, &one.app))
            return misformed(err);
        add_app(state, &one.app)->head = one.head;
    }
    return 0;
}

static int parse_instances(rd_cursor *cursor, kms_state *state, rd_err *err)
{
    uint32_t count = rd_cursor_u32be(cursor);
    uint32_t next = rd_cursor_u32be(cursor);
    if (count > KMS_INSTANCES_MAX || next >= KMS_INSTANCES_MAX || (count < KMS_INSTANCES_MAX && next > 0))
        return misformed(err);
    make_instances(state);
    for (uint32_t i = 0; i < count && rd_cursor_is_ok(cursor); i++) {
        kms_seen_instance *one = &state->instances[state->instances_count++];
        void *twice = NULL;
        *one = parse_instance(cursor);
        (void)rd_table_set(state->by_instance, RD_BYTES_ARRAY(one->instance.b), one, &twice);
        if (twice)
            return misformed(err);
    }
    state->instances_next = next;
    return 0;
}

int kms_state_parse(rd_bytes bytes, kms_state *ret, rd_err *err)
{
    rd_cursor cursor = rd_cursor_of(bytes);
    if (!rd_bytes_equal(rd_cursor_take(&cursor, sizeof(MAGIC) - 1), RD_BYTES_LIT(MAGIC)))
        return misformed(err);
    parse_scalars(&cursor, ret);
    if (parse_apps(&cursor, ret, err) < 0 || parse_instances(&cursor, ret, err) < 0)
        return -1;
    return rd_cursor_is_done(&cursor) ? 0 : misformed(err);
}

/* Learned as it was the first time, each has to be one change more: nothing twice, and nothing that is known. */
static int apply_apps(rd_cursor *cursor, kms_state *state, rd_err *err)
{
    uint32_t count = rd_cursor_u32be(cursor);
    for (uint32_t i = 0; i < count; i++) {
        const kms_seen_app one = parse_app(cursor);
        if (!rd_cursor_is_ok(cursor) || kms_state_learn_head(state, &one.app, &one.head, err) < 0)
            return misformed(err);
        const rd_head_known *now = kms_state_head(state, &one.app);
        if (state->changes.apps_count != i + 1 || now->seq != one.head.seq ||
            !rd_digest_equal(&now->digest, &one.head.digest) || now->owners_seq != one.head.owners_seq)
            return misformed(err);
    }
    return 0;
}

static int apply_instances(rd_cursor *cursor, kms_state *state, rd_err *err)
{
    uint32_t count = rd_cursor_u32be(cursor);
    for (uint32_t i = 0; i < count; i++) {
        const kms_seen_instance one = parse_instance(cursor);
        if (!rd_cursor_is_ok(cursor))
            return misformed(err);
        kms_state_learn_epoch(state, &one.instance, one.epoch, &one.receipt_key);
        if (state->changes.instances_count != i + 1)
            return misformed(err);
    }
    return 0;
}

int kms_state_apply(kms_state *state, rd_bytes changes, rd_err *err)
{
    rd_cursor cursor = rd_cursor_of(changes);
    if (!rd_bytes_equal(rd_cursor_take(&cursor, sizeof(CHANGES_MAGIC) - 1), RD_BYTES_LIT(CHANGES_MAGIC)))
        return misformed(err);
    kms_state_saved(state);
    parse_scalars(&cursor, state);
    if (apply_apps(&cursor, state, err) < 0 || apply_instances(&cursor, state, err) < 0)
        return -1;
    return rd_cursor_is_done(&cursor) && !state->changes.is_whole ? 0 : misformed(err);
}

/* --- heads --- */

const rd_head_known *kms_state_head(const kms_state *state, const rd_app_id *app)
{
    const kms_seen_app *one = find_app(state, app);
    return one ? &one->head : NULL;
}

int kms_state_learn_head(kms_state *state, const rd_app_id *app, const rd_head_known *head, rd_err *err)
{
    kms_seen_app *one = find_app(state, app);
    if (one && head->seq <= one->head.seq && head->owners_seq <= one->head.owners_seq)
        return 0;
    if (!one)
        one = add_app(state, app);
    if (!one)
        return rd_err_set(err, RD_E_NO_CAPACITY, "this replica remembers %d apps, and takes no more", KMS_APPS_MAX);
    const uint64_t owners_seq = RD_MAX(one->head.owners_seq, head->owners_seq);
    if (head->seq > one->head.seq)
        one->head = *head;
    one->head.owners_seq = owners_seq;
    mark_app(state, one);
    return 0;
}

int kms_state_learn(kms_state *state, const kms_state *theirs, rd_err *err)
{
    state->changes.is_whole = true;
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

/* Where a new instance goes: a free place, or that of the oldest. A place that has changed since the last save and
 * changes hands now: a list of changes would no longer say in which order, so the whole is saved. */
static kms_seen_instance *new_instance(kms_state *state)
{
    kms_changes *changes = &state->changes;
    make_instances(state);
    if (state->instances_count < KMS_INSTANCES_MAX)
        return &state->instances[state->instances_count++];
    changes->is_whole |= has_place(changes->instances, changes->instances_count, state->instances_next);
    kms_seen_instance *oldest = &state->instances[state->instances_next];
    state->instances_next = (state->instances_next + 1) % KMS_INSTANCES_MAX;
    (void)rd_table_remove(state->by_instance, RD_BYTES_ARRAY(oldest->instance.b));
    return oldest;
}

void kms_state_learn_epoch(kms_state *state, const rd_id *instance, uint64_t epoch, const rd_public_key *key)
{
    kms_seen_instance *one = find_instance(state, instance);
    if (one && one->epoch == epoch && rd_public_key_equal(&one->receipt_key, key))
        return;
    if (!one) {
        one = new_instance(state);
        (void)rd_table_set(state->by_instance, RD_BYTES_ARRAY(instance->b), one, NULL);
    }
    *one = (kms_seen_instance){ .instance = *instance, .epoch = epoch, .receipt_key = *key };
    mark_instance(state, one);
}
