/* release: an immutable version of an app, as its owners signed it.
 * Used by the CLI, which makes it, and by the API, agents and enclaves, which check it.
 * Says what may run, not what is current: that is the head. */
#ifndef RD_MODEL_RELEASE_H
#define RD_MODEL_RELEASE_H

#include "common/model/egress.h"
#include "common/model/engine_name.h"
#include "common/model/envelope.h"
#include "common/crypto/hpke.h"

#define RD_ENV_MAX            64
#define RD_ENV_NAME_MAX       64
#define RD_ENV_VALUE_MAX      4096
#define RD_CODE_SIZE_MAX      ((uint64_t)4 << 20)
#define RD_BODY_BYTES_MIN     1024u
#define RD_BODY_BYTES_MAX     (16u << 20)
#define RD_BODY_BYTES_DEFAULT (4u << 20)
#define RD_TIME_MS_MAX        30000u
#define RD_TIME_MS_DEFAULT    10000u
#define RD_HEAP_BYTES_MIN     (1u << 20)
#define RD_HEAP_BYTES_MAX     (256u << 20)
#define RD_HEAP_BYTES_DEFAULT (64u << 20)
#define RD_CPU_M_MIN          10u
#define RD_CPU_M_MAX          4000u
#define RD_CPU_M_DEFAULT      100u
#define RD_MEMORY_MIN         (UINT64_C(16) << 20)
#define RD_MEMORY_MAX         (UINT64_C(1) << 30)
#define RD_MEMORY_DEFAULT     (UINT64_C(96) << 20)

typedef struct rd_env_entry {
    char name[RD_ENV_NAME_MAX + 1]; /* [A-Z_][A-Z0-9_]{0,63} */
    char *value;                    /* UTF-8, at most 4 KiB */
} rd_env_entry;

typedef struct rd_release_limits {
    uint32_t request_bytes, response_bytes;
    uint32_t time_ms;
    uint32_t heap_bytes;
} rd_release_limits;

typedef struct rd_resources {
    uint32_t cpu_m; /* thousandths of a processor */
    uint64_t memory_bytes;
} rd_resources;

/* Where log lines go, with what a crash says: member "logs". */
typedef enum rd_log_form {
    RD_LOGS_UNSAID, /* left out: clear in class simulated; in class hardware no line leaves the enclave */
    RD_LOGS_CLEAR,  /* "clear": the plane and the host read them */
    RD_LOGS_SEALED, /* {"key":…}: to the owner's log key (log_seal.h) */
} rd_log_form;

/* What a request finds of those before it: member "machine". */
typedef enum rd_machine {
    RD_MACHINE_FRESH,  /* nothing */
    RD_MACHINE_KEPT,   /* one virtual machine for many requests, a global object for each */
    RD_MACHINE_SHARED, /* one global object for all callers: what the handler keeps of one can reach another */
} rd_machine;

extern const char *const rd_machine_names[]; /* by rd_machine, then NULL */

/* kind function, salted receipts: all that is known today. */
typedef struct rd_release {
    rd_app_id app;
    rd_engine engine;
    uint32_t number;       /* 1..2^31 - 1 */
    bool is_open;          /* member "open", required: callers need no token of the organisation */
    rd_machine machine;    /* member "machine", of engine jsc alone; left out where it is fresh */
    bool is_plain;         /* member "plain", required: requests may come unsealed, for the relay to read */
    bool is_sealed;        /* "public_code":false: the code is encrypted, its key a secret of the head */
    rd_digest code_digest; /* plain SHA-256 of the blob, the ciphertext where it is sealed */
    uint64_t code_size;    /* of the same */
    rd_env_entry *env;     /* owned, in the canonical order of names */
    size_t env_count;
    rd_egress egress; /* owned */
    rd_log_form logs;
    uint8_t log_key[RD_X25519_SIZE]; /* with RD_LOGS_SEALED */
    rd_release_limits limits;
    rd_resources resources;
} rd_release;

/* Zeroes and sets the default limits and resources. */
void rd_release_init(rd_release *release);
void rd_release_done(rd_release *release);
/* Adds a copy; JSON_RANGE for a bad name, too long a value, a name twice or the 65th. */
int rd_release_set_env(rd_release *release, const char *name, const char *value, rd_err *err) RD_NODISCARD;
int rd_release_parse(rd_bytes canonical, rd_release *ret, rd_err *err) RD_NODISCARD;
/* Appends the canonical form. */
int rd_release_encode(const rd_release *release, rd_buf *out, rd_err *err) RD_NODISCARD;
/* H("release-v1", canonical). */
void rd_release_digest(rd_bytes canonical, rd_digest *ret);
/* Verifies the envelope under the genesis and label release-v1, parses, and demands this app (GENESIS_MISMATCH).
 * A document of another type is refused with PURPOSE. ret_digest may be NULL. */
int rd_release_accept(const rd_envelope *envelope, const rd_genesis *genesis, const rd_app_id *app, rd_release *ret,
                      rd_digest *ret_digest, rd_err *err) RD_NODISCARD;

#endif
