/* modules: the table of sources that the host filled before load; imports are answered from it and nowhere else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define MODULES_MAX 1024

struct entry {
    char *name;
    char *source;
    size_t size;
};

static struct entry entries[MODULES_MAX];
static uint32_t entry_count;

/* Adds one source; data is "name\0source\0" and stays owned by the table. Returns 0, or 1 when full. */
RD_EXPORT("rd_module") uint32_t rd_module(char *data, uint32_t size)
{
    size_t name_size = strlen(data) + 1;

    if (entry_count == MODULES_MAX)
        return 1;
    entries[entry_count++] = (struct entry){ data, data + name_size, size - name_size - 1 };
    return 0;
}

const char *rd_module_source(const char *name, size_t *size)
{
    for (uint32_t i = 0; i < entry_count; i++) {
        if (strcmp(entries[i].name, name) == 0) {
            *size = entries[i].size;
            return entries[i].source;
        }
    }
    return NULL;
}

/* Drops the last component of the path of size bytes; the new size. */
static size_t parent(const char *path, size_t size)
{
    while (size > 0 && path[size - 1] != '/')
        size--;
    return size > 0 ? size - 1 : 0;
}

/* "./x" and "../x" against the importing module; anything else is a name in the table as it stands. */
char *rd_module_normalize(JSContext *ctx, const char *base, const char *name, void *opaque)
{
    size_t base_size = parent(base, strlen(base));
    size_t name_size;
    char *out;

    (void)opaque;
    if (name[0] == '.' && (name[1] == '/' || (name[1] == '.' && name[2] == '/'))) {
        for (;;) {
            if (strncmp(name, "./", 2) == 0) {
                name += 2;
            } else if (strncmp(name, "../", 3) == 0) {
                name += 3;
                base_size = parent(base, base_size);
            } else {
                break;
            }
        }
    } else {
        base_size = 0;
        if (name[0] == '/')
            name++;
    }
    name_size = strlen(name);
    out = js_malloc(ctx, base_size + name_size + 2);
    if (!out)
        return NULL;
    memcpy(out, base, base_size);
    if (base_size > 0)
        out[base_size++] = '/';
    memcpy(out + base_size, name, name_size + 1);
    return out;
}

static int throw_missing(JSContext *ctx, const char *name)
{
    JSValue error = JS_NewError(ctx);
    char text[320];

    snprintf(text, sizeof(text), "module \"%.255s\" is not part of the release", name);
    JS_DefinePropertyValueStr(ctx, error, "message", JS_NewString(ctx, text), JS_PROP_WRITABLE | JS_PROP_CONFIGURABLE);
    JS_DefinePropertyValueStr(ctx, error, "code", JS_NewString(ctx, "MODULE_NOT_FOUND"), JS_PROP_C_W_E);
    JS_Throw(ctx, error);
    return -1;
}

static int set_json(JSContext *ctx, JSModuleDef *m)
{
    JSAtom atom = JS_GetModuleName(ctx, m);
    const char *name = JS_AtomToCString(ctx, atom);
    size_t size = 0;
    const char *source = name ? rd_module_source(name, &size) : NULL;
    JSValue value = source ? JS_ParseJSON(ctx, source, size, name) : JS_EXCEPTION;

    JS_FreeCString(ctx, name);
    JS_FreeAtom(ctx, atom);
    if (JS_IsException(value))
        return -1;
    return JS_SetModuleExport(ctx, m, "default", value);
}

JSModuleDef *rd_module_load(JSContext *ctx, const char *name, void *opaque)
{
    size_t size, name_size = strlen(name);
    const char *source = rd_module_source(name, &size);
    JSModuleDef *m;
    JSValue compiled;

    (void)opaque;
    if (!source) {
        throw_missing(ctx, name);
        return NULL;
    }
    if (name_size > 5 && strcmp(name + name_size - 5, ".json") == 0) {
        m = JS_NewCModule(ctx, name, set_json);
        if (m)
            JS_AddModuleExport(ctx, m, "default");
        return m;
    }
    compiled = JS_Eval(ctx, source, size, name, JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
    if (JS_IsException(compiled))
        return NULL;
    m = JS_VALUE_GET_PTR(compiled);
    JS_FreeValue(ctx, compiled);
    return m;
}
