/* table: a hash map from short byte keys to pointers, with a cap on its count.
 * Used for tables of live objects (links, instances, sessions). Owns copies of its keys, never the values.
 * Keys are hashed with a per-process random seed, so that peers cannot aim for collisions. */
#ifndef RD_BASE_TABLE_H
#define RD_BASE_TABLE_H

#include "common/base/bytes.h"

#define RD_TABLE_KEY_MAX 128

typedef struct rd_table rd_table;

/* count_max 0: one million. */
rd_table *rd_table_new(size_t count_max);
/* Frees the table; values are the caller's. Accepts NULL. */
void rd_table_free(rd_table *table);
void rd_table_free_p(rd_table **table);
/* Sets or replaces; *ret_old (may be NULL) gets the replaced value or NULL. False when full or the key is too long. */
bool rd_table_set(rd_table *table, rd_bytes key, void *value, void **ret_old);
void *rd_table_get(const rd_table *table, rd_bytes key);
/* Removes and returns the value, or NULL. */
void *rd_table_remove(rd_table *table, rd_bytes key);
size_t rd_table_count(const rd_table *table);
/* Visits all entries: start with *iterator = 0; false at the end. Removing the visited entry is allowed. */
bool rd_table_next(const rd_table *table, size_t *iterator, rd_bytes *ret_key, void **ret_value);

#endif
