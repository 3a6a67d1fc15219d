// The day grid by hand: cards and waiting exams are dragged with the mouse, or taken with M and moved with the arrow keys.
// The server decides; what it refuses goes back and is explained. Without a script every card leads to its form.
(function () {
  "use strict";
  var pane = document.getElementById("day-time");
  var wordsTag = document.getElementById("dg-words");
  if (!pane || !wordsTag) return;
  var words = JSON.parse(wordsTag.textContent);
  var refusalBox = document.getElementById("drop-alert"), legend = document.getElementById("legend");
  var START_AT = 5, EDGE = 36, etag = "";
  var held = null;      // what is in the hand: {source, appointment | exam, what, does, units, from, column, start, ghost}

  function grid() { return document.getElementById("day-grid"); }
  function all(selector, from) { return Array.prototype.slice.call((from || document).querySelectorAll(selector)); }
  function pad(n) { return n < 10 ? "0" + n : "" + n; }
  function fill(text, values) { return text.replace(/\{(\w+)\}/g, function (_all, name) { return name in values ? values[name] : ""; }); }
  function unit() { return parseFloat(getComputedStyle(grid()).getPropertyValue("--u")); }
  function minutes(column, start) { return Number(column.dataset.first) * 60 + start * 5; }
  function clock(column, start) { var m = minutes(column, start); return pad(Math.floor(m / 60)) + ":" + pad(m % 60); }
  function columns() { return all(".dg-c", grid()); }
  function uuidOf(card) { return /([0-9a-f-]{36})/.exec(card.getAttribute("href"))[1]; }
  function say(text) { if (window.Pi) window.Pi.say(text); }
  function place(column, start) { return fill(words.at, { room: column.dataset.name, time: clock(column, start) }); }

  /* ---- taking ---- */
  function takeCard(card) {
    var column = card.closest(".dg-c");
    return {
      source: card, appointment: uuidOf(card), what: card.querySelector("b").textContent, does: card.dataset.m,
      units: Number(card.dataset.n), column: column, start: Number(card.dataset.s), back: { column: column, start: Number(card.dataset.s) },
      was: column.dataset.room + "|" + column.dataset.day + "|" + clock(column, Number(card.dataset.s))
    };
  }
  function takeExam(row) {
    var fitting = columns().filter(function (column) { return fits(column, row.dataset.m); })[0] || columns()[0];
    var now = document.querySelector(".dg-now");
    return {
      source: row, exam: row.dataset.todo, what: row.dataset.what, does: row.dataset.m, column: fitting,
      units: Math.max(1, Math.round(Number(row.dataset.minutes) / 5)), start: now ? Number(now.dataset.s) + 1 : 12, back: null, was: ""
    };
  }
  function fits(column, modality) { return !modality || (" " + column.dataset.does + " ").indexOf(" " + modality + " ") >= 0; }

  /* ---- the ghost says where it would go, and what stands in the way as far as this page knows ---- */
  function obstacle(column, start, units, card) {
    if (!fits(column, held.does)) return words.cannot;
    var last = start + units;
    function hits(node) { return Number(node.dataset.s) < last && Number(node.dataset.s) + Number(node.dataset.n) > start; }
    if (all(".dg-e", column).some(function (node) { return node !== card && !node.hasAttribute("data-gone") && hits(node); })) return words.taken;
    var shut = all(".dg-x", column).filter(hits)[0];
    return shut ? (shut.hasAttribute("data-kept") ? words.kept : words.closed) : "";
  }
  function show() {
    var ghost = held.ghost;
    if (!ghost) {
      ghost = held.ghost = document.createElement("div");
      ghost.className = "dg-ghost";
      ghost.setAttribute("aria-hidden", "true");
      held.source.classList.add("held");
      grid().classList.add("moving");
    }
    if (ghost.parentNode !== held.column) held.column.appendChild(ghost);
    held.why = obstacle(held.column, held.start, held.units, held.source);
    ghost.classList.toggle("bad", Boolean(held.why));
    ghost.style.setProperty("--s", held.start);
    ghost.style.setProperty("--n", held.units);
    ghost.textContent = clock(held.column, held.start) + " " + (held.why ? held.why + " · " : "") + held.what;
  }
  function inside(start, column) { return Math.max(0, Math.min(Number(column.dataset.n) - held.units, start)); }
  function letGo() {
    if (!held) return;
    if (held.ghost) held.ghost.remove();
    held.source.classList.remove("held");
    if (grid()) grid().classList.remove("moving");
    held = null;
  }
  function putBack() {
    var what = held.what, source = held.source;
    letGo();
    say(fill(words.back, { what: what }));
    focusOn(source);
  }
  function focusOn(node) { if (node && document.contains(node)) (node.matches("a,button") ? node : node.querySelector("a,button") || node).focus(); }

  /* ---- asking the server ---- */
  function ask(thing, room, day, at, undoing) {
    var data = new URLSearchParams({ room: room, day: day, at: at, was: undoing ? "" : thing.was });
    data.set(thing.exam ? "exam" : "appointment", thing.exam || thing.appointment);
    pane.setAttribute("aria-busy", "true");
    return fetch(pane.dataset.drop + location.search, {
      method: "POST", body: data, redirect: "manual",
      headers: { "HX-Request": "true", "X-CSRFToken": window.Pi ? window.Pi.csrf() : "" }
    }).then(function (answer) {
      pane.removeAttribute("aria-busy");
      if (answer.status === 401 || answer.type === "opaqueredirect") { letGo(); if (window.Pi) window.Pi.lock(false); return null; }
      return answer.text().then(function (html) {
        if (answer.ok) done(thing, html, { room: room, day: day, at: at }, undoing); else refused(thing, html);
      });
    }).catch(function () {
      pane.removeAttribute("aria-busy");
      letGo();
      complain(words.failed);
    });
  }
  function drop() {
    var thing = held, column = held.column, start = held.start;
    if (thing.back && thing.back.column === column && thing.back.start === start) { putBack(); return; }
    ask(thing, column.dataset.room, column.dataset.day, clock(column, start), false);
  }
  function done(thing, html, to, undoing) {
    var from = thing.was.split("|"), parsed = new DOMParser().parseFromString(html, "text/html"), told = parsed.getElementById("moved");
    held = null;
    hideRefusal();
    take(parsed);
    if (thing.exam) {
      var row = document.getElementById("todo-" + thing.exam), count = document.getElementById("todo-count");
      if (row) row.remove();
      if (count) count.textContent = Math.max(0, Number(count.textContent) - 1);
    }
    var card = told && document.querySelector('.dg-e[href="' + told.dataset.href + '"]');
    var column = card && card.closest(".dg-c");
    var text = fill(words.moved, { what: thing.what, room: column ? column.dataset.name : to.room, time: (column ? "" : to.day + " ") + to.at });
    if (told && told.textContent.trim()) text += " " + told.textContent.trim();
    say(text);
    if (window.Pi) window.Pi.toast(text, thing.exam || undoing ? null : { undo: function () {
      ask({ appointment: thing.appointment, what: thing.what, was: "" }, from[0], from[1], from[2], true);
    } });
    if (card) { rove(card); card.focus({ preventScroll: true }); card.scrollIntoView({ block: "nearest", inline: "nearest" }); }
  }

  /* ---- refusals: in words, with what is free; the card is back where it was ---- */
  function refused(thing, html) {
    letGo();
    refusalBox.innerHTML = html;
    refusalBox.hidden = false;
    refusalBox.thing = thing;
    var head = refusalBox.querySelector("h3");
    if (head) { head.tabIndex = -1; head.focus(); }
  }
  function complain(text) {
    var alert = document.createElement("div"), head = document.createElement("h3");
    alert.className = "pi-alert t-amber";
    alert.setAttribute("role", "alert");
    head.textContent = text;
    alert.appendChild(document.createElement("span")).className = "i";
    alert.appendChild(head);
    refusalBox.replaceChildren(alert);
    refusalBox.hidden = false;
  }
  function hideRefusal() {
    var thing = refusalBox.thing;
    refusalBox.hidden = true;
    refusalBox.replaceChildren();
    refusalBox.thing = null;
    return thing;
  }
  function home(thing) { return thing.exam ? document.getElementById("todo-" + thing.exam) : document.querySelector('.dg-e[href*="' + thing.appointment + '"]'); }
  refusalBox.addEventListener("click", function (event) {
    var choice = event.target.closest("[data-place]"), thing = refusalBox.thing;
    if (choice && thing) { var to = choice.dataset.place.split("|"); ask(thing, to[0], to[1], to[2], false); return; }
    if (event.target.closest("[data-dismiss],[data-act=close]")) { hideRefusal(); if (thing) focusOn(home(thing)); }
  });

  /* ---- the mouse ---- */
  var pressed = null;
  document.addEventListener("pointerdown", function (event) {
    if (event.button !== 0 || event.pointerType === "touch" || held) return;
    var card = event.target.closest(".dg-e[data-m]"), row = event.target.closest("[data-todo]");
    if (row && event.target.closest("a,button")) return;
    if (!grid() || (!card && !row)) return;
    var top = card ? event.clientY - card.getBoundingClientRect().top : 0;
    pressed = { x: event.clientX, y: event.clientY, card: card, row: row, top: top };
  });
  document.addEventListener("dragstart", function (event) { if (event.target.closest && event.target.closest(".dg-e,[data-todo]")) event.preventDefault(); });
  document.addEventListener("pointermove", function (event) {
    if (!pressed) return;
    if (!held) {
      if (Math.abs(event.clientX - pressed.x) + Math.abs(event.clientY - pressed.y) < START_AT) return;
      hideRefusal();
      held = pressed.card ? takeCard(pressed.card) : takeExam(pressed.row);
      held.byMouse = true;
      document.body.classList.add("dragging");
      getSelection().removeAllRanges();
    }
    event.preventDefault();
    scroll(event);
    var under = document.elementFromPoint(event.clientX, event.clientY), column = under && under.closest(".dg-c");
    if (!column) { held.outside = true; if (held.ghost) held.ghost.classList.add("away"); return; }
    held.outside = false;
    held.column = column;
    held.start = inside(Math.round((event.clientY - pressed.top - column.getBoundingClientRect().top) / unit()), column);
    show();
    held.ghost.classList.remove("away");
  });
  function scroll(event) {
    var box = pane.getBoundingClientRect(), step = 14;
    if (event.clientY > box.bottom - EDGE) pane.scrollTop += step; else if (event.clientY < box.top + EDGE + 46) pane.scrollTop -= step;
    if (event.clientX > box.right - EDGE) pane.scrollLeft += step; else if (event.clientX < box.left + EDGE + 52 && event.clientX > box.left) pane.scrollLeft -= step;
  }
  document.addEventListener("pointerup", function () {
    var was = pressed;
    pressed = null;
    document.body.classList.remove("dragging");
    if (!held || !held.byMouse) return;
    if (was) swallowClick();
    if (held.outside) putBack(); else drop();
  });
  document.addEventListener("pointercancel", function () { pressed = null; document.body.classList.remove("dragging"); if (held && held.byMouse) putBack(); });
  function swallowClick() {
    function once(event) { event.preventDefault(); event.stopPropagation(); }
    document.addEventListener("click", once, { capture: true, once: true });
    setTimeout(function () { document.removeEventListener("click", once, true); }, 50);
  }

  document.addEventListener("click", function (event) {       // anywhere on a waiting exam: to its form
    var row = event.target.closest("[data-todo]");
    if (row && !event.target.closest("a,button") && !String(getSelection())) row.querySelector("a").click();
  });

  /* ---- the keyboard: one tab stop, arrows between the cards; M takes, arrows move, Enter puts, Escape puts back ---- */
  function rove(card) {
    all(".dg-e", grid()).forEach(function (other) { other.tabIndex = other === card ? 0 : -1; });
  }
  function firstStop() {
    if (!grid()) return;
    var cards = all(".dg-e", grid()), now = document.querySelector(".dg-now"), from = now ? Number(now.dataset.s) : 0;
    rove(cards.filter(function (card) { return Number(card.dataset.s) + Number(card.dataset.n) > from; })[0] || cards[0]);
  }
  function byTime(column) { return all(".dg-e", column).sort(function (a, b) { return a.dataset.s - b.dataset.s; }); }
  function near(card, key) {
    var column = card.closest(".dg-c"), list = byTime(column), at = list.indexOf(card), rooms = columns(), room = rooms.indexOf(column), found;
    if (key === "ArrowDown") return list[at + 1];
    if (key === "ArrowUp") return list[at - 1];
    if (key === "Home") return list[0];
    if (key === "End") return list[list.length - 1];
    for (room += key === "ArrowRight" ? 1 : -1; rooms[room]; room += key === "ArrowRight" ? 1 : -1) {
      found = byTime(rooms[room]).sort(function (a, b) { return Math.abs(a.dataset.s - card.dataset.s) - Math.abs(b.dataset.s - card.dataset.s); })[0];
      if (found) return found;
    }
    return null;
  }
  function begin(thing) {
    hideRefusal();
    held = thing;
    held.start = inside(held.start, held.column);
    show();
    reveal();
    say(fill(words.picked, { what: held.what }));
  }
  function reveal() { held.ghost.scrollIntoView({ block: "nearest", inline: "nearest" }); }
  function step(event) {
    var rooms = columns(), at = rooms.indexOf(held.column), by = event.shiftKey ? 12 : 1;
    if (event.key === "ArrowDown" || event.key === "PageDown") held.start += event.key === "PageDown" ? 12 : by;
    else if (event.key === "ArrowUp" || event.key === "PageUp") held.start -= event.key === "PageUp" ? 12 : by;
    else if (event.key === "ArrowRight") held.column = rooms[Math.min(rooms.length - 1, at + 1)];
    else if (event.key === "ArrowLeft") held.column = rooms[Math.max(0, at - 1)];
    else return false;
    held.start = inside(held.start, held.column);
    show();
    reveal();
    say(place(held.column, held.start) + (held.why ? ", " + held.why : ""));
    return true;
  }
  document.addEventListener("keydown", function (event) {
    if (held && !held.byMouse) {
      if (event.key === "Enter") drop();
      else if (event.key === "Escape") putBack();
      else if (event.key === "Tab") { putBack(); return; }
      else if (!step(event)) return;
      event.preventDefault();
      event.stopPropagation();
      return;
    }
    if (held && event.key === "Escape") { event.preventDefault(); pressed = null; document.body.classList.remove("dragging"); swallowClick(); putBack(); return; }
    if (event.key === "Escape" && !refusalBox.hidden) { event.preventDefault(); var thing = hideRefusal(); if (thing) focusOn(home(thing)); return; }
    if (event.ctrlKey || event.metaKey || event.altKey || !event.target.closest) return;
    var card = event.target.closest(".dg-e"), row = event.target.closest("[data-todo]");
    if (event.key.toLowerCase() === "m" && (card || row) && grid()) {
      event.preventDefault();
      if (card && !card.hasAttribute("data-m")) say(words.fixed); else begin(card ? takeCard(card) : takeExam(row));
      return;
    }
    if (card && /^(Arrow|Home|End)/.test(event.key)) {
      var next = near(card, event.key);
      event.preventDefault();
      if (next) { rove(next); next.focus(); next.scrollIntoView({ block: "nearest", inline: "nearest" }); }
    }
  }, true);

  /* ---- once a minute, when nothing is in the hand ---- */
  function take(parsed) {
    var time = parsed.getElementById("day-time"), key = parsed.getElementById("legend"), open = document.activeElement;
    var href = open && open.matches(".dg-e") ? open.getAttribute("href") : "", top = pane.scrollTop, left = pane.scrollLeft;
    if (time) pane.innerHTML = time.innerHTML;
    if (key && legend) legend.innerHTML = key.innerHTML;
    pane.scrollTop = top;
    pane.scrollLeft = left;
    firstStop();
    var again = href && document.querySelector('.dg-e[href="' + href + '"]');
    if (again) { rove(again); again.focus({ preventScroll: true }); }
    if (window.Pi) window.Pi.arm(pane);
    pane.dispatchEvent(new CustomEvent("pi:grid", { bubbles: true }));
  }
  function refresh() {
    if (document.hidden || held || pressed || document.body.classList.contains("locked") || pane.contains(document.activeElement) && document.activeElement.matches("tr,button")) return;
    var headers = { "X-Background": "1", "HX-Request": "true" };
    if (etag) headers["If-None-Match"] = etag;
    fetch(pane.dataset.grid + location.search, { headers: headers, cache: "no-store", redirect: "manual" }).then(function (answer) {
      if (answer.status === 401 || answer.type === "opaqueredirect") { if (window.Pi) window.Pi.lock(false); return; }
      if (answer.ok) {
        etag = answer.headers.get("ETag") || "";
        answer.text().then(function (html) { if (!held && !pressed) take(new DOMParser().parseFromString(html, "text/html")); });
      }
      if ((answer.ok || answer.status === 304) && window.Pi) window.Pi.fresh();
    }).catch(function () { etag = ""; });
  }
  setInterval(refresh, 60000);
  firstStop();
})();
