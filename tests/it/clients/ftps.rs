//! Clients over TLS: curl, lftp, Python's ftplib and OpenSSL's own.

use std::path::PathBuf;

use super::{PASSWORD, USER, client};
use crate::fixture::{Server, noise};

/// A server that takes nothing in clear, and what it serves.
fn strict(lines: &[&str]) -> (Server, Vec<u8>) {
    let big = noise(2_000_003, 5);
    let lines = [&["control = \"required\"", "data = \"required\""], lines].concat();
    let server = Server::builder().anonymous("off").account(USER, PASSWORD).file("big.bin", &big).tls(&lines);
    (server.implicit().start(), big)
}

fn certificate(server: &Server) -> PathBuf {
    server.beside("certificate.pem")
}

fn resumed(server: &Server) -> usize {
    server.events_of_ended().iter().filter(|event| event["event"] == "tls_opened" && event["resumed"] == true).count()
}

/// Downloads, a listing, and this many uploads in one session.
fn curl(lines: &[&str], extra: &[&str], uploads: usize) {
    let Some(client) = client("curl") else { return };
    let (server, big) = strict(lines);
    client.write("up.bin", &big);
    for (scheme, address) in [("ftp", server.address()), ("ftps", server.implicit())] {
        let url = format!("{scheme}://{USER}:{PASSWORD}@{address}");
        let run = |args: &[&str]| {
            let mut command = client.command();
            command.args(["--silent", "--show-error", "--verbose", "--max-time", "30", "--ssl-reqd", "--cacert"]);
            client.run(command.arg(certificate(&server)).args(extra).args(args), "")
        };
        run(&[&format!("{url}/big.bin"), "-o", "big.bin", &format!("{url}/"), "-o", "listing.txt"]);
        assert!(client.read("big.bin") == big);
        assert!(String::from_utf8(client.read("listing.txt")).unwrap().contains("big.bin"));
        let names: Vec<_> = (0..uploads).map(|number| format!("up-{scheme}-{number}.bin")).collect();
        let urls: Vec<_> = names.iter().map(|name| format!("{url}/{name}")).collect();
        run(&urls.iter().flat_map(|url| ["-T", "up.bin", url.as_str()]).collect::<Vec<_>>());
        assert!(names.iter().all(|name| server.read(name) == big));
    }
}

#[test]
fn curl_over_tls() {
    curl(&[], &[], 2);
}

#[test]
fn curl_over_tls_1_2() {
    curl(&["require_resumption = true"], &["--tls-max", "1.2"], 2);
}

#[test]
fn curl_resumes_on_data_connections() {
    // Its OpenSSL presents a ticket of TLS 1.3 only once, and an upload brings no other.
    curl(&["require_resumption = true"], &[], 1);
}

#[test]
fn lftp_over_tls() {
    let Some(client) = client("lftp") else { return };
    let (server, big) = strict(&[]);
    client.write("up.bin", &big);
    let script = format!(
        "set cmd:fail-exit yes\nset net:max-retries 2\nset net:timeout 10\nset ftp:ssl-force yes\n\
         set ftp:ssl-protect-data yes\nset ssl:check-hostname no\nset ssl:ca-file {}\n\
         open -u {USER},{PASSWORD} -p {} 127.0.0.1\nls > listing.txt\nget big.bin\nput up.bin\nmkdir made\n\
         mirror -R . made\nbye\n",
        certificate(&server).display(),
        server.address().port()
    );
    client.run(client.command().args(["-f", ".script"]), &script);
    assert!(client.read("big.bin") == big);
    assert!(server.read("up.bin") == big);
    assert!(server.read("made/up.bin") == big);
    assert!(String::from_utf8(client.read("listing.txt")).unwrap().contains("big.bin"));
}

/// It presents the one session of its control connection again and again, as FileZilla does.
const PROGRAM: &str = r#"
import ftplib, ssl, sys
host, port, user, password, certificate, version, mode = sys.argv[1:]
class Reusing(ftplib.FTP_TLS):
    def ntransfercmd(self, cmd, rest=None):
        conn, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if self._prot_p:
            conn = self.context.wrap_socket(conn, server_hostname=self.host, session=self.sock.session)
            assert conn.session_reused
        return conn, size
context = ssl.create_default_context(cafile=certificate)
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
ftp = Reusing(context=context, timeout=10)
ftp.set_debuglevel(1)
ftp.set_pasv(mode == "passive")
ftp.connect(host, int(port))
ftp.login(user, password)
ftp.prot_p()
for _ in range(5):
    parts = []
    ftp.retrbinary("RETR big.bin", parts.append)
    assert len(b"".join(parts)) == 2000003
    assert "big.bin" in ftp.nlst()
open("big.bin", "wb").write(b"".join(parts))
with open("big.bin", "rb") as file:
    ftp.storbinary("STOR up.bin", file)
print(ftp.quit())
"#;

#[test]
fn ftplib_over_tls_presents_one_ticket_again_and_again() {
    let Some(client) = client("python3") else { return };
    let (server, big) = strict(&["require_resumption = true"]);
    client.write("program.py", PROGRAM);
    for (version, mode) in [("TLSv1_2", "passive"), ("TLSv1_3", "passive"), ("TLSv1_3", "active")] {
        let before = resumed(&server);
        let mut command = client.command();
        command.args(["program.py", "127.0.0.1", &server.address().port().to_string(), USER, PASSWORD]);
        client.run(command.arg(certificate(&server)).args([version, mode]), "");
        assert!(server.read("up.bin") == big);
        assert_eq!(resumed(&server) - before, 11);
    }
}

#[test]
fn openssl_verifies_the_certificate_and_talks() {
    let Some(client) = client("openssl") else { return };
    let (server, _) = strict(&[]);
    for (address, starttls) in [(server.address(), &["-starttls", "ftp"][..]), (server.implicit(), &[])] {
        let mut command = client.command();
        command.args(["s_client", "-connect", &address.to_string(), "-verify_return_error", "-crlf", "-CAfile"]);
        command.arg(certificate(&server)).args(["-verify_ip", "127.0.0.1", "-ign_eof"]).args(starttls);
        let said = client.run(&mut command, "NOOP\nQUIT\n");
        assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
        assert!(said.contains("221 Goodbye"), "{said}");
    }
}
