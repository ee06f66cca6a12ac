#include "common/model/release.h"

#include "tests/unit/common/model/samples.h"

static int parse(rd_bytes bytes, rd_err *err)
{
    rd_release release;
    if (rd_release_parse(bytes, &release, err) < 0)
        return -1;
    rd_release_done(&release);
    return 0;
}

static void make(rd_buf *out)
{
    rd_release release;
    sample_release(&release);
    assert_int_equal(rd_release_encode(&release, out, NULL), 0);
    rd_release_done(&release);
}

static const spoil rows[] = {
    { "unknown member", "/extra", "1", RD_E_JSON_UNKNOWN },
    { "other type", "/type", "\"redoubt/head/v1\"", RD_E_PURPOSE },
    { "next version", "/type", "\"redoubt/release/v2\"", RD_E_PURPOSE },
    { "type missing", "/type", NULL, RD_E_JSON_MISSING },
    { "app missing", "/app", NULL, RD_E_JSON_MISSING },
    { "app malformed", "/app", "\"app_x\"", RD_E_ID_FORMAT },
    { "app null", "/app", "null", RD_E_JSON_TYPE },
    { "number missing", "/number", NULL, RD_E_JSON_MISSING },
    { "number 0", "/number", "0", RD_E_JSON_RANGE },
    { "number -1", "/number", "-1", RD_E_JSON_RANGE },
    { "number 2^31", "/number", "2147483648", RD_E_JSON_RANGE },
    { "number largest (ok)", "/number", "2147483647", RD_OK },
    { "number a string", "/number", "\"3\"", RD_E_JSON_TYPE },
    { "number true", "/number", "true", RD_E_JSON_TYPE },
    { "kind missing", "/kind", NULL, RD_E_JSON_MISSING },
    { "kind container", "/kind", "\"container\"", RD_E_JSON_RANGE },
    { "engine missing", "/engine", NULL, RD_E_JSON_MISSING },
    { "other engine", "/engine", "\"v8\"", RD_E_JSON_RANGE },
    { "machine kept on quickjs", "/machine", "\"kept\"", RD_E_JSON_RANGE },
    { "machine shared on quickjs", "/machine", "\"shared\"", RD_E_JSON_RANGE },
    { "machine fresh, which is left out", "/machine", "\"fresh\"", RD_E_JSON_RANGE },
    { "machine true", "/machine", "true", RD_E_JSON_RANGE },
    { "public_code false and code not sealed", "/public_code", "false", RD_E_JSON_RANGE },
    { "public_code 1", "/public_code", "1", RD_E_JSON_TYPE },
    { "public_code missing", "/public_code", NULL, RD_E_JSON_MISSING },
    { "plain false (ok)", "/plain", "false", RD_OK },
    { "plain of another type", "/plain", "1", RD_E_JSON_TYPE },
    { "plain missing", "/plain", NULL, RD_E_JSON_MISSING },
    { "open (ok)", "/open", "true", RD_OK },
    { "open missing", "/open", NULL, RD_E_JSON_MISSING },
    { "open null", "/open", "null", RD_E_JSON_TYPE },
    { "code missing", "/code", NULL, RD_E_JSON_MISSING },
    { "code digest missing", "/code/digest", NULL, RD_E_JSON_MISSING },
    { "code digest hex alone", "/code/digest", "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"",
      RD_E_ENCODING },
    { "code digest in upper case", "/code/digest",
      "\"sha256:BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"", RD_E_ENCODING },
    { "code size 0", "/code/size", "0", RD_E_JSON_RANGE },
    { "code size 4 MiB (ok)", "/code/size", "4194304", RD_OK },
    { "code size 4 MiB and 1", "/code/size", "4194305", RD_E_JSON_RANGE },
    { "code sealed and public", "/code/sealed", "true", RD_E_JSON_RANGE },
    { "code sealed false", "/code/sealed", "false", RD_E_JSON_RANGE },
    { "env missing", "/env", NULL, RD_E_JSON_MISSING },
    { "env empty (ok)", "/env", "{}", RD_OK },
    { "env an array", "/env", "[]", RD_E_JSON_TYPE },
    { "env name in lower case", "/env", "{\"a\":\"x\"}", RD_E_JSON_RANGE },
    { "env name with a digit first", "/env", "{\"1A\":\"x\"}", RD_E_JSON_RANGE },
    { "env name with = inside", "/env", "{\"A=B\":\"x\"}", RD_E_JSON_RANGE },
    { "env name empty", "/env", "{\"\":\"x\"}", RD_E_JSON_RANGE },
    { "env name of 64 (ok)", "/env", "{\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\":\"x\"}",
      RD_OK },
    { "env name of 65", "/env", "{\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\":\"x\"}",
      RD_E_JSON_RANGE },
    { "env value a number", "/env", "{\"A\":1}", RD_E_JSON_TYPE },
    { "egress missing", "/egress", NULL, RD_E_JSON_MISSING },
    { "egress of texts", "/egress", "[\"example.org\"]", RD_E_JSON_TYPE },
    { "receipts open", "/receipts", "\"open\"", RD_E_JSON_RANGE },
    { "receipts missing", "/receipts", NULL, RD_E_JSON_MISSING },
    { "logs clear (ok)", "/logs", "\"clear\"", RD_OK },
    { "logs sealed (ok)", "/logs", "{\"key\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}", RD_OK },
    { "logs of another word", "/logs", "\"sealed\"", RD_E_JSON_RANGE },
    { "logs null", "/logs", "null", RD_E_JSON_RANGE },
    { "logs without a key", "/logs", "{}", RD_E_JSON_MISSING },
    { "logs with a short key", "/logs", "{\"key\":\"AAAA\"}", RD_E_ENCODING },
    { "logs with more", "/logs", "{\"key\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"also\":1}",
      RD_E_JSON_UNKNOWN },
    { "limits missing", "/limits", NULL, RD_E_JSON_MISSING },
    { "limits with more", "/limits/x", "1", RD_E_JSON_UNKNOWN },
    { "request_bytes below", "/limits/request_bytes", "1023", RD_E_JSON_RANGE },
    { "request_bytes least (ok)", "/limits/request_bytes", "1024", RD_OK },
    { "request_bytes most (ok)", "/limits/request_bytes", "16777216", RD_OK },
    { "request_bytes above", "/limits/request_bytes", "16777217", RD_E_JSON_RANGE },
    { "request_bytes missing", "/limits/request_bytes", NULL, RD_E_JSON_MISSING },
    { "response_bytes above", "/limits/response_bytes", "16777217", RD_E_JSON_RANGE },
    { "time_ms 0", "/limits/time_ms", "0", RD_E_JSON_RANGE },
    { "time_ms 30 s (ok)", "/limits/time_ms", "30000", RD_OK },
    { "time_ms above", "/limits/time_ms", "30001", RD_E_JSON_RANGE },
    { "heap_bytes below", "/limits/heap_bytes", "1048575", RD_E_JSON_RANGE },
    { "heap_bytes most (ok)", "/limits/heap_bytes", "268435456", RD_OK },
    { "heap_bytes above", "/limits/heap_bytes", "268435457", RD_E_JSON_RANGE },
    { "cpu_m below", "/resources/cpu_m", "9", RD_E_JSON_RANGE },
    { "cpu_m above", "/resources/cpu_m", "4001", RD_E_JSON_RANGE },
    { "memory_bytes below", "/resources/memory_bytes", "16777215", RD_E_JSON_RANGE },
    { "memory_bytes most (ok)", "/resources/memory_bytes", "1073741824", RD_OK },
    { "memory_bytes above", "/resources/memory_bytes", "1073741825", RD_E_JSON_RANGE },
    { "resources missing", "/resources", NULL, RD_E_JSON_MISSING },
};

static void test_spoiled(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    make(&document);
    run_spoils(rd_buf_bytes(&document), parse, rows, RD_ARRAY_LEN(rows));
    run_form_spoils(rd_buf_bytes(&document), parse);
}

static void test_pointer_of_the_offender(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf spoiled = { 0 };
    rd_err err = RD_ERR_INIT;
    make(&document);
    spoil_document(rd_buf_bytes(&document), "/limits/time_ms", "0", &spoiled);
    assert_int_equal(parse(rd_buf_bytes(&spoiled), &err), -1);
    assert_string_equal(err.pointer, "/limits/time_ms");
    assert_string_equal(err.text, "release: limits: time_ms: 0 is outside 1..30000");
}

static void test_round_trip(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
    rd_release release;
    make(&document);
    assert_int_equal(rd_release_parse(rd_buf_bytes(&document), &release, NULL), 0);
    assert_int_equal(release.number, 3);
    assert_int_equal(release.limits.time_ms, RD_TIME_MS_DEFAULT);
    assert_int_equal(release.env_count, 2);
    assert_string_equal(release.env[0].name, "A_NAME");
    assert_string_equal(release.env[1].value, "v1");
    assert_int_equal(rd_release_encode(&release, &again, NULL), 0);
    assert_true(rd_bytes_equal(rd_buf_bytes(&document), rd_buf_bytes(&again)));
    rd_release_done(&release);
}

static void test_logs_round_trip(void **state RD_UNUSED)
{
    for (rd_log_form form = RD_LOGS_UNSAID; form <= RD_LOGS_SEALED; form++) {
        RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
        rd_release release, again;
        sample_release(&release);
        release.logs = form;
        memset(release.log_key, form == RD_LOGS_SEALED ? 0x5c : 0, sizeof release.log_key);
        assert_int_equal(rd_release_encode(&release, &document, NULL), 0);
        assert_int_equal(rd_release_parse(rd_buf_bytes(&document), &again, NULL), 0);
        assert_int_equal(again.logs, form);
        assert_memory_equal(again.log_key, release.log_key, sizeof again.log_key);
        rd_release_done(&release);
        rd_release_done(&again);
    }
}

static void test_env_bounds(void **state RD_UNUSED)
{
    rd_release release;
    rd_err err = RD_ERR_INIT;
    rd_release_init(&release);
    RD_CLEANUP(rd_free_p) char *value = rd_alloc(RD_ENV_VALUE_MAX + 2);
    memset(value, 'x', RD_ENV_VALUE_MAX);
    assert_int_equal(rd_release_set_env(&release, "A", value, &err), 0);
    value[RD_ENV_VALUE_MAX] = 'x';
    assert_int_equal(rd_release_set_env(&release, "B", value, &err), -1);
    assert_int_equal(rd_release_set_env(&release, "A", "again", &err), -1);
    assert_int_equal(rd_release_set_env(&release, "C", "\xff", &err), -1);
    assert_int_equal(err.code, RD_E_ENCODING);
    for (int i = 1; i < RD_ENV_MAX; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "N%d", i);
        assert_int_equal(rd_release_set_env(&release, name, "", NULL), 0);
    }
    assert_int_equal(rd_release_set_env(&release, "LAST", "", &err), -1);
    assert_int_equal(release.env_count, RD_ENV_MAX);
    rd_release_done(&release);
}

