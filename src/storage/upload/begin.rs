//! How an upload begins: which file it is written to, and whether it may be.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, FlockOperation, Gid, Mode, OFlags, Uid};
use rustix::fs::{fchmod, fchown, flock, fstat, unlinkat};
use rustix::io::Errno;

use super::{Replacing, Start, Upload};
use crate::storage::Storage;
use crate::storage::facts::{Facts, FileId, Kind};
use crate::storage::fault::{Fault, FaultKind};
use crate::storage::home::{Seat, open_name, record_owner, stat_name};
use crate::storage::leftovers::{hidden_name, temporary_name};
use crate::storage::path::VirtualPath;
use crate::storage::quota::{Amount, Bill};
use crate::storage::rights::Action;

/// How often an upload starts over when its name changes hands just then, and how many unique names STOU tries.
const ATTEMPTS: usize = 100;

/// How many versions of a file are kept where uploads to a name that is taken get another.
const MOST_VERSIONS: u32 = 1000;

/// Permission bits of new files before the umask.
const NEW_FILE: Mode = Mode::from_raw_mode(0o666);

/// How an upload goes about an existing file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// In place, at the end.
    Append,
    /// As a new file that begins with the first `head` bytes of the old one.
    Replace { head: u64 },
}

impl Plan {
    /// An upload that would begin past the end has none; the error is its offset.
    fn new(start: Start, size: u64) -> Result<Plan, u64> {
        match start {
            Start::Beginning | Start::Offset(0) => Ok(Plan::Replace { head: 0 }),
            Start::End => Ok(Plan::Append),
            Start::Offset(offset) if offset == size => Ok(Plan::Append),
            Start::Offset(offset) if offset > size => Err(offset),
            Start::Offset(head) => Ok(Plan::Replace { head }),
        }
    }

    fn action(self) -> Action {
        match self {
            Plan::Append => Action::Append,
            Plan::Replace { .. } => Action::Overwrite,
        }
    }
}

impl Storage {
    /// Opens `path` for an upload that begins at `start`, where no versions are kept. With `fsync` the file is on the disk once it is finished.
    pub fn begin_upload(&self, path: &VirtualPath, start: Start, fsync: bool) -> Result<Upload, Fault> {
        self.permit_some_upload(path)?;
        if self.words(path).keeps_versions() {
            let sentence = format!("What is handed in is kept whole: upload {path} with STOR, from its beginning.");
            return Err(Fault::new(FaultKind::Permission, sentence));
        }
        let request = Request { storage: self, path: path.clone(), fsync };
        for _ in 0..ATTEMPTS {
            let seat = request.seat()?;
            let begun = match seat.stat() {
                Ok(stat) => request.begin_existing(seat, &Facts::from(&stat), start)?,
                Err(Errno::NOENT) => request.begin_new(seat, start)?,
                Err(error) => return Err(request.fault(Action::Create, error)),
            };
            if let Some(upload) = begun {
                return Ok(upload);
            }
        }
        Err(request.busy())
    }

    /// Before anything is looked at: who may store nothing here learns nothing of what is here.
    fn permit_some_upload(&self, path: &VirtualPath) -> Result<(), Fault> {
        let words = self.words(path);
        if [Action::Create, Action::Append, Action::Overwrite].iter().any(|action| words.allow(*action)) {
            return Ok(());
        }
        Err(Fault::new(FaultKind::Permission, format!("This account may not upload to {path}.")))
    }

    /// Opens a file in `directory` for an upload under a name that nothing has yet, made from `stem` (STOU).
    pub fn begin_unique_upload(
        &self,
        directory: &VirtualPath,
        stem: &[u8],
        fsync: bool,
    ) -> Result<(VirtualPath, Upload), Fault> {
        let stem = if stem.is_empty() { b"upload" } else { stem };
        let mut request = Request { storage: self, path: directory.resolve(stem)?, fsync };
        for _ in 0..ATTEMPTS {
            let seat = self.home.seat(&request.path).map_err(|error| request.fault(Action::Create, error))?;
            if let Some(upload) = request.begin_new(seat, Start::Beginning)? {
                return Ok((request.path, upload));
            }
            request.path = directory.resolve(&[stem, b".", &random_hex()?.as_bytes()[..8]].concat())?;
        }
        Err(request.busy())
    }

