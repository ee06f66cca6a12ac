// link: test_evidence
/* A good quote, patched: the input is a list of (u16 offset, u8 value), then what is left is put behind the quote.
 * Whatever comes out as genuine must say what the good quote says. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/evidence_builder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ev_builder *good_one(rd_claims *claims)
{
    static ev_builder b;
    static rd_claims good;
    static bool is_built;
    rd_verdict verdict;
    if (!is_built) {
        ev_build(&b, EV_NONE, NULL);
        if (ev_verify(&b, rd_buf_bytes(&b.quote), &verdict) != RD_OK)
            abort();
        good = verdict.claims;
        is_built = true;
    }
    *claims = good;
    return &b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rd_claims claims;
    rd_verdict verdict;
    ev_builder *b = good_one(&claims);
    RD_CLEANUP(rd_buf_done) rd_buf quote = { 0 };
    rd_buf_append_bytes(&quote, rd_buf_bytes(&b->quote));
    size_t patches = size ? data[0] % 8 : 0, at = size ? 1 : 0;
    for (; patches > 0 && size - at >= 3; patches--, at += 3)
        quote.data[(size_t)(data[at] << 8 | data[at + 1]) % quote.size] = data[at + 2];
    rd_buf_append(&quote, data + at, size - at);
    if (ev_verify(b, rd_buf_bytes(&quote), &verdict) == RD_OK && memcmp(&verdict.claims, &claims, sizeof claims) != 0)
        abort();
    return 0;
}
