#include "agent/agent.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/egress.h"
#include "agent/journal.h"
#include "agent/kms.h"
#include "agent/launch_process.h"
#include "agent/logs.h"
#include "agent/machine.h"
#include "agent/measure.h"
#include "agent/scheduling.h"
#include "agent/state.h"
#include "agent/uplink.h"
#include "common/base/clock.h"
#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "common/base/text.h"
#include "common/io/config.h"
#include "common/io/link.h"

#define ENDPOINTS_MAX  8
#define JSC_PIDS_MAX   32
#define RUN_DIR_MAX    56 /* four more for the second engine's */
#define EVIDENCE_BYTES (UINT64_C(64) << 20)
#define LOG_BYTES      ((size_t)1 << 20)
#define RECEIPT_BYTES  ((size_t)16 << 20)
#define STATUS_US      1000000
#define KMS_WAIT_US    10000000 /* the first hello waits so long for the key service */
#define SWEEP_US       600000000
#define ENDED_KEPT_US  INT64_C(86400000000)

typedef struct agent_process {
    const agent_options *options;
    agent_state state;
    rd_loop *loop;
    agent_blobs *blobs, *evidence;
    agent_jobs *jobs;
    agent_reports *reports;
    agent_logs *logs;
    agent_receipts *receipts;
    agent_journal *journal;
    bool has_lost_journal; /* it was damaged and lies aside */
    agent_egress *egress;
    agent_launcher *launchers[RD_ENGINES]; /* by engine; the first is always there */
    agent_pool *pools[RD_ENGINES];
    agent_instances *instances;
    rd_tls_context *tls;
    agent_uplink *uplink;
    agent_kms kms;
    rd_timer *kms_timer; /* runs while the first hello waits for the key service */
    bool has_waited_for_kms;
    agent_capacity capacity;
    char hosts[ENDPOINTS_MAX][256];
    rd_endpoint endpoints[ENDPOINTS_MAX];
    size_t endpoint_count;
    rd_timer *status_timer, *sweep_timer;
    char *status_written;
    agent_enclave **adopted; /* those that answered before the instances were there to take them */
    size_t adopted_count;
    unsigned adoptions_left;
    bool is_adoption_over;
    bool is_stopping;
    bool has_failed;
    rd_err err;
} agent_process;

/* --- what instances and the journal say --- */

static void wake_uplink(agent_process *self)
{
    if (self->uplink)
        agent_uplink_wake(self->uplink);
}

static void on_report(void *context, const agent_report *report)
{
    agent_process *self = context;
    const agent_report *kept = agent_reports_add(self->reports, report);
    agent_journal_report(self->journal, kept);
}

static void on_log(void *context, const char *instance, uint64_t epoch, const char *level, rd_bytes text)
{
    agent_process *self = context;
    agent_logs_add(self->logs, instance, epoch, level, text, rd_clock_wall_us(rd_clock_system()));
    wake_uplink(self);
}

static void on_receipts(void *context, const char *instance, uint64_t epoch, rd_bytes record)
{
    agent_process *self = context;
    agent_receipts_add(self->receipts, instance, epoch, record);
    wake_uplink(self);
}

static void on_grant_wanted(void *context)
{
    wake_uplink(context);
}

/* An orderly stop waits for this by looking at the count; nothing else is to be done. */
static void on_empty(void *context RD_UNUSED)
{
}

static void on_durable(void *context)
{
    (void)RD_FP(AGENT_BEFORE_EVENT);
    wake_uplink(context);
}

static void on_journal_failed(void *context RD_UNUSED, const rd_err *error)
{
    rd_log(RD_ERROR, "journal_failed", RD_ERR(error));
}

static void forget_ended(void *context, const char *instance, uint64_t epoch)
{
    agent_process *self = context;
    const agent_job *job = agent_jobs_find(self->jobs, instance);
    agent_reports_forget(self->reports, instance, epoch);
    if (job && job->epoch == epoch)
        agent_jobs_forget(self->jobs, instance);
}

static void on_sweep(void *context)
{
    agent_process *self = context;
    agent_instances_sweep(self->instances, rd_clock_wall_us(rd_clock_system()) - ENDED_KEPT_US, forget_ended, self);
}

