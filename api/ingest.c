#include "api/ingest.h"

#include "api/host_fault.h"
#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_US   100000
#define COMPANY_US 25000 /* how long what nobody waits for waits for more */

typedef struct waiter {
    api_ingest_fn done;
    void *context;
    struct waiter *next;
} waiter;

/* One lease's news: its newest report, its newest verdict, everyone who waits for the commit. */
typedef struct entry {
    bool has_report;
    api_report report;
    api_verdict *verdict;
    waiter *waiters;
    struct entry *next;
} entry;

typedef struct ack {
    rd_id host;
    int64_t session, acked, event;
} ack;

struct api_ingest {
    api_ingest_options options;
    rd_table *entries; /* waiting, by lease */
    entry *first, **last;
    size_t count;
    rd_table *acks; /* waiting, by host */
    /* under way */
    entry *flight;
    size_t flight_count;
    ack *flight_acks;
    size_t flight_ack_count;
    bool is_busy;
    bool is_submitted; /* an answer is due */
    bool is_pressing;  /* among what waits is an outcome, or something that waited long enough */
    bool is_closing;
    int status_index;  /* of the status statement in the batch, or -1 */
    size_t leases_max; /* halved after a failure, to find the culprit */
    rd_flusher *flusher;
    rd_timer *timer, *company;
    bool has_company; /* that timer runs */
    uint64_t folds, leases, refused, failed, parked;
};

typedef struct lease_key {
    uint8_t b[24];
} lease_key;

static lease_key key_of(const rd_id *instance, uint64_t epoch)
{
    lease_key key;
    memcpy(key.b, instance->b, 16);
    memcpy(key.b + 16, &epoch, 8);
    return key;
}

static void entry_done(entry *item, bool is_durable)
{
    waiter *next;
    for (waiter *w = item->waiters; w; w = next) {
        next = w->next;
        w->done(w->context, is_durable);
        free(w);
    }
    api_verdict_free(item->verdict);
    free(item);
}

static entry *entry_of(api_ingest *ingest, const rd_id *instance, uint64_t epoch)
{
    lease_key key = key_of(instance, epoch);
    entry *item = rd_table_get(ingest->entries, RD_BYTES_ARRAY(key.b));
    if (item)
        return item;
    item = rd_alloc(sizeof *item);
    (void)rd_table_set(ingest->entries, RD_BYTES_ARRAY(key.b), item, NULL);
    *ingest->last = item;
    ingest->last = &item->next;
    ingest->count++;
    return item;
}

static bool is_newer(const api_report *a, const api_report *b)
{
    if (a->incarnation != b->incarnation)
        return a->incarnation > b->incarnation;
    return a->seq >= b->seq;
}

static void take_verdict(entry *item, api_verdict *verdict)
{
    if (item->verdict && item->verdict->verified_at_us > verdict->verified_at_us) {
        api_verdict_free(verdict);
        return;
    }
    api_verdict_free(item->verdict);
    item->verdict = verdict;
}

/* On the way to an outcome: soon overtaken, and nothing is decided by it. */
static bool is_progress(rd_phase phase)
{
    return phase < RD_PHASE_SERVING || phase == RD_PHASE_STOPPING;
}

void api_ingest_add(api_ingest *ingest, const api_report *report, api_verdict *verdict, api_ingest_fn done,
                    void *context)
{
    entry *item = entry_of(ingest, &report->instance, report->epoch);
    if (!item->has_report || is_newer(report, &item->report))
        item->report = *report;
    item->has_report = true;
    ingest->is_pressing |= verdict != NULL || !is_progress(report->phase);
    if (verdict)
        take_verdict(item, verdict);
    if (!done)
        return;
    waiter *w = rd_alloc(sizeof *w);
    *w = (waiter){ done, context, item->waiters };
    item->waiters = w;
}

void api_ingest_verdict(api_ingest *ingest, api_verdict *verdict)
{
    take_verdict(entry_of(ingest, &verdict->instance, verdict->epoch), verdict);
    ingest->is_pressing = true;
}

