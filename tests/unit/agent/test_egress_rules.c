/* R51: which addresses the operator's network opens to enclaves, in every form an address can come in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>

#include "agent/egress_rules.h"

static agent_egress_verdict judge(const agent_egress_rules *rules, const char *text, uint16_t port, bool is_private)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return agent_egress_rules_judge(rules, (const struct sockaddr *)&v4, is_private);
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return agent_egress_rules_judge(rules, (const struct sockaddr *)&v6, is_private);
}

static void r51_closed_ranges(void **state)
{
    static const char *const closed[] = { "0.0.0.0",
                                          "10.1.2.3",
                                          "100.64.0.1",
                                          "127.0.0.1",
                                          "127.255.255.254",
                                          "169.254.169.254",
                                          "172.16.0.1",
                                          "172.31.255.255",
                                          "192.0.0.1",
                                          "192.0.2.1",
                                          "192.168.1.1",
                                          "198.18.0.1",
                                          "198.51.100.1",
                                          "203.0.113.1",
                                          "224.0.0.1",
                                          "239.1.1.1",
                                          "240.0.0.1",
                                          "255.255.255.255",
                                          "::",
                                          "::1",
                                          "::127.0.0.1",
                                          "::ffff:127.0.0.1",
                                          "::ffff:10.0.0.1",
                                          "::ffff:169.254.169.254",
                                          "64:ff9b::7f00:1",
                                          "64:ff9b::a9fe:a9fe",
                                          "64:ff9b:1::a00:1",
                                          "64:ff9b:1::101:101",
                                          "64:ff9b:1:a00:1::",
                                          "::ffff:0:7f00:1",
                                          "4000::1",
                                          "5f00::1",
                                          "2002:7f00:1::",
                                          "2002:a00:1::1",
                                          "2001::1",
                                          "2001:db8::1",
                                          "fc00::1",
                                          "fd12:3456::1",
                                          "fe80::1",
                                          "fec0::1",
                                          "ff02::1",
                                          "100::1" };
    static const char *const open[] = { "1.1.1.1",    "9.255.255.255",   "11.0.0.0",
                                        "172.32.0.1", "192.167.255.255", "2606:4700::1111",
                                        "2a00::1",    "::ffff:1.1.1.1",  "64:ff9b::101:101" };
    const agent_egress_rules rules = { .allow_count = 0 };
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(closed); i++) {
        if (judge(&rules, closed[i], 443, true) != AGENT_EGRESS_CLOSED)
            fail_msg("%s is open", closed[i]);
    }
    for (size_t i = 0; i < RD_ARRAY_LEN(open); i++) {
        if (judge(&rules, open[i], 443, false) != AGENT_EGRESS_OPEN)
            fail_msg("%s is closed", open[i]);
    }
}

static void r51_what_the_operator_opens_must_be_declared_too(void **state)
{
    agent_egress_rules rules = { .allow_count = 0 };
    rd_err err = RD_ERR_INIT;
    (void)state;
    assert_int_equal(agent_egress_rules_allow(&rules, "10.1.0.0/16", &err), 0);
    assert_int_equal(agent_egress_rules_allow(&rules, "fd00::/8", &err), 0);
    assert_int_equal(judge(&rules, "10.1.9.9", 443, true), AGENT_EGRESS_OPEN);
    assert_int_equal(judge(&rules, "::ffff:10.1.9.9", 443, true), AGENT_EGRESS_OPEN);
    assert_int_equal(judge(&rules, "10.1.9.9", 443, false), AGENT_EGRESS_NOT_DECLARED);
    assert_int_equal(judge(&rules, "10.2.0.1", 443, true), AGENT_EGRESS_CLOSED);
    assert_int_equal(judge(&rules, "fd01::1", 443, true), AGENT_EGRESS_OPEN);
    assert_int_equal(judge(&rules, "fc01::1", 443, true), AGENT_EGRESS_CLOSED);
    assert_int_equal(judge(&rules, "1.1.1.1", 443, false), AGENT_EGRESS_OPEN);
}

static void r51_the_control_plane_stays_closed(void **state)
{
    struct sockaddr_in plane = { .sin_family = AF_INET, .sin_port = htons(8444) };
    agent_egress_rules rules = { .allow_count = 0 };
    rd_err err = RD_ERR_INIT;
    (void)state;
    (void)inet_pton(AF_INET, "5.6.7.8", &plane.sin_addr);
    agent_egress_rules_plane(&rules, (const struct sockaddr *)&plane);
    (void)inet_pton(AF_INET, "127.0.0.1", &plane.sin_addr);
    agent_egress_rules_plane(&rules, (const struct sockaddr *)&plane);
    assert_int_equal(judge(&rules, "5.6.7.8", 443, false), AGENT_EGRESS_CONTROL_PLANE);
    assert_int_equal(agent_egress_rules_allow(&rules, "127.0.0.1", &err), 0);
    assert_int_equal(judge(&rules, "127.0.0.1", 8444, true), AGENT_EGRESS_CONTROL_PLANE);
    assert_int_equal(judge(&rules, "::ffff:127.0.0.1", 8444, true), AGENT_EGRESS_CONTROL_PLANE);
    assert_int_equal(judge(&rules, "127.0.0.1", 9000, true), AGENT_EGRESS_OPEN);
}

static void ranges_are_read_strictly(void **state)
{
    static const char *const bad[] = { "",          "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/",   "10.0/8",
                                       "localhost", "::/129",      "fd00::1/8",  "10.0.0.0/08", "10.0.0.0/8 " };
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(bad); i++) {
        agent_egress_rules rules = { .allow_count = 0 };
        rd_err err = RD_ERR_INIT;
        if (agent_egress_rules_allow(&rules, bad[i], &err) == 0)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_int_equal(err.code, RD_E_CONFIG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(r51_closed_ranges),
        cmocka_unit_test(r51_what_the_operator_opens_must_be_declared_too),
        cmocka_unit_test(r51_the_control_plane_stays_closed),
        cmocka_unit_test(ranges_are_read_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
