"use strict";
// A picture with its labels over it: new PictureView(picture, choose), then view.draw(shown, has, chosen).
// picture is as frames.py packs it; shown(layer) and has(label) tell what is drawn.

class PictureView {
  constructor(picture, choose) {
    this.picture = picture;
    this.figure = document.createElement("figure");
    this.stage = PictureView.part("div", "stage", this.figure);
    this.stage.style.setProperty("--ratio", picture.size_wh[0] / picture.size_wh[1]);
    this.image = PictureView.part("img", "", this.stage);
    this.image.alt = `picture ${picture.name}`;
    this.image.src = picture.file;
    [this.image.width, this.image.height] = picture.size_wh; // room before it is loaded
    this.svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.svg.setAttribute("viewBox", `0 0 ${picture.size_wh.join(" ")}`);
    this.stage.append(this.svg);
    this.captions = PictureView.part("div", "captions", this.stage);
    this.stage.addEventListener("click", (event) => {
      const id = event.target.dataset?.id;
      choose(id === undefined ? null : Number(id), picture);
    });
    PictureView.part("figcaption", "", this.figure).textContent = picture.name;
    this.shown = this.has = () => false;
    new ResizeObserver(() => this.write()).observe(this.stage);
  }

  static part(tag, name, parent) {
    const element = document.createElement(tag);
    if (name) element.className = name;
    parent.append(element);
    return element;
  }

  draw(shown, has, chosen) {
    [this.shown, this.has, this.chosen] = [shown, has, chosen];
    const size = ([x0, y0, x1, y1]) => (x1 - x0) * (y1 - y0);
    // Large ones first: what is small lies on top and can be clicked.
    const order = this.picture.labels.filter((label) => this.has(label)).sort((a, b) => size(b.box) - size(a.box));
    this.svg.replaceChildren();
    this.svg.classList.toggle("hollow", !shown("masks"));
    for (const label of order) if (shown("masks")) this.mask(label);
    for (const label of order) if (this.wants(label, "boxes")) this.box(label);
    for (const label of order) if (this.wants(label, "3D boxes")) this.solid(label);
    this.write();
  }

  // A rejected label has its box alone; the chosen one is shown whole.
  wants(label, layer) {
    return this.shown(layer) || label.id === this.chosen || (layer === "boxes" && label.status === "rejected");
  }

  // Under each line lies a dark one, so that it reads on any ground.
  add(label, tag, values, ...names) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(values)) element.setAttribute(key, value);
    element.classList.add(...names, label.status);
    element.classList.toggle("chosen", label.id === this.chosen);
    element.dataset.id = label.id;
    element.style.setProperty("--class", DATA.classes[label.class].rgb);
    this.svg.append(element);
  }

  mask(label) {
    const d = label.outlines.map((line) => `M${line.join(" ")}Z`).join("");
    if (d) this.add(label, "path", { d }, "mask");
  }

  box(label) {
    const [x, y, x1, y1] = label.box;
    const place = { x, y, width: x1 - x, height: y1 - y };
    this.add(label, "rect", place, "under");
    this.add(label, "rect", place, "box");
  }

  solid(label) {
    const d = label.solid.map(([x0, y0, x1, y1]) => `M${x0} ${y0}L${x1} ${y1}`).join("");
    if (!d) return;
    this.add(label, "path", { d }, "under");
    this.add(label, "path", { d }, "solid");
  }

  // Captions have the size of the page's text, whatever the size of the picture.
  write() {
    this.captions.replaceChildren();
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (!width || !height) return;
    const scale = width / this.picture.size_wh[0];
    const rank = { accepted: 0, review: 1, rejected: 2 };
    const rows = this.picture.labels
      .filter((label) => this.has(label))
      .map((label) => ({ label, text: label.text, box: label.box.map((side) => side * scale) }))
      .filter(({ label, box }) =>
        label.id === this.chosen || (this.shown("text") && label.status !== "rejected" && box[3] - box[1] >= CAPTION.least))
      .sort((a, b) => (b.label.id === this.chosen) - (a.label.id === this.chosen) ||
        rank[a.label.status] - rank[b.label.status]); // within a status they come as decided
    placeCaptions(rows, width, height).forEach((at, i) => {
      if (at === null) return;
      const { label, text } = rows[i];
      const chip = PictureView.part("button", `chip ${label.status}`, this.captions);
      chip.textContent = text;
      chip.dataset.id = label.id;
      chip.setAttribute("aria-pressed", label.id === this.chosen);
      [chip.style.left, chip.style.top, chip.style.width, chip.style.height] = at.map((side) => `${side}px`);
    });
  }
}
