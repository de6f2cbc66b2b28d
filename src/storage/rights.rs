//! What an account may do, in words, by path.

use std::fmt::{self, Display};
use std::sync::Arc;

use super::path::VirtualPath;
use super::pattern::{PathPattern, longest};

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

impl Action {
    /// Every action, with the word that stands for it.
    pub const ALL: [(&'static str, Self); 10] = [
        ("list", Self::List),
        ("read", Self::Read),
        ("create", Self::Create),
        ("append", Self::Append),
        ("overwrite", Self::Overwrite),
        ("delete", Self::Delete),
        ("rename", Self::Rename),
        ("mkdir", Self::Mkdir),
        ("rmdir", Self::Rmdir),
        ("attributes", Self::Attributes),
    ];

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// What is allowed in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words(u16);

impl Words {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// List and read.
    pub const READ_ONLY: Self = Self(Action::List.bit() | Action::Read.bit());
    /// Everything.
    pub const READ_WRITE: Self = Self(Self::OWN - 1);
    /// New files, and the sight of those that this account has made.
    pub const ADD_ONLY: Self = Self(Action::List.bit() | Action::Create.bit() | Self::OWN);

    /// The same, and an upload to a name that is taken gets another name.
    pub const HAND_IN: Self = Self(Self::ADD_ONLY.0 | Self::VERSIONS);

    /// The names of those that have one.
    pub const PRESETS: [(&'static str, Self); 5] = [
        ("read-only", Self::READ_ONLY),
        ("read-write", Self::READ_WRITE),
        ("add-only", Self::ADD_ONLY),
        ("hand-in", Self::HAND_IN),
        ("none", Self::NONE),
    ];

    /// Beside the actions' bits: only what the account has made itself is seen.
    const OWN: u16 = 1 << Action::ALL.len();

    /// Beside them, too: uploads are kept as versions, with a receipt for each.
    const VERSIONS: u16 = Self::OWN << 1;

    /// These actions.
    pub fn of(actions: impl IntoIterator<Item = Action>) -> Self {
        Self(actions.into_iter().fold(0, |bits, action| bits | action.bit()))
    }

    /// Whether `action` is allowed.
    pub fn allow(self, action: Action) -> bool {
        self.0 & action.bit() != 0
    }

    /// Whether nothing is allowed.
    pub fn is_none(self) -> bool {
        self.0 & Self::READ_WRITE.0 == 0
    }

    /// Whether only what the account has made itself is seen.
    pub fn own_only(self) -> bool {
        self.0 & Self::OWN != 0
    }

    /// Whether an upload to a name that is taken is kept under another, with a receipt.
    pub fn keeps_versions(self) -> bool {
        self.0 & Self::VERSIONS != 0
    }

    /// What both allow.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0 & Self::READ_WRITE.0 | (self.0 | other.0) & (Self::OWN | Self::VERSIONS))
    }

    /// As it follows "You may".
    fn sentence(self) -> String {
        match self {
            Self::READ_ONLY => "list and download".to_owned(),
            Self::READ_WRITE => "list, download and upload".to_owned(),
            Self::ADD_ONLY => "upload new files".to_owned(),
            Self::HAND_IN => "hand files in".to_owned(),
            _ if self.is_none() => "do nothing".to_owned(),
            _ => self.actions().join(", "),
        }
    }

    fn actions(self) -> Vec<&'static str> {
        Action::ALL.iter().filter(|(_, action)| self.allow(*action)).map(|(word, _)| *word).collect()
    }
}

/// The preset's name, or the words.
impl Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::PRESETS.iter().find(|(_, preset)| preset == self) {
            Some((name, _)) => f.write_str(name),
            None => f.write_str(&self.actions().join("+")),
        }
    }
}

/// What an account may do below its home. Cheap to clone.
///
/// The longest pattern that covers a path decides. Of equally long ones all must allow. What no pattern covers is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights(Arc<[(PathPattern, Words)]>);

impl Rights {
    /// The same everywhere.
    pub fn everywhere(words: Words) -> Self {
        // The root is a pattern.
        Self(PathPattern::new("/").into_iter().map(|root| (root, words)).collect())
    }

    /// By path: what holds for what a pattern covers.
    pub fn by_path(rules: impl IntoIterator<Item = (PathPattern, Words)>) -> Self {
        let mut rules: Vec<_> = rules.into_iter().collect();
        // A stable sort: equally long ones are shown in the order in which they were written.
        rules.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.length()));
        Self(rules.into())
    }

    /// What is allowed at `path`, as far as its text goes.
    pub fn at(&self, path: &VirtualPath) -> Words {
        self.uniform().or_else(|| longest(&self.0, path, Words::and)).unwrap_or(Words::NONE)
    }

    /// Whether `action` is allowed at `path`, as far as its text goes.
    pub fn allow(&self, action: Action, path: &VirtualPath) -> bool {
        self.at(path).allow(action)
    }

    /// What is allowed everywhere, if it is the same everywhere.
    pub fn uniform(&self) -> Option<Words> {
        match &*self.0 {
            [(pattern, words)] if pattern.is_root() => Some(*words),
            _ => None,
        }
    }

    /// Whether something below `path` may have a rule of its own.
    pub fn differ_below(&self, path: &VirtualPath) -> bool {
        let components: Vec<&[u8]> = path.components().collect();
        self.0.iter().any(|(pattern, _)| pattern.reaches_below(&components))
    }

    /// As it follows "You may" in a welcome.
    pub fn sentence(&self) -> String {
        match self.uniform() {
            Some(words) => words.sentence(),
            None => format!("{}; some paths have rules of their own", self.at(&VirtualPath::root()).sentence()),
        }
    }
}

