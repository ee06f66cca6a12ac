/* The lives of instances over a scripted launcher: this file defines the calls to enclave and pool of instance.c. */
// long: the scripted launcher and the table of lives that it is for
#include "agent/instance.h"

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/model/evidence.h"
#include "common/model/json.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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

static const agent_launcher_info *describe(agent_launcher *launcher)
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
    bool last_has_evidence;
    int empty, wishes;
} world;

static void on_grant_wanted(void *context)
{
    ((world *)context)->wishes++;
}

static void on_report(void *context, const agent_report *report)
{
    world *w = context;
    rd_buf_printf(&w->said, "%s%s", w->said.size ? " " : "", rd_phase_name((rd_phase)report->phase));
    if (report->reason[0])
        rd_buf_printf(&w->said, ":%s", report->reason);
    w->last_has_evidence = report->has_evidence;
}

static void on_log(void *context, const char *instance, uint64_t epoch, const char *level, rd_bytes text)
{
    (void)context, (void)instance, (void)epoch, (void)level, (void)text;
}

static void on_empty(void *context)
{
    ((world *)context)->empty++;
}

static void start(world *w, bool has_lost_journal, bool is_adopting)
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

static int setup(void **state)
{
    world *w = rd_alloc(sizeof *w);
    rd_err err = RD_ERR_INIT;
    memset(&pool, 0, sizeof pool);
    rd_log_init("test", RD_ERROR, open("/dev/null", O_WRONLY | O_CLOEXEC));
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/test-instance-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    (void)snprintf(w->evidence_dir, sizeof w->evidence_dir, "%s/evidence", w->dir);
    assert_int_equal(0, rd_loop_new(&w->loop, &err));
    assert_int_equal(0, agent_blobs_open(w->dir, 100000, &w->blobs, &err));
    assert_int_equal(0, agent_blobs_open(w->evidence_dir, 100000, &w->evidence, &err));
    w->ops.describe = describe;
    w->launcher = (agent_launcher){ .ops = &w->ops };
    *state = w;
    return 0;
}

static int teardown(void **state)
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
    free(w);
    return 0;
}

static const char *const contents[] = { "genesis", "head", "release", "code" };

static agent_job job_of(const char *instance, uint64_t epoch, rd_want want)
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

static void put_blobs(world *w)
{
    rd_err err = RD_ERR_INIT;
    for (size_t i = 0; i < RD_ARRAY_LEN(contents); i++) {
        rd_digest digest;
        rd_sha256(rd_bytes_str(contents[i]), digest.b);
        assert_int_equal(0, agent_blobs_put(w->blobs, &digest, rd_bytes_str(contents[i]), &err));
    }
    agent_instances_blob_arrived(w->all);
}

static void apply(world *w, const char *instance, uint64_t epoch, rd_want want)
{
    agent_job job = job_of(instance, epoch, want);
    agent_instances_apply(w->all, &job, RD_PHASE_NONE);
}

static void phase(agent_enclave *enclave, const char *name, const char *reason)
{
    enclave->events->on_phase(enclave->context, enclave, name, reason, "");
}

static void serve(agent_enclave *enclave)
{
    enclave->events->on_evidence(enclave->context, enclave, RD_BYTES_LIT("{evidence}"));
    phase(enclave, "attesting", "");
    phase(enclave, "serving", "");
}

static void end(agent_enclave *enclave, const char *how)
{
    enclave->events->on_ended(enclave->context, enclave, how);
}

static void expect(world *w, const char *said)
{
    assert_string_equal(said, rd_buf_text(&w->said));
    rd_buf_clear(&w->said);
}

/* Runs the loop until the enclave was treated so, at most two seconds. */
static void wait_for(world *w, const int *count)
{
    for (int i = 0; i < 200 && *count == 0; i++)
        rd_loop_turn(w->loop, true);
    assert_int_equal(1, *count);
}

/* ---- rows ---- */

