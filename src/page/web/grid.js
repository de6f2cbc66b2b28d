// The class: students by tasks. A letter and a shape stand for how far somebody is, never a colour alone.

import { text } from "./strings.js";
import { el, flash, setText } from "./dom.js";

/// What the letters of the server stand for.
const STATES = {
  ".": { sign: "", word: text.state_open, name: "open" },
  "~": { sign: "~", word: text.state_tried, name: "tried" },
  x: { sign: "✓", word: text.state_done, name: "done" },
  "!": { sign: "!", word: text.state_decided, name: "decided" },
};

export class Grid {
  #choose;
  #tasks = [];
  #students = new Map();
  #lines = new Map();
  #head = el("tr");
  #body = el("tbody");
  #title = el("h2");

  /// `choose` is called with a student and a task that somebody wants to know more of.
  constructor(choose = null) {
    this.#choose = choose;
    const legend = Object.values(STATES).filter(({ name }) => choose || name !== "decided");
    this.element = el(
      "section",
      { class: "grid" },
      this.#title,
      el("ul", { class: "legend" }, legend.map(({ sign, word, name }) => el("li", {}, el("span", { class: `progress ${name}` }, sign), word))),
      el("div", { class: "scroller", tabindex: 0, role: "region", "aria-label": text.gridCaption },
        el("table", {}, el("caption", {}, text.gridCaption), el("thead", {}, this.#head), this.#body)),
    );
  }

  /// Takes over what the server tells of the class.
  take({ title, tasks, students = [] }) {
    if (title !== undefined) setText(this.#title, title);
    if (tasks) {
      this.#tasks = tasks;
      this.#students.clear();
      this.#lines.clear();
      this.#body.replaceChildren();
      this.#drawHead();
    }
    for (const student of students) this.#students.set(student.alias, student);
    const isNew = students.some(({ alias }) => !this.#lines.has(alias));
    for (const student of students) this.#draw(student);
    if (isNew) this.#sort();
  }

  #drawHead() {
    const head = (name, ...label) => el("th", { scope: "col", class: name }, ...label);
    const tasks = this.#tasks.map(({ id, title }) => el("th", { scope: "col", title, class: "task" }, id));
    this.#head.replaceChildren(head("name", text.name), ...(this.#choose ? [head("points", text.points)] : []), ...tasks);
  }

  /// Aliases tell nothing of the names, so their order does not, either.
  #sort() {
    const aliases = [...this.#lines.keys()].sort();
    this.#body.append(...aliases.map((alias) => this.#lines.get(alias).row));
  }

  #draw(student) {
    let line = this.#lines.get(student.alias);
    if (!line) {
      line = this.#line(student);
      this.#lines.set(student.alias, line);
    }
    if (line.points) setText(line.points, String(student.points ?? ""));
    [...student.states].forEach((letter, index) => {
      const cell = line.cells[index];
      if (!cell || cell.letter === letter) return;
      const { sign, word, name } = STATES[letter];
      const isChange = cell.letter !== null;
      cell.letter = letter;
      cell.shown.className = `progress ${name}`;
      setText(cell.shown, sign);
      cell.shown.setAttribute("aria-label", `${this.#tasks[index].id} ${word}`);
      cell.shown.title = `${this.#tasks[index].id} ${this.#tasks[index].title}: ${word}`;
      if (isChange) flash(cell.td);
    });
  }

  #line({ alias, full }) {
    const student = () => this.#students.get(alias);
    const cells = this.#tasks.map((task) => {
      const shown = this.#choose
        ? el("button", { type: "button", onclick: () => this.#choose(student(), task) })
        : el("span", { role: "img" });
      return { shown, td: el("td", {}, shown), letter: null };
    });
    const points = this.#choose ? el("td", { class: "points" }) : null;
    const name = this.#choose
      ? [el("button", { type: "button", class: "name", onclick: () => this.#choose(student(), null) }, alias), el("small", {}, full)]
      : [alias];
    const row = el("tr", {}, el("th", { scope: "row", class: "name" }, name), points, cells.map(({ td }) => td));
    return { row, cells, points };
  }
}
