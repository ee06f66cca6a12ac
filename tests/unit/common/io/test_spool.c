#include "common/io/spool.h"

#include "common/base/mem.h"
#include "common/io/config.h"
#include "common/io/spool_format.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct world {
    char dir[64];
    char path[96];
    rd_loop *loop;
    rd_spool *spool;
    /* what replay gave */
    uint64_t count, last_seq;
    rd_buf seen; /* payloads, each with a newline */
    /* what callbacks gave */
    int written, refused;
    rd_code code;
    int failures;
    int compacted;
} world;

static int on_record(void *context, const rd_spool_record *record, rd_err *err)
{
    world *w = context;
    if (record->type == 666)
        return rd_err_set(err, RD_E_UNSUPPORTED, "type of a newer version");
    assert_true(record->seq > w->last_seq);
    w->last_seq = record->seq;
    w->count++;
    rd_buf_append_bytes(&w->seen, record->payload);
    rd_buf_append_str(&w->seen, "\n");
    return 0;
}

static void on_failed(void *context, const rd_err *error)
{
    (void)error;
    world *w = context;
    w->failures++;
}

static int open_spool(world *w, uint64_t size_max, rd_err *err)
{
    w->count = w->last_seq = 0;
    rd_buf_clear(&w->seen);
    const rd_spool_config config = {
        .path = w->path, .size_max = size_max, .context = w, .on_record = on_record, .on_failed = on_failed
    };
    return rd_spool_open(w->loop, &config, &w->spool, err);
}

static int setup(void **state)
{
    world *w = rd_alloc(sizeof *w);
    rd_err err = RD_ERR_INIT;
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/test-spool-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    (void)snprintf(w->path, sizeof w->path, "%s/journal", w->dir);
    assert_int_equal(0, rd_loop_new(&w->loop, &err));
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    rd_spool_close(w->spool);
    rd_loop_free(w->loop);
    char *command = rd_asprintf("rm -rf %s", w->dir);
    (void)!system(command);
    free(command);
    rd_buf_done(&w->seen);
    free(w);
    return 0;
}

static void on_done(void *context, const rd_err *error)
{
    world *w = context;
    if (error) {
        w->refused++;
        w->code = error->code;
    } else {
        w->written++;
    }
}

static void append(world *w, const char *text)
{
    rd_err err = RD_ERR_INIT;
    assert_int_equal(0, rd_spool_append(w->spool, 7, rd_bytes_str(text), on_done, w, &err));
}

static void run_until(world *w, int written)
{
    for (int i = 0; i < 2000 && w->written + w->refused < written; i++)
        rd_loop_turn(w->loop, true);
    assert_int_equal(written, w->written + w->refused);
}

static void reopen(world *w)
{
    rd_err err = RD_ERR_INIT;
    w->spool = rd_spool_close(w->spool);
    if (open_spool(w, 0, &err) < 0)
        fail_msg("%s", err.text);
}

/* As a kill -9 leaves it: without a closing mark. */
static rd_buf snapshot(const world *w)
{
    rd_buf file = { 0 };
    rd_err err = RD_ERR_INIT;
    assert_int_equal(0, rd_file_read(w->path, (size_t)64 << 20, &file, &err));
    return file;
}

static void put_file(const world *w, rd_bytes bytes)
{
    rd_err err = RD_ERR_INIT;
    assert_int_equal(0, rd_file_write_atomic(w->path, bytes.data, bytes.size, 0600, &err));
}

static void test_append_and_replay(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(0, open_spool(w, 0, &err));
    uint8_t id[RD_SPOOL_ID_SIZE];
    memcpy(id, rd_spool_id(w->spool), sizeof id);
    append(w, "one");
    append(w, "");
    append(w, "three");
    assert_int_equal(0, w->written); /* never from inside the call */
    run_until(w, 3);
    reopen(w);
    assert_string_equal("one\n\nthree\n", rd_buf_text(&w->seen));
    assert_memory_equal(id, rd_spool_id(w->spool), sizeof id);
    append(w, "four");
    run_until(w, 4);
    reopen(w);
    assert_int_equal(4, w->count);
    assert_int_equal(0, rd_spool_torn_bytes(w->spool));
}

