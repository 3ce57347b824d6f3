// Changes: first what is wanted, then what that changes and the token, then it is sent.

import { at, element, say } from "./dom.js";

let step = null;

export function weights(proxy, row) {
  const fields = row.backends.filter((one) => one.name).map((one) => number(one.name, `Weight of ${one.name}`, one.weight));
  open(`Weights of ${row.service}`, fields, () => {
    const wanted = Object.fromEntries(fields.map((one) => [one.input.name, Number(one.input.value)]));
    const changed = row.backends.filter((one) => one.name && wanted[one.name] !== one.weight);
    return {
      lines: changed.map((one) => `${row.service} at ${proxy}: ${one.name} ${one.weight} → ${wanted[one.name]}`),
      body: { proxy, service: row.service, what: "weights", weights: Object.fromEntries(changed.map((one) => [one.name, wanted[one.name]])) },
    };
  });
}

export function faults(proxy, service) {
  const fields = [
    number("delay", "Delay: percent of requests", 0, 100), number("delay_ms", "Delay: milliseconds", 300),
    number("abort", "Abort: percent of requests", 0, 100), number("status", "Abort: status", 503, 599),
    number("drop", "Shedding: percent of requests", 0, 100),
  ];
  const value = (name) => Number(fields.find((one) => one.input.name === name).input.value);
  open(`Faults and shedding of ${service}`, fields, () => {
    const fault = {};
    if (value("delay")) fault.delay = { percentage: { value: value("delay") }, fixedDelay: `${value("delay_ms")}ms` };
    if (value("abort")) fault.abort = { percentage: { value: value("abort") }, httpStatus: value("status") };
    const shedding = value("drop") ? { dropPercent: value("drop") } : {};
    const lines = [
      fault.delay ? `${service} at ${proxy}: ${value("delay")} % of requests wait ${value("delay_ms")} ms` : "no delay",
      fault.abort ? `${service} at ${proxy}: ${value("abort")} % of requests get ${value("status")}` : "no abort",
      value("drop") ? `${service} at ${proxy}: ${value("drop")} % of requests are shed` : "nothing is shed",
    ];
    return { lines, body: { proxy, service, what: "policy", patch: { fault, shedding } } };
  });
}

export function revert(proxy, service) {
  open(`Take back what was set for ${service}`, [], () => ({
    lines: [`${service} at ${proxy}: what the documents say of its policy is in force again`],
    body: { proxy, service, what: "revert" },
  }));
}

function number(name, text, value, most = 1000000) {
  const label = element("label", `${text} `);
  const input = element("input", null, { type: "number", name, min: 0, max: most, step: 1, required: "" });
  input.value = value;
  label.append(input);
  return { label, input };
}

function open(title, fields, change) {
  step = { change, confirmed: null };
  say(at("change-title"), title);
  at("change-fields").replaceChildren(...fields.map((one) => one.label));
  at("change-fields").hidden = false;
  at("change-confirm").hidden = true;
  say(at("change-said"), "");
  say(at("change-go"), "Continue");
  say(at("change-cancel"), "Cancel");
  at("change-go").hidden = false;
  at("change").showModal();
}

export function begin() {
  at("change-cancel").addEventListener("click", () => at("change").close());
  at("change-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (step.confirmed === null) return confirm();
    const answer = await sent(step.confirmed);
    say(at("change-said"), answer.said);
    if (!answer.ok) return;
    at("change-go").hidden = true;
    say(at("change-cancel"), "Close");
  });
}

async function sent(body) {
  const headers = { "content-type": "application/json", "x-tidegate-token": at("token").value.trim() };
  try {
    const answer = await fetch("/api/change", { method: "POST", headers, body: JSON.stringify(body) });
    return { ok: answer.ok, said: (await answer.text()).trim() };
  } catch (failed) {
    return { ok: false, said: `Not sent: ${failed.message}` }; // the process has ended, or the token is no header's value
  }
}

function confirm() {
  const { lines, body } = step.change();
  if (lines.length === 0) return say(at("change-said"), "Nothing would change.");
  step.confirmed = body;
  say(at("change-said"), "");
  at("change-fields").hidden = true;
  at("change-confirm").hidden = false;
  at("change-list").replaceChildren(...lines.map((text) => element("li", text)));
  say(at("change-go"), "Change it");
  at("token").focus();
}
