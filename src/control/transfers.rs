//! Transfers: RETR, STOR, APPE, STOU, LIST, NLST, MLSD; and HASH, which reads a file like one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use tokio::task::{block_in_place, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::command::{Syntax, Verb};
use super::reply::Reply;
use super::session::{Errand, Interruption, Session};
use crate::blocking::briefly;
use crate::data::{Broken, DataConnection, NotOpened, Terms};
use crate::limits::{Throttles, Way};
use crate::sessions::{Running, Side, TransferOutcome, What};
use crate::storage::{
    Algorithm, Download, Fault, FaultKind, Hasher, ListRequest, Listing, Start, Storage, Style, Upload, VirtualPath,
};

/// How much of a file is hashed before others have their turn, and before a stop is seen: a tenth of a second or so.
const DIGEST_STEP: u64 = 16 << 20;

/// How long the end of an upload that is all or nothing may wait for the end of its control connection: Linux closes the
/// connections of a client that is killed one behind the other, the newest first. It is a hundredth of what the upload
/// took, at most.
const LAST_SIGN: Duration = Duration::from_millis(10);

/// Which way the bytes go, and so which side closes a whole transfer: in MODE S the sender (RFC 959, 3.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToClient,
    FromClient,
}

impl Direction {
    fn way(self) -> Way {
        match self {
            Self::ToClient => Way::Download,
            Self::FromClient => Way::Upload,
        }
    }
}

/// A transfer that is about to begin.
struct Plan {
    verb: &'static str,
    path: VirtualPath,
    cargo: Cargo,
    /// Whether TYPE A's conversion is done to the file.
    ascii: bool,
    /// The text of the 150.
    opening: Vec<u8>,
    /// What the 226 says.
    done: Done,
}

/// What a transfer carries.
enum Cargo {
    /// A file, from this byte on.
    File(Download, u64),
    Listing(Listing),
    Upload {
        upload: Upload,
        fsync: bool,
    },
}

impl Cargo {
    fn direction(&self) -> Direction {
        match self {
            Self::File(..) | Self::Listing(_) => Direction::ToClient,
            Self::Upload { .. } => Direction::FromClient,
        }
    }

    fn is_listing(&self) -> bool {
        matches!(self, Self::Listing(_))
    }

    /// Whether half of it must not look like all of it.
    fn is_all_or_nothing(&self) -> bool {
        matches!(self, Self::Upload { upload, .. } if upload.is_all_or_nothing())
    }

    async fn carry(&mut self, connection: &DataConnection, ascii: bool) -> Result<(), Broken> {
        match self {
            Self::File(Download { file, size }, _) if ascii => connection.send_text_file(file, *size).await,
            Self::File(Download { file, size }, offset) => connection.send_file(file, *offset, *size).await,
            Self::Listing(listing) => {
                let (mut lines, mut more) = (Vec::new(), true);
                while more {
                    lines.clear();
                    more = block_in_place(|| listing.next_chunk(&mut lines));
                    connection.send(&lines).await?;
                }
                Ok(())
            }
            Self::Upload { upload, .. } => connection.receive(upload, ascii).await,
        }
    }

    /// What is left to do when everything was carried.
    fn complete(&mut self) -> Result<(), Broken> {
        let completed = match self {
            Self::File(..) => Ok(()),
            Self::Listing(listing) => listing.end(),
            Self::Upload { upload, fsync: true } => block_in_place(|| upload.finish()),
            Self::Upload { upload, fsync: false } => briefly(|| upload.finish()),
        };
        completed.map_err(Broken::Storage)
    }
}

/// What the 226 says.
enum Done {
    /// This.
    Text(String),
    /// A receipt for what was handed in under this name, with the number of the attempt.
    Receipt { name: String, attempt: u32 },
}

