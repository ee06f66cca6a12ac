#include "agent/instance_life.h"

#include "common/base/clock.h"
#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/model/evidence.h"

#include <stdio.h>
#include <string.h>

#define BLOB_WAIT_US  120000000 /* documents and code, after the job */
#define STOP_WAIT_US  5000000   /* from stop to the end; the launcher kills after one second */
#define LAST_WORDS_US 10000000  /* what an instance said last, to who reads it, behind its end */

/* ---- reporting ---- */

void life_report(life *one, rd_phase phase, const char *reason, const char *detail)
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

void life_note(life *one, const char *reason, const char *detail)
{
    (void)snprintf(one->reason, sizeof one->reason, "%s", reason);
    (void)snprintf(one->detail, sizeof one->detail, "%s", detail);
}

static void note_error(life *one, const rd_err *err)
{
    life_note(one, rd_code_describe(err->code)->name, err->text);
}

/* ---- what a life holds ---- */

static void pin_blobs(life *one, bool wants_pins)
{
    const rd_digest *all[AGENT_JOB_BLOBS_MAX];
    size_t count = agent_job_blobs(&one->job, all);
    if (one->has_pins == wants_pins)
        return;
    one->has_pins = wants_pins;
    for (size_t i = 0; i < count; i++)
        (wants_pins ? agent_blobs_pin : agent_blobs_unpin)(one->owner->config.blobs, all[i]);
}

void life_hold_capacity(life *one, bool holds)
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

bool life_has_blobs(const life *one)
{
    const rd_digest *all[AGENT_JOB_BLOBS_MAX];
    size_t count = agent_job_blobs(&one->job, all);
    bool has_all = true;
    for (size_t i = 0; i < count; i++)
        has_all = has_all && agent_blobs_has(one->owner->config.blobs, all[i]);
    return has_all;
}

void life_clear_grant(life *one)
{
    one->grant_serial = 0;
    rd_buf_done(&one->grant_bundle);
    rd_buf_done(&one->grant_webhook);
    one->grant_bundle = one->grant_webhook = (rd_buf){ 0 };
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
    /* Its last words may be in the sockets still: a good-bye, the end of an answer. */
    agent_splices_finish(&one->splices);
    rd_timer_start(one->timer, LAST_WORDS_US, 0);
    if (one->ticket)
        agent_pool_cancel(one->pool, one->ticket);
    one->ticket = 0;
    drop_enclave(one);
    life_clear_grant(one);
    pin_blobs(one, false);
    life_hold_capacity(one, false);
    one->ended_us = rd_clock_wall_us(rd_clock_system());
    all->active--;
    if (all->active == 0)
        all->config.on_empty(all->config.context);
}

static void act_begin(life *one)
{
    pin_blobs(one, true);
    rd_timer_start(one->timer, BLOB_WAIT_US, 0);
    if (life_has_blobs(one))
        life_feed(one, EV_COMPLETE);
}

static void on_taken(void *context, agent_enclave *enclave, const rd_err *error);

/* The owner's to know, like what the function writes; the plane has it in the report as well. */
static void tell_owner(const life *one)
{
    const agent_instances_config *config = &one->owner->config;
    char line[AGENT_REASON_MAX + AGENT_DETAIL_MAX + 64];
    (void)snprintf(line, sizeof line, "not started: %s: %s", one->reason, one->detail);
    config->on_log(config->context, one->job.instance_text, one->job.epoch, "error", rd_bytes_str(line));
}

/* Whether the owner signed it, before anything of it runs; which engine it asks for. */
static int check_chain(life *one, rd_engine *ret_engine, rd_err *err)
{
    agent_instances *all = one->owner;
    rd_class class;
    if (!rd_class_parse(all->config.launcher->ops->describe(all->config.launcher)->class_, &class))
        return rd_err_set(err, RD_E_CLASS_MISMATCH, "the launcher has no class");
    return agent_chain_check(all->chain, &one->job, all->config.blobs, class, rd_clock_wall_us(rd_clock_system()),
                             ret_engine, err);
}

