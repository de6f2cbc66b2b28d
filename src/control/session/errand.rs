//! What a session waits for while it goes on reading its control connection.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::Session;
use crate::control::command::{self, Verb};
use crate::control::reply::Reply;
use crate::control::wire::Incoming;

/// Commands that may wait for a transfer's end. Further ones are refused, so that an ABOR behind them is still seen.
const WAITING_LIMIT: usize = 16;

/// Something that ends a transfer from the control side.
#[derive(Debug)]
pub(in crate::control) enum Interruption {
    /// ABOR, this many times.
    Abort(u32),
    /// The control connection broke.
    Left,
    /// A command line over the limit.
    LineTooLong,
    /// The server was told to stop, and the grace period is over.
    Shutdown,
    /// An administrator ended the session.
    Kicked,
}

/// What the session waits for while it goes on reading its control connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::control) enum Errand {
    /// The turn of a login that others like it have failed before.
    Turn,
    /// Whether somebody is let in.
    Login,
    /// A data connection.
    Opening,
    /// A transfer whose 150 was sent.
    Transfer,
    /// A digest.
    Digest,
}

impl Errand {
    /// Whether ABOR ends it. A login is no transfer, and its reply comes first.
    fn is_aborted(self) -> bool {
        matches!(self, Self::Opening | Self::Transfer | Self::Digest)
    }

    /// Whether NOOP and STAT are answered before it is over. Without a 150 in front, a client that sends commands ahead
    /// would take their replies for the one that it waits for.
    fn is_under_way(self) -> bool {
        self == Self::Transfer
    }

    /// Whether it goes on when the client closes its side: a client may do so behind its last command and still wait for
    /// what it asked for. A digest may take very long, and no data connection would stop it.
    fn outlives_the_client_s_side(self) -> bool {
        !matches!(self, Self::Turn | Self::Digest)
    }
}

impl Session {
    /// Runs `work`, and goes on reading the control connection beside it. ABOR cancels `stop`, NOOP and STAT are answered,
    /// each where `errand` lets them; everything else waits its turn. `work` must end soon after `stop`. It is boxed, for
    /// its room would be in every command's state otherwise, and 20 KB of that moved six times for a NOOP.
    pub(in crate::control) async fn beside<T>(
        &mut self,
        stop: &CancellationToken,
        errand: Errand,
        mut work: Pin<Box<impl Future<Output = T>>>,
    ) -> T {
        let (shared, kicked) = (Arc::clone(&self.shared), self.recorder.kicked().clone());
        let mut listening = true;
        loop {
            // Where no ABOR can be behind them, further commands stay in the socket.
            let has_room = errand.is_aborted() || self.waiting.len() < WAITING_LIMIT;
            // The work comes before the wire: a flood of commands does not hold it up.
            tokio::select! {
                biased;
                () = shared.cut.cancelled(), if !stop.is_cancelled() => {
                    self.interrupted = Some(Interruption::Shutdown);
                }
                () = kicked.cancelled(), if !stop.is_cancelled() => self.interrupted = Some(Interruption::Kicked),
                done = &mut work => return done,
                incoming = self.wire.line(), if listening && has_room => match incoming {
                    Ok(Incoming::Line(line)) => self.line_beside(line, errand),
                    Ok(Incoming::End) if errand.outlives_the_client_s_side() => listening = false,
                    Ok(Incoming::End) | Err(_) => self.interrupted = Some(Interruption::Left),
                    Ok(Incoming::TooLong) => self.interrupted = Some(Interruption::LineTooLong),
                },
            }
            if let Some(interruption) = &self.interrupted {
                stop.cancel();
                listening &= matches!(interruption, Interruption::Abort(_));
            }
        }
    }

    /// A command that comes during an errand.
    fn line_beside(&mut self, line: Vec<u8>, errand: Errand) {
        let begun = Instant::now();
        let command = command::parse(&line).ok();
        // Replies keep their order: behind a command that waits, these wait too.
        let in_turn = errand.is_under_way() && self.waiting.is_empty() && self.interrupted.is_none();
        let reply = match command.as_ref().map(|command| (command.syntax.verb, &command.argument)) {
            Some((Verb::Abor, _)) if errand.is_aborted() => {
                let times = if let Some(Interruption::Abort(times)) = self.interrupted { times } else { 0 };
                self.interrupted = Some(Interruption::Abort(times + 1));
                return;
            }
            Some((Verb::Noop, _)) if in_turn => Reply::new(200, "OK."),
            Some((Verb::Stat, path)) if in_turn => {
                let refused = command.as_ref().and_then(|command| self.refused(command.syntax, path));
                refused.unwrap_or_else(|| self.status(path))
            }
            _ if self.waiting.len() < WAITING_LIMIT => return self.waiting.push_back(line),
            _ => Reply::new(503, format!("{WAITING_LIMIT} commands wait already; this one is dropped.")),
        };
        self.wire.queue(&reply);
        if let Some(command) = command {
            self.record_command(command.syntax.name, self.printable_argument(&command), &reply, begun);
        }
    }

    /// Which interruption ended the running transfer.
    pub(in crate::control) fn interruption(&self) -> Option<&Interruption> {
        self.interrupted.as_ref()
    }

    /// Whether the client is gone, or goes within `patience`, and has not said goodbye.
    pub(in crate::control) async fn is_abandoned(&self, patience: Duration) -> bool {
        self.waiting.is_empty() && self.wire.is_abandoned(patience).await
    }

    /// Ends the session behind the command that noticed: the control connection broke.
    pub(in crate::control) fn client_left(&mut self) {
        self.interrupted = Some(Interruption::Left);
    }
}
