/* I2 : the tree over nonces that share a quote: who is in it finds the root, and nobody else does (R48). */
#include "common/model/nonce_tree.h"

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define MANY 1000

static uint8_t nonces[MANY][RD_NONCE_SIZE];

static int fill(void **state RD_UNUSED)
{
    for (size_t i = 0; i < MANY; i++) {
        nonces[i][0] = (uint8_t)(i >> 8);
        nonces[i][31] = (uint8_t)i;
    }
    return 0;
}

static bool leads(const rd_nonce_path *path, const uint8_t nonce[RD_NONCE_SIZE], const uint8_t root[RD_NONCE_SIZE])
{
    uint8_t got[RD_NONCE_SIZE];
    rd_nonce_path_root(path, nonce, got);
    return memcmp(got, root, sizeof got) == 0;
}

static size_t levels_over(size_t count)
{
    size_t levels = 0;
    for (; count > 1; count = (count + 1) / 2)
        levels++;
    return levels;
}

static void each_finds_the_root(size_t count)
{
    RD_CLEANUP(rd_nonce_tree_free_p) rd_nonce_tree *tree = rd_nonce_tree_new(nonces, count);
    uint8_t root[RD_NONCE_SIZE];
    rd_nonce_path path;
    rd_nonce_tree_root(tree, root);
    for (size_t i = 0; i < count; i++) {
        rd_nonce_tree_path(tree, i, &path);
        if (!leads(&path, nonces[i], root))
            fail_msg("nonce %zu of %zu", i, count);
        if (leads(&path, nonces[(i + 1) % MANY], root) || leads(&path, root, root))
            fail_msg("the path of nonce %zu of %zu is good for another", i, count);
        assert_true(path.count <= levels_over(count));
        assert_int_equal(path.sides >> path.count, 0);
    }
}

static void test_each_finds_the_root(void **state RD_UNUSED)
{
    for (size_t count = 1; count <= 66; count++)
        each_finds_the_root(count);
    each_finds_the_root(255);
    each_finds_the_root(257);
    each_finds_the_root(MANY);
}

static void test_changed_paths_lead_elsewhere(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_nonce_tree_free_p) rd_nonce_tree *tree = rd_nonce_tree_new(nonces, 11);
    uint8_t root[RD_NONCE_SIZE];
    rd_nonce_tree_root(tree, root);
    for (size_t i = 0; i < 11; i++) {
        rd_nonce_path good, path;
        rd_nonce_tree_path(tree, i, &good);
        for (size_t k = 0; k < good.count; k++) {
            path = good;
            path.siblings[k].b[31] ^= 1;
            assert_false(leads(&path, nonces[i], root));
            path = good;
            path.sides ^= 1u << k;
            assert_false(leads(&path, nonces[i], root));
        }
        path = good;
        path.count--;
        assert_false(leads(&path, nonces[i], root));
        path = good;
        path.count++;
        assert_false(leads(&path, nonces[i], root));
    }
}

static void test_a_node_is_no_nonce(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_nonce_tree_free_p) rd_nonce_tree *four = rd_nonce_tree_new(nonces, 4);
    RD_CLEANUP(rd_nonce_tree_free_p) rd_nonce_tree *two = rd_nonce_tree_new(nonces, 2);
    uint8_t root[RD_NONCE_SIZE], node[RD_NONCE_SIZE], both[2 * RD_NONCE_SIZE];
    rd_nonce_path path;
    rd_digest leaf;
    rd_nonce_tree_root(four, root);
    rd_nonce_tree_root(two, node);
    rd_nonce_tree_path(four, 0, &path);
    path.siblings[0] = path.siblings[1]; /* from the node above the first two */
    path.count = 1;
    path.sides = 0;
    assert_false(leads(&path, node, root));
    /* Nor are two of them beside each other a leaf. */
    memcpy(both, nonces, sizeof both);
    RD_H(leaf.b, RD_HASH_NONCE_LEAF, RD_BYTES_ARRAY(both));
    assert_memory_not_equal(leaf.b, node, sizeof node);
    /* A lone nonce is not its own root. */
    RD_CLEANUP(rd_nonce_tree_free_p) rd_nonce_tree *one = rd_nonce_tree_new(nonces, 1);
    rd_nonce_tree_root(one, root);
    rd_nonce_tree_path(one, 0, &path);
    assert_int_equal(path.count, 0);
    assert_memory_not_equal(root, nonces[0], sizeof root);
    assert_true(leads(&path, nonces[0], root));
}

static void test_the_same_nonce_twice(void **state RD_UNUSED)
{
    uint8_t three[3][RD_NONCE_SIZE] = { { 7 }, { 7 }, { 7 } }, root[RD_NONCE_SIZE];
    RD_CLEANUP(rd_nonce_tree_free_p) rd_nonce_tree *tree = rd_nonce_tree_new(three, 3);
    rd_nonce_tree_root(tree, root);
    for (size_t i = 0; i < 3; i++) {
        rd_nonce_path path;
        rd_nonce_tree_path(tree, i, &path);
        assert_true(leads(&path, three[0], root));
    }
}

/* Made with Python's hashlib from docs/protocol/formats.md: nonces of 32 bytes 0, 1, 2, 3 and 4. */
static void test_values_of_another_implementation(void **state RD_UNUSED)
{
    uint8_t five[5][RD_NONCE_SIZE], root[RD_NONCE_SIZE];
    char text[2 * RD_NONCE_SIZE + 1];
    for (size_t i = 0; i < 5; i++)
        memset(five[i], (int)i, sizeof five[i]);
    RD_CLEANUP(rd_nonce_tree_free_p) rd_nonce_tree *one = rd_nonce_tree_new(five, 1);
    RD_CLEANUP(rd_nonce_tree_free_p) rd_nonce_tree *all = rd_nonce_tree_new(five, 5);
    rd_nonce_tree_root(one, root);
    rd_hex_encode(RD_BYTES_ARRAY(root), text);
    assert_string_equal(text, "706393d5816a116e83d9b2774318bbc39e28f92137a0e1cb4f8d3162203d06c0");
    rd_nonce_tree_root(all, root);
    rd_hex_encode(RD_BYTES_ARRAY(root), text);
    assert_string_equal(text, "22c2ad18f5d0d5f2c4c2beb8e126056924775a4491e1043dbda89272d1f8c5f8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_finds_the_root),
        cmocka_unit_test(test_changed_paths_lead_elsewhere),
        cmocka_unit_test(test_a_node_is_no_nonce),
        cmocka_unit_test(test_the_same_nonce_twice),
        cmocka_unit_test(test_values_of_another_implementation),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
