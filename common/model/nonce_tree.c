#include "common/model/nonce_tree.h"

#include "common/base/mem.h"
#include "common/crypto/frame.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct rd_nonce_tree {
    size_t count;      /* of leaves */
    rd_digest *levels; /* one behind the other: the leaves, then each halved and rounded up, then the root */
};

static void hash_leaf(const uint8_t nonce[RD_NONCE_SIZE], rd_digest *ret)
{
    RD_H(ret->b, RD_HASH_NONCE_LEAF, rd_bytes_of(nonce, RD_NONCE_SIZE));
}

static void hash_node(const rd_digest *left, const rd_digest *right, rd_digest *ret)
{
    RD_H(ret->b, RD_HASH_NONCE_NODE, RD_BYTES_ARRAY(left->b), RD_BYTES_ARRAY(right->b));
}

/* Nodes of all levels. */
static size_t size_of(size_t count)
{
    size_t size = count;
    for (; count > 1; size += count)
        count = (count + 1) / 2;
    return size;
}

rd_nonce_tree *rd_nonce_tree_new(const uint8_t (*nonces)[RD_NONCE_SIZE], size_t count)
{
    assert(count >= 1 && count <= RD_NONCES_MAX);
    rd_nonce_tree *tree = rd_alloc(sizeof *tree);
    tree->count = count;
    tree->levels = rd_alloc_array(size_of(count), sizeof *tree->levels);
    for (size_t i = 0; i < count; i++)
        hash_leaf(nonces[i], &tree->levels[i]);
    for (rd_digest *level = tree->levels; count > 1; count = (count + 1) / 2) {
        rd_digest *above = level + count;
        for (size_t i = 0; i + 1 < count; i += 2)
            hash_node(&level[i], &level[i + 1], &above[i / 2]);
        if (count % 2)
            above[count / 2] = level[count - 1]; /* the odd node is carried up */
        level = above;
    }
    return tree;
}

rd_nonce_tree *rd_nonce_tree_free(rd_nonce_tree *tree)
{
    if (tree != NULL) {
        free(tree->levels);
        free(tree);
    }
    return NULL;
}

void rd_nonce_tree_free_p(rd_nonce_tree **tree)
{
    *tree = rd_nonce_tree_free(*tree);
}

void rd_nonce_tree_root(const rd_nonce_tree *tree, uint8_t ret[RD_NONCE_SIZE])
{
    memcpy(ret, tree->levels[size_of(tree->count) - 1].b, RD_NONCE_SIZE);
}

void rd_nonce_tree_path(const rd_nonce_tree *tree, size_t index, rd_nonce_path *ret)
{
    const rd_digest *level = tree->levels;
    assert(index < tree->count);
    *ret = (rd_nonce_path){ .count = 0 };
    for (size_t count = tree->count; count > 1; count = (count + 1) / 2) {
        if ((index ^ 1) < count) {
            ret->sides |= (uint32_t)(index % 2) << ret->count;
            ret->siblings[ret->count++] = level[index ^ 1];
        }
        level += count;
        index /= 2;
    }
}

void rd_nonce_path_root(const rd_nonce_path *path, const uint8_t nonce[RD_NONCE_SIZE], uint8_t ret[RD_NONCE_SIZE])
{
    rd_digest node;
    hash_leaf(nonce, &node);
    for (size_t k = 0; k < path->count; k++) {
        if ((path->sides >> k) % 2)
            hash_node(&path->siblings[k], &node, &node);
        else
            hash_node(&node, &path->siblings[k], &node);
    }
    memcpy(ret, node.b, RD_NONCE_SIZE);
}
