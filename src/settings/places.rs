//! The places that the settings name, looked at before anything is made or opened there.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{AdminSocket, Faults, Loaded, keys};

impl Loaded {
    /// What would stop `serve`, run by the same user, at the root or at the logs. Nothing is made.
    pub(crate) fn check_places(&self) -> Faults {
        let mut faults = Faults::default();
        let mut report = |name: &str, looked: Result<(), String>| {
            if let (Err(why), Some(key)) = (looked, keys::find(name)) {
                faults.push_value(name, self.origin(name), format!("{name} = {} {why}", key.show(&self.settings)));
            }
        };
        report("storage.root", check_root(&self.settings.storage.root));
        report("log.sessions", self.settings.log.sessions.as_deref().map_or(Ok(()), check_log));
        report("log.xferlog", self.settings.log.xferlog.as_deref().map_or(Ok(()), check_log));
        if let AdminSocket::At(path) = &self.settings.server.admin_socket {
            report("server.admin_socket", check_socket(path));
        }
        report("accounts.template", self.settings.accounts.template.as_deref().map_or(Ok(()), check_template));
        faults
    }
}

fn check_root(root: &Path) -> Result<(), String> {
    match fs::metadata(root) {
        Ok(found) if !found.is_dir() => Err("is no directory; name the directory to serve".to_owned()),
        Ok(_) => may(Access::READ_OK | Access::EXEC_OK, root)
            .map_err(|err| format!("cannot be read: {err}; let this user read it, or name another directory")),
        Err(err) if err.kind() == ErrorKind::NotFound && root.is_symlink() => {
            Err("is a link to nothing; make what it leads to, or name another directory".to_owned())
        }
        Err(err) if err.kind() == ErrorKind::NotFound => {
            may_make(root).map_err(|err| format!("cannot be made: {err}; make it, or name another directory"))
        }
        Err(err) => Err(format!("cannot be reached: {err}; name the directory to serve")),
    }
}

/// A socket that is there already may be a dead server's; the start will see.
fn check_socket(path: &Path) -> Result<(), String> {
    let looked = match path.symlink_metadata() {
        Ok(found) if !found.file_type().is_socket() => Err(ErrorKind::AlreadyExists.into()),
        _ => may_make(path),
    };
    looked.map_err(|err| format!("cannot be made: {err}; name another path, in a directory that this user may write"))
}

fn check_template(template: &Path) -> Result<(), String> {
    let looked = fs::read_dir(template).map(drop);
    looked.map_err(|err| format!("cannot be read: {err}; name a directory that this user may read"))
}

fn check_log(log: &Path) -> Result<(), String> {
    let looked = match fs::metadata(log) {
        Ok(found) if found.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Ok(_) => may(Access::WRITE_OK, log),
        Err(err) if err.kind() == ErrorKind::NotFound => std::path::absolute(log)
            .and_then(|log| may(Access::WRITE_OK | Access::EXEC_OK, log.parent().unwrap_or(Path::new("/")))),
        Err(err) => Err(err),
    };
    looked.map_err(|err| {
        format!("cannot be written: {err}; name a file that this user may write, in a directory that exists")
    })
}

/// Whether the nearest directory above `path` that exists lets this user make another.
fn may_make(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let existing = path.ancestors().skip(1).find(|above| above.symlink_metadata().is_ok());
    existing.map_or(Ok(()), |above| may(Access::WRITE_OK | Access::EXEC_OK, above))
}

/// Asks the kernel, who knows more than permission bits: capabilities, ACLs, read-only file systems.
fn may(access: Access, path: &Path) -> io::Result<()> {
    Ok(accessat(CWD, path, access, AtFlags::EACCESS)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::settings::{Flags, load};

    /// What is wrong with `value` for the key `name`, where `DIR` stands for a directory with a few things in it.
    fn fault(name: &str, value: &str) -> Option<String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap().to_owned();
        fs::write(directory.path().join("file"), "").unwrap();
        symlink("nothing", directory.path().join("dangling")).unwrap();
        symlink("circle", directory.path().join("circle")).unwrap();
        let mut flags = Flags::default();
        flags.set("FLAG", name, &value.replace("DIR", &path));
        let faults = load(None, [], &flags).unwrap().check_places().to_string();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 3, "nothing is made");
        (!faults.is_empty()).then(|| faults.replace(&path, "DIR"))
    }

    #[test]
    fn root_is_a_directory_or_can_be_made() {
        for (root, expected) in [
            ("DIR", None),
            ("DIR/new/deep", None),
            (
                "DIR/dangling/below",
                Some("cannot be made: No such file or directory (os error 2); make it, or name another directory"),
            ),
            ("DIR/file", Some("is no directory; name the directory to serve")),
            ("DIR/dangling", Some("is a link to nothing; make what it leads to, or name another directory")),
            ("DIR/file/below", Some("cannot be reached: Not a directory (os error 20); name the directory to serve")),
            (
                "DIR/circle",
                Some("cannot be reached: Too many levels of symbolic links (os error 40); name the directory to serve"),
            ),
        ] {
            let expected = expected.map(|why| format!("FLAG: storage.root = \"{root}\" {why}"));
            assert_eq!(fault("storage.root", root), expected);
        }
    }

    #[test]
    fn admin_socket_replaces_nothing_but_a_socket() {
        let why = |why: &str| {
            let cure = "name another path, in a directory that this user may write";
            Some(format!("FLAG: server.admin_socket = \"DIR/{why}; {cure}"))
        };
        for new in ["", "auto", "DIR/new", "DIR/new/deep"] {
            assert_eq!(fault("server.admin_socket", new), None);
        }
        assert_eq!(fault("server.admin_socket", "DIR/file"), why("file\" cannot be made: entity already exists"));
        let below = why("file/below\" cannot be made: Permission denied (os error 13)");
        assert_eq!(fault("server.admin_socket", "DIR/file/below"), below);
    }

    #[test]
    fn template_is_a_directory() {
        let why = "cannot be read: Not a directory (os error 20); name a directory that this user may read";
        assert_eq!(fault("accounts.template", "DIR"), None);
        let expected = format!("FLAG: accounts.template = \"DIR/file\" {why}");
        assert_eq!(fault("accounts.template", "DIR/file"), Some(expected));
    }

    #[test]
    fn logs_are_files_in_directories_that_exist() {
        for (log, why) in [
            ("DIR/file", None),
            ("DIR/new", None),
            ("/dev/null", None),
            ("DIR", Some("is a directory")),
            ("DIR/new/deep", Some("No such file or directory (os error 2)")),
            ("DIR/file/below", Some("Not a directory (os error 20)")),
        ] {
            for key in ["log.sessions", "log.xferlog"] {
                let expected = why.map(|why| {
                    let cure = "name a file that this user may write, in a directory that exists";
                    format!("FLAG: {key} = \"{log}\" cannot be written: {why}; {cure}")
                });
                assert_eq!(fault(key, log), expected);
            }
        }
        assert_eq!(fault("log.sessions", "-"), None, "standard output");
    }
}
