/* config: the options of a process as data: one table gives the parser, --help, --print-config and the manual page.
 * Used by every program's main. Values are parsed once into a struct of the caller, which is const from then on.
 * The only place that reads the environment; secrets are options that name a file. */
#ifndef RD_IO_CONFIG_H
#define RD_IO_CONFIG_H

#include "common/base/err.h"

#include <stdio.h>

/* What an option holds, and the C type of the field that it fills. */
typedef enum rd_option_type {
    RD_OPTION_STRING,   /* const char *, NULL without a default */
    RD_OPTION_BOOL,     /* bool; flags: --name, --no-name, --name=true|false; in files also yes, no, on, off */
    RD_OPTION_U64,      /* uint64_t, within min..max */
    RD_OPTION_SIZE,     /* uint64_t bytes: 64KiB, 4MiB, 1GiB, 512 */
    RD_OPTION_DURATION, /* int64_t microseconds: 250us, 20ms, 6s, 5m, 24h, 7d; min and max are microseconds */
    RD_OPTION_PATH,     /* const char *, as given */
    RD_OPTION_ENUM,     /* int: index into names */
    RD_OPTION_LIST,     /* rd_option_list: comma separated, or the flag repeated */
    RD_OPTION_ENDPOINT, /* rd_endpoint: host:port, [v6]:port, :port */
} rd_option_type;

typedef struct rd_option_list {
    const char *const *items; /* NULL when count is 0 */
    size_t count;
} rd_option_list;

typedef struct rd_endpoint {
    const char *host; /* "" for every address; without brackets */
    uint16_t port;    /* 0: the system chooses */
} rd_endpoint;

#define RD_OPTION_REQUIRED  1u /* must come from a file, the environment or a flag */
#define RD_OPTION_FLAG_ONLY 2u /* not in files or the environment (e.g. a one-time token) */
#define RD_OPTION_SECRET    4u /* --print-config shows (hidden) */

typedef struct rd_option {
    const char *name; /* lower case with dashes: "link-listen" = flag --link-listen, file key link-listen, environment
                         REDOUBT_<PROCESS>_LINK_LISTEN, else REDOUBT_LINK_LISTEN */
    char letter;      /* short flag such as 'f', or 0 */
    rd_option_type type;
    size_t offset;        /* offsetof the field in the caller's struct */
    const char *standard; /* the default as text, or NULL: zero, NULL, empty */
    uint64_t min;         /* numbers, sizes, durations, count of a list; both 0: unbounded */
    uint64_t max;
    const char *const *names; /* RD_OPTION_ENUM: NULL-terminated */
    unsigned flags;
    const char *group; /* heading in --help and the manual; NULL: "Options" */
    const char *help;  /* one sentence, lower case, no full stop */
} rd_option;

typedef struct rd_config_spec {
    const char *program;      /* "redoubt-api" */
    const char *process;      /* "API": names REDOUBT_API_…; NULL: no environment of its own */
    const char *summary;      /* one line under the name */
    const char *usage;        /* "[run|migrate] [options]" */
    const rd_option *options; /* count rows */
    size_t count;
    size_t values_size;        /* of the caller's struct */
    const char *file_standard; /* read when it exists and --config was not given; NULL: none */
    /* Checks that span options; may be NULL. */
    int (*check)(const void *values, rd_err *err);
} rd_config_spec;

typedef struct rd_config rd_config;

typedef enum rd_config_outcome {
    RD_CONFIG_RUN = 0,  /* go on with *ret */
    RD_CONFIG_DONE = 1, /* --help, --help-man, --version, --check or --print-config was answered on stdout: exit 0 */
} rd_config_outcome;

/* Reads defaults < file (--config FILE, lines `key = value`, # comments) < environment < flags, into one block.
 * argv[0] is skipped; what is not an option (and everything after --) becomes a positional.
 * Unknown keys and bad values are refused with RD_E_CONFIG or RD_E_USAGE naming file, line and what was expected.
 * Returns an rd_config_outcome, or -1. Free *ret with rd_config_free (values die with it). */
int rd_config_load(const rd_config_spec *spec, int argc, char *const *argv, rd_config **ret, rd_err *err) RD_NODISCARD;
rd_config *rd_config_free(rd_config *config);
void rd_config_free_p(rd_config **config);

/* The caller's struct (values_size bytes), valid while the config lives. */
const void *rd_config_values(const rd_config *config);
size_t rd_config_positional_count(const rd_config *config);
/* NULL past the end. */
const char *rd_config_positional(const rd_config *config, size_t index);
/* "default", "file redoubt.conf:3", "environment REDOUBT_X" or "flag"; NULL when there is no such option. */
const char *rd_config_origin(const rd_config *config, const char *name);

/* The parts that the outcomes above print, for callers with their own --help. */
void rd_config_print_help(const rd_config_spec *spec, FILE *out);
/* roff, section 8 (man 7 man). */
void rd_config_print_man(const rd_config_spec *spec, FILE *out);
void rd_config_print_values(const rd_config *config, FILE *out);

/* Reads a whole file (secrets, certificates) of at most size_max bytes into memory that rd_buf owns. */
struct rd_buf;
int rd_file_read(const char *path, size_t size_max, struct rd_buf *out, rd_err *err) RD_NODISCARD;
/* Writes path.tmp with mode, fsyncs, renames, fsyncs the folder: old or new, never half. */
int rd_file_write_atomic(const char *path, const void *data, size_t size, unsigned mode, rd_err *err) RD_NODISCARD;
/* The same for readers, without the syncs: for what means nothing after the machine went down. */
int rd_file_write_volatile(const char *path, const void *data, size_t size, unsigned mode, rd_err *err) RD_NODISCARD;

/* Parsers of single values, for other text inputs; the text of err says what was expected. */
int rd_parse_size(const char *text, uint64_t *ret, rd_err *err) RD_NODISCARD;
int rd_parse_duration(const char *text, int64_t *ret_us, rd_err *err) RD_NODISCARD;
/* Splits host and port; host_out holds host_max bytes. */
int rd_parse_endpoint(const char *text, char *host_out, size_t host_max, uint16_t *ret_port, rd_err *err) RD_NODISCARD;

#endif
