/* subtle_priv: what the files of subtle share: the question as it is read, and the steps between.
 * Used by subtle.c, subtle_keys.c and subtle_use.c alone. */
#ifndef ENCL_SUBTLE_PRIV_H
#define ENCL_SUBTLE_PRIV_H

#include <openssl/evp.h>

#include "common/base/cursor.h"
#include "enclave/engine/iv_memory.h"
#include "enclave/engine/keys.h"
#include "enclave/engine/subtle.h"

#define P256_SIZE  32
#define POINT_SIZE (1 + 2 * P256_SIZE) /* 0x04 ‖ x ‖ y (SEC 1, 2.3.3) */

struct encl_subtle {
    int (*random)(void *context, uint8_t *out, size_t size);
    void *context;
    encl_keys keys;
    encl_iv_memory *ivs; /* NULL until the first encryption */
};

/* One question: a failed read or step leaves status and sentence, and returns -1. */
typedef struct encl_ask {
    encl_subtle *subtle;
    rd_cursor in;
    rd_buf *out;
    enum encl_ask_status status;
    const char *sentence;
} encl_ask;

int encl_ask_refuse(encl_ask *ask, enum encl_ask_status status, const char *sentence);
/* Past the end both give zeros: encl_ask_end says so. */
rd_bytes encl_ask_field(encl_ask *ask);
uint32_t encl_ask_number(encl_ask *ask);
/* The question holds nothing more. */
int encl_ask_end(encl_ask *ask);
int encl_ask_put_field(encl_ask *ask, rd_bytes bytes);
/* The key of a handle when it is of this algorithm and may do this (0: anything). */
const encl_key *encl_ask_key(encl_ask *ask, rd_bytes handle, uint32_t alg, uint32_t may);
const EVP_MD *encl_ask_md(uint32_t hash);
/* Takes the key over (on failure it is freed) and answers its handle, type and length in bits. */
int encl_ask_put_key(encl_ask *ask, encl_key *key);
/* A key of type secret out of bytes; checks their size. */
int encl_ask_make_secret(encl_ask *ask, uint32_t alg, uint32_t hash, uint32_t flags, rd_bytes bytes, encl_key *ret);

/* subtle_keys.c */
int encl_subtle_import(encl_ask *ask);
int encl_subtle_export(encl_ask *ask);
int encl_subtle_generate(encl_ask *ask);
/* subtle_use.c */
int encl_subtle_digest(encl_ask *ask);
int encl_subtle_sign(encl_ask *ask);
int encl_subtle_verify(encl_ask *ask);
int encl_subtle_crypt(encl_ask *ask, bool is_encrypting);
int encl_subtle_derive(encl_ask *ask);

#endif
