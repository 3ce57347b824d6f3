// Requests and connections as they end, filtered by the server; the page keeps as many as it shows.

import { at, element, say } from "./dom.js";
import { arrow, milliseconds } from "./figures.js";
import { Table } from "./table.js";

const MOST = 200;
let rows = [];
let last = 0;
let missed = 0;
let paused = false;

const columns = [
  { name: "time", of: (one) => one.time.slice(11, 23) },
  { name: "proxy", of: (one) => one.proxy },
  { name: "", of: (one) => arrow(one.direction) },
  { name: "status", of: (one) => one.status ?? one.outcome ?? one.close_reason, mark: (one) => (isBad(one) ? "bad" : "") },
  { name: "flags", of: (one) => one.flags ?? "" },
  { name: "time", kind: "number", of: (one) => milliseconds(one.duration_ms) },
  { name: "what", kind: "text", of: what },
  { name: "from", kind: "text", of: (one) => one.source ?? one.downstream },
  { name: "to", kind: "text", of: (one) => one.upstream },
  { name: "route", of: (one) => [one.service, one.route, one.lane].filter((word) => word && word !== "-").join(" ") },
  {
    name: "", act: (one) =>
      one.method && { text: "Path", label: `The path of ${what(one)}`, run: () => explain(one.number) },
  },
];
const table = new Table(document.querySelector("#live table"), columns, (one) => one.number);

export async function take() {
  if (paused) return;
  const filters = new URLSearchParams(new FormData(at("filters")));
  const asked = filters.toString();
  filters.set("after", last);
  const answer = await fetch(`/api/requests?${filters}`);
  if (!answer.ok) return say(at("live-state"), await answer.text());
  const told = await answer.json();
  if (asked !== new URLSearchParams(new FormData(at("filters"))).toString()) return;
  if (told.last < last) rows = [];
  last = told.last;
  missed += told.missed;
  rows = [...told.rows.reverse(), ...rows].slice(0, MOST);
  table.show(rows);
  say(at("live-state"), missed ? `${missed} more have ended than could be shown.` : rows.length ? "" : "None has ended yet.");
}

export function begin() {
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  at("filters").addEventListener("input", () => {
    rows = [];
    last = missed = 0;
  });
  at("pause").addEventListener("click", () => {
    paused = !paused;
    at("pause").setAttribute("aria-pressed", String(paused));
  });
}

async function explain(number) {
  const answer = await fetch(`/api/request?number=${number}`);
  const told = answer.ok ? await answer.json() : null;
  say(at("path-of"), told ? what(told.request) : await answer.text());
  at("steps").replaceChildren();
  for (const one of told?.steps ?? []) {
    const item = element("li");
    item.append(element("b", one.step), ` ${one.says}`);
    at("steps").append(item);
  }
  at("path").showModal();
}

function what(one) {
  if (one.database) return `${one.database} ${one.kind}`;
  if (!one.method) return `${one.protocol} ${one.original_destination}, ${one.bytes_sent} B sent, ${one.bytes_received} B received`;
  return `${one.method} ${one.authority === "-" ? "" : one.authority}${one.path}`;
}

const isBad = (one) => one.outcome ? one.outcome === "error" : (one.method ? one.status >= 500 || one.status === 0 : !/^(finished|idle|draining)/.test(one.close_reason));
