//! STAT: the session as the server sees it, ports and all; with a path, a listing over the control connection.

use std::sync::atomic::Ordering;

use tokio::task::block_in_place;

use super::reply::Reply;
use super::session::Session;
use crate::data::Offer;
use crate::storage::{Amount, ListRequest, Style};

/// Bytes of listing in a STAT reply; LIST has no such limit.
const LISTING_LIMIT: usize = 1 << 20;

impl Session {
    pub(super) fn status(&self, argument: &[u8]) -> Reply {
        if argument.is_empty() { self.session_status() } else { self.listing_status(argument) }
    }

    fn session_status(&self) -> Reply {
        let hides_ports = self.shared.practice.get().is_some_and(|practice| practice.hides_ports());
        let mut lines = Vec::new();
        if !hides_ports {
            lines.push(format!(" Control connection: {}", self.recorder.ends()));
        }
        if self.shared.in_force().tls.is_some() {
            let word = |encrypted| if encrypted { "encrypted" } else { "in clear" };
            let (control, data) = (word(self.wire.is_encrypted()), word(self.protection.private));
            lines.push(format!(" Control connection {control}, data connections {data}"));
        }
        lines.push(match &self.login {
            Some(login) => format!(" Logged in as {}", login.account.name),
            None => " Not logged in".to_owned(),
        });
        lines.push(format!(" Working directory: {}", self.directory));
        let kind = if self.parameters.ascii { "ASCII" } else { "binary" };
        lines.push(format!(" TYPE: {kind}, STRU: file, MODE: stream"));
        match &self.offer {
            _ if hides_ports => {}
            Some(Offer::Passive(listener)) => lines.push(format!(" Next data connection: to {}", listener.address())),
            Some(Offer::Active(client)) => lines.push(format!(" Next data connection: to {client}")),
            None => {}
        }
        if let Some(running) = &self.recorder.now().running {
            let bytes = running.moved.load(Ordering::Relaxed);
            lines.push(format!(" {} {}: {bytes} bytes so far", running.verb, running.path));
            if let Some(data) = running.data.as_ref().filter(|_| !hides_ports) {
                lines.push(format!(" Data connection: {}", data.ends));
            }
        }
        if let Some(quota) = self.quota() {
            lines.push(format!(" Quota: {quota}"));
        }
        let (count, sent, received) = (self.totals.transfers, self.totals.bytes_sent, self.totals.bytes_received);
        lines.push(format!(" So far: {count} transfers, {sent} bytes sent, {received} bytes received"));
        let first = concat!("longshore ", env!("CARGO_PKG_VERSION"));
        Reply::long(211, first, lines.into_iter().map(Into::into).collect(), "End of status.")
    }

    /// `1204 of 50000000 bytes, 3 of 500 files`, where there is a quota.
    fn quota(&self) -> Option<String> {
        let (quota, used) = self.login.as_ref()?.storage.quota()?;
        let of = |limit: u64| if limit == 0 { String::new() } else { format!(" of {limit}") };
        let Amount { bytes, files } = used;
        Some(format!("{bytes}{} bytes, {files}{} files and directories", of(quota.bytes), of(quota.files)))
    }

    /// SITE QUOTA.
    pub(super) fn site_quota(&self) -> Reply {
        Reply::new(200, self.quota().map_or("You have no quota.".to_owned(), |quota| format!("Your quota: {quota}.")))
    }

    fn listing_status(&self, argument: &[u8]) -> Reply {
        let request = ListRequest::parse(argument);
        let listed =
            self.storage().and_then(|storage| block_in_place(|| storage.list(&self.directory, &request, Style::Long)));
        let mut listing = match listed {
            Ok(listing) => listing,
            Err(fault) => return fault.into(),
        };
        let (mut bytes, mut more) = (Vec::new(), true);
        while more && bytes.len() < LISTING_LIMIT {
            more = block_in_place(|| listing.next_chunk(&mut bytes));
        }
        if let (false, Err(fault)) = (more, listing.end()) {
            return fault.into();
        }
        // Each line ends with CR LF, and neither stands in a name.
        let line = |line: &[u8]| line.strip_suffix(b"\r\n").unwrap_or(line).to_vec();
        let lines = bytes.split_inclusive(|&byte| byte == b'\n').map(line).collect();
        let last = if more { "The rest is left out; use LIST." } else { "End of status." };
        Reply::long(213, "Status:", lines, last)
    }
}
