//! Our image under a real Docker engine.

use std::fs::{self, Permissions};
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::engine::{Container, Control, is_there, poll, run};
use crate::images;

/// The capability to bind system ports, as `/proc/PID/status` has it.
const NET_BIND_SERVICE: &str = "0000000000000400";

/// Our image; `None` where there is no engine.
fn image() -> Option<&'static str> {
    is_there().then(images::longshore)
}

/// A container of it that serves.
fn serving(options: &[&str], words: &[&str]) -> Option<Container> {
    serving_at(|| options.iter().map(|option| (*option).to_owned()).collect(), words)
}

/// The same, with other options at each try to get free ports.
fn serving_at(options: impl FnMut() -> Vec<String>, words: &[&str]) -> Option<Container> {
    let container = Container::started(options, image()?, words);
    poll("it serves", || {
        assert_eq!(container.inspect("{{.State.Status}}"), "running", "{}", container.logs());
        container.logs().contains("listening on").then_some(())
    });
    Some(container)
}

/// How a container of it ends that does not serve, and what it says; `None` where there is no engine.
fn ending(options: &[&str], words: &[&str]) -> Option<(i32, String)> {
    let image = image()?;
    let output = Command::new("docker").args(["run", "--rm"]).args(options).arg(image).args(words).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Some((output.status.code().unwrap(), said))
}

/// A directory of this machine for user 1000.
fn files() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    chown(directory.path(), Some(1000), Some(1000)).unwrap();
    directory
}

fn volume(directory: &Path, at: &str) -> String {
    format!("--volume={}:{at}", directory.display())
}

fn curl(words: &[&str]) -> String {
    run(Command::new("curl").args(["--silent", "--show-error", "--max-time", "30"]).args(words))
}

/// Ten ports that nobody else may have, and not the same at the next try.
fn ten_ports() -> (u16, u16) {
    static NEXT: Mutex<u16> = Mutex::new(0);
    let mut next = NEXT.lock().unwrap();
    *next += 1;
    let first = 62_000 + (u16::try_from(std::process::id() % 300).unwrap() + *next) % 300 * 10;
    (first, first + 9)
}

/// Port 21 and the passive ports of the image, which recipes publish as they are: one at a time.
fn published_ports() -> MutexGuard<'static, ()> {
    static PORTS: Mutex<()> = Mutex::new(());
    PORTS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn log_in(address: SocketAddr, user: &str, password: &str) -> Control {
    let (mut control, greeting) = Control::greeted(address).unwrap();
    assert!(greeting.starts_with("220 "), "{greeting}");
    control.expect("331", &format!("USER {user}"));
    control.expect("230", &format!("PASS {password}"));
    control
}

fn inside(container: &Container) -> SocketAddr {
    SocketAddr::new(container.address(), 2121)
}

/// A line of the status of the container's first process.
fn status(container: &Container, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", container.inspect("{{.State.Pid}}"))).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The README's block of commands that begins like this.
fn readme(begin: &str) -> Vec<&'static str> {
    let text = include_str!("../../README.md");
    let block = text.split("```sh\n").find(|block| block.starts_with(begin)).unwrap();
    block.split("\n```").next().unwrap().lines().collect()
}

#[test]
fn the_readme_s_container_serves_guests() {
    let Some(image) = image() else { return };
    let _ports = published_ports();
    let lines = readme("docker build");
    let [build, start, fetch, stop] = lines[..] else { panic!("{lines:?}") };
    assert_eq!(build, "docker build -t longshore .", "which is done already");
    let name = format!("longshore-test-readme-{}", std::process::id());
    let named = |line: &str| line.replace("--name longshore", &format!("--name {name}"));
    let start = named(start).strip_suffix(" longshore").unwrap().to_owned() + " " + image;
    let words: Vec<String> = start.split(' ').skip(3).map(str::to_owned).collect();
    let (options, image) = words.split_at(words.len() - 1);
    let container = Container::started(|| options.to_vec(), &image[0], &[]);
    poll("it serves", || container.logs().contains("listening on").then_some(()));
    assert_eq!(run(Command::new("sh").args(["-euc", fetch])), "", "an empty volume");
    assert_eq!(container.inspect("{{.HostConfig.ReadonlyRootfs}} {{.Config.User}}"), "true 1000:1000");
    assert_eq!(status(&container, "Uid:"), "1000 1000 1000 1000");
    assert_eq!(status(&container, "CapEff:"), "0000000000000000");
    run(Command::new("sh").args(["-euc", &stop.replace("longshore", &name)]));
    assert_eq!(container.inspect("{{.State.ExitCode}}"), "0");
}

