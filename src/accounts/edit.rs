//! Changes to the accounts file that keep its comments, its order, its owner and its permission bits.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value, value};

use super::PasswordHash;
use super::file::{self, Root};
use crate::storage::Words;

const HEADER: &str = "# The accounts of longshore. `longshore user` edits this file; so may you.\n";

/// What is to be written about a user. What is `None` stays as it is; an empty text or list takes the key out.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// `home`
    pub home: Option<String>,
    /// `group`
    pub group: Option<String>,
    /// `permissions`: a preset, words with commas between them, or `PATTERN=` and one of these for each path.
    pub permissions: Option<Vec<String>>,
    /// `enabled`
    pub enabled: Option<bool>,
    /// `expires`
    pub expires: Option<String>,
    /// `allow_from`
    pub allow_from: Option<Vec<String>>,
    /// `create_home`
    pub create_home: Option<bool>,
}

impl Changes {
    fn write(&self, user: &mut Table) {
        let texts = [("home", &self.home), ("group", &self.group), ("expires", &self.expires)];
        for (key, text) in texts {
            put(user, key, text.as_ref().map(|text| (!text.is_empty()).then(|| text.into())));
        }
        let lists = [("permissions", self.permissions.as_deref().map(permissions))];
        for (key, list) in lists {
            put(user, key, list);
        }
        let networks = |list: &Vec<String>| {
            let networks: Array = list.iter().flat_map(|part| words(part)).collect();
            (!networks.is_empty()).then(|| networks.into())
        };
        put(user, "allow_from", self.allow_from.as_ref().map(networks));
        for (key, switch) in [("enabled", self.enabled), ("create_home", self.create_home)] {
            put(user, key, switch.map(|on| Some(on.into())));
        }
    }
}

