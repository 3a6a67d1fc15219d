/* The reading list: Enter on a row reads it. Everything else comes from app.js and works without scripts. */
(function () {
  "use strict";
  var list = document.querySelector("[data-reading]");
  if (!list) return;
  function read(row) {
    var button = row.querySelector("[data-read]"), link = row.querySelector("a[href]");
    if (button) button.click(); else if (link) link.click();
  }
  list.addEventListener("keydown", function (event) {
    if (event.key !== "Enter" || event.target.tagName !== "TR" || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    read(event.target);
  });
  list.addEventListener("dblclick", function (event) {
    var row = event.target.closest("tr");
    if (row && !event.target.closest("a,button,input")) read(row);
  });
})();