    /// Opens a file for an upload to `path` where versions are kept: under that name, or as `name (2)` and so on where it
    /// is taken. Returns the number, too. When the upload breaks, nothing of it stays: it could not be resumed.
    pub fn begin_version(&self, path: &VirtualPath, fsync: bool) -> Result<(VirtualPath, u32, Upload), Fault> {
        self.permit_some_upload(path)?;
        let mut request = Request { storage: self, path: path.clone(), fsync };
        for number in 1..=MOST_VERSIONS {
            if number > 1 {
                request.path = path.parent().child(&version(path.name(), number));
            }
            let seat = self.home.seat(&request.path).map_err(|error| request.fault(Action::Create, error))?;
            let is_directory = || seat.stat().is_ok_and(|stat| Facts::from(&stat).kind == Kind::Directory);
            if number == 1 && is_directory() {
                return Err(request.fault(Action::Create, Errno::ISDIR));
            }
            if let Some(upload) = request.begin_new(seat, Start::Beginning)? {
                return Ok((request.path, number, upload));
            }
        }
        let sentence = format!("There are {MOST_VERSIONS} versions of {path} already; upload under another name.");
        Err(Fault::new(FaultKind::Exists, sentence))
    }
}

/// `report.txt` as `report (2).txt`.
fn version(name: &[u8], number: u32) -> Vec<u8> {
    // A dot at the beginning hides a file and begins no ending.
    let dot = name.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0).unwrap_or(name.len());
    let (stem, ending) = name.split_at(dot);
    [stem, format!(" ({number})").as_bytes(), ending].concat()
}

/// An upload that has yet to begin. Its steps return `None` when the name came to stand for something else meanwhile.
struct Request<'a> {
    storage: &'a Storage,
    path: VirtualPath,
    fsync: bool,
}

