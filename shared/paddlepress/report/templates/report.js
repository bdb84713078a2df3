(() => {
  "use strict";

  // Sorting. A missing figure goes last whichever way the column is sorted.
  const table = document.getElementById("comparison-table");
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  const key = (row, column) => row.cells[column].dataset.sort;
  headings.forEach((heading, column) => {
    const button = heading.querySelector("button");
    button.addEventListener("click", () => {
      const now = heading.getAttribute("aria-sort");
      const first = "descending" in button.dataset ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = now === first ? other : first;
      headings.forEach((one) => one.setAttribute("aria-sort", one === heading ? order : "none"));
      const sign = order === "ascending" ? 1 : -1;
      const text = "text" in button.dataset;
      const rows = [...body.rows].sort((left, right) => {
        const a = key(left, column), b = key(right, column);
        if (a === "" || b === "") return (a === "") - (b === "");
        return sign * (text ? a.localeCompare(b, undefined, { numeric: true }) : Number(a) - Number(b));
      });
      body.append(...rows);
    });
  });

  // A point's title becomes a tooltip of our own, shown on hover and on focus, and its accessible name.
  const tip = document.getElementById("tip");
  let shown = null;
  const hide = () => { tip.hidden = true; shown = null; };
  const show = (point, text) => {
    shown = { point, text };
    const [name, ...lines] = text.split("\n");
    tip.replaceChildren();
    const strong = document.createElement("b");
    strong.textContent = name;
    tip.append(strong);
    for (const line of lines) {
      const at = line.indexOf(": ");
      const row = document.createElement("div");
      const label = document.createElement("span");
      label.textContent = at < 0 ? line : line.slice(0, at);
      const value = document.createElement("span");
      value.textContent = at < 0 ? "" : line.slice(at + 2);
      row.append(label, value);
      tip.append(row);
    }
    tip.hidden = false;
    const mark = point.querySelector(".c-mark").getBoundingClientRect();
    const box = tip.getBoundingClientRect();
    const width = document.documentElement.clientWidth;
    const left = Math.min(Math.max(mark.left + mark.width / 2 - box.width / 2, 8), width - box.width - 8);
    const above = mark.top - box.height - 14;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 8 ? above : mark.bottom + 14}px`;
  };

  // Pointing at a variant in one place shows it in all the others.
  const linked = [...document.querySelectorAll("[data-v]")];
  const highlight = (variant) => {
    for (const one of linked) one.classList.toggle("linked", one.dataset.v === variant);
  };

  for (const svg of document.querySelectorAll("svg.chart")) {
    const title = svg.querySelector(":scope > title");
    svg.setAttribute("aria-label", title.textContent);
    svg.setAttribute("aria-describedby", svg.querySelector(":scope > desc").id);
    svg.removeAttribute("aria-labelledby");
    title.remove();
  }
  for (const point of document.querySelectorAll("svg.chart .c-point")) {
    const title = point.querySelector("title");
    const text = title.textContent;
    point.setAttribute("aria-label", text.replaceAll("\n", "; "));
    title.remove();
    point.addEventListener("pointerenter", () => show(point, text));
    point.addEventListener("pointerleave", hide);
    point.addEventListener("focus", () => show(point, text));
    point.addEventListener("blur", hide);
  }
  for (const one of linked) {
    one.addEventListener("pointerenter", () => highlight(one.dataset.v));
    one.addEventListener("pointerleave", () => highlight(null));
    one.addEventListener("focusin", () => highlight(one.dataset.v));
    one.addEventListener("focusout", () => highlight(null));
  }
  // The tooltip goes along with a point that scrolls into view under the focus or the pointer.
  addEventListener("scroll", () => {
    if (shown && (shown.point === document.activeElement || shown.point.matches(":hover"))) show(shown.point, shown.text);
    else hide();
  }, { passive: true });
  addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
})();
