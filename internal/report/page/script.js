// The page's only script. It puts what it shows into the document as text, never as markup, and asks nothing of a network.
"use strict";

const storedTheme = "neuron-kmod-theme";

// Before anything is drawn. Storage may be forbidden, as in some browsers for pages from a disk.
try {
  const theme = localStorage.getItem(storedTheme);
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {}

document.addEventListener("DOMContentLoaded", () => {
  const by = (id) => document.getElementById(id);
  const { images, texts } = JSON.parse(by("data").textContent);
  const query = by("query"), only = by("only"), shown = by("shown"), grid = by("grid"), details = by("details");

  // Tags have "_" where a kernel has "+" or "~": both find it.
  const plain = (text) => text.toLowerCase().replace(/[+~]/g, "_");
  const groups = Array.from(grid.tBodies, (body) => ({
    body,
    rows: Array.from(body.rows).slice(1).map((row) => ({
      row,
      text: plain(row.cells[0].textContent),
      gap: row.querySelector("button.missing, button.unknown") !== null,
    })),
  }));
  const total = groups.reduce((n, group) => n + group.rows.length, 0);

  // Search.

  function filter() {
    const words = plain(query.value).split(/\s+/).filter(Boolean);
    let found = 0;
    for (const group of groups) {
      let here = 0;
      for (const { row, text, gap } of group.rows) {
        const match = (gap || !only.checked) && words.every((word) => text.includes(word));
        row.hidden = !match;
        here += match;
      }
      group.body.hidden = here === 0;
      found += here;
    }
    by("empty").hidden = found > 0;
    shown.textContent = (found === total ? "" : found + " of ") + total + (total === 1 ? " release" : " releases");
    settle();
  }

  // The address keeps the query: #4.20.16
  function keep() {
    const hash = query.value.trim() === "" ? "" : "#" + encodeURIComponent(query.value.trim());
    if (hash === location.hash) return;
    history.replaceState(null, "", hash || location.pathname + location.search);
  }

  function recall() {
    try {
      query.value = decodeURIComponent(location.hash.slice(1));
    } catch {
      query.value = location.hash.slice(1);
    }
    filter();
  }

  function find(text) {
    query.value = text;
    filter();
    keep();
  }

  query.addEventListener("input", () => { filter(); keep(); });
  only.addEventListener("change", filter);
  addEventListener("hashchange", recall);
  by("clear").addEventListener("click", () => {
    only.checked = false;
    find("");
    query.focus();
  });

  // Moving between cells. One cell at a time can be reached with Tab.

  const cellsOf = (row) => Array.from(row.querySelectorAll("button"));
  const visibleRows = () => Array.from(grid.querySelectorAll("tbody:not([hidden]) > tr:not(.group):not([hidden])")).filter((row) => row.querySelector("button"));
  let current = null;

  function makeCurrent(cell) {
    if (current) current.tabIndex = -1;
    current = cell;
    if (current) current.tabIndex = 0;
  }

  // settle keeps Tab's cell among those that are seen.
  function settle() {
    if (current && !current.closest("tr").hidden) return;
    const rows = visibleRows();
    makeCurrent(rows.length > 0 ? cellsOf(rows[0])[0] : null);
  }

  function go(cell) {
    if (!cell) return;
    makeCurrent(cell);
    cell.focus();
    cell.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  // below is the cell of the next row, up or down, in the same column, else the nearest one of that row.
  function below(cell, step) {
    const rows = visibleRows(), row = rows[rows.indexOf(cell.closest("tr")) + step];
    if (!row) return null;
    const column = cell.closest("td").cellIndex;
    const far = (one) => Math.abs(one.closest("td").cellIndex - column);
    return cellsOf(row).reduce((best, one) => (far(one) < far(best) ? one : best));
  }

  function target(cell, event) {
    const row = cellsOf(cell.closest("tr")), at = row.indexOf(cell), rows = visibleRows();
    switch (event.key) {
      case "ArrowRight": return row[at + 1];
      case "ArrowLeft": return row[at - 1];
      case "ArrowDown": return below(cell, 1);
      case "ArrowUp": return below(cell, -1) || query;
      case "Home": return event.ctrlKey ? cellsOf(rows[0])[0] : row[0];
      case "End": return event.ctrlKey ? cellsOf(rows[rows.length - 1]).pop() : row[row.length - 1];
    }
    return undefined;
  }

  grid.addEventListener("keydown", (event) => {
    const cell = event.target.closest("button");
    if (!cell || event.altKey || event.metaKey) return;
    const to = target(cell, event);
    if (to === undefined && !/^(Arrow|Home|End)/.test(event.key)) return;
    event.preventDefault();
    if (to === query) query.focus();
    else go(to);
  });

  query.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && query.value !== "") {
      event.preventDefault();
      find("");
    } else if (event.key === "ArrowDown" || event.key === "Enter") {
      event.preventDefault();
      const rows = visibleRows();
      if (rows.length > 0) go(cellsOf(rows[0])[0]);
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.altKey || event.metaKey || details.open || event.target === query) return;
    event.preventDefault();
    query.focus();
    query.select();
  });

  // Details of a cell.

  const labels = { ready: "Ready", missing: "Missing", unknown: "Kernel not known" };

  function describe(image) {
    const article = by("image").content.cloneNode(true).firstElementChild;
    const values = {
      ...image,
      label: labels[image.state],
      deviceConfig: texts[image.deviceConfig] || "",
      module: texts[image.module] || "",
    };
    article.querySelector(".verdict .state").classList.add(image.state);
    for (const place of article.querySelectorAll("[data-text]")) {
      const text = values[place.dataset.text];
      if (text) place.textContent = text;
      else (place.closest("dl > div") || place).remove();
    }
    for (const box of article.querySelectorAll("[data-copy]")) {
      const text = values[box.dataset.copy];
      const button = box.querySelector("button"), pre = box.querySelector("pre");
      if (!text) {
        box.remove();
        continue;
      }
      pre.textContent = text;
      button.setAttribute("aria-label", "Copy the " + box.dataset.name);
      button.addEventListener("click", () => copy(button, pre, box.dataset.name));
    }
    return article;
  }

  function open(cell) {
    makeCurrent(cell);
    const driver = grid.tHead.rows[0].cells[cell.closest("td").cellIndex].firstElementChild.textContent;
    by("what").textContent = "OpenShift " + cell.closest("tr").cells[0].firstElementChild.textContent + ", driver " + driver;
    by("images").replaceChildren(...cell.dataset.images.split(" ").map((n) => describe(images[n])));
    by("said").textContent = "";
    details.showModal();
    details.scrollTop = 0;
    by("what").focus();
  }

  grid.addEventListener("click", (event) => {
    const cell = event.target.closest("button");
    if (cell) open(cell);
  });
  by("close").addEventListener("click", () => details.close());
  details.addEventListener("click", (event) => {
    if (event.target === details) details.close(); // beside it
  });

  // Copying. Pages from a disk or from plain http may have no clipboard to ask; then there is the browser's old way.

  async function copy(button, pre, name) {
    const done = await write(pre.textContent);
    if (!done) getSelection().selectAllChildren(pre);
    by("said").textContent = done ? "Copied the " + name : "Cannot copy here. The " + name + " is selected.";
    button.textContent = done ? "Copied" : "Selected";
    clearTimeout(button.timer);
    button.timer = setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }

  async function write(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return writeOldWay(text);
    }
  }

  function writeOldWay(text) {
    const area = document.createElement("textarea"), before = document.activeElement;
    area.value = text;
    area.readOnly = true;
    area.className = "vh";
    details.append(area); // what is outside of an open dialog cannot be selected
    area.select();
    let done = false;
    try {
      done = document.execCommand("copy");
    } catch {}
    area.remove();
    before.focus();
    return done;
  }

  // Dark and light.

  const theme = by("theme"), wide = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (document.documentElement.dataset.theme || (wide.matches ? "dark" : "light")) === "dark";
  const nameTheme = () => { theme.textContent = dark() ? "Light" : "Dark"; theme.setAttribute("aria-label", dark() ? "Use the light theme" : "Use the dark theme"); };
  wide.addEventListener("change", nameTheme);
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    nameTheme();
    try {
      localStorage.setItem(storedTheme, document.documentElement.dataset.theme);
    } catch {}
  });

  nameTheme();
  theme.hidden = false;
  by("toolbar").hidden = false;
  recall();
});
