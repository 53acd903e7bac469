"use strict";
// The table of features: search, order, and whether all rows are shown.
(() => {
  const table = document.getElementById("features");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const tools = document.getElementById("tools");
  const search = document.getElementById("search");
  const all = document.getElementById("all");
  const count = document.getElementById("count");
  const limit = Number(table.dataset.shown);
  let showAll = rows.length <= limit;

  const show = () => {
    const wanted = search.value.trim().toLowerCase();
    let found = 0;
    for (const row of body.rows) {
      const fits = !wanted || row.textContent.toLowerCase().includes(wanted);
      row.classList.toggle("out", !fits);
      row.classList.toggle("more", fits && found >= limit);
      found += fits;
    }
    body.classList.toggle("few", !showAll);
    all.hidden = found <= limit;
    all.textContent = showAll ? `Show the first ${limit}` : "Show all";
    count.textContent = showAll || found <= limit
      ? `${found} features` : `${limit} of ${found} features`;
  };

  const value = (row, column, numeric) => {
    const text = row.cells[column].textContent;
    if (!numeric) return text;
    const parsed = parseFloat(text);
    return Number.isNaN(parsed) ? -Infinity : parsed;
  };

  const sort = (head, column) => {
    const numeric = head.classList.contains("n");
    const first = numeric && column > 0 ? "descending" : "ascending";
    const second = first === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? second : first;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const keyed = rows.map((row) => [value(row, column, numeric), row]);
    keyed.sort(([a], [b]) => sign * (
      numeric ? (a > b) - (a < b) : a.localeCompare(b, undefined, { numeric: true })
    ));
    body.append(...keyed.map(([, row]) => row));
    show();
  };

  Array.from(table.tHead.rows[0].cells).forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(head, column));
    head.append(button);
  });
  search.addEventListener("input", show);
  all.addEventListener("click", () => { showAll = !showAll; show(); });
  tools.hidden = false;
  show();
})();
