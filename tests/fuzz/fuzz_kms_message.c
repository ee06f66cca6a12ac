// link: rd_model
/* What a key service and its peers read from strangers: frame heads, the grant message and its set of secrets,
 * refusals, answers, tickets, certificates and records. */
#include "common/base/mem.h"
#include "common/model/grant.h"
#include "common/model/kms_share.h"
#include "common/model/kms_wire.h"
#include "common/model/ticket.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(rd_bytes made, const rd_buf *again)
{
    if (!rd_bytes_equal(made, rd_buf_bytes(again)))
        abort();
}

static void read_set(rd_bytes bytes)
{
    RD_CLEANUP(rd_free_p) rd_secret_set *set = rd_alloc(sizeof *set);
    RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
    if (rd_secret_set_parse(bytes, set, NULL) < 0)
        return;
    if (rd_secret_set_encode(set, &again, NULL) < 0)
        abort();
    same(bytes, &again);
}

static void read_message(rd_bytes bytes)
{
    RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
    rd_kms_grant_message message;
    if (rd_kms_grant_message_parse(bytes, &message, NULL) < 0)
        return;
    read_set(message.secrets);
    if (rd_kms_grant_message_encode(&message, &again, NULL) == 0)
        same(bytes, &again);
}

static void read_join(rd_bytes bytes)
{
    RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
    rd_kms_join_message message;
    if (rd_kms_join_message_parse(bytes, &message, NULL) < 0)
        return;
    if (rd_kms_join_message_encode(&message, &again, NULL) < 0)
        abort();
    same(bytes, &again);
}

static void read_payload(rd_bytes bytes)
{
    RD_CLEANUP(rd_free_p) rd_grant_payload *payload = rd_alloc(sizeof *payload);
    RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
    if (rd_grant_payload_parse(bytes, payload, NULL) == 0 && rd_grant_payload_encode(payload, &again, NULL) == 0)
        same(bytes, &again);
}

static void read_signed(rd_bytes bytes)
{
    static const rd_public_key nobody = { { 1 } };
    static const rd_kms_id none;
    static const rd_kms_genesis genesis;
    rd_ticket ticket;
    rd_kms_certificate certificate;
    rd_kms_record record;
    rd_digest digest;
    rd_kms_share share;
    static const rd_kms_genesis one_holder = { .recovery_count = 1 };
    (void)!rd_kms_share_accept(bytes, &none, &one_holder, &share, NULL);
    (void)!rd_ticket_parse(bytes, &ticket, NULL);
    (void)!rd_ticket_accept(bytes, &nobody, 0, &ticket, NULL);
    (void)!rd_kms_certificate_parse(bytes, &certificate, NULL);
    (void)!rd_kms_certificate_accept(bytes, &genesis, &none, 0, &certificate, NULL);
    (void)!rd_kms_record_parse(bytes, &record, NULL);
    (void)!rd_kms_record_accept(bytes, &nobody, &record, &digest, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rd_bytes bytes = rd_bytes_of(data, size);
    rd_kms_head head;
    rd_kms_refusal refusal;
    rd_grant_answer answer;
    if (size >= RD_KMS_FRAME_HEAD) {
        (void)!rd_kms_head_request(data, &head, NULL);
        (void)!rd_kms_head_answer(data, RD_KMS_GRANT, &head, NULL);
    }
    read_message(bytes);
    read_join(bytes);
    read_set(bytes);
    read_payload(bytes);
    read_signed(bytes);
    (void)!rd_kms_refusal_parse(bytes, &refusal, NULL);
    (void)!rd_grant_answer_parse(bytes, &answer, NULL);
    return 0;
}
