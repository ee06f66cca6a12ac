#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "scheduler/place.h"

static uint32_t add(sched_fleet *fleet, uint8_t n, const char *region, const char *tee, bool is_simulated,
                    const char *labels, sched_size room)
{
    sched_host host = { .id = { { n } },
                        .region = rd_strdup(region),
                        .labels = rd_strdup(labels),
                        .tee = rd_strdup(tee),
                        .is_simulated = is_simulated,
                        .is_known = true,
                        .state = RD_HOST_READY,
                        .granted = room,
                        .link_up = true,
                        .session = 1,
                        .reconciled_session = 1 };
    return sched_fleet_put(fleet, &host);
}

static const sched_size ample = { 1000, (int64_t)1000 << 20, 10 };

static sched_fleet *fleet_of_four(void)
{
    sched_fleet *fleet = sched_fleet_new();
    (void)add(fleet, 0, "eu", "tdx", true, "{}", ample);
    (void)add(fleet, 1, "eu", "tdx", false, "{}", ample);
    (void)add(fleet, 2, "us", "tdx", true, "{\"disk\": \"nvme\", \"rack\": 7}", ample);
    (void)add(fleet, 3, "us", "snp", true, "{}", ample);
    return fleet;
}

static uint32_t place(const sched_fleet *fleet, const sched_need *need, const uint16_t *on_host)
{
    sched_eligible eligible;
    sched_place_eligible(fleet, need, &eligible);
    uint32_t host = sched_place_one(fleet, need, &eligible, on_host);
    free(eligible.bits);
    return host;
}

static const struct {
    const char *name;
    sched_need need;
    uint32_t hosts; /* set of those that may be chosen */
    sched_why why;  /* why the others are not */
} rows[] = {
    { "simulated tdx", { { 1, 1, 1 }, true, "tdx", "", "" }, 0x5, { .tee = 2, .hosts = 4 } },
    { "hardware never lands on simulated", { { 1, 1, 1 }, false, "tdx", "", "" }, 0x2, { .tee = 3, .hosts = 4 } },
    { "two kinds", { { 1, 1, 1 }, true, "snp,tdx", "", "" }, 0xd, { .tee = 1, .hosts = 4 } },
    { "no kind", { { 1, 1, 1 }, true, "", "", "" }, 0, { .tee = 4, .hosts = 4 } },
    { "part of a kind's name", { { 1, 1, 1 }, true, "td,dx,tdxx", "", "" }, 0, { .tee = 4, .hosts = 4 } },
    { "region", { { 1, 1, 1 }, true, "tdx", "[\"us\",\"ap\"]", "" }, 0x4, { .tee = 2, .region = 1, .hosts = 4 } },
    { "labels", { { 1, 1, 1 }, true, "tdx", "", "{\"rack\":7}" }, 0x4, { .tee = 2, .labels = 1, .hosts = 4 } },
    { "a label of another value",
      { { 1, 1, 1 }, true, "tdx", "", "{\"rack\":8}" },
      0,
      { .tee = 2, .labels = 2, .hosts = 4 } },
    { "cpu", { { 1001, 1, 1 }, true, "tdx", "", "" }, 0, { .tee = 2, .cpu_m = 2, .hosts = 4 } },
    { "memory", { { 1, (int64_t)1001 << 20, 1 }, true, "tdx", "", "" }, 0, { .tee = 2, .memory = 2, .hosts = 4 } },
    { "slots", { { 1, 1, 11 }, true, "tdx", "", "" }, 0, { .tee = 2, .slots = 2, .hosts = 4 } },
};

static void test_constraints(void **state)
{
    (void)state;
    sched_fleet *fleet = fleet_of_four();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t host = place(fleet, &rows[i].need, NULL);
        if (rows[i].hosts ? host > 3 || !(rows[i].hosts & 1u << host) : host != SCHED_HOST_NONE)
            fail_msg("%s: host %u", rows[i].name, host);
        sched_why why;
        sched_place_why(fleet, &rows[i].need, &why);
        if (memcmp(&why, &rows[i].why, sizeof why) != 0)
            fail_msg("%s: other reasons", rows[i].name);
    }
    sched_fleet_free(fleet);
}

