#include "agent/blobs.h"

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/io/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct world {
    char dir[64];
    agent_blobs *blobs;
} world;

static int setup(void **state)
{
    world *w = rd_alloc(sizeof *w);
    rd_err err = RD_ERR_INIT;
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/test-blobs-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    assert_int_equal(0, agent_blobs_open(w->dir, 1000, NULL, &w->blobs, &err));
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    agent_blobs_free(w->blobs);
    char *command = rd_asprintf("rm -rf %s", w->dir);
    (void)!system(command);
    free(command);
    free(w);
    return 0;
}

static rd_digest blob_of(uint8_t fill, size_t size, uint8_t out[1024])
{
    rd_digest digest;
    memset(out, fill, size);
    rd_sha256(rd_bytes_of(out, size), digest.b);
    return digest;
}

static rd_digest put(world *w, uint8_t fill, size_t size)
{
    uint8_t content[1024];
    rd_err err = RD_ERR_INIT;
    rd_digest digest = blob_of(fill, size, content);
    if (agent_blobs_put(w->blobs, &digest, rd_bytes_of(content, size), &err) < 0)
        fail_msg("%s", err.text);
    return digest;
}

static void test_put_and_get(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    rd_buf content = { 0 };
    rd_digest a = put(w, 1, 300);
    assert_int_equal(0, agent_blobs_get(w->blobs, &a, &content, &err));
    assert_int_equal(300, content.size);
    rd_buf_done(&content);
    (void)put(w, 1, 300); /* again: once on disk */
    assert_int_equal(300, agent_blobs_size(w->blobs));
    rd_digest wrong = a;
    wrong.b[0] ^= 1;
    assert_int_equal(-1, agent_blobs_put(w->blobs, &wrong, RD_BYTES_LIT("x"), &err));
    assert_int_equal(RD_E_DIGEST_MISMATCH, err.code);
    assert_int_equal(-1, agent_blobs_get(w->blobs, &wrong, &content, &err));
    assert_int_equal(RD_E_NOT_FOUND, err.code);
}

static void test_room_is_made_by_least_use(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    rd_buf content = { 0 };
    rd_digest a = put(w, 1, 400), b = put(w, 2, 400);
    assert_int_equal(0, agent_blobs_get(w->blobs, &a, &content, &err));
    rd_buf_done(&content);
    rd_digest c = put(w, 3, 400);
    assert_true(agent_blobs_has(w->blobs, &a));
    assert_false(agent_blobs_has(w->blobs, &b));
    agent_blobs_pin(w->blobs, &a);
    agent_blobs_pin(w->blobs, &c);
    uint8_t fourth[1024];
    rd_digest d = blob_of(4, 400, fourth);
    assert_int_equal(-1, agent_blobs_put(w->blobs, &d, rd_bytes_of(fourth, 400), &err));
    assert_int_equal(RD_E_SPOOL_FULL, err.code);
    agent_blobs_unpin(w->blobs, &c);
    assert_int_equal(0, agent_blobs_put(w->blobs, &d, rd_bytes_of(fourth, 400), &err));
    assert_true(agent_blobs_has(w->blobs, &a));
    assert_false(agent_blobs_has(w->blobs, &c));
}

/* Pinned before it comes, as a job does that waits for it. */
static void test_pin_before_arrival(void **state)
{
    world *w = *state;
    uint8_t content[1024];
    rd_digest a = blob_of(1, 400, content);
    agent_blobs_pin(w->blobs, &a);
    assert_false(agent_blobs_has(w->blobs, &a));
    (void)put(w, 1, 400);
    (void)put(w, 2, 400);
    (void)put(w, 3, 400);
    assert_true(agent_blobs_has(w->blobs, &a));
    agent_blobs_unpin(w->blobs, &a);
}

static void test_reopened_and_damaged(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    rd_buf content = { 0 };
    rd_digest a = put(w, 1, 300), b = put(w, 2, 300);
    char hex[65], path[160], junk[160];
    rd_hex_encode(RD_BYTES_ARRAY(b.b), hex);
    (void)snprintf(path, sizeof path, "%s/%s", w->dir, hex);
    (void)snprintf(junk, sizeof junk, "%s/%s.tmp", w->dir, hex);
    assert_int_equal(0, rd_file_write_atomic(path, "short", 5, 0600, &err));
    assert_int_equal(0, rd_file_write_atomic(junk, "half", 4, 0600, &err));
    agent_blobs_free(w->blobs);
    assert_int_equal(0, agent_blobs_open(w->dir, 1000, NULL, &w->blobs, &err));
    assert_int_equal(305, agent_blobs_size(w->blobs));
    assert_int_not_equal(0, access(junk, F_OK));
    assert_int_equal(0, agent_blobs_get(w->blobs, &a, &content, &err));
    rd_buf_done(&content);
    assert_int_equal(-1, agent_blobs_get(w->blobs, &b, &content, &err));
    assert_int_equal(RD_E_NOT_FOUND, err.code);
    assert_false(agent_blobs_has(w->blobs, &b)); /* asked for again */
    assert_int_not_equal(0, access(path, F_OK));
}

