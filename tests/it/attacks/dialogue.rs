//! Random dialogues with a whole server: pipelined, cut anywhere, with Telnet's bytes in between, data connections that
//! misbehave, and an end in the middle. Each command is answered once and in order, nothing outside of the root is read
//! or changed, and afterwards the server is as it was.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestError, TestRunner};
use rustix::process::Signal;
use rustls::ClientConfig;
use socket2::SockRef;

use super::outside::{Outside, has_canary};
use crate::fixture::{Server, noise, poll};
use crate::ftp::{eprt_argument, port_argument, reset};
use crate::tls::{Stream, shake_hands, trusting};

/// How long a reply may take; `data_timeout` is a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a client does, from the greeting to the end.
#[derive(Debug, Clone)]
struct Dialogue {
    steps: Vec<Step>,
    end: End,
}

#[derive(Debug, Clone)]
enum Step {
    /// USER and PASS, one after the other.
    Login(&'static str, &'static str),
    /// AUTH TLS, PBSZ 0 and PROT P.
    Encrypt,
    /// Where the next data connection goes.
    Offer(Way),
    /// Commands that do not wait for each other's replies.
    Burst { lines: Vec<Line>, cuts: Vec<u16>, data: DataClient },
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Epsv,
    Pasv,
    Eprt,
    Port,
}

/// What the client's end of a data connection does.
#[derive(Debug, Clone, Copy)]
enum DataClient {
    Absent,
    Reads,
    Sends(usize),
    Resets,
    Idles,
    Closes,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Quit,
    HalfClose,
    Reset,
    TooLong,
    /// Goes away with this much of a command sent.
    Leave(u8),
}

/// A command, and what of Telnet stands before it.
#[derive(Clone)]
struct Line {
    telnet: &'static [u8],
    text: Vec<u8>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" \"{}\"", self.telnet.escape_ascii(), self.text.escape_ascii())
    }
}

// What is said.

const TELNET: [&[u8]; 5] =
    [b"\xff\xf4\xff\xf2", b"\xff\xf1", b"\xff\xfb\x01", b"\xff\xfe\n", b"\xff\xfaX\xff\xff\n\xff\xf0"];

const NAMES: [&[u8]; 25] = [
    b"a",
    b"b",
    b"dir",
    b"file.txt",
    b"big",
    b".",
    b"..",
    b"...",
    b"out",
    b"absolute",
    b"up",
    b"loop",
    b"inside",
    b"sub",
    b"*",
    b"?*",
    b"[a-z]*",
    b"*.txt",
    b"\\*",
    b" ",
    b"-la",
    b"\xc3\xa9",
    b"\xff\xff",
    b"a\rb",
    b".longshore-upload-1-2",
];

/// See [`Scene::furnish`].
const LINKS: &[&[u8]] = &[b"out", b"absolute", b"dir/out", b"up", b"inside", b"inside/out"];

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => select(&NAMES[..]).prop_map(<[u8]>::to_vec),
        1 => Just(vec![b'x'; 255]),
        1 => Just(vec![b'x'; 256]),
        1 => Just(b"a\0b".to_vec()),
        1 => Just(b"%2e%2e".to_vec()),
    ]
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    let joined = (vec(name(), 1..5), any::<bool>(), any::<bool>()).prop_map(|(names, absolute, slash)| {
        let mut path = names.join(&b"/"[..]);
        if absolute {
            path.insert(0, b'/');
        }
        if slash {
            path.push(b'/');
        }
        path
    });
    // Through what leads out, or would.
    let led_out = (select(LINKS), name()).prop_map(|(link, name)| [link, b"/", &name].concat());
    prop_oneof![6 => name(), 4 => joined, 4 => led_out, 1 => Just(b"../".repeat(600)), 1 => Just(b"*/../".repeat(40))]
}

