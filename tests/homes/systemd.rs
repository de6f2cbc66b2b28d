//! The Debian package under a real systemd.

use std::env;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Once, OnceLock};
use std::thread;

use crate::engine::{Container, Control, is_there, poll, run, target};
use crate::images;

pub const CONFIG: &str = "/etc/longshore/longshore.toml";

/// A booted machine on which the package has just been installed as the README says; `None` where nothing boots.
fn just_installed() -> Option<Container> {
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
    let container = Container::booted(images::systemd());
    container.shell("apt-get install -y /package/longshore_*.deb");
    Some(container)
}

/// A machine that has been booted since; it is installed once for all tests.
pub fn installed() -> Option<Container> {
    static IMAGE: OnceLock<Option<String>> = OnceLock::new();
    let image = IMAGE.get_or_init(|| Some(just_installed()?.commit("longshore-test/installed")));
    image.as_deref().map(Container::booted)
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
    let Some(container) = just_installed() else { return };
    assert_eq!(container.shell("systemctl is-active longshore"), "active\n");
    container.shell(&format!(
        "echo secret | longshore user add ann --home ann --create-home --config {CONFIG} --password-stdin && \
         echo hello > /tmp/hello.txt && \
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
        "longshore user add ann --home ann --create-home --config /etc/longshore/longshore.toml",
        "longshore sessions",
        "journalctl -t longshore CLIENT_PORT=51312",
        "systemctl enable --now longshore.socket",
    ] {
        assert!(readme.contains(line), "{line}");
    }

    // What else it brings.
    let manual = container.shell("zcat /usr/share/man/man1/longshore-doctor.1.gz /usr/share/man/man1/longshore.1.gz");
    assert!(manual.contains("Look for what hinders") && manual.contains("\\-\\-config"), "{manual}");
    let completed = container.command(&["bash", "-c", COMPLETION]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&completed.stdout), "doctor\n", "{completed:?}");
    for (place, words) in [
        ("zsh/vendor-completions/_longshore", "#compdef longshore"),
        ("fish/vendor_completions.d/longshore.fish", "complete -c longshore"),
    ] {
        assert!(container.shell(&format!("cat /usr/share/{place}")).contains(words), "{place}");
    }
    let units = "longshore.service longshore.socket longshore-ftps.socket";
    assert_eq!(container.try_shell(&format!("systemd-analyze verify --man=no {units}")), (true, String::new()));
    assert!(container.shell(&format!("longshore check --config {CONFIG}")).contains("looks good"));
    assert_eq!(container.shell("stat -c '%U %a' /etc/longshore/accounts.toml"), "longshore 600\n");
    let security = container.shell("systemd-analyze security longshore.service --no-pager");
    let exposure = security.lines().last().unwrap();
    let number = exposure.split_whitespace().find_map(|word| word.parse::<f64>().ok());
    assert!(number.is_some_and(|number| number <= 2.0), "{exposure}");
    let readme_says = format!("gives the unit {} of 10", number.unwrap());
    assert!(readme.contains(&readme_says), "{readme_says}");
    let unit = include_str!("../../config/systemd/longshore.service");
    let explained = &unit[unit.find("# Above the 0.0").unwrap()..];
    let open: Vec<&str> = security.lines().filter_map(|line| line.strip_prefix("✗ ")?.split('=').next()).collect();
    assert!(open.len() > 5, "{security}");
    open.iter().for_each(|name| assert!(explained.contains(name), "{name} is not explained in the unit"));
}

/// What bash offers behind `longshore doc`.
const COMPLETION: &str = ". /usr/share/bash-completion/completions/longshore; COMP_WORDS=(longshore doc); COMP_CWORD=1; \
                          _longshore longshore doc longshore; printf '%s\\n' \"${COMPREPLY[@]}\"";

