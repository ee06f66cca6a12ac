#include "api/agents_private.h"

#include "common/base/failpoint.h"
#include "common/model/envelope.h"
#include "common/model/evidence.h"
#include "common/model/json.h"
#include "common/model/secret_seal.h"
#include "common/model/ticket.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WANTS_A_HOST   256 /* then its stream is paused */
#define WORKING_A_HOST 8
#define NONCES_A_LEASE 4 /* fresh ones in place of spent ones, before the instance is told that it gets nothing */
#define RETRY_MAX_S    30u
#define TICKET_TERM_US ((int64_t)10 * 60 * 1000000)
#define ANSWER_TRIES_S 20000000

/* What the key service is sent beside the evidence: the documents that the statement names, the sealed secrets, and the
 * newest head where it is another one, so that what was withdrawn gets nothing more. */
static const rd_pg_stmt stmts[] = {
    { "grants_documents",
      "SELECT a.genesis, h.envelope, r.envelope, (SELECT n.envelope FROM heads n WHERE n.app_id = a.app_id"
      " AND n.seq > h.seq ORDER BY n.seq DESC LIMIT 1), (SELECT k.genesis FROM kms k WHERE k.kms_id = $4)"
      " FROM apps a JOIN heads h ON h.app_id = a.app_id AND h.digest = $2"
      " JOIN releases r ON r.org_id = a.org_id AND r.app_id = a.app_id AND r.digest = $3 WHERE a.app_id = $1",
      4 },
    { "grants_secrets",
      "SELECT s.name, s.version, s.sealed FROM heads h JOIN head_secrets x ON x.org_id = h.org_id"
      " AND x.app_id = h.app_id AND x.seq = h.seq JOIN secrets s ON s.org_id = x.org_id AND s.app_id = x.app_id"
      " AND s.name = x.name AND s.version = x.version WHERE h.app_id = $1 AND h.digest = $2"
      " ORDER BY s.name COLLATE \"C\" LIMIT 64",
      2 },
    { "grants_newest", "SELECT envelope FROM heads WHERE app_id = $1 ORDER BY seq DESC LIMIT 1", 1 },
};
const rd_pg_stmts api_grants_stmts = { stmts, RD_ARRAY_LEN(stmts) };

typedef enum want_state {
    WANT_WAITING, /* for its turn, or for a nonce */
    WANT_WORKING, /* PostgreSQL, the key service or the agent has it */
    WANT_LATER    /* the key service was not reached */
} want_state;

/* What it wants it with. Owns the bytes. */
typedef struct grant_wish {
    rd_buf bundle; /* evidence; empty: it wants a nonce first */
    bool has_webhook;
    uint8_t webhook[RD_WEBHOOK_ANSWER_SIZE]; /* the owner's answer */
} grant_wish;

/* An instance that wants its grant. */
struct api_grant_want {
    api_host_link *host;
    rd_id instance;
    uint64_t epoch;
    want_state state;
    grant_wish wish, wish_next;
    bool has_next; /* it has asked again meanwhile: what comes for the old question is dropped */
    rd_kms_id kms;
    bool is_of_kms; /* the one that the head of its lease names */
    rd_app_id app;  /* of the lease */
    rd_digest release;
    rd_digest statement;               /* of the evidence that asks */
    rd_buf kms_genesis;                /* as stored */
    uint8_t nonce[API_KMS_NONCE_SIZE]; /* on its way to the instance */
    unsigned tries;
    int64_t retry_us; /* boot time */
    struct api_grant_want *next;
};
typedef struct api_grant_want want;

static void work(api_host_link *host);

static int64_t boot_us(const api_host_link *host)
{
    return rd_clock_boot_us(host->agents->options.clock);
}

/* ---- the list ---- */

static void want_free(want *w)
{
    rd_buf_done(&w->wish.bundle);
    rd_buf_done(&w->wish_next.bundle);
    rd_buf_done(&w->kms_genesis);
    free(w);
}

/* Not while it is worked on. */
static void drop(want *w)
{
    api_host_link *host = w->host;
    for (want **at = &host->wants; *at; at = &(*at)->next) {
        if (*at == w) {
            *at = w->next;
            host->want_count--;
            break;
        }
    }
    want_free(w);
}

static want *find(const api_host_link *host, const rd_id *instance, uint64_t epoch)
{
    for (want *w = host->wants; w; w = w->next)
        if (w->epoch == epoch && rd_id_equal(&w->instance, instance))
            return w;
    return NULL;
}

