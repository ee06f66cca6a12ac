/* code_seal: the code of a release as ciphertext: AES-256-GCM in chunks under a key of its own.
 * Used by clients, which seal, and by enclaves, which open with the key out of their grant. A release names the digest
 * of the ciphertext. Needs a fresh key for each plaintext: the nonces begin again. */
#ifndef RD_MODEL_CODE_SEAL_H
#define RD_MODEL_CODE_SEAL_H

#include "common/base/bytes.h"
#include "common/base/err.h"

#define RD_CODE_KEY_SIZE   32
#define RD_CODE_CHUNK_SIZE ((size_t)64 << 10) /* of plaintext; the last one may be shorter, or empty */

/* Size of the ciphertext of size bytes. */
size_t rd_code_sealed_size(size_t size);
/* Appends the chunks, each with its tag: nonce 000000 ‖ u64be(index) ‖ final (1 in the last chunk, else 0), no aad. */
int rd_code_seal(const uint8_t key[RD_CODE_KEY_SIZE], rd_bytes code, rd_buf *ret, rd_err *err) RD_NODISCARD;
/* Appends the plaintext. SEAL for another key and for chunks that were cut off, moved, doubled or changed; nothing is
 * appended then. */
int rd_code_open(const uint8_t key[RD_CODE_KEY_SIZE], rd_bytes sealed, rd_buf *ret, rd_err *err) RD_NODISCARD;

#endif
