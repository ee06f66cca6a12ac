// The verifier as an installed library: its tree in a prefix of its own, the example built against nothing else, and run.
import { test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cases, vectorsRoot } from "../support/vectors.mjs";

const checkout = fileURLToPath(new URL("../..", import.meta.url));
const build = dirname(process.env.REDOUBT_BIN ?? join(checkout, "build/test/bin"));
const root = vectorsRoot();
const folder = mkdtempSync(join(tmpdir(), "redoubt-library-"));
process.on("exit", () => rmSync(folder, { recursive: true }));

const prefix = join(folder, "prefix"), example = join(folder, "verify");
const pkgConfig = (...args) => {
  const lib = readdirSync(join(prefix, "lib"), { recursive: true }).find((name) => name.endsWith("redoubt-attest.pc"));
  return execFileSync("pkg-config", [...args, "redoubt-attest"], { encoding: "utf8", env: { ...process.env, PKG_CONFIG_PATH: dirname(join(prefix, "lib", lib)) } }).trim().split(/\s+/);
};
// A build with sanitizers needs them at the link, too.
const extra = execFileSync("cmake", ["-LA", "-N", build], { encoding: "utf8" }).includes("REDOUBT_ASAN:BOOL=ON") ? ["-fsanitize=address,undefined"] : [];
const compile = (source, ...flags) => spawnSync("cc", ["-std=c11", "-Wall", "-Wextra", "-Werror", ...flags, source, ...pkgConfig("--cflags", "--libs"), ...extra], { encoding: "utf8", cwd: folder });

test("installs alone: library, headers, pkg-config", () => {
  execFileSync("cmake", ["--build", build, "--target", "redoubt_attest"], { stdio: "ignore" });
  execFileSync("cmake", ["--install", build, "--component", "attest", "--prefix", prefix], { stdio: "ignore" });
  assert.ok(existsSync(join(prefix, "include/redoubt/redoubt_attest.h")));
  assert.ok(!existsSync(join(prefix, "bin")));
  assert.match(pkgConfig("--modversion")[0], /^\d+\.\d+\.\d+$/);
});

test("the example builds against the installed tree alone, and a header of ours is found nowhere else", () => {
  const built = compile(join(checkout, "examples/verify-quote/verify.c"), "-o", example);
  assert.equal(built.status, 0, built.stderr);
  writeFileSync(join(folder, "headers.c"), "#include <redoubt_attest.h>\nint main(void) { return 0; }\n");
  const headers = compile("headers.c", "-M");
  assert.equal(headers.status, 0, headers.stderr);
  assert.ok(!headers.stdout.includes(`${checkout}attest/`) && !headers.stdout.includes(`${checkout}common/`));
});

test("it judges real quotes as their cases say", { skip: !root && "skipped: no vectors (set REDOUBT_VECTORS)" }, () => {
  let judged = 0;
  for (const { name, dir, expect } of cases(root)) {
    if (!existsSync(join(dir, "quote.bin")) || !existsSync(join(dir, "tcb_info.json"))) continue;
    const { stdout, status, stderr } = spawnSync(example, [dir, expect.verify_at], { encoding: "utf8" });
    assert.ok(status === 0 || status === 6, `${name}: ${status} ${stderr}`);
    assert.equal(stdout.split(",")[0], expect.error_class ? "Error" : expect.verdict, name);
    judged++;
  }
  assert.ok(judged > 10);
  assert.equal(spawnSync(example, [folder]).status, 6);
});
