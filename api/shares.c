#include "api/shares.h"

#include "api/callers.h"
#include "common/base/mem.h"
#include "common/base/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct api_share {
    uint8_t key[API_SHARE_KEY_MAX];
    size_t key_size;
    size_t users, held;
};

struct api_shares {
    rd_table *table; /* key → api_share */
    size_t held, max;
};

api_shares *api_shares_new(size_t max)
{
    api_shares *shares = rd_alloc(sizeof *shares);
    shares->table = rd_table_new(0);
    shares->max = max;
    return shares;
}

api_shares *api_shares_free(api_shares *shares)
{
    if (!shares)
        return NULL;
    assert(rd_table_count(shares->table) == 0 && shares->held == 0);
    rd_table_free(shares->table);
    free(shares);
    return NULL;
}

api_share *api_shares_enter(api_shares *shares, rd_bytes key)
{
    assert(key.size <= API_SHARE_KEY_MAX);
    api_share *share = rd_table_get(shares->table, key);
    if (!share) {
        share = rd_alloc(sizeof *share);
        memcpy(share->key, key.data, key.size);
        share->key_size = key.size;
        if (!rd_table_set(shares->table, key, share, NULL)) {
            free(share);
            return NULL;
        }
    }
    share->users++;
    return share;
}

void api_shares_leave(api_shares *shares, api_share *share)
{
    if (!share || --share->users > 0)
        return;
    assert(share->held == 0);
    (void)rd_table_remove(shares->table, rd_bytes_of(share->key, share->key_size));
    free(share);
}

/* The last of size must find its place as the first does. */
static bool has_room(const api_shares *shares, const api_share *share, size_t size)
{
    return api_callers_has_share(share->held + size - 1, shares->held + size - 1, shares->max);
}

api_share_outcome api_shares_look(const api_shares *shares, api_share *const both[2], size_t size)
{
    if (size == 0)
        return API_SHARE_TAKEN;
    if (size > shares->max - shares->held)
        return API_SHARE_FULL;
    for (size_t i = 0; i < 2; i++)
        if (both[i] && !has_room(shares, both[i], size))
            return API_SHARE_SPENT;
    return API_SHARE_TAKEN;
}

api_share_outcome api_shares_take(api_shares *shares, api_share *const both[2], size_t size)
{
    api_share_outcome outcome = api_shares_look(shares, both, size);
    if (outcome != API_SHARE_TAKEN)
        return outcome;
    shares->held += size;
    for (size_t i = 0; i < 2; i++)
        if (both[i])
            both[i]->held += size;
    return API_SHARE_TAKEN;
}

void api_shares_give(api_shares *shares, api_share *const both[2], size_t size)
{
    shares->held -= size;
    for (size_t i = 0; i < 2; i++)
        if (both[i])
            both[i]->held -= size;
}

size_t api_shares_held(const api_shares *shares)
{
    return shares->held;
}
