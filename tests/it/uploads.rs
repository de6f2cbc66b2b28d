//! Uploads: whole ones, broken ones, and what is left of them.

use std::fs;
use std::io::Write;
use std::net::{Shutdown, TcpStream};

use socket2::SockRef;

use crate::fixture::{Server, noise, poll};
use crate::ftp::Ftp;

/// Starts an upload, and waits until the server has taken all of `bytes`.
fn begin_upload(ftp: &mut Ftp, line: &str, bytes: &[u8]) -> TcpStream {
    let mut data = ftp.open(line);
    ftp.write_data(&mut data, bytes);
    let taken = format!(": {} bytes so far", bytes.len());
    if poll(|| ftp.expect(211, "STAT").text().contains(&taken).then_some(())).is_none() {
        ftp.fail("the server does not take what was sent");
    }
    data
}

/// Starts an upload, sends `bytes`, and ends it with ABOR.
fn break_upload(ftp: &mut Ftp, line: &str, bytes: &[u8]) {
    let _data = begin_upload(ftp, line, bytes);
    ftp.send("ABOR");
    ftp.read(426);
    ftp.read(226);
}

#[test]
fn uploads_carry_every_byte() {
    let server = Server::start();
    let mut ftp = Ftp::anonymous(&server);
    for (name, len) in [("empty", 0), ("one", 1), ("large", 9_000_017)] {
        ftp.put(format!("STOR {name}"), &noise(len, 11));
        assert!(server.read(name) == noise(len, 11), "{name}");
    }
}

#[test]
fn an_upload_replaces_a_longer_file_whole() {
    let server = Server::builder().file("x", "the long old contents").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.put("STOR x", b"new");
    assert_eq!(server.read("x"), b"new");
    assert_eq!(server.names(""), ["x"]);
}

#[test]
fn a_file_is_replaced_only_when_its_upload_is_complete() {
    let server = Server::builder().file("x", "old").start();
    let mut ftp = Ftp::anonymous(&server);
    let mut data = ftp.open("STOR x");
    ftp.write_data(&mut data, &noise(500_000, 1));
    // Another session sees the old file until the end, and nothing else.
    let mut other = Ftp::anonymous(&server);
    assert_eq!(other.get("RETR x"), b"old");
    assert_eq!(other.list("NLST -a"), ["x"]);
    assert_eq!(
        other.list("MLSD").iter().filter(|line| line.contains("type=file") || line.contains("Type=file")).count(),
        1
    );
    drop(data);
    ftp.read(226);
    assert!(other.get("RETR x") == noise(500_000, 1));
    assert_eq!(server.names(""), ["x"]);
}

#[test]
fn a_broken_upload_leaves_the_old_file_and_cannot_be_resumed() {
    let server = Server::builder().file("x", "the old contents").start();
    let mut ftp = Ftp::anonymous(&server);
    break_upload(&mut ftp, "STOR x", b"NEW");
    assert_eq!(server.read("x"), b"the old contents");
    assert_eq!(server.names(""), ["x"], "a temporary file was left behind");
    // No old head gets a new tail.
    ftp.expect(350, "REST 3");
    let _data = ftp.passive();
    let text = ftp.command("STOR x");
    assert!((500..600).contains(&text.code), "{text:?}");
    assert!(text.text().to_lowercase().contains("start"), "{text:?}");
    assert_eq!(server.read("x"), b"the old contents");
    ftp.put("STOR x", b"new from the start");
    assert_eq!(server.read("x"), b"new from the start");
    // Whole again, so it can be resumed again.
    ftp.expect(350, "REST 8");
    ftp.put("STOR x", b" and on");
    assert_eq!(server.read("x"), b"new from and on");
}

#[test]
fn a_resume_of_a_broken_replacement_is_refused_in_another_session_too() {
    let server = Server::builder().file("x", "the old contents").start();
    let mut ftp = Ftp::anonymous(&server);
    break_upload(&mut ftp, "STOR x", b"NEW");
    drop(ftp);
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(350, "REST 3");
    let code = ftp.refused_code("STOR x");
    assert!((500..600).contains(&code), "{code}");
    assert_eq!(server.read("x"), b"the old contents");
}

#[test]
fn a_broken_upload_of_a_new_file_is_kept_and_can_be_resumed() {
    let server = Server::start();
    let bytes = noise(1_000_000, 2);
    let mut ftp = Ftp::anonymous(&server);
    break_upload(&mut ftp, "STOR x", &bytes[..400_000]);
    let kept = server.read("x");
    assert!(kept == bytes[..400_000], "{} bytes were kept", kept.len());
    assert_eq!(server.names(""), ["x"]);
    let size: usize = ftp.expect(213, "SIZE x").text()[4..].parse().unwrap();
    assert_eq!(size, kept.len());
    ftp.expect(350, format!("REST {size}"));
    ftp.put("STOR x", &bytes[size..]);
    assert!(server.read("x") == bytes);
}

