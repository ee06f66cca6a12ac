/* kms_replicas: two machines of one key service, and a replica that waits for its root. Used by
 * tests/integration/test_kms_join.c and test_kms_recover.c. */
#ifndef TESTS_SUPPORT_KMS_REPLICAS_H
#define TESTS_SUPPORT_KMS_REPLICAS_H

#include "tests/support/kms_world.h"

/* Which machine it is, in hex; its folder is as empty as before. */
RD_UNUSED static void learn_platform(kms_world *world, char ret[65])
{
    kms_begin(world);
    rd_hex_encode(RD_BYTES_ARRAY(world->parsed.platforms[0]), ret);
    kms_end(world, SIGTERM);
    lose_folder(world);
}

/* Started without a root, for the one of that key service. */
RD_UNUSED static void wait_for_root_as(kms_world *world, const char *kms, uint8_t mrtd)
{
    memset(world->extra, 0, sizeof world->extra);
    world->extra[0] = "--join";
    world->extra[1] = kms;
    assert_false(kms_start_as(world, mrtd));
    assert_non_null(strstr(world->process.why, "redoubt kms join, or kms recover"));
    send_collateral(world);
}

RD_UNUSED static void wait_for_root(kms_world *world, const char *kms)
{
    wait_for_root_as(world, kms, KMS_MRTD);
}

/* It ends by itself when it has its root; the next start is with it. */
RD_UNUSED static void start_with_root(kms_world *world)
{
    kms_reap(world);
    kms_begin(world);
}

/* Evidence of a key service with a key that somebody made up. */
RD_UNUSED static void make_up(kms_world *world, const kms_register *launched, const rd_kms_id *kms, rd_purpose purpose,
                              const uint8_t nonce[32], rd_buf *ret)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_statement statement = { .purpose = purpose,
                               .class = RD_CLASS_SIMULATED,
                               .has_grant_key = purpose == RD_PURPOSE_JOIN,
                               .kms = { *kms },
                               .kms_count = 1,
                               .has_user = true };
    memset(statement.grant_key, 9, sizeof statement.grant_key);
    memcpy(statement.nonce, nonce, 32);
    memcpy(statement.user, kms->b, 32);
    rd_buf_clear(ret);
    quote_launch(world, launched, &statement, &text, ret);
}

#endif
