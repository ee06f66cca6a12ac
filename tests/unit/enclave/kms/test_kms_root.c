// link: kms_core
/* The root's process on its own, asked by a front that does not keep to the form (R57): it answers what it must, and
 * never with the root. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/model/kms_share.h"
#include "enclave/kms/kms_channel.h"
#include "enclave/kms/kms_front.h"
#include "enclave/kms/kms_judge.h"
#include "enclave/kms/kms_keys.h"
#include "enclave/kms/kms_root.h"

/* A platform that only seals. */
static int seal_key(encl_platform *platform RD_UNUSED, const char *label, uint8_t ret[32], rd_err *err RD_UNUSED)
{
    rd_sha256(rd_bytes_str(label), ret);
    return 0;
}

static void free_platform(encl_platform *platform)
{
    free(platform);
}

static const encl_platform_ops ops = {
    .tee = "sim", .class_ = "simulated", .seal_key = seal_key, .free = free_platform
};

typedef struct fixture {
    int fd, theirs;
    pthread_t thread, judge;
} fixture;

static void *run_judge(void *context)
{
    int fd = *(int *)context;
    (void)kms_judge_run(fd);
    return NULL;
}

static void *run(void *context)
{
    fixture *f = context;
    encl_platform *platform = rd_alloc(sizeof *platform);
    encl_platform_init(platform, &ops);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(pthread_create(&f->judge, NULL, run_judge, &pair[1]), 0);
    (void)kms_root_run(f->theirs, pair[0], platform);
    (void)close(pair[0]);
    (void)pthread_join(f->judge, NULL);
    (void)close(pair[1]);
    (void)close(f->theirs);
    return NULL;
}

static void begin(fixture *f)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    f->fd = pair[0];
    f->theirs = pair[1];
    assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
}

static void end(fixture *f)
{
    (void)close(f->fd);
    (void)pthread_join(f->thread, NULL);
}

static kms_ask_open first_open(void)
{
    kms_ask_open ask = { .class_ = RD_CLASS_SIMULATED, .has_sim_root = 1 };
    memset(ask.measurement, 1, sizeof ask.measurement);
    memset(ask.platform, 2, sizeof ask.platform);
    return ask;
}

static rd_code ask(const fixture *f, kms_op op, rd_bytes fixed, rd_bytes more, void *told, size_t size, rd_buf *ret)
{
    rd_err err = RD_ERR_INIT;
    (void)!kms_channel_ask(f->fd, op, fixed, more, told, size, ret, &err);
    return err.code;
}

static rd_code open_with(const fixture *f, const kms_ask_open *question, rd_bytes file, kms_told_open *told,
                         rd_buf *ret)
{
    return ask(f, KMS_OP_OPEN, rd_bytes_of(question, sizeof *question), file, told, sizeof *told, ret);
}

static void test_opens_once_and_again(void **state RD_UNUSED)
{
    fixture f;
    kms_told_open told, again;
    kms_ask_open question = first_open();
    RD_CLEANUP(rd_buf_done) rd_buf made = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf reopened = { 0 };
    kms_ask_record record = { .kind = RD_KMS_RECORD_START };
    begin(&f);
    assert_int_equal(ask(&f, KMS_OP_RECORD, rd_bytes_of(&record, sizeof record), RD_BYTES_NULL, NULL, 0, NULL),
                     RD_E_CONTROL_ORDER);
    assert_int_equal(open_with(&f, &question, RD_BYTES_NULL, &told, &made), RD_OK);
    assert_int_equal(open_with(&f, &question, RD_BYTES_NULL, &again, NULL), RD_E_CONTROL_ORDER);
    end(&f);

    rd_bytes file = rd_bytes_of(made.data, told.sealed_size);
    rd_bytes genesis = rd_bytes_of(made.data + told.sealed_size, told.genesis_size);
    question.has_file = 1;
    begin(&f);
    assert_int_equal(open_with(&f, &question, file, &again, &reopened), RD_OK);
    assert_int_equal(again.sealed_size, 0);
    assert_true(rd_bytes_equal(genesis, rd_buf_bytes(&reopened)));
    assert_memory_equal(told.replica, again.replica, 32);
    end(&f);

    /* Another build, another machine, the other class, a changed file: none of them gets it. */
    static const struct {
        size_t at;
        rd_code want;
    } rows[] = { { offsetof(kms_ask_open, measurement), RD_E_KMS_BUILD },
                 { offsetof(kms_ask_open, platform), RD_E_KMS_PLATFORM },
                 { offsetof(kms_ask_open, class_), RD_E_CLASS_MISMATCH } };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        kms_ask_open wrong = question;
        ((uint8_t *)&wrong)[rows[i].at] ^= 3;
        begin(&f);
        assert_int_equal(open_with(&f, &wrong, file, &again, NULL), rows[i].want);
        end(&f);
    }
    for (size_t at = 0; at < file.size; at += 17) {
        made.data[at] ^= 1;
        begin(&f);
        assert_int_equal(open_with(&f, &question, file, &again, NULL), RD_E_KMS_STATE);
        end(&f);
        made.data[at] ^= 1;
    }
}