void api_ingest_ack(api_ingest *ingest, const rd_id *host, int64_t session, int64_t acked_seq, int64_t event_seq)
{
    ack *item = rd_table_get(ingest->acks, RD_BYTES_ARRAY(host->b));
    if (!item) {
        item = rd_alloc(sizeof *item);
        item->host = *host;
        (void)rd_table_set(ingest->acks, RD_BYTES_ARRAY(host->b), item, NULL);
    }
    if (item->session < session)
        *item = (ack){ .host = *host, .session = session };
    item->acked = RD_MAX(item->acked, acked_seq);
    item->event = RD_MAX(item->event, event_seq);
}

bool api_ingest_is_full(const api_ingest *ingest)
{
    return ingest->count >= API_INGEST_WAITING_MAX;
}

/* ---- one transaction ---- */

static void digest_or_null(rd_pg_array *array, bool has, const rd_digest *digest)
{
    if (has)
        rd_pg_array_bytes(array, RD_BYTES_ARRAY(digest->b));
    else
        rd_pg_array_null(array);
}

enum {
    V_HOST,
    V_INSTANCE,
    V_EPOCH,
    V_ACCEPTED,
    V_REASON,
    V_TCB,
    V_SIMULATED,
    V_POLICY,
    V_EVIDENCE,
    V_COLLATERAL,
    V_EVAL,
    V_DETAIL,
    V_AT,
    V_UNTIL,
    V_BUNDLE,
    V_RECORD,
    V_STATEMENT,
    V_COUNT
};
static const rd_pg_type verdict_types[V_COUNT] = {
    RD_PG_T_UUID,        RD_PG_T_UUID,        RD_PG_T_INT8,  RD_PG_T_BOOL,  RD_PG_T_TEXT, RD_PG_T_TEXT,
    RD_PG_T_BOOL,        RD_PG_T_BYTEA,       RD_PG_T_BYTEA, RD_PG_T_BYTEA, RD_PG_T_INT8, RD_PG_T_TEXT,
    RD_PG_T_TIMESTAMPTZ, RD_PG_T_TIMESTAMPTZ, RD_PG_T_BYTEA, RD_PG_T_BYTEA, RD_PG_T_BYTEA
};

static void fill_verdict(rd_pg_array *a, const api_verdict *v)
{
    rd_pg_array_bytes(&a[V_HOST], RD_BYTES_ARRAY(v->host.b));
    rd_pg_array_bytes(&a[V_INSTANCE], RD_BYTES_ARRAY(v->instance.b));
    rd_pg_array_i64(&a[V_EPOCH], (int64_t)v->epoch);
    rd_pg_array_i64(&a[V_ACCEPTED], v->is_accepted);
    rd_pg_array_bytes(&a[V_REASON], rd_bytes_str(v->is_accepted ? "" : rd_code_describe(v->reason)->name));
    rd_pg_array_bytes(&a[V_TCB], rd_bytes_str(v->tcb_status));
    rd_pg_array_i64(&a[V_SIMULATED], v->is_simulated);
    digest_or_null(&a[V_POLICY], v->has_policy, &v->policy_digest);
    digest_or_null(&a[V_EVIDENCE], true, &v->evidence_digest);
    digest_or_null(&a[V_COLLATERAL], true, &v->collateral_digest);
    rd_pg_array_i64(&a[V_EVAL], v->collateral_evaluation);
    rd_pg_array_bytes(&a[V_DETAIL], rd_bytes_str(v->detail ? v->detail : "{}"));
    rd_pg_array_i64(&a[V_AT], v->verified_at_us);
    rd_pg_array_i64(&a[V_UNTIL], v->valid_until_us);
    rd_pg_array_bytes(&a[V_BUNDLE], rd_buf_bytes(&v->bundle));
    if (v->record.size > 0)
        rd_pg_array_bytes(&a[V_RECORD], rd_buf_bytes(&v->record));
    else
        rd_pg_array_null(&a[V_RECORD]);
    digest_or_null(&a[V_STATEMENT], v->has_statement, &v->statement_digest);
}

