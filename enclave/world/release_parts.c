/* What of a release an engine is given. */
#include <string.h>

#include "common/model/canonical.h"
#include "enclave/world/world.h"

#define HEAP_MAX   ((size_t)192 << 20) /* engine.h */
#define HEAD_EXTRA ((size_t)40 << 10)  /* line and headers beside the body that a release bounds */

encl_engine_limits encl_world_limits(const rd_release *release)
{
    static const encl_engine_keeps keeps[] = {
        [RD_MACHINE_FRESH] = ENCL_KEEPS_NOTHING,
        [RD_MACHINE_KEPT] = ENCL_KEEPS_MACHINE,
        [RD_MACHINE_SHARED] = ENCL_KEEPS_GLOBALS,
    };
    return (encl_engine_limits){
        .time_us = (int64_t)release->limits.time_ms * 1000,
        .heap_size = RD_MIN((size_t)release->limits.heap_bytes, HEAP_MAX),
        .request_size = release->limits.request_bytes + HEAD_EXTRA,
        .output_size = release->limits.response_bytes,
        .keeps = keeps[release->machine],
    };
}

static void put_name(rd_buf *out, const char *name)
{
    if (out->size > 1)
        rd_buf_append_u8(out, ',');
    (void)rd_canonical_put_string(out, rd_bytes_str(name));
    rd_buf_append_u8(out, ':');
}

/* A name of env; secrets with other names (the runtime's own hold a dot) do not stand there. */
static bool is_env_name(const char *name)
{
    return strchr(name, '.') == NULL;
}

static bool has_text(const rd_release *release, const char *name)
{
    for (size_t i = 0; i < release->env_count; i++) {
        if (strcmp(release->env[i].name, name) == 0)
            return true;
    }
    return false;
}

void encl_world_env(const rd_release *release, const encl_app_keys *keys, rd_buf *out)
{
    rd_buf_append_u8(out, '{');
    for (size_t i = 0; i < release->env_count; i++) {
        put_name(out, release->env[i].name);
        (void)rd_canonical_put_string(out, rd_bytes_str(release->env[i].value));
    }
    for (size_t i = 0; keys && encl_app_keys_secret_name(keys, i); i++) {
        const char *name = encl_app_keys_secret_name(keys, i);
        if (!is_env_name(name) || has_text(release, name) || rd_egress_carries(&release->egress, rd_bytes_str(name)))
            continue;
        put_name(out, name);
        rd_buf_append_str(out, "null");
    }
    rd_buf_append_u8(out, '}');
}
