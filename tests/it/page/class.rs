//! A class on the page: tasks and answers for students, decisions and exports for the teacher, the grid on the wall.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::json;

use super::browser::Browser;
use super::http::{Answer, ask};
use super::{cookie, own};
use crate::classroom::lab::Lab;
use crate::fixture::poll;
use crate::ftp::Ftp;

/// Where the page of a class is, and the teacher's cookie for it.
fn opened(lab: &Lab) -> (SocketAddr, String) {
    let (everybody, teacher) = lab.page();
    let page = everybody.strip_prefix("http://").unwrap().trim_end_matches('/').parse().unwrap();
    let token = teacher.split_once('#').unwrap().1;
    (page, cookie(page, "teacher", &json!({ "token": token }).to_string()))
}

fn student(lab: &Lab, page: SocketAddr, number: usize) -> String {
    cookie(page, "student", &json!({ "alias": lab.user(number), "pin": lab.pin(number) }).to_string())
}

fn post(page: SocketAddr, path: &str, cookie: &str, body: &serde_json::Value) -> Answer {
    let headers = [("Origin", own(page)), ("Cookie", cookie.to_owned())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    ask(page, "POST", path, &headers, Some(&body.to_string()))
}

fn get(page: SocketAddr, path: &str, cookie: &str) -> Answer {
    ask(page, "GET", path, &[("Cookie", cookie)], None)
}

#[test]
fn a_student_signs_in_with_the_card_answers_and_sees_nobody_else() {
    let (lab, Some(browser)) = (Lab::new(3), Browser::start()) else { return };
    let (everybody, _) = lab.page();
    browser.open(&format!("{everybody}student"));
    browser.wait("return document.querySelector('input[name=alias]')");
    browser.type_into("input[name=alias]", lab.user(0));
    browser.type_into("input[name=pin]", "0");
    browser.click("form.sign-in button");
    browser.wait("return document.querySelector('.problem').textContent === 'That is not right.'");
    // The next one has to wait, and the page says how long.
    browser.type_into("input[name=pin]", &lab.pin(0));
    let submit = "document.querySelector('form.sign-in')?.requestSubmit(); return document.querySelector('form.sign-in') === null";
    assert!(poll(|| (browser.run(submit) == true).then_some(())).is_some());
    let (ftp, other) = (lab.login(0), lab.login(1));
    let task = |id: &str| {
        format!(
            "[...document.querySelectorAll('.tasks > li')].find((it) => it.textContent.startsWith('{id} ') || it.querySelector('h3').textContent.startsWith('{id} '))"
        )
    };
    browser.wait(&format!("return {}?.classList.contains('finished')", task("A1")));
    browser.type_into("input[name=A3]", "1");
    browser.run(&format!("{}.querySelector('form').requestSubmit()", task("A3")));
    browser.wait(&format!("return {}.querySelector('.said').textContent.startsWith('TRY-AGAIN A3')", task("A3")));
    browser.run("document.querySelector('input[name=A3]').value = ''");
    browser.type_into("input[name=A3]", &format!("{}\u{e007}", ftp.local().port()));
    browser.wait(&format!("return {}.querySelector('.said').textContent.startsWith('CORRECT A3')", task("A3")));
    browser.wait(&format!("return {}.classList.contains('finished')", task("A3")));
    browser.run(&format!("{}.querySelector('.ways > button').click()", task("A4")));
    browser.wait(&format!("return {}.querySelector('.said').textContent.startsWith('A4: ')", task("A4")));
    browser.picture("student-tasks.webp");
    assert_eq!(browser.barriers(), [""; 0]);
    browser.click("#tab-connections");
    browser.wait(&format!("return document.querySelector('tbody').textContent.includes(':{}')", ftp.local().port()));
    // It is the own netstat: what is local there is the client's end.
    let local = browser.run("return document.querySelector('tr.control td.local').textContent");
    assert_eq!(local, ftp.local().to_string());
    let whole = browser.run("return document.body.textContent");
    assert!(!whole.as_str().unwrap().contains(&format!(":{}", other.local().port())), "{whole}");
    browser.picture("student.png");
    assert_eq!(browser.barriers(), [""; 0]);
    assert_eq!(lab.mark(0, "A3")["attempts"], 2);
    let complaints = browser.complaints();
    // The refused PINs are told by the browser, and nothing else.
    assert!(complaints.iter().all(|it| it.contains("/student/") && it.contains("status of 4")), "{complaints:?}");
}

#[test]
fn the_teacher_decides_resets_and_takes_the_marks_along() {
    let lab = Lab::new(3);
    let (page, teacher) = opened(&lab);
    let ftp = lab.login(0);
    let user = lab.user(0).to_owned();
    let said = |path: &str, body: &serde_json::Value| {
        let answer = post(page, path, &teacher, body);
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_str::<serde_json::Value>(&answer.body).unwrap()
    };
    let decision =
        |points: Option<u32>, reason: &str| json!({ "user": user, "task": "A5", "points": points, "reason": reason });
    assert_eq!(said("/teacher/decide", &decision(Some(2), ""))["done"], false, "a decision has a reason");
    assert_eq!(said("/teacher/decide", &decision(Some(99), "said so"))["done"], false);
    assert_eq!(said("/teacher/decide", &decision(Some(2), "explained it aloud"))["done"], true);
    assert_eq!(lab.mark(0, "A5")["source"]["manual"], "explained it aloud");
    let marks = get(page, &format!("/teacher/marks/{user}"), &teacher);
    let marks: serde_json::Value = serde_json::from_str(&marks.body).unwrap();
    assert_eq!(marks["points"], 3, "A1 and what was decided");
    let login = &marks["marks"][0]["evidence"][0];
    assert!(login.to_string().contains(&ftp.local().port().to_string()), "{login}");
    assert_eq!(said("/teacher/decide", &decision(None, "a mistake"))["done"], true);
    assert_eq!(lab.mark(0, "A5")["points"], 0);
    std::fs::write(lab.home(0, "own.txt"), "x").unwrap();
    let reset = said("/teacher/reset", &json!({ "user": user }));
    assert!(reset["done"] == true && !lab.home(0, "own.txt").exists(), "{reset}");
    assert_eq!(said("/teacher/reset", &json!({ "user": user, "task": "C7" }))["done"], true);
    for (format, kind, has) in [
        ("moodle", "text/csv; charset=utf-8", "Student 3"),
        ("canvas", "text/csv; charset=utf-8", "Student 3"),
        ("long", "text/csv; charset=utf-8", "A5"),
        ("evidence", "application/jsonl", "\"evidence\""),
        ("report", "text/html; charset=utf-8", "Student 3"),
    ] {
        let answer = get(page, &format!("/teacher/export/{format}?by_task=true&bom=true"), &teacher);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{format}");
        assert!(answer.header("content-disposition").unwrap().starts_with("attachment; "), "{format}");
        assert!(answer.body.contains(has), "{}", answer.body);
        assert_eq!(get(page, &format!("/teacher/export/{format}"), "").status, 401);
    }
    assert_eq!(get(page, "/teacher/export/all", &teacher).status, 404);
    // A student may nothing of this, under no name.
    let student = student(&lab, page, 1);
    for path in ["/teacher/decide", "/teacher/reset", "/teacher/kick", "/teacher/switch"] {
        for cookie in [student.clone(), student.replace("student", "teacher")] {
            assert_eq!(post(page, path, &cookie, &decision(Some(2), "me")).status, 401, "{path}");
        }
    }
    assert_eq!(post(page, "/student/answer", &teacher, &json!({ "task": "A1", "text": "x" })).status, 401);
}

/// What a class does in a lesson: everybody lists, most answer, and some send something slowly until they are dropped.
fn busy(lab: &Lab, students: usize) -> Vec<(Ftp, Option<TcpStream>)> {
    let class = longshore::ports::PortClass::of(lab.address().port());
    let work = |number: usize| {
        let mut ftp = lab.login(number);
        ftp.list("LIST");
        ftp.get("RETR /materials/readme.txt");
        if number % 3 != 2 {
            ftp.expect(200, format!("SITE ANSWER A2 {} {class}", lab.address().port()));
            ftp.expect(200, format!("SITE ANSWER A3 {}", ftp.local().port()));
        }
        ftp.expect(200, format!("SITE ANSWER A10 {}", 20 + number));
        ftp.expect(200, "TYPE I");
        let data = number.is_multiple_of(3).then(|| ftp.open(format!("STOR notes-{number}.txt")));
        if let Some(mut data) = data.as_ref().map(|data| data.try_clone().unwrap()) {
            std::thread::spawn(move || {
                while data.write_all(&[b'x'; 700]).is_ok() {
                    std::thread::sleep(Duration::from_millis(300));
                }
            });
        }
        (ftp, data)
    };
    (0..students).map(work).collect()
}

#[test]
fn the_grid_is_on_the_wall_when_the_teacher_says_so() {
    let (lab, Some(browser)) = (Lab::new(10), Browser::start()) else { return };
    let (everybody, teacher) = lab.page();
    browser.open(&everybody);
    browser.wait("return document.querySelector('tr.listener')");
    let sessions = busy(&lab, 8);
    browser.wait(&format!("return document.querySelector('button.name')?.textContent === '{}'", lab.user(0)));
    assert_eq!(browser.run("return document.querySelector('#tab-tasks').hidden"), true);
    browser.wait("return document.querySelectorAll('tr.data:not(.over)').length >= 3");
    browser.picture("projector-class.webp");
    browser.open(&teacher);
    browser.click("#tab-tasks");
    browser.wait("return document.querySelectorAll('.grid .progress.done').length > 20");
    let grid = browser.run("return document.querySelector('.grid tbody').textContent");
    assert!(grid.as_str().unwrap().contains("Student 10"), "{grid}");
    browser.picture("teacher-grid.webp");
    assert_eq!(browser.barriers(), [""; 0]);
    let switch = "[...document.querySelectorAll('.switch')].find((it) => it.textContent.includes('grid')).querySelector('input').click()";
    browser.run(switch);
    // What a mark rests on, and a decision about it.
    browser.click(".grid tbody button.done");
    browser.wait("return document.querySelector('dialog .evidence code')");
    browser.run("document.querySelector('.decide input[name=points]').value = 0");
    browser.type_into(".decide input[name=reason]", "<b>copied</b>");
    browser.click(".decide .primary");
    browser
        .wait("return document.querySelector('dialog').textContent.includes('decided by the teacher: <b>copied</b>')");
    browser.picture("teacher-mark.png");
    assert_eq!(browser.barriers(), [""; 0]);
    browser.click("dialog form[method=dialog] button");
    browser.wait("return document.querySelector('.grid tbody .progress.decided')");
    browser.click("#tab-exports");
    browser.picture("teacher-exports.png");
    assert_eq!(browser.barriers(), [""; 0]);
    assert_eq!(browser.complaints(), [""; 0]);
    browser.open(&everybody);
    browser.wait("return !document.querySelector('#tab-tasks').hidden");
    browser.click("#tab-tasks");
    browser.wait("return document.querySelectorAll('.grid tbody tr').length === 10");
    let wall = browser.run("return document.body.textContent");
    let wall = wall.as_str().unwrap();
    assert!(wall.contains(lab.user(9)) && !wall.contains("Student 1") && !wall.contains("copied"), "{wall}");
    browser.picture("projector-grid.png");
    assert_eq!(browser.barriers(), [""; 0]);
    for data in sessions.iter().filter_map(|(_, data)| data.as_ref()) {
        data.shutdown(Shutdown::Both).unwrap();
    }
}

#[test]
fn an_exam_shows_no_ports_to_anybody_but_the_teacher() {
    let lab = Lab::exam(2);
    let (page, teacher) = opened(&lab);
    let mut ftp = lab.login(0);
    let (port, offered) = (ftp.local().port().to_string(), ftp.epsv().to_string());
    ftp.expect(200, "NOOP");
    let student = student(&lab, page, 0);
    let table = || get(page, "/sessions.txt", "").body;
    assert!(poll(|| table().contains(lab.user(0)).then_some(())).is_some(), "{}", table());
    let ladder = |face: &str, cookie: &str| get(page, &format!("/{face}/ladder/1"), cookie).body;
    assert!(poll(|| ladder("teacher", &teacher).contains("NOOP").then_some(())).is_some());
    assert!(ladder("teacher", &teacher).contains(&port) && ladder("teacher", &teacher).contains(&offered));
    for (face, cookie) in [("projector", ""), ("student", student.as_str())] {
        assert_eq!(get(page, &format!("/{face}/ladder/1"), cookie).status, 404);
    }
    let seen = [get(page, "/projector/replay", "").body, get(page, "/student/replay", &student).body, table()];
    for text in &seen {
        assert!(!text.contains(&port) && !text.contains(&offered) && !text.contains("TIME_WAIT"), "{text}");
    }
    let hint = post(page, "/student/hint", &student, &json!({ "task": "A3" }));
    assert!(hint.body.contains("There are no hints in an exam."), "{}", hint.body);
}
