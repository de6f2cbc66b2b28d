//! Signals: what is finished, what is told, and the exit codes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::fixture::{LONGSHORE, Process, Server, noise, poll};
use crate::ftp::{Flood, Ftp, fill};

#[test]
fn sigterm_tells_idle_sessions_421_and_exits_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start();
        let mut fresh = Ftp::connect(server.address());
        let mut idle = Ftp::anonymous(&server);
        server.signal(signal);
        for ftp in [&mut fresh, &mut idle] {
            ftp.read(421);
            assert_eq!(ftp.rest_until_closed(), "");
        }
        assert_eq!(server.wait().code(), Some(0));
        assert_eq!(server.event("session_closed")["reason"], "shutdown");
    }
}

/// The page and the numbers know the server, and must not keep it: its logs end when nobody knows it any more.
#[test]
fn what_shows_the_server_over_http_does_not_keep_it() {
    let mut server = Server::builder().page().metrics().admin().start();
    let mut browser = TcpStream::connect(server.page()).unwrap();
    write!(browser, "GET /projector/feed HTTP/1.1\r\nHost: {}\r\n\r\n", server.page()).unwrap();
    let mut begin = [0; 12];
    browser.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200");
    let told = Instant::now();
    server.signal(Signal::TERM);
    ends_in_time(&mut server, told, 0);
    assert!(!server.output().contains("its end is lost"), "{}", server.output());
}

