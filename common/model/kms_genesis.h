/* kms_genesis: which key service. The document hashes to its id and never changes: root key, builds, machines, recovery
 * set, and for a simulated one the simulation root that its grants rest on.
 * Used by the key service, which makes it once, and by enclaves, which find the replica's key below its root. The list
 * of builds in it proves nothing about its author: clients demand evidence from a build on a list of their own. */
#ifndef RD_MODEL_KMS_GENESIS_H
#define RD_MODEL_KMS_GENESIS_H

#include "common/model/class.h"
#include "common/model/json.h"

#define RD_KMS_MEASUREMENT_SIZE 48
#define RD_KMS_MEASUREMENTS_MAX 4
#define RD_KMS_PLATFORMS_MAX    16
#define RD_KMS_REPLICAS_MAX     7
#define RD_KMS_RECOVERY_MAX     16

typedef struct rd_kms_genesis {
    rd_class class;
    rd_public_key root;
    uint8_t measurements[RD_KMS_MEASUREMENTS_MAX][RD_KMS_MEASUREMENT_SIZE]; /* MRTD; 1..4, none twice */
    size_t measurements_count;
    uint8_t platforms[RD_KMS_PLATFORMS_MAX][32]; /* rd_claims.platform_id; 1..16, none twice */
    size_t platforms_count;
    uint32_t replicas, quorum; /* 1..7; quorum is their majority */
    size_t recovery_count;     /* 0: none, by choice; then nothing brings the root back when all replicas are gone */
    uint32_t recovery_threshold;
    uint8_t recovery_keys[RD_KMS_RECOVERY_MAX][32]; /* X25519 */
    bool has_sim_root;
    uint8_t sim_root[32]; /* SHA-256 of the simulation root's certificate; class simulated alone */
} rd_kms_genesis;

/* UNSUPPORTED for what this version cannot keep: a log, witnesses, governance. JSON_RANGE for lists that hold something
 * twice, thresholds beyond their count, a simulation root in class hardware. */
int rd_kms_genesis_parse(rd_bytes canonical, rd_kms_genesis *ret, rd_err *err) RD_NODISCARD;
/* Appends the canonical form; the same checks. */
int rd_kms_genesis_encode(const rd_kms_genesis *genesis, rd_buf *out, rd_err *err) RD_NODISCARD;
/* H("kms-genesis-v1", canonical). */
void rd_kms_genesis_id(rd_bytes canonical, rd_kms_id *ret);
/* Parses and demands that it hashes to id: KMS_UNKNOWN otherwise. */
int rd_kms_genesis_open(rd_bytes canonical, const rd_kms_id *id, rd_kms_genesis *ret, rd_err *err) RD_NODISCARD;

bool rd_kms_genesis_lists_platform(const rd_kms_genesis *genesis, const uint8_t platform_id[32]);
bool rd_kms_genesis_lists_build(const rd_kms_genesis *genesis, const uint8_t mrtd[RD_KMS_MEASUREMENT_SIZE]);

#endif
