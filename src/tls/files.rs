//! Certificates and keys as they are read from files.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;

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
pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
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
pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| format!("is no PEM file: {error}; write the certificate as PEM"))?;
    match found.is_empty() {
        true => Err("has no certificate in it; name a PEM file with BEGIN CERTIFICATE".to_owned()),
        false => Ok(found),
    }
}

/// The first private key of a PEM file.
pub(super) fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
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
