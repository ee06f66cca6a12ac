#include "agent/instance.h"

#include "common/base/failpoint.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/model/evidence.h"
#include "common/model/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOB_WAIT_US  120000000 /* documents and code, after the job */
#define START_WAIT_US 60000000  /* from START to serving */
#define STOP_WAIT_US  5000000   /* from stop to the end; the launcher kills after one second */

typedef enum life_state {
    LIFE_NEW,
    LIFE_WAITING,  /* for blobs */
    LIFE_TAKING,   /* for a blank enclave */
    LIFE_STARTING, /* specialised */
    LIFE_SERVING,
    LIFE_DRAINING,
    LIFE_STOPPING,
    LIFE_ENDED,
    LIFE_STATES
} life_state;

typedef enum life_event {
    EV_WANT_RUN,
    EV_WANT_DRAIN,
    EV_WANT_STOP,
    EV_COMPLETE,  /* every blob is here */
    EV_TAKEN,     /* a blank is ours */
    EV_REFUSED,   /* there is none, or it did not take the job */
    EV_ATTESTING, /* evidence was made */
    EV_SERVING,
    EV_FAILED, /* the enclave says why */
    EV_GONE,   /* the enclave has ended */
    EV_TIMEOUT,
    LIFE_EVENTS
} life_event;

typedef struct life {
    agent_instances *owner;
    struct life *next, *previous;
    agent_job job;
    life_state state;
    rd_phase phase; /* last reported */
    agent_enclave *enclave;
    uint64_t ticket; /* of the pool */
    bool has_pins;
    bool holds_capacity;
    bool is_drained;
    bool has_evidence;
    rd_digest evidence;
    char reason[AGENT_REASON_MAX + 1]; /* of the event in hand */
    char detail[AGENT_DETAIL_MAX + 1];
    rd_timer *timer;
    agent_splices splices;
    int64_t ended_us; /* wall */
} life;

struct agent_instances {
    agent_instances_config config;
    rd_table *newest; /* instance text → life */
    life *lives;      /* older epochs included */
    size_t active;
    agent_capacity used;
    bool is_adopting; /* nothing starts before it is known what still runs */
    bool is_draining_all;
};

static void feed(life *one, life_event event);

/* ---- reporting ---- */

static void report(life *one, rd_phase phase, const char *reason, const char *detail)
{
    bool is_renewal = phase == RD_PHASE_SERVING && one->phase == RD_PHASE_SERVING;
    if (!is_renewal && !rd_phase_ok(one->phase, phase))
        return;
    one->phase = phase;
    agent_report record = { .epoch = one->job.epoch,
                            .phase = (int)phase,
                            .has_evidence =
                                one->has_evidence && (phase == RD_PHASE_ATTESTING || phase == RD_PHASE_SERVING),
                            .evidence = one->evidence,
                            .at_us = rd_clock_wall_us(rd_clock_system()) };
    memcpy(record.instance, one->job.instance_text, sizeof record.instance);
    (void)snprintf(record.reason, sizeof record.reason, "%s", reason);
    (void)snprintf(record.detail, sizeof record.detail, "%s", detail);
    rd_log(rd_phase_is_final(phase) && phase != RD_PHASE_STOPPED ? RD_WARN : RD_INFO, "instance_phase",
           RD_STR("instance", record.instance), RD_U64("epoch", record.epoch), RD_STR("phase", rd_phase_name(phase)),
           RD_STR("reason", record.reason), RD_STR("detail", record.detail));
    one->owner->config.on_report(one->owner->config.context, &record);
}

static void note(life *one, const char *reason, const char *detail)
{
    (void)snprintf(one->reason, sizeof one->reason, "%s", reason);
    (void)snprintf(one->detail, sizeof one->detail, "%s", detail);
}

static void note_error(life *one, const rd_err *err)
{
    note(one, rd_code_describe(err->code)->name, err->text);
}

/* ---- what a life holds ---- */

