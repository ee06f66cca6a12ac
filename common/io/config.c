#include "common/io/config.h"

#include "common/base/mem.h"
#include "common/io/config_value.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_SIZE_MAX ((size_t)1 << 20)
#define NAME_MAX_SIZE 128

struct rd_config {
    const rd_config_spec *spec;
    void *values;
    const char **origins; /* one a row; NULL: default */
    const char **positionals;
    size_t positional_count;
    config_arena arena;
    const char *file; /* --config */
    bool wants_help, wants_man, wants_version, wants_check, wants_print;
};

/* ---- rows ---- */

static const rd_option *find(const rd_config_spec *spec, const char *name, size_t size, size_t *ret_index)
{
    for (size_t i = 0; i < spec->count; i++) {
        if (strlen(spec->options[i].name) == size && memcmp(spec->options[i].name, name, size) == 0) {
            *ret_index = i;
            return &spec->options[i];
        }
    }
    return NULL;
}

static const rd_option *find_letter(const rd_config_spec *spec, char letter)
{
    for (size_t i = 0; i < spec->count; i++)
        if (spec->options[i].letter == letter)
            return &spec->options[i];
    return NULL;
}

static int set(rd_config *config, const rd_option *option, const char *text, const char *origin, rd_err *err)
{
    size_t index = (size_t)(option - config->spec->options);
    bool is_more = config->origins[index] && strcmp(config->origins[index], origin) == 0;
    if (config_value_set(option, text, is_more, &config->arena, config->values, err) < 0)
        return -1;
    config->origins[index] = config_keep(&config->arena, rd_strdup(origin));
    return 0;
}

/* ---- flags ---- */

typedef struct arguments {
    int count;
    char *const *items;
    int at;
} arguments;

static const char *next_argument(arguments *args)
{
    return args->at + 1 < args->count ? args->items[++args->at] : NULL;
}

/* --help and its like. False when the name is none of them. */
static bool take_common(rd_config *config, const char *name)
{
    struct {
        const char *name;
        bool *flag;
    } common[] = { { "help", &config->wants_help },
                   { "help-man", &config->wants_man },
                   { "version", &config->wants_version },
                   { "check", &config->wants_check },
                   { "print-config", &config->wants_print } };
    for (size_t i = 0; i < RD_ARRAY_LEN(common); i++) {
        if (strcmp(common[i].name, name) == 0) {
            *common[i].flag = true;
            return true;
        }
    }
    return false;
}

static int unknown_flag(const char *text, rd_err *err)
{
    return rd_err_set(err, RD_E_USAGE, "unknown option %.80s", text);
}

static int take_flag_value(rd_config *config, const rd_option *option, const char *value, arguments *args, rd_err *err)
{
    if (!value)
        value = option->type == RD_OPTION_BOOL ? "true" : next_argument(args);
    if (!value)
        return rd_err_set(err, RD_E_USAGE, "--%s needs a value", option->name);
    if (set(config, option, value, "flag", err) < 0) {
        err->code = RD_E_USAGE;
        return rd_err_wrap(err, "--%s", option->name);
    }
    return 0;
}

static int take_long(rd_config *config, const char *text, arguments *args, bool applies, rd_err *err)
{
    const char *name = text + 2;
    const char *equals = strchr(name, '=');
    size_t size = equals ? (size_t)(equals - name) : strlen(name);
    const char *value = equals ? equals + 1 : NULL;
    size_t index;
    if (!equals && take_common(config, name))
        return 0;
    if (size == 6 && memcmp(name, "config", 6) == 0) {
        config->file = value ? value : next_argument(args);
        return config->file ? 0 : rd_err_set(err, RD_E_USAGE, "--config needs a file");
    }
    const rd_option *option = find(config->spec, name, size, &index);
    if (!option && !equals && strncmp(name, "no-", 3) == 0) {
        option = find(config->spec, name + 3, size - 3, &index);
        if (!option || option->type != RD_OPTION_BOOL)
            return unknown_flag(text, err);
        value = "false";
    }
    if (!option)
        return unknown_flag(text, err);
    if (!applies) { /* the first walk only looks for --config: skip the value */
        if (!value && option->type != RD_OPTION_BOOL)
            (void)next_argument(args);
        return 0;
    }
    return take_flag_value(config, option, value, args, err);
}

