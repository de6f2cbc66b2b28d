//! The faces in a real browser, while real clients connect.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::browser::Browser;
use super::{own, token};
use crate::admin::sockets_of;
use crate::fixture::{Server, left_out, noise, poll};
use crate::ftp::Ftp;

/// The table as it is read: of each row that is open, what it is and both address columns.
const OPEN_ROWS: &str = "return [...document.querySelectorAll('tr.control:not(.over), tr.data:not(.over)')].map(
    (row) => [row.className.split(' ')[0], ...['local', 'foreign'].map((name) => row.querySelector(`td.${name}`).textContent)])";

/// Both ends of connections, the client's last.
type Ends = BTreeSet<(SocketAddr, SocketAddr)>;

fn rows(browser: &Browser) -> Vec<Vec<String>> {
    serde_json::from_value(browser.run(OPEN_ROWS)).unwrap()
}

/// What the page shows as open, in the order of its two columns.
fn shown(browser: &Browser) -> Ends {
    let parsed = |row: &Vec<String>| Some((row[1].parse().ok()?, row[2].parse().ok()?));
    rows(browser).iter().filter_map(parsed).collect()
}

/// The sockets of a client program, as its own kernel has them: the server's end first.
fn connected(pid: u32, to: SocketAddr) -> Ends {
    let ends = sockets_of(pid).into_iter().filter_map(|(own, other)| Some((other?, own)));
    ends.filter(|(server, _)| server.ip() == to.ip()).collect()
}

/// A client that is downloading.
struct Curl(Child);

impl Curl {
    fn start(arguments: &[&str], server: &Server) -> Option<Self> {
        let url = format!("ftp://{}/slow.bin", server.address());
        let mut command = Command::new("curl");
        command.args(["--silent", "--output", "/dev/null"]).args(arguments).arg(url).stdout(Stdio::null());
        let child = command.spawn();
        if child.is_err() {
            left_out("curl is not installed: the page was looked at without it");
        }
        child.ok().map(Self)
    }
}

