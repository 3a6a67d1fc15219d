/* Scales beside a report: what follows from the answers is asked of the server while they are given. */
(function () {
  "use strict";
  document.querySelectorAll("form[data-scale]").forEach(function (form) {
    var place = form.querySelector("[data-scale-result]"), asked = 0, timer = null;
    function ask() {
      var mine = ++asked;
      fetch(form.dataset.scale, { method: "POST", body: new FormData(form), headers: { "X-Requested-With": "fetch" } })
        .then(function (response) { return response.ok ? response.text() : ""; })
        .then(function (html) { if (mine === asked) place.innerHTML = html; })
        .catch(function () { if (mine === asked) place.textContent = ""; });
    }
    form.addEventListener("input", function (event) {
      if (event.target.name === "label" || event.target.name === "into_text") return;
      clearTimeout(timer);
      timer = setTimeout(ask, 200);
    });
  });
})();
