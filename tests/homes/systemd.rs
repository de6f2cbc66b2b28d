//! The Debian package under a real systemd.

use std::env;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::engine::{Container, Control, is_there, poll, run, target};

pub const CONFIG: &str = "/etc/longshore/longshore.toml";

/// A booted machine on which the package was installed as the README says; `None` where nothing boots.
pub fn installed() -> Option<Container> {
    static BUILT: Once = Once::new();
    if !is_there() {
        return None;
    }
    BUILT.call_once(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/config/package/build-deb");
        let mut build = Command::new(script);
        // What cargo tells a test about its package would have the inner cargo build ring, and all that needs it, anew.
        let told = env::vars_os().map(|(name, _)| name);
        for name in told.filter(|name| {
            ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|it| name.as_bytes().starts_with(it.as_bytes()))
        }) {
            build.env_remove(name);
        }
        run(build.args(["--profile", "dev"]).env("CARGO_TARGET_DIR", target()));
    });
    let container = Container::booted();
    container.shell("apt-get install -y /package/longshore_*.deb");
    Some(container)
}

/// Adds lines to the settings; guests may read, so that a test needs no password.
pub fn set(container: &Container, lines: &str) {
    container.shell(&format!("sed -i 's/^anonymous = .*/anonymous = \"read-only\"/' {CONFIG}"));
    container.shell(&format!("printf '%s\\n' '{lines}' >> {CONFIG}"));
}

fn control(container: &Container) -> SocketAddr {
    SocketAddr::new(container.address(), 21)
}

#[test]
fn the_package_serves_at_once_and_the_journal_finds_a_session_by_its_port() {
    let Some(container) = installed() else { return };
    assert_eq!(container.shell("systemctl is-active longshore"), "active\n");
    container.shell(&format!(
        "echo secret | longshore user add ann --home ann --config {CONFIG} --password-stdin && \
         install -d -o longshore -g longshore /srv/ftp/ann && echo hello > /tmp/hello.txt && \
         curl -sS --user ann:secret -T /tmp/hello.txt ftp://localhost/"
    ));
    assert_eq!(container.shell("curl -sS --user ann:secret ftp://localhost/hello.txt"), "hello\n");
    let (mut session, greeting) = Control::greeted(control(&container)).unwrap();
    assert!(greeting.starts_with("220 "), "{greeting}");
    session.expect("331", "USER ann");
    session.expect("230", "PASS secret");
    let sessions = container.shell("longshore sessions --json");
    let table: serde_json::Value = serde_json::from_str(&sessions).unwrap();
    let row = table["connections"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["user"] == "ann")
        .unwrap_or_else(|| panic!("{sessions}"));
    let port = row["foreign_port"].as_u64().unwrap();
    let found = poll("the login is in the journal", || {
        let line = format!("journalctl -t longshore CLIENT_PORT={port} EVENT=login USER=ann -o json --no-pager");
        let found = container.shell(&line);
        (!found.is_empty()).then_some(found)
    });
    let entry: serde_json::Value = serde_json::from_str(found.lines().next().unwrap()).unwrap();
    assert_eq!((entry["PRIORITY"].as_str(), entry["OUTCOME"].as_str()), (Some("6"), Some("ok")), "{entry}");
    assert_eq!(entry["SESSION"].as_str(), row["session"].as_u64().map(|number| number.to_string()).as_deref());
    let warned = container.shell("journalctl -t longshore -p warning --no-pager -q");
    assert!(!warned.contains("session "), "{warned}");

    // The README's recipes are these.
    let readme = include_str!("../../README.md");
    for line in [
        "config/package/build-deb",
        "apt-get install -y ./target/package/longshore_*.deb",
        "systemctl reload longshore",
        "longshore user add ann --home ann --config /etc/longshore/longshore.toml",
        "longshore sessions",
        "install -d -o longshore -g longshore /srv/ftp/ann",
        "journalctl -t longshore CLIENT_PORT=51312",
        "systemctl enable --now longshore.socket",
    ] {
        assert!(readme.contains(line), "{line}");
    }

    // What else it brings.
    container.shell(
        "test -s /usr/share/man/man1/longshore.1.gz && bash -n /usr/share/bash-completion/completions/longshore",
    );
    assert!(container.shell(&format!("longshore check --config {CONFIG}")).contains("looks good"));
    assert_eq!(container.shell("stat -c '%U %a' /etc/longshore/accounts.toml"), "longshore 600\n");
    let exposure = container.shell("systemd-analyze security longshore.service --no-pager | tail -n 1");
    let number = exposure.split_whitespace().find_map(|word| word.parse::<f64>().ok());
    assert!(number.is_some_and(|number| number <= 2.0), "{exposure}");
    container.shell("apt-get remove -y longshore && ! systemctl is-active longshore");
}

