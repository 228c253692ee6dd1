// <metric-chart series="…" styles="…">: one panel of a metric, drawn by uPlot in a shadow root.
//
// The server writes the same attribute again when the page renews itself; a chart that is open takes over what is new and
// keeps its place, so nothing flickers. What stands inside the element is shown where there is no script. Every status has
// a shape of its own and every line a stroke of its own: colour says nothing alone.
(() => {
  "use strict";

  const HEIGHT = 190, POINTS_DRAWN_MAX = 120, LABEL_PX = 15;
  const STROKES = {
    value: ["--moving", [], 1.75], canary: ["--moving", [], 2], baseline: ["--idle", [7, 4], 1.75],
    allowed: ["--wait", [2, 3], 1.5], low: ["--moving", [2, 3], 1], high: ["--moving", [2, 3], 1],
    "window-1": ["--moving", [], 2], "window-2": ["--person", [7, 4], 1.75], "window-3": ["--wait", [2, 3], 1.75],
    "window-4": ["--idle", [12, 4, 2, 4], 1.75], estimate: ["--moving", [], 2], harm: ["--stop", [], 2], safety: ["--pass", [7, 4], 2],
  };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const clock = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium", timeZone: "UTC" });

  // Numbers, by the unit that the server told.
  const plain = (value) => {
    const size = Math.abs(value);
    if (size >= 1e6 || (size > 0 && size < 1e-4)) return value.toExponential(1).replace("e+", "e");
    return new Intl.NumberFormat("en-US", { maximumSignificantDigits: size >= 1000 ? 6 : 4 }).format(value);
  };
  const BYTES = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  const told = (value, unit) => {
    if (unit === "ratio") return `${plain(value * 100)} %`;
    if (unit === "bytes") {
      const step = Math.min(4, Math.max(0, Math.floor(Math.log2(Math.abs(value) || 1) / 10)));
      return `${plain(Math.round((value / 1024 ** step) * 10) / 10)} ${BYTES[step]}`;
    }
    return unit ? `${plain(value)} ${unit}` : plain(value);
  };

  class MetricChart extends HTMLElement {
    static observedAttributes = ["series"];

    connectedCallback() {
      if (!this.shadowRoot) this.build();
      dark.addEventListener("change", this.repaint);
      this.sizes.observe(this);
    }

    disconnectedCallback() {
      dark.removeEventListener("change", this.repaint);
      this.sizes.disconnect();
    }

    attributeChangedCallback() {
      if (this.ready) this.take();
    }

    build() {
      const root = this.attachShadow({ mode: "open" });
      this.frame = document.createElement("div");
      this.tip = document.createElement("div");
      this.frame.className = "frame";
      this.tip.className = "tip";
      this.tip.hidden = true;
      this.repaint = () => this.chart && this.chart.redraw(false, false);
      this.sizes = new ResizeObserver(() => this.chart && this.chart.setSize(this.size()));
      const sheets = this.getAttribute("styles").split(" ").map((href) => {
        const link = document.createElement("link");
        link.rel = "stylesheet";
        link.href = href;
        return link;
      });
      const loaded = sheets.map((link) => new Promise((done) => { link.onload = link.onerror = done; }));
      root.append(...sheets, this.frame, this.tip);
      Promise.all(loaded).then(() => { this.ready = true; this.take(); });
      this.addEventListener("keydown", (event) => this.step(event));
      this.addEventListener("blur", () => this.leave());
    }

    colour(name) {
      return getComputedStyle(this).getPropertyValue(name).trim() || "currentColor";
    }

    size() {
      return { width: Math.max(120, Math.floor(this.clientWidth)), height: Number(this.getAttribute("height")) || HEIGHT };
    }

    take() {
      const before = this.panel && this.panel.lines.map((line) => line.role).join();
      this.panel = JSON.parse(this.getAttribute("series"));
      const under = (line) => line.role === "low" || line.role === "high";
      this.panel.lines.sort((a, b) => under(b) - under(a));
      this.judged = this.panel.lines.some((line) => line.role === "value" || line.role === "allowed");
      const data = [this.panel.at, ...this.panel.lines.map((line) => line.values.map((value) => this.fitted(value)))];
      if (this.chart && before === this.panel.lines.map((line) => line.role).join()) this.chart.setData(data);
      else {
        if (this.chart) this.chart.destroy();
        this.chart = new uPlot(this.options(), data, this.frame);
      }
    }

    // Evidence grows by powers of ten: beyond what decides, and below a hundredth, nothing more is to be seen.
    fitted(value) {
      if (value === null || !this.panel.log) return value;
      return Math.min(Math.max(value, 0.01), 10 * Math.max(...this.panel.thresholds.map((each) => each.value)));
    }

    options() {
      const axis = {
        stroke: () => this.colour("--soft"), font: "12px system-ui, sans-serif",
        grid: { stroke: () => this.colour("--line"), width: 1 }, ticks: { show: false },
      };
      return {
        ...this.size(),
        padding: [LABEL_PX, 22, 0, 4],
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC"),
        legend: { show: false },
        cursor: {
          drag: { x: false, y: false }, y: false,
          points: { size: 9, width: 2, stroke: (u, i) => u.series[i].stroke(u, i), fill: () => this.colour("--surface") },
        },
        scales: {
          x: { time: true, range: (u, least, most) => this.times(least, most) },
          y: this.panel.log
            ? { distr: 3, range: () => [0.01, 10 * Math.max(...this.panel.thresholds.map((each) => each.value))] }
            : { range: () => this.heights() },
        },
        axes: [
          { ...axis, size: 30, space: 90, values: (u, splits, i, space, step) => splits.map((at) => this.time(at, step)) },
          {
            ...axis, space: 32, ...(this.panel.log ? { splits: () => this.powers() } : {}),
            values: (u, splits) => this.values(splits),
            size: (u, values) => 14 + 6.6 * Math.max(4, ...(values || []).map((text) => (text || "").length)),
          },
        ],
        bands: this.bands(),
        series: [{}, ...this.panel.lines.map((line) => {
          const [colour, dash, width] = STROKES[line.role] || STROKES.value;
          return {
            label: line.name, stroke: () => this.colour(colour), width, dash, spanGaps: false,
            points: { show: false },
          };
        })],
        hooks: {
          draw: [(u) => this.drawThresholds(u), (u) => this.drawPoints(u), (u) => this.drawWords(u)],
          setCursor: [(u) => this.tell(u)],
        },
      };
    }

    bands() {
      const roles = this.panel.lines.map((line) => line.role);
      const [low, high] = [roles.indexOf("low") + 1, roles.indexOf("high") + 1];
      return low && high ? [{ series: [high, low], fill: () => this.colour("--moving-bg") }] : [];
    }

    times(least, most) {
      if (least == null) return [0, 1];
      if (this.panel.at.length === 1) return [least - 30, least + 30];
      const room = Math.max((most - least) * 0.02, most === least ? 30 : 0.5);
      return [least - room, most + room];
    }

    heights() {
      const values = [...this.panel.lines.flatMap((line) => line.values), ...this.panel.thresholds.map((each) => each.value)];
      const known = values.filter((value) => value !== null);
      let [least, most] = [Math.min(...known), Math.max(...known)];
      if (!known.length) return [0, 1];
      if (least >= 0 && least < 0.6 * most) least = 0;
      const room = (most - least) * 0.1 || Math.abs(most) * 0.5 || 1;
      return [least === 0 ? 0 : least - room, most + room];
    }

    time(at, step) {
      const text = new Date(at * 1e3).toISOString();
      if (step >= 86400) return text.slice(5, 10);
      return step >= 60 ? text.slice(11, 16) : text.slice(11, step < 1 ? 21 : 19);
    }

    values(splits) {
      return splits.map((value) => value === null ? "" : told(value, this.panel.unit));
    }

    powers() {
      const most = Math.log10(10 * Math.max(...this.panel.thresholds.map((each) => each.value)));
      return Array.from({ length: Math.floor(most + 1e-9) + 3 }, (_, place) => 10 ** (place - 2));
    }

    // Drawing happens in the canvas' own pixels: the thresholds' lines below the points, their words above all.
    drawThresholds(u) {
      const { ctx } = u, scale = uPlot.pxRatio, { left, width } = u.bbox;
      ctx.save();
      for (const [each, y] of this.thresholds(u)) {
        ctx.strokeStyle = this.toned(each);
        ctx.lineWidth = 1.5 * scale;
        ctx.setLineDash(each.good ? [8 * scale, 4 * scale] : [2 * scale, 3 * scale]);
        ctx.beginPath();
        ctx.moveTo(left, y);
        ctx.lineTo(left + width, y);
        ctx.stroke();
      }
      ctx.restore();
    }

    drawWords(u) {
      const { ctx } = u, scale = uPlot.pxRatio, { left, top, width, height } = u.bbox;
      let last = -Infinity;
      ctx.save();
      ctx.font = `${11.5 * scale}px system-ui, sans-serif`;
      ctx.textAlign = "right";
      for (const [each, y] of this.thresholds(u)) {
        const under = y - last < LABEL_PX * scale && y + LABEL_PX * scale < top + height;
        const words = ctx.measureText(each.says).width, at = under ? y + 3 * scale : y - 2 * scale;
        last = y;
        ctx.textBaseline = under ? "top" : "bottom";
        ctx.globalAlpha = 0.7;
        ctx.fillStyle = this.colour("--surface");
        ctx.fillRect(left + width - words - 6 * scale, under ? at : at - 13 * scale, words + 6 * scale, 13 * scale);
        ctx.globalAlpha = 1;
        ctx.fillStyle = this.toned(each);
        ctx.fillText(each.says, left + width - 3 * scale, at);
      }
      this.panel.status.forEach((status, place) => {
        if (status === "errored") this.shape(ctx, "errored", u.valToPos(this.panel.at[place], "x", true), top + height - 6 * scale, scale);
      });
      ctx.restore();
    }

    // Those within the axes, the highest first, with how high they lie.
    thresholds(u) {
      const { top, height } = u.bbox;
      return [...this.panel.thresholds].sort((a, b) => b.value - a.value)
        .map((each) => [each, u.valToPos(each.value, "y", true)])
        .filter(([, y]) => y >= top - 1 && y <= top + height + 1);
    }

    toned(each) {
      return this.colour(this.panel.log ? "--soft" : each.good ? "--pass" : "--stop");
    }

    drawPoints(u) {
      const { ctx } = u, scale = uPlot.pxRatio;
      const lines = this.panel.lines, many = this.panel.at.length > POINTS_DRAWN_MAX;
      ctx.save();
      ctx.setLineDash([]);
      ctx.lineWidth = 2 * scale;
      this.panel.status.forEach((status, place) => {
        const x = u.valToPos(this.panel.at[place], "x", true);
        if (status === "errored") return;
        lines.forEach((line, number) => {
          const value = u.data[number + 1][place];
          if (value === null || value === undefined) return;
          const y = u.valToPos(value, "y", true);
          const alone = u.data[number + 1][place - 1] == null && u.data[number + 1][place + 1] == null;
          if (this.judged && (line.role === "value" || line.role === "canary")) {
            if (status !== "passed" || !many || alone) this.shape(ctx, status, x, y, scale);
          } else if (["canary", "baseline", "harm", "safety", "estimate"].includes(line.role) && (!many || alone)) {
            this.shape(ctx, line.role === "baseline" || line.role === "safety" ? "hollow" : "dot", x, y, scale, STROKES[line.role][0]);
          }
        });
      });
      ctx.restore();
    }

    shape(ctx, kind, x, y, scale, colour) {
      const r = 4 * scale;
      ctx.lineWidth = 2 * scale;
      ctx.setLineDash([]);
      ctx.strokeStyle = ctx.fillStyle = this.colour(
        colour || { passed: "--pass", failed: "--stop", inconclusive: "--wait", errored: "--wait" }[kind]);
      ctx.beginPath();
      if (kind === "failed") {
        ctx.moveTo(x - r, y - r); ctx.lineTo(x + r, y + r); ctx.moveTo(x + r, y - r); ctx.lineTo(x - r, y + r);
        ctx.lineWidth = 2.5 * scale;
        ctx.stroke();
        ctx.lineWidth = 2 * scale;
        return;
      }
      if (kind === "inconclusive") { ctx.moveTo(x, y - r * 1.3); ctx.lineTo(x + r * 1.3, y); ctx.lineTo(x, y + r * 1.3); ctx.lineTo(x - r * 1.3, y); ctx.closePath(); }
      else if (kind === "errored") { ctx.moveTo(x, y - r * 1.2); ctx.lineTo(x + r * 1.2, y + r); ctx.lineTo(x - r * 1.2, y + r); ctx.closePath(); }
      else ctx.arc(x, y, kind === "passed" ? r * 0.9 : r * 0.7, 0, 2 * Math.PI);
      if (kind !== "passed" && kind !== "dot") {
        ctx.fillStyle = this.colour("--surface");
        ctx.fill();
        ctx.stroke();
      } else ctx.fill();
    }

    // What is under the pointer, or where the arrow keys went.
    tell(u) {
      const place = u.cursor.idx;
      if (place == null || u.cursor.left < 0) { this.tip.hidden = true; return; }
      const row = (text, kind) => Object.assign(document.createElement("div"), { textContent: text, className: kind });
      const { at, status, says, lines, unit } = this.panel;
      const parts = [row(`${clock.format(new Date(at[place] * 1e3))} UTC`, "at")];
      for (const line of lines) {
        if (line.values[place] !== null) parts.push(row(`${line.name}: ${told(line.values[place], unit)}`, "number"));
      }
      const said = [this.judged || status[place] === "errored" ? status[place] : "", says[place]].filter(Boolean).join(": ");
      if (said) parts.push(row(said, "says"));
      this.tip.replaceChildren(...parts);
      this.tip.hidden = false;
      const x = u.valToPos(at[place], "x") + u.bbox.left / uPlot.pxRatio;
      this.tip.classList.toggle("left", x > this.clientWidth / 2);
      this.tip.style.setProperty("--x", `${x}px`);
    }

    step(event) {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!way || !this.chart) return;
      event.preventDefault();
      const last = this.panel.at.length - 1, now = this.chart.cursor.idx;
      const place = this.tip.hidden || now == null ? last : Math.min(last, Math.max(0, now + way));
      this.chart.setCursor({ left: this.chart.valToPos(this.panel.at[place], "x"), top: 0 });
    }

    leave() {
      if (this.chart) this.chart.setCursor({ left: -10, top: -10 });
    }
  }

  customElements.define("metric-chart", MetricChart);
})();
