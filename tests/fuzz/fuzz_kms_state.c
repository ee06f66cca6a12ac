// link: kms_core
/* The memory of a key service: a whole, which comes from another replica too, and what changed of one. What parses has
 * one form. */
#include "common/base/mem.h"
#include "enclave/kms/kms_state.h"
#include "enclave/kms/kms_store.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(rd_bytes given, const rd_buf *made)
{
    if (!rd_bytes_equal(given, rd_buf_bytes(made)))
        abort();
}

static void read_whole(rd_bytes bytes)
{
    RD_CLEANUP(kms_state_done) kms_state state = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf again = { .size_max = KMS_STATE_MAX };
    rd_err err = RD_ERR_INIT;
    if (kms_state_parse(bytes, &state, &err) < 0) {
        if (err.code != RD_E_KMS_STATE)
            abort();
        return;
    }
    if (!kms_state_encode(&state, &again))
        abort();
    same(bytes, &again);
}

/* Onto a memory that knows something already. */
static void read_change(rd_bytes bytes)
{
    RD_CLEANUP(kms_state_done) kms_state state = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf again = { .size_max = KMS_CHANGE_MAX };
    const rd_app_id app = { { 1 } };
    const rd_id instance = { { 2 } };
    const rd_head_known head = { .seq = 5, .owners_seq = 3 };
    const rd_public_key receipt_key = { { 3 } };
    rd_err err = RD_ERR_INIT;
    if (kms_state_learn_head(&state, &app, &head, NULL) < 0)
        abort();
    kms_state_learn_epoch(&state, &instance, 1, &receipt_key);
    if (kms_state_apply(&state, bytes, &err) < 0) {
        if (err.code != RD_E_KMS_STATE)
            abort();
        return;
    }
    if (!kms_state_encode_changes(&state, &again))
        abort();
    same(bytes, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_whole(rd_bytes_of(data, size));
    read_change(rd_bytes_of(data, size));
    return 0;
}