static void add_verdict_statements(rd_pg_batch *batch, rd_pg_array *a)
{
    rd_pg_value v[V_COUNT];
    for (int i = 0; i < V_COUNT; i++)
        v[i] = rd_pg_array_value(&a[i]);
    rd_pg_batch_call(batch, "ingest_evidence_log", v[V_HOST], v[V_INSTANCE], v[V_EPOCH], v[V_ACCEPTED], v[V_REASON],
                     v[V_EVIDENCE], v[V_BUNDLE], v[V_STATEMENT]);
    rd_pg_batch_call(batch, "ingest_verdict_log", v[V_HOST], v[V_INSTANCE], v[V_EPOCH], v[V_ACCEPTED], v[V_REASON],
                     v[V_POLICY], v[V_EVIDENCE], v[V_COLLATERAL], v[V_EVAL], v[V_UNTIL], v[V_RECORD]);
    rd_pg_batch_call(batch, "ingest_verdicts", v[V_HOST], v[V_INSTANCE], v[V_EPOCH], v[V_ACCEPTED], v[V_REASON],
                     v[V_TCB], v[V_SIMULATED], v[V_POLICY], v[V_EVIDENCE], v[V_EVAL], v[V_DETAIL], v[V_AT], v[V_UNTIL]);
    rd_pg_batch_call(batch, "ingest_evidence", v[V_HOST], v[V_INSTANCE], v[V_EPOCH], v[V_EVIDENCE], v[V_BUNDLE],
                     v[V_AT]);
}

static void add_faults(api_ingest *ingest, rd_pg_batch *batch)
{
    static const rd_pg_type types[] = { RD_PG_T_UUID, RD_PG_T_UUID, RD_PG_T_INT8, RD_PG_T_TEXT, RD_PG_T_TEXT };
    rd_pg_array a[RD_ARRAY_LEN(types)];
    for (size_t i = 0; i < RD_ARRAY_LEN(types); i++)
        rd_pg_array_init(&a[i], types[i]);
    size_t count = 0;
    for (entry *item = ingest->flight; item; item = item->next) {
        const api_verdict *v = item->verdict;
        if (!v || v->is_accepted || v->is_appraisal || api_fault_of(v->reason) != API_FAULT_HOST)
            continue;
        count++;
        rd_pg_array_bytes(&a[0], RD_BYTES_ARRAY(v->host.b));
        rd_pg_array_bytes(&a[1], RD_BYTES_ARRAY(v->instance.b));
        rd_pg_array_i64(&a[2], (int64_t)v->epoch);
        rd_pg_array_bytes(&a[3], rd_bytes_str(rd_code_describe(v->reason)->name));
        rd_pg_array_bytes(&a[4], rd_bytes_str(v->reason_text));
    }
    if (count > 0)
        rd_pg_batch_call(batch, "ingest_faults", rd_pg_i64(API_HOST_FAULTS_MAX), rd_pg_array_value(&a[0]),
                         rd_pg_array_value(&a[1]), rd_pg_array_value(&a[2]), rd_pg_array_value(&a[3]),
                         rd_pg_array_value(&a[4]));
    for (size_t i = 0; i < RD_ARRAY_LEN(types); i++)
        rd_pg_array_done(&a[i]);
}

static void add_verdicts(api_ingest *ingest, rd_pg_batch *batch)
{
    rd_pg_array a[V_COUNT];
    for (int i = 0; i < V_COUNT; i++)
        rd_pg_array_init(&a[i], verdict_types[i]);
    size_t count = 0;
    for (entry *item = ingest->flight; item; item = item->next)
        if (item->verdict && ++count)
            fill_verdict(a, item->verdict);
    if (count > 0)
        add_verdict_statements(batch, a);
    for (int i = 0; i < V_COUNT; i++)
        rd_pg_array_done(&a[i]);
}

enum { S_HOST, S_INSTANCE, S_EPOCH, S_INCARNATION, S_SEQ, S_PHASE, S_REASON, S_DETAIL, S_COUNT };
static const rd_pg_type status_types[S_COUNT] = { RD_PG_T_UUID, RD_PG_T_UUID, RD_PG_T_INT8, RD_PG_T_INT8,
                                                  RD_PG_T_INT8, RD_PG_T_INT2, RD_PG_T_TEXT, RD_PG_T_TEXT };

static void fill_report(rd_pg_array *a, const api_report *r)
{
    rd_pg_array_bytes(&a[S_HOST], RD_BYTES_ARRAY(r->host.b));
    rd_pg_array_bytes(&a[S_INSTANCE], RD_BYTES_ARRAY(r->instance.b));
    rd_pg_array_i64(&a[S_EPOCH], (int64_t)r->epoch);
    rd_pg_array_i64(&a[S_INCARNATION], r->incarnation);
    rd_pg_array_i64(&a[S_SEQ], r->seq);
    rd_pg_array_i64(&a[S_PHASE], r->phase);
    rd_pg_array_bytes(&a[S_REASON], rd_bytes_str(r->reason));
    rd_pg_array_bytes(&a[S_DETAIL], rd_bytes_str(r->detail));
}

