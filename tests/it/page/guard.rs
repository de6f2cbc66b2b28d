//! Who is let in, and who is not.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use super::http::{ask, head, send};
use super::{cookie, own, teachers_cookie, token};
use crate::fixture::{DEADLINE, LONGSHORE, Server, no_ipv6, poll};
use crate::ftp::Ftp;

#[test]
fn names_that_are_not_the_page_s_own_and_foreign_origins_are_refused() {
    let server = Server::builder().page().start();
    let page = server.page();
    let get = |headers: &[(&str, &str)]| ask(page, "GET", "/", headers, None).status;
    assert_eq!(get(&[]), 200);
    assert_eq!(get(&[("Host", &format!("localhost:{}", page.port()))]), 200);
    assert_eq!(get(&[("Host", "longshore.example")]), 421);
    assert_eq!(get(&[("Host", "127.0.0.1.example")]), 421);
    assert_eq!(get(&[("Origin", "http://other.example")]), 403);
    let post = |origin: &[(&str, &str)]| ask(page, "POST", "/teacher/sign-in", origin, Some("{\"token\":\"\"}")).status;
    assert_eq!(post(&[]), 403);
    assert_eq!(post(&[("Origin", "http://127.0.0.1")]), 403);
    assert_eq!(post(&[("Origin", "null")]), 403);
    let answer = ask(page, "GET", "/", &[], None);
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[test]
fn the_token_opens_the_teacher_s_face_and_nothing_else_does() {
    let server = Server::builder().admin().page().start();
    let (page, token) = (server.page(), token(&server));
    let get = |path: &str, cookie: &str| ask(page, "GET", path, &[("Cookie", cookie)], None).status;
    assert_eq!(get("/teacher/replay", ""), 401);
    assert_eq!(get("/student/replay", ""), 401);
    assert_eq!(get("/projector/replay", ""), 200);
    let sign_in = |token: &str| {
        let body = format!("{{\"token\":\"{token}\"}}");
        ask(page, "POST", "/teacher/sign-in", &[("Origin", &own(page))], Some(&body))
    };
    assert_eq!(sign_in("0123456789abcdef0123456789abcdef").status, 403);
    let refused = sign_in(&token);
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")), "a wrong one makes the next wait");
    let admitted = poll(|| Some(sign_in(&token)).filter(|answer| answer.status == 204)).unwrap();
    let line = admitted.header("set-cookie").unwrap();
    assert!(line.contains("; HttpOnly; SameSite=Strict;") && !line.contains(&token), "{line}");
    let cookie = line.split_once(';').unwrap().0;
    assert!(cookie.starts_with(&format!("longshore-teacher-{}=", page.port())), "{cookie}");
    assert_eq!(get("/teacher/replay", cookie), 200);
    assert_eq!(get("/student/replay", &cookie.replace("teacher", "student")), 401, "one face's cookie is no other's");
    let post = |path: &str, cookie: &str, body: &str| {
        ask(page, "POST", path, &[("Origin", &own(page)), ("Cookie", cookie)], Some(body)).status
    };
    assert_eq!(post("/teacher/kick", "", "{\"session\":1}"), 401);
    assert_eq!(post("/teacher/kick", cookie, "{\"session\":1,\"more\":1}"), 400);
    assert_eq!(post("/teacher/kick", cookie, &"x".repeat(20_000)), 413);
    let mut ftp = Ftp::anonymous(&server);
    assert_eq!(post("/teacher/kick", cookie, "{\"session\":1}"), 200);
    assert!(ftp.rest_until_closed().starts_with("421 "));
    assert_eq!(post("/teacher/sign-out", cookie, "{}"), 204);
    assert_eq!(get("/teacher/replay", cookie), 401);
    assert!(!server.output().contains(&token) && !server.log_text().contains(&token), "the token is in a log");
}

#[test]
fn a_public_address_is_refused_unless_it_is_meant() {
    let check = |lines: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, format!("[page]\n{lines}\n")).unwrap();
        let mut command = Command::new(LONGSHORE);
        let output = command.args(["check", "--root", "/", "--config"]).arg(file.path()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = check("listen = [\"0.0.0.0:8021\", \"203.0.113.7:8021\", \"192.168.1.5:8021\"]");
    assert_eq!(code, 78);
    assert!(said.contains("0.0.0.0:8021 is every address of this machine"), "{said}");
    assert!(said.contains("203.0.113.7:8021 is an address that the Internet may reach"), "{said}");
    assert!(!said.contains("192.168") && said.contains("set page.public = true"), "{said}");
    assert_eq!(check("listen = [\"0.0.0.0:8021\"]\npublic = true").0, 0);
}

/// The next message of a feed.
fn message(feed: &mut BufReader<TcpStream>) -> Value {
    let (mut line, end) = (String::new(), Instant::now() + DEADLINE);
    loop {
        // A feed that has nothing to say says so now and then.
        assert!(Instant::now() < end, "no message");
        line.clear();
        assert!(feed.read_line(&mut line).unwrap() > 0, "the feed ended");
        if let Some(json) = line.strip_prefix("data: ") {
            return serde_json::from_str(json).unwrap();
        }
    }
}

#[test]
fn a_reader_that_falls_behind_gets_a_fresh_snapshot_and_holds_nobody_up() {
    let server = Server::builder().admin().page().start();
    let page = server.page();
    let cookie = teachers_cookie(&server);
    let mut sessions: Vec<Ftp> = (0..30).map(|_| Ftp::anonymous(&server)).collect();
    let known = |count: usize| {
        let text = || ask(page, "GET", "/sessions.txt", &[], None).body;
        assert!(poll(|| (text().matches("ESTABLISHED").count() == count).then_some(())).is_some(), "{}", text());
    };
    known(30);
    let mut lazy = send(page, "GET", "/projector/feed", &[], None);
    head(&mut lazy);
    assert_eq!(message(&mut lazy)["afresh"], true);
    let mut quick = send(page, "GET", "/teacher/feed", &[("Cookie", &cookie)], None);
    head(&mut quick);
    // Each switch tells everything anew: more than the kernel and the hub hold for somebody who does not read.
    let switch = |files: bool| {
        let body = format!("{{\"files\":{files}}}");
        let headers = [("Origin", own(page)), ("Cookie", cookie.clone())];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        assert_eq!(ask(page, "POST", "/teacher/switch", &headers, Some(&body)).status, 204);
    };
    let until = |feed: &mut BufReader<TcpStream>, count: &mut usize, wanted: &dyn Fn(&Value) -> bool| loop {
        let message = message(feed);
        *count += 1;
        if wanted(&message) {
            return message;
        }
    };
    let mut told = 0;
    for round in 0..300 {
        switch(round % 2 == 0);
        until(&mut quick, &mut told, &|message| message["facts"]["switches"]["files"] == (round % 2 == 0));
    }
    sessions.iter_mut().for_each(Ftp::lives);
    sessions.truncate(7);
    known(7);
    switch(true);
    let mut read = 0;
    let last = until(&mut lazy, &mut read, &|message| {
        let rows = message["rows"].as_array().unwrap();
        let open = rows.iter().filter(|row| row["state"] == "ESTABLISHED").count();
        message["afresh"] == true && message["facts"]["switches"]["files"] == true && open == 7
    });
    assert!(read < 300, "it was told everything, {read} messages");
    let names: Vec<_> = last["rows"].as_array().unwrap().iter().map(|row| row["session"].as_u64().unwrap()).collect();
    assert!((1..=7).all(|session| names.contains(&session)), "{last}");
}

#[test]
fn the_oldest_reader_of_a_face_makes_way_for_one_more() {
    let server = Server::builder().page().start();
    let open = || {
        let mut feed = send(server.page(), "GET", "/projector/feed", &[], None);
        head(&mut feed);
        message(&mut feed);
        feed
    };
    let mut feeds: Vec<_> = (0..65).map(|_| open()).collect();
    let mut rest = String::new();
    let ended = |feed: &mut BufReader<TcpStream>, rest: &mut String| feed.read_line(rest).is_ok_and(|count| count == 0);
    while !ended(&mut feeds[0], &mut rest) {}
    let _ftp = Ftp::anonymous(&server);
    assert_eq!(message(&mut feeds[1])["rows"][0]["session"], 1, "the others are told");
}

#[test]
fn who_opens_the_page_is_told_what_happened_before() {
    let server = Server::builder().admin().page().start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.list("NLST");
    let cookie = cookie(server.page(), "teacher", &format!("{{\"token\":\"{}\"}}", token(&server)));
    let ladder = poll(|| {
        let answer = ask(server.page(), "GET", "/teacher/ladder/1", &[("Cookie", &cookie)], None);
        let steps: Vec<Value> = serde_json::from_str(&answer.body).ok()?;
        steps.iter().any(|step| step["verb"] == "NLST" && step["event"] == "command").then_some(steps)
    });
    let kinds: Vec<String> = ladder.unwrap().iter().map(|step| step["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds[0], "session_opened");
    assert!(kinds.contains(&"data_opened".to_owned()) && kinds.contains(&"transfer".to_owned()), "{kinds:?}");
    assert_eq!(ask(server.page(), "GET", "/projector/ladder/99", &[], None).status, 404);
}

#[test]
fn the_table_as_text_looks_like_netstat_s_and_tells_no_names() {
    let server = Server::builder().ipv6().page().account("ann", "pw").start();
    let mut ftp = Ftp::connect(server.address());
    ftp.login("ann", "pw");
    let data = ftp.passive();
    if !no_ipv6() {
        let (server, page) = (server.address_v6(), server.page());
        let other = Ftp::connect(server);
        for foreign in ["[::]:*", &other.local().to_string()] {
            let words = ["tcp6", &server.to_string(), foreign];
            let is_there = |text: &str| text.lines().any(|line| line.split_whitespace().take(3).eq(words));
            let found = poll(|| is_there(&ask(page, "GET", "/sessions.txt", &[], None).body).then_some(()));
            assert!(found.is_some(), "{words:?}: {}", ask(page, "GET", "/sessions.txt", &[], None).body);
        }
    }
    let text = poll(|| {
        let text = ask(server.page(), "GET", "/sessions.txt", &[], None).body;
        (text.contains(&format!("{} ", ftp.local())) && text.contains("LISTEN  ")).then_some(text)
    });
    let text = text.unwrap();
    assert!(text.starts_with("Active Internet connections (servers and established)\nProto  Local Address"), "{text}");
    let control = text.lines().find(|line| line.contains(&format!("{} ", ftp.local()))).unwrap();
    let words: Vec<&str> = control.split_whitespace().collect();
    assert_eq!(words[..4], ["tcp", &server.address().to_string(), &ftp.local().to_string(), "ESTABLISHED"], "{text}");
    assert!(!text.contains("ann") && text.contains("session 1"), "{text}");
    drop(data);
}
