"use strict";
// Reads the numbers in #data; the page is complete without it. Sorting, choosing lines, reading values.
const data = JSON.parse(document.getElementById("data").textContent);

function make(name, properties = {}, ...content) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...content);
  return element;
}

// Tables: a click or Enter on a heading sorts; blanks stay last, equal rows keep their order.

function makeSortable(table) {
  for (const heading of table.querySelectorAll("thead th")) {
    const button = make("button", {type: "button"}, ...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sortBy(table, heading));
  }
}

function sortBy(table, heading) {
  const numeric = heading.classList.contains("number");
  const before = heading.getAttribute("aria-sort");
  const descending = before ? before === "ascending" : numeric;
  for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const body = table.tBodies[0];
  const rows = [...body.rows].map(row => [sortKey(row.cells[heading.cellIndex], numeric), row]);
  rows.sort(([one], [other]) => compare(one, other, descending));
  body.append(...rows.map(([, row]) => row));
}

function sortKey(cell, numeric) {
  const text = cell.dataset.value ?? cell.textContent.trim();
  if (!numeric) return text || null;
  const number = parseFloat(text);
  return Number.isNaN(number) ? null : number;
}

function compare(one, other, descending) {
  if (one === null || other === null) return (one === null) - (other === null);
  const order = typeof one === "number" ? one - other : natural(one, other);
  return descending ? -order : order;
}

// Numbers inside a text by their size: m=0.05 before m=0.1, s=30 before s=100.
function natural(one, other) {
  const [ours, theirs] = [one, other].map(text => text.split(/(\d+(?:\.\d+)?(?:e[+-]?\d+)?)/));
  for (let i = 0; i < Math.min(ours.length, theirs.length); i++) {
    const order = i % 2 ? ours[i] - theirs[i] : ours[i].localeCompare(theirs[i], "en");
    if (order) return order;
  }
  return ours.length - theirs.length;
}

// Choices: a box for each value by which groups differ, and for each seed.

const hidden = new Set();

function makeChoices(place) {
  const facets = new Map();
  const add = (facet, value) => facets.set(facet, (facets.get(facet) ?? new Set()).add(value));
  for (const group of data.groups) for (const facet in group) add(facet, group[facet]);
  for (const chart of data.charts) for (const line of chart.lines) for (const seed in line.seeds) add("seed", seed);
  for (const [facet, values] of facets) {
    if (values.size < 2) continue;
    const boxes = [...values].sort(natural).map(value => box(facet, value));
    place.append(make("fieldset", {}, make("legend", {}, facet), ...boxes));
  }
}

function box(facet, value) {
  const key = JSON.stringify([facet, value]);
  const input = make("input", {type: "checkbox", checked: true});
  input.addEventListener("change", () => {
    input.checked ? hidden.delete(key) : hidden.add(key);
    charts.forEach(chart => chart.draw());
  });
  return make("label", {}, input, " ", value);
}

const shows = (facet, value) => !hidden.has(JSON.stringify([facet, value]));
const showsGroup = group => Object.entries(data.groups[group]).every(([facet, value]) => shows(facet, value));

// Charts: the lines of the chosen seeds, and their values where the reader points.

class Chart {
  constructor(chart) {
    Object.assign(this, chart);
    const figure = document.getElementById(chart.name);
    this.svg = figure.querySelector("svg:not(.swatch)");
    this.cursor = this.svg.querySelector(".cursor");
    this.output = figure.querySelector("output");
    this.rows = [...figure.querySelectorAll(".legend tbody tr")];
    const paths = [...this.svg.querySelectorAll("path")];
    for (const line of this.lines) {
      const several = Object.keys(line.seeds).length > 1;
      line.band = several ? paths.shift() : null;
      line.path = paths.shift();
    }
    this.slider = make("input", {type: "range", min: 0, max: this.x.length - 1, value: this.at});
    this.slider.setAttribute("aria-label", this.svg.getAttribute("aria-label"));
    this.slider.addEventListener("input", () => this.point(Number(this.slider.value)));
    this.svg.after(this.slider);
    this.svg.addEventListener("pointermove", event => this.point(this.nearest(event)));
    this.svg.addEventListener("pointerdown", event => this.point(this.nearest(event)));
    this.draw();
  }

