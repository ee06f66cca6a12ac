/* kms_replicas: two machines of one key service, and a replica that waits for its root. Used by
 * tests/integration/test_kms_join.c and test_kms_recover.c. */
#ifndef TESTS_SUPPORT_KMS_REPLICAS_H
#define TESTS_SUPPORT_KMS_REPLICAS_H

#include "tests/support/kms_world.h"

#include "common/base/cursor.h"

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

/* What came with the root: as `redoubt kms recover` and `kms join` read it. Appends "kind:reason " for each record, and
 * follows the last. */
RD_UNUSED static void read_records(kms_world *world, const rd_kms_genesis *genesis, rd_bytes bundle, rd_buf *said)
{
    rd_cursor cursor = rd_cursor_of(bundle);
    rd_kms_certificate certificate;
    rd_kms_record record;
    static const char *const kinds[] = { "", "start", "grant", "refusal", "join", "recovery" };
    world->record_number = 0;
    for (bool is_first = true; !rd_cursor_is_done(&cursor); is_first = false) {
        rd_bytes envelope = rd_cursor_take(&cursor, rd_cursor_u16be(&cursor));
        assert_true(rd_cursor_is_ok(&cursor));
        if (is_first) {
            MUST(rd_kms_certificate_accept(envelope, genesis, &world->id, wall_us(), &certificate, err));
            continue;
        }
        follow_record(world, envelope, &record);
        assert_true(rd_public_key_equal(&record.replica, &certificate.key));
        rd_buf_printf(said, "%s%s%s ", kinds[record.kind], record.reason[0] ? ":" : "", record.reason);
    }
}

#endif
