#include "tests/unit/enclave/engine/engine_fixture.h"

#include <stdlib.h>

/* The examples as they are shipped, run by the engine; their README quotes these answers. */

static void read_file(const char *path, rd_buf *out)
{
    FILE *file = fopen(path, "rb");

    if (!file)
        fail_msg("%s: run from the root of the tree", path);
    rd_buf_init(out, 1 << 20);
    uint8_t *room = rd_buf_reserve(out, 65536);
    rd_buf_commit(out, fread(room, 1, 65536, file));
    (void)fclose(file);
}

static void open_example(fixture *f, const char *dir, const char *const *names, size_t count, const char *env)
{
    rd_buf files[4] = { 0 };
    encl_module modules[4];
    rd_err err = RD_ERR_INIT;

    for (size_t i = 0; i < count; i++) {
        char path[256];
        (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        read_file(path, &files[i]);
        modules[i] = (encl_module){ names[i], rd_buf_bytes(&files[i]) };
    }
    fixture_open(f, NULL);
    if (encl_engine_load(f->engine, modules, count, "index.js", rd_bytes_str(env), &err) < 0)
        fail_msg("%s: %s", dir, err.text);
    for (size_t i = 0; i < count; i++)
        rd_buf_done(&files[i]);
}

static void test_private_score(void **state)
{
    static const char *const names[] = { "index.js", "applicant.js", "score.js" };
    fixture f = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 };

    (void)state;
    read_file("examples/private-score/request.json", &body);
    open_example(&f, "examples/private-score", names, RD_ARRAY_LEN(names), "{\"MODEL\":\"v1\"}");
    fixture_expect(
        &f, "/", rd_buf_text(&body),
        "{\"model\":\"v1\",\"score\":711,\"band\":\"good\",\"reasons\":[{\"name\":\"utilisation\",\"lost\":43},"
        "{\"name\":\"payment_history\",\"lost\":32},{\"name\":\"debt_to_income\",\"lost\":29}]}");
    assert_int_equal(f.lines, 0);
    fixture_expect(&f, "/", "{\"income_month\":\"x\"}",
                   "{\"error\":\"income_month must be a number from 0 to 1000000\"}");
    fixture_expect(&f, "/", "[]", "{\"error\":\"the applicant is no object\"}");
    fixture_expect(&f, "/", "", "{\"error\":\"send an applicant by POST\"}");
    fixture_close(&f);
}

static void test_echo(void **state)
{
    static const char *const names[] = { "index.js" };
    fixture f = { 0 };

    (void)state;
    open_example(&f, "examples/echo", names, 1, "");
    fixture_expect(
        &f, "/a?b=c", "{\"hello\":1}",
        "{\"method\":\"POST\",\"url\":\"https://app.example/a?b=c\",\"headers\":{\"content-type\":\"application/json\","
        "\"x-two\":\"a, b\"},\"body\":{\"size\":11,\"text\":\"{\\\"hello\\\":1}\",\"base64\":\"eyJoZWxsbyI6MX0=\"}}");
    fixture_expect(
        &f, "/", "\xff",
        "{\"method\":\"POST\",\"url\":\"https://app.example/\",\"headers\":{\"content-type\":\"application/json\","
        "\"x-two\":\"a, b\"},\"body\":{\"size\":1,\"text\":null,\"base64\":\"/w==\"}}");
    fixture_close(&f);
}

static void put_field(rd_buf *out, const char *text, size_t size)
{
    rd_buf_append_u32le(out, (uint32_t)size);
    rd_buf_append(out, text, size);
}

/* An event of a WebSocket as the runtime gives it, and what comes back: state, subprotocol, records. */
static void expect_event(fixture *f, char kind, const char *state, const char *data, const char *want, size_t want_size)
{
    RD_CLEANUP(rd_buf_done) rd_buf event = { 0 };
    rd_err err = RD_ERR_INIT;
    encl_response response;
    const encl_header headers[] = { { RD_BYTES_LIT("origin"), RD_BYTES_LIT("https://o.example") },
                                    { RD_BYTES_LIT("redoubt-event"), RD_BYTES_LIT("1") } };
    const encl_request request = { .method = RD_BYTES_LIT("GET"),
                                   .url = RD_BYTES_LIT("https://app.example/"),
                                   .headers = headers,
                                   .header_count = RD_ARRAY_LEN(headers) };
    encl_request call = request;
    put_field(&event, &kind, 1);
    put_field(&event, "id", 2);
    put_field(&event, "", 0);
    put_field(&event, state, strlen(state));
    put_field(&event, data, strlen(data));
    call.body = rd_buf_bytes(&event);
    assert_int_equal(encl_engine_call(f->engine, &call, &response, &err), 0);
    assert_int_equal(response.status, 200);
    assert_int_equal(response.body.size, want_size);
    assert_memory_equal(response.body.data, want, want_size);
}

static void test_echo_socket(void **state)
{
    static const char *const names[] = { "index.js" };
    static const char opened[] = "\x29\0\0\0{\"number\":0,\"origin\":\"https://o.example\"}\4\0\0\0echo";
    static const char said[] = "\x0c\0\0\0{\"number\":4}\0\0\0\0\1\0\0\0\5"
                               "4: hi";
    static const char bytes[] = "\x0c\0\0\0{\"number\":4}\0\0\0\0\2\0\0\0\2hi";
    static const char ended[] = "\x0c\0\0\0{\"number\":4}\0\0\0\0\10\0\0\0\x09\3\xe8"
                                "after 4";
    fixture f = { 0 };

    (void)state;
    open_example(&f, "examples/echo-socket", names, 1, "");
    expect_event(&f, 1, "null", "other,echo", opened, sizeof opened - 1);
    expect_event(&f, 2, "{\"number\":3}", "hi", said, sizeof said - 1);
    expect_event(&f, 3, "{\"number\":3}", "hi", bytes, sizeof bytes - 1);
    expect_event(&f, 2, "{\"number\":3}", "bye", ended, sizeof ended - 1);
    expect_event(&f, 4, "{\"number\":3}", "\3\xe8", "\x0c\0\0\0{\"number\":3}\0\0\0\0", 20);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_private_score),
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_echo_socket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
