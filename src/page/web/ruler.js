// The port ruler: 0 to 65535 in IANA's three ranges, each with a length of its own, the server's kernel's range and the
// passive ports below, and a mark for every live port. Squares and diamonds are the server's ports, circles the clients'.

import { text } from "./strings.js";
import { el, pulse, setText, svg } from "./dom.js";
import { RANGES, classOf, split } from "./ports.js";

/// Where the ranges lie on an axis of 1000: to scale the system ports would be a line.
const PLACES = { system: [0, 170], user: [176, 580], dynamic: [586, 1000] };

/// Marks that are labelled with their port before labels would cover each other.
const LABELS = 24;

export class Ruler {
  #feed;
  #marks = new Map();
  #layers;
  #bands = svg("g");
  #summary = el("p", { class: "visually-hidden" });
  #note = el("p");
  #drawing = 0;
  #chosen = null;
  #width = 0;

  constructor(feed) {
    this.#feed = feed;
    this.#layers = { server: svg("g"), client: svg("g"), labels: svg("g", { class: "labels" }) };
    this.#svg = svg("svg", { class: "ruler", "aria-hidden": "true" }, this.#bands, ...Object.values(this.#layers));
    this.element = el("section", { class: "ruler", "aria-label": text.rulerLabel }, this.#svg, el("div", { class: "below" }, legend(), this.#note), this.#summary);
    feed.addEventListener("change", () => this.#soon());
    new ResizeObserver(() => this.#resize()).observe(this.#svg);
  }

  #svg;

  /// Says something beside what the shapes mean.
  note(sentence) {
    setText(this.#note, sentence);
  }

  /// Marks the ports of a session.
  mark(session) {
    this.#chosen = session;
    this.#soon();
  }

  #soon() {
    this.#drawing ||= requestAnimationFrame(() => {
      this.#drawing = 0;
      this.#draw();
    });
  }

  #resize() {
    const width = this.#svg.clientWidth;
    if (width === this.#width) return;
    this.#width = width;
    this.#em = parseFloat(getComputedStyle(this.#svg).fontSize);
    this.#drawBands();
    this.#soon();
  }

  /// The place of a port, in pixels.
  #x(port) {
    const name = classOf(port);
    const { low, high } = RANGES.find((range) => range.name === name);
    const [from, to] = PLACES[name];
    return this.#left + ((from + ((port - low) / (high - low)) * (to - from)) / 1000) * (this.#width - this.#left - 8);
  }

