// The fleet's table, narrowed down and in another order. Without it all rows are shown, those that need action first.
"use strict";

(() => {
  const form = document.querySelector("form.filter");
  const body = document.querySelector("table.fleet tbody");
  if (!form || !body) return;
  const rows = [...body.rows];
  const { words, kind, order } = form.elements;

  const number = (row, name) => (row.dataset[name] === "" ? null : Number(row.dataset[name]));
  // What has no such number comes last, whichever way.
  const by = (name, way) => (one, other) => {
    const [left, right] = [number(one, name), number(other, name)];
    return (left === null) - (right === null) || way * (left - right);
  };
  const orders = {
    order: by("order", 1),
    name: (one, other) => one.dataset.name.localeCompare(other.dataset.name),
    better: by("better", 1),
    since: by("since", -1),
  };

  function show() {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = row.querySelector(".who").textContent.toLowerCase();
      const state = !kind.value || row.dataset.kind === kind.value || row.dataset.verdict === kind.value;
      row.hidden = !(state && wanted.every((word) => text.includes(word)));
    }
    body.append(...rows.toSorted(orders[order.value]));
    const shown = rows.filter((row) => !row.hidden).length;
    form.querySelector("output").value = shown === rows.length ? "" : `${shown} of ${rows.length}`;
    remember();
  }

  // The choice is kept in the address, so that it can be sent to somebody and survives a reload.
  function remember() {
    const chosen = new URLSearchParams();
    for (const field of [words, kind, order]) {
      if (field.value && field.value !== "order") chosen.set(field.id, field.value);
    }
    history.replaceState(null, "", chosen.size ? `?${chosen}` : location.pathname);
  }

  for (const [name, value] of new URLSearchParams(location.search)) {
    // Addresses of earlier releases say `waits`.
    if (form.elements[name]) form.elements[name].value = value === "waits" ? "action" : value;
  }
  for (const field of [kind, order]) if (field.selectedIndex < 0) field.selectedIndex = 0;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", show);
  form.hidden = false;
  show();
})();
