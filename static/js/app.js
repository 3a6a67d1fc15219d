/* Behaviour of the frame, on data- attributes (docs/ui.md). Pages work without it; it makes them faster and safer. */
(function () {
  "use strict";
  var doc = document, root = doc.documentElement, body = doc.body;
  var wordsTag = doc.getElementById("pi-words");
  var words = wordsTag ? JSON.parse(wordsTag.textContent) : {};
  var SLOW = 400, SOON = 0.3, FAILURES = 3, DRAFT_DAYS = 3;

  function $(selector, from) { return (from || doc).querySelector(selector); }
  function $$(selector, from) { return Array.prototype.slice.call((from || doc).querySelectorAll(selector)); }
  function fill(key, values) {
    return (words[key] || "").replace(/\{(\w+)\}/g, function (_all, name) { return name in values ? values[name] : ""; });
  }
  function pad(n) { return n < 10 ? "0" + n : "" + n; }
  function time(date, seconds) { return pad(date.getHours()) + ":" + pad(date.getMinutes()) + (seconds ? ":" + pad(date.getSeconds()) : ""); }
  function make(tag, attributes, text) {
    var node = doc.createElement(tag);
    Object.keys(attributes || {}).forEach(function (name) { node.setAttribute(name, attributes[name]); });
    if (text) node.textContent = text;
    return node;
  }
  function cookie(name) {
    var found = doc.cookie.split("; ").filter(function (part) { return part.indexOf(name + "=") === 0; })[0];
    return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
  }
  function setCookie(name, value, seconds) {
    doc.cookie = name + "=" + encodeURIComponent(value) + "; path=/; samesite=lax; max-age=" + seconds + (location.protocol === "https:" ? "; secure" : "");
  }
  function store(name, value) {                       // private windows may have no storage: then nothing is kept
    try {
      if (value === undefined) return localStorage.getItem(name);
      if (value === null) localStorage.removeItem(name); else localStorage.setItem(name, value);
    } catch (_none) { return null; }
    return null;
  }
  function csrf() { return cookie(body.dataset.csrfCookie || "ris_csrf") || body.dataset.csrf || ""; }
  function typing(node) { return /^(INPUT|TEXTAREA|SELECT)$/.test(node.tagName) && !/^(checkbox|radio|button|submit)$/.test(node.type) || node.isContentEditable; }
  function say(text) { var node = $("#say"); if (node) { node.textContent = ""; setTimeout(function () { node.textContent = text; }, 50); } }

  /* ---- messages ---- */
  function toast(text, options) {
    var box = $("#toasts"), node = make("div", { "class": "pi-toast" });
    if (!box) return;
    node.appendChild(make("span", {}, text));
    if (options && options.undo) {
      var undo = make("button", { type: "button" }, words.undo);
      undo.addEventListener("click", function () { node.remove(); options.undo(); });
      node.appendChild(undo);
    }
    dress(node);
    box.appendChild(node);
    setTimeout(function () { node.remove(); }, options && options.undo ? 60000 : 8000);
  }
  function dress(node) {
    var close = make("button", { type: "button", "class": "x", "aria-label": words.close || "Close" }, "×");
    close.addEventListener("click", function () { node.remove(); });
    node.appendChild(close);
  }
  $$("[data-toast]").forEach(function (node) { dress(node); if (!$("a,form", node)) setTimeout(function () { node.remove(); }, 8000); });
  function complain(text) {
    var slot = $("#messages");
    if (!slot || !text) return;
    var alert = make("div", { "class": "pi-alert t-amber", role: "alert" });
    alert.appendChild(make("span", { "class": "i" }));
    alert.appendChild(make("h3", { tabindex: "-1" }, text));
    slot.replaceChildren(alert);
  }

  /* ---- theme, menu, small acts ---- */
  function theme() {
    var now = root.getAttribute("data-bs-theme");
    return now === "auto" ? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light") : now;
  }
  doc.addEventListener("submit", function (event) {
    if (!event.target.matches("[data-theme-form]")) return;
    event.preventDefault();
    var wanted = event.submitter && event.submitter.value;
    if (wanted !== "light" && wanted !== "dark") wanted = theme() === "dark" ? "light" : "dark";
    root.setAttribute("data-bs-theme", wanted);
    setCookie("picha_theme", wanted, 31536000);
    $$("[data-theme-form] [value=light],[data-theme-form] [value=dark]").forEach(function (button) {
      button.setAttribute("aria-pressed", String(button.value === wanted));
    });
  });
  var acts = {
    nav: function () {
      if (matchMedia("(max-width: 960px)").matches) { body.dataset.nav = body.dataset.nav === "peek" ? (body.dataset.navWas || "open") : (body.dataset.navWas = body.dataset.nav, "peek"); return; }
      body.dataset.nav = body.dataset.nav === "icons" ? "open" : "icons";
      setCookie("picha_nav", body.dataset.nav, 31536000);
    },
    search: function () { body.dataset.search = body.dataset.search === "on" ? "" : "on"; var field = $(".pi-search input[name=q]"); if (body.dataset.search && field) field.focus(); },
    help: function () { openHelp(); },
    lock: function () { lock(true); },
    back: function (node) { if (history.length > 1) history.back(); else location.href = node.getAttribute("href") || "/"; },
    print: function () { window.print(); },
    copy: function (node) { navigator.clipboard.writeText(node.dataset.copy || ""); },
    drawer: function (node) { var pane = doc.getElementById(node.getAttribute("aria-controls")); if (pane) pane.classList.toggle("open"); },
    close: function (node) { var box = node.closest("dialog"); if (box) box.close(); else if (node.closest(".pi-alert,.pi-bar")) node.closest(".pi-alert,.pi-bar").remove(); }
  };
  doc.addEventListener("click", function (event) {
    var node = event.target.closest("[data-act]");
    if (node && acts[node.dataset.act] && !(event.ctrlKey || event.metaKey)) { event.preventDefault(); acts[node.dataset.act](node, event); }
    var side = event.target.closest("a.drawer-btn[href^='#']"), pane = side && doc.getElementById(side.hash.slice(1));
    if (pane && !side.dataset.act) { event.preventDefault(); pane.classList.toggle("open"); }
    $$("details.pi-menu[open]").forEach(function (menu) { if (!menu.contains(event.target)) menu.open = false; });
    if (body.dataset.nav === "peek" && !event.target.closest(".pi-nav,[data-act=nav]")) acts.nav();
    if (body.dataset.search === "on" && !event.target.closest(".pi-search,[data-act=search]")) body.dataset.search = "";
    var link = event.target.closest("[data-errors] a[href^='#']");
    if (link) { var field = doc.getElementById(link.hash.slice(1)); if (field) { event.preventDefault(); field.focus(); } }
  });
  doc.addEventListener("change", function (event) {
    var field = event.target;
    if (field.matches("[data-autosubmit]") && field.form) { if (field.form.requestSubmit) field.form.requestSubmit(); else field.form.submit(); }
  });
  doc.addEventListener("toggle", function (event) {           // an open menu stays inside the window
    var pop = event.target.matches && event.target.matches("details.pi-menu[open]") && $(".pi-pop", event.target);
    if (!pop) return;
    var box = pop.getBoundingClientRect();
    if (box.right > root.clientWidth - 4) event.target.classList.add("end");
    if (box.bottom > root.clientHeight - 4 && event.target.getBoundingClientRect().top > box.height) event.target.classList.add("up");
  }, true);

  /* ---- dialogs: help, confirmation ---- */
  function dialog(content, css) {
    var box = make("dialog", { "class": "pi-dialog " + (css || "") });
    box.appendChild(content);
    body.appendChild(box);
    box.addEventListener("close", function () { box.remove(); });
    box.showModal();
    return box;
  }
  function openHelp() {
    if ($("dialog[open]")) return;
    fetch(body.dataset.shortcuts || "/shortcuts/", { headers: { "HX-Request": "true", "X-Background": "1" } })
      .then(function (answer) { return answer.ok ? answer.text() : Promise.reject(answer.status); })
      .then(function (html) {
        var content = make("div");
        content.innerHTML = html;
        var box = dialog(content, "wide"), choice = $("[data-single-keys]", box);
        if (choice) { choice.checked = store("picha:keys") !== "off"; choice.addEventListener("change", function () { store("picha:keys", choice.checked ? null : "off"); }); }
      })
      .catch(function () { location.href = body.dataset.shortcuts || "/shortcuts/"; });
  }
  function confirmed(text, then) {
    var content = make("form", { method: "dialog" }), footer = make("footer");
    content.appendChild(make("div", { "class": "in b" }, text));
    footer.appendChild(make("button", { "class": "btn", value: "" }, words.cancel));
    footer.appendChild(make("button", { "class": "btn btn-primary", value: "go" }, words.go));
    content.appendChild(footer);
    var box = dialog(content);
    box.addEventListener("close", function () { if (box.returnValue === "go") then(); });
    $("button", footer).focus();
  }
  doc.addEventListener("click", function (event) {
    var link = event.target.closest("a[data-confirm]");
    if (!link) return;
    event.preventDefault();
    confirmed(link.dataset.confirm, function () { location.href = link.href; });
  });
  doc.addEventListener("submit", function (event) {
    var form = event.target, by = event.submitter;
    var question = (by && by.dataset.confirm) || form.dataset.confirm;
    if (question && form.dataset.confirmed !== "yes" && !form.matches("[hx-post],[hx-put],[hx-patch],[hx-delete]")) {
      event.preventDefault();
      event.stopImmediatePropagation();
      confirmed(question, function () { form.dataset.confirmed = "yes"; form.requestSubmit(by || undefined); });
      return;
    }
    var token = $("input[name=csrfmiddlewaretoken]", form);
    if (token && csrf()) token.value = csrf();                // another tab may have signed in again meanwhile
    if (form.method === "post" && !form.matches("[data-theme-form],[data-unlock-form],[hx-post]") && !event.defaultPrevented) {
      if (form.dataset.sending) { event.preventDefault(); return; }
      form.dataset.sending = "yes";
      setTimeout(function () { delete form.dataset.sending; }, 8000);
    }
    if (form.matches("[data-sign-out]")) {                    // a field left by that click must not write its draft again
      body.dataset.leaving = "yes";
      dropDrafts();
      setTimeout(function () { delete body.dataset.leaving; }, 8000);
    }
  }, true);
  window.addEventListener("pageshow", function (event) { if (event.persisted) location.reload(); });

  /* ---- keyboard ---- */
  var names = { esc: "escape", " ": "space" };
  function chord(event) {
    var key = event.key.toLowerCase();
    return (event.ctrlKey || event.metaKey ? "ctrl+" : "") + (event.altKey ? "alt+" : "") + (event.shiftKey && (key.length > 1 || event.ctrlKey || event.altKey) ? "shift+" : "") + (names[key] || key);
  }
  function press(node) {                                 // what opens a form opens it and leads into it, also when it is open
    var more = node.matches("summary") && !node.closest(".pi-menu") && node.parentNode, first = more && $("input:not([type=hidden]),select,textarea", more);
    if (node.matches("input,textarea,select")) node.focus(); else if (first) { more.open = true; first.focus(); } else node.click();
  }
  function keyed(combination) {
    return $$("[data-key]").filter(function (node) {
      return node.dataset.key.toLowerCase() === combination && !node.matches(":disabled,[aria-disabled=true]") && node.getClientRects().length;
    })[0];
  }
  function rows() {
    var list = $("tr[aria-selected=true]") || $("tr[tabindex],tr[data-href],[data-row]");
    if (!list) return [];
    return $$("tr[tabindex],tr[data-href],[data-row]", list.closest("tbody,[data-rows]") || doc);
  }
  function select(row, list) {
    list.forEach(function (other) { other.setAttribute("aria-selected", String(other === row)); other.tabIndex = other === row ? 0 : -1; });
    row.focus();
    row.scrollIntoView({ block: "nearest" });
    row.dispatchEvent(new CustomEvent("pi:select", { bubbles: true }));
  }
  function openRow(row) {
    var link = $("a[data-open]", row) || $("a[href]", row);
    if (row.dataset.href) location.href = row.dataset.href; else if (link) link.click();
  }
  doc.addEventListener("keydown", function (event) {
    if (event.defaultPrevented || event.isComposing || !event.key || body.classList.contains("locked")) return;
    var combination = chord(event), plain = combination.length === 1 || combination === "enter" || combination === "escape";
    if (combination === "escape") {
      var menu = $("details.pi-menu[open]"), drawer = $(".pi-pane.drawer.open");
      if (menu) { menu.open = false; $("summary", menu).focus(); } else if (drawer) drawer.classList.remove("open");
      else if (body.dataset.nav === "peek") acts.nav(); else if (typing(event.target) && !$("dialog[open]")) event.target.blur();
      return;
    }
    if (!plain) { var far = keyed(combination); if (far) { event.preventDefault(); press(far); } return; }
    if (typing(event.target) || $("dialog[open]")) return;
    var list = rows(), at = list.findIndex(function (row) { return row.getAttribute("aria-selected") === "true"; }), row = list[at];
    if (combination === "enter") {
      if (event.target.matches("tr,[data-row]")) { event.preventDefault(); openRow(event.target); }
      return;
    }
    if (store("picha:keys") === "off") return;
    if (combination === "/") { var field = $(".pi-search input[name=q]"); if (field) { event.preventDefault(); if (!field.getClientRects().length) acts.search(); field.focus(); } return; }
    if (combination === "?") { event.preventDefault(); openHelp(); return; }
    if ((combination === "j" || combination === "k") && list.length) {
      event.preventDefault();
      select(list[Math.max(0, Math.min(list.length - 1, at + (combination === "j" ? 1 : -1)))], list);
      return;
    }
    if (combination === "." && row) { var more = $("details.row-menu", row); if (more) { event.preventDefault(); more.open = true; var first = $("a,button", $(".pi-pop", more)); if (first) first.focus(); } return; }
    var near = (row && $$("[data-key]", row).filter(function (node) { return node.dataset.key.toLowerCase() === combination; })[0]) || keyed(combination);
    if (near && !near.matches(".btn-danger,[data-confirm]")) { event.preventDefault(); press(near); }
  });
  doc.addEventListener("click", function (event) {
    var row = event.target.closest("tr[data-href],tr[tabindex]");
    if (!row || event.target.closest("a,button,input,select,textarea,label,summary,details") || String(getSelection())) return;
    if (row.dataset.href) location.href = row.dataset.href; else select(row, rows());
  });
  function firstTabStop() {
    $$("tbody").forEach(function (list) { var first = $("tr[tabindex]", list); if (first && !$("tr[tabindex='0']", list)) first.tabIndex = 0; });
  }

  /* ---- htmx ---- */
  var pending = 0, slow;
  doc.addEventListener("htmx:configRequest", function (event) { if (csrf()) event.detail.headers["X-CSRFToken"] = csrf(); });
  doc.addEventListener("htmx:confirm", function (event) {
    var source = event.detail.triggeringEvent && event.detail.triggeringEvent.submitter;
    var question = (source && source.dataset.confirm) || event.detail.elt.dataset.confirm;
    if (!question) return;
    event.preventDefault();
    confirmed(question, function () { event.detail.issueRequest(true); });
  });
  doc.addEventListener("htmx:beforeRequest", function (event) {
    var about = event.detail.elt.closest("[data-busy]");
    pending += 1;
    event.detail.elt.setAttribute("aria-busy", "true");
    clearTimeout(slow);
    slow = setTimeout(function () { var box = $("#busy"); if (box) { box.textContent = (about && about.dataset.busy) || words.busy; box.classList.add("on"); } body.classList.add("slow"); }, SLOW);
  });
  doc.addEventListener("htmx:afterRequest", function (event) {
    pending = Math.max(0, pending - 1);
    event.detail.elt.removeAttribute("aria-busy");
    if (!pending) { clearTimeout(slow); body.classList.remove("slow"); var box = $("#busy"); if (box) box.classList.remove("on"); }
    doneDrafts();
  });
  function slotFor(node) {
    for (var at = node; at && at !== doc; at = at.parentElement) { var slot = $("[data-alert-slot]", at); if (slot) return slot; }
    return $("#messages");
  }
  doc.addEventListener("htmx:beforeSwap", function (event) {
    var detail = event.detail, code = detail.xhr.status;
    if (code === 401) { detail.shouldSwap = false; lock(false); return; }
    if (code === 422) { detail.shouldSwap = true; detail.isError = false; return; }
    if (code < 400) { var old = $(".pi-alert[role=alert]", slotFor(detail.requestConfig.elt)); if (old) old.remove(); return; }
    if (code < 500 && !/<html/i.test(detail.serverResponse)) {
      detail.shouldSwap = true;
      detail.isError = false;
      var wanted = detail.xhr.getResponseHeader("HX-Retarget");
      if (!wanted || wanted === "#messages" || !detail.target) detail.target = slotFor(detail.requestConfig.elt);
      detail.swapOverride = "innerHTML";
      detail.selectOverride = "unset";                        // the alert is not the part that the list selects
      return;
    }
    complain(words.failed + " " + (detail.xhr.getResponseHeader("X-Correlation-ID") || ""));
  });
  doc.addEventListener("htmx:afterSwap", function (event) {
    if (event.detail.target && event.detail.target.matches("[data-alert-slot]")) {
      var head = $("h3", event.detail.target);
      if (head) { head.focus(); head.scrollIntoView({ block: "nearest" }); }
    }
    arm(event.detail.target);
  });
  ["htmx:sendError", "htmx:timeout"].forEach(function (name) { doc.addEventListener(name, function () { complain(words.failed); }); });

  /* ---- polling: ETag, hidden tab never, nothing moves under the hand ---- */
  var failures = 0, lastGood = new Date();
  function offline(on) {
    var bar = $("#offline");
    if (!bar || bar.classList.contains("on") === on) return;
    bar.classList.toggle("on", on);
    bar.textContent = on ? fill("offline", { t: time(lastGood) }) : "";
    if (!on) toast(words.online);
  }
  function fresh() {
    failures = 0;
    lastGood = new Date();
    offline(false);
    $$("[data-fresh] span").forEach(function (node) { node.textContent = fill("refreshed", { t: time(lastGood, true) }); });
  }
  function poll(node) {
    if (doc.hidden || body.classList.contains("locked") || !doc.contains(node)) return;
    var headers = { "X-Background": "1", "HX-Request": "true" };
    if (node.dataset.etag) headers["If-None-Match"] = node.dataset.etag;
    fetch(node.dataset.poll || location.href, { headers: headers, cache: "no-store", redirect: "manual" }).then(function (answer) {
      if (answer.status === 401 || answer.type === "opaqueredirect") { lock(false); return; }
      if (answer.status === 304) { fresh(); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      node.dataset.etag = answer.headers.get("ETag") || "";
      answer.text().then(function (html) { take(node, html); fresh(); });
    }).catch(function () { failures += 1; if (failures >= FAILURES) offline(true); });
  }
  function take(node, html) {
    var text = html.trim();
    if (/^<tr[\s>]/i.test(text)) text = "<table><tbody>" + text + "</tbody></table>";
    var parsed = new DOMParser().parseFromString(text, "text/html");
    var source = (node.id && parsed.getElementById(node.id)) || $("tbody", parsed) || parsed.body;
    var deep = node.hasAttribute("data-deep"), which = deep ? "[data-row][id]" : ":scope > tr[id], :scope > [data-row][id]";
    var old = $$(which, node), coming = {};
    $$("[data-live][id]", parsed).forEach(function (part) { var shown = doc.getElementById(part.id); if (shown && !shown.contains(doc.activeElement) && shown.outerHTML !== part.outerHTML) shown.replaceWith(doc.importNode(part, true)); });
    if (node.dataset.pollMode === "replace" || !old.length) {
      if (node.contains(doc.activeElement) && typing(doc.activeElement)) return;
      node.innerHTML = source.innerHTML;
      arm(node);
      return;
    }
    $$(which, source).forEach(function (row) { coming[row.id] = row; });
    old.forEach(function (row) {
      var next = coming[row.id];
      if (next && deep && next.parentNode.id !== row.parentNode.id) next = null; else delete coming[row.id];
      if (!next) { row.classList.add("gone"); return; }
      if ($("details[open]", row) || (row.contains(doc.activeElement) && typing(doc.activeElement))) return;
      ["aria-selected", "tabindex"].forEach(function (name) { if (row.hasAttribute(name)) next.setAttribute(name, row.getAttribute(name)); });
      if (next.outerHTML === row.outerHTML) return;
      var focused = row === doc.activeElement, copy = doc.importNode(next, true);
      row.replaceWith(copy);
      arm(copy);
      if (focused) copy.focus();
    });
    announce(node, Object.keys(coming).map(function (id) { return coming[id]; }), source.innerHTML);
  }
  function announce(node, fresher, html) {
    var bar = $("#news");
    if (!fresher.length) { if (bar) bar.remove(); return; }
    var stat = fresher.filter(function (row) { return row.hasAttribute("data-stat"); }).length;
    var text = stat ? fill("newStat", { n: stat }) : fill("new", { n: fresher.length });
    if (bar && bar.dataset.text === text) return;
    if (bar) bar.remove();
    bar = make("div", { id: "news", "class": "pi-bar " + (stat ? "t-red" : "t-blue"), role: "status", "data-text": text });
    bar.appendChild(make("span", {}, text));
    var show = make("button", { type: "button", "class": "btn btn-sm", "data-key": "r" }, words.show);
    show.appendChild(make("span", { "class": "kbd", "aria-hidden": "true" }, "R"));
    show.addEventListener("click", function () { node.innerHTML = html; arm(node); firstTabStop(); bar.remove(); });
    bar.appendChild(show);
    var place = node.closest(".pi-scroll,table") || node;
    place.parentNode.insertBefore(bar, place);
  }
  $$("[data-poll]").forEach(function (node) { setInterval(function () { poll(node); }, Math.max(5, +node.dataset.pollEvery || 30) * 1000); });
  doc.addEventListener("visibilitychange", function () { if (!doc.hidden) $$("[data-poll]").forEach(poll); });
  window.addEventListener("offline", function () { offline(true); });
  window.addEventListener("online", function () { $$("[data-poll]").forEach(poll); if (!$("[data-poll]")) fresh(); });

  /* ---- time left ---- */
  function spell(minutes) {
    var n = Math.floor(Math.abs(minutes)), h = Math.floor(n / 60);
    if (n < 60) return n + "\u00a0" + words.min;
    if (h < 10) return h + "\u00a0" + words.h + "\u00a0" + pad(n % 60);
    return h < 48 ? h + "\u00a0" + words.h : Math.floor(h / 24) + "\u00a0" + words.d;
  }
  function tick() {
    var now = Date.now();
    $$(".sla[data-left]").forEach(function (node) {
      if (!node.dataset.since) { node.dataset.since = now; return; }
      var left = +node.dataset.left - Math.round((now - +node.dataset.since) / 60000), total = +node.dataset.total;
      var state = left < 0 ? "over" : left <= total * SOON ? "soon" : "ok", was = node.classList.contains("over") ? "over" : node.classList.contains("soon") ? "soon" : "ok";
      $("span", node).textContent = fill(state === "over" ? "over" : "left", { t: spell(left) });
      $("progress", node).value = Math.max(0, Math.min(100, 100 * (1 - left / total)));
      if (state === was) return;
      node.classList.remove("ok", "soon", "over");
      node.classList.add(state);
      var symbol = $("use", node), href = symbol && symbol.getAttribute("href");
      if (href) symbol.setAttribute("href", href.split("#")[0] + "#" + { ok: "clock", soon: "hourglass-high", over: "alarm" }[state]);
      if (node.dataset.what) say(fill(state === "over" ? "slaOver" : "slaSoon", { what: node.dataset.what, t: spell(left) }));
    });
  }
  setInterval(tick, 60000);

  /* ---- drafts: what is typed stays in this browser until the server has it ---- */
  var PREFIX = "picha:draft:";
  function draftKeys() { try { return Object.keys(localStorage).filter(function (key) { return key.indexOf(PREFIX) === 0; }); } catch (_none) { return []; } }
  function dropDrafts() { draftKeys().forEach(function (key) { store(key, null); }); }
  function values(form) {
    var kept = {};
    Array.prototype.forEach.call(form.elements, function (field) {
      if (!field.name || /^(hidden|password|file|submit|button)$/.test(field.type) || field.hasAttribute("data-no-draft")) return;
      if (/^(checkbox|radio)$/.test(field.type)) { if (field.checked) (kept[field.name] = kept[field.name] || []).push(field.value); else kept[field.name] = kept[field.name] || []; }
      else if (field.multiple) kept[field.name] = Array.prototype.map.call(field.selectedOptions, function (option) { return option.value; });
      else kept[field.name] = [field.value];
    });
    return kept;
  }
  function restore(form, kept) {
    Array.prototype.forEach.call(form.elements, function (field) {
      var list = kept[field.name];
      if (!list || /^(hidden|password|file)$/.test(field.type)) return;
      if (/^(checkbox|radio)$/.test(field.type)) field.checked = list.indexOf(field.value) >= 0;
      else if (field.multiple) Array.prototype.forEach.call(field.options, function (option) { option.selected = list.indexOf(option.value) >= 0; });
      else field.value = list[0] === undefined ? "" : list[0];
    });
  }
  function keep(form) {
    if (!form.dataset.draft || body.dataset.leaving) return;
    store(PREFIX + form.dataset.draft, JSON.stringify({ at: Date.now(), owner: body.dataset.owner, values: values(form) }));
    var note = $("[data-draft-note]", form); if (note) note.textContent = time(new Date(), true);
  }
  function watch(form) {
    if (form.dataset.draftOn) return;
    form.dataset.draftOn = "yes";
    var start = JSON.stringify(values(form)), timer, stored = store(PREFIX + form.dataset.draft), kept = null;
    form.appendChild(make("input", { type: "hidden", name: "_draft", value: form.dataset.draft }));
    try { kept = stored && JSON.parse(stored); } catch (_broken) { store(PREFIX + form.dataset.draft, null); }
    var shown = JSON.parse(start), typed = kept && kept.values || {};  // a field that came with the answer was never typed in
    if (Object.keys(shown).some(function (name) { return typed[name] && JSON.stringify(typed[name]) !== JSON.stringify(shown[name]); })) {
      restore(form, kept.values);
      var alert = make("div", { "class": "pi-alert t-blue", role: "status" }), discard = make("button", { type: "button", "class": "btn btn-sm" }, words.discard);
      alert.appendChild(make("span", { "class": "i" }));
      alert.appendChild(make("h3", {}, fill("restored", { t: time(new Date(kept.at)) })));
      var row = make("div", { "class": "act" });
      row.appendChild(discard);
      alert.appendChild(row);
      discard.addEventListener("click", function () { store(PREFIX + form.dataset.draft, null); restore(form, JSON.parse(start)); alert.remove(); });
      form.parentNode.insertBefore(alert, form);
    }
    ["input", "change"].forEach(function (name) { form.addEventListener(name, function () { clearTimeout(timer); timer = setTimeout(function () { keep(form); }, 500); }); });
    form.addEventListener("draft-saved", function () { clearTimeout(timer); store(PREFIX + form.dataset.draft, null); start = JSON.stringify(values(form)); });
    form.addEventListener("submit", function () { clearTimeout(timer); keep(form); });
  }
  function doneDrafts() {
    var done = cookie("picha_draft_done");
    if (done) { done.split(".").forEach(function (key) { store(PREFIX + key, null); }); setCookie("picha_draft_done", "", 0); }
    $$("[data-draft-done]").forEach(function (node) { store(PREFIX + node.dataset.draftDone, null); });
  }
  function cleanDrafts() {
    draftKeys().forEach(function (key) {
      var kept = null;
      try { kept = JSON.parse(store(key)); } catch (_broken) { kept = null; }
      if (!kept || Date.now() - kept.at > DRAFT_DAYS * 86400000 || (body.dataset.owner && kept.owner !== body.dataset.owner)) store(key, null);
    });
  }
  doc.addEventListener("draft-saved", function (event) { if (event.detail && event.detail.key) store(PREFIX + event.detail.key, null); });
  var dirty = false;
  doc.addEventListener("input", function (event) { if (event.target.closest("form[data-guard]")) dirty = true; });
  doc.addEventListener("submit", function (event) { if (!event.defaultPrevented) dirty = false; });
  window.addEventListener("beforeunload", function (event) { if (dirty) { event.preventDefault(); event.returnValue = ""; } });

  /* ---- idle lock: in place, the text under it stays ---- */
  var idle = (+body.dataset.idleMinutes || 0) * 60000, cover = $("#lock"), touched = Date.now(), told = Date.now();
  function seen() { return Math.max(touched, +store("picha:seen") || 0); }
  function touch() { var now = Date.now(); if (now - touched > 3000) { touched = now; store("picha:seen", String(now)); } }
  function lock(byHand) {
    if (!cover || body.classList.contains("locked")) return;
    $$("dialog[open]").forEach(function (box) { if (box !== cover) box.close(); });
    body.classList.add("locked");
    store("picha:locked", "1");
    cover.showModal();
    var first = $("input,a,button", cover);
    if (first) first.focus();
    if (byHand && body.dataset.lock) fetch(body.dataset.lock, { method: "POST", headers: { "X-CSRFToken": csrf(), Accept: "application/json" } });
  }
  function unlock() {
    if (!body.classList.contains("locked")) return;
    body.classList.remove("locked");
    touched = Date.now();
    store("picha:seen", String(touched));
    store("picha:locked", "0");
    cover.close();
    $$("[data-poll]").forEach(poll);
  }
  if (cover && idle) {
    ["keydown", "pointerdown", "wheel", "touchstart", "mousemove"].forEach(function (name) { doc.addEventListener(name, function () { if (!body.classList.contains("locked")) touch(); }, { passive: true, capture: true }); });
    setInterval(function () {
      if (body.classList.contains("locked")) return;
      var now = Date.now();
      if (now - seen() > idle) { lock(true); return; }
      if (body.dataset.ping && now - told > 60000 && seen() > told) {           // typing is work too: the server hears of it
        told = now;
        fetch(body.dataset.ping, { headers: { "HX-Request": "true" }, redirect: "manual" })
          .then(function (answer) { if (answer.status === 401 || answer.type === "opaqueredirect") lock(false); })
          .catch(function () { failures += 1; if (failures >= FAILURES) offline(true); });
      }
    }, 5000);
    window.addEventListener("storage", function (event) {
      if (event.key !== "picha:locked") return;
      if (event.newValue === "1") lock(false); else if (event.newValue === "0") unlock();
    });
    cover.addEventListener("cancel", function (event) { event.preventDefault(); });
    cover.addEventListener("close", function () { if (body.classList.contains("locked")) cover.showModal(); });
    $("[data-unlock-form]").addEventListener("submit", function (event) {
      var form = event.target, error = $("#lock-error"), data = new FormData(form);
      event.preventDefault();
      event.stopPropagation();
      data.append("csrfmiddlewaretoken", csrf());
      error.hidden = true;
      fetch(form.action, { method: "POST", body: new URLSearchParams(data), redirect: "manual", headers: { Accept: "application/json", "X-CSRFToken": csrf() } }).then(function (answer) {
        $("#lock-password").value = "";
        if (answer.ok) { form.reset(); unlock(); return null; }
        if (answer.type === "opaqueredirect" || answer.status === 404 || (answer.status === 401 && !answer.headers.get("X-Session-Locked") && !answer.headers.get("Content-Type"))) { location.reload(); return null; }
        return answer.json().catch(function () { return {}; }).then(function (problem) {
          if (problem.otp_required || (problem.errors && problem.errors.otp_token)) { $("[data-otp]", form).hidden = false; }
          error.textContent = problem.detail || words.wrong;
          error.hidden = false;
          $("#lock-password").focus();
        });
      }).catch(function () { error.textContent = words.failed; error.hidden = false; });
    });
  }

  /* ---- a handle between two panes: <div class="pi-drag" data-split="report"> moves by hand and by arrow keys ---- */
  $$(".pi-drag[data-split]").forEach(function (handle) {
    var space = handle.parentElement, key = "picha:split:" + handle.dataset.split;
    function put(share) {
      share = Math.max(25, Math.min(75, Math.round(share)));
      space.style.setProperty("--split", share + "%");
      handle.setAttribute("aria-valuenow", share);
      store(key, String(share));
    }
    [["role", "separator"], ["aria-orientation", "vertical"], ["aria-valuemin", "25"], ["aria-valuemax", "75"], ["tabindex", "0"]].forEach(function (pair) { handle.setAttribute(pair[0], pair[1]); });
    put(+store(key) || +handle.dataset.share || 60);
    handle.addEventListener("keydown", function (event) {
      var step = { ArrowLeft: -2, ArrowRight: 2 }[event.key];
      if (step) { event.preventDefault(); put(+handle.getAttribute("aria-valuenow") + step); }
    });
    handle.addEventListener("pointerdown", function (event) { handle.setPointerCapture(event.pointerId); event.preventDefault(); });
    handle.addEventListener("pointermove", function (event) {
      var box = space.getBoundingClientRect();
      if (handle.hasPointerCapture(event.pointerId)) put(100 * (event.clientX - box.left) / box.width);
    });
  });

  /* ---- start, and again for what htmx brings ---- */
  function arm(node) {
    $$("form[data-draft]", node || doc).forEach(watch);
    if (node && node.matches && node.matches("form[data-draft]")) watch(node);
    if (node && window.htmx) window.htmx.process(node);
    tick();
  }
  window.Pi = { toast: toast, say: say, lock: lock, csrf: csrf, confirm: confirmed, fresh: fresh, arm: arm };
  window.PiToast = toast;
  cleanDrafts();
  doneDrafts();
  arm(null);
  firstTabStop();
  var wrong = $("[data-errors] h3");
  if (wrong) wrong.focus(); else if ($("[data-focus]")) $("[data-focus]").focus();
})();
