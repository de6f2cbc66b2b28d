//! An account's home directory and the two ways into it.
//!
//! cap-std resolves whole paths and lets none of them out of the home: absolute symbolic links are refused even where
//! they point back inside, because their meaning depends on what the kernel calls the root. What a single name needs
//! then goes straight to the kernel, relative to the directory's handle and without following a link, so that it
//! cannot escape either and costs one system call.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Stat, XattrFlags};
use rustix::fs::{fsetxattr, fstat, lgetxattr, openat, renameat, renameat_with, statat, unlinkat};
use rustix::io::Errno;

use super::broken::BrokenReplacements;
use super::facts::FileId;
use super::fault::Fault;
use super::path::{RESERVED_PREFIX, VirtualPath};
use super::quota::{Amount, Books};
use super::rights::Action;

/// One account's home directory, opened once and shared by its sessions.
#[derive(Debug)]
pub struct Home {
    dir: Dir,
    broken: Arc<BrokenReplacements>,
    books: Books,
}

impl Home {
    /// The home `dir`. All homes of a server share one `broken`, since two accounts may share a file.
    pub fn new(dir: Dir, broken: Arc<BrokenReplacements>) -> Home {
        Home { dir, broken, books: Books::default() }
    }

    pub(super) fn dir(&self) -> &Dir {
        &self.dir
    }

    pub(super) fn broken(&self) -> &Arc<BrokenReplacements> {
        &self.broken
    }

    /// What there is in it, for quotas.
    pub(super) fn books(&self) -> &Books {
        &self.books
    }

    /// Somebody beside the sessions has made files in it and removed others.
    pub fn changed_beside(&self, made: Amount, gone: Amount) {
        self.books.changed_beside(made, gone);
    }

    /// A handle of the directory `path` to look names up in. It cannot be read or synced; see [`readable`].
    pub(super) fn open_dir(&self, path: &VirtualPath) -> io::Result<OwnedFd> {
        Ok(self.dir.open_dir(path.relative())?.into_std_file().into())
    }

    /// Opens what `path` leads to, symbolic links followed inside the home.
    pub(super) fn open_file(&self, path: &VirtualPath, flags: OFlags) -> io::Result<File> {
        let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
        let options = OpenOptions::new().read(true).custom_flags(flags).clone();
        Ok(self.dir.open_with(path.relative(), &options)?.into_std())
    }

    /// What `path` leads to, symbolic links followed inside the home.
    pub(super) fn stat(&self, path: &VirtualPath) -> io::Result<Stat> {
        Ok(fstat(self.open_file(path, OFlags::PATH)?)?)
    }

    /// What `path` is itself.
    pub(super) fn stat_link(&self, path: &VirtualPath) -> io::Result<Stat> {
        Ok(self.seat(path)?.stat()?)
    }

    /// What `path` leads to, or a link that leads nowhere or out of the home. The error is that of following it.
    pub(super) fn stat_or_link(&self, path: &VirtualPath) -> io::Result<Stat> {
        self.stat(path).or_else(|error| self.stat_link(path).map_err(|_| error))
    }

    /// `path` without symbolic links; the one at its end stays unless it is to be followed. `None` where its directory
    /// cannot be found. What leads nowhere or out of the home stays as it is named: nothing comes of it. The fault is one
    /// [of the system](Fault::of_the_system).
    pub(super) fn real_path(&self, path: &VirtualPath, follow: bool) -> Result<Option<VirtualPath>, Fault> {
        let resolve = |path: &VirtualPath| match self.dir.canonicalize(path.relative()) {
            Ok(real) => Ok(Some(VirtualPath::from_relative(&real))),
            Err(error) => Fault::of_the_system(Action::List, path, &error).map_or(Ok(None), Err),
        };
        if follow && let Some(real) = resolve(path)? {
            return Ok(Some(real));
        }
        if path.is_root() {
            return Ok(None);
        }
        Ok(resolve(&path.parent())?.map(|parent| parent.child(path.name())))
    }

    /// The account that has made what `path` itself is, where that is on record.
    pub(super) fn owner(&self, path: &VirtualPath) -> Option<Vec<u8>> {
        let seat = self.seat(path).ok()?;
        owner_of(&seat.directory, &seat.name)
    }

    /// The seat of `path` itself: a symbolic link at its end is not followed.
    pub(super) fn seat(&self, path: &VirtualPath) -> io::Result<Seat> {
        let name = if path.is_root() { b"." } else { path.name() };
        Ok(Seat { directory: self.open_dir(&path.parent())?, name: CString::new(name)? })
    }

