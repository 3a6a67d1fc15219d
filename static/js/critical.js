/* Raising an alert inside another page, and the board on a wall. Both work without it. */
(function () {
  "use strict";
  var doc = document;
  function $(selector, from) { return (from || doc).querySelector(selector); }
  function $$(selector, from) { return Array.prototype.slice.call((from || doc).querySelectorAll(selector)); }

  /* ---- raising: the list of findings follows the category; in the editor nothing is reloaded ---- */
  $$("[data-raise-critical]").forEach(function (form) {
    var finding = $("[name=finding]", form);
    function choose() {
      var chosen = $("[name=category]:checked", form);
      if (chosen) finding.setAttribute("list", chosen.dataset.findings);
    }
    form.addEventListener("change", function (event) { if (event.target.name === "category") choose(); });
    choose();
    var editor = $("#s-impression");
    if (editor) form.addEventListener("submit", function (event) { event.preventDefault(); event.stopPropagation(); send(form, editor, event.submitter); });
  });
  doc.addEventListener("toggle", function (event) {
    var form = event.target.matches && event.target.matches("details[open]") && $("[data-raise-critical]", event.target);
    if (form && event.target.id === "critical") $("[name=category]:checked", form).focus();
  }, true);

  function send(form, editor, button) {
    if (form.dataset.busy) return;
    form.dataset.busy = "1";
    if (button) button.disabled = true;
    fetch(form.action, { method: "POST", body: new FormData(form), headers: { Accept: "application/json" } })
      .then(function (answer) { return answer.ok ? answer.json() : answer.text().then(function (text) { return Promise.reject(text); }); })
      .then(function (raised) {
        form.reset();
        var menu = form.closest("details.pi-menu"), bar = doc.createElement("div"), link = doc.createElement("a");
        if (menu) menu.open = false;
        bar.className = "pi-bar t-red";
        bar.setAttribute("role", "status");
        bar.textContent = raised.words + ": " + raised.finding + " ";
        link.href = raised.url;
        link.className = "ms-a";
        link.textContent = form.dataset.open || raised.words;
        bar.appendChild(link);
        var place = editor.form || editor;
        place.parentNode.insertBefore(bar, place);
        if (raised.sentence && editor.value.indexOf(raised.sentence) < 0) {
          editor.value = editor.value.replace(/\s+$/, "") + (editor.value.trim() ? "\n" : "") + raised.sentence;
          editor.dispatchEvent(new Event("input", { bubbles: true }));
        }
        editor.focus();
      })
      .catch(function (text) {
        var slot = $("[data-raise-slot]", form), told = new DOMParser().parseFromString(String(text), "text/html"), alert = $(".pi-alert", told);
        if (alert) slot.replaceChildren(doc.importNode(alert, true));
        else form.submit();
      })
      .finally(function () { delete form.dataset.busy; if (button) button.disabled = false; });
  }

  /* ---- the sentence of a call, offered beside the draft ---- */
  doc.addEventListener("click", function (event) {
    var offer = event.target.closest("[data-sentence]"), editor = $("#s-impression");
    if (!offer || !editor) return;
    event.preventDefault();
    if (editor.value.indexOf(offer.dataset.sentence) < 0) {
      editor.value = editor.value.replace(/\s+$/, "") + (editor.value.trim() ? "\n" : "") + offer.dataset.sentence;
      editor.dispatchEvent(new Event("input", { bubbles: true }));
    }
    (offer.closest(".pi-bar") || offer).remove();
    editor.focus();
  });

  /* ---- the wall ---- */
  var list = $("#cr-list");
  if (!list) return;
  var clock = $("[data-clock]"), sound = $("[data-sound]"), audio = null, known = {}, late = {};
  var parts = clock.dataset.clock.split(":").map(Number), began = performance.now();   /* the house's clock, not the screen's */
  function tick() {
    var seconds = parts[0] * 3600 + parts[1] * 60 + parts[2] + Math.floor((performance.now() - began) / 1000);
    clock.textContent = ("0" + Math.floor(seconds / 3600) % 24).slice(-2) + ":" + ("0" + Math.floor(seconds / 60) % 60).slice(-2);
  }
  setInterval(tick, 5000);
  function wanted() { try { return localStorage.getItem("picha:wall-sound") === "on"; } catch (_none) { return false; } }
  function dress() {
    var on = wanted();
    sound.setAttribute("aria-pressed", String(on));
    $("span", sound).textContent = on ? sound.dataset.on : sound.dataset.off;
  }
  sound.addEventListener("click", function () {
    try { localStorage.setItem("picha:wall-sound", wanted() ? "off" : "on"); } catch (_none) { return; }
    dress();
    if (wanted()) beep(1);
  });
  function beep(times) {
    var Context = window.AudioContext || window.webkitAudioContext;
    if (!Context) return;
    audio = audio || new Context();
    for (var n = 0; n < times; n += 1) {
      var tone = audio.createOscillator(), gain = audio.createGain(), start = audio.currentTime + n * 0.35;
      tone.frequency.value = 880;
      gain.gain.setValueAtTime(0.15, start);
      gain.gain.exponentialRampToValueAtTime(0.001, start + 0.3);
      tone.connect(gain).connect(audio.destination);
      tone.start(start);
      tone.stop(start + 0.3);
    }
  }
  function look(quietly) {
    var fresh = 0, over = 0;
    $$("[data-alert-row]", list).forEach(function (row) {
      var key = row.dataset.alertRow;
      if (!known[key]) { known[key] = true; fresh += 1; }
      if (row.hasAttribute("data-over") && !late[key]) { late[key] = true; over += 1; }
    });
    if (!quietly && (fresh || over) && wanted()) beep(over ? 3 : 2);
  }
  new MutationObserver(function () { look(false); }).observe(list, { childList: true });
  look(true);
  dress();
  tick();
  setTimeout(function () { location.reload(); }, 6 * 3600 * 1000);   /* what was installed meanwhile reaches the wall */
})();
