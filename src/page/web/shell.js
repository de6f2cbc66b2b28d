// What all faces have in common: the bar with its switches, the ruler, the tabs, and what is read aloud.

import { text } from "./strings.js";
import { el, setText, timeOf } from "./dom.js";
import { Feed } from "./feed.js";
import { Histogram } from "./histogram.js";
import { Ladder } from "./ladder.js";
import { Replay } from "./replay.js";
import { Ruler } from "./ruler.js";
import { Table } from "./table.js";

/// How often a screen reader is told how things stand.
const SUMMARY = 10_000;

export class Shell {
  #status = el("p", { class: "status" });
  #title = el("h1");
  #clock = el("time", { class: "clock" });
  #spoken = el("p", { class: "visually-hidden", "aria-live": "polite" });
  #alert = el("p", { class: "alert", role: "status", hidden: true });
  #freeze = el("button", { type: "button", "aria-pressed": "false", onclick: () => this.#toggleFreeze() }, text.freeze);
  #replayButton = el("button", { type: "button", onclick: () => this.#openReplay() }, text.replay);
  #panels = [];

  /// `extra` are more panels ({name, title, element}), `bar` what stands in the bar beside the switches, `actions` a row's
  /// buttons.
  constructor(face, { title, extra = [], bar = [], actions = null }) {
    this.feed = new Feed(face);
    this.name(title);
    this.ruler = new Ruler(this.feed);
    this.ladder = new Ladder(this.feed);
    this.table = new Table(this.feed, { choose: (session) => this.choose(session), actions });
    this.replay = new Replay(this.feed);
    if (face === "student") this.table.view = "student";
    this.#panels = [
      { name: "connections", title: text.connections, element: this.table.element },
      { name: "ladder", title: text.ladder, element: this.ladder.element },
      ...(face === "student" ? [] : [{ name: "histogram", title: text.histogram, element: new Histogram(this.feed).element }]),
      ...extra,
    ];
    this.element = el(
      "div",
      { class: `page ${face}` },
      el(
        "header",
        {},
        this.#title,
        this.#clock,
        this.#status,
        el("div", { class: "switches" }, this.#viewSwitch(), this.#freeze, this.#replayButton, bar, themeSwitch()),
      ),
      this.#alert,
      this.replay.element,
      this.ruler.element,
      this.#tabs(),
      el("main", {}, this.#panels.map(({ name, element }) => el("div", { id: `panel-${name}`, role: "tabpanel", "aria-labelledby": `tab-${name}`, hidden: name !== "connections" }, element))),
      this.#spoken,
    );
    // When the bar takes another line, there is room for fewer rows.
    new ResizeObserver(() => dispatchEvent(new Event("resize"))).observe(this.element.querySelector("header"));
    this.feed.addEventListener("change", () => this.#tell());
    this.feed.addEventListener("state", () => this.#showState());
    this.#tick();
    setInterval(() => this.#tick(), 1000);
    setInterval(() => this.#speak(), SUMMARY);
  }

  /// Shows a session in the ladder and on the ruler.
  choose(session) {
    this.ladder.show(session);
    this.ruler.mark(session);
    this.table.mark(session);
    this.open("ladder");
    this.element.querySelector("#tab-ladder").focus();
  }

  /// Says what this is all about.
  name(title) {
    setText(this.#title, title);
  }

  /// Opens a panel.
  open(name) {
    for (const panel of this.#panels) {
      const isOpen = panel.name === name;
      const tab = this.element.querySelector(`#tab-${panel.name}`);
      tab.setAttribute("aria-selected", isOpen);
      tab.tabIndex = isOpen ? 0 : -1;
      this.element.querySelector(`#panel-${panel.name}`).hidden = !isOpen;
    }
    dispatchEvent(new Event("resize"));
  }

  /// Shows or hides a panel's tab.
  offer(name, isThere) {
    this.element.querySelector(`#tab-${name}`).hidden = !isThere;
    if (!isThere && !this.element.querySelector(`#panel-${name}`).hidden) this.open("connections");
  }

  #tabs() {
    const tabs = this.#panels.map(({ name, title }, index) =>
      el("button", { type: "button", id: `tab-${name}`, role: "tab", "aria-controls": `panel-${name}`, "aria-selected": index === 0 ? "true" : "false", tabindex: index === 0 ? 0 : -1, onclick: () => this.open(name) }, title));
    const move = (event) => {
      const shown = tabs.filter((tab) => !tab.hidden);
      const at = shown.indexOf(document.activeElement);
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
      if (to === undefined || at < 0) return;
      event.preventDefault();
      const tab = shown.at(to % shown.length);
      tab.focus();
      tab.click();
    };
    return el("nav", { "aria-label": text.tabs }, el("div", { role: "tablist", onkeydown: move }, tabs));
  }

  #viewSwitch() {
    const choose = ({ target }) => this.table.show(target.value);
    const option = (value, label) => {
      const isChosen = this.table.view === value;
      return el("label", {}, el("input", { type: "radio", name: "view", value, checked: isChosen, onchange: choose }), label);
    };
    return el("fieldset", { class: "view" }, el("legend", { class: "visually-hidden" }, text.view), option("server", text.serverView), option("student", text.studentView));
  }

  #toggleFreeze() {
    if (this.feed.isLive) this.feed.freeze();
    else this.feed.show(null);
  }

  async #openReplay() {
    this.#replayButton.disabled = true;
    const problem = await this.replay.open();
    this.#replayButton.disabled = false;
    if (problem) this.#say(problem);
    this.#showState();
  }

  #say(sentence) {
    setText(this.#alert, sentence ?? "");
    this.#alert.hidden = !sentence;
  }

  #showState() {
    const { feed, replay } = this;
    const isFrozen = !feed.isLive && !replay.isOpen;
    this.#freeze.hidden = replay.isOpen;
    this.#replayButton.hidden = !feed.isLive;
    this.#freeze.setAttribute("aria-pressed", isFrozen);
    setText(this.#freeze, isFrozen ? text.resume : text.freeze);
    this.element.classList.toggle("still", !feed.isLive);
    if (feed.lostAt !== null) this.#say(text.disconnected(timeOf(feed.lostAt)));
    else this.#say(isFrozen ? text.frozen(timeOf(feed.now)) : null);
    this.#tick();
  }

  #tick() {
    setText(this.#clock, timeOf(this.feed.now));
  }

  /// How things stand, from the rows where they are not those of now.
  #counts() {
    const { rows } = this.feed.shown;
    const open = (kind) => [...rows.values()].filter((row) => row.kind === kind && row.state === "ESTABLISHED");
    const users = open("control").filter((row) => row.logged_in).length;
    return { sessions: open("control").length, users, transfers: open("data").length, all: rows.size };
  }