static void test_second_process_is_locked_out(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(0, open_spool(w, 0, &err));
    rd_spool *second = NULL;
    const rd_spool_config config = { .path = w->path, .context = w, .on_record = on_record };
    assert_int_equal(-1, rd_spool_open(w->loop, &config, &second, &err));
    assert_non_null(strstr(err.text, "another process"));
}

/* Whatever a torn write leaves of the last record: the ones before it are read, the tail is cut. */
static void test_torn_tail_at_every_offset(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(0, open_spool(w, 0, &err));
    append(w, "first");
    run_until(w, 1);
    size_t whole = (size_t)rd_spool_size(w->spool);
    append(w, "the second record, which is torn");
    run_until(w, 2);
    rd_buf file = snapshot(w);
    w->spool = rd_spool_close(w->spool);
    for (size_t size = whole; size < file.size; size++) {
        put_file(w, rd_bytes_of(file.data, size));
        if (open_spool(w, 0, &err) < 0)
            fail_msg("cut at %zu: %s", size, err.text);
        assert_int_equal(1, w->count);
        assert_int_equal(size - whole, rd_spool_torn_bytes(w->spool));
        assert_int_equal(whole, rd_spool_size(w->spool));
        w->spool = rd_spool_close(w->spool);
    }
    rd_buf_done(&file);
}

/* A payload is chosen by others: what passes for a record there, of this journal's next sequence and durable behind
 * everything, makes no torn tail look like damage. */
static void test_record_in_a_payload(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    const spool_header guessed = { .version = SPOOL_VERSION };
    rd_buf payload = { 0 };
    assert_true(spool_record_write(&guessed, 7, 100, UINT32_MAX, rd_bytes_str("a record"), &payload));
    assert_int_equal(0, open_spool(w, 0, &err));
    append(w, "first");
    run_until(w, 1);
    size_t whole = (size_t)rd_spool_size(w->spool);
    rd_buf_append_str(&payload, "its end, which is torn");
    assert_int_equal(0, rd_spool_append(w->spool, 7, rd_buf_bytes(&payload), on_done, w, &err));
    run_until(w, 2);
    rd_buf file = snapshot(w);
    w->spool = rd_spool_close(w->spool);
    put_file(w, rd_bytes_of(file.data, file.size - 5));
    assert_int_equal(0, open_spool(w, 0, &err));
    assert_int_equal(1, w->count);
    assert_int_equal(whole, rd_spool_size(w->spool));
    w->spool = rd_spool_close(w->spool);
    rd_buf_done(&file);
    rd_buf_done(&payload);
}

/* Less than a header: the file was just being made. */
static void test_torn_header(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    for (size_t size = 0; size < SPOOL_HEADER_SIZE; size += 7) {
        static const uint8_t zeros[SPOOL_HEADER_SIZE];
        put_file(w, rd_bytes_of(zeros, size));
        assert_int_equal(0, open_spool(w, 0, &err));
        w->spool = rd_spool_close(w->spool);
    }
}

/* Any byte of what was durable: found, and refused instead of forgotten. */
static void test_flipped_byte_in_the_middle(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(0, open_spool(w, 0, &err));
    append(w, "first");
    run_until(w, 1);
    append(w, "second");
    run_until(w, 2);
    size_t end_of_second = (size_t)rd_spool_size(w->spool);
    append(w, "third");
    run_until(w, 3);
    rd_buf file = snapshot(w);
    w->spool = rd_spool_close(w->spool);
    for (size_t at = 0; at < end_of_second; at++) {
        file.data[at] ^= 0x40;
        put_file(w, rd_buf_bytes(&file));
        if (open_spool(w, 0, &err) == 0)
            fail_msg("flipped byte %zu was not found", at);
        assert_int_equal(RD_E_SPOOL_CORRUPT, err.code);
        file.data[at] ^= 0x40;
    }
    rd_buf_done(&file);
}

