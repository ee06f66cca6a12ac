/* keys: the CryptoKey objects of one request, kept by the host and named by handles that die with the request.
 * Used by subtle.c. Keys that a module made while it loaded are part of the snapshot and outlive every request.
 * Gives no key for a handle of another generation, whatever number a corrupted guest makes up. */
#ifndef ENCL_KEYS_H
#define ENCL_KEYS_H

#include "common/base/bytes.h"
#include "common/base/mem.h"
#include "enclave/engine/guest/guest_abi.h"

struct evp_pkey_st;

#define ENCL_KEYS_MAX        1024 /* at once, those of the snapshot counted */
#define ENCL_KEY_HANDLE_SIZE 8    /* u32le index, u32le generation */

typedef enum encl_key_type { ENCL_KEY_SECRET, ENCL_KEY_PUBLIC, ENCL_KEY_PRIVATE } encl_key_type;

typedef struct encl_key {
    enum encl_key_alg alg;
    encl_key_type type;
    uint32_t hash;            /* HMAC: enum encl_key_hash; else 0 */
    uint32_t flags;           /* ENCL_MAY_… and ENCL_KEY_EXTRACTABLE */
    rd_buf secret;            /* type secret: the bytes */
    struct evp_pkey_st *pkey; /* the others; owned */
} encl_key;

/* Wipes and frees what it holds. */
void encl_key_done(encl_key *key);

typedef struct encl_keys {
    encl_key *items;
    size_t count, base_count, capacity;
    uint32_t generation; /* 0 while a module loads */
} encl_keys;

void encl_keys_done(encl_keys *keys);
/* Takes the key's content over and leaves it empty. False when the table is full: the key stays the caller's. */
bool encl_keys_add(encl_keys *keys, encl_key *key, uint8_t ret_handle[ENCL_KEY_HANDLE_SIZE]);
/* NULL for a handle that is not of this request or of the snapshot. Borrowed until the next add or reset. */
const encl_key *encl_keys_find(const encl_keys *keys, rd_bytes handle);
/* The snapshot was taken: what is there stays. */
void encl_keys_seal(encl_keys *keys);
/* As before anything was added: every key is wiped, and the next ones are the snapshot's. */
void encl_keys_unseal(encl_keys *keys);
/* The request is over: its keys are wiped, its handles dead. */
void encl_keys_reset(encl_keys *keys);

#endif
