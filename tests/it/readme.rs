//! The README: its commands are run as written, and its tables are those of the program.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::fixture::{LONGSHORE, Process, no_ipv6};
use crate::ftp::Ftp;

/// How every `sh` block begins, and what is done with it here.
const BLOCKS: &[(&str, &str)] = &[
    ("cargo run --release -- --port 2121", "the_quick_start_serves_at_once"),
    ("cargo test", "this very command"),
    ("docker build", "homes::docker::the_readme_s_container_serves_guests"),
    ("echo 'a long password'", "homes::docker::compose_serves_behind_published_ports"),
    ("cargo run --release -- check", "the_check_finds_the_shipped_settings_good"),
    ("longshore tls self-signed", "the_ftps_block_serves_encrypted"),
    ("mkdir -p ftp/ann", "the_accounts_block_makes_an_account_that_can_log_in"),
    ("longshore group add", "the_permissions_block_gives_an_account_its_rules"),
    ("longshore user set", "the_permissions_block_gives_an_account_its_rules"),
    ("longshore check --config limits.toml", "the_limits_block_shows_the_limits_in_force"),
    ("longshore classroom new", "the_teachers_block_makes_a_class"),
    ("longshore classroom end", "the_teachers_block_makes_a_class"),
    ("longshore classroom demo", "the_demo_serves_a_class_and_leaves_nothing_behind"),
    ("longshore classroom export", "the_teachers_block_serves_a_class_with_its_lesson"),
    ("longshore classroom start", "the_teachers_block_serves_a_class_with_its_lesson"),
    ("longshore classroom marks", "the_teachers_block_serves_a_class_with_its_lesson"),
    ("longshore sessions", "the_operating_block_asks_the_running_server"),
    ("longshore --port 2121 --page", "the_page_block_serves_a_page_and_tells_its_link"),
    ("longshore doctor", "the_doctor_s_block_finds_a_good_machine"),
    (
        "config/package/build-deb",
        "homes::systemd::the_package_serves_at_once_and_the_journal_finds_a_session_by_its_port",
    ),
    ("systemctl reload longshore", "homes::systemd"),
];

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The blocks of a language, in order.
fn blocks(language: &str) -> Vec<String> {
    let text = file("README.md");
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(found) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            if found == language {
                blocks.push(block.join("\n"));
            }
        }
    }
    blocks
}

/// The one `sh` block that begins like this.
fn block(begin: &str) -> String {
    let mut found = blocks("sh").into_iter().filter(|block| block.starts_with(begin));
    let block = found.next().unwrap_or_else(|| panic!("the README has no block that begins with {begin:?}"));
    assert_eq!(found.next(), None, "two blocks begin with {begin:?}");
    block
}

fn directory() -> TempDir {
    tempfile::Builder::new().prefix("longshore-readme-").tempdir().unwrap()
}

/// Runs lines as somebody would who has put the program into the PATH.
fn run(script: &str, dir: &Path) -> String {
    let program = Path::new(LONGSHORE).parent().unwrap().to_str().unwrap();
    let path = format!("{program}:{}", std::env::var("PATH").unwrap());
    let script = script.replace("cargo run --release --", "longshore");
    let mut command = Command::new("sh");
    command.args(["-euc", &script]).env("PATH", path).current_dir(dir).stdin(Stdio::null());
    text(&command.output().unwrap())
}

#[track_caller]
fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn help() -> String {
    let output = Command::new(LONGSHORE).arg("--help").output().unwrap();
    text(&output)
}

/// The rows of the table with this head, cell by cell.
fn table(head: &str) -> Vec<Vec<String>> {
    let readme = file("README.md");
    let mut lines = readme.lines().skip_while(|line| *line != head);
    assert!(lines.next().is_some() && lines.next().is_some(), "there is no table {head}");
    lines
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            // A `|` in a cell is written `\|`.
            let line = line.replace("\\|", "\u{0}");
            line.trim_matches('|').split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
        })
        .collect()
}

#[test]
fn the_readme_opens_with_how_to_run_and_how_to_test_it() {
    let commands = blocks("sh");
    assert_eq!(commands[0], "cargo run --release -- --port 2121");
    assert_eq!(commands[1], "cargo test");
}

