/* An engine with its world: a plain connection scripted over a socket pair; secrets by reference; what is refused. */
#include "tests/unit/enclave/world/world_fixture.h"

static void a_request_goes_out_and_its_answer_comes_back(void **state)
{
    world_fixture w = { .answer = "HTTP/1.1 201 Made\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 5\r\n\r\nhello" };
    (void)state;
    open_world(&w, "export default async () => { const r = await fetch('http://plain.example/p?q#f', { method: 'POST', "
                   "body: 'b', headers: { 'X-B': '\\u00e9', Host: 'evil', 'Transfer-Encoding': 'chunked' } });\n"
                   "return new Response([r.status, r.headers.get('x-a'), r.url, r.type, await r.text()].join()) };");
    fixture_expect(&w.engine, "/", "", "201,1, 2,http://plain.example/p?q,basic,hello");
    assert_string_equal(w.got,
                        "POST /p?q HTTP/1.1\r\nhost: plain.example\r\nconnection: close\r\ncontent-length: 1\r\n"
                        "x-b: \xe9\r\ncontent-type: text/plain;charset=UTF-8\r\naccept-encoding: identity\r\n\r\nb");
    close_world(&w);
}

static const struct {
    const char *name, *call, *want;
} refusals[] = {
    { "not listed", "fetch('https://evil.example/')",
      "TypeError: the release's egress does not list evil.example:443" },
    { "other port", "fetch('https://tls.example:444/')",
      "TypeError: the release's egress does not list tls.example:444" },
    { "other scheme", "fetch('http://tls.example/')",
      "TypeError: the release's egress does not list http://tls.example:80" },
    { "a file", "fetch('file:///etc/passwd')", "TypeError: fetch does not know file:" },
    { "a password", "fetch('https://a:b@tls.example/')", "TypeError: a URL with a password in it is not fetched" },
    { "connect", "fetch('https://tls.example/', { method: 'CONNECT' })", "TypeError: \"CONNECT\" is not a method" },
    { "aborted", "fetch('https://tls.example/', { signal: AbortSignal.abort(new Error('gone')) })", "Error: gone" },
    { "no keys", "redoubt.deriveKey('a')",
      "OperationError: no_keys: this instance has no grant, and so none of the app's keys" },
    { "no evidence", "redoubt.evidence(new Uint8Array(32))",
      "OperationError: there is no evidence here: this is no enclave" },
    { "short evidence", "redoubt.evidence(new Uint8Array(31))", "OperationError: evidence binds 32 bytes, not 31" },
    { "scheme", "redoubt.sign('a', { scheme: 'rsa' })", "NotSupportedError: the scheme rsa is not available" },
    { "a number in the URL", "fetch('http://2130706433/')",
      "TypeError: the release's egress does not list http://127.0.0.1:80" },
    { "a large head", "fetch('https://tls.example/', { headers: { a: 'x'.repeat(33000) } })",
      "TypeError: the head is larger than 32768 bytes" },
    { "a larger one", "fetch('https://tls.example/', { headers: { a: 'x'.repeat(40000), b: 'x'.repeat(40000) } })",
      "TypeError: the headers are larger than 65536 bytes" },
    { "a large path", "fetch('https://tls.example/' + 'x'.repeat(33000))",
      "TypeError: the head is larger than 32768 bytes" },
    { "an agent that leaves", "fetch('https://tls.example/')",
      "TypeError: tls.example:443: the host's agent went away" },
};

static void refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(refusals); i++) {
        world_fixture w = { .answer = NULL };
        char source[512];
        (void)snprintf(source, sizeof(source),
                       "export default async () => new Response(await %s.then(() => 'allowed', e => String(e)));",
                       refusals[i].call);
        open_world(&w, source);
        print_message("%s\n", refusals[i].name);
        fixture_expect(&w.engine, "/", "", refusals[i].want);
        close_world(&w);
    }
}

static void r17_nothing_is_fetched_before_the_snapshot(void **state)
{
    static const char *const calls[] = { "fetch('https://tls.example/')", "redoubt.sign('a')", "secret('TOKEN')" };
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(calls); i++) {
        fixture f = { 0 };
        rd_err err = RD_ERR_INIT;
        char source[128];
        (void)snprintf(source, sizeof(source), "await %s; export default () => new Response('');", calls[i]);
        fixture_open(&f, NULL);
        assert_int_equal(fixture_load(&f, source, "", &err), -1);
        assert_int_equal(err.code, RD_E_ENGINE_ENTROPY_BEFORE_SNAPSHOT);
        fixture_close(&f);
    }
}