#[test]
fn sigterm_lets_a_running_download_finish() {
    let mut server = Server::start();
    let bytes = noise(40_000_000, 1);
    server.write("large", &bytes);
    let mut ftp = Ftp::anonymous(&server);
    let mut idle = Ftp::anonymous(&server);
    let data = ftp.open("RETR large");
    server.signal(Signal::TERM);
    // The idle session is told, so the signal has been seen while the download still runs.
    idle.read(421);
    assert!(ftp.drain(data) == bytes);
    ftp.read(226);
    ftp.read(421);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn sigterm_lets_a_running_upload_finish() {
    let mut server = Server::start();
    let bytes = noise(1_000_000, 2);
    let mut ftp = Ftp::anonymous(&server);
    let mut idle = Ftp::anonymous(&server);
    let mut data = ftp.open("STOR up");
    server.signal(Signal::TERM);
    idle.read(421);
    ftp.write_data(&mut data, &bytes);
    drop(data);
    ftp.read(226);
    assert_eq!(server.wait().code(), Some(0));
    assert!(server.read("up") == bytes);
}

#[test]
fn a_stopping_server_takes_no_new_sessions() {
    let mut server = Server::start();
    server.write_sparse("endless", 1 << 40);
    let mut ftp = Ftp::anonymous(&server);
    let mut idle = Ftp::anonymous(&server);
    let data = ftp.open("RETR endless");
    server.signal(Signal::TERM);
    idle.read(421);
    let closed = crate::fixture::poll(|| std::net::TcpStream::connect(server.address()).err());
    assert!(closed.is_some(), "it still accepts");
    drop(data);
    ftp.read(426);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn the_grace_period_ends_a_stuck_transfer() {
    let mut server = Server::builder().server("shutdown_grace = 1").start();
    server.write_sparse("endless", 1 << 40);
    let mut ftp = Ftp::anonymous(&server);
    let data = ftp.open("RETR endless");
    server.signal(Signal::TERM);
    ftp.read(426);
    ftp.read(421);
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(server.event("transfer")["outcome"], "shutdown");
    drop(data);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut server = Server::start();
    server.write_sparse("endless", 1 << 40);
    let mut ftp = Ftp::anonymous(&server);
    let mut idle = Ftp::anonymous(&server);
    let data = ftp.open("RETR endless");
    server.signal(Signal::TERM);
    idle.read(421);
    assert!(server.is_alive(), "it did not wait for the transfer");
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(128 + 15));
    drop(data);
}

#[test]
fn the_log_holds_everything_up_to_the_end() {
    let mut server = Server::start();
    let sessions: Vec<Ftp> = (0..20).map(|_| Ftp::anonymous(&server)).collect();
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    let closed = server.events().iter().filter(|event| event["event"] == "session_closed").count();
    assert_eq!(closed, sessions.len());
}

/// A server that is told to stop has this long beyond its grace period.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Waits for the end of a server whose grace period is one second.
#[track_caller]
fn ends_in_time(server: &mut Server, told: Instant, code: i32) {
    assert_eq!(server.wait().code(), Some(code));
    let took = told.elapsed();
    assert!(took < Duration::from_secs(1) + LAST_WORDS, "{took:?}");
}

#[test]
fn a_client_that_reads_no_replies_does_not_keep_the_server() {
    let mut server = Server::builder().server("shutdown_grace = 1").start();
    let ftp = Ftp::anonymous(&server);
    fill(&ftp.stream(), b"HELP\r\n");
    let told = Instant::now();
    server.signal(Signal::TERM);
    ends_in_time(&mut server, told, 0);
    drop(ftp);
}

#[test]
fn a_flood_of_commands_during_a_transfer_does_not_keep_the_server() {
    let mut server = Server::builder().server("shutdown_grace = 1").start();
    server.write_sparse("endless", 1 << 40);
    let mut ftp = Ftp::anonymous(&server);
    let data = ftp.open("RETR endless");
    let mut flood = Flood::start(&ftp);
    let told = Instant::now();
    server.signal(Signal::TERM);
    assert!(flood.read_until("426 "), "the transfer was not ended");
    // Not what is on record: so many lines may not be written when the time is over.
    ends_in_time(&mut server, told, 0);
    drop(data);
}

#[test]
fn a_digest_does_not_keep_the_server() {
    let mut server = Server::builder().server("shutdown_grace = 1").start();
    server.write_sparse("endless", 1 << 40);
    let mut ftp = Ftp::anonymous(&server);
    ftp.send("HASH endless");
    assert!(poll(|| server.open_files().contains(&server.path("endless")).then_some(())).is_some());
    let told = Instant::now();
    server.signal(Signal::TERM);
    ftp.read(426);
    ftp.read(421);
    ends_in_time(&mut server, told, 0);
}

#[test]
fn a_second_signal_ends_a_digest_at_once() {
    let mut server = Server::start();
    server.write_sparse("endless", 1 << 40);
    let mut ftp = Ftp::anonymous(&server);
    let mut idle = Ftp::anonymous(&server);
    ftp.send("HASH endless");
    assert!(poll(|| server.open_files().contains(&server.path("endless")).then_some(())).is_some());
    server.signal(Signal::TERM);
    idle.read(421);
    let told = Instant::now();
    server.signal(Signal::INT);
    ends_in_time(&mut server, told, 128 + 2);
}

/// A server whose session log goes into a pipe that is full, and that nobody reads; and somebody who is logged in.
fn with_a_full_pipe(test: impl FnOnce(&mut Process, Ftp)) {
    let dir = tempfile::Builder::new().prefix("longshore-it-").tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = Command::new(LONGSHORE);
    command.args(["--listen", "127.0.0.1:0"]).current_dir(dir.path());
    let mut process = Process::spawn_into(&mut command, writer);
    // Command owns the other end too.
    drop(command);
    let mut lines = BufReader::with_capacity(1, reader);
    let address = loop {
        let mut line = String::new();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the server ended");
        if let Some((_, address)) = line.split_once("listening on ") {
            break address.split_whitespace().next().unwrap().parse().unwrap();
        }
    };
    let mut ftp = Ftp::connect(address);
    ftp.login("anonymous", "x");
    // A line on record for each; the pipe holds 64 KiB.
    for _ in 0..60 {
        ftp.raw(&b"NOOP\r\n".repeat(50));
        for _ in 0..50 {
            ftp.read(200);
        }
    }
    // How many bytes fill it depends on how they were written, page by page; three times as many are on their way.
    let full = poll(|| (rustix::io::ioctl_fionread(lines.get_ref()).unwrap() > 30_000).then_some(()));
    assert!(full.is_some(), "the pipe is not full: {:?}", rustix::io::ioctl_fionread(lines.get_ref()));
    test(&mut process, ftp);
}

#[test]
fn standard_output_that_nobody_reads_does_not_keep_the_server() {
    with_a_full_pipe(|process, mut ftp| {
        let told = Instant::now();
        process.signal(Signal::TERM);
        ftp.read(421);
        drop(ftp);
        assert_eq!(process.wait().code(), Some(0));
        let took = told.elapsed();
        assert!(took < LAST_WORDS, "{took:?}");
    });
}

#[test]
fn a_second_signal_does_not_wait_for_standard_output() {
    with_a_full_pipe(|process, mut ftp| {
        let sockets = process.sockets();
        process.signal(Signal::TERM);
        ftp.read(421);
        drop(ftp);
        // Neither the listener's nor the session's is left: nothing but the log has an end to come to.
        assert!(poll(|| (process.sockets() <= sockets - 2).then_some(())).is_some(), "the session does not end");
        process.signal(Signal::TERM);
        assert_eq!(process.wait().code(), Some(128 + 15));
    });
}
