/* platform: the only door from the runtime to the TEE it runs on: registers, quotes, randomness, time.
 * Used by the runtime's identity, receipts and main. A port is a file with one constructor (platform_skeleton.c).
 * Never believes the host's clock backwards.
 */
#ifndef ENCL_PLATFORM_H
#define ENCL_PLATFORM_H

#include "common/base/bytes.h"
#include "common/base/err.h"

typedef struct encl_platform encl_platform;

/* What a port fills in. Calls may block for at most ten seconds. */
typedef struct encl_platform_ops {
    const char *tee;    /* "sim", "tdx", "snp": which verifier reads the evidence */
    const char *class_; /* "simulated" or "hardware": nothing mixes the two */
    /* Extends RTMR3 by one digest after the other; without such a register UNSUPPORTED. */
    int (*extend)(encl_platform *platform, const uint8_t (*digests)[48], size_t count, rd_err *err);
    /* Asks for the quote that `quote` will be called for; NULL: there is nothing to gain by it. */
    int (*begin_quote)(encl_platform *platform, const uint8_t report_data[64], rd_err *err);
    /* Appends the quote over report_data. */
    int (*quote)(encl_platform *platform, const uint8_t report_data[64], rd_buf *ret, rd_err *err);
    /* A key of this measurement on this machine, by purpose; NULL: the platform has none. */
    int (*seal_key)(encl_platform *platform, const char *label, uint8_t ret[32], rd_err *err);
    void (*free)(encl_platform *platform);
} encl_platform_ops;

/* The common part; a port embeds it as its first member and starts it with encl_platform_init. */
struct encl_platform {
    const encl_platform_ops *ops;
    int64_t floor_us;         /* host time is never believed below this */
    int64_t (*host_us)(void); /* replaceable in tests */
    bool is_closed;           /* the register took redoubt.closed: no extend any more */
};

/* For ports: sets ops and the build's time floor. */
void encl_platform_init(encl_platform *platform, const encl_platform_ops *ops);

/* The simulated TEE behind the quoter stream (docs/protocol/enclave.md). Takes over fd, a connected stream socket. */
encl_platform *encl_platform_sim_new(int fd);
/* A TDX guest by configfs-tsm (attestation.md, 6). root is "/sys/kernel/config/tsm" or a test's tree; rtmr_path the
 * guest's file of register 3. Opens what it needs now, since a confined process opens nothing.
 * Errors: TEE_UNAVAILABLE with what is missing. */
int encl_platform_tsm_new(const char *root, const char *rtmr_path, encl_platform **ret, rd_err *err) RD_NODISCARD;
/* The start of a port: refuses everything. */
encl_platform *encl_platform_skeleton_new(void);

encl_platform *encl_platform_free(encl_platform *platform);
void encl_platform_free_p(encl_platform **platform);

const char *encl_platform_tee(const encl_platform *platform);
const char *encl_platform_class(const encl_platform *platform);

/* Extends register 3 by each digest in turn. After encl_platform_close_register it refuses with TEE_CLOSED. */
int encl_platform_extend(encl_platform *platform, const uint8_t (*digests)[48], size_t count, rd_err *err) RD_NODISCARD;
/* No extension any more from this process (call after redoubt.closed was extended). */
void encl_platform_close_register(encl_platform *platform);
/* Lets the platform work on a quote that encl_platform_quote will be asked for; a call for another one is good, too.
 * Errors as there. */
int encl_platform_begin_quote(encl_platform *platform, const uint8_t report_data[64], rd_err *err) RD_NODISCARD;
/* Appends quote bytes. Errors: TEE_UNAVAILABLE, TEE_REFUSED with the platform's words. */
int encl_platform_quote(encl_platform *platform, const uint8_t report_data[64], rd_buf *ret, rd_err *err) RD_NODISCARD;
/* The key under which a key service keeps its root over a restart: the same for the same measurement on the same
 * machine and label (at most 32 bytes), and nobody else's. Given only while register 3 is as it was at launch, so that
 * what runs later cannot have it. Errors: UNSUPPORTED (TDX has none), TEE_UNAVAILABLE, TEE_REFUSED. */
int encl_platform_seal_key(encl_platform *platform, const char *label, uint8_t ret[32], rd_err *err) RD_NODISCARD;
/* Fills out from the kernel's generator, which a TDX guest seeds from RDSEED. */
int encl_platform_random(encl_platform *platform, uint8_t *out, size_t size, rd_err *err) RD_NODISCARD;
/* The host's claim of the time in microseconds since the epoch, at least the build's time and never backwards. */
int64_t encl_platform_time_us(encl_platform *platform);
/* Raises the floor, e.g. to the not_before of a verified head; never lowers it. */
void encl_platform_raise_floor(encl_platform *platform, int64_t time_us);
/* The build's floor: SOURCE_DATE_EPOCH of the build, or the date the source was begun. */
int64_t encl_platform_build_floor_us(void);

#endif
