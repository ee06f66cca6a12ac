#include <string.h>

#include "attest/attest.h"
#include "attest/verifier.h"

/* The vendors' production roots: SHA-256 of the DER certificate. A simulation root never stands here. */
static const rd_anchor vendor_anchors[] = {
    /* Intel SGX Root CA, serial 22650cd65a9d3489f383b49552bf501b392706ac, 2018-05-21 to 2049-12-31. */
    { .fingerprint = { 0x44, 0xa0, 0x19, 0x6b, 0x2b, 0x99, 0xf8, 0x89, 0xb8, 0xe1, 0x49, 0xe9, 0x5b, 0x80, 0x7a, 0x35,
                       0x0e, 0x74, 0x24, 0x96, 0x43, 0x99, 0xe8, 0x85, 0xa7, 0xcb, 0xb8, 0xcc, 0xfa, 0xb6, 0x74, 0xd3 },
      .class = RD_CLASS_HARDWARE,
      .tee = RD_TEE_TDX },
    /* ARK-Milan, 2020-10-22 to 2045-10-22. */
    { .fingerprint = { 0x69, 0xd0, 0x63, 0xb4, 0x53, 0x44, 0xd2, 0x6a, 0x2e, 0x94, 0xe1, 0xf4, 0x21, 0x0d, 0xe4, 0x9e,
                       0xf5, 0x55, 0x30, 0x82, 0x87, 0xd4, 0xc1, 0x74, 0x44, 0x5c, 0x95, 0x63, 0x9a, 0x54, 0x0b, 0xcd },
      .class = RD_CLASS_HARDWARE,
      .tee = RD_TEE_SNP },
    /* ARK-Genoa, 2022-01-26 to 2047-01-26. */
    { .fingerprint = { 0x4c, 0x65, 0x98, 0xd1, 0x9c, 0x18, 0x71, 0x9c, 0x5d, 0xfd, 0x4a, 0x7d, 0x33, 0x5f, 0x67, 0x4e,
                       0x5b, 0xfe, 0x1d, 0x8f, 0x80, 0x0c, 0xea, 0x2c, 0xf2, 0x70, 0xc1, 0x0d, 0x10, 0x3d, 0xb2, 0xf1 },
      .class = RD_CLASS_HARDWARE,
      .tee = RD_TEE_SNP },
    /* ARK-Turin, 2023-05-15 to 2048-05-15. */
    { .fingerprint = { 0x1f, 0x08, 0x41, 0x61, 0xa4, 0x4b, 0xb6, 0xd9, 0x37, 0x78, 0xa9, 0x04, 0x87, 0x7d, 0x48, 0x19,
                       0xca, 0xfa, 0x5d, 0x05, 0xef, 0x41, 0x93, 0xb2, 0xde, 0xd9, 0xdd, 0x9c, 0x73, 0xdd, 0x3f, 0x6a },
      .class = RD_CLASS_HARDWARE,
      .tee = RD_TEE_SNP },
};

void rd_anchors_init(rd_anchors *ret)
{
    *ret = (rd_anchors){ .count = RD_ARRAY_LEN(vendor_anchors) };
    memcpy(ret->items, vendor_anchors, sizeof vendor_anchors);
}

int rd_anchors_add_simulated(rd_anchors *anchors, const uint8_t fingerprint[32], rd_err *err)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(vendor_anchors); i++)
        if (memcmp(vendor_anchors[i].fingerprint, fingerprint, 32) == 0)
            return rd_err_set(err, RD_E_POLICY_UNSAFE, "a vendor's root cannot be a simulation root");
    if (anchors->count == RD_ANCHORS_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "more than %d trust anchors", RD_ANCHORS_MAX);
    rd_anchor *anchor = &anchors->items[anchors->count++];
    *anchor = (rd_anchor){ .class = RD_CLASS_SIMULATED, .tee = RD_TEE_TDX };
    memcpy(anchor->fingerprint, fingerprint, 32);
    return 0;
}

void rd_roots_of(const rd_anchors *anchors, rd_tee tee, rd_roots *ret)
{
    *ret = (rd_roots){ 0 };
    rd_tee wanted = tee == RD_TEE_SGX ? RD_TEE_TDX : tee;
    for (size_t i = 0; i < anchors->count && i < RD_ANCHORS_MAX; i++) {
        if (anchors->items[i].tee != wanted)
            continue;
        memcpy(ret->fingerprints[ret->count], anchors->items[i].fingerprint, 32);
        ret->index[ret->count++] = i;
    }
}
