//! Every real FTP client that is installed does its whole work. A missing one is named, and with
//! `LONGSHORE_REQUIRE_CLIENTS=1` it fails.

mod aria2;
mod classic;
mod ctrl_c;
mod curl;
mod filezilla;
mod ftps;
mod lftp;
mod ncftp;
mod python;
mod rclone;
mod rust;
mod wget;

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::fixture::{Server, left_out, no_ipv6, noise};

/// A client that has not ended by then hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// The account that all of them use.
const USER: &str = "alice";
/// Its password.
const PASSWORD: &str = "looking-glass";

/// The clients, by the program's name, with the Debian package that brings each.
const CLIENTS: [(&str, &str); 15] = [
    ("tnftp", "tnftp"),
    ("inetutils-ftp", "inetutils-ftp"),
    ("ftp-ssl", "ftp-ssl"),
    ("lftp", "lftp"),
    ("ncftp", "ncftp"),
    ("curl", "curl"),
    ("wget", "wget"),
    ("aria2c", "aria2"),
    ("rclone", "rclone"),
    ("python3", "python3"),
    ("openssl", "openssl"),
    ("filezilla", "filezilla"),
    ("xvfb-run", "xvfb"),
    // Which has the clock jump.
    ("faketime", "faketime"),
    // Which reads the log as a client of its own.
    ("fail2ban-regex", "fail2ban"),
];

/// Where a program is, if it is installed.
fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|program| program.is_file())
}

/// A client to be run, or `None` with a note in the test's output when it is not installed.
pub fn client(name: &str) -> Option<Client> {
    assert!(CLIENTS.iter().any(|(known, _)| *known == name), "{name} is not in the list");
    let found = installed(name);
    if found.is_none() {
        println!("{name} is not installed: nothing was shown");
    }
    found.map(|program| Client {
        name: name.to_owned(),
        program,
        dir: tempfile::Builder::new().prefix("longshore-client-").tempdir().unwrap(),
    })
}

#[test]
fn clients_installed() {
    let absent: Vec<&str> =
        CLIENTS.iter().filter(|(name, _)| installed(name).is_none()).map(|(_, package)| *package).collect();
    if absent.is_empty() {
        return;
    }
    let (count, all, absent) = (absent.len(), CLIENTS.len(), absent.join(" "));
    let what = format!("{count} of {all} FTP clients are not installed and were left out: apt-get install {absent}");
    let required = std::env::var_os("LONGSHORE_REQUIRE_CLIENTS").is_some_and(|value| value == "1");
    assert!(!required, "LONGSHORE_REQUIRE_CLIENTS=1, but {what}");
    left_out(&what);
}

#[test]
fn ipv6_available() {
    if no_ipv6() {
        left_out("this machine has no IPv6; its tests were left out");
    }
}

/// A client with a directory (and a home) of its own.
pub struct Client {
    /// The program's name.
    pub name: String,
    program: PathBuf,
    dir: TempDir,
}

impl Client {
    /// A path in the directory that it works in.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A local file, its directories too.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    /// The bytes of a local file.
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|err| panic!("{}: {name}: {err}", self.name))
    }

    /// It, with arguments to be added.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        self.settle(&mut command);
        command
    }

    /// Another program of the same package.
    fn sibling(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        self.settle(&mut command);
        command
    }

    fn settle(&self, command: &mut Command) {
        command
            .current_dir(self.dir.path())
            .env("HOME", self.dir.path())
            .env("LC_ALL", "C.UTF-8")
            .env("TERM", "dumb")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("FTPANONPASS");
    }

    /// Runs it with a script as its input; it must end well and in time.
    pub fn run(&self, command: &mut Command, script: &str) -> String {
        let (success, transcript) = self.attempt(command, script);
        assert!(success, "{} failed\n--- script\n{script}\n--- transcript\n{transcript}", self.name);
        // For the test's report, should a later check fail.
        println!("--- {command:?}\n{script}\n--- transcript\n{transcript}");
        transcript
    }

    /// Runs it with a script as its input, and tells whether it ended well; it must end in time.
    fn attempt(&self, command: &mut Command, script: &str) -> (bool, String) {
        let input = self.path(".script");
        fs::write(&input, script).unwrap();
        let output = self.path(".transcript");
        let out = File::create(&output).unwrap();
        let mut child = command
            .stdin(File::open(&input).unwrap())
            .stdout(Stdio::from(out.try_clone().unwrap()))
            .stderr(Stdio::from(out))
            .process_group(0)
            .spawn()
            .unwrap_or_else(|err| panic!("{command:?}: {err}"));
        let end = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if Instant::now() >= end {
                let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
                child.wait().unwrap();
                break None;
            }
            thread::sleep(Duration::from_millis(10));
        };
        let transcript = String::from_utf8_lossy(&fs::read(&output).unwrap()).into_owned();
        let Some(status) = status else {
            panic!("{command:?} hangs\n--- script\n{script}\n--- transcript\n{transcript}");
        };
        (status.success(), transcript)
    }
}

