"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Contents: mark the part in view, and open its study.
{
  const links = new Map(all(".contents a").map((link) => [document.getElementById(link.hash.slice(1)), link]));
  const targets = [...links.keys()];
  const wide = matchMedia("(min-width: 68rem)");
  const whole = document.querySelector(".contents > details");
  const unfold = () => { whole.open = wide.matches; };
  wide.addEventListener("change", unfold);
  unfold();
  let marked;
  const mark = () => {
    const passed = targets.filter((target) => target.getBoundingClientRect().top < innerHeight / 3);
    const link = links.get(passed.at(-1) ?? targets[0]);
    if (link === marked) return;
    marked?.removeAttribute("aria-current");
    marked = link;
    link.setAttribute("aria-current", "true");
    if (!wide.matches) return;
    const study = link.closest(".contents > details > ul > li");
    for (const part of all(".contents li details")) part.open = study.contains(part);
    const box = link.closest(".contents");
    box.scrollTop += link.getBoundingClientRect().top - box.getBoundingClientRect().top - box.clientHeight / 3;
  };
  let waiting = false;
  const later = () => {
    if (!waiting) requestAnimationFrame(() => { waiting = false; mark(); });
    waiting = true;
  };
  addEventListener("scroll", later, { passive: true });
  addEventListener("resize", later);
  mark();
}

// Tables: sort rows by a column; groups of rows stay together and are sorted by their first number.
{
  const value = (unit, column) => {
    const rows = unit.matches("tr") ? [unit] : [...unit.rows];
    const cell = column ? rows.map((row) => row.cells[column]).find(Boolean) : rows[0].cells[0];
    return cell ? (cell.dataset.value ?? cell.textContent.trim()) : "";
  };
  const number = (text) => {
    const found = /^[<>=~]?\s*([-+]?(?:inf|[\d,]*\.?\d+(?:e[-+]?\d+)?))/i.exec(text);
    return found ? Number(found[1].replaceAll(",", "").replace(/inf/i, "Infinity")) : NaN;
  };
  const compared = (units, column) => {
    const texts = new Map(units.map((unit) => [unit, value(unit, column)]));
    const numbers = new Map(units.map((unit) => [unit, number(texts.get(unit))]));
    const there = units.filter((unit) => !["", "–", "nan"].includes(texts.get(unit)));
    const numeric = column > 0 && there.some((unit) => !Number.isNaN(numbers.get(unit)));
    const gap = (unit) => (numeric ? Number.isNaN(numbers.get(unit)) : !there.includes(unit));
    const order = numeric
      ? (one, other) => numbers.get(one) - numbers.get(other)
      : (one, other) => texts.get(one).localeCompare(texts.get(other), "en", { numeric: true });
    return (sign) => (one, other) => gap(one) - gap(other) || (gap(one) ? 0 : sign * order(one, other));
  };
  for (const table of all("table.sortable")) {
    const units = table.tBodies.length > 1 ? [...table.tBodies] : [...table.tBodies[0].rows];
    if (units.length < 2) continue;
    const home = units[0].parentNode;
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const next = { none: "ascending", ascending: "descending", descending: "none" };
        const way = next[head.getAttribute("aria-sort") ?? "none"];
        for (const other of heads) other.removeAttribute("aria-sort");
        if (way !== "none") head.setAttribute("aria-sort", way);
        const sign = way === "ascending" ? 1 : -1;
        home.append(...(way === "none" ? units : [...units].sort(compared(units, column)(sign))));
      });
    });
  }
}

// Figures: the value of the nearest point of a curve.
{
  const REACH = 60;
  for (const figure of all("[data-marks]")) {
    const image = figure.querySelector("img");
    const marks = JSON.parse(figure.dataset.marks);
    const ring = Object.assign(document.createElement("div"), { className: "point", hidden: true });
    const tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
    figure.append(ring, tip);
    const hide = () => { ring.hidden = tip.hidden = true; };
    image.addEventListener("pointerleave", hide);
    image.addEventListener("pointermove", (event) => {
      const box = image.getBoundingClientRect();
      const far = (mark) => Math.hypot(box.left + mark.x * box.width - event.clientX, box.top + mark.y * box.height - event.clientY);
      const near = marks.reduce((one, other) => (far(other) < far(one) ? other : one));
      if (far(near) > REACH) return hide();
      const [left, top] = [near.x * box.width, near.y * box.height];
      ring.hidden = tip.hidden = false;
      tip.textContent = near.text;
      ring.style.cssText = `left:${left}px;top:${top}px`;
      tip.style.cssText = `left:${left}px;top:${top + 14}px;translate:${near.x > 0.5 ? "-100%" : 0}`;
    });
  }
}

// Pictures: one dialog shows any of them large, beside another view of the same image.
{
  const cases = JSON.parse(document.getElementById("cases").textContent);
  const dialog = document.getElementById("viewer");
  const stage = dialog.querySelector(".stage");
  const range = dialog.querySelector("[type=range]");
  const chosen = Object.fromEntries(all("select", dialog).map((select) => [select.dataset.choose, select]));
  let shown;

  const fill = (select, names) => select.replaceChildren(...names.map((name, index) => new Option(name, index)));
  const slide = (share) => {
    range.value = 100 * share;
    stage.style.setProperty("--at", `${range.value}%`);
  };
  const show = () => {
    const row = shown.rows[chosen.row.value];
    for (const side of ["left", "right"]) {
      const view = chosen[side].value;
      const [picture, text] = row.shots[view];
      const layer = stage.querySelector(`[data-side=${side}]`);
      layer.className = `layer ${picture}${shown.small ? " pixels" : ""}`;
      layer.ariaLabel = `${shown.names[view]} of ${row.image}, on the ${side}`;
      dialog.querySelector(`[data-caption=${side}]`).textContent = [shown.names[view], text].filter(Boolean).join(", ");
    }
    dialog.querySelector("#viewer-image").textContent = `Image ${row.image}, ${Number(chosen.row.value) + 1} of ${shown.rows.length}`;
  };
  const step = (select, by) => {
    select.selectedIndex = (select.selectedIndex + by + select.length) % select.length;
    show();
  };

  for (const thumb of all(".thumb")) {
    thumb.addEventListener("click", () => {
      const view = Number(thumb.dataset.view);
      shown = cases[thumb.dataset.case];
      dialog.querySelector("#viewer-title").textContent = shown.label;
      stage.style.setProperty("--width", shown.width);
      stage.style.setProperty("--height", shown.height);
      fill(chosen.left, shown.names);
      fill(chosen.right, shown.names);
      fill(chosen.row, shown.rows.map((row) => row.image));
      chosen.left.value = 0;
      chosen.right.value = view || shown.names.length - 1;
      chosen.row.value = thumb.dataset.row;
      slide(0.5);
      show();
      dialog.showModal();
    });
  }
  dialog.addEventListener("input", (event) => (event.target === range ? slide(range.value / 100) : show()));
  dialog.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: ["right", -1], ArrowRight: ["right", 1], ArrowUp: ["row", -1], ArrowDown: ["row", 1] };
    const move = moves[event.key];
    if (!move || event.target.matches("select, input")) return;
    event.preventDefault();
    step(chosen[move[0]], move[1]);
  });
  const drag = (event) => {
    const box = stage.getBoundingClientRect();
    if (event.buttons) slide(Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
  };
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    drag(event);
  });
  stage.addEventListener("pointermove", drag);
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.matches(".close")) dialog.close();
  });
}
