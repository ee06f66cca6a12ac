/* agents_private: one host's link and the parts that work on it: agents.c (life), agents_attach.c, agents_jobs.c,
 * agents_events.c (events and evidence), agents_grants.c (grants of key services), agents_grant_log.c (their records),
 * agents_receipts.c (receipts to be kept), agents_renew.c (certificate, logs).
 * Nobody else includes this.
 * A host link is freed when its link is down and the last callback that holds it has come. */
#ifndef API_AGENTS_PRIVATE_H
#define API_AGENTS_PRIVATE_H

#include "api/agents.h"
#include "api/agents_words.h"
#include "api/grant_proof.h"
#include "api/kms.h"
#include "api/lease_job.h"
#include "api/peers.h"
#include "api/replica_certificates.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/base/text.h"

#define API_HOST_LINK_MAGIC   0x686c6e6bu
#define API_JOB_WINDOW        64u
#define API_EVENTS_WAITING    256u /* of one host; then its stream is paused */
#define API_EVIDENCE_FLIGHT   4u
#define API_EVIDENCE_A_SECOND 50u
#define API_BLOB_FLIGHT       4u
#define API_SESSIONS_A_MINUTE 10
#define API_ASKS_MAX          2 /* times that evidence with an old nonce is asked for again */

/* claiming → greeting → attaching → sending → open, any → down. */
typedef enum api_attach_state {
    API_ATTACH_CLAIMING,  /* identity and session from PostgreSQL */
    API_ATTACH_GREETING,  /* POST /hello is under way */
    API_ATTACH_COMPARING, /* journal, inventory, leases */
    API_ATTACH_SENDING,   /* jobs above the floor */
    API_ATTACH_OPEN,      /* carries traffic and live hints */
    API_ATTACH_DOWN
} api_attach_state;

/* A lease of this host as PostgreSQL had it last. */
typedef struct api_host_lease {
    rd_id instance;
    uint64_t epoch;
    rd_app_id app;
    uint8_t org[16];
    rd_digest release;
    rd_digest genesis_blob, head_blob, release_blob, code_blob;
    bool has_kms; /* its head names one: it starts with a grant */
    rd_kms_id kms;
    rd_digest kms_blob; /* the genesis of the key service */
    rd_class class;
    rd_want want;
    bool is_live;
    rd_phase phase;        /* last durable */
    int64_t renew_at_us;   /* wall; 0: no evidence to renew */
    unsigned asks;         /* for evidence since the last accepted one */
    unsigned grant_nonces; /* given in place of spent ones since the last grant */
} api_host_lease;

typedef enum api_event_state {
    API_EVENT_NEW,     /* serving: its evidence waits for its turn */
    API_EVENT_WORKING, /* evidence is fetched, verified, or the report is with ingest */
    API_EVENT_DURABLE
} api_event_state;

typedef struct api_host_link api_host_link;

typedef struct api_agent_event {
    api_host_link *host;
    api_event_state state;
    uint64_t seq;
    bool has_evidence;
    bool is_unjudged; /* its evidence was not judged yet */
    rd_buf bundle;    /* until it is judged */
    bool is_offered;  /* callers may have been led to the instance ahead of the commit */
    rd_digest evidence;
    api_report report;
    struct api_agent_event *next;
} api_agent_event;

struct api_host_link {
    uint32_t magic;
    api_agents *agents;
    rd_link *link; /* NULL once it is down */
    rd_id host;
    char name[RD_ID_TEXT_SIZE];
    uint8_t operator_org[16];
    int64_t shard;
    api_attach_state state;
    unsigned holders;
    const char
        *close_cause; /* host_links.down_cause: "host" fell silent, "closed" by either end, "replica" ends; NULL: up */
    /* session */
    int64_t session, era, incarnation, agent_incarnation;
    int64_t known_acked, known_events;
    rd_id known_journal;
    bool has_journal;
    /* jobs */
    uint64_t floor, sent;
    unsigned jobs_in_flight;
    bool wants_jobs, is_loading, is_all_sent;
    rd_table *leases; /* lease key → api_host_lease */
    rd_table *strays; /* lease key → host link: ended, and still in the agent's inventory */
    bool is_reconciled;
    /* blobs */
    rd_digest needs[API_NEEDS_MAX];
    size_t need_count;
    unsigned blobs_in_flight;
    /* events */
    rd_link_stream *events;
    api_agent_event *first_event, *last_event;
    size_t event_count;
    bool is_paused;
    uint64_t event_acked; /* durable and told to the agent, or about to be */
    uint64_t event_told;
    bool is_acking;
    unsigned evidence_in_flight, evidence_tokens;
    /* key services and grants */
    bool has_kms; /* this host carries one */
    rd_kms_id kms;
    rd_link_stream *grants;
    struct api_grant_want *wants;
    bool is_in_turn; /* the list is being walked */
    size_t want_count;
    unsigned grants_working;
    bool is_grants_paused;
    unsigned grant_tokens, refusal_tokens; /* records that may be kept now */
    size_t grant_records_working;
    /* receipts */
    rd_link_stream *receipts;
    struct api_receipts_waiting *first_receipts, *last_receipts;
    size_t receipts_in_flight; /* the first of them are with PostgreSQL */
    size_t receipt_bytes;
    int64_t receipt_tokens;
    uint64_t receipt_seen, receipt_kept, receipt_acked; /* the agent's numbers */
    uint64_t receipts_turn_ms;                          /* no transaction before */
    bool is_receipts_paused;
    /* logs, renewal */
    rd_link_stream *logs;
    int64_t cert_begin_us, cert_end_us;
    bool is_renewing;
    uint8_t spki[32];
    api_host_link *next, *previous; /* of all */
};