static void begin_work(want *w)
{
    w->state = WANT_WORKING;
    w->host->grants_working++;
    api_host_hold(w->host);
}

/* Whoever worked on it is done. False: there is nothing left to do for it. */
static bool end_work(want *w)
{
    api_host_link *host = w->host;
    host->grants_working--;
    w->state = WANT_WAITING;
    if (!host->link)
        return false;
    if (!w->has_next)
        return true;
    rd_buf_done(&w->wish.bundle);
    w->wish = w->wish_next;
    w->wish_next = (grant_wish){ .has_webhook = false };
    w->has_next = false;
    return false;
}

static void later(want *w)
{
    unsigned wait_s = w->tries < 5 ? 1u << w->tries : RETRY_MAX_S;
    w->tries++;
    w->state = WANT_LATER;
    w->retry_us = boot_us(w->host) + (int64_t)RD_MIN(wait_s, RETRY_MAX_S) * 1000000;
}

static void log_want(const want *w, const char *event, const rd_err *err)
{
    char name[RD_ID_TEXT_SIZE];
    rd_id_format(RD_PREFIX_INSTANCE, &w->instance, name);
    rd_log(RD_WARN, event, RD_STR("host", w->host->name), RD_STR("instance", name), RD_U64("epoch", w->epoch),
           RD_STR("reason", err ? rd_code_describe(err->code)->name : ""), RD_ERR(err));
}

/* ---- to the agent ---- */

static void on_told(void *context, int status, rd_bytes body, const rd_err *error)
{
    (void)body;
    want *w = context;
    api_host_link *host = w->host;
    bool is_current = end_work(w);
    if (is_current && (error || (status != 204 && status != 404 && status != 421)))
        later(w); /* the agent lists it again, too, on its next link */
    else if (is_current)
        drop(w);
    if (host->link)
        work(host);
    api_host_release(host);
}

/* One more turn of the work in hand: w is WORKING before and after, or given up when it cannot be sent. */
static void tell(want *w, const char *method, const char *what, rd_bytes body, bool is_binary)
{
    char name[RD_ID_TEXT_SIZE], path[96];
    rd_id_format(RD_PREFIX_INSTANCE, &w->instance, name);
    snprintf(path, sizeof path, "/%s/%s.%" PRIu64, what, name, w->epoch);
    rd_link_request request = {
        .method = method, .path = path, .body = body, .is_binary = is_binary, .timeout_us = ANSWER_TRIES_S
    };
    rd_err err = RD_ERR_INIT;
    if (!w->host->link || rd_link_send(w->host->link, &request, on_told, w, &err) < 0)
        on_told(w, 0, RD_BYTES_NULL, &err);
}

static void tell_nonce(want *w, rd_bytes head)
{
    RD_CLEANUP(rd_json_free_p) json_t *object = json_object();
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 };
    if (head.size > 0)
        rd_json_set_b64(object, "head", head);
    rd_json_set_b64(object, "nonce", RD_BYTES_ARRAY(w->nonce));
    (void)rd_json_dump(object, &body);
    tell(w, "POST", "grants", rd_buf_bytes(&body), false);
}

static void on_newest(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                      const rd_err *pg_err)
{
    (void)failed;
    (void)pg_err; /* without the head the key service says whether it was needed */
    want *w = context;
    bool has_head = (outcome == RD_PG_SOME || outcome == RD_PG_NONE) && count == 1 && rd_pg_rows(results[0]) == 1;
    tell_nonce(w, has_head ? rd_pg_get_bytes(results[0], 0, 0) : RD_BYTES_NULL);
}

/* w is WORKING. What serves already goes on under a newer head that it fits: with the nonce it gets the newest. */
static void send_nonce(want *w)
{
    const api_host_lease *lease = api_host_lease_of(w->host, &w->instance, w->epoch);
    rd_err err = RD_ERR_INIT;
    if (!lease || lease->phase != RD_PHASE_SERVING) {
        tell_nonce(w, RD_BYTES_NULL);
        return;
    }
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    rd_pg_batch_call(batch, "grants_newest", rd_pg_bytes(RD_BYTES_ARRAY(lease->app.b)));
    if (rd_pg_async_submit(w->host->agents->options.pg, batch, on_newest, w, &err) < 0)
        tell_nonce(w, RD_BYTES_NULL);
}

