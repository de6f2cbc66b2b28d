//! The Docker engine, images and containers.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Something that has not come about by then never will.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// Debian with systemd as a container's first process.
const SYSTEMD: &str = "longshore-test/systemd:bookworm";

/// Where cargo builds.
pub fn target() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_longshore")).ancestors().nth(2).unwrap()
}

/// Whether there is an engine; if not, the test's output says that nothing was shown.
pub fn is_there() -> bool {
    let there = Command::new("docker").arg("info").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let there = there.is_ok_and(|status| status.success());
    assert!(there || std::env::var_os("LONGSHORE_REQUIRE_ENGINE").is_none(), "there is no Docker engine");
    if !there {
        println!("there is no Docker engine: nothing was shown");
    }
    there
}

/// Runs a command that has to succeed, and gives what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Asks until there is an answer.
pub fn poll<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "never came about: {what}");
        sleep(Duration::from_millis(50));
    }
}

/// The image with systemd, made if this machine has none yet.
fn systemd_image() -> &'static str {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = MAKING.lock().unwrap();
    let known = Command::new("docker").args(["image", "inspect", SYSTEMD]).output().unwrap();
    if !known.status.success() {
        let directory = tempfile::tempdir().unwrap();
        let include = "--include=systemd,systemd-sysv,dbus,curl,libgcc-s1";
        run(Command::new("debootstrap").args(["--variant=minbase", include, "bookworm"]).arg(directory.path()));
        let mut import = Command::new("docker");
        import.args(["import", "-", SYSTEMD]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut import = import.spawn().unwrap();
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(directory.path()).args(["-c", "."]).stdout(import.stdin.take().unwrap());
        assert!(tar.status().unwrap().success());
        // It reads until the last writer is gone.
        drop(tar);
        assert!(import.wait().unwrap().success());
    }
    SYSTEMD
}

/// A container, which goes when it is dropped.
pub struct Container(String);

impl Container {
    /// A machine that systemd has booted, with the Debian package in `/package`.
    pub fn booted() -> Self {
        let package = format!("{}/package:/package:ro", target().display());
        let mut command = Command::new("docker");
        command.args(["run", "--detach", "--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN"]);
        command.args(["--security-opt", "seccomp=unconfined", "--tmpfs", "/run", "--tmpfs", "/run/lock"]);
        command.args(["--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--volume", &package]);
        let container = Self(run(command.args([systemd_image(), "/sbin/init"])).trim().to_owned());
        poll("systemd has booted", || {
            let output = container.command(&["systemctl", "is-system-running"]).output().unwrap();
            (output.stdout == b"running\n").then_some(())
        });
        container
    }

    /// A command inside of it.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(["exec", "--interactive", &self.0]).args(words);
        command
    }

    /// Runs a line of shell that has to succeed, and gives what it printed.
    pub fn shell(&self, line: &str) -> String {
        run(&mut self.command(&["sh", "-ec", line]))
    }

    /// Whether a line of shell succeeds, and what it printed on both streams.
    pub fn try_shell(&self, line: &str) -> (bool, String) {
        let output = self.command(&["sh", "-ec", line]).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Where its ports are, seen from here.
    pub fn address(&self) -> IpAddr {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        run(Command::new("docker").args(["inspect", "--format", format, &self.0])).trim().parse().unwrap()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.try_shell("journalctl --no-pager | tail -n 80").1);
        }
        let _ = Command::new("docker").args(["rm", "--force", "--volumes", &self.0]).output();
    }
}

/// A control connection.
pub struct Control {
    stream: BufReader<TcpStream>,
}

impl Control {
    /// Connects and reads the greeting.
    pub fn greeted(address: SocketAddr) -> Result<(Self, String), String> {
        let stream = TcpStream::connect_timeout(&address, DEADLINE).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut control = Self { stream: BufReader::new(stream) };
        let greeting = control.reply()?;
        Ok((control, greeting))
    }

    /// The next line of a reply.
    pub fn reply(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => Err("the connection was closed".to_owned()),
            Ok(_) => Ok(line.trim_end().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Sends a command, whose reply has to begin like this.
    pub fn expect(&mut self, code: &str, line: &str) -> String {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
        let reply = self.reply().unwrap();
        assert!(reply.starts_with(code), "{line}: {reply}");
        reply
    }

    /// A data connection, by EPSV.
    pub fn passive(&mut self) -> TcpStream {
        let reply = self.expect("229", "EPSV");
        let port = reply.split("|||").nth(1).and_then(|rest| rest.split('|').next()?.parse().ok()).unwrap();
        let mut address = self.stream.get_ref().peer_addr().unwrap();
        address.set_port(port);
        TcpStream::connect_timeout(&address, DEADLINE).unwrap()
    }
}
