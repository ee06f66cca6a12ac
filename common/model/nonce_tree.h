/* nonce_tree: the nonces of several askers under one root, which one quote answers (docs/decisions/0026): leaves and
 * nodes are framed hashes, an odd node is carried up.
 * Used by enclaves, which build it, and by verifiers, who go from their own nonce to the root along a path. */
#ifndef RD_MODEL_NONCE_TREE_H
#define RD_MODEL_NONCE_TREE_H

#include "common/crypto/hash.h"

#define RD_NONCE_SIZE     32
#define RD_NONCE_PATH_MAX 20
#define RD_NONCES_MAX     ((size_t)1 << RD_NONCE_PATH_MAX)

typedef struct rd_nonce_path {
    rd_digest siblings[RD_NONCE_PATH_MAX]; /* from the leaf up; no entry where the node was carried */
    size_t count;
    uint32_t sides; /* bit k: the k-th of them stands on the left; below 2^count */
} rd_nonce_path;

typedef struct rd_nonce_tree rd_nonce_tree;

/* count: 1 to RD_NONCES_MAX; the same nonce may stand there twice. Never NULL. */
rd_nonce_tree *rd_nonce_tree_new(const uint8_t (*nonces)[RD_NONCE_SIZE], size_t count);
/* Accepts NULL; returns NULL. */
rd_nonce_tree *rd_nonce_tree_free(rd_nonce_tree *tree);
void rd_nonce_tree_free_p(rd_nonce_tree **tree);
/* Of one nonce it is the leaf. */
void rd_nonce_tree_root(const rd_nonce_tree *tree, uint8_t ret[RD_NONCE_SIZE]);
/* The way of the nonce at index, which is below the tree's count. */
void rd_nonce_tree_path(const rd_nonce_tree *tree, size_t index, rd_nonce_path *ret);

/* Where the path leads from this nonce. path->count is at most RD_NONCE_PATH_MAX. */
void rd_nonce_path_root(const rd_nonce_path *path, const uint8_t nonce[RD_NONCE_SIZE], uint8_t ret[RD_NONCE_SIZE]);

#endif
