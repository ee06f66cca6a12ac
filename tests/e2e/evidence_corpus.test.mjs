// The generated corpus (tests/corpus) through the command, under its own roots: each sentence once, for the first family of
// evidence that has it. All cases of all families run in tests/unit/attest/test_corpus.c.
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const checkout = fileURLToPath(new URL("../..", import.meta.url));
const bin = join(process.env.REDOUBT_BIN ?? join(checkout, "build/test/bin"), "redoubt");
const work = mkdtempSync(join(tmpdir(), "redoubt-corpus-"));
process.on("exit", () => rmSync(work, { recursive: true, force: true }));

const generate = (out, ...args) => execFileSync(process.execPath, [join(checkout, "tests/corpus/generate.mjs"), "--out", out, ...args]);
const corpus = join(work, "corpus");
generate(corpus);
const cases = JSON.parse(readFileSync(join(corpus, "index.json"))).map((name) => ({ name, dir: join(corpus, name), expect: JSON.parse(readFileSync(join(corpus, name, "expect.json"))) }));

function verify(dir, ...flags) {
  return new Promise((resolve) => {
    execFile(bin, ["evidence", "verify", dir, "--json", ...flags], { maxBuffer: 1 << 22 }, (error, stdout, stderr) => {
      resolve({ code: error ? error.code : 0, out: stdout ? JSON.parse(stdout) : null, stderr });
    });
  });
}

async function check({ name, dir, expect }) {
  const policy = join(dir, "policy.json");
  const { code, out, stderr } = await verify(dir, "--trust-root", join(dir, "trust_root.pem"), ...(existsSync(policy) ? ["--policy", policy] : []), ...(expect.flags ?? []));
  assert.ok(out, `${name}: no JSON (${stderr})`);
  const why = `${name}: ${out.reason?.code}: ${out.reason?.detail}`;
  assert.equal(out.reason?.code ?? null, expect.code, why);
  for (const member of ["verdict", "error_class", "genuine", "accepted"]) assert.equal(out[member], expect[member], why);
  assert.equal(code, expect.accepted ? 0 : 6, why);
  assert.deepEqual([...out.advisory_ids].sort(), [...expect.advisory_ids].sort(), why);
  if (out.genuine) assert.equal(out.tee, expect.tee);
  if (out.genuine) assert.equal(out.class, "simulated");
  assert.equal(out.debug, expect.debug ?? out.debug, why);
  if (expect.replayed) assert.deepEqual(out.replayed, expect.replayed);
  if (expect.event_count) assert.equal(out.event_log.events, expect.event_count);
  if (expect.trailing_bytes) assert.equal(out.trailing_bytes, expect.trailing_bytes);
  if (expect.convention) assert.equal(out.convention, expect.convention);
}

const sentences = new Set();
const firstOf = ({ expect }) => !sentences.has(expect.what.split(", ")[0]) && sentences.add(expect.what.split(", ")[0]);
describe("corpus", { concurrency: 4 }, () => {
  for (const one of cases.filter(firstOf)) test(`${one.expect.what} [${one.name}]`, () => check(one));
});

test("without the root of the corpus nothing is genuine", async () => {
  for (const one of cases.filter(({ expect }) => expect.accepted && !expect.flags).slice(0, 20)) {
    const { out } = await verify(one.dir);
    assert.equal(out.genuine, false, one.name);
    assert.equal(out.error_class, "UntrustedRoot", one.name);
  }
});

// --- docs/bad-input.md ---

const rows = readFileSync(join(checkout, "docs/bad-input.md"), "utf8").matchAll(/^\| ([A-Z])(\d+) \| [^|]+ \| ([^|]*) \| ([^|]+) \|$/gm);
const matrix = [...rows].map(([, letter, number, codes, where]) => ({ letter, number: Number(number), row: letter + number, codes: codes.trim().split(" "), where: where.trim() }));
const names = {
  rows: ["tests/unit/attest/test_rows.c", "tests/unit/attest/test_rows_tcb.c"],
  test_channel: ["tests/unit/attest/test_channel.c"],
  test_nonce_tree: ["tests/unit/common/model/test_nonce_tree.c"],
  test_evidence: ["tests/unit/common/model/test_evidence.c"],
  "e2e sealed": ["tests/e2e/sealed.test.mjs"],
  "e2e passthrough": ["tests/e2e/passthrough.test.mjs"],
  "e2e passthrough_h2": ["tests/e2e/passthrough_h2.test.mjs"],
  "e2e websocket": ["tests/e2e/websocket.test.mjs"],
};

test("no row of the matrix is left out", () => {
  for (const [letter, count] of Object.entries({ A: 16, B: 11, C: 16, D: 18, E: 12, F: 6, G: 17, I: 17, J: 16 }))
    assert.deepEqual(matrix.filter((r) => r.letter === letter).map((r) => r.number), Array.from({ length: count }, (_, i) => i + 1), letter);
});

test("every row of the matrix has the tests that it names", () => {
  for (const { row, where } of matrix.filter((r) => !r.where.startsWith("none")))
    for (const place of where.split(", ")) {
      if (place === "corpus") assert.ok(cases.some(({ expect }) => expect.row === row && !expect.accepted), `${row}: no case of the corpus`);
      else assert.ok((names[place] ?? [place]).some((file) => readFileSync(join(checkout, file), "utf8").includes(`${row} `)), `${row}: ${place}`);
    }
});

test("every refusal of the corpus stands in its row", () => {
  for (const { name, expect } of cases.filter(({ expect }) => expect.row && expect.code && !expect.what.includes("(ok)")))
    assert.ok(matrix.find((r) => r.row === expect.row)?.codes.includes(expect.code), `${name}: ${expect.code}`);
});

test("the corpus is the same on every run, and another with another seed", () => {
  const [again, other] = [join(work, "again"), join(work, "other")];
  generate(again, "--only", "good");
  const good = cases.filter(({ name }) => name.includes("good"));
  assert.ok(good.length > 20);
  for (const { name, dir } of good)
    for (const file of readdirSync(dir)) assert.deepEqual(readFileSync(join(again, name, file)), readFileSync(join(dir, file)), `${name}/${file}`);
  // One TEE alone: with another seed RSA keys have to be searched for.
  generate(other, "--only", "sgx/good-sgx3", "--seed", "another");
  assert.notDeepEqual(readFileSync(join(other, "sgx/good-sgx3/quote.bin")), readFileSync(join(corpus, "sgx/good-sgx3/quote.bin")));
});