impl Request<'_> {
    /// Where the upload goes: a symbolic link stands for what it leads to.
    fn seat(&self) -> Result<Seat, Fault> {
        let home = &self.storage.home;
        home.seat_of_target(&self.path).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound && home.stat_link(&self.path).is_ok() {
                let sentence = format!("{} is a symbolic link that leads nowhere.", self.path);
                Fault::new(FaultKind::NotFound, sentence)
            } else {
                self.fault(Action::Create, error)
            }
        })
    }

    fn begin_new(&self, seat: Seat, start: Start) -> Result<Option<Upload>, Fault> {
        self.storage.permit(Action::Create, &self.path)?;
        if let Start::Offset(offset @ 1..) = start {
            return Err(self.past_the_end(offset, 0));
        }
        match self.storage.words(&self.path).keeps_versions() {
            true => self.make_hidden(seat),
            false => self.make(seat),
        }
    }

    /// As [`make`](Self::make), but the file gets its name when it is complete. Its temporary one depends on that, so that
    /// of two uploads one has it.
    fn make_hidden(&self, seat: Seat) -> Result<Option<Upload>, Fault> {
        let Seat { directory, name } = seat;
        let is_taken = |directory: &OwnedFd| match stat_name(directory, &name) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(self.fault(Action::Create, error)),
        };
        if is_taken(&directory)? {
            return Ok(None);
        }
        let hidden = CString::new(hidden_name(&name)).map_err(|error| self.fault(Action::Create, error))?;
        let Some(mut upload) = self.make(Seat { directory, name: hidden })? else { return Ok(None) };
        // The name may have been given since the look.
        let is_free = !is_taken(&upload.seat.directory)?;
        upload.becomes = Some(name);
        Ok(is_free.then_some(upload))
    }

    /// A new file, unless the name is taken.
    fn make(&self, seat: Seat) -> Result<Option<Upload>, Fault> {
        let allowance = &self.storage.allowance;
        allowance.has_room(true)?;
        let _names = self.storage.home.books().names();
        allowance.charge(Amount::ONE_FILE)?;
        match seat.open(OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, NEW_FILE) {
            Ok(file) => {
                self.lock(&file).inspect_err(|fault| {
                    // Locked already, it has become another upload's file meanwhile. Else locks do not work here.
                    if fault.kind != FaultKind::Busy && seat.unlink(&file).is_ok_and(|done| done) {
                        allowance.release(Amount::ONE_FILE);
                    }
                })?;
                let id = FileId::of(&file).map_err(|error| self.fault(Action::Create, error))?;
                self.storage.home.broken().forget(id);
                if let (Some(owner), true) = (&self.storage.owner, self.storage.words(&self.path.parent()).own_only()) {
                    record_owner(&file, owner);
                }
                Ok(Some(self.upload(file, seat, Action::Create, 0, allowance.bill_in_place(id, 0, true))))
            }
            Err(error) => {
                allowance.release(Amount::ONE_FILE);
                if error == Errno::EXIST { Ok(None) } else { Err(self.fault(Action::Create, error)) }
            }
        }
    }

    fn begin_existing(&self, seat: Seat, facts: &Facts, start: Start) -> Result<Option<Upload>, Fault> {
        match facts.kind {
            Kind::File => {}
            Kind::Directory => return Err(self.fault(Action::Overwrite, Errno::ISDIR)),
            Kind::Link | Kind::Other => return Err(self.fault(Action::Overwrite, Errno::NXIO)),
        }
        let plan = Plan::new(start, facts.size);
        // First: the size is none of the business of who may not add to the file.
        let permitted = self.storage.permit(plan.map_or(Action::Append, Plan::action), &self.path);
        permitted.map_err(|fault| self.refused_from(start).unwrap_or(fault))?;
        let plan = plan.map_err(|offset| self.past_the_end(offset, facts.size))?;
        let Some((file, old)) = self.open_locked(&seat, facts, plan)? else {
            return Ok(None);
        };
        if plan != (Plan::Replace { head: 0 }) && self.storage.home.broken().knows(old) {
            return Err(self.stale());
        }
        match plan {
            Plan::Append => self.append(file, old, seat),
            Plan::Replace { head } => self.replace(file, old, facts, head, seat),
        }
        .map(Some)
    }

    /// The existing file, locked, if it still is what was seen.
    fn open_locked(&self, seat: &Seat, seen: &Facts, plan: Plan) -> Result<Option<(File, FileId)>, Fault> {
        // A file that one may not write is not replaced either, although the directory would permit it.
        let access = match plan {
            Plan::Replace { head: 1.. } => OFlags::RDWR,
            _ => OFlags::WRONLY,
        };
        let file = match seat.open(access, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::LOOP) => return Ok(None),
            Err(error) => return Err(self.fault(plan.action(), error)),
        };
        self.lock(&file)?;
        // Between look and lock another upload may have replaced the file or added to it.
        let stats = fstat(&file).and_then(|opened| Ok((opened, seat.stat()?)));
        let (opened, named) = match stats {
            Ok(stats) => stats,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(self.fault(plan.action(), error)),
        };
        let state = |facts: Facts| (facts.device, facts.inode, facts.size);
        let same = state(Facts::from(&opened)) == state(*seen) && state(Facts::from(&named)) == state(*seen);
        Ok(same.then(|| (file, FileId::from(&opened))))
    }

    fn append(&self, mut file: File, id: FileId, seat: Seat) -> Result<Upload, Fault> {
        let end = file.seek(SeekFrom::End(0)).map_err(|error| self.fault(Action::Append, error))?;
        self.storage.allowance.has_room(false)?;
        Ok(self.upload(file, seat, Action::Append, end, self.storage.allowance.bill_in_place(id, end, false)))
    }

    fn replace(&self, old_file: File, old: FileId, facts: &Facts, head: u64, seat: Seat) -> Result<Upload, Fault> {
        let Seat { directory, name } = seat;
        let (file, temporary) = self.temporary(&directory, old)?;
        let broken = Arc::clone(self.storage.home.broken());
        let bill = self.storage.allowance.bill_of_replacement(Amount::of(facts).bytes);
        let seat = Seat { directory, name: temporary };
        let mut upload = self.upload(file, seat, Action::Overwrite, head, bill);
        upload.becomes = Some(name);
        upload.replacing = Some(Replacing { old, broken, old_file, head_left: head });
        // Only root may give files away; others still keep the group where it is one of theirs.
        let (owner, group) = (Uid::from_raw(facts.uid), Gid::from_raw(facts.gid));
        let _ = fchown(&upload.file, Some(owner), Some(group)).or_else(|_| fchown(&upload.file, None, Some(group)));
        // New contents do not inherit the power of setuid.
        let mode = Mode::from_raw_mode(facts.mode & 0o777);
        fchmod(&upload.file, mode).map_err(|error| self.fault(Action::Overwrite, error))?;
        Ok(upload)
    }

    /// A new file in `directory` to replace `old`, locked, that only its owner can read.
    fn temporary(&self, directory: &OwnedFd, old: FileId) -> Result<(File, CString), Fault> {
        for _ in 0..ATTEMPTS {
            let name = temporary_name(old, &random_hex()?);
            let name = CString::new(name).map_err(|error| self.fault(Action::Overwrite, error))?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            let file = match open_name(directory, &name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => file,
                Err(Errno::EXIST) => continue,
                Err(Errno::ACCESS | Errno::PERM) => return Err(self.nothing_beside()),
                Err(error) => return Err(self.fault(Action::Overwrite, error)),
            };
            match flock(&file, FlockOperation::NonBlockingLockExclusive).and_then(|()| fstat(&file)) {
                Ok(stat) if stat.st_nlink > 0 => {
                    self.storage.home.broken().forget(FileId::from(&stat));
                    return Ok((file, name));
                }
                // A server that starts on the same root took it for a leftover before it was locked.
                Ok(_) | Err(Errno::WOULDBLOCK) => {}
                Err(error) => {
                    let _ = unlinkat(directory, &name, AtFlags::empty());
                    return Err(self.fault(Action::Overwrite, error));
                }
            }
        }
        Err(self.busy())
    }

    fn upload(&self, file: File, seat: Seat, action: Action, start: u64, bill: Bill) -> Upload {
        let path = self.path.clone();
        Upload {
            file,
            path,
            seat,
            becomes: None,
            action,
            start,
            position: start,
            fsync: self.fsync,
            replacing: None,
            attempted: false,
            finished: false,
            bill,
        }
    }

    fn lock(&self, file: &File) -> Result<(), Fault> {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(()),
            Err(Errno::WOULDBLOCK) => Err(self.busy()),
            Err(error) => Err(self.fault(Action::Create, error)),
        }
    }

    fn fault(&self, action: Action, error: impl Into<io::Error>) -> Fault {
        Fault::from_io(action, &self.path, &error.into())
    }

    fn busy(&self) -> Fault {
        let sentence = format!("Another upload to {} is running; try again when it is done.", self.path);
        Fault::new(FaultKind::Busy, sentence)
    }

    fn nothing_beside(&self) -> Fault {
        let sentence = format!(
            "To replace {} the server needs a new file beside it, and may not create files in that directory.",
            self.path
        );
        Fault::new(FaultKind::Permission, sentence)
    }

    fn stale(&self) -> Fault {
        let sentence = format!(
            "The last upload to {} broke and its old contents are still there; upload again from the start.",
            self.path
        );
        Fault::new(FaultKind::Stale, sentence)
    }

    /// One sentence for every offset: "add to" and "replace" would tell which of them is the file's size.
    fn refused_from(&self, start: Start) -> Option<Fault> {
        let Start::Offset(offset @ 1..) = start else { return None };
        let sentence = format!("This account may not upload to {} from byte {offset} on.", self.path);
        Some(Fault::new(FaultKind::Permission, sentence))
    }

    fn past_the_end(&self, offset: u64, size: u64) -> Fault {
        let sentence = format!("The upload cannot start at byte {offset}: {} has only {size} bytes.", self.path);
        Fault::new(FaultKind::BadRequest, sentence)
    }
}

fn random_hex() -> Result<String, Fault> {
    let number = getrandom::u64()
        .map_err(|error| Fault::new(FaultKind::Local, format!("The server has no random numbers: {error}.")))?;
    Ok(format!("{number:016x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbered_before_the_ending() {
        for (name, second) in [
            ("report.txt", "report (2).txt"),
            ("a.tar.gz", "a.tar (2).gz"),
            ("Makefile", "Makefile (2)"),
            (".profile", ".profile (2)"),
            ("a.", "a (2)."),
        ] {
            assert_eq!(version(name.as_bytes(), 2), second.as_bytes());
        }
    }
}
