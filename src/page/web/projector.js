// The projector's face: for everybody, aliases only.

import { text } from "./strings.js";
import { Grid } from "./grid.js";
import { Shell } from "./shell.js";

export function projector() {
  const grid = new Grid();
  const shell = new Shell("projector", { title: text.faceProjector, extra: [{ name: "tasks", title: text.tasks, element: grid.element }] });
  shell.offer("tasks", false);
  shell.feed.addEventListener("news", ({ detail: { board, facts } }) => {
    if (facts) shell.offer("tasks", facts.switches.grid);
    if (board) grid.take(board);
    if (board?.title) shell.ruler.note(text.studentsAt(`${location.origin}/student`));
    if (board?.title) shell.name(text.lesson(board.title, board.exam));
  });
  document.body.append(shell.element);
  shell.feed.start();
}