/// Gives a key another value, or takes it out, where there is anything to do. A comment behind it stays.
fn put(user: &mut Table, key: &str, new: Option<Option<Value>>) {
    match (new, user.get_mut(key).and_then(Item::as_value_mut)) {
        (None, _) => {}
        (Some(None), _) => drop(user.remove(key)),
        (Some(Some(new)), Some(old)) => {
            let decor = old.decor().clone();
            *old = new;
            *old.decor_mut() = decor;
        }
        // A table of its own, such as [user.permissions], gives way too.
        (Some(Some(new)), None) => drop(user.insert(key, value(new))),
    }
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// A preset's name or a list of words; by path where paths are given.
fn permissions(written: &[String]) -> Option<Value> {
    let one = |text: &str| match words(text).collect::<Vec<_>>().as_slice() {
        [word] if Words::PRESETS.iter().any(|(name, _)| name == word) => (*word).into(),
        words => Value::from(words.iter().copied().collect::<Array>()),
    };
    match written {
        [] => None,
        [text] if text.is_empty() => None,
        [text] if !text.contains('=') => Some(one(text)),
        rules => {
            let mut by_path = InlineTable::new();
            for rule in rules {
                // The last sign: a path may have one of its own, and no word does.
                let (pattern, allowed) = rule.rsplit_once('=').unwrap_or(("/", rule));
                by_path.insert(pattern, one(allowed));
            }
            Some(by_path.into())
        }
    }
}

/// An accounts file that nobody else edits with this program in the meantime.
#[derive(Debug)]
pub struct AccountsFile {
    path: PathBuf,
    document: DocumentMut,
    root: Root,
    /// The directory, locked. The file itself cannot carry the lock: it is replaced.
    _lock: File,
}

impl AccountsFile {
    /// Opens the accounts file at `path`; one that does not exist is made when it is saved.
    ///
    /// A file with faults is not edited.
    pub fn open(path: &Path, root: &Root) -> anyhow::Result<Self> {
        // Replacing a symbolic link would leave the file behind it as it was.
        let path = fs::canonicalize(path).or_else(|_| std::path::absolute(path))?;
        let _lock = lock_directory(&path).with_context(|| format!("cannot use the directory of {}", path.display()))?;
        let text = match fs::read_to_string(&path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => HEADER.to_owned(),
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        file::parse(&text, &path.display().to_string(), root)?;
        let document = text.parse()?;
        Ok(Self { path, document, root: root.clone(), _lock })
    }

    /// Adds a user at the end.
    pub fn add(&mut self, name: &str, password: &PasswordHash, changes: &Changes) -> anyhow::Result<()> {
        if self.position(name)?.is_some() {
            bail!("the user {name:?} exists already; `longshore user passwd` changes the password");
        }
        let mut user = Table::new();
        user["name"] = value(name);
        user["password"] = value(password.to_text());
        changes.write(&mut user);
        // What stands at the end of the file, stays above what is added.
        let end = self.document.trailing().as_str().unwrap_or_default().to_owned();
        let is_first = self.document.to_string().is_empty();
        user.decor_mut().set_prefix(if is_first { end } else { end + "\n" });
        self.document.set_trailing("");
        self.users()?.push(user);
        Ok(())
    }

    /// Changes what is written about a user.
    pub fn change(&mut self, name: &str, changes: &Changes) -> anyhow::Result<()> {
        let position = self.known(name)?;
        if let Some(user) = self.users()?.get_mut(position) {
            changes.write(user);
        }
        Ok(())
    }

    /// Gives a user another password.
    pub fn change_password(&mut self, name: &str, password: &PasswordHash) -> anyhow::Result<()> {
        let position = self.known(name)?;
        if let Some(user) = self.users()?.get_mut(position) {
            user["password"] = value(password.to_text());
        }
        Ok(())
    }

    /// Removes a user and the comment that stands directly above it.
    pub fn remove(&mut self, name: &str) -> anyhow::Result<()> {
        let position = self.known(name)?;
        let users = self.users()?;
        let above = users.get(position).and_then(|user| user.decor().prefix()?.as_str()).unwrap_or_default();
        // A comment with an empty line below it belongs to the file, not to the user.
        let kept = above.rfind("\n\n").map_or("", |end| &above[..=end]).to_owned();
        users.remove(position);
        if let Some(next) = users.get_mut(position) {
            let below = next.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default();
            let prefix = kept + below;
            next.decor_mut().set_prefix(prefix);
        } else {
            let prefix = kept + self.document.trailing().as_str().unwrap_or_default();
            self.document.set_trailing(prefix);
        }
        Ok(())
    }

    /// Writes the file so that at any moment either the old or the new one is there in full. What the server would refuse
    /// is not written.
    pub fn save(self) -> anyhow::Result<()> {
        let text = self.document.to_string();
        file::parse(&text, &format!("{} as it would be", self.path.display()), &self.root)?;
        let attempt = || format!("cannot write {}", self.path.display());
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = directory.join(format!(".{name}.{:016x}.tmp", getrandom::u64()?));
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).with_context(attempt)?;
        let written = write_like(&self.path, file, &text).and_then(|()| fs::rename(&temporary, &self.path));
        if let Err(err) = written {
            // The error to report is the first one; the file may not even be there.
            let _ = fs::remove_file(&temporary);
            return Err(err).with_context(attempt);
        }
        File::open(directory).and_then(|directory| directory.sync_all()).with_context(attempt)
    }

    fn users(&mut self) -> anyhow::Result<&mut ArrayOfTables> {
        let users = self.document.entry("user").or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
        users.as_array_of_tables_mut().context("the users are written as an inline list; write them as [[user]] tables")
    }

    fn position(&mut self, name: &str) -> anyhow::Result<Option<usize>> {
        let is_name = |user: &Table| user.get("name").and_then(Item::as_str) == Some(name);
        Ok(self.users()?.iter().position(is_name))
    }

    fn known(&mut self, name: &str) -> anyhow::Result<usize> {
        let position = self.position(name)?;
        position.with_context(|| format!("there is no user {name:?}; `longshore user list` shows all"))
    }
}

/// Two administrators, or a script that adds a class in parallel, wait for each other.
fn lock_directory(path: &Path) -> io::Result<File> {
    let directory = File::open(path.parent().unwrap_or(Path::new("/")))?;
    directory.lock()?;
    Ok(directory)
}

/// Writes `text` to the new `file`, which gets owner and mode of `model`, if that is there.
fn write_like(model: &Path, mut file: File, text: &str) -> io::Result<()> {
    if let Ok(model) = fs::metadata(model) {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (model.uid(), model.gid()) {
            fchown(&file, Some(model.uid()), Some(model.gid()))?;
        }
        // After the owner, because a change of owner takes bits away.
        file.set_permissions(model.permissions())?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::settings::Settings;

    const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$YWFhYWFhYWFhYWFhYWFhYQ";

    fn hash() -> PasswordHash {
        PasswordHash::parse(HASH).unwrap()
    }

    fn root() -> Root {
        Root::of(&Settings::default()).unwrap()
    }

    /// The file's text after `change`, with `HASH` for the hash.
    fn after(text: &str, change: impl FnOnce(&mut AccountsFile)) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("accounts.toml");
        fs::write(&path, text.replace("HASH", HASH)).unwrap();
        let mut file = AccountsFile::open(&path, &root()).unwrap();
        change(&mut file);
        file.save().unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left behind");
        fs::read_to_string(&path).unwrap().replace(HASH, "HASH")
    }

    const TWO: &str = "# Staff\n\n# since May\n[[user]]\nname = \"ann\" # head\npassword = \"HASH\"\n\n# Class 7\n[[user]]\npassword = \"HASH\"\nname = \"bob\"\n# the end\n";

    #[test]
    fn added_users_come_last_and_all_else_stays() {
        let text = after(TWO, |file| {
            file.add("eve", &hash(), &Changes { home: Some("class/eve".to_owned()), ..Changes::default() }).unwrap()
        });
        let added = "\n[[user]]\nname = \"eve\"\npassword = \"HASH\"\nhome = \"class/eve\"\n";
        assert_eq!(text, format!("{TWO}{added}"));
    }

    #[test]
    fn first_user_of_an_empty_file_is_its_first_line() {
        let text = after("", |file| file.add("ann", &hash(), &Changes::default()).unwrap());
        assert_eq!(text, "[[user]]\nname = \"ann\"\npassword = \"HASH\"\n");
    }

    #[test]
    fn removed_users_leave_the_comments_of_others() {
        let text = after(TWO, |file| file.remove("ann").unwrap());
        assert_eq!(text, "# Staff\n\n# Class 7\n[[user]]\npassword = \"HASH\"\nname = \"bob\"\n# the end\n");
        let text = after(TWO, |file| file.remove("bob").unwrap());
        assert_eq!(text, "# Staff\n\n# since May\n[[user]]\nname = \"ann\" # head\npassword = \"HASH\"\n# the end\n");
    }

    #[test]
    fn changed_password_is_the_only_change() {
        let new = PasswordHash::create(b"x").unwrap();
        let text = after(TWO, |file| file.change_password("bob", &new).unwrap());
        let (before, rest) = TWO.rsplit_once("HASH").unwrap();
        assert_eq!(text, format!("{before}{}{rest}", new.to_text()));
    }

    #[test]
    fn changes_touch_nothing_else_and_empty_ones_take_a_key_out() {
        let list = |text: &str| Some(vec![text.to_owned()]);
        let changes = Changes {
            permissions: Some(vec!["/=read-only".to_owned(), "/in=list,create".to_owned()]),
            enabled: Some(false),
            allow_from: list("10.0.0.0/8, ::1"),
            ..Changes::default()
        };
        let text = after(TWO, |file| file.change("ann", &changes).unwrap());
        let added = "permissions = { \"/\" = \"read-only\", \"/in\" = [\"list\", \"create\"] }\n\
                     allow_from = [\"10.0.0.0/8\", \"::1\"]\nenabled = false\n";
        let (head, rest) = TWO.split_once("\n\n# Class 7").unwrap();
        assert_eq!(text, format!("{head}\n{added}\n# Class 7{rest}"));
        let back = Changes {
            permissions: list(""),
            enabled: Some(true),
            allow_from: list(""),
            expires: Some("2026-12-31".to_owned()),
            ..Changes::default()
        };
        let text = after(&text, |file| file.change("ann", &back).unwrap());
        let kept = "enabled = true\nexpires = \"2026-12-31\"\n";
        assert_eq!(text, format!("{head}\n{kept}\n# Class 7{rest}"));
    }

    #[test]
    fn what_the_server_would_refuse_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("accounts.toml");
        fs::write(&path, TWO.replace("HASH", HASH)).unwrap();
        let before = fs::read_to_string(&path).unwrap();
        let mut file = AccountsFile::open(&path, &root()).unwrap();
        file.change("ann", &Changes { group: Some("staff".to_owned()), ..Changes::default() }).unwrap();
        assert!(file.save().unwrap_err().to_string().contains("there is no such group"));
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
    }

    #[test]
    fn known_and_unknown_users_are_told_apart() {
        after(TWO, |file| {
            assert!(file.add("ann", &hash(), &Changes::default()).is_err());
            assert!(file.remove("eve").is_err());
            assert!(file.change_password("eve", &hash()).is_err());
        });
    }

    #[test]
    fn what_a_killed_edit_left_behind_is_in_nobodys_way() {
        let directory = tempfile::tempdir().unwrap();
        // In a container, the next process has the same number.
        let left = directory.path().join(format!(".accounts.toml.{}.tmp", std::process::id()));
        fs::write(&left, "half").unwrap();
        let mut file = AccountsFile::open(&directory.path().join("accounts.toml"), &root()).unwrap();
        file.add("ann", &hash(), &Changes::default()).unwrap();
        file.save().unwrap();
        assert!(left.exists());
    }

    #[test]
    fn new_file_is_private_and_an_old_one_keeps_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("accounts.toml");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        for (name, expected) in [("ann", 0o600), ("bob", 0o640)] {
            let mut file = AccountsFile::open(&path, &root()).unwrap();
            file.add(name, &hash(), &Changes::default()).unwrap();
            file.save().unwrap();
            assert_eq!(mode(), expected, "{name}");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        let user = |name: &str| format!("\n[[user]]\nname = \"{name}\"\npassword = \"{HASH}\"\n");
        assert_eq!(text, format!("{HEADER}{}{}", user("ann"), user("bob")));
    }
}
