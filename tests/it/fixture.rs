//! A server of a test's own: the real binary, a directory of its own, a port that the kernel picked.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take before its test fails.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// The program under test.
pub const LONGSHORE: &str = env!("CARGO_BIN_EXE_longshore");

/// Asks again and again, with a short pause, until there is an answer or the deadline has passed.
pub fn poll<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether this machine lacks IPv6, as many containers do. Tests of it are then left out, and the summary says so.
pub fn no_ipv6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_err()
}

/// Says what was left out, straight to the descriptor: the test harness shows it even though the test passes.
pub fn left_out(what: &str) {
    std::io::stderr().write_all(format!("\nnote: {what}\n").as_bytes()).unwrap();
}

/// Whether this user may mount disks and make networks for a server of a test's own. If not, the output says what was
/// left out, and `LONGSHORE_REQUIRE_NAMESPACES` turns that into a failure.
pub fn may_unshare() -> bool {
    let mut trial = Command::new("unshare");
    trial.args(["--mount", "--net", "mount", "-t", "tmpfs", "none", "/mnt"]).stderr(Stdio::null());
    let may = trial.status().is_ok_and(|status| status.success());
    assert!(may || std::env::var_os("LONGSHORE_REQUIRE_NAMESPACES").is_none(), "no namespace can be had here");
    if !may {
        left_out("this user may make no disks and networks; the tests of broken ones were left out (they need root)");
    }
    may
}

/// Bytes that repeat nowhere near and hold every value, line ends included; the same for the same seed.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// What a test wants of its server.
pub struct Builder {
    dir: TempDir,
    listen: Vec<String>,
    server: Vec<String>,
    storage: Vec<String>,
    transfer: Vec<String>,
    tls: Vec<String>,
    implicit: Vec<&'static str>,
    limits: Vec<String>,
    anonymous: &'static str,
    accounts: Vec<(String, String, Option<String>)>,
    account_lines: Vec<(String, String)>,
    accounts_text: String,
    accounts_section: Vec<String>,
    log_format: &'static str,
    under: Vec<String>,
    stdin: Stdio,
    root_in_namespace: bool,
    admin: bool,
    log: Vec<String>,
    sessions: &'static str,
    metrics: &'static str,
    page: &'static str,
}

impl Builder {
    /// Has an admin socket, for [`Server::ask`].
    pub fn admin(mut self) -> Self {
        self.admin = true;
        self
    }

    /// Listens on IPv6 as well, where this machine has it.
    pub fn ipv6(self) -> Self {
        if no_ipv6() { self } else { self.listen("[::1]:0") }
    }

    /// Listens on this address as well.
    pub fn listen(mut self, address: &str) -> Self {
        self.listen.push(address.to_owned());
        self
    }

    /// Listens on this address only.
    pub fn listen_only(mut self, address: &str) -> Self {
        self.listen = vec![address.to_owned()];
        self
    }

    /// A line of the `[server]` section.
    pub fn server(mut self, line: &str) -> Self {
        self.server.push(line.to_owned());
        self
    }

    /// A line of the `[storage]` section.
    pub fn storage(mut self, line: &str) -> Self {
        self.storage.push(line.to_owned());
        self
    }

    /// A line of the `[transfer]` section.
    pub fn transfer(mut self, line: &str) -> Self {
        self.transfer.push(line.to_owned());
        self
    }

    /// Has a certificate, made by `longshore tls self-signed`; and these lines of the `[tls]` section.
    pub fn tls(mut self, lines: &[&str]) -> Self {
        let (certificate, key) = (self.dir.path().join("certificate.pem"), self.dir.path().join("key.pem"));
        self_signed(&certificate, &key);
        self.tls.extend([format!("certificate = {certificate:?}"), format!("key = {key:?}")]);
        self.tls.extend(lines.iter().map(|line| (*line).to_owned()));
        self
    }

    /// Serves implicit FTPS as well.
    pub fn implicit(mut self) -> Self {
        self.implicit.push("127.0.0.1:0");
        self.tls.push(format!("implicit = {:?}", self.implicit));
        self
    }

    /// A line of the `[limits]` section.
    pub fn limits(mut self, line: &str) -> Self {
        self.limits.push(line.to_owned());
        self
    }

    /// A line of the `[log]` section.
    pub fn log(mut self, line: &str) -> Self {
        self.log.push(line.to_owned());
        self
    }

