//! Which certificates of clients are good.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::Wrong;
use super::files::read_certificates;
use crate::settings::{ClientCertificates, TlsSettings};

/// What checks the certificates of clients against those of `tls.client_ca`.
pub(super) fn verifier(
    settings: &TlsSettings,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Wrong> {
    let ca = match (settings.client_certificates, &settings.client_ca) {
        (ClientCertificates::Off, _) => return Ok(WebPkiClientVerifier::no_client_auth()),
        (_, None) => return Err(("tls.client_ca", "names no file; name a PEM file with the issuers".to_owned())),
        (_, Some(ca)) => ca,
    };
    let wrong = |text| ("tls.client_ca", text);
    let roots = Arc::new(read_roots(ca).map_err(wrong)?);
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
    if settings.client_certificates == ClientCertificates::Request {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|error| wrong(format!("cannot be used: {error}; name the issuers of the clients")))
}

fn read_roots(ca: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(ca)? {
        let added = roots.add(certificate);
        added.map_err(|error| format!("has a certificate that cannot be used: {error}; take it out"))?;
    }
    Ok(roots)
}
