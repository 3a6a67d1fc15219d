// The console: the chosen row of the list stays in sight.
(function () {
  "use strict";
  var chosen = document.querySelector(".ph.on");
  if (chosen) chosen.scrollIntoView({ block: "nearest" });
})();
