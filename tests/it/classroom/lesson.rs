//! A lesson on a real server: what students and the teacher are told, and what outlasts a crash.

use std::fs;
use std::io::Write;
use std::thread;

use super::lab::{Lab, answer, right, wrong};
use crate::fixture::{Server, poll};
use crate::ftp::Ftp;

#[test]
fn what_was_told_outlasts_a_crash() {
    let mut lab = Lab::new(2);
    let mut ftp = lab.login(0);
    let port = ftp.local().port();
    ftp.get("RETR /materials/readme.txt");
    wrong(&mut ftp, "A3", 7, "is not the port");
    right(&mut ftp, "A3", port);
    lab.kill();
    // And half of a line.
    let mut journal = fs::OpenOptions::new().append(true).open(lab.path("journal.jsonl")).unwrap();
    journal.write_all(b"{\"number\":99,\"time\":\"2026-").unwrap();
    let done = lab.tasks_done(0);
    assert_eq!(done, ["A1", "A3", "C1"]);
    lab.start();
    assert!(lab.output().contains("note: The last server was cut off in the middle of a line"), "{}", lab.output());
    assert_eq!(lab.tasks_done(0), done);
    let mark = lab.mark(0, "A3");
    assert_eq!((&mark["attempts"], &mark["first_try"], &mark["points"]), (&2.into(), &false.into(), &2.into()));
    assert_eq!(mark["evidence"].as_array().unwrap().len(), 2, "{mark}");
    let mut ftp = lab.login(0);
    assert_eq!(answer(&mut ftp, "A3", 7), "CORRECT A3: it is done already.");
    // The session before the crash was seen in the last minutes.
    right(&mut ftp, "F1", format!("{port} same"));
}

#[test]
fn a_mended_rule_marks_everything_anew() {
    let mut lab = Lab::founded(1);
    lab.edit_lesson("files = [\"/materials/readme.txt\"]", "files = [\"/materials/redme.txt\"]");
    lab.start();
    let mut ftp = lab.login(0);
    ftp.get("RETR /materials/readme.txt");
    ftp.expect(200, "SITE TASKS");
    assert_eq!(lab.tasks_done(0), ["A1"]);
    // A faulty lesson changes nothing.
    lab.edit_lesson("/materials/redme.txt", "materials/readme.txt");
    let output = lab.reload();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("lesson.toml:") && said.contains("is no path in the home"), "{said}");
    assert!(ftp.expect(200, "SITE TASKS").text().contains("[ ] C1"));
    lab.edit_lesson("\"materials/readme.txt\"", "\"/materials/readme.txt\"");
    let output = lab.reload();
    assert!(output.status.success(), "{output:?}");
    assert!(ftp.expect(200, "SITE TASKS").text().contains("[x] C1"));
    assert_eq!(lab.tasks_done(0), ["A1", "C1"]);
}

#[test]
fn an_exam_gives_nothing_away() {
    let lab = Lab::exam(1);
    assert!(lab.output().contains("Ports and FTP, as an exam: 38 tasks"), "{}", lab.output());
    let mut ftp = lab.login(0);
    let port = ftp.local().port();
    ftp.epsv();
    for line in ["SITE WHOAMI", "STAT", "SITE HINT A3"] {
        let reply = ftp.command(line).text();
        assert!(!reply.contains(&port.to_string()) && !reply.contains("netstat"), "{line}: {reply}");
    }
    assert_eq!(ftp.expect(200, "SITE HINT A3").text(), "200 There are no hints in an exam.");
    assert_eq!(answer(&mut ftp, "A3", 7), "TRY-AGAIN A3: not yet.");
    assert_eq!(answer(&mut ftp, "B9", 3), "TRY-AGAIN B9: not yet.");
    right(&mut ftp, "A3", port);
    let practice = Lab::new(1);
    let mut ftp = practice.login(0);
    let port = ftp.local().port().to_string();
    assert!(ftp.expect(200, "SITE WHOAMI").text().contains(&port));
    assert!(ftp.expect(211, "STAT").text().contains(&port));
    assert!(ftp.expect(200, "SITE HINT A3").text().contains("Look for the line"));
    assert_eq!(practice.mark(0, "A3")["hints"], 1);
}

#[test]
fn five_wrong_answers_are_followed_by_a_pause() {
    let lab = Lab::new(1);
    let mut ftp = lab.login(0);
    for _ in 0..5 {
        wrong(&mut ftp, "A3", 7, "is not the port");
    }
    let port = ftp.local().port();
    wrong(&mut ftp, "A3", port, "5 answers were wrong. The next one is looked at in ");
    let journal = fs::read_to_string(lab.path("journal.jsonl")).unwrap();
    assert_eq!(journal.matches("\"answered\"").count(), 6, "every attempt is stored: {journal}");
    assert_eq!(lab.mark(0, "A3")["attempts"], 5);
    wrong(&mut ftp, "A4", "system", "not the range");
}

