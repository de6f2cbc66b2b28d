//! The accounts file as written: `[[user]]` tables.

use std::path::{Component, Path, PathBuf};

use config::{Value, ValueKind};

use super::PasswordHash;
use crate::settings::document::{self, Table};
use crate::settings::value::{self, Bad, Parsed};
use crate::settings::{Faults, Settings};
use crate::storage::rights::{Action, Rights, Words};

/// A user as written.
#[derive(Debug, Clone)]
pub struct User {
    /// The login name.
    pub name: String,
    /// The password's hash.
    pub password: PasswordHash,
    /// The absolute path of the home.
    pub home: PathBuf,
    /// What the user may do there.
    pub rights: Rights,
}

/// A user of whom not all is known yet.
struct Draft {
    name: Option<String>,
    password: Option<PasswordHash>,
    home: PathBuf,
    rights: Rights,
}

const CONTROL_CHARACTERS: &str = "it has control characters";

/// What can be written about a user.
struct Key {
    name: &'static str,
    allowed: &'static str,
    set: fn(&mut Draft, &Value, &Root) -> Parsed<()>,
}

static KEYS: &[Key] = &[
    Key {
        name: "name",
        allowed: "a login name of at most 64 characters, none of them a control character, other than anonymous and ftp",
        set: |draft, value, _| {
            let name = value::text(value)?;
            check_name(name).map_err(|why| Bad::because(value, why))?;
            draft.name = Some(name.to_owned());
            Ok(())
        },
    },
    Key {
        name: "password",
        allowed: "an argon2id hash, as `longshore user passwd` does",
        set: |draft, value, _| {
            let hash = value::text(value).map(PasswordHash::parse).map_err(hide)?;
            draft.password = Some(hash.map_err(|why| hide(Bad::because(value, why)))?);
            Ok(())
        },
    },
    Key {
        name: "home",
        allowed: "a directory relative to the root, or an absolute one below it",
        set: |draft, value, root| {
            let home = root.home(&value::path(value)?);
            draft.home = home.map_err(|why| Bad::because(value, why))?;
            Ok(())
        },
    },
    Key {
        name: "permissions",
        allowed: r#""read-only", "read-write", "add-only", "none", a list of list, read, create, append, overwrite, delete, rename, mkdir, rmdir and attributes, or a table of these by path, such as { "/" = "read-only", "/incoming" = "add-only" }"#,
        set: |draft, value, _| permissions(value).map(|it| draft.rights = it),
    },
];

/// What a user may do: everywhere, or by path.
fn permissions(value: &Value) -> Parsed<Rights> {
    let ValueKind::Table(rules) = &value.kind else {
        return words(value).map(Rights::everywhere);
    };
    let (mut by_path, mut bad) = (Vec::new(), Vec::new());
    for (pattern, allowed) in rules {
        let written = Value::new(allowed.origin().map(str::to_owned).as_ref(), pattern.as_str());
        bad.extend(Rights::check_pattern(pattern).err().into_iter().flat_map(|why| Bad::because(&written, why)));
        match words(allowed) {
            Ok(words) => by_path.push((pattern.as_str(), words)),
            Err(more) => bad.extend(more),
        }
    }
    match (bad.is_empty(), by_path.is_empty()) {
        (true, true) => Err(Bad::because(value, "the table is empty")),
        (true, false) => Ok(Rights::by_path(by_path)),
        (false, _) => Err(bad),
    }
}

/// A preset's name, or a list of words.
fn words(value: &Value) -> Parsed<Words> {
    match &value.kind {
        ValueKind::Array(items) if items.is_empty() => Err(Bad::because(value, "the list is empty")),
        ValueKind::Array(items) => {
            let (mut actions, mut bad) = (Vec::new(), Vec::new());
            for item in items {
                match value::choice(item, &Action::ALL) {
                    Ok(action) => actions.push(action),
                    Err(more) => bad.extend(more),
                }
            }
            if bad.is_empty() { Ok(Words::of(actions)) } else { Err(bad) }
        }
        _ => value::choice(value, &Words::PRESETS),
    }
}

