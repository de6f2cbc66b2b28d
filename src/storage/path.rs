//! Paths as clients see them.

use std::ffi::OsStr;
use std::fmt::{self, Display, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::fault::{Fault, FaultKind};

/// How the names of unfinished replacements begin. They are hidden from listings and closed to clients.
pub(super) const RESERVED_PREFIX: &[u8] = b".longshore-upload-";

/// NAME_MAX: the longest name that Linux file systems take.
const MAX_NAME: usize = 255;

/// PATH_MAX: 4095 bytes and a NUL. Without its leading '/' a path of 4096 bytes just fits.
const MAX_PATH: usize = 4096;

/// An absolute, normalised path inside an account's home as the client sees it.
///
/// Raw bytes: it begins with '/', and has no '.', no '..', no empty component, no trailing '/' and no NUL. ".." is
/// taken away by its text, as clients do it, so `link/..` is the directory that holds `link`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct VirtualPath(Vec<u8>);

impl VirtualPath {
    /// The home itself.
    pub fn root() -> Self {
        Self(b"/".to_vec())
    }

    /// `argument` taken relative to this path (the working directory) unless it begins with '/'. ".." stops at the root.
    pub fn resolve(&self, argument: &[u8]) -> Result<VirtualPath, Fault> {
        let mut path = if argument.starts_with(b"/") { Self::root() } else { self.clone() };
        for component in argument.split(|&byte| byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => path = path.parent(),
                name => {
                    check_name(name)?;
                    path.push(name);
                }
            }
        }
        if path.0.len() > MAX_PATH {
            return Err(Fault::new(
                FaultKind::NameNotAllowed,
                format!("This path is too long: the limit is {MAX_PATH} bytes."),
            ));
        }
        Ok(path)
    }

    /// The path as the client would write it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path relative to the home's directory handle, "." for the root.
    pub fn relative(&self) -> &Path {
        Path::new(OsStr::from_bytes(if self.is_root() { b"." } else { &self.0[1..] }))
    }

    /// The last component, empty for the root.
    pub fn name(&self) -> &[u8] {
        &self.0[self.last_slash() + 1..]
    }

    /// The directory that holds this path; the root's is the root.
    pub fn parent(&self) -> VirtualPath {
        Self(self.0[..self.last_slash().max(1)].to_vec())
    }

    /// Its components, none for the root.
    pub(super) fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&byte| byte == b'/').filter(|component| !component.is_empty())
    }

    /// Whether this is the home itself.
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// Whether this path lies below `ancestor`.
    pub fn is_below(&self, ancestor: &VirtualPath) -> bool {
        let rest = self.0.strip_prefix(ancestor.0.as_slice());
        rest.is_some_and(|rest| !rest.is_empty() && (ancestor.is_root() || rest[0] == b'/'))
    }

    /// Whether something new may have this path's name. What has it already can be read, renamed and deleted.
    pub(super) fn check_new_name(&self) -> Result<(), Fault> {
        match self.name().iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
            // A listing shows '?' in their place, so that no client could name the file again.
            true => Err(Fault::new(FaultKind::NameNotAllowed, "A new name cannot contain a line end (CR or LF).")),
            false => Ok(()),
        }
    }

    /// The path of `name`, a single component that came from the file system, in this directory.
    pub(super) fn child(&self, name: &[u8]) -> VirtualPath {
        let mut path = self.clone();
        path.push(name);
        path
    }

    /// A path that cap-std gave, relative to the home.
    pub(super) fn from_relative(path: &Path) -> VirtualPath {
        let bytes = path.as_os_str().as_bytes();
        if bytes == b"." { Self::root() } else { Self([b"/", bytes].concat()) }
    }

    fn push(&mut self, name: &[u8]) {
        if !self.is_root() {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(name);
    }

    fn last_slash(&self) -> usize {
        self.0.iter().rposition(|&byte| byte == b'/').unwrap_or(0)
    }
}

/// Refuses what no file of ours may be called.
fn check_name(name: &[u8]) -> Result<(), Fault> {
    let sentence = if name.contains(&0) {
        "A name cannot contain a NUL byte.".to_owned()
    } else if name.len() > MAX_NAME {
        format!("This name is too long: the limit is {MAX_NAME} bytes.")
    } else if name.starts_with(RESERVED_PREFIX) {
        format!("Names that begin with {} are the server's own.", String::from_utf8_lossy(RESERVED_PREFIX))
    } else {
        return Ok(());
    };
    Err(Fault::new(FaultKind::NameNotAllowed, sentence))
}

/// For sentences and logs: lossy UTF-8, in which whatever could forge or reorder a line is a '?'.
impl Display for VirtualPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable(&self.0).fmt(f)
    }
}

/// Bytes from a client or a disk made harmless for sentences and logs.
pub(super) struct Printable<'a>(pub &'a [u8]);

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(self.0)
            .chars()
            .map(|character| if is_harmful(character) { '?' } else { character })
            .try_for_each(|character| f.write_char(character))
    }
}