/* The index of the status statement in the batch, or -1. */
static int add_status(api_ingest *ingest, rd_pg_batch *batch)
{
    rd_pg_array a[S_COUNT];
    for (int i = 0; i < S_COUNT; i++)
        rd_pg_array_init(&a[i], status_types[i]);
    size_t count = 0;
    for (entry *item = ingest->flight; item; item = item->next)
        if (item->has_report && ++count)
            fill_report(a, &item->report);
    int index = -1;
    if (count > 0) {
        rd_pg_value v[S_COUNT];
        for (int i = 0; i < S_COUNT; i++)
            v[i] = rd_pg_array_value(&a[i]);
        rd_pg_batch_call(batch, "ingest_lock", v[S_INSTANCE], v[S_EPOCH]);
        index = (int)rd_pg_batch_count(batch);
        rd_pg_batch_add(batch, "ingest_status", v, S_COUNT);
    }
    for (int i = 0; i < S_COUNT; i++)
        rd_pg_array_done(&a[i]);
    return index;
}

static void add_acks(api_ingest *ingest, rd_pg_batch *batch)
{
    if (ingest->flight_ack_count == 0)
        return;
    rd_pg_array a[4];
    rd_pg_array_init(&a[0], RD_PG_T_UUID);
    for (int i = 1; i < 4; i++)
        rd_pg_array_init(&a[i], RD_PG_T_INT8);
    for (size_t i = 0; i < ingest->flight_ack_count; i++) {
        const ack *item = &ingest->flight_acks[i];
        rd_pg_array_bytes(&a[0], RD_BYTES_ARRAY(item->host.b));
        rd_pg_array_i64(&a[1], item->session);
        rd_pg_array_i64(&a[2], item->acked);
        rd_pg_array_i64(&a[3], item->event);
    }
    rd_pg_batch_call(batch, "ingest_ack", rd_pg_array_value(&a[0]), rd_pg_array_value(&a[1]), rd_pg_array_value(&a[2]),
                     rd_pg_array_value(&a[3]));
    for (int i = 0; i < 4; i++)
        rd_pg_array_done(&a[i]);
}

static int compare_acks(const void *a, const void *b)
{
    return memcmp(((const ack *)a)->host.b, ((const ack *)b)->host.b, 16);
}

/* Moves what waits into flight, at most leases_max leases. */
static void load_flight(api_ingest *ingest)
{
    size_t max = ingest->leases_max;
    while (ingest->first && ingest->flight_count < max) {
        entry *item = ingest->first;
        ingest->first = item->next;
        lease_key key = item->has_report ? key_of(&item->report.instance, item->report.epoch)
                                         : key_of(&item->verdict->instance, item->verdict->epoch);
        (void)rd_table_remove(ingest->entries, RD_BYTES_ARRAY(key.b));
        item->next = ingest->flight;
        ingest->flight = item;
        ingest->flight_count++;
        ingest->count--;
    }
    if (!ingest->first)
        ingest->last = &ingest->first;
    ingest->is_pressing = ingest->first != NULL; /* more than one transaction takes */
    size_t acks = rd_table_count(ingest->acks);
    if (acks == 0)
        return;
    ingest->flight_acks = rd_alloc_array(acks, sizeof(ack));
    size_t iterator = 0;
    void *value;
    rd_bytes key;
    while (rd_table_next(ingest->acks, &iterator, &key, &value) && ingest->flight_ack_count < acks) {
        ingest->flight_acks[ingest->flight_ack_count++] = *(ack *)value;
        (void)rd_table_remove(ingest->acks, key);
        free(value);
    }
    qsort(ingest->flight_acks, ingest->flight_ack_count, sizeof(ack), compare_acks);
}

static void submit(api_ingest *ingest);

static void release_flight(api_ingest *ingest, bool is_durable)
{
    entry *item = RD_TAKE(ingest->flight);
    ingest->flight_count = 0;
    free(RD_TAKE(ingest->flight_acks));
    ingest->flight_ack_count = 0;
    ingest->is_busy = false;
    entry *next;
    for (; item; item = next) {
        next = item->next;
        entry_done(item, is_durable);
    }
}

