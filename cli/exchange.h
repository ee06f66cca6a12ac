/* exchange: one request to a function with everything that its receipt needs, sealed or plain, saved or live.
 * Used by invoke and verify. A saved exchange verifies offline: receipt, salt, both bodies, evidence, documents,
 * collateral. */
#ifndef CLI_EXCHANGE_H
#define CLI_EXCHANGE_H

#include "cli/client.h"
#include "cli/collateral.h"
#include "cli/proof.h"

#define CLI_EXCHANGE_TYPE "redoubt/saved-receipt/v1" /* "type" of its file */

typedef struct cli_exchange {
    rd_app_id app;
    uint8_t salt[32];
    bool has_nonce;
    uint8_t nonce[32];
    char *method, *target, *request_type, *response_type, *receipt; /* receipt: base64url as in the header */
    char *instance;                                                 /* ins_….epoch, reported by the plane */
    rd_buf request_body, response_body;
    uint32_t status;
    int64_t elapsed_us;
    json_t *docs;    /* genesis, head, release */
    rd_buf evidence; /* bundle: purpose client over evidence_nonce where sealed, else status */
    cli_collateral collateral;
    bool is_sealed;
    bool is_saved;   /* of then: an older head than the newest known is what it has to be */
    bool is_chunked; /* sealed: in chunks, so that a streamed answer can be taken as it comes */
    /* Takes the body of a streamed answer as it comes, before its receipt is there; may be NULL. */
    void (*on_piece)(void *context, rd_bytes piece);
    void *context;
    bool is_streamed; /* on_piece has had some of it */
    bool is_sent;     /* the request may have reached the function */
    uint8_t evidence_nonce[32];
    int64_t verify_us; /* sealed: what came before the request left */
} cli_exchange;

void cli_exchange_init(cli_exchange *exchange);
void cli_exchange_done(cli_exchange *exchange);

/* What the app's origin shows of itself, as an instance gave it: the documents that cli_docs_open verifies. headers may
 * be NULL; a new reference. */
int cli_exchange_fetch_docs(cli_client *client, const char *url, const char *const *headers, json_t **ret,
                            rd_err *err) RD_NODISCARD;
/* Before anything unsealed leaves: the app's head and release, verified here, of the release that --release names, and
 * its owner's word that requests may come unsealed. One step on success, all on failure. PLAIN_REFUSED. */
int cli_exchange_ask_plain(cli_context *context, cli_client *client, const char *url, const rd_app_id *app,
                           json_t *steps, rd_err *err) RD_NODISCARD;
/* Sends the request to the app's own origin with a fresh salt and nonce and reads answer and receipt. Statuses that the
 * function or its runtime chose are answers; the relay's own refusals are errors. */
int cli_exchange_send(cli_client *client, const char *url, cli_exchange *exchange, int64_t timeout_us,
                      rd_err *err) RD_NODISCARD;
/* The same, sealed (docs/protocol/sealed.md): asks an instance for evidence over a nonce drawn here, verifies it, seals
 * to the keys that it names, opens the answer and verifies its receipt. Once more from the start when the instance or
 * its key is gone. Steps are appended; what anything on the way changed is found here and refused. */
int cli_exchange_sealed(cli_context *context, cli_client *client, const char *url, cli_exchange *exchange,
                        json_t *steps, bool *ret_simulated, rd_err *err) RD_NODISCARD;
/* Fetches documents, evidence (the one that the receipt names, or else what the plane has of the instance now) and
 * collateral. */
int cli_exchange_fetch_proof(cli_context *context, cli_client *client, cli_exchange *exchange,
                             rd_err *err) RD_NODISCARD;
/* Verifies documents, evidence and receipt; steps are appended. now_us is the instant of every date check. */
int cli_exchange_verify(cli_context *context, const cli_exchange *exchange, int64_t now_us, json_t *steps,
                        bool *ret_simulated, rd_err *err) RD_NODISCARD;

/* Its two halves: documents and evidence (docs and proof are initialised in any case), then the receipt under them. */
int cli_exchange_prove(cli_context *context, const cli_exchange *exchange, int64_t now_us, cli_docs *docs,
                       cli_proof *proof, json_t *steps, rd_err *err) RD_NODISCARD;
int cli_exchange_check_receipt(const cli_exchange *exchange, const cli_docs *docs, const cli_proof *proof,
                               json_t *steps, rd_err *err) RD_NODISCARD;
/* What a relay's or runtime's refusal says; fallback where the body is no problem document. Returns -1. */
int cli_exchange_refused(rd_bytes body, const char *fallback, rd_err *err);

int cli_exchange_save(const cli_exchange *exchange, const char *path, rd_err *err) RD_NODISCARD;
int cli_exchange_load(const char *path, cli_exchange *ret, rd_err *err) RD_NODISCARD;

#endif
