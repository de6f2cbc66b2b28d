//! A disk of a test's own, in memory, that fails where it is told to. The kernel reaches it over FUSE, as it reaches a
//! disk on the network.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyStatfs, ReplyWrite, Request, Session, SessionACL, TimeOrNow, WriteFlags,
};

use crate::fixture::poll;

/// Nothing is remembered by the kernel: it asks for everything again.
const NO_TIME: Duration = Duration::ZERO;

/// What the kernel asks of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Of a name or an open file.
    Stat,
    Open,
    Create,
    Read,
    Write,
    /// What close(2) waits for: a disk on the network often tells only here that a write has failed.
    Flush,
    Sync,
    List,
    MakeDirectory,
    Remove,
    Rename,
}

/// The disk; a clone is the same one.
#[derive(Clone, Default)]
pub struct Disk(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    nodes: BTreeMap<u64, Node>,
    /// What fails, for names that contain this text, and how.
    failing: Vec<(Op, String, Errno)>,
    hangs: bool,
    /// Whether a request waits for the end of that.
    waits: bool,
}

struct Node {
    /// The last name that it had.
    name: OsString,
    mode: u16,
    links: u32,
    contents: Contents,
}

enum Contents {
    File(Vec<u8>),
    Directory(BTreeMap<OsString, u64>),
}

/// A disk that answers nothing.
pub struct Hanging(Disk, Option<JoinHandle<()>>);

impl Drop for Hanging {
    fn drop(&mut self) {
        self.0.state().hangs = false;
        self.0.0.1.notify_all();
        let _ = self.1.take().map(JoinHandle::join);
    }
}

impl Disk {
    /// An empty disk, and the descriptor by which a server mounts it.
    pub fn new() -> (Self, OwnedFd) {
        let disk = Self::default();
        disk.state().add(1, OsStr::new(""), 0o755, Contents::Directory(BTreeMap::new()));
        let device = OwnedFd::from(File::options().read(true).write(true).open("/dev/fuse").unwrap());
        let (own, served) = (device.try_clone().unwrap(), disk.clone());
        thread::spawn(move || {
            // Before it is mounted, reading from the device fails.
            let begin =
                || Session::from_fd(served.clone(), own.try_clone().unwrap(), SessionACL::All, Config::default());
            if let Some(session) = poll(|| begin().ok()) {
                // It ends with the mount, which is the server's.
                let _ = session.run();
            }
        });
        (disk, device)
    }

    /// Has `op` fail from now on for whatever has `part` in its name.
    pub fn fail(&self, op: Op, part: &str, error: Errno) {
        self.state().failing.push((op, part.to_owned(), error));
    }

    /// Has nothing be answered, as by a network that has gone, until what is returned is dropped. It begins with a
    /// question of this process about the disk, which it sees at `place`: who waits for an answer that is being made cannot
    /// be killed, who waits in the queue behind it can.
    #[must_use]
    pub fn hang(&self, place: PathBuf) -> Hanging {
        self.state().hangs = true;
        let asked = thread::spawn(move || drop(place.metadata()));
        poll(|| self.state().waits.then_some(())).expect("the disk is asked");
        Hanging(self.clone(), Some(asked))
    }

    /// Everything works again.
    pub fn heal(&self) {
        self.state().failing.clear();
    }

    /// The bytes of a file in its uppermost directory, as they are on the disk.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        let number = state.directory(1).ok()?.get(OsStr::new(name))?;
        match &state.nodes[number].contents {
            Contents::File(bytes) => Some(bytes.clone()),
            Contents::Directory(_) => None,
        }
    }

    /// The names in its uppermost directory.
    pub fn names(&self) -> Vec<String> {
        self.state().directory(1).unwrap().keys().map(|name| name.to_string_lossy().into_owned()).collect()
    }

    /// Puts a file into its uppermost directory.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        let number = state.make(1, OsStr::new(name), 0o644, Contents::File(bytes.to_vec())).unwrap().ino;
        assert_eq!(state.attributes(number.0).unwrap().size, bytes.len() as u64);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    /// Does `op` on the node `number`, or on `name` in it, unless that fails.
    fn run<T>(
        &self,
        op: Op,
        number: INodeNo,
        name: Option<&OsStr>,
        work: impl FnOnce(&mut State) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut state = self.state();
        while state.hangs {
            state.waits = true;
            state = self.0.1.wait(state).unwrap();
        }
        state.waits = false;
        let own = state.nodes.get(&number.0).map(|node| node.name.clone());
        let name = name.map(OsStr::to_owned).or(own).unwrap_or_default();
        let fails = |(of, part, _): &&(Op, String, Errno)| *of == op && name.to_string_lossy().contains(part.as_str());
        if let Some((_, _, error)) = state.failing.iter().find(fails) {
            return Err(*error);
        }
        work(&mut state)
    }
}

