//! TLS by rustls: the certificate and its key, read again when their files change, and a TLS channel over a socket.
//!
//! The channel drives rustls itself on the non-blocking socket instead of through tokio-rustls: control reads and writes
//! at the same time and may drop either call, and data measures how long nothing moved.

use std::fs;
use std::io::{self, BufRead, IoSlice, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};
use rustls::{HandshakeKind, InconsistentKeys, ProtocolVersion, ServerConfig, ServerConnection};
use tokio::net::TcpStream;
use tokio::task::coop::consume_budget;
use tokio::time::timeout;
use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;

use crate::settings::value::quoted;
use crate::settings::{ClientCertificates, Faults, Loaded, TlsSettings, TlsVersion};

mod clients;
mod subject;

pub(crate) use subject::Subject;

/// How long a client may take for its handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// What is read from a control connection at once.
const CONTROL_PIECE: usize = 4 << 10;

/// What is read from a data connection at once: rustls by itself asks the kernel for 4 KiB at a time.
const DATA_PIECE: usize = 64 << 10;

/// TLS sessions remembered for clients without tickets (curl with TLS 1.2).
const CACHED_SESSIONS: usize = 4096;

/// What a client may call the protocol (ALPN), if it calls it anything. A browser calls it HTTP: whoever led it here could
/// have it take a file for a page of the name in the certificate.
const CONTROL_PROTOCOLS: [&str; 1] = ["ftp"];

/// The same on data connections: FileZilla says `ftp-data`.
const DATA_PROTOCOLS: [&str; 2] = ["ftp-data", "ftp"];

/// The certificate in force.
#[derive(Debug)]
pub(crate) struct Tls {
    settings: TlsSettings,
    memory: Arc<Memory>,
    pair: RwLock<Pair>,
}

/// A certificate with its key, as read from the files.
#[derive(Debug)]
struct Pair {
    config: Arc<ServerConfig>,
    /// The files when they were last read, well or in vain.
    seen: Seen,
}

/// What changes when a file is replaced or written.
type Seen = [Option<(u64, u64, u64, i64, i64, i64)>; 3];

