#include "common/model/merkle.h"

#include "common/crypto/frame.h"

#include <assert.h>

void rd_tree_leaf(rd_bytes claims, rd_digest *ret)
{
    RD_H(ret->b, RD_HASH_RECEIPT_LEAF, claims);
}

static void hash_node(const rd_digest *left, const rd_digest *right, rd_digest *ret)
{
    RD_H(ret->b, RD_HASH_RECEIPT_NODE, RD_BYTES_ARRAY(left->b), RD_BYTES_ARRAY(right->b));
}

/* Adds to each leaf's path its sibling on a level of count nodes, where it has one. */
static void extend_paths(const rd_digest *level, size_t count, unsigned depth, size_t leaves_count, rd_tree_path *paths)
{
    for (size_t leaf = 0; leaf < leaves_count; leaf++) {
        size_t sibling = (leaf >> depth) ^ 1;
        if (sibling < count)
            paths[leaf].siblings[paths[leaf].count++] = level[sibling];
    }
}

void rd_tree_build(const rd_digest *leaves, size_t count, rd_digest *ret_root, rd_tree_path *paths)
{
    assert(count >= 1 && count <= RD_TREE_LEAVES_MAX);
    rd_digest level[RD_TREE_LEAVES_MAX];
    for (size_t i = 0; i < count; i++)
        level[i] = leaves[i];
    for (size_t i = 0; paths && i < count; i++)
        paths[i].count = 0;
    size_t width = count;
    for (unsigned depth = 0; width > 1; depth++) {
        if (paths)
            extend_paths(level, width, depth, count, paths);
        for (size_t i = 0; i + 1 < width; i += 2)
            hash_node(&level[i], &level[i + 1], &level[i / 2]);
        if (width % 2)
            level[width / 2] = level[width - 1]; /* the odd node is carried up */
        width = (width + 1) / 2;
    }
    *ret_root = level[0];
}

bool rd_tree_verify(const rd_digest *leaf, size_t index, size_t count, const rd_tree_path *path, const rd_digest *root)
{
    if (count < 1 || count > RD_TREE_LEAVES_MAX || index >= count || path->count > RD_TREE_PATH_MAX)
        return false;
    rd_digest node = *leaf;
    size_t used = 0;
    for (; count > 1; index /= 2, count = (count + 1) / 2) {
        if (index == count - 1 && count % 2)
            continue; /* carried: no entry stands */
        if (used == path->count)
            return false;
        const rd_digest *sibling = &path->siblings[used++];
        if (index % 2)
            hash_node(sibling, &node, &node);
        else
            hash_node(&node, sibling, &node);
    }
    return used == path->count && rd_digest_equal(&node, root);
}
