//! FTPS, spoken to by a client that sees every byte: what is refused in clear, and what goes wrong on the way.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::client_certificates;
use crate::fixture::{DEADLINE, LONGSHORE, Server, noise, poll, self_signed};
use crate::ftp::Ftp;

pub type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A control connection that is encrypted.
pub struct Secure {
    stream: Stream,
    config: Arc<ClientConfig>,
    transcript: String,
}

/// A client that trusts the server's certificate and no other.
pub fn trusting(server: &Server) -> Arc<ClientConfig> {
    config(server, rustls::ALL_VERSIONS)
}

fn config(server: &Server, versions: &[&'static rustls::SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(server.beside("certificate.pem")).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into());
    let builder = builder.with_protocol_versions(versions).unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

pub fn shake_hands(config: &Arc<ClientConfig>, stream: TcpStream) -> std::io::Result<Stream> {
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

impl Secure {
    /// AUTH TLS.
    pub fn explicit(server: &Server) -> Self {
        Self::explicit_with(server, &trusting(server))
    }

    fn explicit_with(server: &Server, config: &Arc<ClientConfig>) -> Self {
        let mut ftp = Ftp::connect(server.address());
        ftp.expect(234, "AUTH TLS");
        Self::over(ftp.stream(), config)
    }

    fn over(stream: TcpStream, config: &Arc<ClientConfig>) -> Self {
        let stream = shake_hands(config, stream).unwrap();
        Self { stream, config: Arc::clone(config), transcript: String::new() }
    }

    /// Implicit FTPS.
    pub fn implicit(server: &Server) -> Self {
        let mut ftp = Self::over(TcpStream::connect(server.implicit()).unwrap(), &trusting(server));
        ftp.read(220);
        ftp
    }

    fn reply(&mut self) -> (u16, String) {
        let mut text = String::new();
        loop {
            let mut byte = [0];
            if let Err(error) = self.stream.read_exact(&mut byte) {
                panic!("no reply: {error}\n{}{text}", self.transcript);
            }
            text.push(byte[0].into());
            let last = text.trim_end_matches("\r\n").rsplit("\r\n").next().unwrap();
            if text.ends_with("\r\n") && last.get(..4) == Some(&format!("{} ", &text[..3])) {
                self.transcript += &text;
                return (text[..3].parse().unwrap(), text);
            }
        }
    }

    fn read(&mut self, code: u16) -> String {
        let (got, text) = self.reply();
        assert_eq!(got, code, "{}", self.transcript);
        text
    }

    fn send(&mut self, line: &str) {
        self.transcript += &format!("> {line}\n");
        self.stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
    }

    /// Sends a line whose reply must have this code.
    pub fn expect(&mut self, code: u16, line: &str) -> String {
        self.send(line);
        self.read(code)
    }

    /// As anonymous, in TYPE I.
    pub fn login(mut self) -> Self {
        self.expect(331, "USER anonymous");
        self.expect(230, "PASS x");
        self.expect(200, "TYPE I");
        self
    }

    /// PROT P.
    pub fn private(mut self) -> Self {
        self.expect(200, "PBSZ 0");
        self.expect(200, "PROT P");
        self
    }

    fn passive(&mut self) -> TcpStream {
        let text = self.expect(229, "EPSV");
        let port = text.split("|||").nth(1).unwrap().split('|').next().unwrap().parse().unwrap();
        let server = self.stream.sock.peer_addr().unwrap();
        TcpStream::connect_timeout(&SocketAddr::new(server.ip(), port), DEADLINE).unwrap()
    }

    /// An encrypted data connection behind its 150.
    pub fn open(&mut self, line: &str) -> Stream {
        let data = self.passive();
        self.expect(150, line);
        shake_hands(&self.config, data).unwrap()
    }

    /// Everything that comes, up to close_notify.
    pub fn get(&mut self, line: &str) -> Vec<u8> {
        let mut data = self.open(line);
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes).unwrap();
        self.read(226);
        bytes
    }

    /// Uploads, with a close_notify at the end.
    pub fn put(&mut self, line: &str, bytes: &[u8]) {
        let mut data = self.open(line);
        data.write_all(bytes).unwrap();
        data.conn.send_close_notify();
        data.flush().unwrap();
        drop(data);
        self.read(226);
    }
}

#[test]
fn everything_goes_encrypted_both_ways_in_both_versions() {
    let big = noise(3_000_001, 3);
    let server = Server::builder().file("big.bin", &big).tls(&[]).implicit().start();
    for (version, name) in [(&rustls::version::TLS12, "1.2"), (&rustls::version::TLS13, "1.3")] {
        let mut ftp = Secure::explicit_with(&server, &config(&server, &[version])).private().login();
        assert!(ftp.get("RETR big.bin") == big);
        ftp.put("STOR up.bin", &big);
        assert!(server.read("up.bin") == big);
        assert!(String::from_utf8(ftp.get("LIST")).unwrap().contains("big.bin"));
        ftp.expect(221, "QUIT");
        server.event_where("tls_opened", |event| event["version"] == name && event["resumed"] == false);
        server.event_where("tls_opened", |event| event["version"] == name && event["resumed"] == true);
    }
    let mut ftp = Secure::implicit(&server).login();
    assert!(ftp.get("RETR big.bin") == big, "PROT P is taken for granted");
    ftp.expect(200, "PROT C");
    let mut data = ftp.passive();
    ftp.expect(150, "NLST big.bin");
    let mut names = String::new();
    data.read_to_string(&mut names).unwrap();
    assert_eq!(names, "big.bin\r\n");
    ftp.read(226);
    server.event_where("session_opened", |event| event["tls"] == true);
}

/// Half a second's worth, of which a burst goes at once.
#[test]
fn rates_hold_for_what_is_encrypted() {
    let file = noise(100_000, 4);
    let server = Server::builder().file("a.bin", &file).tls(&[]).limits("download_rate = 200000");
    let server = server.limits("upload_rate = 200000").start();
    let mut ftp = Secure::explicit(&server).private().login();
    let begun = Instant::now();
    assert!(ftp.get("RETR a.bin") == file);
    let download = begun.elapsed();
    ftp.put("STOR b.bin", &file);
    let upload = begun.elapsed() - download;
    let least = Duration::from_millis(400);
    assert!(download >= least && upload >= least, "{download:?}, {upload:?}");
}

#[test]
fn the_oldest_version_is_a_setting() {
    let server = Server::builder().tls(&["minimum = \"1.3\""]).start();
    let mut ftp = Ftp::connect(server.address());
    ftp.expect(234, "AUTH TLS");
    assert!(shake_hands(&config(&server, &[&rustls::version::TLS12]), ftp.stream()).is_err());
    Secure::explicit(&server).expect(200, "NOOP");
}

#[test]
fn without_a_certificate_nothing_is_offered() {
    let server = Server::start();
    let mut ftp = Ftp::anonymous(&server);
    for line in ["AUTH TLS", "AUTH SSL"] {
        ftp.expect(502, line);
    }
    for line in ["PBSZ 0", "PROT P"] {
        ftp.expect(503, line);
    }
    assert!(!ftp.expect(211, "FEAT").text().contains("AUTH"));
    ftp.lives();
}

#[test]
fn the_words_of_rfc_4217() {
    let server = Server::builder().tls(&[]).start();
    let mut clear = Ftp::connect(server.address());
    let features = clear.expect(211, "FEAT").middle();
    for feature in [" AUTH TLS", " PBSZ", " PROT"] {
        assert!(features.iter().any(|line| line == feature), "{features:?}");
    }
    assert!(features.is_sorted(), "{features:?}");
    clear.expect(504, "AUTH KERBEROS");
    clear.expect(533, "CCC");
    clear.expect(234, "AUTH SSL");
    let mut ftp = Secure::over(clear.stream(), &trusting(&server));
    for (code, line) in [
        (503, "AUTH TLS"),
        (503, "PROT P"),
        (501, "PBSZ x"),
        (200, "PBSZ 0"),
        (536, "PROT E"),
        (536, "PROT S"),
        (504, "PROT X"),
        (200, "PROT C"),
        (200, "prot p"),
        (534, "CCC"),
        (220, "REIN"),
        (503, "PROT P"),
        (200, "NOOP"),
    ] {
        ftp.expect(code, line);
    }
    ftp.private().login().expect(257, "PWD");
}

#[test]
fn required_on_control_means_that_not_even_a_name_goes_in_clear() {
    let server = Server::builder().tls(&["control = \"required\""]).start();
    let mut clear = Ftp::connect(server.address());
    for line in [
        "USER anonymous",
        "PASS x",
        "ACCT x",
        "EPSV",
        "PASV",
        "PORT 127,0,0,1,200,1",
        "LIST",
        "STAT",
        "SITE HELP",
        "TYPE I",
        "PBSZ 0",
        "PROT P",
        "ABOR",
    ] {
        clear.expect(530, line);
    }
    for (code, line) in
        [(211, "FEAT"), (200, "NOOP"), (214, "HELP"), (215, "SYST"), (200, "OPTS UTF8 ON"), (220, "REIN")]
    {
        clear.expect(code, line);
    }
    clear.expect(234, "AUTH TLS-C");
    Secure::over(clear.stream(), &trusting(&server)).login().expect(257, "PWD");
    server.event_where("command", |event| event["verb"] == "PWD" && event["code"] == 257);
    assert!(!server.log_text().contains("anonymous\",\"outcome\":\"ok\",\"attempts\":2"));
}

#[test]
fn required_on_data_means_that_no_way_leads_to_one_in_clear() {
    const WAYS: [&str; 4] = ["EPSV", "PASV", "PORT 127,0,0,1,200,1", "EPRT |1|127.0.0.1|50001|"];
    const TRANSFERS: [&str; 7] = ["LIST", "NLST", "MLSD", "RETR a", "STOR b", "APPE b", "STOU"];
    let server = Server::builder().file("a", "a").tls(&["data = \"required\""]).start();
    server.write_sparse("endless", 1 << 40);
    let mut clear = Ftp::anonymous(&server);
    let mut half = Secure::explicit(&server).login();
    for line in WAYS.into_iter().chain(TRANSFERS) {
        assert!(clear.expect(521, line).text().contains("PROT P"));
        assert!(half.expect(521, line).contains("PROT P"));
    }
    clear.expect(521, "STAT /");
    // Nor beside something that takes its time.
    clear.raw(b"HASH endless\r\nSTAT /\r\nABOR\r\n");
    for code in [426, 226, 521] {
        clear.read(code);
    }
    half.expect(200, "PBSZ 0");
    half.expect(534, "PROT C");
    half.expect(200, "PROT P");
    assert_eq!(half.get("RETR a"), b"a");
    assert_eq!(server.names(""), ["a", "endless"]);
}

#[test]
fn data_off_is_clear_data_beside_an_encrypted_control_connection() {
    let server = Server::builder().file("a", "a").tls(&["data = \"off\""]).implicit().start();
    // Implicit FTPS takes no encryption for granted here either.
    for connect in [Secure::explicit, Secure::implicit] {
        let mut ftp = connect(&server).login();
        ftp.expect(200, "PBSZ 0");
        ftp.expect(534, "PROT P");
        let mut data = ftp.passive();
        ftp.expect(150, "RETR a");
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"a");
        ftp.read(226);
    }
}

/// What somebody in between slips in behind AUTH must not pass for the client's own (CVE-2011-0411 and many after it).
#[test]
fn commands_behind_auth_are_thrown_away() {
    let server = Server::builder().tls(&[]).start();
    let mut clear = Ftp::anonymous(&server);
    clear.raw(b"AUTH TLS\r\nUSER anonymous\r\nPASS x\r\nMKD evil\r\nNO");
    clear.read(234);
    let mut ftp = Secure::over(clear.stream(), &trusting(&server));
    ftp.expect(200, "NOOP");
    ftp.expect(530, "PWD");
    ftp = ftp.login();
    ftp.expect(257, "PWD");
    assert!(!server.has("evil"));
}

#[test]
fn a_failed_handshake_costs_its_connection_only_and_is_on_record() {
    let server = Server::builder().file("a", "a").tls(&[]).implicit().start();
    let mut ftp = Secure::explicit(&server).private().login();
    // On a control connection.
    let mut clear = Ftp::connect(server.address());
    clear.expect(234, "AUTH TLS");
    clear.raw(b"USER anonymous\r\n");
    clear.rest_until_closed();
    let client = clear.local().to_string();
    server.event_where("tls_failed", |event| event["client"] == client.as_str());
    server.event_where("session_closed", |event| event["reason"] == "tls_failed");
    // On an implicit one.
    let mut stream = TcpStream::connect(server.implicit()).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
    let client = stream.local_addr().unwrap().to_string();
    server.event_where("tls_failed", |event| event["client"] == client.as_str());
    // On a data connection.
    let mut data = ftp.passive();
    ftp.expect(150, "RETR a");
    data.write_all(b"no handshake at all\r\n").unwrap();
    ftp.read(425);
    let client = data.local_addr().unwrap().to_string();
    server.event_where("tls_failed", |event| event["client"] == client.as_str());
    let data = ftp.passive();
    ftp.expect(150, "RETR a");
    drop(data);
    ftp.read(425);
    assert_eq!(ftp.get("RETR a"), b"a");
}

#[test]
fn a_handshake_has_a_time_limit() {
    let server = Server::builder().file("a", "a").tls(&[]).implicit().start();
    let begun = Instant::now();
    let mut ftp = Secure::explicit(&server).private().login();
    let _data = ftp.passive();
    ftp.expect(150, "RETR a");
    let mut silent = TcpStream::connect(server.implicit()).unwrap();
    silent.set_read_timeout(Some(DEADLINE * 2)).unwrap();
    // A read with a timeout ends early when this process is stopped and goes on; `read_to_end` goes on, too.
    assert_eq!(silent.read_to_end(&mut Vec::new()).unwrap(), 0);
    ftp.read(425);
    assert!((9..15).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    ftp.expect(200, "NOOP");
}

#[test]
fn an_upload_that_ends_without_close_notify_is_broken() {
    let server = Server::builder().file("old", "old contents").tls(&[]).start();
    let mut ftp = Secure::explicit(&server).private().login();
    let mut data = ftp.open("STOR old");
    data.write_all(b"new con").unwrap();
    data.sock.shutdown(Shutdown::Write).unwrap();
    let (code, text) = ftp.reply();
    assert_eq!(code, 426, "{text}");
    assert!(text.contains("close_notify"), "{text}");
    assert_eq!(server.event("transfer")["outcome"], "connection_lost");
    assert_eq!(server.read("old"), b"old contents");
}

/// A part of a file must not look like a whole one.
#[test]
fn a_download_that_breaks_ends_without_close_notify() {
    let server = Server::builder().tls(&[]).start();
    server.write_sparse("big.bin", 1 << 30);
    let mut ftp = Secure::explicit(&server).private().login();
    let mut data = ftp.open("RETR big.bin");
    let mut some = vec![0; 100_000];
    data.read_exact(&mut some).unwrap();
    ftp.send("ABOR");
    let error = data.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{error}");
    ftp.read(426);
    ftp.read(226);
    ftp.expect(200, "NOOP");
}

#[test]
fn commands_are_answered_while_an_encrypted_transfer_runs() {
    let server = Server::builder().tls(&[]).start();
    server.write_sparse("big.bin", 1 << 30);
    let mut ftp = Secure::explicit(&server).private().login();
    let data = ftp.open("RETR big.bin");
    ftp.expect(200, "NOOP");
    assert!(ftp.expect(211, "STAT").contains("RETR /big.bin"));
    ftp.send("ABOR");
    ftp.read(426);
    ftp.read(226);
    drop(data);
    // A thousand replies, with nobody reading meanwhile.
    ftp.stream.write_all(&b"HELP\r\n".repeat(1000)).unwrap();
    for _ in 0..1000 {
        ftp.read(214);
    }
}

/// Somebody in between could lead a browser here, which has to do with the certificate and not with FTP: it says so.
#[test]
fn clients_of_other_protocols_are_turned_away() {
    let server = Server::builder().file("a", "a").tls(&[]).implicit().start();
    let speaking = |names: &[&str]| {
        let mut config = (*trusting(&server)).clone();
        config.alpn_protocols = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    };
    // As FileZilla does.
    let mut ftp = Secure::explicit_with(&server, &speaking(&["x-filezilla-ftp", "ftp"])).private().login();
    assert_eq!(ftp.stream.conn.alpn_protocol(), Some(&b"ftp"[..]));
    ftp.config = speaking(&["ftp-data"]);
    let data = ftp.open("RETR a");
    assert_eq!(data.conn.alpn_protocol(), Some(&b"ftp-data"[..]));
    drop(data);
    ftp.reply();
    // As browsers do.
    let browser = speaking(&["h2", "http/1.1"]);
    assert!(shake_hands(&browser, TcpStream::connect(server.implicit()).unwrap()).is_err());
    let data = ftp.passive();
    ftp.expect(150, "RETR a");
    assert!(shake_hands(&browser, data).is_err());
    ftp.read(425);
}

/// A client that shows this certificate.
fn showing(server: &Server, name: &str) -> Arc<ClientConfig> {
    let file = server.beside(name);
    let chain = vec![CertificateDer::from_pem_file(&file).unwrap()];
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(server.beside("certificate.pem")).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into());
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    Arc::new(builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&file).unwrap()).unwrap())
}

