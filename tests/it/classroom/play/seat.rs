//! A student's seat: a client program that is typed into, and netstat beside it.

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use super::Student;
use crate::fixture::poll;

/// A client that has not ended by then hangs.
const DEADLINE: Duration = Duration::from_secs(30);

/// The interactive clients, each as it is started here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Tnftp,
    Inetutils,
    FtpSsl,
    Lftp,
    Ncftp,
}

impl Program {
    /// The name of its file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tnftp => "tnftp",
            Self::Inetutils => "inetutils-ftp",
            Self::FtpSsl => "ftp-ssl",
            Self::Lftp => "lftp",
            Self::Ncftp => "ncftp",
        }
    }

    /// Whether it is one of the three that call themselves `ftp`.
    pub fn is_classic(self) -> bool {
        matches!(self, Self::Tnftp | Self::Inetutils | Self::FtpSsl)
    }
}

/// A client that runs.
pub struct Seat {
    program: Program,
    child: Child,
    keys: ChildStdin,
    transcript: PathBuf,
}

impl Seat {
    /// Starts the student's client and types the login. `password` may be a wrong one.
    pub fn open(student: &Student, address: SocketAddr, password: &str) -> Self {
        let (program, user) = (student.program, &student.user);
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let mut command = Command::new(program.name());
        match program {
            Program::Tnftp => command.args(["-n", "-i", "-v", "-d", &host, &port]),
            Program::Inetutils => command.args(["-n", "-i", "-v", "-d", "-p", &host, &port]),
            Program::FtpSsl => command.args(["-n", "-i", "-v", "-d", "-p", &host, &port]),
            Program::Lftp => command.args(["--norc"]),
            Program::Ncftp => command.args(["-u", user, "-p", password, "-P", &port, &host]),
        };
        let transcript = student.new_transcript();
        let output = File::create(&transcript).unwrap();
        let mut child = command
            .current_dir(student.path("."))
            .env("HOME", student.path("."))
            .env("LC_ALL", "C.UTF-8")
            .env("TERM", "dumb")
            .stdin(Stdio::piped())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.name()));
        let keys = child.stdin.take().unwrap();
        let mut seat = Self { program, child, keys, transcript };
        match program {
            Program::Lftp => {
                seat.types("set net:max-retries 1; set net:timeout 10; set cmd:fail-exit no; debug 9");
                seat.types(&format!("open -u {user},{password} -p {port} {host}"));
                // It connects when there is something to do.
                seat.types("quote NOOP");
            }
            Program::Ncftp => seat.types("set confirm-close no\nset passive on"),
            _ => seat.types(&format!("user {user} {password}")),
        }
        seat
    }

    /// Types a line.
    pub fn types(&mut self, line: &str) {
        // A client that has gone is seen by its transcript.
        let _ = writeln!(self.keys, "{line}");
    }

    /// Types the command that lists a directory.
    pub fn list(&mut self, directory: &str) {
        let command = if self.program.is_classic() { "dir" } else { "ls" };
        self.types(&format!("{command} {directory}"));
    }

    /// Types the commands that fetch a file; the classic clients would take a path for the local name, too.
    pub fn get(&mut self, directory: &str, name: &str) {
        self.types(&format!("cd {directory}"));
        self.types(&format!("get {name}"));
    }

    /// Leaves passive mode, in which all of them begin here.
    pub fn active(&mut self) {
        self.types(match self.program {
            Program::Tnftp => "passive off",
            Program::Inetutils | Program::FtpSsl => "passive",
            Program::Lftp => "set ftp:passive-mode off",
            Program::Ncftp => "set passive off",
        });
    }

    /// Types the command that goes on with a download.
    pub fn resume(&mut self, directory: &str, name: &str) {
        self.types(&format!("cd {directory}"));
        match self.program {
            Program::Lftp => self.types(&format!("get -c {name}")),
            // It does so by itself.
            Program::Ncftp => self.types(&format!("get {name}")),
            _ => self.types(&format!("reget {name}")),
        }
    }

    /// Types the command that deletes everything that a pattern matches.
    pub fn delete(&mut self, pattern: &str) {
        let command = match self.program {
            Program::Lftp => "mrm",
            Program::Ncftp => "rm",
            _ => "mdelete",
        };
        self.types(&format!("{command} {pattern}"));
    }

    /// Types the command that renames.
    pub fn rename(&mut self, from: &str, to: &str) {
        let command = if self.program == Program::Lftp { "mv" } else { "rename" };
        self.types(&format!("{command} {from} {to}"));
    }

    /// The established connections of the client, as `ss -tnp` shows them: its own end, and the server's.
    pub fn netstat(&self) -> Vec<(SocketAddr, SocketAddr)> {
        let output = Command::new("ss").args(["-H", "-t", "-n", "-p", "state", "established"]).output().unwrap();
        let pid = format!("pid={},", self.child.id());
        let lines = String::from_utf8(output.stdout).unwrap();
        let of_child = lines.lines().filter(|line| line.contains(&pid));
        let address = |text: &str| text.parse().unwrap_or_else(|_| panic!("{text}: {lines}"));
        of_child
            .map(|line| {
                let cells: Vec<&str> = line.split_whitespace().collect();
                (address(cells[2]), address(cells[3]))
            })
            .collect()
    }

    /// Waits until the client has this many connections.
    #[track_caller]
    pub fn wait_for_connections(&self, count: usize) -> Vec<(SocketAddr, SocketAddr)> {
        let found = poll(|| Some(self.netstat()).filter(|found| found.len() == count));
        found.unwrap_or_else(|| panic!("{count} connections did not come: {}", self.said()))
    }

    /// The client's port of its control connection.
    #[track_caller]
    pub fn port(&self) -> u16 {
        self.wait_for_connections(1)[0].0.port()
    }

    /// What the program has written so far.
    fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.transcript).unwrap()).into_owned()
    }

    /// Leaves, and returns everything that the program has written.
    #[track_caller]
    pub fn bye(mut self) -> String {
        self.types(if self.program == Program::Ncftp { "bye" } else { "quit" });
        let end = Instant::now() + DEADLINE;
        while self.child.try_wait().unwrap().is_none() {
            if Instant::now() > end {
                let _ = self.child.kill();
                panic!("{} hangs: {}", self.program.name(), self.said());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let said = self.said();
        // For the test's report, should a later check fail.
        println!("--- {} in {}\n{said}", self.program.name(), self.transcript.display());
        said
    }

    /// Ends it in the middle of what it does.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
