//! What a server that was killed left behind.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use cap_std::fs::Dir;
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, flock, unlinkat};

use sha2::{Digest, Sha256};

use super::broken::BrokenReplacements;
use super::facts::FileId;
use super::home::{open_name, readable, stat_name};
use super::path::RESERVED_PREFIX;

/// What the temporary file is called that is to replace `old`; `salt` makes it a name of its own.
pub(super) fn temporary_name(old: FileId, salt: &str) -> Vec<u8> {
    [RESERVED_PREFIX, format!("{:x}-{salt}", old.inode).as_bytes()].concat()
}

/// What a new file is called that gets its `name` when it is complete.
pub(super) fn hidden_name(name: &CStr) -> Vec<u8> {
    // The name itself may be as long as a name can be.
    let digest = Sha256::digest(name.to_bytes());
    let digits: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    [RESERVED_PREFIX, b"new-", digits.as_bytes()].concat()
}

/// What a directory is called while it is made: a name of its own each time.
pub(crate) fn unfinished_name() -> io::Result<OsString> {
    let salt = format!("{:016x}", getrandom::u64().map_err(io::Error::other)?);
    Ok(OsString::from_vec([RESERVED_PREFIX, UNFINISHED, salt.as_bytes()].concat()))
}

const UNFINISHED: &[u8] = b"home-";

fn is_unfinished(name: &CStr) -> bool {
    name.to_bytes().strip_prefix(RESERVED_PREFIX).is_some_and(|rest| rest.starts_with(UNFINISHED))
}

/// The inode that the temporary file `name` was to replace.
fn replaced_inode(name: &CStr) -> Option<u64> {
    let rest = name.to_bytes().strip_prefix(RESERVED_PREFIX)?;
    let (inode, _salt) = str::from_utf8(rest).ok()?.split_once('-')?;
    u64::from_str_radix(inode, 16).ok()
}

/// Removes the temporary files of uploads that ended with their server, anywhere below `root`, and returns how many.
/// What they were to replace is remembered in `broken`.
///
/// It follows no symbolic link and leaves alone what is locked: the uploads of a server that runs. Directories that
/// cannot be read are passed over. It looks at every directory, so on a large tree it takes its time.
pub fn clear_leftovers(root: &Dir, broken: &BrokenReplacements) -> usize {
    let mut removed = 0;
    // Paths and not handles: a wide tree would need too many of those.
    let mut pending = vec![PathBuf::from(".")];
    while let Some(path) = pending.pop() {
        if let Ok(directory) = root.open_dir(&path) {
            let found = survey(&directory).unwrap_or_default();
            removed += found.leftovers.iter().filter(|name| remove(&directory, name, broken)).count();
            pending.extend(found.directories.iter().map(|name| path.join(OsStr::from_bytes(name.to_bytes()))));
        }
    }
    removed
}

#[derive(Default)]
struct Found {
    leftovers: Vec<CString>,
    directories: Vec<CString>,
}

fn survey(directory: &Dir) -> io::Result<Found> {
    let mut found = Found::default();
    for entry in rustix::fs::Dir::new(readable(directory)?)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes().starts_with(RESERVED_PREFIX) {
            found.leftovers.push(name.to_owned());
        } else if name != c"." && name != c".." && is_directory(directory, name, entry.file_type()) {
            found.directories.push(name.to_owned());
        }
    }
    Ok(found)
}

/// Some file systems leave the type out of their entries.
fn is_directory(directory: impl AsFd, name: &CStr, file_type: FileType) -> bool {
    match file_type {
        FileType::Unknown => {
            stat_name(directory, name).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir())
        }
        known => known.is_dir(),
    }
}

/// Removes `name` unless a running upload holds its lock.
fn remove(directory: &Dir, name: &CStr, broken: &BrokenReplacements) -> bool {
    let device = match stat_name(directory, name) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_file() => stat.st_dev,
        // A directory that was not finished, such as a home; see `make_home`. Nobody else may have the name.
        Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_dir() && is_unfinished(name) => {
            return directory.remove_dir_all(OsStr::from_bytes(name.to_bytes())).is_ok();
        }
        _ => return false,
    };
    // Kept open, and so locked, until the name is gone.
    open_name(directory, name, OFlags::WRONLY, Mode::empty()).is_ok_and(|file| {
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .and_then(|()| {
                // It would have been renamed over the old file, so both are on one device.
                replaced_inode(name).into_iter().for_each(|inode| broken.remember(FileId { device, inode }));
                unlinkat(directory, name, AtFlags::empty())
            })
            .is_ok()
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use cap_std::ambient_authority;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn leftovers_go_and_locked_and_foreign_ones_stay() {
        let base = tempfile::tempdir().unwrap();
        let (root, outside) = (base.path().join("root"), base.path().join("outside"));
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir(&outside).unwrap();
        let leftover = |directory: &Path, name: &str| {
            let path = directory.join(format!(".longshore-upload-{name}"));
            fs::write(&path, "x").unwrap();
            path
        };
        let gone = [leftover(&root, "1"), leftover(&root.join("a/b"), "2")];
        let running = leftover(&root.join("a"), "3");
        let foreign = leftover(&outside, "4");
        symlink(&outside, root.join("out")).unwrap();
        symlink(foreign.as_path(), root.join(".longshore-upload-5")).unwrap();
        fs::write(root.join("kept"), "x").unwrap();
        let lock = fs::File::open(&running).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();

        let root_dir = Dir::open_ambient_dir(&root, ambient_authority()).unwrap();
        assert_eq!(clear_leftovers(&root_dir, &BrokenReplacements::default()), 2);
        assert!(gone.iter().all(|path| !path.exists()));
        assert!(running.exists() && foreign.exists() && root.join("kept").exists());
    }

    proptest::proptest! {
        #[test]
        fn any_temporary_name_tells_what_it_replaces(device in any::<u64>(), inode in any::<u64>(), name in "\\.longshore-upload-[0-9a-z-]{0,20}") {
            let named = CString::new(temporary_name(FileId { device, inode }, "00ff")).unwrap();
            prop_assert_eq!(replaced_inode(&named), Some(inode));
            let _ = replaced_inode(&CString::new(name).unwrap());
        }
    }
}
