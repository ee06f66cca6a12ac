/* kept: receipts as the plane keeps them, with everything that proves them: records, documents, evidence, collateral.
 * Used by receipts get and verify. What is fetched is believed by nobody until cli_kept_verify has looked at it; a file
 * of it verifies offline. */
#ifndef CLI_KEPT_H
#define CLI_KEPT_H

#include "cli/client.h"
#include "cli/collateral.h"
#include "cli/proof.h"
#include "common/model/receipt_record.h"

#define CLI_KEPT_TYPE "redoubt/kept-receipts/v1" /* "type" of its file */

/* "ins_….epoch" is a chain, "ins_….epoch.seq" the receipt with this number. */
typedef struct cli_kept_id {
    rd_id instance;
    char instance_text[RD_ID_TEXT_SIZE];
    uint64_t epoch;
    uint64_t seq; /* 0: the whole chain */
} cli_kept_id;

int cli_kept_id_parse(const char *text, cli_kept_id *ret, rd_err *err) RD_NODISCARD;

typedef struct cli_kept {
    rd_app_id app;
    rd_id instance;
    uint64_t epoch;
    uint64_t seq;    /* 0: the whole chain */
    json_t *records; /* base64url texts, in order of their numbers */
    json_t *docs;    /* genesis, head, release */
    rd_buf evidence; /* bundle of purpose status */
    cli_collateral collateral;
} cli_kept;

void cli_kept_done(cli_kept *kept);
/* Call cli_kept_done also after a failure. */
int cli_kept_fetch(cli_context *context, cli_client *client, const cli_kept_id *id, cli_kept *ret,
                   rd_err *err) RD_NODISCARD;
int cli_kept_save(const cli_kept *kept, const char *path, rd_err *err) RD_NODISCARD;
int cli_kept_load(const char *path, cli_kept *ret, rd_err *err) RD_NODISCARD;

typedef struct cli_kept_verdict {
    bool is_simulated;
    bool is_complete; /* a whole chain, and no number up to its last one is missing */
    uint64_t count;   /* receipts that verified */
    json_t *gaps;     /* [{"first","last"}]: numbers that are not there */
} cli_kept_verdict;

/* Documents, evidence, then every record: signature, place and chain. A gap fails only when is_complete is asked for.
 * Steps are appended; verdict->gaps is a new reference in any case. */
int cli_kept_verify(cli_context *context, const cli_kept *kept, int64_t now_us, bool is_complete, json_t *steps,
                    cli_kept_verdict *ret, rd_err *err) RD_NODISCARD;

/* A record of an answer of the plane or of a file: into bytes, which ret borrows. */
int cli_kept_open(const char *text, rd_buf *bytes, rd_receipt_record *ret, rd_err *err) RD_NODISCARD;

#endif
