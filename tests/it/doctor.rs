//! `longshore doctor`: each finding is provoked for real and its sentence read.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::Value;
use tempfile::TempDir;

use crate::fixture::{LONGSHORE, Process, Server, copy_of_the_program, left_out};

/// Somebody who may nothing.
const SOMEBODY: u32 = 65_534;

/// What it found, and with which code it ended.
struct Findings {
    code: Option<i32>,
    found: Vec<Value>,
}

impl Findings {
    fn of(output: &Output) -> Self {
        let report: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let found = report["findings"].as_array().unwrap().clone();
        let count = |level: &str| found.iter().filter(|finding| finding["level"] == level).count();
        assert_eq!((&report["faults"], &report["warnings"]), (&count("fault").into(), &count("warning").into()));
        assert_eq!(output.status.code(), Some(i32::from(count("fault") > 0)), "{found:#?}");
        assert!(found.iter().all(|finding| !finding["text"].as_str().unwrap().contains('\n')));
        Self { code: output.status.code(), found }
    }

    /// Something of this level has these words.
    #[track_caller]
    fn expect(&self, level: &str, about: &str, words: &str) {
        let told =
            |it: &Value| it["level"] == level && it["about"] == about && it["text"].as_str().unwrap().contains(words);
        assert!(self.found.iter().any(told), "no {level} about {about} says {words:?}: {:#?}", self.found);
    }
}

fn directory() -> TempDir {
    let dir = tempfile::Builder::new().prefix("longshore-doctor-").tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(dir.path().join("ftp")).unwrap();
    dir
}

/// The doctor in this directory, which has no settings but these.
fn doctor(dir: &Path, settings: &str) -> Command {
    fs::write(dir.join("c.toml"), settings).unwrap();
    let mut command = Command::new(LONGSHORE);
    command.args(["doctor", "--json", "--config", "c.toml"]).current_dir(dir).stdin(Stdio::null());
    command.env_remove("XDG_RUNTIME_DIR").env("RUNTIME_DIRECTORY", dir);
    command
}

fn examined(dir: &Path, settings: &str) -> Findings {
    Findings::of(&doctor(dir, settings).output().unwrap())
}

/// The doctor as somebody else would run it, behind these words. `None` where this user cannot be somebody else.
fn as_somebody(dir: &Path, under: &[&str], settings: &str) -> Option<Findings> {
    if !rustix::process::geteuid().is_root() {
        left_out("only root can run the doctor as somebody else; that was left out");
        return None;
    }
    let program = copy_of_the_program(dir);
    fs::write(dir.join("c.toml"), settings).unwrap();
    let (somebody, group) = (format!("--reuid={SOMEBODY}"), format!("--regid={SOMEBODY}"));
    let mut words = under.to_vec();
    words.extend(["setpriv", &somebody, &group, "--clear-groups", program.to_str().unwrap()]);
    words.extend(["doctor", "--json", "--config", "c.toml"]);
    let mut command = Command::new(words[0]);
    Some(Findings::of(&command.args(&words[1..]).current_dir(dir).stdin(Stdio::null()).output().unwrap()))
}

#[test]
fn a_machine_without_faults_ends_with_0_and_each_finding_is_a_line() {
    let dir = directory();
    let free = TcpListener::bind("127.0.78.1:0").unwrap().local_addr().unwrap();
    let settings = format!("[server]\nlisten = [\"{free}\", \"127.0.0.1:0\"]\n");
    let findings = examined(dir.path(), &settings);
    assert_eq!(findings.code, Some(0));
    findings.expect("good", "settings", "are right");
    findings.expect("good", "control port", &format!("{free} is free, and this user may bind it"));
    findings.expect("good", "control port", "127.0.0.1:0 is whichever port is free at the start");
    findings.expect("good", "passive ports", "49152-65535, of which those outside of the kernel's own ");
    findings.expect("good", "firewall", "none is in the way, since the server listens on loopback only");
    findings.expect("good", "root", "ftp can be read, and written by whoever may upload");
    findings.expect(
        "note",
        "certificate",
        "there is none, so passwords and files go in clear; longshore tls self-signed",
    );
    let mut plain = Command::new(LONGSHORE);
    plain.args(["doctor", "--listen", "127.0.0.1:0"]).current_dir(dir.path());
    let plain = String::from_utf8(plain.output().unwrap().stdout).unwrap();
    let lines: Vec<&str> = plain.lines().collect();
    assert_eq!(lines.len(), findings.found.len() - 1 + 2, "one port fewer, and a sum: {plain}");
    assert!(lines[0].starts_with("good") && lines[0].contains("  settings  "), "{plain}");
    assert!(lines.last().unwrap().starts_with("0 faults, "), "{plain}");
}

#[test]
fn wrong_settings_are_faults_with_their_lines_and_nothing_is_guessed_behind_them() {
    let dir = directory();
    let findings = examined(dir.path(), "[server]\nlisen = []\npassive_ports = \"80-90\"\n");
    findings.expect("fault", "settings", "c.toml:2: there is no \"lisen\" in [server] (did you mean listen?)");
    findings.expect("fault", "settings", "c.toml:3: server.passive_ports = \"80-90\" is not allowed");
    findings.expect("note", "settings", "nothing else was looked at; correct the settings first");
    assert_eq!(findings.found.len(), 3);
}