/// What is wrong with the value of a key, as it follows `key = value`.
type Wrong = (&'static str, String);

impl Tls {
    /// Reads what the settings name; `None` when they name no certificate. What the one `before` remembers can be resumed.
    fn load(settings: &TlsSettings, before: Option<&Self>) -> Result<Option<Self>, Vec<Wrong>> {
        let (Some(_), Some(key)) = (&settings.certificate, &settings.key) else {
            return Ok(None);
        };
        let memory = match before {
            Some(before) => Arc::clone(&before.memory),
            None => Memory::new()
                .map_err(|error| vec![("tls.certificate", format!("cannot be used: no random numbers: {error}"))])?,
        };
        warn_of_a_public_key(key);
        let seen = seen(settings);
        let pair = Pair::read(settings, seen)?;
        Ok(Some(Self { settings: settings.clone(), memory, pair: RwLock::new(pair) }))
    }

    /// What would stop `serve` at the certificate or the key.
    pub fn check(loaded: &Loaded) -> Faults {
        let mut faults = Faults::default();
        let settings = &loaded.settings.tls;
        for (name, text) in Self::load(settings, None).err().unwrap_or_default() {
            faults.push_value(name, loaded.origin(name), with_value(settings, name, &text));
        }
        faults
    }

    /// Reads what the settings of a server name, in place of the one `before`.
    pub fn start(settings: &TlsSettings, before: Option<&Self>) -> Result<Option<Self>, Faults> {
        Self::load(settings, before).map_err(|wrong| {
            let mut faults = Faults::default();
            for (name, text) in wrong {
                faults.push_value(name, "settings", with_value(settings, name, &text));
            }
            faults
        })
    }

    /// Begins TLS on the control connection of an FTP session.
    pub async fn accept_control(&self, stream: &TcpStream, session: u64) -> io::Result<Channel> {
        self.follow();
        // A certificate is shown anew in each session: a ticket would outlive a change of `client_ca`.
        let anew = self.settings.client_certificates != ClientCertificates::Off;
        let (mut config, binding) = self.config(session, anew);
        config.alpn_protocols = protocols(&CONTROL_PROTOCOLS);
        Channel::accept(stream, config, binding, CONTROL_PIECE).await
    }

    /// Begins TLS on a data connection of an FTP session, for a download or an upload.
    pub async fn accept_data(&self, stream: &TcpStream, session: u64, upload: bool) -> io::Result<Channel> {
        let (mut config, binding) = self.config(session, false);
        // OpenSSL presents a ticket of TLS 1.3 only once, so a download brings the next one (curl lives on that). An
        // uploading client may leave it unread in its socket, and its close becomes a reset that takes the last bytes
        // along: curl does.
        config.send_tls13_tickets = usize::from(!upload);
        config.alpn_protocols = protocols(&DATA_PROTOCOLS);
        Channel::accept(stream, config, binding, DATA_PIECE).await
    }

    fn config(&self, session: u64, anew: bool) -> (ServerConfig, Arc<Binding>) {
        let memory = Arc::clone(&self.memory);
        let binding = Arc::new(Binding { memory, session, anew, resumed: AtomicU64::new(0) });
        let mut config = ServerConfig::clone(&self.pair.read().unwrap_or_else(PoisonError::into_inner).config);
        config.ticketer = Arc::clone(&binding) as _;
        config.session_storage = Arc::clone(&binding) as _;
        (config, binding)
    }

    /// Whether the files are others than those that `before` has read.
    pub fn was_renewed(&self, before: &Self) -> bool {
        let seen = |tls: &Self| tls.pair.read().unwrap_or_else(PoisonError::into_inner).seen;
        seen(self) != seen(before)
    }

    /// Reads the files again when they have changed. A faulty pair is reported once, and the old one stays in force.
    fn follow(&self) {
        let now = seen(&self.settings);
        if self.pair.read().unwrap_or_else(PoisonError::into_inner).seen == now {
            return;
        }
        let mut pair = self.pair.write().unwrap_or_else(PoisonError::into_inner);
        if pair.seen == now {
            return;
        }
        match Pair::read(&self.settings, now) {
            Ok(new) => {
                *pair = new;
                let certificate = self.settings.certificate.as_deref().unwrap_or(Path::new(""));
                tracing::info!(certificate = %certificate.display(), "the certificate was read again");
            }
            Err(wrong) => {
                pair.seen = now;
                for (name, text) in wrong {
                    let text = with_value(&self.settings, name, &text);
                    tracing::error!("{text}; the certificate read before stays in force");
                }
            }
        }
    }
}

fn protocols(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

fn with_value(settings: &TlsSettings, name: &str, text: &str) -> String {
    let path = match name {
        "tls.key" => &settings.key,
        "tls.client_ca" => &settings.client_ca,
        _ => &settings.certificate,
    };
    let path = path.as_deref().unwrap_or(Path::new("")).to_string_lossy();
    format!("{name} = {} {text}", quoted(&path))
}

fn seen(settings: &TlsSettings) -> Seen {
    [&settings.certificate, &settings.key, &settings.client_ca].map(|path| {
        let found = fs::metadata(path.as_deref()?).ok()?;
        Some((found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec(), found.ctime_nsec()))
    })
}

/// A key that every user of the machine can read is no secret.
fn warn_of_a_public_key(key: &Path) {
    if fs::metadata(key).is_ok_and(|found| found.mode() & 0o004 != 0) {
        tracing::warn!(key = %key.display(), "everybody on this machine can read the key; chmod o-r it");
    }
}

impl Pair {
    fn read(settings: &TlsSettings, seen: Seen) -> Result<Self, Vec<Wrong>> {
        let (Some(certificate), Some(key)) = (&settings.certificate, &settings.key) else {
            return Err(vec![("tls.certificate", "names no certificate".to_owned())]);
        };
        let (chain, key) = match (read_chain(certificate), read_key(key)) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => {
                let chain = chain.err().map(|text| ("tls.certificate", text));
                let key = key.err().map(|text| ("tls.key", text));
                return Err([chain, key].into_iter().flatten().collect());
            }
        };
        let versions: &[&rustls::SupportedProtocolVersion] = match settings.minimum {
            TlsVersion::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::V1_3 => &[&rustls::version::TLS13],
        };
        let provider: Arc<CryptoProvider> = ring::default_provider().into();
        let clients = clients::verifier(settings, &provider).map_err(|wrong| vec![wrong])?;
        let built = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .and_then(|builder| builder.with_client_cert_verifier(clients).with_single_cert(chain, key));
        let config = built.map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                vec![("tls.key", "does not fit the certificate; name the key that it was made for".to_owned())]
            }
            error => vec![("tls.certificate", format!("cannot be used: {error}; name another certificate and key"))],
        })?;
        Ok(Self { config: Arc::new(config), seen })
    }
}

