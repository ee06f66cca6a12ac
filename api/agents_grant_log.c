#include "api/agents_private.h"

#include <stdlib.h>
#include <string.h>

#define WORKING_MAX      256 /* of all hosts: being verified, or with PostgreSQL */
#define WORKING_A_HOST   64
#define GRANTS_AT_ONCE   1024u                   /* of one host */
#define GRANTS_A_SECOND  8u                      /* more */
#define REFUSALS_AT_ONCE 64u                     /* of one host; one a second more */
#define LEAD_TERM_US     ((int64_t)30 * 1000000) /* for the plane's own verdict to follow */

/* Of leases that are or were this host's. The same record told again within a day is one. */
static const rd_pg_stmt stmts[] = {
    { "grant_log_keep",
      "INSERT INTO grant_log (org_id, app_id, instance_id, epoch, kms_id, replica, number, is_grant, reason, until,"
      " certificate, record)"
      " SELECT l.org_id, l.app_id, $2::uuid, $3::bigint, $4::bytea, $5::bytea, $6::bigint, $7::boolean, $8::text,"
      " $9::timestamptz, $10::bytea, $11::bytea"
      " FROM (SELECT x.org_id, x.app_id FROM leases x WHERE x.instance_id = $2::uuid AND x.epoch = $3::bigint"
      " AND x.host_id = $1 UNION ALL SELECT y.org_id, y.app_id FROM lease_history y WHERE y.instance_id = $2::uuid"
      " AND y.epoch = $3::bigint AND y.host_id = $1 LIMIT 1) l"
      " WHERE NOT EXISTS (SELECT 1 FROM grant_log g WHERE g.replica = $5::bytea AND g.number = $6::bigint"
      " AND g.app_id = l.app_id AND g.record = $11::bytea AND g.at > now() - interval '1 day'"
      " AND g.at < now() + interval '1 day')",
      11 },
};
const rd_pg_stmts api_grant_log_stmts = { stmts, RD_ARRAY_LEN(stmts) };

/* An answer of a key service that is on its way to the instance, and is looked at meanwhile. */
typedef struct job {
    api_host_link *host;
    api_grant_claim claim;
    bool is_grant;
    bool may_lead; /* callers who wait, to the instance */
    bool is_kept;  /* there was room for it */
    rd_buf genesis, certificate, record;
    bool holds;
    rd_kms_record said;
    rd_err err;
} job;

static job *job_new(api_host_link *host, const api_grant_claim *claim, rd_bytes record)
{
    job *j = rd_alloc(sizeof *j);
    *j = (job){ .host = host, .claim = *claim, .err = RD_ERR_INIT };
    (void)rd_buf_append_bytes(&j->genesis, claim->kms_genesis);
    (void)rd_buf_append_bytes(&j->record, record);
    j->claim.kms_genesis = rd_buf_bytes(&j->genesis);
    api_host_hold(host);
    return j;
}

static void job_free(job *j)
{
    api_host_link *host = j->host;
    host->agents->grant_records_working -= j->is_kept;
    host->grant_records_working -= j->is_kept;
    rd_buf_done(&j->genesis);
    rd_buf_done(&j->certificate);
    rd_buf_done(&j->record);
    free(j);
    api_host_release(host);
}

/* Said at doublings. */
static void note_dropped(const api_host_link *host, const rd_err *err)
{
    uint64_t count = ++host->agents->grant_records_dropped;
    if ((count & (count - 1)) == 0)
        rd_log(RD_WARN, "grant_record_dropped", RD_STR("host", host->name), RD_U64("count", count), RD_ERR(err));
}

/* Of what leads nobody at doublings: whoever carries a key service may send any number. */
static void note_unproven(const api_host_link *host, bool is_grant, bool may_lead, const rd_err *err)
{
    uint64_t count = ++host->agents->grant_records_unproven;
    if (may_lead || (count & (count - 1)) == 0)
        rd_log(RD_WARN, is_grant ? "grant_unproven" : "refusal_unproven", RD_STR("host", host->name), RD_ERR(err));
}

/* ---- keeping ---- */

static void on_kept(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                    const rd_err *err)
{
    (void)failed;
    job *j = context;
    if (outcome == RD_PG_SOME || outcome == RD_PG_NONE)
        j->host->agents->grant_records_kept += count == 1 && rd_pg_affected(results[0]) == 1;
    else
        note_dropped(j->host, err);
    job_free(j);
}

