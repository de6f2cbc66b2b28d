//! A student with an interactive client does the tasks of the shipped lesson, rightly or nearly so.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use super::Class;
use super::seat::{Program, Seat};
use crate::fixture::poll;

/// Somebody with a card.
pub struct Student<'a> {
    pub class: &'a Class,
    pub program: Program,
    pub user: String,
    pub password: String,
    /// Whether everything is done as it should be, or nearly so.
    pub is_right: bool,
    dir: TempDir,
    transcripts: AtomicUsize,
    /// The client's ports of the sessions so far.
    ports: Vec<u16>,
    /// What will be answered.
    answers: Vec<(&'static str, String)>,
}

impl<'a> Student<'a> {
    pub fn new(class: &'a Class, program: Program, (user, password): (String, String), is_right: bool) -> Self {
        let dir = tempfile::Builder::new().prefix("longshore-student-").tempdir().unwrap();
        let (transcripts, ports, answers) = (AtomicUsize::new(0), Vec::new(), Vec::new());
        Self { class, program, user, password, is_right, dir, transcripts, ports, answers }
    }

    /// A path on the student's computer.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The next transcript.
    pub fn new_transcript(&self) -> PathBuf {
        self.path(&format!(".transcript-{}", self.transcripts.fetch_add(1, Ordering::Relaxed)))
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).unwrap();
    }

    /// The right word or the one that is nearly right.
    fn choose<T>(&self, right: T, nearly: T) -> T {
        if self.is_right { right } else { nearly }
    }

    fn answers(&mut self, task: &'static str, right: impl ToString, nearly: impl ToString) {
        let answer = self.choose(right.to_string(), nearly.to_string());
        self.answers.push((task, answer));
    }

    /// Logs in when the last session is over, and notes the own port as netstat shows it.
    fn sit(&mut self) -> Seat {
        self.class.wait_until_left(&self.user);
        self.sit_at(self.class.address)
    }

    fn sit_at(&mut self, address: SocketAddr) -> Seat {
        let seat = Seat::open(self, address, &self.password);
        self.ports.push(seat.port());
        seat
    }

    /// Has another password than the one on the card.
    pub fn mistype(self) -> BTreeSet<&'static str> {
        let seat = Seat::open(&self, self.class.address, &self.password.to_uppercase());
        seat.bye();
        BTreeSet::new()
    }

    /// Plays, and returns the tasks that should have been done.
    pub fn play(mut self) -> BTreeSet<&'static str> {
        self.look_around();
        self.use_active_mode();
        self.watch_a_slow_download();
        self.fetch();
        self.send();
        self.be_refused();
        self.count_data_connections();
        self.sit_twice();
        self.use_ipv6();
        self.answer();
        let mut done: BTreeSet<&'static str> = match self.is_right {
            true => self.answers.iter().map(|(task, _)| *task).chain(Self::without_answer()).collect(),
            false => BTreeSet::new(),
        };
        done.insert("A1");
        done
    }

    fn without_answer() -> impl Iterator<Item = &'static str> {
        ["C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C11"].into_iter()
    }

    /// A listing, and the replies that name ports. B1 to B3, and D2.
    fn look_around(&mut self) {
        let mut seat = self.sit();
        seat.list(".");
        for command in ["PASV", "EPSV", "FEAT"] {
            seat.types(&format!("quote {command}"));
        }
        let said = seat.bye();
        let server = self.class.address.port();
        // ncftp does not show what it sends.
        if self.program != Program::Ncftp {
            let listed = passive_port(&said).unwrap_or_else(|| panic!("no 227 and no 229 in {said}"));
            self.answers("B1", listed, server);
        }
        let (high, low) = numbers_of_227(&said);
        self.answers("B2", format!("{high}*256+{low}={}", high * 256 + low), high + low);
        self.answers("B3", format!("{} since the address is known", port_of_229(&said)), server);
        let word = said.split("CAPTURE ").nth(1).and_then(|rest| rest.split_whitespace().next());
        let word = word.unwrap_or_else(|| panic!("no capture word in {said}"));
        self.answers("D2", word, format!("{word}1"));
    }

    /// B4 and B5.
    fn use_active_mode(&mut self) {
        let mut seat = self.sit();
        seat.active();
        seat.list(".");
        let said = seat.bye();
        self.answers("B5", "server client", "client server");
        if self.program != Program::Ncftp {
            let port = port_of_port(&said);
            self.answers("B4", port, self.class.stranger(port));
        }
    }

    /// A8, B6, and the first half of C11.
    fn watch_a_slow_download(&mut self) {
        let mut seat = self.sit();
        let control = seat.port();
        seat.active();
        seat.get("/quest/slow", "slow.bin");
        let connections = seat.wait_for_connections(2);
        let data = connections.iter().find(|(own, _)| own.port() != control).unwrap();
        self.answers("A8", connections.len(), connections.len() + 1);
        self.answers("B6", data.1.port(), self.class.address.port());
        let begun = poll(|| fs::metadata(self.path("slow.bin")).ok().filter(|found| found.len() > 0));
        assert!(begun.is_some(), "nothing came of slow.bin");
        seat.kill();
    }

    /// C1, C3 to C5, C11, C13, and what the others need.
    fn fetch(&mut self) {
        let mut seat = self.sit();
        seat.types("binary");
        if self.is_right {
            // Nobody waits three minutes here: what it would have had by then are zeros.
            let file = fs::File::options().write(true).open(self.path("slow.bin")).unwrap();
            file.set_len(3_598_000).unwrap();
            seat.resume("/quest/slow", "slow.bin");
        }
        match self.is_right {
            true => seat.get("/materials", "readme.txt"),
            false => seat.list("/materials"),
        }
        seat.types("cd /quest/five");
        seat.types(self.choose("mget *", "mget [a-d]*"));
        seat.types("cd /quest/mixed");
        seat.types(self.choose("mget *.txt", "mget *"));
        seat.types("cd /quest/choose");
        if self.program.is_classic() {
            seat.types("prompt");
            seat.types("mget *");
            for name in ["a.txt", "b.txt", "c.log", "d.txt", "e.txt"] {
                seat.types(if name == "c.log" && self.is_right { "n" } else { "y" });
            }
            seat.types("prompt");
        } else {
            seat.list(".");
            seat.types(self.choose("mget a.* b.* d.* e.*", "mget *"));
        }
        seat.get("/quest/pack", "pack.zip");
        seat.get("/quest/picture", "logo.png");
        seat.get("/quest/letter", "letter.txt");
        let said = seat.bye();
        for name in ["pack.zip", "logo.png", "letter.txt"] {
            assert!(self.path(name).exists(), "{name} did not come: {said}");
        }
        let letter = fs::read_to_string(self.path("letter.txt")).unwrap();
        let word = letter.lines().nth(1).unwrap().rsplit(' ').next().unwrap().to_owned();
        self.answers("C13", &word, format!("{word}1"));
    }

    /// A9, C2, C6 to C10, D3.
    fn send(&mut self) {
        fs::create_dir(self.path("pack")).unwrap();
        let mut unpack = Command::new("python3");
        unpack.args(["-m", "zipfile", "-e", "pack.zip", "pack"]).current_dir(self.path("."));
        assert!(unpack.status().unwrap().success());
        if !self.is_right {
            self.write("pack/west.txt", "changed");
        }
        self.write("hello.txt", self.choose("hello", ""));
        self.write("report.txt", "report");
        let mut seat = self.sit();
        seat.types("cd /");
        seat.types("put hello.txt");
        seat.types("mkdir /pack");
        seat.types("cd /pack");
        seat.types("lcd pack");
        seat.types("mput *.txt");
        seat.types("lcd ..");
        seat.types("cd /quest/clean");
        seat.delete(self.choose("*.tmp", "*"));
        seat.types("mkdir /reports");
        seat.types("cd /reports");
        if self.is_right {
            seat.types(if self.program.is_classic() { "pwd" } else { "quote PWD" });
        }
        seat.types("cd /");
        seat.rename("hello.txt", "done.txt");
        seat.types("binary");
        seat.types("put logo.png");
        seat.types("cd /handin");
        seat.types("put report.txt");
        seat.list("/handin");
        // ncftp does not ask for what it has already, as size and time say.
        seat.types(if self.program == Program::Ncftp { "get -f report.txt" } else { "get report.txt" });
        seat.bye();
        self.answers("A9", "server client", "client server");
        self.answers("C9", "binary", "ascii");
        self.answers("D3", 550, 553);
        if self.program != Program::Lftp {
            let mut seat = self.sit();
            seat.types("ascii");
            seat.types("put logo.png");
            seat.bye();
            let read = |name: &str| fs::read(self.class.home(&self.user).join(name)).unwrap();
            let is_same = read("logo.png") == read("quest/picture/logo.png");
            let [same, different] = ["same", "different"];
            let (right, wrong) = if is_same { (same, different) } else { (different, same) };
            self.answers("C10", right, wrong);
        }
    }

    /// C12.
    fn be_refused(&mut self) {
        self.write("more.txt", "more");
        let mut seat = Seat::open(self, self.class.address, "wrong");
        seat.types("pwd");
        seat.bye();
        let mut seat = self.sit();
        seat.get("/", "nothing.txt");
        seat.types("cd /materials");
        seat.types("put more.txt");
        seat.bye();
        self.answers("C12", "530 550 550", "530 550 553");
    }

    /// B9.
    fn count_data_connections(&mut self) {
        let mut seat = self.sit();
        seat.types("cd /quest/count");
        seat.list(".");
        seat.types("get one.txt");
        seat.types("get two.txt");
        seat.bye();
        self.answers("B9", 3, 2);
    }

    /// A5, A6 and A7.
    fn sit_twice(&mut self) {
        let first = self.sit();
        self.class.wait_for_login(&self.user, first.port());
        if self.is_right {
            let second = self.sit_at(self.class.address);
            self.class.wait_for_login(&self.user, second.port());
            second.bye();
        }
        let own = first.port();
        first.bye();
        self.answers("A7", "client port", "client port");
        let five = &self.ports[..5];
        let text = |ports: &mut dyn Iterator<Item = &u16>| ports.map(u16::to_string).collect::<Vec<_>>().join(" ");
        let (right, nearly) = (text(&mut five.iter()), text(&mut five.iter().rev()));
        self.answers("A6", right, nearly);
        self.class.tell(&self.user, own);
        let other = self.class.neighbour_of(&self.user);
        let [own_class, other_class] = [own, other].map(class_of);
        self.answers(
            "A5",
            format!("{own} {own_class}, {other} {other_class}, both are right"),
            format!("{own} {own_class}, {own} {own_class}, both are right"),
        );
    }

    /// E1, where there is IPv6.
    fn use_ipv6(&mut self) {
        let Some(address) = self.class.ipv6 else { return };
        if !self.program.is_classic() {
            return;
        }
        if self.is_right {
            let mut seat = self.sit_at(address);
            seat.list(".");
            seat.bye();
        }
        self.answers("E1", "EPRT and EPSV", "EPRT EPSV");
    }

    /// The rest is known by now, and all of it is answered.
    fn answer(&mut self) {
        let mut seat = self.sit();
        let (own, server) = (seat.port(), self.class.address.port());
        let other = if class_of(server) == "user" { "dynamic" } else { "user" };
        self.answers("A2", format!("{server} {}", class_of(server)), format!("{server} {other}"));
        self.answers("A3", own, self.class.stranger(own));
        self.answers("A4", class_of(own), "system");
        self.answers("A10", server, server - 1);
        self.answers("D1", "PASS", "USER");
        self.answers("F1", format!("{own} same"), format!("{own} different"));
        self.answers("F2", "4*256+89=1113", 89 * 256 + 4);
        for (task, answer) in &self.answers {
            seat.types(&format!("quote SITE ANSWER {task} {answer}"));
        }
        let said = seat.bye();
        let unexpected = self.choose("TRY-AGAIN", "CORRECT");
        let found: Vec<&str> = said.lines().filter(|line| line.contains(unexpected)).collect();
        assert!(found.is_empty(), "{} with {}: {found:?}: {said}", self.user, self.program.name());
    }
}

