// link: cli_core encl_engine
/* R40: the highest numbers of collateral that were seen. */
#include "cli/seen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/profile.h"
#include "common/base/mem.h"
#include "common/base/text.h"

static char dir[] = "/tmp/redoubt-seen-XXXXXX";

static int setup(void **state RD_UNUSED)
{
    memcpy(dir + sizeof dir - 7, "XXXXXX", 6);
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state RD_UNUSED)
{
    static const char *const names[] = { "collateral-seen.json", "collateral-seen.json.lock" };
    for (size_t i = 0; i < RD_ARRAY_LEN(names); i++) {
        RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/%s", dir, names[i]);
        (void)unlink(path);
    }
    return rmdir(dir);
}

static rd_verdict verdict(uint8_t root, rd_tee tee, bool is_platform, uint32_t evaluation, int64_t pck, int64_t list)
{
    rd_verdict ret = { .is_genuine = true,
                       .pck_crl_number = pck,
                       .root_crl_number = list,
                       .tcb = { .evaluation_number = evaluation + 1, .qe_evaluation_number = evaluation },
                       .claims = { .tee = tee, .class = RD_CLASS_SIMULATED, .pck.has_piid = is_platform } };
    memset(ret.root, root, sizeof ret.root);
    return ret;
}

static rd_attest_floor floor_of(const rd_verdict *now)
{
    rd_attest_floor ret = { 0 };
    rd_err err = RD_ERR_INIT;
    if (cli_seen_floor(dir, now, &ret, &err) < 0)
        fail_msg("%s", err.text);
    return ret;
}

static void see(rd_verdict seen)
{
    rd_err err = RD_ERR_INIT;
    if (cli_seen_remember(dir, &seen, &err) < 0)
        fail_msg("%s", err.text);
}

#define assert_floor(floor, evaluation, pck, list)                                                                     \
    do {                                                                                                               \
        assert_int_equal((floor).evaluation_number, evaluation);                                                       \
        assert_int_equal((floor).pck_crl_number, pck);                                                                 \
        assert_int_equal((floor).root_crl_number, list);                                                               \
    } while (0)

static void each_number_counts_for_what_it_is_of(void **state RD_UNUSED)
{
    rd_verdict tdx = verdict(1, RD_TEE_TDX, true, 0, 0, 0), processor = verdict(1, RD_TEE_TDX, false, 0, 0, 0);
    rd_verdict sgx = verdict(1, RD_TEE_SGX, true, 0, 0, 0), other = verdict(2, RD_TEE_TDX, true, 0, 0, 0);
    assert_floor(floor_of(&tdx), 0, 0, 0);
    see(verdict(1, RD_TEE_TDX, true, 5, 7, 3));
    assert_floor(floor_of(&tdx), 5, 7, 3);
    assert_floor(floor_of(&processor), 5, 0, 3);
    assert_floor(floor_of(&sgx), 0, 7, 3);
    assert_floor(floor_of(&other), 0, 0, 0);
}

static void nothing_goes_back(void **state RD_UNUSED)
{
    rd_verdict now = verdict(1, RD_TEE_TDX, true, 0, 0, 0);
    see(verdict(1, RD_TEE_TDX, true, 5, 7, 3));
    see(verdict(1, RD_TEE_TDX, true, 4, 8, 2));
    see(verdict(1, RD_TEE_TDX, true, 1, 1, 1));
    assert_floor(floor_of(&now), 5, 8, 3);
}

static void hardware_has_a_floor_before_anything_was_seen(void **state RD_UNUSED)
{
    rd_verdict now = verdict(1, RD_TEE_TDX, true, 0, 0, 0);
    rd_attest_floor floor = { .max_collateral_age_s = 9 };
    rd_err err = RD_ERR_INIT;
    now.claims.class = RD_CLASS_HARDWARE;
    assert_int_equal(cli_seen_floor(NULL, &now, &floor, &err), 0);
    assert_true(floor.evaluation_number >= 18);
    assert_true(floor.pck_crl_number >= 1 && floor.root_crl_number >= 1);
    assert_int_equal(floor.max_collateral_age_s, 9);
    see(now);
    assert_true(floor_of(&now).evaluation_number >= 18);
    now.claims.tee = RD_TEE_SNP; /* which has no such numbers */
    assert_floor(floor_of(&now), 0, 0, 0);
}

static void a_file_that_was_changed_is_refused(void **state RD_UNUSED)
{
#define ROOT "\"0000000000000000000000000000000000000000000000000000000000000000\""
#define ITEM(root, tee, number)                                                                                        \
    "{\"root\":" root ",\"tee\":" tee ",\"pck_ca\":\"none\",\"evaluation_number\":" number                             \
    ",\"pck_crl_number\":1,\"root_crl_number\":1}"
#define FILE_OF(items) "{\"type\":\"" CLI_SEEN_TYPE "\",\"seen\":[" items "]}"
    static const struct {
        const char *text;
        bool is_good;
    } rows[] = {
        { FILE_OF(""), true },
        { FILE_OF(ITEM(ROOT, "\"tdx\"", "1")), true },
        { "", false },
        { "{", false },
        { "[]", false },
        { "{\"type\":\"redoubt/other/v1\",\"seen\":[]}", false },
        { "{\"type\":\"" CLI_SEEN_TYPE "\"}", false },
        { FILE_OF("") "x", false },
        { FILE_OF(ITEM("\"00\"", "\"tdx\"", "1")), false },
        { FILE_OF(ITEM(ROOT, "\"other\"", "1")), false },
        { FILE_OF(ITEM(ROOT, "\"tdx\"", "-1")), false },
        { FILE_OF(ITEM(ROOT, "\"tdx\"", "1.5")), false },
        { FILE_OF(ITEM(ROOT, "\"tdx\"", "1,\"more\":1")), false },
    };
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/collateral-seen.json", dir);
    const rd_verdict now = verdict(1, RD_TEE_TDX, true, 5, 7, 3);
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        rd_attest_floor floor = { 0 };
        rd_err err = RD_ERR_INIT;
        assert_int_equal(cli_write_file(path, rows[i].text, strlen(rows[i].text), 0600, &err), 0);
        int status = cli_seen_floor(dir, &now, &floor, &err);
        if ((status == 0) != rows[i].is_good)
            fail_msg("row %zu: %s", i, err.text);
        assert_int_equal(err.code, rows[i].is_good ? RD_OK : RD_E_CONFIG);
        if (!rows[i].is_good)
            assert_int_equal(cli_seen_remember(dir, &now, &err), -1);
    }
}

/* Several processes of one machine see something new at once. */
static void nobodys_sight_is_lost(void **state RD_UNUSED)
{
    enum { WRITERS = 6, ROUNDS = 20 };
    pid_t pids[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            int failed = 0;
            for (int n = 1; n <= ROUNDS; n++) {
                const rd_verdict seen = verdict((uint8_t)(i + 1), RD_TEE_TDX, true, (uint32_t)n, n, n);
                failed |= cli_seen_remember(dir, &seen, NULL);
            }
            _exit(failed ? 1 : 0);
        }
    }
    for (int i = 0; i < WRITERS; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        const rd_verdict now = verdict((uint8_t)(i + 1), RD_TEE_TDX, true, 0, 0, 0);
        assert_floor(floor_of(&now), ROUNDS, ROUNDS, ROUNDS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_number_counts_for_what_it_is_of, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_goes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(hardware_has_a_floor_before_anything_was_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_was_changed_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(nobodys_sight_is_lost, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