    /// The session log's file, beside the directory that is served or below `root`.
    pub fn session_log(mut self, name: &'static str) -> Self {
        self.sessions = name;
        self
    }

    /// Serves metrics on a port of its own; see [`Server::metrics`].
    pub fn metrics(mut self) -> Self {
        self.metrics = "[metrics]\nlisten = [\"127.0.0.1:0\"]\n";
        self
    }

    /// Serves the live page on a port of its own; see [`Server::page`].
    pub fn page(mut self) -> Self {
        self.page = "[page]\nlisten = [\"127.0.0.1:0\"]\n";
        self
    }

    /// What anonymous may do: `off`, `read-only` or `read-write`.
    pub fn anonymous(mut self, rights: &'static str) -> Self {
        self.anonymous = rights;
        self
    }

    /// An account, added by `longshore user add`.
    pub fn account(mut self, name: &str, password: &str) -> Self {
        self.accounts.push((name.to_owned(), password.to_owned(), None));
        self
    }

    /// An account that sees only a directory below the root.
    pub fn account_at(mut self, name: &str, password: &str, home: &str) -> Self {
        self.accounts.push((name.to_owned(), password.to_owned(), Some(home.to_owned())));
        self
    }

    /// An account with more lines in the accounts file.
    pub fn account_with(mut self, name: &str, password: &str, lines: &str) -> Self {
        self.account_lines.push((name.to_owned(), lines.to_owned()));
        self.account(name, password)
    }

    /// More text at the end of the accounts file.
    pub fn accounts_text(mut self, text: &str) -> Self {
        self.accounts_text.push_str(text);
        self
    }

    /// A line of the `[accounts]` section.
    pub fn accounts(mut self, line: &str) -> Self {
        self.accounts_section.push(line.to_owned());
        self
    }

    /// A path beside the directory that will be served.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The session log in lines for people; the server's `events` cannot be read then.
    pub fn text_log(mut self) -> Self {
        self.log_format = "text";
        self
    }

    /// Has these variables in its environment.
    pub fn environment(mut self, variables: &[&str]) -> Self {
        self.under = [&["env"], variables].concat().into_iter().map(str::to_owned).collect();
        self
    }

    /// Lets the server have this many descriptors.
    pub fn descriptors(mut self, count: u32) -> Self {
        self.under = ["sh", "-c", "ulimit -n \"$0\" && exec \"$@\"", &count.to_string()].map(str::to_owned).into();
        self
    }

    /// Serves an empty disk of this size, which is mounted for the server alone; `None` where this user may not mount.
    pub fn disk_of(mut self, size: &str) -> Option<Self> {
        const MOUNT: &str = "mount -t tmpfs -o \"size=$0\" none \"$1\" && shift && exec \"$@\"";
        let root = self.dir.path().join("root").to_str().unwrap().to_owned();
        self.under = ["unshare", "--mount", "sh", "-c", MOUNT, size, &root].map(str::to_owned).into();
        self.root_in_namespace = true;
        may_unshare().then_some(self)
    }

    /// The same with the disk of an open `/dev/fuse` at `place` below the root, whose directory is made.
    pub fn fuse(mut self, place: &str, device: OwnedFd) -> Option<Self> {
        const MOUNT: &str = "mount -i -t fuse -o fd=0,rootmode=40000,user_id=0,group_id=0,allow_other none \"$0\" && \
                             exec \"$@\" </dev/null";
        let place = self.dir.path().join("root").join(place);
        fs::create_dir_all(&place).unwrap();
        self.under = ["unshare", "--mount", "sh", "-c", MOUNT, place.to_str().unwrap()].map(str::to_owned).into();
        self.stdin = device.into();
        self.root_in_namespace = true;
        may_unshare().then_some(self)
    }

    /// Has a network of its own, with nothing in it but itself; `None` where this user may not make one.
    pub fn own_network(mut self) -> Option<Self> {
        self.under =
            ["unshare", "--net", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""].map(str::to_owned).into();
        self.listen = vec!["0.0.0.0:0".to_owned()];
        may_unshare().then_some(self)
    }

    /// A file below the root, there before the server starts.
    pub fn file(self, name: &str, contents: impl AsRef<[u8]>) -> Self {
        let path = self.dir.path().join("root").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
        self
    }

