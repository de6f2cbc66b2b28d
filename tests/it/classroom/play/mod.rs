//! A class of ten with real clients plays the shipped lesson against `longshore classroom demo`, and every mark is looked
//! at: one class does each task as it should be done, and the other one nearly so.

mod other;
mod seat;
mod student;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Condvar, Mutex};
use std::thread;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::fixture::{DEADLINE, LONGSHORE, Process, left_out, no_ipv6, poll};
use seat::Program;
use student::Student;

/// The clients of the class beside those that are no programs to type into.
const PROGRAMS: [Program; 7] = [
    Program::Tnftp,
    Program::Inetutils,
    Program::FtpSsl,
    Program::Lftp,
    Program::Ncftp,
    Program::Tnftp,
    Program::Inetutils,
];

/// The demo, while it runs.
pub struct Class {
    process: Process,
    dir: TempDir,
    pub address: SocketAddr,
    pub ipv6: Option<SocketAddr>,
    /// A control port of each student who has told it.
    told: Mutex<HashMap<String, u16>>,
    news: Condvar,
}

impl Class {
    fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("longshore-play-").tempdir().unwrap();
        let mut command = Command::new("setsid");
        command
            .args([LONGSHORE, "classroom", "demo", "--page", "127.0.0.1:0"])
            .arg(dir.path().join("class"))
            .stdin(Stdio::null());
        let mut process = Process::spawn(&mut command);
        let families = 1 + usize::from(TcpListener::bind("[::]:0").is_ok());
        let port = process.listening(families)[0].port();
        let ipv6 = (!no_ipv6()).then(|| SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port)));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self { process, dir, address, ipv6, told: Mutex::default(), news: Condvar::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("class").join(name)
    }

    pub fn home(&self, user: &str) -> PathBuf {
        self.path("root").join(user)
    }

    /// User and password of each card.
    fn cards(&self) -> Vec<(String, String)> {
        let mut reader = csv::Reader::from_path(self.path("credentials.csv")).unwrap();
        reader.records().map(|row| row.unwrap()).map(|row| (row[0].to_owned(), row[1].to_owned())).collect()
    }

    /// Waits until this control connection is logged in, as the session log has it.
    #[track_caller]
    pub fn wait_for_login(&self, user: &str, port: u16) {
        let (login, client) = (format!("login of {user}: ok"), format!(":{port} "));
        let log = || fs::read_to_string(self.path("sessions.log")).unwrap_or_default() + " ";
        let is_there = || log().lines().any(|line| line.contains(&login) && format!("{line} ").contains(&client));
        assert!(poll(|| is_there().then_some(())).is_some(), "{user} at {port} is not logged in: {}", log());
    }

    /// Waits until all sessions of a student are over for the server, too: it may see an end later than the next login.
    #[track_caller]
    pub fn wait_until_left(&self, user: &str) {
        let login = format!("login of {user}: ok");
        let log = || fs::read_to_string(self.path("sessions.log")).unwrap_or_default();
        let has_left = || {
            let log = log();
            let number = |line: &str| line.split(' ').nth(2).unwrap_or_default().to_owned();
            let closed: BTreeSet<String> = log.lines().filter(|line| line.contains(" closed: ")).map(number).collect();
            log.lines().filter(|line| line.contains(&login)).all(|line| closed.contains(&number(line)))
        };
        assert!(poll(|| has_left().then_some(())).is_some(), "{user} is still there: {}", log());
    }

    /// Says a control port to the others.
    pub fn tell(&self, user: &str, port: u16) {
        self.told.lock().unwrap().insert(user.to_owned(), port);
        self.news.notify_all();
    }

    /// A control port that somebody else has told.
    #[track_caller]
    pub fn neighbour_of(&self, user: &str) -> u16 {
        let others = |told: &HashMap<String, u16>| told.iter().find(|(other, _)| *other != user).map(|(_, port)| *port);
        let told = self.told.lock().unwrap();
        let (told, _) = self.news.wait_timeout_while(told, DEADLINE, |told| others(told).is_none()).unwrap();
        others(&told).expect("nobody has told a port")
    }

    /// A port that was nobody's so far.
    pub fn stranger(&self, port: u16) -> u16 {
        let log = fs::read_to_string(self.path("sessions.log")).unwrap();
        (1025..port).rev().find(|port| !log.contains(&format!(":{port}"))).unwrap()
    }

    /// The tasks that each student has done, as they are exported. They have all points, and all others have none.
    fn done(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut export = Command::new(LONGSHORE);
        export.args(["classroom", "export"]).arg(self.path("")).args(["--format", "long"]);
        let output = export.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let mut reader = csv::Reader::from_reader(&output.stdout[..]);
        let head = reader.headers().unwrap().clone();
        let at = |name: &str| head.iter().position(|it| it == name).unwrap();
        let [alias, task, status, score, most] = ["alias", "task", "status", "score", "max_score"].map(at);
        let mut done: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in reader.records() {
            let row = row.unwrap();
            let of_student = done.entry(row[alias].to_owned()).or_default();
            if &row[status] == "done" {
                assert_eq!(row[score], row[most], "{row:?}");
                of_student.insert(row[task].to_owned());
            } else {
                assert_eq!(&row[score], "0", "{row:?}");
            }
        }
        done
    }
}

