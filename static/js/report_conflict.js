/* Two texts: a choice per section fills what will be saved; what was typed there comes back with "Mine". */
(function () {
  "use strict";
  var form = document.querySelector("[data-conflict]"), source = document.getElementById("conflict-texts");
  if (!form || !source) return;
  var texts = JSON.parse(source.textContent), areas = {}, shown = {};
  form.elements.scripted.value = "1";
  form.querySelectorAll("[data-text]").forEach(function (area) { areas[area.dataset.text] = area; shown[area.dataset.text] = "mine"; });
  form.addEventListener("change", function (event) {
    var key = event.target.dataset.take;
    if (!key) return;
    texts[key][shown[key]] = areas[key].value;
    shown[key] = event.target.value;
    areas[key].value = texts[key][shown[key]];
  });
})();