    /// Starts it and waits until all its sockets listen.
    pub fn start(self) -> Server {
        let dir = self.dir.path();
        let accounts = match self.accounts.len() {
            0 => String::new(),
            _ => format!("file = {:?}", dir.join("accounts.toml")),
        };
        let text = format!(
            "[server]\nlisten = {listen:?}\nadmin_socket = {admin:?}\n{server}\n\n\
             [storage]\nroot = {root:?}\n{storage}\n\n\
             [accounts]\nanonymous = {anonymous:?}\n{accounts}\n{accounts_section}\n\n\
             [transfer]\n{transfer}\n\n\
             [tls]\n{tls}\n\n\
             [limits]\n{limits}\n\n\
             [log]\nformat = {format:?}\nlevel = \"debug\"\nsessions = {sessions:?}\n{log}\n\n{metrics}\n{page}",
            listen = self.listen,
            admin = if self.admin { dir.join("admin.sock") } else { PathBuf::new() },
            server = self.server.join("\n"),
            root = dir.join("root"),
            storage = self.storage.join("\n"),
            anonymous = self.anonymous,
            accounts_section = self.accounts_section.join("\n"),
            transfer = self.transfer.join("\n"),
            tls = self.tls.join("\n"),
            limits = self.limits.join("\n"),
            format = self.log_format,
            sessions = dir.join(self.sessions),
            log = self.log.join("\n"),
            metrics = self.metrics,
            page = self.page,
        );
        let config = dir.join("longshore.toml");
        fs::write(&config, text).unwrap();
        for (name, password, home) in &self.accounts {
            add_account(&config, name, password, home.as_deref());
        }
        for (name, lines) in &self.account_lines {
            let path = dir.join("accounts.toml");
            let (text, named) = (fs::read_to_string(&path).unwrap(), format!("name = {name:?}\n"));
            assert!(text.contains(&named), "{text}");
            fs::write(&path, text.replace(&named, &format!("{named}{lines}\n"))).unwrap();
        }
        if !self.accounts_text.is_empty() {
            let path = dir.join("accounts.toml");
            fs::write(&path, fs::read_to_string(&path).unwrap() + "\n" + &self.accounts_text).unwrap();
        }
        // Off this terminal, if there is one: on it SIGHUP would end the server.
        let words = self.under.iter().map(String::as_str).chain([LONGSHORE, "--config"]);
        let mut process = Process::spawn_with(Command::new("setsid").args(words).arg(&config), self.stdin);
        let addresses = process.listening(self.listen.len() + self.implicit.len());
        let namespace = self.root_in_namespace.then(|| PathBuf::from(format!("/proc/{}/root", process.child.id())));
        Server { dir: self.dir, process, addresses, namespace }
    }
}

/// A copy of the program, for users who may not look into the directory where it was built. `cp` makes it: what this
/// process has open to write, a child of another test may hold a moment longer, and it could not be run.
pub fn copy_of_the_program(dir: &Path) -> PathBuf {
    let program = dir.join("longshore");
    assert!(Command::new("cp").arg(LONGSHORE).arg(&program).status().unwrap().success());
    program
}

