use std::sync::Arc;

use chrono::DateTime;

use super::*;
use crate::classroom::journal::{Entry, Record, Via};
use crate::classroom::marks::{Source, State};

const LESSON: &str = r#"
title = "Ports & FTP"

[[task]]
id = "A1"
title = "Log in & look"
ask = "Log in."
points = 1
hint = ""
need = [{ did = "login" }]

[[task]]
id = "A3"
title = "Your port"
ask = "Which port?"
points = 2
hint = ""
answer = ["client-port"]
"#;

fn lesson() -> Lesson {
    Lesson::parse(LESSON, "lesson.toml").unwrap()
}

fn mark(task: &str, state: State, points: u32) -> Mark {
    Mark { task: task.into(), state, points, ..Mark::default() }
}

/// One with points, one who is not to be trusted, one who has done nothing.
fn marks() -> Vec<StudentMarks> {
    let student = |user: &str, name: &str, id: &str| Student {
        user: user.into(),
        alias: user.into(),
        name: name.into(),
        id: id.into(),
        section: "3B".into(),
        ..Student::default()
    };
    let answer = Record::Answered { task: "A3".into(), text: "=5<3".into(), via: Via::Page };
    let time = DateTime::from_timestamp(1_764_000_000, 0).unwrap();
    let entry = |number| Arc::new(Entry { number, time, user: "otter".into(), record: answer.clone() });
    let mut done = mark("A3", State::Done, 2);
    (done.attempts, done.first_try, done.done_at) = (3, false, Some(time));
    done.evidence = (7..15).map(entry).collect();
    let mut decided = mark("A1", State::Done, 0);
    decided.source = Source::Manual("=HYPERLINK(\"x\")".into());
    let untouched = vec![mark("A1", State::Open, 0), mark("A3", State::Open, 0)];
    vec![
        StudentMarks {
            student: Student { lms_id: "77".into(), ..student("otter", "Berg, \"Ann\"", "0042") },
            points: 3,
            marks: vec![mark("A1", State::Done, 1), done],
        },
        StudentMarks {
            student: Student {
                email: "+1@example.org".into(),
                login: "-1".into(),
                ..student("fox", "=cmd|' /C calc'!A0", "@SUM(A1)")
            },
            points: 0,
            marks: vec![decided, mark("A3", State::Tried, 0)],
        },
        StudentMarks { student: student("elk", "<script>\nCem", ""), points: 0, marks: untouched },
    ]
}

fn text(format: Format, options: Options) -> String {
    String::from_utf8(export(format, &lesson(), &marks(), options).unwrap()).unwrap()
}

#[test]
fn moodle_gets_what_it_finds_its_users_by_and_the_sum() {
    assert_eq!(
        text(Format::Moodle, Options::default()),
        "ID number,Email address,Username,Full name,Group,Ports & FTP\r\n\
         0042,,,\"Berg, \"\"Ann\"\"\",3B,3\r\n\
         '@SUM(A1),'+1@example.org,-1,'=cmd|' /C calc'!A0,3B,0\r\n\
         ,,,\"<script>\nCem\",3B,0\r\n"
    );
}

#[test]
fn canvas_gets_its_columns_and_the_possible_points() {
    let text = text(Format::Canvas, Options { by_task: true, bom: false });
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(
        lines[..3],
        [
            "Student,ID,SIS User ID,SIS Login ID,Section,Ports & FTP,Ports & FTP: A1 Log in & look,Ports & FTP: A3 Your port",
            "    Points Possible,,,,,3,1,2",
            "\"Berg, \"\"Ann\"\"\",77,0042,,3B,3,1,2",
        ]
    );
    assert!(lines[3].ends_with(",0,0,0") && lines[4].ends_with(",0,,"), "{text}");
}

#[test]
fn the_long_table_has_a_row_for_each_student_and_task() {
    let text = text(Format::Long, Options { by_task: false, bom: true });
    let mut reader = csv::Reader::from_reader(text.strip_prefix('\u{feff}').unwrap().as_bytes());
    let head = reader.headers().unwrap().clone();
    let nbgrader = "assignment,duedate,timestamp,student_id,last_name,first_name,email,raw_score,late_submission_penalty,score,\
                    max_score";
    assert_eq!(head.iter().take(11).collect::<Vec<_>>().join(","), nbgrader);
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.len(), 6);
    let cell = |row: usize, name: &str| rows[row].get(head.iter().position(|it| it == name).unwrap()).unwrap();
    assert_eq!([cell(1, "last_name"), cell(1, "first_name")], ["Berg", "\"Ann\""]);
    assert_eq!([cell(1, "task"), cell(1, "status"), cell(1, "score"), cell(1, "max_score")], ["A3", "done", "2", "2"]);
    assert_eq!(
        [cell(1, "attempts"), cell(1, "first_try"), cell(1, "evidence")],
        ["3", "false", "7 8 9 10 11 12 13 14"]
    );
    let time = DateTime::parse_from_rfc3339(cell(1, "done_at")).unwrap();
    assert_eq!((time.timestamp(), cell(1, "timestamp")), (1_764_000_000, cell(1, "done_at")));
    assert_eq!([cell(2, "source"), cell(3, "status"), cell(3, "done_at")], ["manual: =HYPERLINK(\"x\")", "tried", ""]);
    assert_eq!([cell(5, "alias"), cell(5, "status"), cell(5, "score")], ["elk", "open", "0"]);
}

#[test]
fn the_evidence_is_whole_and_a_line_each() {
    let text = text(Format::Evidence, Options::default());
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[1]["student"]["id"], "0042");
    assert_eq!((&lines[1]["points"], &lines[1]["max_points"]), (&2.into(), &2.into()));
    assert_eq!(lines[1]["evidence"].as_array().unwrap().len(), 8);
    let entry: Entry = serde_json::from_value(lines[1]["evidence"][0].clone()).unwrap();
    assert_eq!(entry, *marks()[0].marks[1].evidence[0]);
    assert_eq!(lines[2]["source"]["manual"], "=HYPERLINK(\"x\")");
}

#[test]
fn the_report_has_a_page_for_each_student_and_shows_text_as_text() {
    let text = text(Format::Report, Options::default());
    assert_eq!(text.matches("<section>").count(), 3);
    for expected in [
        "<td>Berg, &quot;Ann&quot;</td><td>0042</td><td>3B</td><td>3/3</td><td>[x]</td><td>[x]</td>",
        "<td>0/3</td><td>[!]</td><td>[~]</td>",
        "<td>0/3</td><td>[ ]</td><td>[ ]</td>",
        "<b>A1</b> Log in &amp; look</td>",
        "<td class=\"answer\">=5&lt;3</td><td>[x] done",
        ", answers: 3</td><td class=\"number\">2/2</td>",
        "Decided by the teacher: =HYPERLINK(&quot;x&quot;)",
    ] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
    assert!(!text.contains("<script"));
}

#[test]
fn formats_have_names() {
    for (place, (format, name, ..)) in FORMATS.iter().enumerate() {
        assert_eq!(*format as usize, place);
        assert_eq!((name.parse(), format.to_string()), (Ok(*format), (*name).to_owned()));
    }
    assert_eq!("csv".parse::<Format>(), Err("write one of moodle, canvas, long, evidence, report".into()));
}
