// The day grid begins at the present hour. While an exam waits for its time, a click on a free place fills the booking form. Keyboard: the form itself.
(function () {
  "use strict";
  var now = document.querySelector(".dg-now");
  var pane = now && now.closest(".pi-scroll");
  if (pane && !pane.scrollTop) pane.scrollTop = Math.max(0, now.offsetTop - pane.clientHeight / 2);

  var time = document.getElementById("day-time");
  var form = document.querySelector("form[data-booking]");
  if (!time || !form) return;
  function pad(number) {
    return String(number).padStart(2, "0");
  }

  time.addEventListener("click", function (event) {
    var column = event.target.closest(".dg[data-pick] .dg-c");
    if (!column || event.target.closest("a")) return;
    var unit = parseFloat(getComputedStyle(column).getPropertyValue("--u"));
    var place = Math.floor((event.clientY - column.getBoundingClientRect().top) / unit);
    var minutes = Number(column.dataset.first) * 60 + Math.max(0, place) * 5;
    var known = Array.from(form.elements.station.options, function (option) { return option.value; });
    var station = column.dataset.stations.split(" ").find(function (uuid) { return known.indexOf(uuid) >= 0; });
    if (station) form.elements.station.value = station;
    form.elements.day.value = column.dataset.day;
    form.elements.at.value = pad(Math.floor(minutes / 60)) + ":" + pad(minutes % 60);
    form.elements.at.focus();
  });
})();
