//! A class that is served with its lesson.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::fixture::{LONGSHORE, Process, no_ipv6, poll};
use crate::ftp::Ftp;

/// A class and its server.
pub struct Lab {
    dir: TempDir,
    /// User and password, in the roster's order.
    logins: Vec<(String, String)>,
    server: Option<Process>,
    addresses: Vec<SocketAddr>,
    exam: bool,
}

impl Lab {
    /// A class of so many students with the lesson that classes get, served.
    pub fn new(students: usize) -> Self {
        let mut lab = Self::founded(students);
        lab.start();
        lab
    }

    /// The same as an exam.
    pub fn exam(students: usize) -> Self {
        let mut lab = Self::founded(students);
        lab.exam = true;
        lab.start();
        lab
    }

    /// The same, not served yet.
    pub fn founded(students: usize) -> Self {
        let dir = tempfile::Builder::new().prefix("longshore-lab-").tempdir().unwrap();
        let names: String = (1..=students).map(|number| format!("Student {number}\n")).collect();
        fs::write(dir.path().join("roster.txt"), names).unwrap();
        let mut lab = Self { dir, logins: Vec::new(), server: None, addresses: Vec::new(), exam: false };
        lab.done(&["new", "class", "--roster", "roster.txt", "--address", "127.0.0.1:2121", "--credentials"]);
        let table = fs::read_to_string(lab.path("credentials.csv")).unwrap();
        let login = |line: &str| {
            let mut cells = line.split(',');
            (cells.next().unwrap().to_owned(), cells.next().unwrap().to_owned())
        };
        lab.logins = table.lines().skip(1).map(login).collect();
        lab
    }

    /// Serves it, with slow.bin fast enough for tests, and a short patience with data connections.
    pub fn start(&mut self) {
        let listen = if no_ipv6() { "127.0.0.1:0" } else { "127.0.0.1:0,[::1]:0" };
        let mut command = Command::new("setsid");
        command.args([LONGSHORE, "classroom", "start", "class"]).current_dir(self.dir.path());
        command.args(["--page", "127.0.0.1:0"]).args(self.exam.then_some("--exam"));
        command.env("LONGSHORE__SERVER__LISTEN", listen).env("LONGSHORE__SERVER__DATA_TIMEOUT", "2");
        command.env("LONGSHORE__LIMITS__PATH_DOWNLOAD_RATES", "/quest/slow/slow.bin=2 MB");
        command.env("LONGSHORE__PAGE__LISTEN", "127.0.0.1:0");
        let mut server = Process::spawn(&mut command);
        self.addresses = server.listening(if no_ipv6() { 1 } else { 2 });
        self.server = Some(server);
    }

    /// Kills the server, as a power cut would.
    pub fn kill(&mut self) {
        let mut server = self.server.take().unwrap();
        server.signal(Signal::KILL);
        server.wait();
    }

    /// Stops the server.
    pub fn stop(&mut self) {
        let mut server = self.server.take().unwrap();
        server.signal(Signal::TERM);
        assert!(server.wait().success(), "{}", server.stderr());
    }

    /// What it has written to standard output and standard error.
    pub fn output(&self) -> String {
        let server = self.server.as_ref().unwrap();
        server.stdout() + &server.stderr()
    }

    /// The addresses of its live page: the projector's face, and the teacher's with the token.
    pub fn page(&self) -> (String, String) {
        let mut command = Command::new(LONGSHORE);
        command.args(["page", "--json", "--config", "class/classroom.toml"]).current_dir(self.dir.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let links: Value = serde_json::from_slice(&output.stdout).unwrap();
        let link = |face: &str| links[face][0].as_str().unwrap().to_owned();
        (link("everybody"), link("teacher"))
    }

    /// The PIN of a student.
    pub fn pin(&self, student: usize) -> String {
        let mut table = csv::Reader::from_path(self.path("credentials.csv")).unwrap();
        let at = table.headers().unwrap().iter().position(|name| name == "pin").unwrap();
        table.records().nth(student).unwrap().unwrap()[at].to_owned()
    }

    /// Where it listens on IPv4.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where it listens on IPv6.
    pub fn address_v6(&self) -> SocketAddr {
        self.addresses[1]
    }

    /// A path in the directory of the class.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("class").join(name)
    }

