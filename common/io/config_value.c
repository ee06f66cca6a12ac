#include "common/io/config_value.h"

#include "common/base/mem.h"
#include "common/base/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define HOST_MAX       255
#define LIST_COUNT_MAX 256

typedef struct unit {
    const char *name;
    uint64_t factor;
} unit;

/* Larger ones first: printing takes the first that divides. */
static const unit size_units[] = { { "TiB", UINT64_C(1) << 40 }, { "GiB", 1u << 30 }, { "MiB", 1u << 20 },
                                   { "KiB", 1u << 10 },          { "", 1 },           { NULL, 0 } };
static const unit time_units[] = { { "d", UINT64_C(86400000000) },
                                   { "h", UINT64_C(3600000000) },
                                   { "m", 60000000 },
                                   { "s", 1000000 },
                                   { "ms", 1000 },
                                   { "us", 1 },
                                   { NULL, 0 } };

/* ---- arena ---- */

char *config_keep(config_arena *arena, char *owned)
{
    if (arena->count == arena->capacity) {
        arena->capacity = arena->capacity ? arena->capacity * 2 : 32;
        arena->blocks = rd_realloc(arena->blocks, arena->capacity * sizeof *arena->blocks);
    }
    arena->blocks[arena->count++] = owned;
    return owned;
}

void config_arena_done(config_arena *arena)
{
    for (size_t i = 0; i < arena->count; i++)
        free(arena->blocks[i]);
    free(arena->blocks);
    *arena = (config_arena){ 0 };
}

/* ---- numbers with units ---- */

static int parse_unit(const char *text, const unit *units, uint64_t max, uint64_t *ret)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t number = 0;
    if (rd_parse_u64(text, digits, UINT64_MAX, &number) < 0)
        return -1;
    for (; units->name; units++) {
        if (strcmp(text + digits, units->name) != 0)
            continue;
        if (number > max / units->factor)
            return -1;
        *ret = number * units->factor;
        return 0;
    }
    return -1;
}

int rd_parse_size(const char *text, uint64_t *ret, rd_err *err)
{
    if (parse_unit(text, size_units, UINT64_MAX, ret) < 0)
        return rd_err_set(err, RD_E_USAGE, "'%s' is not a size such as 512, 64KiB, 4MiB or 1GiB", text);
    return 0;
}

int rd_parse_duration(const char *text, int64_t *ret_us, rd_err *err)
{
    uint64_t value = 0;
    if (strcmp(text, "0") != 0 && parse_unit(text, time_units, INT64_MAX, &value) < 0)
        return rd_err_set(err, RD_E_USAGE, "'%s' is not a duration such as 20ms, 6s, 5m, 24h or 7d", text);
    *ret_us = (int64_t)value;
    return 0;
}

int rd_parse_endpoint(const char *text, char *host_out, size_t host_max, uint16_t *ret_port, rd_err *err)
{
    const char *colon = strrchr(text, ':');
    const char *host = text;
    size_t host_size = colon ? (size_t)(colon - text) : 0;
    uint64_t port = 0;
    bool is_ok = colon && rd_parse_u64(colon + 1, strlen(colon + 1), 65535, &port) == 0;
    if (is_ok && text[0] == '[') {
        is_ok = host_size >= 2 && text[host_size - 1] == ']';
        host = text + 1;
        host_size -= 2;
    } else if (is_ok) {
        is_ok = !memchr(host, ':', host_size);
    }
    for (size_t i = 0; is_ok && i < host_size; i++)
        is_ok = isgraph((unsigned char)host[i]) && host[i] != '/' && host[i] != '[' && host[i] != ']';
    if (!is_ok || host_size >= host_max)
        return rd_err_set(err, RD_E_USAGE, "'%s' is not an address such as 127.0.0.1:8080, [::1]:8080 or :8080", text);
    memcpy(host_out, host, host_size);
    host_out[host_size] = '\0';
    *ret_port = (uint16_t)port;
    return 0;
}

static int parse_bool(const char *text, bool *ret)
{
    static const char *const yes[] = { "true", "yes", "on", "1" };
    static const char *const no[] = { "false", "no", "off", "0" };
    for (size_t i = 0; i < RD_ARRAY_LEN(yes); i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *ret = strcmp(text, yes[i]) == 0;
            return 0;
        }
    }
    return -1;
}

