//! Permissions and quotas, command by command, against a model: a tree in memory and the README's rules.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use crate::fixture::{Server, noise};
use crate::ftp::Ftp;

/// An account: its rules as the accounts file has them, and its quota of bytes and of files, 0 for none.
struct Account {
    name: &'static str,
    rules: &'static [(&'static str, &'static str)],
    quota: (u64, u64),
}

const ACCOUNTS: [Account; 7] = [
    Account { name: "all", rules: &[("/", "read-write")], quota: (0, 0) },
    Account {
        name: "places",
        rules: &[("/", "read-write"), ("/in", "add-only"), ("/ro", "read-only"), ("/no", "none")],
        quota: (0, 0),
    },
    Account {
        name: "patterns",
        rules: &[
            ("/", "read-only"),
            ("/a*", "read-write"),
            ("/*b", "none"),
            ("/*/a", "none"),
            ("/dir/*", "read-write"),
        ],
        quota: (0, 0),
    },
    Account {
        name: "pupil",
        rules: &[("/", "read-write"), ("/in", "hand-in"), ("/in/b", "none"), ("/in/* (2)*", "read-only")],
        quota: (0, 0),
    },
    Account {
        name: "words",
        rules: &[
            ("/", "list create mkdir rename"),
            ("/dir", "list read delete rename create rmdir"),
            ("/dir/b", "read attributes"),
            ("/ab", "list append overwrite attributes"),
        ],
        quota: (0, 0),
    },
    Account { name: "narrow", rules: &[("/", "read-write")], quota: (1500, 14) },
    Account {
        name: "both",
        rules: &[("/", "read-write"), ("/in", "add-only"), ("/ro", "read-only"), ("/dir/a", "hand-in")],
        quota: (1200, 13),
    },
];

const NAMES: [&str; 8] = ["a", "b", "r.txt", "in", "ro", "no", "dir", "ab"];

/// What stands in each home at first.
const DIRECTORIES: [&str; 6] = ["/in", "/ro", "/no", "/dir", "/dir/b", "/ab"];
const FILES: [&str; 6] = ["/a", "/in/a", "/ro/a", "/no/a", "/dir/a", "/ab/a"];
const CONTENTS: &[u8] = b"there before";

#[derive(Debug, Clone)]
enum Command {
    Stor(String, Option<usize>, usize),
    Appe(String, usize),
    Retr(String, usize),
    Dele(String),
    Mkd(String),
    Rmd(String),
    Rename(String, String),
    Size(String),
    Mlst(String),
    Nlst(String),
    Cwd(String),
    Chmod(String),
}

fn path() -> impl Strategy<Value = String> {
    vec(select(&NAMES[..]), 1..4).prop_map(|names| names.iter().map(|name| format!("/{name}")).collect())
}

fn command() -> impl Strategy<Value = Command> {
    use Command::*;
    let offset = || prop_oneof![Just(0), Just(CONTENTS.len()), 0..40usize];
    let length = || prop_oneof![Just(0), 1..60usize, 1..900usize];
    let rest = prop_oneof![3 => Just(None), 1 => offset().prop_map(Some)];
    prop_oneof![
        6 => (path(), rest, length()).prop_map(|(path, rest, length)| Stor(path, rest, length)),
        2 => (path(), length()).prop_map(|(path, length)| Appe(path, length)),
        2 => (path(), offset()).prop_map(|(path, offset)| Retr(path, offset)),
        3 => path().prop_map(Dele),
        3 => path().prop_map(Mkd),
        2 => path().prop_map(Rmd),
        5 => (path(), path()).prop_map(|(from, to)| Rename(from, to)),
        1 => path().prop_map(Size),
        1 => path().prop_map(Mlst),
        2 => prop_oneof![path(), Just("/".to_owned())].prop_map(Nlst),
        1 => path().prop_map(Cwd),
        1 => path().prop_map(Chmod),
    ]
}

// The model.

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Directory,
    File {
        bytes: Vec<u8>,
        /// Uploaded where an account sees its own only.
        own: bool,
        /// A replacement broke; only a whole one may follow.
        stale: bool,
    },
}

struct Model {
    account: &'static Account,
    nodes: BTreeMap<String, Node>,
}

