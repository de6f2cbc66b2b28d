use std::collections::HashSet;
use std::io::Read;
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::data::ascii::{FromNetwork, ToNetwork};

const LESSON: &str = r#"
path = "/quest/five"
files = [
    { name = "note.txt", size = 300 },
    { name = "data.bin", kind = "binary" },
    { name = "logo.png", kind = "png" },
    { name = "slow.bin", kind = "slow" },
    { name = "starter.zip", kind = "zip", files = [{ name = "one.txt" }, { name = "two.png", kind = "png" }] },
]
"#;

struct Class {
    base: tempfile::TempDir,
    directory: Directory,
    otter: Student,
    folder: Folder,
}

fn class() -> Class {
    let base = tempfile::tempdir().unwrap();
    let directory = Directory::at(base.path());
    fs::write(directory.secret(), "secret\n").unwrap();
    let otter = Student { user: "otter".into(), ..Student::default() };
    Class { base, directory, otter, folder: toml::from_str(LESSON).unwrap() }
}

impl Class {
    fn place(&self, name: &str) -> PathBuf {
        self.directory.home("otter").join("quest").join(name)
    }

    fn restore(&self) -> Option<String> {
        restore(&self.directory, &self.otter, &self.folder).unwrap().kept
    }

    fn given(&self, user: &str) -> Vec<Given> {
        self.folder.given(&Secret::load(&self.directory).unwrap(), user)
    }

    fn names(&self, place: &str) -> HashSet<String> {
        let names = fs::read_dir(self.place(place)).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }
}

#[test]
fn a_folder_is_made_as_the_lesson_says() {
    let class = class();
    assert_eq!(class.restore(), None);
    for file in class.given("otter") {
        assert_eq!(fs::read(class.place("five").join(&file.name)).unwrap(), file.contents(), "{}", file.name);
    }
    assert_eq!(class.names("five").len(), 5);
    assert_eq!(class.names("").len(), 1);
    let text = fs::read_to_string(class.place("five/note.txt")).unwrap();
    let word = class.given("otter")[0].word().unwrap();
    assert!(text.lines().nth(1).unwrap().ends_with(&word) && text.len() >= 300, "{text}");
}

#[test]
fn the_slow_file_takes_three_minutes_and_no_place() {
    let class = class();
    class.restore();
    let found = fs::metadata(class.place("five/slow.bin")).unwrap();
    assert_eq!(found.len() / 20_000, 180);
    assert!(found.blocks() * 512 < 200_000, "{}", found.blocks());
    let bytes = fs::read(class.place("five/slow.bin")).unwrap();
    let end = String::from_utf8(bytes[bytes.len() - 60..].to_vec()).unwrap();
    assert!(end.ends_with(&format!("The word at the end is {}\n", class.given("otter")[3].word().unwrap())), "{end:?}");
}

#[test]
fn every_student_has_other_contents() {
    let class = class();
    for (own, others) in class.given("otter").iter().zip(class.given("fox")) {
        assert_ne!(own.contents(), others.contents(), "{}", own.name);
        assert_ne!(own.sha256(), others.sha256());
        assert!(own.word().is_none() || own.word() != others.word());
    }
}

#[test]
fn what_is_used_up_comes_back_and_what_is_the_students_is_kept() {
    let class = class();
    class.restore();
    // The given files are gone, and nothing is the student's.
    fs::remove_file(class.place("five/note.txt")).unwrap();
    assert_eq!(class.restore(), None);
    assert_eq!((class.names("five").len(), class.names("").len()), (5, 1));
    // A file of the student's, and one that was changed.
    fs::write(class.place("five/own.txt"), "own").unwrap();
    fs::write(class.place("five/note.txt"), "changed").unwrap();
    assert_eq!(class.restore().as_deref(), Some("/quest/five.old"));
    assert_eq!(class.names("five").len(), 5);
    assert_eq!(class.names("five.old"), HashSet::from(["own.txt".to_owned(), "note.txt".to_owned()]));
    assert_eq!(fs::read(class.place("five.old/own.txt")).unwrap(), b"own");
    // Once more, and then there is nothing to do.
    fs::create_dir(class.place("five/dir")).unwrap();
    assert_eq!(class.restore().as_deref(), Some("/quest/five.old-2"));
    let made = fs::metadata(class.place("five")).unwrap().ino();
    assert_eq!(class.restore(), None);
    assert_eq!(fs::metadata(class.place("five")).unwrap().ino(), made);
}

#[test]
fn a_file_in_the_folders_place_is_moved_away() {
    let class = class();
    fs::create_dir_all(class.directory.home("otter")).unwrap();
    fs::write(class.directory.home("otter").join("quest"), "mine").unwrap();
    class.restore();
    assert_eq!(fs::read(class.directory.home("otter").join("quest.old")).unwrap(), b"mine");
    fs::remove_dir_all(class.place("five")).unwrap();
    fs::write(class.place("five"), "mine, too").unwrap();
    assert_eq!(class.restore().as_deref(), Some("/quest/five.old"));
    assert_eq!(fs::read(class.place("five.old")).unwrap(), b"mine, too");
    assert_eq!(class.names("five").len(), 5);
}

