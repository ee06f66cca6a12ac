// Real evidence of real machines through the command: every case gives what its expect.json says, every mutation its class.
import { test } from "node:test";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { applyMutation, cases, mutations, vectorsRoot } from "../support/vectors.mjs";

const root = vectorsRoot();
const bin = join(process.env.REDOUBT_BIN ?? fileURLToPath(new URL("../../build/test/bin", import.meta.url)), "redoubt");
const skip = root ? false : "skipped: no vectors (set REDOUBT_VECTORS)";
if (skip) console.log(skip);

function run(...args) {
  return new Promise((resolve) => {
    execFile(bin, args, { maxBuffer: 1 << 22 }, (error, stdout, stderr) => resolve({ code: error ? error.code : 0, stdout, stderr }));
  });
}

async function verify(...args) {
  const { code, stdout, stderr } = await run("evidence", "verify", ...args, "--json");
  return { code, stderr, out: stdout ? JSON.parse(stdout) : null };
}

const classes = (expect) => [expect.error_class, ...(expect.also_acceptable ?? [])];

function checkAnswer(name, { code, out, stderr }) {
  assert.ok(out, `${name}: no JSON (${stderr})`);
  assert.equal(code, out.accepted ? 0 : 6, `${name}: exit code`);
  assert.equal(out.reason === null, out.accepted, `${name}: a reason stands beside a refusal alone`);
  assert.ok(!out.accepted || out.genuine, `${name}: only genuine evidence is accepted`);
}

for (const { name, dir, expect } of root ? cases(root) : []) {
  test(name, async () => {
    const answer = await verify(dir);
    checkAnswer(name, answer);
    const { out } = answer;
    assert.equal(out.tee, expect.tee);
    if (expect.error_class) {
      assert.equal(out.verdict, "Error");
      assert.ok(classes(expect).includes(out.error_class), `${name}: ${out.error_class}: ${out.reason.detail}`);
    } else {
      assert.equal(out.verdict, expect.verdict, `${name}: ${out.reason?.detail}`);
      if (!expect.default_policy) assert.equal(out.error_class, null);
      assert.deepEqual(new Set(out.advisory_ids), new Set(expect.advisory_ids ?? []));
    }
    if (expect.debug !== undefined) assert.equal(out.debug, expect.debug);
    for (const [field, value] of Object.entries(expect.fields ?? {})) assert.deepEqual(out.fields[field], value, `${name}: ${field}`);
    if (expect.replayed) assert.deepEqual(out.replayed, expect.replayed);
    if (expect.event_count) assert.equal(out.event_log.events, expect.event_count);
    if (expect.trailing_bytes) assert.equal(out.trailing_bytes, expect.trailing_bytes);
    if (expect.default_policy?.accept === false) {
      assert.equal(out.error_class, expect.default_policy.error_class);
      const allowed = await verify(dir, "--allow-debug");
      checkAnswer(name, allowed);
      assert.equal(allowed.out.verdict, expect.verdict);
      assert.equal(allowed.out.error_class, null);
    }
  });
}

for (const m of root ? mutations(root) : []) {
  test(`${m.id} ${m.case} ${m.op} ${m.what ?? ""}`, async () => {
    const { dir, flags, done } = applyMutation(root, m);
    try {
      const answer = await verify(dir, ...flags);
      checkAnswer(m.id, answer);
      const { out } = answer;
      const mayPass = m.error_class === null || m.allow_ok === true;
      if (mayPass && out.error_class === null) return;
      assert.ok(!out.accepted, `${m.id}: accepted`);
      assert.ok(classes(m).includes(out.error_class), `${m.id}: ${out.error_class} (${out.reason.code}: ${out.reason.detail}), expected ${classes(m)}`);
    } finally {
      done();
    }
  });
}

test("the vectors were there", { skip }, () => assert.ok(cases(root).length > 0));

test("a file alone, with its collateral beside it or without", { skip }, async () => {
  const { dir, expect } = cases(root).find(({ name, expect }) => name.startsWith("sgx/") && expect.verdict === "SWHardeningNeeded");
  const quote = join(dir, "quote.bin");
  const full = await verify(quote, "--collateral", dir, "--at", expect.verify_at);
  assert.equal(full.code, 0, full.out?.reason?.detail);
  assert.equal(full.out.verdict, expect.verdict);
  const bare = await verify(quote, "--at", expect.verify_at);
  assert.equal(bare.code, 6);
  assert.equal(bare.out.error_class, "CollateralMissing");
});

