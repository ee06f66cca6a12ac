#include "agent/chain.h"

#include "common/base/mem.h"
#include "common/model/head.h"
#include "common/model/release.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_MAX 256

/* What was judged: bytes alone, compared as such. */
typedef struct names {
    rd_app_id app;
    rd_digest release, genesis_blob, head_blob, release_blob;
} names;

/* What documents say whose signatures hold. */
typedef struct proven {
    names of;
    rd_class class;
    bool has_kms;
    rd_kms_id kms;
    int64_t from_us, until_us; /* the head's time */
    rd_digest code;
    rd_engine engine;
} proven;

struct agent_chain {
    proven kept[KEPT_MAX];
    size_t count, next; /* the oldest goes first */
    uint64_t verified;
};

agent_chain *agent_chain_new(void)
{
    return rd_alloc(sizeof(agent_chain));
}

agent_chain *agent_chain_free(agent_chain *chain)
{
    free(chain);
    return NULL;
}

uint64_t agent_chain_verified(const agent_chain *chain)
{
    return chain->verified;
}

/* A head that is out of its time is judged anew, for the words of it. */
static const proven *find(const agent_chain *chain, const names *of, int64_t now_us)
{
    for (size_t i = 0; i < chain->count; i++) {
        const proven *one = &chain->kept[i];
        if (memcmp(&one->of, of, sizeof *of) == 0 && one->from_us <= now_us && now_us < one->until_us)
            return one;
    }
    return NULL;
}

static const proven *keep(agent_chain *chain, const proven *one)
{
    proven *slot = &chain->kept[chain->next];
    *slot = *one;
    chain->next = (chain->next + 1) % KEPT_MAX;
    chain->count = RD_MIN(chain->count + 1, KEPT_MAX);
    chain->verified++;
    return slot;
}

static int read_envelope(agent_blobs *blobs, const rd_digest *blob, rd_envelope *ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    return agent_blobs_get(blobs, blob, &bytes, err) == 0 ? rd_envelope_parse(rd_buf_bytes(&bytes), ret, err) : -1;
}

static int open_head(const agent_job *job, agent_blobs *blobs, const rd_genesis *genesis, int64_t now_us, proven *ret,
                     rd_err *err)
{
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope = { 0 };
    rd_head head;
    const rd_head_check check = { .genesis = genesis, .app = &job->app, .now_us = &now_us };
    if (read_envelope(blobs, &job->head_blob, &envelope, err) < 0)
        return rd_err_wrap(err, "head");
    if (rd_head_accept(&envelope, &check, &head, NULL, err) < 0)
        return -1;
    if (!rd_head_lists(&head, &job->release))
        return rd_err_set(err, RD_E_RELEASE_NOT_ALLOWED, "head %llu does not list the release",
                          (unsigned long long)head.seq);
    ret->class = head.class;
    ret->has_kms = head.kms_count > 0;
    if (ret->has_kms)
        ret->kms = head.kms[0];
    ret->from_us = head.not_before_us;
    ret->until_us = head.has_expires ? head.expires_us : INT64_MAX;
    return 0;
}

static int open_release(const agent_job *job, agent_blobs *blobs, const rd_genesis *genesis, proven *ret, rd_err *err)
{
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope = { 0 };
    rd_release release;
    rd_digest digest;
    if (read_envelope(blobs, &job->release_blob, &envelope, err) < 0)
        return rd_err_wrap(err, "release");
    if (rd_release_accept(&envelope, genesis, &job->app, &release, &digest, err) < 0)
        return -1;
    ret->code = release.code_digest;
    ret->engine = release.engine;
    rd_release_done(&release);
    if (!rd_digest_equal(&digest, &job->release))
        return rd_err_set(err, RD_E_DIGEST_MISMATCH, "release: another one than the job names");
    return 0;
}

static int prove(const agent_job *job, agent_blobs *blobs, int64_t now_us, proven *ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    rd_genesis genesis;
    if (agent_blobs_get(blobs, &job->genesis_blob, &bytes, err) < 0)
        return rd_err_wrap(err, "genesis");
    if (rd_genesis_open(rd_buf_bytes(&bytes), &job->app, &genesis, err) < 0 ||
        open_head(job, blobs, &genesis, now_us, ret, err) < 0)
        return -1;
    return open_release(job, blobs, &genesis, ret, err);
}

/* What the job says beside its documents. */
static int compare(const proven *known, const agent_job *job, rd_class class, rd_err *err)
{
    if (!rd_digest_equal(&known->code, &job->code_blob))
        return rd_err_set(err, RD_E_CODE_MISMATCH, "the code is not what the release names");
    if (known->has_kms != job->has_kms || (job->has_kms && !rd_kms_id_equal(&known->kms, &job->kms)))
        return rd_err_set(err, RD_E_KMS_SET, "the job names another key service than the head");
    if (known->class != class)
        return rd_err_set(err, RD_E_CLASS_MISMATCH, "the head is of class %s, and this host is not",
                          rd_class_name(known->class));
    return 0;
}

int agent_chain_check(agent_chain *chain, const agent_job *job, agent_blobs *blobs, rd_class class, int64_t now_us,
                      rd_engine *ret_engine, rd_err *err)
{
    proven fresh = { .of = { job->app, job->release, job->genesis_blob, job->head_blob, job->release_blob } };
    const proven *known = find(chain, &fresh.of, now_us);
    if (!known && prove(job, blobs, now_us, &fresh, err) == 0)
        known = keep(chain, &fresh);
    if (!known || compare(known, job, class, err) < 0)
        return rd_err_wrap(err, "before launch");
    *ret_engine = known->engine;
    return 0;
}
