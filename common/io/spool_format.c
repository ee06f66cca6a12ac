#include "common/io/spool_format.h"

#include "common/base/cursor.h"

#include <string.h>

#define MAGIC_SIZE 16

static const uint8_t record_magic[4] = { 0xd7, 'R', 'D', 'J' };

static const uint8_t *magic_of(uint8_t version)
{
    return (const uint8_t *)(version == 1 ? "redoubt-spool/1\n" : "redoubt-spool/2\n");
}

static bool read_version(rd_bytes magic, uint8_t *ret)
{
    for (*ret = 1; *ret <= SPOOL_VERSION; ++*ret)
        if (rd_bytes_equal(magic, rd_bytes_of(magic_of(*ret), MAGIC_SIZE)))
            return true;
    return false;
}

void spool_header_write(const spool_header *header, rd_buf *out)
{
    size_t start = out->size;
    (void)rd_buf_append(out, magic_of(header->version), MAGIC_SIZE);
    (void)rd_buf_append(out, header->id, sizeof header->id);
    (void)rd_buf_append_u64be(out, header->generation);
    (void)rd_buf_append_u32be(out, 0);
    uint32_t crc = rd_crc32c(0, rd_bytes_of(out->data + start, out->size - start));
    (void)rd_buf_append_u32be(out, crc);
}

/* Where the checksums of a file's records begin. */
static uint32_t header_crc(const spool_header *header)
{
    if (header->version == 1)
        return 0;
    uint8_t bytes[SPOOL_HEADER_SIZE + 1]; /* rd_buf keeps one byte behind its content */
    rd_buf view = { .data = bytes, .capacity = sizeof bytes, .size_max = SPOOL_HEADER_SIZE };
    spool_header_write(header, &view);
    return rd_crc32c(0, rd_bytes_of(bytes, SPOOL_HEADER_SIZE - 4));
}

int spool_header_read(rd_bytes file, spool_header *ret, rd_err *err)
{
    rd_cursor cursor = rd_cursor_of(file);
    rd_bytes magic = rd_cursor_take(&cursor, MAGIC_SIZE);
    spool_header header;
    rd_cursor_copy(&cursor, header.id, sizeof header.id);
    header.generation = rd_cursor_u64be(&cursor);
    uint32_t reserved = rd_cursor_u32be(&cursor);
    uint32_t crc = rd_cursor_u32be(&cursor);
    if (!rd_cursor_is_ok(&cursor))
        return rd_err_set(err, RD_E_SPOOL_CORRUPT, "the file ends inside its header");
    if (!read_version(magic, &header.version))
        return rd_err_set(err, RD_E_SPOOL_CORRUPT, "not a journal of a version that this build reads");
    if (reserved != 0 || crc != rd_crc32c(0, rd_bytes_of(file.data, SPOOL_HEADER_SIZE - 4)))
        return rd_err_set(err, RD_E_SPOOL_CORRUPT, "the header's checksum does not fit");
    *ret = header;
    return 0;
}

static uint32_t record_crc(const spool_header *header, uint32_t length, uint16_t type, uint64_t seq,
                           uint64_t durable_to, rd_bytes payload)
{
    uint8_t head[25]; /* rd_buf keeps one byte behind its content */
    rd_buf view = { .data = head, .capacity = sizeof head, .size_max = 24 };
    (void)rd_buf_append_u32be(&view, length);
    (void)rd_buf_append_u32be(&view, type);
    (void)rd_buf_append_u64be(&view, seq);
    (void)rd_buf_append_u64be(&view, durable_to);
    return rd_crc32c(rd_crc32c(header_crc(header), rd_buf_bytes(&view)), payload);
}

bool spool_record_write(const spool_header *header, uint16_t type, uint64_t seq, uint64_t durable_to, rd_bytes payload,
                        rd_buf *out)
{
    uint32_t length = (uint32_t)payload.size;
    if (!rd_buf_reserve(out, SPOOL_HEAD_SIZE + payload.size))
        return false;
    (void)rd_buf_append(out, record_magic, sizeof record_magic);
    (void)rd_buf_append_u32be(out, length);
    (void)rd_buf_append_u32be(out, type);
    (void)rd_buf_append_u32be(out, record_crc(header, length, type, seq, durable_to, payload));
    (void)rd_buf_append_u64be(out, seq);
    (void)rd_buf_append_u64be(out, durable_to);
    (void)rd_buf_append_u32be(out, ~length);
    return rd_buf_append_bytes(out, payload);
}