  #tell() {
    const { facts } = this.feed.shown;
    const { sessions, users, transfers } = this.#counts();
    const isStudent = this.feed.face === "student";
    const parts = [isStudent ? null : text.loggedIn(users), text.sessions(sessions + (facts?.left_out ?? 0)), text.transfers(transfers)];
    if (facts && this.feed.isLive && !isStudent) parts.push(text.passiveUsed(facts.passive_used, facts.passive_all));
    if (facts?.left_out) parts.push(text.leftOut(facts.left_out));
    setText(this.#status, parts.filter(Boolean).join(" · "));
  }

  #speak() {
    const { users, transfers, all } = this.#counts();
    setText(this.#spoken, text.summary(users, transfers, all));
  }
}

/// Light is for bright rooms, and the default; the choice stays with this browser.
function themeSwitch() {
  const root = document.documentElement;
  const put = (isDark) => {
    root.classList.toggle("dark", isDark);
    button.setAttribute("aria-pressed", isDark);
  };
  const button = el("button", { type: "button", onclick: () => {
    const isDark = !root.classList.contains("dark");
    localStorage.setItem("longshore-theme", isDark ? "dark" : "light");
    put(isDark);
  } }, text.theme);
  put(localStorage.getItem("longshore-theme") === "dark");
  return button;
}