/* --- status for people: a file, written when it changed --- */

static void on_status(void *context)
{
    agent_process *self = context;
    const agent_launcher_info *info = self->launchers[0]->ops->describe(self->launchers[0]);
    agent_capacity used = agent_instances_used(self->instances);
    const char *journal = self->has_lost_journal                    ? "damaged: no new work until a restart"
                          : agent_journal_is_healthy(self->journal) ? "ok"
                                                                    : "failed: no new work";
    json_t *document = json_pack(
        "{s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s?, s:i}", "host", self->state.host,
        "journal", journal, "link", self->uplink ? agent_uplink_state(self->uplink) : "starting", "connected",
        self->uplink && agent_uplink_is_up(self->uplink), "instances",
        (json_int_t)agent_instances_count(self->instances), "slots_used", (json_int_t)used.slots, "slots",
        (json_int_t)self->capacity.slots, "blanks", (json_int_t)agent_pool_ready_count(self->pools[0]), "blank_refused",
        agent_pool_trouble(self->pools[0]), "launcher", info->name, "class", info->class_, "mrtd", info->mrtd,
        "not_enforced", info->limits, "kms",
        !self->kms.dir         ? "none"
        : self->kms.is_ready   ? "serving"
        : self->kms.is_waiting ? "waiting for its root (redoubt kms join)"
                               : "not serving",
        "kms_socket", self->kms.socket, "pid", (int)getpid());
    RD_CLEANUP(rd_free_p) char *text = json_dumps(document, JSON_COMPACT);
    json_decref(document);
    if (!text || (self->status_written && strcmp(self->status_written, text) == 0))
        return;
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_free_p) char *path = agent_state_path(&self->state, AGENT_FILE_STATUS);
    if (rd_file_write_volatile(path, text, strlen(text), 0600, &err) < 0)
        rd_log(RD_WARN, "status_not_written", RD_ERR(&err));
    free(self->status_written);
    self->status_written = RD_TAKE(text);
}

/* --- starting --- */

static int parse_endpoints(agent_process *self, rd_err *err)
{
    const char *named = self->options->link_address ? self->options->link_address : self->state.link;
    RD_CLEANUP(rd_free_p) char *list = rd_strdup(named ? named : "");
    char *saved = NULL;
    for (char *one = strtok_r(list, ",", &saved); one && self->endpoint_count < ENDPOINTS_MAX;
         one = strtok_r(NULL, ",", &saved)) {
        size_t n = self->endpoint_count;
        if (rd_parse_endpoint(one, self->hosts[n], sizeof self->hosts[n], &self->endpoints[n].port, err) < 0)
            return rd_err_wrap(err, "link address");
        self->endpoints[n].host = self->hosts[n];
        self->endpoint_count++;
    }
    return self->endpoint_count ? 0
                                : rd_err_set(err, RD_E_CONFIG, "this state folder names no link address; enroll again");
}

static int make_tls(agent_process *self, rd_err *err)
{
    rd_buf certificate = { 0 }, key = { 0 }, ca = { 0 };
    int status = agent_state_read(&self->state, AGENT_FILE_CERTIFICATE, &certificate, err);
    if (status == 0)
        status = agent_state_read(&self->state, AGENT_FILE_KEY, &key, err);
    if (status == 0)
        status = agent_state_read(&self->state, AGENT_FILE_CA, &ca, err);
    const rd_tls_config config = { .role = RD_TLS_LINK_CLIENT,
                                   .certificate_pem = rd_buf_bytes(&certificate),
                                   .key_pem = rd_buf_bytes(&key),
                                   .ca_pem = rd_buf_bytes(&ca),
                                   .alpn = RD_LINK_ALPN };
    if (status == 0)
        status = rd_tls_context_new(&config, &self->tls, err);
    rd_buf_done(&certificate);
    rd_buf_wipe(&key);
    rd_buf_done(&ca);
    return status;
}

/* A damaged journal is kept for people to look at, and a new history begins, which the plane sees by its id: what runs
 * goes on, orders to end it are taken, and new work is refused until somebody has looked and restarts the agent. */
