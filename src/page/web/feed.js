// What the server tells: a snapshot, then the changes. Freezing and replaying only change what is shown of it.

import { text } from "./strings.js";

/// The rows of a moment, and what is true of the server as a whole. Rows are replaced, never changed, so that a copy
/// of the map is a copy of the moment.
export class Moment {
  rows = new Map();
  facts = null;
  histogram = null;
  now = Date.now();

  copy() {
    return Object.assign(new Moment(), this, { rows: new Map(this.rows) });
  }

  /// Takes over a change.
  take({ rows, gone = [], afresh, facts, histogram, now }) {
    if (afresh) this.rows.clear();
    for (const row of rows) this.rows.set(row.id, row);
    for (const id of gone) this.rows.delete(id);
    if (facts) this.facts = facts;
    if (histogram) this.histogram = histogram;
    if (now) this.now = now;
  }
}

/// The connection to the server. Listeners: `change` when something is to be drawn, `state` when the connection, the
/// freeze or the replay is another, `refused` when whoever looks must sign in.
export class Feed extends EventTarget {
  live = new Moment();
  #shown = null;
  #source = null;
  #retry = 0;
  /// How far this computer's clock is ahead of the server's.
  #ahead = 0;
  lostAt = null;

  constructor(face) {
    super();
    this.face = face;
    // A tab in the background needs no news, and browsers allow six connections to a server.
    document.addEventListener("visibilitychange", () => (document.hidden ? this.stop() : this.start()));
  }

  start() {
    if (this.#source) return;
    clearTimeout(this.#retry);
    this.#source = new EventSource(`/${this.face}/feed`);
    this.#source.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    this.#source.onerror = () => this.#lost();
  }

  stop() {
    this.#source?.close();
    this.#source = null;
    clearTimeout(this.#retry);
  }

  /// What is shown: now, a frozen moment, or one of the replay.
  get shown() {
    return this.#shown ?? this.live;
  }

  get isLive() {
    return this.#shown === null;
  }

  /// The server's time, as it is for what is shown.
  get now() {
    return this.isLive ? Date.now() - this.#ahead : this.#shown.now;
  }

  /// Shows this moment and no news; null shows what happens again.
  show(moment) {
    this.#shown = moment;
    this.#tell("state");
    this.#tell("change", { afresh: true, rows: [], gone: [] });
  }

  freeze() {
    const moment = this.live.copy();
    moment.now = this.now;
    this.show(moment);
  }

  #receive(change) {
    this.#ahead = Date.now() - change.now;
    this.live.take(change);
    if (this.lostAt !== null) {
      this.lostAt = null;
      this.#tell("state");
    }
    this.#tell("news", change);
    if (this.isLive) this.#tell("change", change);
  }

  /// The browser tries again by itself, unless it was refused.
  async #lost() {
    if (this.lostAt === null) {
      this.lostAt = Date.now();
      this.#tell("state");
    }
    if (this.#source?.readyState !== EventSource.CLOSED) return;
    this.stop();
    const answer = await fetch(`/${this.face}/ladder/0`).catch(() => null);
    if (answer?.status === 401) this.#tell("refused");
    else if (!document.hidden) this.#retry = setTimeout(() => this.start(), 3000);
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/// Sends something to the server; the answer says how it went.
export function post(path, body) {
  return fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

/// What the row's owner is called on this face.
export const nameOf = (row) => row.name ?? text.session(row.session);