#[test]
fn a_data_connection_shows_the_certificate_of_its_control_connection() {
    let server = client_certificates::server("request", client_certificates::LOGIN);
    let alice = showing(&server, "alice.pem");
    let mut ftp = Secure::explicit_with(&server, &alice).private();
    ftp.expect(232, "USER alice");
    ftp.expect(200, "TYPE I");
    for other in [trusting(&server), showing(&server, "eve.pem")] {
        ftp.config = other;
        let data = ftp.passive();
        ftp.expect(150, "RETR a");
        // With TLS 1.3 the handshake is over for the client before the server has looked.
        let _ = shake_hands(&ftp.config, data).map(|mut data| data.read_to_end(&mut Vec::new()));
        assert!(ftp.read(522).contains("the same certificate"));
    }
    // Without resumption, and with it.
    for config in [showing(&server, "alice.pem"), alice] {
        ftp.config = config;
        assert_eq!(ftp.get("RETR a"), b"contents");
    }
    ftp.expect(220, "REIN");
    ftp.expect(331, "USER bob");
    ftp.expect(230, "PASS pw");
    server.event_where("tls_failed", |event| event["reason"].as_str().unwrap().contains("certificate of its control"));
}

#[test]
fn a_data_connection_can_be_bound_to_its_control_connection() {
    let server = Server::builder().file("a", "a").tls(&["require_resumption = true"]).start();
    let mut ftp = Secure::explicit(&server).private().login();
    assert_eq!(ftp.get("RETR a"), b"a");
    // One that resumes nothing.
    let stranger = trusting(&server);
    let data = ftp.passive();
    ftp.expect(150, "RETR a");
    let mut data = shake_hands(&stranger, data).unwrap();
    assert!(ftp.read(522).contains("resum"));
    assert!(data.read_to_end(&mut Vec::new()).is_err(), "nothing came");
    // One that resumes another session.
    let mut other = Secure::explicit(&server).private().login();
    let data = ftp.passive();
    ftp.expect(150, "RETR a");
    let data = shake_hands(&other.config, data).unwrap();
    ftp.read(522);
    drop(data);
    assert_eq!(other.get("RETR a"), b"a");
}

