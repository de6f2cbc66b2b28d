//! One small FTP client for every server: blocking sockets, large buffers, nothing between it and the kernel.
//!
//! It must never be the slower end. Downloads can therefore be discarded inside the kernel (`MSG_TRUNC`), and
//! every command is one write on a socket with `TCP_NODELAY`. Over TLS that cannot be had: the client decrypts what the
//! server encrypts, on the other core.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::net::{RecvFlags, recv};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// Set by SIGINT and SIGTERM: whatever runs gives up at its next step, so that all is cleaned up on the way out.
pub static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// No server may hold the benchmark up for longer than this.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes asked for at a time from a data connection. Larger ones fall out of the CPU's cache and are slower.
const PIECE: usize = 256 * 1024;

/// Fails once the user wants to stop.
pub fn go_on() -> Result<()> {
    ensure!(!INTERRUPTED.load(Ordering::Relaxed), "interrupted");
    Ok(())
}

/// A connection, encrypted or not.
enum Channel {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Channel {
    /// Has the server shake hands, where the session is encrypted.
    fn over(stream: TcpStream, tls: Option<&Arc<ClientConfig>>) -> Result<Self> {
        let Some(config) = tls else { return Ok(Self::Clear(stream)) };
        let connection = ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost")?)?;
        let mut tls = StreamOwned::new(connection, stream);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock).context("TLS handshake")?;
        }
        Ok(Self::Tls(Box::new(tls)))
    }

    /// Throws away what comes: how many bytes were taken, 0 at the end.
    fn discard(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            // For TCP, MSG_TRUNC means: take the bytes off the queue and copy none of them.
            Self::Clear(stream) => Ok(recv(&*stream, buffer, RecvFlags::TRUNC)?.1),
            Self::Tls(_) => Ok(self.read(buffer)?),
        }
    }

    /// Says that nothing follows.
    fn end(&mut self) -> Result<()> {
        let socket = match self {
            Self::Clear(stream) => stream,
            Self::Tls(tls) => {
                tls.conn.send_close_notify();
                tls.flush()?;
                &mut tls.sock
            }
        };
        Ok(socket.shutdown(Shutdown::Write)?)
    }
}

impl Read for Channel {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.read(buffer),
            // Some servers end without close_notify; how many bytes came is checked.
            Self::Tls(tls) => match tls.read(buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(0),
                result => result,
            },
        }
    }
}

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Clear(stream) => stream.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// One logged-in control connection.
pub struct Session {
    control: BufReader<Channel>,
    /// What control and data connections are encrypted with.
    tls: Option<Arc<ClientConfig>>,
    line: String,
    buffer: Vec<u8>,
}

impl Session {
    /// Connects and logs in as `anonymous`, in binary mode.
    pub fn login(server: SocketAddr) -> Result<Self> {
        Self::login_over(server, None)
    }

