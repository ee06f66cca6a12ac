// An owner's webhook: says yes or no to each grant of an app's keys, by a rule. node server.mjs KEY.pem RULES.json [PORT]
import { createHash, createPrivateKey, createPublicKey, sign } from "node:crypto";
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

// The one framing of all that is signed or hashed (docs/protocol/formats.md).
const u64 = (n) => { const out = Buffer.alloc(8); out.writeBigUInt64BE(BigInt(n)); return out; };
const frame = (kind, label, part) => Buffer.concat([Buffer.from(`redoubt\0${kind}\0${label}\0\0\0\0\x01`, "latin1"), u64(part.length), part]);

// The 32 bytes of an id: its prefix of four letters, then base32 in lower case.
function idBytes(id) {
  let bits = "";
  for (const letter of id.slice(4)) bits += "abcdefghijklmnopqrstuvwxyz234567".indexOf(letter).toString(2).padStart(5, "0");
  return Buffer.from(bits.slice(0, 256).match(/.{8}/g).map((byte) => parseInt(byte, 2)));
}

// The answer to a question: decide(statement) gives {allow: true, term?} or {allow: false, reason?}. What the statement says is the instance's word;
// a yes counts only where the key service finds it true, under the owner's policy, in evidence of this very statement.
export function answer(question, key, decide) {
  const type = "redoubt/webhook-answer/v1", bytes = Buffer.from(question.statement, "base64url"), statement = JSON.parse(bytes);
  const own = createPublicKey(key).export({ format: "jwk" }).x;
  if (question.type !== "redoubt/webhook-question/v1" || statement.purpose !== "grant" || statement.kms.length !== 1 || statement.kms[0] !== question.kms) throw new Error("no question for a grant");
  if (question.key !== own) return { type, allow: false, reason: "the policy names another key" };
  const { allow, term, reason } = decide(statement);
  if (!allow) return { type, allow, reason };
  const digest = createHash("sha256").update(frame("hash", "statement-v1", bytes)).digest();
  const message = Buffer.concat([idBytes(question.kms), digest, u64(term ?? 0)]);
  return { type, allow, signature: sign(null, frame("sign", "webhook-v1", message), key).toString("base64url"), ...(term ? { term } : {}) };
}

// At most so many instances of each app hold keys at a time: {"app_…": {"instances": 2, "term": 3600}}. An instance that asks again keeps its place.
export function byRules(rules, now = Date.now) {
  const held = new Map(); // instance → when its grant ends
  return (statement) => {
    const { instances, term } = rules[statement.app] ?? {};
    if (!instances) return { allow: false, reason: "no rule for this app" };
    const others = [...held].filter(([name, one]) => one.app === statement.app && one.until > now() && name !== statement.instance);
    if (others.length >= instances) return { allow: false, reason: `${instances} instances have keys already` };
    held.set(statement.instance, { app: statement.app, until: now() + term * 1000 });
    return { allow: true, term };
  };
}

export function serve(key, decide, port, host) {
  return createServer(async (request, response) => {
    const parts = [];
    let size = 0;
    for await (const part of request) if ((size += part.length) > 163840) return void request.destroy(); else parts.push(part);
    let said;
    try { said = answer(JSON.parse(Buffer.concat(parts)), key, decide); } catch (error) { return void response.writeHead(400).end(error.message + "\n"); }
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(said));
  }).listen(port, host);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [key, rules, port = "8470"] = process.argv.slice(2);
  serve(createPrivateKey(readFileSync(key)), byRules(JSON.parse(readFileSync(rules))), Number(port), "127.0.0.1");
}
