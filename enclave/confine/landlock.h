/* landlock: denies every file, TCP port, abstract socket and outside signal that this kernel's Landlock can deny.
 * Used by confine, as a second wall behind the empty file system. Raw system calls, since Debian 12's headers are old.
 */
#ifndef ENCL_LANDLOCK_H
#define ENCL_LANDLOCK_H

#include "common/base/err.h"

/* The kernel's Landlock ABI, or 0 without Landlock. */
int encl_landlock_abi(void);
/* Applies a rule set that allows nothing but to read this one file (NULL: nothing); no_new_privs must be set. Errors:
 * SANDBOX. */
int encl_landlock_apply(int abi, const char *readable, rd_err *err) RD_NODISCARD;

#endif
