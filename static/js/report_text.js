/* What is typed into a report: blanks, pick lists, macros, pasted text, dictation. Keys that an input method uses are its own. */
(function () {
  "use strict";
  var R = window.PiReport, doc = document;
  if (!R) return;
  var sections = R.sections, words = R.words, make = R.make;
  function $(selector, from) { return (from || doc).querySelector(selector); }

  /* ---- blanks: [words], [1:words], [[a|b]], *** ---- */
  var FIELD = /\[\[[^\[\]\n]+\]\]|\[[^\]\n]*\]|\*{3,}/g;
  var grows = !(window.CSS && CSS.supports && CSS.supports("field-sizing", "content"));
  function fieldsOf(area) {
    var found = [], match;
    FIELD.lastIndex = 0;
    while ((match = FIELD.exec(area.value))) {
      var number = /^\[(\d+)(?::|\])/.exec(match[0]);
      found.push({ area: area, from: match.index, to: match.index + match[0].length, text: match[0], number: number ? +number[1] : Infinity });
    }
    return found;
  }
  function visited(list) {                                // numbered ones in their order, then the others as they stand
    return list.slice().sort(function (a, b) { return a.number === b.number ? a.from - b.from : a.number - b.number; });
  }
  function optionsOf(field) { return /^\[\[/.test(field.text) ? field.text.slice(2, -2).split("|") : []; }
  function paint(area) {
    var back = area.previousElementSibling, text = area.value, at = 0;
    if (grows) { area.rows = Math.max(+area.dataset.rows || (area.dataset.rows = area.rows), Math.ceil(area.scrollHeight / 22)); }
    back.replaceChildren();
    fieldsOf(area).forEach(function (field) {
      back.appendChild(doc.createTextNode(text.slice(at, field.from)));
      back.appendChild(make("mark", optionsOf(field).length ? { "class": "pick" } : {}, field.text));
      at = field.to;
    });
    back.appendChild(doc.createTextNode(text.slice(at) + "\n"));
  }
  function go(field) {
    field.area.focus();
    field.area.setSelectionRange(field.from, field.to);
    field.area.scrollIntoView({ block: "nearest" });
    offer(field);
  }
  function chosen(area) {                                 // the blank that is selected as a whole
    return fieldsOf(area).filter(function (field) { return field.from === area.selectionStart && field.to === area.selectionEnd; })[0];
  }
  function next(area, back) {
    var list = visited(fieldsOf(area)), here = chosen(area), at = list.findIndex(function (field) { return here && field.from === here.from; });
    if (at >= 0) return list[at + (back ? -1 : 1)];
    if (list.length && list[0].number !== Infinity && !back) return list[0];
    var caret = back ? area.selectionStart : area.selectionEnd;
    return back ? list.filter(function (field) { return field.to <= caret; }).pop() : list.filter(function (field) { return field.from >= caret; })[0];
  }
  function jump(back) {
    var here = sections.indexOf(doc.activeElement), steps = sections.length;
    var found = here >= 0 ? next(sections[here], back) : null, step;
    for (step = 1; !found && step <= steps; step++) {
      var area = sections[((here < 0 && !back ? -1 : here < 0 ? 0 : here) + (back ? -step : step) + 2 * steps) % steps], list = visited(fieldsOf(area));
      found = back ? list[list.length - 1] : list[0];
    }
    if (found) go(found);
  }

  /* ---- the list under the text: what can be chosen, or macros that begin so ---- */
  var pop = null, open = null;
  function close() { if (pop) pop.remove(); pop = null; open = null; }
  function show(area, rows, take, at) {
    close();
    pop = make("div", { "class": "pi-pop rp-macro", role: "listbox", "aria-label": words.choose });
    open = { area: area, rows: rows, take: take, at: at || 0 };
    rows.forEach(function (row, index) {
      var option = make("div", { role: "option", id: "rp-o" + index });
      if (row.code) option.appendChild(make("b", { "class": "mono" }, row.code));
      option.appendChild(make("span", { "class": "grow trunc" }, row.text));
      option.addEventListener("mousedown", function (event) { event.preventDefault(); take(row); });
      pop.appendChild(option);
    });
    pop.lastChild.appendChild(make("span", { "class": "kbd ms-a" }, words.tab));
    area.parentNode.appendChild(pop);
    pop.scrollIntoView({ block: "nearest" });
    mark();
  }
  function mark() {
    Array.prototype.forEach.call(pop.children, function (node, index) { node.setAttribute("aria-selected", String(index === open.at)); });
    open.area.setAttribute("aria-activedescendant", "rp-o" + open.at);
  }
  function put(area, from, to, text) {
    area.focus();
    area.setSelectionRange(from, to);
    if (!doc.execCommand || !doc.execCommand("insertText", false, text)) area.setRangeText(text, from, to, "end");   // execCommand keeps undo
    close();
    R.changed(area);
  }
  function offer(field) {
    var options = optionsOf(field);
    if (!options.length) { close(); return; }
    show(field.area, options.map(function (text) { return { text: text }; }), function (row) {
      put(field.area, field.from, field.to, row.text);
      close();
    });
    open.pick = true;
  }

  /* ---- macros: .code and Space or Tab; a code without the dot and Tab ---- */
  var macros = JSON.parse($("#macros").textContent), last = null;
  function before(area) { return (/(^|[\s(])(\.?)([A-Za-z0-9_-]{2,24})$/.exec(area.value.slice(0, area.selectionStart)) || ["", "", "", ""]); }
  function named(code) { return macros.filter(function (macro) { return macro.code.toLowerCase() === code.toLowerCase(); })[0]; }
  function insert(area, macro, typed) {
    var from = area.selectionStart - typed;
    put(area, from, area.selectionEnd, macro.text);
    var first = visited(fieldsOf(area).filter(function (field) { return field.from >= from && field.to <= from + macro.text.length; }))[0];
    if (first) go(first);
  }
  function suggest(area) {
    var word = before(area);
    if (!word[3]) { if (open && !open.pick) close(); return; }
    var found = macros.filter(function (macro) { return macro.code.toLowerCase().indexOf(word[3].toLowerCase()) === 0; }).slice(0, 6);
    if (!found.length) { if (open && !open.pick) close(); return; }
    show(area, found, function (macro) { insert(area, macro, word[2].length + word[3].length); });
  }

  /* ---- keys ---- */
  var leave = false;
  function composing(event) { return event.isComposing || event.keyCode === 229; }
  function inList(event) {                                // true when the list has used the key
    var rows = open.rows, key = event.key;
    if (key === "ArrowDown" || key === "ArrowUp") {
      open.at = (open.at + (key === "ArrowDown" ? 1 : -1) + rows.length) % rows.length;
      mark();
      return true;
    }
    if (key === "Escape") { event.stopPropagation(); close(); return true; }
    if (key === "Tab" && !event.shiftKey || key === "Enter" && open.pick) { var area = open.area, pick = open.pick; open.take(rows[open.at]); if (pick && key === "Tab") { var more = next(area); if (more) go(more); } return true; }
    if (open.pick && key.length === 1 && !event.ctrlKey && !event.altKey && !event.metaKey) {
      var fits = rows.filter(function (row) { return row.text.toLowerCase().indexOf(key.toLowerCase()) === 0; });
      if (fits.length === 1) { open.take(fits[0]); return true; }
      if (fits.length > 1) { var at = rows.indexOf(fits[0]), now = fits.indexOf(rows[open.at]); open.at = now >= 0 ? rows.indexOf(fits[(now + 1) % fits.length]) : at; mark(); return true; }
      close();
    }
    return false;
  }
  function keyed(event) {
    var area = event.target;
    if (composing(event)) return;
    if (open && open.area === area && inList(event)) { event.preventDefault(); return; }
    if (event.key === "Escape") { leave = true; return; }
    if (event.key === " " && !event.ctrlKey && !event.altKey) {
      var word = before(area), macro = word[2] && named(word[3]);
      if (macro) { event.preventDefault(); insert(area, macro, word[3].length + 1); }
    } else if (event.key === "Tab" && !event.ctrlKey && !event.altKey) {
      var field = leave ? null : next(area, event.shiftKey);
      leave = false;
      if (field) { event.preventDefault(); go(field); } else close();
      return;
    }
    leave = false;
  }
  sections.forEach(function (area) {
    paint(area);
    area.addEventListener("keydown", keyed);
    area.addEventListener("focus", function () { last = area; });
    area.addEventListener("blur", close);
    area.addEventListener("mouseup", function () {
      var at = area.selectionStart, field = area.selectionEnd === at && fieldsOf(area).filter(function (one) { return one.from < at && at < one.to && optionsOf(one).length; })[0];
      if (field) go(field); else if (open && open.pick) close();
    });
    area.addEventListener("input", function (event) {
      paint(area);
      if (!event.isComposing) { if (open && open.pick) close(); suggest(area); }
    });
    area.addEventListener("paste", function (event) {     // a page's text without its dress
      var held = event.clipboardData, html = held && held.getData("text/html"), plain = held && held.getData("text/plain");
      if (!html || plain) return;
      event.preventDefault();
      var body = new DOMParser().parseFromString(html.replace(/<(br|\/p|\/div|\/li|\/tr|\/h\d)\b[^>]*>/gi, "\n$&"), "text/html").body;
      Array.prototype.forEach.call(body.querySelectorAll("script,style,template"), function (node) { node.remove(); });
      put(area, area.selectionStart, area.selectionEnd, body.textContent.replace(/[ \t]+/g, " ").replace(/\n\s*\n+/g, "\n").trim());
    });
  });
  window.addEventListener("resize", function () { sections.forEach(paint); });
  doc.addEventListener("keydown", function (event) {
    if (event.key !== "F2" || composing(event) || $("dialog[open]")) return;
    event.preventDefault();
    jump(event.shiftKey);
  });
  $("[data-checks]").addEventListener("click", function (event) {
    var to = event.target.closest("[data-jump]"), alert = event.target.closest("[data-open-critical]");
    if (to) {
      var id = to.hash.slice(1), area = doc.getElementById(id) || $("textarea[id^='" + id + "']");
      if (!area) return;
      event.preventDefault();
      area.focus();
      var field = visited(fieldsOf(area))[0];
      if (field) go(field);
      area.scrollIntoView({ block: "center" });
    } else if (alert) { event.preventDefault(); R.openMenu($("#critical")); }
  });

  /* ---- the menu of macros ---- */
  var box = $("[data-macro-list]"), find = $("[data-macro-find]");
  function listMacros() {
    var sought = find.value.trim().toLowerCase();
    var rows = macros.filter(function (macro) { return !sought || macro.code.toLowerCase().indexOf(sought) === 0 || macro.text.toLowerCase().indexOf(sought) >= 0; }).slice(0, 60);
    box.replaceChildren();
    if (!rows.length) box.appendChild(make("p", { "class": "muted small pad" }, words.none));
    rows.forEach(function (macro) {
      var button = make("button", { type: "button", "class": "mi" });
      button.appendChild(make("b", { "class": "mono" }, macro.code));
      button.appendChild(make("span", { "class": "trunc max-m" }, macro.text));
      button.addEventListener("click", function () { $("[data-macros]").open = false; insert(last || $("[data-kind=findings]"), macro, 0); });
      box.appendChild(button);
    });
  }
  listMacros();
  find.addEventListener("input", listMacros);
  find.addEventListener("keydown", function (event) { if (event.key === "Enter") { event.preventDefault(); var first = $("button", box); if (first) first.click(); } });
  $("[data-macro-form]").addEventListener("submit", function (event) {
    var own = event.target;
    event.preventDefault();
    event.stopPropagation();
    R.send(own.action, new FormData(own))
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
  Array.prototype.forEach.call(doc.querySelectorAll("[data-cite]"), function (button) {
    button.hidden = false;
    button.addEventListener("click", function () {
      var area = $("[data-kind=comparison]"), text = area.value.trim();
      area.value = !text || /^(None|Hakuna)\.?$/i.test(text) ? button.dataset.cite : text + "\n" + button.dataset.cite;
      R.changed(area);
      area.focus();
    });
  });

  /* ---- dictation ---- */
  var button = $("[data-dictate]"), recorder = null;
  function heard(area, at, blob) {
    var data = new FormData();
    data.set("audio", blob, "audio");
    R.send(button.dataset.dictate, data).then(function (answer) {
      if (R.isShut(answer)) { R.shut(answer); return; }
      return answer.json().then(function (body) {
        if (!answer.ok) { R.refuse(body); return; }
        if (!body.text) return;
        var lead = at && !/\s$/.test(area.value.slice(0, at)) ? " " : "";
        put(area, at, at, lead + body.text);
      });
    }).catch(function () { if (window.Pi) Pi.toast(words.failed); });
  }
  function stopped() { button.setAttribute("aria-pressed", "false"); $("span", button).textContent = words.speak; }
  if (button && window.MediaRecorder && navigator.mediaDevices) {
    button.hidden = false;
    button.addEventListener("mousedown", function (event) { event.preventDefault(); });
    button.addEventListener("click", function () {
      if (recorder) { recorder.stop(); return; }
      var area = last || $("[data-kind=findings]");
      navigator.mediaDevices.getUserMedia({ audio: true }).then(function (stream) {
        var pieces = [];
        recorder = new MediaRecorder(stream);
        recorder.addEventListener("dataavailable", function (event) { pieces.push(event.data); });
        recorder.addEventListener("stop", function () {
          var kind = recorder.mimeType;
          recorder = null;
          stream.getTracks().forEach(function (track) { track.stop(); });
          stopped();
          heard(area, area.selectionEnd, new Blob(pieces, { type: kind }));
        });
        recorder.start();
        button.setAttribute("aria-pressed", "true");
        $("span", button).textContent = words.listening;
      }).catch(function () { stopped(); if (window.Pi) Pi.toast(words.deaf); });
    });
  }
})();
