//! The control connection as bytes: lines in, with Telnet's own bytes taken out (RFC 959, 3.3.1), replies out.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustls::pki_types::CertificateDer;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::TcpStream;
use tokio::task::coop::consume_budget;
use tokio::time::timeout;

use super::reply::Reply;
use crate::tls::Channel;

/// The longest command line in bytes: a path of the longest kind that Linux takes, and its verb.
pub(super) const LINE_LIMIT: usize = 4096;

/// How long a client may leave a reply unread.
const WRITE_LIMIT: Duration = Duration::from_secs(30);

/// Bytes of replies behind which no further command is read.
const UNSENT_LIMIT: usize = 64 << 10;

/// What is encrypted at once: the most that a TLS record holds.
const TLS_PIECE: usize = 16 << 10;

/// What a closing connection still reads, so that its last reply is not wiped out by a reset.
const LAST_READ_LIMIT: (Duration, u64) = (Duration::from_secs(1), 1 << 20);

/// What comes in on a control connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// A command line without its line end.
    Line(Vec<u8>),
    /// More than [`LINE_LIMIT`] bytes without a line end. Nothing sensible can follow.
    TooLong,
    /// The client has closed its side.
    End,
}

/// A control connection.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    tls: Option<Channel>,
    raw: Vec<u8>,
    read: usize,
    decoder: Decoder,
    /// Replies that the client has not taken yet.
    unsent: Vec<u8>,
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, tls: None, raw: Vec::new(), read: 0, decoder: Decoder::default(), unsent: Vec::new() }
    }

    /// The socket, for a TLS handshake between two lines.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether the client has closed the connection, or its side of it, behind what was read; or does so within `patience`,
    /// which counts in milliseconds.
    pub async fn is_abandoned(&self, patience: Duration) -> bool {
        if patience.as_millis() > 0 {
            // What comes is looked at below.
            let _ = timeout(patience, self.stream.readable()).await;
        }
        let peeked = recv(&self.stream, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        self.read == self.raw.len() && matches!(peeked, Ok((0, _)) | Err(Errno::CONNRESET | Errno::TIMEDOUT))
    }

    /// Goes on encrypted. What has come in clear and was not asked for yet is thrown away: somebody between client and
    /// server could have put it there, and it would pass for the client's own.
    pub fn encrypt(&mut self, channel: Channel) {
        self.raw.clear();
        self.read = 0;
        self.decoder = Decoder::default();
        self.tls = Some(channel);
    }

    /// Whether what is sent and read is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// The certificate that the client has shown.
    pub fn client_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.tls.as_ref()?.client_certificate()
    }

    /// The next line; meanwhile, queued replies go out. Dropping the call loses nothing.
    pub async fn line(&mut self) -> io::Result<Incoming> {
        loop {
            // Nothing below gives way while a client keeps on sending: without this, one flood takes its thread, and
            // with it the reactor and the clock, from everybody else.
            consume_budget().await;
            while self.read < self.raw.len() {
                let byte = self.raw[self.read];
                self.read += 1;
                if let Some(incoming) = self.decoder.take(byte) {
                    return Ok(incoming);
                }
            }
            // A client that says nothing costs no memory for what it might say.
            (self.raw, self.read) = (Vec::new(), 0);
            // What rustls has read already is there without the socket being ready.
            if self.tls.is_some() {
                self.write_some()?;
                self.raw.reserve_exact(LINE_LIMIT);
                match self.read_encrypted() {
                    Ok(0) => return Ok(Incoming::End),
                    Ok(_) => continue,
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                    Err(_) => self.raw = Vec::new(),
                }
            }
            let interest = match self.unsent.len() {
                0 if !self.has_unsent() => Interest::READABLE,
                0..UNSENT_LIMIT => Interest::READABLE | Interest::WRITABLE,
                _ => Interest::WRITABLE,
            };
            let ready = self.stream.ready(interest).await?;
            if ready.is_writable() {
                self.write_some()?;
            }
            // A read ends early at Telnet's urgent byte, and tokio's `read_buf` takes a short read for the last one
            // until more arrives; `try_read_buf` reads on until the socket says that it is empty.
            if ready.is_readable() && self.tls.is_none() && self.unsent.len() < UNSENT_LIMIT {
                self.raw.reserve_exact(LINE_LIMIT);
                match self.stream.try_read_buf(&mut self.raw) {
                    Ok(0) => return Ok(Incoming::End),
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                    _ => {}
                }
            }
        }
    }

    /// Puts a reply into the queue; [`Wire::line`] and [`Wire::flush`] send it.
    pub fn queue(&mut self, reply: &Reply) {
        self.unsent.extend_from_slice(&reply.to_bytes());
    }

    /// Sends what is queued. A client that takes nothing of it for [`WRITE_LIMIT`] has left.
    pub async fn flush(&mut self) -> io::Result<()> {
        self.write_some()?;
        while self.has_unsent() {
            timeout(WRITE_LIMIT, self.stream.writable()).await??;
            self.write_some()?;
        }
        Ok(())
    }

    fn has_unsent(&self) -> bool {
        !self.unsent.is_empty() || self.tls.as_ref().is_some_and(Channel::has_unsent)
    }

    /// Reads what has come over TLS; 0 at the end, an abrupt one too.
    fn read_encrypted(&mut self) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) if self.unsent.len() < UNSENT_LIMIT => match tls.read(&self.stream, &mut self.raw) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                result => result,
            },
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn write_some(&mut self) -> io::Result<()> {
        match self.write_what_fits() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            result => result,
        }
    }

    fn write_what_fits(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.flush(&self.stream)?;
            while !self.unsent.is_empty() {
                let piece = self.unsent.len().min(TLS_PIECE);
                tls.write(&self.unsent[..piece])?;
                self.unsent.drain(..piece);
                tls.flush(&self.stream)?;
            }
        }
        while !self.unsent.is_empty() {
            let sent = self.stream.try_write(&self.unsent)?;
            self.unsent.drain(..sent);
        }
        self.unsent = Vec::new();
        Ok(())
    }

    /// Closes the connection so that the client can read what was said last.
    pub async fn close(mut self) {
        let (time, bytes) = LAST_READ_LIMIT;
        // Whatever goes wrong here, the connection is over.
        if let Some(tls) = &mut self.tls {
            tls.close_notify();
            let _ = self.write_some();
        }
        let _ = SockRef::from(&self.stream).shutdown(Shutdown::Write);
        let rest = async { tokio::io::copy(&mut (&mut self.stream).take(bytes), &mut tokio::io::sink()).await };
        let _ = timeout(time, rest).await;
    }
}

