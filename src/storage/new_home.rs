//! Homes that are made when they are first needed.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use rustix::fs::{RenameFlags, renameat_with};
use rustix::io::Errno;

use super::leftovers::unfinished_name;

/// Makes the directory `path` below `root` with the contents of `template`. It appears when it is complete.
///
/// Symbolic links and special files in the template are left out. Somebody else who makes the same home meanwhile wins.
pub fn make_home(root: &Dir, path: &Path, template: Option<&Path>) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    root.create_dir_all(parent)?;
    let unfinished = parent.join(unfinished_name()?);
    root.create_dir(&unfinished)?;
    let filled = match template {
        Some(template) => root.open_dir(&unfinished).and_then(|home| copy_contents(template, &home)),
        None => Ok(()),
    };
    let made = filled.and_then(|()| take_name(root, &unfinished, path));
    made.or_else(|error| {
        // The error to report is the first one.
        let _ = root.remove_dir_all(&unfinished);
        if root.is_dir(path) { Ok(()) } else { Err(error) }
    })
}

/// Gives `unfinished` the name `path`, which nothing has yet. A plain rename would replace an empty home, in which somebody
/// may be by now.
fn take_name(root: &Dir, unfinished: &Path, path: &Path) -> io::Result<()> {
    let parent = root.open_dir(path.parent().unwrap_or(Path::new(".")))?;
    let (Some(from), Some(to)) = (unfinished.file_name(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    match renameat_with(&parent, from, &parent, to, RenameFlags::NOREPLACE) {
        // Some file systems cannot.
        Err(Errno::INVAL | Errno::NOSYS) => parent.rename(from, &parent, to),
        done => Ok(done?),
    }
}

fn copy_contents(from: &Path, to: &Dir) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        // Of the entry itself: a link is no directory and no file.
        let (kind, name) = (entry.file_type()?, entry.file_name());
        if kind.is_dir() {
            to.create_dir(&name)?;
            copy_contents(&entry.path(), &to.open_dir(&name)?)?;
        } else if kind.is_file() {
            let mode = entry.metadata()?.permissions().mode() & 0o777;
            let options = OpenOptions::new().write(true).create_new(true).mode(mode).clone();
            io::copy(&mut fs::File::open(entry.path())?, &mut to.open_with(&name, &options)?)?;
        } else {
            tracing::warn!(path = %entry.path().display(), "left out of a new home: neither a file nor a directory");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use cap_std::ambient_authority;

    use super::*;
    use crate::storage::{BrokenReplacements, clear_leftovers};

    #[test]
    fn a_new_home_has_the_templates_files_and_directories_and_no_links() {
        let base = tempfile::tempdir().unwrap();
        let path = |name: &str| base.path().join(name);
        fs::create_dir_all(path("template/dir")).unwrap();
        fs::create_dir(path("root")).unwrap();
        fs::write(path("secret"), "secret").unwrap();
        fs::write(path("template/dir/read.me"), "hello").unwrap();
        fs::set_permissions(path("template/dir/read.me"), fs::Permissions::from_mode(0o600)).unwrap();
        symlink(path("secret"), path("template/link")).unwrap();
        let root = Dir::open_ambient_dir(path("root"), ambient_authority()).unwrap();
        make_home(&root, Path::new("./class/ann"), Some(&path("template"))).unwrap();
        assert_eq!(fs::read_to_string(path("root/class/ann/dir/read.me")).unwrap(), "hello");
        let mode = fs::metadata(path("root/class/ann/dir/read.me")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(path("root/class/ann/link").symlink_metadata().is_err());
        // What is there stays as it is, and nothing is left behind.
        make_home(&root, Path::new("./class/ann"), None).unwrap();
        assert!(path("root/class/ann/dir").is_dir());
        assert_eq!(fs::read_dir(path("root/class")).unwrap().count(), 1);
        // Empty ones are not replaced either.
        make_home(&root, Path::new("./class/bob"), None).unwrap();
        let bobs = fs::metadata(path("root/class/bob")).unwrap().ino();
        make_home(&root, Path::new("./class/bob"), None).unwrap();
        assert_eq!(fs::metadata(path("root/class/bob")).unwrap().ino(), bobs);
        fs::remove_dir(path("root/class/bob")).unwrap();
        // What a killed server has begun is cleared.
        let begun = path("root/class").join(unfinished_name().unwrap());
        fs::create_dir_all(begun.join("dir")).unwrap();
        assert_eq!(clear_leftovers(&root, &BrokenReplacements::default()), 1);
        assert_eq!(fs::read_dir(path("root/class")).unwrap().count(), 1);
    }
}
