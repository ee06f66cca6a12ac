/* ReadableStream as handlers use it, and answers whose bodies leave while they are made. */
#include "engine_fixture.h"

#include "enclave/engine/engine_priv.h"

/* Who takes a stream: so many pieces at a time, and perhaps not to its end. */
typedef struct taker {
    fixture f; /* first: the callbacks of the fixture get it as their context */
    char body[4096];
    size_t size;
    unsigned pieces, waits;
    unsigned room;         /* pieces that are wanted now */
    unsigned leaves_after; /* so many pieces; 0: stays */
    bool takes_all;        /* at once */
} taker;

static int room(void *context)
{
    const taker *t = context;
    if (t->leaves_after > 0 && t->pieces >= t->leaves_after)
        return ENCL_ROOM_GONE;
    return t->room > 0 || t->takes_all ? ENCL_ROOM_SOME : ENCL_ROOM_NONE;
}

static bool take(void *context, rd_bytes piece)
{
    taker *t = context;
    assert_int_equal(room(t), ENCL_ROOM_SOME);
    assert_true(piece.size < sizeof(t->body) - t->size);
    memcpy(t->body + t->size, piece.data, piece.size);
    t->size += piece.size;
    t->body[t->size] = 0;
    t->pieces++;
    t->room -= t->room > 0;
    return true;
}

/* Whoever waits for room finds it at once; whoever waits for a timer moves the clock. */
static int wait_for(void *context, int64_t until_us)
{
    taker *t = context;
    t->waits++;
    if (room(t) != ENCL_ROOM_NONE)
        return fixture_wait(&t->f, until_us);
    t->room = 1;
    return 0;
}