/* R22: a secret by reference is never in the engine's memory, and goes to its one place alone. */
static void r22_a_secret_by_reference_never_enters_the_engine(void **state)
{
    static const char marker[] = "MARKER-5f1d0c";
    static const uint8_t key[ENCL_APP_KEY_SIZE] = { 7 };
    world_fixture w = { .answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" };
    encl_response response;
    rd_err err = RD_ERR_INIT;
    (void)state;
    encl_app_keys *keys = encl_app_keys_new(key);
    assert_int_equal(encl_app_keys_add_secret(keys, "TOKEN", rd_bytes_str(marker), &err), 0);
    open_world(&w,
               "export default async () => { const mark = secret('TOKEN');\n"
               "const plain = await fetch('http://plain.example/', { headers: { a: mark } }).catch(String);\n"
               "const none = await (async () => secret('OTHER'))().catch(String);\n"
               "void fetch('https://tls.example/', { headers: { authorization: `Bearer ${mark}` } }).catch(() => {});\n"
               "return new Response([/^redoubt-secret-[0-9a-f]{32}$/.test(mark), plain, none].join('|')) };");
    encl_world_set_keys(w.world, keys);
    assert_int_equal(fixture_call(&w.engine, "/", "", &response, &err), 0);
    static const char want[] = "true|TypeError: the release does not let secret TOKEN go to "
                               "plain.example|OperationError: there is no secret of "
                               "this name";
    assert_true(rd_bytes_equal(response.body, rd_bytes_str(want)));
    rd_bytes memory = encl_engine_memory(w.engine.engine);
    assert_null(memmem(memory.data, memory.size, marker, strlen(marker)));
    uint32_t asked, failed;
    encl_world_counts(w.world, &asked, &failed);
    assert_int_equal(asked, 2);
    assert_int_equal(failed, 1);
    close_world(&w);
    encl_app_keys_free(keys);
}

/* What an engine that is not the owner's would ask for: the secret itself. */
static void ask_secret(encl_world *world, const char *name, rd_buf *reply)
{
    RD_CLEANUP(rd_buf_done) rd_buf question = { 0 };
    rd_buf_append_u32le(&question, (uint32_t)strlen(name));
    rd_buf_append_str(&question, name);
    rd_buf_clear(reply);
    encl_world_ask(world, ENCL_ASK_SECRET, rd_buf_bytes(&question), reply);
}

/* R22: a trojaned engine gets what the handler could read anyway, and no secret that goes by reference. */
static void r22_a_trojaned_engine_gets_no_secret_by_reference(void **state)
{
    static const char marker[] = "MARKER-77ab01", readable[] = "READABLE-03ce";
    static const uint8_t key[ENCL_APP_KEY_SIZE] = { 7 };
    world_fixture w = { .answer = "" };
    RD_CLEANUP(rd_buf_done) rd_buf reply = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf env = { 0 };
    rd_err err = RD_ERR_INIT;
    (void)state;
    encl_app_keys *keys = encl_app_keys_new(key);
    assert_int_equal(encl_app_keys_add_secret(keys, "TOKEN", rd_bytes_str(marker), &err), 0);
    assert_int_equal(encl_app_keys_add_secret(keys, "OTHER", rd_bytes_str(readable), &err), 0);
    open_world(&w, "export default () => new Response('')");
    encl_world_set_keys(w.world, keys);
    ask_secret(w.world, "TOKEN", &reply);
    assert_null(memmem(reply.data, reply.size, marker, strlen(marker)));
    assert_non_null(memmem(reply.data, reply.size, "by reference", strlen("by reference")));
    ask_secret(w.world, "OTHER", &reply);
    assert_non_null(memmem(reply.data, reply.size, readable, strlen(readable)));
    const rd_release release = { .egress = w.list };
    encl_world_env(&release, keys, &env);
    assert_string_equal(rd_buf_text(&env), "{\"OTHER\":null}");
    close_world(&w);
    encl_app_keys_free(keys);
}

/* R18: what a request asked for ends with it; the next finds nothing of it. */
static void r18_open_requests_end_with_their_call(void **state)
{
    world_fixture w = { .answer = "" };
    encl_response response;
    rd_err err = RD_ERR_INIT;
    (void)state;
    open_world(&w,
               "export default () => { for (let i = 0; i < 8; i++) void fetch('http://plain.example/').catch(() => {});"
               " return new Response('left') };");
    for (int round = 0; round < 3; round++) {
        assert_int_equal(fixture_call(&w.engine, "/", "", &response, &err), 0);
        assert_true(encl_world_is_pending(w.world));
        encl_engine_reset(w.engine.engine);
        assert_false(encl_world_is_pending(w.world));
        for (size_t i = 0; i < w.dialled; i++) { /* what connects too late is closed */
            int pair[2];
            char byte;
            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
            encl_egress_connected(encl_world_egress(w.world), w.ids[i], pair[0], ENCL_LINE_OPEN);
            assert_int_equal(read(pair[1], &byte, 1), 0);
            (void)close(pair[1]);
        }
        w.dialled = 0;
        encl_world_begin(w.world);
    }
    close_world(&w);
}

/* --- requests in pieces ------------------------------------------------------------------------------------------- */

/* What the next news is; -1: there is none. Of a failure, *ret_why gets the sentence. */
static int next_news(world_fixture *w, rd_buf *ret_why)
{
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    bool has_news = encl_egress_has_news(encl_world_egress(w->world));
    assert_int_equal(encl_egress_next(encl_world_egress(w->world), &out), has_news);
    if (!has_news)
        return -1;
    if (ret_why && out.size > 20)
        rd_buf_append(ret_why, out.data + 20, out.size - 20);
    return out.data[12]; /* behind the id, each with its size in front */
}

/* A request on its way: the peer's end is w->peer[0]. */
static uint32_t begin_request(world_fixture *w, bool is_upload)
{
    encl_egress *egress = encl_world_egress(w->world);
    const encl_fetch fetch = { .entry = rd_egress_find(&w->list, true, RD_BYTES_LIT("plain.example"), 80),
                               .method = RD_BYTES_LIT("POST"),
                               .target = RD_BYTES_LIT("/"),
                               .is_upload = is_upload };
    rd_err err = RD_ERR_INIT;
    int pair[2];
    uint32_t id;
    w->dialled = 0;
    assert_int_equal(encl_egress_start(egress, &fetch, &id, &err), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    w->peer[0] = pair[1];
    encl_egress_connected(egress, w->ids[0], pair[0], ENCL_LINE_OPEN);
    (void)encl_egress_turn(egress);
    return id;
}

static void expect_sent(world_fixture *w, const char *want_end)
{
    (void)encl_egress_turn(encl_world_egress(w->world));
    ssize_t got = read(w->peer[0], w->got, sizeof(w->got) - 1);
    assert_true(got >= (ssize_t)strlen(want_end));
    w->got[got] = '\0';
    assert_string_equal(w->got + got - strlen(want_end), want_end);
}

static void say(world_fixture *w, const char *text)
{
    assert_int_equal(write(w->peer[0], text, strlen(text)), (ssize_t)strlen(text));
    (void)encl_egress_turn(encl_world_egress(w->world));
}

static void a_body_leaves_in_pieces(void **state)
{
    static const uint8_t large[ENCL_EGRESS_PIECE_MAX + 1];
    world_fixture w = { .answer = "" };
    rd_err err = RD_ERR_INIT;
    (void)state;
    open_world(&w, "export default () => new Response('');");
    encl_egress *egress = encl_world_egress(w.world);
    uint32_t id = begin_request(&w, true);
    expect_sent(&w, "\r\nconnection: close\r\ntransfer-encoding: chunked\r\naccept-encoding: identity\r\n\r\n");
    assert_int_equal(next_news(&w, NULL), ENCL_NEWS_ROOM);
    assert_int_equal(next_news(&w, NULL), -1);
    assert_int_equal(encl_egress_send(egress, id + 1, RD_BYTES_LIT("x"), false, &err), -1);
    assert_int_equal(encl_egress_send(egress, id, RD_BYTES_ARRAY(large), false, &err), -1);
    assert_int_equal(encl_egress_send(egress, id, RD_BYTES_LIT("one"), false, &err), 0);
    assert_int_equal(encl_egress_send(egress, id, RD_BYTES_LIT("two"), false, &err), -1); /* before the first left */
    expect_sent(&w, "3\r\none\r\n");
    assert_int_equal(next_news(&w, NULL), ENCL_NEWS_ROOM);
    assert_int_equal(encl_egress_send(egress, id, RD_BYTES_NULL, true, &err), 0);
    expect_sent(&w, "0\r\n\r\n");
    assert_int_equal(encl_egress_send(egress, id, RD_BYTES_LIT("more"), false, &err), -1);
    say(&w, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_int_equal(next_news(&w, NULL), ENCL_NEWS_ANSWER); /* whole, and so the last */
    assert_false(encl_egress_is_busy(egress));
    (void)close(w.peer[0]);
    /* An answer that comes before the end is the end. */
    id = begin_request(&w, true);
    assert_int_equal(next_news(&w, NULL), ENCL_NEWS_ROOM);
    say(&w, "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nn");
    assert_int_equal(next_news(&w, NULL), ENCL_NEWS_ANSWER);
    assert_int_equal(encl_egress_send(egress, id, RD_BYTES_LIT("one"), false, &err), -1);
    assert_int_equal(encl_egress_failed(egress), 0);
    (void)close(w.peer[0]);
    close_world(&w);
}

static void a_body_comes_as_it_is_taken(void **state)
{
    RD_CLEANUP(rd_buf_done) rd_buf why = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 };
    char chunk[8193];
    world_fixture w = { .answer = "" };
    struct pollfd watched[ENCL_EGRESS_AT_ONCE];
    (void)state;
    open_world(&w, "export default () => new Response('');");
    encl_egress *egress = encl_world_egress(w.world);
    uint32_t id = begin_request(&w, false);
    expect_sent(&w, "\r\n\r\n");
    encl_egress_want(egress, id); /* before it was told of an answer: nothing */
    encl_egress_take(egress, id, &body);
    say(&w, "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n");
    assert_int_equal(next_news(&w, NULL), ENCL_NEWS_ANSWER);
    assert_int_equal(next_news(&w, NULL), -1);
    assert_false(encl_egress_is_pending(egress)); /* nobody waits for it */
    assert_true(encl_egress_is_busy(egress));
    memset(chunk, 'x', sizeof(chunk) - 1);
    chunk[sizeof(chunk) - 1] = '\0';
    for (size_t i = 0; i < ENCL_EGRESS_HOLD_MAX / (sizeof(chunk) - 1); i++)
        say(&w, chunk);
    say(&w, chunk);
    assert_int_equal(encl_egress_watch(egress, watched), 0); /* enough is held: the peer waits */
    assert_int_equal(next_news(&w, NULL), -1);
    encl_egress_want(egress, id);
    assert_true(encl_egress_is_pending(egress));
    assert_int_equal(next_news(&w, NULL), ENCL_NEWS_PIECE);
    encl_egress_take(egress, id, &body);
    assert_int_equal(body.size, ENCL_EGRESS_HOLD_MAX);
    encl_egress_want(egress, id);
    (void)encl_egress_turn(egress);
    (void)close(w.peer[0]); /* in the middle: what came is told first, then the failure, once */
    (void)encl_egress_turn(egress);
    assert_int_equal(next_news(&w, NULL), ENCL_NEWS_PIECE);
    encl_egress_take(egress, id, &body);
    assert_int_equal(body.size, ENCL_EGRESS_HOLD_MAX + sizeof(chunk) - 1);
    assert_int_equal(next_news(&w, NULL), -1);
    encl_egress_want(egress, id);
    assert_int_equal(next_news(&w, &why), ENCL_NEWS_FAILED);
    assert_non_null(strstr(rd_buf_text(&why), "plain.example:80: the answer ends in the middle"));
    assert_int_equal(encl_egress_failed(egress), 1);
    assert_false(encl_egress_is_busy(egress));
    close_world(&w);
}

/* Who gives a body up has his answer: it did not fail. */
static void a_body_is_given_up(void **state)
{
    world_fixture w = { .answer = "" };
    char byte;
    (void)state;
    open_world(&w, "export default () => new Response('');");
    encl_egress *egress = encl_world_egress(w.world);
    uint32_t id = begin_request(&w, false);
    say(&w, "HTTP/1.1 200 OK\r\n\r\npart");
    assert_int_equal(next_news(&w, NULL), ENCL_NEWS_ANSWER);
    encl_egress_cancel(egress, id);
    assert_int_equal(encl_egress_failed(egress), 0);
    while (read(w.peer[0], &byte, 1) > 0)
        continue;
    assert_int_equal(read(w.peer[0], &byte, 1), 0); /* the connection ended */
    (void)close(w.peer[0]);
    id = begin_request(&w, false);
    encl_egress_cancel(egress, id);
    assert_int_equal(encl_egress_failed(egress), 1);
    (void)close(w.peer[0]);
    close_world(&w);
}

static void the_public_roots_are_there(void **state)
{
    (void)state;
    assert_true(encl_roots_count() > 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_goes_out_and_its_answer_comes_back),
        cmocka_unit_test(refuses),
        cmocka_unit_test(r17_nothing_is_fetched_before_the_snapshot),
        cmocka_unit_test(r22_a_secret_by_reference_never_enters_the_engine),
        cmocka_unit_test(r22_a_trojaned_engine_gets_no_secret_by_reference),
        cmocka_unit_test(r18_open_requests_end_with_their_call),
        cmocka_unit_test(a_body_leaves_in_pieces),
        cmocka_unit_test(a_body_comes_as_it_is_taken),
        cmocka_unit_test(a_body_is_given_up),
        cmocka_unit_test(the_public_roots_are_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
