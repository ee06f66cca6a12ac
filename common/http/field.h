/* field: the words that a head of HTTP is made of. Used by all that read or write one here.
 * Source: RFC 9110, sections 5.5 and 5.6.2.
 */
#ifndef RD_HTTP_FIELD_H
#define RD_HTTP_FIELD_H

#include <string.h>
#include <strings.h>

#include "common/base/bytes.h"

/* tchar */
bool rd_http_is_token_char(uint8_t c);
/* token: a method, the name of a field */
bool rd_http_is_token(rd_bytes text);
/* No control character but tab; may be empty. */
bool rd_http_is_text(rd_bytes text);
/* Equal to a name in lower case, whatever its own case. Here, so that the length of a literal is known. */
static inline bool rd_http_is_named(rd_bytes name, const char *text)
{
    return name.size == strlen(text) && strncasecmp((const char *)name.data, text, name.size) == 0;
}

#endif