fn play(is_right: bool) {
    let names = PROGRAMS.map(Program::name).into_iter().chain(["curl", "python3", "ss"]);
    let missing: BTreeSet<&str> = names
        .filter(|name| Command::new("which").arg(name).stdout(Stdio::null()).status().is_ok_and(|it| !it.success()))
        .collect();
    if !missing.is_empty() {
        return left_out(&format!("a class was not played, since there is no {missing:?}"));
    }
    let mut class = Class::start();
    let mut cards = class.cards().into_iter();
    assert_eq!(cards.len(), 10);
    let expected: BTreeMap<String, BTreeSet<String>> = thread::scope(|scope| {
        let class = &class;
        let mut players = Vec::new();
        for (place, program) in PROGRAMS.into_iter().enumerate() {
            let card = cards.next().unwrap();
            let user = card.0.clone();
            let student = Student::new(class, program, card, is_right);
            // One of those who do it nearly right does not even get in.
            let is_out = !is_right && place == 0;
            players.push((user, scope.spawn(move || if is_out { student.mistype() } else { student.play() })));
        }
        for play in other::PLAYERS {
            let card = cards.next().unwrap();
            let user = card.0.clone();
            players.push((user, scope.spawn(move || play(class, &card.0, &card.1, is_right))));
        }
        let done = |done: BTreeSet<&'static str>| done.into_iter().map(str::to_owned).collect();
        let results: Vec<_> = players.into_iter().map(|(user, player)| (user, player.join())).collect();
        results.into_iter().map(|(user, result)| (user, done(result.expect("a student failed")))).collect()
    });
    let done = class.done();
    for (user, tasks) in &expected {
        assert_eq!(&done[user], tasks, "{user}");
    }
    if is_right {
        let played: BTreeSet<&String> = expected.values().flatten().collect();
        let lesson = fs::read_to_string(class.path("lesson.toml")).unwrap();
        let ids = lesson.lines().filter_map(|line| line.strip_prefix("id = \"")?.strip_suffix('"'));
        let without_ipv6 = |id: &&str| class.ipv6.is_none() && *id == "E1";
        let missed: Vec<&str> = ids.filter(|id| !without_ipv6(id) && !played.contains(&(*id).to_owned())).collect();
        assert_eq!(missed, Vec::<&str>::new(), "nobody has done these");
    }
    class.process.signal(Signal::INT);
    assert!(class.process.wait().success());
}

#[test]
fn every_task_of_the_lesson_is_done_by_a_class_with_real_clients() {
    play(true);
}

#[test]
fn whoever_does_a_task_nearly_right_gets_no_point() {
    play(false);
}
