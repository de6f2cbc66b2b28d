//! What is asked of a running server: `longshore sessions`, `kick`, `logins`, `unblock`, `reload`, and `health`.

use std::collections::HashMap;
use std::env;
use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::{Args, Subcommand};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::health::{HealthArgs, health};
use super::{columns, failure, finish, print};
use crate::admin::{Client, Request, Table, harmless};
use crate::limits::RememberedFailures;
use crate::page::Links;
use crate::sessions::{Connection, ConnectionKind, ConnectionState, Side, Whose};
use crate::settings::{AdminSocket, Flags, Settings, load_usable};

/// What can be asked.
#[derive(Debug, Clone, Subcommand)]
pub enum OperateCommand {
    /// Show the running server's connections with their ports, as netstat would
    Sessions(SessionsArgs),
    /// End sessions of the running server, with a 421 to their clients
    Kick(KickArgs),
    /// Show the failed logins that make the next ones wait
    Logins(AskArgs),
    /// Forget failed logins, so that the next one does not wait
    Unblock(UnblockArgs),
    /// Show the links of the running server's live page, with the one that may do everything
    Page(AskArgs),
    /// Have the running server read its files again, and show what is new or what is wrong
    ///
    /// SIGHUP does the same. Where anything is wrong, nothing changes and the exit code is 1. Nobody is dropped.
    Reload(AskArgs),
    /// Connect to the running server as a client does; exit with 0 if it answers, else with 1
    ///
    /// A check that finds the admin socket leaves no trace in the session log and takes no place of a client.
    Health(HealthArgs),
}

/// How the running server is found.
#[derive(Debug, Clone, Args)]
pub struct AskArgs {
    /// Ask at this socket [default: the one that server.admin_socket leads to]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Read server.admin_socket from this TOML file
    #[arg(long, value_name = "FILE", env = "LONGSHORE_CONFIG")]
    config: Option<PathBuf>,
    /// Print JSON, one line
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `longshore sessions`.
#[derive(Debug, Clone, Args)]
pub struct SessionsArgs {
    #[command(flatten)]
    ask: AskArgs,
    /// Show it again every second, or as often as said; Ctrl-C ends it
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch: Option<u64>,
}

/// The arguments of `longshore kick`.
#[derive(Debug, Clone, Args)]
pub struct KickArgs {
    /// A session's number, a user's name, or the address of clients
    #[arg(value_name = "SESSION|USER|ADDRESS")]
    whom: String,
    /// Take it for a user's name, even if it looks like a number or an address
    #[arg(long)]
    user: bool,
    #[command(flatten)]
    ask: AskArgs,
}

/// The arguments of `longshore unblock`.
#[derive(Debug, Clone, Args)]
pub struct UnblockArgs {
    /// A user's name or an address
    #[arg(value_name = "USER|ADDRESS", required_unless_present = "all", conflicts_with = "all")]
    whom: Option<String>,
    /// Forget all failed logins
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    ask: AskArgs,
}

/// Asks the running server.
pub fn operate(command: &OperateCommand) -> ExitCode {
    match command {
        OperateCommand::Sessions(args) => finish(sessions(args)),
        OperateCommand::Kick(args) => finish(kick(args)),
        OperateCommand::Logins(args) => finish(logins(args)),
        OperateCommand::Unblock(args) => finish(unblock(args)),
        OperateCommand::Page(args) => finish(args.ask(&Request::Page, |links: Links| links.to_string())),
        OperateCommand::Reload(args) => finish(reload(args)),
        OperateCommand::Health(args) => match health(args) {
            Ok(()) => ExitCode::SUCCESS,
            // Docker knows no other code than 1.
            Err(error) => {
                failure(&error);
                ExitCode::FAILURE
            }
        },
    }
}

impl AskArgs {
    /// The settings of the server, as far as they can be read: what is wrong with the others is for `check` to say.
    pub fn settings(&self, needed: &[&str]) -> anyhow::Result<Settings> {
        let (loaded, faults) = load_usable(self.config.as_deref(), env::vars_os(), &Flags::default());
        if !faults.leave_usable(needed) {
            faults.or(())?;
        }
        Ok(loaded.settings)
    }

    /// The running server.
    pub fn client(&self) -> anyhow::Result<Client> {
        Client::find(&self.place()?)
    }

    /// Whether it is known where the running server answers, if there is one.
    pub fn names_a_socket(&self) -> bool {
        matches!(self.place(), Ok(AdminSocket::At(_)))
    }

    fn place(&self) -> anyhow::Result<AdminSocket> {
        match &self.socket {
            Some(path) => Ok(AdminSocket::At(path.clone())),
            None => Ok(self.settings(&["server.admin_socket"])?.server.admin_socket),
        }
    }

