/* chain: whether what a job is to start is what the app's owners signed: app id, genesis, head, release, code.
 * Used by the lives of instances before an enclave is taken, so that no plane has this host start anything else.
 * Is no proof to anybody: the enclave and the key service check the same again, each for itself. Which of the owners'
 * heads is the newest it does not know (docs/decisions/0032). */
#ifndef AGENT_CHAIN_H
#define AGENT_CHAIN_H

#include "agent/blobs.h"
#include "agent/jobs.h"
#include "common/model/class.h"
#include "common/model/engine_name.h"

/* Remembers the chains that held, so that the next instance of a release costs no signature; at most 256. */
typedef struct agent_chain agent_chain;
agent_chain *agent_chain_new(void);
agent_chain *agent_chain_free(agent_chain *chain);

/* The documents are the job's, out of blobs; class is the launcher's; ret_engine is the release's. Codes:
 * GENESIS_MISMATCH, SIGNATURE, DELEGATION, PURPOSE, HEAD_TIME, RELEASE_NOT_ALLOWED (the head does not list it),
 * DIGEST_MISMATCH (another release than the job's), CODE_MISMATCH, KMS_SET, CLASS_MISMATCH and those of parsing;
 * NOT_FOUND and IO when this host has not kept what it was given. */
int agent_chain_check(agent_chain *chain, const agent_job *job, agent_blobs *blobs, rd_class class, int64_t now_us,
                      rd_engine *ret_engine, rd_err *err) RD_NODISCARD;
/* How many were verified by their signatures, as against those that it remembered. */
uint64_t agent_chain_verified(const agent_chain *chain);

#endif
