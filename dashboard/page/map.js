// The map: callers at the left, workloads in the middle, destinations at the right. Each edge has a line of its own at
// its outer end, so that figures never cover each other.

import { at, keyed, say, set, shape } from "./dom.js";
import { milliseconds, rate, share } from "./figures.js";

const MOST = 40;
const LINE = 18;
const GAP = 14;
const WIDTH = 1080;
const BOX = 330;
const MIDDLE = 150;

export function draw(proxies) {
  const all = proxies.flatMap((one) => one.edges.rows.map((edge) => ({ ...edge, proxy: one.name })));
  const chosen = [...all].sort((a, b) => b.per_s + b.open / 1e3 - (a.per_s + a.open / 1e3)).slice(0, MOST);
  const edges = all.filter((edge) => chosen.includes(edge)).sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1));
  const left = column(edges.filter((edge) => edge.direction === "inbound"), 10);
  const right = column(edges.filter((edge) => edge.direction === "outbound"), WIDTH - BOX - 10);
  const height = Math.max(left.height, right.height, proxies.length * 60 + GAP);
  const middle = new Map();
  proxies.forEach((one, number) => middle.set(one.name, ((number + 0.5) * height) / proxies.length));
  const graph = at("graph");
  set(graph, "viewBox", `0 0 ${WIDTH} ${height}`);
  if (!graph.layers) {
    graph.layers = [shape("g"), shape("g"), shape("g")];
    graph.append(...graph.layers);
  }
  const [peersAt, edgesAt, workloadsAt] = graph.layers; // the latter ones cover the former ones
  keyed(peersAt, [...left.boxes, ...right.boxes], (box) => `${box.x} ${box.name}`, node, placed);
  const workloads = proxies.map((one) => ({
    name: one.name, x: (WIDTH - MIDDLE) / 2, y: middle.get(one.name) - LINE, width: MIDDLE, height: LINE * 2,
  }));
  keyed(workloadsAt, workloads, (box) => box.name, node, placed);
  keyed(edgesAt, [...left.ends, ...right.ends], (end) => idOf(end.edge), line, (g, end) => joined(g, end, middle));
  const rest = all.length - edges.length;
  say(at("graph-rest"), all.length === 0 ? "Nothing has gone through yet." : rest > 0 ? `${rest} more are in the table.` : "");
}

export const idOf = (edge) => `${edge.proxy} ${edge.direction} ${edge.peer} ${edge.lane}`;

export function figures(edge) {
  const seen = edge.per_s ? `${rate(edge.per_s)} · ${share(edge.success)} ok` : "idle";
  const latency = edge.p50_ms === null ? "" : ` · p50 ${milliseconds(edge.p50_ms)}`;
  return `${seen}${latency} · ${edge.lane}${edge.open ? ` · ${edge.open} open` : ""}`;
}

function column(edges, x) {
  const groups = new Map();
  for (const edge of edges) groups.set(edge.peer, [...(groups.get(edge.peer) ?? []), edge]);
  const boxes = [];
  const ends = [];
  let y = GAP;
  for (const [name, group] of groups) {
    const height = LINE * (group.length + 1) + 10;
    boxes.push({ name, x, y, width: BOX, height });
    group.forEach((edge, number) => ends.push({ edge, x, y: y + LINE * (number + 2) - 1 }));
    y += height + GAP;
  }
  return { boxes, ends, height: y };
}

function node() {
  const made = shape("g");
  made.append(shape("rect", null, { rx: 6 }), shape("text", "", { class: "name" }));
  return made;
}

function placed(g, box) {
  const [rect, name] = g.children;
  for (const key of ["x", "y", "width", "height"]) set(rect, key, box[key]);
  set(name, "x", box.x + 10);
  set(name, "y", box.y + LINE + (box.height === LINE * 2 ? 4 : 0));
  say(name, box.name.length > 42 ? `${box.name.slice(0, 41)}…` : box.name);
}

function line() {
  const made = shape("g", null, { class: "edge", tabindex: 0, role: "img" });
  made.append(shape("path"), shape("text", "", { class: "figures" }), shape("title"));
  return made;
}

function joined(g, { edge, x, y }, middle) {
  const inwards = edge.direction === "inbound";
  const [path, text, title] = g.children;
  const from = inwards ? x + BOX : (WIDTH + MIDDLE) / 2;
  const to = inwards ? (WIDTH - MIDDLE) / 2 : x;
  const [fromY, toY] = inwards ? [y - 4, middle.get(edge.proxy)] : [middle.get(edge.proxy), y - 4];
  const bend = (from + to) / 2;
  set(path, "d", `M${from} ${fromY} C${bend} ${fromY} ${bend} ${toY} ${to} ${toY}`);
  set(path, "stroke-width", (1 + Math.min(5, Math.log10(1 + edge.per_s) * 2)).toFixed(1));
  set(text, "x", x + 10);
  set(text, "y", y);
  say(text, figures(edge));
  const told = `${inwards ? edge.peer : edge.proxy} to ${inwards ? edge.proxy : edge.peer}: ${figures(edge)}`;
  say(title, told);
  set(g, "aria-label", told);
  set(g, "class", `edge ${edge.success !== null && edge.success < 1 ? "failing" : edge.per_s ? "" : "idle"}`.trim());
}