static const char handler[] =
    "const encode = (text) => new TextEncoder().encode(text);\n"
    "const sleep = (ms) => new Promise((done) => setTimeout(done, ms));\n"
    "const from = (...texts) => new ReadableStream({ start(c) { for (const t of texts) c.enqueue(encode(t)); "
    "c.close(); } });\n"
    "const caught = async (f) => { try { await f(); return 'nothing'; } catch (e) { return e.name; } };\n"
    "let pulled = 0;\n"
    "const cases = {\n"
    "  whole: () => from('one ', 'two ', 'three'),\n"
    "  slow: () => new ReadableStream({ async start(c) { for (let i = 0; i < 3; i++) { await sleep(1000); "
    "c.enqueue(encode(`${i};`)); } c.close(); } }),\n"
    "  pull: () => new ReadableStream({ pull(c) { c.enqueue(encode(`${pulled++};`)); if (pulled === 5) c.close(); } "
    "}),\n"
    "  iterate: async function* () { yield encode('a'); await sleep(5); yield encode('b'); },\n"
    "  leave: () => new ReadableStream({ pull(c) { c.enqueue(encode('x')); }, cancel(e) { console.log('told', e.name); "
    "} }),\n"
    "  idle: () => new ReadableStream({ start(c) { c.enqueue(encode('x')); this.beat = setInterval(() => {}, 10); },\n"
    "    cancel() { clearInterval(this.beat); console.log('told'); } }),\n"
    "  throws: () => new ReadableStream({ pull(c) { if (pulled++ === 2) throw new Error('broken'); "
    "c.enqueue(encode('x')); } }),\n"
    "  words: () => new ReadableStream({ start(c) { c.enqueue('text'); c.close(); } }),\n"
    "  stuck: () => new ReadableStream({ start(c) { c.enqueue(encode('x')); } }),\n"
    "  endless: () => new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(100)); } }),\n"
    "  late: () => new ReadableStream({ async pull(c) { await sleep(20000); c.close(); } }),\n"
    "  empty: () => new ReadableStream({ start(c) { c.enqueue(new Uint8Array(0)); c.close(); } }),\n"
    "};\n"
    "const whole = {\n"
    "  async text() { return new Response(from('a', 'b')).text(); },\n"
    "  async body() { const r = new Response('whole'); let n = 0; for await (const c of r.body) n += c.length; return "
    "`${n} ${r.bodyUsed}`; },\n"
    "  async used() { const r = new Response(from('a')); await r.text(); return caught(() => r.text()); },\n"
    "  async locked() { const s = from('a'); s.getReader(); return `${s.locked} ${await caught(() => s.getReader())} "
    "${await caught(() => new Response(s))}`; },\n"
    "  async cloned() { const r = new Response(from('a')); return `${await r.clone().text()} ${await r.text()}`; },\n"
    "  async released() { const r = from('a', 'b').getReader(); await r.read(); r.releaseLock(); return caught(() => "
    "r.read()); },\n"
    "  async order() { let order = ''; const s = new ReadableStream({ start() { order += 's'; }, pull(c) { order += "
    "'p'; c.enqueue(1); }, cancel(r) { order += r; } });\n"
    "    const r = s.getReader(); await r.read(); await r.cancel('c'); return order + (await r.read()).done; },\n"
    "  async size() { let left; const s = new ReadableStream({ start(c) { c.enqueue('abc'); left = c.desiredSize; } }, "
    "{ "
    "highWaterMark: 10, size: (t) => t.length });\n"
    "    return `${(await s.getReader().read()).value} ${left}`; },\n"
    "  async errored() { const s = new ReadableStream({ start(c) { c.error(new RangeError('no')); } }); return "
    "caught(() => s.getReader().read()); },\n"
    "  async request() { const r = new Request('https://a.example/', { method: 'POST', body: from('in ', 'pieces') }); "
    "return r.text(); },\n"
    "  async left() { const s = from('a', 'b'); for await (const c of s) { if (c) break; } await sleep(0); return "
    "`${s.locked} "
    "${(await s.getReader().read()).done}`; },\n"
    "  async bytes() { return caught(() => new ReadableStream({ type: 'bytes' })); },\n"
    "  async again() { const r = new Response('text'), b = r.body; await r.text(); return `${r.bodyUsed} "
    "${(await b.getReader().read()).done}`; },\n"
    "  async iterator() { let told = ''; const s = new ReadableStream({ cancel(r) { told = r; throw new Error('no'); } "
    "}), "
    "i = s.values();\n"
    "    const held = s.locked, again = await caught(() => s.values()), left = await caught(() => i.return('bye'));\n"
    "    return `${held} ${again} ${left} ${told} ${s.locked} ${(await i.next()).done}`; },\n"
    "  async taken() { const r = new Request('https://a.example/', { method: 'POST', body: from('a') }); "
    "r.body.getReader(); "
    "return caught(() => new Request(r)); },\n"
    "};\n"
    "export default { async fetch(request, env, ctx) {\n"
    "  const name = new URL(request.url).pathname.slice(1);\n"
    "  if (name in whole) return new Response(await whole[name]());\n"
    "  if (name === 'hand') return request.body.getReader().read().then(({ value }) => new Response(value));\n"
    "  if (name === 'back') return new Response(request.body);\n"
    "  if (name === 'after') ctx.waitUntil(sleep(4000).then(() => console.log('after')));\n"
    "  if (name === 'crunch') ctx.waitUntil(sleep(0).then(() => { for (;;); }));\n"
    "  return new Response(cases[name === 'after' || name === 'crunch' ? 'whole' : name](), { headers: { "
    "'content-type': 'text/plain' } "
    "});\n"
    "} };\n";

static void open_taker(taker *t, const encl_engine_limits *limits)
{
    rd_err err = RD_ERR_INIT;
    memset(t, 0, sizeof(*t));
    fixture_start(&t->f, limits, handler);
    encl_engine_host host = fixture_host(&t->f);
    host.write = take;
    host.room = room;
    host.wait = wait_for;
    assert_int_equal(encl_engine_configure(t->f.engine, &host, NULL, &err), 0);
}

