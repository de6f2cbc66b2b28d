//! What is said of addresses and ports that clients cannot reach: at the start, by `check`, and at a reload.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::fixture::{LONGSHORE, Process, poll};

#[test]
fn what_clients_cannot_reach_is_said_at_the_start_by_check_and_at_a_reload() {
    let dir = tempfile::tempdir().unwrap();
    let write = |address: &str, ports: &str| {
        let server = format!("[server]\npassive_address = \"{address}\"\npassive_ports = \"{ports}\"\n");
        fs::write(dir.path().join("c.toml"), server).unwrap();
    };
    // Port 0 at every address, as others could come to it.
    let serve = || {
        let mut command = Command::new("setsid");
        command.arg(LONGSHORE).args(["--config", "c.toml", "--listen", "0.0.0.0:0"]).current_dir(dir.path());
        let mut process = Process::spawn(&mut command);
        process.listening(1);
        process
    };
    write("203.0.113.7", "61000-61099");
    let process = serve();
    assert!(!process.stderr().contains("PASV tells"), "{}", process.stderr());
    assert!(!process.stderr().contains("passive ports"), "{}", process.stderr());

    write("127.0.0.1", "50000-50009");
    let address = "PASV tells clients 127.0.0.1, which is their own machine to each of them, so their transfers fail; set \
                   server.passive_address (in the image PASV_ADDRESS) to the address by which they reach this machine";
    let ports = "passive ports 50000-50009 lie among those that this machine takes for outgoing connections";
    process.signal(Signal::HUP);
    let said = poll(|| Some(process.stderr()).filter(|text| text.contains(ports)));
    assert!(said.is_some_and(|text| text.contains(address)), "{}", process.stderr());
    drop(process);

    let started = serve().stderr();
    let mut check = Command::new(LONGSHORE);
    check.args(["check", "--config", "c.toml"]).current_dir(dir.path()).stdin(Stdio::null());
    let checked = String::from_utf8(check.output().unwrap().stderr).unwrap();
    for said in [started, checked] {
        assert!(said.contains(address) && said.contains(ports), "{said}");
    }
}