#[test]
fn answers_can_be_uploaded() {
    let lab = Lab::new(1);
    let mut ftp = lab.login(0);
    let text = format!("# my answers\nA2 = {} user\r\na3={}\nA9=server client\nX1=1\n", lab.address().port(), 7);
    ftp.put("STOR answers.txt", text.as_bytes());
    // Its reply came behind the event, and this reply behind its judgement.
    let tasks = ftp.expect(200, "SITE TASKS").text();
    assert!(tasks.contains("[x] A2") && tasks.contains("[~] A3") && tasks.contains("[~] A9"), "{tasks}");
    // With one line mended it is sent again; the others are no second attempts.
    let text = text.replace("a3=7", &format!("a3={}", ftp.local().port()));
    ftp.put("STOR answers.txt", text.as_bytes());
    assert!(ftp.expect(200, "SITE TASKS").text().contains("[x] A3"));
    assert_eq!((&lab.mark(0, "A3")["attempts"], &lab.mark(0, "A9")["attempts"]), (&2.into(), &1.into()));
    // Elsewhere it is a file like any other.
    ftp.expect(257, "MKD x");
    ftp.put("STOR x/answers.txt", b"A10=1\n");
    assert_eq!(lab.mark(0, "A10")["attempts"], 0);
}

#[test]
fn a_home_that_the_teacher_made_anew_is_another_chance() {
    let mut lab = Lab::new(1);
    let clean = |lab: &Lab, names: &[&str]| {
        let mut ftp = lab.login(0);
        ftp.expect(250, "CWD /quest/clean");
        names.iter().for_each(|name| drop(ftp.expect(250, format!("DELE {name}"))));
        ftp.expect(200, "SITE TASKS").text().contains("[x] C7")
    };
    assert!(!clean(&lab, &["keep.me"]));
    lab.done(&["reset", "class", "--yes"]);
    assert!(!clean(&lab, &["a.tmp", "keep.me"]));
    lab.stop();
    lab.done(&["reset", "class", "--yes"]);
    lab.start();
    assert!(!clean(&lab, &["b.tmp", "c.tmp", "z.tmp"]), "a.tmp is there again");
    assert!(clean(&lab, &["a.tmp"]));
}

#[test]
fn answers_are_in_the_journal_and_in_no_log() {
    let lab = Lab::new(1);
    let mut ftp = lab.login(0);
    right(&mut ftp, "A2", format!("{} user", lab.address().port()));
    ftp.expect(221, "QUIT");
    let log = poll(|| {
        let log = fs::read_to_string(lab.path("sessions.log")).unwrap_or_default();
        log.contains("closed: quit").then_some(log)
    });
    let log = log.unwrap();
    assert!(log.contains("SITE ANSWER A2 ***: 200"), "{log}");
    assert!(fs::read_to_string(lab.path("journal.jsonl")).unwrap().contains(" user\",\"via\":\"session\""));
}

#[test]
fn the_teacher_decides_with_and_without_a_running_server() {
    let mut lab = Lab::new(2);
    let mut ftp = lab.login(0);
    let user = lab.user(0).to_owned();
    let decide = |lab: &Lab, more: &[&str]| {
        lab.run(&[&["override", "class", "--student", &user, "--task", "a5", "--reason", "told me"], more].concat())
    };
    let output = decide(&lab, &["--points", "2"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("{user} has 2 points for A5 by your decision\n"),
        "{output:?}"
    );
    assert!(ftp.expect(200, "SITE TASKS").text().contains("[x] A5"));
    assert_eq!(lab.mark(0, "A5")["source"]["manual"], "told me");
    let fails = |lab: &Lab, arguments: &[&str], why: &str| {
        let output = lab.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(why), "{arguments:?}: {said}");
    };
    let all = |student: &'static str, task: &'static str, points: &'static str, reason: &'static str| {
        ["override", "class", "--student", student, "--task", task, "--points", points, "--reason", reason]
    };
    for running in [true, false] {
        if !running {
            lab.stop();
        }
        fails(&lab, &all("nobody", "A5", "1", "x"), "no student \"nobody\"");
        let [command, class, flag, ..] = all("", "", "", "");
        fails(&lab, &[command, class, flag, &user, "--task", "Z9", "--points", "1", "--reason", "x"], "no task Z9");
        fails(
            &lab,
            &[command, class, flag, &user, "--task", "A5", "--points", "3", "--reason", "x"],
            "A5 has 2 points",
        );
        fails(&lab, &[command, class, flag, &user, "--task", "A5", "--points", "1", "--reason", " "], "needs a reason");
    }
    assert!(decide(&lab, &["--points", "1"]).status.success());
    assert_eq!(lab.mark(0, "A5")["points"], 1);
    assert!(decide(&lab, &["--clear"]).status.success());
    assert_eq!((&lab.mark(0, "A5")["points"], &lab.mark(0, "A5")["source"]), (&0.into(), &"auto".into()));
    // All of it is still there for whoever asks later.
    assert_eq!(fs::read_to_string(lab.path("journal.jsonl")).unwrap().matches("\"overridden\"").count(), 3);
}

