use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::time::Instant;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn list_from(fixture: &Fixture, cwd: &str, request: &ListRequest, style: Style) -> Result<String, Fault> {
    let mut listing = fixture.storage.list(&path(cwd), request, style)?;
    let mut out = Vec::new();
    while listing.next_chunk(&mut out) {}
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn nlst(fixture: &Fixture, argument: &str) -> Vec<String> {
    let request = ListRequest::parse(argument.as_bytes());
    lines(&list_from(fixture, "", &request, Style::Names).unwrap())
}

fn lines(text: &str) -> Vec<String> {
    assert!(text.is_empty() || text.ends_with("\r\n"));
    text.split_terminator("\r\n").map(str::to_owned).collect()
}

/// Each line without what stands before the name.
fn long(fixture: &Fixture, argument: &str) -> Vec<String> {
    let text = list_from(fixture, "", &ListRequest::parse(argument.as_bytes()), Style::Long).unwrap();
    lines(&text).iter().map(|line| format!("{} {}", &line[..1], &line[56..])).collect()
}

fn with_files() -> Fixture {
    let fixture = Fixture::new();
    fs::create_dir(fixture.real("sub")).unwrap();
    for name in ["a.txt", "b.txt", ".hidden", "two words", "sub/c.txt", "sub/d", "sub/.longshore-upload-1"] {
        fixture.write_raw(name);
    }
    fixture
}

impl Fixture {
    /// For names that no client may give.
    fn write_raw(&self, name: &str) {
        fs::write(self.real(name), name).unwrap();
    }
}

#[test]
fn options_and_the_path_are_told_apart() {
    let parse = |argument: &str| ListRequest::parse(argument.as_bytes());
    let plain = |argument: &str| ListRequest { argument: argument.into(), ..ListRequest::default() };
    assert_eq!(parse(""), plain(""));
    assert_eq!(parse("a b "), plain("a b "));
    assert_eq!(parse("-la"), ListRequest { all: true, ..plain("") });
    assert_eq!(parse("-a -lr  x y"), ListRequest { all: true, reverse: true, ..plain("x y") });
    assert_eq!(
        parse("-tSAd1Z x"),
        ListRequest { by_time: true, by_size: true, almost_all: true, directory_itself: true, ..plain("x") }
    );
    assert_eq!(parse("-l -- -x"), plain("-x"));
    assert_eq!(parse("-"), plain("-"));
    assert_eq!(parse("- x"), plain("- x"));
}

#[test]
fn names_keep_the_prefix_that_the_client_wrote() {
    let fixture = with_files();
    assert_eq!(nlst(&fixture, ""), ["a.txt", "b.txt", "sub", "two words"]);
    assert_eq!(nlst(&fixture, "."), ["a.txt", "b.txt", "sub", "two words"]);
    assert_eq!(nlst(&fixture, "sub"), ["sub/c.txt", "sub/d"]);
    assert_eq!(nlst(&fixture, "./sub/"), ["./sub/c.txt", "./sub/d"]);
    assert_eq!(nlst(&fixture, "/sub"), ["/sub/c.txt", "/sub/d"]);
    assert_eq!(nlst(&fixture, "/"), ["/a.txt", "/b.txt", "/sub", "/two words"]);
    assert_eq!(nlst(&fixture, "two words"), ["two words"]);
    assert_eq!(nlst(&fixture, "-d sub"), ["sub"]);
}

#[test]
fn hidden_names_are_asked_for_and_temporary_ones_never_shown() {
    let fixture = with_files();
    assert_eq!(nlst(&fixture, "-a"), [".hidden", "a.txt", "b.txt", "sub", "two words"]);
    assert_eq!(nlst(&fixture, "-a sub"), ["sub/c.txt", "sub/d"]);
    assert_eq!(nlst(&fixture, ".*"), [".hidden"]);
    assert_eq!(long(&fixture, "-A")[..2], ["- .hidden", "- a.txt"]);
    assert_eq!(long(&fixture, "-a")[..4], ["d .", "d ..", "- .hidden", "- a.txt"]);
    let request = ListRequest::parse(b"sub/.longshore-upload-*");
    assert_eq!(kind(fixture.storage.list(&path(""), &request, Style::Names)), FaultKind::NameNotAllowed);
    let request = ListRequest::parse(b"sub/.l*");
    assert_eq!(kind(fixture.storage.list(&path(""), &request, Style::Names)), FaultKind::NotFound);
}

#[test]
fn patterns_work_in_every_component() {
    let fixture = with_files();
    assert_eq!(nlst(&fixture, "*.txt"), ["a.txt", "b.txt"]);
    assert_eq!(nlst(&fixture, "sub/*.txt"), ["sub/c.txt"]);
    assert_eq!(nlst(&fixture, "/s*/[c-d]*"), ["/sub/c.txt", "/sub/d"]);
    assert_eq!(nlst(&fixture, "s?b/d"), ["sub/d"]);
    assert_eq!(nlst(&fixture, "*/../a.*"), ["sub/../a.txt"]);
    assert_eq!(nlst(&fixture, "*"), ["a.txt", "b.txt", "sub", "two words"]);
    assert_eq!(nlst(&fixture, "-r *.txt"), ["b.txt", "a.txt"]);
    let request = ListRequest::parse(b"../*.txt");
    assert_eq!(lines(&list_from(&fixture, "sub", &request, Style::Names).unwrap()), ["../a.txt", "../b.txt"]);
}

#[test]
fn no_pattern_keeps_the_server_busy() {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.real("p/a")).unwrap();
    fs::create_dir(fixture.real("p/b")).unwrap();
    let refused =
        |pattern: String| kind(list_from(&fixture, "", &ListRequest::parse(pattern.as_bytes()), Style::Names));
    // Each "*/../" doubles the work, and each "./" takes all of it again.
    assert_eq!(refused(format!("p/{}{}zz*", "*/../".repeat(18), "./".repeat(1400))), FaultKind::TooMuch);
    assert_eq!(refused(format!("p/{}zz", "*/../".repeat(18))), FaultKind::TooMuch);
    assert_eq!(refused(format!("p/{}zz*", "./".repeat(1400))), FaultKind::NotFound);
}