#[test]
fn every_block_of_commands_has_a_test() {
    for block in blocks("sh") {
        let known = BLOCKS.iter().filter(|(begin, _)| block.lines().next().unwrap().starts_with(begin)).count();
        assert!(known > 0, "nothing shows that this works:\n{block}");
    }
    for (begin, _) in BLOCKS {
        block(begin);
    }
}

/// The same words behind `cargo run --release --`, but for the port: tests run beside each other. What it prints is what
/// the README shows.
#[test]
fn the_quick_start_serves_at_once() {
    let arguments = block("cargo run --release -- --port").replace("cargo run --release -- ", "").replace("2121", "0");
    let dir = directory();
    let mut process = Process::spawn(Command::new(LONGSHORE).args(arguments.split(' ')).current_dir(dir.path()));
    let families = 1 + usize::from(TcpListener::bind("[::]:0").is_ok());
    let addresses = process.listening(families);
    for address in &addresses {
        if address.is_ipv6() && no_ipv6() {
            continue;
        }
        let host = if address.is_ipv4() { "127.0.0.1" } else { "::1" };
        let mut ftp = Ftp::connect((host.parse::<IpAddr>().unwrap(), address.port()).into());
        ftp.login("anonymous", "x");
        assert_eq!(ftp.list("NLST").len(), 1);
    }
    if families < 2 {
        return;
    }
    let mut printed = process.stdout().replace("(dynamic port)", "(user port)");
    for address in addresses {
        printed = printed.replace(&address.port().to_string(), "2121");
    }
    let root = dir.path().canonicalize().unwrap();
    let printed = printed.replace(root.to_str().unwrap(), "/home/ann/longshore");
    let shown = &blocks("text")[0];
    assert!(printed.starts_with(&format!("{shown}\n")), "the README shows\n{shown}\nand it prints\n{printed}");
}

#[test]
fn the_teachers_block_makes_a_class() {
    let dir = directory();
    fs::write(dir.path().join("roster.csv"), "Ann Berg\nBob Cole\n").unwrap();
    run(&block("longshore classroom new"), dir.path());
    let cards = fs::read_to_string(dir.path().join("class/cards.html")).unwrap();
    assert!(cards.contains("Ann Berg") && cards.contains("<dd>192.168.1.5</dd>"), "{cards}");
    assert_eq!(fs::read_dir(dir.path().join("class/root")).unwrap().count(), 2);
    run(&block("longshore classroom end"), dir.path());
    assert_eq!(fs::read_dir(dir.path().join("class/root")).unwrap().count(), 0);
}

#[test]
fn the_teachers_block_serves_a_class_with_its_lesson() {
    let dir = directory();
    fs::write(dir.path().join("roster.csv"), "Ann Berg\nBob Cole\n").unwrap();
    run(&block("longshore classroom new"), dir.path());
    let words = block("longshore classroom start");
    let mut command = Command::new("setsid");
    command.arg(LONGSHORE).args(words.split_whitespace().skip(1)).current_dir(dir.path());
    command.env("LONGSHORE__SERVER__LISTEN", "127.0.0.1:0").env("LONGSHORE__PAGE__LISTEN", "127.0.0.1:0");
    let mut server = Process::spawn(&mut command);
    server.listening(1);
    let students = fs::read_to_string(dir.path().join("class/students.csv")).unwrap();
    let alias = students.lines().nth(1).unwrap().split(',').next().unwrap();
    let commands = block("longshore classroom marks");
    assert!(commands.contains("--student otter"), "{commands}");
    let output = run(&commands.replace("otter", alias), dir.path());
    assert!(output.contains("has 2 points for A5 by your decision"), "{output}");
    run(&block("longshore classroom export"), dir.path());
    let marks = fs::read_to_string(dir.path().join("marks.csv")).unwrap();
    assert!(marks.contains("Ann Berg,,2\r\n"), "{marks}");
    assert!(fs::read_to_string(dir.path().join("report.html")).unwrap().contains("told me in words"));
    assert!(output.contains("looks good: Ports and FTP, 38 tasks, 63 points"), "{output}");
    let lesson = blocks("toml").into_iter().find(|block| block.contains("[[task]]")).unwrap();
    fs::write(dir.path().join("class/lesson.toml"), lesson).unwrap();
    let output = run("longshore classroom lesson check class/lesson.toml\n", dir.path());
    assert!(output.contains("looks good: My lesson, 1 tasks, 2 points"), "{output}");
}