/// What TLS sessions are resumed from. It outlives a change of the certificate.
#[derive(Debug)]
struct Memory {
    /// Made and read by this process only, and good again and again: clients present the ticket of the control
    /// connection for each transfer.
    tickets: Arc<dyn ProducesTickets>,
    cache: Arc<ServerSessionMemoryCache>,
}

impl Memory {
    fn new() -> Result<Arc<Self>, rustls::Error> {
        let tickets = ring::Ticketer::new()?;
        Ok(Arc::new(Self { tickets, cache: ServerSessionMemoryCache::new(CACHED_SESSIONS) }))
    }
}

/// What one connection has rustls remember, with the FTP session's number in front, and what it resumed. rustls could
/// keep such a number by itself (`set_resumption_data`), but in TLS 1.3 only.
#[derive(Debug)]
struct Binding {
    memory: Arc<Memory>,
    session: u64,
    /// Nothing is resumed.
    anew: bool,
    /// The FTP session whose TLS session was looked up last; they count from 1.
    resumed: AtomicU64,
}

impl Binding {
    fn bind(&self, remembered: &[u8]) -> Vec<u8> {
        [&self.session.to_be_bytes(), remembered].concat()
    }

    fn unbind(&self, bound: &[u8]) -> Option<Vec<u8>> {
        let (session, remembered) = bound.split_first_chunk().filter(|_| !self.anew)?;
        self.resumed.store(u64::from_be_bytes(*session), Ordering::Relaxed);
        Some(remembered.to_vec())
    }
}

impl ProducesTickets for Binding {
    fn enabled(&self) -> bool {
        self.memory.tickets.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.memory.tickets.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.memory.tickets.encrypt(&self.bind(plain))
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.unbind(&self.memory.tickets.decrypt(cipher)?)
    }
}

impl StoresServerSessions for Binding {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.memory.cache.put(key, self.bind(&value))
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.unbind(&self.memory.cache.get(key)?)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.unbind(&self.memory.cache.take(key)?)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// From when to when a certificate is valid.
#[derive(Debug)]
pub(crate) struct Lifetime {
    begin: ASN1Time,
    /// Its last moment.
    pub end: ASN1Time,
}

impl Lifetime {
    /// That of the first certificate of a PEM file.
    pub fn of(path: &Path) -> Result<Self, String> {
        Self::of_first(&read_certificates(path)?)
    }

    fn of_first(chain: &[CertificateDer<'_>]) -> Result<Self, String> {
        let (_, parsed) = parse_x509_certificate(&chain[0])
            .map_err(|error| format!("is no certificate that can be read: {error}; make it anew"))?;
        Ok(Self { begin: parsed.validity().not_before, end: parsed.validity().not_after })
    }

    /// How many whole days it is valid from now on.
    pub fn days_left(&self) -> i64 {
        (self.end.timestamp() - now()) / (24 * 3600)
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

/// The certificates of a PEM file, the server's own first. The words of a fault follow `key = value`.
fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = read_certificates(path)?;
    let Lifetime { begin, end } = Lifetime::of_first(&chain)?;
    if end.timestamp() < now() {
        return Err(format!("has expired on {end}; renew it"));
    }
    if begin.timestamp() > now() {
        return Err(format!(
            "is not valid before {begin}; set this machine's clock, or name one that is valid already"
        ));
    }
    Ok(chain)
}

/// The certificates of a PEM file, at least one.
fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| format!("is no PEM file: {error}; write the certificate as PEM"))?;
    match found.is_empty() {
        true => Err("has no certificate in it; name a PEM file with BEGIN CERTIFICATE".to_owned()),
        false => Ok(found),
    }
}

/// The first private key of a PEM file.
fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            "has no private key in it; name a PEM file with BEGIN PRIVATE KEY, without a password".to_owned()
        }
        error => format!("is no PEM file: {error}; write the key as PEM"),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot be read: {error}; name a PEM file that this user may read"))
}

