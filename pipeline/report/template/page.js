"use strict";
// The figures are drawn already; this moves between them, draws over boards and sorts the pool.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const all = (selector) => [...document.querySelectorAll(selector)];

function svg(name, attributes, parent) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (parent) parent.append(made);
  return made;
}

// ------------------------------------------------------------------------------ the page

function theme() {
  const root = document.documentElement;
  const kept = (value) => {
    try {
      if (value) localStorage.setItem("theme", value);
      return localStorage.getItem("theme");
    } catch {
      return null; // a browser may keep nothing for files
    }
  };
  const set = (value) => {
    root.dataset.theme = value;
    byId("theme").setAttribute("aria-pressed", String(value === "dark"));
  };
  set(kept() ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
  byId("theme").addEventListener("click", () => {
    const value = root.dataset.theme === "dark" ? "light" : "dark";
    set(value);
    kept(value);
  });
}

function axisOfProgress() {
  for (const input of all("input[name=axis]"))
    input.addEventListener("change", () => {
      for (const charts of all("[data-axis]")) charts.hidden = charts.dataset.axis !== input.value;
    });
}

function copying() {
  for (const button of all("[data-copy]"))
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(button.dataset.copy);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(button.previousElementSibling);
        button.textContent = "Selected";
      }
    });
}

function rounds() {
  const show = (number) => {
    for (const charts of all("[data-round]")) charts.hidden = charts.dataset.round !== String(number);
    for (const row of all("[data-of]")) row.classList.toggle("now", row.dataset.of === String(number));
    if (byId("round-shown")) byId("round-shown").value = number;
  };
  byId("round")?.addEventListener("input", (event) => show(event.target.value));
  if (byId("round")) show(byId("round").value);
}

// ------------------------------------------------------------------------------- heat map

function heat() {
  if (!byId("heat")) return;
  const { cell, margin, rows, columns, coords } = data.geometry;
  const paths = all("#heat .heat");
  const places = new Map(rows.map((row, v) => [`${row},${columns[v]}`, v]));
  let shares = [];
  const draw = () => {
    const round = byId("heat-round") ? Number(byId("heat-round").value) : data.heat.usage.length - 1;
    shares = Array.from(atob(data.heat.usage[round]), (c) => c.charCodeAt(0) / 255);
    if (byId("average").checked) {
      const sums = [], counts = [];
      data.heat.orbits.forEach((orbit, v) => {
        sums[orbit] = (sums[orbit] ?? 0) + shares[v];
        counts[orbit] = (counts[orbit] ?? 0) + 1;
      });
      shares = data.heat.orbits.map((orbit) => sums[orbit] / counts[orbit]);
    }
    const drawn = paths.map(() => "");
    shares.forEach((share, v) => {
      const level = Math.round((share / (data.heat.most || 1)) * paths.length);
      if (level)
        drawn[level - 1] += `M${columns[v] * cell + margin} ${rows[v] * cell + margin}h${cell}v${cell}h-${cell}z`;
    });
    paths.forEach((path, i) => path.setAttribute("d", drawn[i]));
    if (byId("heat-shown")) byId("heat-shown").value = round;
    const words = `How often each is used by the elite of round ${round}`;
    byId("heat").querySelector("title").textContent = words;
    byId("heat").firstElementChild.setAttribute("aria-label", words);
    byId("heat-told").textContent = `${data.heat.elite[round]} constructions. Point at one to read it.`;
  };
  byId("heat-round")?.addEventListener("input", draw);
  byId("average").addEventListener("change", draw);
  byId("heat").addEventListener("pointermove", (event) => {
    const v = places.get(cellAt(byId("heat").firstElementChild, event).join());
    if (v !== undefined)
      byId("heat-told").textContent = `(${coords[v].join(", ")}): in ${Math.round(100 * shares[v])} % of the elite`;
  });
  draw();
}

function cellAt(drawing, event) {
  const { cell, margin, width, height } = data.geometry;
  const box = drawing.getBoundingClientRect();
  const scale = Math.min(box.width / width, box.height / height);
  const x = (event.clientX - box.left - (box.width - width * scale) / 2) / scale;
  const y = (event.clientY - box.top - (box.height - height * scale) / 2) / scale;
  return [Math.floor((y - margin) / cell), Math.floor((x - margin) / cell)];
}

// --------------------------------------------------------------------------------- boards

function* combinations(count, size, from = 0) {
  if (size === 0) yield [];
  else
    for (let i = from; i < count; i++)
      for (const rest of combinations(count, size - 1, i + 1)) yield [i, ...rest];
}

