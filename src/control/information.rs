//! What the server says of itself: HELP, FEAT.

use super::command::{TABLE, find};
use super::reply::Reply;
use super::session::Session;
use crate::settings::{Encryption, Epsv};
use crate::storage::Algorithm;

impl Session {
    pub(super) fn help(&self, argument: &[u8]) -> Reply {
        if !argument.is_empty() {
            return match find(argument) {
                Some(syntax) => Reply::new(214, syntax.usage),
                None => Reply::new(502, "This command is not known here."),
            };
        }
        let rows =
            TABLE.chunks(8).map(|row| row.iter().map(|syntax| format!(" {:<7}", syntax.name)).collect::<String>());
        Reply::long(214, "These commands are served:", rows.map(String::into_bytes).collect(), "HELP verb says more.")
    }

    /// FEAT (RFC 2389), in alphabetical order.
    pub(super) fn features(&self) -> Reply {
        let hashes = Algorithm::ALL.map(|algorithm| {
            let chosen = if algorithm == self.parameters.hash { "*" } else { "" };
            format!("{}{chosen}", algorithm.name())
        });
        let in_force = self.shared.in_force();
        let server = &in_force.settings.server;
        let ipv4 = self.recorder.ends().server.is_ipv4();
        let tls = in_force.tls.as_ref().map(|_| &in_force.settings.tls);
        let explicit = tls.is_some_and(|tls| tls.control != Encryption::Off);
        let mut features = Vec::new();
        if explicit {
            features.push("AUTH TLS".to_owned());
        }
        features.push("CLNT".to_owned());
        if server.active {
            features.push("EPRT".to_owned());
        }
        if !(ipv4 && server.epsv == Epsv::Ipv6Only) {
            features.push("EPSV".to_owned());
        }
        features.push(format!("HASH {}", hashes.join(";")));
        features.extend(["HOST", "MDTM", "MFMT"].map(str::to_owned));
        features.push(format!("MLST {}", self.parameters.facts.feature()));
        if ipv4 {
            features.push("PASV".to_owned());
        }
        if explicit || self.wire.is_encrypted() {
            features.extend(["PBSZ", "PROT"].map(str::to_owned));
        }
        features.extend(["REST STREAM", "SIZE", "TVFS", "UTF8", "XMD5", "XSHA256"].map(str::to_owned));
        features.extend(self.shared.practice.get().and_then(|practice| practice.feature(self.recorder.session())));
        let lines = features.into_iter().map(|feature| format!(" {feature}").into_bytes()).collect();
        Reply::long(211, "Features:", lines, "End.")
    }
}
