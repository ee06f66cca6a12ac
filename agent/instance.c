#include "agent/instance_life.h"

#include "common/base/clock.h"
#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/model/json.h"

#include <stdlib.h>
#include <string.h>

#define INSTANCES_MAX 65536
#define WAITING_MAX   256 /* connections to instances that start */

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
    one->timer = rd_timer_new(all->config.loop, life_on_timer, one);
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
    life_clear_grant(one);
    rd_timer_free(one->timer);
    free(one);
}

static bool has_room(const agent_instances *all, const agent_job *job)
{
    const agent_capacity *has = &all->config.capacity, *used = &all->used;
    return used->slots + 1 <= has->slots && used->cpu_m + job->cpu_m <= has->cpu_m &&
           job->memory_bytes <= has->memory_bytes && used->memory_bytes <= has->memory_bytes - job->memory_bytes;
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
        life_feed(one, event_of((rd_want)one->job.want));
        return;
    }
    const char *why = refusal(one->owner, &one->job);
    if (why) {
        life_note(one, why, "");
        life_feed(one, EV_REFUSED);
        return;
    }
    life_hold_capacity(one, true);
    life_feed(one, EV_WANT_RUN);
}

agent_instances *agent_instances_new(const agent_instances_config *config)
{
    agent_instances *all = rd_alloc(sizeof *all);
    all->config = *config;
    all->newest = rd_table_new(INSTANCES_MAX);
    all->chain = agent_chain_new();
    all->is_adopting = true;
    return all;
}

agent_instances *agent_instances_free(agent_instances *all)
{
    if (!all)
        return NULL;
    while (all->lives) {
        /* The process lives on, to be adopted: only a launcher that is asked to stop ends it. */
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): destroy takes it off the list. */
        if (all->lives->enclave)
            agent_enclave_set_events(all->lives->enclave, NULL, NULL);
        all->lives->enclave = NULL;
        destroy(all->lives);
    }
    rd_table_free(all->newest);
    agent_chain_free(all->chain);
    free(all);
    return NULL;
}

static void take_job(life *one, const agent_job *job)
{
    life_hold_capacity(one, false);
    one->job = *job;
    life_hold_capacity(one, true);
    agent_enclave_share(one->enclave, job->cpu_m);
    if (one->state == LIFE_SERVING)
        life_say_serving(one);
}

void agent_instances_apply(agent_instances *all, const agent_job *job, rd_phase phase)
{
    life *one = find(all, job->instance_text);
    if (one && one->job.epoch == job->epoch) {
        one->job.want = job->want;
        one->job.job_seq = job->job_seq;
        if (one->phase == RD_PHASE_NONE && one->enclave) /* kept without a job: now it has one */
            take_job(one, job);
        if (!all->is_adopting)
            life_feed(one, event_of((rd_want)job->want));
        return;
    }
    if (one && one->state != LIFE_ENDED)
        life_feed(one, EV_WANT_STOP); /* an older epoch of the same instance */
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
    agent_enclave_set_events(enclave, &life_enclave_events, one);
    life_hold_capacity(one, true);
    agent_enclave_share(enclave, one->job.cpu_m);
    bool is_serving = agent_enclave_get_state(enclave) == AGENT_ENCLAVE_SERVING;
    bool is_draining = agent_enclave_get_state(enclave) == AGENT_ENCLAVE_DRAINING;
    one->state = is_serving ? LIFE_SERVING : is_draining ? LIFE_DRAINING : LIFE_STARTING;
    one->splices.waits = one->state == LIFE_STARTING;
    rd_timer_start(one->timer, is_draining ? all->config.drain_timeout_us : LIFE_START_WAIT_US, 0);
    rd_log(RD_INFO, "instance_adopted", RD_STR("instance", one->job.instance_text), RD_U64("epoch", one->job.epoch),
           RD_STR("state", agent_enclave_state_name(agent_enclave_get_state(enclave))));
    if (is_serving)
        rd_timer_stop(one->timer);
    if (is_serving && one->phase != RD_PHASE_SERVING) /* it came so far while nobody wrote it down */
        life_say_serving(one);
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
                life_feed(one, event_of((rd_want)one->job.want));
        } else if (one->phase == RD_PHASE_NONE || one->phase == RD_PHASE_DELIVERED) {
            begin(one); /* the agent died before it had started it */
        } else {
            life_note(one, "enclave_ended", "it ended while the agent was not running");
            one->state = LIFE_STOPPING;
            if (one->job.want == RD_WANT_RUN && one->phase != RD_PHASE_STOPPING)
                life_report(one, RD_PHASE_FAILED, one->reason, one->detail);
            life_feed(one, EV_GONE);
        }
    }
}

