//! SIGHUP: settings, accounts and certificate are read again while sessions go on.

use std::fs;

use rustix::process::Signal;

use crate::fixture::{Server, poll};
use crate::ftp::Ftp;

/// Replaces text in the settings file.
fn edit(server: &Server, from: &str, to: &str) {
    let (path, text) = (server.beside("longshore.toml"), fs::read_to_string(server.beside("longshore.toml")).unwrap());
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

/// Sends SIGHUP and waits until this is in the output.
fn hang_up(server: &Server, expected: &str) {
    server.signal(Signal::HUP);
    let seen = poll(|| server.output().contains(expected).then_some(()));
    assert!(seen.is_some(), "{expected:?} is not in {}", server.output());
}

#[test]
fn what_is_reloaded_holds_for_what_comes_next_and_nobody_is_dropped() {
    let server = Server::builder().server("greeting = \"before\"").server("epsv = \"on\"").start();
    let mut old = Ftp::anonymous(&server);
    edit(&server, "greeting = \"before\"", "greeting = \"after\"");
    edit(&server, "epsv = \"on\"", "epsv = \"ipv6-only\"");
    hang_up(&server, "reloaded: server.greeting, server.epsv changed, for what comes next");
    old.expect(502, "EPSV");
    assert!(old.expect(220, "REIN").text().contains("after"));
    Ftp::connect(server.address()).lives();
}