#[test]
fn a_client_that_vanishes_during_an_upload_leaves_what_it_sent() {
    let server = Server::start();
    let bytes = noise(300_000, 3);
    let mut ftp = Ftp::anonymous(&server);
    let data = begin_upload(&mut ftp, "STOR x", &bytes);
    SockRef::from(&data).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(data);
    ftp.read(426);
    assert!(server.read("x") == bytes);
    ftp.lives();
    drop(ftp);
    server.event("session_closed");
    assert_eq!(server.names(""), ["x"]);
}

#[test]
fn appe_adds_to_a_file_or_makes_one() {
    let server = Server::builder().file("x", "old").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.put("APPE x", b"+new");
    assert_eq!(server.read("x"), b"old+new");
    ftp.put("APPE fresh", b"fresh");
    assert_eq!(server.read("fresh"), b"fresh");
}

#[test]
fn rest_and_stor_overwrite_from_the_offset_once() {
    let server = Server::builder().file("x", "0123456789").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(350, "REST 4");
    ftp.put("STOR x", b"abcdefgh");
    assert_eq!(server.read("x"), b"0123abcdefgh");
    ftp.put("STOR x", b"whole");
    assert_eq!(server.read("x"), b"whole", "the offset was used twice");
    // A gap would be filled with zeros that nobody sent.
    ftp.expect(350, "REST 100");
    let code = ftp.refused_code("STOR x");
    assert!((500..=554).contains(&code), "{code}");
    assert_eq!(server.read("x"), b"whole");
}

#[test]
fn stou_finds_a_name_of_its_own_each_time() {
    let server = Server::builder().file("x", "mine").start();
    let mut ftp = Ftp::anonymous(&server);
    let mut named = Vec::new();
    for contents in [b"first", b"other"] {
        let mut data = ftp.passive();
        let opening = ftp.start("STOU").text();
        let name = opening.split("FILE: ").nth(1).unwrap_or_else(|| panic!("{opening}")).to_owned();
        ftp.write_data(&mut data, contents);
        drop(data);
        ftp.read(226);
        assert_eq!(server.read(&name), contents);
        named.push(name);
    }
    assert_ne!(named[0], named[1]);
    assert_eq!(server.read("x"), b"mine");
    assert_eq!(server.names("").len(), 3);
}

#[test]
fn uploads_to_where_nothing_can_be_stored_are_refused() {
    let server = Server::builder().file("dir/x", "x").file("file", "f").start();
    let mut ftp = Ftp::anonymous(&server);
    let long = "n".repeat(300);
    for path in ["dir", "nowhere/x", "file/x", "/", long.as_str()] {
        let code = ftp.refused_code(format!("STOR {path}"));
        assert!(matches!(code, 501 | 550 | 553), "{path}: {code}");
    }
    assert_eq!(server.names(""), ["dir", "file"]);
    ftp.lives();
}

/// The names that uploads use until they are complete are out of bounds for clients.
#[test]
fn temporary_files_are_hidden_and_their_names_reserved() {
    let server = Server::builder().file("x", "old").start();
    let mut ftp = Ftp::anonymous(&server);
    let mut data = ftp.open("STOR x");
    ftp.write_data(&mut data, &noise(200_000, 1));
    let temporary = poll(|| server.names("").into_iter().find(|name| name != "x")).expect("a temporary file");
    let mut other = Ftp::anonymous(&server);
    other.refused(550, "NLST .*");
    for listing in [other.get("NLST -a"), other.get("LIST -la"), other.get("MLSD")] {
        assert!(!String::from_utf8_lossy(&listing).contains(&temporary));
    }
    for verb in ["RETR", "STOR", "APPE"] {
        let code = other.refused_code(format!("{verb} {temporary}"));
        assert!(matches!(code, 550 | 553), "{verb}: {code}");
    }
    for verb in ["DELE", "SIZE", "MLST", "RNFR", "HASH", "MKD"] {
        let code = other.command(format!("{verb} {temporary}")).code;
        assert!(matches!(code, 550 | 553 | 556), "{verb}: {code}");
    }
    other.expect(350, "RNFR x");
    let code = other.command(format!("RNTO {temporary}")).code;
    assert!(matches!(code, 550 | 553), "RNTO: {code}");
    drop(data);
    ftp.read(226);
    assert!(server.read("x") == noise(200_000, 1));
}

#[test]
fn temporary_files_of_a_killed_server_are_cleared_at_start() {
    let mut server = Server::builder().file("x", "old").file("dir/y", "old").start();
    let mut first = Ftp::anonymous(&server);
    let mut data = first.open("STOR x");
    first.write_data(&mut data, b"NEW");
    let mut second = Ftp::anonymous(&server);
    let mut inner = second.open("STOR dir/y");
    second.write_data(&mut inner, b"NEW");
    poll(|| (server.names("").len() == 3 && server.names("dir").len() == 2).then_some(())).expect("temporary files");
    server.kill_and_start_again();
    assert_eq!(server.names(""), ["dir", "x"]);
    assert_eq!(server.names("dir"), ["y"]);
    assert_eq!(server.read("x"), b"old");
    assert_eq!(server.read("dir/y"), b"old");
    // The next server, too, gives no old head a new tail.
    let mut ftp = Ftp::anonymous(&server);
    ftp.refused(554, "APPE x");
    ftp.put("STOR x", b"NEW");
    ftp.put("APPE x", b"ER");
    assert_eq!(server.read("x"), b"NEWER");
}