impl Session {
    pub(super) async fn retrieve(&mut self, verb: &'static str, argument: &[u8]) -> Reply {
        let (ascii, offset) = (self.converts(), std::mem::take(&mut self.parameters.offset));
        let open = |storage: Storage| {
            let path = self.directory.resolve(argument)?;
            let download = storage.open_download(&path)?;
            if offset > download.size {
                let text = format!("{path} has {} bytes: it cannot be sent from byte {offset} on.", download.size);
                return Err(Fault::new(FaultKind::BadRequest, text).into());
            }
            Ok((path, download))
        };
        let (path, download) = match briefly(|| self.ready_to_transfer(offset).and_then(open)) {
            Ok(opened) => opened,
            Err(reply) => return reply,
        };
        // How many bytes a text has on the network shows at its end.
        let size = if ascii { String::new() } else { format!(" ({} bytes)", download.size) };
        let opening = opening(ascii, argument, &size);
        let cargo = Cargo::File(download, offset);
        self.transfer(Plan { verb, path, cargo, ascii, opening, done: Done::complete() }).await
    }

    pub(super) async fn store(&mut self, verb: &'static str, argument: &[u8]) -> Reply {
        let (ascii, offset) = (self.converts(), std::mem::take(&mut self.parameters.offset));
        let start = match (verb, offset) {
            ("APPE", _) => Start::End,
            (_, 0) => Start::Beginning,
            (_, offset) => Start::Offset(offset),
        };
        let fsync = self.shared.in_force().settings.storage.fsync;
        let begin = |storage: Storage| {
            let path = self.directory.resolve(argument)?;
            if start == Start::Beginning && storage.words(&path).keeps_versions() {
                let (kept, attempt, upload) = storage.begin_version(&path, fsync)?;
                let name = String::from_utf8_lossy(path.name()).into_owned();
                // The name that it is kept under.
                return Ok((opening(ascii, kept.name(), ""), Done::Receipt { name, attempt }, kept, upload));
            }
            let upload = storage.begin_upload(&path, start, fsync)?;
            Ok((opening(ascii, argument, ""), Done::complete(), path, upload))
        };
        let (opening, done, path, upload) = match briefly(|| self.ready_to_transfer(offset).and_then(begin)) {
            Ok(begun) => begun,
            Err(reply) => return reply,
        };
        let cargo = Cargo::Upload { upload, fsync };
        self.transfer(Plan { verb, path, cargo, ascii, opening, done }).await
    }

    /// STOU: the reply names the file as RFC 1123, 4.1.2.9 says.
    pub(super) async fn store_unique(&mut self, stem: &[u8]) -> Reply {
        self.parameters.offset = 0;
        let (ascii, fsync) = (self.converts(), self.shared.in_force().settings.storage.fsync);
        let begin = |storage: Storage| {
            if stem.contains(&b'/') {
                return Err(Reply::new(553, "STOU takes a name without a directory. Use CWD first."));
            }
            Ok(storage.begin_unique_upload(&self.directory, stem, fsync)?)
        };
        let (path, upload) = match briefly(|| self.ready_to_transfer(0).and_then(begin)) {
            Ok(begun) => begun,
            Err(reply) => return reply,
        };
        let opening = [b"FILE: ", path.name()].concat();
        let done = Done::Text(format!("Transfer complete. The file is {path}."));
        let cargo = Cargo::Upload { upload, fsync };
        self.transfer(Plan { verb: "STOU", path, cargo, ascii, opening, done }).await
    }

    pub(super) async fn list(&mut self, syntax: &'static Syntax, argument: &[u8]) -> Reply {
        self.parameters.offset = 0;
        let (request, style) = match syntax.verb {
            Verb::Mlsd => (ListRequest::directory(argument), Style::Machine(self.parameters.facts)),
            Verb::Nlst => (ListRequest::parse(argument), Style::Names),
            _ => (ListRequest::parse(argument), Style::Long),
        };
        let listed = self.ready_to_transfer(0).and_then(|storage| {
            let listing = block_in_place(|| storage.list(&self.directory, &request, style))?;
            Ok((self.directory.resolve(&request.argument)?, listing))
        });
        let (path, listing) = match listed {
            Ok(listed) => listed,
            Err(reply) => return reply,
        };
        let (opening, done) = (b"Here comes the listing.".to_vec(), Done::Text("Listing complete.".to_owned()));
        let cargo = Cargo::Listing(listing);
        self.transfer(Plan { verb: syntax.name, path, cargo, ascii: false, opening, done }).await
    }

    /// The storage, when somebody is logged in and has said where the data connection goes and what comes over it.
    fn ready_to_transfer(&self, offset: u64) -> Result<Storage, Reply> {
        if offset > 0 && self.converts() {
            return Err(Reply::new(501, "You sent REST and then TYPE A: an offset needs TYPE I (binary)."));
        }
        if self.offer.is_none() {
            return Err(self.no_offer());
        }
        Ok(self.storage()?.clone())
    }