/// What the core test puts on the server: the same for every client.
struct Tree {
    big: Vec<u8>,
    up: Vec<u8>,
}

/// A server with one account and something of every kind to work on.
fn server() -> (Server, Tree) {
    let tree = Tree { big: noise(700_001, 1), up: noise(300_001, 2) };
    let server = Server::builder()
        .ipv6()
        .anonymous("off")
        .account(USER, PASSWORD)
        .file("hello.txt", "hello\n")
        .file("big.bin", &tree.big)
        .file("two words.txt", "a name with a space\n")
        .file("old.txt", "to be renamed\n")
        .file("many/one.txt", "1\n")
        .file("many/two.txt", "22\n")
        .file("many/and three.txt", "333\n")
        .file("doomed/a.txt", "a")
        .file("doomed/b.txt", "b")
        .file("doomed/see you.txt", "c")
        .start();
    fs::create_dir(server.path("incoming")).unwrap();
    (server, tree)
}

/// The client's side of the core test.
fn local_tree(client: &Client, tree: &Tree) {
    client.write("up.bin", &tree.up);
    client.write("local words.txt", "sent with a space\n");
    client.write("up/u1.txt", "u1\n");
    client.write("up/u2.txt", "u2\n");
    client.write("up/u and 3.txt", "u3\n");
    fs::create_dir(client.path("down")).unwrap();
}

/// What the core test must have left on both sides. `listing` is what the client saw of the root.
fn core_done(client: &Client, server: &Server, tree: &Tree, listing: &str) {
    for name in ["hello.txt", "big.bin", "two words.txt", "many", "doomed"] {
        assert!(listing.contains(name), "{}: {name} is missing in its listing:\n{listing}", client.name);
    }
    assert!(client.read("big.bin") == tree.big, "{}: get big.bin", client.name);
    assert_eq!(client.read("two words.txt"), b"a name with a space\n", "{}", client.name);
    assert!(server.read("up.bin") == tree.up, "{}: put up.bin", client.name);
    assert_eq!(server.read("remote words.txt"), b"sent with a space\n", "{}", client.name);
    assert!(server.path("made").is_dir(), "{}: mkdir made", client.name);
    assert!(!server.has("not for long"), "{}: rmdir", client.name);
    assert!(!server.has("old.txt"), "{}: rename", client.name);
    assert_eq!(server.read("new name.txt"), b"to be renamed\n", "{}", client.name);
}

/// What `mget *`, `mput *` and `mdelete *` must have left on both sides.
fn globs_done(client: &Client, server: &Server) {
    assert_eq!(client.read("down/one.txt"), b"1\n", "{}: mget", client.name);
    assert_eq!(client.read("down/two.txt"), b"22\n", "{}: mget", client.name);
    assert_eq!(client.read("down/and three.txt"), b"333\n", "{}: mget", client.name);
    assert_eq!(server.names("incoming"), ["u and 3.txt", "u1.txt", "u2.txt"], "{}: mput", client.name);
    assert_eq!(server.read("incoming/u and 3.txt"), b"u3\n", "{}: mput", client.name);
    assert!(server.names("doomed").is_empty(), "{}: mdelete: {:?}", client.name, server.names("doomed"));
}

/// Whether the data connections were opened by the server (active) or by the client (passive).
fn data_mode_was(server: &Server, mode: &str) {
    let event = server.event("data_opened");
    assert_eq!(event["mode"], mode, "{event}");
}

/// A time that is not now, whole seconds: what the wire can carry.
fn some_time_ago() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_234_567_890)
}

/// Gives a file that time.
fn age(path: &Path) {
    File::options().append(true).open(path).unwrap().set_modified(some_time_ago()).unwrap();
}

/// Shows that a file has that time.
fn is_aged(path: &Path) {
    let modified = fs::metadata(path).unwrap_or_else(|err| panic!("{}: {err}", path.display())).modified().unwrap();
    let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(since.as_secs(), 1_234_567_890, "time of {}", path.display());
}

/// `ftp://user:password@host:port`.
fn url(address: SocketAddr) -> String {
    format!("ftp://{USER}:{PASSWORD}@{address}")
}
