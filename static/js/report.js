/* The report: autosave, lock, fields, macros, checks and signing. Without it the page is a form that saves by its button. */
(function () {
  "use strict";
  var doc = document, SAVE_AFTER = 2000, SAVE_AT_LATEST = 5000, BEAT_EVERY = 60000, RETRY_AFTER = 5000;
  function $(selector, from) { return (from || doc).querySelector(selector); }
  function $$(selector, from) { return Array.prototype.slice.call((from || doc).querySelectorAll(selector)); }
  function make(tag, attributes, text) {
    var node = doc.createElement(tag);
    Object.keys(attributes || {}).forEach(function (name) { node.setAttribute(name, attributes[name]); });
    if (text) node.textContent = text;
    return node;
  }

  /* ---- context tabs: all parts are on the page, one is shown ---- */
  $$("[data-tabs]").forEach(function (bar) {
    var links = $$("a", bar);
    function show(link, focus) {
      links.forEach(function (other) {
        var part = doc.getElementById(other.hash.slice(1)), on = other === link;
        other.setAttribute("aria-selected", String(on));
        other.tabIndex = on ? 0 : -1;
        if (part) part.hidden = !on;
      });
      if (focus) link.focus();
    }
    bar.setAttribute("role", "tablist");
    links.forEach(function (link, at) {
      link.setAttribute("role", "tab");
      link.addEventListener("click", function (event) { event.preventDefault(); show(link); });
      link.addEventListener("keydown", function (event) {
        var step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (step) { event.preventDefault(); show(links[(at + step + links.length) % links.length], true); }
      });
    });
    show(links.filter(function (link) { return link.hasAttribute("data-first"); })[0] || links[0]);
  });

  var form = $("[data-report]");
  if (!form) return;
  var words = $("#report-words").dataset, slot = $("[data-report-slot]"), sections = $$("textarea[data-section]", form);
  var revision = form.elements.revision, saved = $("[data-saved]", form), savedText = $("span", saved);
  var timer, firstChange = 0, saving = null, conflict = false, leaving = false, sent = sections.map(function (area) { return area.defaultValue; }).join("\u0000");

  function symbol(name) {
    var SVG = "http://www.w3.org/2000/svg", node = doc.createElementNS(SVG, "svg"), use = doc.createElementNS(SVG, "use");
    node.setAttribute("class", "i");
    node.setAttribute("aria-hidden", "true");
    use.setAttribute("href", $("use", saved).getAttribute("href").split("#")[0] + "#" + name);
    node.appendChild(use);
    return node;
  }
  function snapshot() { return sections.map(function (area) { return area.value; }).join("\u0000"); }
  function isDirty() { return snapshot() !== sent; }
  function state(text, tone) { savedText.textContent = text; saved.className = "row-x " + tone; }

  /* ---- what the text looks like: height, and fields that are still open ---- */
  var grows = !(window.CSS && CSS.supports && CSS.supports("field-sizing", "content"));
  var FIELD = /\[[^\]\n]*\]|\*{3,}/g;
  function paint(area) {
    var back = area.previousElementSibling, text = area.value, at = 0, match;
    if (grows) { area.rows = Math.max(+area.dataset.rows || (area.dataset.rows = area.rows), Math.ceil(area.scrollHeight / 22)); }
    back.replaceChildren();
    FIELD.lastIndex = 0;
    while ((match = FIELD.exec(text))) {
      back.appendChild(doc.createTextNode(text.slice(at, match.index)));
      back.appendChild(make("mark", {}, match[0]));
      at = match.index + match[0].length;
    }
    back.appendChild(doc.createTextNode(text.slice(at) + "\n"));
  }
  sections.forEach(paint);
  window.addEventListener("resize", function () { sections.forEach(paint); });

  /* ---- autosave: two seconds after the last key, five at most; the browser keeps a copy until it is acknowledged ---- */
  function touched() {
    if (!isDirty() || conflict) return;
    var now = Date.now();
    if (!firstChange) firstChange = now;
    state(words.unsaved, "amber");
    clearTimeout(timer);
    timer = setTimeout(save, Math.max(0, Math.min(SAVE_AFTER, firstChange + SAVE_AT_LATEST - now)));
  }
  function send(url, extra) {
    var data = new FormData(form);
    data.delete("password"); data.delete("otp_token");
    Object.keys(extra || {}).forEach(function (name) { data.set(name, extra[name]); });
    if (window.Pi && Pi.csrf()) data.set("csrfmiddlewaretoken", Pi.csrf());
    return fetch(url, { method: "POST", body: data, headers: { Accept: "application/json" }, redirect: "manual", credentials: "same-origin" });
  }
  function save() {
    clearTimeout(timer);
    if (saving) return saving.then(function () { return isDirty() ? save() : true; });
    if (!isDirty() || conflict) return Promise.resolve(!conflict);
    var text = snapshot();
    state(words.saving, "amber");
    firstChange = 0;
    saving = send(form.dataset.save).then(function (answer) {
      if (answer.status === 401 || answer.type === "opaqueredirect") { if (window.Pi) Pi.lock(false); throw new Error("locked"); }
      return answer.json().then(function (body) {
        if (!answer.ok) { refuse(body); return false; }
        sent = text;
        revision.value = body.revision;
        $("[data-revision]", form).textContent = body.revision;
        state(words.saved.replace("{t}", body.saved_at), "green");
        $("[data-checks]", form).innerHTML = body.checks;
        if (!slot.querySelector("[data-keep]")) slot.replaceChildren();
        if (!isDirty()) form.dispatchEvent(new CustomEvent("draft-saved"));
        return true;
      });
    }).catch(function () {
      state(words.failed, "red");
      timer = setTimeout(save, RETRY_AFTER);
      return false;
    }).then(function (done) {
      saving = null;
      if (done && isDirty()) touched();
      return done;
    });
    return saving;
  }
  function refuse(problem) {
    var box = make("div", { "class": "pi-alert t-red", role: "alert" }), list = make("dl"), act = make("div", { "class": "act" });
    conflict = /revision_conflict$/.test(problem.type || "");
    box.appendChild(symbol("hand-stop"));
    box.appendChild(make("h3", { tabindex: "-1" }, problem.detail || words.failed));
    [[words.found, problem.found], [words.todo, problem.todo]].forEach(function (pair) {
      if (!pair[1] || pair[1] === problem.detail) return;
      list.appendChild(make("dt", {}, pair[0]));
      list.appendChild(make("dd", {}, pair[1]));
    });
    box.appendChild(list);
    if (conflict) {
      var compare = make("button", { type: "submit", "class": "btn btn-sm", form: form.id, formaction: form.dataset.compare }, words.compare);
      compare.addEventListener("click", function () { leaving = true; });
      act.appendChild(compare);
      box.appendChild(act);
      state(words.conflict, "red");
    } else state(words.unsaved, "red");
    slot.replaceChildren(box);
    $("h3", box).focus();
  }
  form.addEventListener("input", function (event) { if (event.target.matches("[data-section]")) { paint(event.target); touched(); suggest(event.target); } });
  sections.forEach(function (area) { area.addEventListener("blur", function () { if (isDirty()) save(); }); });
  window.addEventListener("beforeunload", function (event) {
    if (!isDirty() || leaving) return;
    event.preventDefault();                               // the browser keeps a copy; a save in flight would race the next page
    event.returnValue = "";
    leaving = true;
    setTimeout(function () { leaving = false; }, 1000);
  });
  doc.addEventListener("visibilitychange", function () { if (doc.hidden && isDirty() && !leaving) save(); });
  if (isDirty()) touched();
  setTimeout(function () { sections.forEach(paint); touched(); }, 50);        // app.js may have put an unsent text back

  /* other forms of the page, and links that leave it, save first */
  doc.addEventListener("submit", function (event) {
    if (event.target === form || event.defaultPrevented || !event.target.matches("[data-flush]") || !isDirty()) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    var other = event.target, by = event.submitter;
    save().then(function (done) { if (done) { delete other.dataset.sending; leaving = true; other.requestSubmit(by || undefined); } });
  }, true);
  $$("[data-preview]", form).forEach(function (link) {
    link.addEventListener("click", function (event) {
      if (!isDirty()) return;
      event.preventDefault();
      save().then(function (done) { if (done) window.open(link.href, "_blank", "noopener"); });
    });
  });

  /* ---- lock ---- */
  setInterval(function () {
    if (doc.hidden || doc.body.classList.contains("locked")) return;
    fetch(form.dataset.beat, { method: "POST", headers: { Accept: "application/json", "X-CSRFToken": window.Pi ? Pi.csrf() : "", "X-Background": "1" }, redirect: "manual" })
      .then(function (answer) { return answer.ok ? answer.json() : null; })
      .then(function (body) { if (body && !body.is_mine) { $("[data-lock]", form).textContent = words.lost; } })
      .catch(function () { state(words.failed, "red"); });
  }, BEAT_EVERY);

  /* ---- signing: saves, asks for the password in place when it is needed ---- */
  form.addEventListener("submit", function (event) {
    var by = event.submitter, kind = by && by.dataset.signAs;
    if (by && by.getAttribute("formaction") === form.dataset.compare) { leaving = true; return; }
    event.preventDefault();
    event.stopPropagation();
    delete form.dataset.sending;
    if (!kind) { save(); return; }
    var proof = $("[data-proof]", form), extra = { kind: kind === "preliminary" ? "preliminary" : "final", then: kind === "next" ? "next" : "" };
    ["password", "otp_token"].forEach(function (name) { var field = form.elements[name]; if (field && field.value) extra[name] = field.value; });
    (saving || Promise.resolve()).then(function () { return send(form.dataset.sign, extra); }).then(function (answer) {
      if (answer.status === 401 || answer.type === "opaqueredirect") { if (window.Pi) Pi.lock(false); return null; }
      return answer.json().then(function (body) {
        if (answer.ok) { leaving = true; form.dispatchEvent(new CustomEvent("draft-saved")); location.href = body.next; return; }
        if (/reauthentication_required$|locked_out$/.test(body.type || "")) {
          proof.hidden = false;
          form.elements.password.value = "";
          refuse(body);
          form.elements.password.focus();
          refresh();
          return;
        }
        refuse(body);
        refresh();
      });
    }).catch(function () { state(words.failed, "red"); });
  });
  function refresh() {                                    // a refused signature has saved the text: take its new revision
    if (!conflict) { sent = null; save(); slot.firstChild && slot.firstChild.setAttribute("data-keep", ""); }
  }
  $("[data-checks]", form).addEventListener("click", function (event) {
    var jump = event.target.closest("[data-jump]"), alert = event.target.closest("[data-open-critical]");
    if (jump) {
      var area = doc.getElementById(jump.hash.slice(1));
      event.preventDefault();
      area.focus();
      FIELD.lastIndex = 0;
      var open = FIELD.exec(area.value);
      if (open) area.setSelectionRange(open.index, open.index + open[0].length);
      area.scrollIntoView({ block: "center" });
    } else if (alert) { event.preventDefault(); openMenu($("#critical")); }
  });

  /* ---- menus of the toolbar ---- */
  function openMenu(menu) {
    menu.open = true;
    var field = $("input:not([type=hidden]),button.mi,textarea", $(".pi-pop", menu));
    if (field) field.focus();
  }
  $$("details.pi-menu > summary[data-key]").forEach(function (summary) {
    summary.addEventListener("click", function () { setTimeout(function () { if (summary.parentNode.open) openMenu(summary.parentNode); }, 0); });
  });

  /* ---- fields: F2 and Shift F2 ---- */
  doc.addEventListener("keydown", function (event) {
    if (event.key !== "F2") return;
    event.preventDefault();
    var all = [];
    sections.forEach(function (area, at) {
      var match;
      FIELD.lastIndex = 0;
      while ((match = FIELD.exec(area.value))) all.push({ area: area, order: at, from: match.index, to: match.index + match[0].length });
    });
    if (!all.length) return;
    var here = sections.indexOf(doc.activeElement), caret = here >= 0 ? doc.activeElement.selectionEnd : -1, start = here >= 0 ? doc.activeElement.selectionStart : -1;
    var later = all.filter(function (field) { return field.order > here || (field.order === here && field.from >= caret); });
    var earlier = all.filter(function (field) { return field.order < here || (field.order === here && field.to <= start); });
    var next = event.shiftKey ? earlier[earlier.length - 1] || all[all.length - 1] : later[0] || all[0];
    next.area.focus();
    next.area.setSelectionRange(next.from, next.to);
  });

  /* ---- macros: the code, then Tab ---- */
  var macros = JSON.parse($("#macros").textContent), pop = null, last = null;
  function wordBefore(area) { return (/[A-Za-z0-9_-]{2,24}$/.exec(area.value.slice(0, area.selectionStart)) || [""])[0]; }
  function closePop() { if (pop) pop.remove(); pop = null; }
  function fits(word) { return word ? macros.filter(function (macro) { return macro.code.toLowerCase().indexOf(word.toLowerCase()) === 0; }).slice(0, 6) : []; }
  function suggest(area) {
    closePop();
    var found = fits(wordBefore(area));
    if (!found.length) return;
    pop = make("div", { "class": "pi-pop rp-macro", role: "listbox" });
    found.forEach(function (macro, at) {
      var option = make("div", { role: "option", "aria-selected": String(!at) });
      option.appendChild(make("b", { "class": "mono" }, macro.code));
      option.appendChild(make("span", { "class": "grow trunc" }, macro.text));
      if (!at) option.appendChild(make("span", { "class": "kbd" }, words.tab));
      option.addEventListener("mousedown", function (event) { event.preventDefault(); insert(area, macro, wordBefore(area).length); });
      pop.appendChild(option);
    });
    area.parentNode.appendChild(pop);
  }
  function insert(area, macro, typed) {
    var at = area.selectionStart;
    area.focus();
    area.setRangeText(macro.text, at - typed, area.selectionEnd, "end");
    closePop();
    area.dispatchEvent(new Event("input", { bubbles: true }));
    closePop();
  }
  sections.forEach(function (area) {
    area.addEventListener("focus", function () { last = area; });
    area.addEventListener("blur", closePop);
    area.addEventListener("keydown", function (event) {
      if (event.key === "Escape" && pop) { event.stopPropagation(); closePop(); return; }
      if (event.key !== "Tab" || event.shiftKey || !pop) return;
      var word = wordBefore(area), found = fits(word);
      if (found.length) { event.preventDefault(); insert(area, found[0], word.length); }
    });
  });
  function listMacros() {
    var box = $("[data-macro-list]");
    box.replaceChildren();
    if (!macros.length) box.appendChild(make("p", { "class": "muted small pad" }, words.none));
    macros.forEach(function (macro) {
      var button = make("button", { type: "button", "class": "mi" });
      button.appendChild(make("b", { "class": "mono" }, macro.code));
      button.appendChild(make("span", { "class": "trunc max-m" }, macro.text));
      button.addEventListener("click", function () { $("[data-macros]").open = false; insert(last || $("#s-findings"), macro, 0); });
      box.appendChild(button);
    });
  }
  listMacros();
  $("[data-macro-form]").addEventListener("submit", function (event) {
    var own = event.target, data = new FormData(own);
    event.preventDefault();
    event.stopPropagation();
    if (window.Pi && Pi.csrf()) data.set("csrfmiddlewaretoken", Pi.csrf());
    fetch(own.action, { method: "POST", body: data, headers: { Accept: "application/json" } })
      .then(function (answer) { return answer.json().then(function (body) { if (!answer.ok) throw new Error(body.detail); return body; }); })
      .then(function (macro) {
        macros = macros.filter(function (other) { return other.code !== macro.code; }).concat([macro]);
        own.reset();
        delete own.dataset.sending;
        listMacros();
      })
      .catch(function (error) { delete own.dataset.sending; if (window.Pi) Pi.toast(error.message || words.failed); });
  });

  /* ---- cite a prior ---- */
  $$("[data-cite]").forEach(function (button) {
    button.hidden = false;
    button.addEventListener("click", function () {
      var area = $("#s-comparison"), text = area.value.trim();
      area.value = !text || /^(None|Hakuna)\.?$/i.test(text) ? button.dataset.cite : text + "\n" + button.dataset.cite;
      area.dispatchEvent(new Event("input", { bubbles: true }));
      area.focus();
    });
  });
})();
