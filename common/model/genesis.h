/* genesis: who owns an app. The document hashes to the app's id and never changes.
 * Used by clients, the API and enclaves before they believe a head or a release.
 * Refuses recovery sets, which the first running path does not know. */
#ifndef RD_MODEL_GENESIS_H
#define RD_MODEL_GENESIS_H

#include "common/model/json.h"

#define RD_OWNERS_MAX        8
#define RD_GENESIS_SALT_SIZE 16

typedef struct rd_genesis {
    rd_public_key owners[RD_OWNERS_MAX]; /* no key twice */
    uint32_t owners_count;               /* 1..8 */
    uint32_t threshold;                  /* 1..owners_count */
    uint8_t salt[RD_GENESIS_SALT_SIZE];
} rd_genesis;

int rd_genesis_parse(rd_bytes canonical, rd_genesis *ret, rd_err *err) RD_NODISCARD;
/* Appends the canonical form. */
int rd_genesis_encode(const rd_genesis *genesis, rd_buf *out, rd_err *err) RD_NODISCARD;
/* H("app-genesis-v1", canonical). */
void rd_genesis_app_id(rd_bytes canonical, rd_app_id *ret);
/* Parses and demands that it hashes to app: GENESIS_MISMATCH otherwise. */
int rd_genesis_open(rd_bytes canonical, const rd_app_id *app, rd_genesis *ret, rd_err *err) RD_NODISCARD;

#endif