#[test]
fn lintian_finds_nothing_in_the_package() {
    if installed().is_none() {
        return;
    }
    let package = target().join("package");
    let package = package
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|it| it == "deb"));
    let output =
        Command::new("lintian").args(["--allow-root", "--fail-on", "error,warning"]).arg(package.unwrap()).output();
    let Ok(output) = output else { return println!("lintian is not installed: it looked at nothing") };
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn an_upgrade_keeps_settings_and_a_purge_takes_all_but_what_is_served() {
    let Some(container) = installed() else { return };
    set(&container, "[server]\ngreeting = \"Mine.\"");
    container.shell(&format!(
        "echo secret | longshore user add ann --home ann --config {CONFIG} --password-stdin && \
         install -d -o longshore -g longshore /srv/ftp/ann && echo kept > /srv/ftp/ann/file"
    ));
    let serves = |greeting: &str| {
        assert_eq!(Control::greeted(control(&container)).unwrap().1, greeting);
        container.shell("curl -sS --user ann:secret ftp://localhost/file")
    };
    let first = container.shell("systemctl show -P MainPID longshore");
    // Also where conffiles are in question, nothing of the administrator's is replaced.
    let install = "DEBIAN_FRONTEND=noninteractive apt-get install -y --reinstall /package/longshore_*.deb";
    container.shell(install);
    assert_ne!(container.shell("systemctl show -P MainPID longshore"), first, "the new version runs");
    assert_eq!(serves("220 Mine."), "kept\n");
    container.shell("systemctl disable --now longshore");
    container.shell(install);
    assert!(!container.try_shell("systemctl is-active longshore").0, "what was disabled stays so");
    container.shell("systemctl enable --now longshore");
    container.shell("apt-get remove -y longshore && ! systemctl is-active longshore");
    assert!(Control::greeted(control(&container)).is_err());
    container.shell(install);
    assert_eq!(serves("220 Mine."), "kept\n", "installed again, it serves again");
    container.shell(
        "apt-get purge -y longshore && ! test -e /etc/longshore -o -e /var/log/longshore -o -e /var/lib/longshore",
    );
    assert_eq!(container.shell("cat /srv/ftp/ann/file"), "kept\n");
    assert_eq!(container.shell("systemctl list-unit-files --no-legend 'longshore*' || true"), "");
    container.shell("! find /etc/systemd -name 'longshore*' | grep .");
}

#[test]
fn a_server_that_hangs_is_ended_by_the_watchdog_and_started_again() {
    let Some(container) = installed() else { return };
    container.shell(
        "mkdir /etc/systemd/system/longshore.service.d && \
         printf '[Service]\\nWatchdogSec=2s\\n' > /etc/systemd/system/longshore.service.d/quick.conf && \
         systemctl daemon-reload && systemctl restart longshore",
    );
    let pid = container.shell("systemctl show -P MainPID longshore");
    // It lives on as long as it says so: for more than its period.
    poll("three periods have passed", || {
        let since = "systemctl show -P ActiveEnterTimestampMonotonic longshore; cut -d. -f1 /proc/uptime";
        let numbers: Vec<u64> = container.shell(since).lines().map(|line| line.parse().unwrap()).collect();
        (numbers[1] > numbers[0] / 1_000_000 + 6).then_some(())
    });
    assert_eq!(container.shell("systemctl show -P MainPID longshore"), pid);
    container.shell(&format!("kill -STOP {pid}"));
    poll("it runs again", || {
        let now = container.shell("systemctl show -P MainPID longshore");
        (now != pid && Control::greeted(control(&container)).is_ok()).then_some(())
    });
    assert_eq!(container.shell("systemctl show -P NRestarts longshore"), "1\n");
    let said = container.shell("journalctl -u longshore --no-pager");
    assert!(said.contains("Watchdog timeout"), "{said}");
}

#[test]
fn both_socket_units_and_a_key_that_only_root_can_read() {
    let Some(container) = installed() else { return };
    container.shell(
        "longshore tls self-signed --name localhost --certificate /etc/longshore/certificate.pem --key /root/key.pem && \
         chmod 600 /root/key.pem && chmod 644 /etc/longshore/certificate.pem",
    );
    // As systemd itself makes it outside of containers; else the service sees its credentials' directory without them.
    container.shell("mount --make-rshared /");
    // The alternative that the unit shows.
    let unit = include_str!("../../config/systemd/longshore.service");
    let shown = unit.lines().find_map(|line| line.strip_prefix("#   LoadCredential=")).unwrap();
    let line = format!(
        "LoadCredential={}",
        shown.replace("/etc/letsencrypt/live/ftp.example.org/privkey.pem", "/root/key.pem")
    );
    assert!(line.ends_with(":/root/key.pem") && unit.contains("/run/credentials/longshore.service/key.pem"), "{line}");
    container.shell(&format!(
        "mkdir /etc/systemd/system/longshore.service.d && \
         printf '[Service]\\n{line}\\n' > /etc/systemd/system/longshore.service.d/key.conf && systemctl daemon-reload"
    ));
    set(
        &container,
        "[tls]\ncertificate = \"/etc/longshore/certificate.pem\"\nkey = \"/run/credentials/longshore.service/key.pem\"",
    );
    container.shell("systemctl stop longshore && systemctl start longshore.socket longshore-ftps.socket");
    let list = "curl -sS --fail --max-time 30 --cacert /etc/longshore/certificate.pem";
    container.shell(&format!("touch /srv/ftp/there && {list} --ssl-reqd ftp://localhost/ | grep there"));
    container.shell(&format!("{list} ftps://localhost/ | grep there"));
    let sessions = container.shell("longshore sessions");
    for listener in ["0.0.0.0:21", "[::]:21", "0.0.0.0:990", "[::]:990"] {
        assert!(sessions.contains(&format!(" {listener} ")), "{sessions}");
    }
    if Container::has_ipv6() {
        container.shell("curl -sS --fail --max-time 30 'ftp://[::1]/' | grep there");
    }
    // A restart keeps both.
    container.shell(&format!("systemctl restart longshore && {list} ftps://localhost/ | grep there"));
}

