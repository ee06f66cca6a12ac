/* cache: chains, lists and collateral that were verified already, so that the next quote of the same platform or family
 * costs its own signature alone.
 * Used inside attest; owned by the caller of rd_attest_verify (attest.h), shared by any number of threads.
 * An entry is found by the very bytes it was made from, and only within the time in which all of it is valid; whatever
 * depends on other bytes (is this certificate on that list) is asked anew each time. What failed is never kept. */
#ifndef RD_ATTEST_CACHE_H
#define RD_ATTEST_CACHE_H

#include "attest/attest.h"
#include "common/crypto/x509.h"

/* Something verified, with its references. */
typedef struct rd_memo rd_memo;

typedef enum rd_memo_kind {
    RD_MEMO_CHAIN = 1,
    RD_MEMO_CRL,
    RD_MEMO_SIGNER,
    RD_MEMO_TCB_INFO,
    RD_MEMO_QE_IDENTITY,
    RD_MEMO_QE_REPORT,
    RD_MEMO_ATTESTATION_KEY,
    RD_MEMO_SNP_CHAIN,
    RD_MEMO_SNP_CRL
} rd_memo_kind;

/* The bytes that decide; borrowed. */
typedef struct rd_memo_key {
    rd_memo_kind kind;
    rd_bytes parts[4];
    size_t count;
} rd_memo_key;

/* One reference, valid at all times; the object (NULL: that it was verified is all) is freed with the last reference.
 */
rd_memo *rd_memo_new(void *object, void (*free_object)(void *object));
void rd_memo_unref(rd_memo *memo);
void *rd_memo_object(const rd_memo *memo);
/* Narrows the time in which it holds; from_us is the first instant, until_us the first after it. */
void rd_memo_bound(rd_memo *memo, int64_t from_us, int64_t until_us);
/* To the time in which every certificate of the path is valid. */
void rd_memo_bound_chain(rd_memo *memo, const rd_chain *path);

/* A new reference, or NULL: no cache, nothing of this key, or not valid at this time. */
rd_memo *rd_cache_find(rd_attest_cache *cache, const rd_memo_key *key, int64_t time_us);
/* Keeps a reference under the key; forgets what was used longest ago when there is no room. */
void rd_cache_keep(rd_attest_cache *cache, const rd_memo_key *key, rd_memo *memo);

#endif
