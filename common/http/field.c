#include "common/http/field.h"

enum { TOKEN = 1, TEXT = 2 };

/* What each byte may be part of: RFC 9110, 5.6.2 (tchar) and 5.5 (field-vchar, SP, HTAB). */
static const uint8_t kinds[256] = {
    ['\t'] = TEXT,
    [' '] = TEXT,
    ['!'] = TEXT | TOKEN,
    ['"'] = TEXT,
    ['#' ... '\''] = TEXT | TOKEN,
    ['('] = TEXT,
    [')'] = TEXT,
    ['*'] = TEXT | TOKEN,
    ['+'] = TEXT | TOKEN,
    [','] = TEXT,
    ['-'] = TEXT | TOKEN,
    ['.'] = TEXT | TOKEN,
    ['/'] = TEXT,
    ['0' ... '9'] = TEXT | TOKEN,
    [':' ... '@'] = TEXT,
    ['A' ... 'Z'] = TEXT | TOKEN,
    ['[' ... ']'] = TEXT,
    ['^' ... 'z'] = TEXT | TOKEN,
    ['{'] = TEXT,
    ['|'] = TEXT | TOKEN,
    ['}'] = TEXT,
    ['~'] = TEXT | TOKEN,
    [0x80 ... 0xff] = TEXT,
};

static bool are_all(rd_bytes text, uint8_t kind)
{
    uint8_t all = kind;
    for (size_t i = 0; i < text.size; i++)
        all &= kinds[text.data[i]];
    return all != 0;
}

bool rd_http_is_token_char(uint8_t c)
{
    return (kinds[c] & TOKEN) != 0;
}

bool rd_http_is_token(rd_bytes text)
{
    return text.size > 0 && are_all(text, TOKEN);
}

bool rd_http_is_text(rd_bytes text)
{
    return are_all(text, TEXT);
}
