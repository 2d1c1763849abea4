"use strict";
// Draws LiDAR sweeps. new PointView(element, palette), then view.show(sweep) as sweeps.py packs it;
// view.show(sweep, codes, palette) colours it in another way; view.mark(solids, id) adds 3D boxes and
// shows one label. choose(id) is called where a label is clicked.

const PICK_PX = 9; // around a click

class PointView {
  constructor(element, palette, choose = null) {
    this.element = element;
    this.palette = palette;
    this.renderer = new THREE.WebGLRenderer({ antialias: true }); // throws where there is no WebGL
    this.renderer.setPixelRatio(window.devicePixelRatio);
    element.append(this.renderer.domElement);
    this.scene = new THREE.Scene();
    this.scene.background = new THREE.Color("#0c0c0f");
    this.scene.add(PointView.rings());
    this.camera = new THREE.PerspectiveCamera(50, 1, 0.1, 1000);
    this.camera.up.set(0, 0, 1); // LiDAR axes: x forward, y left, z up, metres
    this.controls = new THREE.OrbitControls(this.camera, this.renderer.domElement);
    this.controls.addEventListener("change", () => this.draw());
    this.clouds = [];
    this.marks = [];
    let down = null; // where a click began: a drag is none
    element.addEventListener("pointerdown", (event) => (down = [event.clientX, event.clientY]));
    element.addEventListener("pointerup", (event) => {
      if (choose && down && Math.hypot(event.clientX - down[0], event.clientY - down[1]) < 4)
        choose(this.pick(event.clientX, event.clientY));
      down = null;
    });
    new ResizeObserver(() => this.resize()).observe(element);
    this.home();
  }

  home() {
    this.camera.position.set(-9, 0, 7); // behind and above the car
    this.controls.target.set(14, 0, -1);
    this.controls.update();
    this.resize();
  }

  above() {
    this.camera.position.set(19.9, 0, 90); // not quite over the target: up would have no direction
    this.controls.target.set(20, 0, -1); // from 20 m behind the car to 60 m ahead
    this.controls.update();
  }

  inside() {
    this.camera.position.set(0, 0, 0); // where the LiDAR is
    this.controls.target.set(10, 0, -0.5);
    this.controls.update();
  }

  lookAt(x_m, y_m, z_m, distance_m) {
    this.camera.position.set(x_m - distance_m, y_m, z_m + distance_m / 2);
    this.controls.target.set(x_m, y_m, z_m);
    this.controls.update();
  }

  resize() {
    const width = this.element.clientWidth;
    const height = this.element.clientHeight;
    this.renderer.setSize(width, height);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.draw();
  }

  show(sweep, codes = PointView.bytes(sweep.codes), palette = this.palette) {
    this.remove(this.clouds);
    this.remove(this.marks);
    this.marks = [];
    const places = new Int16Array(PointView.bytes(sweep.places_cm).buffer);
    [this.places, this.ids] = [places, PointView.ids(sweep)];
    const colours = palette.map((entry) => new THREE.Color(entry.rgb));
    // What is labelled is drawn last and larger.
    this.clouds = [
      this.cloud(places, codes, colours, (code) => code < 3, 1.5),
      this.cloud(places, codes, colours, (code) => code >= 3, 3.5),
    ];
    this.scene.add(...this.clouds);
    this.draw();
  }

  remove(things) {
    for (const thing of things) {
      this.scene.remove(thing);
      thing.geometry.dispose();
      thing.material.dispose();
    }
  }

  // solids: [{id, corners_cm, rgb}]; the corners are those of solids.py.
  mark(solids, id) {
    this.remove(this.marks);
    this.marks = solids.map((solid) => {
      const ends = PointView.EDGES.flat().flatMap((corner) =>
        solid.corners_cm.slice(3 * corner, 3 * corner + 3).map((side) => side / 100));
      return PointView.lines(ends, solid.id === id ? "#ffffff" : solid.rgb);
    });
    if (this.ids && id !== null)
      this.marks.push(this.cloud(this.places, this.ids, [], (one) => one === id, 5, new THREE.Color("#ffffff")));
    this.scene.add(...this.marks);
    this.draw();
  }

  // The label of the nearest labelled point around a place of the screen; null if there is none.
  pick(x, y) {
    const { left, top, width, height } = this.element.getBoundingClientRect();
    this.camera.updateMatrixWorld();
    const [look, lens] = [this.camera.matrixWorldInverse.elements, this.camera.projectionMatrix.elements];
    let found = null;
    let nearest = Infinity;
    (this.ids ?? []).forEach((id, row) => {
      if (!id) return;
      const place = [0, 1, 2].map((axis) => this.places[3 * row + axis] / 100);
      const [a, b, c] = [0, 1, 2].map((i) => place.reduce((sum, side, k) => sum + side * look[4 * k + i], look[12 + i]));
      if (c >= 0) return; // behind the eye, which looks along -z
      const u = left + (width / 2) * (1 - (a * lens[0]) / c);
      const v = top + (height / 2) * (1 + (b * lens[5]) / c);
      if (Math.hypot(u - x, v - y) > PICK_PX || -c > nearest) return;
      [found, nearest] = [id, -c];
    });
    return found;
  }

  cloud(places, codes, colours, wanted, size, colour_of_all = null) {
    const rows = [];
    codes.forEach((code, row) => wanted(code) && rows.push(row));
    const position = new Float32Array(3 * rows.length);
    const colour = new Float32Array(3 * rows.length);
    rows.forEach((row, i) => {
      for (let axis = 0; axis < 3; axis++) position[3 * i + axis] = places[3 * row + axis] / 100;
      (colour_of_all ?? colours[codes[row]]).toArray(colour, 3 * i);
    });
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(position, 3));
    geometry.setAttribute("color", new THREE.BufferAttribute(colour, 3));
    const material = new THREE.PointsMaterial({ size, sizeAttenuation: false, vertexColors: true });
    return new THREE.Points(geometry, material);
  }

  draw() {
    this.renderer.render(this.scene, this.camera);
  }

  static bytes(base64) {
    return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  }

  // The instance of each point; 0 where it has none.
  static ids(sweep) {
    if (sweep.ids === undefined) return null;
    const labelled = new Int32Array(PointView.bytes(sweep.ids).buffer);
    let at = 0;
    return Int32Array.from(PointView.bytes(sweep.codes), (code) => (code < 2 ? 0 : labelled[at++]));
  }

  static lines(ends, rgb) {
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(ends), 3));
    return new THREE.LineSegments(geometry, new THREE.LineBasicMaterial({ color: rgb }));
  }

  static rings() {
    const corners = [];
    for (let radius_m = 10; radius_m <= 60; radius_m += 10) {
      for (let step = 0; step < 96; step++) {
        for (const end of [step, step + 1]) {
          const angle = (2 * Math.PI * end) / 96;
          corners.push(radius_m * Math.cos(angle), radius_m * Math.sin(angle), -1.7);
        }
      }
    }
    return PointView.lines(corners, "#33333a");
  }
}

// Of the corners of solids.py: the bottom, the top, the sides, and the line along the length.
PointView.EDGES = [[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4], [0, 4], [1, 5], [2, 6], [3, 7], [8, 9]];