fn number() -> impl Strategy<Value = Vec<u8>> {
    const ODD: [&str; 11] =
        ["0", "1", "007", "-1", "+1", "4294967296", "18446744073709551615", "18446744073709551616", "1e3", "0x10", ""];
    prop_oneof![
        select(&ODD[..]).prop_map(|text| text.as_bytes().to_vec()),
        (0..100u32).prop_map(|n| n.to_string().into())
    ]
}

/// Verbs whose argument is a path, those of transfers first.
const OF_PATHS: [&str; 25] = [
    "RETR",
    "STOR",
    "APPE",
    "STOU",
    "LIST",
    "NLST",
    "MLSD",
    "CWD",
    "XCWD",
    "MKD",
    "XMKD",
    "RMD",
    "XRMD",
    "DELE",
    "RNFR",
    "RNTO",
    "SIZE",
    "MDTM",
    "MLST",
    "STAT",
    "HASH",
    "XMD5",
    "XSHA256",
    "LIST -la",
    "SITE CHMOD 755",
];
const TRANSFERS: [&str; 7] = ["RETR", "STOR", "APPE", "STOU", "LIST", "NLST", "MLSD"];

/// Whole commands.
const OTHERS: [&str; 72] = [
    "NOOP",
    "noop x",
    "NOOP",
    "ABOR",
    "ABOR",
    "abor",
    "PWD",
    "XPWD",
    "CDUP",
    "XCUP",
    "SYST",
    "FEAT",
    "HELP",
    "HELP RETR",
    "HELP x",
    "STAT",
    "TYPE I",
    "TYPE A",
    "TYPE A N",
    "TYPE E",
    "TYPE L 8",
    "MODE S",
    "MODE Z",
    "STRU F",
    "STRU R",
    "PASV",
    "EPSV",
    "EPSV 1",
    "EPSV 2",
    "EPSV ALL",
    "EPSV x",
    "PORT 127,0,0,1,0,21",
    "PORT 10,0,0,1,200,1",
    "PORT 1,2,3",
    "PORT",
    "EPRT |1|127.0.0.1|99999|",
    "EPRT |2|::1|50000|",
    "EPRT ||||",
    "EPRT |1|8.8.8.8|50000|",
    "PBSZ 0",
    "PBSZ x",
    "PROT P",
    "PROT C",
    "PROT E",
    "PROT",
    "CCC",
    "REIN",
    "HOST x",
    "CLNT x",
    "ACCT",
    "ACCT x",
    "USER",
    "PASS",
    "USER nobody",
    "USER ann",
    "PASS wrong",
    "PASS secret",
    "USER anonymous",
    "OPTS UTF8 ON",
    "OPTS MLST size;type;",
    "OPTS MLST",
    "OPTS HASH MD5",
    "OPTS HASH x",
    "OPTS x",
    "SITE",
    "SITE HELP",
    "SITE QUOTA",
    "SITE EXEC ls",
    "QUOTE PWD",
    "",
    " PWD",
    "RETR",
];

fn line() -> impl Strategy<Value = Line> {
    let of_path = (select(&OF_PATHS[..]), path()).prop_map(|(verb, path)| [verb.as_bytes(), b" ", &path].concat());
    let of_number = (select(&["REST", "ALLO", "REST", "PBSZ"][..]), number());
    let of_number = of_number.prop_map(|(verb, number)| [verb.as_bytes(), b" ", &number].concat());
    const STAMPS: [&str; 7] =
        ["20260102030405", "19700101000000", "99991231235959", "202601020304", "20260230000000", "0", "1.2"];
    let of_time = (select(&["MFMT", "SITE UTIME"][..]), select(&STAMPS[..]), path())
        .prop_map(|(verb, stamp, path)| [verb.as_bytes(), b" ", stamp.as_bytes(), b" ", &path].concat());
    let other = select(&OTHERS[..]).prop_map(|text| text.as_bytes().to_vec());
    // Without a line end, and without Telnet's byte, which could swallow it.
    let garbage = vec(any::<u8>().prop_filter("no line end", |byte| !matches!(byte, b'\n' | 0xff)), 0..40);
    let text = prop_oneof![12 => of_path, 1 => of_number, 1 => of_time, 9 => other, 1 => garbage];
    let telnet = prop_oneof![9 => Just(&b""[..]), 1 => select(&TELNET[..])];
    (telnet, text).prop_map(|(telnet, text)| Line { telnet, text })
}

