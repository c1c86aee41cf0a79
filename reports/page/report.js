"use strict";
// Draws charts as they come into view, and shows the details of a cell. Text is only ever set as text.
const dark = matchMedia("(prefers-color-scheme: dark)");
let data; // unpacked at the end of this file, before anything uses it

async function unpack(id) {
  const packed = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

let library;
function charting() {
  library ??= unpack("vega").then((text) => {
    const script = document.createElement("script");
    script.textContent = text;
    document.head.append(script);
    return vegaEmbed;
  });
  return library;
}

function theme() {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue("--" + name).trim();
  const text = { labelColor: color("ink"), titleColor: color("quiet"), labelFontSize: 11, titleFontSize: 11, titleFontWeight: 400 };
  return {
    background: null,
    font: getComputedStyle(document.body).fontFamily,
    view: { stroke: null },
    axis: { ...text, gridColor: color("line"), domainColor: color("line"), tickColor: color("line") },
    legend: text,
    text: { color: color("quiet"), fontSize: 11 },
    bar: { color: color("mark"), opacity: 0.75 },
    circle: { color: color("mark") },
    tick: { color: color("mark") },
    line: { color: color("quiet") },
    rule: { color: color("quiet") },
    range: { category: dark.matches ? CATEGORIES.dark : CATEGORIES.light },
  };
}
const CATEGORIES = {
  light: ["#2a6fdb", "#d9730d", "#1a7f6b", "#b4338a", "#7a5bd0", "#8a6d1f", "#4f9fb8", "#6b7280", "#a83b3b", "#3f8f3a"],
  dark: ["#6aa5ff", "#f2a65a", "#4cc3a5", "#e47fc0", "#ab94f5", "#d3b45b", "#7fcbe0", "#a7b0bd", "#f08a8a", "#86cf7f"],
};
const NAMED = ["good", "bad", "quiet"]; // colours that charts call by name

async function draw(place, spec) {
  const style = getComputedStyle(document.documentElement);
  const named = JSON.stringify(spec).replace(/"value":"(\w+)"/g, (all, name) =>
    NAMED.includes(name) ? `"value":"${style.getPropertyValue("--" + name).trim()}"` : all);
  const embed = await charting();
  await embed(place, JSON.parse(named), { actions: false, ast: true, renderer: "svg", config: theme(), tooltip: { theme: dark.matches ? "dark" : "light" } });
  place.dataset.drawn = "yes";
}

const drawn = new Map();
const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    const spec = data.charts[target.dataset.chart];
    drawn.set(target, spec);
    draw(target, spec);
  }
}, { rootMargin: "300px" });
dark.addEventListener("change", () => drawn.forEach((spec, place) => draw(place, spec)));

const dialog = document.getElementById("details");
const part = (selector) => dialog.querySelector(selector);
const shown = (value, digits = 3) => (value === null || value === undefined ? "–" : String(Number(value.toPrecision(digits))));

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function openDetails(system, pairing, chosen) {
  const cells = data.cells.filter((cell) => cell.system === system && cell.pairing === pairing);
  part("h2").textContent = `${data.titles[system] ?? system} in ${pairing}`;
  part(".cases").replaceChildren(...cells.map(caseEntry));
  if (!dialog.open) dialog.showModal();
  const worst = (cell) => (["red", "allowed"].includes(cell.status) ? 1e9 : cell.status === "absent" ? -1 : cell.error_ratio ?? 0);
  const first = cells.find((cell) => cell.case === chosen) ?? cells.toSorted((a, b) => worst(b) - worst(a))[0];
  showCell(first);
  part('[aria-current="true"]').scrollIntoView({ block: "nearest" });
}

function caseEntry(cell) {
  const button = element("button", cell.case);
  const ratio = element("span", cell.status === "absent" ? "" : ["red", "allowed"].includes(cell.status) ? "✕" : cell.error_ratio?.toFixed(2) ?? "=", `cell ${cell.status}`);
  if (cell.heat !== null && cell.heat !== undefined) ratio.style.setProperty("--heat", `${cell.heat}%`);
  button.append(ratio);
  button.dataset.case = cell.case;
  button.addEventListener("click", () => showCell(cell));
  const entry = element("li");
  entry.append(button);
  return entry;
}

function showCell(cell) {
  for (const button of dialog.querySelectorAll(".cases button")) button.setAttribute("aria-current", button.dataset.case === cell.case);
  part("#cell h3").textContent = cell.case;
  part(".reason").textContent = cell.reason ?? "";
  part(".reason").className = ["red", "allowed"].includes(cell.status) ? "reason bad" : "reason quiet";
  const names = cell.names ?? data.layers[cell.case] ?? [];
  const layers = (cell.layers ?? []).map((ratio, depth) => ({ depth, layer: names[depth], ratio }));
  const place = part("#cell .chart");
  place.hidden = part(".caption").hidden = part("#cell details").hidden = layers.length === 0;
  if (layers.length) {
    const spec = { ...data.charts.layers, datasets: { ...data.charts.layers.datasets, layers: layers.filter(({ ratio }) => ratio > 0) } }; // the scale is logarithmic
    drawn.set(place, spec);
    draw(place, spec);
  }
  part(".layers tbody").replaceChildren(...layers.map(({ layer, ratio }) => {
    const row = element("tr");
    row.append(element("td", layer), element("td", shown(ratio), ratio !== null && ratio <= data.bound ? "number" : "number bad"));
    return row;
  }));
  part("dl").replaceChildren(...details(cell).flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
  part(".command code").textContent = cell.command;
  history.replaceState(null, "", `#${encodeURIComponent(cell.pairing)}/${encodeURIComponent(cell.case)}`);
}

function details(cell) {
  const provenance = data.provenances[cell.provenance] ?? {};
  const versions = Object.entries(provenance.versions ?? {}).map(([name, version]) => `${name} ${version}`).join(", ");
  const ratios = Object.entries(data.ratios).filter(([name]) => typeof cell[name] === "number");
  return [
    ["compared", cell.count],
    ["error ratios", ratios.map(([name, what]) => `${what} ${shown(cell[name])}`).join(", ")],
    ["worst layer", cell.worst_layer && `${cell.worst_layer}, ${shown(cell.worst_layer_ratio)}`],
    ["worst gradient", cell.worst_gradient],
    ["replay", cell.replay],
    ["versions", versions],
    ["Python", provenance.python],
    ["processor", provenance.processor],
    ["platform", provenance.platform],
    ["commit", cell.commit],
    ["recorded", cell.recorded],
  ].filter(([, value]) => value);
}

dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
dialog.addEventListener("close", () => history.replaceState(null, "", location.pathname + location.search));
part(".command button").addEventListener("click", async (event) => {
  await navigator.clipboard.writeText(part(".command code").textContent);
  event.target.textContent = "copied";
  setTimeout(() => (event.target.textContent = "copy"), 1500);
});

unpack("data").then((text) => {
  data = JSON.parse(text);
  for (const place of document.querySelectorAll("[data-chart]")) watcher.observe(place);
  for (const button of document.querySelectorAll(".matrix button")) {
    button.addEventListener("click", () => openDetails(button.dataset.system, button.dataset.pairing));
  }
  const [pairing, name] = decodeURIComponent(location.hash.slice(1)).split("/");
  const linked = data.cells.find((cell) => cell.pairing === pairing && cell.case === name);
  if (linked) openDetails(linked.system, linked.pairing, linked.case);
});