/* Written behind: there at once, from memory, and on disk when the loop has run; damage of the file is not seen while
 * the content is in memory. */
static void test_written_behind(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    rd_buf content = { 0 };
    rd_loop *loop = NULL;
    agent_blobs_free(w->blobs);
    assert_int_equal(0, rd_loop_new(&loop, &err));
    assert_int_equal(0, agent_blobs_open(w->dir, 1000, loop, &w->blobs, &err));
    rd_digest a = put(w, 1, 300);
    char hex[65], path[160];
    rd_hex_encode(RD_BYTES_ARRAY(a.b), hex);
    (void)snprintf(path, sizeof path, "%s/%s", w->dir, hex);
    assert_true(agent_blobs_has(w->blobs, &a));
    assert_int_equal(0, agent_blobs_get(w->blobs, &a, &content, &err));
    assert_int_equal(300, content.size);
    rd_buf_done(&content);
    rd_digest b = put(w, 2, 400);
    uint8_t more[1024];
    rd_digest c = blob_of(3, 400, more);
    /* What is being written is not removed for room. */
    assert_int_equal(-1, agent_blobs_put(w->blobs, &c, rd_bytes_of(more, 400), &err));
    assert_int_equal(RD_E_SPOOL_FULL, err.code);
    rd_loop_free(loop);
    assert_int_equal(0, access(path, F_OK));
    agent_blobs_free(w->blobs);
    assert_int_equal(0, agent_blobs_open(w->dir, 1000, NULL, &w->blobs, &err));
    assert_int_equal(700, agent_blobs_size(w->blobs));
    assert_int_equal(0, agent_blobs_get(w->blobs, &b, &content, &err));
    rd_buf_done(&content);
    assert_int_equal(0, unlink(path));
    assert_int_equal(-1, agent_blobs_get(w->blobs, &a, &content, &err));
}

static void remove_from_disk(const world *w, const rd_digest *digest)
{
    char hex[65], path[160];
    rd_hex_encode(RD_BYTES_ARRAY(digest->b), hex);
    (void)snprintf(path, sizeof path, "%s/%s", w->dir, hex);
    assert_int_equal(0, unlink(path));
}

/* More than memory holds: read from their files, whole. */
static void test_more_than_memory(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    rd_digest digests[12];
    size_t size = (size_t)256 << 10;
    uint8_t *bytes = rd_alloc(size);
    agent_blobs_free(w->blobs);
    assert_int_equal(0, agent_blobs_open(w->dir, size * 12, NULL, &w->blobs, &err));
    for (uint8_t i = 0; i < 12; i++) {
        memset(bytes, i, size);
        rd_sha256(rd_bytes_of(bytes, size), digests[i].b);
        assert_int_equal(0, agent_blobs_put(w->blobs, &digests[i], rd_bytes_of(bytes, size), &err));
    }
    for (uint8_t i = 0; i < 12; i++) {
        rd_buf content = { 0 };
        assert_int_equal(0, agent_blobs_get(w->blobs, &digests[i], &content, &err));
        assert_int_equal(size, content.size);
        assert_int_equal(i, content.data[size - 1]);
        rd_buf_done(&content);
    }
    free(bytes);
}

/* Memory is what is being written, or what it holds at most: nothing on top of the former, and the latter once all of
 * it is written. */
static void test_memory_while_written(void **state)
{
    enum { WRITES = 64, COUNT = WRITES + 2, KEPT = 8 };
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    rd_buf content = { 0 };
    rd_loop *loop = NULL;
    rd_digest digests[COUNT];
    size_t size = (size_t)256 << 10, kept = 0;
    uint8_t *bytes = rd_alloc(size);
    agent_blobs_free(w->blobs);
    assert_int_equal(0, rd_loop_new(&loop, &err));
    assert_int_equal(0, agent_blobs_open(w->dir, size * COUNT, loop, &w->blobs, &err));
    for (uint8_t i = 0; i < COUNT; i++) {
        memset(bytes, i, size);
        rd_sha256(rd_bytes_of(bytes, size), digests[i].b);
        assert_int_equal(0, agent_blobs_put(w->blobs, &digests[i], rd_bytes_of(bytes, size), &err));
    }
    free(bytes);
    for (uint8_t i = 0; i < COUNT; i++) {
        if (i >= WRITES)
            remove_from_disk(w, &digests[i]); /* written before put returned, and not in memory */
        assert_int_equal(i < WRITES ? 0 : -1, agent_blobs_get(w->blobs, &digests[i], &content, &err));
        rd_buf_done(&content);
    }
    rd_loop_free(loop);
    for (uint8_t i = 0; i < WRITES; i++) {
        remove_from_disk(w, &digests[i]);
        kept += agent_blobs_get(w->blobs, &digests[i], &content, &err) == 0;
        rd_buf_done(&content);
    }
    assert_int_equal(KEPT, kept);
}

int main(void)
{
#define ROW(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        ROW(test_put_and_get),          ROW(test_room_is_made_by_least_use),
        ROW(test_pin_before_arrival),   ROW(test_reopened_and_damaged),
        ROW(test_written_behind),       ROW(test_more_than_memory),
        ROW(test_memory_while_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