/* ---- setting ---- */

static int refuse(const rd_option *option, const char *text, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf expected = { 0 };
    config_value_expected(option, &expected);
    bool is_secret = option->flags & RD_OPTION_SECRET;
    return rd_err_set(err, RD_E_CONFIG, "%s: '%.100s' is not %s", option->name, is_secret ? "(hidden)" : text,
                      rd_buf_text(&expected));
}

static bool is_in_range(const rd_option *option, uint64_t value)
{
    return (option->min == 0 && option->max == 0) || (value >= option->min && value <= option->max);
}

static int set_list(const rd_option *option, const char *text, bool is_more, config_arena *arena, rd_option_list *list,
                    rd_err *err)
{
    const char **items = rd_alloc_array(LIST_COUNT_MAX, sizeof *items);
    (void)config_keep(arena, (char *)items);
    size_t count = 0;
    for (size_t i = 0; is_more && i < list->count; i++)
        items[count++] = list->items[i];
    while (*text) {
        size_t size = strcspn(text, ",");
        const char *end = text + size;
        const char *next = *end ? end + 1 : end;
        while (size > 0 && isspace((unsigned char)*text)) {
            text++;
            size--;
        }
        while (size > 0 && isspace((unsigned char)text[size - 1]))
            size--;
        if (size == 0 || count == LIST_COUNT_MAX)
            return refuse(option, text, err);
        items[count++] = config_keep(arena, rd_strndup(text, size));
        text = next;
    }
    if (!is_in_range(option, count))
        return refuse(option, text, err);
    *list = (rd_option_list){ .items = items, .count = count };
    return 0;
}

static int set_enum(const rd_option *option, const char *text, int *ret, rd_err *err)
{
    for (int i = 0; option->names[i]; i++) {
        if (strcmp(option->names[i], text) == 0) {
            *ret = i;
            return 0;
        }
    }
    return refuse(option, text, err);
}

static int set_number(const rd_option *option, const char *text, uint64_t *ret, rd_err *err)
{
    uint64_t value = 0;
    int64_t time_us = 0;
    int rc;
    if (option->type == RD_OPTION_SIZE)
        rc = rd_parse_size(text, &value, err);
    else if (option->type == RD_OPTION_DURATION)
        rc = rd_parse_duration(text, &time_us, err);
    else
        rc = rd_parse_u64(text, strlen(text), UINT64_MAX, &value);
    if (option->type == RD_OPTION_DURATION)
        value = (uint64_t)time_us;
    if (rc < 0 || !is_in_range(option, value))
        return refuse(option, text, err);
    *ret = value;
    return 0;
}

static int set_endpoint(const rd_option *option, const char *text, config_arena *arena, rd_endpoint *ret, rd_err *err)
{
    char host[HOST_MAX + 1];
    uint16_t port = 0;
    if (rd_parse_endpoint(text, host, sizeof host, &port, err) < 0)
        return refuse(option, text, err);
    *ret = (rd_endpoint){ .host = config_keep(arena, rd_strdup(host)), .port = port };
    return 0;
}

int config_value_set(const rd_option *option, const char *text, bool is_more, config_arena *arena, void *values,
                     rd_err *err)
{
    char *field = (char *)values + option->offset;
    switch (option->type) {
    case RD_OPTION_STRING:
    case RD_OPTION_PATH: {
        if (option->type == RD_OPTION_PATH && text[0] == '\0')
            return refuse(option, text, err);
        const char *kept = config_keep(arena, rd_strdup(text));
        memcpy(field, &kept, sizeof kept);
        return 0;
    }
    case RD_OPTION_BOOL:
        return parse_bool(text, (bool *)field) < 0 ? refuse(option, text, err) : 0;
    case RD_OPTION_U64:
    case RD_OPTION_SIZE:
    case RD_OPTION_DURATION: {
        uint64_t value = 0;
        if (set_number(option, text, &value, err) < 0)
            return -1;
        memcpy(field, &value, sizeof value);
        return 0;
    }
    case RD_OPTION_ENUM: {
        int value = 0;
        if (set_enum(option, text, &value, err) < 0)
            return -1;
        memcpy(field, &value, sizeof value);
        return 0;
    }
    case RD_OPTION_LIST: {
        rd_option_list list;
        memcpy(&list, field, sizeof list);
        if (set_list(option, text, is_more, arena, &list, err) < 0)
            return -1;
        memcpy(field, &list, sizeof list);
        return 0;
    }
    default: {
        rd_endpoint endpoint = { 0 };
        if (set_endpoint(option, text, arena, &endpoint, err) < 0)
            return -1;
        memcpy(field, &endpoint, sizeof endpoint);
        return 0;
    }
    }
}