static void pin_blobs(life *one, bool wants_pins)
{
    const rd_digest *all[] = { &one->job.genesis_blob, &one->job.head_blob, &one->job.release_blob,
                               &one->job.code_blob };
    if (one->has_pins == wants_pins)
        return;
    one->has_pins = wants_pins;
    for (size_t i = 0; i < RD_ARRAY_LEN(all); i++)
        (wants_pins ? agent_blobs_pin : agent_blobs_unpin)(one->owner->config.blobs, all[i]);
}

static bool has_room(const agent_instances *all, const agent_job *job)
{
    const agent_capacity *has = &all->config.capacity, *used = &all->used;
    return used->slots + 1 <= has->slots && used->cpu_m + job->cpu_m <= has->cpu_m &&
           job->memory_bytes <= has->memory_bytes && used->memory_bytes <= has->memory_bytes - job->memory_bytes;
}

static void hold_capacity(life *one, bool holds)
{
    agent_capacity *used = &one->owner->used;
    if (one->holds_capacity == holds)
        return;
    one->holds_capacity = holds;
    if (holds) {
        used->cpu_m += one->job.cpu_m;
        used->memory_bytes += one->job.memory_bytes;
        used->slots++;
    } else {
        used->cpu_m -= one->job.cpu_m;
        used->memory_bytes -= one->job.memory_bytes;
        used->slots--;
    }
}

static bool has_blobs(const life *one)
{
    agent_blobs *blobs = one->owner->config.blobs;
    return agent_blobs_has(blobs, &one->job.genesis_blob) && agent_blobs_has(blobs, &one->job.head_blob) &&
           agent_blobs_has(blobs, &one->job.release_blob) && agent_blobs_has(blobs, &one->job.code_blob);
}

static void drop_enclave(life *one)
{
    agent_enclave *enclave = one->enclave;
    one->enclave = NULL;
    agent_enclave_forget(enclave);
}

/* ---- actions of the table ---- */

static void on_ended_life(life *one)
{
    agent_instances *all = one->owner;
    rd_timer_stop(one->timer);
    agent_splices_cut(&one->splices);
    if (one->ticket)
        agent_pool_cancel(all->config.pool, one->ticket);
    one->ticket = 0;
    drop_enclave(one);
    pin_blobs(one, false);
    hold_capacity(one, false);
    one->ended_us = rd_clock_wall_us(rd_clock_system());
    all->active--;
    if (all->active == 0)
        all->config.on_empty(all->config.context);
}

static void act_begin(life *one)
{
    pin_blobs(one, true);
    rd_timer_start(one->timer, BLOB_WAIT_US, 0);
    if (has_blobs(one))
        feed(one, EV_COMPLETE);
}

static void on_taken(void *context, agent_enclave *enclave, const rd_err *error);

static void act_take(life *one)
{
    rd_err err = RD_ERR_INIT;
    uint64_t ticket = 0;
    rd_timer_start(one->timer, START_WAIT_US, 0);
    (void)RD_FP(AGENT_BEFORE_LAUNCH);
    if (agent_pool_take(one->owner->config.pool, on_taken, one, &ticket, &err) < 0) {
        note_error(one, &err);
        feed(one, EV_REFUSED);
    } else if (one->state == LIFE_TAKING) { /* not served from inside the call */
        one->ticket = ticket;
    }
}

static int specialise(life *one, rd_err *err)
{
    const agent_job *job = &one->job;
    agent_blobs *blobs = one->owner->config.blobs;
    RD_CLEANUP(rd_buf_done) rd_buf genesis = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf head = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf release = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf code = { 0 };
    if (agent_blobs_get(blobs, &job->genesis_blob, &genesis, err) < 0 ||
        agent_blobs_get(blobs, &job->head_blob, &head, err) < 0 ||
        agent_blobs_get(blobs, &job->release_blob, &release, err) < 0 ||
        agent_blobs_get(blobs, &job->code_blob, &code, err) < 0)
        return -1;
    agent_specialise with = { .genesis = rd_buf_bytes(&genesis),
                              .head = rd_buf_bytes(&head),
                              .release = rd_buf_bytes(&release),
                              .code = rd_buf_bytes(&code),
                              .instance = job->instance_text,
                              .epoch = job->epoch,
                              .host_time_us = rd_clock_wall_us(rd_clock_system()),
                              .memory_bytes = job->memory_bytes,
                              .cpu_m = job->cpu_m };
    rd_launch_header header = { .app = job->app, .release = job->release };
    rd_kms_set_digest(NULL, 0, &header.kms_set);
    rd_launch_header_encode(&header, with.header);
    memcpy(with.nonce, job->nonce, sizeof with.nonce);
    return agent_enclave_specialise(one->enclave, &with, err);
}

