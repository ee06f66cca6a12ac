/* head: what is current for an app: which releases, under which policy, in which class, which secrets, whose keys.
 * Used by the CLI, the API and enclaves. Whoever has seen number n refuses less than n, and another head with n.
 * Signed by the owners, or by a key that they delegated to (delegation.h): then it carries the last head that they
 * signed themselves, whose policy, key service, limits and class it keeps, with its releases and secrets where the key
 * may not change them, and it ends no later than the delegation. Keeps no memory of its own: the highest head known
 * comes in as an argument. */
#ifndef RD_MODEL_HEAD_H
#define RD_MODEL_HEAD_H

#include "common/model/envelope.h"
#include "common/model/policy.h"

#define RD_HEAD_RELEASES_MAX    64
#define RD_HEAD_KMS_MAX         1 /* two of different make come later */
#define RD_HEAD_SECRETS_MAX     64
#define RD_HEAD_GRANT_S_MIN     300u
#define RD_HEAD_GRANT_S_MAX     604800u
#define RD_HEAD_GRANT_S_DEFAULT 21600u
/* Requests that one grant covers: 25000 a second for eleven hours, where nothing is said. */
#define RD_HEAD_GRANT_REQUESTS_MIN     100
#define RD_HEAD_GRANT_REQUESTS_MAX     INT64_C(1000000000000)
#define RD_HEAD_GRANT_REQUESTS_DEFAULT UINT64_C(1000000000)

typedef struct rd_head {
    rd_app_id app;
    uint64_t seq; /* from 1 */
    bool has_prev;
    rd_digest prev;
    rd_class class;
    rd_digest releases[RD_HEAD_RELEASES_MAX]; /* in the owner's order, none twice */
    size_t releases_count;
    rd_policy policy;
    rd_kms_id kms[RD_HEAD_KMS_MAX]; /* who gives keys and secrets, in order; none: the app has neither */
    size_t kms_count;
    uint32_t secrets_count;  /* 0 without a KMS */
    rd_digest secrets_root;  /* over name, version and ciphertext of every secret; ignored when there is none */
    uint32_t grant_s;        /* the term of a grant; 0: left out, the default */
    uint64_t grant_requests; /* after how many requests a grant ends; 0: left out */
    int64_t not_before_us;
    bool has_expires;
    int64_t expires_us;
    uint64_t
        owners_seq; /* not in the document, by rd_head_accept: the number of the owners' own head that it rests on */
} rd_head;

int rd_head_parse(rd_bytes canonical, rd_head *ret, rd_err *err) RD_NODISCARD;
/* Appends the canonical form. */
int rd_head_encode(const rd_head *head, rd_buf *out, rd_err *err) RD_NODISCARD;
/* H("head-v1", canonical). */
void rd_head_digest(rd_bytes canonical, rd_digest *ret);
/* Seconds that a grant under this head holds. */
uint32_t rd_head_grant_s(const rd_head *head);
/* Requests after which a grant under this head ends; 0: after its term alone. Where the head says nothing there is a
 * cap all the same for a platform without a clock that its host cannot stop. */
uint64_t rd_head_grant_requests(const rd_head *head, bool has_protected_clock);
/* When a grant ends that is given now under this head: after that term, and not after the head itself. */
int64_t rd_head_grant_end_us(const rd_head *head, int64_t now_us);
/* HEAD_TIME when now is ahead of not_before, or not ahead of expires. */
int rd_head_check_time(const rd_head *head, int64_t now_us, rd_err *err) RD_NODISCARD;
bool rd_head_lists(const rd_head *head, const rd_digest *release);

/* The highest head that the asker has seen. */
typedef struct rd_head_known {
    uint64_t seq;
    rd_digest digest;
    uint64_t owners_seq; /* of the owners' own head that it rests on: what they withdrew is built upon no more */
} rd_head_known;

rd_head_known rd_head_known_of(const rd_head *head, const rd_digest *digest);

typedef struct rd_head_check {
    const rd_genesis *genesis;
    const rd_app_id *app;
    const rd_head_known *known; /* NULL: none seen yet */
    bool is_next_demanded;      /* the plane's rule: seq is known + 1 (or 1), with no number left out */
    const int64_t *now_us;      /* NULL: the time window is not checked */
    const rd_class *class;      /* NULL: any */
} rd_head_check;

/* Verifies and accepts a head. The known head again is accepted, also where the next is demanded.
 * Codes: SIGNATURE, DELEGATION (what the key may not sign), PURPOSE (another type), GENESIS_MISMATCH (another app),
 * CLASS_MISMATCH, HEAD_ROLLBACK (lower number, or built upon an older head of the owners), HEAD_FORK (same number,
 * other digest), HEAD_CHAIN (prev is not the known head, or a number left out where the next is demanded), HEAD_TIME.
 * ret_digest may be NULL. */
int rd_head_accept(const rd_envelope *envelope, const rd_head_check *check, rd_head *ret, rd_digest *ret_digest,
                   rd_err *err) RD_NODISCARD;

#endif