static int take_short(rd_config *config, const char *text, arguments *args, bool applies, rd_err *err)
{
    if (strcmp(text, "-h") == 0)
        return take_long(config, "--help", args, applies, err);
    const rd_option *option = find_letter(config->spec, text[1]);
    if (!option)
        return unknown_flag(text, err);
    const char *value = text[2] ? text + 2 : NULL;
    if (value && option->type == RD_OPTION_BOOL)
        return unknown_flag(text, err);
    if (!applies) {
        if (!value && option->type != RD_OPTION_BOOL)
            (void)next_argument(args);
        return 0;
    }
    return take_flag_value(config, option, value, args, err);
}

/* Flags are walked twice: first for --config, then, after the file and the environment, for their values. */
static int walk_flags(rd_config *config, int argc, char *const *argv, bool applies, rd_err *err)
{
    arguments args = { .count = argc, .items = argv };
    bool is_over = false;
    config->positional_count = 0;
    for (args.at = 1; args.at < argc; args.at++) {
        const char *text = argv[args.at];
        int rc = 0;
        if (is_over || text[0] != '-' || text[1] == '\0')
            config->positionals[config->positional_count++] = text;
        else if (strcmp(text, "--") == 0)
            is_over = true;
        else if (text[1] == '-')
            rc = take_long(config, text, &args, applies, err);
        else
            rc = take_short(config, text, &args, applies, err);
        if (rc < 0)
            return -1;
    }
    return 0;
}

/* ---- file ---- */

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t size = strlen(text);
    while (size > 0 && isspace((unsigned char)text[size - 1]))
        text[--size] = '\0';
    return text;
}

static int take_line(rd_config *config, const char *path, unsigned line_number, char *line, rd_err *err)
{
    line = trim(line);
    if (line[0] == '\0' || line[0] == '#')
        return 0;
    char *equals = strchr(line, '=');
    if (!equals)
        return rd_err_set(err, RD_E_CONFIG, "%s:%u: expected 'key = value'", path, line_number);
    *equals = '\0';
    const char *name = trim(line);
    const char *value = trim(equals + 1);
    size_t index;
    const rd_option *option = find(config->spec, name, strlen(name), &index);
    if (!option)
        return rd_err_set(err, RD_E_CONFIG, "%s:%u: unknown key '%.80s'", path, line_number, name);
    if (option->flags & RD_OPTION_FLAG_ONLY)
        return rd_err_set(err, RD_E_CONFIG, "%s:%u: %s can only be given as a flag", path, line_number, name);
    char origin[512];
    (void)snprintf(origin, sizeof origin, "file %.400s:%u", path, line_number);
    if (set(config, option, value, origin, err) < 0)
        return rd_err_wrap(err, "%s:%u", path, line_number);
    return 0;
}