/* Head and body of one answer; the code of what cut it. */
static rd_code stream(taker *t, const char *path, unsigned leaves_after, bool *ret_background)
{
    rd_err err = RD_ERR_INIT;
    encl_response response;
    bool has_background;
    t->size = t->pieces = t->waits = t->room = 0;
    t->body[0] = 0;
    t->leaves_after = leaves_after;
    if (fixture_call(&t->f, path, "", &response, &err) < 0)
        fail_msg("%s: %s\n%s", path, err.text, t->f.log);
    assert_true(response.has_stream);
    assert_int_equal(response.status, 200);
    assert_int_equal(response.body.size, 0);
    int outcome = encl_engine_stream(t->f.engine, ret_background ? ret_background : &has_background, &err);
    if (!ret_background)
        encl_engine_reset(t->f.engine);
    return outcome == 0 ? RD_OK : err.code;
}

static void expect_stream(taker *t, const char *path, const char *want, unsigned pieces)
{
    rd_code code = stream(t, path, 0, NULL);
    if (code != RD_OK || strcmp(t->body, want) != 0 || t->pieces != pieces)
        fail_msg("%s: code %d, \"%s\" in %u pieces\n%s", path, code, t->body, t->pieces, t->f.log);
}

static void test_pieces(void **state)
{
    (void)state;
    taker t;
    open_taker(&t, NULL);
    expect_stream(&t, "/whole", "one two three", 3);
    assert_true(t.waits >= 3); /* each piece waited for room */
    expect_stream(&t, "/slow", "0;1;2;", 3);
    expect_stream(&t, "/pull", "0;1;2;3;4;", 5);
    expect_stream(&t, "/pull", "0;1;2;3;4;", 5); /* from a pristine machine again */
    expect_stream(&t, "/iterate", "ab", 2);
    expect_stream(&t, "/empty", "", 0);
    fixture_close(&t.f);
}

static void test_whole_bodies(void **state)
{
    static const struct {
        const char *path, *want;
    } rows[] = {
        { "/text", "ab" },
        { "/body", "5 true" },
        { "/used", "TypeError" },
        { "/locked", "true TypeError TypeError" },
        { "/cloned", "a a" },
        { "/released", "TypeError" },
        { "/order", "sppctrue" },
        { "/size", "abc 7" },
        { "/errored", "RangeError" },
        { "/request", "in pieces" },
        { "/left", "false true" },
        { "/bytes", "TypeError" },
        { "/again", "true true" },
        { "/iterator", "true TypeError Error bye false true" },
        { "/taken", "TypeError" },
    };
    (void)state;
    taker t;
    open_taker(&t, NULL);
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++)
        fixture_expect(&t.f, rows[i].path, "", rows[i].want);
    fixture_expect(&t.f, "/hand", "sent", "sent");
    fixture_close(&t.f);
}

static void test_request_body_goes_back(void **state)
{
    rd_err err = RD_ERR_INIT;
    encl_response response;
    bool has_background;
    (void)state;
    taker t;
    open_taker(&t, NULL);
    assert_int_equal(fixture_call(&t.f, "/back", "there and back", &response, &err), 0);
    assert_true(response.has_stream);
    assert_int_equal(encl_engine_stream(t.f.engine, &has_background, &err), 0);
    assert_string_equal(t.body, "there and back");
    fixture_close(&t.f);
}

static void test_caller_leaves(void **state)
{
    (void)state;
    taker t;
    open_taker(&t, NULL);
    assert_int_equal(stream(&t, "/leave", 4, NULL), RD_E_ENGINE_CANCELLED);
    assert_int_equal(t.pieces, 4);
    assert_non_null(strstr(t.f.log, "told AbortError"));
    assert_int_equal(stream(&t, "/idle", 1, NULL), RD_E_ENGINE_CANCELLED);
    assert_non_null(strstr(t.f.log, "told"));
    expect_stream(&t, "/whole", "one two three", 3);
    fixture_close(&t.f);
}

