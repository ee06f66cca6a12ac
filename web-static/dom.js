// dom: elements and icons, made of nodes alone: no markup is ever parsed from text, so Trusted Types stay on.

import { short, shortDigest } from "./formats.js";

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "value") element.value = value;
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// h("button.btn.primary", {type: "button", onclick}, "Deploy"): classes in the tag, handlers by on…, null children are skipped.
export function h(tag, attributes, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  return fill(element, attributes, children);
}

export const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

const ICONS = {
  apps: "M2.5 2.5h4.2v4.2H2.5zM9.300 2.500h4.200v4.200H9.300zM2.500 9.300h4.200v4.200H2.500zM9.300 9.300h4.200v4.200H9.300z",
  check: "M3.300 8.300l3.200 3.300 6.300-7",
  copy: "M5.500 5.500h8v8h-8zM10.500 5.500v-3h-8v8h3",
  cross: "M4 4l8 8M12 4l-8 8",
  deploy: "M8 12V3.500M4.500 7L8 3.500 11.500 7M3 13.500h10",
  download: "M8 2.500V10M4.800 7L8 10.200 11.200 7M3 13.500h10",
  function: "M5.500 2.500C3.800 2.500 4.700 8 2.500 8c2.200 0 1.300 5.500 3 5.500M10.500 2.500c1.700 0 .8 5.500 3 5.500-2.200 0-1.300 5.500-3 5.500",
  hosts: "M2 2.800h12v4.300H2zM2 8.900h12v4.300H2zM4.600 5h.01M4.600 11.100h.01M9 5h2.500M9 11.100h2.500",
  info: "M8 2a6 6 0 1 0 .01 0zM8 7.400v3.600M8 5h.01",
  key: "M5 8.200a2.800 2.800 0 1 0 .01 0zM7 9l6.500-6.500M11 5l2 2",
  leave: "M6 2.500H3.500v11H6M7 8h6.500M10.500 5l3 3-3 3",
  menu: "M2.500 4.500h11M2.500 8h11M2.500 11.500h11",
  next: "M3 8h10M9.500 4.500L13 8l-3.500 3.500",
  open: "M9 2.500h4.500V7M13.500 2.500L8 8M11.500 9.500v4h-9v-9h4",
  pause: "M5.500 3.500v9M10.500 3.500v9",
  people: "M6 2.600a2.400 2.400 0 1 0 .01 0zM1.800 13.500c0-2.600 1.800-4.200 4.200-4.200s4.200 1.600 4.200 4.200M10.500 3a2.200 2.200 0 0 1 0 4.200M12 9.600c1.400.6 2.200 2 2.200 3.900",
  plus: "M8 3v10M3 8h10",
  receipt: "M3.500 1.800h9v12.400l-1.500-1-1.500 1-1.500-1-1.500 1-1.500-1-1.500 1zM6 5h4M6 8h4",
  reload: "M13 8a5 5 0 1 1-1.600-3.700M13.200 2v3h-3",
  back: "M3 8a5 5 0 1 0 1.600-3.700M2.800 2v3h3",
  search: "M7 2.600a4.400 4.400 0 1 0 .01 0zM10.400 10.400l3.400 3.400",
  send: "M2.500 8l11-5-4 11-2.500-4.500zM7 9.500L13.500 3",
  stop: "M4 4h8v8H4z",
  terminal: "M2 3h12v10H2zM4.500 6l2.200 2-2.200 2M8.500 10.300h3",
  trash: "M3 4.500h10M6.500 4.500v-2h3v2M4.500 4.500l.6 9h5.800l.6-9",
  warn: "M8 2.200l6.300 11.300H1.700zM8 6.500v3.200M8 11.600h.01",
};

export const icon = (name) => svg("svg", { class: "i", viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
export const themeIcon = () => svg("svg", { class: "i", viewBox: "0 0 16 16", "aria-hidden": "true" },
  svg("circle", { cx: 8, cy: 8, r: 5.6 }), svg("path", { d: "M8 2.400a5.600 5.600 0 0 1 0 11.200z", fill: "currentColor" }));

// Ids and digests, shortened in the middle; the whole stands in the title.
export { short, shortDigest };
export const idCode = (id) => h("code", { title: id || null }, short(id));
export const digestCode = (digest) => h("code", { title: digest || null }, shortDigest(digest));

export function ageText(time) {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(time)) / 1000));
  if (seconds < 120) return `${seconds} s ago`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}
// A relative time that ticks, UTC on hover; and a wall-clock time in the reader's zone, likewise.
export const age = (time) => (time ? h("time", { datetime: time, title: new Date(time).toISOString(), "data-age": time }, ageText(time)) : "–");
export const clock = (time) => (time ? h("time", { datetime: time, title: new Date(time).toISOString() }, new Date(time).toLocaleTimeString()) : "–");
setInterval(() => {
  for (const element of document.querySelectorAll("[data-age]")) {
    const text = ageText(element.dataset.age);
    if (element.textContent !== text) element.textContent = text;
  }
}, 1000);

export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;
export function sizeText(bytes) {
  if (bytes < 1024) return `${bytes} bytes`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = bytes / 1024, at = 0;
  while (value >= 1024 && at < units.length - 1) { value /= 1024; at++; }
  return `${value < 10 ? value.toFixed(1).replace(/\.0$/, "") : Math.round(value)} ${units[at]}`;
}
