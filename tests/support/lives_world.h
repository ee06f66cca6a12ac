/* lives_world: the lives of instances over a scripted launcher: it defines the calls to enclave and pool of instance.c.
 * Documents are words here: which chain holds is on script, too. Used by tests/unit/agent/test_instance*.c. Include
 * after cmocka. */
#ifndef TESTS_SUPPORT_LIVES_WORLD_H
#define TESTS_SUPPORT_LIVES_WORLD_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/chain.h"
#include "agent/instance.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/model/evidence.h"
#include "common/model/json.h"

#define INSTANCE "ins_aaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OTHER    "ins_aaaaaaaaaaaaaaaaaaaaaaaabe"

/* ---- the scripted enclave and pool ---- */

struct agent_enclave {
    const agent_enclave_events *events;
    void *context;
    agent_enclave_state state;
    char instance[RD_ID_TEXT_SIZE];
    uint64_t epoch;
    int specialised, drained, stopped, killed, renewed, forgotten, nonces, grants;
    uint8_t header[96];
    uint32_t shared;
    bool has_kms;
};

static struct {
    agent_enclave enclave[4]; /* given out in order */
    size_t given;
    bool waits, refuses, refuses_specialise;
    agent_pool_taken_fn taken;
    void *taken_context;
    int cancelled;
} pool;

int agent_pool_take(agent_pool *unused, agent_pool_taken_fn taken, void *context, uint64_t *ret_ticket, rd_err *err)
{
    (void)unused;
    if (pool.refuses)
        return rd_err_set(err, RD_E_UNAVAILABLE, "none");
    if (pool.waits) {
        pool.taken = taken;
        pool.taken_context = context;
        *ret_ticket = 5;
        return 0;
    }
    *ret_ticket = 0;
    taken(context, &pool.enclave[pool.given++], NULL);
    return 0;
}

void agent_pool_cancel(agent_pool *unused, uint64_t ticket)
{
    (void)unused;
    assert_int_equal(5, ticket);
    pool.cancelled++;
}

void agent_enclave_set_events(agent_enclave *enclave, const agent_enclave_events *events, void *context)
{
    enclave->events = events;
    enclave->context = context;
}

int agent_enclave_specialise(agent_enclave *enclave, const agent_specialise *with, rd_err *err)
{
    if (pool.refuses_specialise)
        return rd_err_set(err, RD_E_UNAVAILABLE, "not blank");
    enclave->specialised++;
    (void)snprintf(enclave->instance, sizeof enclave->instance, "%s", with->instance);
    enclave->epoch = with->epoch;
    memcpy(enclave->header, with->header, sizeof enclave->header);
    assert_int_equal(7, with->genesis.size);
    enclave->has_kms = with->kms.data != NULL;
    return 0;
}

int agent_enclave_nonce(agent_enclave *enclave, const uint8_t nonce[32], rd_bytes head, rd_err *err)
{
    (void)nonce;
    (void)err;
    assert_true(rd_bytes_equal(head, RD_BYTES_LIT("head")));
    enclave->nonces++;
    return 0;
}

int agent_enclave_grant(agent_enclave *enclave, rd_bytes grant, rd_err *err)
{
    (void)err;
    assert_int_equal(5, grant.size);
    enclave->grants++;
    return 0;
}

void agent_enclave_share(agent_enclave *enclave, uint32_t cpu_m)
{
    enclave->shared = cpu_m;
}

int agent_enclave_renew(agent_enclave *enclave, const uint8_t nonce[32], rd_err *err)
{
    (void)nonce;
    (void)err;
    enclave->renewed++;
    return 0;
}

void agent_enclave_drain(agent_enclave *enclave)
{
    enclave->drained++;
}

void agent_enclave_stop(agent_enclave *enclave)
{
    enclave->stopped++;
}

void agent_enclave_kill(agent_enclave *enclave)
{
    enclave->killed++;
}

void agent_enclave_forget(agent_enclave *enclave)
{
    if (enclave)
        enclave->forgotten++;
}

agent_enclave_state agent_enclave_get_state(const agent_enclave *enclave)
{
    return enclave->state;
}

const char *agent_enclave_state_name(agent_enclave_state state)
{
    (void)state;
    return "state";
}

const char *agent_enclave_socket(const agent_enclave *enclave)
{
    (void)enclave;
    return "/run/x.sock";
}

const char *agent_enclave_instance(const agent_enclave *enclave)
{
    return enclave->instance;
}

uint64_t agent_enclave_epoch(const agent_enclave *enclave)
{
    return enclave->epoch;
}

/* ---- the scripted chain ---- */

static struct {
    rd_code refused; /* RD_OK: every chain holds */
    int checks;
} chain;

agent_chain *agent_chain_new(void)
{
    return NULL;
}

agent_chain *agent_chain_free(agent_chain *unused)
{
    return unused;
}

int agent_chain_check(agent_chain *unused, const agent_job *job, agent_blobs *blobs, rd_class class, int64_t now_us,
                      rd_engine *ret_engine, rd_err *err)
{
    (void)unused, (void)job, (void)blobs, (void)now_us;
    assert_int_equal(RD_CLASS_SIMULATED, class);
    chain.checks++;
    *ret_engine = RD_ENGINE_QUICKJS;
    return chain.refused == RD_OK ? 0 : rd_err_set(err, chain.refused, "on script");
}

static inline const agent_launcher_info *describe(agent_launcher *launcher)
{
    static const agent_launcher_info info = { .name = "scripted", .class_ = "simulated", .tee = "sim", .limits = "" };
    (void)launcher;
    return &info;
}

/* ---- the world ---- */