static void act_take(life *one)
{
    rd_err err = RD_ERR_INIT;
    uint64_t ticket = 0;
    rd_engine engine;
    if (check_chain(one, &engine, &err) < 0) {
        bool is_ours = err.code == RD_E_NOT_FOUND || err.code == RD_E_IO; /* the disk's, not the owner's */
        note_error(one, &err);
        life_feed(one, is_ours ? EV_REFUSED : EV_FAILED);
        return;
    }
    one->pool = one->owner->config.pools[engine];
    if (!one->pool)
        (void)rd_err_set(&err, RD_E_UNSUPPORTED, "this host has no engine %s", rd_engine_names[engine]);
    rd_timer_start(one->timer, LIFE_START_WAIT_US, 0);
    (void)RD_FP(AGENT_BEFORE_LAUNCH);
    if (!one->pool || agent_pool_take(one->pool, on_taken, one, &ticket, &err) < 0) {
        note_error(one, &err);
        life_feed(one, EV_REFUSED);
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
    RD_CLEANUP(rd_buf_done) rd_buf kms = { 0 };
    char kms_id[RD_KMS_ID_TEXT_SIZE];
    if (agent_blobs_get(blobs, &job->genesis_blob, &genesis, err) < 0 ||
        agent_blobs_get(blobs, &job->head_blob, &head, err) < 0 ||
        agent_blobs_get(blobs, &job->release_blob, &release, err) < 0 ||
        agent_blobs_get(blobs, &job->code_blob, &code, err) < 0 ||
        (job->has_kms && agent_blobs_get(blobs, &job->kms_blob, &kms, err) < 0))
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
    rd_kms_set_digest(&job->kms, job->has_kms, &header.kms_set);
    if (job->has_kms) {
        rd_kms_id_format(&job->kms, kms_id);
        with.kms = rd_buf_bytes(&kms);
        with.kms_id = kms_id;
        with.has_grant_nonce = job->has_grant_nonce;
        memcpy(with.grant_nonce, job->grant_nonce, sizeof with.grant_nonce);
    }
    rd_launch_header_encode(&header, with.header);
    memcpy(with.nonce, job->nonce, sizeof with.nonce);
    return agent_enclave_specialise(one->enclave, &with, err);
}

static void act_specialise(life *one)
{
    rd_err err = RD_ERR_INIT;
    one->ticket = 0;
    one->splices.waits = true;
    life_report(one, RD_PHASE_LAUNCHING, "", "");
    if (specialise(one, &err) == 0) {
        (void)RD_FP(AGENT_AFTER_LAUNCH);
        return;
    }
    note_error(one, &err);
    life_feed(one, EV_FAILED);
}

static void act_attesting(life *one)
{
    life_report(one, RD_PHASE_ATTESTING, "", "");
}

/* Serving is said with evidence. An adopted enclave may have given its own to an agent that is gone: it is asked again,
 * and its answer is the report. A plane that finds the job's nonce too old by then asks for evidence itself. */
void life_say_serving(life *one)
{
    rd_err err = RD_ERR_INIT;
    if (one->has_evidence)
        life_report(one, RD_PHASE_SERVING, "", "");
    else if (one->job.has_nonce && agent_enclave_renew(one->enclave, one->job.nonce, &err) < 0)
        rd_log(RD_WARN, "evidence_not_asked", RD_STR("instance", one->job.instance_text), RD_ERR(&err));
}

static void act_serving(life *one)
{
    rd_timer_stop(one->timer);
    agent_splices_begin(&one->splices);
    pin_blobs(one, false); /* the enclave has its copy */
    life_say_serving(one);
}

static void act_drain(life *one)
{
    life_report(one, RD_PHASE_STOPPING, "drain", "");
    rd_timer_start(one->timer, one->owner->config.drain_timeout_us, 0);
    agent_enclave_drain(one->enclave);
}

static void act_cut(life *one)
{
    agent_splices_cut(&one->splices);
}

static void act_stop(life *one)
{
    life_report(one, RD_PHASE_STOPPING, "stop", "");
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
    life_report(one, RD_PHASE_FAILED, one->reason, one->detail);
    rd_timer_start(one->timer, STOP_WAIT_US, 0);
    agent_splices_cut(&one->splices);
    agent_enclave_stop(one->enclave);
}

static void act_too_slow(life *one)
{
    life_note(one, "timeout",
              one->grant_serial > 0 ? "the grant of its key service did not come in time"
                                    : "the enclave did not serve in time");
    act_fail(one);
}

/* Nothing of the release has run yet: that is this host's, and the plane plans again elsewhere. */
static void act_end_refused(life *one)
{
    life_report(one, RD_PHASE_REFUSED, one->reason, one->detail);
    on_ended_life(one);
}

/* The same on every host: it counts as the release's, and is not planned again elsewhere. */
static void act_end_unsigned(life *one)
{
    tell_owner(one);
    life_report(one, RD_PHASE_FAILED, one->reason, one->detail);
    on_ended_life(one);
}

static void act_end_no_blobs(life *one)
{
    life_note(one, "blob_missing", "documents or code did not come in time");
    act_end_refused(one);
}

static void act_end_gone(life *one)
{
    if (one->phase != RD_PHASE_FAILED)
        life_report(one, RD_PHASE_FAILED, "enclave_ended", one->detail);
    on_ended_life(one);
}

static void act_end_stopped(life *one)
{
    life_report(one, RD_PHASE_STOPPED, "", one->detail);
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
                      [EV_FAILED] = { act_end_unsigned, LIFE_ENDED },
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
    [LIFE_ENDED] = { [EV_TIMEOUT] = { act_cut, LIFE_ENDED } },
};

void life_feed(life *one, life_event event)
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
        life_feed(one, EV_ATTESTING);
        break;
    case RD_PHASE_SERVING:
        life_feed(one, EV_SERVING);
        break;
    case RD_PHASE_FAILED:
        life_note(one, reason, detail);
        life_feed(one, EV_FAILED);
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
    (void)RD_FP(AGENT_BEFORE_EVIDENCE);
    if (bundle.size > RD_EVIDENCE_SIZE_MAX)
        (void)rd_err_set(&err, RD_E_TOO_LARGE, "evidence of %zu bytes", bundle.size);
    else if (agent_blobs_put(one->owner->config.evidence, &digest, bundle, &err) == 0) {
        one->has_evidence = true;
        one->evidence = digest;
        if (one->state == LIFE_SERVING) /* a renewal, or what an adopted one was asked for */
            life_report(one, RD_PHASE_SERVING, "", "");
        return;
    }
    rd_log(RD_ERROR, "evidence_not_kept", RD_STR("instance", one->job.instance_text), RD_ERR(&err));
}

