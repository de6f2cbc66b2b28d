//! The names of other FTP images, such as `FTP_USER`: what they do where they hold, and that they hold nowhere else.

use std::fs;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::fixture::{LONGSHORE, Process, poll, self_signed};
use crate::ftp::Ftp;

/// The program with these variables, in a directory with an empty root.
fn command(dir: &TempDir, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(LONGSHORE);
    command.current_dir(dir.path()).envs(variables.iter().copied()).stdin(Stdio::null());
    fs::create_dir_all(dir.path().join("ftp")).unwrap();
    command
}

fn check(dir: &TempDir, variables: &[(&str, &str)]) -> Output {
    command(dir, variables).env("LONGSHORE_IMAGE", "1").arg("check").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn serve(dir: &TempDir, variables: &[(&str, &str)]) -> Process {
    let mut command = command(dir, variables);
    Process::spawn(command.env("LONGSHORE_IMAGE", "1").args(["--listen", "127.0.0.1:0"]))
}

#[test]
fn a_user_of_the_environment_logs_in_and_guests_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = serve(&dir, &[("FTP_USER", "ann"), ("FTP_PASS", "se cret")]);
    let address = process.listening(1)[0];
    let mut ftp = Ftp::connect(address);
    ftp.login("ann", "se cret");
    ftp.put("STOR file", b"x");
    assert!(dir.path().join("ftp/file").exists(), "the root is the home");
    let mut guest = Ftp::connect(address);
    guest.expect(331, "USER anonymous");
    guest.expect(530, "PASS x");
    assert!(!process.stdout().contains("se cret") && !process.stderr().contains("se cret"));
    assert!(process.stdout().contains("with your user name and password"), "{}", process.stdout());
}

#[test]
fn several_users_have_homes_of_their_own_beside_those_of_the_accounts_file() {
    let dir = tempfile::tempdir().unwrap();
    let hash = "$2b$04$abcdefghijklmnopqrstuuQ1vn8MsPdHZ7xqxnKAfHoO2HThGD8vq";
    let accounts = |name: &str| {
        fs::write(dir.path().join("a.toml"), format!("[[user]]\nname = \"{name}\"\npassword = \"{hash}\"\n")).unwrap();
    };
    accounts("eve");
    let users = format!("ann|one bob|{hash}|class/bob");
    let variables = [("USERS", &*users), ("LONGSHORE__ACCOUNTS__FILE", "a.toml")];
    let mut process = serve(&dir, &variables);
    let address = process.listening(1)[0];
    for (name, password) in [("ann", "one"), ("bob", "mooring"), ("eve", "mooring")] {
        let mut ftp = Ftp::connect(address);
        ftp.login(name, password);
        ftp.put(format!("STOR of-{name}"), b"x");
    }
    for file in ["ann/of-ann", "class/bob/of-bob", "of-eve"] {
        assert!(dir.path().join("ftp").join(file).exists(), "{file}");
    }
    // A name that is in both is nobody's: an edit that makes it so is not taken.
    accounts("ann");
    Ftp::connect(address).login("eve", "mooring");
    let refused = check(&dir, &variables);
    let expected = "USERS, user 1: the user \"ann\" is there twice; remove one of them\n";
    assert_eq!((refused.status.code(), text(&refused.stderr)), (Some(78), expected.to_owned()));
}

#[test]
fn a_secret_file_is_read_again_at_a_reload() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, "first\n").unwrap();
    let mut command = command(&dir, &[("FTP_USER", "ann"), ("FTP_PASS_FILE", secret.to_str().unwrap())]);
    let mut daemon = Command::new("setsid");
    daemon.arg(LONGSHORE).args(["--listen", "127.0.0.1:0"]).current_dir(dir.path());
    daemon.envs(command.env("LONGSHORE_IMAGE", "1").get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut process = Process::spawn(&mut daemon);
    let address = process.listening(1)[0];
    Ftp::connect(address).login("ann", "first");
    fs::write(&secret, "second\n").unwrap();
    process.signal(Signal::HUP);
    let taken = poll(|| {
        let mut ftp = Ftp::connect(address);
        ftp.expect(331, "USER ann");
        (ftp.command("PASS second").code == 230).then_some(())
    });
    assert!(taken.is_some(), "{}", process.stderr());
    let said = poll(|| process.stderr().contains("in force from now on: accounts that variables give").then_some(()));
    assert!(said.is_some(), "{}", process.stderr());
}