fn class_of(port: u16) -> &'static str {
    match port {
        0..1024 => "system",
        1024..49152 => "user",
        _ => "dynamic",
    }
}

/// What a 227 says; ncftp shows it without its code.
const PASSIVE: &str = "Entering Passive Mode (";

/// The port in the first 227 or 229.
fn passive_port(said: &str) -> Option<u16> {
    let line = said.lines().find(|line| line.contains(PASSIVE) || line.contains("(|||"))?;
    Some(if line.contains("(|||") { port_of_229(line) } else { sum(numbers_of_227(line)) })
}

fn sum((high, low): (u32, u32)) -> u16 {
    u16::try_from(high * 256 + low).unwrap()
}

/// p1 and p2 of the last 227.
fn numbers_of_227(said: &str) -> (u32, u32) {
    let line = said.lines().rev().find(|line| line.contains(PASSIVE)).unwrap_or_else(|| panic!("no 227 in {said}"));
    let inside = line.split('(').nth(1).unwrap().split(')').next().unwrap();
    let numbers: Vec<u32> = inside.split(',').map(|number| number.parse().unwrap()).collect();
    (numbers[4], numbers[5])
}

/// The port of the last 229.
fn port_of_229(said: &str) -> u16 {
    let rest = said.rsplit("(|||").next().unwrap_or_else(|| panic!("no 229 in {said}"));
    rest.split('|').next().unwrap().parse().unwrap()
}

/// The port in the last PORT or EPRT that the client has sent.
fn port_of_port(said: &str) -> u16 {
    let sent = |line: &&str| line.contains("> PORT ") || line.contains("> EPRT ");
    let line = said.lines().rev().find(sent).unwrap_or_else(|| panic!("no PORT in {said}"));
    let argument = line.rsplit(' ').next().unwrap();
    if let Some(rest) = argument.strip_prefix('|') {
        return rest.split('|').nth(2).unwrap().parse().unwrap();
    }
    let numbers: Vec<u32> = argument.split(',').map(|number| number.trim().parse().unwrap()).collect();
    sum((numbers[4], numbers[5]))
}
