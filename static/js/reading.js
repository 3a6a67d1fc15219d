/* The reading list by keyboard: arrows on a row move, Enter reads, X chooses, / finds. J, K, N, C, A, V, R and the menu
   of a row come from app.js; without scripts everything is a link or a button. */
(function () {
  "use strict";
  var doc = document, list = doc.querySelector("[data-reading]"), find = doc.querySelector("[data-find]");
  if (!list) return;
  function off() { try { return localStorage.getItem("picha:keys") === "off"; } catch (_none) { return false; } }
  function typing(node) { return /^(INPUT|TEXTAREA|SELECT)$/.test(node.tagName) && node.type !== "checkbox" || node.isContentEditable; }
  function chosen() { return list.querySelector("tr[aria-selected=true]"); }
  function read(row) {
    var button = row.querySelector("[data-read]"), link = row.querySelector("a[data-open],a[href]");
    if (button) button.click(); else if (link) link.click();
  }
  list.addEventListener("keydown", function (event) {
    if (event.target.tagName !== "TR" || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    if (event.key === "Enter") { event.preventDefault(); read(event.target); }
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      var to = event.key === "ArrowDown" ? event.target.nextElementSibling : event.target.previousElementSibling;
      event.preventDefault();
      if (!to) return;
      event.target.setAttribute("aria-selected", "false");
      event.target.tabIndex = -1;
      to.setAttribute("aria-selected", "true");
      to.tabIndex = 0;
      to.focus();
      to.scrollIntoView({ block: "nearest" });
    }
  });
  doc.addEventListener("keydown", function (event) {
    if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || off()) return;
    if (doc.querySelector("dialog[open]") || doc.body.classList.contains("locked") || typing(event.target)) return;
    var row = chosen();
    if (event.key === "/" && find) { event.preventDefault(); event.stopPropagation(); find.focus(); find.select(); }
    if (event.key.toLowerCase() === "x" && row) { event.preventDefault(); row.querySelector("td.pick input").click(); }
    if (event.key === "Enter" && row && event.target === doc.body) { event.preventDefault(); read(row); }
  }, true);
  list.addEventListener("dblclick", function (event) {
    var row = event.target.closest("tr");
    if (row && !event.target.closest("a,button,input,details")) read(row);
  });
  if (find) find.addEventListener("keydown", function (event) {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    find.value = "";
    var row = chosen() || list.querySelector("tr");
    if (row) row.focus(); else find.blur();
  });
  /* Back from a report, the row that was open is chosen again. */
  var KEY = "picha:reading-row";
  list.addEventListener("pi:select", function (event) { try { sessionStorage.setItem(KEY, event.target.id); } catch (_none) { return; } });
  var before = null;
  try { before = sessionStorage.getItem(KEY); } catch (_none) { before = null; }
  var row = before && doc.getElementById(before);
  if (row && list.contains(row)) { row.setAttribute("aria-selected", "true"); row.tabIndex = 0; row.scrollIntoView({ block: "nearest" }); }
  if (find && find.hasAttribute("data-found")) { var first = list.querySelector("tr"); if (first) { first.tabIndex = 0; first.setAttribute("aria-selected", "true"); first.focus(); } }
})();
