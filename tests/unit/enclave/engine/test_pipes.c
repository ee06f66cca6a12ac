/* What joins streams: tee, pipeTo, pipeThrough, WritableStream, TransformStream. What each row gives is what Node.js 20
 * gives for the same text. */
#include "engine_fixture.h"

static const struct {
    const char *name, *body, *want;
} rows[] = {
    { "tee", "const [a, b] = from(1, 2, 3).tee(); return (await all(a)) + '|' + (await all(b))", "1,2,3|1,2,3" },
    { "tee locks",
      "const s = from(1), [a] = s.tee(); return s.locked + ' ' + (await caught(() => s.tee())) + ' ' + (await all(a))",
      "true TypeError 1" },
    { "tee gives an error to both",
      "const [a, b] = failing(1).tee(); return (await caught(all(a))) + ' ' + (await caught(all(b)))",
      "RangeError RangeError" },
    { "tee cancels when both do",
      "const log = [], [a, b] = endless(log).tee(), r = a.cancel('x'); await turn(); const before = log.length; await "
      "b.cancel('y'); await r; return before + log.join()",
      "0cancelled x,y" },
    { "tee goes on for one", "const [a, b] = from(1, 2).tee(); void a.cancel(); return all(b)", "1,2" },
    { "tee reasons",
      "let got; const [a, b] = new ReadableStream({ cancel(r) { got = r; } }).tee(); await Promise.all([a.cancel('x'), "
      "b.cancel('y')]); return String(got)",
      "x,y" },
    { "pipeTo", "const log = []; await from(1, 2).pipeTo(sink(log)); return log.join()", "1,2,closed" },
    { "pipeTo keeps open",
      "const log = [], to = sink(log); await from(1, 2).pipeTo(to, { preventClose: true }); await from(3).pipeTo(to); "
      "return log.join()",
      "1,2,3,closed" },
    { "pipeTo unlocks",
      "const a = from(1), b = sink([]), p = a.pipeTo(b), held = a.locked && b.locked; await p; return held + ' ' + "
      "(a.locked || b.locked)",
      "true false" },
    { "pipeTo of an error", "const log = []; return (await caught(failing(1, 2).pipeTo(sink(log)))) + ' ' + log.join()",
      "RangeError 1,2,aborted RangeError" },
    { "pipeTo of an error, kept",
      "const log = [], to = sink(log); const e = await caught(failing(1).pipeTo(to, { preventAbort: true })); await "
      "to.getWriter().close(); return e + ' ' + log.join()",
      "RangeError 1,closed" },
    { "pipeTo into an error",
      "const log = []; return (await caught(endless(log).pipeTo(sink(log, { write(x) { if (x === 2) throw new "
      "EvalError('full'); log.push(x); } })))) + ' ' + log.join()",
      "EvalError 0,1,cancelled EvalError" },
    { "pipeTo into an error, kept",
      "const log = [], s = endless(log); const e = await caught(s.pipeTo(sink([], { write() { throw new "
      "EvalError('full'); } }), { preventCancel: true })); return e + ' ' + log.length + (await "
      "s.getReader().read()).done",
      "EvalError 0false" },
    { "pipeTo of a stream that failed",
      "const s = new ReadableStream({ start(c) { c.error(new RangeError()); } }), log = []; return (await "
      "caught(s.pipeTo(sink(log)))) + ' ' + log.join()",
      "RangeError aborted RangeError" },
    { "pipeTo into a closed one",
      "const log = [], to = sink([]); await to.close(); return (await caught(endless(log).pipeTo(to))) + ' ' + "
      "log.join()",
      "TypeError cancelled TypeError" },
    { "pipeTo with a signal",
      "const log = [], c = new AbortController(), to = sink(log, { write(x) { log.push(x); if (x === 1) c.abort(new "
      "EvalError('stop')); } }); return (await caught(endless(log).pipeTo(to, { signal: c.signal }))) + ' ' + "
      "log.filter((x) => typeof x === 'string').sort().join()",
      "EvalError aborted EvalError,cancelled EvalError" },
    { "pipeTo aborted before",
      "const log = []; return (await caught(endless(log).pipeTo(sink(log), { signal: AbortSignal.abort(new "
      "EvalError('x')) }))) + ' ' + log.sort().join()",
      "EvalError aborted EvalError,cancelled EvalError" },
    { "pipeTo what is locked",
      "const s = from(1); s.getReader(); const w = sink([]); w.getWriter(); return [await caught(() => "
      "s.pipeTo(sink([]))), await caught(() => from(1).pipeTo(w)), await caught(() => from(1).pipeTo({}))].join()",
      "TypeError,TypeError,TypeError" },
    { "pipeTo waits for the sink",
      "let free, log = []; const to = sink(log, { write(x) { log.push(x); return new Promise((done) => { free = done; "
      "}); } }); let n = 0; const p = new ReadableStream({ pull(c) { n++; c.enqueue(n); if (n === 3) c.close(); } }, { "
      "highWaterMark: 0 }).pipeTo(to); await turn(); const before = n + ' ' + log.join(); free(); await turn(); "
      "free(); await turn(); free(); await p; return before + ' ' + log.join()",
      "1 1 1,2,3,closed" },
    { "pipeThrough", "return all(from('a', 'b').pipeThrough(upper()))", "A,B,!" },
    { "pipeThrough twice",
      "return all(from('a').pipeThrough(upper()).pipeThrough(new TransformStream()).pipeThrough(upper()))", "A,!,!" },
    { "pipeThrough of an error", "return caught(all(failing('a').pipeThrough(upper())))", "RangeError" },
    { "a transformation that throws",
      "const log = []; const e = await caught(all(endless(log).pipeThrough(upper({ transform() { throw new "
      "EvalError('no'); } })))); await turn(); return e + ' ' + log.join()",
      "EvalError cancelled EvalError" },
    { "a flush that throws",
      "return caught(all(from('a').pipeThrough(upper({ flush() { throw new EvalError('no'); } }))))", "EvalError" },
    { "who leaves ends the source",
      "const log = []; for await (const x of endless(log).pipeThrough(upper())) break; await turn(); return log.join()",
      "cancelled undefined" },
    { "a reason goes back",
      "let got; const s = new ReadableStream({ cancel(e) { got = e; } }).pipeThrough(new TransformStream()); await "
      "s.cancel('why'); await turn(); return got",
      "why" },
    { "terminate",
      "const log = []; const out = await all(endless(log).pipeThrough(upper({ transform(x, c) { if (x === 2) "
      "c.terminate(); else c.enqueue(x); } }))); await turn(); return out + ' ' + log.join()",
      "0,1 cancelled TypeError" },
    { "transform back-pressure",
      "let n = 0; const t = new TransformStream(), s = new ReadableStream({ pull(c) { c.enqueue(n++); } }, { "
      "highWaterMark: 0 }).pipeThrough(t), r = s.getReader(); await turn(); const a = n; await r.read(); await turn(); "
      "return a + ' ' + n",
      "1 2" },
    { "transform start",
      "const t = new TransformStream({ async start(c) { await turn(); c.enqueue('first'); } }); const w = "
      "t.writable.getWriter(); void w.write('second').catch(() => {}); void w.close().catch(() => {}); return "
      "all(t.readable)",
      "first,second" },
    { "transform cancel",
      "let got; const t = new TransformStream({ cancel(e) { got = e; } }); await t.readable.cancel('x'); return got",
      "x" },
    { "transform aborted",
      "let got; const t = new TransformStream({ cancel(e) { got = e; } }); await t.writable.abort(new EvalError('x')); "
      "return name(got) + ' ' + (await caught(all(t.readable)))",
      "EvalError EvalError" },
    { "transform error",
      "const t = new TransformStream({ transform(x, c) { c.error(new EvalError('x')); } }); const w = "
      "t.writable.getWriter(), r = t.readable.getReader(); void w.write(1).catch(() => {}); return (await "
      "caught(r.read())) + ' ' + (await caught(w.closed))",
      "EvalError EvalError" },
    { "writer order",
      "const log = [], w = sink(log).getWriter(); w.write(1); w.write(2); await w.close(); return log.join() + ' ' + "
      "(await caught(w.write(3))) + ' ' + (await caught(w.close()))",
      "1,2,closed TypeError TypeError" },
    { "writer sizes",
      "const w = new WritableStream({}, { highWaterMark: 3, size: (x) => x.length }).getWriter(); const a = "
      "w.desiredSize; w.write('ab'); const b = w.desiredSize; await w.ready; await turn(); return [a, b, "
      "w.desiredSize].join()",
      "3,1,3" },
    { "writer ready",
      "let free; const w = new WritableStream({ write: () => new Promise((done) => { free = done; }) }).getWriter(); "
      "let isReady = false; await w.ready; w.write(1); w.ready.then(() => { isReady = true; }); await turn(); const "
      "before = isReady; free(); await w.ready; return before + ' ' + isReady",
      "false true" },
    { "a sink that throws",
      "const w = new WritableStream({ write() { throw new EvalError('no'); } }).getWriter(); return [await "
      "caught(w.write(1)), await caught(w.write(2)), await caught(w.closed), await caught(w.ready)].join()",
      "EvalError,EvalError,EvalError,EvalError" },
    { "a sink that does not start",
      "const w = new WritableStream({ async start() { throw new EvalError('no'); } }).getWriter(); return [await "
      "caught(w.write(1)), await caught(w.closed)].join()",
      "EvalError,EvalError" },
    { "a sink that does not close",
      "const w = new WritableStream({ close() { throw new EvalError('no'); } }).getWriter(); return [await "
      "caught(w.close()), await caught(w.closed)].join()",
      "EvalError,EvalError" },
    { "abort",
      "const log = [], s = sink(log), w = s.getWriter(); await w.ready; void caught(w.write(1)); await w.abort(new "
      "EvalError('x')); return [log.join(), await caught(w.write(2)), await caught(w.closed)].join()",
      "1,aborted EvalError,EvalError,EvalError" },
    { "abort tells the signal",
      "let got; const s = new WritableStream({ start(c) { c.signal.addEventListener('abort', () => { got = "
      "name(c.signal.reason); }); } }); await turn(); await s.abort(new EvalError('x')); return got",
      "EvalError" },
    { "abort while it writes",
      "let free, log = []; const w = sink(log, { write: () => new Promise((done) => { free = done; }) }).getWriter(); "
      "const one = w.write(1), two = caught(w.write(2)); await turn(); const gone = w.abort(new EvalError('x')); await "
      "turn(); const before = log.length; free(); await one; await gone; return before + log.join() + ' ' + (await "
      "two)",
      "0aborted EvalError EvalError" },
    { "abort of a closed one", "const w = sink([]).getWriter(); await w.close(); return caught(w.abort('x'))",
      "fine undefined" },
    { "controller error",
      "let c; const w = new WritableStream({ start(given) { c = given; } }).getWriter(); await turn(); c.error(new "
      "EvalError('x')); return [await caught(w.closed), await caught(w.write(1)), w.desiredSize].join()",
      "EvalError,EvalError," },
    { "locked writers",
      "const s = sink([]), w = s.getWriter(); const a = await caught(() => s.getWriter()), b = await caught(() => "
      "s.close()), c = await caught(() => s.abort()); w.releaseLock(); return [a, b, c, s.locked, await caught(() => "
      "w.write(1)), await caught(w.closed)].join()",
      "TypeError,TypeError,TypeError,false,TypeError,TypeError" },
    { "a sink that is no object",
      "return [await caught(() => new WritableStream(null)), await caught(() => new WritableStream({ type: 'x' })), "
      "await caught(() => new WritableStream({ write: 1 })), await caught(() => new "
      "WritableStreamDefaultController())].join()",
      "TypeError,RangeError,TypeError,TypeError" },
    { "text over cuts",
      "const t = bytes(0xe2, 0x82).constructor === Uint8Array; return t + await all(from(bytes(0x61, 0xe2), "
      "bytes(0x82), bytes(0xac)).pipeThrough(new TextDecoderStream()))",
      "truea,\xe2\x82\xac" },
    { "fatal text",
      "return caught(all(from(bytes(0xff)).pipeThrough(new TextDecoderStream('utf-8', { fatal: true }))))",
      "TypeError" },
    { "text that ends in a cut",
      "return escape(await all(from(bytes(0x61, 0xe2)).pipeThrough(new TextDecoderStream())))", "a%2C%uFFFD" },
    { "text to bytes",
      "return (await all(from('a\\ud83d', '\\ude00', '\\ud83d').pipeThrough(new TextEncoderStream())))",
      "97,240,159,152,128,239,191,189" },
    { "lines",
      "let rest = ''; const lines = new TransformStream({ transform(x, c) { const parts = (rest + x).split('\\n'); "
      "rest = parts.pop(); parts.forEach((p) => c.enqueue('[' + p + ']')); } }); return all(from('a\\nb', "
      "'c\\nd\\n').pipeThrough(lines))",
      "[a],[bc],[d]" },
    { "strategies",
      "const b = new ByteLengthQueuingStrategy({ highWaterMark: 5 }), c = new CountQueuingStrategy({ highWaterMark: 2 "
      "}); return [b.highWaterMark, b.size(bytes(1, 2)), c.highWaterMark, c.size('xx')].join()",
      "5,2,2,1" },
    { "a response is cloned",
      "const r = new Response(from(bytes(104, 105))), copy = r.clone(); return (await copy.text()) + (await r.text()) "
      "+ ' ' + (await caught(() => r.clone()))",
      "hihi TypeError" },
    { "a body goes through",
      "return new Response(from('a', 'b').pipeThrough(upper()).pipeThrough(new TextEncoderStream())).text()", "AB!" },
    { "names",
      "return [WritableStream, WritableStreamDefaultWriter, WritableStreamDefaultController, TransformStream, "
      "TransformStreamDefaultController, TextDecoderStream, TextEncoderStream].every((f) => typeof f === 'function' && "
      "!Object.keys(globalThis).includes(f.name))",
      "true" },
};

