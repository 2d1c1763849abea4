"use strict";
// Review of labels: REVIEW (data.js) in its order. Text from outside enters the page as text only.

const $ = (id) => document.getElementById(id);
const labels = REVIEW.labels;
const STORE = `review ${REVIEW.run} ${REVIEW.label_set}`;
const FILE = `decisions-${REVIEW.run.slice(0, 12)}.json`; // as it is downloaded
const WRONG = ["reject", "wrong_class", "bad_edge"];
const PICK = "123456789abcdefghijklmnopqrstuvwxyz"; // keys of the classes
const decided = new Map(); // place in labels: {decision, class?}
let queue = labels.map((_, place) => place);
let at = 0;
let edge = true;
let view = null;
const clouds = new Map(); // place in labels: its points
const asked = new Set(); // samples whose points were asked for

const filters = {
  class: (label) => [label.class],
  size: (label) => [label.size],
  reason: (label) => (label.reasons.length ? label.reasons : ["none"]),
  status: (label) => [label.status],
  frame: (label) => [label.sample],
  decision: null, // changes as people decide; see fits()
};

function remember() {
  try {
    localStorage.setItem(STORE, JSON.stringify([...decided]));
  } catch {
    // Some browsers keep nothing for pages from disk: then the download is all there is.
  }
}

function recall() {
  try {
    for (const [place, value] of JSON.parse(localStorage.getItem(STORE) ?? "[]"))
      if (place in labels) decided.set(place, value);
  } catch {
    decided.clear();
  }
}

function fillFilters() {
  for (const [name, values] of Object.entries(filters)) {
    const counts = new Map();
    if (name === "decision") ["none yet", "accept", ...WRONG].forEach((d) => counts.set(d, 0));
    else for (const label of labels) for (const v of values(label)) counts.set(v, (counts.get(v) ?? 0) + 1);
    const select = $(`by-${name}`);
    select.append(new Option("all", ""));
    for (const [value, count] of [...counts].sort((a, b) => (a[0] < b[0] ? -1 : 1)))
      select.append(new Option(count ? `${value} (${count})` : value, `=${value}`));
    select.addEventListener("change", () => {
      filter();
      select.blur(); // or keys would change it
    });
  }
}

function filter() {
  queue = [];
  labels.forEach((label, place) => {
    const fits = Object.keys(filters).every((name) => {
      const value = $(`by-${name}`).value;
      if (value === "") return true;
      if (name === "decision") return value === `=${decided.get(place)?.decision ?? "none yet"}`;
      return filters[name](label).some((own) => value === `=${own}`);
    });
    if (fits) queue.push(place);
  });
  at = 0;
  show();
}

function show() {
  const place = queue[at];
  const label = labels[place];
  $("label").hidden = label === undefined;
  $("none").hidden = label !== undefined;
  progress();
  if (label === undefined) return;
  const value = decided.get(place);
  $("name").textContent = `${label.class}, ${label.size}, ${label.status}`;
  $("where").textContent = `label ${label.instance} of ${label.sample}, ${at + 1} of ${queue.length}` +
    (label.drawn ? ", drawn at random" : "");
  $("decided").textContent = value ? value.decision.replace("_", " ") + (value.class ? `: ${value.class}` : "") : "";
  $("words").replaceChildren(...label.words.map((words) => {
    const item = document.createElement("li");
    item.textContent = words;
    return item;
  }));
  document.body.dataset.place = place;
  for (const name of ["now", "before", "after"]) {
    const file = label.pictures.find((entry) => entry[0] === name)?.[1];
    $(name).closest("figure").hidden = file === undefined;
    if (file) $(name).src = file;
  }
  drawEdge(label);
  for (const cloud of document.querySelectorAll(".cloud")) cloud.hidden = label.points === undefined;
  if (label.points !== undefined) points(place, label.points);
  // The next pictures are fetched while this one is looked at.
  for (const next of queue.slice(at + 1, at + 4))
    for (const [, file] of labels[next].pictures) new Image().src = file;
}