static int begin_new_journal(agent_process *self, agent_journal_config *config, rd_err *err)
{
    RD_CLEANUP(rd_free_p)
    char *aside = rd_asprintf("%s.damaged-%llu", config->path, (unsigned long long)config->incarnation);
    rd_log(RD_ERROR, "journal_damaged", RD_ERR(err), RD_STR("kept_as", aside));
    if (rename(config->path, aside) < 0)
        return -1;
    self->has_lost_journal = true;
    agent_jobs_free(self->jobs);
    agent_reports_free(self->reports);
    config->jobs = self->jobs = agent_jobs_new();
    config->reports = self->reports = agent_reports_new(config->incarnation);
    return agent_journal_open(self->loop, config, &self->journal, err);
}

static int open_stores(agent_process *self, rd_err *err)
{
    const agent_options *options = self->options;
    RD_CLEANUP(rd_free_p) char *blobs = agent_state_path(&self->state, AGENT_DIR_BLOBS);
    RD_CLEANUP(rd_free_p) char *evidence = agent_state_path(&self->state, AGENT_DIR_EVIDENCE);
    RD_CLEANUP(rd_free_p) char *journal = agent_state_path(&self->state, AGENT_FILE_JOURNAL);
    uint64_t incarnation = (uint64_t)(rd_clock_wall_us(rd_clock_system()) / 1000000);
    if (agent_blobs_open(blobs, options->blob_bytes, NULL, &self->blobs, err) < 0 ||
        agent_blobs_open(evidence, EVIDENCE_BYTES, self->loop, &self->evidence, err) < 0)
        return -1;
    self->jobs = agent_jobs_new();
    self->reports = agent_reports_new(incarnation);
    self->logs = agent_logs_new(LOG_BYTES);
    self->receipts = agent_receipts_new(RECEIPT_BYTES);
    agent_journal_config config = { .path = journal,
                                    .size_max = options->journal_bytes,
                                    .incarnation = incarnation,
                                    .jobs = self->jobs,
                                    .reports = self->reports,
                                    .context = self,
                                    .on_durable = on_durable,
                                    .on_failed = on_journal_failed };
    if (agent_journal_open(self->loop, &config, &self->journal, err) == 0)
        return 0;
    if (err->code != RD_E_SPOOL_CORRUPT)
        return -1;
    return begin_new_journal(self, &config, err);
}

/* Socket paths are short: a deep state folder gets its run folder elsewhere, found again by the folder's name. */
static char *run_dir(const agent_state *state)
{
    char *beside = agent_state_path(state, AGENT_DIR_RUN);
    if (strlen(beside) <= RUN_DIR_MAX)
        return beside;
    uint8_t digest[RD_SHA256_SIZE];
    char hex[17];
    rd_sha256(rd_bytes_str(beside), digest);
    rd_hex_encode(rd_bytes_of(digest, 8), hex);
    free(beside);
    return rd_asprintf("/tmp/redoubt-agent-%u-%s", (unsigned)getuid(), hex);
}

static void start_uplink(agent_process *self);

/* Once adoption is over and the key service is there, or has had its time. */
static void maybe_start_uplink(agent_process *self)
{
    bool waits = self->kms.dir && !self->kms.is_ready && !self->kms.is_waiting && !self->has_waited_for_kms;
    if (self->is_adoption_over && self->instances && !self->is_stopping && !self->uplink && !waits)
        start_uplink(self);
}

static void on_kms_waited(void *context)
{
    agent_process *self = context;
    self->has_waited_for_kms = true;
    maybe_start_uplink(self);
}

static void on_kms(void *context, bool is_ready, const char *why)
{
    agent_process *self = context;
    bool is_news = is_ready && !self->kms.is_ready;
    self->kms.is_ready = is_ready;
    self->kms.is_waiting = strncmp(why, AGENT_KMS_WAITS, sizeof AGENT_KMS_WAITS - 1) == 0;
    if (is_news && self->uplink)
        agent_uplink_tell_kms(self->uplink);
    maybe_start_uplink(self);
}

static int order_kms(agent_process *self, const char *run, agent_sim_kms_order *ret, rd_err *err)
{
    const agent_options *options = self->options;
    agent_kms_init(&self->kms, options->kms_dir, run);
    if (!options->kms_dir)
        return 0;
    const agent_kms_wish wish = { .program = options->kms,
                                  .ticket_key = options->kms_ticket_key,
                                  .join = options->kms_join,
                                  .platforms = &options->kms_platforms,
                                  .recovery_keys = &options->kms_recovery_keys,
                                  .recovery_threshold = options->kms_recovery_threshold };
    return agent_kms_order(&self->kms, &wish, ret, err);
}