/// A password in the clear may stand where a hash belongs: it must not get into messages and logs.
fn hide(mut bad: Vec<Bad>) -> Vec<Bad> {
    for bad in &mut bad {
        bad.found = "(not shown)".to_owned();
    }
    bad
}

/// Why `name` cannot be a login name, if so.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        Err("it is empty")
    } else if name.chars().count() > 64 {
        Err("it has more than 64 characters")
    } else if name.chars().any(char::is_control) {
        Err(CONTROL_CHARACTERS)
    } else if name.trim() != name {
        Err("it begins or ends with a space")
    } else if super::is_anonymous(name) {
        Err("anonymous and ftp are the guests' names")
    } else {
        Ok(())
    }
}

/// The directory that is served, below which all homes are.
#[derive(Debug, Clone)]
pub struct Root {
    /// As in the settings, made absolute.
    written: PathBuf,
    /// With symbolic links resolved, as far as it exists.
    resolved: PathBuf,
}

impl Root {
    /// The root of `settings`.
    pub fn of(settings: &Settings) -> Result<Self, Faults> {
        let root = &settings.storage.root;
        let unknown =
            |err| Faults::one("storage.root", format!("cannot be made absolute: {err}; write an absolute path"));
        let written = std::path::absolute(root).map_err(unknown)?;
        let resolve = |existing: &Path| {
            let missing = written.strip_prefix(existing).ok()?;
            Some(std::fs::canonicalize(existing).ok()?.components().chain(missing.components()).collect())
        };
        let resolved = written.ancestors().find_map(resolve).unwrap_or_else(|| written.clone());
        Ok(Self { written, resolved })
    }

    /// The absolute path of the root.
    pub fn path(&self) -> &Path {
        &self.resolved
    }

    /// The absolute path of a home, or why it cannot be one.
    pub fn home(&self, home: &Path) -> Result<PathBuf, String> {
        if home.to_string_lossy().chars().any(char::is_control) {
            return Err(CONTROL_CHARACTERS.to_owned());
        }
        // Without this, a home that is written the other way round would not look as if it were below the root.
        let below = match (home.strip_prefix(&self.written), home.strip_prefix(&self.resolved)) {
            (Ok(below), _) | (_, Ok(below)) => below,
            _ if home.is_absolute() => return Err(format!("it is outside of the root {}", self.written.display())),
            _ => home,
        };
        let mut path = self.resolved.clone();
        for component in below.components() {
            match component {
                Component::Normal(name) => path.push(name),
                Component::CurDir => {}
                _ => return Err("`..` could lead out of the root".to_owned()),
            }
        }
        Ok(path)
    }
}

/// Reads all users of the accounts file at `path`.
pub fn read(path: &Path, root: &Root) -> Result<Vec<User>, Faults> {
    let read = document::read(path, "make it with `longshore user add NAME`");
    users(read, &path.display().to_string(), root)
}

/// Reads all users of an accounts file's text; `name` is what the file is called in faults.
pub fn parse(text: &str, name: &str, root: &Root) -> Result<Vec<User>, Faults> {
    users(document::parse(text, name), name, root)
}

fn users((table, mut wrong): (Table, Faults), file: &str, root: &Root) -> Result<Vec<User>, Faults> {
    let mut faults = Faults::default();
    let mut users: Vec<User> = Vec::new();
    for (key, value) in table {
        let origin = value.origin().unwrap_or(file).to_owned();
        match value.kind {
            ValueKind::Array(items) if key == "user" => {
                for item in items {
                    if let Some(user) = user(item, root, &users, &mut faults) {
                        users.push(user);
                    }
                }
            }
            _ if key == "user" => faults.push(origin, "user is a list; write [[user]] above each user's keys"),
            _ => faults.push_unknown(origin, &key, "in an accounts file", &["[[user]]"]),
        }
    }
    wrong.extend_lines(faults);
    wrong.or(users)
}

