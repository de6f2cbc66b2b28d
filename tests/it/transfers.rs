//! RETR, types, offsets, and what is told about files.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use md5::Md5;
use sha2::{Digest, Sha256};

use crate::fixture::{Server, noise, poll};
use crate::ftp::{Flood, Ftp, fill, read_to_end};

fn hex(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn binary_downloads_carry_every_byte() {
    let server = Server::start();
    for (name, len) in [("empty", 0), ("one", 1), ("large", 9_000_017)] {
        server.write(name, noise(len, 5));
        let mut ftp = Ftp::anonymous(&server);
        assert!(ftp.get(format!("RETR {name}")) == noise(len, 5), "{name}");
    }
}

#[test]
fn ascii_downloads_get_crlf_and_binary_ones_stay() {
    let server = Server::builder().file("poem", "one\ntwo\r\n\nthree").start();
    let mut ftp = Ftp::anonymous(&server);
    assert_eq!(ftp.get("RETR poem"), b"one\ntwo\r\n\nthree");
    ftp.expect(200, "TYPE A");
    let got = String::from_utf8(ftp.get("RETR poem")).unwrap();
    assert!(got.starts_with("one\r\ntwo"), "{got:?}");
    assert!(got.ends_with("\r\n\r\nthree"), "{got:?}");
}

#[test]
fn ascii_uploads_lose_their_carriage_returns() {
    let server = Server::start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(200, "TYPE A");
    ftp.put("STOR poem", b"one\r\ntwo\r\nlone \r stays\r\n");
    assert_eq!(server.read("poem"), b"one\ntwo\nlone \r stays\n");
    ftp.expect(200, "TYPE I");
    ftp.put("STOR raw", b"one\r\n");
    assert_eq!(server.read("raw"), b"one\r\n");
}

/// A line end may lie across any two reads or buffers.
#[test]
fn ascii_conversion_holds_across_buffers() {
    let server = Server::start();
    let text: String = (0..200_000).map(|n| format!("{}\n", "x".repeat(n % 23))).collect();
    let wire = text.replace('\n', "\r\n");
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(200, "TYPE A");
    ftp.put("STOR text", wire.as_bytes());
    assert!(server.read("text") == text.as_bytes());
    assert!(ftp.get("RETR text") == wire.as_bytes());
}

#[test]
fn ascii_conversion_can_be_switched_off() {
    let server = Server::builder().transfer("ascii = \"binary\"").file("poem", "one\ntwo\n").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(200, "TYPE A");
    assert_eq!(ftp.get("RETR poem"), b"one\ntwo\n");
    ftp.put("STOR up", b"one\r\n");
    assert_eq!(server.read("up"), b"one\r\n");
    assert_eq!(ftp.expect(213, "SIZE poem").text(), "213 8");
    ftp.expect(350, "REST 4");
    assert_eq!(ftp.get("RETR poem"), b"two\n");
}

#[test]
fn size_and_rest_in_type_a_are_refused_with_the_advice_to_send_type_i() {
    let server = Server::builder().file("x", "12345").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(200, "TYPE A");
    for line in ["SIZE x", "REST 2"] {
        let reply = ftp.command(line);
        assert!((500..=550).contains(&reply.code), "{reply:?}");
        assert!(reply.text().to_lowercase().contains("binary"), "{reply:?}");
    }
    ftp.expect(200, "TYPE I");
    assert_eq!(ftp.expect(213, "SIZE x").text(), "213 5");
    ftp.expect(350, "REST 2");
    assert_eq!(ftp.get("RETR x"), b"345");
}

#[test]
fn a_download_begins_at_the_offset_once() {
    let server = Server::start();
    let bytes = noise(3_000_000, 6);
    server.write("x", &bytes);
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(350, "REST 1234567");
    assert!(ftp.get("RETR x") == bytes[1_234_567..]);
    assert!(ftp.get("RETR x") == bytes, "the offset was used twice");
    ftp.expect(350, "REST 3000000");
    assert!(ftp.get("RETR x").is_empty());
    ftp.expect(350, "REST 3000001");
    let code = ftp.refused_code("RETR x");
    assert!((500..=554).contains(&code), "{code}");
    assert!(ftp.get("RETR x") == bytes);
}

#[test]
fn size_mdtm_and_mfmt_agree_with_the_file() {
    let server = Server::builder().file("a b", "12345").start();
    let mut ftp = Ftp::anonymous(&server);
    assert_eq!(ftp.expect(213, "SIZE a b").text(), "213 5");
    assert_eq!(ftp.expect(213, "MFMT 20090213233130 a b").text(), "213 Modify=20090213233130; /a b");
    assert_eq!(ftp.expect(213, "MDTM a b").text(), "213 20090213233130");
    let modified = fs::metadata(server.path("a b")).unwrap().modified().unwrap();
    assert_eq!(modified.duration_since(SystemTime::UNIX_EPOCH).unwrap(), Duration::from_secs(1_234_567_890));
    for line in ["SIZE nothing", "MDTM nothing", "MFMT 20090213233130 nothing"] {
        ftp.expect(550, line);
    }
    fs::create_dir(server.path("dir")).unwrap();
    ftp.expect(550, "SIZE dir");
    for line in ["MFMT 2009 a b", "MFMT 20091313233130 a b", "MFMT x a b", "MFMT 20090213233130"] {
        ftp.expect(501, line);
    }
}

#[test]
fn site_utime_and_chmod_set_times_and_permissions() {
    let server = Server::builder().file("a b", "x").start();
    let mut ftp = Ftp::anonymous(&server);
    let mode = || fs::metadata(server.path("a b")).unwrap().permissions().mode() & 0o7777;
    ftp.expect(200, "SITE CHMOD 640 a b");
    assert_eq!(mode(), 0o640);
    ftp.expect(200, "site chmod 0755 a b");
    assert_eq!(mode(), 0o755);
    for line in ["SITE CHMOD 999 a b", "SITE CHMOD x a b", "SITE CHMOD 644"] {
        ftp.expect(501, line);
    }
    ftp.expect(550, "SITE CHMOD 644 nothing");
    assert_eq!(mode(), 0o755);
    let code = ftp.command("SITE UTIME 20090213233130 a b").code;
    assert!(code == 200 || code == 213, "{code}");
    assert_eq!(ftp.expect(213, "MDTM a b").text(), "213 20090213233130");
    // The five-part form that lftp and ncftp send: access, modification and creation time.
    let code = ftp.command("SITE UTIME a b 20100101000000 20110101000000 20120101000000 UTC").code;
    assert!(code == 200 || code == 213, "{code}");
    assert_eq!(ftp.expect(213, "MDTM a b").text(), "213 20110101000000");
}

#[test]
fn hashes_are_those_of_the_file() {
    let server = Server::start();
    let bytes = noise(2_500_000, 7);
    server.write("a b.bin", &bytes);
    let (sha256, md5) = (hex(Sha256::digest(&bytes)), hex(Md5::digest(&bytes)));
    let mut ftp = Ftp::anonymous(&server);
    let text = ftp.expect(213, "HASH a b.bin").text();
    assert!(text.starts_with("213 SHA-256 0-2499999 "), "{text}");
    assert!(text.to_lowercase().contains(&sha256) && text.ends_with(" a b.bin"), "{text}");
    let code_and_text = |ftp: &mut Ftp, line: &str| ftp.command(line).text().to_lowercase();
    let text = code_and_text(&mut ftp, "XSHA256 a b.bin");
    assert!(text.starts_with("25") && text.contains(&sha256), "{text}");
    let text = code_and_text(&mut ftp, "XMD5 a b.bin");
    assert!(text.starts_with("25") && text.contains(&md5), "{text}");
    ftp.expect(200, "OPTS HASH MD5");
    let text = ftp.expect(213, "HASH a b.bin").text().to_lowercase();
    assert!(text.starts_with("213 md5 ") && text.contains(&md5), "{text}");
    let mut codes = Vec::new();
    // Longer than one step of a digest, and all zeros.
    server.write_sparse("sparse", (64 << 20) + 1);
    let text = ftp.expect(250, "XMD5 sparse").text().to_lowercase();
    assert!(text.contains("279f6c15a48c009464bece2b1bb75a70"), "{text}");
    for line in ["HASH nothing", "XMD5 nothing", "HASH /"] {
        codes.push(ftp.command(line).code);
    }
    assert!(codes.iter().all(|code| matches!(code, 550 | 553 | 556)), "{codes:?}");
    let features = ftp.expect(211, "FEAT").text();
    assert!(features.contains("SHA-256") && features.contains("MD5*"), "{features}");
}

#[test]
fn a_file_cut_off_during_its_download_ends_that_transfer_only() {
    let server = Server::builder().file("small", "small").start();
    server.write_sparse("large", 1 << 30);
    let mut ftp = Ftp::anonymous(&server);
    let data = ftp.open("RETR large");
    fs::File::options().write(true).open(server.path("large")).unwrap().set_len(1 << 20).unwrap();
    let mut got = Vec::new();
    let mut data = data;
    // The connection may be reset, so that the client does not take the part for the whole.
    let _ = read_to_end(&mut data, &mut got);
    let reply = ftp.reply();
    assert_eq!(reply.code, 451, "{reply:?}");
    assert_eq!(ftp.get("RETR small"), b"small");
    assert_eq!(server.event("transfer")["outcome"], "storage_failed");
}

#[test]
fn a_file_deleted_during_its_download_still_arrives() {
    let server = Server::start();
    let bytes = noise(30_000_000, 8);
    server.write("large", &bytes);
    let mut ftp = Ftp::anonymous(&server);
    let data = ftp.open("RETR large");
    fs::remove_file(server.path("large")).unwrap();
    assert!(ftp.drain(data) == bytes);
    ftp.read(226);
}

#[test]
fn a_download_that_the_client_breaks_off_is_426_and_the_session_lives() {
    let server = Server::builder().file("small", "small").start();
    server.write_sparse("endless", 1 << 40);
    let mut ftp = Ftp::anonymous(&server);
    drop(ftp.open("RETR endless"));
    ftp.read(426);
    assert_eq!(ftp.get("RETR small"), b"small");
    let lost = server.event_where("transfer", |event| event["path"] == "/endless");
    assert_eq!(lost["outcome"], "connection_lost");
}

#[test]
fn directories_and_devices_are_no_downloads() {
    let server = Server::builder().file("dir/x", "x").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.refused(550, "RETR dir");
    ftp.refused(550, "RETR nothing");
    let fifo = std::process::Command::new("mkfifo").arg(server.path("fifo")).status();
    if fifo.is_ok_and(|status| status.success()) {
        ftp.refused(550, "RETR fifo");
        let code = ftp.refused_code("STOR fifo");
        assert!(matches!(code, 550 | 553), "{code}");
    }
    ftp.lives();
}

#[test]
fn twenty_sessions_download_at_once() {
    let server = Server::start();
    let bytes = noise(1_000_003, 10);
    server.write("x", &bytes);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let mut ftp = Ftp::anonymous(&server);
                for _ in 0..3 {
                    assert!(ftp.get("RETR x") == bytes);
                }
            });
        }
    });
    assert!(
        poll(|| (server.events().iter().filter(|e| e["event"] == "transfer").count() == 60).then_some(())).is_some()
    );
}

