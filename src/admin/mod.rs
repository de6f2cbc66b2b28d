//! What an operator may ask of a running server: who is connected, to end a session, to forget failed logins, to let a
//! health check pass by the log.
//!
//! It is asked over a Unix socket ([`Admin`] serves it, [`Client`] asks; [`place`] says where it lies): one line of JSON
//! each way, a connection for each request. Whoever asks must be root or the user who serves.

mod client;
pub mod place;
mod socket;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use client::{Client, harmless};
pub use socket::Admin;

use crate::sessions::{Connection, Whose};

/// How long a request and its answer may take; and a health check, for which its connection stays open.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// The longest request in bytes.
const REQUEST_LIMIT: u64 = 16 << 10;

/// The longest answer in bytes that is read; [`ROWS`] rows stay below it.
const ANSWER_LIMIT: u64 = 64 << 20;

/// The most sockets that are listed.
const ROWS: usize = 20_000;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// The [`Table`] of the server's sockets.
    Sessions,
    /// The listeners among them, as a list of [`Connection`]s.
    Listeners,
    /// End sessions; the answer is a list of their control connections.
    Kick {
        /// Which.
        whose: Whose,
    },
    /// The failed logins that are remembered, as a list of [`crate::limits::RememberedFailures`].
    Logins,
    /// Forget failed logins; the answer is how many entries that were.
    Unblock {
        /// Those of this user only.
        user: Option<String>,
        /// Those from this address only.
        address: Option<IpAddr>,
    },
    /// The [`crate::page::Links`] of the live page.
    Page,
    /// Something about the class that is served; the answer depends on what.
    Classroom {
        /// See [`ClassroomRequest`](crate::classroom::ClassroomRequest).
        ask: Value,
    },
    /// Have the files read again, as SIGHUP does; the answer is a list of sentences about what is new.
    Reload,
    /// A control connection that will come from here is a health check. This holds until the asking connection ends.
    Health {
        /// Its client's end.
        from: SocketAddr,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    /// What was asked for.
    Ok(Value),
    /// Why it was not done.
    Error(String),
}

/// The server's sockets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Listeners first, then session by session.
    pub connections: Vec<Connection>,
    /// How many more there are.
    pub left_out: usize,
}

impl Table {
    fn of(mut connections: Vec<Connection>) -> Self {
        let left_out = connections.len().saturating_sub(ROWS);
        connections.truncate(ROWS);
        Self { connections, left_out }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::sessions::ConnectionKind;

    #[test]
    fn requests_and_answers_are_one_line_each() {
        let kick = Request::Kick { whose: Whose::User("ann\n".to_owned()) };
        let line = serde_json::to_string(&kick).unwrap();
        assert_eq!(line, r#"{"request":"kick","whose":{"user":"ann\n"}}"#);
        assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), kick);
        assert_eq!(serde_json::to_string(&Answer::Error("a\nb".to_owned())).unwrap(), r#"{"error":"a\nb"}"#);
    }

    #[test]
    fn a_table_has_an_end() {
        let row = Connection::listening(ConnectionKind::Listener, "0.0.0.0:21".parse().unwrap());
        let table = Table::of(vec![row.clone(); ROWS + 3]);
        assert_eq!((table.connections.len(), table.left_out), (ROWS, 3));
        assert_eq!(Table::of(vec![row]).left_out, 0);
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_a_request_or_refused(pieces in vec(select(&[
            "{", "}", "[", "]", "\"request\"", ":", ",", "\"kick\"", "\"whose\"", "\"unblock\"", "\"health\"", "\"from\"", "null",
            "\"127.0.0.1:1\"", "{\"user\":\"x\"}", "1e999", "-1", "\"\\ud800\"", "\"sessions\"", "[[[[[[[[[[[[[[[[[[[[[[[[[",
        ][..]), 0..30)) {
            let text = pieces.concat();
            if let Ok(request) = serde_json::from_str::<Request>(&text) {
                let line = serde_json::to_string(&request).unwrap();
                prop_assert!(!line.contains('\n'));
                prop_assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
            }
        }
    }
}