/// The words of a rule, and whether it shows the account's own files only and keeps versions.
#[derive(Debug, Clone, PartialEq)]
struct Words {
    actions: BTreeSet<&'static str>,
    own: bool,
    versions: bool,
}

impl Words {
    fn of(rule: &'static str) -> Self {
        let all = "list read create append overwrite delete rename mkdir rmdir attributes";
        let (words, own, versions) = match rule {
            "read-write" => (all, false, false),
            "read-only" => ("list read", false, false),
            "add-only" => ("list create", true, false),
            "hand-in" => ("list create", true, true),
            "none" => ("", false, false),
            words => (words, false, false),
        };
        Self { actions: words.split_whitespace().collect(), own, versions }
    }

    fn has(&self, action: &str) -> bool {
        self.actions.contains(action)
    }
}

fn parent(path: &str) -> &str {
    let end = path.rfind('/').unwrap();
    if end == 0 { "/" } else { &path[..end] }
}

fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty()).collect()
}

/// `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, rest)) => name
            .strip_prefix(before)
            .is_some_and(|name| (0..=name.len()).any(|skipped| matches(rest, &name[skipped..]))),
    }
}

type Outcome = Result<Vec<u8>, ()>;
const DONE: Outcome = Ok(Vec::new());

fn when(condition: bool) -> Result<(), ()> {
    condition.then_some(()).ok_or(())
}

impl Model {
    fn new(account: &'static Account) -> Self {
        let file = || Node::File { bytes: CONTENTS.to_vec(), own: false, stale: false };
        let directories = DIRECTORIES.iter().map(|path| ((*path).to_owned(), Node::Directory));
        let nodes = directories.chain(FILES.iter().map(|path| ((*path).to_owned(), file()))).collect();
        Self { account, nodes }
    }

    /// The longest pattern that covers a path decides; equally long ones must all allow.
    fn words(&self, path: &str) -> Words {
        let path = parts(path);
        let covers = |pattern: &str| {
            let pattern = parts(pattern);
            pattern.len() <= path.len() && pattern.iter().zip(&path).all(|(pattern, name)| matches(pattern, name))
        };
        let length = |pattern: &str| pattern.len() - pattern.matches('*').count();
        let covering: Vec<_> = self.account.rules.iter().filter(|(pattern, _)| covers(pattern)).collect();
        let longest = covering.iter().map(|(pattern, _)| length(pattern)).max().unwrap_or(0);
        let deciding =
            covering.iter().filter(|(pattern, _)| length(pattern) == longest).map(|(_, rule)| Words::of(rule));
        deciding
            .reduce(|one, other| Words {
                actions: one.actions.intersection(&other.actions).copied().collect(),
                own: one.own || other.own,
                versions: one.versions || other.versions,
            })
            .unwrap_or(Words::of("none"))
    }

    fn has_rules_below(&self, path: &str) -> bool {
        let path = parts(path);
        self.account.rules.len() > 1
            && self.account.rules.iter().map(|(pattern, _)| parts(pattern)).any(|pattern| {
                pattern.len() > path.len() && pattern.iter().zip(&path).all(|(pattern, name)| matches(pattern, name))
            })
    }

    fn is_directory(&self, path: &str) -> bool {
        path == "/" || self.nodes.get(path) == Some(&Node::Directory)
    }

    fn file(&self, path: &str) -> Result<&[u8], ()> {
        match self.nodes.get(path) {
            Some(Node::File { bytes, .. }) => Ok(bytes),
            _ => Err(()),
        }
    }

    fn is_own(&self, path: &str) -> bool {
        matches!(self.nodes.get(path), Some(Node::File { own: true, .. }))
    }

    fn is_visible(&self, path: &str) -> bool {
        let shown = path == "/" || !self.words(parent(path)).own || self.is_own(path);
        shown && self.words(path).has("list") && (path == "/" || self.nodes.contains_key(path))
    }

    fn used(&self) -> (u64, u64) {
        let bytes = |node: &Node| if let Node::File { bytes, .. } = node { bytes.len() as u64 } else { 0 };
        (self.nodes.values().map(bytes).sum(), self.nodes.len() as u64)
    }