/* The way out of the enclaves. What the operator opens is a loosening, and said so once. */
static int start_egress(agent_process *self, rd_err *err)
{
    agent_egress_rules rules = { .allow_count = 0 };
    const rd_option_list *allow = &self->options->egress_allow;
    for (size_t i = 0; i < allow->count; i++) {
        if (agent_egress_rules_allow(&rules, allow->items[i], err) < 0)
            return -1;
        rd_log(RD_WARN, "egress_range_opened", RD_STR("range", allow->items[i]));
    }
    self->egress = agent_egress_new(rd_loop_uv(self->loop), &rules);
    for (size_t i = 0; i < self->endpoint_count; i++)
        agent_egress_guard_plane(self->egress, self->endpoints[i].host, self->endpoints[i].port);
    return 0;
}

/* The second engine, where its program is: a simulated TEE of its own, as what is measured is another program. Its
 * enclaves start cold. */
static int start_jsc(agent_process *self, const agent_process_options *first, rd_err *err)
{
    char enclave[PATH_MAX], beside[PATH_MAX];
    const char *given = self->options->enclave_jsc;
    bool is_auto = strcmp(given, "auto") == 0;
    if (agent_enclave_path(first->enclave_path, enclave, sizeof enclave, err) < 0)
        return -1;
    if (strcmp(given, "off") == 0 || (is_auto && !agent_enclave_find_jsc(enclave, beside, sizeof beside)))
        return 0;
    RD_CLEANUP(rd_free_p) char *run = rd_asprintf("%s-jsc", first->run_dir);
    agent_process_options options = *first;
    options.run_dir = run;
    options.enclave_path = is_auto ? beside : given;
    options.pids_max = JSC_PIDS_MAX;
    options.kms = NULL;
    options.on_kms = NULL;
    return agent_launch_process_new(rd_loop_uv(self->loop), &options, &self->launchers[RD_ENGINE_JSC], err);
}

static int start_launcher(agent_process *self, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *run = run_dir(&self->state);
    agent_sim_kms_order order;
    if (order_kms(self, run, &order, err) < 0)
        return -1;
    RD_CLEANUP(rd_free_p) char *platform = agent_state_path(&self->state, AGENT_DIR_PLATFORM);
    const agent_process_options options = { .run_dir = run,
                                            .enclave_path = self->options->enclave,
                                            .quoter_dir = platform,
                                            .cgroup = self->options->cgroup,
                                            .kms = self->kms.dir ? &order : NULL,
                                            .kms_context = self,
                                            .on_kms = on_kms,
                                            .egress = self->egress,
                                            .insecure_unsandboxed = self->options->insecure_unsandboxed };
    if (!self->state.is_simulated)
        return agent_machine_tee(err) < 0
                   ? -1
                   : rd_err_set(err, RD_E_UNSUPPORTED, "hardware launchers are not part of this version");
    if (agent_launch_process_new(rd_loop_uv(self->loop), &options, &self->launchers[0], err) < 0)
        return -1;
    return start_jsc(self, &options, err);
}

static void start_uplink(agent_process *self)
{
    const agent_uplink_config config = { .loop = self->loop,
                                         .state = &self->state,
                                         .tls = self->tls,
                                         .jobs = self->jobs,
                                         .reports = self->reports,
                                         .journal = self->journal,
                                         .instances = self->instances,
                                         .blobs = self->blobs,
                                         .evidence = self->evidence,
                                         .logs = self->logs,
                                         .receipts = self->receipts,
                                         .kms = &self->kms,
                                         .capacity = self->capacity,
                                         .has_jsc = self->launchers[RD_ENGINE_JSC] != NULL,
                                         .endpoints = self->endpoints,
                                         .endpoint_count = self->endpoint_count,
                                         .dial_first_max_us = self->options->dial_jitter_us };
    if (agent_uplink_new(&config, &self->uplink, &self->err) < 0) {
        self->has_failed = true;
        rd_loop_stop(self->loop);
    }
}

