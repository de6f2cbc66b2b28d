//! Marks leave the class in every form, whether it is served or not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::fixture::LONGSHORE;

fn run(desk: &TempDir, arguments: &str) -> Output {
    let arguments = arguments.split(' ');
    Command::new(LONGSHORE).arg("classroom").args(arguments).current_dir(desk.path()).output().unwrap()
}

/// A class in which nobody has done anything yet.
fn class() -> TempDir {
    let desk = tempfile::Builder::new().prefix("longshore-export-").tempdir().unwrap();
    fs::write(desk.path().join("roster.csv"), "name,id\nAnn,0042\n=1+1,0043\n").unwrap();
    let output = run(&desk, "new class --roster roster.csv --address 192.0.2.5:2121");
    assert!(output.status.success(), "{output:?}");
    desk
}

#[test]
fn everybody_is_in_every_export_and_nobody_has_points_yet() {
    let desk = class();
    let lesson = fs::read_to_string(desk.path().join("class/lesson.toml")).unwrap();
    let tasks = lesson.matches("[[task]]\n").count();
    for (format, rows) in [("moodle", 3), ("canvas", 4), ("long", 1 + 2 * tasks), ("evidence", 2 * tasks)] {
        let output = run(&desk, &format!("export class --format {format}"));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("0042") && text.contains("0043"), "{text}");
        assert_eq!(text.lines().count(), rows, "{format}: {text}");
        assert!(!text.contains("\n=1+1") && !text.contains(",=1+1"), "{text}");
    }
    let output = run(&desk, "export class --format moodle");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with("0042,,,Ann,,0\r\n0043,,,'=1+1,,0\r\n"), "{text}");
}

#[test]
fn a_file_is_private_and_its_name_may_be_a_name_alone() {
    let desk = class();
    let output = run(&desk, "export class --format long --bom --output marks.csv");
    assert!(output.status.success(), "{output:?}");
    let path = desk.path().join("marks.csv");
    assert!(fs::read(&path).unwrap().starts_with("\u{feff}assignment,".as_bytes()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let names = fs::read_dir(desk.path()).unwrap().count();
    assert_eq!(names, 3, "nothing is left beside it");
}

#[test]
fn wrong_formats_and_missing_classes_are_named() {
    let desk = class();
    let said = |output: Output| String::from_utf8(output.stderr).unwrap();
    let wrong = run(&desk, "export class --format excel");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(said(wrong).contains("write one of moodle, canvas, long, evidence, report"));
    let missing = run(&desk, "export nowhere --format long");
    assert!(!missing.status.success());
    assert!(said(missing).contains("there is no class in nowhere"));
    assert!(!Path::new(&desk.path().join("nowhere")).exists());
}
