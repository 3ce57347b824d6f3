// Tables whose rows are updated in place.

import { element, keyed, say, set } from "./dom.js";

// columns: {name, kind: "" | "number" | "text", of: row -> text, mark: row -> class, act: row -> {text, label, run}}
export class Table {
  constructor(table, columns, keyOf) {
    this.columns = columns;
    this.keyOf = keyOf;
    this.body = table.tBodies[0];
    const head = element("tr");
    for (const one of columns) head.append(element("th", one.name, { scope: "col", class: one.kind ?? "" }));
    table.tHead.replaceChildren(head);
  }

  show(rows) {
    keyed(this.body, rows, this.keyOf, () => this.#made(), (tr, row) => this.#update(tr, row));
  }

  #made() {
    const tr = element("tr");
    for (const one of this.columns) tr.append(element("td", "", { class: one.kind ?? "" }));
    return tr;
  }

  #update(tr, row) {
    tr.row = row;
    this.columns.forEach((column, number) => {
      const cell = tr.cells[number];
      if (column.act) return this.#act(cell, column, tr);
      say(cell, String(column.of(row)));
      if (column.mark) set(cell, "class", `${column.kind ?? ""} ${column.mark(row)}`.trim());
    });
  }

  #act(cell, column, tr) {
    const action = column.act(tr.row);
    if (!action) return cell.replaceChildren();
    let button = cell.firstChild;
    if (!button) {
      button = element("button", "", { type: "button", class: "small" });
      button.addEventListener("click", () => column.act(tr.row).run());
      cell.append(button);
    }
    say(button, action.text);
    set(button, "aria-label", action.label);
  }
}
