//! Marks on paper.

use std::fmt::{self, Write as _};

use chrono::{DateTime, Local, Utc};

use super::super::escape::html;
use super::super::journal::Record;
use super::super::lesson::{Lesson, Task};
use super::super::marks::{Mark, Source, State, StudentMarks};
use super::table::word;

const STYLE: &str = "<style>
@page { margin: 12mm; }
@page wide { size: landscape; margin: 12mm; }
body { margin: 0; font: 8pt/1.25 sans-serif; color: #000; background: #fff; }
h1 { font-size: 14pt; margin: 0 0 1mm; }
p { margin: 0 0 2mm; }
section { break-before: page; }
table { border-collapse: collapse; width: 99.8%; }
thead { display: table-header-group; }
tr { break-inside: avoid; }
th, td { border: 0.2mm solid #666; padding: 0.5mm 1.2mm; text-align: left; vertical-align: top; }
th { background: #eee; }
.name { min-width: 34mm; overflow-wrap: anywhere; }
.class { page: wide; font-size: 7pt; }
.class th + th, .class td + td { text-align: center; white-space: nowrap; padding: 0.4mm; }
.answer { width: 30%; overflow-wrap: anywhere; }
.number { text-align: right; white-space: nowrap; }
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
    write!(
        page,
        "<div class=\"class\">\n<h1>{}</h1>\n<p>{} students, {}. ",
        html(&lesson.title),
        marks.len(),
        time(Utc::now())
    )?;
    page.write_str("[x] done, [~] tried, [!] decided by the teacher, [ ] not tried.</p>\n")?;
    page.write_str("<table>\n<thead><tr><th class=\"name\">Student</th><th>Id</th><th>Section</th><th>Points</th>")?;
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
    page.write_str("</tbody>\n</table>\n</div>\n")
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
        "<thead><tr><th>Task</th><th class=\"answer\">Yours</th><th>Result</th><th>Points</th></tr></thead>\n",
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
    write!(page, "<tr><td><b>{}</b> {}</td><td class=\"answer\">", html(&task.id), html(&task.title))?;
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
    writeln!(page, "</td><td class=\"number\">{}/{}</td></tr>", mark.points, task.points)
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
