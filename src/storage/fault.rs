//! Why the storage refused, in words for programs and for people.

use std::fmt::{self, Display};
use std::io;

use rustix::io::Errno;

use super::path::VirtualPath;
use super::rights::Action;

/// What a caller does about a refusal: control maps it to a reply code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// Nothing is there.
    NotFound,
    /// The account or the operating system does not allow it, or the path leads out of the home.
    Permission,
    /// No file may have this name.
    NameNotAllowed,
    /// The disk is full, or the system's quota of it.
    NoSpace,
    /// The account's quota is full.
    Quota,
    /// Somebody else is at it; later it may work.
    Busy,
    /// A regular file was needed.
    NotAFile,
    /// A directory was needed.
    NotADirectory,
    /// Something is there already.
    Exists,
    /// The directory has entries.
    NotEmpty,
    /// The request makes no sense, for example an offset past the file's end.
    BadRequest,
    /// A replacement broke before; only an upload from the start may follow.
    Stale,
    /// The request would cost more than one request may.
    TooMuch,
    /// Anything else that the operating system reports.
    Local,
}

/// Why the storage refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What a caller decides by.
    pub kind: FaultKind,
    /// One plain sentence for people: what was wrong and, where it helps, what to do.
    pub sentence: String,
}

impl Fault {
    /// A fault with its sentence.
    pub fn new(kind: FaultKind, sentence: impl Into<String>) -> Self {
        Self { kind, sentence: sentence.into() }
    }

    /// What the operating system, or cap-std, said when `action` was tried on `path`.
    pub fn from_io(action: Action, path: &VirtualPath, error: &io::Error) -> Self {
        let Some(errno) = Errno::from_io_error(error) else {
            return Self::from_error_without_number(action, path, error);
        };
        let (kind, sentence) = match errno {
            Errno::NOENT if matches!(action, Action::Create | Action::Mkdir) => {
                (FaultKind::NotFound, format!("The directory {} does not exist; create it first.", path.parent()))
            }
            Errno::NOENT => (FaultKind::NotFound, format!("There is no file or directory {path}.")),
            Errno::ACCESS | Errno::PERM => (
                FaultKind::Permission,
                format!("The server's operating system does not allow it to {} {path}.", words(action)),
            ),
            Errno::ROFS => (FaultKind::Permission, format!("{path} is on a file system that can only be read.")),
            Errno::NOSPC => (FaultKind::NoSpace, "The server's disk is full.".to_owned()),
            Errno::DQUOT => (FaultKind::NoSpace, "The server's disk quota is used up.".to_owned()),
            Errno::FBIG => (FaultKind::NoSpace, format!("{path} would become larger than a file may be there.")),
            Errno::NAMETOOLONG | Errno::INVAL | Errno::ILSEQ if names_something_new(action) => {
                (FaultKind::NameNotAllowed, format!("The server's file system does not take the name {path}."))
            }
            Errno::NAMETOOLONG => (FaultKind::NameNotAllowed, "This path is too long.".to_owned()),
            Errno::NOTEMPTY => (FaultKind::NotEmpty, format!("The directory {path} is not empty.")),
            Errno::EXIST => (FaultKind::Exists, format!("{path} exists already.")),
            Errno::ISDIR => (FaultKind::NotAFile, format!("{path} is a directory.")),
            Errno::NOTDIR => (FaultKind::NotADirectory, format!("{path} is not a directory, or a part of it is not.")),
            Errno::NXIO | Errno::NODEV => (FaultKind::NotAFile, format!("{path} is not a regular file.")),
            Errno::LOOP => (FaultKind::Permission, format!("{path} leads through too many symbolic links.")),
            Errno::XDEV => (FaultKind::BadRequest, format!("{path} would have to move to another file system.")),
            Errno::BUSY | Errno::TXTBSY => (FaultKind::Busy, format!("{path} is in use; try again later.")),
            _ => (FaultKind::Local, format!("The server could not {} {path}: {error}.", words(action))),
        };
        Self { kind, sentence }
    }