/// Control characters, Unicode's own line ends, and the marks that reverse the direction of a line.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn resolved(directory: &str, argument: &str) -> String {
        let directory = VirtualPath::root().resolve(directory.as_bytes()).unwrap();
        directory.resolve(argument.as_bytes()).unwrap().to_string()
    }

    fn refused(argument: &[u8]) -> FaultKind {
        VirtualPath::root().resolve(argument).unwrap_err().kind
    }

    #[test]
    fn arguments_are_relative_unless_they_begin_with_a_slash() {
        assert_eq!(resolved("/a", "b"), "/a/b");
        assert_eq!(resolved("/a", "/b"), "/b");
        assert_eq!(resolved("/a", ""), "/a");
        assert_eq!(resolved("/", "a b "), "/a b ");
    }

    #[test]
    fn dots_and_empty_components_vanish_and_parents_stop_at_the_root() {
        assert_eq!(resolved("/a", "./b//c/"), "/a/b/c");
        assert_eq!(resolved("/a/b", "../c"), "/a/c");
        assert_eq!(resolved("/a", "../../../.."), "/");
        assert_eq!(resolved("/a", "/../../etc/passwd"), "/etc/passwd");
        assert_eq!(resolved("/", "..."), "/...");
    }

    #[test]
    fn names_that_no_file_may_have_are_refused() {
        assert_eq!(refused(b"a\0b"), FaultKind::NameNotAllowed);
        assert_eq!(refused(b"/x/.longshore-upload-12"), FaultKind::NameNotAllowed);
        assert_eq!(refused(&[b'a'; 256]), FaultKind::NameNotAllowed);
        assert_eq!(refused(&b"abc/".repeat(1025)), FaultKind::NameNotAllowed);
        assert!(VirtualPath::root().resolve(&[b'a'; 255]).is_ok());
        assert!(VirtualPath::root().resolve(&b"abc/".repeat(1024)).is_ok());
    }

    #[test]
    fn relative_name_and_parent_agree() {
        let path = VirtualPath::root().resolve(b"a/b").unwrap();
        assert_eq!(path.relative(), Path::new("a/b"));
        assert_eq!(path.name(), b"b");
        assert_eq!(path.parent().as_bytes(), b"/a");
        assert_eq!(path.parent().parent(), VirtualPath::root());
        assert_eq!(VirtualPath::root().relative(), Path::new("."));
        assert_eq!(VirtualPath::root().name(), b"");
        assert_eq!(VirtualPath::root().parent(), VirtualPath::root());
    }

    #[test]
    fn below_is_by_components_and_not_by_bytes() {
        let path = |text: &str| VirtualPath::root().resolve(text.as_bytes()).unwrap();
        assert!(path("/a/b").is_below(&path("/a")));
        assert!(path("/a").is_below(&VirtualPath::root()));
        assert!(!path("/ab").is_below(&path("/a")));
        assert!(!path("/a").is_below(&path("/a")));
    }

    #[test]
    fn printing_forges_no_line() {
        let path = VirtualPath::root().resolve(b"a\r\n226 ok\x1b[2J\xff\xe2\x80\xae").unwrap();
        assert_eq!(path.to_string(), "/a??226 ok?[2J\u{fffd}?");
    }

    proptest::proptest! {
        /// Against a stack of names, which is what a path is.
        #[test]
        fn any_argument_stays_below_the_root(
            directory in vec("[a-z]{1,3}", 0..4),
            parts in vec(prop_oneof![Just(""), Just("."), Just(".."), Just("..."), Just("a"), Just(" "), Just("..\\")], 0..12),
            absolute in any::<bool>(),
        ) {
            let directory = VirtualPath::root().resolve(directory.join("/").as_bytes()).unwrap();
            let mut stack: Vec<&[u8]> = if absolute { Vec::new() } else { directory.components().collect() };
            for part in &parts {
                match *part {
                    "" | "." => {}
                    ".." => drop(stack.pop()),
                    name => stack.push(name.as_bytes()),
                }
            }
            let argument = format!("{}{}", if absolute { "/" } else { "" }, parts.join("/"));
            // A relative path of an empty part first begins with a slash, too.
            if argument.starts_with('/') == absolute {
                let found = directory.resolve(argument.as_bytes()).unwrap();
                prop_assert_eq!(found.components().collect::<Vec<_>>(), stack);
            }
        }

        #[test]
        fn any_bytes_are_a_path_that_means_itself_or_refused(
            bytes in vec(prop_oneof![4 => Just(b'/'), 4 => Just(b'.'), 1 => Just(0), 9 => any::<u8>()], 0..600),
        ) {
            let Ok(path) = VirtualPath::root().resolve(&bytes) else { return Ok(()) };
            prop_assert_eq!(&VirtualPath::root().resolve(path.as_bytes()).unwrap(), &path);
            let mut components = path.relative().components();
            let normal = |it| matches!(it, std::path::Component::Normal(_));
            prop_assert!(path.relative() == Path::new(".") || components.all(normal));
            prop_assert!(path.is_root() || path.parent().child(path.name()) == path && path.is_below(&path.parent()));
            prop_assert!(!path.to_string().chars().any(char::is_control));
        }
    }
}
