/* policy_review: what a policy loosens against the safe defaults, and what one policy changes against another.
 * Used by the command line. Judges documents alone, never evidence; docs/policy.md says what is safe. */
#ifndef RD_MODEL_POLICY_REVIEW_H
#define RD_MODEL_POLICY_REVIEW_H

#include "common/model/policy.h"

typedef enum rd_policy_effect { RD_POLICY_LOOSENS = 1, RD_POLICY_TIGHTENS, RD_POLICY_CHANGES } rd_policy_effect;
extern const char *const rd_policy_effect_names[]; /* "loosens", "tightens", "changes"; slot 0 is "" */

typedef struct rd_policy_note {
    rd_policy_effect effect;
    char member[64]; /* RFC 6901 pointer */
    char text[224];
} rd_policy_note;

/* A fixed list; what does not fit is counted and not kept. Zero-initialise. */
#define RD_POLICY_NOTES_MAX 256
typedef struct rd_policy_notes {
    rd_policy_note items[RD_POLICY_NOTES_MAX];
    size_t count, dropped;
} rd_policy_notes;

void rd_policy_loosenings(const rd_policy *policy, rd_policy_notes *ret);
/* What b accepts more (loosens) or less (tightens) than a. No notes: they accept the same. */
void rd_policy_diff(const rd_policy *a, const rd_policy *b, rd_policy_notes *ret);

#endif
