// The console: the chosen row stays in sight, and a barcode scanner works wherever the hand is.
(function () {
  "use strict";
  var doc = document, form = doc.querySelector("form[data-scan]"), chosen = doc.querySelector(".ph.on");
  if (chosen) chosen.scrollIntoView({ block: "nearest" });
  if (location.hash) {
    var part = doc.getElementById(location.hash.slice(1)), open = part && part.querySelector("details[open] input:not([type=hidden]),details[open] select");
    if (open) open.focus({ preventScroll: true });
  }
  if (!form) return;

  /* A scanner types: many keys, each within a few milliseconds of the last, then Enter. Keys that no field waits for are
     held back as long, so that a code never works as shortcuts; what it typed into a field is taken out again. */
  var GAP = 45, SHORTEST = 4;
  var keys = [], last = 0, slowest = 0, field = null, before = "", held = [], timer = 0;

  function typing(node) { return /^(INPUT|TEXTAREA|SELECT)$/.test(node.tagName) && !/^(checkbox|radio|button|submit)$/.test(node.type); }
  function forget() { keys = []; slowest = 0; field = null; held = []; }
  function release() {                                   // it was a hand: the page gets its keys back, in order
    var waiting = held;
    forget();
    waiting.forEach(function (one) {
      var again = new KeyboardEvent("keydown", { key: one.key, code: one.code, shiftKey: one.shift, bubbles: true, cancelable: true });
      again.fromConsole = true;
      (one.target.isConnected ? one.target : doc.body).dispatchEvent(again);
    });
  }
  function isScan() { return keys.length >= SHORTEST && slowest <= GAP; }
  function send(code) {
    if (field) field.value = before;
    form.elements.code.value = code;
    form.requestSubmit();
  }
  window.addEventListener("keydown", function (event) {
    if (event.fromConsole || event.isComposing || !event.key || event.altKey || event.metaKey || doc.querySelector("dialog[open]") || doc.body.classList.contains("locked")) return;
    var now = event.timeStamp, gap = now - last, separator = event.ctrlKey && event.key === "]";
    if (event.key === "Shift") return;
    if (event.key === "Enter" || event.key === "Tab") {
      if (isScan() && gap <= GAP * 2 && event.target !== form.elements.code) {
        var code = keys.join("");
        event.preventDefault();
        event.stopImmediatePropagation();
        clearTimeout(timer);
        send(code);
        forget();
      } else if (keys.length) { clearTimeout(timer); release(); }
      return;
    }
    if ((event.ctrlKey && !separator) || (event.key.length !== 1 && !separator)) return;
    if (keys.length && gap > GAP) { clearTimeout(timer); release(); }
    last = now;
    if (!keys.length) { if (typing(event.target)) { field = event.target; before = field.value; } } else slowest = Math.max(slowest, gap);
    keys.push(separator ? "\x1d" : event.key);
    if (!typing(event.target)) {
      held.push({ key: event.key, code: event.code, shift: event.shiftKey, target: event.target });
      event.stopImmediatePropagation();
      if (event.key !== " ") event.preventDefault();
    }
    clearTimeout(timer);
    timer = setTimeout(release, GAP + 15);
  }, true);
})();
