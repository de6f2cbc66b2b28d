//! The log of transfers, read by analysers of its own time, and the numbers, read by Prometheus itself.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::fixture::{Process, Server, left_out, noise, poll};
use crate::ftp::Ftp;

/// A server with a log of three transfers, of which one has a name with a space.
fn transferred() -> (Server, std::path::PathBuf) {
    let builder = Server::builder().account("ann", "pw").file("a b", noise(1000, 1));
    let log = builder.beside("xferlog");
    let server = builder.log(&format!("xferlog = {log:?}")).start();
    let mut ftp = Ftp::connect(server.address());
    ftp.login("ann", "pw");
    ftp.expect(200, "TYPE I");
    ftp.get("RETR a b");
    ftp.put("STOR c", &noise(3072, 2));
    let mut guest = Ftp::anonymous(&server);
    guest.expect(200, "TYPE I");
    guest.get("RETR c");
    let written =
        poll(|| fs::read_to_string(&log).ok().filter(|text| text.lines().count() == 3 && text.ends_with('\n')));
    assert!(written.is_some());
    (server, log)
}

#[test]
fn webalizer_reads_the_log_of_transfers() {
    if Command::new("webalizer").arg("-V").output().is_err() {
        return left_out("webalizer is not installed: it read no xferlog");
    }
    let (server, log) = transferred();
    let out = server.beside("report");
    fs::create_dir(&out).unwrap();
    // No settings of this machine, no history.
    fs::write(server.beside("webalizer.conf"), "").unwrap();
    let mut command = Command::new("webalizer");
    command.args(["-c", "webalizer.conf", "-F", "ftp", "-p", "-n", "localhost", "-o"]).arg(&out).arg(&log);
    let output = command.current_dir(out.parent().unwrap()).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.contains("3 records"), "{said}");
    assert!(!said.contains("bad") && !said.contains("ignored"), "{said}");
    let pages = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
    let page = pages.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("usage_")));
    let text: String = page.filter_map(|path| fs::read_to_string(path).ok()).collect();
    for known in ["/a_b", "/c", "127.0.0.1"] {
        assert!(text.contains(known), "{known} is not in the report");
    }
}

#[test]
fn awstats_reads_the_log_of_transfers() {
    const AWSTATS: &str = "/usr/lib/cgi-bin/awstats.pl";
    if !std::path::Path::new(AWSTATS).exists() {
        return left_out("awstats is not installed: it read no xferlog");
    }
    let (server, log) = transferred();
    let dir = server.beside("awstats");
    fs::create_dir(&dir).unwrap();
    // As its documentation says for xferlog.
    let settings = format!(
        "LogFile={log:?}\nLogType=F\nLogFormat=\"%time3 %other %host %bytesd %url %other %other %method %other %logname \
         %other %code %other %other\"\nLogSeparator=\"\\s\"\nSiteDomain=\"ftp\"\nHostAliases=\"localhost\"\nDirData={dir:?}\n\
         DNSLookup=0\nNotPageList=\"\"\nLevelForBrowsersDetection=0\nLevelForOSDetection=0\nLevelForRefererAnalyze=0\n\
         LevelForRobotsDetection=0\nLevelForWormsDetection=0\nLevelForSearchEnginesDetection=0\nShowAuthenticatedUsers=PHBL\n"
    );
    fs::write(dir.join("awstats.ftp.conf"), settings).unwrap();
    let mut command = Command::new("perl");
    let output =
        command.args([AWSTATS, "-config=ftp", "-update", &format!("-configdir={}", dir.display())]).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(said.contains("Found 0 corrupted records") && said.contains("Found 3 new qualified records"), "{said}");
}

#[test]
fn prometheus_scrapes_the_numbers() {
    if Command::new("prometheus").arg("--version").output().is_err() {
        return left_out("prometheus is not installed: it scraped nothing");
    }
    let server = Server::builder().metrics().file("a", noise(1000, 1)).start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(200, "TYPE I");
    ftp.get("RETR a");
    let target = server.metrics();
    let config = server.beside("prometheus.yml");
    let text = format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n- job_name: longshore\n  static_configs:\n  \
         - targets: ['{target}']\n"
    );
    fs::write(&config, text).unwrap();
    // It does not tell which port it was given, so it is told one that was free a moment ago.
    let (_prometheus, api) = poll(|| {
        let api = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display())).arg(format!("--web.listen-address={api}"));
        command.arg(format!("--storage.tsdb.path={}", server.beside("tsdb").display())).stdin(Stdio::null());
        let process = Process::spawn(&mut command);
        poll(|| std::net::TcpStream::connect(api).ok())?;
        Some((process, api))
    })
    .expect("prometheus starts");
    let value = |query: &str| -> Option<String> {
        let answer = ask(api, &format!("/api/v1/query?query={query}"))?;
        Some(answer["data"]["result"][0]["value"][1].as_str()?.to_owned())
    };
    for (query, expected) in [
        ("up", "1"),
        ("longshore_sessions_total", "1"),
        ("longshore_transfer_bytes_total{verb=%22RETR%22,outcome=%22complete%22}", "1000"),
        ("longshore_transfer_duration_seconds_count", "1"),
        ("sum(longshore_transfer_duration_seconds_bucket{le=%22%2BInf%22})", "1"),
        ("longshore_open_sessions", "1"),
    ] {
        let seen = poll(|| value(query).filter(|value| value == expected));
        assert!(seen.is_some(), "{query} is {:?}", value(query));
    }
    let kinds = ask(api, "/api/v1/targets/metadata").unwrap();
    let kind = |name: &str| {
        let all = kinds["data"].as_array().unwrap();
        all.iter().find(|it| it["metric"] == name).map(|it| it["type"].as_str().unwrap().to_owned())
    };
    assert_eq!(kind("longshore_transfer_duration_seconds").as_deref(), Some("histogram"), "{kinds}");
    assert_eq!(kind("longshore_logins").or(kind("longshore_logins_total")).as_deref(), Some("counter"), "{kinds}");
    assert_eq!(kind("longshore_passive_ports_free").as_deref(), Some("gauge"), "{kinds}");
}

/// What the API of Prometheus answers.
fn ask(api: SocketAddr, path: &str) -> Option<Value> {
    let output =
        Command::new("curl").args(["-sS", "--globoff", "--max-time", "5", &format!("http://{api}{path}")]).output();
    serde_json::from_slice(&output.ok()?.stdout).ok()
}
