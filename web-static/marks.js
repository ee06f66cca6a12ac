// marks: verdicts as word, shape and line; the seal shapes; the star fort; the fuse of a proof's age.
// A page that the plane served never says "proved here": what passes is simulated, or reported by the plane. Only the command line's own
// verifier, which `redoubt dashboard` asks, gives that mark.
import { h, svg, plural } from "./dom.js";

const FILLED = { fill: "currentColor", stroke: "currentColor", "stroke-linejoin": "round" };
const DRAWN = { fill: "none", stroke: "currentColor", "stroke-width": 1.6 };
const CUT = { fill: "none", stroke: "var(--surface)", "stroke-width": 1.7 };
const ring = (more) => svg("circle", { cx: 8, cy: 8, r: 6.3, ...DRAWN, ...more });
const line = (d, style = DRAWN, more) => svg("path", { d, ...style, ...more });

const SHAPES = {
  simulated: () => [line("M8 1.100L14.900 8 8 14.900 1.100 8z", DRAWN, { "stroke-dasharray": "3.400 1.480", "stroke-width": 1.5 }),
    line("M5.900 10.100l4.200-4.200M4.600 8.400l3.800-3.800M7.600 11.400l3.800-3.800", DRAWN, { "stroke-width": 1.1 })],
  refused: () => [line("M5.200 1.200h5.600l4 4v5.600l-4 4H5.200l-4-4V5.200z", FILLED), line("M5.600 5.600l4.800 4.800M10.400 5.600l-4.800 4.800", CUT)],
  stale: () => [ring(), line("M8 4.400V8l2.500 1.700")],
  unverified: () => [ring({ "stroke-dasharray": "2 1.960" }), line("M5.600 8h4.800")],
  checking: () => [ring({ "stroke-opacity": 0.3 }), line("M8 1.700A6.300 6.300 0 0 1 14.300 8", DRAWN, { "stroke-width": 1.8 })],
  reported: () => [line("M1.800 2.800h12.400v8.200H8.500L5 14v-3H1.800z", DRAWN, { "stroke-linejoin": "round" }), line("M5 7h6")],
  done: () => [ring({ fill: "currentColor" }), line("M5.200 8.200l2 2 3.600-4", CUT)],
  ahead: () => [ring({ "stroke-width": 1.4, "stroke-dasharray": "1.500 2" })],
  live: () => [svg("circle", { cx: 8, cy: 8, r: 3.5, fill: "currentColor" }), ring({ "stroke-width": 1.2 })],
  proved: () => SHAPES.done(),
  failed: () => SHAPES.refused(),
};
export const shape = (kind) => svg("svg", { class: `shape v ${kind}`, viewBox: "0 0 16 16", "aria-hidden": "true" }, SHAPES[kind]());

export const WORDS = { simulated: "Simulated", refused: "Refused", stale: "Stale", unverified: "Unverified", checking: "Checking", reported: "Reported by the plane", proved: "Proved here" };
export const mark = (kind, word) => h(`span.mark.v.${kind}`, {}, shape(kind), word || WORDS[kind]);

// What the plane says of an instance.
export function verdictOf(instance) {
  const verdict = instance.verdict;
  if (instance.phase === "refused") return "refused";
  if (!verdict) return "unverified";
  if (verdict.result !== "accepted") return "refused";
  if (Date.parse(verdict.valid_until) < Date.now()) return "stale";
  return verdict.simulated ? "simulated" : "reported";
}
const ORDER = ["refused", "stale", "unverified", "checking", "simulated", "reported"];
export const worst = (kinds) => (kinds.length ? ORDER[Math.min(...kinds.map((kind) => ORDER.indexOf(kind)))] : "unverified");
// The moment at which the first of these loses its verdict, so that an open page may say so by itself.
export const firstExpiry = (instances) => Math.min(...instances.map((i) => Date.parse(i.verdict?.valid_until ?? "")).filter((t) => t > Date.now()));

// One shape for each, with one label for readers.
export function marks(kinds, what = "instance") {
  const counts = ORDER.map((kind) => [kind, kinds.filter((k) => k === kind).length]).filter(([, n]) => n);
  const label = `${plural(kinds.length, what)}: ${counts.map(([kind, n]) => `${n} ${WORDS[kind].toLowerCase()}`).join(", ")}`;
  return kinds.length ? h("span.marks", { role: "img", "aria-label": label, title: label }, kinds.slice(0, 24).map(shape), kinds.length > 24 ? `+${kinds.length - 24}` : null) : "–";
}

