#include "api/agents_private.h"

#include "common/model/json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define HOSTS_A_LOAD 256

/* Leases above what each link has sent, in order, at most a window of them. $1, $2: hosts and their numbers. */
static const rd_pg_stmt stmts[] = {
    { "jobs_load",
      "SELECT " API_LEASE_COLUMNS ", u.host_id, c.era FROM unnest($1::uuid[], $2::bigint[]) AS u(host_id, sent)"
      " CROSS JOIN (SELECT era FROM cluster) c"
      " JOIN LATERAL (SELECT y.instance_id, y.epoch, y.org_id, y.app_id, y.job_seq, y.release_digest, y.want, y.live,"
      " y.cpu_m, y.mem FROM leases y WHERE y.host_id = u.host_id AND y.job_seq > u.sent ORDER BY y.job_seq LIMIT 64) l"
      " ON true" API_LEASE_JOINS " ORDER BY u.host_id, l.job_seq",
      2 },
};
const rd_pg_stmts api_jobs_stmts = { stmts, RD_ARRAY_LEN(stmts) };

enum {
    C_INSTANCE,
    C_EPOCH,
    C_ORG,
    C_APP,
    C_SEQ,
    C_RELEASE,
    C_WANT,
    C_LIVE,
    C_CPU,
    C_MEM,
    C_GENESIS,
    C_HEAD,
    C_RELEASE_BLOB,
    C_CODE,
    C_CLASS,
    C_PHASE,
    C_VALID,
    C_KMS,
    C_KMS_BLOB,
    C_HOST,
    C_ERA
};

/* ---- leases ---- */

api_host_lease *api_jobs_note_lease(api_host_link *host, const rd_pg_result *result, size_t row)
{
    rd_id instance;
    (void)rd_pg_get_fixed(result, row, C_INSTANCE, instance.b, 16);
    uint64_t epoch = (uint64_t)rd_pg_get_i64(result, row, C_EPOCH);
    api_lease_key key = api_lease_key_of(&instance, epoch);
    api_host_lease *lease = rd_table_get(host->leases, RD_BYTES_ARRAY(key.b));
    if (!lease) {
        lease = rd_alloc(sizeof *lease);
        if (!rd_table_set(host->leases, RD_BYTES_ARRAY(key.b), lease, NULL)) {
            free(lease);
            return NULL;
        }
        lease->instance = instance;
        lease->epoch = epoch;
    }
    (void)rd_pg_get_fixed(result, row, C_ORG, lease->org, 16);
    (void)rd_pg_get_fixed(result, row, C_APP, lease->app.b, 32);
    (void)rd_pg_get_fixed(result, row, C_RELEASE, lease->release.b, 32);
    (void)rd_pg_get_fixed(result, row, C_GENESIS, lease->genesis_blob.b, 32);
    (void)rd_pg_get_fixed(result, row, C_HEAD, lease->head_blob.b, 32);
    (void)rd_pg_get_fixed(result, row, C_RELEASE_BLOB, lease->release_blob.b, 32);
    (void)rd_pg_get_fixed(result, row, C_CODE, lease->code_blob.b, 32);
    lease->has_kms = rd_pg_get_fixed(result, row, C_KMS, lease->kms.b, 32) &&
                     rd_pg_get_fixed(result, row, C_KMS_BLOB, lease->kms_blob.b, 32);
    if (!rd_class_parse(rd_pg_get_text(result, row, C_CLASS), &lease->class))
        lease->class = RD_CLASS_SIMULATED;
    lease->want = (rd_want)rd_pg_get_i64(result, row, C_WANT);
    lease->is_live = rd_pg_get_bool(result, row, C_LIVE);
    lease->phase = (rd_phase)rd_pg_get_i64(result, row, C_PHASE);
    if (lease->phase == RD_PHASE_SERVING && lease->is_live) {
        int64_t valid_us = rd_pg_is_null(result, row, C_VALID) ? 0 : rd_pg_get_time(result, row, C_VALID);
        lease->renew_at_us = RD_MAX(valid_us - API_VERDICT_TERM_US / 2, (int64_t)1);
    }
    return lease;
}

/* ---- blobs ---- */

typedef struct push {
    api_host_link *host;
    rd_digest digest;
} push;

static void push_next(api_host_link *host);

static void push_end(push *p)
{
    api_host_link *host = p->host;
    host->blobs_in_flight--;
    free(p);
    push_next(host);
    api_host_release(host);
}

