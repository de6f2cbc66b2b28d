//! `longshore health`: the running server, as a client finds it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};

use super::operate::{AskArgs, line};
use super::print;
use crate::admin::{Client, Request};
use crate::sessions::Connection;

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most bytes of a greeting.
const GREETING_LIMIT: u64 = 16 << 10;

/// The arguments of `longshore health`.
#[derive(Debug, Clone, Args)]
pub struct HealthArgs {
    #[command(flatten)]
    ask: AskArgs,
    /// Check this address as any client would, without the admin socket; the check is on record then
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "socket")]
    address: Option<String>,
    /// It begins with TLS (implicit FTPS)
    #[arg(long, requires = "address")]
    tls: bool,
}

/// One address to check.
struct Target {
    address: SocketAddr,
    tls: bool,
}

/// `longshore health`.
pub fn health(args: &HealthArgs) -> anyhow::Result<()> {
    let checked = check(args);
    if args.ask.json {
        print(&line(&match &checked {
            Ok(addresses) => json!({ "healthy": true, "checked": addresses }),
            Err(error) => json!({ "healthy": false, "reason": format!("{error:#}") }),
        }))?;
    }
    let addresses = checked?;
    if args.ask.json {
        return Ok(());
    }
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    print(&format!("healthy: {}\n", addresses.join(", ")))
}

/// Checks every address of the server, and says which those are.
fn check(args: &HealthArgs) -> anyhow::Result<Vec<SocketAddr>> {
    let (client, targets) = match &args.address {
        Some(address) => (None, named(address, args.tls)?),
        None => match args.ask.client() {
            Ok(client) => {
                let listeners: Vec<Connection> = serde_json::from_value(client.ask(&Request::Listeners)?)?;
                let targets = listeners.iter().map(|row| Target::reached_at(row.local, row.tls));
                (Some(client), targets.filter(Target::has_an_address).collect())
            }
            // Nobody answers where the server was said to be.
            Err(why) if args.ask.names_a_socket() => return Err(why),
            Err(why) => {
                eprintln!("{why:#}; checking the address of the settings, which the session log will show");
                (None, of_settings(&args.ask)?)
            }
        },
    };
    if targets.is_empty() {
        bail!("the server listens for IPv6 only, and this machine has no address of it, not even ::1");
    }
    for target in &targets {
        let answered = target.check(client.as_ref());
        answered.with_context(|| format!("the server at {} does not answer as it should", target.address))?;
    }
    Ok(targets.into_iter().map(|target| target.address).collect())
}

fn named(address: &str, tls: bool) -> anyhow::Result<Vec<Target>> {
    let found = address.to_socket_addrs().with_context(|| format!("{address} is no HOST:PORT"))?.next();
    let address = found.with_context(|| format!("{address} has no address"))?;
    Ok(vec![Target { address, tls }])
}

fn of_settings(ask: &AskArgs) -> anyhow::Result<Vec<Target>> {
    let settings = ask.settings(&["server.listen", "tls.implicit"])?;
    let listen = settings.server.listen.first().map(|&address| Target::reached_at(address, false));
    match listen {
        Some(target) if target.address.port() != 0 => Ok(vec![target]),
        _ => bail!("the settings name no port to check; say it with --address HOST:PORT"),
    }
}

impl Target {
    /// Where this machine reaches a listener.
    fn reached_at(mut listener: SocketAddr, tls: bool) -> Self {
        if listener.ip().is_unspecified() {
            let v4 = IpAddr::from(Ipv4Addr::LOCALHOST);
            listener.set_ip(if listener.is_ipv4() { v4 } else { Ipv6Addr::LOCALHOST.into() });
        }
        Self { address: listener, tls }
    }

    /// Whether there is anything to come from: a container often has no address of IPv6, not even `::1`, and yet everything
    /// listens there.
    fn has_an_address(&self) -> bool {
        let bound = UdpSocket::bind((self.address.ip(), 0));
        bound.is_ok() || !self.address.ip().is_loopback()
    }

    /// Greeting and goodbye. The server is told before where the check comes from, so that it is no session.
    fn check(&self, client: Option<&Client>) -> anyhow::Result<()> {
        let socket = Socket::new(Domain::for_address(self.address), Type::STREAM, Some(Protocol::TCP))?;
        let mut announced = None;
        if let Some(client) = client {
            // This machine's own address, as long as the listener is.
            let mut own = self.address;
            own.set_port(0);
            socket.bind(&own.into())?;
            let from = socket.local_addr()?.as_socket().context("a socket without an address")?;
            announced = Some(client.ask_and_hold(&Request::Health { from })?);
        }
        socket.connect_timeout(&self.address.into(), PATIENCE).context("connecting")?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        // All that was said has been read: a reset leaves no TIME_WAIT entry behind in the netstat of a class.
        socket.set_linger(Some(Duration::ZERO))?;
        let stream = TcpStream::from(socket);
        if self.tls { talk(over_tls(stream)?) } else { talk(stream) }?;
        drop(announced);
        Ok(())
    }
}

fn talk(stream: impl Read + Write) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    expect(&mut stream, "220").context("the greeting")?;
    stream.get_mut().write_all(b"QUIT\r\n").context("saying QUIT")?;
    expect(&mut stream, "221").context("the goodbye")
}

/// Reads a reply to its last line.
fn expect(stream: &mut impl BufRead, code: &str) -> anyhow::Result<()> {
    let (mut lines, mut begun) = (stream.take(GREETING_LIMIT), false);
    loop {
        let mut line = Vec::new();
        lines.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            bail!("the connection was closed");
        }
        if !std::mem::replace(&mut begun, true) && !line.starts_with(code.as_bytes()) {
            bail!("it is {:?}", String::from_utf8_lossy(line.trim_ascii_end()));
        }
        if line.starts_with(code.as_bytes()) && line.get(code.len()) == Some(&b' ') {
            return Ok(());
        }
    }
}

fn over_tls(stream: TcpStream) -> anyhow::Result<impl Read + Write> {
    let config = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Any))
        .with_no_client_auth();
    let name = ServerName::from(stream.peer_addr()?.ip());
    let connection = ClientConnection::new(Arc::new(config), name)?;
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).context("the TLS handshake")?;
    }
    Ok(stream)
}

/// Takes any certificate: nothing secret is said, and that a certificate fits its name is for clients to judge.
#[derive(Debug)]
struct Any;

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_read_to_its_last_line() {
        let reads = |text: &str| expect(&mut text.as_bytes(), "220").map_err(|error| error.to_string());
        assert_eq!(reads("220-longshore\r\n says\r\n220 hello\r\n"), Ok(()));
        assert_eq!(reads("421 Too many.\r\n"), Err("it is \"421 Too many.\"".to_owned()));
        assert_eq!(reads("220-never ends\r\n"), Err("the connection was closed".to_owned()));
    }

    #[test]
    fn a_listener_everywhere_is_reached_at_home() {
        let at = |listener: &str| Target::reached_at(listener.parse().unwrap(), false).address.to_string();
        assert_eq!(at("0.0.0.0:21"), "127.0.0.1:21");
        assert_eq!(at("[::]:21"), "[::1]:21");
        assert_eq!(at("192.0.2.1:21"), "192.0.2.1:21");
    }
}