fn step() -> impl Strategy<Value = Step> {
    let login =
        select(&[("anonymous", "x"), ("ann", "secret"), ("ann", "wrong"), ("mia", "secret"), ("nobody", "x")][..]);
    let data = prop_oneof![
        1 => Just(DataClient::Absent),
        8 => Just(DataClient::Reads),
        8 => prop_oneof![Just(0), Just(1), 2..200_000usize].prop_map(DataClient::Sends),
        2 => Just(DataClient::Resets),
        1 => Just(DataClient::Idles),
        2 => Just(DataClient::Closes),
    ];
    prop_oneof![
        4 => login.prop_map(|(user, password)| Step::Login(user, password)),
        1 => Just(Step::Encrypt),
        6 => select(&[Way::Epsv, Way::Epsv, Way::Pasv, Way::Eprt, Way::Port][..]).prop_map(Step::Offer),
        9 => (vec(line(), 1..9), vec(any::<u16>(), 0..5), data)
            .prop_map(|(lines, cuts, data)| Step::Burst { lines, cuts, data }),
    ]
}

fn dialogue() -> impl Strategy<Value = Dialogue> {
    let end = prop_oneof![
        3 => Just(End::Quit),
        1 => Just(End::HalfClose),
        1 => Just(End::Reset),
        1 => Just(End::TooLong),
        1 => any::<u8>().prop_map(End::Leave),
    ];
    // Most begin with a login: behind it is more to break.
    let first = prop_oneof![3 => Just(Some(Step::Login("anonymous", "x"))), 2 => Just(Some(Step::Login("ann", "secret"))), 1 => Just(None)];
    (first, vec(step(), 0..12), end)
        .prop_map(|(first, steps, end)| Dialogue { steps: first.into_iter().chain(steps).collect(), end })
}

// What must be answered.

impl Line {
    fn words(&self) -> (String, &[u8]) {
        let space = self.text.iter().position(|&byte| byte == b' ').unwrap_or(self.text.len());
        let verb = String::from_utf8_lossy(&self.text[..space]).to_uppercase();
        (verb, self.text.get(space + 1..).unwrap_or_default())
    }

    /// Whether it is answered out of turn while a transfer, a login or a digest is under way.
    fn floats(&self) -> bool {
        matches!(&*self.words().0, "NOOP" | "ABOR" | "STAT")
    }

    fn is_transfer(&self) -> bool {
        TRANSFERS.contains(&&*self.words().0)
    }

