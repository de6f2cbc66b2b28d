// How many client ports were seen in each range of 1,024: the book's ranges beside what systems really use.

import { text } from "./strings.js";
import { el, setText, svg } from "./dom.js";
import { RANGES, classOf } from "./ports.js";

const BIN = 1024;

export class Histogram {
  #feed;
  #drawn = null;
  #svg = svg("svg", { class: "histogram", viewBox: "0 0 1000 330", role: "img", "aria-label": text.histogramCaption });
  #counts = el("p", { class: "counts" });
  #empty = el("p", { class: "empty" });

  constructor(feed) {
    this.#feed = feed;
    this.element = el("section", { class: "histogram" }, el("h2", {}, text.histogramCaption), this.#counts, this.#svg, this.#empty);
    feed.addEventListener("change", () => this.#draw());
    // Whoever opens a panel says that there is another size.
    addEventListener("resize", () => this.#draw());
  }

  #draw() {
    const { histogram, facts } = this.#feed.shown;
    if (this.element.offsetParent === null) return;
    if (histogram === this.#drawn && histogram !== null) return;
    this.#drawn = histogram;
    const all = (histogram ?? []).reduce((sum, count) => sum + count, 0);
    this.#svg.toggleAttribute("hidden", all === 0);
    setText(this.#empty, histogram === null && facts ? text.portsHidden : all === 0 ? text.histogramEmpty : "");
    this.#empty.hidden = all > 0;
    this.#counts.replaceChildren(...(all ? this.#sums(histogram) : []));
    if (all) this.#bars(histogram);
  }

  #sums(histogram) {
    return RANGES.map(({ name, low, high }) => {
      const count = histogram.slice(low / BIN, (high + 1) / BIN).reduce((sum, each) => sum + each, 0);
      return el("span", {}, el("span", { class: `tag ${name}` }, text[name]), ` ${low}-${high}: `, el("strong", {}, String(count)));
    });
  }

  #bars(histogram) {
    const most = Math.max(...histogram);
    const x = (port) => (port / 65536) * 1000;
    const bars = histogram.map((count, bin) => {
      const [low, height] = [bin * BIN, count === 0 ? 0 : 4 + (count / most) * 216];
      const bar = svg("rect", { class: classOf(low), x: x(low) + 1, y: 230 - height, width: x(BIN) - 2, height });
      return svg("g", {}, bar, svg("title", {}, text.histogramBin(low, low + BIN - 1, count)));
    });
    const band = (name, low, high, y, label) =>
      svg("g", {}, svg("rect", { class: `band ${name}`, x: x(low), y, width: x(high + 1) - x(low), height: 20, rx: 3 }),
        svg("text", { class: "band", x: x(low) - 8, y: y + 10 }, label));
    this.#svg.replaceChildren(
      svg("line", { x1: 0, y1: 230, x2: 1000, y2: 230 }),
      ...bars,
      ...[0, 16384, 32768, 49152, 65535].map((port) => svg("text", { class: "tick", x: Math.min(Math.max(x(port), 18), 978), y: 246 }, String(port))),
      band("kernel", 32768, 60999, 268, text.linuxDefault),
      band("dynamic", 49152, 65535, 298, text.ianaDynamic),
      svg("text", { class: "most", x: 0, y: 14 }, String(most)),
    );
  }
}
