//! The accounts file as written: `[[user]]` tables.

mod keys;

use std::path::{Component, Path, PathBuf};

use config::{Value, ValueKind};

use super::{PasswordHash, Terms};
use crate::limits::ByteRates;
use crate::settings::document::{self, Table};
use crate::settings::value::{self, Bad};
use crate::settings::{Anonymous, ClientCertificates, Faults, Settings};
use crate::storage::Amount;
use crate::storage::rights::{Rights, Words};

use keys::{CONTROL_CHARACTERS, GROUP, KEYS};
pub use keys::{Form, GUESTS, Key, check_name, typed_keys};

/// A user as written.
#[derive(Debug, Clone)]
pub struct User {
    /// The login name.
    pub name: String,
    /// The password's hash.
    pub password: PasswordHash,
    /// All else.
    pub says: Says,
}

/// What can be said of a group, too.
#[derive(Debug, Clone)]
pub struct Says {
    /// The absolute path of the home.
    pub home: PathBuf,
    /// What may be done there.
    pub rights: Rights,
    /// Until when, and from where, somebody is let in.
    pub terms: Terms,
    /// Whether a missing home is made at a login.
    pub create_home: bool,
    /// How many sessions a user may have, if that is said; 0 for any number.
    pub max_sessions: Option<u32>,
    /// How fast the files of all the user's sessions may go.
    pub rates: ByteRates,
    /// How much there may be below the home.
    pub quota: Amount,
}

/// All that an accounts file says.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The users.
    pub users: Vec<User>,
    /// What holds for guests, where they are let in.
    pub guests: Option<Says>,
}

/// A user, or a group, of whom not all is known yet.
#[derive(Clone)]
struct Draft {
    of_group: bool,
    name: Option<String>,
    password: Option<PasswordHash>,
    says: Says,
}

/// What the settings say that accounts depend on: the directory that is served, below which all homes are, and more.
#[derive(Debug, Clone)]
pub struct Root {
    /// As in the settings, made absolute.
    written: PathBuf,
    /// With symbolic links resolved, as far as it exists.
    resolved: PathBuf,
    /// Whether clients are asked for certificates.
    certificates: bool,
    /// What guests may do everywhere, if they are let in and their group does not say it.
    guests: Option<Words>,
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
        let certificates = settings.tls.client_certificates != ClientCertificates::Off;
        let guests = match settings.accounts.anonymous {
            Anonymous::Off => None,
            Anonymous::ReadOnly => Some(Words::READ_ONLY),
            Anonymous::ReadWrite => Some(Words::READ_WRITE),
            Anonymous::AddOnly => Some(Words::ADD_ONLY),
        };
        Ok(Self { written, resolved, certificates, guests })
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
        // As far as it exists. The server looks again at each login, where no link leads out either.
        let below = path.ancestors().take_while(|ancestor| ancestor.starts_with(&self.resolved));
        match below.into_iter().find_map(|existing| std::fs::canonicalize(existing).ok()) {
            Some(real) if !real.starts_with(&self.resolved) => {
                Err(format!("a symbolic link leads it out of the root, to {}", real.display()))
            }
            _ => Ok(path),
        }
    }
}

/// A user whom no file has.
#[derive(Debug, Clone)]
pub struct Given {
    /// Who gives it, for faults.
    pub origin: String,
    /// As written.
    pub name: String,
    /// The password's hash.
    pub password: PasswordHash,
    /// As written; it is made when it is missing. The root without one.
    pub home: Option<String>,
}

/// Adds a user to `others`, by the rules that hold in the file.
pub fn add(given: &Given, root: &Root, others: &mut Vec<User>, faults: &mut Faults) {
    let mut draft = Draft::new(root);
    draft.password = Some(given.password.clone());
    draft.says.create_home = given.home.is_some();
    for (name, written) in [("name", Some(&given.name)), ("home", given.home.as_ref())] {
        let Some((key, written)) = KEYS.iter().find(|key| key.name == name).zip(written) else { continue };
        let value = Value::new(Some(&given.origin), written.as_str());
        if let Err(bad) = (key.set)(&mut draft, &value, root) {
            faults.push_bad(&format!("user.{name}"), key.allowed, bad);
        }
    }
    others.extend(draft.finish(&given.origin, others, faults));
}

