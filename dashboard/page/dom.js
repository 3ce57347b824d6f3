// Elements, made without ever parsing a text as markup: what requests contain goes into text nodes only.

export const at = (id) => document.getElementById(id);

export function element(name, text, attributes = {}) {
  return dressed(document.createElement(name), text, attributes);
}

export function shape(name, text, attributes = {}) {
  return dressed(document.createElementNS("http://www.w3.org/2000/svg", name), text, attributes);
}

function dressed(made, text, attributes) {
  if (text !== undefined && text !== null) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

export function say(where, text) {
  if (where.textContent !== text) where.textContent = text;
}

export function set(where, name, value) {
  const text = String(value);
  if (where.getAttribute(name) !== text) where.setAttribute(name, text);
}

// Children of `parent`, one for each row, in order. A row's element stays the same while its key does, so that the
// keyboard's focus and a reader's place outlast an update.
export function keyed(parent, rows, keyOf, make, update) {
  const known = parent.known ?? new Map();
  const now = new Map();
  for (const row of rows) {
    const key = keyOf(row);
    if (now.has(key)) continue;
    const child = known.get(key) ?? make(row);
    update(child, row);
    now.set(key, child);
  }
  for (const [key, child] of known) if (!now.has(key)) child.remove();
  let place = parent.firstChild;
  for (const child of now.values()) {
    if (child === place) place = place.nextSibling;
    else parent.insertBefore(child, place);
  }
  parent.known = now;
}
