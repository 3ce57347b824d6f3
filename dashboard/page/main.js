// Asks each second while the page is visible, and shows what it is told.

import * as change from "./change.js";
import { at, say } from "./dom.js";
import { arrow, bytes, milliseconds, ok, rate, share } from "./figures.js";
import * as live from "./live.js";
import { draw, idOf } from "./map.js";
import { Table } from "./table.js";

const TURN_MS = 1000;
let mayWrite = false;

const latencies = ["p50", "p95", "p99"].map((name) => ({ name, kind: "number", of: (one) => milliseconds(one[`${name}_ms`]) }));
const edges = table("#edges", idOf, [
  { name: "workload", of: (one) => one.proxy }, { name: "", of: (one) => arrow(one.direction) },
  { name: "with", kind: "text", of: (one) => one.peer }, { name: "lane", of: (one) => one.lane },
  { name: "rate", kind: "number", of: (one) => rate(one.per_s) },
  { name: "ok", kind: "number", of: (one) => share(one.success), mark: (one) => ok(one.success) },
  ...latencies.slice(0, 2), { name: "open", kind: "number", of: (one) => one.open },
  { name: "seen", kind: "number", of: (one) => `${one.total} ${one.unit}` },
]);
const traffic = table("#traffic table", (one) => [one.proxy, one.direction, one.service, one.route, one.endpoint, one.lane].join(" "), [
  { name: "proxy", of: (one) => one.proxy }, { name: "", of: (one) => arrow(one.direction) },
  { name: "service", of: (one) => one.service }, { name: "route", of: (one) => one.route },
  { name: "endpoint", kind: "text", of: (one) => one.endpoint || "–" }, { name: "lane", of: (one) => one.lane },
  { name: "rate", kind: "number", of: (one) => rate(one.per_s) },
  { name: "ok", kind: "number", of: (one) => share(one.success), mark: (one) => ok(one.success) }, ...latencies,
  { name: "sent", kind: "number", of: (one) => `${bytes(one.bytes_sent_per_s)}/s` },
  { name: "received", kind: "number", of: (one) => `${bytes(one.bytes_received_per_s)}/s` },
  { name: "requests", kind: "number", of: (one) => one.requests }, { name: "connections", kind: "number", of: (one) => one.connections },
  { name: "failed", kind: "number", of: (one) => one.failed, mark: (one) => (one.failed ? "bad" : "") },
]);
const routes = table("#routes table", (one) => [one.proxy, one.service, one.port, one.route, one.rule, one.match].join(" "), [
  { name: "proxy", of: (one) => one.proxy }, { name: "service", of: (one) => `${one.service}:${one.port}` },
  { name: "route", of: (one) => one.route }, { name: "rule", of: (one) => one.rule }, { name: "takes", kind: "text", of: (one) => one.match },
  { name: "backends", of: (one) => one.backends.map(backend).join(", ") },
  { name: "protocol", of: (one) => one.protocol },
  { name: "", act: (one) => mayWrite && one.backends.some((each) => each.name) &&
    { text: "Weights…", label: `Change the weights of ${one.service}`, run: () => change.weights(one.proxy, one) } },
  { name: "", act: (one) => mayWrite &&
    { text: "Faults…", label: `Inject faults into ${one.service}, or shed`, run: () => change.faults(one.proxy, one.service) } },
  { name: "", act: (one) => mayWrite && one.isChanged &&
    { text: "Take back…", label: `Take back what was set for ${one.service}`, run: () => change.revert(one.proxy, one.service) } },
]);
const endpoints = table("#endpoints table", (one) => [one.proxy, one.cluster, one.address].join(" "), [
  { name: "proxy", of: (one) => one.proxy }, { name: "service", of: (one) => one.service },
  { name: "address", kind: "text", of: (one) => one.address },
  { name: "health", of: (one) => one.health, mark: (one) => (one.health === "healthy" ? "good" : one.health === "ejected" ? "bad" : "warn") },
  { name: "weight", kind: "number", of: (one) => one.weight }, { name: "why", of: (one) => one.why },
  { name: "balancing", of: (one) => `${one.balancing}; ${one.balancing_connections} for connections` }, { name: "open", kind: "number", of: (one) => one.connections_active },
  { name: "connects", kind: "number", of: (one) => one.connections_total },
  { name: "failed connects", kind: "number", of: (one) => one.connect_failures, mark: (one) => (one.connect_failures ? "bad" : "") },
  { name: "answers", of: (one) => Object.entries(one.requests).map(([status, count]) => `${status}: ${count}`).join(", ") },
]);

function table(where, keyOf, columns) {
  return new Table(document.querySelector(where), columns, keyOf);
}

const backend = (one) => `${one.name || one.cluster || one.problem} ${one.weight}`;

async function turn() {
  if (document.visibilityState === "visible") {
    try {
      const answer = await fetch(`/api/state?${new URLSearchParams({ q: at("filter").value })}`);
      if (answer.ok) show(await answer.json());
      else say(at("state"), await answer.text());
      await live.take();
    } catch {
      say(at("state"), "The page's process has ended; `tidegate dashboard` starts it.");
    }
  }
  setTimeout(turn, TURN_MS);
}

function show({ write, proxies }) {
  mayWrite = write;
  draw(proxies);
  edges.show(gathered(proxies, "edges", at("map")));
  traffic.show(gathered(proxies, "traffic", at("traffic")));
  const changed = new Set(proxies.flatMap((one) => one.changes.map((each) => `${one.name} ${each.service}`)));
  const rows = gathered(proxies, "routes", at("routes"));
  routes.show(rows.map((one) => ({ ...one, isChanged: changed.has(`${one.proxy} ${one.service}`) })));
  endpoints.show(gathered(proxies, "endpoints", at("endpoints")));
  const silent = proxies.filter((one) => one.error);
  const dropped = proxies.reduce((sum, one) => sum + one.dropped, 0);
  const words = silent.map((one) => `${one.name}: ${one.error}`);
  if (dropped) words.push(`${dropped} more ended than the proxies could show.`);
  say(at("state"), words.join(" ") || `${proxies.length === 1 ? "The proxy answers" : `All ${proxies.length} proxies answer`}.`);
}

// In an order that stays, so that a row does not run away from its reader.
function gathered(proxies, what, section) {
  const rest = section.querySelector(".rest");
  const more = proxies.reduce((sum, one) => sum + one[what].left_out, 0);
  if (rest) say(rest, more ? `${more} more; the filter above finds them.` : "");
  const rows = proxies.flatMap((one) => one[what].rows.map((row) => ({ ...row, proxy: one.name })));
  const key = (one) => [one.proxy, one.direction, one.service, one.peer, one.route, one.address, one.endpoint].join(" ");
  return what === "routes" ? rows : rows.sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

function theme() {
  const order = ["system", "dark", "light"];
  const button = at("theme");
  button.addEventListener("click", () => {
    const next = order[(order.indexOf(document.documentElement.dataset.theme ?? "system") + 1) % order.length];
    document.documentElement.dataset.theme = next;
    say(button, `Theme: ${next}`);
  });
}

theme();
live.begin();
change.begin();
turn();
