//! A small FTP client that shares no code with the server and may be as rude as a test needs.

use std::fmt::{self, Write as _};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use crate::fixture::{DEADLINE, Server, poll};

/// Telnet's Interrupt Process and Data Mark, as a classic client sends them before ABOR.
pub const TELNET_IP: [u8; 2] = [0xff, 0xf4];
/// See [`TELNET_IP`].
pub const TELNET_DM: [u8; 2] = [0xff, 0xf2];

/// One reply, all of its lines.
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// Everything as it came, without the last line end.
    pub raw: Vec<u8>,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl Reply {
    /// The text, for reading.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }

    /// The lines between the first and the last one.
    pub fn middle(&self) -> Vec<String> {
        let text = self.text();
        let lines: Vec<&str> = text.split("\r\n").collect();
        let end = lines.len().saturating_sub(1).max(1);
        lines[1..end].iter().map(|line| (*line).to_owned()).collect()
    }
}

/// A control connection.
pub struct Ftp {
    stream: TcpStream,
    buffer: Vec<u8>,
    transcript: String,
    patience: Duration,
}

impl Ftp {
    /// Connects and reads the greeting.
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&address, DEADLINE).unwrap())
    }

    /// Connects and reads the greeting, or gives it up in a moment when none comes.
    pub fn try_connect(address: SocketAddr) -> Option<Self> {
        let mut stream = TcpStream::connect_timeout(&address, DEADLINE).ok()?;
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut first = [0; 1];
        stream.read_exact(&mut first).ok()?;
        let mut ftp = Self { stream, buffer: first.to_vec(), transcript: String::new(), patience: DEADLINE };
        ftp.read(220);
        Some(ftp)
    }

    /// Connects from another address of this machine.
    pub fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        Self::over(connect_from(source, address).unwrap())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        let mut ftp = Self { stream, buffer: Vec::new(), transcript: String::new(), patience: DEADLINE };
        ftp.read(220);
        ftp
    }

    /// Connects and logs in as anonymous.
    pub fn anonymous(server: &Server) -> Self {
        let mut ftp = Self::connect(server.address());
        ftp.login("anonymous", "test@example.org");
        ftp
    }

    /// The same over IPv6.
    pub fn anonymous_v6(server: &Server) -> Self {
        let mut ftp = Self::connect(server.address_v6());
        ftp.login("anonymous", "test@example.org");
        ftp
    }

    /// Logs in, in TYPE I from then on.
    pub fn login(&mut self, user: &str, password: &str) {
        self.send(format!("USER {user}"));
        self.read(331);
        self.send(format!("PASS {password}"));
        self.read(230);
        self.expect(200, "TYPE I");
    }

    /// This end of the control connection.
    pub fn local(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// The server's end of the control connection.
    pub fn peer(&self) -> SocketAddr {
        self.stream.peer_addr().unwrap()
    }

    /// How long to wait for each line of a reply.
    pub fn wait_for(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// The control connection, to send or read on it at the same time. What has come is in nobody's way: it is read.
    pub fn stream(&self) -> TcpStream {
        assert!(self.buffer.is_empty(), "a reply was not read");
        self.stream.try_clone().unwrap()
    }

    /// Ends the control connection with a reset, as a firewall does that has forgotten it.
    pub fn reset(self) {
        reset(self.stream);
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.note('>', bytes);
        if let Err(err) = self.stream.write_all(bytes) {
            self.fail(&format!("sending failed: {err}"));
        }
    }

    /// Sends bytes as TCP urgent data.
    pub fn urgent(&mut self, bytes: &[u8]) {
        self.note('!', bytes);
        let socket = Socket::from(self.stream.try_clone().unwrap());
        assert_eq!(socket.send_out_of_band(bytes).unwrap(), bytes.len());
    }

    /// Sends a line.
    pub fn send(&mut self, line: impl AsRef<[u8]>) {
        let mut bytes = line.as_ref().to_vec();
        bytes.extend_from_slice(b"\r\n");
        self.raw(&bytes);
    }

    /// Reads one reply, whatever its code.
    pub fn reply(&mut self) -> Reply {
        let first = self.line();
        let code: u16 = match first.get(..3).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()) {
            Some(code) => code,
            None => self.fail("that is not a reply"),
        };
        let mut raw = first.clone();
        if first.get(3) == Some(&b'-') {
            let last = format!("{code} ");
            loop {
                let line = self.line();
                raw.extend_from_slice(b"\r\n");
                raw.extend_from_slice(&line);
                if line.starts_with(last.as_bytes()) {
                    break;
                }
            }
        } else if first.len() > 3 && first[3] != b' ' {
            self.fail("the code is followed by neither a space nor a hyphen");
        }
        Reply { code, raw }
    }

    /// Reads one reply, which must have this code.
    pub fn read(&mut self, code: u16) -> Reply {
        let reply = self.reply();
        if reply.code != code {
            self.fail(&format!("expected {code}"));
        }
        reply
    }

    /// Sends a line and reads its reply.
    pub fn command(&mut self, line: impl AsRef<[u8]>) -> Reply {
        self.send(line);
        self.reply()
    }

    /// Sends a line whose reply must have this code.
    pub fn expect(&mut self, code: u16, line: impl AsRef<[u8]>) -> Reply {
        self.send(line);
        self.read(code)
    }

    /// Shows that the session still does its work.
    pub fn lives(&mut self) {
        self.expect(200, "NOOP");
        self.expect(257, "PWD");
    }

    /// Waits for the server to close the connection, and gives what came before that.
    pub fn rest_until_closed(&mut self) -> String {
        let mut rest = std::mem::take(&mut self.buffer);
        let mut socket = self.stream.try_clone().unwrap();
        if let Err(err) = read_to_end(&mut socket, &mut rest) {
            self.fail(&format!("expected the connection to be closed: {err}"));
        }
        self.note('<', &rest);
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Closes this end for sending.
    pub fn half_close(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends the test with everything that was said.
    pub fn fail(&self, why: &str) -> ! {
        panic!("{why}\n--- control connection\n{}", self.transcript);
    }

    fn line(&mut self) -> Vec<u8> {
        let end = Instant::now() + self.patience;
        loop {
            if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let mut line: Vec<u8> = self.buffer.drain(..at + 2).take(at).collect();
                self.note('<', &line);
                // The control connection is Telnet: 255 is sent twice.
                let mut escaped = false;
                line.retain(|&byte| {
                    escaped = byte == 0xff && !escaped;
                    !escaped
                });
                return line;
            }
            let mut chunk = [0; 4096];
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(left)).unwrap();
            match self.stream.read(&mut chunk) {
                Ok(0) => self.fail("the server closed the control connection"),
                Ok(len) => self.buffer.extend_from_slice(&chunk[..len]),
                Err(err) if timed_out(&err) => self.fail("no reply within the deadline"),
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) => self.fail(&format!("the control connection broke: {err}")),
            }
        }
    }

    fn note(&mut self, mark: char, bytes: &[u8]) {
        const SHOWN: usize = 300;
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
        let more = if bytes.len() > SHOWN { "..." } else { "" };
        writeln!(self.transcript, "{mark} {}{more}", shown.trim_end().escape_debug()).unwrap();
    }
}

