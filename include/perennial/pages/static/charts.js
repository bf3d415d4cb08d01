// Charts of partitions, drawn by uPlot from JSON that stands in the page. A chart adds to a table that says the same:
// it is hidden from screen readers, and a page without scripts lacks nothing.
//
// In a template, with both scripts in `block scripts` (uPlot first):
//
//   <script src="{{ here }}/{{ static('vendor/uPlot.iife.min.js') }}" defer></script>
//   <script src="{{ here }}/{{ static('charts.js') }}" defer></script>
//
//   <div class="chart" data-chart="sparkline"><script type="application/json">{{ chart | tojson }}</script></div>
//   <div class="chart" data-chart="series"><script type="application/json">{{ chart | tojson }}</script></div>
//
// `sparkline` is one line of text high, without axes. `series` has axes, a legend that tells the values under the
// pointer, and follows a link when a point is clicked. Both fill the width of their element. `chart` is
//
//   {
//     "x": ["2013-03", "2013-04"],              one name a point, oldest first, evenly apart
//     "series": [{
//       "label": "champion",
//       "values": [0.74, null],                 one a name; null: a gap
//       "colour": "--v0",                       a variable of perennial.css; "--soft" if left out
//       "dashed": false,
//       "colours": ["--v0", "--v1"],            optional, of each point: it gets a dot and a line up to it in that colour
//     }],
//     "bands": [{"from": 0, "to": 1, "colour": "--v0", "label": "v1"}],   optional, behind points from..to, both included
//     "lines": [{"value": 0.72, "label": "expected", "colour": "--good"}],  optional, level; part of the legend
//     "from": [{"from": 0, "to": 1, "value": 0.72}]                        optional, level pieces: the expected metric of each deployment
//     "marks": [{"at": 1, "sign": "▲", "colour": "--bad"}],                optional, signs on the ground at a point
//     "links": ["partitions/2013-03", null]                               optional, where a click on a point leads
//   }
//
// `drawCharts(root)` draws those below an element; it is called for the whole page once, and again never needed unless
// a script adds one.
"use strict";

