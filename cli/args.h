/* args: flags and positionals of one verb, parsed against its table.
 * Used by main.c. Unknown flags, missing values and surplus positionals are usage errors with a suggestion. */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include "common/base/err.h"

typedef struct cli_flag {
    const char *name;       /* long form without dashes */
    char letter;            /* short form, or 0 */
    const char *value_name; /* NULL: a switch */
    const char *help;
} cli_flag;

#define CLI_POSITIONAL_MAX 16
#define CLI_FLAGS_MAX      32

typedef struct cli_args {
    const char *positional[CLI_POSITIONAL_MAX];
    size_t positional_count;
    struct {
        const cli_flag *flag;
        const char *value; /* "" for a switch */
    } given[CLI_FLAGS_MAX];
    size_t given_count;
} cli_args;

/* Flags that every verb knows. */
extern const cli_flag cli_global_flags[];
/* The flag of every verb that a word such as "-q", "--api" or "--api=URL" names, or NULL. */
const cli_flag *cli_args_global(const char *word);

/* Parses argv[0..count); flags may be NULL. Values are borrowed from argv. "--" ends the flags. */
int cli_args_parse(int count, char **argv, const cli_flag *flags, cli_args *ret, rd_err *err) RD_NODISCARD;
/* The last value given, or NULL. */
const char *cli_args_value(const cli_args *args, const char *name);
/* The n-th value of a repeatable flag, or NULL. */
const char *cli_args_value_at(const cli_args *args, const char *name, size_t index);
bool cli_args_has(const cli_args *args, const char *name);
/* Fails with a usage error unless the number of positionals lies in [min, max]. */
int cli_args_expect(const cli_args *args, size_t min, size_t max, const char *what, rd_err *err) RD_NODISCARD;

/* "90", "90s", "15m", "1h", "2d" as seconds, 1 second to ten years; name is the flag's, for the error. */
int cli_args_duration(const char *name, const char *text, uint64_t *ret_s, rd_err *err) RD_NODISCARD;

/* Optimal-string-alignment distance, for suggestions; texts up to 64 characters. */
size_t cli_edit_distance(const char *a, const char *b);

#endif