/// Somebody who sees an ordinary end takes what arrived for the whole file.
#[test]
fn a_download_that_is_cut_off_ends_with_a_reset() {
    let server = Server::start();
    server.write_sparse("endless", 1 << 40);
    type Cut = fn(Ftp);
    let cuts: [(&str, Cut); 2] = [
        ("a reset control connection", Ftp::reset),
        ("a line that is too long", |mut ftp| {
            ftp.raw(&[b'x'; 5000]);
            ftp.read(426);
            ftp.read(500);
            ftp.rest_until_closed();
        }),
    ];
    for (what, cut) in cuts {
        let mut ftp = Ftp::anonymous(&server);
        let client = ftp.local().to_string();
        let mut data = ftp.open("RETR endless");
        cut(ftp);
        let end = read_to_end(&mut data, &mut Vec::new()).map_err(|err| err.kind());
        assert_eq!(end, Err(ErrorKind::ConnectionReset), "{what}");
        // And it is on record, with its command and what went over it.
        let session = server.event_where("session_closed", |event| event["client"] == client);
        assert_ne!(session["bytes_sent"], 0, "{what}: {session}");
        let here = |event: &serde_json::Value| event["session"] == session["session"];
        let transfer = server.event_where("transfer", here);
        assert_eq!(transfer["outcome"], "control_lost", "{what}: {transfer}");
        server.event_where("command", |event| here(event) && event["verb"] == "RETR");
    }
}

