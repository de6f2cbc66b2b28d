//! TLS by rustls: the certificate and its key, read again when their files change, and channels over sockets.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::{CryptoProvider, ring};
use rustls::{InconsistentKeys, ServerConfig};
use tokio::net::TcpStream;

use crate::settings::value::quoted;
use crate::settings::{ClientCertificates, Faults, Loaded, TlsSettings, TlsVersion};

mod channel;
mod clients;
mod files;
mod memory;
mod subject;

pub(crate) use channel::Channel;
pub(crate) use files::Lifetime;
use files::{read_chain, read_key};
use memory::{Binding, Memory};
pub(crate) use subject::Subject;

/// What is read from a control connection at once.
const CONTROL_PIECE: usize = 4 << 10;

/// What is read from a data connection at once: rustls by itself asks the kernel for 4 KiB at a time.
const DATA_PIECE: usize = 64 << 10;

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