static void wake_scheduler(api_ingest *ingest, int64_t shard, const rd_app_id *app)
{
    char key[32], text[RD_APP_ID_TEXT_SIZE];
    snprintf(key, sizeof key, "wake:%" PRId64, shard);
    rd_app_id_format(app, text);
    rd_err err = RD_ERR_INIT;
    (void)!rd_redis_command(ingest->options.redis, NULL, NULL, &err, RD_BYTES_LIT("XADD"), rd_bytes_str(key),
                            RD_BYTES_LIT("MAXLEN"), RD_BYTES_LIT("~"), RD_BYTES_LIT("10000"), RD_BYTES_LIT("*"),
                            RD_BYTES_LIT("k"), rd_bytes_str(text));
}

/* After the commit: hints, and routes of the apps concerned. */
static void announce(api_ingest *ingest, const rd_pg_result *result)
{
    size_t rows = rd_pg_rows(result);
    rd_app_id last = { { 0 } };
    bool has_last = false;
    for (size_t i = 0; i < rows; i++) {
        rd_app_id app;
        if (!rd_pg_get_fixed(result, i, 0, app.b, sizeof app.b))
            continue;
        int64_t phase = rd_pg_get_i64(result, i, 2);
        bool is_same = has_last && rd_app_id_equal(&last, &app);
        last = app;
        has_last = true;
        if (is_same || phase < RD_PHASE_SERVING)
            continue;
        if (ingest->options.redis && rd_redis_is_connected(ingest->options.redis))
            wake_scheduler(ingest, rd_pg_get_i64(result, i, 1), &app);
        ingest->options.on_app(ingest->options.context, &app);
    }
    rd_err err = RD_ERR_INIT;
    if (rows > 0 && ingest->options.redis && rd_redis_is_connected(ingest->options.redis))
        (void)!rd_redis_command(ingest->options.redis, NULL, NULL, &err, RD_BYTES_LIT("PUBLISH"), RD_BYTES_LIT("tail"),
                                RD_BYTES_LIT(""));
}

/* Puts an entry of the flight back among those that wait. */
static void requeue(api_ingest *ingest, entry *item)
{
    const rd_id *instance = item->has_report ? &item->report.instance : &item->verdict->instance;
    entry *again = entry_of(ingest, instance, item->has_report ? item->report.epoch : item->verdict->epoch);
    if (item->has_report && (!again->has_report || is_newer(&item->report, &again->report)))
        again->report = item->report;
    again->has_report |= item->has_report;
    if (item->verdict)
        take_verdict(again, RD_TAKE(item->verdict));
    waiter **tail = &again->waiters;
    while (*tail)
        tail = &(*tail)->next;
    *tail = item->waiters;
    free(item);
}

/* After an unexpected error: in halves, until the culprit is alone. */
static void halve_flight(api_ingest *ingest)
{
    ingest->leases_max = RD_MAX(ingest->flight_count / 2, (size_t)1);
    while (ingest->flight_count > ingest->leases_max) {
        entry *item = ingest->flight;
        ingest->flight = item->next;
        ingest->flight_count--;
        requeue(ingest, item);
    }
}

static void on_committed(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                         const rd_err *err)
{
    api_ingest *ingest = context;
    ingest->is_submitted = false;
    if (ingest->is_closing) {
        release_flight(ingest, outcome == RD_PG_SOME || outcome == RD_PG_NONE);
        free(ingest);
        return;
    }
    if (outcome == RD_PG_SOME || outcome == RD_PG_NONE) {
        ingest->folds++;
        ingest->leases += ingest->flight_count;
        ingest->leases_max = API_INGEST_LEASES_MAX;
        if (ingest->status_index >= 0)
            (void)RD_FP(STATUS_AFTER_COMMIT);
        if (ingest->status_index >= 0 && (size_t)ingest->status_index < count)
            announce(ingest, results[ingest->status_index]);
        release_flight(ingest, true);
        return;
    }
    ingest->failed++;
    rd_log(RD_WARN, "ingest_failed", RD_U64("leases", ingest->flight_count), RD_U64("statement", failed),
           RD_BOOL("repeats", outcome != RD_PG_FAILED), RD_ERR(err));
    if (outcome == RD_PG_FAILED && err->code != RD_E_UNAVAILABLE && ingest->flight_count <= 1) {
        ingest->parked++; /* the culprit is alone: it is let go, or nothing would ever move again */
        release_flight(ingest, true);
        return;
    }
    if (outcome == RD_PG_FAILED && err->code != RD_E_UNAVAILABLE)
        halve_flight(ingest);
    /* What is left may be repeated as it is: every statement looks at what stands there. */
    rd_timer_start(ingest->timer, RETRY_US, 0);
}