/// TLS over a socket that the caller holds. Nothing in here waits but the handshake.
#[derive(Debug)]
pub(crate) struct Channel {
    connection: ServerConnection,
    binding: Arc<Binding>,
    /// Encrypted bytes from the socket; those from `at` to `filled` wait for rustls.
    raw: Box<[u8]>,
    at: usize,
    filled: usize,
    /// The peer has closed the socket's other side.
    ended: bool,
}

impl Channel {
    async fn accept(stream: &TcpStream, config: ServerConfig, binding: Arc<Binding>, piece: usize) -> io::Result<Self> {
        let mut connection = ServerConnection::new(Arc::new(config)).map_err(io::Error::other)?;
        // What is written is bounded by whoever writes, who sends it before the next.
        connection.set_buffer_limit(None);
        let mut channel = Self { connection, binding, raw: vec![0; piece].into(), at: 0, filled: 0, ended: false };
        let handshake = timeout(HANDSHAKE_LIMIT, channel.shake_hands(stream)).await;
        handshake.unwrap_or_else(|_| {
            let text = format!("no TLS handshake within {} s", HANDSHAKE_LIMIT.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })?;
        Ok(channel)
    }

    async fn shake_hands(&mut self, stream: &TcpStream) -> io::Result<()> {
        loop {
            consume_budget().await;
            match self.flush(stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    stream.writable().await?;
                    continue;
                }
                result => result?,
            }
            if !self.connection.is_handshaking() {
                return Ok(());
            }
            if self.ended {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the client closed it in the TLS handshake"));
            }
            match self.receive(stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.readable().await?,
                result => result?,
            }
        }
    }

    /// Appends what has come to `buffer`, within its capacity; 0 says that the peer has ended TLS as it should.
    pub fn read(&mut self, stream: &TcpStream, buffer: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            let mut reader = self.connection.reader();
            match reader.fill_buf() {
                Ok(plain) => {
                    let count = plain.len().min(buffer.capacity() - buffer.len());
                    buffer.extend_from_slice(&plain[..count]);
                    reader.consume(count);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    let text = "it ended without TLS's close_notify, so its last bytes may be missing";
                    return Err(io::Error::new(error.kind(), text));
                }
                Err(error) => return Err(error),
            }
            self.receive(stream)?;
        }
    }

    /// Encrypts all of `bytes`; [`Channel::flush`] sends them.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.connection.writer().write_all(bytes)
    }

    /// Sends what is encrypted, or as much of it as the socket takes (`WouldBlock`).
    pub fn flush(&mut self, stream: &TcpStream) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut Socket(stream))?;
        }
        Ok(())
    }

    /// Whether encrypted bytes wait for the socket.
    pub fn has_unsent(&self) -> bool {
        self.connection.wants_write()
    }

    /// Says that nothing follows; [`Channel::flush`] sends it.
    pub fn close_notify(&mut self) {
        self.connection.send_close_notify();
    }

    /// The FTP session whose TLS session the client resumed.
    pub fn resumed(&self) -> Option<u64> {
        let resumed = self.connection.handshake_kind() == Some(HandshakeKind::Resumed);
        resumed.then(|| self.binding.resumed.load(Ordering::Relaxed))
    }

    /// The certificate that the client has shown, of an issuer in `tls.client_ca`; what is resumed remembers it.
    pub fn client_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.connection.peer_certificates()?.first()
    }

    /// `1.2` or `1.3`.
    pub fn version(&self) -> &'static str {
        match self.connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            _ => "1.2",
        }
    }

    /// The cipher suite by its name in the standard.
    pub fn cipher(&self) -> &'static str {
        self.connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or_default()
    }

    /// Has rustls take encrypted bytes, from the socket when none wait.
    fn receive(&mut self, stream: &TcpStream) -> io::Result<()> {
        if self.at == self.filled {
            (self.at, self.filled) = (0, 0);
            self.filled = stream.try_read(&mut self.raw)?;
            self.ended = self.filled == 0;
        }
        // At the end this reads nothing, which tells rustls that it is the end.
        self.at += self.connection.read_tls(&mut &self.raw[self.at..self.filled])?;
        let taken = self.connection.process_new_packets();
        // Answers of TLS itself, an alert for instance. They go out with the next flush at the latest.
        let sent = self.flush(stream);
        taken.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        match sent {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }
}

