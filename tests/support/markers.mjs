// Looks for texts that must be nowhere: in files, in recorded traffic, and in the memory of living processes.
import { closeSync, openSync, readFileSync, readSync, readdirSync } from "node:fs";
import { join } from "node:path";

const PIECE = 1 << 22;

// A text in the forms that it may have on its way: as it is, in hexadecimal, in UTF-16, and in base64 wherever it begins there.
function forms(text) {
  const plain = Buffer.from(text), all = [plain, Buffer.from(plain.toString("hex")), Buffer.from(plain.toString("hex").toUpperCase()), Buffer.from(text, "utf16le")];
  for (const before of [0, 1, 2]) {
    const whole = Buffer.concat([Buffer.alloc(before), plain]);
    // Only the letters that the text alone decides.
    const base64 = whole.toString("base64").slice(Math.ceil(before * 8 / 6), Math.floor(whole.length * 8 / 6));
    all.push(Buffer.from(base64), Buffer.from(base64.replaceAll("+", "-").replaceAll("/", "_")));
  }
  return all;
}

export class Markers {
  // texts: name -> text.
  constructor(texts) {
    this.needles = Object.entries(texts).flatMap(([name, text]) => forms(text).map((bytes) => ({ name, bytes })));
    this.overlap = Math.max(...this.needles.map(({ bytes }) => bytes.length));
  }

  #in(bytes) { return this.needles.filter((needle) => bytes.includes(needle.bytes)).map(({ name }) => name); }

  // Every file below a folder, as "name in path".
  files(folder, isSkipped = () => false) {
    const found = [];
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (isSkipped(path)) continue;
      if (entry.isDirectory()) found.push(...this.files(path, isSkipped));
      else if (entry.isFile()) {
        let bytes;
        try { bytes = readFileSync(path); } catch (error) { if (error.code === "ENOENT") continue; throw error; }
        found.push(...this.#in(bytes).map((name) => `${name} in ${path}`));
      }
    }
    return found;
  }

  // All readable memory of a process, as "name in the memory of …".
  memory(pid, what) {
    const found = new Set(), mem = openSync(`/proc/${pid}/mem`, "r"), piece = Buffer.alloc(this.overlap + PIECE);
    try {
      for (const line of readFileSync(`/proc/${pid}/maps`, "utf8").split("\n")) {
        const [, start, end, mode] = line.match(/^([0-9a-f]+)-([0-9a-f]+) (\S+)/) || [];
        if (!start || mode[0] !== "r" || line.includes("[v")) continue;
        let kept = 0;
        for (let at = BigInt("0x" + start); at < BigInt("0x" + end);) {
          const wanted = Number(BigInt("0x" + end) - at);
          let size = 0;
          try { size = readSync(mem, piece, kept, Math.min(wanted, PIECE), at); } catch { /* a page that is not there any more */ }
          if (size <= 0) break;
          for (const name of this.#in(piece.subarray(0, kept + size))) found.add(`${name} in the memory of ${what}`);
          const keep = Math.min(kept + size, this.overlap - 1);
          piece.copy(piece, 0, kept + size - keep, kept + size);
          kept = keep;
          at += BigInt(size);
        }
      }
    } finally { closeSync(mem); }
    return [...found];
  }
}

// A process and all that it started.
export function family(pid) {
  const children = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === pid ? [Number(name)] : [];
    } catch { return []; }
  });
  return [pid, ...children.flatMap(family)];
}