/* Sessions that a host took lately. */
typedef struct api_session_mark {
    int64_t session, at_us;
} api_session_mark;

struct api_agents {
    api_agents_options options;
    rd_tls_context *tls;
    rd_link_plane *plane;
    rd_table *hosts; /* host id → the newest api_host_link */
    rd_table *marks; /* host id → api_session_mark */
    api_host_link *first;
    size_t count;
    bool is_degraded, is_closing;
    bool has_wanting; /* some link wants_jobs */
    rd_flusher *flusher;
    rd_timer *second;
    rd_timer *receipts_turn;
    bool is_receipts_armed; /* the one before */
    unsigned seconds;
    uint64_t attached, refused, jobs_sent, jobs_failed, events_taken, blobs_sent, strays_unknown, renewed, grants,
        grants_refused, grants_led, receipts_kept, receipts_malformed, grant_records_kept, grant_records_dropped,
        grant_records_unproven;
    size_t grant_records_working;
    api_replica_certificates certificates;
};

typedef struct api_lease_key {
    uint8_t b[24];
} api_lease_key;
api_lease_key api_lease_key_of(const rd_id *instance, uint64_t epoch);
api_host_lease *api_host_lease_of(const api_host_link *host, const rd_id *instance, uint64_t epoch);

/* agents.c */
void api_host_hold(api_host_link *host);
void api_host_release(api_host_link *host);
/* The plane ends the link: cause "closed" in PostgreSQL. */
void api_host_close(api_host_link *host, const char *reason);
void api_host_fail(api_host_link *host, const char *what, const rd_err *err);
int64_t api_agents_wall_us(const api_agents *agents);

/* agents_attach.c */
void api_attach_begin(api_host_link *host);
/* All jobs above the floor are acknowledged: opens the link. */
void api_attach_opened(api_host_link *host);
/* A stray was reported final, or the last job was: reconciled when nothing is left. */
void api_attach_check_reconciled(api_host_link *host);
/* Notes in PostgreSQL that the link is down. */
void api_attach_down(api_host_link *host);

/* agents_jobs.c */
#define API_LEASE_COLUMNS                                                                                              \
    "l.instance_id, l.epoch, l.org_id, l.app_id, l.job_seq, l.release_digest, l.want, l.live, l.cpu_m, l.mem,"         \
    " sha256(a.genesis), h.head_blob, sha256(r.envelope), r.code_digest, coalesce(h.class, 'simulated'),"              \
    " coalesce(s.phase, 0), v.valid_until, h.kms, k.genesis"
#define API_LEASE_JOINS                                                                                                \
    " LEFT JOIN apps a ON a.app_id = l.app_id"                                                                         \
    " LEFT JOIN releases r ON r.org_id = l.org_id AND r.app_id = l.app_id AND r.digest = l.release_digest"             \
    " LEFT JOIN LATERAL (SELECT sha256(x.envelope) AS head_blob, x.class, x.kms FROM heads x"                          \
    " WHERE x.app_id = l.app_id ORDER BY x.seq DESC LIMIT 1) h ON true"                                                \
    " LEFT JOIN LATERAL (SELECT sha256(y.genesis) AS genesis FROM kms y WHERE y.kms_id = h.kms) k ON true"             \
    " LEFT JOIN lease_status s ON s.instance_id = l.instance_id AND s.epoch = l.epoch"                                 \
    " LEFT JOIN lease_verdicts v ON v.instance_id = l.instance_id AND v.epoch = l.epoch AND v.result = 1"
/* Reads a row of API_LEASE_COLUMNS into the host's table and returns it; NULL when the table is full. */
api_host_lease *api_jobs_note_lease(api_host_link *host, const rd_pg_result *result, size_t row);
void api_jobs_want(api_host_link *host);
/* Sends what waits, for all hosts that want, with one statement. */
void api_jobs_flush(api_agents *agents);
/* Pushes the blobs that the agent asked for. */
void api_jobs_need(api_host_link *host, const rd_digest *digests, size_t count);

/* agents_events.c */
void api_events_begin(api_host_link *host);
void api_events_second(api_host_link *host);
void api_events_free(api_host_link *host);
/* The lease was live a moment ago, and the instance has proved itself: who waits for it need not wait for what is
 * written of it. valid_until_us: wall clock, of what it proved. is_starting: it will serve in a moment. False: nobody
 * may be led. */
bool api_events_offer(api_host_link *host, const api_host_lease *lease, int64_t valid_until_us, bool is_starting);
/* POST /evidence-requests with a fresh nonce. */
void api_events_ask(api_host_link *host, api_host_lease *lease);

/* agents_grants.c */
void api_grants_begin(api_host_link *host);
void api_grants_second(api_host_link *host);
void api_grants_free(api_host_link *host);

/* agents_grant_log.c */
/* Of what a key service answered to this host's instance; everything is copied. Looked at on a worker and put into
 * PostgreSQL behind that: nothing waits for it, and what finds no room is counted and lost. may_lead: callers who wait
 * for the instance are led to it when the grant is proved to be one. */
void api_grant_log_answer(api_host_link *host, const api_grant_claim *claim, bool may_lead, rd_bytes answer);
void api_grant_log_refusal(api_host_link *host, const api_grant_claim *claim, rd_bytes record);
void api_grant_log_begin(api_host_link *host);
void api_grant_log_second(api_host_link *host);

/* agents_receipts.c */
void api_receipts_begin(api_host_link *host);
void api_receipts_second(api_host_link *host);
void api_receipts_turn(void *agents);
void api_receipts_free(api_host_link *host);

/* agents_renew.c */
void api_renew_second(api_host_link *host);
void api_logs_begin(api_host_link *host);

#endif
