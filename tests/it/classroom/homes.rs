//! What students have in their homes while the class is served.

use std::fs;

use super::lab::Lab;
use crate::fixture::poll;
use crate::ftp::Ftp;

/// What `SITE QUOTA` says of files and bytes.
fn quota(ftp: &mut Ftp) -> String {
    ftp.expect(200, "SITE QUOTA").text()
}

#[test]
fn a_restored_folder_costs_the_quota_what_its_deletion_gave_back() {
    let lab = Lab::new(1);
    let mut ftp = lab.login(0);
    let before = quota(&mut ftp);
    for name in ["a.tmp", "b.tmp", "keep.me"] {
        ftp.expect(250, format!("DELE /quest/clean/{name}"));
    }
    let less = quota(&mut ftp);
    assert_ne!(less, before);
    ftp.expect(200, "SITE RESET C7");
    assert_eq!(quota(&mut ftp), before);
    ftp.put("STOR /quest/clean/own.txt", b"own");
    let text = ftp.expect(200, "SITE RESET C7").text();
    assert!(text.contains("/quest/clean.old"), "{text}");
    assert_eq!(fs::read(lab.home(0, "quest/clean.old/own.txt")).unwrap(), b"own");
    assert!(!lab.home(0, "quest/clean/own.txt").exists());
}

#[test]
fn what_the_teacher_adds_while_the_class_is_served_is_everybodys_soon() {
    let lab = Lab::new(2);
    fs::write(lab.path("materials/sheet.txt"), "sheet").unwrap();
    fs::create_dir(lab.path("handin/lab2")).unwrap();
    let has_all =
        |student| lab.home(student, "handin/lab2").is_dir() && lab.home(student, "materials/sheet.txt").exists();
    assert!(poll(|| (has_all(0) && has_all(1)).then_some(())).is_some());
    let mut ftp = lab.login(1);
    assert_eq!(ftp.get("RETR /materials/sheet.txt"), b"sheet");
    ftp.put("STOR /handin/lab2/report.txt", b"report");
    fs::remove_file(lab.path("materials/sheet.txt")).unwrap();
    assert!(poll(|| (!lab.home(0, "materials/sheet.txt").exists()).then_some(())).is_some());
}

#[test]
fn one_student_is_let_in_again_while_the_class_is_served() {
    let lab = Lab::new(2);
    let user = lab.user(0).to_owned();
    lab.login(0).lives();
    lab.done(&["end", "class", "--student", &user]);
    let mut refused = lab.connect();
    refused.expect(331, format!("USER {user}"));
    refused.expect(530, format!("PASS {}", lab.password(0)));
    fs::remove_dir_all(lab.home(0, "quest")).unwrap();
    assert_eq!(lab.done(&["start", "class", "--student", &user]), format!("{user} is let in from now on\n"));
    lab.login(0).lives();
    assert!(lab.home(0, "quest/five").is_dir());
    assert!(!lab.run(&["start", "class", "--student", "nobody"]).status.success());
}