impl Drop for Curl {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn server() -> Server {
    Server::builder()
        .admin()
        .page()
        .limits("path_download_rates = { \"/slow.bin\" = 50000 }")
        .file("slow.bin", noise(8_000_000, 1))
        .file("hello.txt", "hello\n")
        .start()
}

#[test]
fn the_projector_shows_the_very_ports_that_the_clients_have() {
    let (server, Some(browser)) = (server(), Browser::start()) else { return };
    browser.open(&own(server.page()));
    browser.wait("return document.querySelector('tr.listener td.local')?.textContent");
    browser.picture("projector-0.png");
    let Some(passive) = Curl::start(&["--disable-epsv"], &server) else { return };
    let active = Curl::start(&["--ftp-port", "-"], &server).unwrap();
    let mut ftp = Ftp::anonymous(&server);
    ftp.list("LIST");
    let clients = || -> Ends {
        let of_programs = [&passive, &active].map(|curl| connected(curl.0.id(), server.address()));
        let own = (ftp.peer(), ftp.local());
        of_programs.into_iter().flatten().chain([own]).collect()
    };
    // Two connections of each curl, and one of ours.
    let (shown_now, clients_have) = {
        let both = poll(|| Some((shown(&browser), clients())).filter(|(a, b)| a == b && b.len() == 5));
        both.unwrap_or_else(|| panic!("shown {:?}\nclients {:?}", shown(&browser), clients()))
    };
    // The ruler has a mark for each of these ports.
    let marks: BTreeSet<u16> = serde_json::from_value(
        browser.run("return [...document.querySelectorAll('.mark title')].map((title) => Number(title.textContent))"),
    )
    .unwrap();
    let ports = clients_have.iter().flat_map(|(server, client)| [server.port(), client.port()]);
    assert!(ports.clone().all(|port| marks.contains(&port)), "{marks:?} {clients_have:?}");
    // What is told apart by colour has a word.
    let tags = browser.run("return [...document.querySelectorAll('tr .tag')].map((tag) => tag.textContent)");
    assert!(tags.as_array().unwrap().iter().all(|tag| ["SYSTEM", "USER", "DYNAMIC"].contains(&tag.as_str().unwrap())));
    // The other side's netstat has the two columns swapped.
    browser.click("input[value=student]");
    let swapped: Ends = shown_now.iter().map(|&(server, client)| (client, server)).collect();
    assert_eq!(shown(&browser), swapped);
    let arrow = "return document.querySelector('tr.data:not(.over) td.mode').textContent";
    let arrows = [browser.run(arrow), {
        browser.click("input[value=server]");
        browser.run(arrow)
    }];
    assert_ne!(arrows[0], arrows[1]);
    browser.picture("projector-3.png");
    assert_eq!(browser.barriers(), [""; 0]);
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn a_frozen_page_stays_as_it_is_and_the_replay_shows_what_was() {
    let (server, Some(browser)) = (server(), Browser::start()) else { return };
    browser.open(&own(server.page()));
    browser.wait("return document.querySelector('tr.listener')");
    let mut first = Ftp::anonymous(&server);
    let has = |port: u16| format!("return document.querySelector('tbody').textContent.includes(':{port}')");
    browser.wait(&has(first.local().port()));
    // The replay has a frame for each second.
    for _ in 0..2 {
        let clock = browser.run("return document.querySelector('.clock').textContent");
        browser.wait(&format!("return document.querySelector('.clock').textContent !== {clock}"));
    }
    let text = "return document.querySelector('tbody').textContent + document.querySelector('.clock').textContent";
    browser.run("[...document.querySelectorAll('button')].find((it) => it.textContent === 'Freeze').click()");
    let frozen = browser.run(text);
    let second = Ftp::anonymous(&server);
    first.expect(257, "PWD");
    // The news has come, since somebody else has it, and this page does not show it.
    let seen = |port: u16| {
        let text = super::http::ask(server.page(), "GET", "/sessions.txt", &[], None).body;
        text.contains(&format!(":{port} ")).then_some(())
    };
    assert!(poll(|| seen(second.local().port())).is_some());
    browser.wait("return performance.now() > 2000");
    assert_eq!(browser.run(text), frozen);
    assert_eq!(browser.run("return document.querySelector('.alert').textContent.startsWith('Frozen at')"), true);
    assert_eq!(
        browser.run("return document.querySelector('.status').textContent"),
        "1 logged in · 1 session · 0 transfers"
    );
    browser.run("[...document.querySelectorAll('button')].find((it) => it.textContent === 'Resume').click()");
    browser.wait(&has(second.local().port()));
    let (port, gone) = (second.local().port(), first.local().port());
    first.expect(221, "QUIT");
    browser.wait(&format!(
        "return [...document.querySelectorAll('tr.over')].some((row) => row.textContent.includes(':{gone}'))"
    ));
    browser.run("[...document.querySelectorAll('button')].find((it) => it.textContent === 'Replay').click()");
    browser.wait("return !document.querySelector('.replay').hidden");
    // At its beginning there was the first client, still connected, and not the second.
    let open = |port: u16| {
        format!(
            "return [...document.querySelectorAll('tr.control:not(.over)')].some((row) => row.textContent.includes(':{port}'))"
        )
    };
    let steps = browser.run("return Number(document.querySelector('.replay input').max)").as_u64().unwrap();
    let moment = |second: u64| {
        browser.run(&format!(
            "const slider = document.querySelector('.replay input'); slider.value = {second}; \
             slider.dispatchEvent(new Event('input'))"
        ));
        [gone, port].map(|port| browser.run(&open(port)) == true)
    };
    let moments: Vec<[bool; 2]> = (0..=steps).map(moment).collect();
    assert!(moments.contains(&[true, false]), "{moments:?}");
    assert_eq!(moments.last(), Some(&[false, true]), "{moments:?}");
    browser.run("[...document.querySelectorAll('button')].find((it) => it.textContent === 'Back to live').click()");
    browser.wait(&has(port));
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn the_teacher_s_link_opens_everything_and_markup_stays_text() {
    const NAME: &str = "<img src=x onerror=document.title='broken'><script>document.title='broken'.txt";
    let (server, Some(browser)) = (server(), Browser::start()) else { return };
    let mut ftp = Ftp::anonymous(&server);
    ftp.put(format!("STOR {NAME}"), b"x");
    browser.open(&format!("{}/teacher#0123456789abcdef0123456789abcdef", own(server.page())));
    browser.wait("return document.querySelector('form.sign-in')");
    assert_eq!(browser.run("return [location.hash, document.querySelector('table')]"), json!(["", null]));
    // A wrong token makes the next one wait for a second.
    let link = format!("{}/teacher#{}", own(server.page()), token(&server));
    browser.type_into("input[name=token]", &link);
    let end = std::time::Instant::now() + crate::fixture::DEADLINE;
    while browser.run("return document.querySelector('form.sign-in') !== null") == true {
        assert!(std::time::Instant::now() < end, "{}", browser.run("return document.body.innerText"));
        browser.run("document.querySelector('form.sign-in')?.requestSubmit()");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let command = "return [...document.querySelectorAll('td.command')].map((cell) => cell.textContent).find((text) => text.includes('STOR'))";
    assert_eq!(browser.wait(command), format!("STOR {NAME}"));
    browser.click("tr.control button.name");
    browser.wait(
        "return [...document.querySelectorAll('.ladder .label')].some((it) => it.textContent.includes('onerror'))",
    );
    assert_eq!(
        browser.run("return [document.title, document.querySelectorAll('main script, main img').length]"),
        json!(["longshore: live ports", 0])
    );
    browser.picture("teacher-ladder.png");
    assert_eq!(browser.barriers(), [""; 0]);
    // The projector gets file names when the teacher says so.
    let projector = |browser: &Browser| {
        super::http::ask(server.page(), "GET", "/sessions.txt", &[], None).body.contains("onerror")
            && !browser.complaints().iter().any(|it| it.contains("SEVERE"))
    };
    assert!(!projector(&browser));
    browser.click(".switch input");
    assert!(poll(|| projector(&browser).then_some(())).is_some());
    // And ends a session.
    browser.click("#tab-connections");
    browser.run("window.confirm = () => true");
    browser.click("td.actions button");
    assert!(ftp.rest_until_closed().starts_with("421 "));
    browser.picture("teacher.png");
}

#[test]
fn the_ladder_spells_out_how_a_port_is_sent() {
    let (server, Some(browser)) = (server(), Browser::start()) else { return };
    let mut ftp = Ftp::anonymous(&server);
    let offered = ftp.pasv();
    browser.open(&own(server.page()));
    browser.click("tr.control button.name");
    let [high, low] = [offered.port() / 256, offered.port() % 256];
    let sum = format!("{high} × 256 + {low} = {}", offered.port());
    browser.wait(&format!(
        "return [...document.querySelectorAll('.ladder .note')].some((it) => it.textContent.includes('{sum}'))"
    ));
    let ends: Value = browser.run(
        "return [...document.querySelectorAll('.ladder .control .end')].map((it) => it.textContent).filter(Boolean)",
    );
    let expected = [ftp.local().port().to_string(), server.address().port().to_string()];
    assert_eq!(ends.as_array().unwrap()[..2], expected.map(Value::from));
    browser.picture("projector-ladder.webp");
    assert_eq!(browser.barriers(), [""; 0]);
    browser.click("#tab-histogram");
    let counted =
        "return [...document.querySelectorAll('.counts strong')].reduce((sum, it) => sum + Number(it.textContent), 0)";
    assert_eq!(browser.run(counted), 1);
    browser.picture("projector-histogram.png");
    assert_eq!(browser.barriers(), [""; 0]);
}
