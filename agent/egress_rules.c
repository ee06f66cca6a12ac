#include "agent/egress_rules.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "common/base/text.h"

#define V4(a, b, c, d)                                                                                                 \
    {                                                                                                                  \
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d                                                           \
    }

/* The special-purpose registries of IANA (RFC 6890 and what followed), as far as they are not the public Internet; of
 * IPv6 only what lies in 2000::/3, as the rest is closed as a whole. */
static const agent_range closed[] = {
    { { V4(0, 0, 0, 0) }, 96 + 8 },
    { { V4(10, 0, 0, 0) }, 96 + 8 },
    { { V4(100, 64, 0, 0) }, 96 + 10 },
    { { V4(127, 0, 0, 0) }, 96 + 8 },
    { { V4(169, 254, 0, 0) }, 96 + 16 },
    { { V4(172, 16, 0, 0) }, 96 + 12 },
    { { V4(192, 0, 0, 0) }, 96 + 24 },
    { { V4(192, 0, 2, 0) }, 96 + 24 },
    { { V4(192, 88, 99, 0) }, 96 + 24 },
    { { V4(192, 168, 0, 0) }, 96 + 16 },
    { { V4(198, 18, 0, 0) }, 96 + 15 },
    { { V4(198, 51, 100, 0) }, 96 + 24 },
    { { V4(203, 0, 113, 0) }, 96 + 24 },
    { { V4(224, 0, 0, 0) }, 96 + 4 },
    { { V4(240, 0, 0, 0) }, 96 + 4 },
    { { { 0x20, 0x01, 0x00, 0x00 } }, 23 }, /* protocol assignments, Teredo among them */
    { { { 0x20, 0x01, 0x0d, 0xb8 } }, 32 }, /* documentation */
    { { { 0x3f, 0xff } }, 20 },             /* documentation */
};

static bool is_within(const agent_address *address, const agent_range *range)
{
    size_t whole = range->bits / 8;
    uint8_t mask = (uint8_t)(0xff00u >> range->bits % 8);

    if (memcmp(address->b, range->base.b, whole) != 0)
        return false;
    return range->bits % 8 == 0 || (address->b[whole] & mask) == (range->base.b[whole] & mask);
}

static bool is_in(const agent_address *address, const agent_range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (is_within(address, &ranges[i]))
            return true;
    }
    return false;
}

static void from_v4(const uint8_t v4[4], agent_address *ret)
{
    *ret = (agent_address){ V4(v4[0], v4[1], v4[2], v4[3]) };
}

/* RFC 4291, 2.4: all global unicast addresses that were ever given out; and IPv4. */
static bool is_public(const agent_address *address)
{
    static const agent_range v4 = { { V4(0, 0, 0, 0) }, 96 };
    static const agent_range unicast = { { { 0x20 } }, 3 };

    return (is_within(address, &v4) || is_within(address, &unicast)) &&
           !is_in(address, closed, sizeof(closed) / sizeof(closed[0]));
}

/* IPv6 forms that carry an IPv4 address on: RFC 6052 (64:ff9b::/96), RFC 3056 (2002::/16). */
static bool inner_v4(const agent_address *address, agent_address *ret)
{
    static const agent_range nat64 = { { { 0x00, 0x64, 0xff, 0x9b } }, 96 };
    static const agent_range six_to_four = { { { 0x20, 0x02 } }, 16 };

    if (is_within(address, &nat64))
        from_v4(address->b + 12, ret);
    else if (is_within(address, &six_to_four))
        from_v4(address->b + 2, ret);
    else
        return false;
    return true;
}

static bool read_address(const struct sockaddr *given, agent_address *ret, uint16_t *ret_port)
{
    if (given->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)given;
        from_v4((const uint8_t *)&v4->sin_addr, ret);
        *ret_port = ntohs(v4->sin_port);
        return true;
    }
    if (given->sa_family != AF_INET6)
        return false;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)given;
    memcpy(ret->b, &v6->sin6_addr, sizeof(ret->b));
    *ret_port = ntohs(v6->sin6_port);
    return true;
}

int agent_egress_rules_allow(agent_egress_rules *rules, const char *text, rd_err *err)
{
    char host[INET6_ADDRSTRLEN + 1] = "";
    const char *slash = strchr(text, '/');
    size_t size = slash ? (size_t)(slash - text) : strlen(text);
    agent_range range = { .bits = 128 };
    uint8_t v4[4];
    uint64_t bits;

    if (size >= sizeof(host))
        return rd_err_set(err, RD_E_CONFIG, "egress-allow: \"%.60s\" is no address range", text);
    memcpy(host, text, size);
    bool is_v4 = inet_pton(AF_INET, host, v4) == 1;
    if (is_v4)
        from_v4(v4, &range.base);
    else if (inet_pton(AF_INET6, host, range.base.b) != 1)
        return rd_err_set(err, RD_E_CONFIG, "egress-allow: \"%.60s\" is no address range like 10.1.0.0/16", text);
    if (slash) {
        if (rd_parse_u64(slash + 1, strlen(slash + 1), is_v4 ? 32 : 128, &bits) < 0)
            return rd_err_set(err, RD_E_CONFIG, "egress-allow: \"%.60s\" has no prefix length", text);
        range.bits = (unsigned)bits + (is_v4 ? 96 : 0);
    }
    for (unsigned bit = range.bits; bit < 128; bit++) {
        if (range.base.b[bit / 8] & 0x80 >> bit % 8)
            return rd_err_set(err, RD_E_CONFIG, "egress-allow: \"%.60s\" has bits beyond its prefix", text);
    }
    if (rules->allow_count == AGENT_EGRESS_ALLOW_MAX)
        return rd_err_set(err, RD_E_CONFIG, "egress-allow: more than %d ranges", AGENT_EGRESS_ALLOW_MAX);
    rules->allow[rules->allow_count++] = range;
    return 0;
}

void agent_egress_rules_plane(agent_egress_rules *rules, const struct sockaddr *address)
{
    if (rules->plane_count < AGENT_EGRESS_PLANE_MAX &&
        read_address(address, &rules->plane[rules->plane_count].address, &rules->plane[rules->plane_count].port))
        rules->plane_count++;
}

/* The plane's own port stays closed whatever the operator opens; its other ports open with their range. */
static bool is_plane(const agent_egress_rules *rules, const agent_address *address, uint16_t port, bool is_allowed)
{
    for (size_t i = 0; i < rules->plane_count; i++) {
        if (memcmp(rules->plane[i].address.b, address->b, sizeof(address->b)) == 0 &&
            (!is_allowed || rules->plane[i].port == port))
            return true;
    }
    return false;
}

agent_egress_verdict agent_egress_rules_judge(const agent_egress_rules *rules, const struct sockaddr *given,
                                              bool is_private)
{
    agent_address address, inner;
    uint16_t port;

    if (!read_address(given, &address, &port))
        return AGENT_EGRESS_CLOSED;
    if (inner_v4(&address, &inner))
        address = inner;
    bool is_allowed = is_in(&address, rules->allow, rules->allow_count);
    if (is_plane(rules, &address, port, is_allowed))
        return AGENT_EGRESS_CONTROL_PLANE;
    if (is_public(&address))
        return AGENT_EGRESS_OPEN;
    if (!is_allowed)
        return AGENT_EGRESS_CLOSED;
    return is_private ? AGENT_EGRESS_OPEN : AGENT_EGRESS_NOT_DECLARED;
}