    /// Whether so much more fits; what adds nothing always does.
    fn has_room(&self, bytes: u64, files: u64) -> bool {
        let fits = |limit: u64, used: u64, more: u64| limit == 0 || more == 0 || used + more <= limit;
        fits(self.account.quota.0, self.used().0, bytes) && fits(self.account.quota.1, self.used().1, files)
    }

    fn run(&mut self, command: &Command) -> Outcome {
        match command {
            Command::Stor(path, rest, length) => self.store(path, rest.filter(|rest| *rest > 0), &noise(*length, 3)),
            Command::Appe(path, length) => self.append(path, &noise(*length, 3)),
            Command::Retr(path, offset) => {
                when(self.words(path).has("read"))?;
                self.file(path)?.get(*offset..).map(<[u8]>::to_vec).ok_or(())
            }
            Command::Dele(path) => {
                when(self.words(path).has("delete"))?;
                self.file(path)?;
                self.nodes.remove(path);
                DONE
            }
            Command::Mkd(path) => {
                when(
                    self.words(path).has("mkdir") && self.is_directory(parent(path)) && !self.nodes.contains_key(path),
                )?;
                when(self.has_room(0, 1))?;
                self.nodes.insert(path.clone(), Node::Directory);
                DONE
            }
            Command::Rmd(path) => {
                let is_empty = !self.nodes.keys().any(|other| parent(other) == path);
                when(self.words(path).has("rmdir") && self.is_directory(path) && is_empty)?;
                self.nodes.remove(path);
                DONE
            }
            Command::Rename(from, to) => self.rename(from, to),
            Command::Size(path) => {
                when(self.is_visible(path))?;
                Ok(self.file(path)?.len().to_string().into_bytes())
            }
            Command::Mlst(path) => when(self.is_visible(path)).and(DONE),
            Command::Nlst(path) => self.names(path),
            Command::Cwd(path) => when(self.words(path).has("list") && self.is_directory(path)).and(DONE),
            Command::Chmod(path) => when(self.words(path).has("attributes") && self.nodes.contains_key(path)).and(DONE),
        }
    }

    fn names(&self, path: &str) -> Outcome {
        when(self.words(path).has("list"))?;
        if !self.is_directory(path) {
            return when(self.is_visible(path)).map(|()| format!("{path}\r\n").into_bytes());
        }
        let own = self.words(path).own;
        let children = self.nodes.keys().filter(|child| parent(child) == path && *child != path);
        let shown = children.filter(|child| !self.words(child).actions.is_empty() && (!own || self.is_own(child)));
        Ok(shown.map(|child| format!("{child}\r\n")).collect::<String>().into_bytes())
    }

    fn store(&mut self, path: &str, rest: Option<usize>, bytes: &[u8]) -> Outcome {
        let words = self.words(path);
        if words.versions {
            when(rest.is_none())?;
            return self.hand_in(path, bytes);
        }
        match self.nodes.get(path) {
            None => {
                when(rest.is_none())?;
                self.create(path, bytes)
            }
            Some(Node::Directory) => Err(()),
            Some(Node::File { bytes: old, .. }) => match rest {
                Some(rest) if rest == old.len() => self.append(path, bytes),
                Some(rest) if rest > old.len() => Err(()),
                rest => self.replace(path, rest.unwrap_or(0), bytes),
            },
        }
    }

    fn create(&mut self, path: &str, bytes: &[u8]) -> Outcome {
        when(self.words(path).has("create") && self.is_directory(parent(path)) && !self.nodes.contains_key(path))?;
        when(self.has_room(1, 1) && self.has_room(bytes.len() as u64, 1))?;
        let own = self.words(parent(path)).own;
        self.nodes.insert(path.to_owned(), Node::File { bytes: bytes.to_vec(), own, stale: false });
        DONE
    }

    fn append(&mut self, path: &str, bytes: &[u8]) -> Outcome {
        when(!self.words(path).versions)?;
        if !self.nodes.contains_key(path) {
            return self.create(path, bytes);
        }
        self.file(path)?;
        when(self.words(path).has("append") && self.has_room(bytes.len().max(1) as u64, 0))?;
        match self.nodes.get_mut(path) {
            Some(Node::File { bytes: old, stale: false, .. }) => old.extend_from_slice(bytes),
            _ => return Err(()),
        }
        DONE
    }

