// A student's face: the own connections and tasks.

import { text } from "./strings.js";
import { el } from "./dom.js";
import { post } from "./feed.js";
import { Shell } from "./shell.js";
import { signIn } from "./sign-in.js";
import { Tasks } from "./tasks.js";

export async function student() {
  const leave = el("button", { type: "button", onclick: async () => {
    await post("/student/sign-out", {});
    location.reload();
  } }, text.signOut);
  const isKnown = (await fetch("/student/ladder/0")).status !== 401;
  if (!isKnown) {
    await signIn(document.body, {
      title: text.signInStudent,
      fields: [{ name: "alias", label: text.alias }, { name: "pin", label: text.pin, type: "password" }],
      send: (values) => post("/student/sign-in", values),
    });
  }
  const tasks = new Tasks();
  const shell = new Shell("student", { title: text.faceStudent, bar: [leave], extra: [{ name: "tasks", title: text.tasks, element: tasks.element }] });
  shell.feed.addEventListener("news", ({ detail: { board } }) => {
    if (!board) return;
    tasks.take(board);
    if (board.title) shell.name(text.studentOf(board.alias, board.exam));
  });
  shell.feed.addEventListener("refused", () => location.reload());
  document.body.append(shell.element);
  shell.open("tasks");
  shell.feed.start();
}
