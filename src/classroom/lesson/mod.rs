//! A lesson: its tasks, what has to be seen of a student for each, and what there is to answer.
//!
//! A task is [judged](super::marks) by its conditions over what was [observed](super::Observation), never over what a
//! textbook says. Several correct ways pass: LIST, NLST and MLSD are all listings, PORT counts as EPRT, PASV as EPSV and
//! XMKD as MKD, unless a condition is `exact`.

mod check;
mod parse;
mod steps;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::quest::Folder;
use crate::sessions::{Family, Mode};
use crate::settings::Faults;

/// The lesson that a class is founded with.
pub const SHIPPED: &str = include_str!("../../../config/lessons/ports-and-ftp.toml");

/// A lesson as used: everything in it has been checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lesson {
    /// What it is called.
    pub title: String,
    /// Its tasks, in the order in which they are shown.
    pub tasks: Vec<Task>,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Task {
    /// Short and without spaces, such as `A3`.
    pub id: String,
    /// A few words.
    pub title: String,
    /// The question, as the student reads it.
    pub ask: String,
    /// What it is worth.
    pub points: u32,
    /// What helps; may be empty.
    pub hint: String,
    /// The ways to do it; the first that is complete counts.
    pub ways: Vec<Way>,
    /// The files that it is about.
    pub folder: Option<Folder>,
}

/// One way to do a task: what has to be seen, and what has to be answered then.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Way {
    /// All of this has to be seen.
    pub need: Vec<Step>,
    /// In this order.
    pub in_order: bool,
    /// In one session.
    pub one_session: bool,
    /// What to answer; without any part, what was seen is enough.
    pub answer: Vec<Part>,
}

/// Something that a student does, as a lesson file has it: `{ did = "download", files = ["/readme.txt"] }`.
///
/// Paths are absolute in the student's home.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "did", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Step {
    /// A login.
    Login {
        /// One that was refused for its password.
        #[serde(default)]
        refused: bool,
        /// On a control connection that was encrypted before.
        #[serde(default)]
        tls: bool,
        /// Over this address family.
        family: Option<Family>,
        /// With Windows' own `ftp.exe`, as far as it can be told: that client has no passive mode.
        #[serde(default)]
        ftp_exe: bool,
    },
    /// This many logins, one after the other or at the same time.
    Sessions {
        /// How many.
        count: u32,
        /// All of them logged in at the same time.
        #[serde(default)]
        at_once: bool,
    },
    /// A whole LIST, NLST or MLSD.
    List {
        /// The directory; a pattern for names in it, as in `mget *`, counts too.
        path: Option<String>,
        /// With a data connection of this mode.
        mode: Option<Mode>,
    },
    /// Whole downloads of all these files.
    Download {
        /// The files.
        files: BTreeSet<String>,
        /// Nothing else from their directories: whatever else comes from there starts this over, at the next listing.
        #[serde(default)]
        only: bool,
        /// Seconds from the first to the last.
        within: Option<u32>,
        /// In this TYPE.
        r#type: Option<Type>,
        /// With a data connection of this mode.
        mode: Option<Mode>,
        /// It ended early, behind some bytes.
        #[serde(default)]
        broken: bool,
        /// It began behind the start of the file, by REST.
        #[serde(default)]
        resumed: bool,
    },
    /// Whole uploads of all these files, none of them empty. In `/handin` every version of a name counts for it.
    Upload {
        /// The files.
        files: BTreeSet<String>,
        /// Each is equal to the file of its name in this quest folder, or in an archive there.
        copy_of: Option<String>,
        /// Seconds from the first to the last.
        within: Option<u32>,
        /// In this TYPE.
        r#type: Option<Type>,
        /// With a data connection of this mode.
        mode: Option<Mode>,
    },
    /// All these files deleted.
    Delete {
        /// The files.
        files: BTreeSet<String>,
        /// Whoever deletes one of these fails until the folder is restored.
        #[serde(default)]
        keep: BTreeSet<String>,
    },
    /// A command that succeeded.
    Command {
        /// Its verb.
        verb: String,
        /// The path that it was about; for PWD the working directory.
        path: Option<String>,
        /// The new path, behind RNTO.
        to: Option<String>,
        /// This very verb.
        #[serde(default)]
        exact: bool,
    },
    /// A command that was refused.
    Refused {
        /// One of these verbs.
        verbs: BTreeSet<String>,
        /// The path that it was about, or one below it.
        path: Option<String>,
        /// With one of these codes.
        codes: Option<BTreeSet<u16>>,
    },
    /// A data connection.
    Data {
        /// Of this mode.
        mode: Mode,
        /// One that did not come about.
        #[serde(default)]
        failed: bool,
    },
    /// PASV, EPSV, PORT or EPRT.
    Offer {
        /// Which.
        verb: String,
        /// This very verb.
        #[serde(default)]
        exact: bool,
    },
    /// PASV or EPSV, a connection to the port, and a listing, in a session in which nothing was sent that client programs
    /// send by themselves, and no faster than somebody types. That is likely by hand and no proof.
    ByHand {},
}