/// Makes a certificate for this machine's own names, as a user would.
pub fn self_signed(certificate: &Path, key: &Path) {
    let mut command = Command::new(LONGSHORE);
    command.args(["tls", "self-signed", "--name", "localhost", "127.0.0.1", "::1", "--certificate"]).arg(certificate);
    let output = command.arg("--key").arg(key).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn add_account(config: &Path, name: &str, password: &str, home: Option<&str>) {
    let mut command = Command::new(LONGSHORE);
    command.args(["user", "add", name, "--config"]).arg(config).arg("--password-stdin");
    if let Some(home) = home {
        command.args(["--home", home]);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
    assert!(child.wait().unwrap().success(), "user add {name} failed");
}

/// A running server.
pub struct Server {
    process: Process,
    addresses: Vec<SocketAddr>,
    dir: TempDir,
    /// Where this process sees what the server has mounted.
    namespace: Option<PathBuf>,
}

impl Server {
    /// One on 127.0.0.1 where anonymous may do everything.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// The same, not started yet.
    pub fn builder() -> Builder {
        let dir = tempfile::Builder::new().prefix("longshore-it-").tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        Builder {
            dir,
            listen: vec!["127.0.0.1:0".to_owned()],
            server: Vec::new(),
            storage: Vec::new(),
            transfer: Vec::new(),
            tls: Vec::new(),
            implicit: Vec::new(),
            limits: Vec::new(),
            anonymous: "read-write",
            accounts: Vec::new(),
            account_lines: Vec::new(),
            accounts_text: String::new(),
            accounts_section: Vec::new(),
            log_format: "json",
            under: Vec::new(),
            stdin: Stdio::null(),
            root_in_namespace: false,
            admin: false,
            log: Vec::new(),
            sessions: "sessions.json",
            metrics: "",
            page: "",
        }
    }

    /// Where its metrics are served.
    pub fn metrics(&self) -> SocketAddr {
        self.http("metrics at http://")
    }

    /// Where its live page is served.
    pub fn page(&self) -> SocketAddr {
        self.http("page at http://")
    }

    fn http(&self, before: &str) -> SocketAddr {
        let found = poll(|| self.output().split_once(before)?.1.split_once('/')?.0.parse().ok());
        found.unwrap_or_else(|| panic!("the log has no {before}"))
    }

    /// Where it listens on IPv4.
    pub fn address(&self) -> SocketAddr {
        *self.addresses.iter().find(|address| address.is_ipv4()).unwrap()
    }

    /// Where it listens on IPv6.
    pub fn address_v6(&self) -> SocketAddr {
        *self.addresses.iter().find(|address| address.is_ipv6()).unwrap()
    }

    /// Where it listens for implicit FTPS.
    pub fn implicit(&self) -> SocketAddr {
        *self.addresses.last().unwrap()
    }

    /// A path below the directory that is served.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        let root = self.dir.path().join("root");
        match &self.namespace {
            None => root.join(name),
            Some(namespace) => namespace.join(root.strip_prefix("/").unwrap()).join(name),
        }
    }

    /// A path beside it, which no client may reach.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts a file below the root, its directories too.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    /// A file that looks large and takes no room.
    pub fn write_sparse(&self, name: &str, len: u64) {
        File::create(self.path(name)).unwrap().set_len(len).unwrap();
    }

    /// The bytes of a file below the root.
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|err| panic!("{name} on the server: {err}"))
    }

    /// Whether there is something of this name.
    pub fn has(&self, name: &str) -> bool {
        self.path(name).symlink_metadata().is_ok()
    }

    /// The names in a directory below the root, hidden ones too.
    pub fn names(&self, dir: &str) -> Vec<String> {
        names_in(&self.path(dir))
    }

    /// The whole session log as text.
    pub fn log_text(&self) -> String {
        fs::read_to_string(self.beside("sessions.json")).unwrap_or_default()
    }

    /// Every whole line of the session log.
    pub fn events(&self) -> Vec<Value> {
        let text = self.log_text();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|err| panic!("not JSON ({err}): {line}")))
            .collect()
    }

    /// Every event of the sessions so far, once all of them have ended. The log is written a little behind the replies, and
    /// a client ends before its session does: a connection made here shows how far the log has come.
    pub fn events_of_ended(&self) -> Vec<Value> {
        let own = TcpStream::connect(self.address()).unwrap();
        let port = own.local_addr().unwrap().port();
        let session = self.event_where("session_opened", |event| event["client_port"] == port)["session"].clone();
        let of_others = || self.events().into_iter().filter(|event| event["session"] != session).collect::<Vec<_>>();
        let ended = poll(|| {
            let events = of_others();
            let count = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
            (count("session_opened") == count("session_closed")).then_some(events)
        });
        ended.expect("all sessions end")
    }

    /// Waits for the first event of this kind for which `wanted` holds.
    pub fn event_where(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        poll(|| self.events().into_iter().find(|e| e["event"] == kind && wanted(e)))
            .unwrap_or_else(|| panic!("no such {kind} in the session log"))
    }

    /// Waits for the first event of this kind.
    pub fn event(&self, kind: &str) -> Value {
        self.event_where(kind, |_| true)
    }

    /// Everything that it wrote to standard output and standard error so far.
    pub fn output(&self) -> String {
        format!("{}{}", text(&self.process.stdout), text(&self.process.stderr))
    }

    /// Runs a command such as `sessions` at its admin socket.
    pub fn ask(&self, words: &[&str]) -> Output {
        Command::new(LONGSHORE).args(words).arg("--socket").arg(self.beside("admin.sock")).output().unwrap()
    }

    /// What that command says in JSON.
    pub fn ask_json(&self, words: &[&str]) -> Value {
        let output = self.ask(&[words, &["--json"]].concat());
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for it to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// Kills it, and starts it anew in the same directory.
    pub fn kill_and_start_again(&mut self) {
        self.kill();
        self.start_again();
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process.signal(Signal::KILL);
        self.process.wait();
    }

    /// Starts it anew in the same directory, when it has ended.
    pub fn start_again(&mut self) {
        self.process = Process::spawn(Command::new(LONGSHORE).arg("--config").arg(self.beside("longshore.toml")));
        self.addresses = self.process.listening(self.addresses.len());
    }

    /// The same, and kills it after this time, whether it listens by then or not.
    pub fn start_and_kill(&mut self, after: Duration) {
        self.process = Process::spawn(Command::new(LONGSHORE).arg("--config").arg(self.beside("longshore.toml")));
        thread::sleep(after);
        self.kill();
    }

    /// Its process's number.
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// What its descriptors lead to.
    pub fn open_files(&self) -> Vec<PathBuf> {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok()).collect()
    }

    /// How many files and sockets it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.process.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            let config = fs::read_to_string(self.beside("longshore.toml")).unwrap_or_default();
            eprintln!("--- config\n{config}--- session log\n{}", tail(&self.log_text()));
        }
    }
}

