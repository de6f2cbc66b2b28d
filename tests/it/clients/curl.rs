//! curl: one session a command line.

use std::net::SocketAddr;
use std::process::Command;

use super::{Client, age, client, core_done, data_mode_was, globs_done, is_aged, local_tree, server, url};
use crate::fixture::{Server, left_out, no_ipv6, noise};

/// The flags that all of them have: fail loudly, never hang.
fn curl(client: &Client, mode: &str) -> Command {
    let mut command = client.command();
    command.args(["--silent", "--show-error", "--verbose", "--max-time", "30"]);
    match mode {
        "active" => command.args(["--ftp-port", "-"]),
        "active by PORT" => command.args(["--ftp-port", "-", "--disable-eprt"]),
        "passive by PASV" => command.arg("--disable-epsv"),
        _ => &mut command,
    };
    command
}

fn core(mode: &str, address: impl Fn(&crate::fixture::Server) -> SocketAddr) {
    let Some(client) = client("curl") else { return };
    let (server, tree) = server();
    local_tree(&client, &tree);
    let url = url(address(&server));
    let run = |args: &[&str]| client.run(curl(&client, mode).args(args), "");
    run(&[&format!("{url}/"), "-o", "listing.txt"]);
    run(&[&format!("{url}/big.bin"), "-O", &format!("{url}/two%20words.txt"), "-o", "two words.txt"]);
    run(&["-T", "up.bin", &format!("{url}/")]);
    run(&["-T", "local words.txt", &format!("{url}/remote%20words.txt")]);
    run(&[
        &format!("{url}/"),
        "-o",
        "listing-after.txt",
        "-Q",
        "MKD made",
        "-Q",
        "MKD not for long",
        "-Q",
        "RMD not for long",
        "-Q",
        "RNFR old.txt",
        "-Q",
        "RNTO new name.txt",
        "-Q",
        "DELE doomed/a.txt",
        "-Q",
        "DELE doomed/b.txt",
        "-Q",
        "DELE doomed/see you.txt",
    ]);
    // Several files in one session each way: curl's own words for mget and mput.
    run(&[&format!("{url}/many/{{one,two,and%20three}}.txt"), "-o", "down/#1.txt"]);
    std::fs::rename(client.path("down/and%20three.txt"), client.path("down/and three.txt")).unwrap();
    run(&["-T", "up/{u1.txt,u2.txt,u and 3.txt}", &format!("{url}/incoming/")]);
    let listing = String::from_utf8(client.read("listing.txt")).unwrap();
    core_done(&client, &server, &tree, &listing);
    globs_done(&client, &server);
    data_mode_was(&server, mode.split(' ').next().unwrap());
}

#[test]
fn curl_passive() {
    core("passive", |server| server.address());
}

#[test]
fn curl_passive_by_pasv() {
    core("passive by PASV", |server| server.address());
}

#[test]
fn curl_active() {
    core("active", |server| server.address());
}

#[test]
fn curl_active_by_port() {
    core("active by PORT", |server| server.address());
}

#[test]
fn curl_passive_ipv6() {
    if no_ipv6() {
        return;
    }
    core("passive", |server| server.address_v6());
}

#[test]
fn curl_active_ipv6() {
    if no_ipv6() {
        return;
    }
    core("active", |server| server.address_v6());
}

#[test]
fn curl_resumes_both_ways() {
    let Some(client) = client("curl") else { return };
    let (server, tree) = server();
    let url = url(server.address());
    client.write("big.bin", &tree.big[..250_000]);
    let upload = noise(400_003, 9);
    client.write("upload.bin", &upload);
    server.write("upload.bin", &upload[..150_000]);
    let run = |args: &[&str]| client.run(curl(&client, "passive").args(args), "");
    run(&["-C", "-", "-O", &format!("{url}/big.bin")]);
    run(&["-C", "-", "-T", "upload.bin", &format!("{url}/upload.bin")]);
    assert!(client.read("big.bin") == tree.big);
    assert!(server.read("upload.bin") == upload);
    let got = server.event_where("transfer", |event| event["verb"] == "RETR");
    assert_eq!(got["bytes"], 700_001 - 250_000, "-C - asked for the whole file");
}

