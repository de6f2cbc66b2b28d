//! `/sessions.txt`: the projector's table in netstat's look, for terminals and for screen readers.

use std::fmt::Write as _;
use std::time::Duration;

use super::hub::{Facts, Rows};
use super::row::{Kind, Row, State};
use super::view::{Face, Rules};
use crate::columns::columns;
use crate::sessions::{Mode, Side};

/// The projector's table at this moment, `now` in milliseconds since 1970.
pub(super) fn sessions(rows: &Rows, facts: &Facts, rules: &Rules, now: u64) -> String {
    let mut ordered: Vec<&Row> = rows.values().map(|row| &**row).collect();
    ordered.sort_by_key(|row| (row.place, row.kind));
    let mut table = vec![
        [
            "Proto",
            "Local Address",
            "Foreign Address",
            "State",
            "Client port",
            "Mode",
            "Name",
            "Command",
            "Code",
            "Bytes",
            "Age",
        ]
        .map(str::to_owned),
    ];
    let listening = facts.listeners().iter().map(|address| {
        let nobody = if address.starts_with('[') { "[::]:*" } else { "0.0.0.0:*" };
        let mut row = [const { String::new() }; 11];
        (row[0], row[1]) = (protocol(address), address.clone());
        (row[2], row[3]) = (nobody.to_owned(), "LISTEN".to_owned());
        row
    });
    table.extend(listening);
    table.extend(ordered.iter().filter_map(|row| rules.seen(&Face::Projector, row)).map(|seen| {
        let row = &seen;
        let mode = match (row.kind, row.mode) {
            (Kind::Data, Some(Mode::Passive)) => "passive <-",
            (Kind::Data, Some(Mode::Active)) => "active ->",
            _ => "",
        };
        // It is the server's table: what the client remembers does not stand in it.
        let state = match (row.state, row.closed_first) {
            (State::Listen, _) => "LISTEN",
            (State::Established, _) => "ESTABLISHED",
            (State::TimeWait, Some(Side::Server)) => "TIME_WAIT",
            (State::TimeWait | State::Closed, _) => "CLOSED",
        };
        let command = format!("{} {}", row.verb, row.argument.escape_debug());
        [
            protocol(&row.server),
            row.server.clone(),
            row.client.clone().unwrap_or_else(|| "*".to_owned()),
            state.to_owned(),
            row.class.map(|class| class.to_string()).unwrap_or_default(),
            mode.to_owned(),
            row.name.clone().unwrap_or_else(|| format!("session {}", row.session)),
            command.trim_end().to_owned(),
            row.code.map(|code| code.to_string()).unwrap_or_default(),
            row.bytes.map(|bytes| bytes.to_string()).unwrap_or_default(),
            age(Duration::from_millis(row.ended.unwrap_or(now).saturating_sub(row.opened))),
        ]
    }));
    let mut text = format!("Active Internet connections (servers and established)\n{}", columns(&table));
    if facts.left_out() > 0 {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "and {} more sessions", facts.left_out());
    }
    text
}

/// netstat's word for TCP between such addresses.
fn protocol(address: &str) -> String {
    if address.starts_with('[') { "tcp6" } else { "tcp" }.to_owned()
}

/// `04:11`, minutes and seconds.
fn age(duration: Duration) -> String {
    let seconds = duration.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}