/// ABOR is different: the client knows that the rest is missing.
#[test]
fn a_download_that_is_aborted_has_an_ordinary_end() {
    let server = Server::start();
    server.write_sparse("endless", 1 << 40);
    let mut ftp = Ftp::anonymous(&server);
    let data = ftp.open("RETR endless");
    ftp.send("ABOR");
    ftp.read(426);
    ftp.read(226);
    ftp.drain(data);
}

#[test]
fn commands_without_a_pause_do_not_hold_up_a_download() {
    let server = Server::start();
    let bytes = noise(40_000_000, 12);
    server.write("large", &bytes);
    let mut ftp = Ftp::anonymous(&server);
    let data = ftp.open("RETR large");
    let mut flood = Flood::start(&ftp);
    assert!(ftp.drain(data) == bytes);
    assert!(flood.read_until("226 "), "no 226 among the replies");
}

#[test]
fn replies_that_nobody_reads_do_not_hold_up_a_download() {
    let server = Server::start();
    let bytes = noise(40_000_000, 13);
    server.write("large", &bytes);
    let mut ftp = Ftp::anonymous(&server);
    let data = ftp.open("RETR large");
    fill(&ftp.stream(), b"STAT\r\n");
    assert!(ftp.drain(data) == bytes);
    let transfer = server.event("transfer");
    assert_eq!(transfer["outcome"], "complete", "{transfer}");
}