(() => {
  const drawn = new Map();

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name || "--soft").trim();

  const finite = (value) => typeof value === "number" && Number.isFinite(value);

  // Never a value written longer than a person reads.
  const written = (value) => {
    if (!finite(value)) return "–";
    if (value !== 0 && Math.abs(value) < 1e-3) return String(Number(value.toPrecision(3)));
    return Math.abs(value) < 10 ? value.toFixed(4) : value.toPrecision(4);
  };

  function read(element) {
    const source = element.querySelector('script[type="application/json"]');
    const chart = JSON.parse(source.textContent);
    return { bands: [], lines: [], from: [], marks: [], links: [], ...chart };
  }

  // Room above and below what is drawn, also where all values are equal.
  function limits(chart) {
    const levels = [...chart.lines, ...chart.from].map((line) => line.value);
    const values = [...chart.series.flatMap((each) => each.values), ...levels].filter(finite);
    if (!values.length) return [0, 1];
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const room = (high - low) * 0.1 || Math.abs(high) * 0.05 || 1;
    return [low - room, high + room];
  }

  // Behind everything: who served when.
  function drawBands(plot, chart) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    for (const band of chart.bands) {
      const left = plot.valToPos(band.from - 0.5, "x", true);
      const right = plot.valToPos(band.to + 0.5, "x", true);
      ctx.globalAlpha = 0.14;
      ctx.fillStyle = colour(band.colour);
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
      ctx.globalAlpha = 1;
      if (!band.label) continue;
      ctx.font = `600 ${12 * devicePixelRatio}px system-ui, sans-serif`;
      if (ctx.measureText(band.label).width + 8 > right - left) continue;
      ctx.textBaseline = "top";
      ctx.fillText(band.label, left + 4 * devicePixelRatio, bbox.top + 3 * devicePixelRatio);
    }
    ctx.restore();
  }

  // Before the series: levels that are the same all along, or in a part.
  function drawLevels(plot, chart) {
    const { ctx, bbox } = plot;
    const last = chart.x.length - 1;
    ctx.save();
    ctx.lineWidth = 1.5 * devicePixelRatio;
    ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const level of [...chart.lines, ...chart.from]) {
      if (!finite(level.value)) continue;
      const height = plot.valToPos(level.value, "y", true);
      ctx.strokeStyle = colour(level.colour || "--good");
      ctx.beginPath();
      ctx.moveTo(Math.max(bbox.left, plot.valToPos((level.from ?? 0) - 0.5, "x", true)), height);
      ctx.lineTo(Math.min(bbox.left + bbox.width, plot.valToPos((level.to ?? last) + 0.5, "x", true)), height);
      ctx.stroke();
    }
    ctx.restore();
  }

  // On the ground, those of one point above each other.
  function drawMarks(plot, chart) {
    const { ctx, bbox } = plot;
    const high = new Map();
    ctx.save();
    ctx.font = `600 ${13 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textAlign = "center";
    ctx.textBaseline = "bottom";
    for (const { at, sign, colour: name } of chart.marks) {
      const level = high.get(at) ?? 0;
      high.set(at, level + 1);
      ctx.fillStyle = colour(name);
      ctx.fillText(sign, plot.valToPos(at, "x", true), bbox.top + bbox.height - (2 + level * 15) * devicePixelRatio);
    }
    ctx.restore();
  }

  // After the series: what has a colour of each point, else only the last point, that is now.
  function drawPoints(plot, chart, small) {
    const { ctx } = plot;
    const radius = (small ? 2.2 : 3.5) * devicePixelRatio;
    const place = (series, at) => [plot.valToPos(at, "x", true), plot.valToPos(series.values[at], "y", true)];
    ctx.save();
    for (const [number, series] of chart.series.entries()) {
      if (!plot.series[number + 1].show) continue;
      const known = series.values.map((value, at) => at).filter((at) => finite(series.values[at]));
      for (const at of series.colours ? known : small && !series.dashed ? known.slice(-1) : []) {
        ctx.fillStyle = ctx.strokeStyle = colour(series.colours ? series.colours[at] : series.colour);
        const [x, y] = place(series, at);
        if (series.colours && at > 0 && finite(series.values[at - 1])) {
          ctx.lineWidth = (small ? 1.5 : 2.25) * devicePixelRatio;
          ctx.beginPath();
          ctx.moveTo(...place(series, at - 1));
          ctx.lineTo(x, y);
          ctx.stroke();
        }
        if (small && at !== known.at(-1)) continue;
        ctx.beginPath();
        ctx.arc(x, y, radius, 0, 2 * Math.PI);
        ctx.fill();
      }
    }
    ctx.restore();
  }

  function options(element, chart, small) {
    const text = { stroke: () => colour("--soft"), font: "12px system-ui, sans-serif" };
    const grid = { stroke: () => colour("--line"), width: 1 };
    return {
      width: Math.max(element.clientWidth, 40),
      height: small ? 30 : 260,
      legend: { show: !small },
      cursor: small ? { show: false } : { y: false, drag: { x: false, y: false }, points: { size: 8 } },
      select: { show: false },
      padding: small ? [3, 4, 3, 2] : undefined,
      scales: {
        x: { time: false, range: () => [-0.5, Math.max(chart.x.length - 0.5, 0.5)] },
        y: { range: () => limits(chart) },
      },
      axes: small ? [{ show: false }, { show: false }] : [
        {
          ...text, grid: { show: false }, ticks: grid, space: 70, incrs: [1, 2, 3, 4, 6, 12, 24, 48, 96, 168, 336, 672],
          values: (_, at) => at.map((each) => chart.x[each] ?? ""),
        },
        { ...text, grid, ticks: grid, size: 62, values: (_, at) => at.map((each) => Number(each.toPrecision(4)).toString()) },
      ],
      series: [
        { label: "partition", value: (_, at) => (at === null ? "–" : chart.x[at]) },
        ...chart.series.map((series) => ({
          label: series.label,
          stroke: () => colour(series.colour),
          width: series.colours ? 0 : small ? 1.25 : 2,
          dash: series.dashed ? [5, 4] : undefined,
          points: { show: false },
          value: (_, value) => written(value),
        })),
        ...chart.lines.map((line) => ({
          label: line.label, stroke: () => colour(line.colour || "--good"), width: 0, points: { show: false },
          value: () => written(line.value),
        })),
      ],
      hooks: {
        drawClear: [(plot) => drawBands(plot, chart)],
        drawAxes: [(plot) => drawLevels(plot, chart)],
        draw: [(plot) => drawPoints(plot, chart, small), (plot) => drawMarks(plot, chart)],
      },
    };
  }

  function draw(element) {
    const chart = read(element);
    const small = element.dataset.chart === "sparkline";
    const at = chart.x.map((_, number) => number);
    const data = [at, ...chart.series.map((each) => each.values), ...chart.lines.map((line) => at.map(() => line.value))];
    element.setAttribute("aria-hidden", "true");
    const plot = new uPlot(options(element, chart, small), data, element);
    if (chart.links.length) {
      plot.over.classList.add("leads");
      plot.over.addEventListener("click", () => {
        const link = chart.links[plot.cursor.idx];
        if (link) location.href = link;
      });
    }
    drawn.set(element, plot);
    sizes.observe(element);
  }

  // A chart is as wide as its element, whatever changes that: the window, a fold that opens.
  const sizes = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      const plot = drawn.get(target);
      const width = Math.max(Math.floor(contentRect.width), 40);
      if (plot && contentRect.width && plot.width !== width) plot.setSize({ width, height: plot.height });
    }
  });

  // Colours are asked for at each drawing: another theme needs no other chart.
  function redraw() {
    for (const plot of drawn.values()) plot.redraw(false, true);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });

  window.drawCharts = (root) => {
    for (const element of root.querySelectorAll(".chart[data-chart]")) {
      if (!drawn.has(element)) draw(element);
    }
  };
  window.drawCharts(document);
})();
