//! What happens in a session, as typed events. Whoever wants to know anything about a session learns it from these.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, Serializer};

use crate::ports::PortClass;

/// One thing that happened.
#[derive(Debug, Clone)]
pub struct Event {
    /// When.
    pub time: SystemTime,
    /// The session's number, unique while the server runs; 0 for a connection that was refused before it became one.
    pub session: u64,
    /// The connection that the event is about: the data connection once there is one, else the control connection.
    pub ends: Ends,
    /// What.
    pub what: What,
}

/// Both ends of a TCP connection. In JSON each end is its address, its port and that port's class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The client's end.
    pub client: SocketAddr,
    /// The server's end.
    pub server: SocketAddr,
}

/// The kinds of events.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum What {
    /// A control connection was accepted.
    SessionOpened {
        /// The listener that it came to, as it was bound.
        listener: SocketAddr,
        /// The address family.
        family: Family,
        /// Whether it is encrypted from its beginning (implicit FTPS).
        tls: bool,
    },
    /// A connection is encrypted from now on: the session's data connection once there is one, else its control
    /// connection.
    TlsOpened {
        /// `1.2` or `1.3`.
        version: &'static str,
        /// The cipher suite, by its name in the standard.
        cipher: &'static str,
        /// Whether the client resumed an earlier TLS session.
        resumed: bool,
    },
    /// A TLS handshake failed, which ends that connection.
    TlsFailed {
        /// Why.
        reason: String,
    },
    /// A control connection was refused, with a 421.
    Refused {
        /// Why.
        reason: RefusedBecause,
    },
    /// A login waits for its turn, because others like it have failed.
    LoginDelayed {
        /// Who, masked as in `Login`.
        user: String,
        /// Failures that are remembered.
        failures: u32,
        /// How long it waits.
        seconds: u64,
    },
    /// A login was tried.
    Login {
        /// Who; masked when there is no such account, because people type passwords here.
        user: String,
        /// How it went.
        outcome: LoginOutcome,
        /// How many tries this session has made, this one included.
        attempts: u32,
    },
    /// A command was answered.
    Command {
        /// The verb in capitals; empty when the line was none we know.
        verb: &'static str,
        /// What followed the verb, passwords and unknown users masked.
        argument: String,
        /// The last reply's code; 0 when the session ended without one.
        code: u16,
        /// From the command's turn to its last reply.
        #[serde(rename = "milliseconds", serialize_with = "milliseconds")]
        duration: Duration,
    },
    /// An address for a data connection was offered: by us for PASV and EPSV, by the client for PORT and EPRT.
    DataOffered {
        /// PASV, EPSV, PORT or EPRT.
        verb: &'static str,
        /// The address that was offered; EPSV offers none but the control connection's own.
        address: IpAddr,
        /// The port that was offered.
        port: u16,
        /// That port's class.
        port_class: PortClass,
        /// The numbers as they were sent: `127,0,0,1,195,80` or `|||50000|`.
        numbers: String,
    },
    /// A data connection was opened.
    DataOpened {
        /// Passive or active.
        mode: Mode,
        /// Who made the connection.
        opened_by: Side,
        /// How long the transfer waited for it.
        #[serde(rename = "milliseconds", serialize_with = "milliseconds")]
        waited: Duration,
        /// The transfer that it is for: RETR, STOR, APPE, STOU, LIST, NLST or MLSD.
        verb: &'static str,
        /// The file or directory, absolute in the user's home.
        path: String,
    },
    /// A data connection was not opened, or a stranger's was turned away.
    DataFailed {
        /// Passive or active.
        mode: Mode,
        /// Where it was to be made to: our address in passive mode, the client's in active mode.
        address: IpAddr,
        /// The port there.
        port: u16,
        /// That port's class.
        port_class: PortClass,
        /// Why, in a sentence.
        reason: String,
    },
    /// A transfer ended.
    Transfer {
        /// RETR, STOR, APPE, STOU, LIST, NLST or MLSD.
        verb: &'static str,
        /// The file or directory, absolute in the user's home.
        path: String,
        /// `A` or `I`.
        r#type: char,
        /// Bytes of the file or the listing that went over the data connection.
        bytes: u64,
        /// The file's SHA-256 after a whole transfer, where `transfer.sha256` asks for it.
        #[serde(skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
        /// How it ended.
        outcome: TransferOutcome,
        /// Which side closed the data connection first; that side keeps the TIME_WAIT entry.
        closed_first: Side,
        /// From the opened data connection to its end.
        #[serde(rename = "milliseconds", serialize_with = "milliseconds")]
        duration: Duration,
    },
    /// A session ended.
    SessionClosed {
        /// Why.
        reason: CloseReason,
        /// Transfers that were completed.
        transfers: u64,
        /// Bytes sent on data connections.
        bytes_sent: u64,
        /// Bytes received on data connections.
        bytes_received: u64,
        /// How long it lasted.
        #[serde(rename = "milliseconds", serialize_with = "milliseconds")]
        duration: Duration,
    },
}

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4
    IPv4,
    /// IPv6
    IPv6,
}