static int read_config_file(rd_config *config, rd_err *err)
{
    const char *path = config->file;
    if (!path) {
        path = config->spec->file_standard;
        if (!path || access(path, F_OK) != 0)
            return 0;
    }
    rd_buf content = { 0 };
    if (rd_file_read(path, FILE_SIZE_MAX, &content, err) < 0) {
        err->code = RD_E_CONFIG;
        return rd_err_wrap(err, "configuration");
    }
    char *text = config_keep(&config->arena, rd_strndup((const char *)content.data, content.size));
    size_t size = content.size;
    rd_buf_done(&content);
    if (strlen(text) != size)
        return rd_err_set(err, RD_E_CONFIG, "%s: a NUL byte; expected lines of text", path);
    unsigned line_number = 0;
    while (text) {
        char *line = strsep(&text, "\n");
        if (take_line(config, path, ++line_number, line, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- environment ---- */

static void environment_name(const char *process, const char *name, char out[NAME_MAX_SIZE])
{
    (void)snprintf(out, NAME_MAX_SIZE, "REDOUBT_%s%s%s", process ? process : "", process ? "_" : "", name);
    for (char *c = out; *c; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
}

static int read_environment(rd_config *config, rd_err *err)
{
    for (size_t i = 0; i < config->spec->count; i++) {
        const rd_option *option = &config->spec->options[i];
        if (option->flags & RD_OPTION_FLAG_ONLY)
            continue;
        char name[NAME_MAX_SIZE];
        environment_name(config->spec->process, option->name, name);
        const char *value = config->spec->process ? getenv(name) : NULL;
        if (!value) {
            environment_name(NULL, option->name, name);
            value = getenv(name);
        }
        if (!value)
            continue;
        char origin[NAME_MAX_SIZE + 16];
        (void)snprintf(origin, sizeof origin, "environment %s", name);
        if (set(config, option, value, origin, err) < 0)
            return rd_err_wrap(err, "environment %s", name);
    }
    return 0;
}

/* ---- all of it ---- */

static int set_standards(rd_config *config, rd_err *err)
{
    for (size_t i = 0; i < config->spec->count; i++) {
        const rd_option *option = &config->spec->options[i];
        if (option->standard &&
            config_value_set(option, option->standard, false, &config->arena, config->values, err) < 0)
            return rd_err_wrap(err, "default");
    }
    return 0;
}

static int check(const rd_config *config, rd_err *err)
{
    for (size_t i = 0; i < config->spec->count; i++)
        if ((config->spec->options[i].flags & RD_OPTION_REQUIRED) && !config->origins[i])
            return rd_err_set(err, RD_E_USAGE, "--%s is needed: %s", config->spec->options[i].name,
                              config->spec->options[i].help);
    return config->spec->check ? config->spec->check(config->values, err) : 0;
}

/* Questions that are answered without looking at any value. */
static bool answer_early(const rd_config *config)
{
    if (config->wants_help)
        rd_config_print_help(config->spec, stdout);
    else if (config->wants_man)
        rd_config_print_man(config->spec, stdout);
    else if (config->wants_version)
        printf("%s %s\n", config->spec->program, REDOUBT_VERSION);
    else
        return false;
    return true;
}

static int load(rd_config *config, int argc, char *const *argv, rd_err *err)
{
    if (walk_flags(config, argc, argv, false, err) < 0)
        return -1;
    if (answer_early(config))
        return RD_CONFIG_DONE;
    if (set_standards(config, err) < 0 || read_config_file(config, err) < 0 || read_environment(config, err) < 0 ||
        walk_flags(config, argc, argv, true, err) < 0)
        return -1;
    if (config->wants_print) { /* also of an incomplete one: that is when one looks */
        rd_config_print_values(config, stdout);
        return RD_CONFIG_DONE;
    }
    if (check(config, err) < 0)
        return -1;
    if (!config->wants_check)
        return RD_CONFIG_RUN;
    printf("%s: the configuration is valid\n", config->spec->program);
    return RD_CONFIG_DONE;
}

int rd_config_load(const rd_config_spec *spec, int argc, char *const *argv, rd_config **ret, rd_err *err)
{
    rd_config *config = rd_alloc(sizeof *config);
    config->spec = spec;
    config->values = rd_alloc(spec->values_size);
    config->origins = rd_alloc_array(spec->count + 1, sizeof *config->origins);
    config->positionals = rd_alloc_array(argc > 0 ? (size_t)argc : 1, sizeof *config->positionals);
    int rc = load(config, argc, argv, err);
    if (rc == RD_CONFIG_RUN)
        *ret = config;
    else
        rd_config_free(config);
    return rc;
}

rd_config *rd_config_free(rd_config *config)
{
    if (!config)
        return NULL;
    config_arena_done(&config->arena);
    free(config->values);
    free(config->origins);
    free(config->positionals);
    free(config);
    return NULL;
}

void rd_config_free_p(rd_config **config)
{
    *config = rd_config_free(*config);
}

const void *rd_config_values(const rd_config *config)
{
    return config->values;
}

size_t rd_config_positional_count(const rd_config *config)
{
    return config->positional_count;
}

const char *rd_config_positional(const rd_config *config, size_t index)
{
    return index < config->positional_count ? config->positionals[index] : NULL;
}

const char *rd_config_origin(const rd_config *config, const char *name)
{
    size_t index;
    if (!find(config->spec, name, strlen(name), &index))
        return NULL;
    return config->origins[index] ? config->origins[index] : "default";
}

void rd_config_print_values(const rd_config *config, FILE *out)
{
    for (size_t i = 0; i < config->spec->count; i++) {
        RD_CLEANUP(rd_buf_done) rd_buf value = { 0 };
        config_value_print(&config->spec->options[i], config->values, &value);
        fprintf(out, "%s = %-28s # %s\n", config->spec->options[i].name, rd_buf_text(&value),
                config->origins[i] ? config->origins[i] : "default");
    }
}
