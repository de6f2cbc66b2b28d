//! What the service manager is told, on a socket like its own.

use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::fixture::{DEADLINE, LONGSHORE, Process};
use crate::ftp::Ftp;

/// A service manager.
struct Manager(UnixDatagram);

impl Manager {
    /// Reads until a message has this line, and gives all lines on the way.
    #[track_caller]
    fn hears(&self, line: &str) -> Vec<String> {
        let (mut heard, end) = (Vec::new(), Instant::now() + DEADLINE);
        while !heard.iter().any(|it| it == line) {
            assert!(Instant::now() < end, "{line} is not among {heard:?}");
            let mut buffer = [0; 4096];
            let count = self.0.recv(&mut buffer).unwrap_or_else(|error| panic!("{line}: {error}, heard {heard:?}"));
            heard.extend(String::from_utf8_lossy(&buffer[..count]).lines().map(str::to_owned));
        }
        heard
    }
}

/// CLOCK_MONOTONIC in hundredths of a second, as far as this machine was never suspended.
fn uptime() -> f64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// A server of this manager.
fn served(manager: &Path, watchdog: &str) -> (Process, SocketAddr) {
    let mut command = Command::new("setsid");
    command.arg(LONGSHORE).args(["--listen", "127.0.0.1:0"]).current_dir(manager.parent().unwrap());
    command.env("NOTIFY_SOCKET", manager).env("WATCHDOG_USEC", watchdog).env_remove("WATCHDOG_PID");
    let mut process = Process::spawn(command.env("LONGSHORE__SERVER__ADMIN_SOCKET", ""));
    let address = process.listening(1)[0];
    (process, address)
}

fn directory() -> TempDir {
    tempfile::Builder::new().prefix("longshore-it-").tempdir().unwrap()
}

#[test]
fn start_reload_life_and_stop_are_told() {
    let dir = directory();
    let manager = Manager(UnixDatagram::bind(dir.path().join("notify")).unwrap());
    manager.0.set_read_timeout(Some(DEADLINE)).unwrap();
    let (mut process, address) = served(&dir.path().join("notify"), "200000");
    let before = manager.hears("READY=1");
    assert!(!before.iter().any(|line| line.starts_with("STOPPING")), "{before:?}");
    manager.hears("STATUS=serving: 0 sessions, 0 data connections");
    let mut ftp = Ftp::connect(address);
    manager.hears("STATUS=serving: 1 sessions, 0 data connections");
    manager.hears("WATCHDOG=1");
    manager.hears("WATCHDOG=1");

    let begun = uptime();
    process.signal(Signal::HUP);
    let reload = manager.hears("READY=1");
    let position = |line: &str| reload.iter().position(|it| it == line);
    assert!(position("RELOADING=1") < position("READY=1"), "{reload:?}");
    let told: f64 = reload.iter().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")?.parse().ok()).unwrap();
    assert!((begun - 0.1..=uptime() + 0.1).contains(&(told / 1e6)), "{told} at {begun}");

    process.signal(Signal::TERM);
    manager.hears("STOPPING=1");
    ftp.read(421);
    assert!(process.wait().success());
}

/// The kernel keeps a few messages; whoever sends another waits.
#[test]
fn a_manager_that_does_not_listen_holds_nobody_up() {
    let dir = directory();
    let manager = dir.path().join("notify");
    let _deaf = UnixDatagram::bind(&manager).unwrap();
    let (mut process, address) = served(&manager, "2000");
    let queue: usize = std::fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").unwrap().trim().parse().unwrap();
    let end = Instant::now() + Duration::from_millis(2 * queue as u64 + 100);
    let mut ftp = Ftp::connect(address);
    ftp.login("anonymous", "x");
    while Instant::now() < end {
        ftp.lives();
    }
    process.signal(Signal::TERM);
    ftp.read(421);
    assert!(process.wait().success());
}
