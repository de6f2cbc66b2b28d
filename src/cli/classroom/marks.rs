//! `longshore classroom marks` and `override`.

use std::time::SystemTime;

use anyhow::anyhow;
use clap::Args;

use super::{ClassArgs, print};
use crate::admin::Request;
use crate::classroom::journal::Journal;
use crate::classroom::lesson::Lesson;
use crate::classroom::marks::{self, Mark, Source, State, StudentMarks};
use crate::classroom::{Class, ClassroomRequest, Directory, decision, settings, term, told};

/// The arguments of `longshore classroom marks`.
#[derive(Debug, Clone, Args)]
pub struct MarksArgs {
    #[command(flatten)]
    class: ClassArgs,
    /// Only this student, by the alias, with every task
    #[arg(long, value_name = "ALIAS")]
    student: Option<String>,
    /// Print JSON, a line for each student, with the evidence
    #[arg(long)]
    json: bool,
}

/// The arguments of `longshore classroom override`.
#[derive(Debug, Clone, Args)]
pub struct OverrideArgs {
    #[command(flatten)]
    class: ClassArgs,
    /// The student, by the alias
    #[arg(long, value_name = "ALIAS")]
    student: String,
    /// The task
    #[arg(long, value_name = "TASK")]
    task: String,
    /// The points
    #[arg(long, value_name = "N", required_unless_present = "clear", conflicts_with = "clear")]
    points: Option<u32>,
    /// Take an earlier decision back
    #[arg(long)]
    clear: bool,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// `longshore classroom marks`.
pub fn marks(args: &MarksArgs) -> anyhow::Result<()> {
    let directory = Directory::at(&args.class.directory);
    settings(&directory)?;
    let (lesson, mut all) = marks::read(&directory)?;
    if let Some(alias) = &args.student {
        all.retain(|marks| marks.student.user == *alias);
        if all.is_empty() {
            return Err(anyhow!("there is no student {alias:?}; name the alias on the card"));
        }
    }
    if args.json {
        let lines = all.iter().map(|marks| Ok(serde_json::to_string(marks)? + "\n"));
        return print(&lines.collect::<anyhow::Result<String>>()?);
    }
    match &all[..] {
        [one] if args.student.is_some() => print(&of_one(&lesson, one)),
        all => print(&of_all(&lesson, all)),
    }
}

/// A row for each student, a column for each task.
fn of_all(lesson: &Lesson, all: &[StudentMarks]) -> String {
    let mut head = vec!["ALIAS".to_owned(), "NAME".to_owned(), "POINTS".to_owned()];
    head.extend(lesson.tasks.iter().map(|task| task.id.clone()));
    let row = |StudentMarks { student, points, marks }: &StudentMarks| {
        let mut row = vec![student.user.clone(), student.name.clone(), points.to_string()];
        row.extend(marks.iter().map(cell));
        row
    };
    let mut text = aligned(&std::iter::once(head).chain(all.iter().map(row)).collect::<Vec<_>>());
    text += "\n~ tried   ! decided by the teacher\n";
    text
}

/// A row for each task.
fn of_one(lesson: &Lesson, one: &StudentMarks) -> String {
    let mut rows = vec![["TASK", "POINTS", "STATE", "ANSWERS", "HINTS", "TITLE"].map(str::to_owned).to_vec()];
    for (task, mark) in lesson.tasks.iter().zip(&one.marks) {
        let state = match (&mark.source, mark.state) {
            (Source::Manual(reason), _) => format!("teacher: {reason}"),
            (_, State::Open) => "open".to_owned(),
            (_, State::Tried) => "tried".to_owned(),
            (_, State::Done) => "done".to_owned(),
        };
        let points = format!("{}/{}", mark.points, task.points);
        rows.push(vec![
            task.id.clone(),
            points,
            state,
            mark.attempts.to_string(),
            mark.hints.to_string(),
            task.title.clone(),
        ]);
    }
    let StudentMarks { student, points, .. } = one;
    format!("{}, {}: {points} of {} points\n\n{}", student.user, student.name, lesson.points(), aligned(&rows))
}

fn cell(mark: &Mark) -> String {
    match (&mark.source, mark.state) {
        (Source::Manual(_), _) => format!("{}!", mark.points),
        (_, State::Done) => mark.points.to_string(),
        (_, State::Tried) => "~".to_owned(),
        (_, State::Open) => "-".to_owned(),
    }
}

/// Rows of any number of cells, one below the other. What students are called is no terminal's business.
fn aligned(rows: &[Vec<String>]) -> String {
    let clean = |cell: &String| cell.chars().map(|it| if it.is_control() { '?' } else { it }).collect::<String>();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(clean).collect()).collect();
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// `longshore classroom override`.
pub fn decide(args: &OverrideArgs) -> anyhow::Result<()> {
    let OverrideArgs { class, student, task, points, reason, .. } = args;
    let directory = Directory::at(&class.directory);
    // The server has the journal open and its marks in memory, so it has to do it.
    if let Ok(client) = term::client(&settings(&directory)?) {
        let (user, task, reason) = (student.clone(), task.clone(), reason.clone());
        let ask = serde_json::to_value(ClassroomRequest::Override { user, task, points: *points, reason })?;
        let answer = client.ask(&Request::Classroom { ask })?;
        return print(&format!("{}\n", answer.as_str().unwrap_or_default()));
    }
    let (class, lesson) = (Class::open(&directory)?, Lesson::load(&directory.lesson())?);
    let decided = decision(class.students(), &lesson, student, task, *points, reason).map_err(|why| anyhow!(why))?;
    let text = told(&decided, student);
    let mut journal = Journal::open(&directory.journal(), drop)?;
    journal.append(SystemTime::now(), student, decided)?;
    let last = journal.last();
    journal.synced().wait_for(last, || last)?;
    print(&format!("{text}\n"))
}