#[test]
fn resumption_is_offered_and_not_asked_for() {
    let server = Server::builder().file("a", "a").tls(&[]).start();
    let mut config = (*trusting(&server)).clone();
    config.resumption = Resumption::disabled();
    let mut ftp = Secure::explicit_with(&server, &Arc::new(config)).private().login();
    for _ in 0..3 {
        assert_eq!(ftp.get("RETR a"), b"a");
    }
}

#[test]
fn a_new_certificate_is_taken_without_dropping_a_session() {
    let server = Server::builder().file("a", "a").tls(&[]).start();
    let old = trusting(&server);
    let mut ftp = Secure::explicit(&server).private().login();
    let (certificate, key) = (server.beside("certificate.pem"), server.beside("key.pem"));
    let (new, new_key) = (server.beside("new.pem"), server.beside("new-key.pem"));
    self_signed(&new, &new_key);
    // Half of a pair does not fit: the old one stays in force, which is said once.
    fs::rename(&new, &certificate).unwrap();
    Secure::explicit_with(&server, &old).expect(200, "NOOP");
    Secure::explicit_with(&server, &old).expect(200, "NOOP");
    fs::rename(&new_key, &key).unwrap();
    Secure::explicit(&server).expect(200, "NOOP");
    let mut clear = Ftp::connect(server.address());
    clear.expect(234, "AUTH TLS");
    let strict = Arc::new({
        let mut config = (*old).clone();
        config.resumption = Resumption::disabled();
        config
    });
    assert!(shake_hands(&strict, clear.stream()).is_err(), "the old certificate is gone");
    // The session that began before it goes on, with the session that its data connections resume.
    assert_eq!(ftp.get("RETR a"), b"a");
    let said = poll(|| Some(server.output()).filter(|text| text.contains("was read again"))).unwrap();
    assert_eq!(said.matches("does not fit the certificate").count(), 1, "{said}");
}

