//! Marks as others read them: gradebooks, spreadsheets, and people. Every student of the class is in each, and the
//! school's own id with every student.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::Student;
use super::lesson::Lesson;
use super::marks::{Mark, StudentMarks};

mod report;
mod table;

/// A form in which marks leave the class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// CSV for Moodle's `Import grades`: a row for each student.
    Moodle,
    /// CSV for Canvas' gradebook: a row for each student.
    Canvas,
    /// CSV with a row for each student and task: nbgrader's columns, and ours.
    Long,
    /// A JSON object a line for each student and task, with all that the points rest on.
    Evidence,
    /// A page of HTML to print: the class in a table, and a page for each student.
    Report,
}

/// Every format with its name, its file's name, and the media type of its contents.
const FORMATS: [(Format, &str, &str, &str); 5] = [
    (Format::Moodle, "moodle", "moodle.csv", "text/csv; charset=utf-8"),
    (Format::Canvas, "canvas", "canvas.csv", "text/csv; charset=utf-8"),
    (Format::Long, "long", "long.csv", "text/csv; charset=utf-8"),
    (Format::Evidence, "evidence", "evidence.jsonl", "application/jsonl"),
    (Format::Report, "report", "report.html", "text/html; charset=utf-8"),
];

impl Format {
    /// What its file is usually called.
    pub fn file_name(self) -> &'static str {
        FORMATS[self as usize].2
    }

    /// The media type of its contents.
    pub fn media_type(self) -> &'static str {
        FORMATS[self as usize].3
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORMATS[*self as usize].1)
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = FORMATS.iter().find(|(_, name, ..)| *name == text).map(|(format, ..)| *format);
        found.ok_or_else(|| format!("write one of {}", FORMATS.map(|(_, name, ..)| name).join(", ")))
    }
}

/// What can be chosen of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// A column for each task, not for the sum only, in the gradebooks' formats: a gradebook makes an assignment of each.
    pub by_task: bool,
    /// A byte order mark in front of CSV, by which older spreadsheets know UTF-8.
    pub bom: bool,
}

/// The marks of a class in this form.
pub fn export(format: Format, lesson: &Lesson, marks: &[StudentMarks], options: Options) -> anyhow::Result<Vec<u8>> {
    match format {
        Format::Moodle => table::moodle(lesson, marks, options),
        Format::Canvas => table::canvas(lesson, marks, options),
        Format::Long => table::long(lesson, marks, options),
        Format::Evidence => evidence(lesson, marks),
        Format::Report => Ok(report::report(lesson, marks).into_bytes()),
    }
}

/// A line of the evidence.
#[derive(Serialize)]
struct Line<'a> {
    assignment: &'a str,
    student: &'a Student,
    max_points: u32,
    #[serde(flatten)]
    mark: &'a Mark,
}

fn evidence(lesson: &Lesson, marks: &[StudentMarks]) -> anyhow::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for StudentMarks { student, marks, .. } in marks {
        for mark in marks {
            let max_points = points_of(lesson, mark);
            serde_json::to_writer(&mut lines, &Line { assignment: &lesson.title, student, max_points, mark })?;
            lines.push(b'\n');
        }
    }
    Ok(lines)
}

/// The most points that there are for a mark's task.
fn points_of(lesson: &Lesson, mark: &Mark) -> u32 {
    lesson.task(&mark.task).map_or(0, |(_, task)| task.points)
}

#[cfg(test)]
mod tests;
