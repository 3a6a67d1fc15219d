/* One picture of the viewer: its stack, window, overlay and what is said when an object is broken. */
(function () {
  "use strict";
  const P = window.PichaViewer;
  if (!P) return;
  const { words, facts, Trouble } = P;

  function make(tag, css, text) {
    const node = document.createElement(tag);
    if (css) node.className = css;
    if (text) node.textContent = text;
    return node;
  }
  const toRange = (window) => ({ lower: window.centre - 0.5 - (window.width - 1) / 2, upper: window.centre - 0.5 + (window.width - 1) / 2 });
  const rounded = (value) => (Math.abs(value) >= 10 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(2));

  /* The letters of a direction in patient coordinates (PS3.3 C.7.6.1.1.1): to the Left, Posterior and Head. */
  function letters(direction) {
    const named = [["R", "L"], ["A", "P"], ["F", "H"]];
    return direction.map((value, axis) => [Math.abs(value), named[axis][value > 0 ? 1 : 0]]).filter(([size]) => size > 0.3)
      .sort((one, other) => other[0] - one[0]).map(([, letter]) => letter).slice(0, 2).join("");
  }
  const OPPOSITE = { L: "R", R: "L", A: "P", P: "A", H: "F", F: "H" };
  const opposite = (text) => [...text].map((letter) => OPPOSITE[letter] || letter).join("");

  class Pane {
    constructor(viewer, number) {
      this.viewer = viewer;
      this.id = `pane-${number}`;
      this.number = number;
      this.ahead = new P.Ahead(viewer.cacheBytes * 0.5, (id) => viewer.panes.some((pane) => pane.ids[pane.index] === id));
      this.clear();
      this.build();
    }

    clear() {
      this.study = this.stack = null;
      this.ids = [];
      this.index = -1;
      this.shownId = "";
      this.isAuto = true;
      this.way = 1;
      this.isPlaced = false;
      this.spread = 0;
    }

    build() {
      this.node = make("div", "vw-pane busy");
      this.node.tabIndex = 0;
      this.node.setAttribute("role", "group");
      this.node.dataset.pane = this.number;
      this.element = make("div", "vw-canvas");
      this.node.append(this.element);
      this.corners = {};
      for (const corner of ["tl", "tr", "bl", "br", "up", "down", "left", "right"]) {
        this.corners[corner] = make("span", `vw-o vw-${corner}`);
        this.node.append(this.corners[corner]);
      }
      this.trouble = make("div", "vw-trouble");
      this.trouble.hidden = true;
      this.trouble.setAttribute("role", "alert");
      this.node.append(this.trouble);
      this.node.addEventListener("wheel", (event) => {
        if (event.ctrlKey || !this.stack) return;
        event.preventDefault();
        this.spread += event.deltaMode === 0 ? event.deltaY : event.deltaY * 40;
        if (Math.abs(this.spread) < 20) return;
        this.turn(this.spread > 0 ? 1 : -1);
        this.spread = 0;
      }, { passive: false });
      this.node.addEventListener("pointerdown", () => this.viewer.activate(this), true);
      this.node.addEventListener("focus", () => this.viewer.activate(this));
      this.node.addEventListener("dragover", (event) => event.preventDefault());
      this.node.addEventListener("drop", (event) => {
        const key = event.dataTransfer.getData("text/picha-stack");
        if (!key) return;
        event.preventDefault();
        this.viewer.activate(this);
        this.viewer.chooseByKey(key);
      });
    }

    attach() {
      const events = Cornerstone.coreEnums.Events;
      this.viewer.engine.enableElement({ viewportId: this.id, type: Cornerstone.coreEnums.ViewportType.STACK, element: this.element });
      this.viewport = this.viewer.engine.getViewport(this.id);
      this.viewer.tools.addViewport(this.id, this.viewer.engine.id);
      this.element.addEventListener(events.STACK_NEW_IMAGE, (event) => this.onImage(event.detail));
      this.element.addEventListener(events.IMAGE_RENDERED, () => this.onRendered());
      this.element.addEventListener(events.VOI_MODIFIED, () => { this.isAuto = false; this.dropTable(); });
    }

    // --- stacks

    /* Resolves when the first picture is there, or it is said why not. */
    async show(study, stack, index) {
      this.clear();
      this.ahead.stop();
      this.study = study;
      this.stack = stack;
      this.ids = stack.frames > 1
        ? Array.from({ length: stack.frames }, (_nothing, at) => P.idOf({ study: study.uid, series: stack.series, sop: stack.sops[0], frame: at + 1 }))
        : stack.sops.map((sop) => P.idOf({ study: study.uid, series: stack.series, sop, frame: 1 }));
      this.index = Math.max(0, Math.min(this.ids.length - 1, index || 0));
      this.node.setAttribute("aria-label", `${stack.title}, ${study.title} ${study.date}`);
      this.busy(true);
      this.trouble.hidden = true;
      this.draw();
      try {
        await this.viewport.setStack(this.ids, this.index);
      } catch (error) {
        this.failed(error, this.ids[this.index]);
      }
      const ids = this.ids;
      P.wholeSeries(P.refOf(ids[0])).catch(() => undefined).then(() => { if (ids === this.ids) this.viewer.headersCame(this); });
    }

    turn(by) { this.go(this.index + by); }

    go(index) {
      const next = Math.max(0, Math.min(this.ids.length - 1, index));
      if (!this.stack || next === this.index) return;
      this.way = next > this.index ? 1 : -1;
      this.index = next;
      const id = this.ids[next];
      if (!Cornerstone.cache.getImage(id)) this.busy(true);
      this.viewport.setImageIdIndex(next).catch((error) => this.failed(error, id));
    }

    onImage({ imageId, imageIdIndex, image }) {
      if (this.ids[imageIdIndex] !== imageId) return;
      this.index = imageIdIndex;
      this.shownId = imageId;
      this.busy(false);
      this.trouble.hidden = true;
      const fact = facts.get(imageId);
      if (this.isAuto && fact && fact.windows.length && !image.voiLUT) this.viewport.setProperties({ voiRange: toRange(fact.windows[0]) }, true);
      this.ahead.start(this.ids, this.index, this.way, image.sizeInBytes);
      this.viewer.shown(this);
    }

    /* Mammograms: the chest wall to the middle, R on the left and L on the right. */
    hang(fact) {
      if (!fact || fact.modality !== "MG" || fact.orientation.length < 1) return;
      const wanted = fact.side === "R" ? "P" : fact.side === "L" ? "A" : "";
      if (!wanted) return;
      if (fact.orientation[0].startsWith(opposite(wanted))) this.flip(true);
      const edges = () => [0, fact.columns].map((x) => this.viewport.worldToCanvas([x * (fact.spacing ? fact.spacing.across : 1), 0, 0])[0]);
      const place = edges(), free = (this.element.clientWidth - Math.abs(place[1] - place[0])) / 2;
      const view = this.viewport._cpuFallbackEnabledElement.viewport;
      if (free <= 0) return;
      view.translation.x = (fact.side === "R" ? free : -free) / view.scale;
    }

    onRendered() {
      if (!this.isPlaced && this.shownId) {
        this.isPlaced = true;
        this.hang(facts.get(this.shownId));
        this.viewport.render();
      }
      this.draw();
      this.node.dataset.rendered = this.shownId.split("/").slice(-2).join("/");
      this.viewer.rendered(this);
    }

    failed(error, id) {
      if (id !== this.ids[this.index] || (error && error.name === "AbortError")) return;
      this.busy(false);
      this.shownId = "";
      delete this.node.dataset.rendered;
      const place = words("brokenAt").replace("{n}", this.index + 1).replace("{of}", this.ids.length);
      this.trouble.replaceChildren(make("b", "", place), make("p", "", error instanceof Trouble ? error.message : words("unreadable")), make("p", "", (error && error.todo) || words("unreadableTodo")));
      this.trouble.hidden = false;
      this.draw();
      this.viewer.shown(this);
    }

    busy(is) { this.node.classList.toggle("busy", is); }

    // --- what a person does to the picture

    get image() { return this.shownId ? Cornerstone.cache.getImage(this.shownId) : null; }
    get isGrey() { return Boolean(this.image && !this.image.color); }

    window() {
      const range = this.viewport.getProperties().voiRange;
      return range ? { width: range.upper - range.lower + 1, centre: (range.upper + range.lower + 1) / 2 } : null;
    }
    setWindow(window) {
      if (!this.isGrey) return;
      this.dropTable();
      this.isAuto = false;
      this.viewport.setProperties({ voiRange: toRange({ centre: window.centre, width: Math.max(1, window.width) }) });
      this.viewport.render();
    }
    /* The object's own curve gives way to the first window that a person sets. */
    dropTable() {
      const shown = this.viewport._cpuFallbackEnabledElement;
      if (shown && shown.viewport && shown.viewport.voiLUT) shown.viewport.voiLUT = undefined;
    }
    invert() { this.viewport.setProperties({ invert: !this.viewport.getProperties().invert }); this.viewport.render(); }
    rotate() { this.viewport.setRotation((this.viewport.getRotation() + 90) % 360); this.viewport.render(); }
    flip(isAcross) {
      const camera = this.viewport.getCamera();
      this.viewport.setCamera(isAcross ? { flipHorizontal: !camera.flipHorizontal } : { flipVertical: !camera.flipVertical });
      this.viewport.render();
    }
    reset() {
      if (!this.shownId) return;
      this.viewport.setRotation(0);
      this.viewport.setCamera({ flipHorizontal: false, flipVertical: false });
      this.viewport.resetCamera();
      this.viewport.resetProperties();
      const fact = facts.get(this.shownId);
      if (fact && fact.windows.length && this.isGrey && !this.image.voiLUT) this.viewport.setProperties({ voiRange: toRange(fact.windows[0]) });
      this.hang(fact);
      this.isAuto = true;
      this.viewport.render();
    }
    actualSize() { this.viewport.setZoom(1); this.viewport.render(); }

    // --- overlay

    draw() {
      const fact = facts.get(this.shownId), show = (corner, ...lines) => this.corners[corner].replaceChildren(...lines.filter(Boolean).map((line) => make("span", "", line)));
      if (!this.stack) { Object.keys(this.corners).forEach((corner) => show(corner)); return; }
      const isPrior = this.viewer.isPrior(this.study);
      show("tl", `${isPrior ? words("prior") + ": " : ""}${this.stack.title}`, this.study.date, fact && fact.view && !this.stack.title.endsWith(fact.view) ? `${fact.side} ${fact.view}` : "");
      show("tr", this.study.name, this.study.mrn, this.study.accession);
      show("br", `${words("image")} ${this.index + 1}/${this.ids.length}`, fact && fact.location !== undefined && this.stack.frames === 1 ? `${fact.location.toFixed(1)} mm` : "");
      const window = fact && this.isGrey ? this.window() : null;
      show("bl", window ? `W ${rounded(window.width)} L ${rounded(window.centre)}` : "", fact && !fact.spacing ? words("uncalibrated") : fact && fact.spacing.how ? words("detector") : "");
      this.mark(fact);
    }

    /* Which way is which, after every turn and flip. */
    mark(fact) {
      const sides = { right: "", down: "" };
      if (fact && this.shownId && (fact.position || fact.orientation.length >= 2)) {
        const at = (x, y) => this.viewport.canvasToWorld([x, y]);
        const origin = at(50, 50);
        for (const [side, end] of [["right", at(60, 50)], ["down", at(50, 60)]]) {
          const way = end.map((value, axis) => value - origin[axis]), size = Math.hypot(...way) || 1;
          if (fact.position) sides[side] = letters(way.map((value) => value / size));
          else {
            const axis = Math.abs(way[0]) > Math.abs(way[1]) ? 0 : 1, letter = String(fact.orientation[axis]);
            sides[side] = way[axis] > 0 ? letter : opposite(letter);
          }
        }
      }
      this.corners.right.textContent = sides.right;
      this.corners.left.textContent = opposite(sides.right);
      this.corners.down.textContent = sides.down;
      this.corners.up.textContent = opposite(sides.down);
    }
  }

  // --- measures: millimetres where the object says how large a pixel is, else pixels; means of the modality's values

  function indexOf(fact, point) {
    const spacing = fact.spacing || { across: 1, down: 1 }, origin = fact.position || [0, 0, 0];
    const dot = (way) => way.reduce((sum, value, axis) => sum + value * (point[axis] - origin[axis]), 0);
    return [dot(fact.rowCosines || [1, 0, 0]) / spacing.across, dot(fact.columnCosines || [0, 1, 0]) / spacing.down];
  }
  const idOfTarget = (target) => target.replace(/^imageId:/, "");
  const distance = (one, other) => Math.hypot(...one.map((value, axis) => value - other[axis]));
  const unitOf = (fact) => (fact.spacing ? (fact.spacing.how === "detector" ? words("mmDetector") : "mm") : "px");

  function lengthLines(data, target) {
    const fact = facts.get(idOfTarget(target));
    if (!fact) return [];
    const size = distance(data.handles.points[0], data.handles.points[1]);
    return [`${size.toFixed(1)} ${unitOf(fact)}`];
  }
  function angleLines(data) {
    const [one, corner, other] = data.handles.points;
    if (!other) return [];
    const first = one.map((value, axis) => value - corner[axis]), second = other.map((value, axis) => value - corner[axis]);
    const cosine = first.reduce((sum, value, axis) => sum + value * second[axis], 0) / (Math.hypot(...first) * Math.hypot(...second) || 1);
    return [`${(Math.acos(Math.max(-1, Math.min(1, cosine))) * 180 / Math.PI).toFixed(1)}°`];
  }
  function statistics(fact, image, points) {
    const corners = points.map((point) => indexOf(fact, point));
    const xs = corners.map((corner) => corner[0]), ys = corners.map((corner) => corner[1]);
    const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const [x0, y0, rx, ry] = [(left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2];
    const values = image.getPixelData();
    let count = 0, sum = 0, squares = 0, low = Infinity, high = -Infinity;
    // The engine counts from the corner of the first pixel, so a pixel's middle lies at a half.
    for (let y = Math.max(0, Math.floor(top)); y < Math.min(fact.rows, bottom); y++) {
      for (let x = Math.max(0, Math.floor(left)); x < Math.min(fact.columns, right); x++) {
        if (((x + 0.5 - x0) / rx) ** 2 + ((y + 0.5 - y0) / ry) ** 2 > 1) continue;
        const value = values[y * fact.columns + x] * fact.slope + fact.intercept;
        count++; sum += value; squares += value * value;
        if (value < low) low = value;
        if (value > high) high = value;
      }
    }
    const mean = sum / count;
    const spacing = fact.spacing || { across: 1, down: 1 };
    return { count, mean, deviation: Math.sqrt(Math.max(0, squares / count - mean * mean)), low, high, area: Math.PI * rx * spacing.across * ry * spacing.down };
  }
  function ellipseLines(data, target) {
    const id = idOfTarget(target), fact = facts.get(id), image = Cornerstone.cache.getImage(id);
    if (!fact || !image) return [];
    const found = statistics(fact, image, data.handles.points), unit = unitOf(fact);
    const area = fact.spacing && found.area >= 100 && unit === "mm" ? `${(found.area / 100).toFixed(2)} cm²` : `${found.area.toFixed(1)} ${unit}²`;
    if (image.color || !found.count) return [area];
    const end = fact.unit ? ` ${fact.unit}` : "";
    return [`${words("mean")} ${found.mean.toFixed(1)}${end}`, `SD ${found.deviation.toFixed(1)}`, `${rounded(found.low)} – ${rounded(found.high)}`, area];
  }

  Object.assign(P, { Pane, lengthLines, angleLines, ellipseLines, statistics, make, toRange });
}());