function viewer() {
  const stage = byId("stage");
  if (!stage) return;
  const { cell, margin, rows, columns, coords, plane } = data.geometry;
  const places = new Map(rows.map((row, v) => [`${row},${columns[v]}`, v]));
  const wanted = data.arity - 1;
  const x = (v) => columns[v] * cell + margin + cell / 2;
  const y = (v) => rows[v] * cell + margin + cell / 2;
  const named = (v) => `(${coords[v].join(", ")})`;
  let board, chosen, at, blocked, under, over;

  function show(index) {
    board = data.boards[index];
    chosen = [];
    at = board.points[0];
    blocked = null;
    if (board.blocked) {
      blocked = new Map();
      let next = 0;
      for (const set of combinations(board.points.length, wanted))
        blocked.set(set.map((i) => board.points[i]).join(), board.blocked[next++]);
    }
    const drawing = all(".thumb[data-board] svg")[index].cloneNode(true);
    drawing.setAttribute("tabindex", "0");
    drawing.setAttribute("role", "application");
    drawing.setAttribute("aria-describedby", "hint");
    stage.replaceChildren(drawing);
    under = svg("g", {});
    drawing.querySelector(".points").before(under);
    over = svg("g", { "pointer-events": "none" }, drawing);
    const [id, , order, symmetry, origin, round] = data.pool[index];
    byId("board-name").textContent = board.name;
    const facts = { "symmetry class": `${symmetry} (${order})`, "found by": origin, round, id };
    byId("board-facts").replaceChildren(
      ...Object.entries(facts).map(([term, told]) => {
        const row = document.createElement("div");
        row.append(document.createElement("dt"), document.createElement("dd"));
        row.firstChild.textContent = term;
        row.lastChild.textContent = told;
        return row;
      })
    );
    for (const thumb of all(".thumb[data-board]"))
      thumb.setAttribute("aria-pressed", String(Number(thumb.dataset.board) === index));
    byId("hint").hidden = !blocked;
    draw(false);
  }

  function choose(v) {
    at = v;
    if (chosen.includes(v)) chosen = chosen.filter((u) => u !== v);
    else chosen = [...(chosen.length < wanted ? chosen : []), v];
    draw(true);
  }

  function draw(focused) {
    under.replaceChildren();
    over.replaceChildren();
    for (const v of chosen) svg("circle", { class: "chosen", cx: x(v), cy: y(v), r: Math.max(cell * 0.46, 8) }, over);
    if (focused) svg("circle", { class: "cursor", cx: x(at), cy: y(at), r: Math.max(cell * 0.58, 11) }, over);
    byId("clear").disabled = !chosen.length;
    byId("blocked").textContent = chosen.length ? `Chosen: ${chosen.map(named).join(" ")}.` : "";
    if (!blocked) {
      byId("blocked").textContent = data.graph ? "" : "Too many sets of points to list what each blocks on this board.";
      return;
    }
    if (chosen.length !== wanted) return;
    const cells = blocked.get([...chosen].sort((a, b) => a - b).join());
    for (const v of cells)
      svg("rect", { class: "blocked", x: x(v) - cell / 2, y: y(v) - cell / 2, width: cell, height: cell }, under);
    if (plane) for (const curve of curves(cells)) under.append(curve);
        byId("blocked").textContent = `${chosen.map(named).join(" ")} block ${cells.length || "none"}${cells.length ? ": " + cells.map(named).join(" ") : ""}.`;
  }

  // Circles and lines that the chosen points fix, drawn where the cells on them are blocked; one
  // cell may be left out (the middle of two points may be allowed). No problem is known by name.
  function curves(cells) {
    const isBlocked = new Set(cells);
    const found = [];
    let left = new Set(cells);
    const candidates = fixed().map((curve) => ({
      ...curve,
      cells: rows.map((_, v) => v).filter((v) => !chosen.includes(v) && curve.on(rows[v], columns[v])),
    }));
    const covers = (curve) => curve.cells.filter((v) => left.has(v)).length;
    let fitting = candidates.filter((c) => c.cells.filter((v) => !isBlocked.has(v)).length <= 1);
    while (left.size && fitting.length) {
      fitting.sort((a, b) => covers(b) - covers(a));
      const best = fitting.shift();
      if (!covers(best)) break;
      for (const v of best.cells) left.delete(v);
      found.push(best.draw());
    }
    return found;
  }

  function fixed() {
    const at = (v) => [rows[v], columns[v]];
    const circle = (r, c, square) => ({
      on: (i, j) => Math.abs((i - r) ** 2 + (j - c) ** 2 - square) < 1e-6,
      draw: () => svg("circle", { class: "curve", cx: c * cell + margin + cell / 2, cy: r * cell + margin + cell / 2, r: Math.sqrt(square) * cell }),
    });
    const line = (r, c, dr, dc) => ({
      on: (i, j) => (i - r) * dc === (j - c) * dr,
      draw: () => {
        const far = (data.geometry.width + data.geometry.height) / cell / Math.hypot(dr, dc);
        const [px, py] = [c * cell + margin + cell / 2, r * cell + margin + cell / 2];
        return svg("path", { class: "curve", d: `M${px - far * dc * cell} ${py - far * dr * cell}L${px + far * dc * cell} ${py + far * dr * cell}` });
      },
    });
    if (chosen.length === 2) {
      const [[a, b], [c, d]] = chosen.map(at);
      const square = (a - c) ** 2 + (b - d) ** 2;
      return [circle(a, b, square), circle(c, d, square), line((a + c) / 2, (b + d) / 2, d - b, a - c), line(a, b, c - a, d - b)];
    }
    if (chosen.length === 3) {
      const [[a, b], [c, d], [e, f]] = chosen.map(at);
      const area = 2 * ((c - a) * (f - b) - (e - a) * (d - b));
      if (area === 0) return [line(a, b, c - a, d - b)];
      const [p, q] = [(c - a) ** 2 + (d - b) ** 2, (e - a) ** 2 + (f - b) ** 2];
      const r = ((f - b) * p - (d - b) * q) / area, s = ((c - a) * q - (e - a) * p) / area;
      return [circle(a + r, b + s, r * r + s * s)];
    }
    return [];
  }

  function move(dr, dc) {
    const ahead = board.points
      .map((v) => [v, rows[v] - rows[at], columns[v] - columns[at]])
      .map(([v, r, c]) => [v, r * dr + c * dc, Math.abs(r * dc - c * dr)])
      .filter(([, along, aside]) => along > 0 && aside <= along * 2)
      .sort((a, b) => a[1] + 2 * a[2] - b[1] - 2 * b[2]);
    if (ahead.length) at = ahead[0][0];
    draw(true);
  }

  stage.addEventListener("click", (event) => {
    if (!blocked) return;
    const v = places.get(cellAt(stage.firstElementChild, event).join());
    if (v !== undefined && board.points.includes(v)) choose(v);
  });
  stage.addEventListener("keydown", (event) => {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (!blocked) return;
    if (event.key in steps) move(...steps[event.key]);
    else if (event.key === "Enter" || event.key === " ") choose(at);
    else if (event.key === "Escape") clear();
    else return;
    event.preventDefault();
  });
  const clear = () => {
    chosen = [];
    draw(false);
  };
  byId("clear").addEventListener("click", clear);
  byId("axes")?.addEventListener("change", (event) => stage.classList.toggle("no-axes", !event.target.checked));
  for (const thumb of all(".thumb[data-board]"))
    thumb.addEventListener("click", () => show(Number(thumb.dataset.board)));
  show(0);
}

// ----------------------------------------------------------------------------------- pool

function pool() {
  const table = byId("members");
  if (!table) return;
  const rows = data.pool.map((member) => {
    const row = document.createElement("tr");
    member.forEach((told, i) => {
      const place = document.createElement("td");
      place.textContent = told;
      if (typeof told === "string") place.className = "left";
      if (i === 0) place.style.fontFamily = "ui-monospace, monospace";
      row.append(place);
    });
    return { member, row };
  });
  table.tBodies[0].append(...rows.map(({ row }) => row));
  for (const button of table.querySelectorAll("button"))
    button.addEventListener("click", () => {
      const column = Number(button.dataset.column);
      const head = button.closest("th");
      const first = typeof data.pool[0]?.[column] === "number" ? "descending" : "ascending";
      const other = first === "descending" ? "ascending" : "descending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      for (const cell of table.querySelectorAll("th")) cell.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      rows.sort(({ member: a }, { member: b }) =>
        a[column] < b[column] ? -sign : a[column] > b[column] ? sign : 0
      );
      table.tBodies[0].append(...rows.map(({ row }) => row));
    });
}

theme();
axisOfProgress();
copying();
if (data.kind === "run") {
  rounds();
  heat();
  viewer();
  pool();
}
