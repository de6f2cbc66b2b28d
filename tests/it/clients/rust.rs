//! suppaftp: the same work on a machine with nothing but Rust.

use std::net::SocketAddr;

use suppaftp::types::FileType;
use suppaftp::{FtpStream, Mode, RustlsConnector, RustlsFtpStream};

use super::{DEADLINE, PASSWORD, USER, data_mode_was, server};
use crate::fixture::{Server, no_ipv6, noise};
use crate::tls::trusting;

fn connect(address: SocketAddr, mode: Mode) -> FtpStream {
    let mut ftp = FtpStream::connect_timeout(address, DEADLINE).unwrap();
    ftp.get_ref().set_read_timeout(Some(DEADLINE)).unwrap();
    ftp.set_mode(mode);
    ftp.login(USER, PASSWORD).unwrap();
    ftp.transfer_type(FileType::Binary).unwrap();
    ftp
}

fn core(mode: Mode, address: impl Fn(&crate::fixture::Server) -> SocketAddr) {
    let (server, tree) = server();
    let active = mode == Mode::Active;
    let mut ftp = connect(address(&server), mode);

    let listing = ftp.list(None).unwrap().join("\n");
    for name in ["hello.txt", "big.bin", "two words.txt", "many"] {
        assert!(listing.contains(name), "{listing}");
    }
    assert!(ftp.retr_as_buffer("big.bin").unwrap().into_inner() == tree.big);
    assert_eq!(ftp.retr_as_buffer("two words.txt").unwrap().into_inner(), b"a name with a space\n");
    assert_eq!(ftp.put_file("up.bin", &mut &tree.up[..]).unwrap(), 300_001);
    assert!(server.read("up.bin") == tree.up);
    assert_eq!(ftp.size("up.bin").unwrap(), 300_001);

    // mget *, mdelete *: names by NLST, then one by one.
    ftp.cwd("many").unwrap();
    let mut names = ftp.nlst(Some("*")).unwrap();
    names.sort();
    assert_eq!(names, ["and three.txt", "one.txt", "two.txt"]);
    assert_eq!(ftp.retr_as_buffer("and three.txt").unwrap().into_inner(), b"333\n");
    ftp.cdup().unwrap();
    ftp.cwd("/doomed").unwrap();
    for name in ftp.nlst(Some("*")).unwrap() {
        ftp.rm(&name).unwrap();
    }
    assert!(server.names("doomed").is_empty());
    ftp.cwd("/").unwrap();
    assert_eq!(ftp.pwd().unwrap(), "/");

    // Resume both ways.
    ftp.resume_transfer(250_000).unwrap();
    assert!(ftp.retr_as_buffer("big.bin").unwrap().into_inner() == tree.big[250_000..]);
    let upload = noise(400_003, 9);
    server.write("upload.bin", &upload[..150_000]);
    ftp.resume_transfer(150_000).unwrap();
    ftp.put_file("upload.bin", &mut &upload[150_000..]).unwrap();
    assert!(server.read("upload.bin") == upload);
    ftp.append_file("upload.bin", &mut &b"more"[..]).unwrap();
    assert_eq!(server.read("upload.bin").len(), 400_007);

    ftp.mkdir("made").unwrap();
    assert!(server.path("made").is_dir());
    ftp.rmdir("made").unwrap();
    assert!(!server.has("made"));
    ftp.rename("old.txt", "new name.txt").unwrap();
    assert_eq!(server.read("new name.txt"), b"to be renamed\n");

    let facts = ftp.mlst(Some("big.bin")).unwrap();
    assert!(facts.to_lowercase().contains("size=700001;"), "{facts}");
    assert!(ftp.mlsd(None).unwrap().iter().any(|line| line.ends_with(" two words.txt")));
    let features = ftp.feat().unwrap();
    assert!(features.contains_key("MLST"), "{features:?}");
    let mdtm = ftp.mdtm("big.bin").unwrap().and_utc().timestamp();
    let modified = std::fs::metadata(server.path("big.bin")).unwrap().modified().unwrap();
    assert_eq!(mdtm, modified.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64);
    ftp.quit().unwrap();
    data_mode_was(&server, if active { "active" } else { "passive" });
}

#[test]
fn suppaftp_passive() {
    core(Mode::Passive, |server| server.address());
}

#[test]
fn suppaftp_extended_passive() {
    core(Mode::ExtendedPassive, |server| server.address());
}

#[test]
fn suppaftp_active() {
    core(Mode::Active, |server| server.address());
}

#[test]
fn suppaftp_extended_passive_ipv6() {
    if no_ipv6() {
        return;
    }
    core(Mode::ExtendedPassive, |server| server.address_v6());
}

#[test]
fn suppaftp_aborts_a_download_and_goes_on() {
    let (server, tree) = server();
    server.write_sparse("endless.bin", 1 << 32);
    let mut ftp = connect(server.address(), Mode::ExtendedPassive);
    let transfer = ftp.retr_as_stream("endless.bin").unwrap();
    ftp.abort(transfer).unwrap();
    assert!(ftp.retr_as_buffer("big.bin").unwrap().into_inner() == tree.big);
    ftp.quit().unwrap();
}

/// Its rustls resumes the control connection's session by itself.
#[test]
fn suppaftp_over_tls() {
    let lines = ["control = \"required\"", "data = \"required\"", "require_resumption = true"];
    let big = noise(1_000_003, 5);
    let server = Server::builder().anonymous("off").account(USER, PASSWORD).file("big.bin", &big).tls(&lines).start();
    for mode in [Mode::Passive, Mode::ExtendedPassive, Mode::Active] {
        let connector = RustlsConnector::from(trusting(&server));
        let ftp = RustlsFtpStream::connect_timeout(server.address(), DEADLINE).unwrap();
        let mut ftp = ftp.into_secure(connector, "localhost").unwrap();
        ftp.get_ref().set_read_timeout(Some(DEADLINE)).unwrap();
        ftp.set_mode(mode);
        ftp.login(USER, PASSWORD).unwrap();
        ftp.transfer_type(FileType::Binary).unwrap();
        assert!(ftp.nlst(None).unwrap().contains(&"big.bin".to_owned()));
        assert!(ftp.retr_as_buffer("big.bin").unwrap().into_inner() == big);
        ftp.put_file("up.bin", &mut &big[..]).unwrap();
        assert!(ftp.retr_as_buffer("up.bin").unwrap().into_inner() == big);
        ftp.rm("up.bin").unwrap();
        ftp.quit().unwrap();
    }
}
