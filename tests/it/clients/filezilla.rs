//! FileZilla, on a screen of its own. It needs the session of its control connection on every data connection.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::parse_x509_certificate;

use super::{PASSWORD, USER, client};
use crate::fixture::{Server, poll};

/// Settings in which it asks nothing.
const SETTINGS: &str = "<?xml version=\"1.0\"?>\n<FileZilla3><Settings><Setting name=\"Update Check\">0</Setting>\
                        <Setting name=\"Greeting version\">99.0.0</Setting></Settings></FileZilla3>\n";

/// A certificate that it was told to trust at this server.
fn trusted(certificate: &[u8], server: &Server) -> String {
    let (_, parsed) = parse_x509_certificate(certificate).unwrap();
    let (begin, end) = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
    let data = certificate.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    });
    format!(
        "<?xml version=\"1.0\"?>\n<FileZilla3><TrustedCerts><Certificate><Data>{data}</Data>\
         <ActivationTime>{begin}</ActivationTime><ExpirationTime>{end}</ExpirationTime><Host>{}</Host><Port>{}</Port>\
         <TrustSANs>0</TrustSANs></Certificate></TrustedCerts></FileZilla3>\n",
        server.address().ip(),
        server.address().port()
    )
}

#[test]
fn filezilla_lists_with_the_session_of_its_control_connection() {
    let (Some(client), Some(_)) = (client("filezilla"), client("xvfb-run")) else { return };
    let strict = ["control = \"required\"", "data = \"required\"", "require_resumption = true"];
    let server = Server::builder().anonymous("off").account(USER, PASSWORD).file("a", "a").tls(&strict).start();
    let certificate = CertificateDer::from_pem_file(server.beside("certificate.pem")).unwrap();
    client.write(".config/filezilla/filezilla.xml", SETTINGS);
    client.write(".config/filezilla/trustedcerts.xml", trusted(&certificate, &server));
    let mut command = client.sibling("xvfb-run");
    command.args(["--auto-servernum", "filezilla", &format!("ftpes://{USER}:{PASSWORD}@{}/", server.address())]);
    let output = fs::File::create(client.path("output")).unwrap();
    command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).process_group(0);
    let mut child = command.spawn().unwrap();
    // A screen and a window take their time on a busy machine.
    let listing = || server.events().into_iter().find(|event| event["verb"] == "MLSD" && event["event"] == "transfer");
    let listed = (0..6).find_map(|_| poll(listing));
    // It stays until somebody closes it.
    kill_process_group(Pid::from_child(&child), Signal::TERM).unwrap();
    child.wait().unwrap();
    let said = fs::read_to_string(client.path("output")).unwrap();
    let listed = listed.unwrap_or_else(|| panic!("{said}"));
    assert_eq!(listed["outcome"], "complete", "{said}");
    let resumed = |event: &serde_json::Value| event["client"] == listed["client"] && event["resumed"] == true;
    server.event_where("tls_opened", resumed);
}
