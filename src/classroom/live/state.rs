//! What a class knows while it is served.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::broadcast::Receiver;

use crate::classroom::journal::{Entry, Journal, NotWritten, Record};
use crate::classroom::marks::{Applied, Marks};
use crate::classroom::observer::Observer;
use crate::classroom::{Directory, Students};
use crate::server::HomeBooks;
use crate::sessions::{ConnectionKind, Ends, Event, Events};

/// What the teacher is told at most.
const MOST_NOTICES: usize = 50;

/// What is known of a class, and where it comes from.
#[derive(Debug)]
pub(super) struct State {
    pub marks: Marks,
    pub journal: Journal,
    pub students: Students,
    /// When the list of students was changed that was read.
    pub students_of: Option<SystemTime>,
    pub observer: Observer,
    pub source: Option<Source>,
    pub notices: BTreeSet<String>,
    /// The newest entry that has changed a mark.
    pub telling: u64,
    /// The lines of each student's last answers.txt.
    pub files: HashMap<String, BTreeSet<String>>,
}

/// The server that serves the class.
#[derive(Debug)]
pub(super) struct Source {
    pub events: Arc<Events>,
    pub receiver: Receiver<Arc<Event>>,
    pub books: HomeBooks,
}

impl State {
    pub fn new(marks: Marks, journal: Journal) -> Self {
        Self {
            marks,
            journal,
            students: Students::default(),
            students_of: None,
            observer: Observer::default(),
            source: None,
            notices: BTreeSet::new(),
            telling: 0,
            files: HashMap::new(),
        }
    }

    /// Writes an entry, and takes it into account.
    pub fn append(&mut self, time: SystemTime, user: &str, record: Record) -> Result<Applied, NotWritten> {
        match self.journal.append(time, user, record) {
            Ok(entry) => Ok(self.apply(&entry)),
            Err(error) => {
                self.notice(format!("Something was not recorded: {error}."));
                Err(error)
            }
        }
    }

    fn apply(&mut self, entry: &Arc<Entry>) -> Applied {
        let applied = self.marks.apply(entry);
        if applied.changed {
            self.telling = entry.number;
        }
        applied
    }

    pub fn notice(&mut self, text: String) {
        if self.notices.len() < MOST_NOTICES && self.notices.insert(text.clone()) {
            tracing::warn!("{text}");
        }
    }

    /// Reads the list of students, if it is another one than before.
    pub fn read_students(&mut self, directory: &Directory) -> io::Result<()> {
        let path = directory.students();
        let changed = fs::metadata(&path).and_then(|found| found.modified()).ok();
        if changed.is_none() || changed != self.students_of {
            self.students = Students::load_or_none(&path)?;
            self.students_of = changed;
        }
        Ok(())
    }

    /// Takes up the sessions that there are.
    pub fn resume(&mut self) {
        let Some(source) = &self.source else { return };
        let rows = source.events.live().connections().into_iter().filter(|row| row.kind == ConnectionKind::Control);
        let students = &self.students;
        let sessions = rows.filter_map(|row| {
            let ends = Ends { client: row.foreign?, server: row.local };
            Some((row.session?, ends, row.user.filter(|user| students.find(user).is_some())))
        });
        self.observer.resume(sessions);
    }
}