static void act_specialise(life *one)
{
    rd_err err = RD_ERR_INIT;
    one->ticket = 0;
    report(one, RD_PHASE_LAUNCHING, "", "");
    if (specialise(one, &err) == 0) {
        (void)RD_FP(AGENT_AFTER_LAUNCH);
        return;
    }
    note_error(one, &err);
    feed(one, EV_FAILED);
}

static void act_attesting(life *one)
{
    report(one, RD_PHASE_ATTESTING, "", "");
}

static void act_serving(life *one)
{
    rd_timer_stop(one->timer);
    pin_blobs(one, false); /* the enclave has its copy */
    report(one, RD_PHASE_SERVING, "", "");
}

static void act_drain(life *one)
{
    report(one, RD_PHASE_STOPPING, "drain", "");
    rd_timer_start(one->timer, one->owner->config.drain_timeout_us, 0);
    agent_enclave_drain(one->enclave);
}

static void act_stop(life *one)
{
    report(one, RD_PHASE_STOPPING, "stop", "");
    rd_timer_start(one->timer, STOP_WAIT_US, 0);
    agent_splices_cut(&one->splices);
    agent_enclave_stop(one->enclave);
}

static void act_kill(life *one)
{
    agent_enclave_kill(one->enclave);
    rd_timer_start(one->timer, STOP_WAIT_US, 0);
}

/* The enclave has said why; it is given a moment to end by itself. */
static void act_fail(life *one)
{
    report(one, RD_PHASE_FAILED, one->reason, one->detail);
    rd_timer_start(one->timer, STOP_WAIT_US, 0);
    agent_splices_cut(&one->splices);
    agent_enclave_stop(one->enclave);
}

static void act_too_slow(life *one)
{
    note(one, "timeout", "the enclave did not serve in time");
    act_fail(one);
}

static void act_end_refused(life *one)
{
    report(one, RD_PHASE_FAILED, one->reason, one->detail);
    on_ended_life(one);
}

static void act_end_no_blobs(life *one)
{
    note(one, "blob_missing", "documents or code did not come in time");
    act_end_refused(one);
}

static void act_end_gone(life *one)
{
    if (one->phase != RD_PHASE_FAILED)
        report(one, RD_PHASE_FAILED, "enclave_ended", one->detail);
    on_ended_life(one);
}

static void act_end_stopped(life *one)
{
    report(one, RD_PHASE_STOPPED, "", one->detail);
    on_ended_life(one);
}

/* ---- the table ---- */

typedef struct transition {
    void (*action)(life *one); /* NULL: the pair is illegal here, and ignored with a debug line */
    life_state next;
} transition;

