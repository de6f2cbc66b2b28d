// The table of connections in netstat's words. Rows keep their place, only cells change, and what has changed flashes.

import { text } from "./strings.js";
import { ageOf, el, flash, grouped, setText } from "./dom.js";
import { nameOf } from "./feed.js";
import { split, tag } from "./ports.js";

/// Columns with the names of their classes; the narrowest screens leave out the last of `thin` first.
const COLUMNS = ["name", "proto", "local", "foreign", "state", "clientPort", "mode", "command", "code", "bytes", "age"];

export class Table {
  /// The side that counts as local.
  view = "server";
  #feed;
  #choose;
  #actions;
  #lines = new Map();
  #order = [];
  #page = 0;
  #size = "fit";
  #wanted = "";
  #turning = 0;
  #body = el("tbody");
  /// In place of the rows above and below the window, where all are wanted.
  #above = el("tr", { class: "gap", "aria-hidden": "true" });
  #below = el("tr", { class: "gap", "aria-hidden": "true" });
  #listeners = "";
  #empty = el("p", { class: "empty" });
  #range = el("span", { class: "range" });
  #chosen = null;

  /// `choose` is called with the number of a session that somebody wants to see; `actions` gives a row's buttons.
  constructor(feed, { choose, actions = null }) {
    this.#feed = feed;
    this.#choose = choose;
    this.#actions = actions;
    const columns = actions ? [...COLUMNS, "actions"] : COLUMNS;
    const head = columns.map((name) => el("th", { scope: "col", class: name }, text[name]));
    this.#scroller = el(
      "div",
      { class: "scroller", tabindex: 0, role: "region", "aria-label": text.tableCaption },
      el("table", { class: "connections" }, el("caption", {}, text.tableCaption), el("thead", {}, el("tr", {}, head)), this.#body),
      this.#empty,
    );
    this.element = el("div", { class: "table" }, this.#tools(), this.#scroller);
    feed.addEventListener("change", ({ detail }) => this.#update(detail));
    addEventListener("resize", () => this.#layOut());
    addEventListener("scroll", () => this.#size === "all" && this.#layOut(), { passive: true });
    setInterval(() => this.#tick(), 1000);
  }

  #scroller;

  #tools() {
    const button = (label, sign, step) =>
      el("button", { type: "button", "aria-label": label, title: label, onclick: () => this.#turn(step) }, sign);
    const sizes = ["fit", "50", "all"].map((size) => el("option", { value: size }, text[size] ?? size));
    const turn = ({ target }) => {
      clearInterval(this.#turning);
      if (target.checked) this.#turning = setInterval(() => this.#turn(1), 10_000);
    };
    const find = ({ target }) => {
      this.#wanted = target.value.trim().toLowerCase();
      this.#page = 0;
      this.#sort();
    };
    const resize = ({ target }) => {
      this.#size = target.value;
      this.#page = 0;
      this.#layOut();
    };
    return el(
      "div",
      { class: "tools" },
      el("label", {}, text.filter, el("input", { type: "search", placeholder: text.filterHint, oninput: find })),
      el("label", {}, text.rowsPerPage, el("select", { onchange: resize }, sizes)),
      el("label", {}, el("input", { type: "checkbox", onchange: turn }), text.turn),
      el("span", { class: "pager" }, button(text.previous, "‹", -1), this.#range, button(text.next, "›", 1)),
    );
  }

  /// Which side's netstat the table is.
  show(view) {
    this.view = view;
    this.#sort();
    for (const id of this.#lines.keys()) this.#fill(id, false);
  }

  /// Marks the rows of a session.
  mark(session) {
    this.#chosen = session;
    for (const [id, line] of this.#lines) line.row.classList.toggle("chosen", this.#row(id)?.session === session);
  }

  #update({ rows, gone, afresh }) {
    const moment = this.#feed.shown;
    const known = new Set(this.#order);
    const isNew = rows.some(({ id }) => !known.has(id)) || gone.some((id) => known.has(id));
    if (afresh || isNew || this.#wanted || String(moment.facts?.listeners) !== this.#listeners) this.#sort();
    if (afresh) {
      for (const id of this.#lines.keys()) {
        this.#fill(id, false);
        // It may be another moment.
        this.#age(id);
      }
    } else for (const { id } of rows) if (this.#lines.has(id)) this.#fill(id, true);
  }

  /// What a row shows; listeners have rows, too.
  #row(id) {
    if (!id.startsWith("l")) return this.#feed.shown.rows.get(id);
    const server = id.slice(1);
    const client = server.startsWith("[") ? "[::]:*" : "0.0.0.0:*";
    return { id, kind: "listener", server, client, state: "LISTEN", place: -1 };
  }

  #sort() {
    const moment = this.#feed.shown;
    this.#listeners = String(moment.facts?.listeners);
    const rows = [...moment.rows.values()].filter((row) => this.#matches(row));
    rows.sort((a, b) => a.place - b.place || (a.kind < b.kind ? -1 : 1));
    const listeners = this.view === "server" && !this.#wanted && this.#feed.face !== "student" ? moment.facts?.listeners ?? [] : [];
    this.#order = [...listeners.map((address) => `l${address}`), ...rows.map(({ id }) => id)];
    this.#layOut();
  }

  #matches(row) {
    if (!this.#wanted) return true;
    const words = [nameOf(row), row.full, row.server, row.client, row.state, row.verb, row.argument];
    return words.some((word) => word?.toLowerCase().includes(this.#wanted));
  }

  /// The height of a row, all of which have a line each.
  get #height() {
    return this.#body.querySelector("tr:not(.gap)")?.offsetHeight || 36;
  }

  /// How many rows there is room for.
  #room() {
    if (this.#size !== "fit") return this.#size === "all" ? Infinity : Number(this.#size);
    const top = this.#body.getBoundingClientRect().top + scrollY;
    return Math.max(8, Math.floor((innerHeight - top - 12) / this.#height));
  }

  #turn(step) {
    const pages = Math.max(1, Math.ceil(this.#order.length / this.#room()));
    this.#page = (this.#page + step + pages) % pages;
    this.#layOut();
  }

  /// Which rows are there: those of the page, or of all those in and near the window.
  #span() {
    if (this.#size === "all") {
      const [height, top] = [this.#height, this.#body.getBoundingClientRect().top];
      const from = Math.max(0, Math.floor(-top / height) - 10);
      const to = Math.min(this.#order.length, from + Math.ceil(innerHeight / height) + 20);
      this.#above.style.height = `${from * height}px`;
      this.#below.style.height = `${(this.#order.length - to) * height}px`;
      return [from, to];
    }
    const room = this.#room();
    this.#page = Math.max(0, Math.min(this.#page, Math.ceil(this.#order.length / room) - 1));
    return [this.#page * room, Math.min(this.#order.length, (this.#page + 1) * room)];
  }

  /// Puts the lines that are shown in their order, and makes those that are missing.
  #layOut() {
    const [from, to] = this.#span();
    const ids = this.#order.slice(from, to);
    const wanted = new Set(ids);
    for (const [id, line] of this.#lines) {
      if (wanted.has(id)) continue;
      line.row.remove();
      this.#lines.delete(id);
    }
    let before = null;
    for (const [index, id] of ids.entries()) {
      if (!this.#lines.has(id)) {
        this.#lines.set(id, this.#line(id));
        this.#fill(id, false);
      }
      const { row } = this.#lines.get(id);
      const place = before ? before.nextSibling : this.#first();
      if (place !== row) this.#body.insertBefore(row, place);
      before = row;
      // The head is the first.
      row.setAttribute("aria-rowindex", from + index + 2);
    }
    if (this.#size === "all") {
      this.#body.prepend(this.#above);
      this.#body.append(this.#below);
    } else {
      this.#above.remove();
      this.#below.remove();
    }
    const nobody = this.#feed.face === "student" ? text.emptyStudent : text.empty;
    const isEmpty = this.#feed.shown.rows.size === 0;
    const sentence = isEmpty ? nobody : ids.length === 0 ? text.noMatch : "";
    this.#empty.hidden = sentence === "";
    this.#empty.replaceChildren(sentence, ...(isEmpty ? [el("code", {}, this.#invitation())] : []));
    const all = this.#order.length;
    this.#body.parentElement.setAttribute("aria-rowcount", all + 1);
    setText(this.#range, all && this.#size !== "all" ? text.range(from + 1, to, all) : all ? String(all) : "");
  }

  #first() {
    return this.#above.isConnected ? this.#above.nextSibling : this.#body.firstChild;
  }

  /// What to type to be the first.
  #invitation() {
    const listener = this.#feed.shown.facts?.listeners[0];
    return listener ? `ftp ${location.hostname.replace(/^\[|\]$/g, "")} ${split(listener).port}` : "";
  }

  #line(id) {
    const { session, kind } = this.#row(id);
    const cells = Object.fromEntries(COLUMNS.map((name) => [name, el(name === "name" ? "th" : "td", { class: name })]));
    cells.name.setAttribute("scope", "row");
    const row = el("tr", { class: kind, "data-id": id }, Object.values(cells));
    if (kind === "control") {
      cells.name.append(el("button", { type: "button", class: "name", onclick: () => this.#choose(session) }));
    }
    if (this.#actions) row.append(el("td", { class: "actions" }, kind === "control" ? this.#actions(session, () => this.#row(id)) : []));
    row.classList.toggle("chosen", session !== undefined && session === this.#chosen);
    return { row, cells, words: {} };
  }

  /// Brings a line up to date. Only what is another than before is touched.
  #fill(id, flashes) {
    const { row: line, cells, words } = this.#lines.get(id);
    const row = this.#row(id);
    if (!row) return;
    const isOpen = row.state === "LISTEN" || row.state === "ESTABLISHED";
    line.classList.toggle("over", !isOpen);
    const put = (name, word, draw) => {
      if (words[name] === word) return;
      const isChange = words[name] !== undefined;
      words[name] = word;
      if (draw) draw(cells[name]);
      else cells[name].textContent = word;
      // Bytes change all the time, which says nothing.
      if (flashes && isChange && name !== "bytes") flash(cells[name]);
    };
    const [local, foreign] = this.view === "server" ? [row.server, row.client] : [row.client, row.server];
    put("name", this.#nameOf(row), (cell) => this.#drawName(cell, row));
    put("proto", row.server.startsWith("[") ? "tcp6" : "tcp");
    put("local", local ?? "", (cell) => drawAddress(cell, local));
    put("foreign", foreign ?? "", (cell) => drawAddress(cell, foreign));
    put("state", this.#stateOf(row));
    put("clientPort", row.kind === "listener" ? "" : row.client ?? "", (cell) => drawClass(cell, row));
    put("mode", this.#modeOf(row), (cell) => this.#drawMode(cell, row));
    put("command", row.kind === "listener" ? "" : `${row.verb} ${row.argument}`.trim(), (cell) => {
      cell.textContent = cell.title = words.command;
    });
    put("code", row.code ? String(row.code) : "", (cell) => drawCode(cell, row.code));
    put("bytes", row.bytes === null || row.bytes === undefined ? "" : grouped(row.bytes));
    // Else it would be ahead of its neighbours', which wait for the next second.
    const span = `${row.opened} ${row.ended}`;
    if (words.span !== span) this.#age(id);
    words.span = span;
  }

  #nameOf(row) {
    if (row.kind === "listener") return text.server;
    return row.kind === "data" ? text.data : `${nameOf(row)}${row.full ? ` ${row.full}` : ""}${row.tls ? " TLS" : ""}`;
  }

  #drawName(cell, row) {
    if (row.kind !== "control") {
      cell.textContent = this.#nameOf(row);
      return;
    }
    const button = cell.firstChild;
    button.textContent = nameOf(row);
    button.setAttribute("aria-label", text.showSession(nameOf(row)));
    cell.replaceChildren(
      button,
      ...(row.full ? [el("small", {}, row.full)] : []),
      ...(row.tls ? [el("small", { class: "tls" }, "TLS")] : []),
    );
  }

  /// netstat's word on the side that is shown: only one side has the TIME_WAIT.
  #stateOf({ state, closed_first: keeper }) {
    const own = this.view === "server" ? "server" : "client";
    return state === "TIME_WAIT" && keeper !== own ? "CLOSED" : state;
  }

  #modeOf({ mode }) {
    return mode ? `${mode} ${this.view}` : "";
  }

  /// The arrow leads from who opened the connection to the other, in the order of the two address columns.
  #drawMode(cell, { mode }) {
    if (!mode) return cell.replaceChildren();
    const byClient = mode === "passive";
    const arrow = byClient === (this.view === "server") ? "←" : "→";
    const label = byClient ? text.openedByClient : text.openedByServer;
    cell.replaceChildren(text[mode], el("span", { class: "arrow", role: "img", "aria-label": label, title: label }, arrow));
  }

  #age(id) {
    const row = this.#row(id);
    const word = row?.opened ? ageOf((row.ended ?? this.#feed.now) - row.opened) : "";
    setText(this.#lines.get(id).cells.age, word);
  }

  #tick() {
    if (this.#feed.isLive) for (const id of this.#lines.keys()) this.#age(id);
  }
}

/// The port is what matters: of a long address the beginning gives way.
function drawAddress(cell, address) {
  if (!address) return cell.replaceChildren("*");
  const { ip, port } = address.endsWith(":*") ? { ip: address.slice(0, -2), port: "*" } : split(address);
  cell.replaceChildren(
    el("span", { class: "address", title: address }, el("span", { class: "ip" }, ip), el("span", { class: "port" }, `:${port ?? "····"}`)),
  );
}

function drawClass(cell, { kind, client }) {
  const port = kind !== "listener" && client ? split(client).port : null;
  cell.replaceChildren(...(port === null ? [] : [tag(port)]));
}

/// Reply codes by their first digit: good, on the way, or refused.
function drawCode(cell, code) {
  const kind = code >= 500 ? "bad" : code >= 400 ? "odd" : "good";
  cell.replaceChildren(...(code ? [el("span", { class: `code ${kind}` }, String(code))] : []));
}
