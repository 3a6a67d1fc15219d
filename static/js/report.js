/* The report: autosave, local copy, lock, form, checks and signing. Without it the page is a form that saves by its button.
   What is typed into the text (blanks, lists, macros, dictation) is in report_text.js. */
(function () {
  "use strict";
  var doc = document, SAVE_AFTER = 1500, SAVE_AT_LATEST = 4500, BEAT_EVERY = 60000, RETRY_AFTER = 4000, RETRY_AT_MOST = 30000;
  function $(selector, from) { return (from || doc).querySelector(selector); }
  function $$(selector, from) { return Array.prototype.slice.call((from || doc).querySelectorAll(selector)); }
  function make(tag, attributes, text) {
    var node = doc.createElement(tag);
    Object.keys(attributes || {}).forEach(function (name) { node.setAttribute(name, attributes[name]); });
    if (text) node.textContent = text;
    return node;
  }
  function store(key, value) {
    try {
      if (value === undefined) return localStorage.getItem(key);
      if (value === null) localStorage.removeItem(key); else localStorage.setItem(key, value);
    } catch (_none) { return null; }
    return null;
  }

  /* ---- context tabs: all parts are on the page, one is shown; the viewer starts when it is first looked at ---- */
  function awaken(part) {
    var holder = part.hasAttribute("data-lazy") && $("template", part);
    if (!holder) return;
    var copy = doc.importNode(holder.content, true);
    $$("script", copy).forEach(function (script) { script.async = false; });
    part.removeAttribute("data-lazy");
    holder.remove();
    part.appendChild(copy);
    if (window.Pi) window.Pi.arm(part);
  }
  $$("[data-tabs]").forEach(function (bar) {
    var links = $$("a", bar), KEY = "picha:report-tab";
    function show(link, focus) {
      links.forEach(function (other) {
        var part = doc.getElementById(other.hash.slice(1)), on = other === link;
        other.setAttribute("aria-selected", String(on));
        other.tabIndex = on ? 0 : -1;
        if (part) part.hidden = !on;
        if (part && on) awaken(part);
      });
      var rest = $("[data-tab-rest]");
      if (rest) rest.hidden = link.hash === "#tab-images";
      if (focus) link.focus();
    }
    bar.setAttribute("role", "tablist");
    links.forEach(function (link, at) {
      link.setAttribute("role", "tab");
      link.addEventListener("click", function (event) { event.preventDefault(); store(KEY, link.hash); show(link); });
      link.addEventListener("keydown", function (event) {
        var step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (step) { event.preventDefault(); show(links[(at + step + links.length) % links.length], true); }
      });
    });
    var kept = store(KEY);
    show(links.filter(function (link) { return link.hash === kept; })[0] || links.filter(function (link) { return link.hasAttribute("data-first"); })[0] || links[0]);
  });

  var form = $("[data-report]");
  if (!form) return;
  var words = $("#report-words").dataset, slot = $("[data-report-slot]"), editor = $("[data-editor]"), sections = $$("textarea[data-section]");
  var revision = form.elements.revision, saved = $("[data-saved]"), savedText = $("span", saved), checks = $("[data-checks]");
  var timer, firstChange = 0, saving = null, conflict = false, leaving = false, failures = 0, sent = sections.map(function (area) { return area.defaultValue; });
  var LOCAL = "picha:draft:" + form.dataset.local;

  function symbol(name) {
    var SVG = "http://www.w3.org/2000/svg", node = doc.createElementNS(SVG, "svg"), use = doc.createElementNS(SVG, "use");
    node.setAttribute("class", "i");
    node.setAttribute("aria-hidden", "true");
    use.setAttribute("href", $("use", saved).getAttribute("href").split("#")[0] + "#" + name);
    node.appendChild(use);
    return node;
  }
  function snapshot() { return sections.map(function (area) { return area.value; }); }
  function isDirty() { return sections.some(function (area, at) { return area.value !== sent[at]; }); }
  function state(text, tone) { savedText.textContent = text; saved.className = "row-x " + tone; }
  function changed(area) { area.dispatchEvent(new Event("input", { bubbles: true })); }

  /* ---- the local copy: only while the server does not have the text ---- */
  function keepLocal() {
    var values = {};
    if (doc.body.dataset.leaving) return;
    sections.forEach(function (area) { values[area.name] = [area.value]; });
    store(LOCAL, JSON.stringify({ at: Date.now(), owner: doc.body.dataset.owner, revision: revision.value, values: values }));
  }
  function dropLocal() { store(LOCAL, null); }
  function offerLocal() {
    var kept = null;
    try { kept = JSON.parse(store(LOCAL) || "null"); } catch (_broken) { dropLocal(); }
    if (!kept || (kept.owner && kept.owner !== doc.body.dataset.owner)) return;
    var other = sections.filter(function (area) { var typed = kept.values && kept.values[area.name]; return typed && typed[0] !== area.value; });
    if (!other.length) { dropLocal(); return; }
    var box = make("div", { "class": "pi-alert t-amber", role: "alert", "data-keep": "" }), act = make("div", { "class": "act" });
    var put = make("button", { type: "button", "class": "btn btn-sm btn-primary" }, words.put), drop = make("button", { type: "button", "class": "btn btn-sm" }, words.drop);
    box.appendChild(symbol("device-floppy"));
    box.appendChild(make("h3", { tabindex: "-1" }, words.kept.replace("{t}", new Date(kept.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }))));
    var list = make("dl");
    other.forEach(function (area) {
      var label = $("label[for='" + area.id + "']");
      list.appendChild(make("dt", {}, label ? label.textContent.replace("*", "").trim() : area.name));
      list.appendChild(make("dd", { dir: "auto" }, kept.values[area.name][0].slice(0, 300)));
    });
    box.appendChild(list);
    put.addEventListener("click", function () {
      other.forEach(function (area) { area.value = kept.values[area.name][0]; changed(area); });
      if (kept.revision !== undefined && kept.revision !== revision.value) revision.value = kept.revision;   // somebody may have saved since: then it is a conflict
      box.remove();
      save();
    });
    drop.addEventListener("click", function () { dropLocal(); box.remove(); sections[0].focus(); });
    act.appendChild(put);
    act.appendChild(drop);
    box.appendChild(act);
    slot.replaceChildren(box);
    put.focus();
  }

  /* ---- autosave: soon after the last key, 4.5 seconds after the first at most ---- */
  function touched() {
    if (!isDirty() || conflict) return;
    var now = Date.now();
    if (!firstChange) firstChange = now;
    if (!failures) state(words.unsaved, "amber");
    clearTimeout(timer);
    timer = setTimeout(save, Math.max(0, Math.min(SAVE_AFTER, firstChange + SAVE_AT_LATEST - now)));
  }
  function send(url, data, extra) {
    data.delete("password"); data.delete("otp_token");
    Object.keys(extra || {}).forEach(function (name) { data.set(name, extra[name]); });
    if (window.Pi && Pi.csrf()) data.set("csrfmiddlewaretoken", Pi.csrf());
    return fetch(url, { method: "POST", body: data, headers: { Accept: "application/json" }, redirect: "manual", credentials: "same-origin" });
  }
  function isShut(answer) { return answer.status === 401 || answer.type === "opaqueredirect"; }
  function shut(answer) {                                 // locked: the overlay of every page; over: sign in again, here
    if (answer.headers.get("X-Session-Locked") && window.Pi) Pi.lock(false); else signInAgain();
  }
  function save() {
    clearTimeout(timer);
    if (saving) return saving.then(function () { return isDirty() ? save() : true; });
    if (!isDirty() || conflict) return Promise.resolve(!conflict);
    var text = snapshot();
    state(words.saving, "amber");
    firstChange = 0;
    saving = send(form.dataset.save, new FormData(form)).then(function (answer) {
      if (isShut(answer)) { shut(answer); throw new Error("shut"); }
      if (answer.status >= 500) throw new Error("down");
      return answer.json().then(function (body) {
        if (!answer.ok) { keepLocal(); refuse(body); return false; }
        sent = text;
        failures = 0;
        dropLocal();
        stored(body);
        return true;
      });
    }).catch(function () {
      failures += 1;
      keepLocal();
      state(words.failed, "red");
      timer = setTimeout(save, Math.min(RETRY_AT_MOST, RETRY_AFTER * failures));
      return false;
    }).then(function (done) {
      saving = null;
      if (done && isDirty()) touched();
      return done;
    });
    return saving;
  }
  function stored(body) {
    revision.value = body.revision;
    $("[data-revision]").textContent = body.revision;
    state(words.saved.replace("{t}", body.saved_at), "green");
    checks.innerHTML = body.checks;
    if (!slot.querySelector("[data-keep]")) slot.replaceChildren();
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
  editor.addEventListener("input", function (event) { if (event.target.matches("[data-section]")) touched(); });
  sections.forEach(function (area) { area.addEventListener("blur", function () { if (isDirty()) save(); }); });
  window.addEventListener("beforeunload", function (event) {
    if (!isDirty() || leaving) return;
    keepLocal();
    event.preventDefault();
    event.returnValue = "";
  });
  window.addEventListener("pagehide", function () { if (isDirty() && !leaving) keepLocal(); });
  window.addEventListener("online", function () { if (isDirty()) save(); });
  doc.addEventListener("visibilitychange", function () { if (doc.hidden && isDirty() && !leaving) save(); });

  /* ---- the session is over: sign in on top of the page, then the save goes through ---- */
  var again = $("#again");
  function signInAgain() {
    if (again.open) return;
    again.showModal();
    $("[name=password]", again).focus();
  }
  $("[data-again]").addEventListener("submit", function (event) {
    var own = event.target, error = $("[data-again-error]", own), data = new URLSearchParams(new FormData(own));
    event.preventDefault();
    event.stopPropagation();
    delete own.dataset.sending;
    if (window.Pi && Pi.csrf()) data.set("csrfmiddlewaretoken", Pi.csrf());
    error.hidden = true;
    fetch(own.action, { method: "POST", body: data, redirect: "manual", credentials: "same-origin", headers: { "X-CSRFToken": window.Pi ? Pi.csrf() : "" } }).then(function (answer) {
      own.elements.password.value = "";
      if (answer.type === "opaqueredirect") { again.close(); failures = 0; save(); return; }
      error.textContent = words.wrong;
      error.hidden = false;
      own.elements.password.focus();
    }).catch(function () { error.textContent = words.failed; error.hidden = false; });
  });
  window.addEventListener("focus", function () { if (again.open && isDirty()) save().then(function (done) { if (done) again.close(); }); });

  /* ---- other forms of the page, and links that leave it, save first ---- */
  doc.addEventListener("submit", function (event) {
    if (event.target === form || event.defaultPrevented || !event.target.matches("[data-flush]") || !isDirty()) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    var other = event.target, by = event.submitter;
    save().then(function (done) { if (done) { delete other.dataset.sending; leaving = true; other.requestSubmit(by || undefined); } });
  }, true);
  $$("[data-preview]").forEach(function (link) {
    link.addEventListener("click", function (event) {
      if (!isDirty()) return;
      event.preventDefault();
      save().then(function (done) { if (done) window.open(link.href, "_blank", "noopener"); });
    });
  });

  /* ---- the form: its answers are data, their words go into the sections ---- */
  var mrrt = $("#mrrt-form"), filling = null, fillTimer;
  function fill() {
    if (filling) { filling = filling.then(function () { filling = null; return fill(); }); return filling; }
    filling = save().then(function (done) {
      if (!done) return null;
      var data = new FormData(mrrt);
      data.set("revision", revision.value);
      return send(mrrt.action, data).then(function (answer) {
        if (isShut(answer)) { shut(answer); throw new Error("shut"); }
        return answer.json().then(function (body) {
          if (!answer.ok) { refuse(body); return; }
          sections.forEach(function (area, at) {
            var text = body.sections[area.dataset.section] || "";
            if (area.value === sent[at] && area.value !== text) { area.value = text; sent[at] = text; changed(area); }
          });
          stored(body);
          count();
        });
      });
    }).catch(function () { state(words.failed, "red"); fillTimer = setTimeout(fill, RETRY_AFTER); }).then(function () { filling = null; });
    return filling;
  }
  function count() {
    var open = $$("[aria-required=true]", mrrt).filter(function (field) { return field.tagName === "SPAN" ? !$("input:checked", field) : !field.value; });
    if (!open.length) $("[data-form-open]").textContent = "";
  }
  if (mrrt) {
    mrrt.addEventListener("input", function () { state(words.unsaved, "amber"); clearTimeout(fillTimer); fillTimer = setTimeout(fill, 900); });
    mrrt.addEventListener("submit", function (event) { event.preventDefault(); event.stopPropagation(); delete mrrt.dataset.sending; fill(); });
  }

  /* ---- lock ---- */
  setInterval(function () {
    if (doc.hidden || doc.body.classList.contains("locked")) return;
    fetch(form.dataset.beat, { method: "POST", headers: { Accept: "application/json", "X-CSRFToken": window.Pi ? Pi.csrf() : "", "X-Background": "1" }, redirect: "manual" })
      .then(function (answer) { return answer.ok ? answer.json() : null; })
      .then(function (body) { if (body && !body.is_mine) { $("[data-lock]").textContent = words.lost; } })
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
    var proof = $("[data-proof]"), extra = { kind: kind === "preliminary" ? "preliminary" : "final", then: kind === "next" ? "next" : "" };
    ["password", "otp_token"].forEach(function (name) { var field = form.elements[name]; if (field && field.value) extra[name] = field.value; });
    clearTimeout(timer);
    (filling || saving || Promise.resolve()).then(function () { return send(form.dataset.sign, new FormData(form), extra); }).then(function (answer) {
      if (isShut(answer)) { keepLocal(); shut(answer); return null; }
      return answer.json().then(function (body) {
        if (answer.ok) { leaving = true; dropLocal(); location.href = body.next; return; }
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
    }).catch(function () { keepLocal(); state(words.failed, "red"); });
  });
  function refresh() {                                    // a refused signature has saved the text: take its new revision
    if (!conflict) { sent = sent.map(function () { return null; }); save(); if (slot.firstChild) slot.firstChild.setAttribute("data-keep", ""); }
  }

  /* ---- menus of the toolbar, help ---- */
  function openMenu(menu) {
    menu.open = true;
    var field = $("input:not([type=hidden]),button.mi,textarea", $(".pi-pop", menu));
    if (field) field.focus();
  }
  $$("details.pi-menu > summary[data-key]").forEach(function (summary) {
    summary.addEventListener("click", function () { setTimeout(function () { if (summary.parentNode.open) openMenu(summary.parentNode); }, 0); });
  });
  $$(".rp-keys").forEach(function (button) { button.addEventListener("click", function () { $("#keys").showModal(); }); });

  window.PiReport = { sections: sections, words: words, save: save, send: send, refuse: refuse, changed: changed, make: make, openMenu: openMenu, isShut: isShut, shut: shut };
  offerLocal();
  touched();
})();
