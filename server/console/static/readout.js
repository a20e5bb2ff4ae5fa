/**
 * Charts tell each of their values: to a pointer that is over them, and to the keyboard, as a slider
 * over the rounds whose value is read out. What is told stands on the drawing itself
 * (`server.console.chart`); the table of rounds has the same without this module.
 */

const SVG = "http://www.w3.org/2000/svg";
const KEYS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 };

/**
 * What a chart knows.
 * @typedef {{ plot: HTMLElement, svg: SVGSVGElement, xs: number[], ys: number[], said: string[] }} Chart
 */

/**
 * @param {Element} plot
 * @returns {Chart | null} null for one that has no points
 */
function read(plot) {
  const svg = plot.querySelector("svg");
  if (!(svg instanceof SVGSVGElement) || !(plot instanceof HTMLElement)) return null;
  const numbers = (/** @type {string} */ name) => (svg.dataset[name] ?? "").split(" ").map(Number);
  const said = (svg.dataset.said ?? "").split("|");
  return { plot, svg, xs: numbers("x"), ys: numbers("y"), said };
}

/**
 * Point at one value and tell it.
 * @param {Chart} chart
 * @param {number} at
 */
function show({ plot, svg, xs, ys, said }, at) {
  const n = Math.max(0, Math.min(said.length - 1, at));
  let mark = svg.querySelector(".cursor");
  if (!mark) {
    mark = document.createElementNS(SVG, "circle");
    mark.setAttribute("class", "cursor");
    mark.setAttribute("r", "5");
    svg.append(mark);
  }
  mark.setAttribute("cx", String(xs[n]));
  mark.setAttribute("cy", String(ys[n]));
  plot.setAttribute("aria-valuenow", String(n + 1));
  plot.setAttribute("aria-valuetext", said[n]);
  const told = plot.parentElement?.querySelector(".readout");
  if (told) told.textContent = said[n];
}

/** Back to the newest value. @param {Chart} chart */
function rest(chart) {
  show(chart, chart.said.length - 1);
  chart.svg.querySelector(".cursor")?.remove();
}

/** Make sliders of the charts that are there; what a swap brought in is new each time. */
function take() {
  for (const plot of document.querySelectorAll(".plot:not([role])")) {
    const chart = read(plot);
    if (!chart) continue;
    const values = { role: "slider", tabindex: "0", "aria-valuemin": "1" };
    for (const [name, value] of Object.entries(values)) plot.setAttribute(name, value);
    plot.setAttribute("aria-label", chart.plot.dataset.name ?? "");
    plot.setAttribute("aria-valuemax", String(chart.said.length));
    rest(chart);
  }
}

/**
 * The chart that an event is over or in.
 * @param {Event} event
 */
function of(event) {
  const plot = event.target instanceof Element ? event.target.closest(".plot[role]") : null;
  return plot ? read(plot) : null;
}

document.addEventListener("pointermove", (event) => {
  const chart = of(event);
  if (!chart) return;
  const box = chart.svg.getBoundingClientRect();
  const x = ((event.clientX - box.left) * chart.svg.viewBox.baseVal.width) / box.width;
  const away = chart.xs.map((one) => Math.abs(one - x));
  show(chart, away.indexOf(Math.min(...away)));
});
document.addEventListener("pointerout", (event) => {
  const chart = of(event);
  const next = event.relatedTarget;
  if (chart && !(next instanceof Node && chart.plot.contains(next))) rest(chart);
});
document.addEventListener("keydown", (event) => {
  const chart = of(event);
  if (!chart) return;
  const now = Number(chart.plot.getAttribute("aria-valuenow")) - 1;
  const ends = { Home: 0, End: chart.said.length - 1 };
  const to = ends[event.key] ?? (event.key in KEYS ? now + KEYS[event.key] : undefined);
  if (to === undefined) return;
  event.preventDefault();
  show(chart, to);
});
document.addEventListener("focusout", (event) => {
  const chart = of(event);
  if (chart) rest(chart);
});
document.body.addEventListener("htmx:sseMessage", take);
take();