/// Why a control connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusedBecause {
    /// The address is in `limits.deny`.
    AddressDenied,
    /// The address is not in `limits.allow`.
    AddressNotAllowed,
    /// The address connects more often than `limits.accept_rate`.
    AcceptRate,
    /// There are `limits.max_sessions_per_ip` sessions from the address.
    MaxSessionsPerIp,
    /// There are `limits.max_sessions` sessions.
    MaxSessions,
    /// There are `limits.max_unauthenticated` sessions in which nobody has logged in.
    MaxUnauthenticated,
}

/// How a login went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginOutcome {
    /// Let in.
    Ok,
    /// There is no such account.
    UnknownUser,
    /// The password did not fit.
    WrongPassword,
    /// The password is right, but the account is disabled.
    Disabled,
    /// The password is right, but the account's last day is over.
    Expired,
    /// The password is right, but the account may not log in from this address.
    NotFromHere,
    /// The password is right, but the client has not shown the certificate that the account names.
    NoCertificate,
    /// Anonymous users are not let in.
    AnonymousOff,
    /// The password is right, and the account has as many sessions as it may have.
    TooManySessions,
    /// The account is right, but its home directory or the engine is not.
    Unavailable,
}

/// Passive: the client connects. Active: the server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// PASV, EPSV
    Passive,
    /// PORT, EPRT
    Active,
}

/// One side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The client.
    Client,
    /// The server.
    Server,
}

/// How a transfer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferOutcome {
    /// Everything was carried.
    Complete,
    /// The client sent ABOR.
    Aborted,
    /// The control connection ended first.
    ControlLost,
    /// The data connection broke.
    ConnectionLost,
    /// Nothing moved for `data_timeout`.
    TimedOut,
    /// The file system refused.
    StorageFailed,
    /// The server was stopped.
    Shutdown,
    /// An administrator ended the session.
    Kicked,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// The client said QUIT.
    Quit,
    /// The client closed the connection, or it broke.
    ClientLeft,
    /// No command within `idle_timeout`.
    IdleTimeout,
    /// No login within `login_timeout`.
    LoginTimeout,
    /// Too many connections without a login, most of them from this address: it made way for another one.
    MadeWay,
    /// Too many failed logins.
    FailedLogins,
    /// The server had no room for a login.
    Overloaded,
    /// A command line over the limit.
    LineTooLong,
    /// The client spoke HTTP.
    OtherProtocol,
    /// The TLS handshake failed.
    TlsFailed,
    /// The server was stopped.
    Shutdown,
    /// An administrator ended it.
    Kicked,
}

impl Ends {
    /// The address family of the connection.
    pub fn family(&self) -> Family {
        if self.client.is_ipv4() { Family::IPv4 } else { Family::IPv6 }
    }
}

impl What {
    /// The kind of event, as the JSON field `event` names it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SessionOpened { .. } => "session_opened",
            Self::TlsOpened { .. } => "tls_opened",
            Self::TlsFailed { .. } => "tls_failed",
            Self::Refused { .. } => "refused",
            Self::LoginDelayed { .. } => "login_delayed",
            Self::Login { .. } => "login",
            Self::Command { .. } => "command",
            Self::DataOffered { .. } => "data_offered",
            Self::DataOpened { .. } => "data_opened",
            Self::DataFailed { .. } => "data_failed",
            Self::Transfer { .. } => "transfer",
            Self::SessionClosed { .. } => "session_closed",
        }
    }
}

