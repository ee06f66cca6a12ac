/* hpke: hybrid public key encryption in base mode (RFC 9180): DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-GCM.
 * Used for sealed requests (128 bit keys, RFC 9458) and for secrets and grants (256 bit). It proves who can open, never
 * who sealed. Peers' keys of small order are refused (RFC 7748, 6.1).
 */
#ifndef RD_CRYPTO_HPKE_H
#define RD_CRYPTO_HPKE_H

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/crypto/random.h"
#include "common/crypto/secret.h"

#define RD_X25519_SIZE 32

/* Their numbers in the registry of RFC 9180, 7. */
#define RD_HPKE_KEM_X25519 0x0020
#define RD_HPKE_KDF_SHA256 0x0001
typedef enum rd_hpke_aead { RD_HPKE_AES_128_GCM = 0x0001, RD_HPKE_AES_256_GCM = 0x0002 } rd_hpke_aead;

/* The public key of a private one (RFC 7748, 6.1). */
void rd_x25519_public(const rd_secret *private_key, uint8_t out[RD_X25519_SIZE]);

/* One side of one exchange. By value; wiped by rd_hpke_done. */
typedef struct rd_hpke {
    rd_hpke_aead aead;
    uint8_t key[32];
    uint8_t base_nonce[12];
    uint8_t exporter_secret[32];
    uint64_t seq; /* of the next message; never reaches 2^63 */
} rd_hpke;

/* SetupBaseS: enc goes to the recipient ahead of the messages. KEY_FORMAT for a recipient of small order. */
int rd_hpke_setup_sender(rd_hpke_aead aead, const uint8_t recipient[RD_X25519_SIZE], rd_bytes info,
                         const rd_random *random, uint8_t enc[RD_X25519_SIZE], rd_hpke *ret, rd_err *err) RD_NODISCARD;
/* A private key made ready for many messages: its public value costs as much as opening one. Keeps a copy, which is
 * wiped when it is freed. For one thread. */
typedef struct rd_hpke_recipient rd_hpke_recipient;

rd_hpke_recipient *rd_hpke_recipient_new(const rd_secret *private_key);
rd_hpke_recipient *rd_hpke_recipient_free(rd_hpke_recipient *recipient);
void rd_hpke_recipient_free_p(rd_hpke_recipient **recipient);
const uint8_t *rd_hpke_recipient_public(const rd_hpke_recipient *recipient);

/* SetupBaseR. SEAL for an enc of small order. */
int rd_hpke_setup_recipient(rd_hpke_aead aead, const rd_hpke_recipient *recipient, const uint8_t enc[RD_X25519_SIZE],
                            rd_bytes info, rd_hpke *ret, rd_err *err) RD_NODISCARD;
void rd_hpke_done(rd_hpke *hpke);

/* The next message in order; append as rd_aead_seal and rd_aead_open do. A message that does not open is not counted.
 */
int rd_hpke_seal(rd_hpke *hpke, rd_bytes aad, rd_bytes plaintext, rd_buf *ret, rd_err *err) RD_NODISCARD;
int rd_hpke_open(rd_hpke *hpke, rd_bytes aad, rd_bytes sealed, rd_buf *ret, rd_err *err) RD_NODISCARD;
/* RFC 9180, 5.3. size at most 255 * 32. */
void rd_hpke_export(const rd_hpke *hpke, rd_bytes context, uint8_t *out, size_t size);

/* RFC 9180, 6.1: SealBase and OpenBase with AES-256-GCM, for one message. Appends enc ‖ ciphertext; opens the same.
 * KEY_FORMAT for a recipient of small order; SEAL when it does not open, also for fewer bytes than enc and tag. */
int rd_hpke_seal_once(const uint8_t recipient[RD_X25519_SIZE], rd_bytes info, rd_bytes aad, rd_bytes plaintext,
                      const rd_random *random, rd_buf *ret, rd_err *err) RD_NODISCARD;
int rd_hpke_open_once(const rd_secret *private_key, rd_bytes info, rd_bytes aad, rd_bytes sealed, rd_buf *ret,
                      rd_err *err) RD_NODISCARD;

#endif
