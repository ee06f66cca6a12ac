/* keccak: Keccak-256 with the padding from before FIPS 202, as Ethereum hashes (not SHA3-256).
 * Used for messages that a contract is to check; OpenSSL has it from 3.2 on alone.
 */
#ifndef RD_CRYPTO_KECCAK_H
#define RD_CRYPTO_KECCAK_H

#include "common/base/bytes.h"

#define RD_KECCAK256_SIZE 32

void rd_keccak256(rd_bytes bytes, uint8_t out[RD_KECCAK256_SIZE]);

#endif
