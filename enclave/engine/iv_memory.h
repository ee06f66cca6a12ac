/* iv_memory: which initialisation vectors an instance has used with which AES-GCM key.
 * Used by subtle.c: what is put back for every request (a counter in a module) would otherwise give the same one in
 * every request, and a second message under one destroys GCM's promise (NIST SP 800-38D, 8).
 * Remembers the last ENCL_IV_MEMORY pairs of this instance, as hashes; knows nothing of other instances. */
#ifndef ENCL_IV_MEMORY_H
#define ENCL_IV_MEMORY_H

#include "common/base/bytes.h"

#define ENCL_IV_MEMORY 16384

typedef struct encl_iv_memory encl_iv_memory;

encl_iv_memory *encl_iv_memory_new(void);
encl_iv_memory *encl_iv_memory_free(encl_iv_memory *memory);
/* Notes the pair; false when it was noted already. */
bool encl_iv_memory_take(encl_iv_memory *memory, rd_bytes key, rd_bytes iv);

#endif