static void test_cut(void **state)
{
    static const encl_engine_limits limits = { .output_size = 350 };
    static const struct {
        const char *path;
        rd_code want;
        unsigned pieces;
    } rows[] = {
        { "/throws", RD_E_ENGINE_REJECTED, 2 }, { "/words", RD_E_ENGINE_REJECTED, 0 },
        { "/stuck", RD_E_ENGINE_STALLED, 1 },   { "/endless", RD_E_ENGINE_OUTPUT_LIMIT, 3 },
        { "/late", RD_E_ENGINE_TIME_LIMIT, 0 },
    };
    (void)state;
    taker t;
    open_taker(&t, &limits);
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        rd_code code = stream(&t, rows[i].path, 0, NULL);
        if (code != rows[i].want || t.pieces != rows[i].pieces)
            fail_msg("%s: code %d after %u pieces\n%s", rows[i].path, code, t.pieces, t.f.log);
    }
    expect_stream(&t, "/whole", "one two three", 3);
    fixture_close(&t.f);
}

static void test_background_goes_on(void **state)
{
    rd_err err = RD_ERR_INIT;
    bool has_background = false;
    (void)state;
    taker t;
    open_taker(&t, NULL);
    assert_int_equal(stream(&t, "/after", 0, &has_background), RD_OK);
    assert_string_equal(t.body, "one two three");
    assert_true(has_background);
    assert_null(strstr(t.f.log, "after"));
    assert_int_equal(encl_engine_finish(t.f.engine, &err), 0);
    assert_non_null(strstr(t.f.log, "after"));
    fixture_close(&t.f);
}

/* A body that was whole before the work beside it went wrong stays so. */
static void test_end_comes_before_what_fails(void **state)
{
    rd_err err = RD_ERR_INIT;
    bool has_background = false;
    const encl_engine_limits limits = { .time_us = 2000000 };
    (void)state;
    taker t;
    open_taker(&t, &limits);
    t.takes_all = true;
    assert_int_equal(stream(&t, "/crunch", 0, &has_background), RD_OK);
    assert_string_equal(t.body, "one two three");
    assert_true(has_background);
    assert_int_equal(encl_engine_finish(t.f.engine, &err), -1);
    assert_int_equal(err.code, RD_E_ENGINE_TIME_LIMIT);
    encl_engine_reset(t.f.engine);
    assert_int_equal(encl_engine_configure(t.f.engine, NULL, &(encl_engine_limits){ .time_us = 20000000 }, &err), 0);
    expect_stream(&t, "/whole", "one two three", 3);
    fixture_close(&t.f);
}