#[test]
fn a_faulty_pair_is_refused_at_the_start_and_by_check() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    self_signed(&path("a.pem"), &path("a.key"));
    self_signed(&path("b.pem"), &path("b.key"));
    for (name, from, until) in [("old", 2020, 2021), ("young", 3000, 4000)] {
        let (key, mut parameters) = (KeyPair::generate().unwrap(), CertificateParams::default());
        (parameters.not_before, parameters.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
        fs::write(path(&format!("{name}.pem")), parameters.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }
    let config = path("longshore.toml");
    for (certificate, key, line, text) in [
        ("old.pem", "old.key", 2, "has expired on"),
        ("young.pem", "young.key", 2, "is not valid before"),
        ("a.pem", "b.key", 3, "does not fit the certificate"),
        ("c.pem", "a.key", 2, "cannot be read"),
        ("a.key", "a.key", 2, "has no certificate in it"),
    ] {
        let (certificate, key, root) = (path(certificate), path(key), path("root"));
        let settings = format!(
            "[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n[storage]\nroot = {root:?}\n[server]\nlisten = [\"127.0.0.1:0\"]\n"
        );
        fs::write(&config, settings).unwrap();
        for command in ["check", "serve"] {
            let output = Command::new(LONGSHORE).arg(command).arg("--config").arg(&config).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(78), "{said}");
            assert!(said.contains(&format!("longshore.toml:{line}: tls.")) && said.contains(text), "{said}");
        }
    }
}