static const char prelude[] =
    "const from = (...v) => new ReadableStream({ start(c) { for (const x of v) c.enqueue(x); c.close(); } });\n"
    "const failing = (...v) => new ReadableStream({ pull(c) { if (v.length) c.enqueue(v.shift()); else c.error(new "
    "RangeError('source')); } });\n"
    "const endless = (log, n = 0) => new ReadableStream({ pull(c) { c.enqueue(n++); }, cancel(e) { log.push('cancelled "
    "' + name(e)); } });\n"
    "const sink = (log, more) => new WritableStream({ write(x) { log.push(x); }, close() { log.push('closed'); }, "
    "abort(e) { log.push('aborted ' + name(e)); }, ...more });\n"
    "const name = (e) => e?.name === 'Error' ? e.message : (e?.name ?? String(e));\n"
    "const caught = (p) => Promise.try(() => typeof p === 'function' ? p() : p).then((v) => 'fine ' + v, name);\n"
    "const all = async (s) => { const out = []; for await (const x of s) out.push(x); return out.join(); };\n"
    "const turn = () => new Promise((done) => setTimeout(done, 1));\n"
    "const upper = (more) => new TransformStream({ transform(x, c) { c.enqueue(String(x).toUpperCase()); }, flush(c) { "
    "c.enqueue('!'); }, ...more });\n"
    "const bytes = (...v) => new Uint8Array(v);\n";

static void load(fixture *f)
{
    RD_CLEANUP(rd_buf_done) rd_buf source = { 0 };

    rd_buf_append_str(&source, prelude);
    rd_buf_append_str(&source, "const rows = [\n");
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++)
        rd_buf_printf(&source, "async () => { %s },\n", rows[i].body);
    rd_buf_append_str(&source, "];\nexport default async (request) => new Response(String(await rows[new "
                               "URL(request.url).searchParams.get('i')]()));");
    fixture_start(f, NULL, rd_buf_text(&source));
}

static void test_rows(void **state)
{
    fixture f = { 0 };
    char path[32];

    (void)state;
    load(&f);
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        print_message("%s\n", rows[i].name);
        (void)snprintf(path, sizeof(path), "/?i=%zu", i);
        fixture_expect(&f, path, "", rows[i].want);
    }
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
