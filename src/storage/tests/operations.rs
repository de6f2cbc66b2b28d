use std::os::unix::fs::{MetadataExt, symlink};

use super::*;

#[test]
fn stat_follows_links_inside_the_home() {
    let fixture = Fixture::new();
    fixture.write("file", "1234");
    symlink("file", fixture.real("link")).unwrap();
    let facts = fixture.storage.stat(&path("link")).unwrap();
    assert_eq!((facts.kind, facts.size), (Kind::File, 4));
    assert_eq!(fixture.storage.stat(&path("")).unwrap().kind, Kind::Directory);
    assert_eq!(kind(fixture.storage.stat(&path("none"))), FaultKind::NotFound);
}

#[test]
fn links_that_lead_nowhere_or_out_are_told_for_themselves() {
    let fixture = Fixture::new();
    fixture.write("file", "1234");
    for (name, target) in [("good", "file"), ("dangling", "nowhere"), ("out", "../secret")] {
        symlink(target, fixture.real(name)).unwrap();
    }
    let kinds = ["good", "dangling", "out"].map(|name| fixture.storage.stat_or_link(&path(name)).unwrap().kind);
    assert_eq!(kinds, [Kind::File, Kind::Link, Kind::Link]);
    assert_eq!(kind(fixture.storage.stat_or_link(&path("none"))), FaultKind::NotFound);
    assert_eq!(kind(fixture.storage.stat_or_link(&path("out/x"))), FaultKind::Permission);
}

#[test]
fn no_new_name_has_a_line_end_but_old_ones_can_be_used() {
    let fixture = Fixture::new();
    let storage = &fixture.storage;
    fixture.write("file", "");
    for name in ["a\rb", "a\nb"] {
        let odd = path(name);
        let begin = |path: &VirtualPath| storage.begin_upload(path, Start::Beginning, false);
        assert_eq!(kind(begin(&odd)), FaultKind::NameNotAllowed);
        assert_eq!(kind(storage.begin_unique_upload(&path(""), odd.name(), false)), FaultKind::NameNotAllowed);
        assert_eq!(kind(storage.permit(Action::Mkdir, &odd)), FaultKind::NameNotAllowed);
        assert_eq!(kind(storage.rename(&path("file"), &odd)), FaultKind::NameNotAllowed);
        fixture.write(name, "x");
        storage.open_download(&odd).unwrap();
        begin(&odd).unwrap();
        storage.permit(Action::Delete, &odd).unwrap();
        storage.rename(&odd, &path("plain")).unwrap();
    }
    assert_eq!(fixture.names(""), ["file", "plain"]);
}

#[test]
fn directories_can_be_entered_and_files_cannot() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.real("sub")).unwrap();
    symlink("sub", fixture.real("link")).unwrap();
    fixture.write("file", "");
    for name in ["", "sub", "link"] {
        fixture.storage.enter(&path(name)).unwrap();
    }
    assert_eq!(kind(fixture.storage.enter(&path("file"))), FaultKind::NotADirectory);
    assert_eq!(kind(fixture.storage.enter(&path("none"))), FaultKind::NotFound);
}

#[test]
fn files_directories_and_links_are_renamed() {
    let fixture = Fixture::new();
    fixture.write("file", "x");
    fs::create_dir(fixture.real("sub")).unwrap();
    symlink("nowhere", fixture.real("link")).unwrap();
    for (from, to) in [("file", "sub/file"), ("link", "sub/link"), ("sub", "moved"), ("moved", "moved")] {
        fixture.storage.rename(&path(from), &path(to)).unwrap();
    }
    assert_eq!(fixture.names(""), ["moved"]);
    assert_eq!(fixture.names("moved"), ["file", "link"]);
}

#[test]
fn only_files_make_room_for_a_renamed_file() {
    let fixture = Fixture::new();
    fixture.write("a", "a");
    fixture.write("b", "b");
    fs::create_dir(fixture.real("empty")).unwrap();
    fs::create_dir(fixture.real("other")).unwrap();
    fixture.storage.rename(&path("a"), &path("b")).unwrap();
    assert_eq!(fixture.read("b"), "a");
    for (from, to) in [("b", "empty"), ("other", "empty"), ("other", "b")] {
        assert_eq!(kind(fixture.storage.rename(&path(from), &path(to))), FaultKind::Exists);
    }
}