#[test]
fn an_abandoned_empty_upload_takes_nobody_elses_file_away() {
    let server = Server::start();
    let mut first = Ftp::anonymous(&server);
    let data = first.open("STOR x");
    let mut second = Ftp::anonymous(&server);
    second.expect(250, "DELE x");
    second.put("STOR x", b"precious");
    first.send("ABOR");
    first.read(426);
    first.read(226);
    drop(data);
    assert_eq!(server.read("x"), b"precious");
}

#[test]
fn a_large_head_is_kept_when_an_upload_goes_on_inside_of_a_file() {
    let server = Server::builder().file("x", noise(12_000_000, 3)).start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(350, "REST 11000000");
    ftp.put("STOR x", b"tail");
    let whole = server.read("x");
    assert_eq!(whole.len(), 11_000_004);
    assert!(whole[..11_000_000] == noise(12_000_000, 3)[..11_000_000] && whole.ends_with(b"tail"));
}

#[test]
fn no_line_end_gets_into_a_name() {
    let server = Server::builder().file("x", "x").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.refused(553, "STOR a\rb");
    ftp.refused(553, "STOU a\rb");
    ftp.expect(553, "MKD a\rb");
    ftp.expect(350, "RNFR x");
    ftp.expect(553, "RNTO a\rb");
    assert_eq!(server.names(""), ["x"]);
    server.write("a\rb", "odd");
    assert_eq!(ftp.get("RETR a\rb"), b"odd");
    ftp.expect(250, "DELE a\rb");
}

#[test]
fn uploads_can_be_on_the_disk_before_their_reply() {
    let server = Server::builder().storage("fsync = true").file("x", "old").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.put("STOR x", b"new");
    ftp.put("STOR y", b"fresh");
    assert_eq!(server.read("x"), b"new");
    assert_eq!(server.read("y"), b"fresh");
}

#[test]
fn replacing_a_file_keeps_its_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::builder().file("x", "old").start();
    fs::set_permissions(server.path("x"), fs::Permissions::from_mode(0o604)).unwrap();
    let mut ftp = Ftp::anonymous(&server);
    ftp.put("STOR x", b"new");
    let mode = fs::metadata(server.path("x")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o604);
}

#[test]
fn the_client_that_closes_only_its_sending_side_has_sent_everything() {
    let server = Server::start();
    let mut ftp = Ftp::anonymous(&server);
    let mut data = ftp.open("STOR x");
    ftp.write_data(&mut data, b"everything");
    data.shutdown(Shutdown::Write).unwrap();
    ftp.read(226);
    assert_eq!(server.read("x"), b"everything");
}

#[test]
fn two_uploads_of_one_new_file_do_not_mix() {
    let server = Server::start();
    let (one, two) = (noise(400_000, 1), noise(400_000, 2));
    let mut first = Ftp::anonymous(&server);
    let mut second = Ftp::anonymous(&server);
    let mut data = first.open("STOR x");
    first.write_data(&mut data, &one[..200_000]);
    let port = second.epsv();
    let mut other = TcpStream::connect((second.peer().ip(), port)).unwrap();
    let reply = second.command("STOR x");
    if reply.code == 150 {
        second.write_data(&mut other, &two);
        drop(other);
        second.reply();
    }
    first.write_data(&mut data, &one[200_000..]);
    drop(data);
    first.reply();
    let left = server.read("x");
    assert!(left == one || left == two, "the file is a mixture of both");
}

/// More than a full disk takes is 452; what was there stays, and of a new file what arrived.
#[test]
fn a_full_disk_is_452_and_costs_no_file() {
    let Some(builder) = Server::builder().disk_of("1m") else { return };
    let server = builder.start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.put("STOR old", b"the old one");
    let bytes = noise(3_000_000, 15);
    for name in ["old", "new"] {
        let mut data = ftp.open(format!("STOR {name}"));
        data.set_write_timeout(Some(crate::fixture::DEADLINE)).unwrap();
        // The server ends it in the middle.
        let _ = data.write_all(&bytes);
        drop(data);
        ftp.read(452);
        assert_eq!(server.read("old"), b"the old one");
    }
    let kept = server.read("new");
    assert!(!kept.is_empty() && bytes.starts_with(&kept), "{} bytes were kept", kept.len());
    assert_eq!(server.names(""), ["new", "old"]);
    ftp.expect(250, "DELE new");
    ftp.put("STOR old", b"now there is room");
    assert_eq!(server.read("old"), b"now there is room");
    let failed = server.event_where("transfer", |event| event["path"] == "/new");
    assert_eq!(failed["outcome"], "storage_failed");
}