/// The socket as rustls writes to it.
struct Socket<'a>(&'a TcpStream);

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// What is wrong with this pair, where `DIR` stands for its directory.
    fn wrong(certificate: &str, key: &str) -> Vec<Wrong> {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str, text: &str| {
            let path = directory.path().join(name);
            if !text.is_empty() {
                fs::write(&path, text).unwrap();
            }
            Some(path)
        };
        let (certificate, key) = (place("certificate.pem", certificate), place("key.pem", key));
        Tls::load(&TlsSettings { certificate, key, ..TlsSettings::default() }, None).err().unwrap_or_default()
    }

    fn pair(until: i32) -> (String, String) {
        pair_between(2020, until)
    }

    fn pair_between(from: i32, until: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        parameters.not_before = date_time_ymd(from, 1, 1);
        parameters.not_after = date_time_ymd(until, 1, 1);
        (parameters.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn each_fault_says_what_to_do() {
        let ((certificate, key), (old, old_key)) = (pair(4000), pair(2021));
        let (young, young_key) = pair_between(3000, 4000);
        assert_eq!(wrong(&certificate, &key), []);
        assert_eq!(wrong(&(certificate.clone() + &old), &key), [], "only the server's own counts");
        let missing = "cannot be read: No such file or directory (os error 2); name a PEM file that this user may read";
        assert_eq!(wrong("", ""), [("tls.certificate", missing.to_owned()), ("tls.key", missing.to_owned())]);
        for (certificate, key, name, text) in [
            (&key, &key, "tls.certificate", "has no certificate in it; name a PEM file with BEGIN CERTIFICATE"),
            (
                &certificate,
                &certificate,
                "tls.key",
                "has no private key in it; name a PEM file with BEGIN PRIVATE KEY, without a password",
            ),
            (&certificate, &old_key, "tls.key", "does not fit the certificate; name the key that it was made for"),
            (&old, &old_key, "tls.certificate", "has expired on Jan  1 00:00:00 2021 +00:00; renew it"),
            (
                &young,
                &young_key,
                "tls.certificate",
                "is not valid before Jan  1 00:00:00 3000 +00:00; set this machine's clock, or name one that is valid already",
            ),
        ] {
            assert_eq!(wrong(certificate, key), [(name, text.to_owned())]);
        }
    }

    #[test]
    fn issuers_of_clients_that_cannot_be_used_are_named_with_their_key() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            Some(path)
        };
        let (certificate, key) = pair(4000);
        let settings = TlsSettings {
            certificate: place("certificate.pem", &certificate),
            key: place("key.pem", &key),
            client_certificates: ClientCertificates::Request,
            client_ca: place("ca.pem", &key),
            ..TlsSettings::default()
        };
        let text = "has no certificate in it; name a PEM file with BEGIN CERTIFICATE";
        assert_eq!(Tls::load(&settings, None).err(), Some(vec![("tls.client_ca", text.to_owned())]));
        place("ca.pem", &certificate);
        assert!(Tls::load(&settings, None).is_ok());
    }

    #[test]
    fn a_changed_pair_is_read_again_and_a_faulty_one_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let paths = ["certificate.pem", "key.pem"].map(|name| directory.path().join(name));
        let put = |(certificate, key): &(String, String)| {
            fs::write(&paths[0], certificate).unwrap();
            fs::write(&paths[1], key).unwrap();
        };
        put(&pair(4000));
        let [certificate, key] = paths.clone().map(Some);
        let tls = Tls::load(&TlsSettings { certificate, key, ..TlsSettings::default() }, None).unwrap().unwrap();
        let config = || {
            tls.follow();
            Arc::clone(&tls.pair.read().unwrap().config)
        };
        let first = config();
        assert!(Arc::ptr_eq(&first, &config()), "nothing has changed");
        fs::write(&paths[1], "no key").unwrap();
        assert!(Arc::ptr_eq(&first, &config()), "a faulty pair");
        fs::remove_file(&paths[0]).unwrap();
        assert!(Arc::ptr_eq(&first, &config()), "half a pair");
        put(&pair(4001));
        assert!(!Arc::ptr_eq(&first, &config()), "a new pair");
    }
}
