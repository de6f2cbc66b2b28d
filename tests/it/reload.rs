//! SIGHUP: settings, accounts and certificate are read again while sessions go on; on a terminal it ends the server.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::fixture::{LONGSHORE, Process, Server, left_out, noise, poll, self_signed};
use crate::ftp::Ftp;

/// Replaces text in a file beside the root.
fn edit(server: &Server, name: &str, changes: &[(&str, &str)]) {
    let path = server.beside(name);
    let mut text = fs::read_to_string(&path).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from:?} is not in {text}");
        text = text.replace(from, to);
    }
    // At once: a reload that is under way reads the one or the other.
    let new = server.beside("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

/// Sends SIGHUP and waits until this is in the output.
fn hang_up(server: &Server, expected: &str) {
    server.signal(Signal::HUP);
    let seen = poll(|| server.output().contains(expected).then_some(()));
    assert!(seen.is_some(), "{expected:?} is not in {}", server.output());
}

#[test]
fn every_kind_of_setting_changes_for_what_comes_next_and_a_running_upload_goes_on() {
    let builder = Server::builder().account("ann", "mooring").server("greeting = \"before\"");
    let builder = builder.server("passive_ports = \"50000-50499\"").server("epsv = \"on\"");
    let server = builder.limits("max_sessions_per_ip = 9").start();
    let (certificate, key) = (server.beside("certificate.pem"), server.beside("key.pem"));
    self_signed(&certificate, &key);
    let mut old = Ftp::anonymous(&server);
    let contents = noise(300_000, 1);
    let mut data = old.open("STOR upload");
    data.write_all(&contents[..100_000]).unwrap();

    edit(
        &server,
        "longshore.toml",
        &[
            ("\"before\"", "\"after\""),
            ("50000-50499", "50500-50999"),
            ("read-write", "read-only"),
            ("max_sessions_per_ip = 9", "max_sessions_per_ip = 2"),
            ("[tls]\n", &format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n")),
        ],
    );
    edit(&server, "accounts.toml", &[("\"ann\"", "\"ann\"\npermissions = \"read-only\"")]);
    hang_up(&server, "in force from now on: server.greeting = ");

    let mut new = Ftp::connect(server.address());
    assert!(new.expect(211, "FEAT").text().contains("AUTH TLS"), "TLS");
    new.login("ann", "mooring");
    new.expect(550, "MKD made");
    assert!((50500..=50999).contains(&new.epsv()), "passive ports");
    let third = TcpStream::connect(server.address()).and_then(|mut third| {
        let mut said = String::new();
        third.read_to_string(&mut said).map(|_| said)
    });
    let third = third.unwrap();
    assert!(third.starts_with("421 ") && third.contains("as many sessions"), "the old one counts: {third}");

    data.write_all(&contents[100_000..]).unwrap();
    drop(data);
    old.read(226);
    assert_eq!(server.read("upload"), contents);
    old.expect(250, "DELE upload");
    assert!(old.expect(220, "REIN").text().contains("after"));
    old.login("anonymous", "x");
    old.expect(550, "MKD made");
}

#[test]
fn faults_leave_everything_as_it_was_and_are_logged_with_their_lines() {
    let server = Server::builder().account("ann", "mooring").server("greeting = \"before\"").start();
    edit(&server, "longshore.toml", &[("\"before\"", "\"after\""), ("[limits]", "[limits]\nmax_sesions = 3")]);
    hang_up(&server, "nothing was reloaded");
    let line = fs::read_to_string(server.beside("longshore.toml")).unwrap();
    let line = 1 + line.lines().position(|line| line.starts_with("max_sesions")).unwrap();
    let output = server.output();
    assert!(output.contains(&format!("longshore.toml:{line}: ")), "{output}");
    assert!(output.contains("did you mean max_sessions?"), "{output}");
    let greeting = |expected: &str| {
        let greeted = Ftp::connect(server.address()).expect(220, "REIN").text();
        assert!(greeted.contains(expected), "{greeted}");
    };
    greeting("before");

    edit(&server, "longshore.toml", &[("max_sesions = 3", "")]);
    edit(&server, "accounts.toml", &[("name = \"ann\"", "name = \"ann\"\npermisions = \"none\"")]);
    hang_up(&server, "did you mean permissions?");
    greeting("before");
    edit(&server, "accounts.toml", &[("permisions = \"none\"", "")]);
    let (certificate, key) = (server.beside("none.pem"), server.beside("none.key"));
    let tls = format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
    edit(&server, "longshore.toml", &[("[tls]\n", &tls)]);
    hang_up(&server, "none.pem");
    greeting("before");
    edit(&server, "longshore.toml", &[(&tls, "[tls]\n")]);
    hang_up(&server, "in force from now on: server.greeting");
    greeting("after");
}

#[test]
fn what_needs_a_restart_is_named_and_the_rest_holds() {
    let server = Server::builder().server("greeting = \"before\"").start();
    let listen = server.address();
    let root = format!("root = {:?}", server.path(""));
    let (old, new) = (format!("{:?}", server.path("").parent().unwrap().join("root")), server.beside("other"));
    fs::create_dir(&new).unwrap();
    server.write("here", "");
    edit(&server, "longshore.toml", &[(&old, &format!("{new:?}")), ("\"before\"", "\"after\"")]);
    hang_up(&server, "takes effect at the next start: storage.root = ");
    assert!(!server.output().contains("next start: server"), "{root}");
    let mut ftp = Ftp::connect(listen);
    assert!(ftp.expect(220, "REIN").text().contains("after"));
    ftp.login("anonymous", "x");
    ftp.expect(213, "SIZE here");
}

#[test]
fn a_certificate_that_a_listener_needs_until_the_restart_cannot_go() {
    let server = Server::builder().tls(&[]).implicit().start();
    let text = fs::read_to_string(server.beside("longshore.toml")).unwrap();
    let (from, to) = (text.find("[tls]").unwrap(), text.find("[limits]").unwrap());
    edit(&server, "longshore.toml", &[(&text[from..to], "[tls]\n")]);
    hang_up(&server, "tls.implicit = [] changes at a restart only");
    assert!(Ftp::connect(server.address()).expect(211, "FEAT").text().contains("AUTH TLS"));
}

#[test]
fn a_session_log_that_was_moved_away_is_opened_anew() {
    let server = Server::builder().start();
    Ftp::anonymous(&server).expect(221, "QUIT");
    server.events_of_ended();
    fs::rename(server.beside("sessions.json"), server.beside("sessions.json.1")).unwrap();
    hang_up(&server, "reload: nothing has changed");
    let moved = fs::read_to_string(server.beside("sessions.json.1")).unwrap();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(257, "PWD");
    server.event_where("command", |event| event["verb"] == "PWD");
    let later = fs::read_to_string(server.beside("sessions.json.1")).unwrap();
    assert!(moved.contains("QUIT") && !later.contains("PWD"), "{later}");
    assert!(!server.log_text().contains("QUIT"));
}

#[test]
fn the_log_s_level_format_and_place_change() {
    let server = Server::builder().server("greeting = \"before\"").start();
    edit(&server, "longshore.toml", &[("level = \"debug\"", "level = \"warn\""), ("\"before\"", "\"after\"")]);
    server.signal(Signal::HUP);
    let greeted = || Ftp::connect(server.address()).expect(220, "REIN").text();
    assert!(poll(|| greeted().contains("after").then_some(())).is_some());
    edit(&server, "longshore.toml", &[("[limits]", "[limits]\nmax_sesions = 3")]);
    hang_up(&server, "did you mean max_sessions?");
    edit(&server, "longshore.toml", &[("max_sesions = 3", "")]);
    let (old, new) = (server.beside("sessions.json"), server.beside("sessions.log"));
    let place = (format!("{old:?}"), format!("{new:?}"));
    edit(
        &server,
        "longshore.toml",
        &[("\"json\"", "\"text\""), (&place.0, &place.1), ("level = \"warn\"", "level = \"info\"")],
    );
    hang_up(&server, "INFO reload: in force from now on: log.format = \"text\"");
    assert!(!server.output().contains("log.level = \\\"warn\\\""), "{}", server.output());
    Ftp::anonymous(&server).expect(221, "QUIT");
    let written = poll(|| fs::read_to_string(&new).ok().filter(|text| text.contains(" QUIT: ")));
    assert!(!written.expect("the text log").contains('{'));
}

/// A server on a terminal of its own, which `script` makes.
struct OnTerminal {
    script: Process,
    address: SocketAddr,
    server: Pid,
    _root: tempfile::TempDir,
}

impl OnTerminal {
    /// Started behind these words of the shell. `None` where there is no `script`.
    fn start(before: &str) -> Option<Self> {
        if Command::new("script").arg("--version").output().is_err() {
            left_out("script (util-linux) is not installed; SIGHUP on a terminal was left out");
            return None;
        }
        let root = tempfile::tempdir().unwrap();
        let command = format!("{before} exec {LONGSHORE} --listen 127.0.0.1:0 --root {}", root.path().display());
        // Whoever runs the tests behind nohup ignores the signal, and programs inherit that.
        let mut script = Command::new("env");
        script.args([
            "--default-signal=HUP",
            "script",
            "--quiet",
            "--return",
            "--flush",
            "--command",
            &command,
            "/dev/null",
        ]);
        let mut script = Process::spawn(script.env("SHELL", "/bin/sh").env("LONGSHORE__SERVER__ADMIN_SOCKET", ""));
        let address = script.listening(1)[0];
        let children = format!("/proc/{0}/task/{0}/children", script.pid());
        let server = fs::read_to_string(children).unwrap().split_whitespace().next().unwrap().parse().unwrap();
        Some(Self { script, address, server: Pid::from_raw(server).unwrap(), _root: root })
    }
}

#[test]
fn on_a_terminal_a_hangup_ends_the_server_as_a_sigterm_does() {
    let Some(mut terminal) = OnTerminal::start("") else { return };
    let mut ftp = Ftp::connect(terminal.address);
    kill_process(terminal.server, Signal::HUP).unwrap();
    ftp.read(421);
    assert!(terminal.script.wait().success());
    assert!(terminal.script.stdout().contains("SIGHUP: stopping"), "{}", terminal.script.stdout());
}

#[test]
fn closing_the_terminal_leaves_no_server_behind() {
    let Some(terminal) = OnTerminal::start("") else { return };
    let mut ftp = Ftp::connect(terminal.address);
    terminal.script.signal(Signal::KILL);
    ftp.read(421);
    assert!(poll(|| TcpStream::connect(terminal.address).err()).is_some(), "it still listens");
}

#[test]
fn under_nohup_a_terminal_s_hangup_is_a_reload() {
    let Some(terminal) = OnTerminal::start("trap '' HUP;") else { return };
    let mut ftp = Ftp::connect(terminal.address);
    kill_process(terminal.server, Signal::HUP).unwrap();
    let reloaded = poll(|| terminal.script.stdout().contains("reload: nothing has changed").then_some(()));
    assert!(reloaded.is_some(), "{}", terminal.script.stdout());
    ftp.expect(200, "NOOP");
    kill_process(terminal.server, Signal::TERM).unwrap();
    ftp.read(421);
}

#[test]
fn a_new_rate_holds_for_the_next_transfer_of_a_session() {
    let file = noise(100_000, 5);
    let server = Server::builder().limits("session_download_rate = 0").file("a.bin", &file).start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(200, "TYPE I");
    assert_eq!(ftp.get("RETR a.bin"), file);
    edit(&server, "longshore.toml", &[("session_download_rate = 0", "session_download_rate = 200000")]);
    hang_up(&server, "in force from now on: limits.session_download_rate = ");
    let begun = Instant::now();
    assert_eq!(ftp.get("RETR a.bin"), file);
    assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());
}
