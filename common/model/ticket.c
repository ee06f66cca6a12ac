#include "common/model/ticket.h"

#include "common/base/mem.h"
#include "common/model/canonical.h"

#define TYPE "redoubt/ticket/v1"

static const rd_json_field ticket_fields[] = {
    { "app", RD_JSON_APP_ID, offsetof(rd_ticket, app), RD_REQUIRED },
    { "epoch", RD_JSON_U64, offsetof(rd_ticket, epoch), RD_REQUIRED, .min = 1 },
    { "host", RD_JSON_ID, offsetof(rd_ticket, host), RD_REQUIRED, .text = RD_PREFIX_HOST },
    { "instance", RD_JSON_ID, offsetof(rd_ticket, instance), RD_REQUIRED, .text = RD_PREFIX_INSTANCE },
    { "not_after", RD_JSON_TIME, offsetof(rd_ticket, not_after_us), RD_REQUIRED },
    { "release", RD_JSON_DIGEST, offsetof(rd_ticket, release), RD_REQUIRED },
    { "type", RD_JSON_CONST, 0, RD_REQUIRED, .text = TYPE },
    RD_JSON_END,
};

int rd_ticket_parse(rd_bytes canonical, rd_ticket *ret, rd_err *err)
{
    rd_ticket ticket = { 0 };
    if (rd_document_load(canonical, TYPE, ticket_fields, &ticket, err) < 0)
        return rd_err_wrap(err, "ticket");
    *ret = ticket;
    return 0;
}

int rd_ticket_encode(const rd_ticket *ticket, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *document = json_object();
    rd_json_set_str(document, "type", TYPE);
    rd_json_set_id(document, "instance", RD_PREFIX_INSTANCE, &ticket->instance);
    rd_json_set_int(document, "epoch", (int64_t)ticket->epoch);
    rd_json_set_app_id(document, "app", &ticket->app);
    rd_json_set_digest(document, "release", &ticket->release);
    rd_json_set_id(document, "host", RD_PREFIX_HOST, &ticket->host);
    rd_json_set_time(document, "not_after", ticket->not_after_us);
    return rd_canonical_write(document, out, err);
}

int rd_ticket_sign(const rd_ticket *ticket, const rd_signing_key *key, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope = { 0 };
    if (rd_ticket_encode(ticket, &document, err) < 0)
        return -1;
    rd_envelope_init(&envelope, rd_buf_bytes(&document));
    if (rd_envelope_sign(&envelope, key, RD_SIGN_TICKET, err) < 0)
        return -1;
    return rd_envelope_encode(&envelope, out, err);
}

int rd_ticket_accept(rd_bytes envelope_json, const rd_public_key *key, int64_t now_us, rd_ticket *ret, rd_err *err)
{
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope = { 0 };
    rd_ticket ticket;
    if (rd_envelope_parse(envelope_json, &envelope, err) < 0)
        return rd_err_wrap(err, "ticket");
    if (rd_envelope_verify_key(&envelope, key, RD_SIGN_TICKET, err) < 0)
        return rd_err_set(err, RD_E_TICKET, "the ticket is not signed by the plane's key");
    if (rd_ticket_parse(rd_buf_bytes(&envelope.document), &ticket, err) < 0)
        return -1;
    if (now_us >= ticket.not_after_us)
        return rd_err_set(err, RD_E_TICKET, "the ticket is out of date");
    *ret = ticket;
    return 0;
}