typedef struct world {
    char dir[64], evidence_dir[64];
    rd_loop *loop;
    agent_launcher_ops ops;
    agent_launcher launcher;
    agent_blobs *blobs, *evidence;
    agent_instances *all;
    rd_buf said; /* "launching serving …", reasons behind a colon */
    rd_buf logged;
    bool last_has_evidence;
    int empty, wishes;
} world;

static inline void on_grant_wanted(void *context)
{
    ((world *)context)->wishes++;
}

static inline void on_report(void *context, const agent_report *report)
{
    world *w = context;
    rd_buf_printf(&w->said, "%s%s", w->said.size ? " " : "", rd_phase_name((rd_phase)report->phase));
    if (report->reason[0])
        rd_buf_printf(&w->said, ":%s", report->reason);
    w->last_has_evidence = report->has_evidence;
}

static inline void on_log(void *context, const char *instance, uint64_t epoch, const char *level, rd_bytes text)
{
    (void)epoch;
    world *w = context;
    rd_buf_printf(&w->logged, "%s %s %.*s\n", instance, level, (int)text.size, (const char *)text.data);
}

static inline void on_empty(void *context)
{
    ((world *)context)->empty++;
}

static inline void start(world *w, bool has_lost_journal, bool is_adopting)
{
    const agent_instances_config config = { .loop = w->loop,
                                            .launcher = &w->launcher,
                                            .pools = { (agent_pool *)&pool },
                                            .blobs = w->blobs,
                                            .evidence = w->evidence,
                                            .capacity = { .cpu_m = 1000, .memory_bytes = 1000, .slots = 2 },
                                            .drain_timeout_us = 20000,
                                            .has_lost_journal = has_lost_journal,
                                            .context = w,
                                            .on_report = on_report,
                                            .on_grant_wanted = on_grant_wanted,
                                            .on_log = on_log,
                                            .on_empty = on_empty };
    w->all = agent_instances_new(&config);
    if (!is_adopting)
        agent_instances_adopted(w->all);
}

static inline int setup(void **state)
{
    world *w = rd_alloc(sizeof *w);
    rd_err err = RD_ERR_INIT;
    memset(&pool, 0, sizeof pool);
    memset(&chain, 0, sizeof chain);
    rd_log_init("test", RD_ERROR, open("/dev/null", O_WRONLY | O_CLOEXEC));
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/test-instance-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    (void)snprintf(w->evidence_dir, sizeof w->evidence_dir, "%s/evidence", w->dir);
    assert_int_equal(0, rd_loop_new(&w->loop, &err));
    assert_int_equal(0, agent_blobs_open(w->dir, 100000, NULL, &w->blobs, &err));
    assert_int_equal(0, agent_blobs_open(w->evidence_dir, 100000, NULL, &w->evidence, &err));
    w->ops.describe = describe;
    w->launcher = (agent_launcher){ .ops = &w->ops };
    *state = w;
    return 0;
}

static inline int teardown(void **state)
{
    world *w = *state;
    agent_instances_free(w->all);
    rd_loop_free(w->loop);
    agent_blobs_free(w->blobs);
    agent_blobs_free(w->evidence);
    char *command = rd_asprintf("rm -rf %s", w->dir);
    (void)!system(command);
    free(command);
    rd_buf_done(&w->said);
    rd_buf_done(&w->logged);
    free(w);
    return 0;
}

static const char *const contents[] = { "genesis", "head", "release", "code" };

static inline agent_job job_of(const char *instance, uint64_t epoch, rd_want want)
{
    agent_job job = {
        .job_seq = 1, .epoch = epoch, .want = (int)want, .cpu_m = 400, .memory_bytes = 100, .has_nonce = true
    };
    rd_digest *all[] = { &job.genesis_blob, &job.head_blob, &job.release_blob, &job.code_blob };
    memcpy(job.instance_text, instance, sizeof job.instance_text);
    for (size_t i = 0; i < RD_ARRAY_LEN(all); i++)
        rd_sha256(rd_bytes_str(contents[i]), all[i]->b);
    return job;
}

static inline void put_blobs(world *w)
{
    rd_err err = RD_ERR_INIT;
    for (size_t i = 0; i < RD_ARRAY_LEN(contents); i++) {
        rd_digest digest;
        rd_sha256(rd_bytes_str(contents[i]), digest.b);
        assert_int_equal(0, agent_blobs_put(w->blobs, &digest, rd_bytes_str(contents[i]), &err));
    }
    agent_instances_blob_arrived(w->all);
}

static inline void apply(world *w, const char *instance, uint64_t epoch, rd_want want)
{
    agent_job job = job_of(instance, epoch, want);
    agent_instances_apply(w->all, &job, RD_PHASE_NONE);
}

static inline void phase(agent_enclave *enclave, const char *name, const char *reason)
{
    enclave->events->on_phase(enclave->context, enclave, name, reason, "");
}

static inline void serve(agent_enclave *enclave)
{
    enclave->events->on_evidence(enclave->context, enclave, RD_BYTES_LIT("{evidence}"));
    phase(enclave, "attesting", "");
    phase(enclave, "serving", "");
}

static inline void end(agent_enclave *enclave, const char *how)
{
    enclave->events->on_ended(enclave->context, enclave, how);
}

static inline void expect(world *w, const char *said)
{
    assert_string_equal(said, rd_buf_text(&w->said));
    rd_buf_clear(&w->said);
}

/* Runs the loop until the enclave was treated so, at most two seconds. */
static inline void wait_for(world *w, const int *count)
{
    for (int i = 0; i < 200 && *count == 0; i++)
        rd_loop_turn(w->loop, true);
    assert_int_equal(1, *count);
}

#endif
