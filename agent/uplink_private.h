/* uplink_private: what the files of the uplink share: the link's sessions, answers, and handlers by file.
 * Used by uplink.c (routes, hello, small requests), uplink_jobs.c, uplink_grants.c and uplink_feeds.c only. */
#ifndef AGENT_UPLINK_PRIVATE_H
#define AGENT_UPLINK_PRIVATE_H

#include "agent/uplink.h"

#include <jansson.h>

/* What belongs to one link. */
typedef struct uplink_session {
    struct uplink_session *next;
    rd_link *link;
    uint64_t number; /* given by the plane in its hello; 0 before */
    bool told_kms;   /* the hello's answer named the key service, which is the same one as long as the agent runs */
    rd_link_stream *events;
    uint64_t sent_seq;
    rd_link_stream *logs;
    rd_link_stream *receipts;
    uint64_t sent_receipt; /* number of the last record told */
    rd_link_stream *grants;
    uint64_t sent_grant; /* serial of the last wish told */
} uplink_session;

struct agent_uplink {
    agent_uplink_config config;
    rd_link_agent *agent;
    uplink_session *sessions;
    uint64_t session_max;
    agent_floor floor; /* jobs that are on their way to disk included */
    bool is_closing;   /* what becomes durable now is the next start's */
    char boot_id[64];
    char state[256];
};

/* rest: what follows the route's path. */
typedef void (*uplink_handler)(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream,
                               const rd_link_exchange *exchange, const char *rest);

/* ---- uplink.c ---- */
void uplink_answer_code(rd_link_stream *stream, rd_code code, const char *text);
/* Takes the reference. */
void uplink_answer_json(rd_link_stream *stream, int status, json_t *object);
json_t *uplink_floor_json(agent_floor floor);

/* ---- uplink_jobs.c ---- */
void uplink_on_job(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream, const rd_link_exchange *exchange,
                   const char *rest);

/* ---- uplink_grants.c ---- */
void uplink_on_grants(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream,
                      const rd_link_exchange *exchange, const char *rest);
void uplink_on_grant_nonce(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream,
                           const rd_link_exchange *exchange, const char *rest);
void uplink_on_grant(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream, const rd_link_exchange *exchange,
                     const char *rest);
void uplink_on_refusal(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream,
                       const rd_link_exchange *exchange, const char *rest);
void uplink_pump_grants(agent_uplink *uplink, uplink_session *of);

/* ---- uplink_feeds.c ---- */
void uplink_on_events(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream,
                      const rd_link_exchange *exchange, const char *rest);
void uplink_on_ack(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream, const rd_link_exchange *exchange,
                   const char *rest);
void uplink_on_logs(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream, const rd_link_exchange *exchange,
                    const char *rest);
void uplink_on_receipts(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream,
                        const rd_link_exchange *exchange, const char *rest);
void uplink_on_receipts_ack(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream,
                            const rd_link_exchange *exchange, const char *rest);
void uplink_pump_receipts(agent_uplink *uplink, uplink_session *of);
void uplink_pump_events(agent_uplink *uplink, uplink_session *of);
void uplink_pump_logs(agent_uplink *uplink, uplink_session *of);

#endif
