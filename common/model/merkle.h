/* merkle: the tree over a burst of receipts: leaves and nodes are framed hashes, an odd node is carried up.
 * Used by receipts. At most 64 leaves, so that everything fits on the stack. */
#ifndef RD_MODEL_MERKLE_H
#define RD_MODEL_MERKLE_H

#include "common/crypto/hash.h"

#define RD_TREE_LEAVES_MAX 64
#define RD_TREE_PATH_MAX   6

typedef struct rd_tree_path {
    rd_digest siblings[RD_TREE_PATH_MAX]; /* from the leaf up; no entry where the node was carried */
    size_t count;
} rd_tree_path;

/* H("receipt-leaf-v1", claims). */
void rd_tree_leaf(rd_bytes claims, rd_digest *ret);
/* count 1..64. paths may be NULL, else it has count entries. */
void rd_tree_build(const rd_digest *leaves, size_t count, rd_digest *ret_root, rd_tree_path *paths);
/* Whether the leaf at index of a tree of count leaves leads to root; the path's length must fit exactly. */
bool rd_tree_verify(const rd_digest *leaf, size_t index, size_t count, const rd_tree_path *path, const rd_digest *root);

#endif
