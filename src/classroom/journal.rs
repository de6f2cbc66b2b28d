//! The journal of a class: what was seen of the students, what they answered and what was decided, a line of JSON each.
//! The marks follow from it.
//!
//! It only grows. A line counts when it is there in full: what a crash has left of the last one is cut off at the next
//! start, and nobody was told of it, since a line is on the disk ([`Synced`]) before anything that follows from it is
//! told.

use std::collections::HashMap;
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Context, bail};
use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};

use super::Observation;

/// The most bytes of a journal.
const MOST_BYTES: u64 = 1 << 30;

/// The most bytes about one student, so that nobody fills it up for the others: 20,000 commands or so.
const MOST_BYTES_OF_ONE: u64 = 4 << 20;

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The line's number, from 1.
    pub number: u64,
    /// When it happened.
    pub time: DateTime<Utc>,
    /// The student's user name; empty where it is about all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// What happened.
    #[serde(flatten)]
    pub record: Record,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A server began to serve the class. Session numbers begin again.
    Started {
        /// Whether it was an exam.
        exam: bool,
    },
    /// Events were missed, since too much happened at once.
    Missed {
        /// How many.
        events: u64,
    },
    /// Something was seen.
    Seen {
        /// The session's number.
        session: u64,
        /// What.
        what: Observation,
    },
    /// A task was answered.
    Answered {
        /// The task's id.
        task: String,
        /// What was written.
        text: String,
        /// How it came.
        via: Via,
    },
    /// A hint was given.
    Hinted {
        /// The task's id.
        task: String,
    },
    /// A task's folder was restored; what was done before it counts no longer, unless the task was done.
    Reset {
        /// The task's id.
        task: String,
    },
    /// The teacher has decided.
    Overridden {
        /// The task's id.
        task: String,
        /// The points; `None` takes an earlier decision back.
        points: Option<u32>,
        /// Why.
        reason: String,
    },
}

/// How an answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// SITE ANSWER.
    Session,
    /// `answers.txt`.
    File,
    /// The page.
    Page,
}

impl Record {
    /// Whether the teacher made it, for whom there is always room.
    fn is_the_teachers(&self) -> bool {
        matches!(self, Self::Started { .. } | Self::Missed { .. } | Self::Overridden { .. })
    }
}

/// Reads a journal as far as it is written, and gives its length up to there. Where there is none, it is empty.
pub fn read(path: &Path, mut each: impl FnMut(Entry)) -> anyhow::Result<u64> {
    let attempt = || format!("cannot read {}", path.display());
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        file => file.with_context(attempt)?,
    };
    let (mut reader, mut line) = (BufReader::with_capacity(1 << 16, file), Vec::new());
    let (mut whole, mut torn) = (0, None);
    for number in 1_u64.. {
        line.clear();
        let length = reader.read_until(b'\n', &mut line).with_context(attempt)?;
        if length == 0 {
            break;
        }
        match serde_json::from_slice(&line) {
            Ok(entry) if line.ends_with(b"\n") && torn.is_none() => {
                whole += length as u64;
                each(entry);
            }
            // What a crash has left is at the end; what is followed by something else was damaged by somebody.
            Ok(_) if line.ends_with(b"\n") => {
                let (path, torn) = (path.display(), torn.unwrap_or(number));
                bail!(
                    "{path}:{torn}: this is no entry of a journal, and there are some behind it; bring back a copy of it"
                );
            }
            _ => torn = torn.or(Some(number)),
        }
    }
    Ok(whole)
}

/// A journal that is written. Nobody else writes it meanwhile.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    synced: Arc<Synced>,
    next: u64,
    bytes: u64,
    bytes_of: HashMap<String, u64>,
    cut_off: u64,
}

/// Why an entry was not written.
#[derive(Debug)]
pub enum NotWritten {
    /// There is no more room for the student, or for the class.
    Full(String),
    /// The disk has failed.
    Failed(io::Error),
}

impl fmt::Display for NotWritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(why) => f.write_str(why),
            Self::Failed(error) => write!(f, "the journal of the class cannot be written: {error}"),
        }
    }
}