#[test]
fn places_that_are_wrong_are_faults_and_the_rest_is_looked_at() {
    let dir = directory();
    fs::write(dir.path().join("file"), "").unwrap();
    let findings = examined(dir.path(), "[server]\nlisten = [\"127.0.0.1:0\"]\n[storage]\nroot = \"file\"\n");
    findings.expect(
        "fault",
        "settings",
        "c.toml:4: storage.root = \"file\" is no directory; name the directory to serve",
    );
    findings.expect("good", "control port", "127.0.0.1:0 is whichever port is free");
    assert!(findings.found.iter().all(|it| it["about"] != "root"), "{:?}", findings.found);
}

#[test]
fn who_holds_a_port_is_named() {
    let dir = directory();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let held = holder.local_addr().unwrap();
    let settings =
        format!("[server]\nlisten = [\"{held}\"]\n[metrics]\nlisten = [\"{held}\"]\n[page]\nlisten = [\"{held}\"]\n");
    let findings = examined(dir.path(), &settings);
    findings.expect("fault", "control port", &format!("{held} is held by "));
    for (about, place) in
        [("control port", "with --port"), ("metrics port", "in metrics.listen"), ("page port", "with --page")]
    {
        let named = format!("(pid {}); stop that one, or choose another port {place}", std::process::id());
        findings.expect("fault", about, &named);
    }
    // The same at the start.
    let start = Command::new(LONGSHORE).args(["--listen", &held.to_string()]).current_dir(dir.path()).output().unwrap();
    assert_eq!(start.status.code(), Some(69));
    let said = String::from_utf8(start.stderr).unwrap();
    assert!(said.contains(&format!("(pid {}). Stop that one", std::process::id())), "{said}");
    let Some(unseen) = as_somebody(dir.path(), &[], &settings) else { return };
    let port = held.port();
    let words = format!(
        "{held} is held by a process that cannot be seen from here, another user's or one outside of this \
                         container: as root, ss -ltnp 'sport = :{port}' names it"
    );
    unseen.expect("fault", "control port", &words);
}

#[test]
fn a_server_that_runs_already_is_no_fault_and_its_own_limits_count() {
    let server = Server::builder().admin().metrics().descriptors(400).start();
    let listen = server.address().to_string();
    let mut command = Command::new(LONGSHORE);
    command.args(["doctor", "--json", "--listen", &listen, "--config"]).arg(server.beside("longshore.toml"));
    let findings = Findings::of(&command.output().unwrap());
    let held = format!("{listen} is held by longshore (pid {}), which runs already", server.pid());
    findings.expect("good", "control port", &held);
    let words =
        format!("the running server (pid {}): limits.max_sessions = 1000 may need 6546 open files", server.pid());
    findings.expect("warning", "open files", &words);
    findings.expect("warning", "open files", "and the limit is 400; raise it (LimitNOFILE= of a systemd unit");
    assert_eq!(findings.code, Some(0));
    server.ask_json(&["sessions"]);
    assert!(server.events().is_empty(), "the doctor is on record");
}

