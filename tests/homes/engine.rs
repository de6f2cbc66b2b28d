//! The Docker engine and containers.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::images;

/// Something that has not come about by then never will.
pub const DEADLINE: Duration = Duration::from_secs(90);

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

/// A container, which goes when it is dropped.
pub struct Container(String);

impl Container {
    /// A machine of this image that systemd has booted, with the Debian package in `/package`.
    pub fn booted(image: &str) -> Self {
        let package = format!("{}/package:/package:ro", target().display());
        let mut command = Command::new("docker");
        command.args(["run", "--detach", "--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN"]);
        command.args(["--security-opt", "seccomp=unconfined", "--tmpfs", "/run", "--tmpfs", "/run/lock"]);
        command.args(["--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--volume", &package]);
        if Self::has_ipv6() {
            command.args(["--sysctl", "net.ipv6.conf.all.disable_ipv6=0"]);
        }
        let container = Self(run(command.args([image, "/sbin/init"])).trim().to_owned());
        poll("systemd has booted", || {
            let output = container.command(&["systemctl", "is-system-running"]).output().unwrap();
            (output.stdout == b"running\n").then_some(())
        });
        container
    }

    /// Whether containers reach themselves over IPv6.
    pub fn has_ipv6() -> bool {
        Path::new("/proc/sys/net/ipv6").exists()
    }

    /// Another one that runs `words`. Where a port is taken, as it may be by whatever runs beside, the next try takes
    /// other options.
    pub fn started(mut options: impl FnMut() -> Vec<String>, image: &str, words: &[&str]) -> Self {
        poll("the ports are free", || {
            let mut command = Command::new("docker");
            let output = command.args(["run", "--detach"]).args(options()).arg(image).args(words).output().unwrap();
            let (id, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
            // A container that did not get its ports is there nevertheless.
            let container = (!id.is_empty()).then(|| Self(id.trim().to_owned()));
            if output.status.success() {
                return container;
            }
            assert!(said.contains("already"), "{command:?}: {said}");
            None
        })
    }

    /// What one of compose's services has become.
    pub fn known(id: &str) -> Self {
        Self(id.trim().to_owned())
    }

    /// Its disk as an image, in the place of an older one; each checkout has one of its own.
    pub fn commit(&self, name: &str) -> String {
        let tag = images::tag(name);
        let _ = Command::new("docker").args(["image", "rm", "--force", &tag]).output();
        run(self.engine(&["commit"]).arg(&tag));
        tag
    }

    /// What its process has printed on both streams.
    pub fn logs(&self) -> String {
        let output = Command::new("docker").args(["logs", &self.0]).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    /// What the engine knows of it.
    pub fn inspect(&self, format: &str) -> String {
        run(Command::new("docker").args(["inspect", "--format", format, &self.0])).trim().to_owned()
    }

    /// A command of the engine about it.
    pub fn engine(&self, words: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(words).arg(&self.0);
        command
    }

    /// Where a published port is.
    pub fn published(&self, port: u16) -> SocketAddr {
        let (id, port) = (&self.0, port.to_string());
        let said = run(Command::new("docker").args(["port", id, &port]));
        said.lines().next().unwrap().parse().unwrap()
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
        self.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}").parse().unwrap()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}\n{}", self.logs(), self.try_shell("journalctl --no-pager | tail -n 80").1);
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

    /// The port that this side has.
    pub fn port(&self) -> u16 {
        self.stream.get_ref().local_addr().unwrap().port()
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