static void on_adopted(void *context, agent_enclave *enclave)
{
    agent_process *self = context;
    if (self->instances) {
        agent_instances_adopt(self->instances, enclave);
        return;
    }
    self->adopted = rd_realloc(self->adopted, (self->adopted_count + 1) * sizeof(agent_enclave *));
    self->adopted[self->adopted_count++] = enclave;
}

static void end_adoption(agent_process *self)
{
    for (size_t i = 0; i < self->adopted_count; i++)
        agent_instances_adopt(self->instances, self->adopted[i]);
    self->adopted_count = 0;
    agent_instances_adopted(self->instances);
    maybe_start_uplink(self);
}

static void on_adopt_done(void *context, size_t count)
{
    agent_process *self = context;
    rd_log(RD_INFO, "adopted", RD_U64("instances", count));
    if (--self->adoptions_left > 0)
        return;
    self->is_adoption_over = true;
    if (self->instances)
        end_adoption(self);
}

static void apply_known_jobs(agent_process *self)
{
    size_t iterator = 0;
    const agent_job *job;
    while (agent_jobs_next(self->jobs, &iterator, &job)) {
        const agent_report *newest = agent_reports_newest(self->reports, job->instance_text, job->epoch);
        agent_instances_apply(self->instances, job, newest ? (rd_phase)newest->phase : RD_PHASE_NONE);
    }
}

static const agent_enclave_events no_events;

