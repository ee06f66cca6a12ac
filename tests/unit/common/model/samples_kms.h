/* samples_kms: a key service and what it signs, for the unit tests of common/model. */
#ifndef TESTS_UNIT_COMMON_MODEL_SAMPLES_KMS_H
#define TESTS_UNIT_COMMON_MODEL_SAMPLES_KMS_H

#include "common/model/grant.h"
#include "tests/unit/common/model/samples.h"

#define SAMPLE_ROOT_FILL    0x31
#define SAMPLE_REPLICA_FILL 0x32

/* Root of fill SAMPLE_ROOT_FILL, one build and one machine of ascending bytes, two of three recovery keys. */
RD_UNUSED static rd_kms_genesis sample_kms_genesis(rd_buf *ret_document)
{
    rd_kms_genesis genesis = { .class = RD_CLASS_SIMULATED,
                               .root = sample_public_key(SAMPLE_ROOT_FILL),
                               .measurements_count = 1,
                               .platforms_count = 1,
                               .replicas = 3,
                               .quorum = 2,
                               .recovery_count = 3,
                               .recovery_threshold = 2,
                               .has_sim_root = true };
    for (size_t i = 0; i < sizeof genesis.measurements[0]; i++)
        genesis.measurements[0][i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof genesis.platforms[0]; i++)
        genesis.platforms[0][i] = (uint8_t)i;
    for (size_t i = 0; i < 3; i++)
        memset(genesis.recovery_keys[i], (int)i + 1, 32);
    memset(genesis.sim_root, 0x99, sizeof genesis.sim_root);
    assert_int_equal(rd_kms_genesis_encode(&genesis, ret_document, NULL), 0);
    return genesis;
}

RD_UNUSED static rd_kms_certificate sample_kms_certificate(const rd_kms_genesis *genesis, const rd_kms_id *kms)
{
    rd_kms_certificate certificate = { .kms = *kms,
                                       .key = sample_public_key(SAMPLE_REPLICA_FILL),
                                       .not_after_us = SAMPLE_TIME };
    memcpy(certificate.measurement, genesis->measurements[0], sizeof certificate.measurement);
    memcpy(certificate.platform, genesis->platforms[0], sizeof certificate.platform);
    return certificate;
}

#endif
