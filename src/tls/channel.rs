//! TLS over a socket.
//!
//! It drives rustls itself on the non-blocking socket instead of through tokio-rustls: control reads and writes at the same
//! time and may drop either call, and data measures how long nothing moved.

use std::io::{self, BufRead, IoSlice, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection};
use tokio::net::TcpStream;
use tokio::task::coop::consume_budget;
use tokio::time::timeout;

use super::memory::Binding;

/// How long a client may take for its handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

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
    pub(super) async fn accept(
        stream: &TcpStream,
        config: ServerConfig,
        binding: Arc<Binding>,
        piece: usize,
    ) -> io::Result<Self> {
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