    /// Asks, and prints the answer as JSON where that is wanted, else as `text` says.
    fn ask<T: DeserializeOwned>(&self, request: &Request, text: impl FnOnce(T) -> String) -> anyhow::Result<()> {
        let answer = self.client()?.ask(request)?;
        if self.json { print(&line(&answer)) } else { print(&harmless(&text(serde_json::from_value(answer)?))) }
    }
}

/// JSON as a script reads it.
pub fn line(value: &Value) -> String {
    format!("{value}\n")
}

fn sessions(args: &SessionsArgs) -> anyhow::Result<()> {
    let mut rates = Rates::default();
    let Some(seconds) = args.watch else {
        return args.ask.ask(&Request::Sessions, |table| show(&table, &mut rates));
    };
    let client = args.ask.client()?;
    // Home and what is below it: the screen does not flicker as if it were cleared first.
    let clear = if io::stdout().is_terminal() { "\x1b[H\x1b[J" } else { "" };
    loop {
        let answer = client.ask(&Request::Sessions)?;
        let text = match args.ask.json {
            true => line(&answer),
            false => format!("{clear}{}\n", harmless(&show(&serde_json::from_value(answer)?, &mut rates))),
        };
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            result => result?,
        }
        drop(out);
        sleep(Duration::from_secs(seconds));
    }
}

fn kick(args: &KickArgs) -> anyhow::Result<()> {
    let whom = args.whom.as_str();
    let whose = match (whom.parse(), whom.parse::<IpAddr>()) {
        (Ok(number), _) if !args.user => Whose::Session(number),
        (_, Ok(address)) if !args.user => Whose::Address(address),
        _ => Whose::User(whom.to_owned()),
    };
    let nobody = match &whose {
        Whose::Session(number) => format!("there is no session {number} (a user of this name: --user)"),
        Whose::User(name) => format!("nobody is logged in as {}", name.escape_debug()),
        Whose::Address(address) => format!("there is no session from {address}"),
    };
    let mut kicked = 0;
    args.ask.ask(&Request::Kick { whose }, |sessions: Vec<Connection>| {
        kicked = sessions.len();
        let line = |session: &Connection| {
            let (number, user) = (session.session.unwrap_or(0), session.user.as_deref().unwrap_or("(nobody)"));
            let client = session.foreign.map(|client| client.to_string()).unwrap_or_default();
            format!("session {number} ended: {}, {client}\n", user.escape_debug())
        };
        sessions.iter().map(line).collect()
    })?;
    if kicked == 0 && !args.ask.json {
        bail!(nobody);
    }
    Ok(())
}

fn logins(args: &AskArgs) -> anyhow::Result<()> {
    args.ask(&Request::Logins, |failures: Vec<RememberedFailures>| {
        if failures.is_empty() {
            return "no failed logins are remembered\n".to_owned();
        }
        let head = ["User", "Address", "Failures", "Next login waits"].map(str::to_owned);
        let row = |it: &RememberedFailures| {
            let user = it.user.as_deref().unwrap_or("(any)").escape_debug().to_string();
            let address = it.address.map_or("(any)".to_owned(), |address| address.to_string());
            [user, address, it.failures.to_string(), format!("{} s", it.wait.as_secs())]
        };
        columns(&std::iter::once(head).chain(failures.iter().map(row)).collect::<Vec<_>>())
    })
}

fn unblock(args: &UnblockArgs) -> anyhow::Result<()> {
    let whom = args.whom.as_deref();
    let address = whom.and_then(|whom| whom.parse().ok());
    let user = whom.filter(|_| address.is_none()).map(str::to_owned);
    args.ask.ask(&Request::Unblock { user, address }, |forgotten: usize| match forgotten {
        0 => "there was nothing to forget\n".to_owned(),
        1 => "1 entry forgotten\n".to_owned(),
        several => format!("{several} entries forgotten\n"),
    })
}

fn reload(args: &AskArgs) -> anyhow::Result<()> {
    args.ask(&Request::Reload, |news: Vec<String>| match news.is_empty() {
        true => "nothing has changed\n".to_owned(),
        false => news.join("\n") + "\n",
    })
}

/// The bytes of the data connections when they were last looked at.
#[derive(Debug, Default)]
struct Rates(HashMap<(SocketAddr, Option<SocketAddr>), (u64, Instant)>);

impl Rates {
    /// Bytes a second since the last look, or since the connection's beginning at the first.
    fn of(&self, row: &Connection, now: Instant) -> Option<u64> {
        let bytes = row.bytes?;
        match self.0.get(&(row.local, row.foreign)) {
            Some(&(before, then)) if before <= bytes && now > then => {
                Some(((bytes - before) as f64 / (now - then).as_secs_f64()) as u64)
            }
            _ => row.bytes_per_second,
        }
    }

