use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use super::*;

/// Links out of the home, and paths through them: to a file, to a directory, absolute and relative.
fn with_ways_out() -> (Fixture, Vec<VirtualPath>) {
    let fixture = Fixture::new();
    fs::create_dir(fixture.outside().join("elsewhere")).unwrap();
    fs::write(fixture.outside().join("elsewhere/file"), "secret").unwrap();
    symlink("../secret", fixture.real("relative")).unwrap();
    symlink(fixture.outside().join("secret"), fixture.real("absolute")).unwrap();
    symlink("../elsewhere", fixture.real("directory")).unwrap();
    symlink("/", fixture.real("slash")).unwrap();
    symlink("relative", fixture.real("chain")).unwrap();
    let names = ["relative", "absolute", "directory", "slash", "chain", "directory/file", "slash/etc/passwd"];
    (fixture, names.map(path).to_vec())
}

fn refuses<T>(path: &VirtualPath, result: Result<T, Fault>) {
    let fault = result.err().unwrap_or_else(|| panic!("{path} got out"));
    assert_eq!(fault.kind, FaultKind::Permission, "{path}: {fault}");
    assert!(fault.sentence.contains("leads out of your home directory"), "{fault}");
}

#[test]
fn no_link_leads_any_operation_out_of_the_home() {
    let (fixture, ways_out) = with_ways_out();
    let storage = &fixture.storage;
    for way in &ways_out {
        refuses(way, storage.stat(way));
        refuses(way, storage.enter(way));
        refuses(way, storage.open_download(way));
        refuses(way, storage.set_mode(way, 0o777));
        refuses(way, storage.set_modified(way, SystemTime::UNIX_EPOCH));
        refuses(way, storage.free_bytes(way));
        refuses(way, storage.list(&VirtualPath::root(), &ListRequest::directory(way.as_bytes()), Style::Names));
        for start in [Start::Beginning, Start::Offset(1), Start::End] {
            refuses(way, storage.begin_upload(way, start, false));
        }
    }
    for way in ["directory/new", "slash/tmp/new"].map(path) {
        refuses(&way, storage.begin_upload(&way, Start::Beginning, false));
        refuses(&way, storage.begin_unique_upload(&way.parent(), b"new", false));
        fixture.write("mine", "");
        refuses(&way, storage.rename(&path("mine"), &way));
        refuses(&way, storage.rename(&way, &path("taken")));
    }
    assert_eq!(fs::read_to_string(fixture.outside().join("secret")).unwrap(), "secret");
    assert_eq!(fs::read_dir(fixture.outside().join("elsewhere")).unwrap().count(), 1);
}

#[test]
fn patterns_do_not_look_behind_links_that_lead_out() {
    let (fixture, _) = with_ways_out();
    for pattern in ["directory/*", "*/file", "*/*", "../*/secret"] {
        let request = ListRequest::parse(pattern.as_bytes());
        assert!(fixture.storage.list(&VirtualPath::root(), &request, Style::Names).is_err(), "{pattern}");
    }
}

#[test]
fn parents_of_the_home_are_the_home() {
    let fixture = Fixture::new();
    assert_eq!(path("../../secret"), path("secret"));
    assert_eq!(kind(fixture.storage.open_download(&path("../../secret"))), FaultKind::NotFound);
}

#[test]
fn a_link_out_is_renamed_as_the_link_that_it_is() {
    let (fixture, _) = with_ways_out();
    fixture.storage.rename(&path("absolute"), &path("renamed")).unwrap();
    assert!(fs::symlink_metadata(fixture.real("renamed")).unwrap().is_symlink());
}

#[test]
fn names_are_bytes() {
    let fixture = Fixture::new();
    let name = b"caf\xe9\x01";
    let odd = VirtualPath::root().resolve(name).unwrap();
    let mut upload = fixture.storage.begin_upload(&odd, Start::Beginning, false).unwrap();
    upload.write_all(b"x").unwrap();
    upload.finish().unwrap();
    let real = fs::read_dir(fixture.real("")).unwrap().next().unwrap().unwrap().file_name();
    assert_eq!(real.as_bytes(), name);
    assert_eq!(fixture.storage.open_download(&odd).unwrap().size, 1);
    fixture.storage.rename(&odd, &path("plain")).unwrap();
    assert_eq!(fixture.names(""), ["plain"]);
}

#[test]
fn paths_longer_than_the_kernel_takes_are_refused_and_harm_nothing() {
    let fixture = Fixture::new();
    let deep = VirtualPath::root().resolve(&b"abcdefg/".repeat(512)).unwrap();
    assert_eq!(deep.as_bytes().len(), 4096);
    assert_eq!(kind(fixture.storage.stat(&deep)), FaultKind::NotFound);
    assert_eq!(kind(fixture.storage.begin_upload(&deep, Start::Beginning, false)), FaultKind::NotFound);
}
