/* subtle: what crypto.subtle asks for, over OpenSSL: keys by handle, digests, signatures, encryption, derivation.
 * Used by the engine for the questions ENCL_ASK_DIGEST to ENCL_ASK_DERIVE (guest/guest_abi.h).
 * Usages, types and "extractable" are enforced here, not by the guest; nothing is drawn before the snapshot. */
#ifndef ENCL_SUBTLE_H
#define ENCL_SUBTLE_H

#include "common/base/bytes.h"
#include "common/base/err.h"

typedef struct encl_subtle encl_subtle;

/* random as in encl_engine_host; context is the engine's. */
encl_subtle *encl_subtle_new(int (*random)(void *context, uint8_t *out, size_t size), void *context);
encl_subtle *encl_subtle_free(encl_subtle *subtle);
/* Uses each algorithm once, so that OpenSSL has fetched and initialised it before a process is confined. */
int encl_subtle_warm_up(rd_err *err) RD_NODISCARD;

/* Appends the whole answer to an empty reply, a refusal too. */
void encl_subtle_ask(encl_subtle *subtle, uint32_t op, rd_bytes question, rd_buf *reply);

/* The snapshot was taken: from now on keys may be generated, and belong to one request. */
void encl_subtle_seal(encl_subtle *subtle);
/* The handler is loaded once more: no key is left, and those that it imports are there for all again. */
void encl_subtle_unseal(encl_subtle *subtle);
/* The request is over. */
void encl_subtle_reset(encl_subtle *subtle);

#endif