fn user(item: Value, root: &Root, others: &[User], faults: &mut Faults) -> Option<User> {
    let origin = item.origin().unwrap_or_default().to_owned();
    let ValueKind::Table(entries) = item.kind else {
        faults.push(origin, "user is a list of tables; write [[user]] above each user's keys");
        return None;
    };
    let mut draft = Draft {
        name: None,
        password: None,
        home: root.path().to_owned(),
        rights: Rights::everywhere(Words::READ_WRITE),
    };
    for (name, value) in &entries {
        let origin = value.origin().unwrap_or_default();
        match KEYS.iter().find(|key| key.name == name) {
            None => {
                faults.push_unknown(origin, name, "in [[user]]", &KEYS.iter().map(|key| key.name).collect::<Vec<_>>())
            }
            Some(key) => {
                if let Err(bad) = (key.set)(&mut draft, value, root) {
                    faults.push_bad(&format!("user.{name}"), key.allowed, bad);
                }
            }
        }
    }
    for key in KEYS.iter().filter(|key| ["name", "password"].contains(&key.name)) {
        if !entries.contains_key(key.name) {
            faults.push(&origin, format!("this [[user]] has no {}; write {}", key.name, key.allowed));
        }
    }
    let name = draft.name?;
    if others.iter().any(|other| other.name == name) {
        let name = value::quoted(&name);
        faults.push(origin, format!("the user {name} is there twice; remove one of them"));
        return None;
    }
    Some(User { name, password: draft.password?, home: draft.home, rights: draft.rights })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$YWFhYWFhYWFhYWFhYWFhYQ";

    fn root() -> Root {
        Root { written: "/link/ftp".into(), resolved: "/srv/ftp".into() }
    }

    fn parse_users(text: &str) -> Result<Vec<User>, String> {
        parse(&text.replace("HASH", HASH), "a.toml", &root()).map_err(|faults| faults.to_string())
    }

    #[test]
    fn users_are_read_with_defaults_for_home_and_permissions() {
        let text = "[[user]]\nname = \"ann\"\npassword = \"HASH\"\n\n[[user]]\nname = \"bob\"\npassword = \"HASH\"\n\
                    home = \"class/bob\"\npermissions = \"read-only\"\n";
        let users = parse_users(text).unwrap();
        let facts: Vec<_> =
            users.iter().map(|user| (&*user.name, user.home.to_str().unwrap(), user.rights.to_string())).collect();
        let expected =
            [("ann", "/srv/ftp", "read-write".to_owned()), ("bob", "/srv/ftp/class/bob", "read-only".to_owned())];
        assert_eq!(facts, expected);
        assert!(parse_users("# nobody yet\n").unwrap().is_empty());
    }

    #[test]
    fn permissions_are_a_preset_words_or_rules_by_path() {
        let user = |line: &str| format!("[[user]]\nname = \"ann\"\npassword = \"HASH\"\npermissions = {line}\n");
        let faults_of = |line: &str| {
            let faults = parse_users(&user(line)).unwrap_err();
            faults.lines().map(|line| line.split("; write").next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        for (line, shown) in [
            ("\"none\"", "none"),
            ("[\"list\", \"mkdir\"]", "list+mkdir"),
            ("[\"list\", \"read\"]", "read-only"),
            ("{ \"/\" = \"read-only\", \"/in/*\" = [\"create\"] }", "/ read-only, /in/* create"),
        ] {
            assert_eq!(parse_users(&user(line)).unwrap()[0].rights.to_string(), shown, "{line}");
        }
        for (line, faults) in [
            ("[]", &["a.toml:4: user.permissions = [] is not allowed (the list is empty)"][..]),
            ("{}", &["a.toml:4: user.permissions = {  } is not allowed (the table is empty)"]),
            ("[\"raed\"]", &["a.toml:4: user.permissions = \"raed\" is not allowed"]),
            (
                "{ \"in\" = \"none\", \"/x\" = 1 }",
                &[
                    "a.toml:4: user.permissions = \"in\" is not allowed (a path pattern begins with /, which is the home)",
                    "a.toml:4: user.permissions = 1 is not allowed",
                ],
            ),
        ] {
            assert_eq!(faults_of(line), faults, "{line}");
        }
    }

    #[test]
    fn root_is_resolved_before_it_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let real = directory.path().canonicalize().unwrap().join("real");
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink("real", directory.path().join("link")).unwrap();
        let mut settings = Settings::default();
        settings.storage.root = directory.path().join("link/ftp");
        assert_eq!(Root::of(&settings).unwrap().home(&real.join("ftp/ann")), Ok(real.join("ftp/ann")));
    }

    #[test]
    fn login_names_fit_into_a_command_and_a_table() {
        for (name, good) in [("ann", true), (&"é".repeat(64), true), (&"x".repeat(65), false), ("a\tb", false)] {
            assert_eq!(check_name(name).is_ok(), good, "{name}");
        }
    }

    #[test]
    fn homes_are_below_the_root() {
        for (written, home) in [
            ("ann", Some("/srv/ftp/ann")),
            ("./ann/", Some("/srv/ftp/ann")),
            (".", Some("/srv/ftp")),
            ("/srv/ftp/ann", Some("/srv/ftp/ann")),
            ("/link/ftp/ann", Some("/srv/ftp/ann")),
            ("/srv/ftpx", None),
            ("/srv", None),
            ("/", None),
            ("..", None),
            ("ann/../../x", None),
            ("/srv/ftp/../x", None),
            ("a\u{85}b", None),
        ] {
            assert_eq!(root().home(Path::new(written)).ok(), home.map(PathBuf::from), "{written}");
        }
    }

    #[test]
    fn all_faults_come_together_from_top_to_bottom() {
        let text = "users = 1\n[[user]]\nname = \"ftp\"\npasswort = \"x\"\n[[user]]\nname = \"ann\"\npassword = \"mooring\"\n\
                    home = \"../etc\"\n[[user]]\nname = \"bob\"\npassword = \"HASH\"\npermissions = \"all\"\n\
                    [[user]]\nname = \"bob\"\npassword = \"HASH\"\n[[user]]\nname = \"a\\nb\"\npassword = \"HASH\"\n\
                    [[user]]\nname = \"dan\"\nname = \"eve\"\npassword = \"HASH\"\nhome = \"a\\nb\"\n";
        let expected = r#"a.toml:1: there is no "users" in an accounts file (did you mean [[user]]?); write one of [[user]]
a.toml:2: this [[user]] has no password; write an argon2id hash, as `longshore user passwd` does
a.toml:3: user.name = "ftp" is not allowed (anonymous and ftp are the guests' names); write a login name of at most 64 characters, none of them a control character, other than anonymous and ftp
a.toml:4: there is no "passwort" in [[user]] (did you mean password?); write one of name, password, home, permissions
a.toml:7: user.password = (not shown) is not allowed (it does not begin with $argon2id$); write an argon2id hash, as `longshore user passwd` does
a.toml:8: user.home = "../etc" is not allowed (`..` could lead out of the root); write a directory relative to the root, or an absolute one below it
a.toml:12: user.permissions = "all" is not allowed; write "read-only", "read-write", "add-only", "none", a list of list, read, create, append, overwrite, delete, rename, mkdir, rmdir and attributes, or a table of these by path, such as { "/" = "read-only", "/incoming" = "add-only" }
a.toml:13: the user "bob" is there twice; remove one of them
a.toml:17: user.name = "a\nb" is not allowed (it has control characters); write a login name of at most 64 characters, none of them a control character, other than anonymous and ftp
a.toml:21: name is there twice; keep one of them
a.toml:23: user.home = "a\nb" is not allowed (it has control characters); write a directory relative to the root, or an absolute one below it"#;
        assert_eq!(parse_users(text).unwrap_err(), expected);
    }
}
