/* kms_front: the process of a key service that the outside reaches: it reads messages, verifies evidence and documents,
 * keeps the state, and asks the root. Used by main and the server.
 * Holds no key of an app, no secret and no root; whoever takes it over can ask for grants, but every one is a record.
 */
#ifndef KMS_FRONT_H
#define KMS_FRONT_H

#include "attest/attest.h"
#include "common/model/kms_genesis.h"
#include "common/model/kms_wire.h"
#include "enclave/kms/kms_nonces.h"
#include "enclave/kms/kms_state.h"
#include "enclave/kms/kms_store.h"
#include "enclave/platform/platform.h"

typedef struct kms_front {
    int root_fd;
    int life_fd;    /* of main: when it ends, so does this */
    bool is_behind; /* the disk knows less than the root has signed: nothing is kept any more, the process ends */
    encl_platform *platform;
    kms_store store;
    uint8_t state_key[32];
    kms_state state;
    kms_nonces nonces;
    bool waits;            /* for a root that another replica has: no genesis yet */
    bool is_finished;      /* the root has come and is durable: the process ends, and starts again with it */
    int joined_fd;         /* where it is kept; of one that waits */
    rd_buf join_statement; /* our own in the join that is on its way */
    rd_buf genesis_document;
    rd_kms_genesis genesis;
    rd_kms_id id;
    rd_public_key ticket_key; /* the plane's */
    rd_anchors anchors;
    rd_collateral_set *collateral;
    rd_attest_cache *cache;
} kms_front;

/* By the genesis (one that waits has none, and its id was set): id, anchors (a simulated one trusts its own simulation
 * root alone), empty collateral, and the floor of the state under the platform's time. */
int kms_front_init(kms_front *front, rd_err *err) RD_NODISCARD;
void kms_front_done(kms_front *front);

/* Answers one request: appends a whole frame. False: the connection is of no use any more. */
bool kms_front_answer(kms_front *front, uint8_t type, rd_bytes payload, rd_buf *out);
/* The frame of a refusal, for what never became a request. */
void kms_front_refuse(const rd_err *why, rd_buf *out);

/* The time that is believed. KMS_CLOCK when the host stands more than five minutes below the floor. */
int kms_front_time(kms_front *front, int64_t *ret_us, rd_err *err) RD_NODISCARD;
/* Writes the state with this end of the chain. KMS_AUDIT when that fails: is_behind from then on, for a record that
 * nobody got would be missing from the chain. The next start goes on from what is durable. */
int kms_front_save(kms_front *front, uint64_t record_number, const uint8_t record[32], rd_err *err) RD_NODISCARD;
/* A record of the start; durable. */
int kms_front_record_start(kms_front *front, rd_err *err) RD_NODISCARD;

/* Fills in the id, quotes the statement, appends it and the bundle of both. */
int kms_front_quote(kms_front *front, rd_statement *statement, rd_buf *ret_statement, rd_buf *ret_bundle,
                    rd_err *err) RD_NODISCARD;
/* Whether the message asks for evidence that shares a quote with others' (window.h), over the nonce that payload is. If
 * not, kms_front_answer has its answer. */
bool kms_front_shares_quote(const kms_front *front, uint8_t type, rd_bytes payload);
/* Makes one quote for the nonces; appends to each of outs the frame with its bundle, or of the refusal. */
void kms_front_evidence(kms_front *front, const uint8_t (*nonces)[RD_NONCE_SIZE], size_t count, rd_buf *const *outs);

struct kms_ask_record;
/* A record of why something was refused, with what is known of who asked; appends its envelope. A refusal without a
 * record would be one that nobody sees: when it cannot be kept, that is what err says. */
void kms_front_record_refusal(kms_front *front, const struct kms_ask_record *known, rd_buf *ret_record, rd_err *err);

/* kms_admit.c: the messages of a join (docs/protocol/kms.md), in their order. */
int kms_front_join_nonce(kms_front *front, rd_bytes payload, rd_buf *ret, rd_err *err) RD_NODISCARD;
int kms_front_admit(kms_front *front, rd_bytes payload, rd_buf *ret, rd_err *err) RD_NODISCARD;
int kms_front_join(kms_front *front, rd_bytes payload, rd_buf *ret, rd_err *err) RD_NODISCARD;
int kms_front_root(kms_front *front, rd_bytes evidence, rd_buf *ret, rd_buf *ret_record, rd_err *err) RD_NODISCARD;
int kms_front_joined(kms_front *front, rd_bytes payload, rd_buf *ret, rd_err *err) RD_NODISCARD;
/* kms_admit.c: the messages of a recovery. */
int kms_front_recover(kms_front *front, rd_bytes payload, rd_buf *ret, rd_err *err) RD_NODISCARD;
int kms_front_share(kms_front *front, rd_bytes payload, rd_buf *ret, rd_err *err) RD_NODISCARD;

/* kms_decide.c: appends the grant, or the envelope of the refusal's record. */
int kms_front_grant(kms_front *front, rd_bytes message, rd_buf *ret, rd_buf *ret_record, rd_err *err) RD_NODISCARD;

#endif
