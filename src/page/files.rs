//! The page's own files, embedded: plain HTML, CSS and JavaScript modules, which browsers take as they are.

/// A file's type and its text.
pub(super) type File = (&'static str, &'static str);

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! files {
    ($($name:literal: $kind:expr),* $(,)?) => {
        /// The file of this name.
        pub(super) fn file(name: &str) -> Option<File> {
            match name {
                $($name => Some(($kind, include_str!(concat!("web/", $name)))),)*
                _ => None,
            }
        }
    };
}

files! {
    "page.html": HTML,
    "page.css": CSS,
    "icon.svg": SVG,
    "main.js": SCRIPT,
    "projector.js": SCRIPT,
    "student.js": SCRIPT,
    "teacher.js": SCRIPT,
    "shell.js": SCRIPT,
    "sign-in.js": SCRIPT,
    "feed.js": SCRIPT,
    "replay.js": SCRIPT,
    "table.js": SCRIPT,
    "ruler.js": SCRIPT,
    "ladder.js": SCRIPT,
    "histogram.js": SCRIPT,
    "grid.js": SCRIPT,
    "marks.js": SCRIPT,
    "tasks.js": SCRIPT,
    "ports.js": SCRIPT,
    "dom.js": SCRIPT,
    "strings.js": SCRIPT,
}