#[test]
fn a_made_key_is_private_and_nothing_is_replaced() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
    self_signed(&certificate, &key);
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(&key).unwrap();
    for (certificate, key) in [(certificate.clone(), dir.path().join("other")), (dir.path().join("other"), key.clone())]
    {
        let mut command = Command::new(LONGSHORE);
        command.args(["tls", "self-signed", "--name", "localhost", "--certificate"]).arg(certificate);
        let output = command.arg("--key").arg(key).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
    assert_eq!(fs::read(&key).unwrap(), before);
    assert!(!dir.path().join("other").exists());
}

#[test]
fn a_hangup_has_the_certificate_read_again_and_ends_nothing() {
    let mut server = Server::builder().tls(&[]).start();
    let mut ftp = Secure::explicit(&server).login();
    fs::write(server.beside("key.pem"), "no key").unwrap();
    server.signal(rustix::process::Signal::HUP);
    poll(|| server.output().contains("has no private key in it").then_some(())).expect("the fault is logged");
    ftp.expect(257, "PWD");
    assert!(server.is_alive());
}

/// The end of the server does not wait for somebody who dawdles over a handshake.
#[test]
fn a_handshake_does_not_delay_the_exit() {
    let mut server = Server::builder().tls(&[]).implicit().start();
    let _silent = TcpStream::connect(server.implicit()).unwrap();
    server.event("session_opened");
    let begun = Instant::now();
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5));
}