static void tell_refusal(want *w, const rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *object = json_object();
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 };
    log_want(w, "grant_refused", err);
    rd_json_set_str(object, "code", rd_code_describe(err->code)->name);
    rd_json_set_str(object, "detail", err->text);
    (void)rd_json_dump(object, &body);
    tell(w, "PUT", "refusals", rd_buf_bytes(&body), false);
}

/* ---- to the key service ---- */

static bool is_out_of_reach(rd_code code)
{
    return code == RD_E_UNAVAILABLE || code == RD_E_TIMEOUT || code == RD_E_CANCELLED || code == RD_E_LINK_PROTOCOL ||
           code == RD_E_LINK_CLOSED || code == RD_E_INTERNAL || code == RD_E_KMS_AUDIT;
}

static void give_up_for_now(want *w, const rd_err *err)
{
    api_host_link *host = w->host;
    log_want(w, "grant_waits", err);
    if (end_work(w))
        later(w);
    if (host->link)
        work(host);
    api_host_release(host);
}

/* The nonce was used, or is not known any more: the instance makes evidence over another. */
static void ask_for_evidence(want *w)
{
    rd_buf_done(&w->wish.bundle);
    w->wish = (grant_wish){ .has_webhook = false };
    if (api_kms_take_nonce(w->host->agents->options.kms, &w->kms, w->nonce)) {
        send_nonce(w);
        return;
    }
    api_host_link *host = w->host;
    (void)end_work(w); /* WAITING: on_nonces wakes it */
    api_host_release(host);
}

/* Does it get this grant to start with? */
static bool may_lead(const want *w, const api_host_lease *lease)
{
    return !w->has_next && lease && lease->phase < RD_PHASE_SERVING && w->is_of_kms;
}

/* What it answered goes on record, whatever becomes of the instance. payload: the grant, or a refusal's record. Of
 * another key service than the app's head names, which the host may have brought along, nothing does. */
static void put_on_record(const want *w, const api_host_lease *lease, rd_bytes payload, const rd_err *error)
{
    if (!w->is_of_kms)
        return;
    const api_grant_claim claim = { .kms_genesis = rd_buf_bytes(&w->kms_genesis),
                                    .kms = w->kms,
                                    .app = w->app,
                                    .release = w->release,
                                    .instance = w->instance,
                                    .epoch = w->epoch,
                                    .statement = w->statement,
                                    .now_us = api_agents_wall_us(w->host->agents) };
    if (!error)
        api_grant_log_answer(w->host, &claim, may_lead(w, lease), payload);
    else if (payload.size > 0)
        api_grant_log_refusal(w->host, &claim, payload);
}

static void on_granted(void *context, rd_bytes payload, const rd_err *error)
{
    want *w = context;
    api_host_lease *lease = api_host_lease_of(w->host, &w->instance, w->epoch);
    put_on_record(w, lease, payload, error);
    if (!w->host->link || w->has_next) {
        api_host_link *host = w->host;
        (void)end_work(w);
        if (host->link)
            work(host);
        api_host_release(host);
        return;
    }
    if (!error) {
        (void)RD_FP(GRANT_GIVEN);
        w->host->agents->grants++;
        if (lease)
            lease->grant_nonces = 0;
        tell(w, "PUT", "grants", payload, true);
    } else if (error->code == RD_E_KMS_NONCE && lease && lease->grant_nonces++ < NONCES_A_LEASE) {
        ask_for_evidence(w);
    } else if (is_out_of_reach(error->code)) {
        give_up_for_now(w, error);
    } else {
        w->host->agents->grants_refused++;
        tell_refusal(w, error);
    }
}

static int put_secrets(const rd_pg_result *rows, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_free_p) rd_secret_set *set = rd_alloc(sizeof *set);
    for (size_t i = 0; i < rd_pg_rows(rows); i++)
        if (rd_secret_set_add(set, rd_pg_get_text(rows, i, 0), (uint64_t)rd_pg_get_i64(rows, i, 1),
                              rd_pg_get_bytes(rows, i, 2), err) < 0)
            return -1;
    return rd_secret_set_encode(set, out, err);
}