static const transition table[LIFE_STATES][LIFE_EVENTS] = {
    [LIFE_NEW] = { [EV_WANT_RUN] = { act_begin, LIFE_WAITING },
                   [EV_REFUSED] = { act_end_refused, LIFE_ENDED },
                   [EV_WANT_DRAIN] = { act_end_stopped, LIFE_ENDED },
                   [EV_WANT_STOP] = { act_end_stopped, LIFE_ENDED } },
    [LIFE_WAITING] = { [EV_COMPLETE] = { act_take, LIFE_TAKING },
                       [EV_WANT_DRAIN] = { act_end_stopped, LIFE_ENDED },
                       [EV_WANT_STOP] = { act_end_stopped, LIFE_ENDED },
                       [EV_TIMEOUT] = { act_end_no_blobs, LIFE_ENDED } },
    [LIFE_TAKING] = { [EV_TAKEN] = { act_specialise, LIFE_STARTING },
                      [EV_REFUSED] = { act_end_refused, LIFE_ENDED },
                      [EV_WANT_DRAIN] = { act_end_stopped, LIFE_ENDED },
                      [EV_WANT_STOP] = { act_end_stopped, LIFE_ENDED },
                      [EV_TIMEOUT] = { act_end_refused, LIFE_ENDED } },
    [LIFE_STARTING] = { [EV_ATTESTING] = { act_attesting, LIFE_STARTING },
                        [EV_SERVING] = { act_serving, LIFE_SERVING },
                        [EV_FAILED] = { act_fail, LIFE_STOPPING },
                        [EV_GONE] = { act_end_gone, LIFE_ENDED },
                        [EV_WANT_DRAIN] = { act_stop, LIFE_STOPPING },
                        [EV_WANT_STOP] = { act_stop, LIFE_STOPPING },
                        [EV_TIMEOUT] = { act_too_slow, LIFE_STOPPING } },
    [LIFE_SERVING] = { [EV_FAILED] = { act_fail, LIFE_STOPPING },
                       [EV_GONE] = { act_end_gone, LIFE_ENDED },
                       [EV_WANT_DRAIN] = { act_drain, LIFE_DRAINING },
                       [EV_WANT_STOP] = { act_stop, LIFE_STOPPING } },
    [LIFE_DRAINING] = { [EV_GONE] = { act_end_stopped, LIFE_ENDED },
                        [EV_WANT_STOP] = { act_stop, LIFE_STOPPING },
                        [EV_TIMEOUT] = { act_stop, LIFE_STOPPING } },
    [LIFE_STOPPING] = { [EV_GONE] = { act_end_stopped, LIFE_ENDED }, [EV_TIMEOUT] = { act_kill, LIFE_STOPPING } },
};

static void feed(life *one, life_event event)
{
    const transition *move = &table[one->state][event];
    if (!move->action) {
        rd_log(RD_DEBUG, "instance_event_ignored", RD_STR("instance", one->job.instance_text),
               RD_U64("state", one->state), RD_U64("event", event));
        return;
    }
    one->state = move->next;
    move->action(one);
}

/* ---- what enclaves and the pool say ---- */

static void on_phase(void *context, agent_enclave *enclave, const char *phase, const char *reason, const char *detail)
{
    (void)enclave;
    life *one = context;
    switch (rd_phase_parse(phase)) {
    case RD_PHASE_ATTESTING:
        feed(one, EV_ATTESTING);
        break;
    case RD_PHASE_SERVING:
        feed(one, EV_SERVING);
        break;
    case RD_PHASE_FAILED:
        note(one, reason, detail);
        feed(one, EV_FAILED);
        break;
    default:
        break;
    }
}

static void on_evidence(void *context, agent_enclave *enclave, rd_bytes bundle)
{
    (void)enclave;
    life *one = context;
    rd_err err = RD_ERR_INIT;
    rd_digest digest;
    rd_sha256(bundle, digest.b);
    if (bundle.size > RD_EVIDENCE_SIZE_MAX)
        (void)rd_err_set(&err, RD_E_TOO_LARGE, "evidence of %zu bytes", bundle.size);
    else if (agent_blobs_put(one->owner->config.evidence, &digest, bundle, &err) == 0) {
        one->has_evidence = true;
        one->evidence = digest;
        if (one->phase == RD_PHASE_SERVING) /* a renewal */
            report(one, RD_PHASE_SERVING, "", "");
        return;
    }
    rd_log(RD_ERROR, "evidence_not_kept", RD_STR("instance", one->job.instance_text), RD_ERR(&err));
}

static void on_log(void *context, agent_enclave *enclave, const char *level, rd_bytes text)
{
    (void)enclave;
    life *one = context;
    agent_instances *all = one->owner;
    all->config.on_log(all->config.context, one->job.instance_text, one->job.epoch, level, text);
}

static void on_drained(void *context, agent_enclave *enclave)
{
    (void)enclave;
    life *one = context;
    one->is_drained = true;
}

static void on_ended(void *context, agent_enclave *enclave, const char *how)
{
    (void)enclave;
    life *one = context;
    (void)snprintf(one->detail, sizeof one->detail, "%s", one->is_drained ? "drained" : how);
    feed(one, EV_GONE);
}