impl std::error::Error for NotWritten {}

impl Journal {
    /// Opens a journal to write it, and gives what is in it to `each`. It is made when it is missing; a last line that is
    /// not whole is cut off. Where somebody else writes it, the error says so.
    pub fn open(path: &Path, mut each: impl FnMut(Arc<Entry>)) -> anyhow::Result<Self> {
        let attempt = || format!("cannot write {}", path.display());
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).mode(0o600).open(path).with_context(attempt)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                bail!("{} is being written by a server or another command; stop that one", path.display());
            }
            locked => locked.with_context(attempt)?,
        }
        let (mut next, mut bytes_of) = (1, HashMap::<String, u64>::new());
        let bytes = read(path, |entry| {
            next = entry.number + 1;
            *bytes_of.entry(entry.user.clone()).or_default() += line(&entry).map_or(0, |line| line.len() as u64);
            each(Arc::new(entry));
        })?;
        let length = file.metadata().with_context(attempt)?.len();
        if length > bytes {
            file.set_len(bytes).with_context(attempt)?;
        }
        // The name, too.
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory).and_then(|directory| directory.sync_all()).with_context(attempt)?;
        let synced = Arc::new(Synced { file: file.try_clone().with_context(attempt)?, up_to: Mutex::new(0) });
        Ok(Self { file, path: path.to_owned(), synced, next, bytes, bytes_of, cut_off: length.saturating_sub(bytes) })
    }

    /// Writes an entry. It is on the disk when [`Synced`] says so.
    pub fn append(&mut self, time: SystemTime, user: &str, record: Record) -> Result<Arc<Entry>, NotWritten> {
        let entry = Entry { number: self.next, time: moment(time), user: user.to_owned(), record };
        let line = line(&entry).map_err(NotWritten::Failed)?;
        self.has_room(&entry, line.len() as u64)?;
        if let Err(error) = self.file.write_all(&line) {
            // Half of it may be there, and nothing must follow that.
            let _ = self.file.set_len(self.bytes);
            return Err(NotWritten::Failed(error));
        }
        self.next += 1;
        self.bytes += line.len() as u64;
        *self.bytes_of.entry(entry.user.clone()).or_default() += line.len() as u64;
        Ok(Arc::new(entry))
    }

    fn has_room(&self, entry: &Entry, bytes: u64) -> Result<(), NotWritten> {
        let of_one = self.bytes_of.get(&entry.user).copied().unwrap_or_default();
        if entry.record.is_the_teachers() {
            return Ok(());
        }
        if of_one + bytes > MOST_BYTES_OF_ONE {
            let user = &entry.user;
            return Err(NotWritten::Full(format!("there is no more room for {user} in the journal of the class")));
        }
        if self.bytes + bytes > MOST_BYTES {
            let path = self.path.display();
            return Err(NotWritten::Full(format!("{path} is full; archive the class: longshore classroom archive")));
        }
        Ok(())
    }

    /// How many bytes of a line that was not whole were cut off when it was opened.
    pub fn cut_off(&self) -> u64 {
        self.cut_off
    }

    /// The number of the last entry.
    pub fn last(&self) -> u64 {
        self.next - 1
    }

    /// What says how far it is on the disk.
    pub fn synced(&self) -> Arc<Synced> {
        Arc::clone(&self.synced)
    }
}

/// How far a journal is on the disk.
#[derive(Debug)]
pub struct Synced {
    file: File,
    up_to: Mutex<u64>,
}

impl Synced {
    /// Waits until the entry of this number is on the disk; `last` is the last one that is written by now. Whoever comes
    /// meanwhile waits for the same, so a whole class is served by a few waits.
    pub fn wait_for(&self, number: u64, last: impl FnOnce() -> u64) -> io::Result<()> {
        let mut up_to = self.up_to.lock().unwrap_or_else(PoisonError::into_inner);
        if *up_to < number {
            let last = last();
            self.file.sync_data()?;
            *up_to = last;
        }
        Ok(())
    }
}