    fn remember(&mut self, rows: &[Connection], now: Instant) {
        let seen = rows.iter().filter_map(|row| Some(((row.local, row.foreign), (row.bytes?, now))));
        self.0 = seen.collect();
    }
}

/// The table as text, in netstat's words.
fn show(table: &Table, rates: &mut Rates) -> String {
    let now = Instant::now();
    let head = [
        "Proto",
        "Local Address",
        "Foreign Address",
        "State",
        "Ports",
        "TLS",
        "Session",
        "User",
        "Command",
        "Bytes",
        "Rate",
        "Age",
    ];
    let rows = table.connections.iter().map(|row| cells(row, rates.of(row, now)));
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    rates.remember(&table.connections, now);
    let mut text = columns(&rows);
    if table.left_out > 0 {
        text += &format!("and {} more\n", table.left_out);
    }
    text
}

fn cells(row: &Connection, rate: Option<u64>) -> [String; 12] {
    let any = if row.local.is_ipv4() { "0.0.0.0:*" } else { "[::]:*" };
    let state = match row.state {
        ConnectionState::Listen => "LISTEN",
        ConnectionState::Established => "ESTABLISHED",
    };
    // The arrow shows who connected to whom.
    let arrow = if row.opened_by == Some(Side::Server) { "->" } else { "<-" };
    let ports = match row.foreign_port_class {
        Some(class) => format!("{} {arrow} {class}", row.local_port_class),
        None => row.local_port_class.to_string(),
    };
    let command = match (row.kind, &row.verb) {
        (ConnectionKind::Listener, _) => "control connections".to_owned(),
        (ConnectionKind::Passive, _) => "passive port".to_owned(),
        (_, Some(verb)) => {
            let argument = row.argument.as_deref().unwrap_or_default().escape_debug();
            let code = row.code.map(|code| format!("({code})")).unwrap_or_default();
            [verb.clone(), argument.to_string(), code]
                .into_iter()
                .filter(|word| !word.is_empty())
                .collect::<Vec<_>>()
                .join(" ")
        }
        (_, None) => String::new(),
    };
    [
        if row.local.is_ipv4() { "tcp" } else { "tcp6" }.to_owned(),
        row.local.to_string(),
        row.foreign.map_or(any.to_owned(), |foreign| foreign.to_string()),
        state.to_owned(),
        ports,
        if row.tls { "tls" } else { "-" }.to_owned(),
        row.session.map(|number| number.to_string()).unwrap_or_default(),
        row.user.as_deref().map(|user| user.escape_debug().to_string()).unwrap_or_default(),
        command,
        row.bytes.map(|bytes| bytes.to_string()).unwrap_or_default(),
        rate.map(per_second).unwrap_or_default(),
        row.seconds.map(age).unwrap_or_default(),
    ]
}

fn per_second(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        1e9.. => format!("{:.1} GB/s", bytes / 1e9),
        1e6.. => format!("{:.1} MB/s", bytes / 1e6),
        1e3.. => format!("{:.1} kB/s", bytes / 1e3),
        _ => format!("{bytes} B/s"),
    }
}

fn age(seconds: f64) -> String {
    let seconds = seconds as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_rates_are_short() {
        assert_eq!([0.9, 61.0, 3661.5].map(age), ["0 s", "1:01", "1:01:01"]);
        assert_eq!(
            [999, 1500, 2_000_000, 3_100_000_000].map(per_second),
            ["999 B/s", "1.5 kB/s", "2.0 MB/s", "3.1 GB/s"]
        );
    }

    #[test]
    fn a_rate_is_that_since_the_last_look() {
        let mut row = Connection::listening(ConnectionKind::Data, "127.0.0.1:50000".parse().unwrap());
        (row.bytes, row.bytes_per_second) = (Some(1000), Some(7));
        let (mut rates, now) = (Rates::default(), Instant::now());
        assert_eq!(rates.of(&row, now), Some(7));
        rates.remember(&[row.clone()], now);
        row.bytes = Some(5000);
        assert_eq!(rates.of(&row, now + Duration::from_secs(2)), Some(2000));
        // The same ports, and another connection.
        row.bytes = Some(10);
        assert_eq!(rates.of(&row, now + Duration::from_secs(2)), Some(7));
    }

    #[test]
    fn what_a_client_chose_stays_in_its_cell() {
        let mut row = Connection::listening(ConnectionKind::Control, "127.0.0.1:21".parse().unwrap());
        row.verb = Some("STOR".to_owned());
        row.argument = Some("x\n\u{1b}[2J".to_owned());
        assert!(!cells(&row, None).concat().contains(char::is_control));
    }
}
