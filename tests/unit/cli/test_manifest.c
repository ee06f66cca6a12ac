#include "cli/manifest.h"

#include "cli/profile.h"
#include "cli/yaml.h"
#include "common/base/mem.h"
#include "common/model/code_bundle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define KEY "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"

static char folder[] = "/tmp/rd-manifest-XXXXXX";

static int make_folder(void **state RD_UNUSED)
{
    return mkdtemp(folder) ? 0 : -1;
}

static void write_in_folder(const char *name, const char *text)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/%s", folder, name);
    assert_int_equal(cli_write_file(path, text, strlen(text), 0600, &err), 0);
}

static int remove_folder(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_free_p) char *command = rd_asprintf("rm -rf '%s'", folder);
    return system(command);
}

static void test_yaml_rows(void **state RD_UNUSED)
{
    static const struct {
        const char *name, *yaml, *json; /* json NULL: refused */
    } rows[] = {
        { "scalars", "{a: 1, b: -2, c: true, d: null, e: ~, f: text, g: \"1\"}",
          "{\"a\":1,\"b\":-2,\"c\":true,\"d\":null,\"e\":null,\"f\":\"text\",\"g\":\"1\"}" },
        { "block", "a:\n  - 1\n  - b: [x, y]\n", "{\"a\":[1,{\"b\":[\"x\",\"y\"]}]}" },
        { "a fraction stays a text", "a: 1.5\n", "{\"a\":\"1.5\"}" },
        { "leading zero stays a text", "a: 007\n", "{\"a\":\"007\"}" },
        { "anchor", "a: &x 1\n", NULL },
        { "alias", "a: &x 1\nb: *x\n", NULL },
        { "tag", "a: !!str 1\n", NULL },
        { "twice", "a: 1\na: 2\n", NULL },
        { "not YAML", "a: [1\n", NULL },
        { "deep", "[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]", NULL },
        { "not UTF-8", "a: \xff\n", NULL },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        json_t *value = NULL;
        rd_err err = RD_ERR_INIT;
        print_message("%s\n", rows[i].name);
        int status = cli_yaml_parse(rd_bytes_str(rows[i].yaml), &value, &err);
        assert_int_equal(status, rows[i].json ? 0 : -1);
        if (rows[i].json) {
            RD_CLEANUP(rd_free_p) char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
            assert_string_equal(text, rows[i].json);
        }
        json_decref(value);
    }
}

static void test_manifest_rows(void **state RD_UNUSED)
{
    static const struct {
        const char *name, *yaml, *sentence; /* sentence NULL: accepted */
    } rows[] = {
        { "smallest", "name: a\n", NULL },
        { "all",
          "name: a-1\nmain: index.js\nkind: function\nclass: simulated\nopen: true\nplain: true\nenv: {A: \"x\"}\n"
          "limits: {time_ms: 5, request_bytes: 1024}\nresources: {cpu_m: 10}\ninstances: {min: 0, max: 3}\n",
          NULL },
        { "machine kept", "name: a\nengine: jsc\nmachine: kept\n", NULL },
        { "machine shared", "name: a\nengine: jsc\nmachine: shared\n", NULL },
        { "machine shared of quickjs", "name: a\nmachine: shared\n", "machine: shared is for engine jsc alone" },
        { "machine fresh", "name: a\nmachine: fresh\n", NULL },
        { "machine kept of quickjs", "name: a\nmachine: kept\n", "engine jsc alone" },
        { "machine of another word", "name: a\nengine: jsc\nmachine: warm\n", "machine" },
        { "no name", "main: a.js\n", "name" },
        { "capital", "name: App\n", "lower-case" },
        { "unknown member", "name: a\ncolour: red\n", "redoubt.yaml:2: unknown member colour" },
        { "misspelt member", "name: a\n\nlimits:\n  tme_ms: 5\n",
          "redoubt.yaml:4: unknown member tme_ms; did you mean time_ms?" },
        { "not YAML", "name: a\nmain: [x\n", "line 3, column 1: flow sequence" },
        { "env line", "name: a\nenv:\n  A: x\n  B: 1\n", "redoubt.yaml:4: " },
        { "time over", "name: a\nlimits: {time_ms: 30001}\n", "time_ms" },
        { "kind", "name: a\nkind: container\n", "kind" },
        { "class", "name: a\nclass: real\n", "class" },
        { "env number", "name: a\nenv: {A: 1}\n", "quotes" },
        { "env name", "name: a\nenv: {a b: \"x\"}\n", "env" },
        { "webhook", "name: a\nwebhook: {url: https://h.example/a, key: " KEY "}\n", NULL },
        { "webhook private", "name: a\nwebhook: {url: http://h.example:1/, key: " KEY ", private: true}\n", NULL },
        { "webhook without a path", "name: a\nwebhook: {url: https://h.example, key: " KEY "}\n", "webhook.url: " },
        { "webhook without a key", "name: a\nwebhook: {url: https://h.example/a}\n", "key" },
        { "webhook of a key of small order",
          "name: a\nwebhook: {url: https://h.example/a, key: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA}\n",
          "/webhook/key" },
        { "webhook with more", "name: a\nwebhook: {url: https://h.example/a, key: " KEY ", privat: true}\n",
          "did you mean private?" },
        { "no webhook any more", "name: a\nwebhook: null\n", NULL },
        { "the same, in one line", "{name: a, webhook: ~}\n", NULL },
        { "webhook without a word", "name: a\nwebhook:\nmain: x.js # null\n", "redoubt.yaml:2: webhook is empty" },
        { "webhook commented out", "name: a\nwebhook: # null\n#  url: https://h.example/a\n", "webhook is empty" },
        { "webhook of another kind", "name: a\nwebhook: none\n", "/webhook" },
        { "min over max", "name: a\ninstances: {min: 3, max: 2}\n", "above" },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        cli_manifest manifest;
        rd_err err = RD_ERR_INIT;
        print_message("%s\n", rows[i].name);
        write_in_folder("redoubt.yaml", rows[i].yaml);
        int status = cli_manifest_load(folder, &manifest, &err);
        assert_int_equal(status, rows[i].sentence ? -1 : 0);
        if (rows[i].sentence && !strstr(err.text, rows[i].sentence) && !strstr(err.pointer, rows[i].sentence))
            fail_msg("%s / %s", err.text, err.pointer);
        cli_manifest_done(&manifest);
    }
}