/// Lines out of bytes. Text ends with LF; CR LF is the rule, and CR NUL is Telnet's way to write a CR that is text.
#[derive(Debug, Default)]
struct Decoder {
    line: Vec<u8>,
    /// Bytes since the last line end, Telnet's included, so that those are bounded too.
    taken: usize,
    held_cr: bool,
    telnet: Telnet,
}

#[derive(Debug, Default, Clone, Copy)]
enum Telnet {
    #[default]
    Text,
    /// Behind IAC.
    Command,
    /// Behind IAC WILL, WONT, DO or DONT.
    Option,
    /// Between IAC SB and IAC SE.
    Subnegotiation,
    /// Behind an IAC in there.
    SubnegotiationCommand,
}

const IAC: u8 = 255;
const SB: u8 = 250;
const SE: u8 = 240;

impl Decoder {
    fn take(&mut self, byte: u8) -> Option<Incoming> {
        self.taken += 1;
        if self.taken > LINE_LIMIT {
            *self = Self::default();
            return Some(Incoming::TooLong);
        }
        self.telnet = match (self.telnet, byte) {
            (Telnet::Text, IAC) => Telnet::Command,
            (Telnet::Text, _) => return self.text(byte),
            // An escaped 255 is text.
            (Telnet::Command, IAC) => {
                self.telnet = Telnet::Text;
                return self.text(IAC);
            }
            (Telnet::Command, SB) => Telnet::Subnegotiation,
            (Telnet::Command, 251..=254) => Telnet::Option,
            // IP, DM and their like ask for what the ABOR behind them says.
            (Telnet::Command, SE..) => Telnet::Text,
            // No Telnet command at all: a client that does not escape 255 in a name.
            (Telnet::Command, _) => {
                self.telnet = Telnet::Text;
                return self.text(IAC).or_else(|| self.text(byte));
            }
            (Telnet::Option, _) | (Telnet::SubnegotiationCommand, SE) => Telnet::Text,
            (Telnet::Subnegotiation, IAC) => Telnet::SubnegotiationCommand,
            (Telnet::Subnegotiation | Telnet::SubnegotiationCommand, _) => Telnet::Subnegotiation,
        };
        None
    }

