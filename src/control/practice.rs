//! Lessons beside the sessions: what control asks whoever gives one. Control itself knows nothing of lessons.

use std::fmt;

use crate::sessions::Ends;

/// Somebody who gives lessons on a server. It is asked in the session's own task and may block it briefly.
pub trait Practice: fmt::Debug + Send + Sync {
    /// The lines of the 200 reply to `SITE word argument`; `None` where the word, in capitals, is none of its own.
    fn site(&self, asker: Asker<'_>, word: &str, argument: &str) -> Option<Vec<String>>;

    /// What SITE HELP says of those words, a line each.
    fn help(&self) -> Vec<String>;

    /// A line of its own in this session's FEAT.
    fn feature(&self, session: u64) -> Option<String>;

    /// Whether students have to find the ports of their connections by themselves, so that STAT does not tell them.
    fn hides_ports(&self) -> bool {
        false
    }

    /// Answers a request of the administrator's, which came over the admin socket.
    fn administer(&self, request: serde_json::Value) -> Result<serde_json::Value, String> {
        Err(format!("nothing is known here of {request}"))
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker<'a> {
    /// The session's number.
    pub session: u64,
    /// Who is logged in there.
    pub user: &'a str,
    /// Its control connection.
    pub ends: Ends,
}
