#include "api/callers.h"

#include "common/base/mem.h"
#include "common/base/table.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define IPV6_PREFIX 8 /* bytes: /64 */

struct api_callers {
    rd_table *table; /* key → api_caller */
};

api_callers *api_callers_new(void)
{
    api_callers *callers = rd_alloc(sizeof *callers);
    callers->table = rd_table_new(0);
    return callers;
}

api_callers *api_callers_free(api_callers *callers)
{
    if (!callers)
        return NULL;
    rd_table_free(callers->table);
    free(callers);
    return NULL;
}

/* RFC 4291, 2.5.5.2: an IPv4 address that a socket of both kinds shows is itself. */
void api_callers_key(const struct sockaddr *address, uint8_t ret[16])
{
    struct in6_addr six = { 0 };
    memset(ret, 0, 16);
    if (address->sa_family == AF_INET6)
        six = ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    if (address->sa_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&six)) {
        memcpy(ret, &six, IPV6_PREFIX);
        return;
    }
    if (address->sa_family == AF_INET)
        memcpy(ret + 12, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
    else
        memcpy(ret + 12, six.s6_addr + 12, 4);
    ret[10] = ret[11] = 0xff;
}

/* RFC 6890, 2.2, and RFC 4193, 3.1. */
bool api_callers_are_many(const uint8_t key[16])
{
    static const struct {
        uint8_t bytes[2], mask[2];
    } four[] = { { { 127, 0 }, { 255, 0 } },     { { 10, 0 }, { 255, 0 } },     { { 172, 16 }, { 255, 240 } },
                 { { 192, 168 }, { 255, 255 } }, { { 100, 64 }, { 255, 192 } }, { { 169, 254 }, { 255, 255 } } };
    static const uint8_t none[16];
    if (key[10] != 0xff)
        return memcmp(key, none, IPV6_PREFIX) == 0 || (key[0] & 0xfe) == 0xfc ||
               (key[0] == 0xfe && (key[1] & 0xc0) == 0x80);
    for (size_t i = 0; i < RD_ARRAY_LEN(four); i++)
        if ((key[12] & four[i].mask[0]) == four[i].bytes[0] && (key[13] & four[i].mask[1]) == four[i].bytes[1])
            return true;
    return false;
}

api_caller *api_callers_enter(api_callers *callers, const struct sockaddr *address)
{
    uint8_t key[16];
    api_callers_key(address, key);
    api_caller *caller = rd_table_get(callers->table, RD_BYTES_ARRAY(key));
    if (!caller) {
        caller = rd_alloc(sizeof *caller);
        memcpy(caller->key, key, sizeof key);
        (void)rd_table_set(callers->table, RD_BYTES_ARRAY(key), caller, NULL);
    }
    caller->count++;
    return caller;
}

void api_callers_leave(api_callers *callers, api_caller *caller)
{
    if (--caller->count > 0)
        return;
    (void)rd_table_remove(callers->table, RD_BYTES_ARRAY(caller->key));
    free(caller);
}

bool api_callers_has_share(size_t held, size_t taken, size_t max)
{
    return held + taken < max;
}