/// Reads the accounts file at `path`.
pub fn read(path: &Path, root: &Root) -> Result<Listed, Faults> {
    let read = document::read(path, "make it with `longshore user add NAME`");
    listed(read, &path.display().to_string(), root)
}

/// Reads an accounts file's text; `name` is what the file is called in faults.
pub fn parse(text: &str, name: &str, root: &Root) -> Result<Listed, Faults> {
    listed(document::parse(text, name), name, root)
}

fn listed((table, mut wrong): (Table, Faults), file: &str, root: &Root) -> Result<Listed, Faults> {
    let mut faults = Faults::default();
    let mut users: Vec<User> = Vec::new();
    // A group may stand below its users.
    let groups = groups(table.get(GROUP), root, &mut faults);
    for (key, value) in table {
        let origin = value.origin().unwrap_or(file).to_owned();
        match value.kind {
            ValueKind::Array(items) if key == "user" => {
                for item in items {
                    if let Some(user) = user(&item, root, &groups, &users, &mut faults) {
                        users.push(user);
                    }
                }
            }
            ValueKind::Array(_) if key == GROUP => {}
            _ if key == "user" => faults.push(origin, "user is a list; write [[user]] above each user's keys"),
            _ if key == GROUP => faults.push(origin, "group is a list; write [[group]] above each group's keys"),
            _ => faults.push_unknown(origin, &key, "in an accounts file", &["[[user]]", "[[group]]"]),
        }
    }
    wrong.extend_lines(faults);
    let guests = groups.into_iter().find(|group| group.name.as_deref() == Some(GUESTS));
    let guests = guests.map(|group| group.says).or_else(|| Says::of_guests(root)).filter(|_| root.guests.is_some());
    wrong.or(Listed { users, guests })
}

impl Listed {
    /// Where there is no file.
    pub fn nobody(root: &Root) -> Self {
        Self { users: Vec::new(), guests: Says::of_guests(root) }
    }
}

/// All groups, those with faults too, so that their users have no more.
fn groups(written: Option<&Value>, root: &Root, faults: &mut Faults) -> Vec<Draft> {
    let mut groups: Vec<Draft> = Vec::new();
    let Some(ValueKind::Array(items)) = written.map(|value| &value.kind) else { return groups };
    for item in items {
        let mut draft = Draft { of_group: true, ..Draft::new(root) };
        let keys: Vec<&Key> = KEYS.iter().filter(|key| key.of_groups).collect();
        let Some(entries) = draft.fill(item, GROUP, &keys, root, faults) else { continue };
        if let (Some(GUESTS), false, Some(guests)) =
            (draft.name.as_deref(), entries.contains_key("permissions"), root.guests)
        {
            draft.says.rights = Rights::everywhere(guests);
        }
        let origin = item.origin().unwrap_or_default();
        match &draft.name {
            None if entries.contains_key("name") => {}
            None => faults.push(origin, "this [[group]] has no name; write one, for users to name it by"),
            Some(name) if groups.iter().any(|other| other.name.as_ref() == Some(name)) => {
                faults.push(origin, format!("the group {} is there twice; remove one of them", value::quoted(name)));
            }
            Some(_) => groups.push(draft),
        }
    }
    groups
}

fn user(item: &Value, root: &Root, groups: &[Draft], others: &[User], faults: &mut Faults) -> Option<User> {
    let origin = item.origin().unwrap_or_default();
    let named = match &item.kind {
        ValueKind::Table(entries) => entries.get(GROUP),
        _ => None,
    };
    let mut draft = named.and_then(|name| group_of(name, groups, faults)).unwrap_or_else(|| Draft::new(root));
    (draft.of_group, draft.name) = (false, None);
    let keys: Vec<&Key> = KEYS.iter().collect();
    let entries = draft.fill(item, "user", &keys, root, faults)?;
    for key in KEYS.iter().filter(|key| ["name", "password"].contains(&key.name)) {
        if !entries.contains_key(key.name) {
            faults.push(origin, format!("this [[user]] has no {}; write {}", key.name, key.allowed));
        }
    }
    draft.finish(origin, others, faults)
}