#[test]
fn marks_are_shown_for_all_and_for_one() {
    let lab = Lab::new(2);
    lab.login(1).expect(200, "SITE TASKS");
    let table = lab.done(&["marks", "class"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("ALIAS") && lines[0].contains("A1  A2"), "{table}");
    assert!(lines[1].contains("Student 1  0       -"), "{table}");
    assert!(lines[2].contains("Student 2  1       1   -"), "{table}");
    let one = lab.done(&["marks", "class", "--student", lab.user(1)]);
    assert!(one.contains("Student 2: 1 of 63 points") && one.contains("A1    1/1     done"), "{one}");
    let output = lab.run(&["marks", "class", "--student", "nobody"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no student \"nobody\""), "{output:?}");
    let output = lab.run(&["marks", "elsewhere"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no class in elsewhere"), "{output:?}");
}

#[test]
fn a_class_is_served_once_and_only_with_a_sound_lesson() {
    let mut lab = Lab::new(1);
    let output = lab.run(&["start", "class"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("is being written by a server"), "{output:?}");
    lab.stop();
    lab.done(&["end", "class"]);
    lab.edit_lesson("points = 3", "points = 300");
    let output = lab.run(&["start", "class"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(said.contains("lesson.toml:") && said.contains("A9 has 300 points; write points = 1 to 100"), "{said}");
    assert_eq!(said.lines().count(), 2, "B7, too: {said}");
    assert_eq!(lab.run(&["lesson", "check", "class/lesson.toml"]).status.code(), Some(78));
    lab.edit_lesson("points = 300", "points = 3");
    let said = lab.done(&["lesson", "check", "class/lesson.toml"]);
    assert!(said.ends_with("class/lesson.toml looks good: Ports and FTP, 38 tasks, 63 points\n"), "{said}");
    // Who was kept out at the end is let in at the start.
    lab.start();
    lab.login(0).expect(200, "SITE WHOAMI");
}

#[test]
fn a_student_who_comes_late_is_in_the_lesson() {
    let lab = Lab::new(1);
    fs::write(lab.path("../roster.txt"), "Student 1\nLate One\n").unwrap();
    lab.done(&["new", "class", "--roster", "roster.txt", "--address", "127.0.0.1:2121", "--credentials"]);
    let table = fs::read_to_string(lab.path("credentials.csv")).unwrap();
    let cells: Vec<&str> = table.lines().nth(1).unwrap().split(',').collect();
    let mut ftp = lab.connect();
    ftp.login(cells[0], cells[1]);
    assert!(ftp.expect(200, "SITE TASKS").text().contains("[x] A1"));
}

#[test]
fn without_a_lesson_its_words_are_unknown() {
    let server = Server::start();
    let mut ftp = Ftp::anonymous(&server);
    for word in ["TASKS", "ANSWER A1 1", "HINT A1", "WHOAMI", "RESET C7"] {
        ftp.expect(501, format!("SITE {word}"));
    }
    assert!(!ftp.expect(214, "SITE HELP").text().contains("ANSWER"));
    assert!(!ftp.expect(211, "FEAT").text().contains("CAPTURE"));
}

#[test]
fn odd_questions_get_an_answer() {
    let lab = Lab::new(1);
    let mut ftp = lab.login(0);
    let mut asked = |line: &str| ftp.expect(200, line).text();
    assert!(asked("SITE ANSWER").contains("write the task and your answer"));
    assert!(asked("SITE ANSWER A3").contains("write the task and your answer"));
    assert!(asked("SITE ANSWER Z9 1").contains("there is no such task"));
    assert!(asked("site answer a1 x").contains("CORRECT A1"));
    assert!(asked("SITE ANSWER C1 x").contains("there is nothing to answer"));
    assert!(asked(&format!("SITE ANSWER A3 {}", "9".repeat(600))).contains("1 to 500 characters"));
    assert!(asked("SITE TASKS Z9").contains("There is no such task"));
    assert!(asked("SITE TASKS c7").contains("Delete everything in /quest/clean"));
    assert!(asked("SITE HINT Z9").contains("There is no task Z9"));
    assert!(asked("SITE HINT").contains("such as SITE HINT C7"));
    assert!(asked("SITE RESET").contains("such as SITE RESET C7"));
}

/// Nobody waits for the others' marks: each of many who come at once is answered, and has what is due.
#[test]
fn a_whole_class_at_once() {
    const STUDENTS: usize = 60;
    let lab = Lab::new(STUDENTS);
    thread::scope(|scope| {
        for student in 0..STUDENTS {
            let lab = &lab;
            scope.spawn(move || {
                let mut ftp = lab.login(student);
                ftp.get("RETR /materials/readme.txt");
                let port = ftp.local().port();
                wrong(&mut ftp, "A3", 7, "is not the port");
                right(&mut ftp, "A3", port);
                let port = ftp.epsv();
                right(&mut ftp, "B3", port);
                let [high, low] = ftp.pasv().port().to_be_bytes();
                right(&mut ftp, "B2", format!("{high}*256+{low}"));
                ftp.expect(221, "QUIT");
            });
        }
    });
    let all = poll(|| {
        let text = lab.done(&["marks", "class"]);
        (text.lines().filter(|line| line.contains("  7       1   ")).count() == STUDENTS).then_some(())
    });
    assert!(all.is_some(), "{}", lab.done(&["marks", "class"]));
}
