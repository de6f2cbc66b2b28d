//! Clients that show a certificate: asked for, required, and in the place of a password.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::fixture::{Builder, LONGSHORE, Server};

pub const LOGIN: &[&str] = &["certificate_login = true"];

/// Issuers of certificates, and clients with certificates of theirs, as PEM files beside the server.
struct Issuer(CertifiedIssuer<'static, KeyPair>);

impl Issuer {
    fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    /// Certificate and key of a client in one file.
    fn client(&self, name: &str) -> String {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        parameters.signed_by(&key, &self.0).unwrap().pem() + &key.serialize_pem()
    }
}

/// A server that knows one issuer and `alice`, whose certificate is CN=alice, and `bob`, who has none.
pub fn server(mode: &str, lines: &[&str]) -> Server {
    let (ours, strange) = (Issuer::new("ours"), Issuer::new("strange"));
    let builder: Builder = Server::builder().anonymous("off").file("a", "contents").limits("login_delay_max = 0");
    let put = |name: &str, text: &str| fs::write(builder.beside(name), text).unwrap();
    put("ca.pem", &ours.0.pem());
    put("strange-ca.pem", &strange.0.pem());
    put("alice.pem", &ours.client("alice"));
    put("eve.pem", &ours.client("eve"));
    put("forged.pem", &strange.client("alice"));
    let mode = format!("client_certificates = {mode:?}");
    let ca = format!("client_ca = {:?}", builder.beside("ca.pem"));
    builder
        .account_with("alice", "pw", "client_certificate = \"CN=alice\"")
        .account("bob", "pw")
        .tls(&[&[mode.as_str(), &ca], lines].concat())
        .start()
}

/// What curl says when it downloads the file as `user` with the certificate `shown`, if any.
fn curl(server: &Server, user: &str, shown: &str, extra: &[&str]) -> Output {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--verbose", "--max-time", "30", "--ssl-reqd", "--cacert"]);
    command.arg(server.beside("certificate.pem"));
    if !shown.is_empty() {
        command.arg("--cert").arg(path(server, shown));
    }
    command.args(extra).arg(format!("ftp://{user}@{}/a", server.address())).output().unwrap()
}

fn path(server: &Server, name: &str) -> PathBuf {
    server.beside(&format!("{name}.pem"))
}

fn is_served(server: &Server, user: &str, shown: &str) -> bool {
    ["1.2", "1.3"].map(|version| {
        let output = curl(server, user, shown, &["--tls-max", version]);
        assert!(output.status.success() == (output.stdout == b"contents"), "{output:?}");
        output.status.success()
    }) == [true; 2]
}

#[test]
fn a_named_certificate_is_needed_beside_the_password() {
    let server = server("request", &["require_resumption = true"]);
    for (user, shown, served) in [
        ("alice:pw", "alice", true),
        ("alice:pw", "", false),
        ("alice:pw", "eve", false),
        ("alice:wrong", "alice", false),
        ("bob:pw", "", true),
        ("bob:pw", "eve", true),
        ("bob:pw", "forged", false),
    ] {
        assert_eq!(is_served(&server, user, shown), served, "{user} {shown}");
    }
    server.event_where("login", |event| event["user"] == "alice" && event["outcome"] == "no_certificate");
    server.event_where("tls_failed", |event| event["reason"].as_str().unwrap().contains("UnknownIssuer"));
}

#[test]
fn lftp_logs_in_by_certificate() {
    let server = server("require", LOGIN);
    let (certificate, ca) = (path(&server, "alice"), server.beside("certificate.pem"));
    let (certificate, ca) = (certificate.display(), ca.display());
    let script = format!(
        "set cmd:fail-exit yes; set net:max-retries 1; set ftp:ssl-force yes; set ftp:ssl-protect-data yes; \
         set ssl:ca-file {ca}; set ssl:cert-file {certificate}; set ssl:key-file {certificate}; \
         open -u alice,wrong {}; cat a",
        server.address()
    );
    match Command::new("lftp").args(["--norc", "-c", &script]).env("HOME", server.beside("")).output() {
        Ok(output) => assert!(output.stdout == b"contents", "{output:?}"),
        Err(error) => println!("lftp does not run ({error}): nothing was shown"),
    }
}

#[test]
fn required_means_that_nobody_shakes_hands_without() {
    let server = server("require", &[]);
    assert!(is_served(&server, "bob:pw", "alice"));
    assert!(!is_served(&server, "bob:pw", ""));
    assert!(!is_served(&server, "bob:pw", "forged"));
}

#[test]
fn a_certificate_stands_for_the_password_of_the_account_that_names_it() {
    let server = server("request", LOGIN);
    let output = curl(&server, "alice:wrong", "alice", &[]);
    assert!(output.stdout == b"contents", "{output:?}");
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(talk.contains("< 232 Welcome, alice.") && !talk.contains("> PASS"), "{talk}");
    for (user, shown, served) in [
        ("alice:pw", "eve", false),
        ("alice:pw", "", false),
        ("bob:wrong", "alice", false),
        ("bob:pw", "alice", true),
        ("nobody:pw", "alice", false),
    ] {
        assert_eq!(is_served(&server, user, shown), served, "{user} {shown}");
    }
}

#[test]
fn issuers_are_read_again_and_nothing_is_resumed_across_that() {
    let server = server("request", LOGIN);
    assert!(is_served(&server, "alice:wrong", "alice"));
    fs::write(path(&server, "ca"), "no certificate").unwrap();
    assert!(is_served(&server, "alice:wrong", "alice"), "the issuers read before stay in force");
    fs::copy(path(&server, "strange-ca"), path(&server, "ca")).unwrap();
    assert!(!is_served(&server, "alice:wrong", "alice"));
    assert!(is_served(&server, "alice:wrong", "forged"), "which now is good");
}

#[test]
fn openssl_shows_a_certificate_and_is_turned_away_without() {
    let server = server("require", LOGIN);
    for (shown, served) in [("alice", true), ("forged", false), ("", false)] {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-starttls", "ftp", "-crlf", "-ign_eof", "-connect", &server.address().to_string()]);
        if !shown.is_empty() {
            command.arg("-cert").arg(path(&server, shown)).arg("-key").arg(path(&server, shown));
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // One that is turned away may have closed its input.
        let _ = child.stdin.take().unwrap().write_all(b"USER alice\nPWD\nQUIT\n");
        let said = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&said.stdout);
        assert_eq!(said.contains("\n257 ") && said.contains("\n221 "), served, "{shown}: {said}");
    }
}

#[test]
fn an_account_that_names_one_where_none_are_asked_for_is_refused_at_the_start_and_by_check() {
    let server = Server::builder().account("alice", "pw").tls(&[]).start();
    let (config, accounts) = (server.beside("longshore.toml"), server.beside("accounts.toml"));
    let text = fs::read_to_string(&accounts).unwrap();
    // `longshore user` does not write what the next start would refuse.
    let mut set = Command::new(LONGSHORE);
    set.args(["user", "set", "alice", "--client-certificate", "CN=alice", "--config"]).arg(&config);
    let refused = set.output().unwrap();
    assert_eq!(refused.status.code(), Some(78), "{refused:?}");
    assert_eq!(fs::read_to_string(&accounts).unwrap(), text);
    fs::write(&accounts, text.replace("name = \"alice\"", "name = \"alice\"\nclient_certificate = \"CN=alice\""))
        .unwrap();
    for command in ["check", "serve"] {
        let output = Command::new(LONGSHORE).args([command, "--config"]).arg(&config).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains("accounts.toml:5: user.client_certificate = \"CN=alice\" is not allowed"), "{said}");
        assert!(said.contains("set tls.client_certificates to \"request\""), "{said}");
    }
}
