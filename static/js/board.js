// The clock of the waiting-room display runs on from the server's time; the numbers come by the frame's polling.
(function () {
  "use strict";
  var clock = document.querySelector("[data-clock]");
  if (!clock) return;
  var parts = clock.dataset.clock.split(":"), began = performance.now();
  var first = Number(parts[0]) * 3600 + Number(parts[1]) * 60 + Number(parts[2]);
  function pad(n) { return n < 10 ? "0" + n : "" + n; }
  function tick() {
    var now = Math.floor(first + (performance.now() - began) / 1000) % 86400;
    clock.textContent = pad(Math.floor(now / 3600)) + ":" + pad(Math.floor(now / 60) % 60);
  }
  tick();
  setInterval(tick, 1000);
})();
