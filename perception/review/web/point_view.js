"use strict";
// Draws LiDAR sweeps. new PointView(element, palette), then view.show(sweep) as sweeps.py packs it;
// view.show(sweep, codes, palette) colours it in another way.

class PointView {
  constructor(element, palette) {
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
    this.camera.position.set(9.9, 0, 60); // not quite over the target: up would have no direction
    this.controls.target.set(10, 0, -1);
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
    for (const cloud of this.clouds) {
      this.scene.remove(cloud);
      cloud.geometry.dispose();
      cloud.material.dispose();
    }
    const places = new Int16Array(PointView.bytes(sweep.places_cm).buffer);
    const colours = palette.map((entry) => new THREE.Color(entry.rgb));
    // What is labelled is drawn last and larger.
    this.clouds = [
      this.cloud(places, codes, colours, (code) => code < 3, 1.5),
      this.cloud(places, codes, colours, (code) => code >= 3, 3.5),
    ];
    this.scene.add(...this.clouds);
    this.draw();
  }

  cloud(places, codes, colours, wanted, size) {
    const rows = [];
    codes.forEach((code, row) => wanted(code) && rows.push(row));
    const position = new Float32Array(3 * rows.length);
    const colour = new Float32Array(3 * rows.length);
    rows.forEach((row, i) => {
      for (let axis = 0; axis < 3; axis++) position[3 * i + axis] = places[3 * row + axis] / 100;
      colours[codes[row]].toArray(colour, 3 * i);
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
    const geometry = new THREE.BufferGeometry();
    const values = new Float32Array(corners);
    geometry.setAttribute("position", new THREE.BufferAttribute(values, 3));
    return new THREE.LineSegments(geometry, new THREE.LineBasicMaterial({ color: "#33333a" }));
  }
}
