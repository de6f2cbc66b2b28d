//! Whether others on this machine can read the password hashes, or put a file of their own in their place.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The bits of [`fs::Permissions`] that let others read, and write.
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;
/// In a sticky directory, others cannot replace what is not theirs.
const STICKY: u32 = 0o1000;

/// What is wrong with the permission bits of the accounts file at `path` and of its directory, each with its cure.
pub fn warnings(path: &Path) -> Vec<String> {
    let mode = |path: &Path| fs::metadata(path).map_or(0, |found| found.permissions().mode());
    let cure =
        |verb: &str, path: &Path| format!("chmod {verb} '{}'", path.display().to_string().replace('\'', r"'\''"));
    let file = mode(path);
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let around = mode(directory);
    let mut warnings = Vec::new();
    if file & OTHERS_WRITE != 0 {
        let cure = cure("o-rwx", path);
        warnings.push(format!("everybody on this machine can change the accounts in {}; {cure}", path.display()));
    } else if file & OTHERS_READ != 0 {
        let cure = cure("o-rwx", path);
        warnings.push(format!("everybody on this machine can read the password hashes in {}; {cure}", path.display()));
    }
    if around & OTHERS_WRITE != 0 && around & STICKY == 0 {
        let (cure, shown) = (cure("o-w", directory), directory.display());
        warnings.push(format!("everybody on this machine can replace the accounts file in {shown}; {cure}"));
    } else if file & OTHERS_READ != 0 && around & OTHERS_READ != 0 {
        // Not chmod: it may be /etc.
        let shown = directory.display();
        warnings.push(format!(
            "everybody on this machine can look into {shown}, where the accounts file is; keep it in a directory of its \
             own with mode 750"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_can_read_or_replace_is_named_with_its_cure() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("accounts.toml");
        fs::write(&path, "").unwrap();
        let base = directory.path().display().to_string();
        for (file, around, expected) in [
            (0o600, 0o755, &[][..]),
            (0o640, 0o700, &[]),
            (0o644, 0o700, &["read the password hashes in BASE/accounts.toml; chmod o-rwx 'BASE/accounts.toml'"]),
            (0o646, 0o700, &["change the accounts in BASE/accounts.toml; chmod o-rwx 'BASE/accounts.toml'"]),
            (0o600, 0o777, &["replace the accounts file in BASE; chmod o-w 'BASE'"]),
            (0o600, 0o1777, &[]),
            (
                0o644,
                0o755,
                &[
                    "read the password hashes in BASE/accounts.toml; chmod o-rwx 'BASE/accounts.toml'",
                    "look into BASE, where the accounts file is; keep it in a directory of its own with mode 750",
                ],
            ),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(file)).unwrap();
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(around)).unwrap();
            let found: Vec<_> = warnings(&path).iter().map(|text| text.replace(&base, "BASE")).collect();
            let expected: Vec<_> =
                expected.iter().map(|text| format!("everybody on this machine can {text}")).collect();
            assert_eq!(found, expected, "{file:o} in {around:o}");
        }
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(warnings(&directory.path().join("missing")).is_empty());
    }
}