static void test_whole_life(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    agent_enclave *enclave = &pool.enclave[0];
    const char *socket = NULL;
    agent_splices *splices = NULL;
    start(w, false, false);
    apply(w, INSTANCE, 3, RD_WANT_RUN);
    json_t *needs = json_array();
    agent_instances_needs(w->all, needs);
    assert_int_equal(4, json_array_size(needs));
    json_decref(needs);
    assert_int_equal(0, pool.given);
    put_blobs(w);
    assert_int_equal(1, enclave->specialised);
    expect(w, "launching");
    assert_int_equal(-1, agent_instances_route(w->all, INSTANCE, 3, &socket, &splices, &err));
    assert_int_equal(RD_E_DRAINING, err.code);
    serve(enclave);
    expect(w, "attesting serving");
    assert_true(w->last_has_evidence);
    assert_int_equal(0, agent_instances_route(w->all, INSTANCE, 3, &socket, &splices, &err));
    assert_string_equal("/run/x.sock", socket);
    assert_int_equal(-1, agent_instances_route(w->all, INSTANCE, 2, &socket, &splices, &err));
    assert_int_equal(RD_E_EPOCH_STALE, err.code);
    assert_int_equal(-1, agent_instances_route(w->all, OTHER, 3, &socket, &splices, &err));
    assert_int_equal(RD_E_EPOCH_STALE, err.code);

    uint8_t nonce[32] = { 0 };
    assert_int_equal(0, agent_instances_renew(w->all, INSTANCE, 3, nonce, &err));
    assert_int_equal(-1, agent_instances_renew(w->all, INSTANCE, 2, nonce, &err));
    enclave->events->on_evidence(enclave->context, enclave, RD_BYTES_LIT("{fresh evidence}"));
    expect(w, "serving"); /* a renewal comes as one more report of serving */

    apply(w, INSTANCE, 3, RD_WANT_DRAIN);
    expect(w, "stopping:drain");
    assert_int_equal(1, enclave->drained);
    assert_int_equal(-1, agent_instances_route(w->all, INSTANCE, 3, &socket, &splices, &err));
    assert_int_equal(RD_E_DRAINING, err.code);
    enclave->events->on_drained(enclave->context, enclave);
    end(enclave, "exit 0");
    expect(w, "stopped");
    assert_int_equal(1, w->empty);
    assert_int_equal(0, agent_instances_used(w->all).slots);
    apply(w, INSTANCE, 3, RD_WANT_STOP); /* levels: nothing is left to do */
    expect(w, "");
}

static void test_endings(void **state)
{
    world *w = *state;
    start(w, false, false);
    put_blobs(w);
    /* fails by itself */
    apply(w, INSTANCE, 1, RD_WANT_RUN);
    phase(&pool.enclave[0], "failed", "head_time");
    expect(w, "launching failed:head_time");
    assert_int_equal(1, pool.enclave[0].stopped);
    end(&pool.enclave[0], "exit 1");
    expect(w, ""); /* failed is final */
    /* dies while serving */
    apply(w, INSTANCE, 2, RD_WANT_RUN);
    serve(&pool.enclave[1]);
    end(&pool.enclave[1], "signal 9");
    expect(w, "launching attesting serving failed:enclave_ended");
    /* a drain that does not end is stopped */
    apply(w, INSTANCE, 3, RD_WANT_RUN);
    serve(&pool.enclave[2]);
    apply(w, INSTANCE, 3, RD_WANT_DRAIN);
    wait_for(w, &pool.enclave[2].stopped);
    end(&pool.enclave[2], "killed");
    expect(w, "launching attesting serving stopping:drain stopped");
    /* the blank does not take the job */
    pool.refuses_specialise = true;
    apply(w, INSTANCE, 4, RD_WANT_RUN);
    expect(w, "launching failed:unavailable");
    end(&pool.enclave[3], "killed");
    assert_int_equal(0, agent_instances_count(w->all));
    for (int i = 0; i < 4; i++)
        assert_int_equal(1, pool.enclave[i].forgotten);
}

static void test_before_there_is_an_enclave(void **state)
{
    world *w = *state;
    start(w, false, false);
    apply(w, INSTANCE, 1, RD_WANT_RUN); /* waits for blobs */
    apply(w, INSTANCE, 1, RD_WANT_STOP);
    expect(w, "stopped");
    put_blobs(w);
    assert_int_equal(0, pool.given);
    pool.waits = true;
    apply(w, INSTANCE, 2, RD_WANT_RUN); /* waits for a blank */
    apply(w, INSTANCE, 2, RD_WANT_STOP);
    expect(w, "stopped");
    assert_int_equal(1, pool.cancelled);
    pool.waits = false;
    pool.refuses = true;
    apply(w, INSTANCE, 3, RD_WANT_RUN);
    expect(w, "refused:unavailable");
    apply(w, INSTANCE, 4, RD_WANT_STOP); /* never started here */
    expect(w, "stopped");
    assert_int_equal(0, agent_instances_used(w->all).cpu_m);
}