/// A short form for a table: `read-only`, or `/ read-only, /incoming add-only`.
impl Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(words) = self.uniform() {
            return words.fmt(f);
        }
        for (index, (pattern, words)) in self.0.iter().rev().enumerate() {
            let end_of_last = if index == 0 { "" } else { ", " };
            write!(f, "{end_of_last}{} {words}", pattern.text())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> VirtualPath {
        VirtualPath::root().resolve(text.as_bytes()).unwrap()
    }

    fn by_path<const N: usize>(rules: [(&str, Words); N]) -> Rights {
        Rights::by_path(rules.map(|(text, words)| (PathPattern::new(text).unwrap(), words)))
    }

    #[test]
    fn the_longest_pattern_decides_for_what_it_matches_and_all_below() {
        let rights = by_path([
            ("/", Words::READ_ONLY),
            ("/incoming/", Words::ADD_ONLY),
            ("/incoming/*.tmp", Words::NONE),
            ("/home/*/private", Words::NONE),
        ]);
        for (at, words) in [
            ("/", Words::READ_ONLY),
            ("/x/y", Words::READ_ONLY),
            ("/incoming", Words::ADD_ONLY),
            ("/incoming/a", Words::ADD_ONLY),
            ("/incoming/a/b", Words::ADD_ONLY),
            ("/incomings", Words::READ_ONLY),
            ("/incoming/a.tmp", Words::NONE),
            ("/incoming/.tmp", Words::NONE),
            ("/incoming/.a.tmp", Words::NONE),
            ("/incoming/a.tmp/b", Words::NONE),
            ("/incoming/a/b.tmp", Words::ADD_ONLY),
            ("/home/ann/private", Words::NONE),
            ("/home/ann/private/letter", Words::NONE),
            ("/home/ann/public", Words::READ_ONLY),
        ] {
            assert_eq!(rights.at(&path(at)), words, "{at}");
        }
    }

    #[test]
    fn of_equally_long_patterns_all_must_allow() {
        let rights = by_path([("/a*", Words::READ_WRITE), ("/*a", Words::READ_ONLY)]);
        assert_eq!(rights.at(&path("/aa")), Words::READ_ONLY);
        assert_eq!(rights.at(&path("/ab")), Words::READ_WRITE);
    }

    #[test]
    fn what_no_pattern_covers_is_closed() {
        let rights = by_path([("/pub", Words::READ_ONLY)]);
        assert!(rights.at(&path("/")).is_none() && rights.at(&path("/etc")).is_none());
        assert!(rights.allow(Action::Read, &path("/pub/x")));
        assert!(rights.uniform().is_none());
    }

    #[test]
    fn rules_below_a_directory_are_known() {
        let rights = by_path([("/", Words::READ_WRITE), ("/a/b", Words::NONE), ("/x*/y", Words::NONE)]);
        for (at, differ) in [("/", true), ("/a", true), ("/a/b", false), ("/b", false), ("/xx", true), ("/xx/z", false)]
        {
            assert_eq!(rights.differ_below(&path(at)), differ, "{at}");
        }
    }

    #[test]
    fn presets_mean_what_they_are_called() {
        let words = |preset: Words| preset.actions().join(" ");
        assert_eq!(words(Words::READ_ONLY), "list read");
        assert_eq!(words(Words::ADD_ONLY), "list create");
        assert_eq!(words(Words::READ_WRITE).split(' ').count(), Action::ALL.len());
        assert!(Words::NONE.is_none() && !Words::NONE.own_only() && Words::ADD_ONLY.own_only());
        assert!(!Words::READ_WRITE.own_only() && !Words::READ_WRITE.keeps_versions());
        assert_eq!(words(Words::HAND_IN), words(Words::ADD_ONLY));
        assert!(Words::HAND_IN.own_only() && Words::HAND_IN.keeps_versions() && !Words::ADD_ONLY.keeps_versions());
    }

    #[test]
    fn short_forms_name_presets_words_and_paths() {
        assert_eq!(Rights::everywhere(Words::ADD_ONLY).to_string(), "add-only");
        assert_eq!(
            Rights::everywhere(Words::of([Action::Read, Action::List, Action::Mkdir])).to_string(),
            "list+read+mkdir"
        );
        let rights = by_path([("/incoming", Words::ADD_ONLY), ("/", Words::READ_ONLY)]);
        assert_eq!(rights.to_string(), "/ read-only, /incoming add-only");
        assert_eq!(rights.sentence(), "list and download; some paths have rules of their own");
    }
}
