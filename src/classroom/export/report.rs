//! Marks on paper.

use std::fmt::{self, Write as _};

use chrono::{DateTime, Local, Utc};
use serde_json::Value;

use super::super::escape::html;
use super::super::journal::{Entry, Record};
use super::super::lesson::{Lesson, Task};
use super::super::marks::{Mark, Source, State, StudentMarks};
use super::table::word;

/// The most lines of evidence for a task on paper; the export `evidence` has them all.
const MOST_LINES: usize = 6;

const STYLE: &str = "<style>
@page { margin: 12mm; }
body { margin: 0; font: 9pt/1.3 sans-serif; color: #000; background: #fff; }
h1 { font-size: 15pt; margin: 0 0 2mm; }
section { break-before: page; }
table { border-collapse: collapse; width: 100%; }
thead { display: table-header-group; }
tr { break-inside: avoid; }
th, td { border: 0.2mm solid #666; padding: 0.6mm 1.2mm; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
th { background: #eee; }
.class { font-size: 7pt; }
.class td + td, .class th + th { text-align: center; padding: 0.4mm; }
.class td, .class th { white-space: nowrap; }
.class td:first-child { white-space: normal; }
.number { text-align: right; white-space: nowrap; }
ul { margin: 0.5mm 0 0; padding: 0 0 0 3mm; font: 6.5pt/1.25 monospace; }
</style>
";

/// The page.
pub(super) fn report(lesson: &Lesson, marks: &[StudentMarks]) -> String {
    let title = html(&lesson.title);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n{STYLE}</head>\n<body>\n"
    );
    let mut all = || {
        class(&mut page, lesson, marks)?;
        marks.iter().try_for_each(|of_student| student(&mut page, lesson, of_student))
    };
    all().expect("a String takes every write");
    page + "</body>\n</html>\n"
}

fn class(page: &mut String, lesson: &Lesson, marks: &[StudentMarks]) -> fmt::Result {
    write!(page, "<h1>{}</h1>\n<p>{} students, {}. ", html(&lesson.title), marks.len(), time(Utc::now()))?;
    page.write_str("[x] done, [~] tried, [!] decided by the teacher, [ ] not tried.</p>\n")?;
    page.write_str("<table class=\"class\">\n<thead><tr><th>Student</th><th>Id</th><th>Section</th><th>Points</th>")?;
    for task in &lesson.tasks {
        write!(page, "<th>{}</th>", html(&task.id))?;
    }
    page.write_str("</tr></thead>\n<tbody>\n")?;
    for StudentMarks { student, points, marks } in marks {
        let [name, id, section] = [&student.name, &student.id, &student.section].map(|text| html(text));
        write!(page, "<tr><td>{name}</td><td>{id}</td><td>{section}</td><td>{points}/{}</td>", lesson.points())?;
        for mark in marks {
            write!(page, "<td>{}</td>", sign(mark))?;
        }
        page.write_str("</tr>\n")?;
    }
    page.write_str("</tbody>\n</table>\n")
}

fn student(page: &mut String, lesson: &Lesson, StudentMarks { student, points, marks }: &StudentMarks) -> fmt::Result {
    let [name, alias] = [&student.name, &student.alias].map(|text| html(text));
    let facts = [("id", &student.id), ("section", &student.section), ("e-mail", &student.email)];
    let facts: Vec<String> = facts
        .iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(what, text)| format!("{what} {}", html(text)))
        .collect();
    write!(page, "<section>\n<h1>{name} <small>({alias})</small></h1>\n<p>{}. ", html(&lesson.title))?;
    write!(page, "{points} of {} points. {}</p>\n<table>\n", lesson.points(), facts.join(", "))?;
    page.write_str(
        "<thead><tr><th>Task</th><th>Asked</th><th>Yours</th><th>Result</th><th>Points</th></tr></thead>\n",
    )?;
    page.write_str("<tbody>\n")?;
    for mark in marks {
        if let Some((_, task)) = lesson.task(&mark.task) {
            row(page, task, mark)?;
        }
    }
    page.write_str("</tbody>\n</table>\n</section>\n")
}

fn row(page: &mut String, task: &Task, mark: &Mark) -> fmt::Result {
    let [id, title, ask] = [&task.id, &task.title, &task.ask].map(|text| html(text));
    write!(page, "<tr><td>{id}</td><td><b>{title}</b>. {ask}</td><td>")?;
    let mut answers = mark.evidence.iter().filter_map(|entry| match &entry.record {
        Record::Answered { text, .. } => Some(text),
        _ => None,
    });
    if let Some(answer) = answers.next_back() {
        write!(page, "{}", html(answer))?;
    }
    write!(page, "</td><td>{} {}", sign(mark), word(mark.state))?;
    if let Some(done_at) = mark.done_at {
        write!(page, ", {}", time(done_at))?;
    }
    for (count, what) in [(mark.attempts, "answers"), (mark.hints, "hints")] {
        if count > 0 {
            write!(page, ", {what}: {count}")?;
        }
    }
    if let Source::Manual(reason) = &mark.source {
        write!(page, ". Decided by the teacher: {}", html(reason))?;
    }
    lines(page, mark)?;
    writeln!(page, "</td><td class=\"number\">{}/{}</td></tr>", mark.points, task.points)
}

/// What the mark rests on.
fn lines(page: &mut String, mark: &Mark) -> fmt::Result {
    if mark.evidence.is_empty() {
        return Ok(());
    }
    page.write_str("<ul>")?;
    for entry in mark.evidence.iter().take(MOST_LINES) {
        write!(page, "<li>{} {}</li>", entry.time.with_timezone(&Local).format("%H:%M:%S"), html(&told(entry)))?;
    }
    let more = mark.evidence.len().saturating_sub(MOST_LINES);
    if more > 0 {
        write!(page, "<li>and {more} more</li>")?;
    }
    page.write_str("</ul>")
}

/// A line of the journal in words.
fn told(entry: &Entry) -> String {
    let mut words = Vec::new();
    tell(&serde_json::to_value(&entry.record).unwrap_or_default(), &mut words);
    words.join(" ")
}

fn tell(value: &Value, words: &mut Vec<String>) {
    let Value::Object(pairs) = value else { return };
    for (key, value) in pairs {
        match value {
            Value::Object(_) => {
                words.push(key.clone());
                tell(value, words);
            }
            Value::String(text) => words.push(format!("{key}={text}")),
            other => words.push(format!("{key}={other}")),
        }
    }
}

/// A state that can be told without colours.
fn sign(mark: &Mark) -> &'static str {
    match (mark.state, &mark.source) {
        (_, Source::Manual(_)) => "[!]",
        (State::Open, _) => "[ ]",
        (State::Tried, _) => "[~]",
        (State::Done, _) => "[x]",
    }
}

fn time(time: DateTime<Utc>) -> String {
    time.with_timezone(&Local).format("%Y-%m-%d %H:%M %:z").to_string()
}
