//! Files below a root that nothing escapes.
//!
//! All of it blocks: callers choose the thread. A [`Home`] is an account's directory, opened once; a [`Storage`] is a
//! session's door to it, with the rights that the account has there. Every refusal is a [`Fault`] with a sentence for
//! people. Making and removing directories and deleting files is the engine's business, after [`Storage::permit`].

mod broken;
mod expand;
mod facts;
mod fault;
mod glob;
mod hash;
mod home;
mod leftovers;
mod listing;
mod long;
mod machine;
mod new_home;
mod path;
mod pattern;
mod quota;
pub mod rights;
#[cfg(test)]
mod tests;
mod upload;

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cap_std::fs::{Permissions, PermissionsExt};
use rustix::fs::{AtFlags, OFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::fs::{fstat, fstatvfs, statat, utimensat};
use rustix::io::Errno;

pub use broken::BrokenReplacements;
pub use facts::{Facts, FileId, Kind};
pub use fault::{Fault, FaultKind};
pub use hash::{Algorithm, Hasher};
pub use home::Home;
pub(crate) use home::record_owner;
use home::rename_to_new;
pub use leftovers::clear_leftovers;
pub(crate) use leftovers::unfinished_name;
pub use listing::{ListRequest, Listing, Style};
pub use machine::{FactSet, machine_line, modification_time};
pub use new_home::make_home;
pub use path::VirtualPath;
pub use pattern::{PathPattern, longest};
use quota::Allowance;
pub use quota::Amount;
pub use rights::{Action, Rights, Words};
pub use upload::{Start, Upload};

/// A session's door to its files: a home and the rights in it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Storage {
    home: Arc<Home>,
    rights: Rights,
    /// Whose uploads are on record as theirs, and shown to them where they may only add. `None` for guests.
    owner: Option<Arc<str>>,
    allowance: Allowance,
}

/// A regular file, open for reading. It carries `O_NONBLOCK`, which means nothing for a regular file.
#[derive(Debug)]
pub struct Download {
    /// The file, at its beginning.
    pub file: File,
    /// Its size when it was opened.
    pub size: u64,
}

impl Storage {
    /// The files of `home` with `rights`, for nobody in particular.
    pub fn new(home: Arc<Home>, rights: Rights) -> Self {
        let allowance = Allowance::new(Arc::clone(&home), Amount::default());
        Self { home, rights, owner: None, allowance }
    }

    /// The same with at most `quota` below the home. What is there is counted now, if that was not done lately.
    pub fn with_quota(self, quota: Amount) -> io::Result<Self> {
        let allowance = Allowance::new(Arc::clone(&self.home), quota);
        allowance.count()?;
        Ok(Self { allowance, ..self })
    }

    /// The quota and what is used of it, if there is one.
    pub fn quota(&self) -> Option<(Amount, Amount)> {
        self.allowance.standing()
    }

    /// Has `make` make a directory, which is counted before.
    pub fn making_directory<T, E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<Result<T, E>, Fault> {
        let _names = self.home.books().names();
        self.allowance.charge(Amount::ONE_FILE)?;
        let made = make();
        if made.is_err() {
            self.allowance.release(Amount::ONE_FILE);
        }
        Ok(made)
    }

    /// Has `remove` remove what `path` itself is, which then counts no more.
    pub fn removing<T, E>(&self, path: &VirtualPath, remove: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let _names = self.home.books().names();
        let there = self.home.stat_link(path).ok().map(|stat| Facts::from(&stat));
        let removed = remove()?;
        there.iter().for_each(|facts| self.allowance.count_out(facts));
        Ok(removed)
    }

    /// The same for the account of this name.
    pub fn owned_by(self, owner: &str) -> Self {
        Self { owner: Some(owner.into()), ..self }
    }

    /// What the session may do at `path`: what its rights allow there as well as where it leads.
    pub fn words(&self, path: &VirtualPath) -> Words {
        self.words_at(path, true)
    }

    fn words_at(&self, path: &VirtualPath, follow: bool) -> Words {
        if let Some(words) = self.rights.uniform() {
            return words;
        }
        let named = self.rights.at(path);
        match self.home.real_path(path, follow) {
            Ok(Some(real)) if real != *path => named.and(self.rights.at(&real)),
            Ok(_) => named,
            // It may lead anywhere.
            Err(_) => Words::NONE,
        }
    }

    /// Whether the session may do `action` at `path`, as far as its own rights and the name go.
    pub fn permit(&self, action: Action, path: &VirtualPath) -> Result<(), Fault> {
        // These take a symbolic link itself, whatever it leads to.
        self.permit_at(action, path, !matches!(action, Action::Delete | Action::Rename | Action::Rmdir))
    }

    fn permit_at(&self, action: Action, path: &VirtualPath, follow: bool) -> Result<(), Fault> {
        let sentence = if !self.words_at(path, follow).allow(action) {
            format!("This account may not {} {path}.", fault::words(action))
        } else if path.is_root() && matches!(action, Action::Delete | Action::Rename | Action::Rmdir) {
            format!("You cannot {} your home directory itself.", fault::words(action))
        } else {
            return match action {
                Action::Create | Action::Mkdir => path.check_new_name(),
                _ => Ok(()),
            };
        };
        Err(Fault::new(FaultKind::Permission, sentence))
    }

