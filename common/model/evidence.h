/* evidence: the bundle that carries quote, statement and event log, the launch header, and replay of the log into
 * RTMR3. Used by enclaves and the agent, which make it, and by verifiers. Knows nothing of quotes: that is attest.
 * Digests beside payloads are compared with computed ones, never used. */
#ifndef RD_MODEL_EVIDENCE_H
#define RD_MODEL_EVIDENCE_H

#include "common/model/statement.h"

#define RD_EVIDENCE_SIZE_MAX  ((size_t)64 << 10)
#define RD_QUOTE_SIZE_MAX     ((size_t)16 << 10)
#define RD_EVENTS_MAX         8
#define RD_EVENT_NAME_MAX     64
#define RD_EVENT_PAYLOAD_MAX  256
#define RD_RTMR_SIZE          48
#define RD_LAUNCH_HEADER_SIZE 96

#define RD_EVENT_APP    "redoubt.app"
#define RD_EVENT_CLOSED "redoubt.closed"

/* What the agent hands to a blank enclave, and what RTMR3 then holds. */
typedef struct rd_launch_header {
    rd_app_id app;
    rd_digest release; /* H("release-v1", …) */
    rd_digest kms_set; /* rd_kms_set_digest */
} rd_launch_header;

void rd_launch_header_encode(const rd_launch_header *header, uint8_t out[RD_LAUNCH_HEADER_SIZE]);
/* TRUNCATED or TRAILING unless exactly 96 bytes. */
int rd_launch_header_parse(rd_bytes bytes, rd_launch_header *ret, rd_err *err) RD_NODISCARD;
/* H("kms-set-v1", ids…) over raw 32-byte ids in order; count may be 0. */
void rd_kms_set_digest(const rd_kms_id *ids, size_t count, rd_digest *ret);

/* The header of a KMS: 64 zero bytes and its own id. One that waits for its root was launched under another: the last
 * of the zeros is 1. So a replica that has its root can prove no wish for it. */
void rd_kms_launch_header(const rd_kms_id *kms, bool waits, uint8_t out[RD_LAUNCH_HEADER_SIZE]);

/* SHA-384(F("hash", "rtmr-event-v1", name, payload)). */
void rd_event_digest(const char *name, rd_bytes payload, uint8_t out[RD_RTMR_SIZE]);
/* RTMR := SHA-384(RTMR ‖ digest) (TDX module ABI, TDG.MR.RTMR.EXTEND). */
void rd_rtmr_extend(uint8_t rtmr[RD_RTMR_SIZE], const uint8_t digest[RD_RTMR_SIZE]);

typedef struct rd_event {
    uint32_t reg; /* 3 */
    char name[RD_EVENT_NAME_MAX + 1];
    uint8_t payload[RD_EVENT_PAYLOAD_MAX];
    size_t payload_size;
} rd_event;

/* RTMR3 as it should be after a launch with this header: redoubt.app, redoubt.closed. */
void rd_rtmr3_of_launch(const uint8_t header[RD_LAUNCH_HEADER_SIZE], uint8_t out[RD_RTMR_SIZE]);
/* Replays the events of one register from zero. */
void rd_event_log_replay(const rd_event *events, size_t count, uint32_t reg, uint8_t out[RD_RTMR_SIZE]);

typedef struct rd_evidence {
    rd_buf quote;
    rd_buf statement_bytes; /* canonical, as hashed */
    rd_statement statement;
    rd_event events[RD_EVENTS_MAX];
    size_t events_count;
    bool has_nonce_path;
    rd_nonce_path nonce_path; /* from the asker's nonce to that of the statement */
} rd_evidence;

/* Evidence for outsiders (client, kms): one quote answers the nonces of several. */
bool rd_purpose_shares_quotes(rd_purpose purpose);
/* Whether the statement's nonce answers this one: it is this one, or the root above it where quotes are shared. */
bool rd_evidence_answers(const rd_evidence *evidence, const uint8_t nonce[RD_NONCE_SIZE]);

void rd_evidence_done(rd_evidence *evidence);
/* Canonical bundle into a fresh struct; call rd_evidence_done also after a failure. EVENTLOG when a digest does not
 * match its payload. It has a nonce_path exactly where quotes are shared: JSON_MISSING, JSON_UNKNOWN. */
int rd_evidence_parse(rd_bytes canonical, rd_evidence *ret, rd_err *err) RD_NODISCARD;
/* Appends the bundle of quote and canonical statement; the log has the two events of a launch, or none when header is
 * NULL (purposes enrol and blank). path: one asker's, where the quote is shared, else NULL. */
int rd_evidence_encode(rd_bytes quote, rd_bytes statement, const uint8_t *header, const rd_nonce_path *path,
                       rd_buf *out, rd_err *err) RD_NODISCARD;
/* The log fits the statement: none for enrol and blank; otherwise exactly redoubt.app with the 96-byte header, which
 * names the statement's app, release and kms set (for purposes kms, join and admit: that of the KMS), then
 * redoubt.closed, both in register 3. EVENTLOG otherwise. out gets the RTMR3 that the quote must hold. */
int rd_evidence_check_log(const rd_evidence *evidence, uint8_t out_rtmr3[RD_RTMR_SIZE], rd_err *err) RD_NODISCARD;

#endif
