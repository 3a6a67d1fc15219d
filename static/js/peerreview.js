/* The case under review: 1, then 2 or 3 followed by A or B, choose a score; on a site's own scale the digits do. */
(function () {
  "use strict";
  var form = document.querySelector("[data-scores]"), first = "", timer = 0;
  if (!form) return;
  var radios = Array.prototype.slice.call(form.querySelectorAll(".rv-scores input"));
  var isSite = form.dataset.scores === "grade";

  function keysAreOff() { try { return localStorage.getItem("picha:keys") === "off"; } catch (_none) { return false; } }
  function mark(digit) {
    first = digit;
    radios.forEach(function (radio) { radio.parentNode.classList.toggle("half", Boolean(digit) && radio.value.charAt(0) === digit); });
    clearTimeout(timer);
    if (digit) timer = setTimeout(function () { mark(""); }, 4000);
  }
  function choose(radio) {
    mark("");
    if (!radio) return false;
    radio.checked = true;
    radio.focus();
    radio.dispatchEvent(new Event("change", { bubbles: true }));
    return true;
  }
  function ofValue(value) { return radios.filter(function (radio) { return radio.value === value; })[0]; }

  document.addEventListener("keydown", function (event) {
    var key = (event.key || "").toLowerCase(), node = event.target, done = false;
    if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || keysAreOff()) return;
    if (node.isContentEditable || /^(TEXTAREA|SELECT)$/.test(node.tagName) || (node.tagName === "INPUT" && !/^(radio|checkbox)$/.test(node.type))) return;
    if (document.querySelector("dialog[open]")) return;
    if (isSite) done = /^[1-9]$/.test(key) && choose(radios[key - 1]);
    else if (key === "1") done = choose(ofValue("1"));
    else if (key === "2" || key === "3") { mark(key); done = true; }
    else if (first && (key === "a" || key === "b")) done = choose(ofValue(first + key));
    if (done) { event.preventDefault(); event.stopImmediatePropagation(); }
  }, true);
}());
