#include "cli/args.h"

#include "common/base/text.h"

#include <string.h>

const cli_flag cli_global_flags[] = {
    { "json", 0, NULL, "print one JSON document (or NDJSON for streams) to stdout" },
    { "api", 0, "URL", "the control plane (REDOUBT_API, profile)" },
    { "profile", 0, "FILE", "the profile to use (REDOUBT_PROFILE, .redoubt/profile.json upwards, user profile)" },
    { "timeout", 0, "SECONDS", "give up after this long" },
    { "no-color", 0, NULL, "no colour and no live lines (also NO_COLOR, TERM=dumb)" },
    { "no-input", 0, NULL, "never ask; fail instead" },
    { "yes", 'y', NULL, "answer yes to questions" },
    { "quiet", 'q', NULL, "print results only" },
    { "verbose", 'v', NULL, "print requests as they are made" },
    { "output", 'o', "name|table|json", "form of results: one id a line, a table, or JSON" },
    { "columns", 0, "NAME,…", "the columns of a table, in this order" },
    { "help", 'h', NULL, "print this help" },
    { NULL, 0, NULL, NULL },
};

static const cli_flag *find_long(const cli_flag *flags, const char *name, size_t size)
{
    for (; flags && flags->name; flags++)
        if (strlen(flags->name) == size && memcmp(flags->name, name, size) == 0)
            return flags;
    return NULL;
}

static const cli_flag *find_letter(const cli_flag *flags, char letter)
{
    for (; flags && flags->name; flags++)
        if (flags->letter == letter)
            return flags;
    return NULL;
}

const cli_flag *cli_args_global(const char *word)
{
    if (word[0] != '-' || word[1] == '\0')
        return NULL;
    if (word[1] != '-')
        return word[2] == '\0' ? find_letter(cli_global_flags, word[1]) : NULL;
    return find_long(cli_global_flags, word + 2, strcspn(word + 2, "="));
}

size_t cli_edit_distance(const char *a, const char *b)
{
    enum { LIMIT = 64 };
    size_t a_size = strnlen(a, LIMIT);
    size_t b_size = strnlen(b, LIMIT);
    size_t rows[3][LIMIT + 1];
    for (size_t j = 0; j <= b_size; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t *now = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *two_above = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t change = above[j - 1] + (a[i - 1] != b[j - 1]);
            now[j] = RD_MIN(change, RD_MIN(above[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = RD_MIN(now[j], two_above[j - 2] + 1);
        }
    }
    return rows[a_size % 3][b_size];
}

static int unknown_flag(const char *given, const cli_flag *flags, rd_err *err)
{
    const char *nearest = NULL;
    size_t best = 3;
    const cli_flag *const lists[] = { flags, cli_global_flags };
    for (size_t l = 0; l < RD_ARRAY_LEN(lists); l++) {
        for (const cli_flag *flag = lists[l]; flag && flag->name; flag++) {
            size_t distance = cli_edit_distance(given, flag->name);
            if (distance < best) {
                best = distance;
                nearest = flag->name;
            }
        }
    }
    if (nearest)
        return rd_err_set(err, RD_E_USAGE, "unknown flag --%s; did you mean --%s?", given, nearest);
    return rd_err_set(err, RD_E_USAGE, "unknown flag --%s", given);
}

static int note(cli_args *args, const cli_flag *flag, const char *value, rd_err *err)
{
    if (args->given_count == CLI_FLAGS_MAX)
        return rd_err_set(err, RD_E_USAGE, "more than %d flags", CLI_FLAGS_MAX);
    args->given[args->given_count].flag = flag;
    args->given[args->given_count++].value = value;
    return 0;
}

/* One flag at argv[*at]; takes its value from the same or the next word. */
static int parse_flag(int count, char **argv, int *at, const cli_flag *flags, cli_args *ret, rd_err *err)
{
    const char *word = argv[*at];
    const cli_flag *flag;
    const char *value = NULL;
    if (word[1] == '-') {
        const char *equals = strchr(word, '=');
        size_t size = equals ? (size_t)(equals - word - 2) : strlen(word) - 2;
        flag = find_long(flags, word + 2, size);
        flag = flag ? flag : find_long(cli_global_flags, word + 2, size);
        value = equals ? equals + 1 : NULL;
    } else {
        flag = find_letter(flags, word[1]);
        flag = flag ? flag : find_letter(cli_global_flags, word[1]);
        value = flag && flag->value_name && word[2] ? word + 2 : NULL;
        if (flag && !flag->value_name && word[2])
            return rd_err_set(err, RD_E_USAGE, "short flags are given one by one: %s", word);
    }
    if (!flag)
        return unknown_flag(word + (word[1] == '-' ? 2 : 1), flags, err);
    if (!flag->value_name)
        return value ? rd_err_set(err, RD_E_USAGE, "--%s takes no value", flag->name) : note(ret, flag, "", err);
    if (!value && *at + 1 < count)
        value = argv[++*at];
    if (!value)
        return rd_err_set(err, RD_E_USAGE, "--%s needs %s", flag->name, flag->value_name);
    return note(ret, flag, value, err);
}

int cli_args_parse(int count, char **argv, const cli_flag *flags, cli_args *ret, rd_err *err)
{
    *ret = (cli_args){ .given_count = 0 };
    bool has_ended = false;
    for (int at = 0; at < count; at++) {
        const char *word = argv[at];
        if (!has_ended && strcmp(word, "--") == 0) {
            has_ended = true;
            continue;
        }
        if (!has_ended && word[0] == '-' && word[1] != '\0') {
            if (parse_flag(count, argv, &at, flags, ret, err) < 0)
                return -1;
            continue;
        }
        if (ret->positional_count == CLI_POSITIONAL_MAX)
            return rd_err_set(err, RD_E_USAGE, "more than %d arguments", CLI_POSITIONAL_MAX);
        ret->positional[ret->positional_count++] = word;
    }
    return 0;
}

const char *cli_args_value(const cli_args *args, const char *name)
{
    for (size_t i = args->given_count; i-- > 0;)
        if (strcmp(args->given[i].flag->name, name) == 0)
            return args->given[i].value;
    return NULL;
}

const char *cli_args_value_at(const cli_args *args, const char *name, size_t index)
{
    for (size_t i = 0; i < args->given_count; i++)
        if (strcmp(args->given[i].flag->name, name) == 0 && index-- == 0)
            return args->given[i].value;
    return NULL;
}

bool cli_args_has(const cli_args *args, const char *name)
{
    return cli_args_value(args, name) != NULL;
}

int cli_args_expect(const cli_args *args, size_t min, size_t max, const char *what, rd_err *err)
{
    if (args->positional_count < min)
        return rd_err_set(err, RD_E_USAGE, "missing argument: %s", what);
    if (args->positional_count > max)
        return rd_err_set(err, RD_E_USAGE, "unexpected argument: %s", args->positional[max]);
    return 0;
}

int cli_args_duration(const char *name, const char *text, uint64_t *ret_s, rd_err *err)
{
    static const struct {
        char letter;
        uint64_t seconds;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
    size_t size = strlen(text);
    uint64_t unit = 1;
    for (size_t i = 0; size && i < RD_ARRAY_LEN(units); i++)
        if (text[size - 1] == units[i].letter)
            unit = units[i].seconds;
    size -= size && strchr("smhd", text[size - 1]);
    if (rd_parse_u64(text, size, UINT64_C(315360000) / unit, ret_s) < 0 || *ret_s == 0)
        return rd_err_set(err, RD_E_USAGE, "--%s takes 90s, 15m, 1h or 2d, not %s", name, text);
    *ret_s *= unit;
    return 0;
}
