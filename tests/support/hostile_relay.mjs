// A plane that lies: stands before the API and the apps' origin, keeps what it sees, and changes what a test tells it to. The command
// line knows it as its API; apps' addresses are rewritten so that calls pass through it as well.
import { createServer, request } from "node:http";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join, dirname } from "node:path";

export class HostileRelay {
  static async start(stack) {
    const relay = new HostileRelay();
    relay.stack = stack;
    relay.reset();
    relay.server = createServer((incoming, outgoing) => relay.#serve(incoming, outgoing).catch(() => outgoing.destroy())).listen(0, "127.0.0.1");
    await once(relay.server, "listening");
    relay.port = relay.server.address().port;
    relay.profile = join(dirname(stack.profile), "hostile.json");
    writeFileSync(relay.profile, JSON.stringify({ ...JSON.parse(readFileSync(stack.profile)), api: `http://127.0.0.1:${relay.port}` }));
    return relay;
  }

  // onRequest(x) may change x = {isApp, method, path, headers, body} or return an answer; onAnswer(x, answer) may change {status, headers,
  // body} or set cut: the number of bytes after which the connection breaks.
  reset(hooks = {}) {
    this.seen = [];
    this.hooks = hooks;
    return this;
  }

  cli(...args) { return this.stack.cli(...args, { env: { REDOUBT_PROFILE: this.profile } }); }

  // Passes one request on, as an honest relay would.
  forward(x) {
    return new Promise((done, failed) => {
      const port = x.isApp ? this.stack.ports.apps : this.stack.ports.api;
      const outgoing = request({ host: "127.0.0.1", port, method: x.method, path: x.path, headers: { ...x.headers, "content-length": x.body.length } }, async (response) => {
        const parts = [];
        try { for await (const part of response) parts.push(part); } catch (error) { return void failed(error); }
        done({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts) });
      });
      outgoing.on("error", failed);
      outgoing.end(x.body);
    });
  }

  async #serve(incoming, outgoing) {
    const parts = [];
    for await (const part of incoming) parts.push(part);
    const x = { isApp: /^app-/.test(incoming.headers.host), method: incoming.method, path: incoming.url, headers: { ...incoming.headers }, body: Buffer.concat(parts) };
    if (x.isApp) x.headers.host = x.headers.host.replace(/:\d+$/, "");
    this.seen.push(x);
    const answer = (await this.hooks.onRequest?.(x)) || (await this.forward(x));
    x.answer = { ...answer };
    if (!x.isApp && /json/.test(answer.headers["content-type"] || "")) answer.body = Buffer.from(answer.body.toString().replaceAll(`localhost:${this.stack.ports.apps}`, `localhost:${this.port}`));
    await this.hooks.onAnswer?.(x, answer);
    outgoing.writeHead(answer.status, { ...answer.headers, "content-length": answer.body.length, connection: "close" });
    if (answer.cut === undefined) return void outgoing.end(answer.body);
    outgoing.write(answer.body.subarray(0, answer.cut), () => outgoing.destroy());
    if (answer.cut === 0) outgoing.flushHeaders();
  }

  sealed() { return this.seen.filter((x) => x.path === "/.well-known/redoubt/sealed"); }
  async close() { this.server.close(); this.server.closeAllConnections(); await once(this.server, "close"); }
}
