/* kms_state: what a replica must not forget: the highest head of each app, the highest epoch of each instance, the end
 * of its chain of records, and floors under time and collateral.
 * Used by the front. The lists are bounded, and an app that was seen is never forgotten. What was learned since the
 * last save is known too, so that a save writes that alone (kms_store.h): one form each for the whole and for a change.
 */
#ifndef KMS_STATE_H
#define KMS_STATE_H

#include "common/base/table.h"
#include "common/model/head.h"

#define KMS_APPS_MAX      4096  /* more: further apps get no grants from this replica */
#define KMS_INSTANCES_MAX 16384 /* more: the oldest leave; their tickets end by themselves */
#define KMS_CHANGES_MAX   64    /* apps, and instances, between two saves; more: the next save is of the whole */

typedef struct kms_seen_app {
    rd_app_id app;
    rd_head_known head;
} kms_seen_app;

typedef struct kms_seen_instance {
    rd_id instance;
    uint64_t epoch;
    rd_public_key receipt_key;
} kms_seen_instance;

/* What a save has to tell, in the order in which it was first touched: places in the two lists. */
typedef struct kms_changes {
    bool is_whole; /* too much, or nothing that a list of changes could say */
    size_t apps_count, instances_count;
    uint16_t apps[KMS_CHANGES_MAX], instances[KMS_CHANGES_MAX];
} kms_changes;

typedef struct kms_state {
    uint64_t record_number; /* of the last record; 0: none */
    rd_digest record;
    int64_t floor_us; /* signed dates that were seen: no time below it is believed */
    uint32_t evaluation_number;
    int64_t pck_crl_number, root_crl_number;
    kms_seen_app *apps;
    size_t apps_count;
    kms_seen_instance *instances; /* the oldest at instances_next once the list is full */
    size_t instances_count, instances_next;
    rd_table *by_app, *by_instance; /* of the list's elements, by id; NULL: none yet */
    kms_changes changes;
} kms_state;

void kms_state_done(kms_state *state);
/* Into a zeroed struct. KMS_STATE for anything but the one form. */
int kms_state_parse(rd_bytes bytes, kms_state *ret, rd_err *err) RD_NODISCARD;
bool kms_state_encode(const kms_state *state, rd_buf *out);

/* Appends what changed since the last save, and the scalars. False: the whole has to be saved. */
bool kms_state_encode_changes(const kms_state *state, rd_buf *out);
/* What kms_state_encode_changes wrote of a state that was then like this one; counts as changed until saved. KMS_STATE
 * for anything but its one form, and for what changes nothing; the state is of no use then. */
int kms_state_apply(kms_state *state, rd_bytes changes, rd_err *err) RD_NODISCARD;
/* Whole or change, it is durable: from here on changes are counted anew. */
void kms_state_saved(kms_state *state);

/* NULL: none seen. */
const rd_head_known *kms_state_head(const kms_state *state, const rd_app_id *app);
/* Raises what is known of an app; NO_CAPACITY for one too many. */
int kms_state_learn_head(kms_state *state, const rd_app_id *app, const rd_head_known *head, rd_err *err) RD_NODISCARD;
/* Raises heads and floors to those of another replica; its instances and records are its own. The next save is of the
 * whole. */
int kms_state_learn(kms_state *state, const kms_state *theirs, rd_err *err) RD_NODISCARD;

/* EPOCH_STALE for an epoch below the highest seen, and for the same one with another receipt key: two of one lease. */
int kms_state_check_epoch(const kms_state *state, const rd_id *instance, uint64_t epoch, const rd_public_key *key,
                          rd_err *err) RD_NODISCARD;
void kms_state_learn_epoch(kms_state *state, const rd_id *instance, uint64_t epoch, const rd_public_key *key);

#endif
