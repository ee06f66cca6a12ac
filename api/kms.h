/* kms: asks the key services that hosts carry, over their links or by way of another replica: nonces in advance, seal
 * keys, evidence, collateral, grants (docs/protocol/kms.md). Used by the grants of agents and by the routes of key
 * services. Carries what is sealed or signed and believes none of it. One pipe a service, opened when somebody asks,
 * one exchange at a time on it; what waits is bounded. Questions for evidence have pipes and a bound of their own: the
 * service holds them until a quote that they share, and nothing else waits behind them. Loop thread. */
#ifndef API_KMS_H
#define API_KMS_H

#include "api/collateral.h"
#include "common/io/link.h"
#include "common/model/ids.h"
#include "common/model/kms_wire.h"

#define API_KMS_MAX         256  /* services spoken with */
#define API_KMS_WAITING_MAX 1024 /* questions to one */
#define API_KMS_NONCE_SIZE  32
/* A service has 128 connections for all replicas, and gives each its turn. */
#define API_KMS_EVIDENCE_PIPES       4
#define API_KMS_EVIDENCE_WAITING_MAX 64

typedef struct api_kms api_kms;

typedef struct api_kms_options {
    rd_loop *loop;
    const rd_clock *clock;
    api_collateral *collateral;
    /* The index-th way to a service: a link, and what to CONNECT to over it; NULL: there is no further one. */
    rd_link *(*find_way)(void *context, const rd_kms_id *kms, size_t index, char authority[RD_KMS_ID_TEXT_SIZE]);
    /* Nonces of this service have come: who waited for one may ask again. */
    void (*on_nonces)(void *context, const rd_kms_id *kms);
    void *context;
} api_kms_options;

api_kms *api_kms_new(const api_kms_options *options);
/* Fails what waits with CANCELLED. Accepts NULL. */
api_kms *api_kms_free(api_kms *all);

/* payload is borrowed for the call. error NULL: the answer of the question's type. A refusal of the service is an error
 * with the service's own code and sentence, and payload is then the envelope of its record, or empty; UNAVAILABLE,
 * TIMEOUT, CANCELLED: it was not reached. */
typedef void (*api_kms_fn)(void *context, rd_bytes payload, const rd_err *error);
/* Copies the payload. fn is called once, never before it returns; -1: not at all. */
int api_kms_ask(api_kms *all, const rd_kms_id *kms, rd_kms_type type, rd_bytes payload, api_kms_fn fn, void *context,
                rd_err *err) RD_NODISCARD;

/* A nonce fetched in advance, given out once; all may be NULL. False: none is at hand; some were asked for, on_nonces
 * tells. */
bool api_kms_take_nonce(api_kms *all, const rd_kms_id *kms, uint8_t out[API_KMS_NONCE_SIZE]);
void api_kms_metrics(void *all, rd_buf *out);

#endif
