/* replica_certificates: the certificates of key services' replicas that came with grants, so that the record of a
 * refusal, which comes without one, is kept beside its own.
 * Used by the keeper of such records. A few; who comes last takes the place of who came first. Loop thread. */
#ifndef API_REPLICA_CERTIFICATES_H
#define API_REPLICA_CERTIFICATES_H

#include "common/model/kms_replica.h"

#define API_REPLICA_CERTIFICATES_MAX 64

typedef struct api_replica_certificate {
    rd_kms_id kms;
    rd_public_key replica;
    rd_buf envelope;
} api_replica_certificate;

/* Zeroes are an empty one. */
typedef struct api_replica_certificates {
    api_replica_certificate items[API_REPLICA_CERTIFICATES_MAX];
    size_t count, next; /* next: whose place is taken */
} api_replica_certificates;

/* The envelope was verified, and is of this key; copied. A newer one takes the older one's place. */
void api_replica_certificates_note(api_replica_certificates *all, const rd_kms_id *kms, const rd_public_key *replica,
                                   rd_bytes envelope);
/* The envelope, borrowed until the next note; empty: none is known. */
rd_bytes api_replica_certificates_find(const api_replica_certificates *all, const rd_kms_id *kms,
                                       const rd_public_key *replica);
void api_replica_certificates_done(api_replica_certificates *all);

#endif