impl State {
    fn add(&mut self, number: u64, name: &OsStr, mode: u16, contents: Contents) {
        self.nodes.insert(number, Node { name: name.to_owned(), mode, links: 1, contents });
    }

    fn node(&mut self, number: u64) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&number).ok_or(Errno::ENOENT)
    }

    fn directory(&self, number: u64) -> Result<&BTreeMap<OsString, u64>, Errno> {
        match &self.nodes.get(&number).ok_or(Errno::ENOENT)?.contents {
            Contents::Directory(names) => Ok(names),
            Contents::File(_) => Err(Errno::ENOTDIR),
        }
    }

    fn directory_mut(&mut self, number: u64) -> Result<&mut BTreeMap<OsString, u64>, Errno> {
        match &mut self.node(number)?.contents {
            Contents::Directory(names) => Ok(names),
            Contents::File(_) => Err(Errno::ENOTDIR),
        }
    }

    fn file(&mut self, number: u64) -> Result<&mut Vec<u8>, Errno> {
        match &mut self.node(number)?.contents {
            Contents::File(bytes) => Ok(bytes),
            Contents::Directory(_) => Err(Errno::EISDIR),
        }
    }

    fn find(&self, parent: u64, name: &OsStr) -> Result<u64, Errno> {
        self.directory(parent)?.get(name).copied().ok_or(Errno::ENOENT)
    }

    fn make(&mut self, parent: u64, name: &OsStr, mode: u32, contents: Contents) -> Result<FileAttr, Errno> {
        if self.find(parent, name).is_ok() {
            return Err(Errno::EEXIST);
        }
        // Never one that was there before.
        let number = self.nodes.keys().next_back().unwrap() + 1;
        self.add(number, name, (mode & 0o7777) as u16, contents);
        self.directory_mut(parent)?.insert(name.to_owned(), number);
        self.attributes(number)
    }

    /// Takes a name away. The node stays for whoever has it open, and keeps its number from being used again.
    fn remove(&mut self, parent: u64, name: &OsStr, directory: bool) -> Result<(), Errno> {
        let number = self.find(parent, name)?;
        match self.directory(number) {
            Ok(names) if directory && names.is_empty() => {}
            Ok(_) if directory => return Err(Errno::ENOTEMPTY),
            Ok(_) => return Err(Errno::EISDIR),
            Err(_) if directory => return Err(Errno::ENOTDIR),
            Err(_) => {}
        }
        self.node(number)?.links = 0;
        self.directory_mut(parent)?.remove(name);
        Ok(())
    }

    fn attributes(&mut self, number: u64) -> Result<FileAttr, Errno> {
        let node = self.node(number)?;
        let (kind, size) = match &node.contents {
            Contents::File(bytes) => (FileType::RegularFile, bytes.len() as u64),
            Contents::Directory(_) => (FileType::Directory, 0),
        };
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_234_567_890);
        Ok(FileAttr {
            ino: INodeNo(number),
            size,
            blocks: size.div_ceil(512),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind,
            perm: node.mode,
            nlink: node.links,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

macro_rules! answer {
    ($reply:ident, $result:expr, $done:expr) => {
        match $result {
            Ok(value) => ($done)($reply, value),
            Err(error) => $reply.error(error),
        }
    };
}

impl Filesystem for Disk {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.run(Op::Stat, parent, Some(name), |state| {
            let number = state.find(parent.0, name)?;
            state.attributes(number)
        });
        answer!(reply, found, |reply: ReplyEntry, found| reply.entry(&NO_TIME, &found, Generation(0)));
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let found = self.run(Op::Stat, number, None, |state| state.attributes(number.0));
        answer!(reply, found, |reply: ReplyAttr, found| reply.attr(&NO_TIME, &found));
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = self.run(Op::Stat, number, None, |state| {
            if let Some(mode) = mode {
                state.node(number.0)?.mode = (mode & 0o7777) as u16;
            }
            if let Some(size) = size {
                state.file(number.0)?.resize(size as usize, 0);
            }
            state.attributes(number.0)
        });
        answer!(reply, set, |reply: ReplyAttr, found| reply.attr(&NO_TIME, &found));
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let contents = Contents::Directory(BTreeMap::new());
        let made = self
            .run(Op::MakeDirectory, parent, Some(name), |state| state.make(parent.0, name, mode & !umask, contents));
        answer!(reply, made, |reply: ReplyEntry, made| reply.entry(&NO_TIME, &made, Generation(0)));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let gone = self.run(Op::Remove, parent, Some(name), |state| state.remove(parent.0, name, false));
        answer!(reply, gone, |reply: ReplyEmpty, ()| reply.ok());
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let gone = self.run(Op::Remove, parent, Some(name), |state| state.remove(parent.0, name, true));
        answer!(reply, gone, |reply: ReplyEmpty, ()| reply.ok());
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to: INodeNo,
        new: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let renamed = self.run(Op::Rename, parent, Some(name), |state| {
            let number = state.find(parent.0, name)?;
            match state.find(to.0, new) {
                Ok(_) if flags.contains(RenameFlags::RENAME_NOREPLACE) => return Err(Errno::EEXIST),
                Ok(there) if there != number => state.remove(to.0, new, state.directory(there).is_ok())?,
                _ => {}
            }
            state.directory_mut(parent.0)?.remove(name);
            state.directory_mut(to.0)?.insert(new.to_owned(), number);
            state.node(number)?.name = new.to_owned();
            Ok(())
        });
        answer!(reply, renamed, |reply: ReplyEmpty, ()| reply.ok());
    }

    fn open(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let opened = self.run(Op::Open, number, None, |_| Ok(()));
        answer!(reply, opened, |reply: ReplyOpen, ()| reply.opened(FileHandle(0), FopenFlags::empty()));
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, _: i32, reply: ReplyCreate) {
        let contents = Contents::File(Vec::new());
        let made =
            self.run(Op::Create, parent, Some(name), |state| state.make(parent.0, name, mode & !umask, contents));
        answer!(reply, made, |reply: ReplyCreate, made| {
            reply.created(&NO_TIME, &made, Generation(0), FileHandle(0), FopenFlags::empty());
        });
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self.run(Op::Read, number, None, |state| {
            let bytes = state.file(number.0)?;
            let begin = (offset as usize).min(bytes.len());
            Ok(bytes[begin..bytes.len().min(begin + size as usize)].to_vec())
        });
        answer!(reply, read, |reply: ReplyData, bytes: Vec<u8>| reply.data(&bytes));
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.run(Op::Write, number, None, |state| {
            let (bytes, end) = (state.file(number.0)?, offset as usize + data.len());
            bytes.resize(bytes.len().max(end), 0);
            bytes[offset as usize..end].copy_from_slice(data);
            Ok(data.len() as u32)
        });
        answer!(reply, written, |reply: ReplyWrite, count| reply.written(count));
    }

    fn flush(&self, _: &Request, number: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        let flushed = self.run(Op::Flush, number, None, |_| Ok(()));
        answer!(reply, flushed, |reply: ReplyEmpty, ()| reply.ok());
    }

    fn fsync(&self, _: &Request, number: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let synced = self.run(Op::Sync, number, None, |_| Ok(()));
        answer!(reply, synced, |reply: ReplyEmpty, ()| reply.ok());
    }

    fn fsyncdir(&self, _: &Request, number: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let synced = self.run(Op::Sync, number, None, |_| Ok(()));
        answer!(reply, synced, |reply: ReplyEmpty, ()| reply.ok());
    }

    fn readdir(&self, _: &Request, number: INodeNo, _: FileHandle, offset: u64, reply: ReplyDirectory) {
        let listed = self.run(Op::List, number, None, |state| {
            let names = state.directory(number.0)?.iter();
            let kind = |number: u64| match state.nodes[&number].contents {
                Contents::File(_) => FileType::RegularFile,
                Contents::Directory(_) => FileType::Directory,
            };
            Ok(names.map(|(name, number)| (*number, kind(*number), name.clone())).collect::<Vec<_>>())
        });
        answer!(reply, listed, |mut reply: ReplyDirectory, names: Vec<(u64, FileType, OsString)>| {
            for (at, (number, kind, name)) in names.into_iter().enumerate().skip(offset as usize) {
                if reply.add(INodeNo(number), at as u64 + 1, kind, name) {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 4096, 255, 4096);
    }
}