static void test_accept(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope;
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = sample_key(1);
    rd_genesis genesis = sample_genesis(1, 1);
    rd_app_id app = sample_app();
    rd_release release;
    rd_digest digest, want;
    rd_err err = RD_ERR_INIT;
    make(&document);
    rd_envelope_init(&envelope, rd_buf_bytes(&document));
    assert_int_equal(rd_envelope_sign(&envelope, key, RD_SIGN_RELEASE, NULL), 0);
    assert_int_equal(rd_release_accept(&envelope, &genesis, &app, &release, &digest, &err), 0);
    RD_H(want.b, RD_HASH_RELEASE, rd_buf_bytes(&document));
    assert_true(rd_digest_equal(&digest, &want));
    rd_release_done(&release);
    app.b[0] ^= 1;
    assert_int_equal(rd_release_accept(&envelope, &genesis, &app, &release, NULL, &err), -1);
    assert_int_equal(err.code, RD_E_GENESIS_MISMATCH);
    app.b[0] ^= 1;
    rd_genesis others = sample_genesis(2, 1);
    others.owners[0] = others.owners[1];
    others.owners_count = 1;
    assert_int_equal(rd_release_accept(&envelope, &others, &app, &release, NULL, &err), -1);
    assert_int_equal(err.code, RD_E_SIGNATURE);
}