test("usage errors exit 2, a path that is not there 3", { skip }, async () => {
  const { dir } = cases(root)[0];
  assert.equal((await verify()).code, 2);
  assert.equal((await verify(dir, "--at", "yesterday")).code, 2);
  assert.equal((await verify(dir, "--trust-root", join(dir, "quote.bin"))).code, 2);
  assert.equal((await verify(dir, "--policy", join(dir, "tcb_info.json"))).code, 2);
  assert.equal((await verify(fileURLToPath(new URL(".", import.meta.url)))).code, 2);
  assert.equal((await verify("/nowhere/quote.bin")).code, 3);
});

test("what has no end is read to the limit and refused", async () => {
  const answer = await verify("/dev/zero");
  assert.equal(answer.code, 6);
  assert.equal(answer.out.error_class, "ParseError");
});

test("a raw TDREPORT is named as what it is", { skip }, async () => {
  const { dir } = cases(root).find(({ name }) => existsSync(join(root, name, "td_report.bin")));
  const answer = await verify(join(dir, "td_report.bin"));
  assert.equal(answer.code, 6);
  assert.equal(answer.out.reason.code, "evidence_type");
});

// GHCB's table of certificates, as the host puts it beside a report.
const guids = { vcek: "63da758de6644564adc5f4b93be8accd", ask: "4ab7b379bbac4fe4a02f05aef327c782", ark: "c0b406a4a80349529743 3fb6014cd0ae".replace(" ", "") };
function certTable(parts) {
  const entries = Object.entries(parts), table = Buffer.alloc(24 * (entries.length + 1));
  let at = table.length;
  entries.forEach(([name, bytes], i) => {
    Buffer.from(guids[name], "hex").copy(table, 24 * i);
    table.writeUInt32LE(at, 24 * i + 16);
    table.writeUInt32LE(bytes.length, 24 * i + 20);
    at += bytes.length;
  });
  return Buffer.concat([table, ...Object.values(parts)]);
}

test("a report with the host's certificate table, behind it or beside it as auxblob", { skip }, async () => {
  const { dir, expect } = cases(root).find(({ name, expect }) => name.startsWith("snp/") && expect.signing_key === "VCEK" && expect.verdict === "Verified");
  const der = (name) => Buffer.from(readFileSync(join(dir, name), "latin1").replace(/-----[^-]*-----|\s/g, ""), "base64");
  const table = certTable({ vcek: readFileSync(join(dir, "vcek.der")), ask: der("ask.pem"), ark: der("ark.pem") });
  const report = readFileSync(join(dir, "report.bin"));
  const folder = mkdtempSync(join(tmpdir(), "redoubt-table-"));
  writeFileSync(join(folder, "report"), Buffer.concat([report, table]));
  writeFileSync(join(folder, "outblob"), report);
  writeFileSync(join(folder, "auxblob"), table);
  try {
    for (const path of [join(folder, "report"), folder]) {
      const good = await verify(path, "--at", expect.verify_at);
      assert.equal(good.out.verdict, "Verified", good.out.reason?.detail);
    }
    const bad = {
      "a range past the end": (t) => t.writeUInt32LE(t.length, 16), "an unknown GUID": (t) => { t[0] ^= 1; },
      "a range inside the table": (t) => t.writeUInt32LE(8, 16), "two ranges over each other": (t) => t.writeUInt32LE(t.readUInt32LE(16), 40),
    };
    for (const [what, change] of Object.entries(bad)) {
      const broken = Buffer.from(table);
      change(broken);
      writeFileSync(join(folder, "auxblob"), broken);
      assert.equal((await verify(folder, "--at", expect.verify_at)).out.reason.code, "snp_certtable", what);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("show prints evidence also when it does not verify", { skip }, async () => {
  for (const { dir, expect } of cases(root)) {
    const shown = await run("evidence", "show", dir, "--json");
    assert.equal(shown.code, 0, dir);
    for (const [field, value] of Object.entries(expect.fields ?? {})) assert.deepEqual(JSON.parse(shown.stdout).fields[field], value);
    const text = await run("evidence", "show", dir);
    assert.equal(text.code, 0, dir);
    if (expect.fields?.report_data) assert.ok(text.stdout.includes(expect.fields.report_data));
  }
});