/// Data connections.
impl Ftp {
    /// The port that EPSV offers.
    pub fn epsv(&mut self) -> u16 {
        let text = self.expect(229, "EPSV").text();
        let port = text.split("|||").nth(1).and_then(|rest| rest.split('|').next()?.parse().ok());
        port.unwrap_or_else(|| self.fail("229 without (|||port|)"))
    }

    /// The address that PASV offers.
    pub fn pasv(&mut self) -> SocketAddr {
        let text = self.expect(227, "PASV").text();
        let numbers: Vec<u8> = text
            .split_once('(')
            .and_then(|(_, rest)| rest.split_once(')'))
            .map(|(numbers, _)| numbers.split(',').filter_map(|n| n.parse().ok()).collect())
            .unwrap_or_default();
        let &[a, b, c, d, high, low] = numbers.as_slice() else { self.fail("227 without (h1,h2,h3,h4,p1,p2)") };
        SocketAddr::from((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])))
    }

    /// A passive data connection.
    pub fn passive(&mut self) -> TcpStream {
        let port = self.epsv();
        // An IPv6 scope stays in it.
        let mut address = self.peer();
        address.set_port(port);
        TcpStream::connect_timeout(&address, DEADLINE)
            .unwrap_or_else(|err| self.fail(&format!("connecting to {address}: {err}")))
    }

    /// Listens on the control connection's own address.
    pub fn listener(&self) -> TcpListener {
        let mut address = self.local();
        address.set_port(0);
        TcpListener::bind(address).unwrap()
    }

    /// Starts a transfer on a passive data connection: its 150 has come.
    pub fn open(&mut self, line: impl AsRef<[u8]>) -> TcpStream {
        let data = self.passive();
        self.start(line);
        data
    }

    /// Sends a command that is answered 150 (or 125) first.
    pub fn start(&mut self, line: impl AsRef<[u8]>) -> Reply {
        let reply = self.command(line);
        if !matches!(reply.code, 125 | 150) {
            self.fail("expected the transfer to start");
        }
        reply
    }

    /// Downloads, or lists: everything that comes on a passive data connection.
    pub fn get(&mut self, line: impl AsRef<[u8]>) -> Vec<u8> {
        let data = self.open(line);
        let bytes = self.drain(data);
        self.read(226);
        bytes
    }

    /// The lines of a listing, lossily as text.
    pub fn list(&mut self, line: impl AsRef<[u8]>) -> Vec<String> {
        let bytes = self.get(line);
        let text = String::from_utf8_lossy(&bytes);
        text.split_terminator("\r\n").map(str::to_owned).collect()
    }

    /// Uploads on a passive data connection, and gives the last reply.
    pub fn put(&mut self, line: impl AsRef<[u8]>, bytes: &[u8]) -> Reply {
        let mut data = self.open(line);
        self.write_data(&mut data, bytes);
        drop(data);
        self.read(226)
    }

    /// A transfer command that is refused; its data connection is offered and never used.
    pub fn refused(&mut self, code: u16, line: impl AsRef<[u8]>) -> Reply {
        let _data = self.passive();
        self.expect(code, line)
    }

    /// The code of a transfer command that is refused before it starts.
    pub fn refused_code(&mut self, line: impl AsRef<[u8]>) -> u16 {
        let _data = self.passive();
        let reply = self.command(line);
        if reply.code < 400 {
            self.fail("expected a refusal");
        }
        reply.code
    }

    /// Everything that comes until the server closes.
    pub fn drain(&mut self, mut data: TcpStream) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Err(err) = read_to_end(&mut data, &mut bytes) {
            self.fail(&format!("after {} bytes of data: {err}", bytes.len()));
        }
        bytes
    }

    /// Sends on a data connection.
    pub fn write_data(&mut self, data: &mut TcpStream, bytes: &[u8]) {
        data.set_write_timeout(Some(DEADLINE)).unwrap();
        if let Err(err) = data.write_all(bytes) {
            self.fail(&format!("sending data: {err}"));
        }
    }
}

