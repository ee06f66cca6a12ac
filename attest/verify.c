#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "attest/verifier.h"
#include "common/crypto/frame.h"

static const rd_verifier *const verifiers[] = { &rd_verifier_local, &rd_verifier_snp, &rd_verifier_intel };

static rd_attest_step *next_step(rd_verdict *verdict, const char *name)
{
    if (verdict->step_count == RD_ATTEST_STEPS_MAX)
        return NULL;
    rd_attest_step *step = &verdict->steps[verdict->step_count++];
    step->name = name;
    return step;
}

void rd_step_ok(rd_verdict *verdict, const char *name, const char *fmt, ...)
{
    rd_attest_step *step = next_step(verdict, name);
    if (!step)
        return;
    step->is_ok = true;
    va_list args;
    va_start(args, fmt);
    vsnprintf(step->detail, sizeof step->detail, fmt, args);
    va_end(args);
}

int rd_step_failed(rd_verdict *verdict, const char *name, const rd_err *err)
{
    rd_attest_step *step = next_step(verdict, name);
    if (step)
        snprintf(step->detail, sizeof step->detail, "%.*s", (int)sizeof step->detail - 1, err->text);
    return -1;
}

int rd_step_no_collateral(rd_verdict *verdict, rd_err *err)
{
    (void)rd_err_set(err, RD_E_COLLATERAL_MISSING, "no collateral was given: nobody can say whether it is genuine");
    return rd_step_failed(verdict, "collateral", err);
}

void rd_note_early(rd_verdict *verdict, const rd_certs *certs, int64_t time_us)
{
    for (size_t i = 0; i < certs->count; i++)
        verdict->is_early |= time_us < rd_cert_not_before_us(certs->items[i]);
}

void rd_platform_id(rd_tee tee, rd_bytes raw_id, uint8_t ret[32])
{
    RD_H(ret, RD_HASH_PLATFORM, rd_bytes_str(rd_tee_names[tee]), raw_id);
}

static int dispatch(const rd_attest_input *input, rd_verdict *verdict, rd_err *err)
{
    if (input->quote.size == 0)
        rd_err_set(err, RD_E_QUOTE_TRUNCATED, "no evidence");
    else if (input->quote.size > RD_QUOTE_SIZE_MAX)
        rd_err_set(err, RD_E_QUOTE_TOO_BIG, "evidence of %zu bytes, at most %zu", input->quote.size, RD_QUOTE_SIZE_MAX);
    else {
        for (size_t i = 0; i < RD_ARRAY_LEN(verifiers); i++)
            if (verifiers[i]->recognises(input->quote))
                return verifiers[i]->verify(input, verdict, err);
        rd_err_set(err, RD_E_EVIDENCE_TYPE, "evidence of a kind that is not known");
    }
    return rd_step_failed(verdict, "format", err);
}

int rd_attest_verify(const rd_attest_input *input, rd_verdict *ret, rd_err *err)
{
    *ret = (rd_verdict){ 0 };
    rd_err why = RD_ERR_INIT;
    if (dispatch(input, ret, &why) < 0) {
        ret->reason = why.code;
        if (err)
            *err = why;
        return -1;
    }
    ret->is_genuine = true;
    return 0;
}