#[test]
fn a_reload_changes_what_comes_next_and_a_faulty_one_nothing() {
    let Some(container) = installed() else { return };
    set(&container, "[server]\ngreeting = \"New words.\"");
    let (mut before, greeting) = Control::greeted(control(&container)).unwrap();
    assert!(!greeting.contains("New words."), "{greeting}");
    container.shell("systemctl reload longshore");
    assert_eq!(Control::greeted(control(&container)).unwrap().1, "220 New words.");
    container.shell(&format!("sed -i 's/^greeting = .*/greeting = 1/' {CONFIG}"));
    let (succeeded, _) = container.try_shell("systemctl reload longshore");
    assert!(!succeeded);
    let said = container.shell("journalctl -u longshore --no-pager");
    assert!(said.contains("server.greeting = 1 is not allowed"), "{said}");
    assert_eq!(Control::greeted(control(&container)).unwrap().1, "220 New words.");
    container.shell(&format!("sed -i 's/^greeting = .*/greeting = \"Hangup.\"/' {CONFIG}"));
    container.shell("systemctl kill --signal HUP longshore");
    poll("SIGHUP reloads", || (Control::greeted(control(&container)).unwrap().1 == "220 Hangup.").then_some(()));
    before.expect("331", "USER anonymous");
    before.expect("230", "PASS x");
    assert_eq!(container.shell("systemctl show -P NRestarts longshore"), "0\n");
}

#[test]
fn a_restart_behind_the_socket_refuses_nobody() {
    let Some(container) = installed() else { return };
    container.shell("systemctl stop longshore && systemctl start longshore.socket");
    let address = control(&container);
    let over = AtomicBool::new(false);
    let greeted: usize = thread::scope(|scope| {
        let client = || {
            let mut count = 0;
            while !over.load(Ordering::Relaxed) {
                // One that came just before the stop is told 421.
                let (_, greeting) =
                    Control::greeted(address).unwrap_or_else(|error| panic!("connection lost: {error}"));
                assert!(greeting.starts_with("220 ") || greeting.starts_with("421 "), "{greeting}");
                count += 1;
            }
            count
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        for _ in 0..3 {
            container.shell("systemctl restart longshore");
        }
        over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert!(greeted > 20, "{greeted}");
    let listening = container.shell("journalctl -u longshore --no-pager");
    assert!(listening.contains("listening on [::]:21 (system port)"), "{listening}");
}

#[test]
fn a_stop_lets_transfers_finish_and_the_status_counts_them() {
    let Some(container) = installed() else { return };
    container.shell("head -c 200000 /dev/zero > /srv/ftp/slow.bin && chmod 644 /srv/ftp/slow.bin");
    set(&container, "[limits]\npath_download_rates = { \"/slow.bin\" = \"50 KB\" }");
    container.shell("systemctl reload longshore");
    let (mut session, _) = Control::greeted(control(&container)).unwrap();
    session.expect("331", "USER anonymous");
    session.expect("230", "PASS x");
    session.expect("200", "TYPE I");
    let mut data = session.passive();
    session.expect("150", "RETR slow.bin");
    container.shell("systemctl stop --no-block longshore");
    poll("the status counts the transfer", || {
        let status = container.shell("systemctl show -P StatusText longshore");
        (status == "stopping: 1 sessions, 1 data connections\n").then_some(())
    });
    let mut file = Vec::new();
    data.read_to_end(&mut file).unwrap();
    assert_eq!(file.len(), 200_000);
    assert!(session.reply().unwrap().starts_with("226 "));
    poll("the service ends", || {
        (container.shell("systemctl show -P ActiveState longshore") == "inactive\n").then_some(())
    });
    assert_eq!(container.shell("systemctl show -P Result longshore"), "success\n");
}

#[test]
fn wrong_settings_fail_once_and_the_journal_says_what_is_wrong() {
    let Some(container) = installed() else { return };
    set(&container, "[server]\npassive_ports = \"80-90\"");
    let (succeeded, _) = container.try_shell("systemctl restart longshore");
    assert!(!succeeded);
    let show = container.shell("systemctl show -P ActiveState -P NRestarts -P ExecMainStatus longshore");
    let mut values: Vec<_> = show.lines().collect();
    values.sort_unstable();
    assert_eq!(values, ["0", "78", "failed"]);
    let said = container.shell("journalctl -u longshore --no-pager");
    assert!(said.contains("server.passive_ports = \"80-90\" is not allowed"), "{said}");
}
