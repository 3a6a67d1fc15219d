/* Charts of a table that stands on the page: <canvas data-chart="line" data-table="monthly"> draws table#monthly.
   The first column names the points, every further column is a series, its head the name; "1 110" is a number, "–" none.
   data-goal="95" draws a dashed line, data-unit="%" names the axis. Series differ in shape and dash, not in colour alone. */
(function () {
  "use strict";
  var TONES = ["--pi-accent", "--orange-bd", "--teal-bd", "--violet-bd", "--slate-bd", "--green-bd"];
  var SHAPES = ["circle", "triangle", "rect", "rectRot", "cross", "star"], DASHES = [[], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4], [1, 3]];
  var drawn = [];
  function token(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
  function number(cell) {
    var text = (cell.dataset.value || cell.textContent).replace(/[\s\u2009\u00a0]/g, "").replace("\u2212", "-");
    var found = text.match(/-?\d+(\.\d+)?/);
    return found ? +found[0] : null;
  }
  function read(table) {
    var heads = Array.prototype.slice.call(table.tHead.rows[0].cells), rows = Array.prototype.slice.call(table.tBodies[0].rows);
    var columns = heads.map(function (_head, index) { return index; }).filter(function (index) { return index > 0 && !heads[index].hasAttribute("data-no-chart"); });
    return {
      labels: rows.map(function (row) { return row.cells[0].textContent.trim(); }),
      series: columns.map(function (index) { return { name: heads[index].textContent.trim(), values: rows.map(function (row) { return number(row.cells[index]); }) }; })
    };
  }
  function options(canvas, horizontal, stacked) {
    var axis = { stacked: stacked, grid: { color: token("--pi-border") }, ticks: { color: token("--pi-text-2") } };
    var value = Object.assign({ beginAtZero: canvas.dataset.zero !== "no", title: { display: !!canvas.dataset.unit, text: canvas.dataset.unit, color: token("--pi-text-2") } }, axis);
    return {
      animation: false, responsive: true, maintainAspectRatio: false, indexAxis: horizontal ? "y" : "x", interaction: { mode: "index", intersect: false },
      scales: horizontal ? { x: value, y: axis } : { x: axis, y: value },
      plugins: { legend: { position: "bottom", labels: { color: token("--pi-text-2"), usePointStyle: true } } }
    };
  }
  function draw(canvas) {
    var data = read(document.getElementById(canvas.dataset.table)), kind = canvas.dataset.chart, bars = kind !== "line";
    Chart.defaults.font.family = token("--pi-font");
    Chart.defaults.font.size = 11;
    var sets = data.series.map(function (series, index) {
      var colour = token(TONES[index % TONES.length]);
      return { label: series.name, data: series.values, borderColor: colour, backgroundColor: bars ? colour : token("--pi-surface"), borderWidth: 2, borderDash: bars ? [] : DASHES[index % DASHES.length], pointStyle: bars ? "rect" : SHAPES[index % SHAPES.length], pointRadius: 4, spanGaps: true };
    });
    if (canvas.dataset.goal) sets.push({ type: "line", label: canvas.dataset.goalLabel || canvas.dataset.goal, data: data.labels.map(function () { return +canvas.dataset.goal; }), borderColor: token("--pi-text-3"), borderDash: [4, 4], borderWidth: 1.5, pointRadius: 0 });
    return new Chart(canvas, { type: bars ? "bar" : "line", data: { labels: data.labels, datasets: sets }, options: options(canvas, kind === "bar-h", canvas.hasAttribute("data-stacked")) });
  }
  function all() {
    drawn.forEach(function (chart) { chart.destroy(); });
    drawn = Array.prototype.map.call(document.querySelectorAll("canvas[data-chart]"), draw);
  }
  all();
  new MutationObserver(all).observe(document.documentElement, { attributes: true, attributeFilter: ["data-bs-theme"] });
})();
