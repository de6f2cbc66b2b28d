//! What an account may do, in words.

/// Something that a client asks of the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Names and facts of files.
    List,
    /// Contents of files.
    Read,
    /// A file that was not there.
    Create,
    /// More at a file's end.
    Append,
    /// New contents for a file that is there.
    Overwrite,
    /// A file's end.
    Delete,
    /// Another name.
    Rename,
    /// A new directory.
    Mkdir,
    /// A directory's end.
    Rmdir,
    /// Permission bits and times.
    Attributes,
}

/// What an account may do everywhere below its home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// List and read.
    ReadOnly,
    /// Everything.
    ReadWrite,
}

impl Rights {
    /// Whether `action` is allowed.
    pub fn allow(self, action: Action) -> bool {
        match self {
            Self::ReadWrite => true,
            Self::ReadOnly => matches!(action, Action::List | Action::Read),
        }
    }
}