/// The group of this name.
fn group_of(name: &Value, groups: &[Draft], faults: &mut Faults) -> Option<Draft> {
    let known = groups.iter().filter_map(|group| group.name.as_deref());
    let known: Vec<String> = known.map(value::quoted).collect();
    let allowed = match known.is_empty() {
        true => "the name of a [[group]] in this file".to_owned(),
        false => format!("the name of a [[group]] in this file: {}", known.join(", ")),
    };
    let found = value::text(name).and_then(|text| {
        let group = groups.iter().find(|group| group.name.as_deref() == Some(text));
        group.ok_or_else(|| Bad::because(name, "there is no such group"))
    });
    found.cloned().map_err(|bad| faults.push_bad("user.group", &allowed, bad)).ok()
}

impl Says {
    /// What holds where nothing is said.
    fn nothing(root: &Root) -> Self {
        let (home, rights) = (root.path().to_owned(), Rights::everywhere(Words::READ_WRITE));
        let (terms, rates, quota) = Default::default();
        Self { home, rights, terms, create_home: false, max_sessions: None, rates, quota }
    }

    /// The same for guests, where they are let in.
    fn of_guests(root: &Root) -> Option<Self> {
        Some(Self { rights: Rights::everywhere(root.guests?), ..Self::nothing(root) })
    }
}

impl Draft {
    fn new(root: &Root) -> Self {
        Self { of_group: false, name: None, password: None, says: Says::nothing(root) }
    }

    /// The user, if all is known and nobody among `others` has the same name.
    fn finish(self, origin: &str, others: &[User], faults: &mut Faults) -> Option<User> {
        let Self { name, password, says, .. } = self;
        let name = name?;
        if others.iter().any(|other| other.name == name) {
            let name = value::quoted(&name);
            faults.push(origin, format!("the user {name} is there twice; remove one of them"));
            return None;
        }
        Some(User { name, password: password?, says })
    }