    fn replace(&mut self, path: &str, head: usize, bytes: &[u8]) -> Outcome {
        when(self.words(path).has("overwrite"))?;
        let more = (head + bytes.len()).saturating_sub(self.file(path)?.len());
        let fits = self.has_room(more as u64, 0);
        match self.nodes.get_mut(path) {
            Some(Node::File { stale: true, .. }) if head > 0 => Err(()),
            Some(Node::File { stale, .. }) if !fits => {
                *stale = true;
                Err(())
            }
            Some(Node::File { bytes: old, own, stale }) => {
                old.truncate(head);
                old.extend_from_slice(bytes);
                // It is a new file.
                (*own, *stale) = (false, false);
                DONE
            }
            _ => Err(()),
        }
    }

    /// Under this name, or the next one that is free.
    fn hand_in(&mut self, path: &str, bytes: &[u8]) -> Outcome {
        when(self.words(path).has("create") && !self.is_directory(path))?;
        let (stem, ending) = path.rfind('.').map_or((path, ""), |dot| path.split_at(dot));
        for number in 1.. {
            let name = if number == 1 { path.to_owned() } else { format!("{stem} ({number}){ending}") };
            // Each of the names is asked for.
            when(self.words(&name).has("create"))?;
            if !self.nodes.contains_key(&name) {
                return self.create(&name, bytes);
            }
        }
        Err(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Outcome {
        let (of_from, of_to) = (self.words(from), self.words(to));
        when(of_from.has("rename") && of_to.has("create") && self.nodes.contains_key(from))?;
        when(of_from == of_to || of_from.has("read") && of_from.has("delete"))?;
        when(!to.starts_with(&format!("{from}/")) && self.is_directory(parent(to)))?;
        let directory = self.is_directory(from);
        when(!directory || !self.has_rules_below(from) && !self.has_rules_below(to))?;
        if from == to {
            return DONE;
        }
        when(!self.nodes.contains_key(to) || !directory && !self.is_directory(to) && of_to.has("overwrite"))?;
        let moved: Vec<String> =
            self.nodes.keys().filter(|path| *path == from || path.starts_with(&format!("{from}/"))).cloned().collect();
        for path in moved {
            let node = self.nodes.remove(&path).unwrap();
            self.nodes.insert(path.replacen(from, to, 1), node);
        }
        DONE
    }
}

// The server.

impl Command {
    fn run(&self, ftp: &mut Ftp) -> Outcome {
        match self {
            Self::Stor(path, rest, length) => {
                rest.iter().for_each(|rest| drop(ftp.expect(350, format!("REST {rest}"))));
                upload(ftp, &format!("STOR {path}"), *length)
            }
            Self::Appe(path, length) => upload(ftp, &format!("APPE {path}"), *length),
            Self::Retr(path, offset) => {
                ftp.expect(350, format!("REST {offset}"));
                download(ftp, &format!("RETR {path}"))
            }
            Self::Nlst(path) => download(ftp, &format!("NLST {path}")),
            Self::Dele(path) => plain(ftp, &format!("DELE {path}")),
            Self::Mkd(path) => plain(ftp, &format!("MKD {path}")),
            Self::Rmd(path) => plain(ftp, &format!("RMD {path}")),
            Self::Mlst(path) => plain(ftp, &format!("MLST {path}")),
            Self::Cwd(path) => plain(ftp, &format!("CWD {path}")),
            Self::Chmod(path) => plain(ftp, &format!("SITE CHMOD 644 {path}")),
            Self::Rename(from, to) => {
                plain(ftp, &format!("RNFR {from}"))?;
                plain(ftp, &format!("RNTO {to}"))
            }
            Self::Size(path) => {
                let reply = ftp.command(format!("SIZE {path}"));
                when(reply.code == 213).map(|()| reply.raw[4..].to_vec())
            }
        }
    }
}

fn plain(ftp: &mut Ftp, line: &str) -> Outcome {
    when(ftp.command(line).code < 400).and(DONE)
}

fn download(ftp: &mut Ftp, line: &str) -> Outcome {
    let data = ftp.passive();
    when(ftp.command(line).code == 150)?;
    let bytes = ftp.drain(data);
    ftp.read(226);
    Ok(bytes)
}

fn upload(ftp: &mut Ftp, line: &str, length: usize) -> Outcome {
    let mut data = ftp.passive();
    when(ftp.command(line).code == 150)?;
    ftp.write_data(&mut data, &noise(length, 3));
    drop(data);
    when(ftp.reply().code == 226).and(DONE)
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, rules, quota: (bytes, files) } = self;
        let words = |rule: &str| match rule.split_once(' ') {
            None => format!("{rule:?}"),
            Some(_) => format!("{:?}", rule.split(' ').collect::<Vec<_>>()),
        };
        let rules: Vec<String> = rules.iter().map(|(pattern, rule)| format!("{pattern:?} = {}", words(rule))).collect();
        writeln!(f, "[[user]]\nname = {name:?}\nhome = {name:?}\npermissions = {{ {} }}", rules.join(", "))?;
        writeln!(f, "quota_bytes = {bytes}\nquota_files = {files}")
    }
}