static void on_pushed(void *context, int status, rd_bytes body, const rd_err *error)
{
    (void)body;
    push *p = context;
    if (error || status != 204)
        rd_log(RD_WARN, "blob_push_failed", RD_STR("host", p->host->name), RD_I64("status", status));
    else
        p->host->agents->blobs_sent++;
    push_end(p);
}

static void on_blob(void *context, rd_bytes bytes, const rd_err *error)
{
    push *p = context;
    if (!bytes.data || !p->host->link) {
        if (p->host->link)
            rd_log(RD_ERROR, "blob_missing", RD_STR("host", p->host->name), RD_ERR(error));
        push_end(p);
        return;
    }
    char hex[65], path[80];
    rd_hex_encode(RD_BYTES_ARRAY(p->digest.b), hex);
    snprintf(path, sizeof path, "/blobs/%s", hex);
    rd_link_request request = { .method = "PUT", .path = path, .body = bytes, .is_binary = true };
    rd_err err = RD_ERR_INIT;
    if (rd_link_send(p->host->link, &request, on_pushed, p, &err) < 0)
        push_end(p);
}

/* The lease that names a blob tells where to look for it. */
static const api_host_lease *lease_of_blob(const api_host_link *host, const rd_digest *digest)
{
    size_t iterator = 0;
    void *value;
    while (rd_table_next(host->leases, &iterator, NULL, &value)) {
        const api_host_lease *lease = value;
        if (rd_digest_equal(digest, &lease->genesis_blob) || rd_digest_equal(digest, &lease->head_blob) ||
            rd_digest_equal(digest, &lease->release_blob) || rd_digest_equal(digest, &lease->code_blob) ||
            (lease->has_kms && rd_digest_equal(digest, &lease->kms_blob)))
            return lease;
    }
    /* An older head: any lease will do to find some; else the agent asks for what nobody granted. */
    return NULL;
}

static void push_next(api_host_link *host)
{
    while (host->link && host->need_count > 0 && host->blobs_in_flight < API_BLOB_FLIGHT) {
        rd_digest digest = host->needs[--host->need_count];
        const api_host_lease *lease = lease_of_blob(host, &digest);
        if (!lease) {
            rd_log(RD_WARN, "blob_unasked", RD_STR("host", host->name));
            continue; /* of no lease of this host: not handed out */
        }
        push *p = rd_alloc(sizeof *p);
        p->host = host;
        p->digest = digest;
        host->blobs_in_flight++;
        api_host_hold(host);
        api_blob_source_get(host->agents->options.blobs, &digest, &lease->app, &lease->release, on_blob, p);
    }
}

void api_jobs_need(api_host_link *host, const rd_digest *digests, size_t count)
{
    for (size_t i = 0; i < count && host->need_count < API_NEEDS_MAX; i++) {
        bool is_there = false;
        for (size_t k = 0; k < host->need_count; k++)
            is_there |= rd_digest_equal(&host->needs[k], &digests[i]);
        if (!is_there)
            host->needs[host->need_count++] = digests[i];
    }
    push_next(host);
}

/* ---- one job ---- */

typedef struct delivery {
    api_host_link *host;
    uint64_t seq;
    rd_id instance;
    uint64_t epoch;
    rd_want want;
} delivery;

typedef struct job_answer {
    int64_t floor_era;
    uint64_t floor_seq;
    rd_digest needs[API_NEEDS_MAX];
    size_t need_count;
} job_answer;

static int read_need(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    job_answer *answer = context;
    answer->need_count = index + 1;
    return rd_json_digest(item, pointer, &answer->needs[index], err);
}

static int read_needs(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 0, API_NEEDS_MAX, pointer, read_need, RD_CONTAINER_OF(into, job_answer, needs), err);
}

static const rd_json_field floor_fields[] = {
    { .name = "era", .kind = RD_JSON_I64, .offset = offsetof(job_answer, floor_era), .min = 0, .max = 8191 },
    { .name = "job_seq", .kind = RD_JSON_U64, .offset = offsetof(job_answer, floor_seq) },
    RD_JSON_END,
};
static const rd_json_field answer_fields[] = {
    { .name = "floor", .kind = RD_JSON_OBJECT, .offset = 0, .fields = floor_fields },
    { .name = "needs",
      .kind = RD_JSON_CUSTOM,
      .offset = offsetof(job_answer, needs),
      .flags = RD_OPTIONAL,
      .parse = read_needs },
    RD_JSON_END,
};

