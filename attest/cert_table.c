#include "attest/cert_table.h"

#include <string.h>

#include "common/base/cursor.h"

#define ENTRY_SIZE  24
#define ENTRIES_MAX 8

static const struct {
    uint8_t guid[16];
    size_t offset;
} kinds[] = {
    { { 0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd },
      offsetof(rd_cert_table, vcek) },
    { { 0xa8, 0x07, 0x4b, 0xc2, 0xa2, 0x5a, 0x48, 0x3e, 0xaa, 0xe6, 0x39, 0xc0, 0x45, 0xa0, 0xb8, 0xa1 },
      offsetof(rd_cert_table, vlek) },
    { { 0x4a, 0xb7, 0xb3, 0x79, 0xbb, 0xac, 0x4f, 0xe4, 0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27, 0xc7, 0x82 },
      offsetof(rd_cert_table, ask) },
    { { 0xc0, 0xb4, 0x06, 0xa4, 0xa8, 0x03, 0x49, 0x52, 0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c, 0xd0, 0xae },
      offsetof(rd_cert_table, ark) },
    { { 0x92, 0xf8, 0x1b, 0xc3, 0x58, 0x11, 0x4d, 0x3d, 0x97, 0xff, 0xd1, 0x9f, 0x88, 0xdc, 0x67, 0xea },
      offsetof(rd_cert_table, crl) },
};

typedef struct entry {
    rd_bytes guid;
    size_t offset, size;
} entry;

static int refuse(const char *why, rd_err *err)
{
    return rd_err_set(err, RD_E_SNP_CERTTABLE, "certificate table: %s", why);
}

static rd_bytes *slot_of(rd_cert_table *table, rd_bytes guid)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(kinds); i++)
        if (memcmp(kinds[i].guid, guid.data, sizeof kinds[i].guid) == 0)
            return (rd_bytes *)(void *)((char *)table + kinds[i].offset);
    return NULL;
}

/* Entries up to the one of zeros; ret_end is where the table ends. */
static int read_entries(rd_bytes bytes, entry entries[ENTRIES_MAX], size_t *ret_count, size_t *ret_end, rd_err *err)
{
    static const uint8_t zeros[ENTRY_SIZE];
    rd_cursor in = rd_cursor_of(bytes);
    for (*ret_count = 0;; (*ret_count)++) {
        rd_bytes raw = rd_cursor_take(&in, ENTRY_SIZE);
        if (!rd_cursor_is_ok(&in))
            return refuse("it does not end", err);
        if (memcmp(raw.data, zeros, ENTRY_SIZE) == 0)
            break;
        if (*ret_count == ENTRIES_MAX)
            return refuse("too many entries", err);
        rd_cursor fields = rd_cursor_of(raw);
        entry *this = &entries[*ret_count];
        this->guid = rd_cursor_take(&fields, 16);
        this->offset = rd_cursor_u32le(&fields);
        this->size = rd_cursor_u32le(&fields);
    }
    *ret_end = rd_cursor_offset(&in);
    return 0;
}

static int check_ranges(const entry *entries, size_t count, size_t end, size_t size, rd_err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (entries[i].offset < end || entries[i].size == 0 || entries[i].offset > size ||
            entries[i].size > size - entries[i].offset)
            return refuse("a range outside", err);
        for (size_t k = 0; k < i; k++)
            if (entries[i].offset < entries[k].offset + entries[k].size &&
                entries[k].offset < entries[i].offset + entries[i].size)
                return refuse("two ranges over each other", err);
    }
    return 0;
}

int rd_cert_table_read(rd_bytes bytes, rd_cert_table *ret, rd_err *err)
{
    entry entries[ENTRIES_MAX];
    size_t count = 0, end = 0;
    *ret = (rd_cert_table){ 0 };
    if (bytes.size > RD_CERT_TABLE_SIZE_MAX)
        return refuse("longer than 64 KiB", err);
    if (read_entries(bytes, entries, &count, &end, err) < 0 || check_ranges(entries, count, end, bytes.size, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        rd_bytes *slot = slot_of(ret, entries[i].guid);
        if (!slot)
            return refuse("an unknown GUID", err);
        if (slot->data)
            return refuse("a certificate stands twice", err);
        *slot = rd_bytes_of(bytes.data + entries[i].offset, entries[i].size);
    }
    return 0;
}
