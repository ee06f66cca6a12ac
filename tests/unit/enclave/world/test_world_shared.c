// link: encl_world encl_engine_jsc
/* Requests that share their globals: nothing that one of them had under way in the world acts on the next. */
#include "tests/unit/enclave/world/world_fixture.h"

static const char cut[] = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello";

static const char handler[] =
    "let n = 0, held, reader, control, controller, said = '', mark;\n"
    "export default async (request) => { n++; const at = 'http://plain.example/';\n"
    "  const { pathname } = new URL(request.url), tried = async (f) => { try { return await f() } catch (e) { return e "
    "} };\n"
    "  switch (pathname) {\n"
    "  case '/hold': held = await fetch(at); break;\n"
    "  case '/read': return new Response(`${await tried(() => held.text())} ${n}`);\n"
    "  case '/part': reader = (await fetch(at)).body.getReader(); await reader.read(); break;\n"
    "  case '/more': return new Response(`${await tried(() => reader.read())} ${n}`);\n"
    "  case '/cancel': return new Response(`${await tried(() => reader.cancel())} ${n}`);\n"
    "  case '/gather': fetch(at, { method: 'POST', body: new ReadableStream({ start(c) { control = c } }) })\n"
    "    .then(() => { said = 'sent' }, (e) => { said = `${e}` }); break;\n"
    "  case '/go': control.close(); for (let i = 0; i < 50; i++) await 0; return new Response(`${said} ${n}`);\n"
    "  case '/control': controller = new AbortController(); held = await fetch(at, { signal: controller.signal }); "
    "break;\n"
    "  case '/abort': { const mine = await fetch(at), piece = mine.body.getReader().read(); controller.abort();\n"
    "    return new Response(`${new TextDecoder().decode((await piece).value)} ${n}`); }\n"
    "  case '/mark': mark = secret('TOKEN'); break;\n"
    "  case '/send': await fetch(at, { headers: { a: mark } }); break;\n"
    "  case '/pending': fetch(at); break;\n"
    "  }\n"
    "  return new Response(`${n}`) };";

static void open_shared(world_fixture *w)
{
    *w = (world_fixture){ .answer = cut, .hangs_on = true, .limits = { .keeps = ENCL_KEEPS_GLOBALS } };
    open_world(w, handler);
}

/* Calls as the runtime does it, and says what the call asked of others. */
static uint32_t expect(world_fixture *w, const char *path, const char *want)
{
    uint32_t asked, failed;

    encl_world_begin(w->world);
    fixture_expect(&w->engine, path, "", want);
    encl_world_counts(w->world, &asked, &failed);
    return asked;
}

static void an_answer_that_was_kept_is_over(void **state)
{
    world_fixture w;
    (void)state;
    open_shared(&w);
    assert_int_equal(expect(&w, "/hold", "1"), 1);
    assert_int_equal(expect(&w, "/read", "TypeError: this belongs to a request that is over 2"), 0);
    assert_int_equal(expect(&w, "/part", "3"), 1);
    assert_int_equal(expect(&w, "/more", "TypeError: this belongs to a request that is over 4"), 0);
    assert_int_equal(expect(&w, "/part", "5"), 1);
    assert_int_equal(expect(&w, "/cancel", "undefined 6"), 0);
    close_world(&w);
}

static void a_request_that_was_not_sent_never_is(void **state)
{
    world_fixture w;
    (void)state;
    open_shared(&w);
    assert_int_equal(expect(&w, "/gather", "1"), 0);
    assert_int_equal(expect(&w, "/go", "TypeError: this belongs to a request that is over 2"), 0);
    close_world(&w);
}

static void a_signal_that_was_kept_ends_nothing_of_the_next(void **state)
{
    world_fixture w;
    (void)state;
    open_shared(&w);
    assert_int_equal(expect(&w, "/control", "1"), 1);
    assert_int_equal(expect(&w, "/abort", "hello 2"), 1);
    close_world(&w);
}

static void what_is_on_its_way_takes_the_machine_along(void **state)
{
    world_fixture w;
    (void)state;
    open_shared(&w);
    for (int i = 0; i < 3; i++)
        assert_int_equal(expect(&w, "/pending", "1"), 1);
    assert_int_equal(expect(&w, "/", "1"), 0);
    assert_int_equal(expect(&w, "/", "2"), 0);
    close_world(&w);
}

/* A secret by reference is of its call: what is left of it is a text that stands for nothing. */
static void a_reference_that_was_kept_names_no_secret(void **state)
{
    static const uint8_t key[ENCL_APP_KEY_SIZE] = { 7 };
    world_fixture w;
    rd_err err = RD_ERR_INIT;
    (void)state;
    open_shared(&w);
    encl_app_keys *keys = encl_app_keys_new(key);
    assert_int_equal(encl_app_keys_add_secret(keys, "TOKEN", rd_bytes_str("MARKER-5f1d0c"), &err), 0);
    encl_world_set_keys(w.world, keys);
    assert_int_equal(expect(&w, "/mark", "1"), 0);
    assert_int_equal(expect(&w, "/send", "2"), 1);
    assert_non_null(strstr(w.got, "a: redoubt-secret-"));
    assert_null(strstr(w.got, "MARKER"));
    close_world(&w);
    encl_app_keys_free(keys);
}

/* Eight connections at once, 32 requests a call: of the call, not of the machine. */
static void the_bounds_are_of_a_call(void **state)
{
    world_fixture w;
    char want[16];
    (void)state;
    open_shared(&w);
    w.hangs_on = false;
    for (int i = 1; i <= 60; i++) {
        (void)snprintf(want, sizeof(want), "%d", i);
        assert_int_equal(expect(&w, "/hold", want), 1);
    }
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_that_was_kept_is_over),
        cmocka_unit_test(a_request_that_was_not_sent_never_is),
        cmocka_unit_test(a_signal_that_was_kept_ends_nothing_of_the_next),
        cmocka_unit_test(what_is_on_its_way_takes_the_machine_along),
        cmocka_unit_test(a_reference_that_was_kept_names_no_secret),
        cmocka_unit_test(the_bounds_are_of_a_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
