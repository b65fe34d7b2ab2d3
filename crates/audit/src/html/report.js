"use strict";
(() => {
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  for (const tools of all(".tools")) tools.hidden = false;

  // What an address points to is unfolded, with all that is around it.
  const unfold = () => {
    const target = /^#[\w-]+$/.test(location.hash) && document.getElementById(location.hash.slice(1));
    if (!target) return;
    for (let at = target; at; at = at.parentElement) if (at.localName === "details") at.open = true;
    (target.closest("details.node") ?? target).scrollIntoView({ block: "start" });
  };
  addEventListener("hashchange", unfold);
  // The same address a second time is no change of it.
  addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href^='#']");
    if (link && link.getAttribute("href") === location.hash) setTimeout(unfold);
  });
  unfold();

  // A drawing that is wider than the page is shown from its middle.
  for (const box of all(".drawing")) {
    const center = () => { box.scrollLeft = (box.scrollWidth - box.clientWidth) / 2; };
    box.closest("details").addEventListener("toggle", center, { once: true });
    center();
  }

  for (const button of all("[data-all]")) {
    button.addEventListener("click", () => {
      for (const node of all("details.node")) node.open = button.dataset.all === "open";
    });
  }

  for (const table of all("table.sortable")) {
    const heads = all("thead th", table);
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const order = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", order);
        const value = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent;
        const collator = new Intl.Collator("en", { numeric: true });
        const rows = all("tbody tr", table).map((row) => [value(row), row]);
        const sign = order === "ascending" ? 1 : -1;
        // Rows without a value come last either way.
        rows.sort(([a], [b]) => (a === "") - (b === "") || sign * collator.compare(a, b));
        table.tBodies[0].append(...rows.map(([, row]) => row));
      });
    });
  }

  const form = document.querySelector("#events form");
  if (form) {
    const rows = all("#events tbody tr:not(.cut)").map((row) => ({
      row,
      type: row.cells[2].textContent,
      node: row.cells[3].textContent.toLowerCase(),
      text: row.textContent.toLowerCase(),
    }));
    const filter = () => {
      const { text, node, type } = form.elements;
      const [words, id] = [text.value.toLowerCase(), node.value.trim().toLowerCase()];
      let shown = 0;
      for (const { row, ...of } of rows) {
        const fits = of.text.includes(words) && of.node.includes(id) && (!type.value || of.type === type.value);
        row.hidden = !fits;
        shown += fits;
      }
      form.querySelector("output").textContent = `${shown} of ${rows.length} shown`;
    };
    let wait;
    form.addEventListener("input", () => {
      clearTimeout(wait);
      wait = setTimeout(filter, 120);
    });
    form.addEventListener("submit", (event) => event.preventDefault());
  }
})();
