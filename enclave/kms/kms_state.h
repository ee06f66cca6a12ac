/* kms_state: what a replica must not forget: the highest head of each app, the highest epoch of each instance, the end
 * of its chain of records, and floors under time and collateral.
 * Used by the front. A lookup walks a list; the lists are bounded, and an app that was seen is never forgotten. */
#ifndef KMS_STATE_H
#define KMS_STATE_H

#include "common/model/head.h"

#define KMS_APPS_MAX      4096  /* more: further apps get no grants from this replica */
#define KMS_INSTANCES_MAX 16384 /* more: the oldest leave; their tickets end by themselves */

typedef struct kms_seen_app {
    rd_app_id app;
    rd_head_known head;
} kms_seen_app;

typedef struct kms_seen_instance {
    rd_id instance;
    uint64_t epoch;
    rd_public_key receipt_key;
} kms_seen_instance;

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
} kms_state;

void kms_state_done(kms_state *state);
/* Into a zeroed struct. KMS_STATE for anything but the one form. */
int kms_state_parse(rd_bytes bytes, kms_state *ret, rd_err *err) RD_NODISCARD;
bool kms_state_encode(const kms_state *state, rd_buf *out);

/* NULL: none seen. */
const rd_head_known *kms_state_head(const kms_state *state, const rd_app_id *app);
/* Raises what is known of an app; NO_CAPACITY for one too many. */
int kms_state_learn_head(kms_state *state, const rd_app_id *app, const rd_head_known *head, rd_err *err) RD_NODISCARD;
/* Raises heads and floors to those of another replica; its instances and records are its own. */
int kms_state_learn(kms_state *state, const kms_state *theirs, rd_err *err) RD_NODISCARD;

/* EPOCH_STALE for an epoch below the highest seen, and for the same one with another receipt key: two of one lease. */
int kms_state_check_epoch(const kms_state *state, const rd_id *instance, uint64_t epoch, const rd_public_key *key,
                          rd_err *err) RD_NODISCARD;
void kms_state_learn_epoch(kms_state *state, const rd_id *instance, uint64_t epoch, const rd_public_key *key);

#endif