  /// Room for the names of the lanes.
  get #left() {
    return 6 * this.#em;
  }

  /// The size of its letters, which goes with the width.
  #em = 16;

  /// The middles of the lanes, in ems.
  #y(lane) {
    return { serverLabel: 0.6, server: 1.65, iana: 3.3, kernel: 4.75, passive: 5.75, client: 6.95, clientLabel: 8.05, clientLabel2: 9.0 }[lane] * this.#em;
  }

  #drawBands() {
    const em = this.#em;
    const bars = (name, low, high, lane, height) => {
      const parts = RANGES.filter((range) => range.low <= high && range.high >= low);
      return parts.map((range) => {
        const [from, to] = [this.#x(Math.max(low, range.low)), this.#x(Math.min(high, range.high))];
        return svg("rect", { class: name, x: from, y: this.#y(lane) - height / 2, width: Math.max(3, to - from), height, rx: 3 });
      });
    };
    const isNarrow = this.#width < 60 * em;
    this.#svg.classList.toggle("narrow", isNarrow);
    const iana = RANGES.map(({ name, low, high }) => {
      const at = { class: `band ${name}`, x: (this.#x(low) + this.#x(high)) / 2, y: this.#y("iana") };
      const words = [svg("tspan", { class: "word" }, text[name]), isNarrow ? null : svg("tspan", { dx: "0.5em" }, `${low}-${high}`)];
      return svg("g", {}, bars(name, low, high, "iana", 1.6 * em), svg("text", at, words));
    });
    // Their names stand before them, where no port of a client is.
    const named = (name, [low, high], label) =>
      svg("g", {}, bars(name, low, high, name, 0.7 * em), isNarrow ? null : svg("text", { class: `before ${name}`, x: this.#x(low) - 0.5 * em, y: this.#y(name) }, label(low, high)));
    const { kernel_range: kernel, passive_range: passive } = this.#feed.shown.facts ?? {};
    this.#bands.replaceChildren(
      svg("text", { class: "lane", x: 0, y: this.#y("server") }, text.serverSide),
      svg("text", { class: "lane", x: 0, y: this.#y("client") }, text.clientSide),
      ...iana,
      ...(kernel ? [named("kernel", kernel, text.kernelBand), named("passive", passive, text.passiveBand)] : []),
    );
    this.#ranges = JSON.stringify([kernel, passive]);
  }

  #ranges = "";

  #draw() {
    if (!this.#width) return;
    const { facts, rows } = this.#feed.shown;
    if (this.#ranges !== JSON.stringify([facts?.kernel_range, facts?.passive_range])) this.#drawBands();
    const wanted = this.#ports(rows, facts);
    for (const [key, mark] of this.#marks) {
      if (wanted.has(key)) continue;
      mark.remove();
      this.#marks.delete(key);
    }
    // Where there are too many to be labelled they take the labels' room, so that fewer cover each other.
    const isFull = [...wanted.values()].filter(({ lane }) => lane === "client").length > LABELS;
    for (const [key, port] of wanted) {
      let mark = this.#marks.get(key);
      if (!mark) {
        mark = this.#mark(port);
        this.#marks.set(key, mark);
        this.#layers[port.lane].append(mark);
        // In a crowd there is always a new one.
        if (!isFull) pulse(mark.firstChild);
      }
      const drop = isFull && port.lane === "client" ? ((port.port >> 1) % 5) * 0.5 * this.#em : 0;
      move(mark, this.#x(port.port), this.#y(port.lane) + drop);
      if (mark.classList.contains("chosen") !== port.chosen) mark.classList.toggle("chosen");
    }
    this.#label(wanted);
    this.#sum(wanted);
  }

  /// The ports that are in use: several connections at one port are one mark.
  #ports(rows, facts) {
    const ports = new Map();
    const add = (lane, shape, port, chosen) => {
      if (port === null || Number.isNaN(port)) return;
      const key = `${lane}${shape}${port}`;
      ports.set(key, { lane, shape, port, chosen: chosen || (ports.get(key)?.chosen ?? false) });
    };
    for (const address of facts?.listeners ?? []) add("server", "square", split(address).port, false);
    for (const row of rows.values()) {
      if (row.state !== "ESTABLISHED" && row.state !== "LISTEN" && row.state !== "TIME_WAIT") continue;
      const chosen = row.session === this.#chosen;
      add("server", row.kind === "data" && row.mode === "passive" ? "diamond" : "square", split(row.server).port, chosen);
      if (row.client) add("client", "circle", split(row.client).port, chosen);
    }
    return ports;
  }

  #mark({ shape, port }) {
    const size = 0.36 * this.#em;
    const shapes = {
      square: () => svg("rect", { x: -size, y: -size, width: 2 * size, height: 2 * size }),
      diamond: () => svg("path", { d: `M0 ${-1.35 * size}L${1.35 * size} 0 0 ${1.35 * size} ${-1.35 * size} 0Z` }),
      circle: () => svg("circle", { r: 1.05 * size }),
    };
    return svg("g", { class: `mark ${classOf(port)}` }, shapes[shape](), svg("title", {}, String(port)));
  }

  /// Ports in figures, where there is room for them; those of the chosen session first.
  #label(wanted) {
    const [labels, half] = [[], 1.6 * this.#em];
    for (const lanes of [["server"], ["client", "client"]]) {
      const all = [...wanted.values()].filter(({ lane }) => lane === lanes[0]);
      // Of many only those that say something by themselves.
      const few = all.length <= LABELS ? all : all.filter(({ chosen, shape }) => chosen || shape === "square");
      few.sort((a, b) => b.chosen - a.chosen || a.port - b.port);
      const taken = lanes.map(() => []);
      for (const { port, chosen } of few) {
        const x = Math.min(Math.max(this.#x(port), this.#left + half), this.#width - half);
        const row = taken.findIndex((others) => others.every((other) => Math.abs(other - x) >= 2 * half));
        if (row < 0) continue;
        taken[row].push(x);
        const y = this.#y(`${lanes[0]}Label${row ? row + 1 : ""}`);
        labels.push(svg("text", { class: chosen ? "chosen" : null, x, y }, String(port)));
      }
    }
    this.#layers.labels.replaceChildren(...labels);
  }

  #sum(wanted) {
    const count = (lane) => {
      const counts = { system: 0, user: 0, dynamic: 0 };
      for (const port of wanted.values()) if (port.lane === lane) counts[classOf(port.port)] += 1;
      return text.counts(counts);
    };
    setText(this.#summary, text.rulerSummary(count("server"), count("client")));
  }
}

/// Puts a mark in its place, if it is in another.
function move(mark, x, y) {
  const place = `translate(${x.toFixed(1)} ${y.toFixed(1)})`;
  if (mark.getAttribute("transform") !== place) mark.setAttribute("transform", place);
}

/// What the shapes mean.
function legend() {
  const item = (shape, label) => {
    const drawn = {
      square: svg("rect", { x: 4, y: 4, width: 12, height: 12 }),
      diamond: svg("path", { d: "M10 1L19 10 10 19 1 10Z" }),
      circle: svg("circle", { cx: 10, cy: 10, r: 7 }),
    };
    return el("li", {}, svg("svg", { viewBox: "0 0 20 20", "aria-hidden": "true" }, drawn[shape]), label);
  };
  return el("ul", { class: "legend" }, item("square", text.markServer), item("diamond", text.markPassive), item("circle", text.markClient));
}