#[test]
fn files_go_up_and_down_through_published_ports_with_a_secret() {
    let (files, secret) = (files(), tempfile::NamedTempFile::new().unwrap());
    fs::write(secret.path(), "$ecret ${words}\n").unwrap();
    fs::set_permissions(secret.path(), Permissions::from_mode(0o644)).unwrap();
    let options = || {
        let (first, last) = ten_ports();
        let mut options = vec![volume(files.path(), "/srv/ftp"), volume(secret.path(), "/run/secrets/ftp_pass:ro")];
        options.extend(["--read-only", "--publish=127.0.0.1::2121", "--env=FTP_USER=ann"].map(str::to_owned));
        options
            .extend(["--env=FTP_PASS_FILE=/run/secrets/ftp_pass", "--env=PASV_ADDRESS=127.0.0.1"].map(str::to_owned));
        options.push(format!("--publish=127.0.0.1:{first}-{last}:{first}-{last}"));
        options.extend([format!("--env=PASV_MIN_PORT={first}"), format!("--env=PASV_MAX_PORT={last}")]);
        options
    };
    let Some(container) = serving_at(options, &[]) else { return };
    let url = format!("ftp://{}/", container.published(2121));
    // PASV, and to the address that it names.
    let pasv = ["--user", "ann:$ecret ${words}", "--disable-epsv", "--no-ftp-skip-pasv-ip"];
    let contents = "0123456789".repeat(100_000);
    let file = files.path().join("local");
    fs::write(&file, &contents).unwrap();
    curl(&[&pasv[..], &["--upload-file", file.to_str().unwrap(), &format!("{url}stored")]].concat());
    assert_eq!(curl(&[&pasv[..], &[&format!("{url}stored")]].concat()), contents);
    let stored = fs::metadata(files.path().join("stored")).unwrap();
    assert_eq!((stored.uid(), stored.gid(), stored.mode() & 0o777), (1000, 1000, 0o644));
    for _ in 0..3 {
        let (mut guest, _) = Control::greeted(container.published(2121)).unwrap();
        guest.expect("331", "USER anonymous");
        guest.expect("530", "PASS x");
    }

    let logs = container.logs();
    assert!(logs.contains("PASV tells clients 127.0.0.1, which is their own machine to each of them"), "{logs}");
    // Docker's proxy stands for all that come from this machine.
    let gateway = container.inspect("{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}");
    let said = format!("all clients so far came from {gateway}, this machine's gateway");
    assert_eq!(logs.matches(&said).count(), 1, "{logs}");
    assert!(!logs.contains("$ecret"), "{logs}");
    let shown = run(&mut container.command(&["longshore", "check"]));
    assert!(shown.contains("account \"ann\"") && !shown.contains("$ecret"), "{shown}");
}

#[test]
fn several_users_have_homes_of_their_own() {
    let users = "ann|one bob|two|class/bob";
    let Some(container) = serving(&["--read-only", "--env", &format!("USERS={users}")], &[]) else { return };
    for (user, password) in [("ann", "one"), ("bob", "two")] {
        let mut control = log_in(inside(&container), user, password);
        control.expect("257", "MKD new");
    }
    assert!(!container.logs().contains("|one"));
}

#[test]
fn flags_add_to_the_command_and_check_says_where_values_come_from() {
    let options = ["--env", "PASV_ADDRESS=203.0.113.7", "--env", "LONGSHORE__LOG__FORMAT=json"];
    let Some(container) = serving(&options, &["--port", "2100", "--anonymous", "read-write"]) else { return };
    let mut guest = log_in(SocketAddr::new(container.address(), 2100), "anonymous", "x");
    guest.expect("257", "MKD new");
    assert!(guest.expect("227", "PASV").contains("(203,0,113,7,"));
    let (code, shown) = ending(&options, &["check", "--port", "2100"]).unwrap();
    assert_eq!(code, 0, "{shown}");
    for (setting, origin) in [
        ("server.listen = [\"0.0.0.0:2100\", \"[::]:2100\"]", "--port"),
        ("server.passive_ports = \"61000-61099\"", "/etc/longshore/longshore.toml:"),
        ("server.passive_address = \"203.0.113.7\"", "PASV_ADDRESS"),
        ("log.format = \"json\"", "LONGSHORE__LOG__FORMAT"),
    ] {
        let there = shown.lines().any(|line| line.starts_with(setting) && line.contains(&format!("# {origin}")));
        assert!(there, "{setting} from {origin} is not in\n{shown}");
    }
    assert!(shown.contains("/etc/longshore/longshore.toml looks good"), "{shown}");
}

