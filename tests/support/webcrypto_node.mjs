// webcrypto_node: Node's side of webcrypto_peer.mjs. `make` prints what Node made, `check FILE` what it thinks of what
// the engine made. Used by tests/unit/enclave/engine/test_subtle.c.
import { webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";
import { check, make } from "./webcrypto_peer.mjs";

if (process.argv[2] === "make") {
  process.stdout.write(JSON.stringify(await make(webcrypto)));
} else {
  const { count, wrong } = await check(webcrypto, JSON.parse(readFileSync(process.argv[3], "utf8")));
  console.log(`${count} checked, ${wrong.length} wrong${wrong.map((name) => `\n${name}`).join("")}`);
}