    /// A transfer from its data connection to its last reply, with everything that goes on record.
    async fn transfer(&mut self, mut plan: Plan) -> Reply {
        let Some(offer) = self.offer.take() else { return self.no_offer() };
        // What netstat shows during a transfer are its two connections, and not the engine's.
        self.engine.close();
        let (stop, moved) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let in_force = self.shared.in_force();
        let server = &in_force.settings.server;
        let throttles = self.throttles(&plan);
        let terms = Terms {
            recorder: self.recorder.clone(),
            peer: server.passive_peer,
            patience: server.data_timeout,
            stop: stop.clone(),
            moved: Arc::clone(&moved),
            throttles,
        };
        let path = plan.path.to_string();
        self.recorder.now().running = Some(Running { verb: plan.verb, path, moved, data: None });
        let reply = match self.beside(&stop, Errand::Opening, Box::pin(offer.open(terms))).await {
            // Boxed like errands, for the same reason.
            Ok(connection) => Box::pin(self.carried(&mut plan, connection, &stop)).await,
            Err(NotOpened::Failed(reason)) => Reply::new(425, reason),
            Err(NotOpened::Stopped) => Reply::new(426, self.why_stopped()),
        };
        self.recorder.now().running = None;
        briefly(|| drop(plan));
        reply
    }

    /// What the transfer's rates are; listings have none.
    fn throttles(&mut self, plan: &Plan) -> Throttles {
        if plan.cargo.is_listing() {
            return Throttles::default();
        }
        let user = self.login.as_ref().map(|login| (&*login.throttles, login.account.rates));
        let (way, now) = (plan.cargo.direction().way(), Instant::now());
        self.shared.limits.throttles(way, &plan.path, &mut self.throttles, user, now)
    }