/// A range in the middle: curl closes the data connection early, and the session must take it.
#[test]
fn curl_fetches_a_range() {
    let Some(client) = client("curl") else { return };
    let (server, tree) = server();
    let url = url(server.address());
    client.run(curl(&client, "passive").args(["-r", "1000-1999", "-o", "part", &format!("{url}/big.bin")]), "");
    assert!(client.read("part") == tree.big[1000..2000]);
}

#[test]
fn curl_keeps_times_and_makes_directories() {
    let Some(client) = client("curl") else { return };
    let (server, tree) = server();
    let url = url(server.address());
    age(&server.path("big.bin"));
    client.write("up.bin", &tree.up);
    let run = |args: &[&str]| client.run(curl(&client, "passive").args(args), "");
    run(&["-R", "-O", &format!("{url}/big.bin")]);
    is_aged(&client.path("big.bin"));
    run(&["--ftp-create-dirs", "-T", "up.bin", &format!("{url}/not/yet/there/up.bin")]);
    assert!(server.read("not/yet/there/up.bin") == tree.up);
    run(&["-a", "-T", "up.bin", &format!("{url}/not/yet/there/up.bin")]);
    assert_eq!(server.read("not/yet/there/up.bin"), [&tree.up[..], &tree.up[..]].concat());
    let head = run(&["-I", &format!("{url}/big.bin")]);
    assert!(head.contains("Content-Length: 700001"), "{head}");
    let names = run(&["--list-only", &format!("{url}/many/")]);
    assert!(names.contains("and three.txt"), "{names}");
}

