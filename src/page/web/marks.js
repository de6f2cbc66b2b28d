// What a mark rests on, and what the teacher decides about it: a dialog over the page.

import { text } from "./strings.js";
import { el, setText, timeOf } from "./dom.js";
import { post } from "./feed.js";

export class MarkDialog {
  #title = el("h2");
  #body = el("div", { class: "evidence" });
  #said = el("p", { role: "status", class: "said" });
  element = el(
    "dialog",
    { class: "mark", "aria-labelledby": "mark-title" },
    this.#title,
    this.#body,
    this.#said,
    el("form", { method: "dialog" }, el("button", {}, text.close)),
  );

  constructor() {
    this.#title.id = "mark-title";
  }

  /// Opens it for a student's mark, or without a task for the student.
  async open(student, task) {
    setText(this.#said, "");
    setText(this.#title, `${student.alias} (${student.full})${task ? `: ${task.id} ${task.title}` : ""}`);
    this.#body.replaceChildren();
    if (!this.element.open) this.element.showModal();
    if (task) {
      const answer = await fetch(`/teacher/marks/${encodeURIComponent(student.user)}`).catch(() => null);
      if (!answer?.ok) return setText(this.#said, text.failed);
      const { marks } = await answer.json();
      this.#ofTask(student, task, marks.find((mark) => mark.task === task.id));
    } else this.#ofStudent(student);
  }

  #ofTask(student, task, mark) {
    const manual = mark.source?.manual;
    const facts = [
      text.markOf(mark.points, task.points, text[`state_${mark.state}`]),
      text.attempts(mark.attempts, mark.hints),
      manual === undefined ? null : text.decidedFor(manual),
    ];
    const evidence = mark.evidence.map((entry) => el("li", {}, el("time", {}, timeOf(Date.parse(entry.time))), " ", el("code", {}, spoken(entry))));
    const points = el("input", { type: "number", name: "points", min: 0, max: task.points, value: mark.points, required: true });
    const reason = el("input", { type: "text", name: "reason", required: true, maxlength: 500 });
    const decide = (value) => this.#do("/teacher/decide", { user: student.user, task: task.id, points: value, reason: reason.value }, student, task);
    const form = el(
      "form",
      { class: "decide", onsubmit: (event) => {
        event.preventDefault();
        decide(Number(points.value));
      } },
      el("label", {}, text.points, points),
      el("label", {}, text.reason, reason),
      el("button", { class: "primary" }, text.decide),
      manual === undefined ? null : el("button", { type: "button", onclick: () => reason.reportValidity() && decide(null) }, text.takeBack),
      task.folder ? el("button", { type: "button", onclick: () => this.#do("/teacher/reset", { user: student.user, task: task.id }, student, task) }, text.resetTask) : null,
    );
    this.#body.replaceChildren(...facts.filter(Boolean).map((fact) => el("p", {}, fact)), el("h3", {}, text.evidence),
      evidence.length ? el("ol", {}, evidence) : el("p", {}, text.noEvidence), form);
  }

  #ofStudent(student) {
    const reset = () => {
      if (confirm(text.resetAsk(student.alias))) this.#do("/teacher/reset", { user: student.user }, student, null);
    };
    this.#body.replaceChildren(el("p", {}, text.pointsOf(student.points)), el("button", { type: "button", onclick: reset }, text.resetHome));
  }

  async #do(path, body, student, task) {
    const answer = await post(path, body).catch(() => null);
    const said = answer?.ok ? await answer.json() : { done: false, text: text.failed };
    if (said.done && task) await this.open(student, task);
    setText(this.#said, said.text);
  }
}

/// An entry of the journal in a line: what it is, and its details.
function spoken({ time, user, number, ...record }) {
  const [[kind, body]] = Object.entries(record);
  const [[what, details]] = Object.entries(kind === "seen" ? body.what : { [kind]: body });
  const shown = Object.entries(details ?? {}).filter(([, value]) => value !== null && value !== false);
  const words = shown.map(([name, value]) => `${name.replaceAll("_", " ")} ${typeof value === "object" ? JSON.stringify(value) : value}`);
  return `${what.replaceAll("_", " ")}${body?.session ? ` (${text.session(body.session)})` : ""}: ${words.join(", ")}`;
}