/* What a machine asks whose script broke out of the platform. */
static void test_hostile_questions(void **state)
{
    static const struct {
        const char *name;
        encl_stream_state before;
        uint32_t op;
        const char *question;
        size_t size;
        unsigned room;
        uint8_t want;
        encl_stream_state after;
    } rows[] = {
        { "opens", ENCL_STREAM_NONE, ENCL_ASK_OPEN, "", 0, 1, ENCL_ASK_OK, ENCL_STREAM_OPEN },
        { "opens twice", ENCL_STREAM_OPEN, ENCL_ASK_OPEN, "", 0, 1, ENCL_ASK_NOT_SUPPORTED, ENCL_STREAM_OPEN },
        { "opens while it runs", ENCL_STREAM_RUNS, ENCL_ASK_OPEN, "", 0, 1, ENCL_ASK_NOT_SUPPORTED, ENCL_STREAM_RUNS },
        { "writes unasked", ENCL_STREAM_NONE, ENCL_ASK_WRITE, "\1\0\0\0a", 5, 1, ENCL_ASK_OPERATION, ENCL_STREAM_NONE },
        { "writes too early", ENCL_STREAM_OPEN, ENCL_ASK_WRITE, "\1\0\0\0a", 5, 1, ENCL_ASK_OPERATION,
          ENCL_STREAM_OPEN },
        { "writes", ENCL_STREAM_RUNS, ENCL_ASK_WRITE, "\1\0\0\0a", 5, 1, ENCL_ASK_OK, ENCL_STREAM_RUNS },
        { "writes without room", ENCL_STREAM_RUNS, ENCL_ASK_WRITE, "\1\0\0\0a", 5, 0, ENCL_ASK_OPERATION,
          ENCL_STREAM_RUNS },
        { "writes too much", ENCL_STREAM_RUNS, ENCL_ASK_WRITE, "\5\0\0\0abcde", 9, 1, ENCL_ASK_QUOTA,
          ENCL_STREAM_TOO_LARGE },
        { "writes behind the end", ENCL_STREAM_ENDED, ENCL_ASK_WRITE, "\1\0\0\0a", 5, 1, ENCL_ASK_OPERATION,
          ENCL_STREAM_ENDED },
        { "a size without bytes", ENCL_STREAM_RUNS, ENCL_ASK_WRITE, "\3\0\0\0a", 5, 1, ENCL_ASK_TYPE,
          ENCL_STREAM_RUNS },
        { "bytes without a size", ENCL_STREAM_RUNS, ENCL_ASK_WRITE, "\1\0", 2, 1, ENCL_ASK_TYPE, ENCL_STREAM_RUNS },
        { "bytes behind", ENCL_STREAM_RUNS, ENCL_ASK_WRITE, "\1\0\0\0ab", 6, 1, ENCL_ASK_TYPE, ENCL_STREAM_RUNS },
        { "ends unasked", ENCL_STREAM_NONE, ENCL_ASK_END, "", 0, 1, ENCL_ASK_NOT_SUPPORTED, ENCL_STREAM_NONE },
        { "ends too early", ENCL_STREAM_OPEN, ENCL_ASK_END, "", 0, 1, ENCL_ASK_NOT_SUPPORTED, ENCL_STREAM_OPEN },
        { "ends", ENCL_STREAM_RUNS, ENCL_ASK_END, "", 0, 1, ENCL_ASK_OK, ENCL_STREAM_ENDED },
        { "ends what is too large", ENCL_STREAM_TOO_LARGE, ENCL_ASK_END, "", 0, 1, ENCL_ASK_NOT_SUPPORTED,
          ENCL_STREAM_TOO_LARGE },
        { "breaks", ENCL_STREAM_RUNS, ENCL_ASK_BREAK, "", 0, 1, ENCL_ASK_OK, ENCL_STREAM_BROKEN },
        { "ends what broke", ENCL_STREAM_BROKEN, ENCL_ASK_END, "", 0, 1, ENCL_ASK_NOT_SUPPORTED, ENCL_STREAM_BROKEN },
    };
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        taker t = { .room = rows[i].room };
        encl_engine engine = { .state = ENCL_ENGINE_USED,
                               .host = { .write = take, .room = room, .context = &t },
                               .limits = { .output_size = 8 },
                               .stream = rows[i].before,
                               .streamed = 4 };
        encl_engine_stream_ask(&engine, rows[i].op, rd_bytes_of(rows[i].question, rows[i].size));
        if (engine.reply.data[0] != rows[i].want || engine.stream != rows[i].after ||
            (t.pieces == 1) != (rows[i].op == ENCL_ASK_WRITE && rows[i].want == ENCL_ASK_OK))
            fail_msg("%s: answer %u, state %d, %u pieces", rows[i].name, engine.reply.data[0], engine.stream, t.pieces);
        rd_buf_done(&engine.reply);
    }
    /* While the module loads there is no answer. */
    encl_engine engine = { .state = ENCL_ENGINE_BLANK, .host = { .write = take, .room = room } };
    encl_engine_stream_ask(&engine, ENCL_ASK_OPEN, RD_BYTES_NULL);
    assert_int_equal(engine.reply.data[0], ENCL_ASK_NOT_SUPPORTED);
    assert_int_equal(engine.stream, ENCL_STREAM_NONE);
    rd_buf_done(&engine.reply);
}

/* Where nobody takes streams, a handler that answers with one fails, and whole bodies go on. */
static void test_without_a_taker(void **state)
{
    (void)state;
    fixture f = { .engine = NULL };
    fixture_start(&f, NULL, handler);
    fixture_refuse(&f, "/whole", RD_E_ENGINE_BAD_RESPONSE);
    fixture_expect(&f, "/text", "", "ab");
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_whole_bodies),
        cmocka_unit_test(test_request_body_goes_back),
        cmocka_unit_test(test_caller_leaves),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_background_goes_on),
        cmocka_unit_test(test_end_comes_before_what_fails),
        cmocka_unit_test(test_hostile_questions),
        cmocka_unit_test(test_without_a_taker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