static void test_questions_out_of_form(void **state RD_UNUSED)
{
    fixture f;
    kms_told_open told;
    kms_ask_open question = first_open();
    RD_CLEANUP(rd_buf_done) rd_buf made = { 0 };
    uint8_t noise[sizeof(kms_ask_grant) + 64];
    begin(&f);
    assert_int_equal(open_with(&f, &question, RD_BYTES_NULL, &told, &made), RD_OK);
    for (size_t size = 0; size <= sizeof noise; size++) {
        memset(noise, (int)size, sizeof noise);
        for (kms_op op = KMS_OP_SEAL_KEY; op < KMS_OP_COUNT; op++) {
            bool is_whole = (op == KMS_OP_SEAL_KEY && size == sizeof(kms_ask_seal_key)) ||
                            (op == KMS_OP_RECORD && size == sizeof(kms_ask_record)) ||
                            (op == KMS_OP_NONCE && size == 0);
            if (!is_whole)
                assert_int_not_equal(ask(&f, op, rd_bytes_of(noise, size), RD_BYTES_NULL, NULL, 0, NULL), RD_OK);
        }
    }
    /* A record of a grant without the grant, and sizes that do not add up. */
    kms_ask_record record = { .kind = RD_KMS_RECORD_GRANT };
    assert_int_equal(ask(&f, KMS_OP_RECORD, rd_bytes_of(&record, sizeof record), RD_BYTES_NULL, NULL, 0, NULL),
                     RD_E_CONTROL_FRAME);
    kms_ask_grant grant = { .not_after_us = 1, .statement_size = UINT32_MAX, .secrets_size = 1 };
    assert_int_equal(ask(&f, KMS_OP_GRANT, rd_bytes_of(&grant, sizeof grant), RD_BYTES_NULL, NULL, 0, NULL),
                     RD_E_CONTROL_FRAME);
    grant.statement_size = 0;
    assert_int_equal(ask(&f, KMS_OP_GRANT, rd_bytes_of(&grant, sizeof grant), RD_BYTES_LIT("x"), NULL, 0, NULL),
                     RD_E_SEAL_FORMAT);
    end(&f);
}

static rd_code export_for(const fixture *f, rd_bytes evidence, rd_buf *ret)
{
    kms_told_record told;
    const kms_ask_export question = { .evidence_size = (uint32_t)evidence.size };
    return ask(f, KMS_OP_EXPORT, rd_bytes_of(&question, sizeof question), evidence, &told, sizeof told, ret);
}

/* A front that vouches for a peer of its own: the judge is asked, not it. */
static void test_root_goes_to_nobody(void **state RD_UNUSED)
{
    fixture f;
    kms_told_open told;
    kms_ask_open question = first_open();
    uint8_t nonce[32];
    RD_CLEANUP(rd_buf_done) rd_buf got = { 0 };
    begin(&f);
    assert_int_equal(open_with(&f, &question, RD_BYTES_NULL, &told, NULL), RD_OK);
    assert_int_equal(export_for(&f, RD_BYTES_LIT("{}"), &got), RD_E_KMS_NONCE);
    assert_int_equal(ask(&f, KMS_OP_NONCE, RD_BYTES_NULL, RD_BYTES_NULL, nonce, sizeof nonce, NULL), RD_OK);
    assert_int_not_equal(export_for(&f, RD_BYTES_LIT("{}"), &got), RD_OK);
    assert_int_equal(export_for(&f, RD_BYTES_LIT("{}"), &got), RD_E_KMS_NONCE);
    assert_int_equal(got.size, 0);
    assert_int_equal(ask(&f, KMS_OP_IMPORT, RD_BYTES_NULL, RD_BYTES_NULL, NULL, 0, NULL), RD_E_CONTROL_ORDER);
    assert_int_equal(ask(&f, KMS_OP_MEET, RD_BYTES_NULL, RD_BYTES_NULL, NULL, 0, NULL), RD_E_CONTROL_ORDER);
    end(&f);

    question.waits = 1;
    begin(&f);
    assert_int_equal(open_with(&f, &question, RD_BYTES_NULL, &told, NULL), RD_OK);
    assert_int_equal(told.sealed_size + told.genesis_size, 0);
    for (kms_op op = KMS_OP_SEAL_KEY; op <= KMS_OP_RECORD; op++)
        assert_int_equal(ask(&f, op, RD_BYTES_NULL, RD_BYTES_NULL, NULL, 0, NULL), RD_E_CONTROL_ORDER);
    kms_ask_import import = { .root_size = 3 };
    assert_int_equal(ask(&f, KMS_OP_IMPORT, rd_bytes_of(&import, sizeof import), RD_BYTES_LIT("abc"), NULL, 0, NULL),
                     RD_E_KMS_JOIN);
    end(&f);
}

