/* The viewer: panes, tools, strip, comparing, and whose pictures these are. Data: viewer_data.js; a picture: viewer_pane.js. */
(function () {
  "use strict";
  const P = window.PichaViewer;
  if (!P || !window.Cornerstone) return;
  const { root, data, words, facts, make } = P;
  const $ = (selector) => root.querySelector(selector);
  const $$ = (selector) => Array.from(root.querySelectorAll(selector));
  const LAYOUTS = { "1x1": 1, "1x2": 2, "2x2": 4 };
  const PRESETS = { lung: [-550, 1600], bone: [400, 1800], brain: [40, 80], abdomen: [40, 400], mediastinum: [40, 350] };
  const MB = 1024 * 1024;

  const viewer = {
    cacheBytes: (+root.dataset.cacheMb || 512) * MB,
    panes: [], active: null, layout: "1x1", isLinked: true, tool: "WindowLevel", studies: new Map(), offsets: new Map(), timers: new Map(),

    isPrior(study) { return !data.studies.some((own) => own.uid === study.uid); },

    activate(pane) {
      if (this.active === pane) return;
      this.active = pane;
      this.panes.forEach((other) => other.node.classList.toggle("active", other === pane));
      this.refresh();
    },

    // --- layout

    lay(layout) {
      this.layout = layout;
      const grid = $("[data-viewer-grid]");
      grid.dataset.layout = layout;
      this.panes.forEach((pane, at) => { pane.node.hidden = at >= LAYOUTS[layout]; });
      for (let at = this.panes.length; at < LAYOUTS[layout]; at++) {
        const pane = new P.Pane(this, at + 1);
        this.panes.push(pane);
        grid.append(pane.node);
        pane.attach();
        pane.busy(false);
      }
      $$("[data-layout-button]").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.layoutButton === layout)));
      if (this.active && this.active.node.hidden) this.activate(this.panes[0]);
      this.engine.resize(true, false);
      this.tell();
    },
    visible() { return this.panes.slice(0, LAYOUTS[this.layout]); },

    async fill(stacks) {
      const panes = this.visible();
      await Promise.all(stacks.slice(0, panes.length).map(([study, stack], at) => (panes[at].stack === stack ? null : panes[at].show(study, stack, 0))));
    },

    // --- what is shown

    async withStacks(study) {
      if (!study.stacks) {
        const answer = await P.ask(study.url, "application/json");
        Object.assign(study, await answer.json());
        this.drawStrip();
      }
      return study;
    },

    async chooseByKey(key) {
      const [uid, at] = key.split("#");
      const study = await this.withStacks(this.studies.get(uid)).catch((error) => this.say(error.message));
      if (study && study.stacks[+at]) this.active.show(study, study.stacks[+at], 0);
    },

    async compare(uid) {
      const study = await this.withStacks(this.studies.get(uid)).catch((error) => this.say(error.message));
      if (!study || !study.stacks.length) { if (study) this.say(words("noPictures")); return; }
      const main = this.panes[0];
      this.lay(this.layout === "2x2" ? "2x2" : "1x2");
      const like = main.stack && study.stacks.find((stack) => stack.modality === main.stack.modality && stack.sops.length > 1) || study.stacks.find((stack) => main.stack && stack.modality === main.stack.modality);
      await this.panes[1].show(study, like || study.stacks[0], 0);
      this.link(true);
      this.follow(main);
    },

    /* Mammograms are hung R CC, L CC over R MLO, L MLO; their headers say which is which. */
    async hangMammograms(study) {
      const stacks = study.stacks.filter((stack) => stack.modality === "MG");
      if (stacks.length < 2) return false;
      const read = await Promise.all(stacks.map(async (stack) => {
        const ref = { study: study.uid, series: stack.series, sop: stack.sops[0], frame: 1 };
        const head = await P.headOf(ref).catch(() => null);
        const fact = head && P.factsOf(head, ref);
        if (fact && fact.side) stack.title = `${fact.side} ${fact.view}`.trim();
        return { stack, key: fact ? `${fact.side} ${fact.view}` : "" };
      }));
      const order = ["R CC", "L CC", "R MLO", "L MLO"];
      const rank = (row) => { const at = order.indexOf(row.key); return at < 0 ? order.length : at; };
      read.sort((one, other) => rank(one) - rank(other));
      study.stacks = [...read.map((row) => row.stack), ...study.stacks.filter((stack) => stack.modality !== "MG")];
      this.drawStrip();
      this.lay(stacks.length > 2 ? "2x2" : "1x2");
      await this.fill(read.map((row) => [study, row.stack]));
      return true;
    },

    // --- linked scrolling: by place along the patient, else by number

    link(is) {
      this.isLinked = is;
      this.offsets.clear();
      const button = $("[data-viewer-act=link]");
      if (button) button.setAttribute("aria-pressed", String(is));
    },
    along(id) {
      const ref = P.refOf(id), known = facts.get(id) || (P.heads.get(ref.sop) && P.factsOf(P.heads.get(ref.sop), ref));
      return known && known.along !== null ? known : null;
    },
    follow(source) {
      if (!this.isLinked || !source.shownId || source.ids.length < 2) return;
      const here = this.along(source.shownId);
      for (const pane of this.visible()) {
        if (pane === source || !pane.stack || pane.ids.length < 2 || pane.follows) continue;
        if (pane.stack.frames > 1 || source.stack.frames > 1) continue;
        const places = pane.ids.map((id) => this.along(id));
        const is = here && places.every((place) => place && Math.abs(place.normal.reduce((sum, value, axis) => sum + value * here.normal[axis], 0)) > 0.9);
        let next = source.index;
        if (is) {
          const far = places.map((place) => Math.abs(place.along - here.along));
          next = far.indexOf(Math.min(...far));
        }
        pane.follows = true;
        pane.go(next);
        pane.follows = false;
      }
    },
    headersCame(pane) { if (pane !== this.panes[0] && this.panes[0]) this.follow(this.panes[0]); },

    // --- told by the panes

    shown(pane) {
      if (pane === this.active) { this.refresh(); this.follow(pane); }
      this.tell();
    },
    rendered(pane) {
      if (!this.firstAt && pane.shownId) {
        this.firstAt = performance.now();
        root.dataset.firstImageMs = Math.round(this.firstAt);
      }
    },

    // --- cine

    play(pane) {
      if (this.timers.has(pane)) {
        clearInterval(this.timers.get(pane));
        this.timers.delete(pane);
      } else if (pane.ids.length > 1) {
        const fact = facts.get(pane.shownId), pause = Math.min(1000, Math.max(33, (fact && fact.frameTime) || 66));
        this.timers.set(pane, setInterval(() => {
          if (pane.node.classList.contains("busy")) return;
          pane.go(pane.index + 1 < pane.ids.length ? pane.index + 1 : 0);
        }, pause));
      }
      this.refresh();
    },

    // --- tools

    use(tool) {
      const { toolEnums } = Cornerstone, own = [{ mouseButton: toolEnums.MouseBindings.Primary }];
      this.tools.setToolPassive(this.tool, { removeAllBindings: own });
      this.tool = tool;
      const more = { Pan: [{ mouseButton: toolEnums.MouseBindings.Auxiliary }], Zoom: [{ mouseButton: toolEnums.MouseBindings.Secondary }, { numTouchPoints: 2 }] };
      Object.keys(more).filter((name) => name !== tool).forEach((name) => this.tools.setToolActive(name, { bindings: more[name] }));
      this.tools.setToolActive(tool, { bindings: [...own, ...(more[tool] || [])] });
      $$("[data-tool]").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.tool === tool)));
      root.dataset.tool = tool;
    },
    clearMeasures() {
      Cornerstone.annotation.state.removeAllAnnotations();
      this.panes.forEach((pane) => pane.viewport.render());
    },

    // --- the strip

    drawStrip() {
      const strip = $("[data-viewer-strip]");
      strip.replaceChildren();
      for (const study of this.studies.values()) {
        const group = make("div", "vw-study");
        group.setAttribute("role", "group");
        const title = `${this.isPrior(study) ? words("prior") + " · " : ""}${study.title}`;
        group.setAttribute("aria-label", `${title} ${study.date}`);
        const head = make("div", "vw-study-head");
        head.append(make("b", "trunc", title), make("span", "muted", [study.date, study.modality].filter(Boolean).join(" · ")));
        if (this.isPrior(study)) {
          const button = make("button", "btn btn-sm", words("compare"));
          button.type = "button";
          button.dataset.compare = study.uid;
          head.append(button);
        } else if (!study.stacks.length) head.append(make("span", "muted", words("noPictures")));
        const thumbs = make("div", "vw-thumbs");
        thumbs.append(...(study.stacks || []).map((stack, at) => this.thumb(study, stack, at)));
        group.append(head, thumbs);
        strip.append(group);
      }
      this.refresh();
    },
    thumb(study, stack, at) {
      const button = make("button", "film vw-thumb"), count = stack.frames > 1 ? stack.frames : stack.sops.length;
      button.type = "button";
      button.dataset.stack = `${study.uid}#${at}`;
      button.title = `${stack.title} (${count})`;
      button.draggable = true;
      const middle = stack.sops[Math.floor(stack.sops.length / 2)], picture = make("img");
      picture.alt = stack.title;
      picture.loading = "lazy";
      picture.width = picture.height = 64;
      picture.fetchPriority = "low";
      const url = `${P.instancePath({ study: study.uid, series: stack.series, sop: middle })}/frames/${Math.ceil(stack.frames / 2)}/thumbnail`;
      if (this.firstAt) picture.src = url; else picture.dataset.src = url;
      button.append(picture, make("span", "o vw-thumb-title", stack.title), make("span", "o vw-thumb-count", String(count)));
      button.addEventListener("dragstart", (event) => event.dataTransfer.setData("text/picha-stack", button.dataset.stack));
      return button;
    },
    /* The strip's pictures wait for the first one of the stage. */
    thumbsNow() { $$("img[data-src]").forEach((picture) => { picture.src = picture.dataset.src; delete picture.dataset.src; }); },

    // --- the bar

    refresh() {
      const pane = this.active;
      $$("[data-stack]").forEach((button) => {
        const here = this.visible().find((other) => other.stack && this.studies.get(button.dataset.stack.split("#")[0]).stacks[+button.dataset.stack.split("#")[1]] === other.stack);
        if (here) button.setAttribute("aria-current", here === pane ? "true" : "false"); else button.removeAttribute("aria-current");
      });
      const isGrey = Boolean(pane && pane.isGrey), fact = pane && facts.get(pane.shownId);
      $$("[data-viewer-act=invert]").forEach((button) => { button.disabled = !isGrey; });
      $$("[data-preset]").forEach((button) => { button.hidden = !(fact && fact.modality === "CT"); });
      const list = $("[data-own-windows]"), found = (isGrey && fact && fact.windows) || [];
      list.replaceChildren(...found.map((window, at) => {
        const button = make("button", "mi", `${window.name || words("ownWindow")} W ${Math.round(window.width)} L ${Math.round(window.centre)}`);
        button.type = "button";
        button.dataset.own = at;
        return button;
      }));
      const play = $("[data-viewer-act=cine]");
      play.disabled = !(pane && pane.ids.length > 1);
      play.setAttribute("aria-pressed", String(this.timers.has(pane)));
    },

    say(text) {
      const line = $("[data-viewer-say]");
      line.textContent = text || "";
      line.hidden = !text;
    },

    // --- whose pictures these are

    tell() {
      const shown = this.visible().filter((pane) => pane.stack).map((pane) => pane.study);
      const wrong = shown.find((study) => data.patient && study.patient !== data.patient) || (this.second && data.patient && this.second.patient !== data.patient ? this.second : null);
      const own = shown.find((study) => !this.isPrior(study)) || shown[0] || null;
      const told = wrong || own;
      const guard = $("[data-viewer-guard]");
      guard.classList.toggle("wrong", Boolean(wrong));
      guard.classList.toggle("none", !told);
      $("[data-guard-words]").textContent = !told ? words("nothingShown") : wrong ? words("mismatch") : data.report ? words("match") : words("patient");
      $("[data-guard-who]").textContent = told ? [told.name, told.mrn, told.accession].filter(Boolean).join(" · ") : "";
      const key = told ? `${told.uid}|${Boolean(wrong)}` : "";
      if (key === this.toldKey) return;
      this.toldKey = key;
      const input = document.querySelector("input[name=viewer_study]");
      if (input) input.value = told ? told.uid : "";
      root.dispatchEvent(new CustomEvent("picha:viewer-study", { bubbles: true, detail: { study: told ? told.uid : "", patient: told ? told.patient : "", accession: told ? told.accession : "", matches: Boolean(told) && !wrong } }));
      if (this.channel) this.channel.postMessage({ kind: "showing", isSecond: Boolean(root.dataset.second), study: told ? told.uid : "", patient: told ? told.patient : "", name: told ? told.name : "", mrn: told ? told.mrn : "", uid: told ? told.uid : "" });
      this.report();
    },
    /* The server is told what is shown, and told again while the page is open; the check before signing asks it. */
    report() {
      if (!root.dataset.showing || !data.report) return;
      const body = new URLSearchParams({ study: (this.toldKey || "").split("|")[0] });
      const cookie = document.cookie.split("; ").find((part) => part.startsWith(`${document.body.dataset.csrfCookie}=`));
      fetch(root.dataset.showing, { method: "POST", body, credentials: "same-origin", keepalive: true, headers: { "X-CSRFToken": cookie ? cookie.split("=")[1] : document.body.dataset.csrf || "" } }).catch(() => undefined);
    },

    /* The editor and its second window: one follows the other from patient to patient. */
    listen() {
      if (!("BroadcastChannel" in window) || !data.report) return;
      const isSecond = Boolean(root.dataset.second);
      this.channel = new BroadcastChannel("picha-viewer");
      const editor = () => this.channel.postMessage({ kind: "editor", report: data.report, url: root.dataset.secondUrl });
      this.channel.onmessage = ({ data: message }) => {
        if (isSecond && message.kind === "editor" && message.report !== data.report && /^\/viewer\/reports\/[0-9a-f-]+\/$/.test(message.url)) location.assign(message.url);
        if (isSecond && message.kind === "closed" && message.report === data.report) this.say(words("editorClosed"));
        if (!isSecond && message.kind === "hello") editor();
        if (!isSecond && message.kind === "showing" && message.isSecond) { this.second = message.study ? message : null; this.toldKey = undefined; this.tell(); }
        if (!isSecond && message.kind === "gone") { this.second = null; this.toldKey = undefined; this.tell(); }
      };
      if (isSecond) this.channel.postMessage({ kind: "hello" }); else editor();
      addEventListener("pagehide", () => this.channel.postMessage(isSecond ? { kind: "gone" } : { kind: "closed", report: data.report }));
    },

    // --- hands

    act(name) {
      const pane = this.active;
      if (name === "link") { this.link(!this.isLinked); if (this.isLinked && pane) this.follow(pane); return; }
      if (name === "full") { if (document.fullscreenElement) document.exitFullscreen(); else root.requestFullscreen(); return; }
      if (name === "focus") { pane.node.focus(); return; }
      if (name === "clear") { this.clearMeasures(); return; }
      if (name === "cine") { this.play(pane); return; }
      if (!pane || !pane.shownId) return;
      if (name === "invert" && pane.isGrey) pane.invert();
      else if (name === "rotate") pane.rotate();
      else if (name === "flip-h") pane.flip(true);
      else if (name === "flip-v") pane.flip(false);
      else if (name === "reset") pane.reset();
      else if (name === "actual") pane.actualSize();
    },

    onClick(event) {
      const button = event.target.closest("button");
      if (!button) return;
      const set = button.dataset;
      if (set.viewerAct) this.act(set.viewerAct);
      else if (set.tool) this.use(set.tool);
      else if (set.preset) this.active.setWindow({ centre: PRESETS[set.preset][0], width: PRESETS[set.preset][1] });
      else if (set.own) this.active.setWindow(facts.get(this.active.shownId).windows[+set.own]);
      else if (set.layoutButton) { this.lay(set.layoutButton); this.fillEmpty(); }
      else if (set.stack) this.chooseByKey(set.stack);
      else if (set.compare) this.compare(set.compare);
      else return;
      const menu = button.closest("details");
      if (menu) menu.open = false;
    },
    fillEmpty() {
      const free = this.visible().filter((pane) => !pane.stack), used = new Set(this.visible().map((pane) => pane.stack));
      const rest = data.studies.flatMap((study) => study.stacks.map((stack) => [study, stack])).filter(([, stack]) => !used.has(stack));
      free.forEach((pane, at) => { if (rest[at]) pane.show(rest[at][0], rest[at][1], 0); });
    },

    keys: {
      w: () => viewer.use("WindowLevel"), z: () => viewer.use("Zoom"), p: () => viewer.use("Pan"), s: () => viewer.use("StackScroll"),
      l: () => viewer.use("Length"), a: () => viewer.use("Angle"), e: () => viewer.use("EllipticalROI"),
      i: () => viewer.act("invert"), r: () => viewer.act("rotate"), f: () => viewer.act("flip-h"), v: () => viewer.act("flip-v"), 0: () => viewer.act("reset"),
      k: () => viewer.act("link"), " ": () => viewer.act("cine"), Delete: () => viewer.act("clear"), Backspace: () => viewer.act("clear"),
      ArrowDown: () => viewer.active.turn(1), ArrowRight: () => viewer.active.turn(1), ArrowUp: () => viewer.active.turn(-1), ArrowLeft: () => viewer.active.turn(-1),
      PageDown: () => viewer.active.turn(10), PageUp: () => viewer.active.turn(-10), Home: () => viewer.active.go(0), End: () => viewer.active.go(viewer.active.ids.length - 1),
      1: () => viewer.preset(0), 2: () => viewer.preset(1), 3: () => viewer.preset(2), 4: () => viewer.preset(3), 5: () => viewer.preset(4),
    },
    preset(at) {
      const fact = facts.get(this.active.shownId), named = Object.values(PRESETS)[at];
      if (fact && fact.modality === "CT") this.active.setWindow({ centre: named[0], width: named[1] });
    },
    onKey(event) {
      if (!event.target.closest("[data-pane]") || event.ctrlKey || event.metaKey || event.altKey) return;
      const does = this.keys[event.key] || this.keys[event.key.toLowerCase()];
      if (!does || !this.active) return;
      event.preventDefault();
      event.stopPropagation();
      does();
    },
  };

  function buildTools() {
    const C = Cornerstone;
    const lines = { Length: P.lengthLines, Angle: P.angleLines, EllipticalROI: P.ellipseLines };
    const kinds = [C.WindowLevelTool, C.PanTool, C.ZoomTool, C.StackScrollTool, C.LengthTool, C.AngleTool, C.EllipticalROITool];
    const group = C.ToolGroupManager.createToolGroup("picha");
    kinds.forEach((kind) => {
      C.addTool(kind);
      group.addTool(kind.toolName, lines[kind.toolName] ? { getTextLines: lines[kind.toolName] } : {});
    });
    Object.keys(lines).forEach((name) => group.setToolPassive(name));
    return group;
  }

  async function start() {
    const C = Cornerstone;
    await C.init({ rendering: { useCPURendering: true } });
    C.setUseCPURendering(true);
    await C.initTools();
    P.register();
    C.cache.setMaxCacheSize(viewer.cacheBytes);
    viewer.engine = new C.RenderingEngine("picha");
    viewer.tools = buildTools();
    [...data.studies, ...data.others].forEach((study) => viewer.studies.set(study.uid, study));
    viewer.lay("1x1");
    viewer.use("WindowLevel");
    viewer.activate(viewer.panes[0]);
    viewer.drawStrip();
    viewer.listen();
    root.addEventListener("click", (event) => viewer.onClick(event));
    root.addEventListener("keydown", (event) => viewer.onKey(event), true);
    viewer.panes[0].element.addEventListener(C.coreEnums.Events.IMAGE_RENDERED, () => viewer.thumbsNow(), { once: true });
    $("[data-viewer-grid]").addEventListener("contextmenu", (event) => event.preventDefault());
    let waits = 0;
    new ResizeObserver(() => {
      cancelAnimationFrame(waits);
      waits = requestAnimationFrame(() => { viewer.engine.resize(true, true); viewer.panes.forEach((pane) => pane.draw()); });
    }).observe($("[data-viewer-grid]"));
    setInterval(() => { if (!document.hidden) viewer.report(); }, 60000);
    addEventListener("pagehide", () => { if (data.report) { viewer.toldKey = ""; viewer.report(); } });
    const study = data.studies.find((row) => row.stacks.length);
    if (!study) { viewer.panes[0].busy(false); viewer.tell(); return; }
    if (!(await viewer.hangMammograms(study))) await viewer.panes[0].show(study, study.stacks[0], 0);
    viewer.thumbsNow();
  }

  P.viewer = viewer;
  start().catch((error) => { viewer.say(words("noStart")); throw error; });
}());