/// What one offset means in a converted file is what no two clients agree on.
#[test]
fn an_offset_with_type_a_is_refused_in_both_directions() {
    let server = Server::builder().file("x", "0123456789").start();
    let mut ftp = Ftp::anonymous(&server);
    for verb in ["STOR", "RETR"] {
        ftp.expect(350, "REST 5");
        ftp.expect(200, "TYPE A");
        let reply = ftp.refused(501, format!("{verb} x"));
        assert!(reply.text().contains("TYPE I"), "{reply:?}");
        assert_eq!(server.read("x"), b"0123456789");
        ftp.expect(200, "TYPE I");
        // It is used up, as by any transfer command.
        assert_eq!(ftp.get("RETR x"), b"0123456789");
    }
}

#[test]
fn the_digest_of_a_whole_transfer_is_on_record_where_it_is_asked_for() {
    let server = Server::builder().transfer("sha256 = true").start();
    let bytes = noise(2_000_003, 14);
    let mut ftp = Ftp::anonymous(&server);
    ftp.put("STOR up", &bytes);
    ftp.get("RETR up");
    ftp.put("APPE up", b"more");
    ftp.get("NLST");
    let transfer = |verb: &str| server.event_where("transfer", |event| event["verb"] == verb);
    let digest = hex(Sha256::digest(&bytes));
    assert_eq!(transfer("STOR")["sha256"], digest);
    assert_eq!(transfer("RETR")["sha256"], digest);
    assert_eq!(transfer("APPE")["sha256"], hex(Sha256::digest([&bytes[..], b"more"].concat())));
    assert!(transfer("NLST")["sha256"].is_null());
    // Of what is not whole there is none.
    server.write_sparse("endless", 1 << 40);
    drop(ftp.open("RETR endless"));
    ftp.read(426);
    let broken = server.event_where("transfer", |event| event["path"] == "/endless");
    assert!(broken["sha256"].is_null(), "{broken}");
}
