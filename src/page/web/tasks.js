// A student's tasks: what is asked, how far it is, and a place for the answer.

import { text } from "./strings.js";
import { el, setText } from "./dom.js";
import { post } from "./feed.js";

export class Tasks {
  #title = el("h2");
  #points = el("p", { class: "points" });
  #list = el("ol", { class: "tasks" });
  #tasks = [];
  #items = [];
  element = el("section", { class: "lesson" }, this.#title, this.#points, this.#list);

  /// Takes over what the server tells of the class.
  take({ title, tasks, marks, points }) {
    if (title !== undefined) setText(this.#title, title);
    if (tasks) {
      this.#tasks = tasks;
      this.#items = tasks.map((task) => item(task));
      this.#list.replaceChildren(...this.#items.map(({ element }) => element));
    }
    marks?.forEach((mark, index) => this.#items[index].show(mark));
    if (points !== undefined) setText(this.#points, text.pointsOfAll(points, this.#tasks.reduce((sum, task) => sum + task.points, 0)));
  }
}

function item(task) {
  const state = el("span", { class: "progress" });
  const said = el("p", { class: "said", role: "status" });
  const send = async (path, body) => {
    const answer = await post(path, body).catch(() => null);
    const { done, text: sentence } = answer?.ok ? await answer.json() : { done: false, text: text.failed };
    said.classList.toggle("good", done);
    setText(said, sentence);
  };
  const input = el("input", { type: "text", name: task.id, required: true, maxlength: 500, autocomplete: "off", autocapitalize: "none", spellcheck: "false", "aria-label": text.answerTo(task.id) });
  const form = task.asks
    ? el("form", { onsubmit: (event) => {
        event.preventDefault();
        send("/student/answer", { task: task.id, text: input.value });
      } }, input, el("button", { class: "primary" }, text.answer))
    : null;
  const button = (label, path) => el("button", { type: "button", "aria-label": `${label} ${task.id}`, onclick: () => send(path, { task: task.id }) }, label);
  const element = el(
    "li",
    {},
    state,
    el("div", { class: "question" },
      el("h3", {}, `${task.id} ${task.title} `, el("small", {}, text.worth(task.points))),
      el("p", {}, task.ask),
      el("div", { class: "ways" }, form, task.hint ? button(text.hint, "/student/hint") : null, task.folder ? button(text.restore, "/student/restore") : null),
      said),
  );
  const show = (mark) => {
    const [sign, name] = { open: ["", "open"], tried: ["~", "tried"], done: ["✓", "done"] }[mark.state];
    state.className = `progress ${name}`;
    setText(state, sign);
    state.setAttribute("role", "img");
    state.setAttribute("aria-label", text[`state_${mark.state}`]);
    element.classList.toggle("finished", mark.state === "done");
    if (form) form.hidden = mark.state === "done";
  };
  return { element, show };
}