/// Gives the account a home that was never there before: nothing is known of it yet.
fn new_home(server: &Server, account: &Account, number: u32) {
    let home = server.path(account.name);
    fs::rename(&home, server.path(format!("was-{}-{number}", account.name))).unwrap();
    fs::create_dir(&home).unwrap();
    DIRECTORIES.iter().for_each(|path| fs::create_dir(home.join(&path[1..])).unwrap());
    FILES.iter().for_each(|path| fs::write(home.join(&path[1..]), CONTENTS).unwrap());
}

/// What is there, of files with their bytes.
fn tree(home: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let (mut found, mut pending) = (BTreeMap::new(), vec![home.to_owned()]);
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let is_file = path.is_file();
            let name = format!("/{}", path.strip_prefix(home).unwrap().display());
            found.insert(name, is_file.then(|| fs::read(&path).unwrap()));
            if !is_file {
                pending.push(path);
            }
        }
    }
    found
}

#[test]
fn any_commands_do_what_the_rules_say() {
    let password = bcrypt::hash("secret", 4).unwrap();
    let accounts: String = ACCOUNTS.iter().map(|account| format!("{account}password = {password:?}\n\n")).collect();
    let mut builder = Server::builder().account("own", "own").accounts_text(&accounts);
    for account in &ACCOUNTS {
        builder = builder.file(&format!("{}/x", account.name), "");
    }
    let (server, homes) = (builder.start(), Cell::new(0));
    let strategy = (0..ACCOUNTS.len(), vec(command(), 1..40));
    let config = Config { source_file: Some(file!()), max_shrink_time: 60_000, ..Config::default() };
    let played = TestRunner::new(config).run(&strategy, |(account, commands)| {
        let account = &ACCOUNTS[account];
        homes.set(homes.get() + 1);
        new_home(&server, account, homes.get());
        let mut model = Model::new(account);
        let mut ftp = Ftp::connect(server.address());
        ftp.login(account.name, "secret");
        for command in &commands {
            let (expected, found) = (model.run(command), command.run(&mut ftp));
            prop_assert_eq!(&found, &expected, "{:?} of {}", command, account.name);
            if account.quota != (0, 0) {
                let (bytes, files) = model.used();
                let (of_bytes, of_files) = account.quota;
                let text = ftp.expect(200, "SITE QUOTA").text();
                let expected = format!(
                    "200 Your quota: {bytes} of {of_bytes} bytes, {files} of {of_files} files and directories."
                );
                prop_assert_eq!(text, expected, "behind {:?} of {}", command, account.name);
            }
        }
        let there = model.nodes.iter().map(|(path, node)| {
            let bytes = if let Node::File { bytes, .. } = node { Some(bytes.clone()) } else { None };
            (path.clone(), bytes)
        });
        prop_assert_eq!(
            tree(&server.path(account.name)),
            there.collect::<BTreeMap<_, _>>(),
            "at the end, of {}",
            account.name
        );
        Ok(())
    });
    played.unwrap_or_else(|error| panic!("{error}"));
}