    /// A path in a student's home.
    pub fn home(&self, student: usize, name: &str) -> PathBuf {
        self.path("root").join(&self.logins[student].0).join(name)
    }

    /// The user name of a student.
    pub fn user(&self, student: usize) -> &str {
        &self.logins[student].0
    }

    /// The password of a student.
    pub fn password(&self, student: usize) -> &str {
        &self.logins[student].1
    }

    /// A session of a student.
    pub fn login(&self, student: usize) -> Ftp {
        let mut ftp = self.connect();
        ftp.login(self.user(student), self.password(student));
        ftp
    }

    /// A session of nobody yet.
    pub fn connect(&self) -> Ftp {
        Ftp::connect(self.address())
    }

    /// Runs `longshore classroom`.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(LONGSHORE);
        command.arg("classroom").args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// What a command says that succeeds.
    #[track_caller]
    pub fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Has the running server read everything again.
    #[track_caller]
    pub fn reload(&self) -> Output {
        Command::new(LONGSHORE).arg("reload").arg("--socket").arg(self.path("admin.sock")).output().unwrap()
    }

    /// The marks of a student, as the command line has them.
    pub fn marks(&self, student: usize) -> Vec<Value> {
        let text = self.done(&["marks", "class", "--json", "--student", self.user(student)]);
        let marks: Value = serde_json::from_str(&text).unwrap();
        marks["marks"].as_array().unwrap().clone()
    }

    /// The mark of a student for a task.
    pub fn mark(&self, student: usize, task: &str) -> Value {
        self.marks(student).into_iter().find(|mark| mark["task"] == task).unwrap()
    }

    /// The tasks that a student has done.
    pub fn tasks_done(&self, student: usize) -> Vec<String> {
        let marks = self.marks(student);
        let done = marks.iter().filter(|mark| mark["state"] == "done");
        done.map(|mark| mark["task"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until a student has done these tasks, each with what that rests on. The journal is a moment behind.
    #[track_caller]
    pub fn has_done(&self, student: usize, tasks: &[&str]) {
        let all = || tasks.iter().all(|task| self.tasks_done(student).iter().any(|done| done == task));
        assert!(poll(|| all().then_some(())).is_some(), "{tasks:?} but {:?}", self.tasks_done(student));
        for task in tasks {
            let mark = self.mark(student, task);
            assert!(mark["evidence"].as_array().is_some_and(|evidence| !evidence.is_empty()), "{task}: {mark}");
        }
    }

    /// Shows that a student has done none of these.
    #[track_caller]
    pub fn has_not_done(&self, student: usize, tasks: &[&str]) {
        let done = self.tasks_done(student);
        assert!(tasks.iter().all(|task| !done.contains(&(*task).to_owned())), "none of {tasks:?} but {done:?}");
    }

    /// Changes the lesson.
    pub fn edit_lesson(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.path("lesson.toml")).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(self.path("lesson.toml"), text.replace(from, to)).unwrap();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if thread::panicking() {
            for name in ["journal.jsonl", "sessions.log"] {
                let text = fs::read_to_string(self.path(name)).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                eprintln!("--- {name}\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
            }
        }
    }
}

/// What SITE ANSWER is answered; the code is 200 always.
pub fn answer(ftp: &mut Ftp, task: &str, text: impl std::fmt::Display) -> String {
    let reply = ftp.expect(200, format!("SITE ANSWER {task} {text}")).text();
    let reply = reply.strip_prefix("200 ").unwrap_or(&reply).to_owned();
    assert!(reply.starts_with("CORRECT") || reply.starts_with("TRY-AGAIN"), "{reply}");
    reply
}

/// Answers, and the answer must be right.
#[track_caller]
pub fn right(ftp: &mut Ftp, task: &str, text: impl std::fmt::Display) {
    let reply = answer(ftp, task, &text);
    assert!(reply.starts_with(&format!("CORRECT {task}")), "{text}: {reply}");
}

/// Answers, and the answer must be wrong; the reply has this in it.
#[track_caller]
pub fn wrong(ftp: &mut Ftp, task: &str, text: impl std::fmt::Display, why: &str) {
    let reply = answer(ftp, task, &text);
    assert!(reply.starts_with(&format!("TRY-AGAIN {task}")) && reply.contains(why), "{text}: {reply}");
}