function drawEdge(label) {
  const svg = $("edge");
  svg.replaceChildren();
  if (!edge || !label.edge) return;
  const image = $("now");
  const size = () => svg.setAttribute("viewBox", `0 0 ${image.naturalWidth || 1} ${image.naturalHeight || 1}`);
  image.onload = size;
  size();
  for (const kind of ["dark", "light"])
    for (const line of label.edge) {
      const polygon = document.createElementNS("http://www.w3.org/2000/svg", "polygon");
      polygon.setAttribute("points", line.join(" "));
      polygon.setAttribute("class", kind);
      svg.append(polygon);
    }
}

function addPoints(own) {
  for (const [place, cloud] of Object.entries(own)) clouds.set(Number(place), cloud);
  const place = queue[at];
  if (clouds.has(place)) drawPoints(clouds.get(place));
}

function points(place, sample) {
  if (clouds.has(place)) return drawPoints(clouds.get(place));
  if (asked.has(sample)) return;
  asked.add(sample);
  const script = document.createElement("script"); // a page from disk may not fetch
  script.src = `points/${String(sample).padStart(6, "0")}.js`;
  document.head.append(script);
}

function drawPoints(cloud) {
  const places = new Int16Array(PointView.bytes(cloud.places_cm).buffer);
  const codes = PointView.bytes(cloud.codes);
  const [x, y, z] = cloud.centre_cm;
  drawAbove(places, codes, x, y);
  $("above").dataset.own = cloud.own;
  try {
    view ??= new PointView($("points"), REVIEW.palette);
    view.lookAt(x / 100, y / 100, z / 100, 7);
    view.show(cloud);
    $("turn").textContent = `${cloud.own} points in 3D, drag to turn`;
  } catch (error) {
    $("turn").textContent = `this browser cannot draw in 3D: ${error.message}`;
  }
}

function drawAbove(places, codes, x, y) {
  const canvas = $("above");
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#0c0c0f";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  let reach = 300;
  for (let i = 0; i < codes.length; i++)
    reach = Math.max(reach, Math.abs(places[3 * i] - x), Math.abs(places[3 * i + 1] - y));
  const scale = canvas.width / 2 / (reach * 1.05);
  for (const own of [false, true])
    for (let i = 0; i < codes.length; i++) {
      if ((codes[i] === 3) !== own) continue;
      pen.fillStyle = REVIEW.palette[codes[i]].rgb;
      // the car looks up: x forward is up, y left is left
      const u = canvas.width / 2 - (places[3 * i + 1] - y) * scale;
      const v = canvas.height / 2 - (places[3 * i] - x) * scale;
      pen.fillRect(u - 1, v - 1, own ? 3 : 2, own ? 3 : 2);
    }
}

function progress() {
  const checked = queue.filter((place) => decided.has(place));
  const wrong = checked.filter((place) => WRONG.includes(decided.get(place).decision)).length;
  $("progress").textContent = `${checked.length} of ${queue.length} checked, ${wrong} wrong`;
  $("bar").max = Math.max(queue.length, 1);
  $("bar").value = checked.length;
  $("estimate").textContent = estimate(checked);
  if (labels.length && decided.size === labels.length) sayNext();
}

// What comes after: decisions are in this browser alone until they are downloaded and applied.
function sayNext() {
  $("next").hidden = false;
  $("command").textContent = `perception corrections apply ${REVIEW.folder} ${FILE}`;
}

