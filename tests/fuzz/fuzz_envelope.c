// link: rd_model
/* An envelope that parses encodes to one that parses to the same; documents in it meet every parser of signed objects.
 */
#include "common/base/mem.h"
#include "common/model/delegation.h"
#include "common/model/head.h"
#include "common/model/release.h"
#include "common/model/statement.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_documents(rd_bytes document)
{
    rd_delegation delegation;
    rd_genesis genesis;
    rd_head head;
    rd_policy policy;
    rd_release release;
    rd_statement statement;
    RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
    if (rd_genesis_parse(document, &genesis, NULL) == 0 &&
        (rd_genesis_encode(&genesis, &again, NULL) < 0 || !rd_bytes_equal(rd_buf_bytes(&again), document)))
        abort();
    if (rd_release_parse(document, &release, NULL) == 0) {
        if (rd_release_encode(&release, &again, NULL) < 0 || !rd_bytes_equal(rd_buf_bytes(&again), document))
            abort();
        rd_release_done(&release);
    }
    if (rd_statement_parse(document, &statement, NULL) == 0 &&
        (rd_statement_encode(&statement, &again, NULL) < 0 || !rd_bytes_equal(rd_buf_bytes(&again), document)))
        abort();
    if (rd_policy_parse(document, &policy, NULL) == 0 &&
        (rd_policy_encode(&policy, &again, NULL) < 0 || !rd_bytes_equal(rd_buf_bytes(&again), document)))
        abort();
    /* Their times may have fewer digits than they are written with. */
    if (rd_delegation_parse(document, &delegation, NULL) == 0 && rd_delegation_encode(&delegation, &again, NULL) < 0)
        abort();
    if (rd_head_parse(document, &head, NULL) == 0 && rd_head_encode(&head, &again, NULL) < 0)
        abort();
}

/* Judged as if whoever signed the delegation owned the app. */
static void accept_delegated(const rd_envelope *envelope)
{
    RD_CLEANUP(rd_envelope_done) rd_envelope given;
    rd_head head;
    rd_release release;
    if (rd_envelope_parse(rd_buf_bytes(&envelope->signatures[0].delegation), &given, NULL) < 0)
        return;
    parse_documents(rd_buf_bytes(&given.document));
    const rd_genesis genesis = { .owners_count = 1, .threshold = 1, .owners = { given.signatures[0].key } };
    if (rd_head_parse(rd_buf_bytes(&envelope->document), &head, NULL) == 0) {
        const rd_head_check check = { .genesis = &genesis, .app = &head.app };
        (void)!rd_head_accept(envelope, &check, &head, NULL, NULL);
    }
    if (rd_release_accept(envelope, &genesis, &(rd_app_id){ { 0 } }, &release, NULL, NULL) == 0)
        rd_release_done(&release);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope;
    RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
    rd_err err = RD_ERR_INIT;
    parse_documents(rd_bytes_of(data, size));
    if (rd_envelope_parse(rd_bytes_of(data, size), &envelope, &err) < 0) {
        if (err.code == RD_OK)
            abort();
        return 0;
    }
    parse_documents(rd_buf_bytes(&envelope.document));
    RD_CLEANUP(rd_envelope_done) rd_envelope read;
    if (rd_envelope_encode(&envelope, &again, NULL) < 0 || rd_envelope_parse(rd_buf_bytes(&again), &read, NULL) < 0 ||
        !rd_bytes_equal(rd_buf_bytes(&envelope.document), rd_buf_bytes(&read.document)))
        abort();
    rd_genesis genesis = { .owners_count = 1, .threshold = 1, .owners = { envelope.signatures[0].key } };
    (void)!rd_envelope_verify(&envelope, &genesis, RD_SIGN_HEAD, NULL);
    if (rd_envelope_is_delegated(&envelope))
        accept_delegated(&envelope);
    return 0;
}