static int sign_ticket(const want *w, const api_host_lease *lease, rd_buf *out, rd_err *err)
{
    const rd_ticket ticket = { .instance = w->instance,
                               .epoch = w->epoch,
                               .app = lease->app,
                               .release = lease->release,
                               .host = w->host->host,
                               .not_after_us = api_agents_wall_us(w->host->agents) + TICKET_TERM_US };
    return rd_ticket_sign(&ticket, api_plane_record_key(w->host->agents->options.plane), out, err);
}

static int ask_kms(want *w, rd_pg_result **results, rd_err *err)
{
    const api_host_lease *lease = api_host_lease_of(w->host, &w->instance, w->epoch);
    RD_CLEANUP(rd_buf_done) rd_buf secrets = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf ticket = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf message = { 0 };
    if (!lease || rd_pg_rows(results[0]) == 0)
        return rd_err_set(err, RD_E_NOT_FOUND, "the documents that the evidence names are not stored here");
    rd_buf_clear(&w->kms_genesis);
    (void)rd_buf_append_bytes(&w->kms_genesis, rd_pg_get_bytes(results[0], 0, 4));
    if (put_secrets(results[1], &secrets, err) < 0 || sign_ticket(w, lease, &ticket, err) < 0)
        return -1;
    const rd_kms_grant_message parts = { .evidence = rd_buf_bytes(&w->wish.bundle),
                                         .genesis = rd_pg_get_bytes(results[0], 0, 0),
                                         .head = rd_pg_get_bytes(results[0], 0, 1),
                                         .release = rd_pg_get_bytes(results[0], 0, 2),
                                         .ticket = rd_buf_bytes(&ticket),
                                         .secrets = rd_buf_bytes(&secrets),
                                         .newest = rd_pg_get_bytes(results[0], 0, 3),
                                         .webhook = rd_bytes_of(w->wish.webhook,
                                                                w->wish.has_webhook ? sizeof w->wish.webhook : 0) };
    if (rd_kms_grant_message_encode(&parts, &message, err) < 0)
        return -1;
    return api_kms_ask(w->host->agents->options.kms, &w->kms, RD_KMS_GRANT, rd_buf_bytes(&message), on_granted, w, err);
}

static void on_loaded(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                      const rd_err *pg_err)
{
    (void)failed;
    want *w = context;
    rd_err err = RD_ERR_INIT;
    bool is_good = (outcome == RD_PG_SOME || outcome == RD_PG_NONE) && count == 2;
    if (!w->host->link || w->has_next) {
        (void)rd_err_set(&err, RD_E_CANCELLED, "asked again meanwhile");
        on_granted(w, RD_BYTES_NULL, &err);
    } else if (!is_good) {
        give_up_for_now(w, pg_err);
    } else if (ask_kms(w, results, &err) < 0) {
        on_granted(w, RD_BYTES_NULL, &err);
    }
}

/* Which head and which key service the evidence names: for looking up alone, the key service judges. */
static int read_bundle(want *w, rd_digest *ret_head, rd_err *err)
{
    rd_evidence evidence = { 0 };
    int outcome = rd_evidence_parse(rd_buf_bytes(&w->wish.bundle), &evidence, err);
    if (outcome == 0 && (evidence.statement.purpose != RD_PURPOSE_GRANT || evidence.statement.kms_count != 1))
        outcome = rd_err_set(err, RD_E_PURPOSE, "not evidence for a grant");
    if (outcome == 0) {
        *ret_head = evidence.statement.head;
        w->kms = evidence.statement.kms[0];
        rd_statement_digest(rd_buf_bytes(&evidence.statement_bytes), &w->statement);
    }
    rd_evidence_done(&evidence);
    return outcome;
}

static void load(want *w, const api_host_lease *lease)
{
    rd_err err = RD_ERR_INIT;
    rd_digest head;
    w->app = lease->app;
    w->release = lease->release;
    begin_work(w);
    if (read_bundle(w, &head, &err) < 0) {
        tell_refusal(w, &err);
        return;
    }
    w->is_of_kms = lease->has_kms && rd_kms_id_equal(&w->kms, &lease->kms);
    rd_pg_value app = rd_pg_bytes(RD_BYTES_ARRAY(lease->app.b)), digest = rd_pg_bytes(RD_BYTES_ARRAY(head.b));
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    rd_pg_batch_call(batch, "grants_documents", app, digest, rd_pg_bytes(RD_BYTES_ARRAY(lease->release.b)),
                     rd_pg_bytes(RD_BYTES_ARRAY(w->kms.b)));
    rd_pg_batch_call(batch, "grants_secrets", app, digest);
    if (rd_pg_async_submit(w->host->agents->options.pg, batch, on_loaded, w, &err) < 0)
        give_up_for_now(w, &err);
}