static void test_best_fit_and_spread(void **state)
{
    (void)state;
    sched_fleet *fleet = sched_fleet_new();
    (void)add(fleet, 0, "eu", "tdx", true, "{}", (sched_size){ 1000, (int64_t)1000 << 20, 10 });
    (void)add(fleet, 1, "eu", "tdx", true, "{}", (sched_size){ 300, (int64_t)300 << 20, 10 });
    (void)add(fleet, 2, "eu", "tdx", true, "{}", (sched_size){ 200, (int64_t)200 << 20, 10 });
    sched_need need = { { 250, (int64_t)250 << 20, 1 }, true, "tdx", "", "" };
    assert_int_equal(place(fleet, &need, NULL), 1);
    uint16_t on_host[3] = { 0, 1, 0 };
    assert_int_equal(place(fleet, &need, on_host), 0);
    on_host[0] = 2;
    assert_int_equal(place(fleet, &need, on_host), 1);
    sched_fleet_free(fleet);
}

static void test_capacity_is_taken_and_given_back(void **state)
{
    (void)state;
    sched_fleet *fleet = sched_fleet_new();
    (void)add(fleet, 0, "eu", "tdx", true, "{}", (sched_size){ 1000, 1000, 3 });
    sched_need need = { { 100, 100, 1 }, true, "tdx", "", "" };
    for (int i = 0; i < 3; i++) {
        assert_int_equal(place(fleet, &need, NULL), 0);
        sched_fleet_take(fleet, 0, &need.size, 1);
    }
    assert_int_equal(place(fleet, &need, NULL), SCHED_HOST_NONE);
    sched_fleet_take(fleet, 0, &need.size, -1);
    assert_int_equal(place(fleet, &need, NULL), 0);
    sched_fleet_free(fleet);
}

static void test_only_open_hosts(void **state)
{
    (void)state;
    static const char *const names[] = { "draining",        "silent",  "not resynced", "cordoned",
                                         "wishes to drain", "revoked", "no row",       "link down" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        sched_fleet *fleet = sched_fleet_new();
        (void)add(fleet, 0, "eu", "tdx", true, "{}", ample);
        sched_host *host = sched_fleet_host(fleet, 0);
        switch (i) {
        case 0:
            host->state = RD_HOST_DRAINING;
            break;
        case 1:
            host->silent_since_us = 1;
            break;
        case 2:
            host->reconciled_session = 0;
            break;
        case 3:
            host->wants_cordon = true;
            break;
        case 4:
            host->wants_drain = true;
            break;
        case 5:
            host->is_revoked = true;
            break;
        case 6:
            host->is_known = false;
            break;
        default:
            host->link_up = false;
            break;
        }
        sched_fleet_refresh(fleet, 0);
        sched_need need = { { 1, 1, 1 }, true, "tdx", "", "" };
        if (place(fleet, &need, NULL) != SCHED_HOST_NONE)
            fail_msg("placed on a host that is %s", names[i]);
        sched_why why;
        sched_place_why(fleet, &need, &why);
        assert_int_equal(why.state, 1);
        sched_fleet_free(fleet);
    }
}

/* A host that changes class leaves the old one whole. */
static void test_classes_move(void **state)
{
    (void)state;
    sched_fleet *fleet = sched_fleet_new();
    for (uint8_t n = 0; n < 40; n++)
        (void)add(fleet, n, "eu", "tdx", true, "{}", ample);
    for (uint8_t n = 0; n < 40; n += 3)
        (void)add(fleet, n, "us", "tdx", true, "{}", ample);
    assert_int_equal(sched_fleet_count(fleet), 40);
    size_t seen = 0;
    for (size_t c = 0; c < sched_fleet_classes(fleet); c++) {
        const sched_class *class = sched_fleet_class(fleet, c);
        for (size_t i = 0; i < class->count; i++, seen++) {
            const sched_host *host = sched_fleet_host(fleet, class->host[i]);
            assert_int_equal(host->class_pos, i);
            assert_int_equal(host->class_index, c);
            assert_string_equal(host->region, class->region);
        }
    }
    assert_int_equal(seen, 40);
    sched_fleet_free(fleet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constraints),
        cmocka_unit_test(test_best_fit_and_spread),
        cmocka_unit_test(test_capacity_is_taken_and_given_back),
        cmocka_unit_test(test_only_open_hosts),
        cmocka_unit_test(test_classes_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