/// One flat object: what and who first, details last.
impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            event: &'static str,
            #[serde(skip_serializing_if = "is_no_session")]
            session: u64,
            #[serde(flatten)]
            ends: Ends,
            time: String,
            #[serde(flatten)]
            what: &'a What,
        }
        let Self { time, session, ends, what } = self;
        let time = rfc3339(*time);
        Fields { event: what.name(), session: *session, ends: *ends, time, what }.serialize(serializer)
    }
}

impl Event {
    /// The event as one line of JSON. Besides what JSON asks for, everything is escaped that a terminal could obey, since
    /// people read logs there.
    pub fn to_json(&self) -> serde_json::Result<String> {
        let json = serde_json::to_string(self)?;
        // Most lines are, and to look at each of their characters would cost a busy log much of its time.
        if json.is_ascii() && !json.as_bytes().contains(&0x7f) {
            return Ok(json);
        }
        let is_obeyed = |char: char| char > '~' && char.escape_debug().len() > 1;
        let mut escaped = String::with_capacity(json.len() + 16);
        for char in json.chars() {
            match is_obeyed(char) {
                true => char.encode_utf16(&mut [0; 2]).iter().for_each(|unit| escaped += &format!("\\u{unit:04x}")),
                false => escaped.push(char),
            }
        }
        Ok(escaped)
    }
}

fn is_no_session(session: &u64) -> bool {
    *session == 0
}

impl Serialize for Ends {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields {
            client: SocketAddr,
            client_port: u16,
            client_port_class: PortClass,
            server: SocketAddr,
            server_port: u16,
            server_port_class: PortClass,
        }
        Fields {
            client: self.client,
            client_port: self.client.port(),
            client_port_class: PortClass::of(self.client.port()),
            server: self.server,
            server_port: self.server.port(),
            server_port_class: PortClass::of(self.server.port()),
        }
        .serialize(serializer)
    }
}

/// `client 192.0.2.7:51312 (dynamic), server 192.0.2.1:21 (system)`
impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, server } = self;
        let (client_class, server_class) = (PortClass::of(client.port()), PortClass::of(server.port()));
        write!(f, "client {client} ({client_class}), server {server} ({server_class})")
    }
}

/// One line of text. Everything that a client chose is escaped, so that no name can begin a line of its own.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, ends, what, .. } = self;
        write!(f, "{} ", rfc3339(self.time))?;
        if *session != 0 {
            write!(f, "session {session} ")?;
        }
        match what {
            What::Refused { reason } => write!(f, "connection refused: {}, {ends}", word(reason)),
            What::LoginDelayed { user, failures, seconds } => {
                let (user, client) = (user.escape_debug(), ends.client);
                write!(f, "login of {user} delayed by {seconds} s after {failures} failures, client {client}")
            }
            What::SessionOpened { listener, family, tls } => {
                write!(f, "opened: {ends}, {family:?}, listener {listener}{}", if *tls { ", TLS" } else { "" })
            }
            What::TlsOpened { version, cipher, resumed } => {
                write!(f, "encrypted: {ends}, TLS {version}, {cipher}{}", if *resumed { ", resumed" } else { "" })
            }
            What::TlsFailed { reason } => write!(f, "TLS handshake failed: {ends}: {}", reason.escape_debug()),
            What::Login { user, outcome, attempts } => {
                let (user, outcome) = (user.escape_debug(), word(outcome));
                write!(f, "login of {user}: {outcome} (attempt {attempts}), client {}", ends.client)
            }
            What::Command { verb, argument, code, duration } => {
                let space = if argument.is_empty() { "" } else { " " };
                write!(f, "command {verb}{space}{}: {code} after {}", argument.escape_debug(), Millis(*duration))
            }
            What::DataOffered { verb, address, port, port_class, numbers } => {
                let at = SocketAddr::new(*address, *port);
                write!(f, "{verb} offers {at} ({port_class}) as {}", numbers.escape_debug())
            }
            What::DataOpened { mode, opened_by, waited, .. } => {
                let (mode, opened_by) = (word(mode), word(opened_by));
                write!(f, "data connection open: {ends}, {mode}, opened by the {opened_by} in {}", Millis(*waited))
            }
            What::DataFailed { mode, address, port, port_class, reason } => {
                let (to, mode) = (SocketAddr::new(*address, *port), word(mode));
                write!(f, "data connection to {to} ({port_class}) failed: {mode}, {ends}: {}", reason.escape_debug())
            }
            What::Transfer { verb, path, r#type, bytes, sha256, outcome, closed_first, duration } => {
                let (path, outcome, closed_first) = (path.escape_debug(), word(outcome), word(closed_first));
                write!(f, "{verb} {path}: {outcome}, {bytes} bytes, TYPE {type}, {}, ", Millis(*duration))?;
                write!(f, "the {closed_first} closed first, {ends}")?;
                sha256.as_ref().map_or(Ok(()), |sum| write!(f, ", SHA-256 {sum}"))
            }
            What::SessionClosed { reason, transfers, bytes_sent, bytes_received, duration } => {
                let (reason, duration) = (word(reason), Millis(*duration));
                write!(f, "closed: {reason} after {duration}, {transfers} transfers, ")?;
                write!(f, "{bytes_sent} bytes sent, {bytes_received} received, {ends}")
            }
        }
    }
}

