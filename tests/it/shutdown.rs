//! Signals: what is finished, what is told, and the exit codes.

use rustix::process::Signal;

use crate::fixture::{Server, noise};
use crate::ftp::Ftp;

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
