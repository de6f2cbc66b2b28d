//! LIST, NLST, MLSD and STAT: which lines, and how they are written.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::time::SystemTime;
use std::vec;

use super::Storage;
use super::expand::{Budget, Group, Label, expand};
use super::facts::{Facts, Kind, push_name};
use super::fault::{Fault, FaultKind};
use super::glob::is_pattern;
use super::home::{Home, link_text, owner_of, stat_name};
use super::long::push_long_line;
use super::machine::{FactSet, Place, push_machine_line};
use super::path::VirtualPath;
use super::rights::{Action, Words};

/// About how much text one call of [`Listing::next_chunk`] makes.
const CHUNK: usize = 64 * 1024;

/// What a client wants listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListRequest {
    /// `-a`: hidden names too, and in a long listing "." and "..".
    pub all: bool,
    /// `-A`: hidden names too.
    pub almost_all: bool,
    /// `-t`: the newest first.
    pub by_time: bool,
    /// `-S`: the largest first.
    pub by_size: bool,
    /// `-r`: the other way round.
    pub reverse: bool,
    /// `-d`: a directory itself in place of its entries.
    pub directory_itself: bool,
    /// The argument is a directory, and all of its entries are meant: neither options nor patterns.
    pub directory: bool,
    /// A path or a pattern, blanks included. Empty for the working directory.
    pub argument: Vec<u8>,
}

impl ListRequest {
    /// The argument of LIST, NLST or STAT: options as of `ls`, then the rest is one path. Options that say nothing here
    /// are passed over, as `ls`-like servers do; after `--` even a path may begin with '-'.
    pub fn parse(argument: &[u8]) -> Self {
        let mut request = Self::default();
        let mut rest = argument;
        while let [b'-', option, ..] = rest {
            if option.is_ascii_whitespace() {
                break;
            }
            let end = rest.iter().position(|&byte| byte == b' ').unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            if word == b"--" {
                rest = after.strip_prefix(b" ").unwrap_or(after);
                break;
            }
            word[1..].iter().for_each(|&letter| request.set(letter));
            rest = after.trim_ascii_start();
        }
        request.argument = rest.to_vec();
        request
    }

    /// The argument of MLSD: a directory and nothing else.
    pub fn directory(argument: &[u8]) -> Self {
        Self { directory: true, argument: argument.to_vec(), ..Self::default() }
    }

    fn set(&mut self, letter: u8) {
        match letter {
            b'a' => self.all = true,
            b'A' => self.almost_all = true,
            b't' => self.by_time = true,
            b'S' => self.by_size = true,
            b'r' => self.reverse = true,
            b'd' => self.directory_itself = true,
            _ => {}
        }
    }

    fn shows(&self, name: &[u8]) -> bool {
        self.directory || self.all || self.almost_all || !name.starts_with(b".")
    }
}

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As `ls -l` does (LIST, STAT).
    Long,
    /// Names alone (NLST).
    Names,
    /// Facts and a name (MLSD).
    Machine(FactSet),
}

/// Names that were found and sorted. Their lines are made piece by piece, so that only the names take memory.
#[derive(Debug)]
pub struct Listing {
    writer: Writer,
    groups: vec::IntoIter<Group>,
    current: Option<Current>,
    /// Why the first of those is missing that are.
    missing: Option<Fault>,
}

/// The group whose lines are being written.
#[derive(Debug)]
struct Current {
    around: Around,
    /// Open where the style needs facts.
    handle: Option<OwnedFd>,
    names: vec::IntoIter<CString>,
    label: Label,
}

/// What a line depends on besides its name.
#[derive(Debug)]
struct Writer {
    storage: Storage,
    style: Style,
}

impl Storage {
    /// Finds what `request` means from the working directory `cwd` on.
    ///
    /// A file of the literal name comes before any pattern. A directory's entries are listed; of what a pattern matches
    /// even directories are only named. Symbolic links to directories count as directories.
    pub fn list(&self, cwd: &VirtualPath, request: &ListRequest, style: Style) -> Result<Listing, Fault> {
        let mut groups = self.literal(cwd, request, style).or_else(|fault| {
            let absent = match fault.kind {
                FaultKind::NotFound | FaultKind::NotADirectory => true,
                // A rule may close the pattern's own text and not what it matches.
                FaultKind::Permission => self.rights.uniform().is_none(),
                _ => false,
            };
            let globs = absent && !request.directory && is_pattern(&request.argument);
            if globs { expand(self, cwd, &request.argument) } else { Err(fault) }
        })?;
        for group in &mut groups {
            sort(&self.home, group, request);
        }
        if request.reverse {
            groups.reverse();
        }
        let writer = Writer { storage: self.clone(), style };
        Ok(Listing { writer, groups: groups.into_iter(), current: None, missing: None })
    }