#[test]
fn logrotate_moves_the_logs_away_and_the_server_writes_new_ones() {
    let Some(container) = installed() else { return };
    container.shell(
        "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends logrotate",
    );
    set(&container, "[log]\nsessions = \"/var/log/longshore/sessions.log\"\nxferlog = \"/var/log/longshore/xferlog\"");
    container.shell("echo x > /srv/ftp/file && systemctl reload longshore");
    let fetch = || container.shell("curl -sS --fail --max-time 30 ftp://localhost/file");
    let lines = |name: &str| {
        poll(&format!("{name} is written"), || {
            let text = container.shell(&format!("cat /var/log/longshore/{name} 2>/dev/null || true"));
            (!text.is_empty()).then_some(text)
        })
    };
    fetch();
    let before = lines("xferlog");
    lines("sessions.log");
    let said = container.try_shell("logrotate --verbose --force /etc/logrotate.d/longshore");
    assert!(said.0 && !said.1.contains("error"), "{}", said.1);
    assert_eq!(lines("xferlog.1"), before);
    // What went on meanwhile may have met either file; SIGHUP is told, and its work takes a moment.
    poll("the new file is there", || container.try_shell("test -e /var/log/longshore/xferlog").0.then_some(()));
    fetch();
    assert!(lines("xferlog").contains(" /file b _ o a anonymous ftp 0 * c"));
    lines("sessions.log");
    assert_eq!(container.shell("stat -c '%U %a' /var/log/longshore/xferlog"), "longshore 640\n");
    assert_eq!(container.shell("systemctl show -P NRestarts longshore"), "0\n");
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
    let errors = container.shell("journalctl -t longshore -p err --no-pager -o cat");
    assert!(errors.contains("server.greeting = 1 is not allowed"), "an error is syslog's: {errors}");
    let warnings = container.shell("journalctl -t longshore -p warning..warning --no-pager -o cat");
    assert!(warnings.contains("PASV tells clients"), "a warning is syslog's: {warnings}");
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
fn a_stop_lets_transfers_finish_and_the_status_counts_them_down() {
    let Some(container) = installed() else { return };
    container
        .shell("cd /srv/ftp && head -c 150000 /dev/zero > short && head -c 300000 /dev/zero > long && chmod 644 *");
    set(&container, "[limits]\npath_download_rates = { \"/*\" = \"50 KB\" }");
    container.shell("systemctl reload longshore");
    let downloads = ["short", "long"].map(|name| {
        let (mut session, _) = Control::greeted(control(&container)).unwrap();
        session.expect("331", "USER anonymous");
        session.expect("230", "PASS x");
        session.expect("200", "TYPE I");
        let data = session.passive();
        session.expect("150", &format!("RETR {name}"));
        (session, data)
    });
    container.shell("systemctl stop --no-block longshore");
    let sizes: Vec<usize> = thread::scope(|scope| {
        let drain = |(mut session, mut data): (Control, TcpStream)| {
            let mut file = Vec::new();
            data.read_to_end(&mut file).unwrap();
            assert!(session.reply().unwrap().starts_with("226 "));
            file.len()
        };
        let downloads = downloads.map(|download| scope.spawn(move || drain(download)));
        for count in [2, 1] {
            let expected = format!("stopping: {count} sessions, {count} data connections\n");
            poll(&expected, || (container.shell("systemctl show -P StatusText longshore") == expected).then_some(()));
        }
        downloads.map(|download| download.join().unwrap()).into()
    });
    assert_eq!(sizes, [150_000, 300_000]);
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
