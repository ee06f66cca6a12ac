/* log_seal: an instance's log lines, sealed to the log key that its release names.
 * Used by the enclave, which seals, and by the command line, which opens. One HPKE exchange an instance: a record has
 * its number, so that what is left out, doubled or moved shows. It proves who can read, never who wrote: the plane
 * knows the public key, too. docs/protocol/formats.md, "Log lines".
 */
#ifndef RD_MODEL_LOG_SEAL_H
#define RD_MODEL_LOG_SEAL_H

#include "common/crypto/hpke.h"
#include "common/model/ids.h"

#define RD_LOG_STEP       256
#define RD_LOG_TEXT_MAX   (11 * RD_LOG_STEP - 5) /* longer ones are cut: a record in base64url fits what hosts carry */
#define RD_LOG_SEALED_MAX (RD_X25519_SIZE + 8 + 11 * RD_LOG_STEP + 16)

typedef enum rd_line_level { RD_LINE_DEBUG, RD_LINE_INFO, RD_LINE_WARN, RD_LINE_ERROR } rd_line_level;
extern const char *const rd_line_level_names[]; /* NULL-terminated */

/* Which lines: those of one epoch of an instance. */
typedef struct rd_log_origin {
    rd_app_id app;
    rd_id instance;
    uint64_t epoch;
} rd_log_origin;

/* By value; wiped by rd_log_sealer_done. */
typedef struct rd_log_sealer {
    uint8_t enc[RD_X25519_SIZE];
    rd_hpke hpke;
} rd_log_sealer;

/* HPKE SetupBaseS with AES-256-GCM, info F("info", "log-line-v1", app, instance, u64be(epoch)). KEY_FORMAT for a key of
 * small order. */
int rd_log_sealer_init(rd_log_sealer *sealer, const uint8_t log_key[RD_X25519_SIZE], const rd_log_origin *origin,
                       const rd_random *random, rd_err *err) RD_NODISCARD;
void rd_log_sealer_done(rd_log_sealer *sealer);
/* Appends enc ‖ u64be(number) ‖ the seal of u8 level ‖ u32be(size) ‖ text ‖ zeros up to the next step of 256 bytes,
 * with aad F("aad", "log-line-v1", u64be(number)). Numbers go up from 0, by one a line. */
int rd_log_seal(rd_log_sealer *sealer, rd_line_level level, rd_bytes text, rd_buf *ret, rd_err *err) RD_NODISCARD;

typedef struct rd_log_line {
    uint8_t enc[RD_X25519_SIZE]; /* names the exchange: numbers count within it */
    uint64_t number;
    rd_line_level level;
    rd_buf text; /* owned; whatever bytes the function wrote */
} rd_log_line;

/* SEAL_CONTEXT when it does not open as a line of exactly this origin, SEAL_FORMAT for what no sealer writes. */
int rd_log_open(const rd_secret *log_key, const rd_log_origin *origin, rd_bytes record, rd_log_line *ret,
                rd_err *err) RD_NODISCARD;
void rd_log_line_done(rd_log_line *line);

#endif
