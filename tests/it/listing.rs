//! LIST, NLST, MLSD, MLST: what is named, how, and with which pattern.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use crate::fixture::{Builder, Server};
use crate::ftp::Ftp;

fn tree() -> Builder {
    Server::builder()
        .file("one.txt", "1")
        .file("two.txt", "22")
        .file("three.dat", "333")
        .file("two words.txt", "4444")
        .file(".hidden", "h")
        .file("dir/inner.txt", "i")
        .file("dir/other.dat", "o")
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

#[test]
fn nlst_names_what_is_there() {
    let server = tree().start();
    let mut ftp = Ftp::anonymous(&server);
    let all = ["dir", "one.txt", "three.dat", "two words.txt", "two.txt"];
    assert_eq!(sorted(ftp.list("NLST")), all);
    assert_eq!(sorted(ftp.list("NLST .")), all);
    ftp.expect(250, "CWD dir");
    assert_eq!(sorted(ftp.list("NLST")), ["inner.txt", "other.dat"]);
    assert_eq!(sorted(ftp.list("NLST /dir")), ["/dir/inner.txt", "/dir/other.dat"]);
}

#[test]
fn nlst_keeps_the_directory_prefix() {
    let server = tree().start();
    let mut ftp = Ftp::anonymous(&server);
    assert_eq!(sorted(ftp.list("NLST dir/*")), ["dir/inner.txt", "dir/other.dat"]);
    assert_eq!(ftp.list("NLST dir/*.txt"), ["dir/inner.txt"]);
    assert_eq!(ftp.list("NLST /dir/i*"), ["/dir/inner.txt"]);
    assert_eq!(ftp.list("NLST dir/inner.txt"), ["dir/inner.txt"]);
}

#[test]
fn patterns_match_as_in_a_shell() {
    let server = tree().start();
    let mut ftp = Ftp::anonymous(&server);
    for (pattern, names) in [
        ("*.txt", &["one.txt", "two words.txt", "two.txt"][..]),
        ("?wo.txt", &["two.txt"]),
        ("[ot]*.txt", &["one.txt", "two words.txt", "two.txt"]),
        ("[!o]*.txt", &["two words.txt", "two.txt"]),
        ("[a-p]*", &["dir", "one.txt"]),
        ("two *", &["two words.txt"]),
        (".h*", &[".hidden"]),
        ("*", &["dir", "one.txt", "three.dat", "two words.txt", "two.txt"]),
    ] {
        assert_eq!(sorted(ftp.list(format!("NLST {pattern}"))), names, "{pattern}");
    }
}

#[test]
fn a_file_whose_name_is_the_pattern_comes_first() {
    let server = Server::builder().file("[ab].txt", "").file("a.txt", "").file("b.txt", "").start();
    let mut ftp = Ftp::anonymous(&server);
    assert_eq!(ftp.list("NLST [ab].txt"), ["[ab].txt"]);
    fs::remove_file(server.path("[ab].txt")).unwrap();
    assert_eq!(sorted(ftp.list("NLST [ab].txt")), ["a.txt", "b.txt"]);
}

#[test]
fn a_matched_directory_is_named_and_not_expanded() {
    let server = tree().start();
    let mut ftp = Ftp::anonymous(&server);
    assert_eq!(ftp.list("NLST d*"), ["dir"]);
    let long = ftp.list("LIST d*");
    assert_eq!(long.len(), 1);
    assert!(long[0].starts_with('d') && long[0].ends_with(" dir"), "{long:?}");
}

#[test]
fn a_pattern_without_a_match_is_550_and_names_it() {
    let server = tree().start();
    let mut ftp = Ftp::anonymous(&server);
    for verb in ["NLST", "LIST"] {
        let text = ftp.refused(550, format!("{verb} *.nothing")).text();
        assert!(text.contains("*.nothing"), "{text}");
        ftp.refused(550, format!("{verb} nowhere"));
    }
    ftp.lives();
}

#[test]
fn an_empty_directory_is_an_empty_listing() {
    let server = Server::start();
    let mut ftp = Ftp::anonymous(&server);
    for verb in ["NLST", "LIST", "LIST -l"] {
        assert!(ftp.get(verb).is_empty(), "{verb}");
    }
}

#[test]
fn option_letters_are_understood_and_never_taken_for_names() {
    let server = tree().start();
    let mut ftp = Ftp::anonymous(&server);
    let plain = sorted(ftp.list("LIST"));
    for line in ["LIST -l", "LIST -l .", "LIST -l /"] {
        assert_eq!(sorted(ftp.list(line)), plain, "{line}");
    }
    for line in ["LIST -a", "LIST -la", "LIST -al", "LIST -la /"] {
        let listing = ftp.list(line);
        assert!(listing.iter().any(|line| line.ends_with(" .hidden")), "{line}: {listing:?}");
    }
    let names = sorted(ftp.list("NLST -l *.dat"));
    assert!(names.len() == 1 && names[0].ends_with("three.dat"), "{names:?}");
    assert_eq!(ftp.list("LIST -la two words.txt").len(), 1);
    assert!(ftp.list("NLST -CF").iter().any(|line| line == "one.txt"));
    assert!(ftp.list("NLST -a").contains(&".hidden".to_owned()));
}

#[test]
fn long_lines_look_like_ls() {
    let server = Server::builder().file("a b.txt", "12345").file("dir/x", "").start();
    fs::set_permissions(server.path("a b.txt"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("a b.txt", server.path("link")).unwrap();
    let mut ftp = Ftp::anonymous(&server);
    let lines = sorted(ftp.list("LIST"));
    let file: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(file[0], "-rw-r-----");
    assert_eq!(file[4], "5");
    assert_eq!(file[8..], ["a", "b.txt"]);
    let dir = lines.iter().find(|line| line.ends_with(" dir")).unwrap();
    assert!(dir.starts_with("drwx"), "{dir}");
    assert_eq!(lines.len(), 3);
    assert_eq!(lines.iter().filter(|line| line.contains(" link")).count(), 1, "{lines:?}");
}

#[test]
fn times_in_long_lines_are_those_of_the_file() {
    let server = Server::builder().file("old", "").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(213, "MFMT 20090213233130 old");
    let line = ftp.list("LIST old").remove(0);
    assert!(line.contains(" Feb 13  2009 old"), "{line}");
}

#[test]
fn mlst_and_mlsd_give_facts() {
    let server = Server::builder().file("a b.txt", "12345").file("dir/x", "").start();
    fs::set_permissions(server.path("a b.txt"), fs::Permissions::from_mode(0o640)).unwrap();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(213, "MFMT 20090213233130 a b.txt");
    let facts = ftp.expect(250, "MLST a b.txt").middle().remove(0);
    let (facts, name) = facts.strip_prefix(' ').unwrap().split_once(' ').unwrap();
    assert!(name == "a b.txt" || name == "/a b.txt", "{name}");
    let facts = facts.to_lowercase();
    for fact in ["type=file;", "size=5;", "modify=20090213233130;", "unix.mode=0640;", "unique="] {
        assert!(facts.contains(fact), "{fact} is not in {facts}");
    }
    let perm = facts.split("perm=").nth(1).unwrap().split(';').next().unwrap();
    for right in ['a', 'd', 'f', 'r', 'w'] {
        assert!(perm.contains(right), "{right} is not in {perm}");
    }
    let lines = ftp.list("MLSD");
    let named = |name: &str| lines.iter().find(|line| line.ends_with(&format!("; {name}"))).unwrap().to_lowercase();
    assert!(named("a b.txt").contains("type=file;"));
    assert!(named("dir").contains("type=dir;"));
    assert!(lines.iter().all(|line| line.contains("; ")), "{lines:?}");
    let root = ftp.expect(250, "MLST").middle().remove(0).to_lowercase();
    assert!(root.contains("type=dir;") || root.contains("type=cdir;"), "{root}");
    ftp.expect(550, "MLST nothing");
    symlink("nowhere", server.path("dangling")).unwrap();
    assert!(ftp.expect(250, "MLST dangling").middle().remove(0).contains("=OS.unix=slink;"));
    ftp.expect(550, "SIZE dangling");
    ftp.expect(550, "CWD dangling");
    let code = ftp.refused_code("MLSD a b.txt");
    assert!(matches!(code, 501 | 550), "{code}");
    ftp.refused(550, "MLSD nothing");
    // MLSD takes no pattern: this is a name.
    ftp.refused(550, "MLSD *");
}

#[test]
fn opts_mlst_chooses_the_facts() {
    let server = Server::builder().file("x", "12345").start();
    let mut ftp = Ftp::anonymous(&server);
    let reply = ftp.expect(200, "OPTS MLST Type;Size;Nonsense;").text().to_lowercase();
    assert!(reply.contains("type;size;") && !reply.contains("nonsense"), "{reply}");
    let line = ftp.expect(250, "MLST x").middle().remove(0).to_lowercase();
    assert!(line.contains("type=file;") && line.contains("size=5;") && !line.contains("modify="), "{line}");
    let features = ftp.expect(211, "FEAT").text().to_lowercase();
    assert!(features.contains("type*;") && features.contains("modify;"), "{features}");
    ftp.expect(200, "OPTS MLST");
    let line = ftp.expect(250, "MLST x").middle().remove(0);
    assert!(line.trim_end().ends_with('x') && !line.contains('='), "{line}");
}

#[test]
fn unique_facts_name_the_same_file_alike() {
    let server = Server::builder().file("a", "").file("b", "").start();
    fs::hard_link(server.path("a"), server.path("again")).unwrap();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(200, "OPTS MLST unique;");
    let fact = |ftp: &mut Ftp, name: &str| {
        let line = ftp.expect(250, format!("MLST {name}")).middle().remove(0);
        line.trim().split(';').next().unwrap().to_owned()
    };
    assert_eq!(fact(&mut ftp, "a"), fact(&mut ftp, "again"));
    assert_ne!(fact(&mut ftp, "a"), fact(&mut ftp, "b"));
}

#[test]
fn permission_facts_follow_the_rights() {
    let server = Server::builder().anonymous("read-only").file("x", "").file("dir/y", "").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(200, "OPTS MLST perm;");
    let perm = |ftp: &mut Ftp, name: &str| ftp.expect(250, format!("MLST {name}")).middle().remove(0);
    let file = perm(&mut ftp, "x");
    assert!(file.contains("perm=r;") || file.contains("Perm=r;"), "{file}");
    let dir = perm(&mut ftp, "dir").to_lowercase();
    let rights = dir.split("perm=").nth(1).unwrap().split(';').next().unwrap().to_owned();
    assert!(rights.contains('e') && rights.contains('l'), "{dir}");
    assert!(!rights.contains(['c', 'd', 'f', 'm', 'p']), "{dir}");
}

/// A name that is no UTF-8 is listed byte for byte, and every command takes it back.
#[test]
fn names_that_are_no_utf8_are_reached() {
    let server = Server::start();
    let name = b"caf\xe9 \xff.txt";
    fs::write(server.path(OsStr::from_bytes(name)), "latin").unwrap();
    let mut ftp = Ftp::anonymous(&server);
    let line = |verb: &[u8]| [verb, b" ", &name[..]].concat();
    assert_eq!(ftp.get("NLST"), [&name[..], b"\r\n"].concat());
    assert_eq!(ftp.get("NLST caf*"), [&name[..], b"\r\n"].concat());
    for listing in [ftp.get("LIST"), ftp.get("MLSD")] {
        assert!(listing.ends_with(&[&b" "[..], name, b"\r\n"].concat()));
    }
    assert_eq!(ftp.get(line(b"RETR")), b"latin");
    assert_eq!(ftp.expect(213, line(b"SIZE")).text(), "213 5");
    let facts = ftp.expect(250, line(b"MLST")).raw;
    assert!(facts.windows(name.len()).any(|window| window == name));
    ftp.put(line(b"STOR"), b"again");
    assert_eq!(fs::read(server.path(OsStr::from_bytes(name))).unwrap(), b"again");
    ftp.expect(350, line(b"RNFR"));
    ftp.expect(250, b"RNTO \xe9t\xe9");
    assert!(server.path(OsStr::from_bytes(b"\xe9t\xe9")).exists());
    ftp.expect(250, b"DELE \xe9t\xe9");
    ftp.expect(257, b"MKD \xff");
    ftp.expect(250, b"CWD \xff");
    assert!(ftp.expect(257, "PWD").raw.windows(3).any(|window| window == b"/\xff\""));
    ftp.expect(250, "CWD /");
    ftp.expect(250, b"RMD \xff");
    assert!(server.names("").is_empty());
}

#[test]
fn line_ends_in_names_forge_no_line() {
    let server = Server::builder().file("good", "g").start();
    let forged = "bad\r\n-rw-r--r-- 1 0 0 0 Jan 1 2000 forged";
    fs::write(server.path(forged), "").unwrap();
    fs::write(server.path("only\nfeed"), "").unwrap();
    let mut ftp = Ftp::anonymous(&server);
    for verb in ["LIST", "NLST", "MLSD"] {
        let bytes = ftp.get(verb);
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert!(lines.iter().all(|line| !line.contains(['\r', '\n'])), "{verb}: {text:?}");
        assert!(!lines.iter().any(|line| line.starts_with("-rw-r--r-- 1 0 0 0 Jan 1 2000")), "{verb}: {text:?}");
        let this_directory = usize::from(verb == "MLSD");
        assert_eq!(lines.len() - this_directory, 3, "{verb}: {text:?}");
    }
    // A reply over the control connection is no place for them either.
    ftp.expect(213, "STAT .");
    ftp.lives();
}

#[test]
fn links_inside_are_followed_and_links_outside_lead_nowhere() {
    let server = Server::builder().file("dir/x", "inside").start();
    fs::write(server.beside("secret"), "secret").unwrap();
    symlink("dir", server.path("to-dir")).unwrap();
    symlink("dir/x", server.path("to-file")).unwrap();
    symlink("../secret", server.path("out-relative")).unwrap();
    symlink(server.beside("secret"), server.path("out-absolute")).unwrap();
    symlink("..", server.path("out-dir")).unwrap();
    symlink("nowhere", server.path("dangling")).unwrap();
    let mut ftp = Ftp::anonymous(&server);
    assert_eq!(ftp.get("RETR to-file"), b"inside");
    assert_eq!(ftp.expect(213, "SIZE to-file").text(), "213 6");
    ftp.expect(250, "CWD to-dir");
    assert_eq!(ftp.list("NLST"), ["x"]);
    ftp.expect(250, "CWD /");
    for name in ["out-relative", "out-absolute", "out-dir/secret", "dangling"] {
        let code = ftp.refused_code(format!("RETR {name}"));
        assert!(matches!(code, 550 | 553), "{name}: {code}");
        let code = ftp.command(format!("HASH {name}")).code;
        assert!(matches!(code, 550 | 553 | 556), "{name}: {code}");
        ftp.expect(550, format!("SIZE {name}"));
    }
    ftp.expect(550, "CWD out-dir");
    // The link itself may be listed, what it leads to may not.
    assert!(ftp.list("LIST out-dir/").len() <= 1);
    ftp.refused(550, "LIST out-dir/*");
    let code = ftp.refused_code("STOR out-dir/planted");
    assert!(matches!(code, 550 | 553), "{code}");
    assert!(!server.beside("planted").exists());
    assert_eq!(fs::read(server.beside("secret")).unwrap(), b"secret");
    // Listing a directory with such links in it works.
    assert_eq!(ftp.list("NLST").len(), 7);
    assert_eq!(ftp.list("MLSD").iter().filter(|line| line.contains("out-")).count(), ftp.list("NLST out-*").len());
}

#[test]
fn nothing_above_the_root_is_reached() {
    let server = Server::builder().file("x", "x").start();
    fs::write(server.beside("secret"), "secret").unwrap();
    let mut ftp = Ftp::anonymous(&server);
    for path in ["../secret", "/../secret", "x/../../secret", "./../secret", "..//../secret"] {
        for verb in ["RETR", "STOR", "APPE"] {
            let (data, line) = (ftp.passive(), format!("{verb} {path}"));
            let reply = ftp.command(&line);
            if verb == "RETR" {
                assert_eq!(reply.code, 550, "{line}");
            } else if reply.code == 150 {
                // `..` of the root is the root: it may be stored there, but nowhere else.
                drop(data);
                ftp.read(226);
            }
        }
        let _ = fs::remove_file(server.path("secret"));
        ftp.expect(550, format!("DELE {path}"));
        ftp.expect(550, format!("SIZE {path}"));
    }
    assert_eq!(fs::read(server.beside("secret")).unwrap(), b"secret");
    let code = ftp.command("RNFR x").code;
    assert_eq!(code, 350);
    ftp.command("RNTO ../moved");
    assert!(!server.beside("moved").exists());
}

#[test]
fn ten_thousand_files_are_listed() {
    let server = Server::start();
    for number in 0..10_000 {
        fs::write(server.path(format!("file-{number:05}")), "").unwrap();
    }
    let mut ftp = Ftp::anonymous(&server);
    for verb in ["LIST", "NLST", "MLSD"] {
        let lines = ftp.list(verb);
        let files = lines.iter().filter(|line| line.contains("file-")).count();
        assert_eq!(files, 10_000, "{verb}");
    }
    assert_eq!(ftp.list("NLST file-0000?").len(), 10);
}

#[test]
fn new_files_and_directories_obey_the_umask() {
    let server = Server::builder().storage("umask = \"027\"").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.put("STOR file", b"x");
    ftp.expect(257, "MKD dir");
    let mode = |name: &str| fs::metadata(server.path(name)).unwrap().mode() & 0o777;
    assert_eq!(mode("file"), 0o640);
    assert_eq!(mode("dir"), 0o750);
}
