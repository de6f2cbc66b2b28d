//! Writing a class's files so that at any moment either the old or the new one is there in full.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes a file that only its owner can read.
pub fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    // A name alone has the empty path for its parent.
    let directory = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = directory.join(format!(".{name}.{:016x}.tmp", getrandom::u64().map_err(io::Error::other)?));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(contents).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        // The error to report is the first one; the file may not even be there.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    File::open(directory)?.sync_all()
}

/// Writes a file that only its owner can read, if there is none.
pub fn create(path: &Path, contents: &[u8]) -> io::Result<()> {
    if path.try_exists()? { Ok(()) } else { replace(path, contents) }
}