static const agent_enclave_events enclave_events = {
    .on_phase = on_phase,
    .on_evidence = on_evidence,
    .on_log = on_log,
    .on_drained = on_drained,
    .on_ended = on_ended,
};

static void on_taken(void *context, agent_enclave *enclave, const rd_err *error)
{
    life *one = context;
    one->ticket = 0;
    if (!enclave) {
        note_error(one, error);
        feed(one, EV_REFUSED);
        return;
    }
    one->enclave = enclave;
    agent_enclave_set_events(enclave, &enclave_events, one);
    feed(one, EV_TAKEN);
}

static void on_timer(void *context)
{
    life *one = context;
    if (one->state == LIFE_TAKING)
        note(one, "timeout", "no enclave became ready in time");
    feed(one, EV_TIMEOUT);
}

/* ---- lives ---- */

static life *find(const agent_instances *all, const char *instance)
{
    return rd_table_get(all->newest, rd_bytes_str(instance));
}

static life *add(agent_instances *all, const agent_job *job, rd_phase phase)
{
    life *one = rd_alloc(sizeof *one);
    one->owner = all;
    one->job = *job;
    one->phase = phase;
    if (!rd_table_set(all->newest, rd_bytes_str(job->instance_text), one, NULL)) {
        free(one);
        return NULL;
    }
    one->timer = rd_timer_new(all->config.loop, on_timer, one);
    one->next = all->lives;
    if (all->lives)
        all->lives->previous = one;
    all->lives = one;
    all->active++;
    return one;
}

static void destroy(life *one)
{
    agent_instances *all = one->owner;
    if (find(all, one->job.instance_text) == one)
        (void)rd_table_remove(all->newest, rd_bytes_str(one->job.instance_text));
    if (one->previous)
        one->previous->next = one->next;
    else
        all->lives = one->next;
    if (one->next)
        one->next->previous = one->previous;
    agent_splices_cut(&one->splices);
    agent_enclave_forget(one->enclave);
    rd_timer_free(one->timer);
    free(one);
}

static life_event event_of(rd_want want)
{
    return want == RD_WANT_RUN ? EV_WANT_RUN : want == RD_WANT_DRAIN ? EV_WANT_DRAIN : EV_WANT_STOP;
}

static const char *refusal(agent_instances *all, const agent_job *job)
{
    if (all->is_draining_all)
        return "draining";
    if (all->config.has_lost_journal)
        return rd_code_describe(RD_E_SPOOL_CORRUPT)->name;
    const char *class_ = all->config.launcher->ops->describe(all->config.launcher)->class_;
    if ((strcmp(job->class_, "simulated") == 0 || strcmp(job->class_, "hardware") == 0) &&
        strcmp(job->class_, class_) != 0)
        return "class_mismatch";
    return has_room(all, job) ? NULL : "no_capacity";
}

/* A life that was never started begins, is refused, or (unwanted already) ends. */
static void begin(life *one)
{
    if (one->job.want != RD_WANT_RUN) {
        feed(one, event_of((rd_want)one->job.want));
        return;
    }
    const char *why = refusal(one->owner, &one->job);
    if (why) {
        report(one, RD_PHASE_REFUSED, why, "");
        note(one, why, "");
        feed(one, EV_REFUSED);
        return;
    }
    hold_capacity(one, true);
    feed(one, EV_WANT_RUN);
}

agent_instances *agent_instances_new(const agent_instances_config *config)
{
    agent_instances *all = rd_alloc(sizeof *all);
    all->config = *config;
    all->newest = rd_table_new(65536);
    all->is_adopting = true;
    return all;
}

agent_instances *agent_instances_free(agent_instances *all)
{
    if (!all)
        return NULL;
    while (all->lives) {
        /* The process lives on, to be adopted: only a launcher that is asked to stop ends it. */
        if (all->lives->enclave)
            agent_enclave_set_events(all->lives->enclave, NULL, NULL);
        all->lives->enclave = NULL;
        destroy(all->lives);
    }
    rd_table_free(all->newest);
    free(all);
    return NULL;
}

