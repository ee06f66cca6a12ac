/* evidence_files: evidence, collateral and event logs as files of one folder, by their names; or one file.
 * Used by the evidence verbs. Reads at most each piece's own limit and one byte: what is longer is refused by whoever
 * parses it. Judges nothing. */
#ifndef CLI_EVIDENCE_FILES_H
#define CLI_EVIDENCE_FILES_H

#include "attest/collateral_set.h"
#include "attest/judge.h"
#include "cli/args.h"
#include "cli/context.h"

typedef struct cli_evidence_files cli_evidence_files;

/* path: a folder with quote.bin or report.bin, collateral (tcb_info.json, …) and logs (ccel.bin, event_log.json), or
 * one file of any of these kinds. collateral_path: a folder of collateral, or one set as JSON, in the place of what
 * lies at path; may be NULL. USAGE when there is nothing to judge. */
int cli_evidence_load(const char *path, const char *collateral_path, cli_evidence_files **ret,
                      rd_err *err) RD_NODISCARD;
/* Collateral alone: a folder of it, or one set as JSON. */
int cli_collateral_load(const char *path, rd_collateral_set **ret, rd_err *err) RD_NODISCARD;
/* The name of a whole set in a folder: where it lies, single pieces beside it are not read. */
#define CLI_COLLATERAL_FILE "collateral.json"
cli_evidence_files *cli_evidence_free(cli_evidence_files *files);
void cli_evidence_free_p(cli_evidence_files **files);

/* Fills evidence, logs, collateral, set and is_reading; borrowed from files. */
void cli_evidence_fill(const cli_evidence_files *files, rd_judge_input *ret);
/* The time that a folder's expect.json names as verify_at. False when there is none. */
bool cli_evidence_time(const cli_evidence_files *files, int64_t *ret_us);
/* The instant to judge at: --at, else cli_evidence_time, else now. */
int cli_evidence_instant(const cli_context *context, const cli_args *args, const cli_evidence_files *files,
                         int64_t *ret_us, rd_err *err) RD_NODISCARD;

#endif