/* After an orderly close the last record is covered too, by the closing mark. */
static void test_flipped_byte_after_orderly_close(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(0, open_spool(w, 0, &err));
    append(w, "only");
    run_until(w, 1);
    w->spool = rd_spool_close(w->spool);
    rd_buf file = snapshot(w);
    file.data[SPOOL_HEADER_SIZE + SPOOL_HEAD_SIZE] ^= 1;
    put_file(w, rd_buf_bytes(&file));
    assert_int_equal(-1, open_spool(w, 0, &err));
    assert_int_equal(RD_E_SPOOL_CORRUPT, err.code);
    rd_buf_done(&file);
}

/* Two records of one group whose first half never reached the disk: nothing of it had been promised. */
static void test_group_that_never_became_durable(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(0, open_spool(w, 0, &err));
    append(w, "kept");
    run_until(w, 1);
    size_t whole = (size_t)rd_spool_size(w->spool);
    append(w, "lost page");
    append(w, "page that came through");
    run_until(w, 3);
    rd_buf file = snapshot(w);
    w->spool = rd_spool_close(w->spool);
    memset(file.data + whole, 0, 20);
    put_file(w, rd_buf_bytes(&file));
    assert_int_equal(0, open_spool(w, 0, &err));
    assert_int_equal(1, w->count);
    assert_true(rd_spool_torn_bytes(w->spool) > 0);
    rd_buf_done(&file);
}

static void test_refusals(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(0, open_spool(w, 4096, &err));
    uint8_t *big = rd_alloc(RD_SPOOL_PAYLOAD_MAX + 1);
    assert_int_equal(-1, rd_spool_append(w->spool, 1, rd_bytes_of(big, RD_SPOOL_PAYLOAD_MAX + 1), on_done, w, &err));
    assert_int_equal(RD_E_TOO_LARGE, err.code);
    int taken = 0;
    while (rd_spool_append(w->spool, 1, rd_bytes_of(big, 1000), on_done, w, &err) == 0)
        taken++;
    assert_int_equal(3, taken); /* the cap counts what waits as well */
    assert_int_equal(RD_E_SPOOL_FULL, err.code);
    run_until(w, taken);
    assert_true(rd_spool_wants_compaction(w->spool));
    assert_true(rd_spool_is_healthy(w->spool));
    free(big);

    w->spool = rd_spool_close(w->spool);
    static const char junk[] = "this is no journal at all, but it is longer than a header is";
    put_file(w, rd_bytes_of(junk, sizeof junk));
    assert_int_equal(-1, open_spool(w, 0, &err));
    assert_int_equal(RD_E_SPOOL_CORRUPT, err.code);
}

/* ---- compaction ---- */

static int collect(void *context, rd_spool_writer *writer, rd_err *err)
{
    world *w = context;
    w->compacted = -1;
    return rd_spool_writer_add(writer, 9, RD_BYTES_LIT("live"), err);
}

static void on_compacted(void *context, const rd_err *error)
{
    world *w = context;
    w->compacted = error ? 2 : 1;
}

