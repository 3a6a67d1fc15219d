// The clock of the waiting-room display; the numbers come by the frame's polling.
(function () {
  "use strict";
  var clock = document.querySelector("[data-clock]");
  function pad(n) { return n < 10 ? "0" + n : "" + n; }
  function tick() { var now = new Date(); clock.textContent = pad(now.getHours()) + ":" + pad(now.getMinutes()); }
  if (clock) { tick(); setInterval(tick, 5000); }
})();
