/* shares: an amount that several hold at once, each as much as is still free (callers.h): one alone gets half of it,
 * and whoever comes then finds some. Used by body.c, for the memory of request bodies. Nobody waits for it: who finds
 * none gives back what he has. Loop thread. */
#ifndef API_SHARES_H
#define API_SHARES_H

#include "common/base/bytes.h"

#define API_SHARE_KEY_MAX 48

typedef struct api_shares api_shares;
/* What one holds; lives while somebody has entered it. */
typedef struct api_share api_share;

typedef enum api_share_outcome {
    API_SHARE_TAKEN,
    API_SHARE_SPENT, /* one of the shares has its part */
    API_SHARE_FULL   /* all of it is held */
} api_share_outcome;

api_shares *api_shares_new(size_t max);
/* Everybody has left. Accepts NULL. */
api_shares *api_shares_free(api_shares *shares);
/* key: at most API_SHARE_KEY_MAX bytes; of one key there is one share. NULL: one million are there. */
api_share *api_shares_enter(api_shares *shares, rd_bytes key);
/* What was taken through it was given back. Accepts NULL. */
void api_shares_leave(api_shares *shares, api_share *share);

/* Whether size more would be had now, on behalf of each of both (NULL: none). */
api_share_outcome api_shares_look(const api_shares *shares, api_share *const both[2], size_t size);
/* As above, and counts it. */
api_share_outcome api_shares_take(api_shares *shares, api_share *const both[2], size_t size);
void api_shares_give(api_shares *shares, api_share *const both[2], size_t size);
size_t api_shares_held(const api_shares *shares);

#endif
