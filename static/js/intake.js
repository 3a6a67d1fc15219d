/* Lists of requests: tick all, count what is ticked; a pick fills the protocol form in place. */
(function () {
  "use strict";
  var doc = document;
  function boxes() { return Array.prototype.slice.call(doc.querySelectorAll("[data-tick]")); }
  function count() {
    var ticked = boxes().filter(function (box) { return box.checked; }).length, all = doc.querySelector("[data-tick-all]");
    Array.prototype.forEach.call(doc.querySelectorAll("[data-ticked]"), function (node) { node.textContent = ticked; });
    if (all) { all.checked = ticked > 0 && ticked === boxes().length; all.indeterminate = ticked > 0 && !all.checked; }
  }
  doc.addEventListener("change", function (event) {
    if (event.target.matches("[data-tick-all]")) boxes().forEach(function (box) { box.checked = event.target.checked; });
    if (event.target.matches("[data-tick],[data-tick-all]")) count();
  });
  doc.addEventListener("click", function (event) {
    var pick = event.target.closest("a[data-pick]"), form = doc.querySelector("form[data-protocol]");
    if (!pick || !form || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    form.elements.protocol.value = pick.dataset.protocol;
    form.elements.contrast.value = pick.dataset.contrast;
    Array.prototype.forEach.call(form.querySelectorAll("[name=contrast_decision]"), function (radio) { radio.checked = radio.value === pick.dataset.decision; });
    if (pick.dataset.comments) form.elements.comments.value = pick.dataset.comments;
    Array.prototype.forEach.call(doc.querySelectorAll("a[data-pick]"), function (other) { other.removeAttribute("aria-current"); });
    pick.setAttribute("aria-current", "true");
    form.elements.protocol.dispatchEvent(new Event("input", { bubbles: true }));
    Array.prototype.forEach.call(form.elements, function (field) { if (field.type === "submit") field.focus(); });
  });
  count();
})();