    /// Whether this can be its last reply.
    fn fits(&self, reply: &Reply) -> bool {
        const REFUSALS: [u16; 20] =
            [425, 450, 451, 452, 500, 501, 502, 503, 504, 521, 522, 530, 533, 534, 536, 550, 552, 553, 554, 426];
        let (verb, argument) = self.words();
        let codes: &[u16] = match &*verb {
            "ABOR" => return reply.code == 226 && reply.text.to_uppercase().contains("ABOR"),
            "NOOP" | "CLNT" => return reply.text.starts_with("200 OK."),
            "RETR" | "STOR" | "APPE" | "STOU" | "LIST" | "NLST" | "MLSD" => {
                return reply.code == 226 && !reply.text.contains("ABOR") && !reply.text.contains("abort")
                    || reply.code >= 400 && REFUSALS.contains(&reply.code);
            }
            "HELP" if argument.is_empty() => &[214],
            "HELP" if argument == b"x" => &[502],
            "HELP" => return reply.code == 214 && reply.text.as_bytes()[4..].starts_with(argument),
            "FEAT" => &[211],
            "STAT" if argument.is_empty() => &[211, 530],
            "STAT" => &[213, 450, 451, 530, 550, 553],
            "PWD" | "XPWD" => &[257, 530],
            "CWD" | "XCWD" | "CDUP" | "XCUP" | "RMD" | "XRMD" | "DELE" | "RNTO" | "MLST" | "XMD5" | "XSHA256" => &[250],
            "MKD" | "XMKD" => &[257],
            "RNFR" | "REST" => &[350],
            "SIZE" | "MDTM" | "MFMT" | "HASH" => &[213],
            "SYST" => &[215],
            "QUIT" => &[221],
            "ACCT" => &[202],
            "REIN" | "HOST" => &[220],
            "USER" => &[331],
            "PASS" => &[230, 421],
            "PASV" => &[227],
            "EPSV" => &[229, 200],
            "TYPE" | "MODE" | "STRU" | "OPTS" | "ALLO" | "PORT" | "EPRT" | "PBSZ" | "PROT" => &[200],
            "SITE" => &[200, 214],
            "CCC" => &[533, 534],
            _ => return reply.code == 500,
        };
        codes.contains(&reply.code) || REFUSALS.contains(&reply.code)
    }
}

#[derive(Debug)]
struct Reply {
    code: u16,
    text: String,
}

impl Reply {
    fn is_too_long(&self) -> bool {
        self.text.starts_with("500 A command line has")
    }
}

/// Whether `replies` answer the beginning of `lines`, or all of them, each once and in order. What floats may be answered
/// before its turn, and never after it.
fn answer(lines: &[Line], replies: &[Reply], all: bool) -> bool {
    // Which replies are used up, which lines are answered, and whether a transfer has begun.
    let (mut pending, mut seen) = (vec![(0, 0u32, false)], HashSet::new());
    while let Some(state @ (used, answered, begun)) = pending.pop() {
        let Some(reply) = replies.get(used) else {
            if !begun && (!all || answered.count_ones() as usize == lines.len()) {
                return true;
            }
            continue;
        };
        if !seen.insert(state) {
            continue;
        }
        let open = |index: &usize| answered & 1 << index == 0;
        let first = (0..lines.len()).find(open);
        for index in (0..lines.len()).filter(open) {
            let (line, answered) = (&lines[index], answered | 1 << index);
            // Only what floats is between the first open line and this one, or it floats itself.
            let in_turn = Some(index) == first;
            if in_turn && line.is_transfer() && !begun && reply.code == 150 {
                pending.push((used + 1, answered & !(1 << index), true));
            } else if (in_turn || line.floats()) && line.fits(reply) {
                pending.push((used + 1, answered, begun && !in_turn));
            }
        }
    }
    false
}

// The client.

enum Channel {
    Clear(TcpStream),
    Encrypted(Box<Stream>),
}

struct Client {
    channel: Option<Channel>,
    socket: TcpStream,
    tls: Arc<ClientConfig>,
    buffer: Vec<u8>,
    transcript: String,
    offer: Option<Offer>,
    /// PROT P.
    private: bool,
    received: Vec<u8>,
    marks: usize,
}

enum Offer {
    Passive(SocketAddr),
    Active(TcpListener),
}

/// The server has closed the control connection.
struct Closed;

/// Where the replies to some commands end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// With the last command's, which no other can have.
    Mark,
    /// With the server's last words.
    Goodbye,
    /// When all is answered: this end is closed.
    End,
}