/* ---- questions ---- */

void agent_instances_blob_arrived(agent_instances *all)
{
    for (life *one = all->lives, *next; one; one = next) {
        next = one->next;
        if (one->state == LIFE_WAITING && life_has_blobs(one))
            life_feed(one, EV_COMPLETE);
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
        const rd_digest *blobs[AGENT_JOB_BLOBS_MAX];
        size_t count = agent_job_blobs(&one->job, blobs);
        for (size_t i = 0; i < count; i++)
            add_need(all->config.blobs, blobs[i], array);
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

static size_t waiting(const agent_instances *all)
{
    size_t count = 0;
    for (const life *one = all->lives; one; one = one->next)
        count += one->splices.waits ? one->splices.count : 0;
    return count;
}

int agent_instances_route(agent_instances *all, const char *instance, uint64_t epoch, const char **ret_socket,
                          agent_splices **ret_splices, rd_err *err)
{
    life *one = find(all, instance);
    if (!one || one->job.epoch != epoch || one->state == LIFE_ENDED)
        return rd_err_set(err, RD_E_EPOCH_STALE, "%.40s is not here under epoch %llu", instance,
                          (unsigned long long)epoch);
    bool is_taking = one->state == LIFE_SERVING || (one->state == LIFE_STARTING && waiting(all) < WAITING_MAX);
    if (!is_taking || one->job.want != RD_WANT_RUN)
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

/* ---- grants ---- */

bool agent_instances_next_grant(const agent_instances *all, uint64_t after, agent_grant_wish *ret)
{
    const life *first = NULL;
    for (const life *one = all->lives; one; one = one->next)
        if (one->grant_serial > after && (!first || one->grant_serial < first->grant_serial))
            first = one;
    if (!first)
        return false;
    *ret = (agent_grant_wish){ first->grant_serial, first->job.instance_text, first->job.epoch,
                               rd_buf_bytes(&first->grant_bundle), rd_buf_bytes(&first->grant_webhook) };
    return true;
}

static life *find_enclave(const agent_instances *all, const char *instance, uint64_t epoch, rd_err *err)
{
    life *one = find(all, instance);
    if (one && one->job.epoch == epoch && one->enclave)
        return one;
    (void)rd_err_set(err, RD_E_EPOCH_STALE, "%.40s is not here under epoch %llu", instance, (unsigned long long)epoch);
    return NULL;
}

int agent_instances_grant_nonce(agent_instances *all, const char *instance, uint64_t epoch, const uint8_t nonce[32],
                                rd_bytes head, rd_err *err)
{
    life *one = find_enclave(all, instance, epoch, err);
    if (!one)
        return -1;
    life_clear_grant(one); /* it asks again, with evidence */
    return agent_enclave_nonce(one->enclave, nonce, head, err);
}

int agent_instances_grant(agent_instances *all, const char *instance, uint64_t epoch, rd_bytes grant, rd_err *err)
{
    life *one = find_enclave(all, instance, epoch, err);
    if (!one)
        return -1;
    (void)RD_FP(AGENT_BEFORE_GRANT);
    life_clear_grant(one);
    int outcome = agent_enclave_grant(one->enclave, grant, err);
    (void)RD_FP(AGENT_AFTER_GRANT);
    return outcome;
}

int agent_instances_grant_refused(agent_instances *all, const char *instance, uint64_t epoch, const char *code,
                                  const char *detail, rd_err *err)
{
    life *one = find_enclave(all, instance, epoch, err);
    if (!one)
        return -1;
    life_clear_grant(one);
    rd_log(RD_WARN, "grant_refused", RD_STR("instance", instance), RD_U64("epoch", epoch), RD_STR("reason", code),
           RD_STR("detail", detail));
    if (one->state == LIFE_STARTING) {
        life_note(one, code, detail);
        life_feed(one, EV_FAILED);
    }
    return 0;
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
        life_feed(one, EV_WANT_DRAIN);
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