/// TYPE A or TYPE I.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// TYPE A
    Ascii,
    /// TYPE I
    Binary,
}

/// A part of an answer. Numbers are compared with numbers and words with words, each in their order; whatever else was
/// written is ignored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Part {
    /// The whole answer is one of these, whatever its case, its spaces and its punctuation.
    Text(BTreeSet<String>),
    /// A word: a class of ports, a side, an FTP verb, `yes`, `no`, `same` or `different`.
    Word(String),
    /// A number.
    Number(u32),
    /// The client's port of an own control connection.
    ClientPort,
    /// Its class; behind a port, that port's.
    ClientClass,
    /// The client's port of somebody else's control connection.
    NeighbourPort,
    /// Its class.
    NeighbourClass,
    /// The server's port of an own control connection.
    ServerPort,
    /// Its class.
    ServerClass,
    /// The client's ports of own control connections, in order.
    ClientPorts {
        /// How many are asked for.
        count: usize,
        /// How many must be right.
        right: usize,
    },
    /// How many own connections were open at a moment while this file was downloaded.
    Connections(String),
    /// Which side closed the data connection of the last whole own transfer of this verb.
    ClosedFirst(String),
    /// The server's port of a data connection over which an own listing went.
    ListPort,
    /// The server's port of an own data connection in active mode.
    ActivePort,
    /// The port in an own 227; its arithmetic may be written out.
    PasvPort,
    /// The port in an own 229.
    EpsvPort,
    /// The port in an own PORT or EPRT.
    PortPort,
    /// How many data connections the session used for what this way needs.
    DataConnections,
    /// The code of the reply that was seen for this step, counted from 1.
    CodeOf(usize),
    /// The word that only this student's sessions have, in FEAT.
    CaptureWord,
    /// The student's word in this quest file.
    FileWord(String),
    /// `same` or `different`: the last own upload in TYPE A of a file of this name, beside this quest file.
    Compared(String),
    /// A port and `same` or `different`: whether it is the client's port of an own control connection.
    ComparedPort,
}

impl Lesson {
    /// Reads a lesson file.
    pub fn load(path: &Path) -> Result<Self, Faults> {
        let name = path.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, &name),
            Err(error) => Err(Faults::one(name, format!("cannot be read: {error}; name a lesson file"))),
        }
    }

    /// Reads a lesson's text; `name` is what the file is called in faults, all of which come at once.
    pub fn parse(text: &str, name: &str) -> Result<Self, Faults> {
        parse::lesson(text, name)
    }

    /// The task of this id, in any case, and its place.
    pub fn task(&self, id: &str) -> Option<(usize, &Task)> {
        self.tasks.iter().enumerate().find(|(_, task)| task.id.eq_ignore_ascii_case(id))
    }

    /// All points together.
    pub fn points(&self) -> u32 {
        self.tasks.iter().map(|task| task.points).sum()
    }

    /// The quest folders of all tasks.
    pub fn folders(&self) -> impl Iterator<Item = &Folder> {
        self.tasks.iter().filter_map(|task| task.folder.as_ref())
    }
}

impl Task {
    /// Whether there is something to answer.
    pub fn asks(&self) -> bool {
        self.ways.iter().any(|way| !way.answer.is_empty())
    }
}

#[cfg(test)]
mod tests;
