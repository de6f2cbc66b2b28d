//! Marks: what follows from a lesson and the journal.

pub(crate) mod words;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Student;
use super::journal::Entry;

/// A student's marks.
#[derive(Debug, Clone, Serialize)]
pub struct StudentMarks {
    /// Who.
    pub student: Student,
    /// All points together.
    pub points: u32,
    /// A mark for each task, in the lesson's order.
    pub marks: Vec<Mark>,
}

/// How far a student is with a task.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Mark {
    /// The task's id.
    pub task: String,
    /// How far.
    pub state: State,
    /// The points that there are for it.
    pub points: u32,
    /// Answers that were judged, the right one included.
    pub attempts: u32,
    /// Hints that were given.
    pub hints: u32,
    /// Whether it was done with the first answer; without one where nothing is asked.
    pub first_try: bool,
    /// When it was done.
    pub done_at: Option<DateTime<Utc>>,
    /// Who says so.
    pub source: Source,
    /// The entries of the journal that it rests on, in their order.
    pub evidence: Vec<Arc<Entry>>,
}

/// How far a student is with a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing yet.
    #[default]
    Open,
    /// A part of it, or a wrong answer.
    Tried,
    /// Done, or decided by the teacher.
    Done,
}

/// Who says what a task is worth.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// What was observed.
    #[default]
    Auto,
    /// The teacher, for this reason.
    Manual(String),
}
