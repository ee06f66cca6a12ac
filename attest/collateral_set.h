/* collateral_set: collateral for many platforms in one document: signed pieces, each with its issuer chain.
 * Used wherever collateral is kept, sent or merged; a verifier picks from it what one piece of evidence needs.
 * Holds what it is given: what is genuine and in date is rd_collateral_review's to say. A piece that cannot be read is
 * kept as well, so that whoever verifies with it says why not. */
#ifndef RD_ATTEST_COLLATERAL_SET_H
#define RD_ATTEST_COLLATERAL_SET_H

#include "attest/attest.h"

#define RD_PIECES_MAX 512
/* VCEKs are a cache: over this many, and where a piece or a byte too many would be in the set, the oldest leave. */
#define RD_VCEKS_MAX 256

typedef enum rd_piece_kind {
    RD_PIECE_ROOT_CRL, /* body: DER, PEM or hex; chain: the root */
    RD_PIECE_PCK_CRL,  /* chain: PCK CA and root */
    RD_PIECE_TCB_INFO, /* body: exact text of the answer; chain: TCB signing and root */
    RD_PIECE_IDENTITY,
    RD_PIECE_AMD_CHAIN, /* body: ASK or ASVK, ARK in PEM; no chain */
    RD_PIECE_AMD_CRL,   /* chain: the ARK */
    RD_PIECE_VCEK,      /* body: DER; no chain */
    RD_PIECE_KIND_COUNT
} rd_piece_kind;
extern const char *const rd_piece_names[]; /* "root_ca_crl", "pck_crl", "tcb_info", …; ends with NULL */

typedef struct rd_piece {
    rd_piece_kind kind;
    rd_bytes body, chain;
    /* What it says of itself. */
    bool is_readable;
    uint8_t root[32]; /* fingerprint of the root in the chain; zeros when that leaves it out */
    char
        scope[RD_ADVISORY_TEXT_SIZE + 192]; /* "tdx/90c06f000000", "tdx", "platform", "Milan", "Milan/chip/1.0.8.115" */
    int64_t number;                         /* evaluation number or number of the list; what may never go down */
    int64_t issued_us, expires_us;          /* 0: it has none */
} rd_piece;

rd_collateral_set *rd_collateral_set_new(void);
/* Takes a copy; one of the same kind, root and scope is replaced. TOO_LARGE: over RD_PIECES_MAX without a VCEK. */
int rd_collateral_set_put(rd_collateral_set *set, rd_piece_kind kind, rd_bytes body, rd_bytes chain,
                          rd_err *err) RD_NODISCARD;
/* Pieces as they lie in a folder; empty ones are not there. pck_chain is nobody's collateral but a quote's. */
int rd_collateral_set_put_pieces(rd_collateral_set *set, const rd_collateral *pieces, rd_err *err) RD_NODISCARD;
/* All of other; with keeps_newer a piece that is older than the one here is left out. Returns how many were, or -1. */
int rd_collateral_set_merge(rd_collateral_set *set, const rd_collateral_set *other, bool keeps_newer, rd_err *err);
/* Takes out what has ended. */
void rd_collateral_set_expire(rd_collateral_set *set, int64_t time_us);
/* Takes out VCEKs that AMD's list in the set names; whoever has a new list does it, as review refuses them. */
void rd_collateral_set_revoke(rd_collateral_set *set);

size_t rd_collateral_set_count(const rd_collateral_set *set);
const rd_piece *rd_collateral_set_at(const rd_collateral_set *set, size_t index);
/* The piece of the same kind, root and scope, or NULL. */
const rd_piece *rd_collateral_set_find(const rd_collateral_set *set, const rd_piece *like);
/* Whether a may not stand in b's place: a lower number, or an earlier date under the same number. */
bool rd_piece_is_older(const rd_piece *a, const rd_piece *b);

/* redoubt/collateral/v2 of docs/protocol/formats.md. A new reference. */
json_t *rd_collateral_set_to_json(const rd_collateral_set *set);
/* The same as text of at most RD_COLLATERAL_SIZE_MAX; the oldest VCEKs leave until it fits. TOO_LARGE without them. */
int rd_collateral_set_write(rd_collateral_set *set, rd_buf *ret, rd_err *err) RD_NODISCARD;

/* What evidence needs, borrowed from the set. Zero-initialise; free with rd_collateral_pick_done. */
typedef struct rd_collateral_pick {
    rd_collateral pieces;
    rd_buf snp_chain;
} rd_collateral_pick;

/* The scope of TCB info ("tdx/90c06f000000") or VCEK ("Milan/…") that evidence needs; false when it does not say. */
bool rd_collateral_scope_of(rd_bytes evidence, char *ret, size_t size);
/* evidence: a quote or report, as the hardware gave it. By its FMSPC, TEE, PCK CA and root, or by product, chip and
 * TCB. Where nothing fits, the nearest piece: its check then says why it does not. */
void rd_collateral_set_pick(const rd_collateral_set *set, rd_bytes evidence, rd_collateral_pick *ret);
void rd_collateral_pick_done(rd_collateral_pick *pick);

#endif