    /// Whether the session may know of `path`, which its rights allow it to list: who may only add sees its own.
    fn permit_sight(&self, path: &VirtualPath) -> Result<(), Fault> {
        self.permit(Action::List, path)?;
        if path.is_root() || !self.words(&path.parent()).own_only() || self.is_own(self.home.owner(path)) {
            return Ok(());
        }
        Err(Fault::from_io(Action::List, path, &Errno::NOENT.into()))
    }

    fn is_own(&self, owner: Option<Vec<u8>>) -> bool {
        let own = self.owner.as_ref().map(|own| own.as_bytes());
        own.is_some() && owner.as_deref() == own
    }

    /// What `path` leads to, symbolic links followed inside the home.
    pub fn stat(&self, path: &VirtualPath) -> Result<Facts, Fault> {
        self.permit_sight(path)?;
        let stat = self.home.stat(path).map_err(|error| Fault::from_io(Action::List, path, &error))?;
        Ok(Facts::from(&stat))
    }

    /// As [`stat`](Self::stat), but a symbolic link that leads nowhere or out of the home is told for itself, as in a
    /// listing.
    pub fn stat_or_link(&self, path: &VirtualPath) -> Result<Facts, Fault> {
        self.permit_sight(path)?;
        let stat = self.home.stat_or_link(path).map_err(|error| Fault::from_io(Action::List, path, &error))?;
        Ok(Facts::from(&stat))
    }

    /// Whether `path` can be a working directory.
    pub fn enter(&self, path: &VirtualPath) -> Result<(), Fault> {
        self.permit(Action::List, path)?;
        // The handle itself needs no right to search the directory; to look its "." up does.
        let searchable = |path| Ok(statat(self.home.open_dir(path)?, c".", AtFlags::empty())?);
        searchable(path).map(drop).map_err(|error| {
            let fault = || Fault::from_io(Action::List, path, &error);
            // That it is no directory would tell that it is there.
            self.permit_sight(path).err().unwrap_or_else(fault)
        })
    }

    /// Gives `from` the name `to`. A file or a symbolic link may take the place of another one, and a link's place is where
    /// it is, not where it leads.
    pub fn rename(&self, from: &VirtualPath, to: &VirtualPath) -> Result<(), Fault> {
        self.permit(Action::Rename, from)?;
        self.permit_at(Action::Create, to, false)?;
        self.permit_leaving(from, to)?;
        let into_itself =
            || Fault::new(FaultKind::BadRequest, format!("{from} cannot be moved into a directory below itself."));
        if to.is_below(from) {
            return Err(into_itself());
        }
        let _names = self.home.books().names();
        let stat = |path| self.home.stat_link(path).map(|stat| Facts::from(&stat));
        let source = stat(from).map_err(|error| Fault::from_io(Action::Rename, from, &error))?;
        if source.kind == Kind::Directory {
            self.permit_moving(from, to)?;
        }
        let replaced = match stat(to) {
            Ok(target) if from != to => {
                self.permit_replacing(source.kind, to, target.kind)?;
                Some(target)
            }
            Ok(_) => return Ok(()),
            // What else is wrong with `to`, renaming finds out.
            Err(_) => None,
        };
        self.rename_in_home(from, to).map_err(|error| match Errno::from_io_error(&error) {
            // A path through symbolic links can lead below `from` too.
            Some(Errno::INVAL) if source.kind == Kind::Directory => into_itself(),
            Some(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::EXIST) => {
                Fault::from_io(Action::Create, to, &error)
            }
            None => Fault::from_io(Action::Rename, to, &error),
            _ => Fault::from_io(Action::Rename, from, &error),
        })?;
        // Two names of one file: rename(2) leaves both.
        let gone = replaced.filter(|target| FileId::from(target) != FileId::from(&source));
        gone.iter().for_each(|facts| self.allowance.count_out(facts));
        Ok(())
    }

    /// Without the right to overwrite, what came to be there since the look stays: the kernel sees to it.
    fn rename_in_home(&self, from: &VirtualPath, to: &VirtualPath) -> io::Result<()> {
        if !self.words_at(to, false).allow(Action::Overwrite) {
            let (old, new) = (self.home.seat(from)?, self.home.seat(to)?);
            return Ok(rename_to_new(&old.directory, &old.name, &new.directory, &new.name)?);
        }
        let dir = self.home.dir();
        dir.rename(from.relative(), dir, to.relative())
    }

    /// Whether `from` may go to `to`, where other rules may hold. It could be read there, and would be missing here.
    fn permit_leaving(&self, from: &VirtualPath, to: &VirtualPath) -> Result<(), Fault> {
        let words = self.words_at(from, false);
        if words == self.words_at(to, false) || words.allow(Action::Read) && words.allow(Action::Delete) {
            return Ok(());
        }
        let sentence = format!(
            "Other rules hold for {to}; to move {from} there, this account must be allowed to read and delete it."
        );
        Err(Fault::new(FaultKind::Permission, sentence))
    }

