// link: cli_core
/* A manifest as somebody else's repository holds it: YAML into JSON values, then into the fields of a manifest. */
#include "cli/manifest.h"
#include "cli/yaml.h"
#include "common/model/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The library forgets some of its memory when it refuses a document; ours is watched. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rd_err err = RD_ERR_INIT;
    json_t *value = NULL;
    if (cli_yaml_parse(rd_bytes_of(data, size), &value, &err) < 0)
        return 0;
    cli_manifest manifest = { 0 };
    (void)cli_manifest_from_settings("fuzz", value, &manifest, &err);
    cli_manifest_done(&manifest);
    json_decref(value);
    return 0;
}