/* ---- printing ---- */

void config_number_print(rd_option_type type, uint64_t value, rd_buf *out)
{
    const unit *units = type == RD_OPTION_SIZE ? size_units : time_units;
    if (type == RD_OPTION_U64 || value == 0) {
        (void)rd_buf_printf(out, "%llu", (unsigned long long)value);
        return;
    }
    for (; units->name; units++) {
        if (value % units->factor == 0) {
            (void)rd_buf_printf(out, "%llu%s", (unsigned long long)(value / units->factor), units->name);
            return;
        }
    }
}

static void print_list(const rd_option_list *list, rd_buf *out)
{
    for (size_t i = 0; i < list->count; i++)
        (void)rd_buf_printf(out, "%s%s", i ? "," : "", list->items[i]);
}

static void print_endpoint(const rd_endpoint *endpoint, rd_buf *out)
{
    if (!endpoint->host)
        return;
    bool is_v6 = strchr(endpoint->host, ':') != NULL;
    (void)rd_buf_printf(out, "%s%s%s:%u", is_v6 ? "[" : "", endpoint->host, is_v6 ? "]" : "", endpoint->port);
}

void config_value_print(const rd_option *option, const void *values, rd_buf *out)
{
    const char *field = (const char *)values + option->offset;
    const char *text = NULL;
    uint64_t number = 0;
    int index = 0;
    if (option->flags & RD_OPTION_SECRET) {
        (void)rd_buf_append_str(out, "(hidden)");
        return;
    }
    switch (option->type) {
    case RD_OPTION_STRING:
    case RD_OPTION_PATH:
        memcpy(&text, field, sizeof text);
        (void)rd_buf_append_str(out, text ? text : "");
        return;
    case RD_OPTION_BOOL:
        (void)rd_buf_append_str(out, *(const bool *)field ? "true" : "false");
        return;
    case RD_OPTION_ENUM:
        memcpy(&index, field, sizeof index);
        (void)rd_buf_append_str(out, option->names[index]);
        return;
    case RD_OPTION_LIST:
        print_list((const rd_option_list *)(const void *)field, out);
        return;
    case RD_OPTION_ENDPOINT:
        print_endpoint((const rd_endpoint *)(const void *)field, out);
        return;
    default:
        memcpy(&number, field, sizeof number);
        config_number_print(option->type, number, out);
        return;
    }
}

static const char *kind_of(rd_option_type type)
{
    switch (type) {
    case RD_OPTION_BOOL:
        return "true or false";
    case RD_OPTION_U64:
        return "a number";
    case RD_OPTION_SIZE:
        return "a size such as 64KiB or 4MiB";
    case RD_OPTION_DURATION:
        return "a duration such as 20ms, 6s, 5m, 24h or 7d";
    case RD_OPTION_PATH:
        return "a path";
    case RD_OPTION_LIST:
        return "a list separated by commas";
    case RD_OPTION_ENDPOINT:
        return "an address such as 127.0.0.1:8080 or [::1]:8080";
    default:
        return "a text";
    }
}

void config_value_expected(const rd_option *option, rd_buf *out)
{
    if (option->type == RD_OPTION_ENUM) {
        (void)rd_buf_append_str(out, "one of");
        for (size_t i = 0; option->names[i]; i++)
            (void)rd_buf_printf(out, "%s %s", i ? "," : "", option->names[i]);
        return;
    }
    (void)rd_buf_append_str(out, kind_of(option->type));
    if (option->min == 0 && option->max == 0)
        return;
    rd_option_type type = option->type == RD_OPTION_LIST ? RD_OPTION_U64 : option->type;
    (void)rd_buf_append_str(out, option->type == RD_OPTION_LIST ? ", with " : ", from ");
    config_number_print(type, option->min, out);
    (void)rd_buf_append_str(out, " to ");
    config_number_print(type, option->max, out);
    if (option->type == RD_OPTION_LIST)
        (void)rd_buf_append_str(out, " items");
}