export const simulatedBar = (text = "everything is checked, nothing is confidential.") =>
  h("aside.simulated-bar", { "aria-label": "Simulated" }, shape("simulated"), h("p", {}, h("strong", {}, "Simulated: "), text));

// --- the star fort, seen from above: the mark, the plan of sign-in and of empty lists ---

// Five bastions: tip, shoulders, flanks that step back to the curtain wall.
function fort(centre, radius, inner) {
  const at = (r, turn) => [centre + r * Math.sin(turn), centre - r * Math.cos(turn)].map((x) => x.toFixed(2)).join(" ");
  const corners = [];
  for (let i = 0; i < 5; i++) {
    const middle = (i / 5) * 2 * Math.PI;
    corners.push(at(inner, middle - 0.32), at(radius * 0.8, middle - 0.26), at(radius, middle), at(radius * 0.8, middle + 0.26), at(inner, middle + 0.32));
  }
  return `M${corners.join("L")}Z`;
}
const KEYHOLE = "M16 11.400a2.900 2.900 0 0 0-1.400 5.400L13.700 20.800h4.600l-.9-4A2.900 2.900 0 0 0 16 11.400Z";
export const brandMark = () => svg("svg", { viewBox: "0 0 32 32", "aria-hidden": "true" }, svg("path", { d: fort(16, 15.6, 8.6) + KEYHOLE, fill: "currentColor", "fill-rule": "evenodd" }));

export function plan(isSmall = false) {
  const walls = isSmall ? [[390, 215, "wall"], [372, 204, "thin"], [356, 194, "thin"]]
    : [[530, 400, "faint"], [455, 340, "faint"], [396, 300, "wall"], [410, 311, "dots"], [300, 165, "wall"], [288, 158, "thin"], [276, 151, "thin"]];
  const drawing = svg("svg", { viewBox: "0 0 800 800", class: "plan", "aria-hidden": "true" }, walls.map(([r, inner, kind]) => svg("path", { d: fort(400, r, inner), class: kind })));
  for (const r of isSmall ? [96] : [62, 98]) drawing.append(svg("circle", { cx: 400, cy: 400, r }));
  drawing.append(svg("path", { d: fort(400, isSmall ? 66 : 46, isSmall ? 36 : 25), class: "wall" }));
  for (let i = 0; !isSmall && i < 72; i++) {
    const angle = (i / 72) * 2 * Math.PI, outer = i % 6 ? 109 : 116;
    drawing.append(svg("path", { d: `M${400 + 103 * Math.cos(angle)} ${400 + 103 * Math.sin(angle)}L${400 + outer * Math.cos(angle)} ${400 + outer * Math.sin(angle)}` }));
  }
  return drawing;
}

// The engraved band of a receipt.
export function guilloche() {
  const lines = [];
  for (let k = 0; k < 9; k++) {
    const height = 14 - k * 3.5, points = [];
    for (let x = 0; x <= 320; x += 4) points.push(`${x} ${(18 + height * Math.sin((x / 320) * 4 * Math.PI + (k % 2 ? 0.25 : 0))).toFixed(2)}`);
    lines.push(svg("path", { d: `M${points.join("L")}` }));
  }
  return svg("svg", { class: "guilloche", viewBox: "0 0 320 36", preserveAspectRatio: "none", "aria-hidden": "true" }, lines);
}

// The age of a proof between its making and its end; ticks with the page.
export function fuse(kind, verdict) {
  const from = Date.parse(verdict.verified_at), to = Date.parse(verdict.valid_until);
  const lit = svg("line", { class: "lit", x1: 4, x2: 4, y1: 12, y2: 12 });
  const words = h("p.row.between", {}, h("span", {}), h("span", {}, "turns stale at ", h("strong", {}, new Date(to).toLocaleTimeString())));
  const draw = () => {
    const part = Math.min(1, Math.max(0, (Date.now() - from) / (to - from)));
    lit.setAttribute("x2", String(4 + part * 992));
    words.firstChild.textContent = part < 1 ? `${Math.round((Date.now() - from) / 1000)} s of ${Math.round((to - from) / 1000)} s` : "run out";
  };
  draw();
  const timer = setInterval(() => (lit.isConnected ? draw() : clearInterval(timer)), 1000);
  return h(`div.fuse.v.${kind}`, {}, svg("svg", { viewBox: "0 0 1000 24", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("line", { x1: 0, x2: 1000, y1: 12, y2: 12 }), lit, svg("line", { class: "tick", x1: 998, x2: 998, y1: 5, y2: 19 })), words);
}