static void test_script_alone(void **state RD_UNUSED)
{
    cli_manifest manifest;
    rd_err err = RD_ERR_INIT;
    write_in_folder("My Handler.js", "export default {}");
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/My Handler.js", folder);
    assert_int_equal(cli_manifest_load(path, &manifest, &err), 0);
    assert_string_equal(manifest.name, "my-handler");
    assert_string_equal(manifest.main, "My Handler.js");
    cli_manifest_done(&manifest);
}

static void test_bundle_follows_imports(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_free_p) char *lib = rd_asprintf("%s/lib", folder);
    (void)mkdir(lib, 0700);
    write_in_folder(
        "index.js",
        "import { a } from './lib/a.js';\n// import './no.js'\n/* from './no.js' */\nimport('./late.js')\n");
    write_in_folder("lib/a.js", "export * from \"../b.js\"\nimport x from 'bare'\n");
    write_in_folder("b.js", "import './index.js'");
    write_in_folder("late.js", "");
    cli_manifest manifest = { .dir = folder, .main = (char *)"index.js" };
    rd_buf bytes;
    rd_buf_init(&bytes, 0);
    rd_err err = RD_ERR_INIT;
    assert_int_equal(cli_bundle_collect(&manifest, &bytes, &err), 0);
    rd_code_bundle bundle = { .main = NULL };
    assert_int_equal(rd_code_bundle_parse(rd_buf_bytes(&bytes), &bundle, &err), 0);
    assert_string_equal(bundle.main, "index.js");
    assert_int_equal(bundle.modules_count, 4);
    assert_non_null(rd_code_bundle_find(&bundle, "lib/a.js"));
    assert_null(rd_code_bundle_find(&bundle, "no.js"));
    rd_code_bundle_done(&bundle);
    rd_buf_done(&bytes);
}

static void test_bundle_stays_inside(void **state RD_UNUSED)
{
    static const char *const sources[] = { "import '../outside.js'", "import './lib/../../outside.js'",
                                           "import './missing.js'" };
    for (size_t i = 0; i < RD_ARRAY_LEN(sources); i++) {
        write_in_folder("index.js", sources[i]);
        cli_manifest manifest = { .dir = folder, .main = (char *)"index.js" };
        rd_buf bytes;
        rd_buf_init(&bytes, 0);
        rd_err err = RD_ERR_INIT;
        assert_int_equal(cli_bundle_collect(&manifest, &bytes, &err), -1);
        rd_buf_done(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yaml_rows),           cmocka_unit_test(test_manifest_rows),
        cmocka_unit_test(test_script_alone),        cmocka_unit_test(test_bundle_follows_imports),
        cmocka_unit_test(test_bundle_stays_inside),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
