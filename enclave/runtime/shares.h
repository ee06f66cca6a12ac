/* shares: who holds how much of the memory that an instance has for bodies, and who goes on when there is not enough.
 * Used by the server: a claim is one request's, a share its carrier's: what one peer holds with all of its requests.
 * Bodies that come grow in steps, whoever came first ahead of the others; answers that their peer does not take count
 * against him. Moves no bytes and reads no clock.
 *
 * What is half there never waits for what is half there: one claim of each share may pass the share's bound, and one of
 * all the bound of all, until it ends. So all hold at most `max` and one body, and a share `share_max` and two.
 */
#ifndef ENCL_SHARES_H
#define ENCL_SHARES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/defs.h"

/* Of a body: what needs no claim. Bounded by how many connections and streams there are. */
#define ENCL_SHARES_FREE ((size_t)16 << 10)

typedef struct encl_claim encl_claim;

/* Of a carrier; zero to begin with. It outlives the claims on it. */
typedef struct encl_share {
    size_t held, unread;
    encl_claim *beyond; /* the claim that may pass its bound */
} encl_share;

/* Zero to begin with, but for the owner. */
struct encl_claim {
    void *owner;
    encl_share *share; /* NULL: it has nothing */
    size_t held;       /* bytes of a body that comes */
    size_t unread;     /* bytes of an answer that leaves */
    size_t wanted;     /* while it waits: of held */
    uint64_t number;   /* in order of arrival */
    bool waits;
    encl_claim *before, *behind; /* in the line */
};

typedef struct encl_shares {
    size_t max, share_max; /* of bodies that come; of answers max as well */
    size_t held, unread;
    uint64_t count;
    encl_claim *beyond;       /* the claim that may pass max */
    encl_claim *first, *last; /* the line */
} encl_shares;

void encl_shares_init(encl_shares *shares, size_t max, size_t share_max);

/* claim, on that share, holds size bytes in all, which is more than it did. False: it waits in line for them. */
bool encl_claim_grow(encl_shares *shares, encl_claim *claim, encl_share *share, size_t size) RD_NODISCARD;
/* The first in line that can go on, which holds now what it waited for; NULL: none. */
encl_claim *encl_shares_next(encl_shares *shares);
/* Somebody waits for what all have, and not for his own share alone. */
bool encl_shares_is_short(const encl_shares *shares);
/* Waits no longer, and keeps what it holds. */
void encl_claim_stay(encl_shares *shares, encl_claim *claim);
/* What there is of its answer that the peer has not taken. */
void encl_claim_answer(encl_shares *shares, encl_claim *claim, encl_share *share, size_t size);
/* Gives everything back. */
void encl_claim_end(encl_shares *shares, encl_claim *claim);

/* The peer has so many answers to take that no more is made for him. */
bool encl_share_is_behind(const encl_shares *shares, const encl_share *share);
/* All peers together have. */
bool encl_shares_is_full(const encl_shares *shares);

#endif
