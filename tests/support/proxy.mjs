// A proxy of streams between two processes, TCP or unix socket, that a test may slow down, cut, record, and look into. It runs in a
// thread of its own: a test's own calls block.
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { createServer, connect } from "node:net";
import { once } from "node:events";
import { appendFileSync } from "node:fs";

export class Proxy {
  // listen, target: what net.listen and net.connect take ({port, host} or {path}). record: a file that all bytes are added to, each
  // direction of each stream apart (record.1, record.2 …).
  static async start(listen, target, record) {
    const proxy = new Proxy();
    proxy.worker = new Worker(new URL(import.meta.url), { workerData: { listen, target, record } });
    [proxy.port] = await once(proxy.worker, "message");
    return proxy;
  }

  #tell(order) { this.worker.postMessage(order); }

  // Each piece waits so long, in both directions; order stays.
  delay(ms) { this.#tell({ delayMs: ms }); }
  // Ends every stream at once, wherever in a message it is.
  drop() { this.#tell({ drops: true }); }
  // No stream passes until open().
  cut() { this.#tell({ isCut: true, drops: true }); }
  open() { this.#tell({ isCut: false }); }
  // The first stream whose client has sent all of these texts hears no answer from then on, until drop(); resolves at that moment.
  deafen(...texts) { this.#tell({ texts }); return once(this.worker, "message"); }
  async close() { await this.worker.terminate(); }
}

function serve({ listen, target, record }) {
  const state = { delayMs: 0, isCut: false, texts: null }, pairs = new Set();
  let records = 0;
  // In order; a look that answers false swallows the piece.
  const pass = (from, to, look) => {
    let last = Promise.resolve();
    const file = record ? `${record}.${++records}` : null;
    from.on("data", (bytes) => {
      if (file) appendFileSync(file, bytes);
      const due = Date.now() + state.delayMs;
      last = last.then(async () => {
        if (due > Date.now()) await new Promise((done) => setTimeout(done, due - Date.now()));
        if (look(bytes) && !to.destroyed) to.write(bytes);
      });
    });
    from.on("end", () => { last = last.then(() => to.end()); });
  };
  const watch = (pair, bytes) => {
    if (!state.texts) return true;
    pair.seen = new Set([...(pair.seen || []), ...state.texts.filter((text) => bytes.includes(text))]);
    if (pair.seen.size < state.texts.length) return true;
    state.texts = null;
    pair.isDeaf = true;
    parentPort.postMessage("deaf");
    return true;
  };
  const server = createServer({ allowHalfOpen: true }, (client) => {
    if (state.isCut) { client.destroy(); return; }
    const upstream = connect(target), pair = { isDeaf: false };
    pair.end = () => { client.destroy(); upstream.destroy(); pairs.delete(pair); };
    pairs.add(pair);
    for (const socket of [client, upstream]) socket.on("error", pair.end).on("close", pair.end);
    pass(client, upstream, (bytes) => watch(pair, bytes));
    pass(upstream, client, () => !pair.isDeaf);
  });
  parentPort.on("message", ({ drops, ...changes }) => {
    Object.assign(state, changes);
    if (drops) for (const pair of [...pairs]) pair.end();
  });
  server.listen(listen, () => parentPort.postMessage(server.address().port));
}

if (!isMainThread && workerData?.target) serve(workerData);
