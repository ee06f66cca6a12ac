/* rehearse: what can be done ahead of the order to start, so that it need not be done while somebody waits.
 * Used by the zygote, whose children have no files to load libraries' parts from, and by blanks, which have the time:
 * after a fork every page of code, heap and stack costs a fault when it is first touched.
 */
#ifndef ENCL_REHEARSE_H
#define ENCL_REHEARSE_H

#include "common/base/err.h"

/* Every kind of cryptography that an instance uses, once; of quotes a blank makes its own (blank.h). Errors: INTERNAL.
 */
int encl_rehearse_crypto(rd_err *err) RD_NODISCARD;
/* All code, and the stack and the heap that starting takes. Nothing of it is given back before encl_rehearse_done. */
void encl_rehearse_memory(void);
/* Gives back what the heap has too much of; from now on as by default. */
void encl_rehearse_done(void);

#endif