impl Client {
    fn connect(server: &Server) -> Self {
        let socket = TcpStream::connect(server.address()).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let channel = Some(Channel::Clear(socket.try_clone().unwrap()));
        let (tls, buffer, transcript, received) = (trusting(server), Vec::new(), String::new(), Vec::new());
        Self { channel, socket, tls, buffer, transcript, offer: None, private: false, received, marks: 0 }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.transcript += &format!("> {}\n", bytes.escape_ascii());
        // A server that has closed shows when its replies end.
        let _ = match self.channel.as_mut().unwrap() {
            Channel::Clear(stream) => stream.write_all(bytes),
            Channel::Encrypted(stream) => stream.write_all(bytes),
        };
    }

    fn line(&mut self) -> Result<Vec<u8>, Closed> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).take(end).collect();
                self.transcript += &format!("< {}\n", line.escape_ascii());
                return Ok(line);
            }
            let mut chunk = [0; 4096];
            let read = match self.channel.as_mut().unwrap() {
                Channel::Clear(stream) => stream.read(&mut chunk),
                Channel::Encrypted(stream) => stream.read(&mut chunk),
            };
            match read {
                Ok(len @ 1..) => self.buffer.extend_from_slice(&chunk[..len]),
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => {
                    panic!("no answer within {PATIENCE:?}\n{}", self.transcript)
                }
                _ if self.buffer.is_empty() => return Err(Closed),
                _ => panic!("half a line at the end: {}\n{}", self.buffer.escape_ascii(), self.transcript),
            }
        }
    }

    fn reply(&mut self) -> Result<Reply, Closed> {
        let first = self.line()?;
        let code = std::str::from_utf8(&first[..3]).ok().and_then(|digits| digits.parse().ok());
        let code: u16 = code.unwrap_or_else(|| panic!("no reply: {}\n{}", first.escape_ascii(), self.transcript));
        let last = format!("{code} ").into_bytes();
        let (mut line, mut text) = (first.clone(), first);
        while !line.starts_with(&last) {
            assert!(line == text || !line.starts_with(&last[..3]), "{}", self.transcript);
            line = self.line()?;
            text.extend_from_slice(&line);
        }
        self.received.extend_from_slice(&text);
        let text = String::from_utf8_lossy(&text).into_owned();
        match &*text {
            text if text.contains("connections are encrypted from now on") => self.private = true,
            text if text.contains("connections are in clear from now on") || code == 220 => self.private = false,
            _ => {}
        }
        Ok(Reply { code, text })
    }

    /// Reads the replies to `lines`, each once and in order.
    fn replies_to(&mut self, lines: &[Line], until: Until) -> Result<(), Closed> {
        let mut replies: Vec<Reply> = Vec::new();
        let is_mark = |reply: &Reply| until == Until::Mark && lines.last().is_some_and(|mark| mark.fits(reply));
        let ended = loop {
            match self.reply() {
                Ok(reply) => {
                    replies.push(reply);
                    if replies.last().is_some_and(is_mark) {
                        break Ok(());
                    }
                }
                Err(Closed) => break Err(Closed),
            }
        };
        let goodbye = replies.last().is_some_and(|last| matches!(last.code, 221 | 421) || last.is_too_long());
        if until == Until::Goodbye || ended.is_err() && until == Until::Mark {
            assert!(goodbye, "closed without a word\n{}", self.transcript);
        }
        replies.pop_if(|last| last.is_too_long());
        assert!(answer(lines, &replies, !goodbye), "not each command once and in order\n{}", self.transcript);
        ended
    }

    fn command(&mut self, text: &str) -> Result<Reply, Closed> {
        self.send(format!("{text}\r\n").as_bytes());
        self.reply()
    }

    fn take(&mut self, step: &Step) -> Result<(), Closed> {
        match step {
            Step::Login(user, password) => {
                for (text, codes) in
                    [(format!("USER {user}"), &[331][..]), (format!("PASS {password}"), &[230, 421, 503, 530])]
                {
                    let reply = self.command(&text)?;
                    assert!(codes.contains(&reply.code), "{}", self.transcript);
                    if reply.code == 421 {
                        return Err(Closed);
                    }
                }
            }
            Step::Encrypt => {
                if self.command("AUTH TLS")?.code == 234 {
                    let Some(Channel::Clear(stream)) = self.channel.take() else { panic!("encrypted twice") };
                    let stream = shake_hands(&self.tls, stream).expect("a handshake behind 234");
                    self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
                    self.channel = Some(Channel::Encrypted(Box::new(stream)));
                    self.transcript += "TLS\n";
                }
                self.command("PBSZ 0")?;
                self.command("PROT P")?;
            }
            Step::Offer(way) => self.offer(*way)?,
            Step::Burst { lines, cuts, data } => self.burst(lines, cuts, *data)?,
        }
        Ok(())
    }

    fn offer(&mut self, way: Way) -> Result<(), Closed> {
        let mut own = self.socket.local_addr().unwrap();
        own.set_port(0);
        let numbers =
            |text: &str| text.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect::<Vec<u16>>();
        self.offer = match way {
            Way::Epsv => match self.command("EPSV")? {
                Reply { code: 229, text } => {
                    own.set_port(numbers(&text)[1]);
                    Some(Offer::Passive(own))
                }
                _ => None,
            },
            Way::Pasv => match self.command("PASV")? {
                Reply { code: 227, text } => {
                    own.set_port(numbers(&text)[5] << 8 | numbers(&text)[6]);
                    Some(Offer::Passive(own))
                }
                _ => None,
            },
            Way::Eprt | Way::Port => {
                let listener = TcpListener::bind(own).unwrap();
                let at = listener.local_addr().unwrap();
                let text = match way {
                    Way::Eprt => format!("EPRT {}", eprt_argument(at)),
                    _ => format!("PORT {}", port_argument(at)),
                };
                (self.command(&text)?.code == 200).then_some(Offer::Active(listener))
            }
        };
        Ok(())
    }

    fn burst(&mut self, lines: &[Line], cuts: &[u16], data: DataClient) -> Result<(), Closed> {
        let offer = self.offer.take();
        let data = offer
            .filter(|_| !matches!(data, DataClient::Absent))
            .map(|offer| Data::start(offer, data, self.private.then(|| Arc::clone(&self.tls))));
        self.marks += 1;
        let mark = ["HELP XCUP", "HELP XCWD", "HELP XMD5", "HELP XMKD", "HELP XPWD"][self.marks % 5];
        let mark = Line { telnet: b"", text: mark.into() };
        let lines = [lines, &[mark]].concat();
        let bytes: Vec<u8> = lines.iter().flat_map(|line| [line.telnet, &line.text, b"\r\n"].concat()).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| (usize::from(*cut) * bytes.len()) >> 16).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        for piece in cuts.windows(2) {
            self.send(&bytes[piece[0]..piece[1]]);
            thread::yield_now();
        }
        let result = self.replies_to(&lines, Until::Mark);
        if let Some(data) = data {
            self.received.extend(data.finish());
        }
        result
    }

    fn end(&mut self, end: End) {
        let quit = Line { telnet: b"", text: b"QUIT".to_vec() };
        let pwd = Line { telnet: b"", text: b"PWD".to_vec() };
        match end {
            End::Quit => {
                self.send(b"PWD\r\nQUIT\r\nPWD\r\n");
                let _ = self.replies_to(&[pwd.clone(), quit, pwd], Until::Goodbye);
            }
            End::HalfClose if matches!(self.channel, Some(Channel::Clear(_))) => {
                self.send(b"PWD\r\nHELP\r\nPWD\r\n");
                self.socket.shutdown(Shutdown::Write).unwrap();
                let help = Line { telnet: b"", text: b"HELP".to_vec() };
                let _ = self.replies_to(&[pwd.clone(), help, pwd], Until::End);
            }
            End::TooLong => {
                self.send(&[b'x'; 5000]);
                let _ = self.replies_to(&[], Until::Goodbye);
            }
            End::HalfClose | End::Leave(_) | End::Reset => {
                let text = b"STOR partial\r\nLIST\r\nRETR big\r\nPWD\r\n";
                let sent = if let End::Leave(sent) = end { usize::from(sent) } else { 10 };
                self.send(&text[..sent.min(text.len())]);
                if let (End::Reset, Some(Channel::Clear(stream))) = (end, self.channel.take()) {
                    reset(stream);
                    SockRef::from(&self.socket).set_linger(Some(Duration::ZERO)).unwrap();
                }
            }
        }
    }
}