    /// The seat of what `path` leads to. What is not there is found in its directory too.
    pub(super) fn seat_of_target(&self, path: &VirtualPath) -> io::Result<Seat> {
        let seat = self.seat(path)?;
        match seat.stat() {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_symlink() => {
                let target = self.dir.canonicalize(path.relative())?;
                self.seat(&VirtualPath::from_relative(&target))
            }
            _ => Ok(seat),
        }
    }
}

/// A name in an open directory.
#[derive(Debug)]
pub(super) struct Seat {
    pub directory: OwnedFd,
    pub name: CString,
}

impl Seat {
    /// What the name stands for, a symbolic link for itself.
    pub fn stat(&self) -> rustix::io::Result<Stat> {
        stat_name(&self.directory, &self.name)
    }

    /// Unlinks the name if it still stands for `file`, and says whether it did.
    pub fn unlink(&self, file: &File) -> io::Result<bool> {
        let is_its_name = FileId::from(&self.stat()?) == FileId::of(file)?;
        if is_its_name {
            unlinkat(&self.directory, &self.name, AtFlags::empty())?;
        }
        Ok(is_its_name)
    }

    /// Opens the name, but no symbolic link and nothing that could make the server wait.
    pub fn open(&self, flags: OFlags, mode: Mode) -> rustix::io::Result<File> {
        open_name(&self.directory, &self.name, flags, mode)
    }
}

/// Opens `name` in `directory`, but no symbolic link and nothing that could make the server wait.
pub(super) fn open_name(directory: impl AsFd, name: &CStr, flags: OFlags, mode: Mode) -> rustix::io::Result<File> {
    let safe = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(openat(directory, name, flags | safe, mode)?.into())
}

/// What `name` in `directory` is, a symbolic link for itself.
pub(super) fn stat_name(directory: impl AsFd, name: &CStr) -> rustix::io::Result<Stat> {
    statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// Renames to a name that nothing has; the error is `EXIST` where something does.
pub(super) fn rename_to_new(
    directory: impl AsFd,
    name: &CStr,
    new_directory: impl AsFd,
    new: &CStr,
) -> rustix::io::Result<()> {
    match renameat_with(&directory, name, &new_directory, new, RenameFlags::NOREPLACE) {
        // Some file systems cannot; there a look has to do.
        Err(Errno::INVAL | Errno::NOSYS) => match stat_name(&new_directory, new) {
            Ok(_) => Err(Errno::EXIST),
            Err(_) => renameat(directory, name, new_directory, new),
        },
        done => done,
    }
}

/// A handle of the same directory that can be read and synced.
pub(super) fn readable(directory: impl AsFd) -> rustix::io::Result<OwnedFd> {
    openat(directory, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Calls `each` with the names in `directory` that clients may see, in the directory's order, until it returns false.
pub(super) fn for_each_name(directory: impl AsFd, mut each: impl FnMut(&CStr) -> bool) -> io::Result<()> {
    for entry in rustix::fs::Dir::new(readable(directory)?)? {
        let entry = entry?;
        let name = entry.file_name();
        let hidden = matches!(name.to_bytes(), b"." | b"..") || name.to_bytes().starts_with(RESERVED_PREFIX);
        if !hidden && !each(name) {
            break;
        }
    }
    Ok(())
}

/// Where the account that made a file is on record. File systems without extended attributes keep no record.
const OWNER: &CStr = c"user.longshore.owner";

/// Puts `owner` on record as the maker of `file`.
pub(crate) fn record_owner(file: &File, owner: &str) {
    if let Err(error) = fsetxattr(file, OWNER, owner.as_bytes(), XattrFlags::empty()) {
        tracing::debug!(%error, "no record of who uploaded a file, so it will be shown to nobody who may only add");
    }
}

/// The account that has made `name` in `directory`, where that is on record.
pub(super) fn owner_of(directory: impl AsFd, name: &CStr) -> Option<Vec<u8>> {
    // There is no call that takes a directory and a name, and opening the file may not be allowed.
    let mut path = format!("/proc/self/fd/{}/", directory.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    let mut owner = [0; 1024];
    let length = lgetxattr(path, OWNER, &mut owner).ok()?;
    Some(owner[..length].to_vec())
}

/// The text of the symbolic link `name` in `directory`, empty when it cannot be read.
pub(super) fn link_text(directory: impl AsFd, name: &CStr) -> Vec<u8> {
    rustix::fs::readlinkat(directory, name, Vec::new()).map(CString::into_bytes).unwrap_or_default()
}