static void submit(api_ingest *ingest)
{
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    add_faults(ingest, batch);
    add_verdicts(ingest, batch);
    ingest->status_index = add_status(ingest, batch);
    add_acks(ingest, batch);
    if (ingest->status_index >= 0)
        (void)RD_FP(STATUS_BEFORE_COMMIT);
    rd_err err = RD_ERR_INIT;
    ingest->is_busy = true;
    ingest->is_submitted = rd_pg_async_submit(ingest->options.pg, batch, on_committed, ingest, &err) == 0;
    if (!ingest->is_submitted)
        rd_timer_start(ingest->timer, RETRY_US, 0);
}

static void on_timer(void *context)
{
    submit(context);
}

static void on_company(void *context)
{
    api_ingest *ingest = context;
    ingest->has_company = false;
    ingest->is_pressing = true;
}

/* Once a loop turn: what the turn gathered goes out together, at once when nothing is under way. Steps on the way and
 * acknowledgements wait a little for the outcome, so that a start is one transaction and not four. */
static void on_flush(void *context)
{
    api_ingest *ingest = context;
    if (ingest->is_busy || (!ingest->first && rd_table_count(ingest->acks) == 0))
        return;
    if (!ingest->is_pressing) {
        if (!ingest->has_company)
            rd_timer_start(ingest->company, COMPANY_US, 0);
        ingest->has_company = true;
        return;
    }
    rd_timer_stop(ingest->company);
    ingest->has_company = false;
    load_flight(ingest);
    submit(ingest);
}

api_ingest *api_ingest_new(const api_ingest_options *options)
{
    api_ingest *ingest = rd_alloc(sizeof *ingest);
    ingest->options = *options;
    ingest->entries = rd_table_new(0);
    ingest->acks = rd_table_new(0);
    ingest->last = &ingest->first;
    ingest->leases_max = API_INGEST_LEASES_MAX;
    ingest->flusher = rd_flusher_new(options->loop, on_flush, ingest);
    ingest->timer = rd_timer_new(options->loop, on_timer, ingest);
    ingest->company = rd_timer_new(options->loop, on_company, ingest);
    return ingest;
}

api_ingest *api_ingest_free(api_ingest *ingest)
{
    if (!ingest)
        return NULL;
    rd_flusher_free(ingest->flusher);
    rd_timer_free(ingest->timer);
    rd_timer_free(ingest->company);
    entry *item = RD_TAKE(ingest->first), *next;
    for (; item; item = next) {
        next = item->next;
        entry_done(item, false);
    }
    size_t iterator = 0;
    void *value;
    while (rd_table_next(ingest->acks, &iterator, NULL, &value))
        free(value);
    rd_table_free(ingest->entries);
    rd_table_free(ingest->acks);
    ingest->is_closing = true;
    if (ingest->is_submitted)
        return NULL; /* freed by the answer that is still due */
    release_flight(ingest, false);
    free(ingest);
    return NULL;
}

void api_ingest_metrics(void *context, rd_buf *out)
{
    api_ingest *ingest = context;
    (void)rd_buf_printf(out,
                        "# TYPE redoubt_ingest_folds_total counter\nredoubt_ingest_folds_total %" PRIu64 "\n"
                        "# TYPE redoubt_ingest_leases_total counter\nredoubt_ingest_leases_total %" PRIu64 "\n"
                        "# TYPE redoubt_ingest_failures_total counter\nredoubt_ingest_failures_total %" PRIu64 "\n"
                        "# TYPE redoubt_ingest_parked_total counter\nredoubt_ingest_parked_total %" PRIu64 "\n"
                        "# TYPE redoubt_ingest_waiting gauge\nredoubt_ingest_waiting %zu\n",
                        ingest->folds, ingest->leases, ingest->failed, ingest->parked, ingest->count);
}
