/* lease_job: a lease as the job that an agent gets (docs/protocol/link.md), the plane's MAC over it, evidence nonces.
 * Used by job delivery and by whoever judges evidence. Pure: keys and time come in as arguments.
 * The MAC can be checked by this plane only; it proves later that a record came from it. */
#ifndef API_LEASE_JOB_H
#define API_LEASE_JOB_H

#include "common/model/class.h"
#include "common/model/ids.h"
#include "common/model/instance_state.h"

#define API_PLANE_KEY_SIZE 32
#define API_NONCE_SIZE     32
#define API_NONCE_WINDOW_S 60
/* Nonces of this many windows are taken: the current one and those before, for launches that waited. */
#define API_NONCE_WINDOWS 5

typedef struct api_lease_job {
    int64_t era;
    uint64_t seq, prev;
    rd_id instance;
    uint64_t epoch;
    rd_want want; /* RUN, DRAIN, STOP */
    rd_app_id app;
    rd_digest release;
    rd_class class;
    uint64_t cpu_m, memory_bytes;
    uint8_t nonce[API_NONCE_SIZE];
    /* RUN only */
    rd_digest genesis_blob, head_blob, release_blob, code_blob;
    /* of an app whose head names a key service */
    bool has_kms, has_grant_nonce;
    rd_kms_id kms;
    rd_digest kms_blob;
    uint8_t grant_nonce[32]; /* the key service's */
} api_lease_job;

/* Appends the canonical JSON of PUT /jobs/{seq}, MAC included. host: "hst_…". */
int api_lease_job_encode(const api_lease_job *job, const char *host, const uint8_t key[API_PLANE_KEY_SIZE], rd_buf *out,
                         rd_err *err) RD_NODISCARD;

/* HMAC(plane key, instance ‖ u64be epoch ‖ u64be window), window = seconds since the epoch / 60. */
void api_nonce_make(const uint8_t key[API_PLANE_KEY_SIZE], const rd_id *instance, uint64_t epoch, int64_t wall_us,
                    uint8_t out[API_NONCE_SIZE]);
/* Whether it is the nonce of the current window or one of the few before. */
bool api_nonce_is_fresh(const uint8_t key[API_PLANE_KEY_SIZE], const rd_id *instance, uint64_t epoch, int64_t wall_us,
                        const uint8_t nonce[API_NONCE_SIZE]);

/* What a live hint means for a link that last sent `sent`. */
typedef enum api_hint { API_HINT_OLD, API_HINT_NEXT, API_HINT_RESYNC } api_hint;
api_hint api_hint_judge(uint64_t sent, uint64_t prev, uint64_t seq);

#endif