    /// What is there under the name that the client wrote.
    fn literal(&self, cwd: &VirtualPath, request: &ListRequest, style: Style) -> Result<Vec<Group>, Fault> {
        let path = cwd.resolve(&request.argument)?;
        self.permit(Action::List, &path)?;
        let fault = |error| Fault::from_io(Action::List, &path, &error);
        let stat = if request.directory { self.home.stat(&path) } else { self.home.stat_or_link(&path) };
        let stat = stat.map_err(fault)?;
        let is_directory = Facts::from(&stat).kind == Kind::Directory;
        if request.directory && !is_directory {
            self.permit_sight(&path)?;
            return Err(Fault::new(FaultKind::NotADirectory, format!("{path} is not a directory.")));
        }
        if !is_directory || request.directory_itself {
            self.permit_sight(&path)?;
            let shown = if request.argument.is_empty() { b"." } else { request.argument.as_slice() };
            return Ok(vec![Group::single(&path, shown.to_vec())]);
        }
        let prefix = if style == Style::Names { prefix(&request.argument) } else { Vec::new() };
        let mut names = Budget::new().names(&self.home, &path, 0, |name| request.shows(name))?;
        self.hide(&path, &mut names)?;
        let with_itself = match style {
            // cdir and pdir, as ProFTPD and Pure-FTPd send them (RFC 3659, section 7.5.1).
            Style::Machine(_) => true,
            Style::Long => request.all,
            // A client that fetches by these names would not know what to do with them.
            Style::Names => false,
        };
        Ok(vec![Group { with_itself, ..Group::new(path, prefix, names) }])
    }
}

impl Storage {
    /// Takes out of the names in `directory` what the session may do nothing with, and what is not its own where it sees
    /// only that.
    pub(super) fn hide(&self, directory: &VirtualPath, names: &mut Vec<CString>) -> Result<(), Fault> {
        let own_only = self.words(directory).own_only();
        if self.rights.uniform().is_some() && !own_only {
            return Ok(());
        }
        let handle = match self.home.open_dir(directory) {
            Ok(handle) => handle,
            Err(error) => {
                names.clear();
                return Fault::of_the_system(Action::List, directory, &error).map_or(Ok(()), Err);
            }
        };
        let around = Around::of(self, directory);
        names.retain(|name| {
            let own = || self.is_own(owner_of(&handle, name));
            !around.words(self, &handle, name).is_none() && (!own_only || own())
        });
        Ok(())
    }
}

/// A directory whose entries are looked at one by one.
#[derive(Debug)]
struct Around {
    path: VirtualPath,
    /// The same without symbolic links, where that may matter.
    real: Option<VirtualPath>,
}

impl Around {
    fn of(storage: &Storage, path: &VirtualPath) -> Self {
        let matters = storage.rights.uniform().is_none();
        let real = matters.then(|| storage.home.real_path(path, true).ok().flatten()).flatten();
        Self { path: path.clone(), real }
    }

    /// What the session may do with the entry `name`. To resolve each path in full would take ten times as long.
    fn words(&self, storage: &Storage, handle: &OwnedFd, name: &CStr) -> Words {
        if let Some(words) = storage.rights.uniform() {
            return words;
        }
        if name == c"." {
            return storage.words(&self.path);
        }
        let child = self.path.child(name.to_bytes());
        match (&self.real, stat_name(handle, name)) {
            (Some(real), Ok(stat)) if Facts::from(&stat).kind != Kind::Link => {
                storage.rights.at(&child).and(storage.rights.at(&real.child(name.to_bytes())))
            }
            _ => storage.words(&child),
        }
    }
}

/// What stands before the names of a listed directory, as vsftpd and ProFTPD have it: nothing for the working directory.
fn prefix(argument: &[u8]) -> Vec<u8> {
    match argument {
        b"" | b"." => Vec::new(),
        [.., b'/'] => argument.to_vec(),
        _ => [argument, b"/"].concat(),
    }
}

/// Names come sorted by their bytes; other orders need facts. Equal ones stay in the order of their names,
/// and what a pattern found in several directories stays apart.
fn sort(home: &Home, group: &mut Group, request: &ListRequest) {
    if let (true, Ok(directory)) = (request.by_time || request.by_size, home.open_dir(&group.directory)) {
        group.names.sort_by_cached_key(|name| {
            let facts = stat_name(&directory, name).ok().map(|stat| Facts::from(&stat));
            Reverse(facts.map(|facts| match request.by_size {
                true => (Some(facts.size), None),
                false => (None, Some(facts.modified)),
            }))
        });
    }
    if request.reverse {
        group.names.reverse();
    }
}

