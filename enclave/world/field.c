#include "enclave/world/field.h"

#include <string.h>
#include <strings.h>

bool encl_field_is_token_char(uint8_t c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

bool encl_field_is_token(rd_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (!encl_field_is_token_char(text.data[i]))
            return false;
    }
    return text.size > 0;
}

bool encl_field_is_text(rd_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if ((text.data[i] < 0x20 && text.data[i] != '\t') || text.data[i] == 0x7f)
            return false;
    }
    return true;
}

bool encl_field_is_named(rd_bytes name, const char *text)
{
    return name.size == strlen(text) && strncasecmp((const char *)name.data, text, name.size) == 0;
}
