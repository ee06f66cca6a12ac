#include "common/model/merkle.h"

#include "common/crypto/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void make_leaves(rd_digest leaves[RD_TREE_LEAVES_MAX])
{
    for (size_t i = 0; i < RD_TREE_LEAVES_MAX; i++) {
        uint8_t claims = (uint8_t)i;
        rd_tree_leaf(rd_bytes_of(&claims, 1), &leaves[i]);
    }
}

static void test_every_path_of_every_size(void **state RD_UNUSED)
{
    rd_digest leaves[RD_TREE_LEAVES_MAX];
    rd_tree_path paths[RD_TREE_LEAVES_MAX];
    make_leaves(leaves);
    for (size_t count = 1; count <= RD_TREE_LEAVES_MAX; count++) {
        rd_digest root, alone;
        rd_tree_build(leaves, count, &root, paths);
        rd_tree_build(leaves, count, &alone, NULL);
        assert_true(rd_digest_equal(&root, &alone));
        for (size_t leaf = 0; leaf < count; leaf++)
            for (size_t claimed = 0; claimed < RD_TREE_LEAVES_MAX; claimed++) {
                bool is_good = rd_tree_verify(&leaves[leaf], claimed, count, &paths[leaf], &root);
                if (is_good != (claimed == leaf))
                    fail_msg("leaf %zu of %zu at index %zu: %d", leaf, count, claimed, is_good);
            }
    }
}

static void test_every_other_path_is_refused(void **state RD_UNUSED)
{
    rd_digest leaves[RD_TREE_LEAVES_MAX];
    rd_tree_path paths[RD_TREE_LEAVES_MAX];
    make_leaves(leaves);
    for (size_t count = 2; count <= RD_TREE_LEAVES_MAX; count++) {
        rd_digest root;
        rd_tree_build(leaves, count, &root, paths);
        for (size_t leaf = 0; leaf < count; leaf++)
            for (size_t other = 0; other < count; other++)
                if (other != leaf)
                    assert_false(rd_tree_verify(&leaves[leaf], leaf, count, &paths[other], &root));
    }
}

static void test_changed_paths(void **state RD_UNUSED)
{
    rd_digest leaves[RD_TREE_LEAVES_MAX];
    rd_tree_path paths[RD_TREE_LEAVES_MAX];
    make_leaves(leaves);
    for (size_t count = 2; count <= RD_TREE_LEAVES_MAX; count += 5) {
        rd_digest root;
        rd_tree_build(leaves, count, &root, paths);
        for (size_t leaf = 0; leaf < count; leaf++) {
            rd_tree_path path = paths[leaf];
            for (size_t i = 0; i < path.count; i++) {
                path.siblings[i].b[i] ^= 1;
                assert_false(rd_tree_verify(&leaves[leaf], leaf, count, &path, &root));
                path.siblings[i].b[i] ^= 1;
            }
            path.count--;
            assert_false(rd_tree_verify(&leaves[leaf], leaf, count, &path, &root));
            path.count += 2;
            if (path.count <= RD_TREE_PATH_MAX) {
                path.siblings[path.count - 1] = leaves[0];
                assert_false(rd_tree_verify(&leaves[leaf], leaf, count, &path, &root));
            }
        }
    }
}

static void test_bounds(void **state RD_UNUSED)
{
    rd_digest leaves[RD_TREE_LEAVES_MAX];
    rd_tree_path path = { .count = 0 };
    make_leaves(leaves);
    assert_true(rd_tree_verify(&leaves[0], 0, 1, &path, &leaves[0])); /* one leaf is its own root */
    assert_false(rd_tree_verify(&leaves[0], 0, 1, &path, &leaves[1]));
    assert_false(rd_tree_verify(&leaves[0], 0, 0, &path, &leaves[0]));
    assert_false(rd_tree_verify(&leaves[0], 1, 1, &path, &leaves[0]));
    assert_false(rd_tree_verify(&leaves[0], 0, 65, &path, &leaves[0]));
    assert_false(rd_tree_verify(&leaves[0], SIZE_MAX, SIZE_MAX, &path, &leaves[0]));
    path.count = RD_TREE_PATH_MAX + 1;
    assert_false(rd_tree_verify(&leaves[0], 0, 64, &path, &leaves[0]));
}

/* A node is never a leaf: a tree over the two nodes of a larger one has another root. */
static void test_nodes_are_not_leaves(void **state RD_UNUSED)
{
    rd_digest leaves[RD_TREE_LEAVES_MAX];
    rd_digest root4, left, right, root2;
    make_leaves(leaves);
    rd_tree_build(leaves, 4, &root4, NULL);
    rd_tree_build(leaves, 2, &left, NULL);
    rd_tree_build(leaves + 2, 2, &right, NULL);
    uint8_t both[64];
    memcpy(both, left.b, 32);
    memcpy(both + 32, right.b, 32);
    rd_tree_leaf(RD_BYTES_ARRAY(both), &root2);
    assert_false(rd_digest_equal(&root4, &root2));
    /* Equal to the definition, written out. */
    RD_H(root2.b, RD_HASH_RECEIPT_NODE, RD_BYTES_ARRAY(left.b), RD_BYTES_ARRAY(right.b));
    assert_true(rd_digest_equal(&root4, &root2));
    /* Three leaves: the third is carried, not paired with itself. */
    rd_digest root3;
    rd_tree_build(leaves, 3, &root3, NULL);
    RD_H(root2.b, RD_HASH_RECEIPT_NODE, RD_BYTES_ARRAY(left.b), RD_BYTES_ARRAY(leaves[2].b));
    assert_true(rd_digest_equal(&root3, &root2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_path_of_every_size),
        cmocka_unit_test(test_every_other_path_is_refused),
        cmocka_unit_test(test_changed_paths),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_nodes_are_not_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
