//! What an account may do, in words, by path.

use std::fmt::{self, Display};
use std::sync::Arc;

use super::glob::Pattern;
use super::path::VirtualPath;

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

    /// The names of those that have one.
    pub const PRESETS: [(&'static str, Self); 4] = [
        ("read-only", Self::READ_ONLY),
        ("read-write", Self::READ_WRITE),
        ("add-only", Self::ADD_ONLY),
        ("none", Self::NONE),
    ];

    /// Beside the actions' bits: only what the account has made itself is seen.
    const OWN: u16 = 1 << Action::ALL.len();

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

    /// What both allow.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0 & Self::READ_WRITE.0 | (self.0 | other.0) & Self::OWN)
    }

    /// As it follows "You may".
    fn sentence(self) -> String {
        match self {
            Self::READ_ONLY => "list and download".to_owned(),
            Self::READ_WRITE => "list, download and upload".to_owned(),
            Self::ADD_ONLY => "upload new files".to_owned(),
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
/// The longest pattern that covers a path decides; its length is the number of its bytes that stand for themselves. Of
/// equally long ones all must allow. What no pattern covers is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights(Arc<[Rule]>);

#[derive(Debug, PartialEq, Eq)]
struct Rule {
    /// As it was written.
    text: String,
    components: Vec<Pattern>,
    length: usize,
    words: Words,
}

impl Rights {
    /// The same everywhere.
    pub fn everywhere(words: Words) -> Self {
        Self([Rule { text: "/".to_owned(), components: Vec::new(), length: 1, words }].into())
    }

    /// By path: patterns and what holds for what they match and for everything below. Each has passed
    /// [`check_pattern`](Self::check_pattern).
    pub fn by_path<'a>(rules: impl IntoIterator<Item = (&'a str, Words)>) -> Self {
        let mut rules: Vec<Rule> = rules.into_iter().map(|(pattern, words)| Rule::new(pattern, words)).collect();
        // A stable sort: equally long ones are shown in the order in which they were written.
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.length));
        Self(rules.into())
    }

    /// Why `pattern` can cover no path, if so.
    pub fn check_pattern(pattern: &str) -> Result<(), &'static str> {
        if !pattern.starts_with('/') {
            Err("a path pattern begins with /, which is the home")
        } else if pattern.chars().any(char::is_control) {
            Err("it has control characters")
        } else if pattern.split('/').any(|component| matches!(component, "." | "..")) {
            Err("no path has . or .. in it")
        } else {
            Ok(())
        }
    }

    /// What is allowed at `path`, as far as its text goes.
    pub fn at(&self, path: &VirtualPath) -> Words {
        if let Some(words) = self.uniform() {
            return words;
        }
        let components: Vec<&[u8]> = path.components().collect();
        let mut covering = self.0.iter().filter(|rule| rule.covers(&components));
        let Some(longest) = covering.next() else { return Words::NONE };
        covering.take_while(|rule| rule.length == longest.length).fold(longest.words, |all, rule| all.and(rule.words))
    }

    /// Whether `action` is allowed at `path`, as far as its text goes.
    pub fn allow(&self, action: Action, path: &VirtualPath) -> bool {
        self.at(path).allow(action)
    }

    /// What is allowed everywhere, if it is the same everywhere.
    pub fn uniform(&self) -> Option<Words> {
        match &*self.0 {
            [rule] if rule.components.is_empty() => Some(rule.words),
            _ => None,
        }
    }

    /// Whether something below `path` may have a rule of its own.
    pub fn differ_below(&self, path: &VirtualPath) -> bool {
        let components: Vec<&[u8]> = path.components().collect();
        self.0.iter().any(|rule| {
            rule.components.len() > components.len()
                && rule.components.iter().zip(&components).all(|(pattern, name)| pattern.fits(name))
        })
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
        for (index, Rule { text, words, .. }) in self.0.iter().rev().enumerate() {
            let end_of_last = if index == 0 { "" } else { ", " };
            write!(f, "{end_of_last}{text} {words}")?;
        }
        Ok(())
    }
}

impl Rule {
    fn new(text: &str, words: Words) -> Self {
        let parts = text.split('/').filter(|part| !part.is_empty());
        let components: Vec<Pattern> = parts.map(|part| Pattern::new(part.as_bytes())).collect();
        // The slash before each component, and the root's own.
        let slashes = components.len().max(1);
        let length = slashes + components.iter().map(Pattern::literal_bytes).sum::<usize>();
        Self { text: text.to_owned(), components, length, words }
    }

    /// Whether this is about the path of these components: about itself, or about a directory above it.
    fn covers(&self, path: &[&[u8]]) -> bool {
        self.components.len() <= path.len()
            && self.components.iter().zip(path).all(|(pattern, name)| pattern.fits(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> VirtualPath {
        VirtualPath::root().resolve(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_longest_pattern_decides_for_what_it_matches_and_all_below() {
        let rights = Rights::by_path([
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
        let rights = Rights::by_path([("/a*", Words::READ_WRITE), ("/*a", Words::READ_ONLY)]);
        assert_eq!(rights.at(&path("/aa")), Words::READ_ONLY);
        assert_eq!(rights.at(&path("/ab")), Words::READ_WRITE);
    }

    #[test]
    fn wildcards_and_classes_do_not_count_and_escapes_do_once() {
        for (pattern, length) in [("/", 1), ("/ab", 3), ("/a/b", 4), ("/*", 1), ("/a?[bc]*", 2), ("/\\*é", 4)] {
            assert_eq!(Rule::new(pattern, Words::NONE).length, length, "{pattern}");
        }
    }

    #[test]
    fn what_no_pattern_covers_is_closed() {
        let rights = Rights::by_path([("/pub", Words::READ_ONLY)]);
        assert!(rights.at(&path("/")).is_none() && rights.at(&path("/etc")).is_none());
        assert!(rights.allow(Action::Read, &path("/pub/x")));
        assert!(rights.uniform().is_none());
    }

    #[test]
    fn rules_below_a_directory_are_known() {
        let rights = Rights::by_path([("/", Words::READ_WRITE), ("/a/b", Words::NONE), ("/x*/y", Words::NONE)]);
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
        assert!(!Words::READ_WRITE.own_only());
    }

    #[test]
    fn short_forms_name_presets_words_and_paths() {
        assert_eq!(Rights::everywhere(Words::ADD_ONLY).to_string(), "add-only");
        assert_eq!(
            Rights::everywhere(Words::of([Action::Read, Action::List, Action::Mkdir])).to_string(),
            "list+read+mkdir"
        );
        let rights = Rights::by_path([("/incoming", Words::ADD_ONLY), ("/", Words::READ_ONLY)]);
        assert_eq!(rights.to_string(), "/ read-only, /incoming add-only");
        assert_eq!(rights.sentence(), "list and download; some paths have rules of their own");
    }

    #[test]
    fn patterns_are_absolute() {
        for (pattern, good) in
            [("/", true), ("/a/*", true), ("", false), ("a", false), ("/a/../b", false), ("/a\n", false)]
        {
            assert_eq!(Rights::check_pattern(pattern).is_ok(), good, "{pattern:?}");
        }
    }
}