    /// Takes what `item`, a table of this `kind`, says with `keys`, and gives all that it says.
    fn fill<'a>(
        &mut self,
        item: &'a Value,
        kind: &str,
        keys: &[&Key],
        root: &Root,
        faults: &mut Faults,
    ) -> Option<&'a Table> {
        let ValueKind::Table(entries) = &item.kind else {
            let origin = item.origin().unwrap_or_default();
            faults.push(origin, format!("{kind} is a list of tables; write [[{kind}]] above each {kind}'s keys"));
            return None;
        };
        for (name, value) in entries {
            match keys.iter().find(|key| key.name == name) {
                None => {
                    let known: Vec<_> = keys.iter().map(|key| key.name).collect();
                    faults.push_unknown(value.origin().unwrap_or_default(), name, &format!("in [[{kind}]]"), &known);
                }
                Some(key) => {
                    if let Err(bad) = (key.set)(self, value, root) {
                        faults.push_bad(&format!("{kind}.{name}"), key.allowed, bad);
                    }
                }
            }
        }
        Some(entries)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$YWFhYWFhYWFhYWFhYWFhYQ";

    const PIECES: &[&str] = &[
        "[[user]]\n",
        "[[group]]\n",
        "name = \"ann\"\n",
        "name = \"bob\"\n",
        "name = \"anonymous\"\n",
        "name = \"a\\u0000\"\n",
        "password = \"HASH\"\n",
        "password = \"secret\"\n",
        "home = \"ann\"\n",
        "home = \"../x\"\n",
        "home = \"/srv/ftp/x\"\n",
        "home = \"/etc\"\n",
        "permissions = \"read-only\"\n",
        "permissions = [\"list\", \"x\"]\n",
        "permissions = { \"/\" = \"none\" }\n",
        "permissions = { \"x\" = 1 }\n",
        "enabled = false\n",
        "expires = \"2099-01-01\"\n",
        "expires = 2099-01-01\n",
        "group = \"ann\"\n",
        "allow_from = [\"::/0\", \"x\"]\n",
        "quota_bytes = \"5 MB\"\n",
        "quota_files = -1\n",
        "max_sessions = 3\n",
        "create_home = true\n",
        "download_rate = \"1 KB\"\n",
        "client_certificate = \"CN=ann\"\n",
        "user = 1\n",
        "unknown = 1\n",
        "# comment\n",
        "\n",
    ];

    fn root() -> Root {
        Root { written: "/link/ftp".into(), resolved: "/srv/ftp".into(), certificates: false, guests: None }
    }

    fn parse_users(text: &str) -> Result<Vec<User>, String> {
        let listed = parse(&text.replace("HASH", HASH), "a.toml", &root());
        listed.map(|listed| listed.users).map_err(|faults| faults.to_string())
    }

    #[test]
    fn users_are_read_with_defaults_for_home_and_permissions() {
        let text = "[[user]]\nname = \"ann\"\npassword = \"HASH\"\n\n[[user]]\nname = \"bob\"\npassword = \"HASH\"\n\
                    home = \"class/bob\"\npermissions = \"read-only\"\n";
        let users = parse_users(text).unwrap();
        let facts: Vec<_> = users
            .iter()
            .map(|user| (&*user.name, user.says.home.to_str().unwrap(), user.says.rights.to_string()))
            .collect();
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
            assert_eq!(parse_users(&user(line)).unwrap()[0].says.rights.to_string(), shown, "{line}");
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
    fn groups_are_defaults_wherever_they_stand() {
        let text = "[[user]]\nname = \"ann\"\npassword = \"HASH\"\ngroup = \"class\"\nexpires = 2027-01-31\n\
                    [[group]]\nname = \"class\"\nhome = \"class\"\npermissions = \"add-only\"\nenabled = false\n\
                    expires = \"2026-12-31\"\nallow_from = [\"10.0.0.0/8\", \"::1\"]\ncreate_home = true\nmax_sessions = 2\n\
                    [[user]]\nname = \"bob\"\npassword = \"HASH\"\ngroup = \"class\"\nenabled = true\n\
                    max_sessions = 0\n";
        let users = parse_users(text).unwrap();
        let shown = users.iter().map(|user| {
            let Terms { enabled, expires, allow_from, .. } = &user.says.terms;
            let (home, networks) = (user.says.home.display(), allow_from.as_ref().map_or(0, Vec::len));
            let expires = expires.unwrap();
            let sessions = user.says.max_sessions.unwrap();
            format!(
                "{} {home} {} {enabled} {expires} {networks} {} {sessions}",
                user.name, user.says.rights, user.says.create_home
            )
        });
        let expected = [
            "ann /srv/ftp/class add-only false 2027-01-31 2 true 2",
            "bob /srv/ftp/class add-only true 2026-12-31 2 true 0",
        ];
        assert_eq!(shown.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn faults_of_groups_and_terms_name_line_key_and_cure() {
        let text = "[[group]]\nname = \"class\"\npassword = \"x\"\n[[group]]\nname = \"class\"\n[[group]]\n\
                    [[user]]\nname = \"ann\"\npassword = \"HASH\"\ngroup = \"staff\"\nexpires = \"2026-02-30\"\n\
                    allow_from = [\"10.0.0.1/8\", \"lan\"]\nenabled = 1\n[[user]]\nname = \"bob\"\npassword = \"HASH\"\n\
                    allow_from = []\ngroup = 1\n";
        let networks = r#"write a list of networks, such as ["192.0.2.0/24", "2001:db8::/32"]"#;
        let expected = format!(
            r#"a.toml:3: there is no "password" in [[group]]; write one of name, home, permissions, enabled, expires, allow_from, create_home, max_sessions, quota_bytes, quota_files, download_rate, upload_rate
a.toml:4: the group "class" is there twice; remove one of them
a.toml:6: this [[group]] has no name; write one, for users to name it by
a.toml:10: user.group = "staff" is not allowed (there is no such group); write the name of a [[group]] in this file: "class"
a.toml:11: user.expires = "2026-02-30" is not allowed (it is not a day); write the last day (in UTC) as "2026-12-31"
a.toml:12: user.allow_from = "10.0.0.1/8" is not allowed (the network of this host is 10.0.0.0/8); {networks}
a.toml:12: user.allow_from = "lan" is not allowed (it is not a network); {networks}
a.toml:13: user.enabled = 1 is not allowed; write true or false
a.toml:17: user.allow_from = [] is not allowed (the list is empty); {networks}
a.toml:18: user.group = 1 is not allowed; write the name of a [[group]] in this file: "class""#
        );
        assert_eq!(parse_users(text).unwrap_err(), expected);
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
    fn no_link_leads_a_home_out_of_the_root() {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.storage.root = directory.path().join("root");
        std::fs::create_dir_all(directory.path().join("root/real")).unwrap();
        std::fs::create_dir(directory.path().join("outside")).unwrap();
        for (link, target) in [("out", "../outside"), ("in", "real"), ("nowhere", "missing")] {
            std::os::unix::fs::symlink(target, settings.storage.root.join(link)).unwrap();
        }
        let root = Root::of(&settings).unwrap();
        for (home, good) in [("out", false), ("out/new", false), ("in", true), ("in/new", true), ("nowhere", true)] {
            assert_eq!(root.home(Path::new(home)).is_ok(), good, "{home}");
        }
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
        let expected = r#"a.toml:1: there is no "users" in an accounts file (did you mean [[user]]?); write one of [[user]], [[group]]
a.toml:2: this [[user]] has no password; write a hash that begins with $argon2id$ (as `longshore user passwd` makes it), $2b$, $6$ or $y$
a.toml:3: user.name = "ftp" is not allowed (anonymous and ftp are the guests' names); write a login name of at most 64 characters, none of them a control character, other than anonymous and ftp
a.toml:4: there is no "passwort" in [[user]] (did you mean password?); write one of name, password, home, permissions, enabled, expires, allow_from, create_home, max_sessions, quota_bytes, quota_files, download_rate, upload_rate, client_certificate, group
a.toml:7: user.password = (not shown) is not allowed (it does not begin with $argon2id$, $2a$, $2b$, $2y$, $6$ or $y$); write a hash that begins with $argon2id$ (as `longshore user passwd` makes it), $2b$, $6$ or $y$
a.toml:8: user.home = "../etc" is not allowed (`..` could lead out of the root); write a directory relative to the root, or an absolute one below it
a.toml:12: user.permissions = "all" is not allowed; write "read-only", "read-write", "add-only", "hand-in", "none", a list of list, read, create, append, overwrite, delete, rename, mkdir, rmdir and attributes, or a table of these by path, such as { "/" = "read-only", "/incoming" = "add-only" }
a.toml:13: the user "bob" is there twice; remove one of them
a.toml:17: user.name = "a\nb" is not allowed (it has control characters); write a login name of at most 64 characters, none of them a control character, other than anonymous and ftp
a.toml:21: name is there twice; keep one of them
a.toml:23: user.home = "a\nb" is not allowed (it has control characters); write a directory relative to the root, or an absolute one below it"#;
        assert_eq!(parse_users(text).unwrap_err(), expected);
    }

    proptest::proptest! {
        /// Of pieces that mean something, so that much of it is nearly right.
        #[test]
        fn any_text_gives_users_or_says_what_is_wrong(pieces in vec(prop_oneof![
            9 => select(PIECES),
            1 => select(&["\u{0}", "\u{85}", "é", "99999999999999999999", "[", "\"\"\"", "'", "{", "=", "1979-05-27T07:32:00Z"][..]),
        ], 0..40)) {
            match parse_users(&pieces.concat()) {
                Ok(users) => for user in users {
                    prop_assert_eq!(check_name(&user.name), Ok(()));
                    prop_assert!(user.says.home.starts_with("/srv/ftp"));
                },
                Err(faults) => prop_assert!(faults.lines().all(|line| line.starts_with("a.toml")), "{}", faults),
            }
        }

        #[test]
        fn any_home_is_below_the_root_or_refused(home in "(/srv/ftp|/link/ftp|/|)[a./ \u{0}-\u{1f}]{0,12}") {
            if let Ok(path) = root().home(Path::new(&home)) {
                prop_assert!(path.starts_with("/srv/ftp") && !path.components().any(|part| part == Component::ParentDir));
            }
        }
    }
}