static void on_grant_wanted(void *context, agent_enclave *enclave, rd_bytes bundle, rd_bytes webhook)
{
    (void)enclave;
    life *one = context;
    agent_instances *all = one->owner;
    life_clear_grant(one);
    rd_buf_init(&one->grant_bundle, RD_EVIDENCE_SIZE_MAX);
    (void)rd_buf_append_bytes(&one->grant_webhook, webhook);
    if (!rd_buf_append_bytes(&one->grant_bundle, bundle)) {
        rd_log(RD_ERROR, "grant_evidence_too_large", RD_STR("instance", one->job.instance_text),
               RD_U64("size", bundle.size));
        return;
    }
    one->grant_serial = ++all->grant_serial;
    all->config.on_grant_wanted(all->config.context);
}

static void on_log(void *context, agent_enclave *enclave, const char *level, rd_bytes text)
{
    (void)enclave;
    life *one = context;
    agent_instances *all = one->owner;
    all->config.on_log(all->config.context, one->job.instance_text, one->job.epoch, level, text);
}

static void on_receipts(void *context, agent_enclave *enclave, rd_bytes record)
{
    (void)enclave;
    life *one = context;
    agent_instances *all = one->owner;
    all->config.on_receipts(all->config.context, one->job.instance_text, one->job.epoch, record);
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
    life_feed(one, EV_GONE);
}

const agent_enclave_events life_enclave_events = {
    .on_phase = on_phase,
    .on_evidence = on_evidence,
    .on_grant_wanted = on_grant_wanted,
    .on_log = on_log,
    .on_receipts = on_receipts,
    .on_drained = on_drained,
    .on_ended = on_ended,
};

static void on_taken(void *context, agent_enclave *enclave, const rd_err *error)
{
    life *one = context;
    one->ticket = 0;
    if (!enclave) {
        note_error(one, error);
        life_feed(one, EV_REFUSED);
        return;
    }
    one->enclave = enclave;
    agent_enclave_set_events(enclave, &life_enclave_events, one);
    life_feed(one, EV_TAKEN);
}

void life_on_timer(void *context)
{
    life *one = context;
    if (one->state == LIFE_TAKING)
        life_note(one, "timeout", "no enclave became ready in time");
    life_feed(one, EV_TIMEOUT);
}
