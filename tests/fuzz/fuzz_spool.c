// link: rd_io rd_crypto
#include "common/crypto/hash.h"
#include "common/io/spool_format.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Another one for each input: nobody who chooses payloads knows what a journal's id will be. */
static spool_header header = { .version = SPOOL_VERSION, .generation = 1 };

/* Any bytes behind a good header of either version: recovery ends, with a size inside the file. */
static void recover_anything(uint8_t version, rd_bytes bytes)
{
    spool_header any = header;
    any.version = version;
    rd_buf file = { 0 };
    rd_err err = RD_ERR_INIT;
    spool_scan scan = { 0 };
    spool_header_write(&any, &file);
    rd_buf_append_bytes(&file, bytes);
    if (spool_recover(rd_buf_bytes(&file), NULL, NULL, &scan, &err) == 0)
        assert(scan.valid_size + scan.torn_size == file.size);
    if (spool_recover(bytes, NULL, NULL, &scan, &err) < 0)
        assert(err.code == RD_E_SPOOL_CORRUPT);
    rd_buf_done(&file);
}

/* Records cut from the input, each durable before the next, then a cut anywhere: never called damage, and no record
 * before the cut is lost. */
static void cut_a_good_file(uint8_t where, rd_bytes bytes)
{
    rd_buf file = { 0 };
    rd_err err = RD_ERR_INIT;
    spool_scan scan = { 0 };
    spool_header_write(&header, &file);
    size_t count = 0, last = file.size;
    for (size_t at = 0; at < bytes.size && count < 64; count++) {
        size_t payload = RD_MIN((size_t)bytes.data[at], bytes.size - at - 1);
        last = file.size;
        (void)spool_record_write(&header, 1, count + 1, file.size, rd_bytes_of(bytes.data + at + 1, payload), &file);
        at += payload + 1;
    }
    size_t cut = last + (file.size - last) * where / 255;
    int rc = spool_recover(rd_bytes_of(file.data, cut), NULL, NULL, &scan, &err);
    assert(rc == 0);
    assert(count == 0 || scan.count >= count - 1);
    rd_buf_done(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    uint8_t digest[RD_SHA256_SIZE];
    rd_sha256(rd_bytes_of(data, size), digest);
    memcpy(header.id, digest, sizeof header.id);
    rd_bytes rest = rd_bytes_of(data + 2, size - 2);
    if (data[0] & 1)
        recover_anything(data[0] & 2 ? 1 : 2, rest);
    else
        cut_a_good_file(data[1], rest);
    return 0;
}
