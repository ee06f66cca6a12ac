/* policy_words: a policy in plain words. Used by `redoubt policy explain`. */
#ifndef CLI_POLICY_WORDS_H
#define CLI_POLICY_WORDS_H

#include "common/model/policy.h"

/* A new array of sentences, in the order in which evidence is judged. */
json_t *cli_policy_words(const rd_policy *policy);

#endif
