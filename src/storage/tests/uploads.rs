use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::time::Duration;

use super::*;

fn put(storage: &Storage, path: &VirtualPath, start: Start, contents: &str) -> Result<(), Fault> {
    let mut upload = storage.begin_upload(path, start, true)?;
    while !upload.prepare(3)? {}
    upload.write_all(contents.as_bytes())?;
    upload.finish()
}

fn break_upload(storage: &Storage, path: &VirtualPath, start: Start, contents: &str) {
    storage.begin_upload(path, start, false).unwrap().write_all(contents.as_bytes()).unwrap();
}

/// As a data connection that never came about.
fn give_up_upload(storage: &Storage, path: &VirtualPath) {
    drop(storage.begin_upload(path, Start::Beginning, false).unwrap());
}

fn home_dir(fixture: &Fixture) -> Dir {
    Dir::open_ambient_dir(fixture.real(""), ambient_authority()).unwrap()
}

#[test]
fn a_broken_new_file_keeps_what_arrived_and_can_be_resumed() {
    let fixture = Fixture::new();
    let new = path("new");
    break_upload(&fixture.storage, &new, Start::Beginning, "head ");
    assert_eq!(fixture.read("new"), "head ");
    put(&fixture.storage, &new, Start::Offset(5), "middle ").unwrap();
    put(&fixture.storage, &new, Start::End, "tail").unwrap();
    assert_eq!(fixture.read("new"), "head middle tail");
}