static void test_newer_epoch_replaces(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    const char *socket = NULL;
    agent_splices *splices = NULL;
    start(w, false, false);
    put_blobs(w);
    apply(w, INSTANCE, 1, RD_WANT_RUN);
    serve(&pool.enclave[0]);
    rd_buf_clear(&w->said);
    apply(w, INSTANCE, 2, RD_WANT_RUN);
    expect(w, "stopping:stop launching");
    assert_int_equal(1, pool.enclave[0].stopped);
    assert_int_equal(-1, agent_instances_route(w->all, INSTANCE, 1, &socket, &splices, &err));
    assert_int_equal(RD_E_EPOCH_STALE, err.code);
    end(&pool.enclave[0], "exit 0");
    expect(w, "stopped");
    serve(&pool.enclave[1]);
    assert_int_equal(0, agent_instances_route(w->all, INSTANCE, 2, &socket, &splices, &err));
    assert_int_equal(1, agent_instances_count(w->all));
}

static void test_refusals(void **state)
{
    world *w = *state;
    start(w, false, false);
    put_blobs(w);
    agent_job job = job_of(INSTANCE, 1, RD_WANT_RUN);
    (void)snprintf(job.class_, sizeof job.class_, "hardware");
    agent_instances_apply(w->all, &job, RD_PHASE_NONE);
    expect(w, "refused:class_mismatch");
    apply(w, INSTANCE, 2, RD_WANT_RUN);
    apply(w, OTHER, 2, RD_WANT_RUN);
    expect(w, "launching launching");
    apply(w, "ins_aaaaaaaaaaaaaaaaaaaaaaaabi", 2, RD_WANT_RUN); /* two slots */
    expect(w, "refused:no_capacity");
    agent_job large = job_of("ins_aaaaaaaaaaaaaaaaaaaaaaaabm", 2, RD_WANT_RUN);
    large.memory_bytes = UINT64_MAX;
    agent_instances_apply(w->all, &large, RD_PHASE_NONE);
    expect(w, "refused:no_capacity");
    agent_instances_drain_all(w->all);
    rd_buf_clear(&w->said);
    apply(w, "ins_aaaaaaaaaaaaaaaaaaaaaaaabq", 2, RD_WANT_RUN);
    expect(w, "refused:draining");
}

static agent_enclave *living(size_t at, const char *instance, uint64_t epoch, agent_enclave_state state)
{
    agent_enclave *enclave = &pool.enclave[at];
    (void)snprintf(enclave->instance, sizeof enclave->instance, "%s", instance);
    enclave->epoch = epoch;
    enclave->state = state;
    return enclave;
}

static void test_restart(void **state)
{
    static const struct {
        const char *name;
        rd_want want;
        rd_phase phase;
        bool lives; /* its enclave answered */
        agent_enclave_state state;
        const char *said;
        size_t count;
        int stopped, drained;
    } rows[] = {
        { "serves on", RD_WANT_RUN, RD_PHASE_SERVING, true, AGENT_ENCLAVE_SERVING, "", 1, 0, 0 },
        { "came to serve meanwhile", RD_WANT_RUN, RD_PHASE_LAUNCHING, true, AGENT_ENCLAVE_SERVING, "", 1, 0, 0 },
        { "still launching", RD_WANT_RUN, RD_PHASE_LAUNCHING, true, AGENT_ENCLAVE_LAUNCHING, "", 1, 0, 0 },
        { "died meanwhile", RD_WANT_RUN, RD_PHASE_SERVING, false, AGENT_ENCLAVE_ENDED, "failed:enclave_ended", 0, 0,
          0 },
        { "was never started", RD_WANT_RUN, RD_PHASE_NONE, false, AGENT_ENCLAVE_ENDED, "launching", 1, 0, 0 },
        { "is to stop", RD_WANT_STOP, RD_PHASE_SERVING, true, AGENT_ENCLAVE_SERVING, "stopping:stop", 1, 1, 0 },
        { "is to drain", RD_WANT_DRAIN, RD_PHASE_SERVING, true, AGENT_ENCLAVE_SERVING, "stopping:drain", 1, 0, 1 },
        { "was to stop and is gone", RD_WANT_STOP, RD_PHASE_STOPPING, false, AGENT_ENCLAVE_ENDED, "stopped", 0, 0, 0 },
        { "was over", RD_WANT_RUN, RD_PHASE_FAILED, false, AGENT_ENCLAVE_ENDED, "", 0, 0, 0 },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        world *w = *state;
        w->all = agent_instances_free(w->all);
        memset(&pool, 0, sizeof pool);
        rd_buf_clear(&w->said);
        start(w, false, true);
        put_blobs(w);
        agent_job job = job_of(INSTANCE, 3, rows[i].want);
        agent_instances_apply(w->all, &job, rows[i].phase);
        agent_enclave *enclave = living(3, INSTANCE, 3, rows[i].state);
        if (rows[i].lives)
            agent_instances_adopt(w->all, enclave);
        agent_instances_adopted(w->all);
        if (strcmp(rows[i].said, rd_buf_text(&w->said)) != 0)
            fail_msg("%s: said '%s'", rows[i].name, rd_buf_text(&w->said));
        if (agent_instances_count(w->all) != rows[i].count || enclave->stopped != rows[i].stopped ||
            enclave->drained != rows[i].drained || enclave->forgotten != 0)
            fail_msg("%s: count or treatment", rows[i].name);
        if (enclave->shared != (rows[i].lives ? 400u : 0u))
            fail_msg("%s: a share of %u", rows[i].name, enclave->shared);
        bool must_prove = rows[i].lives && rows[i].state == AGENT_ENCLAVE_SERVING && rows[i].phase != RD_PHASE_SERVING;
        if (enclave->renewed != (must_prove ? 1 : 0))
            fail_msg("%s: evidence was asked for %d times", rows[i].name, enclave->renewed);
        if (must_prove) { /* serving is said with evidence, not before */
            enclave->events->on_evidence(enclave->context, enclave, RD_BYTES_LIT("{evidence}"));
            expect(w, "serving");
            assert_true(w->last_has_evidence);
        }
        if (rows[i].lives && pool.given > 0)
            fail_msg("%s: launched twice", rows[i].name);
    }
}

