/* What a replica refused while it had no root, and so no key to sign with: kept, and the begin of its chain of records
 * once it has one. docs/protocol/kms.md, "Record". */
#include <string.h>

#include "common/base/mem.h"
#include "enclave/kms/kms_root_priv.h"

/* Whoever reaches the socket of one that waits may send it nonsense: the first are kept, the rest is in the log. */
void kms_root_note(kms_root *self, int64_t at_us, const rd_err *why)
{
    bool had_begun = why->code != RD_E_KMS_NONCE; /* costs whoever sends it nothing */
    if (had_begun && self->notes_count < RD_ARRAY_LEN(self->notes) && at_us >= 0)
        self->notes[self->notes_count++] = (kms_note){ .at_us = at_us, .code = why->code };
}

static bool append_sized(rd_buf *out, const rd_buf *bytes)
{
    return rd_buf_append_u16be(out, (uint16_t)bytes->size) && rd_buf_append_bytes(out, rd_buf_bytes(bytes));
}

static int chain_one(kms_root *self, rd_kms_record *record, rd_buf *ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf envelope = { .size_max = RD_KMS_DOCUMENT_SIZE_MAX };
    if (kms_root_chain(self, record, &envelope, err) < 0)
        return -1;
    return append_sized(ret, &envelope) ? 0 : rd_err_set(err, RD_E_TOO_LARGE, "records");
}

static int chain_all(kms_root *self, bool is_recovery, int64_t now_us, rd_buf *ret, rd_err *err)
{
    if (kms_root_certify(self, now_us, err) < 0)
        return -1;
    if (!append_sized(ret, &self->certificate))
        return rd_err_set(err, RD_E_TOO_LARGE, "records");
    for (size_t i = 0; i < self->notes_count; i++) {
        rd_kms_record refusal = { .kind = RD_KMS_RECORD_REFUSAL, .at_us = self->notes[i].at_us };
        const char *name = rd_code_describe(self->notes[i].code)->name;
        memcpy(refusal.reason, name, RD_MIN(strlen(name), sizeof(refusal.reason) - 1));
        if (chain_one(self, &refusal, ret, err) < 0)
            return -1;
    }
    rd_kms_record recovery = { .kind = RD_KMS_RECORD_RECOVERY, .at_us = now_us };
    return is_recovery ? chain_one(self, &recovery, ret, err) : 0;
}

/* The key is new, and so is its chain. */
int kms_root_chain_notes(kms_root *self, bool is_recovery, int64_t now_us, rd_buf *ret, rd_err *err)
{
    self->record_number = 0;
    self->record = (rd_digest){ { 0 } };
    if (now_us < 0)
        return rd_err_set(err, RD_E_CONTROL_FRAME, "time");
    return self->notes_count > 0 || is_recovery ? chain_all(self, is_recovery, now_us, ret, err) : 0;
}
