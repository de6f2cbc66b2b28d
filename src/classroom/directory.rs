//! The directory of a class, and what is where in it.

use std::path::{Path, PathBuf};

/// The directory of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory(PathBuf);

impl Directory {
    /// The class at `path`, which need not exist.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The server's settings, an ordinary settings file.
    pub fn settings(&self) -> PathBuf {
        self.0.join("classroom.toml")
    }

    /// The lesson.
    pub fn lesson(&self) -> PathBuf {
        self.0.join("lesson.toml")
    }

    /// Who is in the class, see [`Students`](super::Students).
    pub fn students(&self) -> PathBuf {
        self.0.join("students.csv")
    }

    /// The accounts file of the server.
    pub fn accounts(&self) -> PathBuf {
        self.0.join("accounts.toml")
    }

    /// The cards to print, with passwords.
    pub fn cards(&self) -> PathBuf {
        self.0.join("cards.html")
    }

    /// The same as a table, where one was asked for.
    pub fn credentials(&self) -> PathBuf {
        self.0.join("credentials.csv")
    }

    /// What everybody gets as `/materials`.
    pub fn materials(&self) -> PathBuf {
        self.0.join("materials")
    }

    /// The assignments: a directory for each is a folder of everybody's `/handin`.
    pub fn handin(&self) -> PathBuf {
        self.0.join("handin")
    }

    /// The root that is served: a home for each student.
    pub fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    /// A student's home.
    pub fn home(&self, user: &str) -> PathBuf {
        self.root().join(user)
    }

    /// Where homes go when they are reset.
    pub fn archive(&self) -> PathBuf {
        self.0.join("archive")
    }

    /// The journal of what was observed, answered and decided: the marks follow from it.
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal.jsonl")
    }

    /// What the seeds of the students' files are made from.
    pub fn secret(&self) -> PathBuf {
        self.0.join("secret")
    }
}