/* What an adopted enclave reached while nobody wrote it down. */
static void report_adopted(life *one)
{
    if (one->state == LIFE_SERVING && one->phase != RD_PHASE_SERVING)
        report(one, RD_PHASE_SERVING, "", "adopted after a restart");
}

void agent_instances_apply(agent_instances *all, const agent_job *job, rd_phase phase)
{
    life *one = find(all, job->instance_text);
    if (one && one->job.epoch == job->epoch) {
        one->job.want = job->want;
        one->job.job_seq = job->job_seq;
        if (one->phase == RD_PHASE_NONE && one->enclave) /* kept without a job: the new journal has no report of it */
            report_adopted(one);
        if (!all->is_adopting)
            feed(one, event_of((rd_want)job->want));
        return;
    }
    if (one && one->state != LIFE_ENDED)
        feed(one, EV_WANT_STOP); /* an older epoch of the same instance */
    one = add(all, job, phase);
    if (!one) {
        rd_log(RD_ERROR, "instance_table_full", RD_STR("instance", job->instance_text));
        return;
    }
    if (rd_phase_is_final(phase)) { /* from the journal: over */
        one->state = LIFE_ENDED;
        one->ended_us = rd_clock_wall_us(rd_clock_system());
        all->active--;
        return;
    }
    if (!all->is_adopting)
        begin(one);
}

/* ---- after a restart ---- */

/* An enclave of a journal that was lost: a life without a job, until the plane gives or ends it. */
static life *add_unknown(agent_instances *all, const agent_enclave *enclave)
{
    agent_job job = { .epoch = agent_enclave_epoch(enclave), .want = RD_WANT_RUN };
    const char *text = agent_enclave_instance(enclave);
    rd_err err = RD_ERR_INIT;
    if (rd_id_parse(RD_PREFIX_INSTANCE, text, strlen(text), &job.instance, &err) < 0)
        return NULL;
    rd_id_format(RD_PREFIX_INSTANCE, &job.instance, job.instance_text);
    return add(all, &job, RD_PHASE_NONE);
}

void agent_instances_adopt(agent_instances *all, agent_enclave *enclave)
{
    life *one = find(all, agent_enclave_instance(enclave));
    if (!one && all->config.has_lost_journal)
        one = add_unknown(all, enclave);
    if (!one || one->state == LIFE_ENDED || one->enclave || one->job.epoch != agent_enclave_epoch(enclave)) {
        rd_log(RD_WARN, "unwanted_enclave_ended", RD_STR("instance", agent_enclave_instance(enclave)),
               RD_U64("epoch", agent_enclave_epoch(enclave)));
        agent_enclave_forget(enclave);
        return;
    }
    one->enclave = enclave;
    agent_enclave_set_events(enclave, &enclave_events, one);
    hold_capacity(one, true);
    bool is_serving = agent_enclave_get_state(enclave) == AGENT_ENCLAVE_SERVING;
    bool is_draining = agent_enclave_get_state(enclave) == AGENT_ENCLAVE_DRAINING;
    one->state = is_serving ? LIFE_SERVING : is_draining ? LIFE_DRAINING : LIFE_STARTING;
    rd_timer_start(one->timer, is_draining ? all->config.drain_timeout_us : START_WAIT_US, 0);
    rd_log(RD_INFO, "instance_adopted", RD_STR("instance", one->job.instance_text), RD_U64("epoch", one->job.epoch),
           RD_STR("state", agent_enclave_state_name(agent_enclave_get_state(enclave))));
    if (is_serving)
        rd_timer_stop(one->timer);
    report_adopted(one);
}

void agent_instances_adopted(agent_instances *all)
{
    all->is_adopting = false;
    for (life *one = all->lives, *next; one; one = next) {
        next = one->next;
        if (one->state == LIFE_ENDED)
            continue;
        if (one->enclave) {
            if (one->job.want != RD_WANT_RUN)
                feed(one, event_of((rd_want)one->job.want));
        } else if (one->phase == RD_PHASE_NONE || one->phase == RD_PHASE_DELIVERED) {
            begin(one); /* the agent died before it had started it */
        } else {
            note(one, "enclave_ended", "it ended while the agent was not running");
            one->state = LIFE_STOPPING;
            if (one->job.want == RD_WANT_RUN && one->phase != RD_PHASE_STOPPING)
                report(one, RD_PHASE_FAILED, one->reason, one->detail);
            feed(one, EV_GONE);
        }
    }
}

