// The teacher's face: everything, and what can be done about it.

import { text } from "./strings.js";
import { el } from "./dom.js";
import { nameOf, post } from "./feed.js";
import { Grid } from "./grid.js";
import { MarkDialog } from "./marks.js";
import { Shell } from "./shell.js";
import { signIn, teacherByLink } from "./sign-in.js";

export async function teacher() {
  const isKnown = (await teacherByLink()) || (await fetch("/teacher/ladder/0")).status !== 401;
  if (!isKnown) {
    await signIn(document.body, {
      title: text.signInTeacher,
      help: text.signInTeacherHelp,
      fields: [{ name: "token", label: text.token, type: "password" }],
      send: ({ token }) => post("/teacher/sign-in", { token: token.split("#").at(-1) }),
    });
  }
  const leave = el("button", { type: "button", onclick: async () => {
    await post("/teacher/sign-out", {});
    location.reload();
  } }, text.signOut);
  const switches = [projectorSwitch("files", text.showFiles), projectorSwitch("grid", text.showGrid)];
  const dialog = new MarkDialog();
  const grid = new Grid((student, task) => dialog.open(student, task));
  const notices = el("ul", { class: "notices", "aria-label": text.notices, hidden: true });
  const extra = [
    { name: "tasks", title: text.tasks, element: el("div", {}, notices, grid.element) },
    { name: "exports", title: text.exports, element: exports() },
  ];
  const shell = new Shell("teacher", { title: text.faceTeacher, bar: [...switches.map(({ element }) => element), leave], extra, actions });
  const offer = (isThere) => {
    for (const { name } of extra) shell.offer(name, isThere);
    switches[1].element.hidden = !isThere;
  };
  offer(false);
  shell.feed.addEventListener("news", ({ detail: { board, facts } }) => {
    if (facts) for (const each of switches) each.show(facts.switches);
    if (!board) return;
    grid.take(board);
    if (board.tasks) offer(true);
    if (board.title) shell.name(text.teacherOf(text.lesson(board.title, board.exam)));
    if (board.notices) {
      notices.replaceChildren(...board.notices.map((notice) => el("li", {}, notice)));
      notices.hidden = board.notices.length === 0;
    }
  });
  shell.feed.addEventListener("refused", () => location.reload());
  document.body.append(shell.element, dialog.element);
  shell.feed.start();
}

/// Links to the marks in every form. They are files to keep: this page shows none of them.
function exports() {
  const [byTask, bom] = [text.byTask, text.withBom].map((label) => {
    const input = el("input", { type: "checkbox" });
    return { input, label: el("label", {}, input, label) };
  });
  const link = (format) => {
    const anchor = el("a", { href: `/teacher/export/${format}`, download: "" }, text[`export_${format}`]);
    anchor.addEventListener("click", () => {
      anchor.href = `/teacher/export/${format}?by_task=${byTask.input.checked}&bom=${bom.input.checked}`;
    });
    return el("li", {}, anchor);
  };
  return el(
    "section",
    { class: "exports" },
    el("h2", {}, text.exportsTitle),
    el("p", {}, text.exportsHelp),
    el("p", { class: "choices" }, byTask.label, bom.label),
    el("ul", {}, ["moodle", "canvas", "long", "evidence", "report"].map(link)),
  );
}

/// A row's buttons; `row` gives the row as it is then.
function actions(session, row) {
  const kick = () => {
    if (confirm(text.kickAsk(nameOf(row())))) post("/teacher/kick", { session });
  };
  return [el("button", { type: "button", "aria-label": text.kickLabel(text.session(session)), onclick: kick }, text.kick)];
}

/// Something that the projector shows or does not.
function projectorSwitch(name, label) {
  const input = el("input", { type: "checkbox", onchange: () => post("/teacher/switch", { [name]: input.checked }) });
  const show = (switches) => {
    if (switches) input.checked = switches[name];
  };
  return { element: el("label", { class: "switch" }, input, label), show };
}
