// link: rd_attest
/* Any bytes as collateral: the set, the signed answers, their bodies, and the PCK extension. What the views read is
 * what the reader that builds a tree reads. */
#include <stdio.h>
#include <stdlib.h>

#include "attest/pck.h"
#include "attest/signed_json.h"
#include "attest/tcb_info.h"
#include "tests/support/json_peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compare(rd_bytes text)
{
    rd_json_doc doc;
    const char *what = rd_json_doc_read(text, &doc, NULL) == 0 ? json_peer_differs(&doc) : NULL;
    rd_json_doc_done(&doc);
    if (!what)
        return;
    fprintf(stderr, "differs: %s\n", what);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rd_bytes in = rd_bytes_of(data, size), body;
    rd_collateral_set *set = NULL;
    rd_tcb_info info;
    rd_qe_identity identity;
    rd_pck_claims pck;
    uint8_t signature[64];
    compare(in);
    if (rd_collateral_set_parse(in, &set, NULL) == 0)
        rd_collateral_set_free(set);
    if (rd_signed_json_split(in, "tcbInfo", &body, signature, NULL) == 0)
        in = body;
    (void)!rd_tcb_info_parse(in, &info, NULL);
    rd_tcb_info_done(&info);
    (void)!rd_qe_identity_parse(in, &identity, NULL);
    rd_qe_identity_done(&identity);
    (void)!rd_pck_parse(in, true, &pck, NULL);
    return 0;
}
