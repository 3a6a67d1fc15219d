/* The picture panel (templates/interop/images_panel.html): stacks by wheel, arrow keys, slider and touch; windows. */
(function () {
  "use strict";
  var AHEAD = 4, KEPT = 160, STEP = 24;

  function start(viewer) {
    var tag = viewer.querySelector('script[type="application/json"]');
    var stage = viewer.querySelector("[data-stage]");
    if (!tag || !stage) return;
    var stacks = JSON.parse(tag.textContent), picture = stage.querySelector("[data-picture]");
    var title = stage.querySelector("[data-title]"), place = stage.querySelector("[data-place]");
    var range = viewer.querySelector("[data-range]");
    var thumbs = Array.prototype.slice.call(viewer.querySelectorAll("[data-series]"));
    var series = -1, index = 0, preset = "", kept = new Map(), wanted = "";

    function address(n) { return stacks[series][n] + (preset ? "?window=" + encodeURIComponent(preset) : ""); }

    function fetchPicture(url) {
      var image = kept.get(url);
      if (!image) {
        image = new Image();
        image.src = url;
        kept.set(url, image);
        if (kept.size > KEPT) kept.delete(kept.keys().next().value);
      }
      return image;
    }

    function show() {
      var url = address(index), image = fetchPicture(url);
      wanted = url;
      function put() {
        if (wanted !== url) return;
        picture.src = url;
        stage.classList.remove("busy");
        for (var step = 1; step <= AHEAD; step++) {
          if (index + step < stacks[series].length) fetchPicture(address(index + step));
          if (index - step >= 0) fetchPicture(address(index - step));
        }
      }
      if (image.complete) put();
      else { stage.classList.add("busy"); image.onload = image.onerror = put; }
      place.textContent = (index + 1) + " / " + stacks[series].length;
      range.value = index + 1;
    }

    function turn(by) {
      var next = Math.max(0, Math.min(stacks[series].length - 1, index + by));
      if (next !== index) { index = next; show(); }
    }

    function choose(n) {
      if (!stacks[n] || !stacks[n].length) return;
      series = n;
      index = Math.floor(stacks[n].length / 2);
      thumbs.forEach(function (thumb, at) {
        if (at === n) thumb.setAttribute("aria-current", "true"); else thumb.removeAttribute("aria-current");
      });
      title.textContent = thumbs[n] ? thumbs[n].title : "";
      picture.alt = title.textContent;
      range.max = stacks[n].length;
      range.hidden = stacks[n].length < 2;
      show();
    }

    thumbs.forEach(function (thumb, n) {
      thumb.addEventListener("click", function (event) {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        choose(n);
        stage.focus();
      });
    });
    stage.addEventListener("wheel", function (event) {
      if (event.ctrlKey) return;
      event.preventDefault();
      turn(event.deltaY > 0 ? 1 : -1);
    }, { passive: false });
    stage.addEventListener("keydown", function (event) {
      var by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, PageDown: 10, PageUp: -10, Home: -1e6, End: 1e6 }[event.key];
      if (!by || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      turn(by);
    });
    var from = null;
    stage.addEventListener("pointerdown", function (event) { from = event.clientY; stage.focus(); });
    stage.addEventListener("pointermove", function (event) {
      if (from === null || Math.abs(event.clientY - from) < STEP) return;
      turn(event.clientY > from ? 1 : -1);
      from = event.clientY;
    });
    ["pointerup", "pointerleave", "pointercancel"].forEach(function (name) {
      stage.addEventListener(name, function () { from = null; });
    });
    picture.addEventListener("dragstart", function (event) { event.preventDefault(); });
    range.addEventListener("input", function () { index = range.value - 1; show(); });
    Array.prototype.forEach.call(viewer.querySelectorAll("[data-window]"), function (button, _n, all) {
      button.addEventListener("click", function () {
        preset = button.dataset.window;
        Array.prototype.forEach.call(all, function (other) { other.setAttribute("aria-pressed", String(other === button)); });
        show();
      });
    });
    choose(stacks.findIndex(function (stack) { return stack.length; }));
  }

  function startAll(root) {
    Array.prototype.forEach.call(root.querySelectorAll("[data-viewer]:not([data-ready])"), function (viewer) {
      viewer.setAttribute("data-ready", "");
      start(viewer);
    });
  }
  startAll(document);
  document.addEventListener("htmx:afterSwap", function () { startAll(document); });
}());