static void write_and_read(rd_release *release, rd_buf *ret_document)
{
    rd_err err = RD_ERR_INIT;
    assert_int_equal(rd_release_encode(release, ret_document, &err), 0);
    rd_release_done(release);
    assert_int_equal(rd_release_parse(rd_buf_bytes(ret_document), release, &err), 0);
}

static void test_sealed_code(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
    rd_release release = { 0 };
    rd_err err = RD_ERR_INIT;
    make(&document);
    assert_int_equal(rd_release_parse(rd_buf_bytes(&document), &release, &err), 0);
    assert_false(release.is_sealed);
    release.is_sealed = true;
    write_and_read(&release, &again);
    assert_true(release.is_sealed);
    rd_release_done(&release);
    static const spoil sealed_rows[] = {
        { "sealed left out", "/code/sealed", NULL, RD_E_JSON_RANGE },
        { "sealed code called public", "/public_code", "true", RD_E_JSON_RANGE },
    };
    run_spoils(rd_buf_bytes(&again), parse, sealed_rows, RD_ARRAY_LEN(sealed_rows));
}

static void try_machine(rd_machine machine)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
    rd_release release = { 0 };
    rd_err err = RD_ERR_INIT;
    make(&document);
    assert_int_equal(rd_release_parse(rd_buf_bytes(&document), &release, &err), 0);
    assert_int_equal(release.machine, RD_MACHINE_FRESH);
    release.engine = RD_ENGINE_JSC;
    release.machine = machine;
    write_and_read(&release, &again);
    assert_int_equal(release.machine, machine);
    rd_release_done(&release);
    const spoil kept_rows[] = {
        { "left out (ok)", "/machine", NULL, RD_OK },
        { "fresh", "/machine", "\"fresh\"", RD_E_JSON_RANGE },
        { "the other word (ok)", "/machine", machine == RD_MACHINE_KEPT ? "\"shared\"" : "\"kept\"", RD_OK },
        { "in capitals", "/machine", "\"Shared\"", RD_E_JSON_RANGE },
        { "empty", "/machine", "\"\"", RD_E_JSON_RANGE },
        { "a number", "/machine", "2", RD_E_JSON_RANGE },
        { "null", "/machine", "null", RD_E_JSON_RANGE },
        { "of quickjs", "/engine", "\"quickjs\"", RD_E_JSON_RANGE },
    };
    run_spoils(rd_buf_bytes(&again), parse, kept_rows, RD_ARRAY_LEN(kept_rows));
}

static void test_machine(void **state RD_UNUSED)
{
    try_machine(RD_MACHINE_KEPT);
    try_machine(RD_MACHINE_SHARED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spoiled),     cmocka_unit_test(test_pointer_of_the_offender),
        cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_logs_round_trip),
        cmocka_unit_test(test_env_bounds),  cmocka_unit_test(test_accept),
        cmocka_unit_test(test_sealed_code), cmocka_unit_test(test_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