    fn text(&mut self, byte: u8) -> Option<Incoming> {
        match (std::mem::take(&mut self.held_cr), byte) {
            (_, b'\n') => {
                self.taken = 0;
                return Some(Incoming::Line(std::mem::take(&mut self.line)));
            }
            (true, 0) => self.line.push(b'\r'),
            (held, _) => {
                if held {
                    self.line.push(b'\r');
                }
                self.held_cr = byte == b'\r';
                if !self.held_cr {
                    self.line.push(byte);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// What Telnet puts into a stream, with bytes in it that are no text's.
    const COMMANDS: &[&[u8]] = &[b"\xff\xf1", b"\xff\xfb\n", b"\xff\xfa\n\xff\xff\xff\xf0"];

    fn lines(bytes: &[u8]) -> Vec<Incoming> {
        let mut decoder = Decoder::default();
        bytes.iter().filter_map(|&byte| decoder.take(byte)).collect()
    }

    fn one_line(bytes: &[u8], line: &[u8]) {
        assert_eq!(lines(bytes), [Incoming::Line(line.to_vec())], "{bytes:?}");
    }

    #[test]
    fn a_line_ends_with_lf_and_its_cr_goes_too() {
        assert_eq!(lines(b"NOOP\r\nPWD\nQ"), [Incoming::Line(b"NOOP".into()), Incoming::Line(b"PWD".into())]);
    }

    #[test]
    fn a_cr_in_a_name_comes_as_cr_nul_or_alone() {
        one_line(b"DELE a\r\0b\r\n", b"DELE a\rb");
        one_line(b"DELE a\rb\r\n", b"DELE a\rb");
        one_line(b"DELE a\r\r\n", b"DELE a\r");
    }

    #[test]
    fn telnet_commands_are_no_text() {
        one_line(b"\xff\xf4\xff\xf2ABOR\r\n", b"ABOR");
        one_line(b"\xff\xfd\x01NO\xff\xf1OP\r\n", b"NOOP");
        one_line(b"\xff\xfaX\xff\xffY\xff\xf0NOOP\r\n", b"NOOP");
    }

    #[test]
    fn byte_255_is_text_when_escaped_or_not_a_command() {
        one_line(b"DELE \xff\xff\r\n", b"DELE \xff");
        one_line(b"DELE \xffz\r\n", b"DELE \xffz");
        one_line(b"DELE \xff\r\n", b"DELE \xff");
    }

    #[test]
    fn a_line_has_a_limit_and_so_has_telnet_s_share() {
        let fits = [vec![b'a'; LINE_LIMIT - 1], b"\n".to_vec()].concat();
        one_line(&fits, &fits[..LINE_LIMIT - 1]);
        assert_eq!(lines(&vec![b'a'; LINE_LIMIT + 1]), [Incoming::TooLong]);
        assert_eq!(lines(&b"\xff\xf1".repeat(LINE_LIMIT / 2 + 1)), [Incoming::TooLong]);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_make_lines_below_the_limit_and_leave_no_more_behind(
            // In runs, some of them longer than a line.
            runs in vec((select(b"\n\r\0a\xf0\xf1\xfa\xfb\xff"), prop_oneof![1..3usize, 1..3000usize]), 0..40),
        ) {
            let mut decoder = Decoder::default();
            for byte in runs.into_iter().flat_map(|(byte, length)| std::iter::repeat_n(byte, length)) {
                if let Some(Incoming::Line(line)) = decoder.take(byte) {
                    prop_assert!(line.len() < LINE_LIMIT && !line.contains(&b'\n'));
                }
                prop_assert!(decoder.line.len() <= LINE_LIMIT);
            }
        }

        #[test]
        fn any_text_comes_back_from_its_telnet_form(
            text in vec((0..=255u8).prop_filter("ends a line", |byte| *byte != b'\n'), 0..1000),
            commands in vec((0..1000usize, select(COMMANDS)), 0..9),
        ) {
            let mut sent = Vec::new();
            for (index, byte) in text.iter().enumerate() {
                // Between two characters; CR NUL and an escaped 255 are one.
                commands.iter().filter(|(at, _)| *at == index).for_each(|(_, command)| sent.extend_from_slice(command));
                sent.extend_from_slice(match byte {
                    b'\r' => b"\r\0",
                    &IAC => b"\xff\xff",
                    byte => std::slice::from_ref(byte),
                });
            }
            sent.extend_from_slice(b"\r\n");
            prop_assert_eq!(lines(&sent), [Incoming::Line(text)]);
        }
    }
}