/// The client's end of a data connection, in a thread of its own.
struct Data {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<u8>>,
}

impl Data {
    fn start(offer: Offer, what: DataClient, tls: Option<Arc<ClientConfig>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let Some(stream) = open(offer, &stopped) else { return Vec::new() };
            if let DataClient::Resets = what {
                reset(stream);
                return Vec::new();
            }
            // Short pieces: the thread sees when it is over.
            stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            stream.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
            match tls.map(|tls| shake_hands(&tls, stream.try_clone().unwrap())) {
                None => act(&mut { stream }, what, &stopped),
                Some(Ok(mut stream)) => {
                    stream.sock.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
                    let received = act(&mut stream, what, &stopped);
                    stream.conn.send_close_notify();
                    let _ = stream.conn.write_tls(&mut stream.sock);
                    received
                }
                Some(Err(_)) => Vec::new(),
            }
        });
        Self { stop, thread }
    }

    fn finish(self) -> Vec<u8> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn open(offer: Offer, stopped: &AtomicBool) -> Option<TcpStream> {
    match offer {
        Offer::Passive(address) => TcpStream::connect(address).ok(),
        Offer::Active(listener) => {
            listener.set_nonblocking(true).unwrap();
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(false).unwrap();
                    return Some(stream);
                }
                thread::sleep(Duration::from_millis(1));
            }
            None
        }
    }
}

