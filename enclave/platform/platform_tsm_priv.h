/* platform_tsm_priv: one question to one entry of configfs-tsm, for the port and its test.
 * Used by platform_tsm.c; a test prepares the entry as the kernel would.
 */
#ifndef ENCL_PLATFORM_TSM_PRIV_H
#define ENCL_PLATFORM_TSM_PRIV_H

#include "common/base/bytes.h"
#include "common/base/err.h"

/* Asks the entry `name` below dir for the quote over report_data and appends it. 1: somebody else used the entry (the
 * generation moved by more than our write), ret is as before, take another. Errors: TEE_UNAVAILABLE (no entry, another
 * provider), TEE_REFUSED. */
int encl_tsm_entry_quote(int dir, const char *name, const uint8_t report_data[64], rd_buf *ret,
                         rd_err *err) RD_NODISCARD;

#endif
