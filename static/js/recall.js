/* The minutes in which a signature may be taken back, counted down; at the end the page is read again. */
(function () {
  "use strict";
  var place = document.querySelector("[data-recall]");
  if (!place) return;
  var end = Date.now() + Number(place.dataset.recall) * 1000;
  function show() {
    var left = Math.max(0, Math.round((end - Date.now()) / 1000));
    place.textContent = Math.floor(left / 60) + ":" + String(left % 60).padStart(2, "0");
    if (left > 0) setTimeout(show, 1000);
    else document.querySelectorAll("[data-recall-form] button").forEach(function (button) { button.disabled = true; });
  }
  show();
})();