#[test]
fn no_match_names_the_pattern() {
    let fault = list_from(&with_files(), "", &ListRequest::parse(b"*.doc"), Style::Names).unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotFound);
    assert_eq!(fault.sentence, "No file or directory matches *.doc.");
}

#[test]
fn a_file_of_the_literal_name_comes_first() {
    let fixture = with_files();
    fixture.write("*.txt", "");
    fixture.write("[x]", "");
    assert_eq!(nlst(&fixture, "*.txt"), ["*.txt"]);
    assert_eq!(nlst(&fixture, "[x]"), ["[x]"]);
    assert_eq!(nlst(&fixture, "\\[x\\]"), ["[x]"]);
}

#[test]
fn long_listings_show_links_files_and_matched_directories() {
    let fixture = with_files();
    symlink("sub", fixture.real("link")).unwrap();
    symlink("/etc/passwd", fixture.real("out")).unwrap();
    assert_eq!(
        long(&fixture, ""),
        ["- a.txt", "- b.txt", "l link -> sub", "l out -> /etc/passwd", "d sub", "- two words"]
    );
    assert_eq!(long(&fixture, "link"), ["- c.txt", "- d"]);
    assert_eq!(long(&fixture, "out"), ["l out -> /etc/passwd"]);
    assert_eq!(long(&fixture, "s*"), ["d sub"]);
    assert_eq!(long(&fixture, "-d"), ["d ."]);
    assert_eq!(long(&fixture, "sub/c.txt"), ["- sub/c.txt"]);
}

