// The last minutes once more: a slider over what the server has kept.

import { text } from "./strings.js";
import { el, setText, timeOf } from "./dom.js";
import { Moment } from "./feed.js";

export class Replay {
  #feed;
  #start = [];
  #frames = [];
  #playing = 0;
  #at = 0;
  #slider = el("input", { type: "range", min: 0, "aria-label": text.replayPosition, oninput: () => this.#go(Number(this.#slider.value)) });
  #play = el("button", { type: "button", onclick: () => (this.#playing ? this.#stop() : this.#run()) }, text.replayPlay);
  #speed = el("select", {}, ["1", "2", "5", "10"].map((speed) => el("option", { value: speed }, `${speed}×`)));
  #time = el("output", { class: "moment" });

  constructor(feed) {
    this.#feed = feed;
    const back = el("button", { type: "button", class: "primary", onclick: () => this.close() }, text.back);
    this.element = el("div", { class: "replay", hidden: true }, this.#play, this.#slider, this.#time, el("label", {}, text.replaySpeed, this.#speed), back);
  }

  get isOpen() {
    return !this.element.hidden;
  }

  /// Fetches what the server has kept, and shows its beginning. Returns what is to be said when that fails.
  async open() {
    const answer = await fetch(`/${this.#feed.face}/replay`).catch(() => null);
    if (!answer?.ok) return answer?.status === 503 ? text.replayBusy : text.failed;
    const { rows, frames } = await answer.json();
    if (frames.length === 0) return text.replayEmpty;
    [this.#start, this.#frames] = [rows, frames];
    this.#slider.max = Math.ceil((frames.at(-1).at - this.#begin) / 1000);
    this.element.hidden = false;
    this.#go(0);
    this.#slider.focus();
    return null;
  }

  close() {
    this.#stop();
    this.element.hidden = true;
    [this.#start, this.#frames] = [[], []];
    this.#feed.show(null);
  }

  /// A second before the first change.
  get #begin() {
    return this.#frames[0].at - 1000;
  }

  /// Shows the moment so many seconds behind the beginning.
  #go(seconds) {
    this.#at = seconds;
    const moment = new Moment();
    moment.now = this.#begin + seconds * 1000;
    moment.take({ rows: this.#start, now: moment.now, facts: this.#feed.live.facts, histogram: this.#feed.live.histogram });
    for (const frame of this.#frames) {
      if (frame.at > moment.now) break;
      moment.take(frame);
    }
    this.#slider.value = seconds;
    this.#slider.setAttribute("aria-valuetext", timeOf(moment.now));
    setText(this.#time, text.replayAt(timeOf(moment.now)));
    this.#feed.show(moment);
  }

  #run() {
    if (this.#at >= Number(this.#slider.max)) this.#go(0);
    setText(this.#play, text.replayPause);
    const step = () => {
      if (this.#at >= Number(this.#slider.max)) return this.#stop();
      this.#go(this.#at + 1);
      this.#playing = setTimeout(step, 1000 / Number(this.#speed.value));
    };
    this.#playing = setTimeout(step, 1000 / Number(this.#speed.value));
  }

  #stop() {
    clearTimeout(this.#playing);
    this.#playing = 0;
    setText(this.#play, text.replayPlay);
  }
}