#[test]
fn renaming_says_what_is_missing() {
    let fixture = Fixture::new();
    fixture.write("a", "a");
    let sentence = |from, to| fixture.storage.rename(&path(from), &path(to)).unwrap_err().sentence;
    assert_eq!(sentence("none", "b"), "There is no file or directory /none.");
    assert_eq!(sentence("a", "none/b"), "The directory /none does not exist; create it first.");
    assert_eq!(sentence("", "b"), "You cannot rename your home directory itself.");
}

#[test]
fn nothing_moves_into_itself() {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.real("sub/below")).unwrap();
    symlink("sub/below", fixture.real("link")).unwrap();
    for to in ["sub/new", "link/new"] {
        assert_eq!(kind(fixture.storage.rename(&path("sub"), &path(to))), FaultKind::BadRequest);
    }
}

#[test]
fn modes_are_set_without_special_bits() {
    let fixture = Fixture::new();
    let file = fixture.write("file", "");
    fixture.storage.set_mode(&file, 0o604).unwrap();
    assert_eq!(fs::metadata(fixture.real("file")).unwrap().mode() & 0o7777, 0o604);
    assert_eq!(kind(fixture.storage.set_mode(&file, 0o4755)), FaultKind::BadRequest);
    assert_eq!(kind(fixture.storage.set_mode(&path(""), 0)), FaultKind::Permission);
    assert_eq!(kind(fixture.storage.set_mode(&path("none"), 0o644)), FaultKind::NotFound);
}

#[test]
fn times_are_set_through_links_and_before_1970() {
    let fixture = Fixture::new();
    fixture.write("file", "");
    symlink("file", fixture.real("link")).unwrap();
    for time in [
        SystemTime::UNIX_EPOCH + Duration::from_millis(1500),
        SystemTime::UNIX_EPOCH - Duration::from_millis(1500),
        SystemTime::UNIX_EPOCH - Duration::from_secs(1),
    ] {
        fixture.storage.set_modified(&path("link"), time).unwrap();
        assert_eq!(fixture.storage.stat(&path("file")).unwrap().modified, time);
    }
}

#[test]
fn downloads_are_of_regular_files_and_never_wait() {
    let fixture = Fixture::new();
    fixture.write("file", "1234");
    fs::create_dir(fixture.real("sub")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, fixture.real("fifo"), rustix::fs::Mode::RUSR).unwrap();
    assert_eq!(fixture.storage.open_download(&path("file")).unwrap().size, 4);
    let fault = fixture.storage.open_download(&path("sub")).unwrap_err();
    assert_eq!((fault.kind, fault.sentence.as_str()), (FaultKind::NotAFile, "/sub is a directory."));
    assert_eq!(kind(fixture.storage.open_download(&path("fifo"))), FaultKind::NotAFile);
    assert_eq!(kind(fixture.storage.open_download(&path("none"))), FaultKind::NotFound);
    assert_eq!(kind(fixture.storage.open_download(&path("file/x"))), FaultKind::NotADirectory);
}

#[test]
fn free_space_is_known() {
    assert!(Fixture::new().storage.free_bytes(&VirtualPath::root()).unwrap() > 0);
}

#[test]
fn who_may_only_read_changes_nothing() {
    let fixture = Fixture::new();
    let file = fixture.write("file", "");
    let storage = fixture.read_only();
    let fault = storage.permit(Action::Delete, &file).unwrap_err();
    assert_eq!(fault.sentence, "This account may not delete /file.");
    assert_eq!(kind(storage.rename(&file, &path("b"))), FaultKind::Permission);
    assert_eq!(kind(storage.set_mode(&file, 0o600)), FaultKind::Permission);
    assert_eq!(kind(storage.set_modified(&file, SystemTime::now())), FaultKind::Permission);
    storage.open_download(&file).unwrap();
}