#[test]
fn check_shows_the_variables_and_no_password() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    self_signed(&certificate, &key);
    let output = check(
        &dir,
        &[
            ("PASV_ADDRESS", "203.0.113.7"),
            ("PASV_MIN_PORT", "21100"),
            ("PASV_MAX_PORT", "21110"),
            ("TLS_CERT", certificate.to_str().unwrap()),
            ("TLS_KEY", key.to_str().unwrap()),
            ("USERS", "ann|verysecret"),
        ],
    );
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for (setting, origin) in [
        ("server.passive_address = \"203.0.113.7\"", "PASV_ADDRESS"),
        ("server.passive_ports = \"21100-21110\"", "PASV_MIN_PORT and PASV_MAX_PORT"),
        ("tls.certificate = ", "TLS_CERT"),
        ("tls.key = ", "TLS_KEY"),
        ("accounts.anonymous = \"off\"", "USERS"),
        ("# account \"ann\", home \"ann\", password not shown", "USERS, user 1"),
    ] {
        let there = shown.lines().any(|line| line.starts_with(setting) && line.ends_with(&format!("# {origin}")));
        assert!(there, "{setting} from {origin} is not in\n{shown}");
    }
    assert!(!shown.contains("verysecret") && !text(&output.stderr).contains("verysecret"));
}

#[test]
fn what_is_missing_or_contradictory_is_refused_with_its_cure() {
    let dir = tempfile::tempdir().unwrap();
    for (variables, expected) in [
        (
            &[("FTP_USER", "ann")][..],
            "FTP_USER: it has no password, and there is no default one; set FTP_PASS_FILE to a file with it, or FTP_PASS\n",
        ),
        (&[("TLS_CERT", "c.pem")], "TLS_CERT: tls.certificate is set without its key; set TLS_KEY too\n"),
        (&[("TLS_KEY", "k.pem")], "TLS_KEY: tls.key is set without its certificate; set TLS_CERT too\n"),
        (
            &[("ANONYMOUS", "off")],
            "ANONYMOUS: accounts.anonymous = \"off\" without an accounts file lets nobody in; set FTP_USER and FTP_PASS_FILE \
             too\n",
        ),
        (
            &[("ANONYMOUS", "yes")],
            "ANONYMOUS: accounts.anonymous = \"yes\" is not allowed; write \"off\", \"read-only\", \"read-write\" or \
             \"add-only\"\n",
        ),
        (
            &[("PASV_MIN_PORT", "21110"), ("PASV_MAX_PORT", "21100")],
            "PASV_MIN_PORT and PASV_MAX_PORT: server.passive_ports = \"21110-21100\" is not allowed (the first port is above \
             the last); write a range of ports from 1024 to 65535, such as \"49152-65535\"\n",
        ),
        (
            &[("PASV_ADDRESS", "0.0.0.0")],
            "PASV_ADDRESS: server.passive_address = \"0.0.0.0\" is not allowed (no client can connect to that); write \
             \"auto\", an IPv4 address, a host name, or a table of these by the client's network, such as { \
             \"192.168.0.0/16\" = \"192.168.1.5\", \"0.0.0.0/0\" = \"ftp.example.org\" }\n",
        ),
        (
            &[("LONGSHORE__STORAGE__ROOT", "\"/srv/ftp\"")],
            "LONGSHORE__STORAGE__ROOT: a quote has become part of it; write it without: env files and lists in compose (- \
             NAME=value) keep quotes as they are\n",
        ),
        (
            &[("USERS", "ftp|secret")],
            "USERS, user 1: user.name = \"ftp\" is not allowed (anonymous and ftp are the guests' names); write a login name \
             of at most 64 characters, none of them a control character, other than anonymous and ftp\n",
        ),
        (
            &[("USERS", "ann|secret|/etc")],
            "USERS, user 1: user.home = \"/etc\" is not allowed (it is outside of the root ROOT); write a directory relative \
             to the root, or an absolute one below it\n",
        ),
    ] {
        let output = check(&dir, variables);
        let root = dir.path().join("ftp").display().to_string();
        let said = text(&output.stderr).replace(&root, "ROOT");
        assert_eq!((output.status.code(), &*said), (Some(78), expected), "{variables:?}");
    }
}

#[test]
fn outside_of_the_image_the_names_mean_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let variables = [("FTP_USER", "ann"), ("FTP_PASS", "'x'"), ("PASV_ADDRESS", "0.0.0.0"), ("PUID", "12345")];
    let output = command(&dir, &variables).arg("check").output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("accounts.anonymous = \"read-only\""));
    assert!(!text(&output.stdout).contains("FTP_USER"));
}
