"use strict";
// The frames of a run, one at a time. DATA (data.js) knows their names; each frame is a script of
// its own that calls addFrame, since a page from disk may not fetch. What comes from the run enters
// the page as text only.

const $ = (id) => document.getElementById(id);
const LAYERS = ["masks", "boxes", "3D boxes", "text"];
const packed = new Map(); // number: what its script gave
const asked = new Set(); // numbers whose script was asked for
const hidden = new Set(["status rejected"]); // what is switched off: its kind and its name
const shown = (kind, name) => !hidden.has(`${kind} ${name}`);
const isShown = (label) => shown("status", label.status) && shown("class", DATA.classes[label.class].name);
let pictures = []; // a PictureView each
let view = null; // the sweep
let number = 0; // of the frame
let chosen = null; // id of a label of this frame
let paint = "label";
let begun = false; // a frame was drawn

// A code per point, for the palette of the same name.
const PAINTS = {
  label: (sweep) => PointView.bytes(sweep.codes),
  instance: (sweep) => {
    const ids = PointView.ids(sweep);
    return PointView.bytes(sweep.codes).map((code, row) => (code < 2 ? code : 3 + (ids[row] % 64)));
  },
  trust: (sweep) => PointView.bytes(sweep.trusts),
  state: (sweep) => PointView.bytes(sweep.codes).map((code) => (code < 2 ? code : 3)),
};

function addFrame(frame) {
  packed.set(frame.number, frame);
  if (frame.number === number) open();
}

function go(to) {
  if (to < 0 || to >= DATA.frames.length) return;
  number = to;
  chosen = null;
  const { name, file, note } = DATA.frames[to];
  $("find").value = name;
  $("where").textContent = `${to + 1} of ${DATA.frames.length}`;
  $("back").disabled = to === 0;
  $("on").disabled = to === DATA.frames.length - 1;
  if (packed.has(to) || !file) return open();
  $("story").textContent = note;
  if (asked.has(to)) return;
  asked.add(to);
  const script = document.createElement("script");
  script.src = file;
  script.addEventListener("error", () => {
    if (to === number) $("story").textContent = `${file} is missing: the page must lie in the folder it was written to.`;
  });
  document.head.append(script);
}

function open() {
  const frame = packed.get(number);
  pictures = [];
  $("pictures").replaceChildren();
  const rows = frame?.rows ?? [];
  $("pictures").style.setProperty("--most", Math.max(1, ...rows.map((row) => row.length)));
  $("pictures").style.setProperty("--rows", Math.max(1, rows.length));
  for (const row of rows) {
    const line = PictureView.part("div", "cameras", $("pictures"));
    for (const picture of row) {
      const opened = new PictureView(picture, choose);
      pictures.push(opened);
      line.append(opened.figure);
    }
  }
  $("pictures").dataset.frame = number;
  if (!begun && frame?.solids.length) hidden.add("layer boxes"); // a box in 3D says the same, and more
  begun ||= Boolean(frame);
  toggles();
  sweep(frame);
  choose(null);
}

function labels() {
  return pictures.flatMap(({ picture }) => picture.labels.map((label) => ({ ...label, picture })));
}

// ---- what is drawn -------------------------------------------------------------------------

function toggles() {
  const own = labels();
  const count = (key) => own.filter(key).length;
  const classes = DATA.classes.filter((_, place) => own.some((label) => label.class === place));
  const has3d = own.some((label) => label.solid.length);
  $("toggles").replaceChildren(
    group("layer", LAYERS.filter((name) => name !== "3D boxes" || has3d).map((name) => [name, name])),
    group("status", DATA.statuses.map(({ name, pattern }) =>
      [name, `${name} (${pattern}) ${count((label) => label.status === name)}`, `sign ${name}`])),
    group("class", classes.map(({ name, rgb }) =>
      [name, `${name} ${count((label) => DATA.classes[label.class].name === name)}`, "sign", rgb])),
  );
  $("toggles").hidden = !own.length;
}

