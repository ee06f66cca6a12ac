/* dev_serve: a function on this machine, with the engine, the limits and the world of an enclave, and nothing proved.
 * Used by cmd_dev.c, in a child process of its own for every version of the code.
 * Makes no evidence and no receipts; its app keys are the same for everybody and protect nothing.
 */
#ifndef CLI_DEV_SERVE_H
#define CLI_DEV_SERVE_H

#include "cli/manifest.h"
#include "cli/out.h"
#include "common/model/code_bundle.h"

/* Loads and serves until it is killed; never returns. secrets: {"NAME":"value"}, or NULL. A handler that does not load
 * is said so here and in every answer. */
void cli_dev_serve(const cli_out *out, const cli_manifest *manifest, const rd_code_bundle *code, const json_t *secrets,
                   int listen_fd) RD_NORETURN;
/* The same for code that could not even be collected. */
void cli_dev_serve_error(int listen_fd, const rd_err *err) RD_NORETURN;

#endif
