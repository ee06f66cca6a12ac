/* world: answers what a function asks of the world: requests, evidence, the app's keys, secrets by reference.
 * Used by the runtime's function and by `redoubt dev`, so that both hold to the same rules.
 * Everything of one call goes with encl_world_forget; what is on no list is refused here.
 */
#ifndef ENCL_WORLD_H
#define ENCL_WORLD_H

#include "common/model/release.h"
#include "enclave/engine/engine.h"
#include "enclave/world/app_keys.h"
#include "enclave/world/egress.h"

#define ENCL_EVIDENCE_A_CALL 4
#define ENCL_REFERENCES_MAX  16 /* secrets by reference in one call */

typedef struct encl_world encl_world;

typedef struct encl_world_host {
    encl_egress_host egress;
    int (*random)(void *context, uint8_t *out, size_t size);
    /* Appends evidence of purpose app with these 32 bytes in `user`. NULL: there is none here. */
    int (*evidence)(void *context, const uint8_t user[32], rd_buf *ret, rd_err *err);
    void *context;
} encl_world_host;

/* Uses what OpenSSL and libsecp256k1 initialise lazily, so that a confined process need not open a file. */
int encl_world_warm_up(rd_err *err) RD_NODISCARD;

/* list is borrowed, host copied. */
encl_world *encl_world_new(const rd_egress *list, const encl_world_host *host);
encl_world *encl_world_free(encl_world *world);
/* Borrowed; NULL: no grant. */
void encl_world_set_keys(encl_world *world, const encl_app_keys *keys);

/* As encl_engine_host.ask, .is_pending and .forget, with the world as context. */
void encl_world_ask(void *world, uint32_t op, rd_bytes question, rd_buf *reply);
bool encl_world_is_pending(void *world);
void encl_world_forget(void *world);

/* What a release bounds, as the engine takes it. */
encl_engine_limits encl_world_limits(const rd_release *release);
/* The object `env` of a handler: the release's texts, and null for each secret, which is read when it is used; not for
 * those that the release lists for headers. */
void encl_world_env(const rd_release *release, const encl_app_keys *keys, rd_buf *out);

encl_egress *encl_world_egress(encl_world *world);
/* A call begins. */
void encl_world_begin(encl_world *world);
/* What the call asked of others so far; kept until the next begins. */
void encl_world_counts(const encl_world *world, uint32_t *ret_asked, uint32_t *ret_failed);

#endif