#[test]
fn the_health_check_becomes_healthy_and_leaves_no_trace() {
    // As the image says, but sooner.
    let Some(container) = serving(&["--read-only", "--health-interval", "500ms"], &[]) else { return };
    poll("it is healthy", || (container.inspect("{{.State.Health.Status}}") == "healthy").then_some(()));
    let said = container.inspect("{{range .State.Health.Log}}{{.ExitCode}} {{.Output}}{{end}}");
    assert!(said.contains("0 healthy: 127.0.0.1:2121"), "{said}");
    let logs = container.logs();
    assert!(!logs.contains("session"), "{logs}");
    let sessions = run(&mut container.command(&["longshore", "sessions"]));
    assert_eq!(sessions.matches("LISTEN").count(), 2, "{sessions}");
}

#[test]
fn a_stop_lets_transfers_finish() {
    let files = files();
    fs::write(files.path().join("slow.bin"), [0; 200_000]).unwrap();
    let files = volume(files.path(), "/srv/ftp");
    let rate = "--env=LONGSHORE__LIMITS__PATH_DOWNLOAD_RATES=/slow.bin=50 KB";
    let Some(container) = serving(&[&files, rate], &[]) else { return };
    let mut control = log_in(inside(&container), "anonymous", "x");
    control.expect("200", "TYPE I");
    let mut data = control.passive();
    control.expect("150", "RETR slow.bin");
    let stopping = thread::spawn({
        let mut stop = container.engine(&["stop", "--time", "60"]);
        move || run(&mut stop)
    });
    poll("it was told to stop", || container.logs().contains("SIGTERM: stopping").then_some(()));
    let mut file = Vec::new();
    data.read_to_end(&mut file).unwrap();
    assert_eq!(file.len(), 200_000);
    assert!(control.reply().unwrap().starts_with("226 "));
    stopping.join().unwrap();
    assert_eq!(container.inspect("{{.State.ExitCode}}"), "0");
}

#[test]
fn the_first_process_ends_at_once_where_nothing_runs() {
    let Some(container) = serving(&[], &[]) else { return };
    let mut control = log_in(inside(&container), "anonymous", "x");
    let begun = Instant::now();
    run(&mut container.engine(&["stop", "--time", "60"]));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(control.reply().unwrap().starts_with("421 "));
    assert_eq!(container.inspect("{{.State.ExitCode}}"), "0");
}

#[test]
fn root_becomes_puid_and_pgid_and_keeps_the_right_to_bind() {
    let directory = tempfile::tempdir().unwrap();
    chown(directory.path(), Some(1234), Some(2345)).unwrap();
    let files = volume(directory.path(), "/srv/ftp");
    let mut options = vec!["--user=0", "--env=PUID=1234", "--env=PGID=2345", "--env=ANONYMOUS=add-only", &files];
    // What Docker makes of port 21 in a network of the container's own.
    options.extend(["--sysctl=net.ipv4.ip_unprivileged_port_start=1024", "--cap-drop=ALL", "--read-only"]);
    options.extend(["--cap-add=SETUID", "--cap-add=SETGID", "--cap-add=NET_BIND_SERVICE"]);
    options.push("--security-opt=no-new-privileges");
    let Some(container) = serving(&options, &["--port", "21"]) else { return };
    for (name, expected) in [
        ("Uid:", "1234 1234 1234 1234"),
        ("Gid:", "2345 2345 2345 2345"),
        ("Groups:", "2345"),
        ("CapEff:", NET_BIND_SERVICE),
        ("CapPrm:", NET_BIND_SERVICE),
    ] {
        assert_eq!(status(&container, name), expected, "{name}");
    }
    // Each thread has its own.
    let tasks = format!("/proc/{}/task", container.inspect("{{.State.Pid}}"));
    let threads: Vec<_> = fs::read_dir(tasks).unwrap().map(|task| task.unwrap().path().join("status")).collect();
    assert!(threads.len() > 1, "{threads:?}");
    for thread in threads {
        let status = fs::read_to_string(&thread).unwrap();
        assert!(status.contains("Uid:\t1234\t1234\t1234\t1234\n"), "{status}");
        assert!(status.contains(&format!("CapEff:\t{NET_BIND_SERVICE}\n")), "{status}");
    }
    let address = format!("ftp://{}/stored", container.address());
    curl(&["--upload-file", "/etc/hostname", &address]);
    let stored = fs::metadata(directory.path().join("stored")).unwrap();
    assert_eq!((stored.uid(), stored.gid()), (1234, 2345));
    // Those who look become the same.
    assert!(run(&mut container.command(&["longshore", "health"])).contains("healthy"));
}