/// The names in a directory, in order.
pub fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap_or_else(|err| panic!("{}: {err}", dir.display()))
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A child whose output is kept and which never outlives its test.
pub struct Process {
    child: Child,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    readers: Vec<thread::JoinHandle<()>>,
}

impl Process {
    /// Starts it with its output captured and no input.
    pub fn spawn(command: &mut Command) -> Self {
        Self::spawn_with(command, Stdio::null())
    }

    /// The same with this as its input.
    fn spawn_with(command: &mut Command, stdin: Stdio) -> Self {
        let mut child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = Arc::default();
        let stderr = Arc::default();
        let readers = vec![
            keep(child.stdout.take().unwrap(), Arc::clone(&stdout)),
            keep(child.stderr.take().unwrap(), Arc::clone(&stderr)),
        ];
        Self { child, stdout, stderr, readers }
    }

    /// The same, but standard output goes elsewhere.
    pub fn spawn_into(command: &mut Command, stdout: impl Into<Stdio>) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = Arc::default();
        let readers = vec![keep(child.stderr.take().unwrap(), Arc::clone(&stderr))];
        Self { child, stdout: Arc::default(), stderr, readers }
    }

    /// Waits for `count` lines that say where it listens; they are on standard error when JSON has standard output.
    pub fn listening(&mut self, count: usize) -> Vec<SocketAddr> {
        let found = poll(|| {
            let output = text(&self.stdout) + &text(&self.stderr);
            let addresses: Vec<SocketAddr> = output
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'))
                .filter_map(|line| line.split_once("listening on ")?.1.split_whitespace().next()?.parse().ok())
                .collect();
            let done = addresses.len() >= count || self.child.try_wait().unwrap().is_some();
            done.then_some(addresses)
        });
        let addresses = found.expect("the server says where it listens");
        assert_eq!(addresses.len(), count, "the server ended or listens elsewhere");
        addresses
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for it to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let status = poll(|| self.child.try_wait().unwrap()).expect("the process ends by itself");
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        status
    }

    /// How many sockets it has.
    pub fn sockets(&self) -> usize {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let targets = descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    }

    /// What it wrote to standard output so far.
    pub fn stdout(&self) -> String {
        text(&self.stdout)
    }

    /// What it wrote to standard error so far.
    pub fn stderr(&self) -> String {
        text(&self.stderr)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let status = self.child.wait();
        if thread::panicking() {
            let (stdout, stderr) = (text(&self.stdout), text(&self.stderr));
            eprintln!("--- ended: {status:?}\n--- stdout\n{}--- stderr\n{}---", tail(&stdout), tail(&stderr));
        }
    }
}

/// The last few kilobytes: a failing test's report stays readable.
fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(16 * 1024);
    let start = (start..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    &text[start..]
}

fn text(bytes: &Mutex<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.lock().unwrap()).into_owned()
}

fn keep(pipe: impl Read + Send + 'static, into: Arc<Mutex<Vec<u8>>>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while matches!(pipe.read_until(b'\n', &mut line), Ok(1..)) {
            into.lock().unwrap().append(&mut line);
        }
    })
}
