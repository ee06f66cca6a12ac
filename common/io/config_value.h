/* config_value: one option's text into its field, and back.
 * Used by config.c and config_help.c only. */
#ifndef RD_IO_CONFIG_VALUE_H
#define RD_IO_CONFIG_VALUE_H

#include "common/base/bytes.h"
#include "common/io/config.h"

/* Memory that a config owns; freed with it. */
typedef struct config_arena {
    void **blocks;
    size_t count, capacity;
} config_arena;

char *config_keep(config_arena *arena, char *owned);
void config_arena_done(config_arena *arena);

/* Sets the field of option in values. is_more: a repeated flag; lists grow, others are replaced. */
int config_value_set(const rd_option *option, const char *text, bool is_more, config_arena *arena, void *values,
                     rd_err *err) RD_NODISCARD;
/* The field as text that config_value_set would take; secrets hidden. */
void config_value_print(const rd_option *option, const void *values, rd_buf *out);
/* "a size from 1KiB to 4MiB (64KiB, 4MiB, 1GiB)": for messages, help and manual. */
void config_value_expected(const rd_option *option, rd_buf *out);
void config_number_print(rd_option_type type, uint64_t value, rd_buf *out);

#endif