/* Takes the job. */
static void keep(job *j)
{
    api_agents *agents = j->host->agents;
    const rd_kms_record *said = &j->said;
    rd_bytes certificate = rd_buf_bytes(&j->certificate);
    rd_err err = RD_ERR_INIT;
    if (j->is_grant)
        api_replica_certificates_note(&agents->certificates, &said->kms, &said->replica, certificate);
    else
        certificate = api_replica_certificates_find(&agents->certificates, &said->kms, &said->replica);
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    rd_pg_batch_call(batch, "grant_log_keep", rd_pg_uuid(j->host->host.b), rd_pg_uuid(j->claim.instance.b),
                     rd_pg_i64((int64_t)j->claim.epoch), rd_pg_bytes(RD_BYTES_ARRAY(said->kms.b)),
                     rd_pg_bytes(RD_BYTES_ARRAY(said->replica.b)), rd_pg_i64((int64_t)said->number),
                     rd_pg_bool(j->is_grant), said->reason[0] ? rd_pg_text(said->reason) : rd_pg_null(),
                     said->has_until ? rd_pg_time(said->until_us) : rd_pg_null(),
                     certificate.size > 0 ? rd_pg_bytes(certificate) : rd_pg_null(),
                     rd_pg_bytes(rd_buf_bytes(&j->record)));
    if (rd_pg_async_submit(agents->options.receipts_pg, batch, on_kept, j, &err) < 0)
        on_kept(j, RD_PG_FAILED, NULL, 0, 0, &err);
}

/* ---- looking at it ---- */

/* The owner's own key service has judged its evidence: who waits for it is led there, and waits at the agent while it
 * starts. The plane's own verdict follows, and has the last word. */
static void lead(const job *j)
{
    api_host_link *host = j->host;
    const api_host_lease *lease = host->link ? api_host_lease_of(host, &j->claim.instance, j->claim.epoch) : NULL;
    if (lease)
        host->agents->grants_led += api_events_offer(host, lease, j->claim.now_us + LEAD_TERM_US, true);
}

static void check(void *context)
{
    job *j = context;
    rd_bytes record = rd_buf_bytes(&j->record);
    const rd_grant_answer answer = { .certificate = rd_buf_bytes(&j->certificate), .record = record };
    j->holds = (j->is_grant ? api_grant_proof_check(&answer, &j->claim, &j->said, &j->err)
                            : api_grant_refusal_check(record, &j->claim, &j->said, &j->err)) == 0;
}

static void on_checked(void *context, bool is_cancelled)
{
    job *j = context;
    api_agents *agents = j->host->agents;
    bool is_over = is_cancelled || agents->is_closing; /* PostgreSQL may be gone by now */
    if (!is_over && !j->holds)
        note_unproven(j->host, j->is_grant, j->may_lead, &j->err);
    if (!is_over && j->holds && j->may_lead)
        lead(j);
    if (!is_over && j->holds && j->is_kept)
        keep(j);
    else
        job_free(j);
}

static void begin(job *j)
{
    j->host->agents->grant_records_working += j->is_kept;
    j->host->grant_records_working += j->is_kept;
    rd_loop_work(j->host->agents->options.loop, check, on_checked, j);
}

static int find_room(const api_host_link *host, rd_err *err)
{
    if (host->agents->grant_records_working < WORKING_MAX && host->grant_records_working < WORKING_A_HOST)
        return 0;
    return rd_err_set(err, RD_E_UNAVAILABLE, "as many records are being looked at as may be at once");
}

static int take_token(unsigned *tokens, rd_err *err)
{
    if (*tokens == 0)
        return rd_err_set(err, RD_E_RATE_LIMITED, "more records than are kept of one host");
    (*tokens)--;
    return 0;
}

void api_grant_log_answer(api_host_link *host, const api_grant_claim *claim, bool may_lead, rd_bytes bytes)
{
    rd_grant_answer answer;
    rd_err err = RD_ERR_INIT;
    if (rd_grant_answer_parse(bytes, &answer, &err) < 0) {
        note_unproven(host, true, may_lead, &err);
        return;
    }
    bool is_kept = find_room(host, &err) == 0 && take_token(&host->grant_tokens, &err) == 0;
    if (!is_kept)
        note_dropped(host, &err);
    if (!is_kept && !may_lead)
        return;
    job *j = job_new(host, claim, answer.record);
    (void)rd_buf_append_bytes(&j->certificate, answer.certificate);
    j->is_grant = true;
    j->may_lead = may_lead;
    j->is_kept = is_kept;
    begin(j);
}

void api_grant_log_refusal(api_host_link *host, const api_grant_claim *claim, rd_bytes record)
{
    rd_err err = RD_ERR_INIT;
    if (find_room(host, &err) < 0 || take_token(&host->refusal_tokens, &err) < 0) {
        note_dropped(host, &err);
        return;
    }
    job *j = job_new(host, claim, record);
    j->is_kept = true;
    begin(j);
}

void api_grant_log_begin(api_host_link *host)
{
    host->grant_tokens = GRANTS_AT_ONCE;
    host->refusal_tokens = REFUSALS_AT_ONCE;
}

void api_grant_log_second(api_host_link *host)
{
    host->grant_tokens = RD_MIN(host->grant_tokens + GRANTS_A_SECOND, GRANTS_AT_ONCE);
    host->refusal_tokens = RD_MIN(host->refusal_tokens + 1, REFUSALS_AT_ONCE);
}