    /// The same, with everything encrypted where `tls` says how.
    pub fn login_over(server: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Result<Self> {
        let control = BufReader::new(Channel::Clear(connect(server)?));
        let mut session = Self { control, tls: None, line: String::new(), buffer: Vec::new() };
        session.expect(220).context("greeting")?;
        if tls.is_some() {
            session.ask("AUTH TLS", 234)?;
            let Channel::Clear(stream) = session.control.into_inner() else { bail!("it is encrypted already") };
            let control = BufReader::new(Channel::over(stream, tls)?);
            session = Self { control, tls: tls.cloned(), ..session };
            session.ask("PBSZ 0", 200)?;
            session.ask("PROT P", 200)?;
        }
        session.send("USER anonymous")?;
        match session.reply()? {
            230 => {}
            331 => session.ask("PASS bench@example.org", 230)?,
            _ => bail!("USER was answered {:?}", session.line.trim_end()),
        }
        session.ask("TYPE I", 200)?;
        Ok(session)
    }

    /// Says goodbye and waits for the answer.
    pub fn quit(mut self) -> Result<()> {
        self.ask("QUIT", 221)
    }

    /// Sends one command and reads its one reply, which must have this code.
    pub fn ask(&mut self, command: &str, code: u16) -> Result<()> {
        self.send(command)?;
        self.expect(code).with_context(|| command.to_owned())
    }

    /// `RETR`: returns how many bytes came, having thrown them away.
    pub fn discard(&mut self, path: &str) -> Result<u64> {
        self.receive(&format!("RETR {path}"), |data, buffer| {
            let mut total = 0;
            loop {
                go_on()?;
                let taken = data.discard(buffer)?;
                if taken == 0 {
                    return Ok(total);
                }
                total += taken as u64;
            }
        })
    }

    /// `RETR` or a listing: every piece that comes goes to `sink`. Returns how many bytes came.
    pub fn read(&mut self, command: &str, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<u64> {
        self.receive(command, |data, buffer| {
            let mut total = 0;
            loop {
                go_on()?;
                let taken = data.read(buffer)?;
                if taken == 0 {
                    return Ok(total);
                }
                sink(&buffer[..taken])?;
                total += taken as u64;
            }
        })
    }

    /// `STOR`: sends `block` over and over until `size` bytes are on their way.
    pub fn store(&mut self, path: &str, block: &[u8], size: u64) -> Result<()> {
        let data = self.open_data()?;
        self.transfer(&format!("STOR {path}"))?;
        let mut data = Channel::over(data, self.tls.as_ref())?;
        let mut left = size;
        while left > 0 {
            go_on()?;
            let piece = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
            data.write_all(&block[..piece]).with_context(|| format!("STOR {path}"))?;
            left -= piece as u64;
        }
        // The end of the file is the end of the stream; the server must have seen it before it answers.
        data.end()?;
        self.expect(226)
    }

    /// One transfer towards us: PASV, connect, command, 150, the data to its end, 226.
    fn receive(&mut self, command: &str, drain: impl FnOnce(&mut Channel, &mut [u8]) -> Result<u64>) -> Result<u64> {
        let data = self.open_data()?;
        self.transfer(command)?;
        let mut data = Channel::over(data, self.tls.as_ref())?;
        self.buffer.resize(PIECE, 0);
        let total = drain(&mut data, &mut self.buffer).with_context(|| command.to_owned())?;
        drop(data);
        self.expect(226)?;
        Ok(total)
    }

    /// Sends a transfer's command and reads the reply that begins it.
    fn transfer(&mut self, command: &str) -> Result<()> {
        self.send(command)?;
        match self.reply()? {
            125 | 150 => Ok(()),
            _ => bail!("{command} was answered {:?}", self.line.trim_end()),
        }
    }

    /// PASV and the connection that it invites to.
    fn open_data(&mut self) -> Result<TcpStream> {
        self.ask("PASV", 227)?;
        connect(parse_pasv(&self.line).with_context(|| format!("no address in {:?}", self.line))?)
    }

    fn send(&mut self, command: &str) -> Result<()> {
        let control = self.control.get_mut();
        control.write_all(format!("{command}\r\n").as_bytes()).with_context(|| command.to_owned())
    }

    fn expect(&mut self, code: u16) -> Result<()> {
        let got = self.reply()?;
        ensure!(got == code, "expected {code}, the server said {:?}", self.line.trim_end());
        Ok(())
    }

    /// Reads one reply, of one line or many. Its last line stays in `self.line`.
    fn reply(&mut self) -> Result<u16> {
        loop {
            self.line.clear();
            ensure!(self.control.read_line(&mut self.line)? > 0, "the server closed the control connection");
            let bytes = self.line.as_bytes();
            if bytes.len() > 3 && bytes[..3].iter().all(u8::is_ascii_digit) && bytes[3] == b' ' {
                return Ok(self.line[..3].parse()?);
            }
        }
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The address in `227 Entering Passive Mode (127,0,0,1,200,13).`
fn parse_pasv(line: &str) -> Option<SocketAddr> {
    let numbers = line.get(4..)?.trim_matches(|c: char| !c.is_ascii_digit());
    let mut numbers = numbers.rsplit(|c: char| !c.is_ascii_digit()).map(str::parse::<u8>);
    let mut next = || numbers.next()?.ok();
    let (low, high) = (next()?, next()?);
    let (d, c, b, a) = (next()?, next()?, next()?, next()?);
    Some(SocketAddr::from((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low]))))
}