/// NOOPs without a pause, whose replies are read; they end with this value or with the connection.
pub struct Flood {
    stream: TcpStream,
    unread: Vec<u8>,
    sender: Option<thread::JoinHandle<()>>,
}

impl Flood {
    /// Begins on a session's control connection.
    pub fn start(ftp: &Ftp) -> Self {
        let stream = ftp.stream();
        let mut to = ftp.stream();
        to.set_write_timeout(Some(DEADLINE)).unwrap();
        let sender = thread::spawn(move || while to.write_all(&b"NOOP\r\n".repeat(500)).is_ok() {});
        Self { stream, unread: Vec::new(), sender: Some(sender) }
    }

    /// Reads replies up to the one that begins like this; whether it came in time.
    pub fn read_until(&mut self, begin: &str) -> bool {
        let wanted = format!("\n{begin}");
        let (end, mut chunk) = (Instant::now() + DEADLINE, vec![0; 64 * 1024]);
        self.stream.set_read_timeout(Some(DEADLINE)).unwrap();
        while Instant::now() < end {
            if self.unread.windows(wanted.len()).any(|here| here == wanted.as_bytes()) {
                return true;
            }
            // What may be the beginning of it stays.
            self.unread.drain(..self.unread.len().saturating_sub(wanted.len()));
            match self.stream.read(&mut chunk) {
                Ok(0) | Err(_) => break,
                Ok(len) => self.unread.extend_from_slice(&chunk[..len]),
            }
        }
        false
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(sender) = self.sender.take() {
            let _ = sender.join();
        }
    }
}