#[test]
fn a_used_up_quota_is_what_curl_says() {
    let Some(client) = client("curl") else { return };
    let server =
        Server::builder().account_with("ann", "pw", "quota_bytes = \"10 KB\"").file("full", noise(10_000, 1)).start();
    client.write("upload", noise(100, 2));
    let mut command = client.command();
    let url = format!("ftp://{}/big", server.address());
    let output = command.args(["-sS", "--max-time", "30", "--user", "ann:pw", "-T", "upload", &url]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Failed FTP upload: 552"), "{said}");
}

/// Permissions, rates and limits as somebody meets them who has nothing but a client.
#[test]
fn curl_is_told_what_it_may_not_do() {
    let Some(client) = client("curl") else { return };
    let server = Server::builder()
        .anonymous("off")
        .account_with("ann", "pw", "permissions = \"add-only\"")
        .account_with("bob", "pw", "permissions = \"read-only\"\ndownload_rate = 200000")
        .account_with("eve", "pw", "enabled = false")
        .file("file", noise(100_000, 3))
        .limits("max_sessions_per_ip = 2")
        .start();
    client.write("upload", "x");
    let run = |user: &str, args: &[&str]| {
        let mut command = client.command();
        command.args(["-sSv", "--max-time", "30", "--user", &format!("{user}:pw")]).args(args);
        let output = command.output().unwrap();
        (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let url = |name: &str| format!("ftp://{}/{name}", server.address());
    for (user, name, told) in [
        ("ann", "new", "226 Transfer complete"),
        ("ann", "new", "550 This account may not replace /new."),
        ("bob", "new", "550 This account may not upload to /new."),
        ("eve", "new", "530 This name and this password do not belong together."),
    ] {
        let (_, said) = run(user, &["-T", "upload", &url(name)]);
        assert!(said.contains(told), "{user}: {said}");
    }
    let (_, said) = run("ann", &[&url("new")]);
    assert!(said.contains("550 This account may not read /new."), "{said}");
    let (speed, _) = run("bob", &["-o", "file", "-w", "%{speed_download}", &url("file")]);
    let speed: f64 = String::from_utf8(speed).unwrap().parse().unwrap();
    // The first 50 ms' worth comes at once.
    assert!(client.read("file") == server.read("file") && speed < 230_000.0, "{speed}");
    let places = [0; 2].map(|_| crate::ftp::Ftp::connect(server.address()));
    let (_, said) = run("bob", &[&url("file")]);
    assert!(said.contains("421 Your address, 127.0.0.1, has as many sessions as it may have."), "{said}");
    drop(places);
}

/// Hashes as this system's crypt(3) makes them, and what a user and the group say.
#[test]
fn curl_is_let_in_with_hashes_from_elsewhere_on_the_terms_of_its_group() {
    let Some(client) = client("curl") else { return };
    let crypt = |salt: &str| {
        let output = client.sibling("perl").args(["-e", "print crypt('mooring', $ARGV[0])", salt]).output().ok()?;
        String::from_utf8(output.stdout).ok().filter(|hash| hash.starts_with(salt))
    };
    let mut accounts = "[[group]]\nname = \"class\"\nhome = \"class\"\ncreate_home = true\n\
                        allow_from = [\"127.0.0.0/8\", \"2001:db8::/32\"]\nexpires = \"9999-12-31\"\n"
        .to_owned();
    let mut user = |name: &str, salt: &str, says: &str| {
        let hash = crypt(salt)?;
        accounts += &format!("[[user]]\nname = {name:?}\npassword = {hash:?}\ngroup = \"class\"\n{says}\n");
        Some(name.to_owned())
    };
    let kinds = [
        ("bcrypt-a", "$2a$05$abcdefghijklmnopqrstuu"),
        ("bcrypt-b", "$2b$05$abcdefghijklmnopqrstuu"),
        ("bcrypt-y", "$2y$05$abcdefghijklmnopqrstuu"),
        ("sha512", "$6$saltsalt$"),
        ("sha512-rounds", "$6$rounds=7000$saltsalt$"),
        ("yescrypt", "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$"),
    ];
    let known: Option<Vec<String>> = kinds.iter().map(|(name, salt)| user(name, salt, "")).collect();
    let kept_out = [("old", "expires = \"2001-02-03\""), ("far", "allow_from = [\"192.0.2.0/24\"]")];
    let kept_out: Option<Vec<String>> = kept_out.iter().map(|(name, says)| user(name, "$6$saltsalt$", says)).collect();
    let (Some(known), Some(kept_out)) = (known, kept_out) else {
        left_out("perl's crypt() knows not all kinds of hashes here; that hashes from elsewhere let in was not tested");
        return;
    };
    let server = Server::builder().anonymous("off").limits("login_delay_max = 0").account("ann", "x");
    let server = server.accounts_text(&accounts).start();
    client.write("upload", "x");
    let said = |name: &str, password: &str| {
        let (user, url) = (format!("{name}:{password}"), format!("ftp://{}/{name}", server.address()));
        let mut command = client.command();
        let output =
            command.args(["-sSv", "--max-time", "30", "-T", "upload", "--user", &user, &url]).output().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    const REFUSED: &str = "530 This name and this password do not belong together.";
    for name in &known {
        assert!(said(name, "mooring").contains("226 Transfer complete"), "{name}");
        assert!(said(name, "Mooring").contains(REFUSED), "{name}");
        assert!(server.has(&format!("class/{name}")), "{name}");
    }
    for name in kept_out.iter().map(String::as_str).chain(["nobody"]) {
        assert!(said(name, "mooring").contains(REFUSED), "{name}");
    }
    // Edited by hand, it holds at the next login.
    let path = server.beside("accounts.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"9999-12-31\"", "\"9999-12-31\"\nenabled = false")).unwrap();
    assert!(said("sha512", "mooring").contains(REFUSED));
}

/// A page somewhere can have a browser post what it likes to an address in the browser's own network.
#[test]
fn what_is_posted_over_http_is_no_command() {
    let Some(client) = client("curl") else { return };
    let server = Server::builder().anonymous("read-write").start();
    let mut command = client.command();
    command.args(["-sS", "--http0.9", "--max-time", "5", "--data-binary", "USER anonymous\r\nPASS x\r\nMKD evil\r\n"]);
    let output = command.arg(format!("http://{}/", server.address())).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!server.has("evil"), "{said}");
    assert!(said.ends_with("500 This is FTP, and that was HTTP. Goodbye.\r\n") && said.lines().count() == 2, "{said}");
    assert_eq!(server.event("session_closed")["reason"], "other_protocol");
}
