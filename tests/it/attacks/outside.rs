//! What lies beside the root, which no client may read or change.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a client would have read if it ever got out.
pub const CANARY: &str = "canary-in-a-coal-mine";

/// A tree of files outside of the root, and how it was at the beginning.
pub struct Outside {
    dir: PathBuf,
    before: BTreeMap<PathBuf, Entry>,
}

/// Everything of a file that somebody could change; `ctime` cannot be set back.
type Entry = (u32, u64, i64, i64, i64, i64, Vec<u8>);

impl Outside {
    /// Makes the tree.
    pub fn make(dir: PathBuf) -> Self {
        fs::create_dir_all(dir.join("sub/deep")).unwrap();
        for name in ["a", "file.txt", "sub/a", "sub/deep/a"] {
            fs::write(dir.join(name), CANARY).unwrap();
        }
        // Where a listing alone would tell.
        fs::write(dir.join(CANARY), "").unwrap();
        // What the server takes for its own where it may.
        fs::write(dir.join(".longshore-upload-1-2"), CANARY).unwrap();
        fs::create_dir(dir.join("empty")).unwrap();
        let before = look(&dir);
        assert!(before.len() > 7, "{before:?}");
        Self { dir, before }
    }

    /// Fails when anything has changed.
    pub fn is_untouched(&self) {
        let now = look(&self.dir);
        for (path, entry) in &now {
            assert_eq!(Some(entry), self.before.get(path), "{} was changed or made from inside", path.display());
        }
        let gone = self.before.keys().find(|path| !now.contains_key(*path));
        assert_eq!(gone, None, "this was removed from inside");
    }
}

fn look(dir: &Path) -> BTreeMap<PathBuf, Entry> {
    let (mut found, mut pending) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(path) = pending.pop() {
        let facts = path.symlink_metadata().unwrap();
        let contents = if facts.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Vec::new()
        } else if facts.is_symlink() {
            fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
        } else {
            fs::read(&path).unwrap()
        };
        let times = (facts.mtime(), facts.mtime_nsec(), facts.ctime(), facts.ctime_nsec());
        found.insert(path, (facts.mode(), facts.nlink(), times.0, times.1, times.2, times.3, contents));
    }
    found
}

/// Whether these bytes have the canary in them.
pub fn has_canary(bytes: &[u8]) -> bool {
    bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
}