typedef struct record {
    rd_spool_record public;
    uint64_t durable_to;
    size_t size; /* head and payload */
} record;

/* One record at offset; false when the bytes there are none. */
static bool read_record(const spool_header *header, rd_bytes file, size_t offset, record *ret)
{
    rd_cursor cursor = rd_cursor_of(rd_bytes_of(file.data + offset, file.size - offset));
    rd_bytes magic = rd_cursor_take(&cursor, sizeof record_magic);
    uint32_t length = rd_cursor_u32be(&cursor);
    uint32_t type = rd_cursor_u32be(&cursor);
    uint32_t crc = rd_cursor_u32be(&cursor);
    uint64_t seq = rd_cursor_u64be(&cursor);
    uint64_t durable_to = rd_cursor_u64be(&cursor);
    uint32_t inverse = rd_cursor_u32be(&cursor);
    if (!rd_cursor_is_ok(&cursor) || !rd_bytes_equal(magic, RD_BYTES_ARRAY(record_magic)) ||
        length > RD_SPOOL_PAYLOAD_MAX || inverse != ~length || type == 0 || type > SPOOL_TYPE_CLOSED)
        return false;
    rd_bytes payload = rd_cursor_take(&cursor, length);
    if (!rd_cursor_is_ok(&cursor) || crc != record_crc(header, length, (uint16_t)type, seq, durable_to, payload))
        return false;
    ret->public = (rd_spool_record){ .seq = seq, .type = (uint16_t)type, .payload = payload };
    ret->durable_to = durable_to;
    ret->size = SPOOL_HEAD_SIZE + length;
    return true;
}

/* Something valid behind the bad place that was written when the bad place had already been durable. */
static bool was_durable(const spool_header *header, rd_bytes file, size_t bad_at, uint64_t last_seq)
{
    size_t at = bad_at + 1;
    while (at < file.size) {
        const uint8_t *found = memmem(file.data + at, file.size - at, record_magic, sizeof record_magic);
        if (!found)
            return false;
        at = (size_t)(found - file.data);
        record later;
        if (read_record(header, file, at, &later) && later.public.seq > last_seq && later.durable_to > bad_at)
            return true;
        at++;
    }
    return false;
}

int spool_recover(rd_bytes file, int (*on_record)(void *context, const rd_spool_record *record, rd_err *err),
                  void *context, spool_scan *ret, rd_err *err)
{
    spool_header header;
    if (spool_header_read(file, &header, err) < 0)
        return -1;
    spool_scan scan = { .valid_size = SPOOL_HEADER_SIZE };
    record next;
    while (scan.valid_size < file.size && read_record(&header, file, scan.valid_size, &next)) {
        if (next.public.seq <= scan.last_seq)
            return rd_err_set(err, RD_E_SPOOL_CORRUPT, "offset %llu: sequence %llu after %llu",
                              (unsigned long long)scan.valid_size, (unsigned long long)next.public.seq,
                              (unsigned long long)scan.last_seq);
        if (next.public.type != SPOOL_TYPE_CLOSED && on_record && on_record(context, &next.public, err) < 0)
            return rd_err_wrap(err, "record %llu", (unsigned long long)next.public.seq);
        scan.last_seq = next.public.seq;
        scan.valid_size += next.size;
        scan.count++;
    }
    scan.torn_size = file.size - scan.valid_size;
    if (scan.torn_size > 0 && was_durable(&header, file, scan.valid_size, scan.last_seq))
        return rd_err_set(err, RD_E_SPOOL_CORRUPT, "offset %llu: a record that had been written is damaged",
                          (unsigned long long)scan.valid_size);
    *ret = scan;
    return 0;
}