// What is left: only labels that were drawn at random say something of those not looked at.
function estimate(checked) {
  const left = queue.length - checked.length;
  if (!left) return checked.length ? "Every label was checked." : "";
  const drawn = checked.filter((place) => labels[place].drawn);
  const wrong = drawn.filter((place) => WRONG.includes(decided.get(place).decision)).length;
  const parts = [];
  if (drawn.length) {
    // Agresti and Coull's interval, 95 %.
    const n = drawn.length + 4;
    const p = (wrong + 2) / n;
    const d = 1.96 * Math.sqrt((p * (1 - p)) / n);
    parts.push(`After ${checked.length} checks the remaining error is ${percent(p)} ± ${percent(d)} ` +
      `(${drawn.length} of them drawn at random)`);
  } else parts.push(`No label drawn at random was checked yet: every 5th is one`);
  const trusts = queue.filter((place) => !decided.has(place)).map((place) => labels[place].trust);
  if (REVIEW.has_trust && trusts.every((trust) => trust !== null))
    parts.push(`the trust model expects ${percent(1 - trusts.reduce((a, b) => a + b, 0) / trusts.length)}`);
  return parts.join("; ") + ".";
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

const taken = []; // [place, what was decided before], the last decision last

function decide(value) {
  const place = queue[at];
  if (place === undefined) return;
  taken.push([place, decided.get(place)]);
  decided.set(place, value);
  remember();
  step(1);
}

function step(by) {
  const next = at + by;
  if (next >= 0 && next < queue.length) at = next;
  show();
}

// Take the last decision back and show its label again: the page has stepped on since.
function undo() {
  const last = taken.pop();
  if (last === undefined) return;
  const [place, before] = last;
  if (before === undefined) decided.delete(place);
  else decided.set(place, before);
  if (queue.includes(place)) at = queue.indexOf(place);
  remember();
  show();
}

let choose; // what a key does while classes are shown: their dialog has the focus a moment later

function chooseClass() {
  if (queue[at] === undefined) return;
  const own = labels[queue[at]].class;
  const close = (name) => {
    $("classes").close();
    if (name !== undefined) decide({ decision: "wrong_class", class: name });
  };
  const rows = REVIEW.classes.map((name, i) => [PICK[i] ?? "", name]).filter(([, name]) => name !== own);
  $("classes").replaceChildren(...rows.map(([key, name]) => {
    const button = document.createElement("button");
    button.textContent = `${key} ${name}`;
    button.addEventListener("click", () => close(name));
    return button;
  }));
  choose = (event) => {
    const row = rows.find(([key]) => key && key === event.key.toLowerCase());
    if (row || event.key === "Escape") { // the browser's own Escape comes late, after the next key
      event.preventDefault();
      close(row?.[1]);
    }
  };
  $("classes").showModal();
}

function download() {
  const decisions = [...decided].sort((a, b) => a[0] - b[0]).map(([place, value]) => ({
    sample: labels[place].sample,
    picture: labels[place].picture,
    instance: labels[place].instance,
    ...value,
  }));
  const text = JSON.stringify({ run: REVIEW.run, label_set: REVIEW.label_set, decisions }, null, 1);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = FILE;
  link.click();
  sayNext();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const deeds = {
  a: () => decide({ decision: "accept" }),
  r: () => decide({ decision: "reject" }),
  b: () => decide({ decision: "bad_edge" }),
  w: chooseClass,
  u: undo,
  k: () => step(-1),
  j: () => step(1),
  arrowleft: () => step(-1),
  arrowright: () => step(1),
  e: () => {
    edge = !edge;
    show();
  },
};

document.addEventListener("keydown", (event) => {
  if ($("classes").open) return choose(event);
  const free = !event.ctrlKey && !event.metaKey && !event.altKey && event.target.tagName !== "SELECT";
  const deed = deeds[event.key.toLowerCase()];
  if (!deed || !free) return;
  event.preventDefault();
  deed();
});
for (const button of document.querySelectorAll("#keys button"))
  button.addEventListener("click", () => {
    deeds[button.dataset.key]();
    button.blur();
  });
$("download").addEventListener("click", download);
$("order").textContent =
  (REVIEW.has_trust
    ? "Worst first by the fitted chance of being wrong."
    : "Worst first by what the models said. Nobody fitted a chance of being right.") +
  " Every 5th label is drawn at random from the rest.";
recall();
fillFilters();
show();
