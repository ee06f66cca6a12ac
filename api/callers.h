/* callers: how many connections each address holds, so that none takes the places of all.
 * Used by passthrough, whose callers show no token. An IPv6 caller is its /64, which one customer is given whole.
 * Loop thread. */
#ifndef API_CALLERS_H
#define API_CALLERS_H

#include "common/base/bytes.h"

struct sockaddr;

typedef struct api_callers api_callers;

/* An address; lives while it holds connections. */
typedef struct api_caller {
    uint8_t key[16];
    size_t count;
} api_caller;

api_callers *api_callers_new(void);
/* Everybody has left. Accepts NULL. */
api_callers *api_callers_free(api_callers *callers);
/* One connection more, less. */
api_caller *api_callers_enter(api_callers *callers, const struct sockaddr *address);
void api_callers_leave(api_callers *callers, api_caller *caller);

/* What stands for an address here: IPv4 as ::ffff:…, IPv6 by its /64. */
void api_callers_key(const struct sockaddr *address, uint8_t ret[16]);
/* Loopback, private, shared and link-local addresses: a proxy's or a network's, behind which are many callers. */
bool api_callers_are_many(const uint8_t key[16]);

/* May who holds `held` of `taken` places have another? As many as are still free: one alone gets half of them, and
 * whoever comes then finds some. */
bool api_callers_has_share(size_t held, size_t taken, size_t max);

#endif