/* ---- questions ---- */

void agent_instances_blob_arrived(agent_instances *all)
{
    for (life *one = all->lives, *next; one; one = next) {
        next = one->next;
        if (one->state == LIFE_WAITING && has_blobs(one))
            feed(one, EV_COMPLETE);
    }
}

static void add_need(agent_blobs *blobs, const rd_digest *digest, json_t *array)
{
    if (agent_blobs_has(blobs, digest))
        return;
    json_t *text = rd_json_new_digest(digest);
    size_t i = 0;
    const json_t *other;
    json_array_foreach(array, i, other)
    {
        if (json_equal(other, text)) {
            json_decref(text);
            return;
        }
    }
    (void)json_array_append_new(array, text);
}

void agent_instances_needs(agent_instances *all, json_t *array)
{
    for (life *one = all->lives; one; one = one->next) {
        if (one->state != LIFE_WAITING)
            continue;
        add_need(all->config.blobs, &one->job.genesis_blob, array);
        add_need(all->config.blobs, &one->job.head_blob, array);
        add_need(all->config.blobs, &one->job.release_blob, array);
        add_need(all->config.blobs, &one->job.code_blob, array);
    }
}

void agent_instances_inventory(agent_instances *all, json_t *array)
{
    for (life *one = all->lives; one; one = one->next) {
        if (one->state == LIFE_ENDED)
            continue;
        json_t *row = json_object();
        rd_json_set_str(row, "instance", one->job.instance_text);
        rd_json_set_int(row, "epoch", (int64_t)one->job.epoch);
        rd_json_set_str(row, "phase",
                        one->phase == RD_PHASE_NONE ? rd_phase_name(RD_PHASE_DELIVERED) : rd_phase_name(one->phase));
        (void)json_array_append_new(array, row);
    }
}

int agent_instances_route(agent_instances *all, const char *instance, uint64_t epoch, const char **ret_socket,
                          agent_splices **ret_splices, rd_err *err)
{
    life *one = find(all, instance);
    if (!one || one->job.epoch != epoch || one->state == LIFE_ENDED)
        return rd_err_set(err, RD_E_EPOCH_STALE, "%.40s is not here under epoch %llu", instance,
                          (unsigned long long)epoch);
    if (one->state != LIFE_SERVING || one->job.want != RD_WANT_RUN)
        return rd_err_set(err, RD_E_DRAINING, "%s takes nothing new", instance);
    *ret_socket = agent_enclave_socket(one->enclave);
    *ret_splices = &one->splices;
    return 0;
}

int agent_instances_renew(agent_instances *all, const char *instance, uint64_t epoch, const uint8_t nonce[32],
                          rd_err *err)
{
    life *one = find(all, instance);
    if (!one || one->job.epoch != epoch || one->state != LIFE_SERVING)
        return rd_err_set(err, RD_E_EPOCH_STALE, "%.40s does not serve under epoch %llu", instance,
                          (unsigned long long)epoch);
    return agent_enclave_renew(one->enclave, nonce, err);
}

size_t agent_instances_count(const agent_instances *all)
{
    return all->active;
}

agent_capacity agent_instances_used(const agent_instances *all)
{
    return all->used;
}

void agent_instances_drain_all(agent_instances *all)
{
    all->is_draining_all = true;
    if (all->active == 0) {
        all->config.on_empty(all->config.context);
        return;
    }
    for (life *one = all->lives, *next; one; one = next) {
        next = one->next;
        feed(one, EV_WANT_DRAIN);
    }
}

void agent_instances_sweep(agent_instances *all, int64_t before_us,
                           void (*forget)(void *context, const char *instance, uint64_t epoch), void *context)
{
    for (life *one = all->lives, *next; one; one = next) {
        next = one->next;
        if (one->state != LIFE_ENDED || one->ended_us > before_us)
            continue;
        forget(context, one->job.instance_text, one->job.epoch);
        destroy(one);
    }
}
