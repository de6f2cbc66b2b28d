//! The README's quick start, run as written.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::fixture::{LONGSHORE, Process, no_ipv6};
use crate::ftp::Ftp;

/// The first two `sh` blocks: how to run it, and how to test it.
fn commands() -> Vec<String> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(readme).unwrap();
    text.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap().trim().to_owned()).collect()
}

#[test]
fn the_readme_opens_with_how_to_run_and_how_to_test_it() {
    let commands = commands();
    assert_eq!(commands[0], "cargo run --release -- --port 2121");
    assert_eq!(commands[1], "cargo test");
}

/// The same words behind `cargo run --release --`, but for the port: tests run beside each other.
#[test]
fn the_quick_start_serves_at_once() {
    let command = commands().remove(0);
    let (_, arguments) = command.split_once("-- ").unwrap();
    let arguments = arguments.replace("2121", "0");
    let dir = tempfile::Builder::new().prefix("longshore-readme-").tempdir().unwrap();
    let mut process = Process::spawn(Command::new(LONGSHORE).args(arguments.split(' ')).current_dir(dir.path()));
    let families = 1 + usize::from(TcpListener::bind("[::]:0").is_ok());
    for address in process.listening(families) {
        if address.is_ipv6() && no_ipv6() {
            continue;
        }
        let host = if address.is_ipv4() { "127.0.0.1" } else { "::1" };
        let mut ftp = Ftp::connect((host.parse::<std::net::IpAddr>().unwrap(), address.port()).into());
        ftp.login("anonymous", "x");
        assert_eq!(ftp.list("NLST").len(), 1);
    }
}
