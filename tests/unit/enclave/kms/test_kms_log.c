// link: kms_core
/* How the state lies on disk: bases in two slots, changes behind them, and what of it counts after a crash, after
 * damage and after a host that puts pieces where they were not. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "enclave/kms/kms_front.h"

#define PIECE (16 + 36 + 16) /* head, change, tag */
#define BASE  (24 + 3 + 16)  /* as well, of three letters */

static char dir[32];
static const uint8_t key[32] = { 1 };

static int setup(void **state RD_UNUSED)
{
    memcpy(dir, "/tmp/redoubt-store-XXXXXX", sizeof "/tmp/redoubt-store-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_free_p) char *command = rd_asprintf("rm -rf %s", dir);
    return system(command);
}

/* --- what a log says: its base, and the first letter of each change --- */

static int take(void *context, uint64_t index, rd_bytes piece, rd_err *err)
{
    rd_buf *read = context;
    assert_true(index > 0 || read->size == 0);
    if (index > 0 && piece.data[0] == '!')
        return rd_err_set(err, RD_E_KMS_STATE, "not one of this version");
    rd_buf_append(read, piece.data, index == 0 ? piece.size : 1);
    return 0;
}

static void expect(kms_store *store, const char *want, bool has_lost)
{
    RD_CLEANUP(rd_buf_done) rd_buf read = { 0 };
    bool found = false;
    assert_int_equal(kms_store_load(store, key, take, &read, &found, NULL), 0);
    assert_int_equal(found, want != NULL);
    assert_string_equal(rd_buf_text(&read), want ? want : "");
    assert_int_equal(store->has_lost, has_lost);
}

static void base(kms_store *store, const char *text)
{
    assert_int_equal(kms_store_save(store, key, rd_bytes_str(text), NULL), 0);
}

static void changes(kms_store *store, const char *letters)
{
    for (; *letters; letters++) {
        uint8_t change[36] = { (uint8_t)*letters };
        assert_true(kms_store_has_room(store, sizeof change));
        assert_int_equal(kms_store_append(store, key, RD_BYTES_ARRAY(change), NULL), 0);
    }
}

static int newest(const kms_store *store)
{
    return store->slots[store->generation & 1];
}

static void read_piece(int fd, size_t at, uint8_t out[PIECE])
{
    assert_int_equal(pread(fd, out, PIECE, (off_t)(BASE + at * PIECE)), PIECE);
}

static void write_piece(int fd, size_t at, const uint8_t piece[PIECE])
{
    assert_int_equal(pwrite(fd, piece, PIECE, (off_t)(BASE + at * PIECE)), PIECE);
}

static void open_store(kms_store *store)
{
    assert_int_equal(kms_store_open(dir, store, NULL), 0);
}

/* --- bases --- */

/* A write that was cut off leaves the state before it; one that was finished is the newest. */
static void test_slots(void **state RD_UNUSED)
{
    kms_store store, other;
    rd_err err = RD_ERR_INIT;
    const uint8_t wrong[32] = { 2 };
    open_store(&store);
    assert_int_equal(kms_store_open(dir, &other, &err), -1); /* one process a folder */
    assert_int_equal(err.code, RD_E_CONFIG);
    kms_store_done(&other);
    expect(&store, NULL, false);
    base(&store, "one");
    base(&store, "second");
    expect(&store, "second", false);
    base(&store, "three");
    expect(&store, "three", false);
    int fd = newest(&store);
    for (off_t size = lseek(fd, 0, SEEK_END) - 1; size >= 0; size--) {
        assert_int_equal(ftruncate(fd, size), 0);
        expect(&store, "second", false);
    }
    base(&store, "again");
    expect(&store, "again", false);
    RD_CLEANUP(rd_buf_done) rd_buf read = { 0 };
    bool found = true;
    assert_int_equal(kms_store_load(&store, wrong, take, &read, &found, NULL), 0);
    assert_false(found);
    kms_store_done(&store);
}

/* --- the tail --- */

/* Cut anywhere, what was whole counts. Between base and first change that is the base. */
static void test_cut(void **state RD_UNUSED)
{
    kms_store store;
    open_store(&store);
    base(&store, "old");
    changes(&store, "xyz");
    base(&store, "abc");
    expect(&store, "abc", false);
    assert_false(kms_store_has_room(&store, 1)); /* what another process wrote is not gone on with */
    base(&store, "new");
    changes(&store, "1234");
    int fd = newest(&store);
    for (off_t size = BASE + 4 * PIECE; size >= 0; size--) {
        char want[] = "new1234";
        const bool has_base = size >= BASE;
        want[has_base ? 3 + (size - BASE) / PIECE : 3] = '\0';
        assert_int_equal(ftruncate(fd, size), 0);
        expect(&store, has_base ? want : "abc", false);
    }
    kms_store_done(&store);
}

/* A bit that turned ends the log there, or the base; that more was durable is seen where what follows still opens. */
static void test_flipped(void **state RD_UNUSED)
{
    kms_store store;
    open_store(&store);
    base(&store, "old");
    changes(&store, "x");
    base(&store, "new");
    changes(&store, "12");
    int fd = newest(&store);
    for (size_t at = 0; at < BASE + 2 * PIECE; at++) {
        const size_t in = at < BASE ? at : (at - BASE) % PIECE, whole = at < BASE ? BASE : PIECE;
        const size_t size_at = at < BASE ? 8 : 0; /* generation or size wrong, or the tag, which the next one names */
        const bool is_seen = at < BASE + PIECE && in >= size_at + 4 && in < whole - 16;
        uint8_t byte, flipped;
        assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
        flipped = byte ^ 1;
        assert_int_equal(pwrite(fd, &flipped, 1, (off_t)at), 1);
        expect(&store, at < BASE ? "oldx" : at < BASE + PIECE ? "new" : "new1", is_seen);
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    }
    expect(&store, "new12", false);
    kms_store_done(&store);
}

/* Pieces open where they were written, and nowhere else. */
static void test_moved(void **state RD_UNUSED)
{
    kms_store store;
    uint8_t piece[4][PIECE];
    open_store(&store);
    base(&store, "one");
    changes(&store, "1234");
    int fd = newest(&store);
    for (size_t i = 0; i < 4; i++)
        read_piece(fd, i, piece[i]);
    write_piece(fd, 1, piece[2]); /* swapped; the fourth still names the third, which stands elsewhere */
    write_piece(fd, 2, piece[1]);
    expect(&store, "one1", false);
    write_piece(fd, 1, piece[0]); /* twice */
    write_piece(fd, 2, piece[1]);
    expect(&store, "one1", false);
    write_piece(fd, 1, piece[2]); /* one left out */
    write_piece(fd, 2, piece[3]);
    expect(&store, "one1", false);
    write_piece(fd, 1, piece[1]);
    write_piece(fd, 2, piece[2]);
    expect(&store, "one1234", false);
    kms_store_done(&store);
}

/* Files are used again: what still lies behind a newer base is not its own. Nor is what another generation wrote. */
static void test_generations(void **state RD_UNUSED)
{
    kms_store store;
    uint8_t piece[PIECE];
    open_store(&store);
    base(&store, "one");
    changes(&store, "12");
    base(&store, "two");
    changes(&store, "ab");
    int other = newest(&store);
    base(&store, "new"); /* as long as the first, over it */
    expect(&store, "new", false);
    read_piece(other, 0, piece);
    write_piece(newest(&store), 0, piece);
    expect(&store, "new", false);
    kms_store_done(&store);
}

/* A host that has a key service go on from an earlier place twice cannot put the two courses together. */
static void test_courses(void **state RD_UNUSED)
{
    kms_store store;
    uint8_t first[2][PIECE], whole[BASE];
    open_store(&store);
    base(&store, "one");
    const kms_store before = store;
    changes(&store, "12");
    int fd = newest(&store);
    read_piece(fd, 0, first[0]);
    read_piece(fd, 1, first[1]);
    store = before;
    changes(&store, "a");
    write_piece(fd, 1, first[1]);
    expect(&store, "onea", false);
    write_piece(fd, 0, first[0]);
    expect(&store, "one12", false); /* the older course is as good as an older folder */
    assert_int_equal(pread(fd, whole, BASE, 0), BASE);
    store.generation = 0;
    base(&store, "two"); /* the same generation once more */
    expect(&store, "two", false);
    assert_int_equal(pwrite(fd, whole, BASE, 0), BASE);
    expect(&store, "one12", false);
    kms_store_done(&store);
}

/* A piece that opens and says what cannot be is no torn one. */
static void test_not_understood(void **state RD_UNUSED)
{
    kms_store store;
    rd_err err = RD_ERR_INIT;
    bool found = false;
    RD_CLEANUP(rd_buf_done) rd_buf read = { 0 };
    open_store(&store);
    base(&store, "one");
    changes(&store, "1!");
    assert_int_equal(kms_store_load(&store, key, take, &read, &found, &err), -1);
    assert_int_equal(err.code, RD_E_KMS_STATE);
    kms_store_done(&store);
}

/* --- bounds --- */

static void test_bound(void **state RD_UNUSED)
{
    kms_store store;
    rd_err err = RD_ERR_INIT;
    size_t count = 0;
    static const uint8_t change[36] = { '.' };
    open_store(&store);
    assert_false(kms_store_has_room(&store, sizeof change));
    assert_int_equal(kms_store_append(&store, key, RD_BYTES_ARRAY(change), &err), -1);
    assert_int_equal(err.code, RD_E_KMS_AUDIT);
    base(&store, "one");
    assert_false(kms_store_has_room(&store, KMS_CHANGE_MAX + 1));
    for (; kms_store_has_room(&store, sizeof change); count++)
        changes(&store, ".");
    assert_int_equal(count, (KMS_LOG_MIN + BASE) / PIECE);
    assert_int_equal(lseek(newest(&store), 0, SEEK_END), BASE + count * PIECE);
    kms_store_done(&store);
}

/* The front's own: changes until they outgrow the base, then a base of the next generation in the other slot; whoever
 * loads has all of it at each point. */
static int take_state(void *context, uint64_t index, rd_bytes piece, rd_err *err)
{
    return index == 0 ? kms_state_parse(piece, context, err) : kms_state_apply(context, piece, err);
}

#define TOLD 30 /* instances a save, so that few of them fill a log */

static void save(kms_front *front, uint32_t number)
{
    rd_public_key receipt_key = { { 3 } };
    const uint8_t record[32] = { (uint8_t)number };
    for (uint32_t i = number * TOLD; i < (number + 1) * TOLD; i++) {
        rd_id instance = { { (uint8_t)i, (uint8_t)(i >> 8) } };
        kms_state_learn_epoch(&front->state, &instance, 1, &receipt_key);
    }
    assert_int_equal(kms_front_save(front, number, record, NULL), 0);
}

static void expect_state(kms_front *front)
{
    kms_store copy = front->store;
    RD_CLEANUP(kms_state_done) kms_state read = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf one = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf two = { 0 };
    bool found = false;
    assert_int_equal(kms_store_load(&copy, front->state_key, take_state, &read, &found, NULL), 0);
    assert_true(found && kms_state_encode(&front->state, &one) && kms_state_encode(&read, &two));
    assert_true(rd_bytes_equal(rd_buf_bytes(&one), rd_buf_bytes(&two)));
}

static void test_front(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_free_p) kms_front *front = rd_alloc(sizeof *front);
    uint64_t bases = 0;
    assert_int_equal(kms_store_open(dir, &front->store, NULL), 0);
    for (uint32_t number = 1; number <= 120; number++) {
        save(front, number);
        if (front->store.generation == bases)
            continue;
        bases = front->store.generation;
        assert_int_equal(front->store.next.index, 1);
        expect_state(front);
        save(front, ++number);
        expect_state(front);
    }
    assert_int_equal(bases, 3); /* the first, one behind 64 KiB, one behind as much and the size of the second */
    kms_state_done(&front->state);
    kms_store_done(&front->store);
}

