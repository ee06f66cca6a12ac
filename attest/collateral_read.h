/* collateral_read: what a piece of collateral says of itself, before anybody believes it.
 * Used by collateral_set to tell pieces apart. */
#ifndef RD_ATTEST_COLLATERAL_READ_H
#define RD_ATTEST_COLLATERAL_READ_H

#include "attest/collateral_set.h"

/* Fills root, scope, number and dates of a piece with kind, body and chain. What cannot be read stays zero, and
 * is_readable false. */
void rd_piece_read(rd_piece *piece);

#endif