/// A line of the journal.
fn line(entry: &Entry) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    Ok(line)
}

/// To the millisecond, as it will be read back.
fn moment(time: SystemTime) -> DateTime<Utc> {
    DateTime::<Utc>::from(time).trunc_subsecs(3)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn answered(text: &str) -> Record {
        Record::Answered { task: "A1".to_owned(), text: text.to_owned(), via: Via::Session }
    }

    fn entries(path: &Path) -> Vec<Entry> {
        let mut entries = Vec::new();
        read(path, |entry| entries.push(entry)).unwrap();
        entries
    }

    #[test]
    fn what_was_written_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        assert_eq!(entries(&path), []);
        let mut journal = Journal::open(&path, |_| panic!("it is empty")).unwrap();
        let first = journal.append(SystemTime::now(), "otter", answered("a\nb")).unwrap();
        drop(journal);
        let mut again = Vec::new();
        let mut journal = Journal::open(&path, |entry| again.push(entry)).unwrap();
        let second = journal.append(SystemTime::now(), "", Record::Missed { events: 3 }).unwrap();
        assert_eq!(again, [Arc::clone(&first)]);
        assert_eq!(entries(&path), [first.as_ref().clone(), second.as_ref().clone()]);
        assert_eq!((first.number, second.number, journal.last()), (1, 2, 2));
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.lines()
                .next()
                .unwrap()
                .ends_with(r#""user":"otter","answered":{"task":"A1","text":"a\nb","via":"session"}}"#),
            "{text}"
        );
    }

    #[test]
    fn a_torn_last_line_is_cut_off_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let mut journal = Journal::open(&path, drop).unwrap();
        for text in ["one", "two"] {
            journal.append(SystemTime::now(), "otter", answered(text)).unwrap();
        }
        drop(journal);
        let whole = fs::read(&path).unwrap();
        // A tear at each byte of the last line, and zeros as file systems leave them behind a power cut.
        let last = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for torn in (last..whole.len()).map(|end| whole[..end].to_vec()).chain([[&whole[..], &[0; 50]].concat()]) {
            fs::write(&path, &torn).unwrap();
            let mut journal = Journal::open(&path, drop).unwrap();
            let kept = if torn.len() > whole.len() { 2 } else { 1 };
            assert_eq!(journal.last(), kept);
            journal.append(SystemTime::now(), "otter", answered("three")).unwrap();
            assert_eq!(entries(&path).len() as u64, kept + 1);
        }
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_an_error_with_its_number() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let mut journal = Journal::open(&path, drop).unwrap();
        journal.append(SystemTime::now(), "otter", answered("one")).unwrap();
        let line = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{line}damaged\n{line}")).unwrap();
        let error = read(&path, drop).unwrap_err().to_string();
        assert!(error.contains("journal.jsonl:2: this is no entry"), "{error}");
    }

    #[test]
    fn there_is_one_writer() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let _journal = Journal::open(&path, drop).unwrap();
        let error = Journal::open(&path, drop).unwrap_err().to_string();
        assert!(error.contains("is being written by a server"), "{error}");
    }

    #[test]
    fn nobody_fills_it_up_for_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let mut journal = Journal::open(&path, drop).unwrap();
        let text = "x".repeat(100_000);
        let mut append = |user: &str| journal.append(SystemTime::now(), user, answered(&text));
        let written = (0..50).take_while(|_| append("otter").is_ok()).count();
        assert_eq!(written, 41);
        assert!(append("otter").unwrap_err().to_string().contains("no more room for otter"));
        append("fox").unwrap();
        // Nor after a restart; and the teacher still can decide.
        drop(journal);
        let mut journal = Journal::open(&path, drop).unwrap();
        assert!(journal.append(SystemTime::now(), "otter", answered(&text)).is_err());
        let decided = Record::Overridden { task: "A1".to_owned(), points: Some(1), reason: "seen".to_owned() };
        journal.append(SystemTime::now(), "otter", decided).unwrap();
    }
}