function group(kind, entries) {
  const set = document.createElement("fieldset");
  PictureView.part("legend", "", set).textContent = kind;
  for (const [name, text, sign, rgb] of entries) {
    const line = PictureView.part("label", "", set);
    const box = PictureView.part("input", "", line);
    box.type = "checkbox";
    box.value = name;
    box.checked = shown(kind, name);
    box.addEventListener("change", () => {
      hidden[box.checked ? "delete" : "add"](`${kind} ${name}`);
      draw();
    });
    if (sign) PictureView.part("i", sign, line).style.setProperty("--class", rgb ?? "transparent");
    line.append(text);
  }
  return set;
}

function draw() {
  for (const picture of pictures) picture.draw((layer) => shown("layer", layer), isShown, chosen);
  const own = new Map(labels().filter(isShown).map((label) => [label.id, label]));
  const solids = (packed.get(number)?.solids ?? [])
    .filter(({ id }) => shown("layer", "3D boxes") && own.has(id))
    .map((solid) => ({ ...solid, rgb: DATA.classes[own.get(solid.id).class].rgb }));
  view?.mark(solids, chosen);
}

// ---- a label's story -----------------------------------------------------------------------

function choose(id, picture) {
  chosen = id;
  const told = labels().filter((label) => label.id === id);
  const first = told.find((label) => label.picture === picture) ?? told[0];
  const { note, name } = DATA.frames[number];
  $("story").replaceChildren();
  const say = (tag, text, parent = $("story")) => (PictureView.part(tag, "", parent).textContent = text);
  if (first) {
    const [why, ...measured] = first.words;
    say("h3", DATA.classes[first.class].name);
    say("p", why);
    const list = PictureView.part("ul", "", $("story"));
    for (const words of measured) say("li", words, list);
    say("p", `label ${id} of ${first.picture.name}`);
  } else if (note) say("p", `${name}: ${note}`);
  else say("p", labels().length ? "Click a label to read what speaks for and against it." : "Nothing was found in this frame.");
  draw();
}

// ---- the sweep -----------------------------------------------------------------------------

function sweep(frame) {
  const own = frame?.sweep ?? null;
  $("cloud").hidden = own === null;
  if (own === null) return;
  try {
    view ??= new PointView($("points"), DATA.palettes.label, (id) => choose(id));
    view.show(own, PAINTS[paint](own), DATA.palettes[paint]);
    $("points").dataset.points = own.shown;
    $("note").textContent =
      `${own.shown.toLocaleString("en")} of ${own.points.toLocaleString("en")} points; drag to turn, wheel to ` +
      "zoom, right drag to move, click a label to choose it; rings every 10 m. A box's line runs along its length: " +
      "front and back are not told apart.";
  } catch (error) {
    $("note").textContent = `This browser cannot draw the points: ${error.message}`;
  }
}

function repaint(name) {
  paint = name;
  for (const key of $("paints").children) key.setAttribute("aria-pressed", key.dataset.paint === name);
  $("legend").replaceChildren(...DATA.palettes[name].filter((entry) => entry.name).map((entry) => {
    const item = document.createElement("span");
    PictureView.part("i", "", item).style.background = entry.rgb;
    item.append(entry.name);
    return item;
  }));
  sweep(packed.get(number));
  draw();
}

// ---- how people move -----------------------------------------------------------------------

function find(text) {
  const names = DATA.frames.map(({ name }) => name);
  const part = text.trim().toLowerCase();
  const at = names.includes(text) ? names.indexOf(text) : names.findIndex((name) => name.toLowerCase().includes(part));
  if (at >= 0) return go(at);
  $("where").textContent = "no frame on this page has that in its name";
}

if (DATA.frames.length) {
  document.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const typing = event.target.tagName === "INPUT" && event.target.type !== "checkbox";
    if (!step || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    go(number + step);
  });
  $("back").addEventListener("click", () => go(number - 1));
  $("on").addEventListener("click", () => go(number + 1));
  $("find").addEventListener("change", () => find($("find").value));
  $("find").addEventListener("focus", () => $("find").select());
  $("home").addEventListener("click", () => view?.home());
  $("above").addEventListener("click", () => view?.above());
  $("inside").addEventListener("click", () => view?.inside());
  for (const name of Object.keys(PAINTS)) {
    const key = document.createElement("button");
    key.textContent = key.dataset.paint = name;
    key.addEventListener("click", () => repaint(name));
    $("paints").append(key, " ");
  }
  repaint(paint);
  go(DATA.start);
}
