#include "cli/changes.h"
#include "cli/forecast.h"

#include "common/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static rd_code_bundle bundle_of(const char *name, const char *source)
{
    rd_code_bundle bundle = { .main = NULL };
    rd_err err = RD_ERR_INIT;
    assert_int_equal(rd_code_bundle_add(&bundle, name, rd_bytes_str(source), &err), 0);
    bundle.main = rd_strdup(name);
    return bundle;
}

static void expect(json_t *changes, const char *json)
{
    RD_CLEANUP(rd_free_p) char *text = json_dumps(changes, JSON_COMPACT);
    assert_string_equal(text, json);
    json_decref(changes);
}

static void test_changes(void **state RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    rd_release first, second;
    rd_release_init(&first);
    rd_release_init(&second);
    rd_code_bundle old = bundle_of("index.js", "a\nb\n");
    rd_code_bundle new = bundle_of("index.js", "a\nc\nd\n");
    const cli_changed before = { .release = &first, .code = &old, .instances_min = 1, .instances_max = 1 };
    cli_changed after = { .release = &first, .code = &old, .instances_min = 1, .instances_max = 1 };
    expect(cli_changes_list(&before, &after), "[]");
    after.code = &new;
    expect(cli_changes_list(&before, &after),
           "[{\"member\":\"code\",\"module\":\"index.js\",\"added\":2,\"removed\":1}]");
    after = (cli_changed){ .release = &second, .code = &old, .instances_min = 1, .instances_max = 3 };
    second.engine = RD_ENGINE_JSC;
    second.machine = RD_MACHINE_KEPT;
    second.is_open = true;
    second.limits.time_ms = 5;
    assert_int_equal(rd_release_set_env(&second, "A", "x", &err), 0);
    expect(cli_changes_list(&before, &after), "[{\"member\":\"engine\",\"from\":\"quickjs\",\"to\":\"jsc\"},"
                                              "{\"member\":\"machine\",\"from\":\"fresh\",\"to\":\"kept\"},"
                                              "{\"member\":\"open\",\"from\":false,\"to\":true},"
                                              "{\"member\":\"env.A\",\"from\":null,\"to\":\"x\"},"
                                              "{\"member\":\"limits.time_ms\",\"from\":10000,\"to\":5},"
                                              "{\"member\":\"instances.max\",\"from\":1,\"to\":3}]");
    rd_code_bundle renamed = bundle_of("main.js", "a\nb\n");
    after = (cli_changed){ .release = &first, .code = &renamed };
    expect(cli_changes_list(&before, &after), "[{\"member\":\"code\",\"module\":\"main.js\",\"added\":2,\"removed\":0},"
                                              "{\"member\":\"code\",\"module\":\"index.js\",\"added\":0,\"removed\":2},"
                                              "{\"member\":\"main\",\"from\":\"index.js\",\"to\":\"main.js\"}]");
    rd_code_bundle_done(&old);
    rd_code_bundle_done(&new);
    rd_code_bundle_done(&renamed);
    rd_release_done(&first);
    rd_release_done(&second);
}

/* A first version grants what it grants against nothing; terms and key service stand in the head. */
static void test_first(void **state RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    cli_nothing nothing;
    cli_nothing_init(&nothing);
    rd_release release;
    rd_release_init(&release);
    RD_CLEANUP(rd_free_p) cli_terms *terms = rd_alloc(sizeof *terms);
    rd_code_bundle code = bundle_of("index.js", "a\n");
    rd_egress_entry place = { .port = 0 };
    const rd_kms_id kms = { { 0 } };
    terms->grant_s = 300;
    release.is_plain = true;
    assert_int_equal(rd_egress_place_parse("api.example.com", &place, &err), 0);
    assert_int_equal(rd_egress_add(&release.egress, &place, &err), 0);
    const cli_changed before = { .release = &nothing.release, .code = &nothing.code, .is_sealed = true };
    const cli_changed after = { .release = &release, .code = &code, .terms = terms, .kms = &kms };
    expect(cli_changes_list(&before, &after),
           "[{\"member\":\"code\",\"module\":\"index.js\",\"added\":1,\"removed\":0},"
           "{\"member\":\"main\",\"from\":null,\"to\":\"index.js\"},"
           "{\"member\":\"plain\",\"from\":false,\"to\":true},"
           "{\"member\":\"egress\",\"from\":[],\"to\":[{\"ca\":null,\"host\":\"api.example.com\","
           "\"port\":443,\"private\":false,\"scheme\":\"https\",\"secrets\":[]}]},"
           "{\"member\":\"public_code\",\"from\":false,\"to\":true},"
           "{\"member\":\"kms\",\"from\":null,\"to\":\"kms_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"},"
           "{\"member\":\"limits.grant_s\",\"from\":0,\"to\":300}]");
    cli_nothing_done(&nothing);
    rd_code_bundle_done(&code);
    rd_release_done(&release);
}

static void test_forecast(void **state RD_UNUSED)
{
#define HOST(members) "{\"simulated\":true,\"state\":\"ready\",\"link\":\"up\"," members "}"
#define ROOM(cpu, memory, slots)                                                                                       \
    "\"capacity\":{\"cpu_m\":" #cpu ",\"memory_bytes\":" #memory ",\"slots\":" #slots                                  \
    "},\"used\":{\"cpu_m\":0,\"memory_bytes\":0,\"slots\":0}"
    static const struct {
        const char *host;
        int obstacle; /* CLI_KEPT_COUNT: fits */
    } rows[] = {
        { HOST(ROOM(1000, 1000, 1)), CLI_KEPT_COUNT },
        { HOST(ROOM(99, 1000, 1)), CLI_KEPT_CPU },
        { HOST(ROOM(1000, 99, 1)), CLI_KEPT_MEMORY },
        { HOST(ROOM(1000, 1000, 0)), CLI_KEPT_SLOTS },
        { HOST("\"cordoned\":true," ROOM(1000, 1000, 1)), CLI_KEPT_STATE },
        { "{\"simulated\":true,\"state\":\"draining\",\"link\":\"up\"," ROOM(1000, 1000, 1) "}", CLI_KEPT_STATE },
        { "{\"simulated\":true,\"state\":\"ready\",\"link\":\"down\"," ROOM(1000, 1000, 1) "}", CLI_KEPT_STATE },
        { "{\"simulated\":false,\"state\":\"ready\",\"link\":\"up\"," ROOM(1000, 1000, 1) "}", CLI_KEPT_CLASS },
        { "{}", CLI_KEPT_CLASS },
        { "7", CLI_KEPT_CLASS },
    };
    const rd_resources resources = { .cpu_m = 100, .memory_bytes = 100 };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        cli_forecast forecast;
        json_t *hosts = json_array();
        (void)json_array_append_new(hosts, json_loads(rows[i].host, JSON_DECODE_ANY, NULL));
        cli_forecast_make(hosts, RD_CLASS_SIMULATED, &resources, &forecast);
        print_message("%s\n", rows[i].host);
        assert_int_equal(forecast.hosts, 1);
        assert_int_equal(forecast.fitting, rows[i].obstacle == CLI_KEPT_COUNT);
        for (int k = 0; k < CLI_KEPT_COUNT; k++)
            assert_int_equal(forecast.kept[k], rows[i].obstacle == k);
        json_decref(hosts);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_first),
        cmocka_unit_test(test_forecast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
