#include "attest/cbor.h"

static uint64_t read_number(rd_cursor *in, unsigned info)
{
    switch (info) {
    case 24:
        return rd_cursor_u8(in);
    case 25:
        return rd_cursor_u16be(in);
    case 26:
        return rd_cursor_u32be(in);
    default:
        return rd_cursor_u64be(in);
    }
}

bool rd_cbor_head(rd_cursor *in, rd_cbor_major major, uint64_t *ret)
{
    /* What the next shorter head could hold: a longer one is not the shortest. */
    static const uint64_t least[] = { 24, 256, 65536, UINT64_C(1) << 32 };
    uint8_t first = rd_cursor_u8(in);
    unsigned info = first & 31;
    if (!rd_cursor_is_ok(in) || first >> 5 != (unsigned)major || info > 27)
        return false;
    *ret = info;
    if (info < 24)
        return true;
    *ret = read_number(in, info);
    return rd_cursor_is_ok(in) && *ret >= least[info - 24];
}

bool rd_cbor_string(rd_cursor *in, rd_cbor_major major, rd_bytes *ret)
{
    uint64_t size = 0;
    if (!rd_cbor_head(in, major, &size) || size > rd_cursor_left(in))
        return false;
    *ret = rd_cursor_take(in, (size_t)size);
    return true;
}
