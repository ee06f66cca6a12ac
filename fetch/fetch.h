/* fetch: a collateral set from the vendors' services or a mirror of them: Intel PCS v4 and PCCS, AMD KDS.
 * Used by `redoubt collateral fetch`, by callers who ask the vendor (cli/collateral.h) and by the plane's refresh
 * (api/refresh.h). Believes nothing that it gets: whoever
 * uses the set reviews it (attest/collateral_review.h). Nothing that a service says becomes part of an address or a
 * file name. */
#ifndef FETCH_FETCH_H
#define FETCH_FETCH_H

#include "attest/collateral_set.h"
#include "attest/vcek.h"
#include "fetch/http.h"

/* The vendors' own (attestation.md 3.2, 5.5). */
#define FETCH_PCS_STANDARD      "https://api.trustedservices.intel.com"
#define FETCH_ROOT_CRL_STANDARD "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
#define FETCH_KDS_STANDARD      "https://kdsintf.amd.com"

typedef struct fetch_sources {
    const char *pcs;      /* base address; NULL: FETCH_PCS_STANDARD */
    const char *root_crl; /* NULL: Intel's for Intel's own service, else /sgx/certification/v4/rootcacrl of pcs */
    const char *kds;      /* NULL: FETCH_KDS_STANDARD */
} fetch_sources;

typedef struct fetch_scope {
    rd_tee tee;
    uint8_t fmspc[6];       /* TDX, SGX */
    rd_snp_product product; /* SNP: ASK, ARK and list */
    bool has_chip;          /* and the VCEK of this one */
    rd_vcek_id chip;
} fetch_scope;

#define FETCH_SCOPES_MAX 128
typedef struct fetch_scopes {
    fetch_scope items[FETCH_SCOPES_MAX];
    size_t count;
} fetch_scopes;

/* Adds what a text names, separated by commas: "tdx:90c06f000000", "sgx:…", "snp:Milan",
 * "snp:Milan/chip id/boot loader.tee.snp.microcode[.fmc]"; a slash does for the colon. USAGE. */
int fetch_scopes_add(fetch_scopes *scopes, const char *text, rd_err *err) RD_NODISCARD;
/* Adds everything that a set covers. */
void fetch_scopes_add_set(fetch_scopes *scopes, const rd_collateral_set *set);

/* In the run that fetch_http_begin started. An answer that cannot be used is forgotten.
 * known: VCEKs that it has are not asked for again, since they never change; may be NULL. Codes of fetch_http_get;
 * COLLATERAL_FORMAT for an answer that cannot be read, TCB_MISMATCH for one about something else than was asked. */
int fetch_collateral(fetch_http *http, const fetch_sources *sources, const fetch_scopes *scopes,
                     const rd_collateral_set *known, rd_collateral_set **ret, rd_err *err) RD_NODISCARD;

#endif