#[test]
fn who_cannot_be_obeyed_is_refused_with_a_cure() {
    for (options, expected) in [
        (
            &["--env=PUID=1234", "--env=PGID=100"][..],
            "PUID: asks for user 1234 and group 100, but the container was started as user 1000 and group 1000, who cannot \
             become others; start it with --user 1234:100 (in compose user: \"1234:100\") and without PUID, or as root \
             (--user 0) for PUID and PGID to be obeyed\n",
        ),
        (
            &["--user=0", "--cap-drop=ALL", "--env=PUID=1234"],
            "PUID: cannot become user 1234 and group 1234: Operation not permitted (os error 1); let the container do that \
             (--cap-add SETUID --cap-add SETGID), or start it with --user 1234:1234 and without PUID\n",
        ),
        (&["--user=0", "--env=PGID=1234"], "PGID: it is a group without a user; set PUID too\n"),
    ] {
        let Some(ended) = ending(options, &[]) else { return };
        assert_eq!(ended, (78, expected.to_owned()), "{options:?}");
    }
}

#[test]
fn what_user_1000_may_not_write_or_read_is_said_with_a_cure() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let own = self::files();
    let (files, read_only) = (volume(directory.path(), "/srv/ftp"), volume(own.path(), "/srv/ftp:ro"));
    let user = ["--env=FTP_USER=ann", "--env=FTP_PASS=secret"];
    for (volume, more, expected) in [
        (
            &files,
            &user[..],
            "/srv/ftp belongs to user 0 and group 0 with mode 755, and user 1000, who serves, may not write there (Permission \
             denied (os error 13)), so uploads of ann will fail; chown 1000:1000 it\n",
        ),
        (
            &files,
            &["--env=USERS=ann|secret bob|secret"],
            "/srv/ftp belongs to user 0 and group 0 with mode 755, and user 1000, who serves, may not write there (Permission \
             denied (os error 13)), so uploads of ann and 1 more will fail; chown 1000:1000 it\n",
        ),
        (
            &read_only,
            &user,
            "/srv/ftp is mounted read-only, so uploads of ann will fail; mount it to be written, or let them read only \
             (accounts.anonymous, or permissions in the accounts file)\n",
        ),
    ] {
        let Some(container) = serving(&[&[volume.as_str()], more].concat(), &[]) else { return };
        assert!(container.logs().contains(expected), "{}", container.logs());
    }
    // Guests only read.
    let container = serving(&[&read_only], &[]).unwrap();
    assert!(!container.logs().contains("uploads"), "{}", container.logs());

    fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
    let (code, said) = ending(&[&files], &[]).unwrap();
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("storage.root = \"/srv/ftp\" cannot be read: Permission denied"), "{said}");
    let secret = directory.path().join("secret");
    fs::write(&secret, "x").unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let secret = volume(&secret, "/run/secrets/ftp_pass:ro");
    let ended = ending(&[&secret, user[0], "--env=FTP_PASS_FILE=/run/secrets/ftp_pass"], &[]);
    let expected = "FTP_PASS_FILE: /run/secrets/ftp_pass cannot be read: Permission denied (os error 13); mount a text file \
                    there that user 1000 may read\n";
    assert_eq!(ended, Some((78, expected.to_owned())));
}