static void on_delivered(api_host_link *host, const delivery *d, const job_answer *answer)
{
    host->floor = RD_MAX(host->floor, RD_MIN(answer->floor_seq, host->sent));
    api_ingest_ack(host->agents->options.ingest, &host->host, host->session, (int64_t)host->floor, 0);
    if (d->want == RD_WANT_RUN) {
        api_report report = { .host = host->host,
                              .instance = d->instance,
                              .epoch = d->epoch,
                              .incarnation = host->incarnation,
                              .phase = RD_PHASE_DELIVERED };
        api_ingest_add(host->agents->options.ingest, &report, NULL, NULL, NULL);
    }
    api_jobs_need(host, answer->needs, answer->need_count);
}

static void on_answer(void *context, int status, rd_bytes body, const rd_err *error)
{
    delivery *d = context;
    api_host_link *host = d->host;
    job_answer answer = { 0 };
    rd_err err = RD_ERR_INIT;
    host->jobs_in_flight--;
    if (!host->link) {
        /* the next attach begins at the floor that the agent then tells */
    } else if (error) {
        host->agents->jobs_failed++;
        api_host_fail(host, "job", error);
    } else if (status != 200 && status != 409) {
        host->agents->jobs_failed++;
        (void)rd_err_set(&err, status == 410 ? RD_E_JOB_ERA : RD_E_LINK_PROTOCOL,
                         "job %" PRIu64 " answered with status %d: %.*s", d->seq, status, (int)RD_MIN(body.size, 200),
                         (const char *)body.data);
        api_host_fail(host, "job", &err);
    } else if (rd_json_load(body, NULL, answer_fields, RD_UNKNOWN_IGNORED, &answer, &err) < 0) {
        api_host_fail(host, "job", &err);
    } else if (status == 409) {
        host->sent = answer.floor_seq; /* something was missing between: from there again */
        host->wants_jobs = true;
    } else {
        on_delivered(host, d, &answer);
    }
    if (host->link && host->wants_jobs)
        api_jobs_want(host);
    else if (host->link && host->state == API_ATTACH_SENDING && host->is_all_sent && host->jobs_in_flight == 0)
        api_attach_opened(host);
    free(d);
    api_host_release(host);
}

static void fill_job(const api_host_link *host, const api_host_lease *lease, const rd_pg_result *result, size_t row,
                     api_lease_job *ret)
{
    *ret = (api_lease_job){ .era = rd_pg_get_i64(result, row, C_ERA),
                            .seq = (uint64_t)rd_pg_get_i64(result, row, C_SEQ),
                            .prev = host->sent,
                            .instance = lease->instance,
                            .epoch = lease->epoch,
                            .want = lease->want,
                            .app = lease->app,
                            .release = lease->release,
                            .class = lease->class,
                            .cpu_m = (uint64_t)rd_pg_get_i64(result, row, C_CPU),
                            .memory_bytes = (uint64_t)rd_pg_get_i64(result, row, C_MEM),
                            .genesis_blob = lease->genesis_blob,
                            .head_blob = lease->head_blob,
                            .release_blob = lease->release_blob,
                            .code_blob = lease->code_blob,
                            .has_kms = lease->has_kms,
                            .kms = lease->kms,
                            .kms_blob = lease->kms_blob };
    /* Given along, so that a start needs no turn for it; without one the instance asks for it. */
    ret->has_grant_nonce = lease->has_kms && lease->want == RD_WANT_RUN && lease->phase == RD_PHASE_NONE &&
                           api_kms_take_nonce(host->agents->options.kms, &lease->kms, ret->grant_nonce);
    api_nonce_make(api_plane_mac_key(host->agents->options.plane), &lease->instance, lease->epoch,
                   api_agents_wall_us(host->agents), ret->nonce);
}

static int send_job(api_host_link *host, const api_lease_job *job, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 };
    if (api_lease_job_encode(job, host->name, api_plane_mac_key(host->agents->options.plane), &body, err) < 0)
        return -1;
    char path[40];
    snprintf(path, sizeof path, "/jobs/%" PRIu64, job->seq);
    delivery *d = rd_alloc(sizeof *d);
    *d = (delivery){ host, job->seq, job->instance, job->epoch, job->want };
    rd_link_request request = { .method = "PUT", .path = path, .body = rd_buf_bytes(&body) };
    if (rd_link_send(host->link, &request, on_answer, d, err) < 0) {
        free(d);
        return -1;
    }
    api_host_hold(host);
    host->jobs_in_flight++;
    host->sent = job->seq;
    host->agents->jobs_sent++;
    return 0;
}

/* ---- loading ---- */

