// Which face this is, by the address.

import { lang, text } from "./strings.js";
import { projector } from "./projector.js";
import { student } from "./student.js";
import { teacher } from "./teacher.js";

document.documentElement.lang = lang;
document.title = text.title;
const faces = { "/student": student, "/teacher": teacher };
(faces[location.pathname] ?? projector)();
