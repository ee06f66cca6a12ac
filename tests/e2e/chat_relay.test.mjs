// The example chat-relay in `redoubt dev`, against a model of the test's own behind TLS: each word reaches the caller before the next exists.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BIN, ROOT } from "../support/stack.mjs";

let dir, model, dev, url, asked;
before(async () => {
  dir = mkdtempSync(join(tmpdir(), "rd-chat-"));
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem", "-out", "ca.pem", "-days", "30",
    "-subj", "/CN=model", "-addext", "subjectAltName=DNS:localhost"], { cwd: dir, stdio: "ignore" });
  const ca = readFileSync(join(dir, "ca.pem"), "utf8");
  model = createServer({ key: readFileSync(join(dir, "key.pem")), cert: ca }, async (incoming, response) => {
    let text = "";
    for await (const part of incoming) text += part;
    asked = { body: JSON.parse(text), key: incoming.headers.authorization };
    if (asked.body.messages[0].content === "fail") return response.writeHead(429).end();
    response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
    model.emit("answer", response);
  }).listen(0, "127.0.0.1");
  await once(model, "listening");
  const host = `localhost:${model.address().port}`;
  copyFileSync(join(ROOT, "examples/chat-relay/index.js"), join(dir, "index.js"));
  writeFileSync(join(dir, "redoubt.json"), JSON.stringify({ name: "chat", env: { URL: `https://${host}/v1`, MODEL: "m" }, egress: [{ host, ca, secrets: ["MODEL_KEY"] }] }));
  writeFileSync(join(dir, "secrets.json"), JSON.stringify({ MODEL_KEY: "k3y" }));
  dev = spawn(join(BIN, "redoubt"), ["dev", dir, "--port", "0", "--secrets", join(dir, "secrets.json")], { stdio: ["ignore", "pipe", "ignore"] });
  url = String((await once(dev.stdout, "data"))[0]).trim();
}, { timeout: 180000 });
after(async () => {
  if (dev?.exitCode === null) { dev.kill(); await once(dev, "exit"); }
  model?.closeAllConnections();
  model?.close();
  if (dir) rmSync(dir, { recursive: true });
});

async function ask(prompt) {
  const outgoing = request(url, { method: "POST", agent: false });
  outgoing.end(prompt);
  return (await once(outgoing, "response"))[0];
}
const event = (word) => `data: ${JSON.stringify({ choices: [{ delta: { content: word } }] })}\n\n`;

test("words come one by one, over events cut anywhere, and end with the model's", { timeout: 180000 }, async () => {
  const answer = once(model, "answer"), response = await ask("why?"), [stream] = await answer;
  assert.deepEqual(asked, { key: "Bearer k3y", body: { model: "m", stream: true, messages: [{ role: "user", content: "why?" }] } });
  for (const word of ["Because", " it's", " blue: \u{1f499}"]) {
    const bytes = Buffer.from(event(word)), cut = bytes.length - 12;
    stream.write(bytes.subarray(0, cut));
    stream.write(bytes.subarray(cut));
    assert.equal(String((await once(response, "data"))[0]), word);
  }
  stream.write("data: [DONE]\n\n"); // and does not close
  for await (const more of response) assert.fail(String(more));
  assert.equal(response.complete, true);
});
test("what the model refuses, and what is no prompt, is said", { timeout: 180000 }, async () => {
  for (const [prompt, status] of [["fail", 502], ["", 400], ["x".repeat(40000), 400]]) {
    const response = await ask(prompt);
    response.resume();
    assert.equal(response.statusCode, status);
  }
});
test("a caller who leaves ends the request to the model", { timeout: 180000 }, async () => {
  const answer = once(model, "answer"), response = await ask("why?"), [stream] = await answer;
  response.on("error", () => {});
  const closed = once(stream, "close");
  response.destroy();
  await closed;
});