#[test]
fn what_another_user_s_server_may_do_is_not_claimed() {
    let dir = directory();
    if !rustix::process::geteuid().is_root() {
        return left_out("only root can start a server of somebody else; what the doctor says of it was left out");
    }
    let socket = dir.path().join("open");
    fs::create_dir(&socket).unwrap();
    std::os::unix::fs::chown(&socket, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    let settings = format!("[server]\nlisten = [\"127.0.0.1:0\"]\nadmin_socket = {:?}\n", socket.join("s"));
    fs::write(dir.path().join("c.toml"), &settings).unwrap();
    let mut command = Command::new(copy_of_the_program(dir.path()));
    command.args(["--config", "c.toml"]).current_dir(dir.path()).uid(SOMEBODY).gid(SOMEBODY);
    let mut process = Process::spawn(&mut command);
    let listen = process.listening(1)[0].to_string();
    let output = doctor(dir.path(), &settings).args(["--listen", &listen]).output().unwrap();
    let findings = Findings::of(&output);
    findings.expect("good", "control port", &format!("longshore (pid {})", process.pid()));
    findings.expect(
        "note",
        "root",
        "what follows holds for user 0, and the running server is user 65534's; ask as that one",
    );
}

#[test]
fn a_port_that_this_user_may_not_bind_has_three_ways_out() {
    let dir = directory();
    // A network of its own has the kernel's own idea of system ports, whatever this machine's is.
    let settings = "[server]\nlisten = [\"127.0.0.1:21\"]\n";
    let Some(findings) = as_somebody(dir.path(), &["unshare", "--net"], settings) else { return };
    findings.expect(
        "fault",
        "control port",
        "127.0.0.1:21 may not be bound by user 65534; three ways out: --port 2121",
    );
    findings.expect("fault", "control port", "sudo setcap cap_net_bind_service=+ep /");
    findings.expect("fault", "control port", "AmbientCapabilities=CAP_NET_BIND_SERVICE");
    // There nothing is up.
    findings.expect("fault", "loopback", "this machine does not reach itself at 127.0.0.1 (Network is unreachable");
    findings.expect("fault", "loopback", "and logins need that; ip link set lo up, and let it through the firewall");
}

#[test]
fn an_address_of_another_machine_cannot_be_bound() {
    let dir = directory();
    let findings = examined(dir.path(), "[server]\nlisten = [\"203.0.113.7:2121\"]\n");
    let words = "203.0.113.7:2121 is no address of this machine (ip address lists them); correct the settings";
    findings.expect("fault", "control port", words);
}

#[test]
fn what_clients_cannot_reach_is_a_warning() {
    let dir = directory();
    let server =
        "[server]\nlisten = [\"0.0.0.0:0\"]\npassive_address = \"127.0.0.1\"\npassive_ports = \"50000-50009\"\n";
    let findings = examined(dir.path(), server);
    findings.expect("warning", "passive address", "PASV tells clients 127.0.0.1, which is their own machine");
    findings.expect("warning", "passive ports", "passive ports 50000-50009 lie among those that this machine takes");
    assert_eq!(findings.code, Some(0), "the server starts");
}

#[test]
fn too_few_descriptors_are_a_warning() {
    let dir = directory();
    fs::write(dir.path().join("c.toml"), "[server]\nlisten = [\"127.0.0.1:0\"]\n").unwrap();
    let script = format!("ulimit -n 300 && exec {LONGSHORE} doctor --json --config c.toml");
    let output = Command::new("sh").args(["-c", &script]).current_dir(dir.path()).output().unwrap();
    let words =
        "a server that this user starts: limits.max_sessions = 1000 may need 6033 open files, and the limit is 300";
    Findings::of(&output).expect("warning", "open files", words);
}

#[test]
fn a_root_that_cannot_be_written_and_accounts_that_others_can_read_are_warnings() {
    let dir = directory();
    let accounts = dir.path().join("accounts.toml");
    fs::write(&accounts, "").unwrap();
    fs::set_permissions(&accounts, Permissions::from_mode(0o644)).unwrap();
    let settings =
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[accounts]\nfile = \"accounts.toml\"\nanonymous = \"read-write\"\n";
    let findings = examined(dir.path(), settings);
    findings.expect("warning", "accounts", "everybody on this machine can read the password hashes in accounts.toml");
    let Some(findings) = as_somebody(dir.path(), &[], settings) else { return };
    findings.expect("warning", "root", "and user 65534, who serves, may not write there");
    findings.expect("warning", "root", "uploads of anonymous will fail; chown 65534:65534 it");
    let wide = settings.replace("127.0.0.1:0", "0.0.0.0:0").replace("read-write", "read-only");
    let Some(findings) = as_somebody(dir.path(), &[], &wide) else { return };
    findings.expect("good", "root", "ftp can be read, and written by whoever may upload");
    // What this user cannot see, with the lines for each.
    findings.expect("note", "firewall", "which one is active cannot be seen from here (nft list ruleset tells root)");
    for line in ["ufw allow 49152:65535/tcp", "firewall-cmd --permanent --add-port=49152-65535/tcp", "nft insert rule "]
    {
        findings.expect("note", "firewall", line);
    }
}

#[test]
fn a_clock_from_before_the_program_is_a_warning() {
    let dir = directory();
    let program = copy_of_the_program(dir.path());
    assert!(Command::new("touch").arg("--date=3 days").arg(&program).status().unwrap().success());
    let output = Command::new(program).args(["doctor", "--json", "--listen", "127.0.0.1:0"]).output().unwrap();
    Findings::of(&output).expect("warning", "clock", ", and this program was made at ");
}

#[test]
fn the_dates_of_the_certificate_are_told() {
    let dir = directory();
    let day = |days: i64| {
        let then = chrono::Utc::now() + chrono::Duration::days(days);
        use chrono::Datelike;
        date_time_ymd(then.year(), then.month() as u8, then.day() as u8)
    };
    for (begin, end, level, about, words) in [
        (-1, 100, "good", "certificate", "certificate.pem is valid until "),
        (-1, 5, "warning", "certificate", " days, and clients refuse it then; renew it"),
        (-9, -2, "fault", "settings", "tls.certificate = \"certificate.pem\" has expired on "),
        (2, 100, "fault", "settings", "is not valid before "),
    ] {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(["localhost".to_owned()]).unwrap();
        (parameters.not_before, parameters.not_after) = (day(begin), day(end));
        let certificate = parameters.self_signed(&key).unwrap();
        fs::write(dir.path().join("certificate.pem"), certificate.pem()).unwrap();
        fs::write(dir.path().join("key.pem"), key.serialize_pem()).unwrap();
        let tls = "[server]\nlisten = [\"127.0.0.1:0\"]\n[tls]\ncertificate = \"certificate.pem\"\nkey = \"key.pem\"\n";
        examined(dir.path(), tls).expect(level, about, words);
    }
}
