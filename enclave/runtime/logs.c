#include "enclave/runtime/logs.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

void encl_logs_init(encl_logs *logs, encl_uplink *uplink)
{
    *logs = (encl_logs){ .uplink = uplink, .form = ENCL_LOGS_CLEAR };
}

int encl_logs_open(encl_logs *logs, const rd_release *release, rd_class class, const rd_log_origin *origin,
                   const rd_random *random, rd_err *err)
{
    switch (release->logs) {
    case RD_LOGS_CLEAR:
        return 0;
    case RD_LOGS_UNSAID:
        logs->form = class == RD_CLASS_SIMULATED ? ENCL_LOGS_CLEAR : ENCL_LOGS_NONE;
        return 0;
    case RD_LOGS_SEALED:
        logs->form = ENCL_LOGS_NONE; /* also when there is no sealer: then nothing of this is in the clear */
        if (rd_log_sealer_init(&logs->sealer, release->log_key, origin, random, err) < 0)
            return rd_err_wrap(err, "logs");
        logs->form = ENCL_LOGS_SEALED;
        return 0;
    }
    return rd_err_set(err, RD_E_INTERNAL, "logs");
}

void encl_logs_done(encl_logs *logs)
{
    rd_log_sealer_done(&logs->sealer);
}

static rd_line_level level_of(const char *name)
{
    for (int i = 0; rd_line_level_names[i]; i++)
        if (strcmp(rd_line_level_names[i], name) == 0)
            return (rd_line_level)i;
    return RD_LINE_ERROR;
}

static void write_sealed(encl_logs *logs, rd_line_level level, rd_bytes line)
{
    RD_CLEANUP(rd_buf_done) rd_buf record = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_err ignored = RD_ERR_INIT; /* only without memory, which ends the process */
    if (rd_log_seal(&logs->sealer, level, line, &record, &ignored) < 0)
        return;
    if (rd_buf_append_base64url(&text, rd_buf_bytes(&record)))
        encl_uplink_log(logs->uplink, "sealed", rd_buf_bytes(&text));
}

void encl_logs_write(encl_logs *logs, const char *level, rd_bytes line)
{
    if (logs->form == ENCL_LOGS_CLEAR)
        encl_uplink_log(logs->uplink, level, line);
    else if (logs->form == ENCL_LOGS_SEALED)
        write_sealed(logs, level_of(level), line);
}

const char *encl_logs_tell(encl_logs *logs, const rd_err *err)
{
    if (logs->form == ENCL_LOGS_CLEAR)
        return err->text;
    encl_logs_write(logs, "error", rd_bytes_str(err->text));
    return logs->form == ENCL_LOGS_SEALED ? "its words are in the sealed log"
                                          : "its words stay in the enclave: the release names no log key";
}