#[test]
fn tls_takes_its_files_from_the_variables() {
    let directory = files();
    let certificates = volume(directory.path(), "/certificates");
    let make = ["--name", "localhost", "--certificate", "/certificates/c.pem", "--key", "/certificates/k.pem"];
    let Some((code, said)) = ending(&[&certificates], &[&["tls", "self-signed"][..], &make].concat()) else { return };
    assert_eq!(code, 0, "{said}");
    let options = [&certificates, "--env=TLS_CERT=/certificates/c.pem", "--env=TLS_KEY=/certificates/k.pem"];
    let container = serving(&options, &[]).unwrap();
    let address = format!("localhost:2121:{}", container.address());
    let certificate = directory.path().join("c.pem");
    let tls = ["--ssl-reqd", "--cacert", certificate.to_str().unwrap(), "--resolve", &address];
    curl(&[&tls[..], &["ftp://localhost:2121/"]].concat());
    assert!(container.logs().contains("TLS"), "{}", container.logs());
    chown(directory.path().join("k.pem"), Some(0), Some(0)).unwrap();
    let (code, said) = ending(&options, &[]).unwrap();
    assert_eq!(code, 78, "{said}");
    assert!(said.starts_with("TLS_KEY: ") && said.contains("Permission denied"), "{said}");
}

#[test]
fn the_container_s_own_address_is_no_use_outside_and_a_private_one_not_to_public_clients() {
    let Some(container) = serving(&[], &[]) else { return };
    let own = format!("PASV tells clients this container's own address, {}, which other machines", container.address());
    assert!(container.logs().contains(&own), "{}", container.logs());
    drop(container);

    // This machine has a public address in there, from which it comes as a client.
    let network = Network::public();
    let options = ["--network", &network.0, "--env=PASV_ADDRESS=192.168.1.5"];
    let container = serving(&options, &[]).unwrap();
    let too = format!("this machine has a public address, {}, too", container.address());
    assert!(container.logs().contains(&too), "{}", container.logs());
    for _ in 0..2 {
        log_in(inside(&container), "anonymous", "x").expect("227", "PASV");
    }
    let logs = container.logs();
    let said = "a public address, the private address 192.168.1.5, which it cannot reach; set server.passive_address (in the image PASV_ADDRESS) to";
    assert_eq!(logs.matches(said).count(), 1, "{logs}");
}

/// A network of the engine's with public addresses, which goes when it is dropped.
struct Network(String);

impl Network {
    /// Addresses that RFC 5737 keeps for documentation, so nobody is missed.
    fn public() -> Self {
        let name = format!("longshore-test-{}", std::process::id());
        let mut subnets = (0..16).map(|part| format!("203.0.113.{}/28", part * 16)).cycle();
        poll("a subnet is free", || {
            let subnet = subnets.next()?;
            let output =
                Command::new("docker").args(["network", "create", "--subnet", &subnet, &name]).output().unwrap();
            output.status.success().then(|| Self(name.clone()))
        })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["network", "rm", &self.0]).output();
    }
}

/// A project of compose, in a copy of its files; it goes when it is dropped.
struct Project {
    directory: TempDir,
    name: String,
    file: &'static str,
    image: &'static str,
}

impl Project {
    fn of(file: &'static str) -> Option<Self> {
        let image = image()?;
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config/docker");
        fs::create_dir_all(&config).unwrap();
        for name in ["compose.yaml", "compose.host.yaml"] {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/docker").join(name);
            fs::copy(from, config.join(name)).unwrap();
        }
        let name = format!("longshore-test-{}-{}", file.replace('.', "-"), std::process::id());
        Some(Self { directory, name, file, image })
    }

    /// Compose is a plugin of Docker, or a program of its own, which Debian 12 has.
    fn program() -> &'static str {
        let plugin = Command::new("docker").args(["compose", "version"]).output().unwrap();
        if plugin.status.success() { "docker compose" } else { "docker-compose" }
    }

    /// A line of shell, where somebody is who has cloned the repository. What needs no terminal of people gets none.
    fn shell(&self, line: &str) -> Command {
        let compose = format!("{} -p {}", Self::program(), self.name);
        let line = line.replace("docker compose", &compose).replace(" exec ", " exec -T ");
        let mut command = Command::new("sh");
        command.args(["-euc", &line]).env("LONGSHORE_TAG", self.image).current_dir(self.directory.path());
        command
    }

    fn compose(&self, words: &str) -> String {
        run(&mut self.shell(&format!("docker compose -f config/docker/{} {words}", self.file)))
    }

    /// Runs a line until its ports are free.
    fn up(&self, line: &str) -> Container {
        poll("the ports are free", || {
            let output = self.shell(line).output().unwrap();
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(output.status.success() || said.contains("already"), "{said}");
            output.status.success().then_some(())
        });
        let container = Container::known(&self.compose("ps -q longshore"));
        poll("it serves", || container.logs().contains("listening on").then_some(()));
        container
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.shell(&format!("docker compose -f config/docker/{} down --volumes", self.file)).output();
    }
}

