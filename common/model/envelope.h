/* envelope: a signed document in transport, its exact bytes and one to eight signatures, each with what it rests on
 * where that is a delegation.
 * Used for releases and heads wherever they travel or are stored.
 * Knows keys and labels, not the meaning of the document. */
#ifndef RD_MODEL_ENVELOPE_H
#define RD_MODEL_ENVELOPE_H

#include "common/model/genesis.h"

#define RD_SIGNATURES_MAX    8
#define RD_DOCUMENT_SIZE_MAX ((size_t)64 << 10)
#define RD_ENVELOPE_SIZE_MAX ((size_t)96 << 10)

typedef struct rd_envelope_signature {
    rd_public_key key;
    rd_signature signature;
    rd_buf delegation; /* envelope JSON; empty: an owner's own signature */
    rd_buf base;       /* under a delegation: envelope JSON of the last head that the owners signed themselves */
} rd_envelope_signature;

typedef struct rd_envelope {
    rd_buf document;
    rd_envelope_signature signatures[RD_SIGNATURES_MAX];
    size_t signatures_count;
} rd_envelope;

/* Starts an envelope without signatures around a copy of the document. */
void rd_envelope_init(rd_envelope *envelope, rd_bytes document);
void rd_envelope_done(rd_envelope *envelope);

/* Adds a signature under the label; a key that has signed already is refused with SIGNATURE. */
int rd_envelope_sign(rd_envelope *envelope, const rd_signing_key *key, rd_sign_label label, rd_err *err) RD_NODISCARD;
/* Parses the JSON into a fresh struct; call rd_envelope_done also after a failure. */
int rd_envelope_parse(rd_bytes json, rd_envelope *ret, rd_err *err) RD_NODISCARD;
/* Appends the JSON. */
int rd_envelope_encode(const rd_envelope *envelope, rd_buf *out, rd_err *err) RD_NODISCARD;
/* It has one signature, and that one carries a delegation. */
bool rd_envelope_is_delegated(const rd_envelope *envelope);
/* SIGNATURE unless every signature verifies under the label, each by an owner of the genesis and by no delegation,
 * none twice, and they reach the threshold. */
int rd_envelope_verify(const rd_envelope *envelope, const rd_genesis *genesis, rd_sign_label label,
                       rd_err *err) RD_NODISCARD;
/* SIGNATURE unless there is exactly one signature, by this key, and it verifies under the label: for what a service
 * signs, not an app's owners. */
int rd_envelope_verify_key(const rd_envelope *envelope, const rd_public_key *key, rd_sign_label label,
                           rd_err *err) RD_NODISCARD;

#endif