    /// Whether the directory `from` may become `to`. Rules for what is in it would not move along.
    fn permit_moving(&self, from: &VirtualPath, to: &VirtualPath) -> Result<(), Fault> {
        let differ = |path: &VirtualPath| {
            let differs = |real: Option<VirtualPath>| real.is_some_and(|real| self.rights.differ_below(&real));
            self.rights.differ_below(path) || self.home.real_path(path, false).map_or(true, differs)
        };
        if self.rights.uniform().is_some() || !(differ(from) || differ(to)) {
            return Ok(());
        }
        let sentence = format!("{from} cannot become {to}: there are rules for what is below one of them.");
        Err(Fault::new(FaultKind::Permission, sentence))
    }

    /// Whether something of the kind `source` may take the place of `to`, which is of the kind `target`.
    fn permit_replacing(&self, source: Kind, to: &VirtualPath, target: Kind) -> Result<(), Fault> {
        match (source, target) {
            (_, Kind::Directory) => {
                Err(Fault::new(FaultKind::Exists, format!("{to} exists already and is a directory.")))
            }
            (Kind::Directory, _) => {
                Err(Fault::new(FaultKind::Exists, format!("{to} exists already; a directory cannot replace a file.")))
            }
            _ => self.permit_at(Action::Overwrite, to, false),
        }
    }

    /// Sets the permission bits of what `path` leads to.
    pub fn set_mode(&self, path: &VirtualPath, mode: u32) -> Result<(), Fault> {
        self.permit(Action::Attributes, path)?;
        if mode & !0o777 != 0 {
            let sentence = "Only the permission bits 000 to 777 can be set; setuid, setgid and sticky cannot.";
            return Err(Fault::new(FaultKind::BadRequest, sentence));
        }
        if path.is_root() && mode & 0o700 != 0o700 {
            let sentence = "Your home directory must stay open to its owner (7xx), or nobody could use it any more.";
            return Err(Fault::new(FaultKind::Permission, sentence));
        }
        self.home
            .dir()
            .set_permissions(path.relative(), Permissions::from_mode(mode))
            .map_err(|error| Fault::from_io(Action::Attributes, path, &error))
    }

    /// Sets when the contents of what `path` leads to changed last.
    pub fn set_modified(&self, path: &VirtualPath, modified: SystemTime) -> Result<(), Fault> {
        self.permit(Action::Attributes, path)?;
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: timespec(modified),
        };
        let set = || -> io::Result<()> {
            let seat = self.home.seat_of_target(path)?;
            Ok(utimensat(&seat.directory, &seat.name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
        };
        set().map_err(|error| Fault::from_io(Action::Attributes, path, &error))
    }

    /// How many bytes an upload into the directory `path` may still take.
    pub fn free_bytes(&self, path: &VirtualPath) -> Result<u64, Fault> {
        self.permit(Action::List, path)?;
        let space = || Ok(fstatvfs(self.home.open_dir(path)?)?);
        let space = space().map_err(|error: io::Error| Fault::from_io(Action::List, path, &error))?;
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        Ok(self.allowance.bytes_left().map_or(free, |left| left.min(free)))
    }

    /// Opens the regular file that `path` leads to.
    pub fn open_download(&self, path: &VirtualPath) -> Result<Download, Fault> {
        self.permit(Action::Read, path)?;
        self.open_for_record(path)
    }

    /// The same for the server's own record, which needs no right of the account's.
    pub fn open_for_record(&self, path: &VirtualPath) -> Result<Download, Fault> {
        // Without O_NONBLOCK a FIFO would hold the thread until somebody writes to it.
        let open = || -> io::Result<(File, Facts)> {
            let file = self.home.open_file(path, OFlags::NONBLOCK | OFlags::NOCTTY)?;
            let facts = Facts::from(&fstat(&file)?);
            Ok((file, facts))
        };
        let (file, facts) = open().map_err(|error| Fault::from_io(Action::Read, path, &error))?;
        match facts.kind {
            Kind::File => Ok(Download { file, size: facts.size }),
            Kind::Directory => Err(Fault::from_io(Action::Read, path, &Errno::ISDIR.into())),
            Kind::Link | Kind::Other => Err(Fault::from_io(Action::Read, path, &Errno::NXIO.into())),
        }
    }
}

/// Seconds and nanoseconds since 1970, also for times before it.
fn timespec(time: SystemTime) -> Timespec {
    let (seconds, nanoseconds) = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => (seconds(after), after.subsec_nanos()),
        Err(before) => match (seconds(before.duration()), before.duration().subsec_nanos()) {
            (whole, 0) => (-whole, 0),
            (whole, part) => (-whole - 1, 1_000_000_000 - part),
        },
    };
    Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX - 1)
}
