//! Which names a listing is about: a directory's, or those that a pattern matches.

use std::ffi::{CStr, CString};

use super::Storage;
use super::fault::{Fault, FaultKind};
use super::glob::Pattern;
use super::home::{Home, for_each_name, stat_name};
use super::path::{Printable, VirtualPath};
use super::rights::Action;

/// What one request may cost, in names that are read from a directory: a fraction of a second, and some 50 MB until the
/// listing is sent.
const BUDGET: usize = 1_000_000;

/// What a step into a directory costs. Opening one takes as long as reading that many names.
const STEP: usize = 8;

/// How many bytes of a step's path cost as much as a name: long paths take longer, and memory.
const PATH_BYTES: usize = 16;

/// How many comparisons of a byte with a pattern's byte cost as much as a name.
const COMPARISONS: usize = 128;

/// Names in one directory, and how a listing shows them.
#[derive(Debug)]
pub(super) struct Group {
    pub directory: VirtualPath,
    pub names: Vec<CString>,
    pub label: Label,
    /// Whether the directory itself and the one above are shown too.
    pub with_itself: bool,
}

/// How the names of a group are shown.
#[derive(Debug)]
pub(super) enum Label {
    /// Behind this prefix.
    Prefix(Vec<u8>),
    /// As this text, which is what the client wrote.
    Exactly(Vec<u8>),
}

impl Group {
    pub fn new(directory: VirtualPath, prefix: Vec<u8>, names: Vec<CString>) -> Self {
        Self { directory, names, label: Label::Prefix(prefix), with_itself: false }
    }

    /// The one thing at `path`, shown as the client wrote it.
    pub fn single(path: &VirtualPath, shown: Vec<u8>) -> Self {
        // A component of a resolved path has no NUL, and the root's own name is ".".
        let name = CString::new(path.name()).ok().filter(|name| !name.is_empty());
        let names = vec![name.unwrap_or_else(|| c".".to_owned())];
        Self { directory: path.parent(), names, label: Label::Exactly(shown), with_itself: false }
    }
}

/// What is left of [`BUDGET`].
pub(super) struct Budget(usize);

impl Budget {
    pub fn new() -> Self {
        Self(BUDGET)
    }

    /// The sorted names in `directory` that `keep` wants, which compares each byte of them up to `effort` times.
    pub fn names(
        &mut self,
        home: &Home,
        directory: &VirtualPath,
        effort: usize,
        keep: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<CString>, Fault> {
        let mut names = Vec::new();
        let mut spent = Ok(());
        let mut each = |name: &CStr| {
            spent = self.spend(1 + name.count_bytes() * effort / COMPARISONS);
            if spent.is_ok() && keep(name.to_bytes()) {
                names.push(name.to_owned());
            }
            spent.is_ok()
        };
        home.open_dir(directory)
            .and_then(|handle| for_each_name(handle, &mut each))
            .map_err(|error| Fault::from_io(Action::List, directory, &error))?;
        spent?;
        names.sort_unstable();
        Ok(names)
    }

    fn step(&mut self, from: &Found, path: VirtualPath, name: &[u8]) -> Result<Found, Fault> {
        let prefix = [&from.prefix, name, b"/"].concat();
        self.spend(STEP + (path.as_bytes().len() + prefix.len()) / PATH_BYTES)?;
        Ok(Found { path, prefix })
    }

    fn spend(&mut self, cost: usize) -> Result<(), Fault> {
        match self.0.checked_sub(cost) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => {
                let sentence = "This listing would look at too many names; list less of it at a time.";
                Err(Fault::new(FaultKind::TooMuch, sentence))
            }
        }
    }
}

/// A directory that the pattern's components so far have led to.
struct Found {
    path: VirtualPath,
    /// How the client would write it, up to and with the last '/'.
    prefix: Vec<u8>,
}

/// The names that `pattern` matches from `cwd` on, wildcards in any component, with the prefix that the client wrote.
pub(super) fn expand(storage: &Storage, cwd: &VirtualPath, pattern: &[u8]) -> Result<Vec<Group>, Fault> {
    let mut budget = Budget::new();
    let mut found = match pattern.starts_with(b"/") {
        true => vec![Found { path: VirtualPath::root(), prefix: b"/".to_vec() }],
        false => vec![Found { path: cwd.clone(), prefix: Vec::new() }],
    };
    let mut components: Vec<&[u8]> = pattern.split(|&byte| byte == b'/').filter(|part| !part.is_empty()).collect();
    let last = components.pop().unwrap_or(b".");
    for component in components {
        let mut deeper = Vec::new();
        for directory in &found {
            deeper.extend(enter_matches(storage, directory, component, &mut budget)?);
        }
        found = deeper;
    }
    let mut groups = Vec::new();
    for directory in found {
        let mut names = matching_names(storage, &directory.path, last, &mut budget)?;
        storage.hide(&directory.path, &mut names)?;
        if !names.is_empty() {
            groups.push(Group::new(directory.path, directory.prefix, names));
        }
    }
    match groups.is_empty() {
        true => {
            let sentence = format!("No file or directory matches {}.", Printable(pattern));
            Err(Fault::new(FaultKind::NotFound, sentence))
        }
        false => Ok(groups),
    }
}

fn enter_matches(storage: &Storage, from: &Found, component: &[u8], budget: &mut Budget) -> Result<Vec<Found>, Fault> {
    match component {
        // "file/.." is nothing, although its text would lead somewhere.
        b"." | b".." if storage.home.open_dir(&from.path).is_err() => Ok(Vec::new()),
        b"." => Ok(vec![budget.step(from, from.path.clone(), component)?]),
        b".." => Ok(vec![budget.step(from, from.path.parent(), component)?]),
        _ => {
            let names = matching_names(storage, &from.path, component, budget)?;
            let step = |name: &CString| budget.step(from, from.path.child(name.to_bytes()), name.to_bytes());
            names.iter().map(step).collect()
        }
    }
}

/// The names in `directory` that one component of a pattern matches. Where nothing can be looked up, nothing matches.
fn matching_names(
    storage: &Storage,
    directory: &VirtualPath,
    component: &[u8],
    budget: &mut Budget,
) -> Result<Vec<CString>, Fault> {
    let home = &storage.home;
    let pattern = Pattern::new(component);
    let Some(literal) = pattern.literal() else {
        // A name that is written out may be passed through; others are found only where names are shown.
        if storage.permit(Action::List, directory).is_err() {
            return Ok(Vec::new());
        }
        return match budget.names(home, directory, component.len(), |name| pattern.matches(name)) {
            Err(fault) if !matches!(fault.kind, FaultKind::TooMuch | FaultKind::Local) => Ok(Vec::new()),
            Ok(mut names) => storage.hide(directory, &mut names).map(|()| names),
            fault => fault,
        };
    };
    // `resolve` refuses what no client may name.
    let name = directory.resolve(&literal).ok().and_then(|_| CString::new(literal).ok());
    let exists = |name: &CString| home.open_dir(directory).is_ok_and(|handle| stat_name(handle, name).is_ok());
    Ok(name.filter(exists).into_iter().collect())
}