static void test_compaction(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(0, open_spool(w, 0, &err));
    uint8_t id[RD_SPOOL_ID_SIZE];
    memcpy(id, rd_spool_id(w->spool), sizeof id);
    for (int i = 0; i < 100; i++)
        append(w, "old");
    run_until(w, 100);
    append(w, "waiting while it is asked for");
    assert_int_equal(0, rd_spool_compact(w->spool, collect, on_compacted, w, &err));
    assert_int_equal(-1, rd_spool_compact(w->spool, collect, on_compacted, w, &err));
    assert_int_equal(RD_E_UNAVAILABLE, err.code);
    append(w, "after");
    run_until(w, 102);
    for (int i = 0; i < 1000 && w->compacted <= 0; i++)
        rd_loop_turn(w->loop, true);
    assert_int_equal(1, w->compacted);
    reopen(w);
    assert_string_equal("live\nwaiting while it is asked for\nafter\n", rd_buf_text(&w->seen));
    assert_memory_equal(id, rd_spool_id(w->spool), sizeof id);
    append(w, "more");
    run_until(w, 103);
    reopen(w);
    assert_int_equal(4, w->count);
}

static void put_version_1(const world *w)
{
    const spool_header header = { .version = 1, .id = { 5 }, .generation = 3 };
    rd_buf file = { 0 };
    spool_header_write(&header, &file);
    assert_memory_equal("redoubt-spool/1\n", file.data, 16);
    assert_true(spool_record_write(&header, 7, 1, file.size, rd_bytes_str("one"), &file));
    assert_true(spool_record_write(&header, 7, 2, file.size, rd_bytes_str("two"), &file));
    const uint8_t *record = file.data + SPOOL_HEADER_SIZE;
    uint32_t crc = rd_crc32c(rd_crc32c(0, rd_bytes_of(record + 4, 8)), rd_bytes_of(record + 16, 16));
    crc = rd_crc32c(crc, rd_bytes_str("one"));
    const uint8_t expected[] = { (uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8), (uint8_t)crc };
    assert_memory_equal(expected, record + 12, sizeof expected);
    put_file(w, rd_buf_bytes(&file));
    rd_buf_done(&file);
}

static void check_version(const world *w, char version)
{
    rd_buf file = snapshot(w);
    assert_int_equal(version, file.data[14]);
    rd_buf_done(&file);
}

/* What an older build left is read and gone on with as it is; compaction makes today's version of it. */
static void test_version_1(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    put_version_1(w);
    assert_int_equal(0, open_spool(w, 0, &err));
    assert_string_equal("one\ntwo\n", rd_buf_text(&w->seen));
    append(w, "three");
    run_until(w, 1);
    reopen(w);
    assert_string_equal("one\ntwo\nthree\n", rd_buf_text(&w->seen));
    assert_int_equal(0, rd_spool_torn_bytes(w->spool));
    check_version(w, '1');
    append(w, "waiting while it is asked for");
    assert_int_equal(0, rd_spool_compact(w->spool, collect, on_compacted, w, &err));
    append(w, "after");
    for (int i = 0; i < 1000 && w->compacted <= 0; i++)
        rd_loop_turn(w->loop, true);
    run_until(w, 3);
    assert_int_equal(1, w->compacted);
    check_version(w, '2');
    reopen(w);
    append(w, "more");
    run_until(w, 4);
    reopen(w);
    assert_string_equal("live\nwaiting while it is asked for\nafter\nmore\n", rd_buf_text(&w->seen));
    assert_int_equal(5, rd_spool_id(w->spool)[0]);
    assert_int_equal(0, rd_spool_torn_bytes(w->spool));
    check_version(w, '2');
}

/* Damage of what was durable is found there as well. */
static void test_flipped_byte_in_version_1(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    put_version_1(w);
    rd_buf file = snapshot(w);
    for (size_t at = 0; at < SPOOL_HEADER_SIZE + SPOOL_HEAD_SIZE + 3; at++) {
        file.data[at] ^= 3; /* makes the one version's magic the other's as well */
        put_file(w, rd_buf_bytes(&file));
        assert_int_equal(-1, open_spool(w, 0, &err));
        assert_int_equal(RD_E_SPOOL_CORRUPT, err.code);
        file.data[at] ^= 3;
    }
    rd_buf_done(&file);
}

