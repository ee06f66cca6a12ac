/* logs: an instance's log lines, in the form that its release names: clear, sealed to the owner's log key, or kept in.
 * Used by the instance for what the function writes, for its own warnings, and for why it ended.
 */
#ifndef ENCL_LOGS_H
#define ENCL_LOGS_H

#include "common/model/class.h"
#include "common/model/log_seal.h"
#include "common/model/release.h"
#include "enclave/runtime/uplink.h"

typedef struct encl_logs {
    encl_uplink *uplink;
    enum { ENCL_LOGS_CLEAR, ENCL_LOGS_SEALED, ENCL_LOGS_NONE } form;
    rd_log_sealer sealer;
} encl_logs;

/* Clear until encl_logs_open: before there is a release nothing of an owner's is known. uplink is borrowed. */
void encl_logs_init(encl_logs *logs, encl_uplink *uplink);
/* As the release says; where it is silent, lines of class hardware stay in. KEY_FORMAT for a bad log key. */
int encl_logs_open(encl_logs *logs, const rd_release *release, rd_class class, const rd_log_origin *origin,
                   const rd_random *random, rd_err *err) RD_NODISCARD;
void encl_logs_done(encl_logs *logs);

/* level: a name of rd_line_level_names. */
void encl_logs_write(encl_logs *logs, const char *level, rd_bytes line);
/* What may be told to the host of an error: its words, or where they are; what is not told goes into the log. */
const char *encl_logs_tell(encl_logs *logs, const rd_err *err);

#endif
