//! Encryption of the control and the data connections: AUTH, PBSZ, PROT, CCC (RFC 4217).

use std::sync::Arc;

use super::command::Verb;
use super::reply::Reply;
use super::session::{Answer, Session};
use crate::sessions::{CloseReason, What};
use crate::settings::Encryption;

/// How data connections are protected. A login changes nothing about it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Protection {
    /// PBSZ was sent, which RFC 4217 wants before PROT.
    buffer_size: bool,
    /// PROT P.
    pub private: bool,
}

impl Protection {
    /// What a session begins with where `data` says how data connections go. Clients of implicit FTPS take PROT P for granted.
    pub fn at_first(implicit: bool, data: Encryption) -> Self {
        Self { buffer_size: implicit, private: implicit && data != Encryption::Off }
    }
}

impl Session {
    /// What has to be encrypted before this command is answered.
    pub(super) fn refused_in_clear(&self, verb: Verb, argument: &[u8]) -> Option<Reply> {
        let in_force = self.shared.in_force();
        let tls = &in_force.settings.tls;
        let encrypted = self.wire.is_encrypted();
        if tls.control == Encryption::Required && !encrypted && !verb.comes_before_tls() {
            return Some(Reply::new(530, "This server serves encrypted connections only. Send AUTH TLS first."));
        }
        let lists_here = verb == Verb::Stat && !argument.is_empty() && !encrypted;
        let in_clear = verb.is_about_data() && !self.protection.private || lists_here;
        if tls.data == Encryption::Required && in_clear {
            let text = "Data connections are encrypted only here. Send AUTH TLS, PBSZ 0 and PROT P first.";
            return Some(Reply::new(521, text));
        }
        None
    }

    /// AUTH. The handshake follows the reply.
    pub(super) fn authenticate(&mut self, mechanism: &[u8]) -> Answer {
        let known = ["TLS", "TLS-C", "SSL", "TLS-P"].map(str::as_bytes);
        let reply =
            if self.shared.in_force().tls.is_none() || self.shared.in_force().settings.tls.control == Encryption::Off {
                Reply::new(502, "This server does not encrypt this connection. Go on without AUTH.")
            } else if self.wire.is_encrypted() {
                Reply::new(503, "This connection is encrypted already.")
            } else if !known.iter().any(|known| known.eq_ignore_ascii_case(mechanism)) {
                Reply::new(504, "Only AUTH TLS is served.")
            } else {
                // Whoever spoke in clear need not be who speaks now (RFC 2228, 3).
                self.log_out();
                self.protection = Protection::default();
                return Answer::then_encrypt(Reply::new(234, "Begin the TLS handshake now."));
            };
        reply.into()
    }

    pub(super) fn protection_buffer_size(&mut self, size: &[u8]) -> Reply {
        if !self.wire.is_encrypted() {
            return Reply::new(503, "Send AUTH TLS first.");
        }
        if !size.iter().all(u8::is_ascii_digit) {
            return Reply::new(501, "PBSZ needs a number, which is 0 with TLS.");
        }
        self.protection.buffer_size = true;
        Reply::new(200, "PBSZ=0")
    }

    pub(super) fn protect(&mut self, level: &[u8]) -> Reply {
        let data = self.shared.in_force().settings.tls.data;
        if !self.wire.is_encrypted() {
            return Reply::new(503, "Send AUTH TLS first.");
        }
        if !self.protection.buffer_size {
            return Reply::new(503, "Send PBSZ 0 first.");
        }
        match level.to_ascii_uppercase().as_slice() {
            b"P" if data == Encryption::Off => Reply::new(534, "Data connections are not encrypted here. Use PROT C."),
            b"P" => {
                self.protection.private = true;
                Reply::new(200, "Data connections are encrypted from now on.")
            }
            b"C" if data == Encryption::Required => Reply::new(534, "Data connections are encrypted only. Use PROT P."),
            b"C" => {
                self.protection.private = false;
                Reply::new(200, "Data connections are in clear from now on.")
            }
            b"E" | b"S" => Reply::new(536, "TLS has no such level. Use PROT P (private) or PROT C (clear)."),
            _ => Reply::new(504, "Use PROT P (private) or PROT C (clear)."),
        }
    }

    /// CCC would end TLS in the middle of the connection.
    pub(super) fn clear_command_channel(&self) -> Reply {
        if self.wire.is_encrypted() {
            Reply::new(534, "The control connection stays encrypted, so that nobody can slip commands in.")
        } else {
            Reply::new(533, "This connection is not encrypted.")
        }
    }

    /// The handshake on the control connection. What was read before it, or waits, came in clear and is thrown away.
    pub(super) async fn encrypt(&mut self) -> Result<(), CloseReason> {
        let shared = Arc::clone(&self.shared);
        let Some(tls) = shared.in_force().tls.clone() else { return Err(CloseReason::TlsFailed) };
        self.waiting.clear();
        let handshake = tls.accept_control(self.wire.stream(), self.recorder.session());
        let ended = tokio::select! {
            biased;
            () = self.recorder.kicked().cancelled() => return Err(CloseReason::Kicked),
            () = shared.drain.cancelled() => return Err(CloseReason::Shutdown),
            () = self.permit.must_make_way() => return Err(CloseReason::MadeWay),
            ended = handshake => ended,
        };
        match ended {
            Ok(channel) => {
                let resumed = channel.resumed().is_some();
                self.recorder.record(What::TlsOpened { version: channel.version(), cipher: channel.cipher(), resumed });
                self.wire.encrypt(channel);
                self.tls = Some(tls);
                Ok(())
            }
            Err(error) => {
                self.recorder.record(What::TlsFailed { reason: error.to_string() });
                Err(CloseReason::TlsFailed)
            }
        }
    }
}