/// What an entry is to the session.
#[derive(Debug, Clone, Copy)]
struct Seen {
    place: Place,
    words: Words,
}

impl Listing {
    /// Appends the next lines, about 64 KiB of them, each with its CRLF. False means that there were none left.
    ///
    /// What has vanished since its name was read is left out, and what could not be looked at; see [`Listing::end`].
    pub fn next_chunk(&mut self, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let now = SystemTime::now();
        while out.len() - start < CHUNK {
            match &mut self.current {
                Some(current) => match current.names.next() {
                    Some(name) => {
                        let missing = self.writer.entry(out, current, &name, now).err();
                        self.missing = self.missing.take().or(missing);
                    }
                    None => self.current = None,
                },
                None => match self.groups.next() {
                    Some(group) => match self.writer.open(out, group, now) {
                        Ok(current) => self.current = current,
                        Err(missing) => self.missing = self.missing.take().or(Some(missing)),
                    },
                    None => break,
                },
            }
        }
        out.len() > start
    }

    /// Whether all that there is was told: to a client that mirrors, what is missing without a word is gone.
    pub fn end(&mut self) -> Result<(), Fault> {
        self.missing.take().map_or(Ok(()), Err)
    }
}

impl Writer {
    /// Begins a group. `None` if its directory has vanished.
    fn open(&self, out: &mut Vec<u8>, group: Group, now: SystemTime) -> Result<Option<Current>, Fault> {
        let path = group.directory;
        let opened = (self.style != Style::Names).then(|| self.storage.home.open_dir(&path)).transpose();
        let handle = match opened {
            Ok(handle) => handle,
            Err(error) => return Fault::of_the_system(Action::List, &path, &error).map_or(Ok(None), Err),
        };
        if group.with_itself {
            self.around(out, &path, Place::Listed, b".", now);
            // What is above the home is nobody's business; `ls -a` in the root directory shows the root twice, too.
            if !path.is_root() || self.style == Style::Long {
                self.around(out, &path.parent(), Place::Above, b"..", now);
            }
        }
        Ok(Some(Current {
            around: Around::of(&self.storage, &path),
            handle,
            names: group.names.into_iter(),
            label: group.label,
        }))
    }

    fn around(&self, out: &mut Vec<u8>, path: &VirtualPath, place: Place, name: &[u8], now: SystemTime) {
        let words = self.storage.words(path);
        if let (false, Ok(stat)) = (words.is_none(), self.storage.home.stat(path)) {
            self.line(out, &Facts::from(&stat), Seen { place, words }, name, None, now);
        }
    }

    fn entry(&self, out: &mut Vec<u8>, current: &Current, name: &CStr, now: SystemTime) -> Result<(), Fault> {
        let shown = match &current.label {
            Label::Prefix(prefix) if prefix.is_empty() => Cow::Borrowed(name.to_bytes()),
            Label::Prefix(prefix) => Cow::Owned([prefix, name.to_bytes()].concat()),
            Label::Exactly(text) => Cow::Borrowed(text.as_slice()),
        };
        let Some(handle) = &current.handle else {
            push_name(out, &shown);
            out.extend_from_slice(b"\r\n");
            return Ok(());
        };
        let mut facts = match stat_name(handle, name) {
            Ok(stat) => Facts::from(&stat),
            Err(error) => {
                let path = current.around.path.child(name.to_bytes());
                return Fault::of_the_system(Action::List, &path, &error.into()).map_or(Ok(()), Err);
            }
        };
        let mut target = None;
        if facts.kind == Kind::Link {
            match self.style {
                Style::Machine(_) => {
                    // Clients of MLSD fetch what is a file and enter what is a directory, so they are told where the
                    // link leads. A link that leads nowhere or out of the home stays a link.
                    let followed = self.storage.home.stat(&current.around.path.child(name.to_bytes()));
                    facts = followed.map_or(facts, |stat| Facts::from(&stat));
                }
                _ => target = Some(link_text(handle, name)),
            }
        }
        let words = current.around.words(&self.storage, handle, name);
        self.line(out, &facts, Seen { place: Place::Entry, words }, &shown, target.as_deref(), now);
        Ok(())
    }

    fn line(&self, out: &mut Vec<u8>, facts: &Facts, seen: Seen, name: &[u8], target: Option<&[u8]>, now: SystemTime) {
        match &self.style {
            Style::Machine(set) => push_machine_line(out, facts, seen.place, seen.words, set, name),
            _ => push_long_line(out, facts, now, name, target),
        }
        out.extend_from_slice(b"\r\n");
    }
}
