/* field: the words that a head of HTTP is made of. Used by all that read or write one here.
 * Source: RFC 9110, sections 5.5 and 5.6.2.
 */
#ifndef ENCL_FIELD_H
#define ENCL_FIELD_H

#include "common/base/bytes.h"

/* tchar */
bool encl_field_is_token_char(uint8_t c);
/* token: a method, the name of a field */
bool encl_field_is_token(rd_bytes text);
/* No control character but tab; may be empty. */
bool encl_field_is_text(rd_bytes text);
/* Equal to a name in lower case, whatever its own case. */
bool encl_field_is_named(rd_bytes name, const char *text);

#endif