#[test]
fn a_replacement_shows_only_when_it_is_complete() {
    let fixture = Fixture::new();
    let file = fixture.write("file", "old");
    fs::set_permissions(fixture.real("file"), fs::Permissions::from_mode(0o4640)).unwrap();
    let mut upload = fixture.storage.begin_upload(&file, Start::Beginning, false).unwrap();
    upload.write_all(b"new contents").unwrap();
    assert_eq!((upload.written(), upload.position()), (12, 12));
    assert_eq!(fixture.read("file"), "old");
    upload.finish().unwrap();
    assert_eq!(fixture.read("file"), "new contents");
    assert_eq!(fs::metadata(fixture.real("file")).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(fixture.names(""), ["file"]);
}

#[test]
fn a_broken_replacement_leaves_the_old_file_and_nothing_else() {
    let fixture = Fixture::new();
    let file = fixture.write("file", "old contents");
    break_upload(&fixture.storage, &file, Start::Beginning, "ne");
    assert_eq!(fixture.read("file"), "old contents");
    assert_eq!(fixture.names(""), ["file"]);
}

#[test]
fn no_old_head_gets_a_new_tail() {
    let fixture = Fixture::new();
    let file = fixture.write("file", "old contents");
    break_upload(&fixture.storage, &file, Start::Beginning, "ne");
    for start in [Start::Offset(2), Start::Offset(12), Start::End] {
        assert_eq!(kind(put(&fixture.storage, &file, start, "x")), FaultKind::Stale);
    }
    put(&fixture.storage, &file, Start::Offset(0), "new").unwrap();
    put(&fixture.storage, &file, Start::End, " end").unwrap();
    assert_eq!(fixture.read("file"), "new end");
}

#[test]
fn an_upload_that_was_given_up_leaves_no_trace() {
    let fixture = Fixture::new();
    give_up_upload(&fixture.storage, &path("new"));
    let old = fixture.write("old", "head");
    give_up_upload(&fixture.storage, &old);
    assert_eq!(fixture.names(""), ["old"]);
    put(&fixture.storage, &old, Start::Offset(4), " tail").unwrap();
    assert_eq!(fixture.read("old"), "head tail");
}

#[test]
fn a_replacement_that_broke_before_its_first_byte_is_broken_too() {
    let fixture = Fixture::new();
    let old = fixture.write("old", "old contents");
    break_upload(&fixture.storage, &old, Start::Beginning, "");
    assert_eq!(kind(put(&fixture.storage, &old, Start::Offset(4), "x")), FaultKind::Stale);
}

#[test]
fn an_empty_upload_that_breaks_takes_nobody_elses_file_away() {
    let fixture = Fixture::new();
    let file = path("file");
    let upload = fixture.storage.begin_upload(&file, Start::Beginning, false).unwrap();
    fixture.storage.rename(&file, &path("renamed")).unwrap();
    put(&fixture.storage, &file, Start::Beginning, "precious").unwrap();
    drop(upload);
    assert_eq!(fixture.read("file"), "precious");
}

#[test]
fn an_empty_file_that_was_finished_stays() {
    let fixture = Fixture::new();
    put(&fixture.storage, &path("new"), Start::Beginning, "").unwrap();
    assert_eq!(fixture.names(""), ["new"]);
}

#[test]
fn a_second_home_on_the_same_files_knows_of_the_broken_replacement() {
    let fixture = Fixture::new();
    let file = fixture.write("file", "old");
    break_upload(&fixture.storage, &file, Start::Beginning, "n");
    let other = open(&fixture.real(""), Arc::clone(fixture.storage.home.broken()));
    assert_eq!(kind(put(&other, &file, Start::End, "x")), FaultKind::Stale);
}

#[test]
fn another_time_does_not_make_a_file_another_one() {
    let fixture = Fixture::new();
    let file = fixture.write("file", "old");
    break_upload(&fixture.storage, &file, Start::Beginning, "n");
    fixture.storage.set_modified(&file, SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    assert_eq!(kind(put(&fixture.storage, &file, Start::End, "er")), FaultKind::Stale);
}

#[test]
fn a_new_file_has_no_history_whatever_its_number() {
    let fixture = Fixture::new();
    // File systems give numbers away again, some at once and some never; more tries make one more probable.
    for _ in 0..20 {
        let file = fixture.write("old", "old");
        break_upload(&fixture.storage, &file, Start::Beginning, "n");
        fs::remove_file(fixture.real("old")).unwrap();
        break_upload(&fixture.storage, &path("new"), Start::Beginning, "he");
        put(&fixture.storage, &path("new"), Start::Offset(2), "ad").unwrap();
        put(&fixture.storage, &path("new"), Start::Beginning, "again").unwrap();
        put(&fixture.storage, &path("new"), Start::End, " and again").unwrap();
        fs::remove_file(fixture.real("new")).unwrap();
    }
}

#[test]
fn the_next_server_knows_what_a_killed_one_was_replacing() {
    let fixture = Fixture::new();
    let file = fixture.write("file", "old contents");
    let mut upload = fixture.storage.begin_upload(&file, Start::Beginning, false).unwrap();
    upload.write_all(b"new").unwrap();
    // What is left when nobody tidies up: the temporary file, without its lock.
    let left = fixture.names("").into_iter().find(|name| name.starts_with('.')).unwrap();
    drop(upload);
    fs::write(fixture.real(&left), "new").unwrap();

    let broken = Arc::new(BrokenReplacements::default());
    assert_eq!(clear_leftovers(&home_dir(&fixture), &broken), 1);
    let next = open(&fixture.real(""), broken);
    assert_eq!(kind(put(&next, &file, Start::Offset(3), "x")), FaultKind::Stale);
    put(&next, &file, Start::Beginning, "new").unwrap();
    put(&next, &file, Start::End, "er").unwrap();
    assert_eq!(fixture.read("file"), "newer");
}

#[test]
fn a_head_is_copied_in_pieces_before_the_tail() {
    let fixture = Fixture::new();
    let file = fixture.write("file", "0123456789");
    let mut upload = fixture.storage.begin_upload(&file, Start::Offset(8), false).unwrap();
    let copied = || {
        let names = fixture.names("");
        fixture.read(&names[0]).len()
    };
    assert_eq!(copied(), 0);
    assert!(!upload.prepare(5).unwrap());
    assert_eq!(copied(), 5);
    assert!(upload.prepare(5).unwrap());
    upload.write_all(b"x").unwrap();
    upload.finish().unwrap();
    assert_eq!(fixture.read("file"), "01234567x");
}

#[test]
fn a_replacement_has_the_owner_and_the_group_of_the_old_file() {
    let fixture = Fixture::new();
    let file = fixture.write("file", "old");
    let own = fs::metadata(fixture.real("file")).unwrap();
    // Everybody may give a file to another group of theirs, and only root to anybody.
    let (uid, gid) = match rustix::process::geteuid().is_root() {
        true => (1234, 1234),
        false => (own.uid(), rustix::process::getgroups().unwrap().last().map_or(own.gid(), |group| group.as_raw())),
    };
    chown(fixture.real("file"), Some(uid), Some(gid)).unwrap();
    put(&fixture.storage, &file, Start::Beginning, "new").unwrap();
    let new = fs::metadata(fixture.real("file")).unwrap();
    assert_eq!((new.uid(), new.gid()), (uid, gid));
}

#[test]
fn a_directory_that_takes_no_new_file_is_the_reason() {
    // Root may create files anywhere.
    if rustix::process::geteuid().is_root() {
        return;
    }
    let fixture = Fixture::new();
    let file = fixture.write("file", "old");
    fs::set_permissions(fixture.real(""), fs::Permissions::from_mode(0o555)).unwrap();
    let fault = put(&fixture.storage, &file, Start::Beginning, "new").unwrap_err();
    fs::set_permissions(fixture.real(""), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(fault.kind, FaultKind::Permission);
    assert!(fault.sentence.contains("may not create files in that directory"), "{fault}");
}

#[test]
fn an_offset_inside_a_file_replaces_its_tail_only_when_complete() {
    let fixture = Fixture::new();
    let file = fixture.write("file", "0123456789");
    let mut upload = fixture.storage.begin_upload(&file, Start::Offset(4), true).unwrap();
    assert_eq!(upload.position(), 4);
    assert!(upload.prepare(4).unwrap());
    upload.write_all(b"abc").unwrap();
    assert_eq!(fixture.read("file"), "0123456789");
    upload.finish().unwrap();
    assert_eq!(fixture.read("file"), "0123abc");
}

#[test]
fn offsets_past_the_end_name_the_size() {
    let fixture = Fixture::new();
    let file = fixture.write("file", "0123456789");
    let fault = put(&fixture.storage, &file, Start::Offset(11), "x").unwrap_err();
    assert_eq!(fault.kind, FaultKind::BadRequest);
    assert_eq!(fault.sentence, "The upload cannot start at byte 11: /file has only 10 bytes.");
    assert_eq!(kind(put(&fixture.storage, &path("none"), Start::Offset(1), "x")), FaultKind::BadRequest);
    put(&fixture.storage, &path("none"), Start::Offset(0), "x").unwrap();
    assert_eq!(fixture.read("none"), "x");
}

#[test]
fn one_upload_to_a_name_at_a_time() {
    let fixture = Fixture::new();
    let begin = |path: &VirtualPath, start| fixture.storage.begin_upload(path, start, false);
    for file in [fixture.write("old", "old"), path("new")] {
        let mut first = begin(&file, Start::Beginning).unwrap();
        for start in [Start::Beginning, Start::End] {
            assert_eq!(kind(begin(&file, start)), FaultKind::Busy);
        }
        first.finish().unwrap();
        begin(&file, Start::End).unwrap();
    }
}

#[test]
fn many_uploads_to_one_name_leave_one_whole_file() {
    let fixture = Fixture::new();
    let file = fixture.write("file", "");
    std::thread::scope(|scope| {
        for letter in ["a", "b", "c", "d"] {
            let (storage, file, contents) = (&fixture.storage, &file, letter.repeat(100));
            scope.spawn(move || {
                for _ in 0..200 {
                    match put(storage, file, Start::Beginning, &contents) {
                        Ok(()) => {}
                        Err(fault) => assert_eq!(fault.kind, FaultKind::Busy, "{fault}"),
                    }
                }
            });
        }
    });
    let contents = fixture.read("file");
    assert_eq!(contents.len(), 100);
    assert_eq!(contents, contents[..1].repeat(100));
    assert_eq!(fixture.names(""), ["file"]);
}

#[test]
fn leftovers_are_cleared_but_not_what_is_being_uploaded() {
    let fixture = Fixture::new();
    let file = fixture.write("file", "old");
    let mut upload = fixture.storage.begin_upload(&file, Start::Beginning, false).unwrap();
    assert_eq!(clear_leftovers(&home_dir(&fixture), fixture.storage.home.broken()), 0);
    upload.write_all(b"new").unwrap();
    upload.finish().unwrap();
    assert_eq!(fixture.read("file"), "new");
}

#[test]
fn a_link_stands_for_the_file_that_it_leads_to() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.real("sub")).unwrap();
    fixture.write("sub/file", "old");
    symlink("sub/file", fixture.real("link")).unwrap();
    put(&fixture.storage, &path("link"), Start::Beginning, "new").unwrap();
    assert_eq!(fixture.read("sub/file"), "new");
    assert_eq!(fs::read_link(fixture.real("link")).unwrap(), PathBuf::from("sub/file"));
}

#[test]
fn only_regular_files_take_uploads() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.real("sub")).unwrap();
    symlink("nowhere", fixture.real("dangling")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, fixture.real("fifo"), rustix::fs::Mode::RUSR).unwrap();
    for (name, expected) in [
        ("sub", FaultKind::NotAFile),
        ("", FaultKind::NotAFile),
        ("fifo", FaultKind::NotAFile),
        ("dangling", FaultKind::NotFound),
        ("missing/file", FaultKind::NotFound),
    ] {
        for start in [Start::Beginning, Start::End] {
            assert_eq!(kind(put(&fixture.storage, &path(name), start, "x")), expected, "{name}");
        }
    }
}

