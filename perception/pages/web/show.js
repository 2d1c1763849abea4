"use strict";
// One frame at a time: its pictures, which stand in the page, and its sweep, which is in DATA.

const frames = [...document.querySelectorAll(".frame")];
const tabs = document.querySelector("#tabs");
const box = document.querySelector("#points");
let view = null;

function choose(number) {
  frames.forEach((frame, i) => (frame.hidden = i !== number));
  [...tabs.children].forEach((tab, i) => tab.setAttribute("aria-pressed", i === number));
  const sweep = DATA.sweeps[number];
  document.querySelector("#cloud").hidden = sweep === null;
  if (sweep === null) return;
  try {
    view ??= new PointView(box, DATA.palette);
    view.show(sweep);
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
for (const entry of DATA.palette) {
  const item = document.createElement("span");
  const swatch = document.createElement("i");
  swatch.style.background = entry.rgb;
  item.append(swatch, entry.name);
  document.querySelector("#legend").append(item);
}
if (frames.length) choose(0);