    /// A transfer on its open data connection.
    async fn carried(&mut self, plan: &mut Plan, mut connection: DataConnection, stop: &CancellationToken) -> Reply {
        let (begun, ends, direction) = (Instant::now(), connection.ends, plan.cargo.direction());
        let carried = match self.say(&Reply::new(150, std::mem::take(&mut plan.opening))).await {
            Ok(()) => {
                // Of the control connection, whose TLS session is resumed, whatever was reloaded since.
                let tls = self.tls.clone().filter(|_| self.protection.private);
                let upload = direction == Direction::FromClient;
                let resume = self.shared.in_force().settings.tls.require_resumption;
                let certificate = self.wire.client_certificate().cloned();
                let work = async {
                    // Behind the 150, where clients begin the handshake.
                    if let Some(tls) = &tls {
                        Box::pin(connection.encrypt(tls, resume, certificate, upload)).await?;
                    }
                    plan.cargo.carry(&connection, plan.ascii).await?;
                    connection.end().await;
                    Ok(())
                };
                self.beside(stop, Errand::Transfer, Box::pin(work)).await
            }
            Err(_) => {
                self.client_left();
                Err(Broken::Stopped)
            }
        };
        // In clear, the end of an upload is what the end of its client looks like, too.
        let is_in_doubt = plan.cargo.is_all_or_nothing() && !self.protection.private;
        let patience = (begun.elapsed() / 100).min(LAST_SIGN);
        let result = match carried {
            Ok(()) if is_in_doubt && self.is_abandoned(patience).await => {
                self.client_left();
                Err(Broken::Stopped)
            }
            Ok(()) => plan.cargo.complete(),
            Err(broken) => Err(broken),
        };
        let (outcome, duration, bytes) = (self.outcome(&result), begun.elapsed(), connection.moved());
        match (outcome, direction) {
            // ABOR: the client knows that the rest is missing, and reads to the end of what is there.
            (TransferOutcome::Aborted, Direction::ToClient) | (TransferOutcome::Complete, _) => connection.close(),
            // What a listing could tell is worth reading.
            (TransferOutcome::StorageFailed, _) if plan.cargo.is_listing() => connection.close(),
            _ => drop(connection),
        }
        if let Some(running) = &mut self.recorder.now().running {
            running.data = None;
        }
        let closed_first = match (outcome, direction) {
            (TransferOutcome::ConnectionLost, _) | (TransferOutcome::Complete, Direction::FromClient) => Side::Client,
            _ => Side::Server,
        };
        match direction {
            Direction::ToClient => self.totals.bytes_sent += bytes,
            Direction::FromClient => self.totals.bytes_received += bytes,
        }
        let (verb, path, r#type) = (plan.verb, plan.path.to_string(), if self.parameters.ascii { 'A' } else { 'I' });
        let (mut sha256, mut text) = (None, String::new());
        if outcome == TransferOutcome::Complete {
            self.totals.transfers += 1;
            let digest = self.digest_on_record(plan).await;
            text = plan.done.text(digest.as_ref());
            sha256 = digest.map(|digest| digest.sha256);
        }
        let transfer = What::Transfer { verb, path, r#type, bytes, sha256, outcome, closed_first, duration };
        self.recorder.record_at(ends, transfer);
        match result {
            Ok(()) => Reply::new(226, text),
            Err(broken) => self.broken(broken, &plan.path, bytes),
        }
    }

    fn outcome(&self, result: &Result<(), Broken>) -> TransferOutcome {
        match result {
            Ok(()) => TransferOutcome::Complete,
            Err(Broken::Stopped) => match self.interruption() {
                Some(Interruption::Shutdown) => TransferOutcome::Shutdown,
                Some(Interruption::Kicked) => TransferOutcome::Kicked,
                Some(Interruption::Left | Interruption::LineTooLong) => TransferOutcome::ControlLost,
                Some(Interruption::Abort(_)) | None => TransferOutcome::Aborted,
            },
            Err(Broken::Lost(_) | Broken::NoTls(_) | Broken::NotResumed | Broken::OtherClient) => {
                TransferOutcome::ConnectionLost
            }
            Err(Broken::Stalled(_)) => TransferOutcome::TimedOut,
            Err(Broken::Shrunk | Broken::Read(_) | Broken::Storage(_)) => TransferOutcome::StorageFailed,
        }
    }

    /// The reply to a transfer that ended early.
    fn broken(&self, broken: Broken, path: &VirtualPath, bytes: u64) -> Reply {
        match broken {
            Broken::Stopped => Reply::new(426, self.why_stopped()),
            Broken::Lost(error) => Reply::new(426, format!("The data connection broke after {bytes} bytes: {error}.")),
            Broken::NoTls(error) => {
                Reply::new(425, format!("The TLS handshake on the data connection failed: {error}."))
            }
            Broken::NotResumed => Reply::new(
                522,
                "A data connection must resume the TLS session of its control connection here. Switch session \
                 resumption on in your client, or use another client.",
            ),
            Broken::OtherClient => Reply::new(
                522,
                "A data connection must show the same certificate as its control connection. Have your client send it \
                 there too.",
            ),
            Broken::Stalled(patience) => Reply::new(
                426,
                format!("Nothing moved on the data connection for {} s; it was given up.", patience.as_secs()),
            ),
            Broken::Shrunk => Reply::new(451, format!("{path} became shorter while it was sent. Download it again.")),
            Broken::Read(error) => Reply::new(451, format!("The server could not read {path}: {error}.")),
            Broken::Storage(fault) => fault.into(),
        }
    }

    fn no_offer(&self) -> Reply {
        if self.offer_expired {
            let limit = self.shared.in_force().settings.limits.passive_offer_timeout.as_secs();
            let text =
                format!("Your passive port was taken back: you did not use it for {limit} s. Send EPSV or PASV again.");
            return Reply::new(425, text);
        }
        Reply::new(425, "Send EPSV, PASV, EPRT or PORT first: there is no way to a data connection.")
    }

    fn why_stopped(&self) -> &'static str {
        match self.interruption() {
            Some(Interruption::Shutdown) => "The server is shutting down; the transfer was stopped.",
            Some(Interruption::Kicked) => "An administrator has ended this session; the transfer was stopped.",
            _ => "The transfer was stopped.",
        }
    }

    /// HASH (draft-bryan-ftp-hash), XSHA256 and XMD5.
    pub(super) async fn hash(&mut self, verb: Verb, argument: &[u8]) -> Reply {
        let algorithm = match verb {
            Verb::Xmd5 => Algorithm::Md5,
            Verb::Xsha256 => Algorithm::Sha256,
            _ => self.parameters.hash,
        };
        let open = |storage: &Storage| {
            let path = self.directory.resolve(argument)?;
            storage.open_download(&path).map(|download| (path, download))
        };
        let (path, download) = match briefly(|| self.storage().and_then(open)) {
            Ok(opened) => opened,
            Err(fault) => return fault.into(),
        };
        let size = download.size;
        let result = self.digest(download, algorithm).await;
        let name = algorithm.name();
        match result {
            Ok(None) => Reply::new(426, "The digest was not computed to its end."),
            Err(error) => Reply::new(451, format!("The server could not read {path}: {error}.")),
            Ok(Some(digest)) if verb == Verb::Hash => {
                let last = size.saturating_sub(1);
                Reply::new(213, [format!("{name} 0-{last} {digest} ").as_bytes(), argument].concat())
            }
            Ok(Some(digest)) => Reply::new(250, digest),
        }
    }

    /// The digest of a file, or `None` when it was stopped. Digests take turns, so that a short one does not wait for the
    /// end of a long one.
    async fn digest(&mut self, download: Download, algorithm: Algorithm) -> io::Result<Option<String>> {
        let (stop, hashing) = (CancellationToken::new(), Arc::clone(&self.shared.hashing));
        let digest = async {
            let mut hasher = Hasher::new(download.file, download.size, algorithm);
            loop {
                // It is never closed, so this only waits; the permit goes with the thread, which a stop does not end.
                let permit = Arc::clone(&hashing).acquire_owned().await.map_err(io::Error::other)?;
                let step = spawn_blocking(move || {
                    let _permit = permit;
                    hasher.step(DIGEST_STEP).map(|done| (hasher, done))
                });
                let (stepped, done) = step.await??;
                if done {
                    return Ok(Some(stepped.finish()));
                }
                hasher = stepped;
            }
        };
        let digest = Box::pin(stop.run_until_cancelled(digest));
        self.beside(&stop, Errand::Digest, digest).await.unwrap_or(Ok(None))
    }

    /// The digest for the record of a whole transfer, where the settings or a receipt ask for it.
    async fn digest_on_record(&mut self, plan: &Plan) -> Option<Digest> {
        let is_wanted = self.shared.in_force().settings.transfer.sha256 && !plan.cargo.is_listing();
        if !is_wanted && !matches!(plan.done, Done::Receipt { .. }) {
            return None;
        }
        // A file that was deleted since: the record says nothing rather than something else.
        let open = || self.storage().and_then(|storage| storage.open_for_record(&plan.path));
        let download = briefly(open).ok()?;
        let size = download.size;
        let sha256 = self.digest(download, Algorithm::Sha256).await.unwrap_or_default()?;
        Some(Digest { sha256, size })
    }
}

/// Of a file as it is stored.
struct Digest {
    sha256: String,
    size: u64,
}

impl Done {
    fn complete() -> Self {
        Self::Text("Transfer complete.".to_owned())
    }

    fn text(&self, digest: Option<&Digest>) -> String {
        match (self, digest) {
            (Self::Text(text), _) => text.clone(),
            (Self::Receipt { name, attempt }, Some(Digest { sha256, size })) => {
                format!("Received {name}, {} bytes, sha256 {sha256}, attempt {attempt}.", grouped(*size))
            }
            // ABOR while it was read, or a file that is gone.
            (Self::Receipt { name, attempt }, None) => {
                format!("Received {name}, attempt {attempt}; its sha256 could not be computed.")
            }
        }
    }
}

/// A number with commas.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// The text of a 150; clients look for the bytes in parentheses.
fn opening(ascii: bool, name: &[u8], size: &str) -> Vec<u8> {
    let mode = if ascii { "ASCII" } else { "BINARY" };
    [format!("Opening {mode} mode data connection for ").as_bytes(), name, size.as_bytes(), b"."].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_name_size_digest_and_attempt() {
        let receipt = |size| {
            let digest = Digest { sha256: "ab12".to_owned(), size };
            Done::Receipt { name: "report.txt".to_owned(), attempt: 2 }.text(Some(&digest))
        };
        assert_eq!(receipt(1204), "Received report.txt, 1,204 bytes, sha256 ab12, attempt 2.");
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