    /// The same, where the error says nothing about the path but that the system could not look at it, for want of
    /// descriptors or because of a broken disk.
    pub(super) fn of_the_system(action: Action, path: &VirtualPath, error: &io::Error) -> Option<Self> {
        Some(Self::from_io(action, path, error)).filter(|fault| fault.kind == FaultKind::Local)
    }

    /// cap-std reports a path that leads out of the home as `PermissionDenied` without an errno.
    fn from_error_without_number(action: Action, path: &VirtualPath, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => {
                Self::new(FaultKind::Permission, format!("{path} leads out of your home directory."))
            }
            io::ErrorKind::NotFound => Self::from_io(action, path, &Errno::NOENT.into()),
            _ => Self::new(FaultKind::Local, format!("The server could not {} {path}: {error}.", words(action))),
        }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Fault {}

fn names_something_new(action: Action) -> bool {
    matches!(action, Action::Create | Action::Mkdir | Action::Rename)
}

/// What `action` does, to be followed by a path.
pub(super) fn words(action: Action) -> &'static str {
    match action {
        Action::List => "list",
        Action::Read => "read",
        Action::Create | Action::Mkdir => "create",
        Action::Append => "add to",
        Action::Overwrite => "replace",
        Action::Delete => "delete",
        Action::Rename => "rename",
        Action::Rmdir => "remove",
        Action::Attributes => "change the attributes of",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_kind() {
        let path = VirtualPath::root().resolve(b"sub/x").unwrap();
        for (errno, action, kind) in [
            (Errno::NOENT, Action::Read, FaultKind::NotFound),
            (Errno::ACCESS, Action::Read, FaultKind::Permission),
            (Errno::PERM, Action::Attributes, FaultKind::Permission),
            (Errno::ROFS, Action::Create, FaultKind::Permission),
            (Errno::LOOP, Action::Read, FaultKind::Permission),
            (Errno::NOSPC, Action::Create, FaultKind::NoSpace),
            (Errno::DQUOT, Action::Append, FaultKind::NoSpace),
            (Errno::NAMETOOLONG, Action::Create, FaultKind::NameNotAllowed),
            (Errno::INVAL, Action::Create, FaultKind::NameNotAllowed),
            (Errno::INVAL, Action::Read, FaultKind::Local),
            (Errno::NOTEMPTY, Action::Rmdir, FaultKind::NotEmpty),
            (Errno::EXIST, Action::Mkdir, FaultKind::Exists),
            (Errno::ISDIR, Action::Read, FaultKind::NotAFile),
            (Errno::NXIO, Action::Read, FaultKind::NotAFile),
            (Errno::NOTDIR, Action::List, FaultKind::NotADirectory),
            (Errno::XDEV, Action::Rename, FaultKind::BadRequest),
            (Errno::BUSY, Action::Rmdir, FaultKind::Busy),
            (Errno::IO, Action::Read, FaultKind::Local),
        ] {
            assert_eq!(Fault::from_io(action, &path, &errno.into()).kind, kind, "{errno:?}");
        }
    }

    #[test]
    fn sentences_name_what_is_missing() {
        let path = VirtualPath::root().resolve(b"sub/x").unwrap();
        let sentence = |action| Fault::from_io(action, &path, &Errno::NOENT.into()).sentence;
        assert_eq!(sentence(Action::Read), "There is no file or directory /sub/x.");
        assert_eq!(sentence(Action::Create), "The directory /sub does not exist; create it first.");
    }

    #[test]
    fn an_escape_is_called_one() {
        let escape = io::Error::new(io::ErrorKind::PermissionDenied, "a path led outside of the filesystem");
        let fault = Fault::from_io(Action::Read, &VirtualPath::root().resolve(b"out").unwrap(), &escape);
        assert_eq!(fault.kind, FaultKind::Permission);
        assert_eq!(fault.sentence, "/out leads out of your home directory.");
    }
}