/// Sends on a connection whose replies nobody reads, until the server takes no more.
pub fn fill(stream: &TcpStream, line: &[u8]) {
    // TCP itself pauses for a part of this when a buffer is full.
    const QUIET: Duration = Duration::from_secs(1);
    let socket = SockRef::from(stream);
    socket.set_recv_buffer_size(64 << 10).unwrap();
    socket.set_send_buffer_size(64 << 10).unwrap();
    stream.set_nonblocking(true).unwrap();
    let (lines, mut sent, mut taken) = (line.repeat(1000), 0, Instant::now());
    let full = poll(|| {
        // A line is cut anywhere: what follows is its rest.
        while let Ok(len) = (&*stream).write(&lines[sent % lines.len()..]) {
            (sent, taken) = (sent + len, Instant::now());
            assert!(sent < 256 << 20, "the server takes everything");
        }
        (taken.elapsed() > QUIET).then_some(())
    });
    stream.set_nonblocking(false).unwrap();
    assert!(full.is_some(), "the server takes more and more");
}

/// The argument of PORT for an address.
pub fn port_argument(address: SocketAddr) -> String {
    let IpAddr::V4(ip) = address.ip() else { panic!("PORT is for IPv4") };
    let [a, b, c, d] = ip.octets();
    let [high, low] = address.port().to_be_bytes();
    format!("{a},{b},{c},{d},{high},{low}")
}

/// The argument of EPRT for an address.
pub fn eprt_argument(address: SocketAddr) -> String {
    let family = if address.is_ipv4() { 1 } else { 2 };
    format!("|{family}|{}|{}|", address.ip(), address.port())
}

/// Connects from another address of this machine.
pub fn connect_from(source: IpAddr, address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))?;
    socket.connect_timeout(&SockAddr::from(address), DEADLINE)?;
    Ok(socket.into())
}

/// Ends a connection with a reset.
pub fn reset(stream: TcpStream) {
    Socket::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Accepts one connection within the deadline.
pub fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    listener.set_nonblocking(true).unwrap();
    let (stream, peer) = poll(|| listener.accept().ok()).expect("the server connects");
    stream.set_nonblocking(false).unwrap();
    (stream, peer)
}

/// Whether somebody has connected.
pub fn somebody_connected(listener: &TcpListener) -> bool {
    listener.set_nonblocking(true).unwrap();
    listener.accept().is_ok()
}

/// Reads until the other side closes, with one deadline for all of it.
pub fn read_to_end(stream: &mut TcpStream, into: &mut Vec<u8>) -> std::io::Result<()> {
    let end = Instant::now() + DEADLINE;
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(len) => into.extend_from_slice(&chunk[..len]),
            Err(err) if err.kind() == ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
}

fn timed_out(err: &std::io::Error) -> bool {
    matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
