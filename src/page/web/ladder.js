// The ladder of one session: what went over the control connection and over the data connections, from top to bottom,
// with the ports at both ends of every arrow.

import { text } from "./strings.js";
import { el, grouped, setText, timeOf } from "./dom.js";
import { tag } from "./ports.js";

export class Ladder {
  #feed;
  #session = null;
  #steps = [];
  #known = -1;
  #asked = 0;
  #title = el("h2");
  #note = el("p", { class: "empty" }, text.ladderEmpty);
  #list = el("ol", { class: "steps" });
  #scroller = el("div", { class: "scroller", tabindex: 0, hidden: true }, el("div", { class: "lanes", "aria-hidden": "true" }, el("span"), heading(text.controlLane), heading(text.dataLane)), this.#list);

  constructor(feed) {
    this.#feed = feed;
    this.element = el("section", { class: "ladder" }, this.#title, this.#note, this.#scroller);
    feed.addEventListener("change", () => this.#follow());
  }

  /// Shows another session.
  show(session) {
    this.#session = session;
    [this.#steps, this.#known] = [[], -1];
    this.#follow();
  }

  #row() {
    return this.#feed.shown.rows.get(`${this.#session}c`);
  }

  /// Asks for the events when there are new ones, twice a second at most.
  #follow() {
    if (this.#session === null) return;
    const row = this.#row();
    if (!this.#feed.isLive) return this.#draw();
    if (!row || row.steps === this.#known || this.#asked) return;
    this.#known = row.steps;
    const session = this.#session;
    this.#asked = setTimeout(() => {
      this.#asked = 0;
      this.#follow();
    }, 500);
    fetch(`/${this.#feed.face}/ladder/${session}`)
      .then((answer) => (answer.ok ? answer.json() : []))
      .then((steps) => {
        if (session !== this.#session) return;
        this.#steps = steps;
        this.#draw();
      })
      .catch(() => (this.#known = -1));
  }

  #draw() {
    const row = this.#row();
    if (row) setText(this.#title, text.ladderOf(row.name, row.session));
    const until = this.#feed.isLive ? Infinity : this.#feed.now;
    const steps = this.#steps.filter(({ at }) => at <= until);
    const isHidden = this.#feed.face !== "teacher" && this.#feed.live.facts?.switches.ports === false;
    setText(this.#note, steps.length ? "" : isHidden ? text.portsHidden : text.ladderGone);
    this.#note.hidden = steps.length > 0;
    const scroller = this.#scroller;
    scroller.hidden = steps.length === 0;
    const isAtEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 40;
    this.#list.replaceChildren(...drawn(steps));
    if (isAtEnd) scroller.scrollTop = scroller.scrollHeight;
  }
}

const heading = (lane) => el("div", { class: "lane" }, el("span", {}, text.client), el("span", {}, lane), el("span", {}, text.serverSide));

/// The steps as lines. The log has a command when it is over; here it stands where it began: what was offered goes with
/// its command, a transfer's command comes before its data connection, and a login follows what brought it.
function drawn(steps) {
  const lines = [];
  let [offer, begun, login] = [null, null, null];
  for (const step of steps) {
    if (step.event === "data_offered") offer = step;
    if (step.event === "login") {
      login = step;
      continue;
    }
    if (step.event === "data_opened" && step.verb) {
      begun = step.verb;
      const opening = { at: step.at, client_port: controlPort(steps), server_port: controlPort(steps, "server_port") };
      lines.push(line(opening, { lane: "control", arrows: [command(step.verb, step.path), ["left", "150", "reply"]] }));
    }
    const draw = DRAWN[step.event];
    if (!draw) continue;
    const drawing = draw(step, offer);
    if (step.event === "command") {
      if (begun === step.verb) drawing.arrows.shift();
      [offer, begun] = [null, null];
    }
    lines.push(line(step, drawing));
    if (login) lines.push(line(login, DRAWN.login(login)));
    login = null;
  }
  return lines;
}

/// The control connection's port at one end.
const controlPort = (steps, end = "client_port") => steps.find(({ event }) => event === "command" || event === "session_opened")?.[end];

const command = (verb, argument) => ["right", [verb || "?", argument].filter(Boolean).join(" "), "command"];

/// For each kind of event: the lane, arrows with their direction, and a note below.
const DRAWN = {
  session_opened: () => ({ lane: "control", arrows: [["right", text.opened]] }),
  session_closed: ({ reason }) => ({ lane: "control", arrows: [["none", text.closed(words(reason))]] }),
  tls_opened: ({ version }) => ({ lane: "control", arrows: [["none", text.encrypted(version)]] }),
  tls_failed: () => ({ lane: "control", arrows: [["none", text.tlsFailed]] }),
  login_delayed: ({ seconds }) => ({ lane: "control", arrows: [["none", text.loginDelayed(seconds)]] }),
  login: ({ outcome, user }) => ({
    lane: "control",
    arrows: [["none", outcome === "ok" ? text.loginOk(user) : text.loginFailed(words(outcome))]],
  }),
  command: ({ verb, argument, code }, offer) => ({
    lane: "control",
    arrows: [
      command(verb, argument),
      ["left", code ? [code, offer?.verb === verb && isPassive(verb) ? shownNumbers(offer) : ""].filter(Boolean).join(" ") : text.refused, "reply"],
    ],
    note: offer?.verb === verb && offer.numbers ? sum(offer) : null,
    noteTag: offer?.verb === verb ? offer.port : undefined,
  }),
  data_opened: ({ opened_by: by }) => ({ lane: "data", arrows: [[by === "client" ? "right" : "left", text.dataOpened(by)]] }),
  data_failed: ({ reason }) => ({ lane: "data", arrows: [["none", text.dataFailed(reason)]] }),
  transfer: ({ verb, path, bytes, outcome, closed_first: first }) => ({
    lane: "data",
    arrows: [[["STOR", "STOU", "APPE"].includes(verb) ? "right" : "left", text.transferred(verb, path ?? "", grouped(bytes), words(outcome)), "bytes"]],
    note: first ? text.closedFirst(first) : null,
  }),
};

const isPassive = (verb) => verb === "PASV" || verb === "EPSV";
const words = (name) => name.replaceAll("_", " ");
const shownNumbers = ({ numbers }) => (numbers ? `(${numbers})` : "");

/// Where the numbers of a command lead: `195 × 256 + 99 = 50019`.
function sum({ verb, numbers, port }) {
  const six = numbers.split(",");
  const spelled = six.length === 6 ? text.portIs(six[4], six[5], port) : String(port);
  return isPassive(verb) ? text.serverListens(spelled) : text.clientListens(spelled);
}

function line(step, { lane, arrows, note, noteTag }) {
  const end = (port) => el("span", { class: "end" }, port === undefined ? "" : String(port));
  const body = el(
    "div",
    { class: "arrows" },
    arrows.map(([direction, label, kind = ""]) => el("div", { class: `arrow ${direction} ${kind}` }, el("span", { class: "label" }, label))),
    note ? el("p", { class: "note" }, note, ...(noteTag === undefined ? [] : [" ", tag(noteTag)])) : null,
  );
  const own = el("div", { class: `lane ${lane}` }, end(step.client_port), body, end(step.server_port));
  const idle = el("div", { class: "lane control" }, el("span"), el("div", { class: "arrows" }), el("span"));
  return el("li", {}, el("time", {}, timeOf(step.at)), lane === "data" ? [idle, own] : own);
}