static int start_instances(agent_process *self, rd_err *err)
{
    /* Adoption is asked for before the pool starts anything; with nothing to adopt it is over at once. */
    for (size_t i = 0; i < RD_ENGINES; i++)
        self->adoptions_left += self->launchers[i] != NULL;
    for (size_t i = 0; i < RD_ENGINES; i++) {
        agent_launcher *launcher = self->launchers[i];
        if (launcher && launcher->ops->adopt(launcher, &no_events, self, on_adopted, on_adopt_done, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < RD_ENGINES; i++) {
        const agent_pool_options pool = { .size = i == RD_ENGINE_QUICKJS ? (uint32_t)self->options->pool : 0 };
        self->pools[i] = self->launchers[i] ? agent_pool_new(self->launchers[i], &pool) : NULL;
    }
    const agent_instances_config config = { .loop = self->loop,
                                            .launcher = self->launchers[0],
                                            .pools = { self->pools[0], self->pools[RD_ENGINE_JSC] },
                                            .blobs = self->blobs,
                                            .evidence = self->evidence,
                                            .capacity = self->capacity,
                                            .drain_timeout_us = self->options->drain_timeout_us,
                                            .has_lost_journal = self->has_lost_journal,
                                            .context = self,
                                            .on_report = on_report,
                                            .on_grant_wanted = on_grant_wanted,
                                            .on_log = on_log,
                                            .on_receipts = on_receipts,
                                            .on_empty = on_empty };
    self->instances = agent_instances_new(&config);
    apply_known_jobs(self);
    if (self->is_adoption_over)
        end_adoption(self);
    return 0;
}

static void on_signal(void *context)
{
    agent_process *self = context;
    self->is_stopping = true;
    rd_loop_stop(self->loop);
}

static int start(agent_process *self, rd_err *err)
{
    const agent_options *options = self->options;
    agent_capacity machine = agent_machine_capacity();
    self->capacity = (agent_capacity){ options->cpu_m ? options->cpu_m : machine.cpu_m,
                                       options->memory_bytes ? options->memory_bytes : machine.memory_bytes,
                                       options->slots ? options->slots : machine.slots };
    if (agent_state_open(options->state_dir, false, &self->state, err) < 0)
        return -1;
    if (!self->state.host[0])
        return rd_err_set(err, RD_E_CONFIG, "%s is not enrolled; run: redoubt-agent enroll --state %s …",
                          options->state_dir, options->state_dir);
    if (parse_endpoints(self, err) < 0 || make_tls(self, err) < 0 || rd_loop_new(&self->loop, err) < 0 ||
        rd_loop_on_signals(self->loop, on_signal, NULL, self, err) < 0)
        return -1;
    if (open_stores(self, err) < 0 || start_egress(self, err) < 0 || start_launcher(self, err) < 0 ||
        start_instances(self, err) < 0)
        return -1;
    self->status_timer = rd_timer_new(self->loop, on_status, self);
    rd_timer_start(self->status_timer, 0, STATUS_US);
    self->kms_timer = rd_timer_new(self->loop, on_kms_waited, self);
    rd_timer_start(self->kms_timer, KMS_WAIT_US, 0);
    self->sweep_timer = rd_timer_new(self->loop, on_sweep, self);
    rd_timer_start(self->sweep_timer, SWEEP_US, SWEEP_US);
    rd_log(RD_INFO, "ready", RD_STR("host", self->state.host), RD_U64("slots", self->capacity.slots),
           RD_BOOL("simulated", self->state.is_simulated));
    return 0;
}

/* --- stopping --- */

static void on_closed(void *context)
{
    *(bool *)context = true;
}

static void wait_until(agent_process *self, const bool *is_done)
{
    int64_t end_us = rd_clock_boot_us(rd_clock_system()) + 5000000;
    while (!*is_done && rd_clock_boot_us(rd_clock_system()) < end_us)
        rd_loop_turn(self->loop, true);
}

static void drain(agent_process *self)
{
    int64_t end_us = rd_clock_boot_us(rd_clock_system()) + self->options->drain_timeout_us;
    agent_instances_drain_all(self->instances);
    while (agent_instances_count(self->instances) > 0 && rd_clock_boot_us(rd_clock_system()) < end_us)
        rd_loop_turn(self->loop, true);
}

static void stop_engine(agent_process *self, agent_launcher *launcher, agent_pool *pool)
{
    bool pool_closed = !pool, launcher_closed = !launcher;
    if (pool) {
        agent_pool_close(pool, on_closed, &pool_closed);
        wait_until(self, &pool_closed);
    }
    if (launcher) {
        launcher->ops->close(launcher, self->options->on_stop != AGENT_STOP_KEEP, on_closed, &launcher_closed);
        wait_until(self, &launcher_closed);
    }
}

static void stop(agent_process *self)
{
    bool egress_closed = !self->egress;
    if (self->instances && self->options->on_stop == AGENT_STOP_DRAIN)
        drain(self);
    self->status_timer = rd_timer_free(self->status_timer);
    self->sweep_timer = rd_timer_free(self->sweep_timer);
    self->kms_timer = rd_timer_free(self->kms_timer);
    agent_splices_cut(&self->kms.splices);
    if (self->uplink)
        agent_uplink_close(self->uplink);
    self->instances = self->instances ? agent_instances_free(self->instances) : NULL;
    for (size_t i = 0; i < RD_ENGINES; i++)
        stop_engine(self, self->launchers[i], self->pools[i]);
    if (self->launchers[0] && self->kms.socket && self->options->on_stop != AGENT_STOP_KEEP)
        (void)unlink(self->kms.socket); /* who listened there has ended with the launcher */
    if (self->egress) {
        agent_egress_close(self->egress, on_closed, &egress_closed);
        wait_until(self, &egress_closed);
    }
    if (self->status_written) {
        RD_CLEANUP(rd_free_p) char *path = agent_state_path(&self->state, AGENT_FILE_STATUS);
        (void)unlink(path);
    }
    self->journal = agent_journal_close(self->journal);
    rd_loop_free(self->loop);
    self->uplink = agent_uplink_free(self->uplink);
    agent_jobs_free(self->jobs);
    agent_reports_free(self->reports);
    agent_logs_free(self->logs);
    agent_receipts_free(self->receipts);
    agent_blobs_free(self->blobs);
    agent_blobs_free(self->evidence);
    rd_tls_context_free(self->tls);
    agent_kms_done(&self->kms);
    agent_state_done(&self->state);
    free(self->status_written);
    free(self->adopted);
}

int agent_run(const agent_options *options, rd_err *err)
{
    agent_process self = { .options = options, .err = RD_ERR_INIT };
    agent_scheduling_patient();
    int status = start(&self, err);
    if (status == 0)
        status = rd_loop_run(self.loop, err);
    if (status == 0 && self.has_failed) {
        *err = self.err;
        status = -1;
    }
    stop(&self);
    return status;
}
