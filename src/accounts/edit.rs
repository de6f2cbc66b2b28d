//! Changes to the accounts file that keep its comments, its order, its owner and its permission bits.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value, value};

use super::PasswordHash;
use super::file::{self, Form, Key, Root};
use crate::storage::Words;

const HEADER: &str = "# The accounts of longshore. `longshore user` edits this file; so may you.\n";

/// What is to be written about a user or a group: the new value of a key, or `None` to take it out. Other keys stay as
/// they are.
#[derive(Debug, Clone, Default)]
pub struct Changes(Vec<(&'static str, Option<Value>)>);

impl Changes {
    /// Adds what was typed for a key.
    pub fn type_in(&mut self, key: &Key, typed: &[String]) {
        self.0.push((key.name, typed_value(&key.form, typed)));
    }

    /// The new value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| *name == key)?.1.as_ref()
    }

    fn write(&self, table: &mut Table) {
        for (key, value) in &self.0 {
            put(table, key, value.clone());
        }
    }
}

/// What has been typed as a value of TOML. What cannot be one is left a text, which is refused with the file's faults.
fn typed_value(form: &Form, typed: &[String]) -> Option<Value> {
    let last = typed.last().filter(|text| !text.is_empty())?;
    Some(match form {
        Form::Permissions => permissions(typed),
        Form::List(_) => typed.iter().flat_map(|part| words(part)).collect::<Array>().into(),
        Form::Number => last.parse::<i64>().map_or_else(|_| last.into(), Value::from),
        Form::Switch => last.parse::<bool>().map_or_else(|_| last.into(), Value::from),
        Form::Text(_) | Form::Hidden => last.into(),
    })
}

/// Gives a key another value, or takes it out. A comment behind it stays.
fn put(table: &mut Table, key: &str, new: Option<Value>) {
    match (new, table.get_mut(key).and_then(Item::as_value_mut)) {
        (None, _) => drop(table.remove(key)),
        (Some(new), Some(old)) => {
            let decor = old.decor().clone();
            *old = new;
            *old.decor_mut() = decor;
        }
        // A table of its own, such as [user.permissions], gives way too.
        (Some(new), None) => drop(table.insert(key, value(new))),
    }
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// A preset's name or a list of words; by path where paths are given.
fn permissions(written: &[String]) -> Value {
    let one = |text: &str| match words(text).collect::<Vec<_>>().as_slice() {
        [word] if Words::PRESETS.iter().any(|(name, _)| name == word) => (*word).into(),
        words => Value::from(words.iter().copied().collect::<Array>()),
    };
    match written {
        [text] if !text.contains('=') => one(text),
        rules => {
            let mut by_path = InlineTable::new();
            for rule in rules {
                // The last sign: a path may have one of its own, and no word does.
                let (pattern, allowed) = rule.rsplit_once('=').unwrap_or(("/", rule));
                by_path.insert(pattern, one(allowed));
            }
            by_path.into()
        }
    }
}

/// What the accounts file is about.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `[[user]]`
    User,
    /// `[[group]]`
    Group,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
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

    /// Whether there is a user or a group of this name.
    pub fn has(&mut self, kind: Kind, name: &str) -> anyhow::Result<bool> {
        Ok(self.position(kind, name)?.is_some())
    }

    /// Adds a user at the end.
    pub fn add_user(&mut self, name: &str, password: &PasswordHash, changes: &Changes) -> anyhow::Result<()> {
        if self.position(Kind::User, name)?.is_some() {
            bail!("the user {name:?} exists already; `longshore user passwd` changes the password");
        }
        let mut user = Table::new();
        user["name"] = value(name);
        user["password"] = value(password.to_text());
        self.append(Kind::User, user, changes)
    }

    /// Adds a group at the end.
    pub fn add_group(&mut self, name: &str, changes: &Changes) -> anyhow::Result<()> {
        if self.position(Kind::Group, name)?.is_some() {
            bail!("the group {name:?} exists already; `longshore group set` changes it");
        }
        let mut group = Table::new();
        group["name"] = value(name);
        self.append(Kind::Group, group, changes)
    }

    fn append(&mut self, kind: Kind, mut table: Table, changes: &Changes) -> anyhow::Result<()> {
        changes.write(&mut table);
        // What stands at the end of the file, stays above what is added.
        let end = self.document.trailing().as_str().unwrap_or_default().to_owned();
        let is_first = self.document.to_string().is_empty();
        table.decor_mut().set_prefix(if is_first { end } else { end + "\n" });
        // Behind the tables of the other kind, too.
        table.set_position(Some(isize::MAX));
        self.document.set_trailing("");
        self.tables(kind)?.push(table);
        Ok(())
    }

    /// Changes what is written about a user or a group.
    pub fn change(&mut self, kind: Kind, name: &str, changes: &Changes) -> anyhow::Result<()> {
        if changes.0.is_empty() {
            bail!("there is nothing to change; name it with a flag, such as --permissions read-only");
        }
        changes.write(self.known(kind, name)?);
        Ok(())
    }

    /// Gives a user another password.
    pub fn change_password(&mut self, name: &str, password: &PasswordHash) -> anyhow::Result<()> {
        self.known(Kind::User, name)?["password"] = value(password.to_text());
        Ok(())
    }

    /// Removes a user or a group, and the comment that stands directly above it.
    pub fn remove(&mut self, kind: Kind, name: &str) -> anyhow::Result<()> {
        self.known(kind, name)?;
        let Some(position) = self.position(kind, name)? else { return Ok(()) };
        let tables = self.tables(kind)?;
        let above = tables.get(position).and_then(|table| table.decor().prefix()?.as_str()).unwrap_or_default();
        // A comment with an empty line below it belongs to the file, not to the user.
        let kept = above.rfind("\n\n").map_or("", |end| &above[..=end]).to_owned();
        tables.remove(position);
        if let Some(next) = tables.get_mut(position) {
            let below = next.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default();
            let prefix = kept + below;
            next.decor_mut().set_prefix(prefix);
        } else {
            let prefix = kept + self.document.trailing().as_str().unwrap_or_default();
            self.document.set_trailing(prefix);
        }
        Ok(())
    }

    /// The groups' names, and what each says, as it is written.
    pub fn groups(&mut self) -> anyhow::Result<Vec<[String; 2]>> {
        let groups = self.tables(Kind::Group)?.iter().map(|group| {
            let says = group.iter().filter(|(key, _)| *key != "name");
            let says = says.map(|(key, value)| format!("{key} = {}", value.to_string().trim()));
            let name = group.get("name").and_then(Item::as_str).unwrap_or_default();
            [name.to_owned(), says.collect::<Vec<_>>().join(", ")]
        });
        Ok(groups.collect())
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

    fn tables(&mut self, kind: Kind) -> anyhow::Result<&mut ArrayOfTables> {
        let kind = kind.name();
        let tables = self.document.entry(kind).or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
        let text = || format!("the {kind}s are written as an inline list; write them as [[{kind}]] tables");
        tables.as_array_of_tables_mut().with_context(text)
    }

    fn position(&mut self, kind: Kind, name: &str) -> anyhow::Result<Option<usize>> {
        let is_name = |table: &Table| table.get("name").and_then(Item::as_str) == Some(name);
        Ok(self.tables(kind)?.iter().position(is_name))
    }

    fn known(&mut self, kind: Kind, name: &str) -> anyhow::Result<&mut Table> {
        let position = self.position(kind, name)?;
        let table = position.and_then(|position| self.tables(kind).ok()?.get_mut(position));
        let kind = kind.name();
        table.with_context(|| format!("there is no {kind} {name:?}; `longshore {kind} list` shows all"))
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

    /// What the flags `--KEY=VALUE` say.
    fn changes(typed: &[(&str, &[&str])]) -> Changes {
        let mut changes = Changes::default();
        for (name, texts) in typed {
            let key = file::typed_keys(false).find(|key| key.name == *name).unwrap();
            changes.type_in(key, &texts.iter().map(|text| text.to_string()).collect::<Vec<_>>());
        }
        changes
    }

    const TWO: &str = "# Staff\n\n# since May\n[[user]]\nname = \"ann\" # head\npassword = \"HASH\"\n\n# Class 7\n[[user]]\npassword = \"HASH\"\nname = \"bob\"\n# the end\n";

    #[test]
    fn added_users_come_last_and_all_else_stays() {
        let text = after(TWO, |file| file.add_user("eve", &hash(), &changes(&[("home", &["class/eve"])])).unwrap());
        let added = "\n[[user]]\nname = \"eve\"\npassword = \"HASH\"\nhome = \"class/eve\"\n";
        assert_eq!(text, format!("{TWO}{added}"));
    }

    #[test]
    fn first_user_of_an_empty_file_is_its_first_line() {
        let text = after("", |file| file.add_user("ann", &hash(), &Changes::default()).unwrap());
        assert_eq!(text, "[[user]]\nname = \"ann\"\npassword = \"HASH\"\n");
    }

    #[test]
    fn removed_users_leave_the_comments_of_others() {
        let text = after(TWO, |file| file.remove(Kind::User, "ann").unwrap());
        assert_eq!(text, "# Staff\n\n# Class 7\n[[user]]\npassword = \"HASH\"\nname = \"bob\"\n# the end\n");
        let text = after(TWO, |file| file.remove(Kind::User, "bob").unwrap());
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
        let first = changes(&[
            ("permissions", &["/=read-only", "/in=list,create"]),
            ("allow_from", &["10.0.0.0/8, ::1"]),
            ("enabled", &["false"]),
            ("max_sessions", &["2"]),
        ]);
        let text = after(TWO, |file| file.change(Kind::User, "ann", &first).unwrap());
        let added = "permissions = { \"/\" = \"read-only\", \"/in\" = [\"list\", \"create\"] }\n\
                     allow_from = [\"10.0.0.0/8\", \"::1\"]\nenabled = false\nmax_sessions = 2\n";
        let (head, rest) = TWO.split_once("\n\n# Class 7").unwrap();
        assert_eq!(text, format!("{head}\n{added}\n# Class 7{rest}"));
        let back = changes(&[
            ("permissions", &[""]),
            ("enabled", &["true"]),
            ("allow_from", &[""]),
            ("max_sessions", &[""]),
            ("expires", &["2026-12-31"]),
        ]);
        let text = after(&text, |file| file.change(Kind::User, "ann", &back).unwrap());
        let kept = "enabled = true\nexpires = \"2026-12-31\"\n";
        assert_eq!(text, format!("{head}\n{kept}\n# Class 7{rest}"));
    }

    #[test]
    fn groups_come_last_too_and_are_changed_listed_and_removed() {
        let class = changes(&[("home", &["class"]), ("create_home", &["true"])]);
        let with = after(TWO, |file| file.add_group("class", &class).unwrap());
        let group = "\n[[group]]\nname = \"class\"\nhome = \"class\"\ncreate_home = true\n";
        assert_eq!(with, format!("{TWO}{group}"));
        let user = after(&with, |file| {
            file.add_user("eve", &hash(), &changes(&[("group", &["class"])])).unwrap();
            assert_eq!(file.groups().unwrap(), [["class", "home = \"class\", create_home = true"]]);
            assert!(file.add_group("class", &class).is_err() && file.change(Kind::Group, "x", &class).is_err());
        });
        let eve = "\n[[user]]\nname = \"eve\"\npassword = \"HASH\"\ngroup = \"class\"\n";
        assert_eq!(user, format!("{TWO}{group}{eve}"), "behind the group");
        let second = after(&user, |file| file.add_group("staff", &Changes::default()).unwrap());
        assert_eq!(second, format!("{TWO}{group}{eve}\n[[group]]\nname = \"staff\"\n"));
        assert_eq!(after(&with, |file| file.remove(Kind::Group, "class").unwrap()), TWO);
    }

    #[test]
    fn what_the_server_would_refuse_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("accounts.toml");
        fs::write(&path, TWO.replace("HASH", HASH)).unwrap();
        let before = fs::read_to_string(&path).unwrap();
        let mut file = AccountsFile::open(&path, &root()).unwrap();
        file.change(Kind::User, "ann", &changes(&[("group", &["staff"])])).unwrap();
        assert!(file.save().unwrap_err().to_string().contains("there is no such group"));
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
    }

    #[test]
    fn known_and_unknown_users_are_told_apart() {
        after(TWO, |file| {
            assert!(file.add_user("ann", &hash(), &Changes::default()).is_err());
            assert!(file.remove(Kind::User, "eve").is_err());
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
        file.add_user("ann", &hash(), &Changes::default()).unwrap();
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
            file.add_user(name, &hash(), &Changes::default()).unwrap();
            file.save().unwrap();
            assert_eq!(mode(), expected, "{name}");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        let user = |name: &str| format!("\n[[user]]\nname = \"{name}\"\npassword = \"{HASH}\"\n");
        assert_eq!(text, format!("{HEADER}{}{}", user("ann"), user("bob")));
    }
}