/* ---- turns ---- */

static void drive(want *w)
{
    const api_host_lease *lease = api_host_lease_of(w->host, &w->instance, w->epoch);
    if (!lease || !lease->is_live || lease->want == RD_WANT_STOP || (w->wish.bundle.size == 0 && !lease->has_kms)) {
        drop(w); /* nobody asked for this instance, or not any more */
    } else if (w->wish.bundle.size > 0) {
        load(w, lease);
    } else {
        w->kms = lease->kms;
        if (api_kms_take_nonce(w->host->agents->options.kms, &w->kms, w->nonce)) {
            begin_work(w);
            send_nonce(w);
        }
    }
}

static void work(api_host_link *host)
{
    if (host->is_in_turn)
        return; /* what fails at once ends here again, and this list must not change under the loop */
    host->is_in_turn = true;
    for (want *w = host->wants, *next; w && host->link && host->grants_working < WORKING_A_HOST; w = next) {
        next = w->next;
        if (w->state == WANT_WAITING)
            drive(w);
    }
    host->is_in_turn = false;
    if (host->grants && host->is_grants_paused && host->want_count < WANTS_A_HOST / 2) {
        host->is_grants_paused = false;
        rd_link_stream_resume(host->grants);
    }
}

void api_grants_second(api_host_link *host)
{
    int64_t now_us = boot_us(host);
    api_grant_log_second(host);
    for (want *w = host->wants; w; w = w->next)
        if (w->state == WANT_LATER && w->retry_us <= now_us)
            w->state = WANT_WAITING;
    work(host);
}

void api_agents_drop_kms(api_agents *agents)
{
    agents->options.kms = NULL;
}

void api_agents_kms_ready(api_agents *agents, const rd_kms_id *kms)
{
    for (api_host_link *host = agents->first; host; host = host->next) {
        if (!host->link || host->state != API_ATTACH_OPEN)
            continue;
        for (want *w = host->wants; w; w = w->next)
            if (w->state == WANT_LATER && rd_kms_id_equal(&w->kms, kms))
                w->state = WANT_WAITING;
        work(host);
    }
}

/* ---- the stream ---- */

static void take_line(api_host_link *host, api_grant_line *line)
{
    want *w = find(host, &line->instance, line->epoch);
    if (!w) {
        w = rd_alloc(sizeof *w);
        w->host = host;
        w->instance = line->instance;
        w->epoch = line->epoch;
        w->next = host->wants;
        host->wants = w;
        host->want_count++;
    }
    bool is_working = w->state == WANT_WORKING;
    grant_wish *into = is_working ? &w->wish_next : &w->wish;
    rd_buf_done(&into->bundle);
    *into = (grant_wish){ .bundle = line->bundle, .has_webhook = line->has_webhook };
    memcpy(into->webhook, line->webhook, sizeof into->webhook);
    line->bundle = (rd_buf){ 0 };
    w->has_next = is_working;
    if (!is_working)
        w->state = WANT_WAITING;
}

static bool on_line(rd_link_stream *stream, void *context, rd_bytes bytes)
{
    (void)stream;
    api_host_link *host = context;
    api_grant_line line = { .epoch = 0 };
    rd_err err = RD_ERR_INIT;
    if (api_grant_line_read(bytes, &line, &err) < 0)
        api_host_fail(host, "grant", &err);
    else
        take_line(host, &line);
    api_grant_line_done(&line);
    host->is_grants_paused = host->want_count >= WANTS_A_HOST;
    work(host);
    return !host->is_grants_paused;
}

static void on_closed(void *context, const rd_err *error)
{
    (void)error;
    api_host_link *host = context;
    host->grants = NULL;
    api_host_release(host);
}

static const rd_link_line_events stream_events = { on_line, on_closed };

void api_grants_begin(api_host_link *host)
{
    rd_err err = RD_ERR_INIT;
    api_grant_log_begin(host);
    if (!host->link || rd_link_lines(host->link, "/grants", &stream_events, host, &host->grants, &err) < 0)
        return;
    api_host_hold(host);
}

void api_grants_free(api_host_link *host)
{
    while (host->wants)
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): drop takes it off the list. */
        drop(host->wants); /* nobody works on one: each would hold the host */
}
