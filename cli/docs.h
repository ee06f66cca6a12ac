/* docs: an app's genesis, head and release, verified by this machine, with the highest head remembered.
 * Used by deploy, invoke and verify. Refuses an older head than the highest that this machine has seen. */
#ifndef CLI_DOCS_H
#define CLI_DOCS_H

#include "cli/args.h"
#include "cli/context.h"
#include "common/model/genesis.h"
#include "common/model/head.h"
#include "common/model/release.h"

typedef struct cli_docs {
    rd_app_id app;
    rd_genesis genesis;
    rd_head head;
    rd_digest head_digest;
    rd_release release;
    rd_digest release_digest;
} cli_docs;

#define CLI_DOCS_MAX ((size_t)1 << 20)

/* Their text as an instance answers it. */
int cli_docs_parse(rd_bytes text, json_t **ret, rd_err *err) RD_NODISCARD;
/* docs: {"genesis":base64url,"head":envelope,"release":envelope}, as an instance or a saved receipt carries them.
 * now_us NULL: the head's window is not checked. Steps are appended. */
int cli_docs_open(const json_t *docs, const rd_app_id *app, const char *state_dir, const int64_t *now_us, cli_docs *ret,
                  json_t *steps, rd_err *err) RD_NODISCARD;
/* RELEASE_PINNED when they are of another release than --release names; a step when they are of that one. */
int cli_docs_check_pin(const cli_context *context, const cli_docs *docs, json_t *steps, rd_err *err) RD_NODISCARD;
void cli_docs_done(cli_docs *docs);
/* What a release's machine says of it, to stand behind something else; "" for a fresh one. */
const char *cli_docs_machine(rd_machine machine);

/* --release DIGEST of this run. USAGE for what is no digest. */
int cli_docs_take_pin(cli_context *context, const cli_args *args, rd_err *err) RD_NODISCARD;

/* The highest head seen of an app; false when none. */
bool cli_head_known(const char *state_dir, const rd_app_id *app, rd_head_known *ret);
/* Remembers a head that was accepted. */
int cli_head_remember(const char *state_dir, const rd_app_id *app, const rd_head_known *known,
                      rd_err *err) RD_NODISCARD;

#endif