#[test]
fn time_and_size_sort_and_reverse() {
    let fixture = Fixture::new();
    for (name, contents, seconds) in [("a", "12", 1), ("b", "1", 3), ("c", "123", 2)] {
        let path = fixture.write(name, contents);
        fixture.storage.set_modified(&path, SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }
    assert_eq!(nlst(&fixture, "-t"), ["b", "c", "a"]);
    assert_eq!(nlst(&fixture, "-S"), ["c", "a", "b"]);
    assert_eq!(nlst(&fixture, "-tr"), ["a", "c", "b"]);
    assert_eq!(nlst(&fixture, "-r"), ["c", "b", "a"]);
}

#[test]
fn machine_listings_tell_where_links_lead() {
    let fixture = with_files();
    fs::remove_file(fixture.real("two words")).unwrap();
    for (name, target) in [("broken", "nowhere"), ("out", "/etc"), ("to-dir", "sub"), ("to-file", "a.txt")] {
        symlink(target, fixture.real(name)).unwrap();
    }
    symlink("../a.txt", fixture.real("sub/up")).unwrap();
    let style = Style::Machine(FactSet::parse(b"type;size"));
    let mlsd =
        |argument: &str| lines(&list_from(&fixture, "", &ListRequest::directory(argument.as_bytes()), style).unwrap());
    assert_eq!(
        mlsd(""),
        [
            "type=cdir; .",
            "type=file;size=7; .hidden",
            "type=file;size=5; a.txt",
            "type=file;size=5; b.txt",
            "type=OS.unix=slink; broken",
            "type=OS.unix=slink; out",
            "type=dir; sub",
            "type=dir; to-dir",
            "type=file;size=5; to-file",
        ]
    );
    assert_eq!(
        mlsd("sub"),
        ["type=cdir; .", "type=pdir; ..", "type=file;size=9; c.txt", "type=file;size=5; d", "type=file;size=5; up",]
    );
}

#[test]
fn machine_listings_are_of_directories_and_know_no_patterns() {
    let fixture = with_files();
    let style = Style::Machine(FactSet::default());
    let mlsd = |argument: &str| kind(list_from(&fixture, "", &ListRequest::directory(argument.as_bytes()), style));
    assert_eq!(mlsd("a.txt"), FaultKind::NotADirectory);
    assert_eq!(mlsd("s*"), FaultKind::NotFound);
    assert_eq!(mlsd("-a"), FaultKind::NotFound);
}

#[test]
fn names_forge_no_line_in_any_style() {
    let fixture = Fixture::new();
    fs::write(fixture.real("a\r\n-rw-r--r-- forged"), "").unwrap();
    fs::write(fixture.base.path().join("home").join(std::ffi::OsStr::from_bytes(b"b\xff")), "").unwrap();
    for style in [Style::Long, Style::Names, Style::Machine(FactSet::parse(b""))] {
        let mut listing = fixture.storage.list(&path(""), &ListRequest::default(), style).unwrap();
        let mut out = Vec::new();
        assert!(listing.next_chunk(&mut out));
        assert!(String::from_utf8_lossy(&out).contains("a??-rw-r--r-- forged\r\n"));
        assert!(out.ends_with(b"b\xff\r\n"));
    }
}

#[test]
fn large_listings_come_in_pieces_without_what_vanished() {
    let fixture = Fixture::new();
    for number in 0..3000 {
        fixture.write(&format!("{number:04}"), "");
    }
    let mut listing = fixture.storage.list(&path(""), &ListRequest::default(), Style::Long).unwrap();
    let (mut all, mut piece, mut pieces) = (Vec::new(), Vec::new(), 0);
    while listing.next_chunk(&mut piece) {
        assert!(piece.len() < 65 * 1024);
        all.append(&mut piece);
        pieces += 1;
        if pieces == 1 {
            fs::remove_file(fixture.real("2999")).unwrap();
        }
    }
    assert!(pieces > 2);
    assert_eq!(lines(&String::from_utf8(all).unwrap()).len(), 2999);
}

#[test]
fn an_empty_directory_has_no_lines() {
    let fixture = Fixture::new();
    assert!(nlst(&fixture, "").is_empty());
}

proptest::proptest! {
    #[test]
    fn any_argument_of_a_listing_is_options_and_a_rest(argument in vec(prop_oneof![Just(b'-'), Just(b' '), Just(b'a'), any::<u8>()], 0..40)) {
        let request = ListRequest::parse(&argument);
        prop_assert!(argument.ends_with(&request.argument));
        let set = FactSet::parse(&argument);
        prop_assert_eq!(FactSet::parse(set.to_string().as_bytes()), set);
    }

    #[test]
    fn any_pattern_finds_only_what_is_there(
        components in vec(select(&["*", "?*", "..", ".", "sub", "[a-z]*", "c.txt", "a*", "*.txt", "out", "\\\\*", "", "two words", ".longshore*", ".*"][..]), 0..9),
        absolute in any::<bool>(),
    ) {
        let fixture = with_files();
        symlink("..", fixture.real("out")).unwrap();
        let argument = format!("{}{}", if absolute { "/" } else { "" }, components.join("/"));
        let request = ListRequest { argument: argument.clone().into_bytes(), ..ListRequest::default() };
        let began = Instant::now();
        if let Ok(text) = list_from(&fixture, "sub", &request, Style::Names) {
            for name in lines(&text) {
                let named = path("sub").resolve(name.as_bytes()).unwrap();
                prop_assert!(fixture.storage.home.stat_link(&named).is_ok(), "{} of {}", name, argument);
            }
        }
        prop_assert!(began.elapsed() < Duration::from_secs(5), "{} took {:?}", argument, began.elapsed());
    }
}
