//! Marks: what follows from a lesson and the journal, entry by entry, and from nothing else. With a mended lesson the
//! same journal gives other marks.

mod answer;
mod sessions;
mod steps;
pub(crate) mod words;
mod work;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::journal::{self, Entry, Record};
use super::lesson::Lesson;
use super::seed::Secret;
use super::{Directory, Student, Students};
use work::Work;

pub use work::{ATTEMPTS, PAUSE};

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
    /// Whether it was done without a wrong answer.
    pub first_try: bool,
    /// When it was done.
    pub done_at: Option<DateTime<Utc>>,
    /// Who says so.
    pub source: Source,
    /// The entries of the journal that it rests on, in their order; while there are no points, the last wrong answer.
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

/// What an entry of the journal has changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// Whether marks are others than before.
    pub changed: bool,
    /// What became of an answer.
    pub judgement: Option<Judgement>,
}

/// What became of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It is right.
    Right,
    /// It is wrong, and this is why.
    Wrong(String),
    /// It was not judged: this step of the task was not seen yet, counted from 0.
    NotYet(usize),
    /// It was not judged: too many were wrong, and so many seconds are left of the pause.
    Paused(i64),
    /// There is nothing to answer.
    NothingAsked,
}

/// The marks of a class, as far as the journal has been applied.
#[derive(Debug, Clone)]
pub struct Marks {
    lesson: Arc<Lesson>,
    secret: Option<Secret>,
    students: HashMap<String, Work>,
}

impl Marks {
    /// Nobody has done anything yet. Without the class's `secret` nothing is known of the students' own files.
    pub fn new(lesson: Arc<Lesson>, secret: Option<Secret>) -> Self {
        Self { lesson, secret, students: HashMap::new() }
    }

    /// The lesson that they are for.
    pub fn lesson(&self) -> &Arc<Lesson> {
        &self.lesson
    }

    /// Takes the next entry of the journal into account.
    pub fn apply(&mut self, entry: &Arc<Entry>) -> Applied {
        if let Record::Started { .. } = entry.record {
            self.students.values_mut().for_each(|work| work.restart(entry.time));
        }
        if entry.user.is_empty() {
            return Applied::default();
        }
        // Out of the map, so that the others' work can be looked at.
        let mut work = self.students.remove(&entry.user).unwrap_or_else(|| Work::new(&self.lesson));
        let given = Given { lesson: &self.lesson, secret: self.secret.as_ref(), user: &entry.user };
        let others = || self.students.values().map(Work::sessions).collect::<Vec<_>>();
        let applied = work.apply(&self.lesson, &given, &others, entry);
        self.students.insert(entry.user.clone(), work);
        applied
    }

    /// The marks of a student.
    pub fn of(&self, student: &Student) -> StudentMarks {
        let marks = match self.students.get(&student.user) {
            Some(work) => work.marks(&self.lesson),
            None => Work::new(&self.lesson).marks(&self.lesson),
        };
        let points = marks.iter().map(|mark| mark.points).sum();
        StudentMarks { student: student.clone(), points, marks }
    }

    /// Whether a student has done a task.
    pub fn is_done(&self, user: &str, task: usize) -> bool {
        self.students.get(user).is_some_and(|work| work.is_done(task))
    }
}

/// The lesson and the marks of a class, as far as its journal is written; a server may go on writing.
pub fn read(directory: &Directory) -> anyhow::Result<(Arc<Lesson>, Vec<StudentMarks>)> {
    let lesson = Arc::new(Lesson::load(&directory.lesson())?);
    let students = Students::load_or_none(&directory.students())?;
    let mut marks = Marks::new(Arc::clone(&lesson), Secret::load(directory).ok());
    journal::read(&directory.journal(), |entry| drop(marks.apply(&Arc::new(entry))))?;
    let marks = students.iter().map(|student| marks.of(student)).collect();
    Ok((lesson, marks))
}

/// What the lesson gives to one student.
struct Given<'a> {
    lesson: &'a Lesson,
    secret: Option<&'a Secret>,
    user: &'a str,
}

impl Given<'_> {
    /// The file of this name in a quest folder, or in an archive there.
    fn file<T>(&self, folder: &str, name: &str, ask: impl Fn(&super::quest::Given) -> T) -> Option<T> {
        let folder = self.lesson.folders().find(|other| other.path == folder)?;
        let files = folder.given(self.secret?, self.user);
        let members = files.iter().flat_map(|file| &file.members);
        files.iter().chain(members).find(|file| file.name == name).map(ask)
    }

    fn digest(&self, folder: &str, name: &str) -> Option<String> {
        self.file(folder, name, super::quest::Given::sha256)
    }

    fn digest_at(&self, path: &str) -> Option<String> {
        let (folder, name) = path.rsplit_once('/')?;
        self.digest(folder, name)
    }

    fn word_at(&self, path: &str) -> Option<String> {
        let (folder, name) = path.rsplit_once('/')?;
        self.file(folder, name, super::quest::Given::word)?
    }
}

/// Entries in their order, each once.
fn evidence(entries: impl IntoIterator<Item = Arc<Entry>>) -> Vec<Arc<Entry>> {
    let by_number: BTreeMap<u64, Arc<Entry>> = entries.into_iter().map(|entry| (entry.number, entry)).collect();
    by_number.into_values().collect()
}

#[cfg(test)]
mod tests;
