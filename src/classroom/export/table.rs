//! Marks as CSV (RFC 4180).

use chrono::{DateTime, Local, SecondsFormat, Utc};
use csv::{Terminator, Writer, WriterBuilder};

use super::super::escape::cell;
use super::super::lesson::Lesson;
use super::super::marks::{Mark, Source, State, StudentMarks};
use super::{Options, points_of};

/// By one of the first three columns Moodle finds its user; which one, it asks, and it takes the first unless told.
pub(super) fn moodle(lesson: &Lesson, marks: &[StudentMarks], options: Options) -> anyhow::Result<Vec<u8>> {
    let head = ["ID number", "Email address", "Username", "Full name", "Group"].map(str::to_owned);
    let mut table = Table::new(options, head.into_iter().chain(headers(lesson, options)))?;
    for of_student in marks {
        let it = &of_student.student;
        let who = [&it.id, &it.email, &it.login, &it.name, &it.section].map(|text| cell(text));
        table.row(who.into_iter().chain(scores(of_student, options)))?;
    }
    table.finish()
}

/// The first five columns have to be these. Below them Canvas reads what an assignment that it does not know is worth.
pub(super) fn canvas(lesson: &Lesson, marks: &[StudentMarks], options: Options) -> anyhow::Result<Vec<u8>> {
    let head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"].map(str::to_owned);
    let mut table = Table::new(options, head.into_iter().chain(headers(lesson, options)))?;
    let possible = ["    Points Possible", "", "", "", ""].map(str::to_owned);
    let of_tasks = lesson.tasks.iter().map(|task| task.points).filter(|_| options.by_task);
    let points = std::iter::once(lesson.points()).chain(of_tasks).map(|points| points.to_string());
    table.row(possible.into_iter().chain(points))?;
    for of_student in marks {
        let it = &of_student.student;
        // A gradebook without the school's ids has given Canvas' own in their place.
        let id = if it.id == it.lms_id { "" } else { &it.id };
        let who = [&it.name, &it.lms_id, id, &it.login, &it.section].map(cell);
        table.row(who.into_iter().chain(scores(of_student, options)))?;
    }
    table.finish()
}

fn headers(lesson: &Lesson, options: Options) -> impl Iterator<Item = String> {
    let of_tasks = lesson.tasks.iter().filter(move |_| options.by_task);
    let of_tasks = of_tasks.map(|task| cell(&format!("{}: {} {}", lesson.title, task.id, task.title)));
    std::iter::once(cell(&lesson.title)).chain(of_tasks)
}

/// The sum, and perhaps the points for each task: none where nothing was tried.
fn scores(of_student: &StudentMarks, options: Options) -> impl Iterator<Item = String> {
    let of_tasks = of_student.marks.iter().filter(move |_| options.by_task).map(|mark| match mark.state {
        State::Open => String::new(),
        State::Tried | State::Done => mark.points.to_string(),
    });
    std::iter::once(of_student.points.to_string()).chain(of_tasks)
}

/// The first eleven are nbgrader's, in its order.
const LONG: [&str; 22] = [
    "assignment",
    "duedate",
    "timestamp",
    "student_id",
    "last_name",
    "first_name",
    "email",
    "raw_score",
    "late_submission_penalty",
    "score",
    "max_score",
    "section",
    "alias",
    "login",
    "lms_user_id",
    "task",
    "status",
    "attempts",
    "first_try",
    "done_at",
    "source",
    "evidence",
];

pub(super) fn long(lesson: &Lesson, marks: &[StudentMarks], options: Options) -> anyhow::Result<Vec<u8>> {
    let mut table = Table::new(options, LONG.map(str::to_owned).into_iter())?;
    for StudentMarks { student, marks, .. } in marks {
        // A roster may have whole names only, and where one ends is not ours to guess.
        let (last_name, first_name) = student.name.split_once(", ").unwrap_or((&student.name, ""));
        for mark in marks {
            let (done_at, points) = (mark.done_at.map_or(String::new(), local), mark.points.to_string());
            let source = match &mark.source {
                Source::Auto => "auto".to_owned(),
                Source::Manual(reason) => format!("manual: {reason}"),
            };
            table.row(
                [
                    cell(&lesson.title),
                    String::new(),
                    done_at.clone(),
                    cell(&student.id),
                    cell(last_name),
                    cell(first_name),
                    cell(&student.email),
                    points.clone(),
                    "0".to_owned(),
                    points,
                    points_of(lesson, mark).to_string(),
                    cell(&student.section),
                    student.alias.clone(),
                    cell(&student.login),
                    cell(&student.lms_id),
                    mark.task.clone(),
                    word(mark.state).to_owned(),
                    mark.attempts.to_string(),
                    mark.first_try.to_string(),
                    done_at,
                    source,
                    numbers(mark),
                ]
                .into_iter(),
            )?;
        }
    }
    table.finish()
}

/// The lines of the journal that a mark rests on.
fn numbers(mark: &Mark) -> String {
    mark.evidence.iter().map(|entry| entry.number.to_string()).collect::<Vec<_>>().join(" ")
}

/// How far, in a word.
pub(super) fn word(state: State) -> &'static str {
    match state {
        State::Open => "open",
        State::Tried => "tried",
        State::Done => "done",
    }
}

/// ISO 8601 with this computer's offset.
fn local(time: DateTime<Utc>) -> String {
    time.with_timezone(&Local).to_rfc3339_opts(SecondsFormat::Secs, false)
}

struct Table(Writer<Vec<u8>>);

impl Table {
    fn new(options: Options, head: impl Iterator<Item = String>) -> csv::Result<Self> {
        let begin = if options.bom { "\u{feff}".as_bytes().to_vec() } else { Vec::new() };
        let mut table = Self(WriterBuilder::new().terminator(Terminator::CRLF).from_writer(begin));
        table.row(head)?;
        Ok(table)
    }

    fn row(&mut self, cells: impl Iterator<Item = String>) -> csv::Result<()> {
        self.0.write_record(cells.map(String::into_bytes))
    }

    fn finish(self) -> anyhow::Result<Vec<u8>> {
        Ok(self.0.into_inner()?)
    }
}