#[test]
fn what_was_made_and_removed_is_told_for_the_quota() {
    let class = class();
    let again = || restore(&class.directory, &class.otter, &class.folder).unwrap();
    let size = |files: &[Given]| files.iter().map(|file| file.contents().len() as u64).sum();
    let all = class.given("otter");
    let whole = Amount { bytes: size(&all), files: 6 };
    assert_eq!((again().made, again()), (whole, Restored::default()));
    fs::remove_file(class.place("five/note.txt")).unwrap();
    fs::write(class.place("five/own"), "own").unwrap();
    let kept = Some("/quest/five.old".to_owned());
    assert_eq!(again(), Restored { kept, made: whole, gone: Amount { bytes: size(&all[1..]), files: 4 } });
    fs::remove_file(class.place("five/note.txt")).unwrap();
    assert_eq!(again().gone, Amount { bytes: size(&all[1..]), files: 5 });
}

#[test]
fn there_is_an_end_to_old_versions() {
    let class = class();
    class.restore();
    for _ in 0..MOST_OLD {
        fs::write(class.place("five/own.txt"), "own").unwrap();
        assert!(class.restore().is_some());
    }
    fs::write(class.place("five/own.txt"), "own").unwrap();
    let error = restore(&class.directory, &class.otter, &class.folder).unwrap_err().to_string();
    assert!(error.contains("20 old versions of five"), "{error}");
    // Nothing half made stays.
    assert_eq!(class.names("").len(), MOST_OLD + 1);
    assert!(class.names("five").contains("own.txt"));
}

#[test]
fn giving_touches_no_folder_that_is_there() {
    let class = class();
    give(&class.directory, &class.otter, &class.folder).unwrap();
    assert_eq!(class.names("five").len(), 5);
    fs::remove_file(class.place("five/note.txt")).unwrap();
    give(&class.directory, &class.otter, &class.folder).unwrap();
    assert_eq!(class.names("five").len(), 4);
}

/// What a client on Unix makes of TYPE A: it puts a CR in front of each LF, and takes one away.
#[test]
fn type_a_damages_pictures_and_binaries_in_both_directions() {
    for file in &class().given("otter")[1..3] {
        let contents = file.contents();
        let mut sent = Vec::new();
        contents
            .iter()
            .for_each(|byte| sent.extend_from_slice(if *byte == b'\n' { b"\r\n" } else { std::slice::from_ref(byte) }));
        let mut stored = Vec::new();
        FromNetwork::default().convert(&sent, &mut stored);
        assert_ne!(stored, contents, "{}", file.name);
        let mut network = Vec::new();
        ToNetwork::default().convert(&contents, &mut network);
        assert_ne!(network, contents, "{}", file.name);
        let received =
            String::from_utf8(network.iter().map(|byte| byte & 0x7f).collect()).unwrap().replace("\r\n", "\n");
        assert_ne!(received.len(), contents.len(), "{}", file.name);
    }
}

#[test]
fn an_archive_has_its_files_in_it() {
    let class = class();
    let archive = &class.given("otter")[4];
    let path = class.base.path().join("starter.zip");
    fs::write(&path, archive.contents()).unwrap();
    let mut zip = zip::ZipArchive::new(File::open(path).unwrap()).unwrap();
    assert_eq!(zip.len(), 2);
    for member in &archive.members {
        let mut bytes = Vec::new();
        zip.by_name(&member.name).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, member.contents());
    }
}

#[test]
fn a_wrong_folder_is_refused_with_its_line_and_its_cure() {
    let file = |file: &str| format!("path = \"/quest/a\"\nfiles = [{file}]");
    for (text, expected) in [
        ("path = \"quest/a\"\nfiles = [{ name = \"a\" }]".to_owned(), "write /quest/NAME with small letters"),
        ("path = \"/quest/..\"\nfiles = [{ name = \"a\" }]".to_owned(), "write /quest/NAME with small letters"),
        ("path = \"/quest/a\"\nfiles = []".to_owned(), "there are 0 files; name 1 to 100"),
        (file("{ name = \"../a\" }"), "\"../a\" is no name of a quest file"),
        (file("{ name = \".a\" }"), "\".a\" is no name of a quest file"),
        (file("{ name = \"a\" }, { name = \"a\" }"), "\"a\" is there twice"),
        (file("{ name = \"a\", size = 10000001 }"), "\"a\" is too large"),
        (file("{ name = \"a\", kind = \"png\", size = 1 }"), "\"a\" cannot have a size"),
        (file("{ name = \"a\", files = [{ name = \"b\" }] }"), "give it the kind \"zip\""),
        (file("{ name = \"a\", kind = \"zip\" }"), "there are 0 files"),
        (file("{ name = \"a\", kind = \"zip\", files = [{ name = \"b\", kind = \"slow\" }] }"), "\"a\" is an archive"),
        (file("{ name = \"a\", kind = \"picture\" }"), "expected one of `text`, `binary`, `png`, `zip`, `slow`"),
        (file("{ name = \"a\", colour = 1 }"), "unknown field `colour`"),
    ] {
        let error = toml::from_str::<Folder>(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}
