/* seen: the highest numbers of collateral that this machine has verified evidence with, and the floor that this makes:
 * collateral below it is refused, though it be in date (R40). Used by demands.c. Below what was seen lies a floor that
 * is compiled in. The file (collateral-seen.json of the state folder) holds numbers that a vendor, or a simulation root
 * of the profile, has signed: nobody else can raise them, and nothing lowers them. */
#ifndef CLI_SEEN_H
#define CLI_SEEN_H

#include "attest/attest.h"

#define CLI_SEEN_TYPE "redoubt/collateral-seen/v1" /* "type" of the file */

/* The floor for a genuine verdict: numbers of its root, its TEE and its PCK CA. state_dir NULL: the compiled one alone.
 * Sets the numbers of ret and nothing else. CONFIG when the file is there and is not what this program wrote. */
int cli_seen_floor(const char *state_dir, const rd_verdict *verdict, rd_attest_floor *ret, rd_err *err) RD_NODISCARD;
/* Keeps the numbers of a genuine verdict where they are higher. Other processes may do so at once. */
int cli_seen_remember(const char *state_dir, const rd_verdict *verdict, rd_err *err) RD_NODISCARD;

#endif
