#include "enclave/runtime/blank.h"

#include "common/base/mem.h"
#include "enclave/runtime/identity.h"
#include "enclave/runtime/rehearse.h"

static void send_blank(encl_uplink *uplink, const encl_confine_report *report)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_buf_printf(&text,
                  "{\"missing\":\"%s\",\"sandbox\":{\"empty_root\":%s,\"landlock\":%s,\"namespaces\":%s,\"own_uid\":%s,"
                  "\"seccomp\":%s},\"version\":\"" REDOUBT_VERSION "\"}",
                  report->missing, report->has_empty_root ? "true" : "false", report->has_landlock ? "true" : "false",
                  report->has_namespaces ? "true" : "false", report->has_own_uid ? "true" : "false",
                  report->has_seccomp ? "true" : "false");
    encl_uplink_send(uplink, ENCL_CONTROL_BLANK, rd_buf_bytes(&text));
}

/* What fails here fails when it is needed, with somebody to tell. */
static void rehearse(encl_engine *engine)
{
    rd_err ignored = RD_ERR_INIT;
    (void)!encl_engine_unshare(engine, &ignored);
    (void)!encl_rehearse_crypto(&ignored);
    encl_rehearse_memory();
}

int encl_blank_prepare(encl_platform *platform, encl_engine *engine, const encl_confine_report *report,
                       encl_uplink *uplink, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf statement = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    int outcome = encl_identity_begin_blank(platform, &statement, err);
    rehearse(engine);
    send_blank(uplink, report);
    if (outcome == 0)
        outcome = encl_identity_blank_evidence(platform, rd_buf_bytes(&statement), &bundle, err);
    if (outcome < 0)
        return rd_err_wrap(err, "evidence of a blank");
    encl_uplink_send(uplink, ENCL_CONTROL_ATTESTED, rd_buf_bytes(&bundle));
    return 0;
}
