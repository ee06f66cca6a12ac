#include "enclave/runtime/shares.h"

void encl_shares_init(encl_shares *shares, size_t max, size_t share_max)
{
    *shares = (encl_shares){ .max = max, .share_max = share_max };
}

/* --- the line --------------------------------------------------------------------------------------------------- */

static void leave_line(encl_shares *shares, encl_claim *claim)
{
    if (!claim->waits)
        return;
    *(claim->before == NULL ? &shares->first : &claim->before->behind) = claim->behind;
    *(claim->behind == NULL ? &shares->last : &claim->behind->before) = claim->before;
    claim->before = claim->behind = NULL;
    claim->waits = false;
}

/* Behind all that came before it, also of those that wait for less time. */
static void join_line(encl_shares *shares, encl_claim *claim)
{
    encl_claim *before = shares->last;
    while (before != NULL && before->number > claim->number)
        before = before->before;
    claim->before = before;
    claim->behind = before == NULL ? shares->first : before->behind;
    *(claim->before == NULL ? &shares->first : &claim->before->behind) = claim;
    *(claim->behind == NULL ? &shares->last : &claim->behind->before) = claim;
    claim->waits = true;
}

/* --- bounds ----------------------------------------------------------------------------------------------------- */

static bool passes(size_t held, size_t more, size_t max)
{
    return held > max || more > max - held;
}

static bool may_be_beyond(const encl_claim *beyond, const encl_claim *claim)
{
    return beyond == NULL || beyond == claim;
}

/* Whether its own share lets it go on. */
static bool suits_share(const encl_shares *shares, const encl_claim *claim)
{
    const encl_share *share = claim->share;
    bool is_within =
        !encl_share_is_behind(shares, share) && !passes(share->held, claim->wanted - claim->held, shares->share_max);
    return shares->beyond == claim || is_within || may_be_beyond(share->beyond, claim);
}

static bool suits_all(const encl_shares *shares, const encl_claim *claim)
{
    return may_be_beyond(shares->beyond, claim) || !passes(shares->held, claim->wanted - claim->held, shares->max);
}

static void take(encl_shares *shares, encl_claim *claim)
{
    encl_share *share = claim->share;
    size_t more = claim->wanted - claim->held;
    if (passes(share->held, more, shares->share_max) && share->beyond == NULL)
        share->beyond = claim;
    if (passes(shares->held, more, shares->max) && shares->beyond == NULL)
        shares->beyond = claim;
    claim->held += more;
    share->held += more;
    shares->held += more;
}

/* Who came before and waits for what all have is not overtaken; who waits for his own share alone is. */
static bool is_overtaking(const encl_shares *shares, const encl_claim *claim)
{
    for (const encl_claim *ahead = shares->first; ahead != NULL && ahead->number < claim->number;
         ahead = ahead->behind) {
        if (suits_share(shares, ahead))
            return true;
    }
    return false;
}

/* --- claims ----------------------------------------------------------------------------------------------------- */

static void belong(encl_shares *shares, encl_claim *claim, encl_share *share)
{
    if (claim->share != NULL)
        return;
    claim->share = share;
    claim->number = ++shares->count;
}

bool encl_claim_grow(encl_shares *shares, encl_claim *claim, encl_share *share, size_t size)
{
    belong(shares, claim, share);
    claim->wanted = size;
    bool goes_on = shares->beyond == claim ||
                   (!is_overtaking(shares, claim) && suits_share(shares, claim) && suits_all(shares, claim));
    if (goes_on)
        take(shares, claim);
    else
        join_line(shares, claim);
    return goes_on;
}

encl_claim *encl_shares_next(encl_shares *shares)
{
    for (encl_claim *claim = shares->first; claim != NULL; claim = claim->behind) {
        if (!suits_share(shares, claim))
            continue;
        if (!suits_all(shares, claim))
            return NULL;
        leave_line(shares, claim);
        take(shares, claim);
        return claim;
    }
    return NULL;
}

bool encl_shares_is_short(const encl_shares *shares)
{
    const encl_claim *claim = shares->first;
    while (claim != NULL && !suits_share(shares, claim))
        claim = claim->behind;
    return claim != NULL;
}

void encl_claim_stay(encl_shares *shares, encl_claim *claim)
{
    leave_line(shares, claim);
}

void encl_claim_answer(encl_shares *shares, encl_claim *claim, encl_share *share, size_t size)
{
    if (size > 0)
        belong(shares, claim, share);
    if (claim->share == NULL)
        return;
    claim->share->unread = claim->share->unread - claim->unread + size;
    shares->unread = shares->unread - claim->unread + size;
    claim->unread = size;
}

void encl_claim_end(encl_shares *shares, encl_claim *claim)
{
    encl_share *share = claim->share;
    if (share == NULL)
        return;
    leave_line(shares, claim);
    encl_claim_answer(shares, claim, share, 0);
    share->held -= claim->held;
    shares->held -= claim->held;
    if (share->beyond == claim)
        share->beyond = NULL;
    if (shares->beyond == claim)
        shares->beyond = NULL;
    *claim = (encl_claim){ .owner = claim->owner };
}

/* --- answers ---------------------------------------------------------------------------------------------------- */

bool encl_share_is_behind(const encl_shares *shares, const encl_share *share)
{
    return share->unread > shares->share_max;
}

bool encl_shares_is_full(const encl_shares *shares)
{
    return shares->unread > shares->max;
}
