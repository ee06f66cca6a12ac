/* utf8: the decoder of the Encoding standard (section 8.1.1), which replaces each maximal malformed part once. */
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

/* Size of the character at data: 1 to 4; 0 when malformed, and *bad then holds how many bytes to drop; *cut says that
 * only the end of the input is missing. */
static size_t character(const uint8_t *data, size_t size, size_t *bad, int *cut)
{
    uint8_t first = data[0];
    uint8_t low = 0x80, high = 0xbf;
    size_t need, i;

    *cut = 0;
    *bad = 1;
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    need = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first == 0xe0)
        low = 0xa0;
    if (first == 0xed)
        high = 0x9f;
    if (first == 0xf0)
        low = 0x90;
    if (first == 0xf4)
        high = 0x8f;
    for (i = 1; i < need; i++) {
        if (i == size) {
            *bad = i;
            *cut = 1;
            return 0;
        }
        if (data[i] < low || data[i] > high) {
            *bad = i;
            return 0;
        }
        low = 0x80;
        high = 0xbf;
    }
    return need;
}

size_t rd_utf8_valid(const uint8_t *data, size_t size)
{
    size_t at = 0, bad;
    int cut;

    while (at < size) {
        uint64_t word;
        if (size - at >= 8) {
            memcpy(&word, data + at, 8);
            if (!(word & 0x8080808080808080ull)) {
                at += 8;
                continue;
            }
        }
        size_t n = character(data + at, size - at, &bad, &cut);
        if (n == 0)
            return at;
        at += n;
    }
    return at;
}

size_t rd_utf8_tail(const uint8_t *data, size_t size)
{
    size_t back, bad;
    int cut;

    for (back = 1; back <= 3 && back <= size; back++) {
        uint8_t c = data[size - back];
        if ((c & 0xc0) == 0x80)
            continue;
        (void)character(data + size - back, back, &bad, &cut);
        return c >= 0xc2 && cut && bad == back ? back : 0;
    }
    return 0;
}

uint8_t *rd_utf8_mend(const uint8_t *data, size_t size, size_t *ret_size)
{
    uint8_t *out;
    size_t at = 0, to = 0, bad;
    int cut;

    if (size > (size_t)256 << 20)
        return NULL;
    out = malloc(size * 3 + 1);
    if (!out)
        return NULL;
    while (at < size) {
        size_t n = character(data + at, size - at, &bad, &cut);
        if (n > 0) {
            memcpy(out + to, data + at, n);
            at += n;
            to += n;
        } else {
            memcpy(out + to, "\xef\xbf\xbd", 3);
            at += bad;
            to += 3;
        }
    }
    *ret_size = to;
    return out;
}