/// The same words, but for the port: tests run beside each other.
#[test]
fn the_demo_serves_a_class_and_leaves_nothing_behind() {
    let dir = directory();
    let words = block("longshore classroom demo") + " --port 0";
    let mut command = Command::new("setsid");
    command.arg(LONGSHORE).args(words.split_whitespace().skip(1)).env("TMPDIR", dir.path());
    let mut demo = Process::spawn(&mut command);
    let families = 1 + usize::from(TcpListener::bind("[::]:0").is_ok());
    let port = demo.listening(families)[0].port();
    let printed = demo.stdout();
    let cards = printed.lines().filter_map(|line| line.strip_prefix("  user "));
    let cards: Vec<Vec<&str>> = cards.map(|card| card.split_whitespace().collect()).collect();
    assert_eq!(cards.len(), 2, "{printed}");
    for card in cards {
        let mut ftp = Ftp::connect(([127, 0, 0, 1], port).into());
        ftp.login(card[0], card[2]);
        assert!(ftp.list("NLST /quest").contains(&"/quest/five".to_owned()));
    }
    demo.signal(Signal::INT);
    assert!(demo.wait().success());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// It is run where there is an engine; the names and the numbers must be those of the image.
#[test]
fn the_docker_block_fits_the_image() {
    let block = block("docker build");
    let syntax = Command::new("sh").args(["-n", "-c", &block]).status().unwrap();
    assert!(syntax.success());
    let lines: Vec<Vec<&str>> = block.lines().map(|line| line.split(' ').collect()).collect();
    let behind = |line: usize, flag: &str| -> Vec<&str> {
        let pairs = lines[line].windows(2).filter(|pair| pair[0] == flag);
        pairs.map(|pair| pair[1]).collect()
    };
    assert_eq!(lines[0][..2], ["docker", "build"]);
    assert_eq!(lines[0].last(), Some(&"."), "the Dockerfile is in the top directory");
    assert_eq!(lines[1][..2], ["docker", "run"]);
    assert_eq!(lines[1].last(), behind(0, "-t").first(), "the image that runs is the one that was built");
    assert_eq!(lines.last().unwrap()[..], ["docker", "stop", behind(1, "--name")[0]]);

    let dockerfile = file("Dockerfile");
    let instruction = |name: &str| {
        let prefix = format!("{name} ");
        dockerfile.lines().filter_map(|line| line.strip_prefix(&prefix)).next_back().unwrap().to_owned()
    };
    let published: Vec<(&str, &str)> = behind(1, "-p").iter().map(|pair| pair.split_once(':').unwrap()).collect();
    let [(control, inside), (passive, passive_inside)] = published[..] else { panic!("{published:?}") };
    assert_eq!(control, "21", "curl ftp://localhost/ goes there");
    assert_eq!(block.lines().nth(2), Some("curl ftp://localhost/"));
    assert_eq!(passive, passive_inside, "clients are told the numbers that the server knows");
    assert_eq!(instruction("EXPOSE"), format!("{inside} {passive}"));
    assert_eq!(instruction("ENTRYPOINT"), "[\"longshore\"]");
    assert!(dockerfile.contains("\nENV LONGSHORE_CONFIG=/etc/longshore/longshore.toml\n"));
    assert!(instruction("COPY").contains("config/docker.toml /etc/longshore/longshore.toml"));

    let settings = Command::new(LONGSHORE)
        .args(["check", "--config"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/docker.toml"))
        .output()
        .unwrap();
    let settings = text(&settings);
    let set = |name: &str| {
        let prefix = format!("{name} = ");
        let line = settings.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap();
        line.split(" #").next().unwrap().trim().to_owned()
    };
    assert_eq!(set("server.passive_ports"), format!("{passive:?}"));
    assert!(set("server.listen").contains(&format!("0.0.0.0:{inside}")), "{settings}");
    assert_eq!(set("storage.root"), format!("{:?}", instruction("VOLUME")));
    let readme = file("README.md");
    let user = instruction("USER");
    assert!(readme.contains(&format!("It runs as user {}", user.split(':').next().unwrap())), "{user}");
    assert!(readme.contains(&format!("serves `{}`", instruction("VOLUME"))));
}

#[test]
fn the_check_finds_the_shipped_settings_good() {
    let output = run(&block("cargo run --release -- check"), Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(output.contains("config/longshore.toml looks good"), "{output}");
    // The README shows some of its lines.
    let mut lines = output.lines();
    for shown in blocks("text")[2].lines().filter(|line| *line != "...") {
        assert!(lines.any(|line| line == shown), "{shown:?} is not there, or not in this order:\n{output}");
    }
}

#[test]
fn the_accounts_block_makes_an_account_that_can_log_in() {
    let dir = directory();
    let config: Vec<String> = blocks("toml").into_iter().filter(|block| block.contains("[accounts]")).collect();
    fs::write(dir.path().join("longshore.toml"), &config[0]).unwrap();
    let output = run(&block("mkdir"), dir.path());
    assert!(output.lines().any(|line| line.starts_with("ann ")), "{output}");
    let mut process = Process::spawn(
        Command::new(LONGSHORE).args(["--config", "longshore.toml", "--listen", "127.0.0.1:0"]).current_dir(dir.path()),
    );
    let mut ftp = Ftp::connect(process.listening(1)[0]);
    ftp.login("ann", "secret");
    ftp.expect(257, "PWD");
}

#[test]
fn the_ftps_block_serves_encrypted() {
    let dir = directory();
    let config: Vec<String> = blocks("toml").into_iter().filter(|block| block.contains("[tls]")).collect();
    fs::write(dir.path().join("longshore.toml"), &config[0]).unwrap();
    let block = block("longshore tls self-signed");
    let [make, serve, fetch] = block.lines().collect::<Vec<_>>()[..] else { panic!("{block}") };
    run(make, dir.path());
    let arguments = serve.strip_prefix("longshore ").unwrap().replace("2121", "0");
    let mut process = Process::spawn(Command::new(LONGSHORE).args(arguments.split(' ')).current_dir(dir.path()));
    let families = 1 + usize::from(TcpListener::bind("[::]:0").is_ok());
    let addresses = process.listening(families);
    let mut clear = Ftp::connect(([127, 0, 0, 1], addresses[0].port()).into());
    clear.expect(530, "USER anonymous");
    if Command::new("curl").arg("--version").output().is_err() {
        return;
    }
    // By the address: what `localhost` is first differs, and so do the ports of the two families here.
    let fetch = fetch.replace("localhost:2121", &format!("127.0.0.1:{}", addresses[0].port()));
    assert!(run(&format!("{fetch} --silent --show-error --max-time 10"), dir.path()).contains("welcome.txt"));
}

#[test]
fn the_permissions_block_gives_an_account_its_rules() {
    let dir = directory();
    let (accounts, others): (Vec<_>, Vec<_>) =
        blocks("toml").into_iter().partition(|block| block.contains("[accounts]"));
    fs::write(dir.path().join("longshore.toml"), &accounts[0]).unwrap();
    run(&block("mkdir"), dir.path());
    let group = others.iter().find(|block| block.contains("[[group]]")).unwrap();
    let users = dir.path().join("users.toml");
    fs::write(&users, format!("{}\n{group}\n", fs::read_to_string(&users).unwrap())).unwrap();
    run(&block("longshore user set"), dir.path());
    let groups = run(&block("longshore group add"), dir.path());
    let staff = r#"home = "staff", create_home = true, max_sessions = 5, permissions = "read-only""#;
    assert!(groups.contains("class ") && groups.contains(staff), "{groups}");
    let script = "printf 'x\\n' | longshore user add bob --group class --config longshore.toml --password-stdin";
    let listed = run(&format!("{script}; longshore user list --config longshore.toml"), dir.path());
    let bob = listed.lines().find(|line| line.starts_with("bob ")).unwrap();
    assert!(bob.contains("/ read-only, /incoming add-only, /incoming/*.tmp none"), "{listed}");
    assert!(bob.contains("until 2099-07-31, from 127.0.0.0/8"), "{listed}");
    fs::create_dir(dir.path().join("ftp/ann/incoming")).unwrap();
    let mut process = Process::spawn(
        Command::new(LONGSHORE).args(["--config", "longshore.toml", "--listen", "127.0.0.1:0"]).current_dir(dir.path()),
    );
    let address = process.listening(1)[0];
    let mut ann = Ftp::connect(address);
    ann.login("ann", "secret");
    ann.refused(550, "STOR new");
    ann.put("STOR incoming/new", b"x");
    ann.refused(550, "STOR incoming/new");
    let mut bob = Ftp::connect(address);
    bob.login("bob", "x");
    assert!(dir.path().join("ftp/class").is_dir());
}

#[test]
fn the_limits_block_shows_the_limits_in_force() {
    let dir = directory();
    let config = blocks("toml").into_iter().find(|block| block.starts_with("[limits]")).unwrap();
    fs::write(dir.path().join("limits.toml"), &config).unwrap();
    let output = run(&block("longshore check --config limits.toml"), dir.path());
    for line in config.lines().skip(1) {
        assert!(output.contains(&format!("limits.{line} ")), "{line} is not in\n{output}");
    }
    assert!(output.contains("limits.login_delay_max = 60 "), "{output}");
}

/// The commands find the server by themselves, and the table has the columns that the README shows.
#[test]
fn the_operating_block_asks_the_running_server() {
    let dir = directory();
    let mut command = Command::new(LONGSHORE);
    command.args(["--listen", "127.0.0.1:0"]).current_dir(dir.path()).env("RUNTIME_DIRECTORY", dir.path());
    let mut process = Process::spawn(&mut command);
    let mut ftp = Ftp::connect(process.listening(1)[0]);
    fs::File::create(dir.path().join("ftp/big")).unwrap().set_len(1 << 40).unwrap();
    ftp.login("anonymous", "x");
    let _data = ftp.open("RETR big");
    let script = block("longshore sessions");
    let output = run(&format!("export RUNTIME_DIRECTORY=\"$PWD\"\n{script}"), dir.path());
    let words = |text: &str| -> Vec<Vec<String>> {
        text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    };
    let shown = blocks("text").into_iter().find(|block| block.starts_with("Proto")).unwrap();
    let (shown, printed) = (words(&shown), words(&output));
    assert_eq!(shown[0], printed[0]);
    for (shown, printed) in shown[1..].iter().zip(&printed[1..]) {
        assert_eq!((shown.len(), &shown[3]), (printed.len(), &printed[3]), "{shown:?} {printed:?}");
    }
    assert!(printed.iter().any(|line| line[0] == "healthy:"), "{output}");
    assert_eq!(printed.last().unwrap()[..3], ["session", "1", "ended:"], "{output}");
    ftp.read(426);
    ftp.read(421);
}

#[test]
fn its_pictures_are_there_and_small() {
    let text = file("README.md");
    let pictures: Vec<&str> = text.split("](docs/").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert_eq!(pictures.len(), 3, "{pictures:?}");
    for picture in pictures {
        let bytes = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(picture)).unwrap();
        assert!(bytes.starts_with(b"RIFF") && bytes.len() < 200_000, "{picture}: {} bytes", bytes.len());
    }
}

#[test]
fn the_page_block_serves_a_page_and_tells_its_link() {
    let dir = directory();
    let script = block("longshore --port 2121 --page");
    let (serve, ask) = script.split_once('\n').unwrap();
    let words = serve.strip_prefix("longshore ").unwrap().replace("2121", "0").replace("--page", "--page 127.0.0.1:0");
    let mut command = Command::new(LONGSHORE);
    let socket = dir.path().join("longshore.sock");
    command.args(words.split(' ')).current_dir(dir.path()).env("LONGSHORE__SERVER__ADMIN_SOCKET", &socket);
    let mut process = Process::spawn(&mut command);
    process.listening(1 + usize::from(TcpListener::bind("[::]:0").is_ok()));
    let links = run(ask, dir.path());
    let (_, page) = links.split_once("live page:     http://").unwrap();
    let page: std::net::SocketAddr = page.split('/').next().unwrap().parse().unwrap();
    assert!(links.contains(&format!("for you alone: http://{page}/teacher#")), "{links}");
    std::net::TcpStream::connect(page).unwrap();
    // Without a value it is where the table of flags says.
    let output = Command::new(LONGSHORE).args(["check", "--page"]).current_dir(dir.path()).output().unwrap();
    assert!(text(&output).contains("page.listen = [\"127.0.0.1:8021\"]"));
}

#[test]
fn the_doctor_s_block_finds_a_good_machine() {
    let dir = directory();
    let output = run(&block("longshore doctor").replace("2121", "0"), dir.path());
    assert!(output.contains("0 faults, "), "{output}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "it changes nothing");
}

/// Those of the image are what the README says.
#[test]
fn the_image_s_variables_are_known() {
    let rows = table("| variable | meaning |");
    let names: Vec<&str> = rows.iter().flat_map(|row| row[0].split('`').skip(1).step_by(2)).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        let mut command = Command::new(LONGSHORE);
        // A quote is refused in each that is known, and `PUID` is obeyed before.
        command.arg("check").env("LONGSHORE_IMAGE", "1").env(name, "'x'").env("FTP_USER", "ann").stdin(Stdio::null());
        let said = String::from_utf8(command.output().unwrap().stderr).unwrap();
        assert!(said.contains(&format!("{name}: ")), "{name} is not known:\n{said}");
    }
}

#[test]
fn the_metrics_block_serves_what_the_text_says() {
    let dir = directory();
    let config = blocks("toml").into_iter().find(|block| block.starts_with("[metrics]")).unwrap();
    fs::write(dir.path().join("c.toml"), config.replace(":9121", ":0")).unwrap();
    let mut command = Command::new(LONGSHORE);
    command.args(["--config", "c.toml", "--listen", "127.0.0.1:0"]).current_dir(dir.path());
    let mut process = Process::spawn(&mut command);
    process.listening(1);
    let page = crate::fixture::poll(|| {
        let text = process.stderr();
        let (_, rest) = text.split_once("metrics at ")?;
        Some(rest.split_once('\n')?.0.to_owned())
    });
    let page = page.unwrap();
    for (path, expected) in [("/metrics", "longshore_sessions_total"), ("/health", "alive"), ("/ready", "ready")] {
        let url = page.replace("/metrics", path);
        let said = text(&Command::new("curl").args(["-sS", "--fail", "--max-time", "10", &url]).output().unwrap());
        assert!(said.contains(expected), "{url}: {said}");
    }
}

/// Variables are written in the text, not in blocks.
#[test]
fn the_variables_in_the_readme_are_settings() {
    let readme = file("README.md");
    let variables: Vec<(&str, &str)> = readme
        .split("LONGSHORE__")
        .skip(1)
        .filter_map(|rest| rest.split(['`', ' ', ')', '\n']).next()?.split_once('='))
        .collect();
    assert!(variables.len() >= 3, "{variables:?}");
    for (name, value) in variables {
        let mut command = Command::new(LONGSHORE);
        command.arg("check").env(format!("LONGSHORE__{name}"), value).current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = text(&command.output().unwrap());
        assert!(output.contains(&format!("LONGSHORE__{name}")), "{output}");
    }
}

#[test]
fn the_flags_are_those_of_the_help() {
    let help = help();
    let (_, options) = help.split_once("Options:\n").unwrap();
    let options = options.split("\n\n").next().unwrap();
    // What is indented further is the rest of the explanation before it.
    let options = options.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut known = BTreeSet::new();
    for row in table("| flag | meaning |") {
        for flag in row[0].split(", ") {
            let words: Vec<&str> = flag.trim_matches('`').split(' ').collect();
            let name = if words[0] == "-vv" { "-vv" } else { words[0] };
            assert!(
                options.contains(&format!("{name} ")) || options.contains(&format!("{name},")),
                "{name} is no flag"
            );
            known.insert(name.to_owned());
            match words[1..] {
                [] => {}
                [value] if value.contains('|') => {
                    let values = format!("[possible values: {}]", value.replace('|', ", "));
                    assert!(options.contains(&values), "{values} is not in {options}");
                }
                [value] if value.starts_with('[') => {
                    let value = value.replace('[', "[<").replace(']', ">]");
                    assert!(options.contains(&format!("{name} {value}")), "{name} {value}");
                }
                [value] => assert!(options.contains(&format!("{name} <{value}>")), "{name} {value}"),
                _ => panic!("{flag}"),
            }
        }
    }
    for name in options.split(' ').filter(|word| word.starts_with("--")) {
        let name = name.trim_end_matches('.');
        let common = ["--verbose", "--help", "--version"].contains(&name);
        assert!(common || known.contains(name), "{name} is not in the README");
    }
}

#[test]
fn the_exit_codes_are_those_of_the_help() {
    let help = help();
    let (_, codes) = help.split_once("Exit codes:").unwrap();
    let numbers = |text: &str| -> BTreeSet<u8> {
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
    };
    let rows: String = table("| code | meaning |").iter().map(|row| format!("{} ", row[0])).collect();
    assert_eq!(numbers(&rows), numbers(codes), "README and --help");
}

#[test]
fn the_commands_for_accounts_in_the_readme_exist() {
    let readme = file("README.md");
    let spans = readme.split('`').filter_map(|span| span.strip_prefix("longshore user "));
    let verbs: BTreeSet<&str> = spans.filter_map(|span| span.split(' ').next()).collect();
    assert!(verbs.len() >= 2, "{verbs:?}");
    for verb in verbs {
        text(&Command::new(LONGSHORE).args(["user", verb, "--help"]).output().unwrap());
    }
}

/// The object in the README has the members that the log writes, in their order.
#[test]
fn the_event_in_the_readme_looks_like_one_of_the_log() {
    let server = crate::fixture::Server::start();
    let _ftp = Ftp::connect(server.address());
    server.event("session_opened");
    let names = |line: &str| -> Vec<String> {
        let event: Value = serde_json::from_str(line).unwrap();
        let mut members: Vec<(usize, String)> = event
            .as_object()
            .unwrap()
            .keys()
            .map(|name| (line.find(&format!("\"{name}\":")).unwrap(), name.clone()))
            .collect();
        members.sort();
        members.into_iter().map(|(_, name)| name).collect()
    };
    let log = server.log_text();
    assert_eq!(names(&blocks("json")[0]), names(log.lines().next().unwrap()));
}

/// The lines in the README are those of a session like it, but for its numbers and the lines of single commands.
#[test]
fn the_log_in_the_readme_looks_like_the_log() {
    let bytes = [b'x'; 251];
    let mut server = crate::fixture::Server::builder().text_log().file("welcome.txt", bytes).start();
    let mut ftp = Ftp::connect(server.address());
    ftp.login("anonymous", "x");
    ftp.get("RETR welcome.txt");
    ftp.expect(221, "QUIT");
    drop(ftp);
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    let shape = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.contains(" command "));
        lines
            .map(|line| {
                let line = line.replace("(dynamic)", "(user)").replace(|c: char| c.is_ascii_digit(), "0");
                let words = line.split("0").filter(|word| !matches!(*word, "" | "." | ":" | "-"));
                words.collect::<Vec<_>>().join("0")
            })
            .collect()
    };
    assert_eq!(shape(&blocks("text")[1]), shape(&server.log_text()));
}

#[test]
fn what_needs_a_restart_is_listed() {
    let text = file("README.md");
    let listed =
        text.split("or not at all; sessions").nth(1).and_then(|text| text.split(" need a restart").next()).unwrap();
    let listed: Vec<&str> = listed.split('`').skip(1).step_by(2).collect();
    let needed: Vec<&str> =
        longshore::settings::keys::KEYS.iter().filter(|key| key.needs_restart()).map(|key| key.name).collect();
    assert_eq!(listed, needed);
}
