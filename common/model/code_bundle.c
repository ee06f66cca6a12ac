#include "common/model/code_bundle.h"

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/canonical.h"

#include <stdlib.h>
#include <string.h>

#define TYPE "redoubt/modules/v1"

void rd_code_bundle_done(rd_code_bundle *bundle)
{
    for (size_t i = 0; i < bundle->modules_count; i++) {
        free(bundle->modules[i].name);
        free(bundle->modules[i].source);
    }
    free(bundle->modules);
    free(bundle->main);
    *bundle = (rd_code_bundle){ 0 };
}

bool rd_module_name_is_ok(const char *name)
{
    size_t size = strnlen(name, RD_MODULE_NAME_MAX + 1);
    if (size == 0 || size > RD_MODULE_NAME_MAX || name[0] == '/' || strstr(name, ".."))
        return false;
    return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./-") == size;
}

/* The place of a name in the order of names; *ret_found when it stands there. */
static size_t find_place(const rd_code_bundle *bundle, const char *name, bool *ret_found)
{
    size_t low = 0;
    size_t high = bundle->modules_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(bundle->modules[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = low < bundle->modules_count && strcmp(bundle->modules[low].name, name) == 0;
    return low;
}

const rd_module *rd_code_bundle_find(const rd_code_bundle *bundle, const char *name)
{
    bool is_found;
    size_t place = find_place(bundle, name, &is_found);
    return is_found ? &bundle->modules[place] : NULL;
}

int rd_code_bundle_add(rd_code_bundle *bundle, const char *name, rd_bytes source, rd_err *err)
{
    if (!rd_module_name_is_ok(name))
        return rd_err_set(err, RD_E_JSON_RANGE, "a module's name is [A-Za-z0-9_./-]{1,255} without .. or a leading /");
    if (bundle->modules_count == RD_MODULES_MAX)
        return rd_err_set(err, RD_E_JSON_RANGE, "more than %d modules", RD_MODULES_MAX);
    if (source.size > RD_CODE_BUNDLE_SIZE_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "module %s has more than 4 MiB", name);
    if (!rd_is_utf8(source) || (source.size && memchr(source.data, 0, source.size)))
        return rd_err_set(err, RD_E_ENCODING, "module %s is not UTF-8 text", name);
    bool is_found;
    size_t place = find_place(bundle, name, &is_found);
    if (is_found)
        return rd_err_set(err, RD_E_JSON_RANGE, "module %s stands twice", name);
    bundle->modules = rd_realloc(bundle->modules, (bundle->modules_count + 1) * sizeof *bundle->modules);
    rd_module *at = &bundle->modules[place];
    memmove(at + 1, at, (bundle->modules_count - place) * sizeof *at);
    char *copy = rd_alloc(source.size + 1);
    if (source.size)
        memcpy(copy, source.data, source.size);
    *at = (rd_module){ rd_strdup(name), copy, source.size };
    bundle->modules_count++;
    return 0;
}

typedef struct module_row {
    char name[RD_MODULE_NAME_MAX + 1];
    rd_bytes source; /* borrowed from the tree */
} module_row;

static int borrow_source(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    if (!json_is_string(value)) {
        (void)rd_err_set(err, RD_E_JSON_TYPE, "a string is needed");
        return rd_err_at(err, pointer);
    }
    *(rd_bytes *)into = rd_bytes_of(json_string_value(value), json_string_length(value));
    return 0;
}

static const rd_json_field module_fields[] = {
    { "name", RD_JSON_TEXT, offsetof(module_row, name), RD_REQUIRED, .min = 1, .max = RD_MODULE_NAME_MAX },
    { "source", RD_JSON_CUSTOM, offsetof(module_row, source), RD_REQUIRED, .parse = borrow_source },
    RD_JSON_END,
};

static int read_module(const json_t *item, size_t index RD_UNUSED, void *context, const char *pointer, rd_err *err)
{
    module_row row = { 0 };
    if (rd_json_read(item, module_fields, RD_UNKNOWN_REFUSED, pointer, &row, err) < 0)
        return -1;
    if (rd_code_bundle_add(context, row.name, row.source, err) < 0)
        return rd_err_at(err, pointer);
    return 0;
}

static int read_modules(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 1, RD_MODULES_MAX, pointer, read_module, into, err);
}

static const rd_json_field bundle_fields[] = {
    { "main", RD_JSON_STRING, offsetof(rd_code_bundle, main), RD_REQUIRED, .min = 1, .max = RD_MODULE_NAME_MAX },
    { "modules", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_modules },
    { "type", RD_JSON_CONST, 0, RD_REQUIRED, .text = TYPE },
    RD_JSON_END,
};

static int check_main(const rd_code_bundle *bundle, rd_err *err)
{
    if (bundle->main && rd_code_bundle_find(bundle, bundle->main))
        return 0;
    (void)rd_err_set(err, RD_E_JSON_RANGE, "code bundle: main is none of the modules");
    return rd_err_at(err, "/main");
}

int rd_code_bundle_parse(rd_bytes json, rd_code_bundle *ret, rd_err *err)
{
    static const rd_json_limits limits = { .size_max = RD_CODE_BUNDLE_SIZE_MAX, .depth_max = 3, .integers_only = true };
    *ret = (rd_code_bundle){ 0 };
    if (rd_json_load(json, &limits, bundle_fields, RD_UNKNOWN_REFUSED, ret, err) < 0)
        return rd_err_wrap(err, "code bundle");
    return check_main(ret, err);
}

int rd_code_bundle_encode(const rd_code_bundle *bundle, rd_buf *out, rd_err *err)
{
    if (check_main(bundle, err) < 0)
        return -1;
    size_t start = out->size;
    (void)rd_buf_append_str(out, "{\"main\":");
    (void)rd_canonical_put_string(out, rd_bytes_str(bundle->main));
    (void)rd_buf_append_str(out, ",\"modules\":[");
    for (size_t i = 0; i < bundle->modules_count; i++) {
        const rd_module *module = &bundle->modules[i];
        (void)rd_buf_append_str(out, i ? ",{\"name\":" : "{\"name\":");
        (void)rd_canonical_put_string(out, rd_bytes_str(module->name));
        (void)rd_buf_append_str(out, ",\"source\":");
        (void)rd_canonical_put_string(out, rd_bytes_of(module->source, module->source_size));
        (void)rd_buf_append_u8(out, '}');
    }
    bool is_written = rd_buf_append_str(out, "],\"type\":\"" TYPE "\"}");
    if (!is_written || out->size - start > RD_CODE_BUNDLE_SIZE_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "code bundle: more than 4 MiB");
    return 0;
}
