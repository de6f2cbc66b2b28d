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
    old.epsv();
    edit(&server, "greeting = \"before\"", "greeting = \"after\"");
    edit(&server, "epsv = \"on\"", "epsv = \"ipv6-only\"");
    hang_up(&server, r#"in force from now on: server.greeting = \"after\", server.epsv = \"ipv6-only\""#);
    old.expect(502, "EPSV");
    assert!(old.expect(220, "REIN").text().contains("after"));
    old.login("anonymous", "x");
    old.lives();
}