void api_jobs_want(api_host_link *host)
{
    host->wants_jobs = true;
    host->agents->has_wanting = true;
}

typedef struct job_load {
    api_agents *agents;
    size_t count;
    api_host_link *hosts[HOSTS_A_LOAD];
    uint64_t sent[HOSTS_A_LOAD];
} job_load;

/* Rows of one host: [from, to). */
static void send_rows(api_host_link *host, uint64_t loaded_from, const rd_pg_result *result, size_t from, size_t to)
{
    if (!host->link)
        return;
    if (host->sent != loaded_from) {
        api_jobs_want(host); /* it was set back meanwhile (409): load again from there */
        return;
    }
    host->is_all_sent = to - from < API_JOB_WINDOW;
    for (size_t row = from; row < to; row++) {
        if (host->jobs_in_flight >= API_JOB_WINDOW) {
            host->is_all_sent = false;
            host->wants_jobs = true; /* goes on when answers come */
            return;
        }
        api_host_lease *lease = api_jobs_note_lease(host, result, row);
        api_lease_job job;
        rd_err err = RD_ERR_INIT;
        if (!lease) {
            (void)rd_err_set(&err, RD_E_TOO_LARGE, "more than %d leases at one host", API_LEASES_A_HOST);
            api_host_fail(host, "job", &err);
            return;
        }
        fill_job(host, lease, result, row, &job);
        if (send_job(host, &job, &err) < 0) {
            api_host_fail(host, "job", &err);
            return;
        }
    }
    if (!host->is_all_sent)
        api_jobs_want(host);
    else if (host->state == API_ATTACH_SENDING && host->jobs_in_flight == 0)
        api_attach_opened(host);
}

static void on_loaded(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                      const rd_err *err)
{
    (void)failed;
    job_load *load = context;
    bool is_good = (outcome == RD_PG_SOME || outcome == RD_PG_NONE) && count == 1;
    if (!is_good)
        rd_log(RD_WARN, "jobs_load_failed", RD_U64("hosts", load->count), RD_ERR(err));
    size_t rows = is_good ? rd_pg_rows(results[0]) : 0;
    for (size_t i = 0; i < load->count; i++) {
        api_host_link *host = load->hosts[i];
        host->is_loading = false;
        size_t from = 0, to;
        while (from < rows && !rd_bytes_equal(rd_pg_get_bytes(results[0], from, C_HOST), RD_BYTES_ARRAY(host->host.b)))
            from++;
        for (to = from;
             to < rows && rd_bytes_equal(rd_pg_get_bytes(results[0], to, C_HOST), RD_BYTES_ARRAY(host->host.b)); to++)
            ;
        if (is_good)
            send_rows(host, load->sent[i], results[0], from, to);
        else if (host->link)
            api_jobs_want(host);
        host->agents->has_wanting |= host->wants_jobs; /* hinted while this was under way */
        api_host_release(host);
    }
    free(load);
}

void api_jobs_flush(api_agents *agents)
{
    agents->has_wanting = false;
    job_load *load = NULL;
    rd_pg_array hosts, sent;
    for (api_host_link *host = agents->first; host; host = host->next) {
        if (!host->wants_jobs || host->is_loading || !host->link || host->state < API_ATTACH_SENDING ||
            host->jobs_in_flight >= API_JOB_WINDOW)
            continue;
        if (!load) {
            load = rd_alloc(sizeof *load);
            load->agents = agents;
            rd_pg_array_init(&hosts, RD_PG_T_UUID);
            rd_pg_array_init(&sent, RD_PG_T_INT8);
        }
        if (load->count == HOSTS_A_LOAD) {
            agents->has_wanting = true;
            break;
        }
        host->wants_jobs = false;
        host->is_loading = true;
        api_host_hold(host);
        load->sent[load->count] = host->sent;
        load->hosts[load->count++] = host;
        rd_pg_array_bytes(&hosts, RD_BYTES_ARRAY(host->host.b));
        rd_pg_array_i64(&sent, (int64_t)host->sent);
    }
    if (!load)
        return;
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    rd_pg_batch_call(batch, "jobs_load", rd_pg_array_value(&hosts), rd_pg_array_value(&sent));
    rd_pg_array_done(&hosts);
    rd_pg_array_done(&sent);
    rd_err err = RD_ERR_INIT;
    if (rd_pg_async_submit(agents->options.pg, batch, on_loaded, load, &err) < 0)
        on_loaded(load, RD_PG_FAILED, NULL, 0, 0, &err);
}