/// An outcome, a reason or the like as the word that JSON has for it, so that both formats speak alike.
pub(crate) fn word(it: &impl Serialize) -> String {
    serde_json::to_string(it).unwrap_or_default().trim_matches('"').to_owned()
}

fn rfc3339(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Milliseconds with three decimals: a listing on a LAN takes a fraction of one.
fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_micros() as f64 / 1000.0)
}

struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} ms", self.0.as_micros() as f64 / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_harmful(char: char) -> bool {
        char.is_control() || matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}')
    }

    fn event(what: What) -> Event {
        let ends = Ends { client: "192.0.2.7:51312".parse().unwrap(), server: "192.0.2.1:21".parse().unwrap() };
        Event { time: SystemTime::UNIX_EPOCH, what, session: 7, ends }
    }

    #[test]
    fn json_names_both_ends_their_ports_and_classes() {
        let listener = "0.0.0.0:21".parse().unwrap();
        let opened = event(What::SessionOpened { listener, family: Family::IPv4, tls: false });
        assert_eq!(
            serde_json::to_string(&opened).unwrap(),
            "{\"event\":\"session_opened\",\"session\":7,\"client\":\"192.0.2.7:51312\",\"client_port\":51312,\
             \"client_port_class\":\"dynamic\",\"server\":\"192.0.2.1:21\",\"server_port\":21,\
             \"server_port_class\":\"system\",\"time\":\"1970-01-01T00:00:00.000Z\",\"listener\":\"0.0.0.0:21\",\
             \"family\":\"ipv4\",\"tls\":false}"
        );
    }

    #[test]
    fn a_name_cannot_forge_a_line() {
        let argument = "x\r\n1970-01-01T00:00:00.000Z session 8 closed\u{1b}[2J".to_owned();
        let forged = event(What::Command { verb: "STOR", argument, code: 226, duration: Duration::ZERO });
        for line in [forged.to_string(), serde_json::to_string(&forged).unwrap()] {
            assert!(!line.contains(|c: char| c.is_control()), "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_argument_forges_nothing_in_either_format(argument in any::<String>(), nasty in "[\u{7f}-\u{9f}\u{200e}-\u{202e}\n\r\u{1b}\"\\\\]{1,9}") {
            for argument in [argument, nasty] {
                let command = event(What::Command { verb: "STOR", argument: argument.clone(), code: 226, duration: Duration::ZERO });
                let json = command.to_json().unwrap();
                for line in [&command.to_string(), &json] {
                    prop_assert!(!line.chars().any(is_harmful), "{}", line);
                }
                let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
                prop_assert_eq!(parsed["argument"].as_str(), Some(&*argument));
            }
        }
    }
}
