/* policy_words: a policy out of a file, and in plain words. Used by the policy verbs and for the caller's own
 * (demands.h). */
#ifndef CLI_POLICY_WORDS_H
#define CLI_POLICY_WORDS_H

#include "common/model/policy_review.h"

/* As people write it. CLI_FILE, IO, or the codes of rd_policy_load; free() *ret. */
int cli_policy_load(const char *path, rd_policy **ret, rd_err *err) RD_NODISCARD;

/* A new array of {"effect","member","text"}: what a review of policies found. */
json_t *cli_policy_notes(const rd_policy_notes *notes);
/* A new array of sentences, in the order in which evidence is judged. */
json_t *cli_policy_words(const rd_policy *policy);

#endif