static rd_code ask_share(const fixture *f, rd_bytes share, kms_told_share *told, rd_buf *ret)
{
    const kms_ask_share question = { .now_us = 5 };
    return ask(f, KMS_OP_SHARE, rd_bytes_of(&question, sizeof question), share, told, sizeof *told, ret);
}

/* A front that plays the holders: shares of its own making, and a genesis of its own, bring it nothing and change
 * nothing. */
static void test_shares_of_a_front(void **state RD_UNUSED)
{
    fixture f;
    kms_told_open told;
    kms_told_share given;
    kms_ask_open question = first_open(), wrong = question;
    uint8_t key[RD_X25519_SIZE], again[RD_X25519_SIZE];
    RD_CLEANUP(rd_buf_done) rd_buf made = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf got = { 0 };
    question.recovery_count = question.recovery_threshold = 2;
    memset(question.recovery_keys[0], 9, 32);
    memset(question.recovery_keys[1], 10, 32);
    wrong.recovery_count = RD_KMS_RECOVERY_MAX + 1;
    wrong.recovery_threshold = 1;
    begin(&f);
    assert_int_equal(open_with(&f, &wrong, RD_BYTES_NULL, &told, NULL), RD_E_CONFIG);
    wrong.recovery_count = wrong.recovery_threshold = 1; /* the root itself */
    assert_int_equal(open_with(&f, &wrong, RD_BYTES_NULL, &told, NULL), RD_E_CONFIG);
    wrong.recovery_threshold = 2;
    assert_int_equal(open_with(&f, &wrong, RD_BYTES_NULL, &told, NULL), RD_E_CONFIG);
    assert_int_equal(open_with(&f, &question, RD_BYTES_NULL, &told, &made), RD_OK);
    assert_int_equal(told.shares_size, 2 * RD_KMS_SHARE_SEALED_SIZE);
    rd_bytes genesis = rd_bytes_of(made.data + told.sealed_size, told.genesis_size);
    rd_bytes share = rd_bytes_of(genesis.data + genesis.size, RD_KMS_SHARE_SEALED_SIZE);
    assert_int_equal(ask(&f, KMS_OP_RECOVER, genesis, RD_BYTES_NULL, key, sizeof key, NULL), RD_E_CONTROL_ORDER);
    assert_int_equal(ask_share(&f, share, &given, NULL), RD_E_CONTROL_ORDER);
    end(&f);

    rd_kms_id id;
    rd_kms_genesis_id(genesis, &id);
    question.waits = 1;
    memcpy(question.kms, id.b, 32);
    begin(&f);
    assert_int_equal(open_with(&f, &question, RD_BYTES_NULL, &told, NULL), RD_OK);
    assert_int_equal(ask_share(&f, share, &given, &got), RD_E_RECOVERY);
    assert_int_equal(ask(&f, KMS_OP_RECOVER, RD_BYTES_LIT("{}"), RD_BYTES_NULL, key, sizeof key, NULL),
                     RD_E_KMS_UNKNOWN);
    assert_int_equal(ask(&f, KMS_OP_RECOVER, genesis, RD_BYTES_NULL, key, sizeof key, NULL), RD_OK);
    assert_int_equal(ask(&f, KMS_OP_RECOVER, genesis, RD_BYTES_NULL, again, sizeof again, NULL), RD_OK);
    assert_memory_equal(key, again, sizeof key);
    /* Its holder's, not this one's; and one that nobody signed. */
    assert_int_equal(ask_share(&f, share, &given, &got), RD_E_RECOVERY);
    static const uint8_t unsigned_share[RD_KMS_SHARE_SIZE] = { 1 };
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    assert_int_equal(rd_kms_share_seal(key, &id, RD_BYTES_ARRAY(unsigned_share), &sealed, NULL), 0);
    assert_int_equal(ask_share(&f, rd_buf_bytes(&sealed), &given, &got), RD_E_RECOVERY);
    for (size_t size = 0; size < sealed.size; size++)
        assert_int_equal(ask_share(&f, rd_bytes_of(sealed.data, size), &given, &got), RD_E_RECOVERY);
    assert_int_equal(got.size, 0);
    end(&f);
}