#[test]
fn compose_serves_behind_published_ports() {
    let Some(project) = Project::of("compose.yaml") else { return };
    let _ports = published_ports();
    let lines = readme("echo 'a long password'");
    let [secret, up, sessions, down] = lines[..] else { panic!("{lines:?}") };
    run(&mut project.shell(secret));
    let container = project.up(up);
    let file = project.directory.path().join("local");
    fs::write(&file, "hello\n").unwrap();
    let user = ["--user", "ann:a long password"];
    curl(&[&user[..], &["--upload-file", file.to_str().unwrap(), "ftp://127.0.0.1/stored"]].concat());
    assert_eq!(curl(&[&user[..], &["ftp://127.0.0.1/stored"]].concat()), "hello\n");
    let mut control = log_in(([127, 0, 0, 1], 21).into(), "ann", "a long password");
    assert!(control.expect("227", "PASV").contains("(203,0,113,7,"));
    let table = run(&mut project.shell(sessions));
    assert!(table.contains("0.0.0.0:*") && table.contains("ann"), "{table}");
    assert_eq!(container.inspect("{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}}"), "true [ALL]");
    assert!(!container.logs().contains("a long password"));
    run(&mut project.shell(down));
}

#[test]
fn compose_in_the_host_s_network_sees_the_clients_own_ports_and_serves_port_21_as_no_root() {
    let Some(project) = Project::of("compose.host.yaml") else { return };
    let _ports = published_ports();
    run(&mut project.shell("echo 'a long password' > config/docker/ftp_pass.txt"));
    let container = project.up("docker compose -f config/docker/compose.host.yaml up -d");
    assert_eq!(status(&container, "Uid:"), "1000 1000 1000 1000");
    assert_eq!(status(&container, "CapEff:"), NET_BIND_SERVICE);
    let control = log_in(([127, 0, 0, 1], 21).into(), "ann", "a long password");
    let table: serde_json::Value =
        serde_json::from_str(&project.compose("exec longshore longshore sessions --json")).unwrap();
    let rows = table["connections"].as_array().unwrap();
    let row = rows.iter().find(|row| row["user"] == "ann").unwrap_or_else(|| panic!("{table}"));
    assert_eq!(row["foreign_port"].as_u64(), Some(control.port().into()), "{table}");
    let logs = container.logs();
    assert!(!logs.contains("PASV tells") && !logs.contains("gateway"), "{logs}");
    let file = project.directory.path().join("local");
    fs::write(&file, "hello\n").unwrap();
    let user = ["--user", "ann:a long password"];
    curl(&[&user[..], &["--upload-file", file.to_str().unwrap(), "ftp://127.0.0.1/stored"]].concat());
    assert_eq!(curl(&[&user[..], &["ftp://127.0.0.1/stored"]].concat()), "hello\n");
}

#[test]
fn the_program_is_as_small_as_the_readme_says_and_the_image_little_more() {
    let Some(image) = image() else { return };
    let container = run(Command::new("docker").args(["create", image]));
    let container = Container::known(&container);
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("longshore");
    let from = format!("{}:/usr/local/bin/longshore", container.inspect("{{.Id}}"));
    run(Command::new("docker").arg("cp").arg(from).arg(&copy));
    let size = fs::metadata(&copy).unwrap().len();
    println!("the program in the image has {size} bytes");
    let stated = include_str!("../../README.md").split("nothing else but the program, of ").nth(1).unwrap();
    let stated: u64 = stated.split(" MB").next().unwrap().parse().unwrap();
    // What adds a megabyte is worth a look: a new dependency, or features of one that nobody needs.
    assert!(size.abs_diff(stated * 1_000_000) <= 1_000_000, "the README says {stated} MB, and it has {size} bytes");
    let size_of = |image: &str| -> u64 {
        run(Command::new("docker").args(["image", "inspect", "--format", "{{.Size}}", image])).trim().parse().unwrap()
    };
    let more = size_of(image) - size_of(&images::base());
    assert!(more < size + 100_000, "the image has {more} bytes more than what it is made from");
    // Nothing to break in with.
    let shell =
        Command::new("docker").args(["run", "--rm", "--entrypoint", "sh", image, "-c", "true"]).output().unwrap();
    assert_ne!(shell.status.code(), Some(0));
}