/* A disk that takes no more: the answer is KMS_AUDIT, nothing is kept from then on, and what is durable is what was
 * acknowledged, or one more. */
static void test_full_disk(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_free_p) kms_front *front = rd_alloc(sizeof *front);
    const uint8_t record[32] = { 9 };
    struct rlimit limit, none;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(kms_store_open(dir, &front->store, NULL), 0);
    save(front, 1);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    none = limit;
    none.rlim_cur = (rlim_t)lseek(newest(&front->store), 0, SEEK_END) + 20; /* a part of it gets through */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    assert_int_equal(kms_front_save(front, 2, record, &err), -1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(err.code, RD_E_KMS_AUDIT);
    assert_true(front->is_behind);
    assert_false(kms_store_has_room(&front->store, 1));
    assert_int_equal(kms_front_save(front, 2, record, &err), -1);
    front->is_behind = false; /* the next process */
    kms_state_done(&front->state);
    bool found = false;
    assert_int_equal(kms_store_load(&front->store, front->state_key, take_state, &front->state, &found, NULL), 0);
    assert_int_equal(front->state.record_number, 1);
    save(front, 2);
    assert_int_equal(front->store.generation, 2);
    expect_state(front);
    kms_state_done(&front->state);
    kms_store_done(&front->store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_slots, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flipped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_moved, setup, teardown),
        cmocka_unit_test_setup_teardown(test_generations, setup, teardown),
        cmocka_unit_test_setup_teardown(test_courses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_understood, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_front, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