  pixelX(value) {
    const [first, last] = this.range, [left, right] = this.frame;
    return left + part(value, first, last, this.log) * (right - left);
  }

  pixelY(value) {
    const [, , low, high] = this.range, [, , bottom, top] = this.frame;
    return bottom + part(value, low, high, this.logY) * (top - bottom);
  }

  nearest(event) {
    const box = this.svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * this.svg.viewBox.baseVal.width;
    // A step holds from its point on, so the reader is told of the last point passed.
    const distance = this.steps ? value => (this.pixelX(value) > x + 0.5 ? Infinity : x - this.pixelX(value))
      : value => Math.abs(this.pixelX(value) - x);
    return this.x.reduce((best, value, i) => (distance(value) < distance(this.x[best]) ? i : best), 0);
  }

  draw() {
    this.lines.forEach((line, i) => {
      const seeds = Object.keys(line.seeds).filter(seed => shows("seed", seed)).map(seed => line.seeds[seed]);
      const shown = showsGroup(line.group) && seeds.length > 0;
      this.rows[i].hidden = !shown;
      line.path.style.display = shown ? "" : "none";
      if (line.band) line.band.style.display = shown && seeds.length > 1 ? "" : "none";
      line.values = this.x.map((_, k) => summary(seeds.map(values => values[k])));
      if (!shown) return;
      const known = this.x.map((x, k) => ({x: this.pixelX(x), ...line.values[k]})).filter(point => point.mean !== null);
      line.path.setAttribute("d", this.outline(known, "mean"));
      line.band?.setAttribute("d", this.outline(known, "high") + this.outline(known.reverse(), "low", true));
    });
    this.read();
  }

  outline(points, name, back = false) {
    const at = points.map(point => [point.x.toFixed(1), this.pixelY(point[name]).toFixed(1)]);
    const parts = at.map(([x, y], i) => {
      if (i === 0) return back ? `V${y}` : `M${x} ${y}`;
      if (!this.steps) return `L${x} ${y}`;
      return back ? `V${y}H${x}` : `H${x}V${y}`;
    });
    return parts.join("") + (back ? "Z" : "");
  }

  point(index) {
    this.at = index;
    this.slider.value = index;
    this.read();
    const x = this.pixelX(this.x[index]);
    this.cursor.setAttribute("x1", x);
    this.cursor.setAttribute("x2", x);
    this.cursor.style.visibility = "visible";
  }

  read() {
    const x = xText(this.x[this.at]);
    this.output.textContent = x;
    this.slider.setAttribute("aria-valuetext", x);
    this.lines.forEach((line, i) => {
      const {mean, low, high, n} = line.values[this.at];
      const [, , told, band] = this.rows[i].cells;
      told.textContent = this.text(mean);
      band.textContent = n > 1 && mean !== null ? `${this.text(low)} to ${this.text(high)}` : "";
    });
  }

  text(value) {
    if (value === null) return "–";
    return this.percent ? `${(100 * value).toFixed(2)} %` : String(Number(value.toPrecision(4)));
  }
}

function part(value, first, last, log) {
  return log ? Math.log(value / first) / Math.log(last / first) : (value - first) / (last - first);
}

function summary(values) {
  if (!values.length || values.includes(null)) return {mean: null, low: null, high: null, n: values.length};
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return {mean, low: Math.min(...values), high: Math.max(...values), n: values.length};
}

function xText(value) {
  if (value >= 1 || value === 0) return value.toLocaleString("en", {maximumFractionDigits: 0});
  const [digits, exponent] = value.toExponential(2).split("e");
  return `${Number(digits)}e${Number(exponent)}`;
}

document.querySelectorAll("table.sortable").forEach(makeSortable);
const charts = data.charts.map(chart => new Chart(chart));
if (charts.length) makeChoices(document.getElementById("choices"));
