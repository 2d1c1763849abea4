"use strict";
// One frame at a time: its pictures, which stand in the page, and its sweep, which is in DATA.

const frames = [...document.querySelectorAll(".frame")];
const tabs = document.querySelector("#tabs");
const box = document.querySelector("#points");
let view = null;
let chosen = 0;
let paint = "label";

// A code per point, for the palette of the same name.
const PAINTS = {
  label: (sweep) => PointView.bytes(sweep.codes),
  instance: (sweep) => PointView.bytes(sweep.instances),
  trust: (sweep) => PointView.bytes(sweep.trusts),
  state: (sweep) => PointView.bytes(sweep.codes).map((code) => (code < 2 ? code : 3)),
};

function choose(number) {
  chosen = number;
  frames.forEach((frame, i) => (frame.hidden = i !== number));
  [...tabs.children].forEach((tab, i) => tab.setAttribute("aria-pressed", i === number));
  const sweep = DATA.sweeps[number];
  document.querySelector("#cloud").hidden = sweep === null;
  if (sweep === null) return;
  try {
    view ??= new PointView(box, DATA.palettes.label);
    view.show(sweep, PAINTS[paint](sweep), DATA.palettes[paint]);
    box.dataset.points = sweep.shown;
    document.querySelector("#note").textContent =
      `${sweep.shown.toLocaleString("en")} of ${sweep.points.toLocaleString("en")} points; ` +
      "drag to turn, wheel to zoom, right drag to move; rings every 10 m";
  } catch (error) {
    document.querySelector("#note").textContent = `This browser cannot draw the points: ${error.message}`;
  }
}

frames.forEach((frame, i) => {
  const tab = document.createElement("button");
  tab.textContent = i + 1;
  tab.title = frame.dataset.name;
  tab.addEventListener("click", () => choose(i));
  tabs.append(tab);
});
document.querySelector("#home").addEventListener("click", () => view?.home());
document.querySelector("#above").addEventListener("click", () => view?.above());
document.querySelector("#inside").addEventListener("click", () => view?.inside());

function repaint(name) {
  paint = name;
  [...paints.children].forEach((key) => key.setAttribute("aria-pressed", key.dataset.paint === name));
  const legend = document.querySelector("#legend");
  legend.replaceChildren();
  for (const entry of DATA.palettes[name].filter((entry) => entry.name)) {
    const item = document.createElement("span");
    const swatch = document.createElement("i");
    swatch.style.background = entry.rgb;
    item.append(swatch, entry.name);
    legend.append(item);
  }
  if (frames.length) choose(chosen);
}

const paints = document.querySelector("#paints");
for (const name of Object.keys(PAINTS)) {
  const key = document.createElement("button");
  key.textContent = key.dataset.paint = name;
  key.addEventListener("click", () => repaint(name));
  paints.append(key, " ");
}
repaint(paint);
