#include "enclave/engine/engine_priv.h"

#include <string.h>

#include "common/base/text.h"

#define MODULES_MAX      1024
#define MODULES_SIZE_MAX ((size_t)32 << 20)
#define NAME_MAX_SIZE    255

/* "a/b.js": relative, without empty, "." and ".." components. */
static bool is_module_name(const char *name)
{
    size_t size = strlen(name), from = 0;

    if (size == 0 || size > NAME_MAX_SIZE || !rd_is_utf8(rd_bytes_str(name)))
        return false;
    for (size_t i = 0; i <= size; i++) {
        if ((uint8_t)name[i] < 0x20 && i < size)
            return false;
        if (i < size && name[i] != '/')
            continue;
        size_t part = i - from;
        if (part == 0 || (part == 1 && name[from] == '.') || (part == 2 && memcmp(name + from, "..", 2) == 0))
            return false;
        from = i + 1;
    }
    return !rd_starts_with(name, "redoubt:");
}

static int check_modules(const encl_module *modules, size_t count, rd_err *err)
{
    size_t size = 0;

    if (count == 0 || count > MODULES_MAX)
        return rd_err_set(err, RD_E_ENGINE_MODULE, "%zu modules, from 1 to %d", count, MODULES_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!is_module_name(modules[i].name))
            return rd_err_set(err, RD_E_ENGINE_MODULE, "module %zu has no relative name without \"..\"", i);
        if (!rd_is_utf8(modules[i].source))
            return rd_err_set(err, RD_E_ENGINE_MODULE, "module \"%s\" is not UTF-8", modules[i].name);
        if (modules[i].source.size > MODULES_SIZE_MAX - size)
            return rd_err_set(err, RD_E_ENGINE_MODULE, "the modules are larger than %zu bytes", MODULES_SIZE_MAX);
        size += modules[i].source.size;
        for (size_t j = 0; j < i; j++) {
            if (strcmp(modules[i].name, modules[j].name) == 0)
                return rd_err_set(err, RD_E_ENGINE_MODULE, "module \"%s\" is there twice", modules[i].name);
        }
    }
    return 0;
}

static int evaluate(encl_engine *engine, const encl_module *modules, size_t count, const char *main, rd_bytes env_json,
                    rd_err *err)
{
    if (encl_machine_load(engine->machine, modules, count, main, env_json, &engine->result, err) < 0)
        return -1;
    if (engine->result.state == ENCL_GUEST_FAILED)
        return encl_engine_machine_error(engine, err);
    if (encl_machine_seal(engine->machine, err) < 0)
        return -1;
    encl_subtle_seal(engine->subtle);
    return 0;
}

int encl_engine_load(encl_engine *engine, const encl_module *modules, size_t module_count, const char *main,
                     rd_bytes env_json, rd_err *err)
{
    if (engine->state != ENCL_ENGINE_BLANK)
        return rd_err_set(err, RD_E_ENGINE_STATE, "this engine has loaded a handler already");
    if (check_modules(modules, module_count, err) < 0)
        return -1;
    if (!rd_is_utf8(env_json) || memchr(env_json.size ? (const char *)env_json.data : "", 0, env_json.size))
        return rd_err_set(err, RD_E_ENGINE_MODULE, "the env is no JSON text");
    encl_engine_start_limits(engine, engine->limits.load_time_us);
    int outcome = evaluate(engine, modules, module_count, main, env_json, err);
    encl_machine_alarm(engine->machine, 0);
    engine->state = outcome < 0 ? ENCL_ENGINE_DEAD : ENCL_ENGINE_PRISTINE;
    return outcome;
}