fn act(stream: &mut (impl Read + Write), what: DataClient, stopped: &AtomicBool) -> Vec<u8> {
    let (mut received, mut chunk) = (Vec::new(), [0; 16 << 10]);
    if let DataClient::Sends(len) = what {
        let bytes = noise(len, 7);
        let mut rest = &bytes[..];
        while !rest.is_empty() && !stopped.load(Ordering::Relaxed) {
            match stream.write(rest) {
                Ok(sent) => rest = &rest[sent..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
        let _ = stream.flush();
    }
    while !stopped.load(Ordering::Relaxed) && matches!(what, DataClient::Reads | DataClient::Idles) {
        if let DataClient::Idles = what {
            thread::sleep(Duration::from_millis(5));
            continue;
        }
        match stream.read(&mut chunk) {
            Ok(len @ 1..) => received.extend_from_slice(&chunk[..len]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            _ => break,
        }
    }
    received
}

// The server and its surroundings.

struct Scene {
    server: Server,
    outside: Outside,
    descriptors: usize,
}

impl Scene {
    fn set() -> Self {
        let password = bcrypt::hash("secret", 4).unwrap();
        let user = |name: &str, more: &str| {
            format!("[[user]]\nname = {name:?}\npassword = {password:?}\nhome = {name:?}\n{more}\n")
        };
        let builder =
            Server::builder().account("own", "own").tls(&[]).server("data_timeout = 1").limits("login_delay_max = 0");
        let outside = Outside::make(builder.beside("outside"));
        let rules = r#"permissions = { "/" = "read-write", "/dir" = "read-only", "/sub" = "add-only", "/b" = "none" }"#;
        let server = builder
            .accounts_text(&(user("ann", rules) + &user("mia", "quota_bytes = 100000\nquota_files = 20")))
            .file("ann/x", "")
            .file("mia/x", "")
            .start();
        let descriptors = descriptors(&server).len();
        Self { server, outside, descriptors }
    }

    /// The tree that each dialogue begins with.
    fn furnish(&self) {
        for home in ["", "ann", "mia"] {
            let home = self.server.path(home);
            for entry in fs::read_dir(&home).unwrap().map(Result::unwrap) {
                let path = entry.path();
                if entry.file_type().unwrap().is_dir() && !path.ends_with("ann") && !path.ends_with("mia") {
                    fs::remove_dir_all(path).unwrap();
                } else if !entry.file_type().unwrap().is_dir() {
                    fs::remove_file(path).unwrap();
                }
            }
            fs::create_dir_all(home.join("dir/sub")).unwrap();
            for name in ["a", "file.txt", "dir/a", "dir/sub/file.txt"] {
                fs::write(home.join(name), "some text\n").unwrap();
            }
            fs::File::create(home.join("big")).unwrap().set_len(3 << 20).unwrap();
            let outside = self.server.beside("outside");
            let links = [("inside", "dir".into()), ("out", "../outside".into()), ("dir/out", "../../outside".into())];
            let more = [
                ("absolute", outside.clone()),
                ("loop", "loop".into()),
                ("up", "..".into()),
                ("b", "../outside/a".into()),
            ];
            for (name, target) in links.into_iter().chain(more) {
                symlink(target, home.join(name)).unwrap();
            }
        }
    }

    /// Plays a dialogue, and looks whether the server is what it was.
    fn play(&mut self, dialogue: &Dialogue) {
        self.furnish();
        let mut client = Client::connect(&self.server);
        let _ = client.reply();
        if dialogue.steps.iter().try_for_each(|step| client.take(step)).is_ok() {
            client.end(dialogue.end);
        }
        assert!(!has_canary(&client.received), "read from outside of the root\n{}", client.transcript);
        let transcript = std::mem::take(&mut client.transcript);
        drop(client);
        self.outside.is_untouched();
        assert!(self.server.is_alive(), "the server has ended\n{transcript}");
        let output = self.server.output();
        assert!(!output.contains("panicked"), "{output}\n{transcript}");
        let back = poll(|| (descriptors(&self.server).len() <= self.descriptors).then_some(()));
        assert!(back.is_some(), "more open than before: {:?}\n{transcript}", descriptors(&self.server));
    }
}

/// What is open; rustix opens /proc when it first needs it, for good.
fn descriptors(server: &Server) -> Vec<PathBuf> {
    server.open_files().into_iter().filter(|path| !path.starts_with("/proc")).collect()
}

#[test]
fn any_dialogue_is_answered_and_leaves_the_server_as_it_was() {
    let (scene, failed) = (RefCell::new(None), RefCell::new(String::new()));
    // Each is some twenty commands.
    let cases = Config::default().cases.div_ceil(2);
    let config = Config {
        cases,
        source_file: Some(file!()),
        max_shrink_iters: 1000,
        max_shrink_time: 60_000,
        ..Config::default()
    };
    let played = TestRunner::new(config).run(&dialogue(), |dialogue| {
        let mut current = scene.borrow_mut().take().unwrap_or_else(Scene::set);
        if let Err(why) = catch_unwind(AssertUnwindSafe(|| current.play(&dialogue))) {
            // A shorter dialogue is played to a server that has not seen this one.
            *failed.borrow_mut() = format!("{}{}", current.server.output(), current.server.log_text());
            let why = why.downcast_ref::<String>().map_or("it panicked", String::as_str);
            return Err(TestCaseError::fail(why.to_owned()));
        }
        *scene.borrow_mut() = Some(current);
        Ok(())
    });
    if let Err(TestError::Fail(why, dialogue)) = played {
        panic!("{why}\n--- the shortest dialogue that fails\n{dialogue:#?}\n--- the server\n{}", failed.borrow());
    }
    played.unwrap();
    // Where it runs under a sanitizer, leaks are told at the end.
    let mut server = scene.into_inner().unwrap().server;
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0), "{}", server.output());
}
