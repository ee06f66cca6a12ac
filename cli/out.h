/* out: how results, notes and progress reach a person or a program.
 * Results go to stdout, everything else to stderr; escapes are written only to a terminal that wants them. */
#ifndef CLI_OUT_H
#define CLI_OUT_H

#include "common/base/bytes.h"
#include "common/base/err.h"

#include <jansson.h>

typedef enum cli_form { CLI_TABLE, CLI_JSON, CLI_NAME } cli_form;

typedef struct cli_out {
    cli_form form;
    bool is_quiet;
    bool is_verbose;
    bool has_color;      /* stderr and stdout take escapes */
    bool is_live;        /* stderr is a terminal: live lines allowed */
    bool may_ask;        /* stdin is a terminal and --no-input was not given */
    bool assume_yes;     /* --yes */
    const char *columns; /* --columns, or NULL */
} cli_out;

typedef enum cli_style { CLI_PLAIN, CLI_BOLD, CLI_DIM, CLI_RED, CLI_GREEN, CLI_YELLOW, CLI_MAGENTA } cli_style;

/* Escape sequence of a style, or "" without colour; CLI_PLAIN resets. */
const char *cli_style_code(const cli_out *out, cli_style style);

/* A line for people on stderr, unless quiet. */
void cli_note(const cli_out *out, const char *fmt, ...) RD_PRINTF(2, 3);
/* The same in one style, for a text that is not ours: no escape of it is obeyed. */
void cli_note_styled(const cli_out *out, cli_style style, const char *fmt, ...) RD_PRINTF(3, 4);
/* A line of the result on stdout. */
void cli_print(const cli_out *out, const char *fmt, ...) RD_PRINTF(2, 3);
/* One JSON document and a newline on stdout; compact off a terminal. Steals nothing. */
void cli_print_json(const cli_out *out, const json_t *document);

/* An object: as JSON, as its id (CLI_NAME), or a line a member. */
void cli_print_object(const cli_out *out, const json_t *object);

/* error: … / hint … / code … request … / more … on stderr; as a JSON document on stderr with --json. */
void cli_print_error(const cli_out *out, const rd_err *err, const char *request_id);

/* A table on stdout: header row, then rows; columns are as wide as their widest cell; --columns chooses among them.
 * With CLI_NAME only the first column is printed, without header. cells holds row_count * column_count texts; NULL
 * prints as "-". Fails with USAGE for a column that is not there. */
int cli_print_table(const cli_out *out, const char *const *header, size_t column_count, const char *const *cells,
                    size_t row_count, rd_err *err) RD_NODISCARD;

/* A text member of an object, or NULL. */
const char *cli_text(const json_t *object, const char *name);

/* "41 s ago", "3 h ago", from RFC 3339 text; the text itself when it does not parse. Writes at most size bytes. */
const char *cli_age(const char *rfc3339, int64_t now_us, char *buffer, size_t size);

/* "dep_01jd…k3v9": the first 8 and last 4 characters of a long id; buffer of at least 24 bytes. */
const char *cli_short_id(const char *id, char *buffer, size_t size);

/* Asks on the terminal; true for yes. default_yes decides on an empty answer. Without a terminal: --yes, or false with
 * a usage error in err. */
int cli_confirm(const cli_out *out, const char *question, bool default_yes, bool *ret_yes, rd_err *err) RD_NODISCARD;
/* Asks for the resource's name to be typed before something is destroyed; needs --yes off a terminal. */
int cli_confirm_name(const cli_out *out, const char *question, const char *name, rd_err *err) RD_NODISCARD;

#endif
