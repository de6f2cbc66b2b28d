//! A small FTP client that shares no code with the server and may be as rude as a test needs.

use std::fmt::{self, Write as _};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

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
}

impl Ftp {
    /// Connects and reads the greeting.
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&address, DEADLINE).unwrap())
    }

    /// Connects from another address of this machine.
    pub fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        Self::over(connect_from(source, address).unwrap())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        let mut ftp = Self { stream, buffer: Vec::new(), transcript: String::new() };
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
        let end = Instant::now() + DEADLINE;
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
        let address = SocketAddr::new(self.peer().ip(), port);
        TcpStream::connect_timeout(&address, DEADLINE)
            .unwrap_or_else(|err| self.fail(&format!("connecting to {address}: {err}")))
    }

    /// Listens on the control connection's own address.
    pub fn listener(&self) -> TcpListener {
        TcpListener::bind((self.local().ip(), 0)).unwrap()
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
