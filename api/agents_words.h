/* agents_words: what an agent says over its link, read: its hello, the lines of its streams, its certificate request.
 * Used by the files of agents. It comes from a host that may be hostile: bounded, strict, and believed by nobody yet.
 * Pure. Zero-initialise; call the x_done after use and after a failure. Codes of rd_json_read. */
#ifndef API_AGENTS_WORDS_H
#define API_AGENTS_WORDS_H

#include "common/model/ids.h"
#include "common/model/webhook.h"

#define API_LEASES_A_HOST 10000
#define API_NEEDS_MAX     256

typedef struct api_inventory_item {
    rd_id instance;
    uint64_t epoch;
    int phase;
} api_inventory_item;

typedef struct api_hello {
    char journal_id[65], boot_id[65], agent_version[65];
    bool has_jsc; /* "engines" lists it */
    int64_t floor_era;
    uint64_t floor_seq;
    uint64_t last_event, acked_event, incarnation;
    int64_t clock_us;
    int64_t cpu_m, memory_bytes, slots;
    api_inventory_item *inventory;
    size_t inventory_count;
    rd_digest needs[API_NEEDS_MAX];
    size_t need_count;
    bool has_kms; /* it carries a key service */
    rd_kms_id kms;
    rd_buf kms_genesis;
} api_hello;

int api_hello_read(rd_bytes body, api_hello *ret, rd_err *err) RD_NODISCARD;
void api_hello_done(api_hello *h);

typedef struct api_event_line {
    uint64_t seq, incarnation;
    rd_id instance;
    uint64_t epoch;
    int phase;
    char *reason, *detail;
    bool has_evidence;
    rd_digest evidence;
    rd_buf bundle; /* that evidence, or empty: it is to be fetched */
} api_event_line;

int api_event_line_read(rd_bytes line, api_event_line *ret, rd_err *err) RD_NODISCARD;
void api_event_line_done(api_event_line *line);

typedef struct api_log_words {
    bool has_instance;
    rd_id instance;
    uint64_t epoch;
    char *level, *text;
    int64_t at_us;
    uint64_t dropped;
} api_log_words;

int api_log_words_read(rd_bytes line, api_log_words *ret, rd_err *err) RD_NODISCARD;
void api_log_words_done(api_log_words *line);

/* An instance wants its grant: with evidence, and the owner's answer where its policy asks for it, or a nonce to make
 * evidence over. */
typedef struct api_grant_line {
    rd_id instance;
    uint64_t epoch;
    bool has_bundle, has_webhook;
    rd_buf bundle;
    uint8_t webhook[RD_WEBHOOK_ANSWER_SIZE];
} api_grant_line;

int api_grant_line_read(rd_bytes line, api_grant_line *ret, rd_err *err) RD_NODISCARD;
void api_grant_line_done(api_grant_line *line);

/* The record of a burst of receipts (receipt_record.h), not looked into; empty when it is no base64url or too large,
 * which the enclave may be to blame for. */
typedef struct api_receipts_line {
    uint64_t number; /* the agent's */
    rd_id instance;
    uint64_t epoch;
    rd_buf record;
} api_receipts_line;

int api_receipts_line_read(rd_bytes line, api_receipts_line *ret, rd_err *err) RD_NODISCARD;
void api_receipts_line_done(api_receipts_line *line);

/* The request in PEM; *ret is the caller's, untouched on failure. */
int api_csr_read(rd_bytes body, char **ret, rd_err *err) RD_NODISCARD;

#endif