static void test_unwanted_enclave_is_ended(void **state)
{
    world *w = *state;
    start(w, false, true);
    apply(w, INSTANCE, 3, RD_WANT_RUN);
    agent_instances_adopt(w->all, living(0, INSTANCE, 2, AGENT_ENCLAVE_SERVING)); /* an older epoch */
    agent_instances_adopt(w->all, living(1, OTHER, 3, AGENT_ENCLAVE_SERVING));    /* no job */
    assert_int_equal(1, pool.enclave[0].forgotten);
    assert_int_equal(1, pool.enclave[1].forgotten);
    agent_instances_adopted(w->all);
}

/* Without a journal nobody knows what is wanted: what runs goes on until the plane says, and nothing new begins. */
static void test_lost_journal(void **state)
{
    world *w = *state;
    start(w, true, true);
    put_blobs(w);
    agent_instances_adopt(w->all, living(0, INSTANCE, 3, AGENT_ENCLAVE_SERVING));
    agent_instances_adopted(w->all);
    assert_int_equal(0, pool.enclave[0].forgotten);
    json_t *inventory = json_array();
    agent_instances_inventory(w->all, inventory);
    assert_int_equal(1, json_array_size(inventory));
    json_decref(inventory);
    expect(w, "");
    assert_int_equal(0, pool.enclave[0].renewed); /* no nonce before there is a job */
    apply(w, INSTANCE, 3, RD_WANT_RUN);
    assert_int_equal(0, pool.given);
    assert_int_equal(1, pool.enclave[0].renewed);
    assert_int_equal(400, agent_instances_used(w->all).cpu_m);
    assert_int_equal(400, pool.enclave[0].shared);
    pool.enclave[0].events->on_evidence(pool.enclave[0].context, &pool.enclave[0], RD_BYTES_LIT("{evidence}"));
    expect(w, "serving");
    assert_true(w->last_has_evidence);
    apply(w, OTHER, 1, RD_WANT_RUN);
    expect(w, "refused:spool_corrupt");
    apply(w, INSTANCE, 3, RD_WANT_STOP);
    expect(w, "stopping:stop");
    assert_int_equal(1, pool.enclave[0].stopped);
}

static int forgets;

static void on_forget(void *context, const char *instance, uint64_t epoch)
{
    (void)context;
    assert_string_equal(INSTANCE, instance);
    assert_int_equal(1, epoch);
    forgets++;
}

static void test_sweep(void **state)
{
    world *w = *state;
    start(w, false, false);
    put_blobs(w);
    apply(w, INSTANCE, 1, RD_WANT_STOP);
    apply(w, OTHER, 1, RD_WANT_RUN);
    agent_instances_sweep(w->all, 1000, on_forget, w);
    assert_int_equal(0, forgets);
    agent_instances_sweep(w->all, INT64_MAX, on_forget, w);
    assert_int_equal(1, forgets);
    assert_int_equal(1, agent_instances_count(w->all));
}

