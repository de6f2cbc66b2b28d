// The form of who is not let in yet.

import { text } from "./strings.js";
import { el, setText } from "./dom.js";
import { post } from "./feed.js";

/// A form with one field for each of `fields` ({name, label, type}); `send` gets their values and returns the answer.
/// Resolves when somebody was let in.
export function signIn(place, { title, help, fields, send }) {
  return new Promise((resolve) => {
    const problem = el("p", { class: "problem", role: "alert" });
    const inputs = fields.map(({ name, type = "text" }) =>
      el("input", { name, type, required: true, autocomplete: "off", autocapitalize: "none", spellcheck: "false" }));
    const button = el("button", { class: "primary" }, text.signIn);
    const submit = async (event) => {
      event.preventDefault();
      button.disabled = true;
      const answer = await send(Object.fromEntries(inputs.map((input) => [input.name, input.value.trim()]))).catch(() => null);
      button.disabled = false;
      if (answer?.ok) {
        form.remove();
        return resolve();
      }
      setText(problem, problemOf(answer));
      inputs.at(-1).select();
    };
    const form = el(
      "form",
      { class: "sign-in", onsubmit: submit, novalidate: false },
      el("h1", {}, title),
      help ? el("p", {}, help) : null,
      inputs.map((input, index) => el("label", {}, fields[index].label, input)),
      problem,
      button,
    );
    place.append(form);
    inputs[0].focus();
  });
}

function problemOf(answer) {
  if (answer?.status === 403) return text.wrong;
  if (answer?.status === 429) return text.wait(answer.headers.get("Retry-After"));
  return text.failed;
}

/// The teacher's link has its token behind the #, which the browser sends nowhere; here it becomes a cookie and leaves
/// the address.
export async function teacherByLink() {
  const token = location.hash.slice(1);
  if (!token) return false;
  history.replaceState(null, "", location.pathname);
  const answer = await post("/teacher/sign-in", { token }).catch(() => null);
  return answer?.ok ?? false;
}