/* A record that the disk did not take is nobody's predecessor: no other follows it. */
/* J15 : a record that cannot be kept is no grant. */
static void test_record_that_was_not_kept(void **state RD_UNUSED)
{
    fixture f;
    kms_told_open told;
    kms_ask_open question = first_open();
    RD_CLEANUP(rd_free_p) kms_front *front = rd_alloc(sizeof *front);
    encl_platform platform;
    rd_err err = RD_ERR_INIT;
    char kept[] = "/tmp/redoubt-state-XXXXXX";
    int disk = mkstemp(kept);
    assert_true(disk >= 0);
    (void)unlink(kept);
    encl_platform_init(&platform, &ops);
    begin(&f);
    assert_int_equal(open_with(&f, &question, RD_BYTES_NULL, &told, NULL), RD_OK);
    *front = (kms_front){ .root_fd = f.fd, .platform = &platform, .store = { .slots = { disk, disk } } };
    assert_int_equal(kms_front_record_start(front, NULL), 0);
    assert_false(front->is_behind);
    front->store.slots[0] = front->store.slots[1] = -1;
    assert_int_equal(kms_front_record_start(front, &err), -1);
    assert_int_equal(err.code, RD_E_KMS_AUDIT);
    assert_true(front->is_behind);
    front->store.slots[0] = front->store.slots[1] = disk;
    assert_int_equal(kms_front_record_start(front, &err), -1);
    assert_int_equal(err.code, RD_E_KMS_AUDIT);
    assert_int_equal(front->store.generation, 1);
    end(&f);
    (void)close(disk);
}

static void test_derivation(void **state RD_UNUSED)
{
    rd_kms_genesis what = {
        .class = RD_CLASS_SIMULATED, .measurements_count = 1, .platforms_count = 1, .replicas = 1, .quorum = 1
    };
    RD_CLEANUP(kms_keys_done) kms_keys keys = { .root = NULL };
    RD_CLEANUP(kms_keys_done) kms_keys other = { .root = NULL };
    rd_app_id app = { { 1 } }, second = { { 2 } };
    assert_int_equal(kms_keys_make(&what, &keys, NULL), 0);
    assert_int_equal(kms_keys_make(&what, &other, NULL), 0);
    RD_CLEANUP(rd_secret_free_p) rd_secret *root = kms_keys_app_root(&keys, &app);
    RD_CLEANUP(rd_secret_free_p) rd_secret *again = kms_keys_app_root(&keys, &app);
    RD_CLEANUP(rd_secret_free_p) rd_secret *of_second = kms_keys_app_root(&keys, &second);
    RD_CLEANUP(rd_secret_free_p) rd_secret *of_other = kms_keys_app_root(&other, &app);
    assert_true(rd_secret_equal(root, again));
    assert_false(rd_secret_equal(root, of_second));
    assert_false(rd_secret_equal(root, of_other));
    keys.genesis.class = RD_CLASS_HARDWARE;
    RD_CLEANUP(rd_secret_free_p) rd_secret *of_class = kms_keys_app_root(&keys, &app);
    assert_false(rd_secret_equal(root, of_class));
    RD_CLEANUP(rd_secret_free_p) rd_secret *first = kms_keys_derive(root, RD_KDF_APP_TLS, 1);
    RD_CLEANUP(rd_secret_free_p) rd_secret *newer = kms_keys_derive(root, RD_KDF_APP_TLS, 2);
    RD_CLEANUP(rd_secret_free_p) rd_secret *purpose = kms_keys_derive(root, RD_KDF_APP_SIGN, 1);
    assert_false(rd_secret_equal(first, newer));
    assert_false(rd_secret_equal(first, purpose));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens_once_and_again), cmocka_unit_test(test_questions_out_of_form),
        cmocka_unit_test(test_root_goes_to_nobody),  cmocka_unit_test(test_record_that_was_not_kept),
        cmocka_unit_test(test_derivation),           cmocka_unit_test(test_shares_of_a_front),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