/* ---- grants ---- */

/* An instance whose app has a key service, started and waiting for its grant. */
static agent_enclave *start_with_kms(world *w)
{
    agent_job job = job_of(INSTANCE, 3, RD_WANT_RUN);
    rd_digest digest;
    rd_err err = RD_ERR_INIT;
    job.has_kms = job.has_kms_blob = true;
    job.kms.b[0] = 7;
    rd_sha256(RD_BYTES_LIT("kms genesis"), job.kms_blob.b);
    start(w, false, false);
    put_blobs(w);
    agent_instances_apply(w->all, &job, RD_PHASE_NONE);
    assert_int_equal(0, pool.enclave[0].specialised); /* the genesis of the key service is missing */
    rd_sha256(RD_BYTES_LIT("kms genesis"), digest.b);
    assert_int_equal(0, agent_blobs_put(w->blobs, &digest, RD_BYTES_LIT("kms genesis"), &err));
    agent_instances_blob_arrived(w->all);
    assert_int_equal(1, pool.enclave[0].specialised);
    assert_true(pool.enclave[0].has_kms);
    return &pool.enclave[0];
}

static void wish(agent_enclave *enclave, rd_bytes bundle)
{
    enclave->events->on_grant_wanted(enclave->context, enclave, bundle);
}

static void test_grant_is_wished_for_and_given(void **state)
{
    world *w = *state;
    agent_enclave *enclave = start_with_kms(w);
    agent_grant_wish seen;
    const uint8_t nonce[32] = { 1 };
    rd_err err = RD_ERR_INIT;
    rd_digest set;
    rd_kms_id kms = { { 7 } };
    rd_kms_set_digest(&kms, 1, &set);
    assert_memory_equal(set.b, enclave->header + 64, 32);
    assert_false(agent_instances_next_grant(w->all, 0, &seen));
    wish(enclave, RD_BYTES_NULL);
    assert_true(agent_instances_next_grant(w->all, 0, &seen));
    assert_int_equal(0, seen.bundle.size);
    uint64_t first = seen.serial;
    assert_int_equal(0, agent_instances_grant_nonce(w->all, INSTANCE, 3, nonce, RD_BYTES_LIT("head"), &err));
    assert_int_equal(1, enclave->nonces);
    assert_false(agent_instances_next_grant(w->all, 0, &seen));
    wish(enclave, RD_BYTES_LIT("evidence"));
    assert_true(agent_instances_next_grant(w->all, first, &seen));
    assert_int_equal(8, seen.bundle.size);
    assert_int_equal(-1, agent_instances_grant(w->all, INSTANCE, 2, RD_BYTES_LIT("grant"), &err));
    assert_int_equal(RD_E_EPOCH_STALE, err.code);
    assert_int_equal(0, enclave->grants);
    assert_int_equal(0, agent_instances_grant(w->all, INSTANCE, 3, RD_BYTES_LIT("grant"), &err));
    assert_int_equal(1, enclave->grants);
}

static void test_refusal_fails_what_has_not_served(void **state)
{
    world *w = *state;
    agent_enclave *enclave = start_with_kms(w);
    rd_err err = RD_ERR_INIT;
    wish(enclave, RD_BYTES_LIT("evidence"));
    assert_int_equal(0, agent_instances_grant_refused(w->all, INSTANCE, 3, "head_rollback", "older", &err));
    expect(w, "launching failed:head_rollback");
}

static void test_refusal_of_a_renewal_changes_nothing(void **state)
{
    world *w = *state;
    agent_enclave *enclave = start_with_kms(w);
    agent_grant_wish seen;
    rd_err err = RD_ERR_INIT;
    serve(enclave);
    wish(enclave, RD_BYTES_LIT("evidence"));
    assert_int_equal(0, agent_instances_grant_refused(w->all, INSTANCE, 3, "head_rollback", "older", &err));
    expect(w, "launching attesting serving");
    assert_false(agent_instances_next_grant(w->all, 0, &seen));
}

int main(void)
{
#define ROW(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        ROW(test_whole_life),
        ROW(test_endings),
        ROW(test_before_there_is_an_enclave),
        ROW(test_newer_epoch_replaces),
        ROW(test_refusals),
        ROW(test_restart),
        ROW(test_unwanted_enclave_is_ended),
        ROW(test_lost_journal),
        ROW(test_sweep),
        ROW(test_grant_is_wished_for_and_given),
        ROW(test_refusal_fails_what_has_not_served),
        ROW(test_refusal_of_a_renewal_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