#[test]
fn unique_uploads_never_meet_an_existing_name() {
    let fixture = Fixture::new();
    fixture.write("report", "old");
    let unique = |stem: &[u8]| fixture.storage.begin_unique_upload(&VirtualPath::root(), stem, false).unwrap();
    let (name, mut upload) = unique(b"report");
    upload.write_all(b"new").unwrap();
    upload.finish().unwrap();
    assert!(name.name().starts_with(b"report."));
    assert_eq!(fs::read_to_string(fixture.real(&name.to_string()[1..])).unwrap(), "new");
    assert_eq!(fixture.read("report"), "old");
    assert_eq!(unique(b"fresh").0, path("fresh"));
    assert_eq!(unique(b"").0, path("upload"));
}

#[test]
fn who_may_only_read_uploads_nothing() {
    let fixture = Fixture::new();
    let file = fixture.write("file", "old");
    for start in [Start::Beginning, Start::Offset(1), Start::End] {
        assert_eq!(kind(put(&fixture.read_only(), &file, start, "x")), FaultKind::Permission);
    }
    assert_eq!(kind(put(&fixture.read_only(), &path("new"), Start::Beginning, "x")), FaultKind::Permission);
    assert_eq!(fixture.names(""), ["file"]);
}

#[test]
fn a_hand_in_to_a_name_that_is_taken_becomes_the_next_version() {
    let fixture = Fixture::new();
    let storage = Storage::new(Arc::clone(&fixture.storage.home), Rights::everywhere(Words::HAND_IN));
    let hand_in = |name: &str, contents: &str| {
        let (kept, number, mut upload) = storage.begin_version(&path(name), true)?;
        upload.write_all(contents.as_bytes())?;
        upload.finish()?;
        Ok::<_, Fault>((kept.to_string(), number))
    };
    assert_eq!(hand_in("report.txt", "one").unwrap(), ("/report.txt".to_owned(), 1));
    assert_eq!(hand_in("report.txt", "two").unwrap(), ("/report (2).txt".to_owned(), 2));
    assert_eq!(fixture.read("report.txt") + &fixture.read("report (2).txt"), "onetwo");
    fs::create_dir(fixture.real("lab")).unwrap();
    assert_eq!(kind(hand_in("lab", "x")), kind(fixture.storage.begin_upload(&path("lab"), Start::Beginning, false)));
    for start in [Start::Offset(1), Start::End, Start::Beginning] {
        assert_eq!(kind(storage.begin_upload(&path("report.txt"), start, false)), FaultKind::Permission);
    }
    // What broke could not be resumed, and must not look like a hand-in.
    storage.begin_version(&path("report.txt"), false).unwrap().2.write_all(b"thr").unwrap();
    assert_eq!(fixture.names(""), ["lab", "report (2).txt", "report.txt"]);
    assert_eq!(kind(fixture.read_only().begin_version(&path("x"), false)), FaultKind::Permission);
}