/* A damaged byte in what compaction wrote is found although nothing was appended since. */
static void test_flipped_byte_after_compaction(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(0, open_spool(w, 0, &err));
    assert_int_equal(0, rd_spool_compact(w->spool, collect, on_compacted, w, &err));
    for (int i = 0; i < 1000 && w->compacted <= 0; i++)
        rd_loop_turn(w->loop, true);
    rd_buf file = snapshot(w);
    w->spool = rd_spool_close(w->spool);
    file.data[SPOOL_HEADER_SIZE + SPOOL_HEAD_SIZE + 1] ^= 1;
    put_file(w, rd_buf_bytes(&file));
    assert_int_equal(-1, open_spool(w, 0, &err));
    assert_int_equal(RD_E_SPOOL_CORRUPT, err.code);
    rd_buf_done(&file);
}

/* ---- a disk that refuses ---- */

static void limit_file_size(rlim_t size)
{
    struct rlimit limit;
    assert_int_equal(0, getrlimit(RLIMIT_FSIZE, &limit));
    limit.rlim_cur = size;
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &limit));
}

/* A write that fails for another reason than space: fail-stop, and everything that waits is told. */
static void test_failed_write_is_final(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(0, open_spool(w, 0, &err));
    append(w, "before");
    run_until(w, 1);
    (void)signal(SIGXFSZ, SIG_IGN);
    limit_file_size((rlim_t)rd_spool_size(w->spool) + 10);
    append(w, "does not fit");
    append(w, "nor this");
    run_until(w, 3);
    limit_file_size(RLIM_INFINITY);
    assert_int_equal(2, w->refused);
    assert_int_equal(RD_E_SPOOL_FAILED, w->code);
    assert_int_equal(1, w->failures);
    assert_false(rd_spool_is_healthy(w->spool));
    assert_int_equal(-1, rd_spool_append(w->spool, 7, RD_BYTES_NULL, on_done, w, &err));
    assert_int_equal(RD_E_SPOOL_FAILED, err.code);
    reopen(w); /* the half-written record is a torn tail */
    assert_string_equal("before\n", rd_buf_text(&w->seen));
}

static void test_replay_may_refuse(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(0, open_spool(w, 0, &err));
    assert_int_equal(0, rd_spool_append(w->spool, 666, RD_BYTES_NULL, on_done, w, &err));
    run_until(w, 1);
    w->spool = rd_spool_close(w->spool);
    assert_int_equal(-1, open_spool(w, 0, &err));
    assert_int_equal(RD_E_UNSUPPORTED, err.code);
}

/* RFC 3720, B.4 */
static void test_crc32c(void **state)
{
    (void)state;
    uint8_t bytes[32];
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(0x8a9136aa, rd_crc32c(0, RD_BYTES_ARRAY(bytes)));
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(0x62a8ab43, rd_crc32c(0, RD_BYTES_ARRAY(bytes)));
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(0x46dd794e, rd_crc32c(0, RD_BYTES_ARRAY(bytes)));
    uint32_t halves = rd_crc32c(rd_crc32c(0, rd_bytes_of(bytes, 13)), rd_bytes_of(bytes + 13, 19));
    assert_int_equal(0x46dd794e, halves);
}

int main(void)
{
#define ROW(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        ROW(test_append_and_replay),
        ROW(test_second_process_is_locked_out),
        ROW(test_torn_tail_at_every_offset),
        ROW(test_torn_header),
        ROW(test_record_in_a_payload),
        ROW(test_flipped_byte_in_the_middle),
        ROW(test_flipped_byte_after_orderly_close),
        ROW(test_group_that_never_became_durable),
        ROW(test_refusals),
        ROW(test_compaction),
        ROW(test_version_1),
        ROW(test_flipped_byte_in_version_1),
        ROW(test_flipped_byte_after_compaction),
        ROW(test_failed_write_is_final),
        ROW(test_replay_may_refuse),
        cmocka_unit_test(test_crc32c),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
