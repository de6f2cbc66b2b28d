//! The command line: exit codes, messages, accounts.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::fixture::{LONGSHORE, Process, left_out, poll};
use crate::ftp::Ftp;

fn directory() -> TempDir {
    tempfile::Builder::new().prefix("longshore-cli-").tempdir().unwrap()
}

fn run(dir: &TempDir, args: &[&str]) -> Output {
    Command::new(LONGSHORE).args(args).current_dir(dir.path()).stdin(Stdio::null()).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

const BAD: &str = "\
[server]
listen = [\"127.0.0.1:0\"]
lisen = [\"127.0.0.1:0\"]
passive_ports = \"60000-50000\"
idle_timeout = \"soon\"
[accounts]
anonymous = \"maybe\"
[log]
format = \"xml\"
[strorage]
root = \"x\"
";

#[test]
fn a_bad_configuration_is_refused_with_all_its_faults_and_78() {
    let dir = directory();
    fs::write(dir.path().join("bad.toml"), BAD).unwrap();
    for args in [&["--config", "bad.toml"][..], &["check", "--config", "bad.toml"]] {
        let output = run(&dir, args);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(78), "{text}");
        for (line, what, allowed) in [
            (3, "lisen", "listen"),
            (4, "passive_ports", ""),
            (5, "idle_timeout", ""),
            (7, "anonymous", "read-only"),
            (9, "format", "json"),
            (10, "strorage", "storage"),
        ] {
            let found = text.lines().any(|fault| {
                fault.contains(&format!("bad.toml:{line}")) && fault.contains(what) && fault.contains(allowed)
            });
            assert!(found, "line {line} ({what}) is not named in:\n{text}");
        }
        assert_eq!(stdout(&output), "");
    }
    assert!(!dir.path().join("ftp").exists(), "a refused start made a root");
}

#[test]
fn check_and_serve_report_the_same_about_places_and_accounts() {
    let dir = directory();
    let file = "[storage]\nroot = \"file\"\n[accounts]\nfile = \"missing.toml\"\n[log]\nsessions = \"missing/log\"\n";
    fs::write(dir.path().join("c.toml"), file).unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let checked = run(&dir, &["check", "--config", "c.toml"]);
    let served = run(&dir, &["--config", "c.toml", "--port", "0"]);
    assert_eq!([checked.status.code(), served.status.code()], [Some(78); 2]);
    assert_eq!(stderr(&checked), stderr(&served));
    for place in ["c.toml:2: storage.root", "c.toml:6: log.sessions", "missing.toml: there is no such file"] {
        assert!(stderr(&checked).contains(place), "{place} is not named in:\n{}", stderr(&checked));
    }
    // Faulty accounts do not leave a new root behind.
    let served = run(&dir, &["--config", "c.toml", "--port", "0", "--root", "new"]);
    assert_eq!(served.status.code(), Some(78));
    assert!(!dir.path().join("new").exists());
}

#[test]
fn a_home_that_a_link_leads_out_of_the_root_is_refused() {
    let dir = directory();
    fs::write(dir.path().join("c.toml"), "[storage]\nroot = \"root\"\n[accounts]\nfile = \"users.toml\"\n").unwrap();
    let hash = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$YWFhYWFhYWFhYWFhYWFhYQ";
    let user = format!("[[user]]\nname = \"ann\"\npassword = \"{hash}\"\nhome = \"ann\"\n");
    fs::write(dir.path().join("users.toml"), user).unwrap();
    fs::create_dir(dir.path().join("root")).unwrap();
    std::os::unix::fs::symlink("/etc", dir.path().join("root/ann")).unwrap();
    for args in [&["check", "--config", "c.toml"][..], &["--config", "c.toml", "--port", "0"]] {
        let output = run(&dir, args);
        assert_eq!(output.status.code(), Some(78));
        let fault =
            "users.toml:4: user.home = \"ann\" is not allowed (a symbolic link leads it out of the root, to /etc)";
        assert!(stderr(&output).contains(fault), "{}", stderr(&output));
    }
}

/// By default guests may read all of the root.
#[test]
fn homes_that_guests_get_at_are_reported_with_a_cure() {
    let dir = directory();
    let settings =
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[storage]\nroot = \"root\"\n[accounts]\nfile = \"users.toml\"\n";
    fs::write(dir.path().join("c.toml"), settings).unwrap();
    let hash = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$YWFhYWFhYWFhYWFhYWFhYQ";
    let user =
        |name: &str, home: &str| format!("[[user]]\nname = \"{name}\"\npassword = \"{hash}\"\nhome = \"{home}\"\n");
    let group = |says: &str| format!("[[group]]\nname = \"anonymous\"\n{says}\n");
    for directory in ["root/homes/ann", "root/pub"] {
        fs::create_dir_all(dir.path().join(directory)).unwrap();
    }
    let (ann, bob, all) = (user("ann", "homes/ann"), user("bob", "homes/bob"), user("all", "."));
    for (text, whose) in [
        (ann.clone() + &all, "the files of ann;"),
        (ann.clone() + &bob, "the files of ann and 1 more;"),
        (all, ""),
        (ann.clone() + &group("home = \"pub\""), ""),
        (ann.clone() + &group("permissions = { \"/\" = \"read-only\", \"/homes\" = \"none\" }"), ""),
    ] {
        fs::write(dir.path().join("users.toml"), &text).unwrap();
        fs::set_permissions(dir.path().join("users.toml"), fs::Permissions::from_mode(0o600)).unwrap();
        let output = run(&dir, &["check", "--config", "c.toml"]);
        assert!(output.status.success(), "{text}{}", stderr(&output));
        let said = stderr(&output);
        let warned = said.contains("guests (accounts.anonymous) get at");
        assert!(warned != whose.is_empty() && said.contains(whose), "{text}{said}");
    }
    fs::write(dir.path().join("users.toml"), ann).unwrap();
    let served = Process::spawn(Command::new(LONGSHORE).args(["--config", "c.toml"]).current_dir(dir.path()));
    poll(|| served.stderr().contains("set accounts.anonymous = \"off\"").then_some(()))
        .expect("the start says so, too");
}

/// Who serves the directory in which the settings are would give all passwords' hashes away, and a log that fail2ban reads.
#[test]
fn files_of_the_server_that_clients_get_at_are_reported_with_a_cure() {
    let dir = directory();
    let settings = "[server]\nlisten = [\"127.0.0.1:0\"]\n[storage]\nroot = \".\"\n[accounts]\nfile = \"users.toml\"\n\
                    anonymous = \"off\"\n[tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n[log]\nsessions = \"log\"\n";
    fs::write(dir.path().join("c.toml"), settings).unwrap();
    crate::fixture::self_signed(&dir.path().join("c.pem"), &dir.path().join("k.pem"));
    fs::create_dir(dir.path().join("files")).unwrap();
    let hash = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$YWFhYWFhYWFhYWFhYWFhYQ";
    let users = |says: &str| {
        let user = |name: &str| format!("[[user]]\nname = {name:?}\npassword = {hash:?}\n{says}\n");
        fs::write(dir.path().join("users.toml"), user("ann") + &user("bob")).unwrap();
    };
    let check = || {
        let output = run(&dir, &["check", "--config", "c.toml"]);
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output)
    };
    let real = dir.path().canonicalize().unwrap();
    users("permissions = \"read-only\"");
    let said = check();
    for (file, key) in [("users.toml", "accounts.file"), ("k.pem", "tls.key"), ("log", "log.sessions")] {
        let file = real.join(file).display().to_string();
        let expected = format!(
            "ann and 1 more can read or change {file} as a client; move it out of ., and set {key} to where it is then"
        );
        assert!(said.contains(&expected), "{said}");
    }
    let served = Process::spawn(Command::new(LONGSHORE).args(["--config", "c.toml"]).current_dir(dir.path()));
    poll(|| served.stderr().contains("and set tls.key to").then_some(())).expect("the start says so, too");
    for harmless in ["home = \"files\"", "permissions = \"add-only\"", "permissions = { \"/files\" = \"read-write\" }"]
    {
        users(harmless);
        assert!(!check().contains("as a client"), "{harmless}");
    }
}

#[test]
fn text_that_is_no_toml_is_refused_with_its_line() {
    let dir = directory();
    fs::write(dir.path().join("bad.toml"), "[server]\nlisten = [\n").unwrap();
    let output = run(&dir, &["--config", "bad.toml"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("bad.toml"), "{}", stderr(&output));
    let output = run(&dir, &["--config", "missing.toml"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("missing.toml"), "{}", stderr(&output));
}

#[test]
fn a_bad_environment_is_refused_by_its_variables_name() {
    let dir = directory();
    let output = Command::new(LONGSHORE)
        .arg("check")
        .env("LONGSHORE__ACCOUNTS__ANONYMOUS", "maybe")
        .env("LONGSHORE__SERVER__LISEN", "x")
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    let text = stderr(&output);
    assert!(text.contains("LONGSHORE__ACCOUNTS__ANONYMOUS"), "{text}");
    assert!(text.contains("LONGSHORE__SERVER__LISEN"), "{text}");
}

#[test]
fn check_shows_each_value_and_where_it_comes_from() {
    let dir = directory();
    fs::write(dir.path().join("good.toml"), "[server]\nidle_timeout = 77\n[storage]\nroot = \".\"\n").unwrap();
    let output = Command::new(LONGSHORE)
        .args(["check", "--config", "good.toml", "--port", "2121"])
        .env("LONGSHORE__TRANSFER__ASCII", "binary")
        .current_dir(dir.path())
        .output()
        .unwrap();
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for (value, origin) in [
        ("idle_timeout = 77", "good.toml:2"),
        ("ascii = \"binary\"", "LONGSHORE__TRANSFER__ASCII"),
        ("2121", "--port"),
        ("epsv = \"on\"", "default"),
    ] {
        let shown = text.lines().any(|line| line.contains(value) && line.contains(origin));
        assert!(shown, "{value} from {origin} is not shown in:\n{text}");
    }
    // It is a settings file itself.
    fs::write(dir.path().join("shown.toml"), &text).unwrap();
    let again = run(&dir, &["check", "--config", "shown.toml"]);
    assert!(again.status.success(), "{}", stderr(&again));
    let values = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| Some(line.rsplit_once('#')?.0.trim_end().to_owned())).collect()
    };
    assert_eq!(values(&stdout(&again)), values(&text));
}

#[test]
fn a_wrong_command_line_is_2() {
    let dir = directory();
    // No password on the command line, which everybody on the machine can read.
    let password = ["user", "add", "ann", "--password", "secret"];
    for args in [&["--bogus"][..], &["serve", "--anonymous", "maybe"], &["--port", "99999"], &["user"], &password] {
        let output = run(&dir, args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!output.stderr.is_empty(), "{args:?}");
    }
    let output = run(&dir, &["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("--port"));
    assert!(run(&dir, &["--version"]).status.success());
}

#[test]
fn a_port_in_use_is_named_and_has_an_exit_code_of_its_own() {
    let dir = directory();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let output = run(&dir, &["--listen", &address.to_string()]);
    assert_eq!(output.status.code(), Some(69), "{}", stderr(&output));
    let holder = format!("(pid {})", std::process::id());
    let expected = format!("port {} is taken by ", address.port());
    assert!(stderr(&output).starts_with(&expected) && stderr(&output).contains(&holder), "{}", stderr(&output));
    let mut serve = Command::new(LONGSHORE);
    serve.args(["--listen", "127.0.0.1:0"]).env("LONGSHORE__METRICS__LISTEN", address.to_string());
    let output = serve.current_dir(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(69), "{}", stderr(&output));
    let expected = format!("metrics.listen: {address}: taken by ");
    assert!(stderr(&output).starts_with(&expected) && stderr(&output).contains(&holder), "{}", stderr(&output));
}

#[test]
fn without_a_configuration_it_serves_a_welcome_file_at_once() {
    let dir = directory();
    let mut process = Process::spawn(Command::new(LONGSHORE).args(["--listen", "127.0.0.1:0"]).current_dir(dir.path()));
    let address = process.listening(1)[0];
    assert!(process.stdout().contains("ftp "), "it does not say what to type: {}", process.stdout());
    let mut ftp = Ftp::connect(address);
    ftp.login("anonymous", "x");
    let names = ftp.list("NLST");
    assert_eq!(names.len(), 1, "{names:?}");
    let text = String::from_utf8(ftp.get(format!("RETR {}", names[0]))).unwrap();
    assert!(text.contains("port"), "{text}");
    // Anonymous may read only.
    ftp.refused(550, "STOR x");
    // The session log goes to standard output.
    ftp.expect(221, "QUIT");
    process.signal(rustix::process::Signal::TERM);
    assert_eq!(process.wait().code(), Some(0), "{}", process.stderr());
    assert!(process.stdout().contains(&ftp.local().port().to_string()), "{}", process.stdout());
}

#[test]
fn accounts_are_added_changed_listed_and_removed() {
    let dir = directory();
    fs::create_dir_all(dir.path().join("root/alice")).unwrap();
    fs::write(dir.path().join("c.toml"), "[storage]\nroot = \"root\"\n[accounts]\nfile = \"accounts.toml\"\n").unwrap();
    let user = |args: &[&str], input: &str| {
        let mut child = Command::new(LONGSHORE)
            .arg("user")
            .args(args)
            .args(["--config", "c.toml"])
            .current_dir(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may refuse before it reads.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes());
        child.wait_with_output().unwrap()
    };
    assert!(user(&["add", "alice", "--home", "alice", "--password-stdin"], "first\n").status.success());
    assert!(user(&["add", "bob", "--password-stdin"], "bobs\n").status.success());
    let again = user(&["add", "alice", "--password-stdin"], "x\n");
    assert!(!again.status.success() && stderr(&again).contains("alice"), "{}", stderr(&again));
    let outside = user(&["add", "eve", "--home", "../..", "--password-stdin"], "x\n");
    assert!(!outside.status.success(), "a home outside of the root was taken");
    let listed = stdout(&user(&["list"], ""));
    assert!(listed.contains("alice") && listed.contains("bob") && !listed.contains("eve"), "{listed}");
    let file = fs::read_to_string(dir.path().join("accounts.toml")).unwrap();
    assert!(file.contains("$argon2id$") && !file.contains("first"), "{file}");
    assert!(user(&["passwd", "alice", "--password-stdin"], "second\n").status.success());
    assert!(user(&["remove", "bob"], "").status.success());
    assert!(!user(&["remove", "bob"], "").status.success());

    let mut process = Process::spawn(
        Command::new(LONGSHORE).args(["--config", "c.toml", "--listen", "127.0.0.1:0"]).current_dir(dir.path()),
    );
    let address = process.listening(1)[0];
    let mut ftp = Ftp::connect(address);
    ftp.expect(331, "USER alice");
    ftp.expect(530, "PASS first");
    ftp.expect(331, "USER bob");
    ftp.expect(530, "PASS bobs");
    ftp.login("alice", "second");
    assert!(ftp.list("NLST").is_empty());
    // A server that runs takes note of edits.
    assert!(user(&["passwd", "alice", "--password-stdin"], "third\r\n").status.success());
    let mut ftp = Ftp::connect(address);
    ftp.expect(331, "USER alice");
    ftp.expect(530, "PASS second");
    ftp.login("alice", "third");
}

#[test]
fn accounts_are_set_and_faulty_changes_are_not_written() {
    let dir = directory();
    fs::write(dir.path().join("c.toml"), "[accounts]\nfile = \"accounts.toml\"\n").unwrap();
    let hash = "$2y$04$abcdefghijklmnopqrstuuQ1vn8MsPdHZ7xqxnKAfHoO2HThGD8vq";
    let path = dir.path().join("accounts.toml");
    fs::write(&path, format!("# staff\n[[user]]\nname = \"ann\" # head\npassword = \"{hash}\"\n")).unwrap();
    let set = |args: &[&str]| run(&dir, &[&["user", "set", "ann", "--config", "c.toml"], args].concat());
    let nothing = set(&[]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(stderr(&nothing).starts_with("there is nothing to change; name it with a flag"), "{}", stderr(&nothing));
    let done = set(&["--permissions", "list,read,mkdir", "--expires", "2099-12-31", "--allow-from", "127.0.0.1,::1"]);
    assert!(done.status.success(), "{}", stderr(&done));
    assert!(set(&["--enabled=false", "--max-sessions", "2"]).status.success());
    let file = fs::read_to_string(&path).unwrap();
    assert!(file.starts_with("# staff\n") && file.contains("\"ann\" # head"), "{file}");
    let listed = stdout(&run(&dir, &["user", "list", "--config", "c.toml"]));
    assert!(
        listed.contains(
            "list+read+mkdir  disabled, until 2099-12-31, from 127.0.0.1/32, from ::1/128, at most 2 sessions"
        ),
        "{listed}"
    );
    for (args, fault) in [
        (["--expires", "soon"], "user.expires"),
        (["--allow-from", "10.0.0.0/33"], "user.allow_from"),
        (["--permissions", "everything"], "user.permissions"),
        (["--group", "staff"], "there is no such group"),
        (["--home", "../.."], "user.home"),
        (["--max-sessions", "many"], "user.max_sessions"),
        (["--create-home=perhaps", "--enabled"], "user.create_home"),
    ] {
        let refused = set(&args);
        assert_eq!(refused.status.code(), Some(78), "{args:?}");
        assert!(stderr(&refused).contains(fault), "{}", stderr(&refused));
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), file);

    let group = |args: &[&str]| run(&dir, &[&["group"], args, &["--config", "c.toml"]].concat());
    assert!(group(&["add", "staff", "--home", "staff", "--create-home"]).status.success());
    assert!(group(&["set", "staff", "--permissions", "/=read-write"]).status.success());
    assert_eq!(group(&["set", "staff", "--expires", "soon"]).status.code(), Some(78));
    assert!(stderr(&group(&["set", "class", "--expires", "2099-12-31"])).contains("longshore group list"));
    assert!(set(&["--group", "staff"]).status.success());
    let says = r#"staff  home = "staff", create_home = true, permissions = { "/" = "read-write" }"#;
    let listed = stdout(&group(&["list"]));
    assert!(listed.contains(says), "{listed}");
    let refused = stderr(&group(&["remove", "staff"]));
    assert!(refused.contains(r#"user.group = "staff" is not allowed (there is no such group)"#), "{refused}");
    assert!(set(&["--group", ""]).status.success());
    assert!(group(&["remove", "staff"]).status.success());
    assert_eq!(fs::read_to_string(&path).unwrap(), file);

    // Enabled again, the hash of another program lets her in.
    assert!(set(&["--enabled"]).status.success());
    let mut process = Process::spawn(
        Command::new(LONGSHORE).args(["--config", "c.toml", "--listen", "127.0.0.1:0"]).current_dir(dir.path()),
    );
    let mut ftp = Ftp::connect(process.listening(1)[0]);
    ftp.login("ann", "mooring");
    ftp.expect(257, "MKD new");
    ftp.expect(550, "RMD new");
}

/// Whoever edits it, the file stays its owner's.
#[test]
fn an_edited_accounts_file_keeps_comments_owner_group_and_mode() {
    let dir = directory();
    fs::write(dir.path().join("c.toml"), "[accounts]\nfile = \"link.toml\"\n").unwrap();
    let (file, link) = (dir.path().join("users.toml"), dir.path().join("link.toml"));
    let hash = "$2b$04$abcdefghijklmnopqrstuuQ1vn8MsPdHZ7xqxnKAfHoO2HThGD8vq";
    fs::write(&file, "# the staff\n").unwrap();
    std::os::unix::fs::symlink("users.toml", &link).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&file, Some(4711), Some(4712)).unwrap();
    } else {
        left_out("only root can give files away; that the accounts file keeps its owner was not tested");
    }
    let before = fs::metadata(&file).unwrap();
    let add = |name: &str, hash: &str| {
        let mut command = Command::new(LONGSHORE);
        command.args(["user", "add", name, "--hash-stdin", "--config", "c.toml"]).current_dir(dir.path());
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), hash.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    assert!(add("ann", &format!("{hash}\n")).status.success());
    let refused = add("bob", "mooring");
    assert!(stderr(&refused).contains("no hash that can be used") && !refused.status.success(), "{refused:?}");
    let after = fs::metadata(&file).unwrap();
    let facts = |of: &fs::Metadata| (of.uid(), of.gid(), of.mode());
    assert_eq!(facts(&after), facts(&before));
    assert!(after.ino() != before.ino() && link.is_symlink(), "it is replaced whole, where the link leads");
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text, format!("# the staff\n\n[[user]]\nname = \"ann\"\npassword = \"{hash}\"\n"));
}

/// Each of them finds the file as another one has left it, and a killed one leaves it as it was.
#[test]
fn edits_at_the_same_time_lose_nothing_also_when_some_are_killed() {
    let dir = directory();
    fs::write(dir.path().join("c.toml"), "[accounts]\nfile = \"users.toml\"\n").unwrap();
    let edit = |number: usize| {
        let mut command = Command::new(LONGSHORE);
        command.args(["group", "add", &format!("g{number}"), "--config", "c.toml"]).current_dir(dir.path());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut edits: Vec<_> = (0..40).map(edit).collect();
    // Every fourth one, wherever it is.
    edits.iter_mut().step_by(4).for_each(|child| child.kill().unwrap());
    let done: Vec<usize> = (0..40).filter(|number| edits[*number].wait().unwrap().success()).collect();
    let listed = stdout(&run(&dir, &["group", "list", "--config", "c.toml"]));
    assert!(done.len() >= 30, "{done:?}");
    for number in done {
        let is_there = listed.lines().any(|line| line.trim_end() == format!("g{number}"));
        assert!(is_there, "g{number} is lost: {listed}");
    }
}

#[test]
fn accounts_that_others_can_read_are_reported_by_check_and_at_the_start() {
    use std::os::unix::fs::PermissionsExt;
    let dir = directory();
    fs::write(dir.path().join("c.toml"), "[accounts]\nfile = \"accounts.toml\"\n").unwrap();
    let path = dir.path().join("accounts.toml");
    fs::write(&path, "").unwrap();
    for (mode, reported) in [(0o644, true), (0o600, false)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let checked = run(&dir, &["check", "--config", "c.toml"]);
        assert!(checked.status.success());
        let mut process = Process::spawn(
            Command::new(LONGSHORE).args(["--config", "c.toml", "--listen", "127.0.0.1:0"]).current_dir(dir.path()),
        );
        process.listening(1);
        for said in [stderr(&checked), process.stderr()] {
            assert_eq!(said.contains("chmod o-rwx 'accounts.toml'"), reported, "{said}");
        }
    }
}

#[test]
fn every_shipped_configuration_is_sound() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let configurations: Vec<_> = fs::read_dir(root.join("config"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    assert!(!configurations.is_empty());
    let dir = directory();
    for path in configurations {
        // The root is one of this machine: the file may name one that only its own home has.
        let output = run(&dir, &["check", "--config", path.to_str().unwrap(), "--root", "."]);
        assert!(output.status.success(), "{}: {}", path.display(), stderr(&output));
    }
}

#[test]
fn a_variable_names_the_settings_file_where_no_flag_does() {
    let dir = directory();
    for name in ["variable", "flag"] {
        fs::write(dir.path().join(name), format!("[server]\ngreeting = \"{name}\"\n[storage]\nroot = \".\"\n"))
            .unwrap();
    }
    let check = |args: &[&str]| {
        let mut command = Command::new(LONGSHORE);
        let output =
            command.arg("check").args(args).env("LONGSHORE_CONFIG", "variable").current_dir(dir.path()).output();
        stdout(&output.unwrap())
    };
    let shown = check(&[]);
    assert!(shown.contains("server.greeting = \"variable\"") && shown.contains("# variable:2"), "{shown}");
    assert!(check(&["--config", "flag"]).contains("server.greeting = \"flag\""));
}
