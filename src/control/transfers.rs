//! Transfers: RETR, STOR, APPE, STOU, LIST, NLST, MLSD; and HASH, which reads a file like one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::task::{block_in_place, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::command::{Syntax, Verb};
use super::reply::Reply;
use super::session::{Interruption, Session};
use super::status::Running;
use crate::data::{Broken, DataConnection, NotOpened, Terms};
use crate::sessions::{Side, TransferOutcome, What};
use crate::storage::{
    Algorithm, Download, Fault, FaultKind, Hasher, ListRequest, Start, Storage, Style, Upload, VirtualPath,
};

/// How much of a file is hashed before others have their turn, and before a stop is seen: a tenth of a second or so.
const DIGEST_STEP: u64 = 64 << 20;

/// Which way the bytes go, and so which side closes a whole transfer: in MODE S the sender (RFC 959, 3.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToClient,
    FromClient,
}

/// A transfer that is about to begin.
struct Plan {
    verb: &'static str,
    path: VirtualPath,
    direction: Direction,
    /// Whether TYPE A's conversion is done to the file.
    ascii: bool,
    /// The text of the 150.
    opening: Vec<u8>,
    /// The text of the 226.
    done: String,
}

impl Session {
    pub(super) async fn retrieve(&mut self, verb: &'static str, argument: &[u8]) -> io::Result<Reply> {
        let (ascii, offset) = (self.converts(), std::mem::take(&mut self.parameters.offset));
        let opened = self.ready_to_transfer().and_then(|storage| {
            let path = self.directory.resolve(argument)?;
            let download = storage.open_download(&path)?;
            if ascii && offset > 0 || offset > download.size {
                let text = format!("{path} has {} bytes: it cannot be sent from byte {offset} on.", download.size);
                return Err(Fault::new(FaultKind::BadRequest, text).into());
            }
            Ok((path, download))
        });
        let (path, download) = match opened {
            Ok(opened) => opened,
            Err(reply) => return Ok(reply),
        };
        let opening = opening(ascii, argument, &format!(" ({} bytes)", download.size));
        let done = "Transfer complete.".to_owned();
        let plan = Plan { verb, path, direction: Direction::ToClient, ascii, opening, done };
        self.transfer(plan, async |connection| match ascii {
            true => connection.send_text_file(&download.file, download.size).await,
            false => connection.send_file(&download.file, offset, download.size).await,
        })
        .await
    }

    pub(super) async fn store(&mut self, verb: &'static str, argument: &[u8]) -> io::Result<Reply> {
        let (ascii, offset) = (self.converts(), std::mem::take(&mut self.parameters.offset));
        let start = match (verb, offset) {
            ("APPE", _) => Start::End,
            (_, 0) => Start::Beginning,
            (_, offset) => Start::Offset(offset),
        };
        let fsync = self.shared.settings.storage.fsync;
        let begun = self.ready_to_transfer().and_then(|storage| {
            let path = self.directory.resolve(argument)?;
            let upload = storage.begin_upload(&path, start, fsync)?;
            Ok((path, upload))
        });
        let (path, upload) = match begun {
            Ok(begun) => begun,
            Err(reply) => return Ok(reply),
        };
        let (opening, done) = (opening(ascii, argument, ""), "Transfer complete.".to_owned());
        self.receive(Plan { verb, path, direction: Direction::FromClient, ascii, opening, done }, upload).await
    }

    /// STOU: the reply names the file as RFC 1123, 4.1.2.9 says.
    pub(super) async fn store_unique(&mut self, stem: &[u8]) -> io::Result<Reply> {
        self.parameters.offset = 0;
        let (ascii, fsync) = (self.converts(), self.shared.settings.storage.fsync);
        let begun = self.ready_to_transfer().and_then(|storage| {
            if stem.contains(&b'/') {
                return Err(Reply::new(553, "STOU takes a name without a directory. Use CWD first."));
            }
            Ok(storage.begin_unique_upload(&self.directory, stem, fsync)?)
        });
        let (path, upload) = match begun {
            Ok(begun) => begun,
            Err(reply) => return Ok(reply),
        };
        let opening = [b"FILE: ", path.name()].concat();
        let done = format!("Transfer complete. The file is {path}.");
        let plan = Plan { verb: "STOU", path, direction: Direction::FromClient, ascii, opening, done };
        self.receive(plan, upload).await
    }

    pub(super) async fn list(&mut self, syntax: &'static Syntax, argument: &[u8]) -> io::Result<Reply> {
        self.parameters.offset = 0;
        let (request, style) = match syntax.verb {
            Verb::Mlsd => (ListRequest::directory(argument), Style::Machine(self.parameters.facts)),
            Verb::Nlst => (ListRequest::parse(argument), Style::Names),
            _ => (ListRequest::parse(argument), Style::Long),
        };
        let listed = self.ready_to_transfer().and_then(|storage| {
            let listing = block_in_place(|| storage.list(&self.directory, &request, style))?;
            Ok((self.directory.resolve(&request.argument)?, listing))
        });
        let (path, mut listing) = match listed {
            Ok(listed) => listed,
            Err(reply) => return Ok(reply),
        };
        let (opening, done) = (b"Here comes the listing.".to_vec(), "Listing complete.".to_owned());
        let plan = Plan { verb: syntax.name, path, direction: Direction::ToClient, ascii: false, opening, done };
        self.transfer(plan, async |connection| {
            let (mut lines, mut more) = (Vec::new(), true);
            while more {
                lines.clear();
                more = block_in_place(|| listing.next_chunk(&mut lines));
                connection.send(&lines).await?;
            }
            Ok(())
        })
        .await
    }

    /// The storage, when somebody is logged in and has said where the data connection goes.
    fn ready_to_transfer(&self) -> Result<Storage, Reply> {
        if self.offer.is_none() {
            return Err(Reply::new(425, "Send EPSV, PASV, EPRT or PORT first: there is no way to a data connection."));
        }
        Ok(self.storage()?.clone())
    }

    async fn receive(&mut self, plan: Plan, mut upload: Upload) -> io::Result<Reply> {
        let (ascii, fsync) = (plan.ascii, self.shared.settings.storage.fsync);
        self.transfer(plan, async move |connection| {
            connection.receive(&mut upload, ascii).await?;
            let finish = || upload.finish().map_err(Broken::Storage);
            if fsync { block_in_place(finish) } else { finish() }
        })
        .await
    }

    /// A transfer from the 150 to the last reply: opens the data connection, has `carry` send or receive, and puts
    /// both on record.
    async fn transfer(
        &mut self,
        plan: Plan,
        carry: impl AsyncFnOnce(&DataConnection) -> Result<(), Broken>,
    ) -> io::Result<Reply> {
        let Some(offer) = self.offer.take() else {
            return Ok(Reply::new(425, "There is no way to a data connection."));
        };
        let (stop, moved) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let server = &self.shared.settings.server;
        let terms = Terms {
            recorder: self.recorder.clone(),
            peer: server.passive_peer,
            patience: server.data_timeout,
            stop: stop.clone(),
            moved: Arc::clone(&moved),
        };
        self.running =
            Some(Running { verb: plan.verb, path: plan.path.clone(), moved: Arc::clone(&moved), ends: None });
        let opened = self.beside(&stop, offer.open(terms)).await;
        let reply = match opened {
            Ok(Ok(connection)) => self.carried(plan, connection, &stop, &moved, carry).await,
            Ok(Err(NotOpened::Failed(reason))) => Ok(Reply::new(425, reason)),
            Ok(Err(NotOpened::Stopped)) => Ok(Reply::new(426, self.why_stopped())),
            Err(error) => Err(error),
        };
        self.running = None;
        reply
    }

    async fn carried(
        &mut self,
        plan: Plan,
        connection: DataConnection,
        stop: &CancellationToken,
        moved: &AtomicU64,
        carry: impl AsyncFnOnce(&DataConnection) -> Result<(), Broken>,
    ) -> io::Result<Reply> {
        let (begun, ends) = (Instant::now(), connection.ends);
        if let Some(running) = &mut self.running {
            running.ends = Some(ends);
        }
        self.say(&Reply::new(150, plan.opening)).await?;
        let result = self.beside(stop, carry(&connection)).await?;
        let (outcome, duration) = (self.outcome(&result), begun.elapsed());
        let closed_first = match (&outcome, plan.direction) {
            (TransferOutcome::ConnectionLost, _) | (TransferOutcome::Complete, Direction::FromClient) => Side::Client,
            _ => Side::Server,
        };
        match (&outcome, plan.direction) {
            // ABOR: the client knows that the rest is missing, and reads to the end of what is there.
            (TransferOutcome::Complete | TransferOutcome::Aborted, Direction::ToClient) => connection.close(),
            (_, Direction::ToClient) => connection.reset(),
            (_, Direction::FromClient) => drop(connection),
        }
        let bytes = moved.load(Ordering::Relaxed);
        match plan.direction {
            Direction::ToClient => self.totals.bytes_sent += bytes,
            Direction::FromClient => self.totals.bytes_received += bytes,
        }
        self.totals.transfers += u64::from(outcome == TransferOutcome::Complete);
        let sha256 = match outcome {
            TransferOutcome::Complete => self.digest_on_record(plan.verb, &plan.path).await?,
            _ => None,
        };
        let transfer = What::Transfer {
            verb: plan.verb,
            path: plan.path.to_string(),
            r#type: if self.parameters.ascii { 'A' } else { 'I' },
            bytes,
            sha256,
            outcome,
            closed_first,
            duration,
        };
        self.recorder.record_at(ends, transfer);
        Ok(match result {
            Ok(()) => Reply::new(226, plan.done),
            Err(broken) => self.broken(broken, &plan.path, bytes),
        })
    }

    fn outcome(&self, result: &Result<(), Broken>) -> TransferOutcome {
        match (result, self.interruption()) {
            (Ok(()), _) => TransferOutcome::Complete,
            (Err(Broken::Stopped), Some(Interruption::Shutdown)) => TransferOutcome::Shutdown,
            (Err(Broken::Stopped), _) => TransferOutcome::Aborted,
            (Err(Broken::Lost(_)), _) => TransferOutcome::ConnectionLost,
            (Err(Broken::Stalled(_)), _) => TransferOutcome::TimedOut,
            (Err(Broken::Shrunk | Broken::Read(_) | Broken::Storage(_)), _) => TransferOutcome::StorageFailed,
        }
    }

    /// The reply to a transfer that ended early.
    fn broken(&self, broken: Broken, path: &VirtualPath, bytes: u64) -> Reply {
        match broken {
            Broken::Stopped => Reply::new(426, self.why_stopped()),
            Broken::Lost(error) => Reply::new(426, format!("The data connection broke after {bytes} bytes: {error}.")),
            Broken::Stalled(patience) => Reply::new(
                426,
                format!("Nothing moved on the data connection for {} s; it was given up.", patience.as_secs()),
            ),
            Broken::Shrunk => Reply::new(451, format!("{path} became shorter while it was sent. Download it again.")),
            Broken::Read(error) => Reply::new(451, format!("The server could not read {path}: {error}.")),
            Broken::Storage(fault) => fault.into(),
        }
    }

    fn why_stopped(&self) -> &'static str {
        match self.interruption() {
            Some(Interruption::Shutdown) => "The server is shutting down; the transfer was stopped.",
            _ => "The transfer was stopped.",
        }
    }

    /// HASH (draft-bryan-ftp-hash), XSHA256 and XMD5.
    pub(super) async fn hash(&mut self, verb: Verb, argument: &[u8]) -> io::Result<Reply> {
        let algorithm = match verb {
            Verb::Xmd5 => Algorithm::Md5,
            Verb::Xsha256 => Algorithm::Sha256,
            _ => self.parameters.hash,
        };
        let opened = self.storage().and_then(|storage| {
            let path = self.directory.resolve(argument)?;
            storage.open_download(&path).map(|download| (path, download))
        });
        let (path, download) = match opened {
            Ok(opened) => opened,
            Err(fault) => return Ok(fault.into()),
        };
        let size = download.size;
        let result = self.digest(download, algorithm).await?;
        let name = algorithm.name();
        Ok(match result {
            Ok(None) => Reply::new(426, "The digest was not computed to its end."),
            Err(error) => Reply::new(451, format!("The server could not read {path}: {error}.")),
            Ok(Some(digest)) if verb == Verb::Hash => {
                let last = size.saturating_sub(1);
                Reply::new(213, [format!("{name} 0-{last} {digest} ").as_bytes(), argument].concat())
            }
            Ok(Some(digest)) => Reply::new(250, digest),
        })
    }

    /// The digest of a file, or `None` when it was stopped. Digests take turns, so that a short one does not wait for the
    /// end of a long one.
    async fn digest(&mut self, download: Download, algorithm: Algorithm) -> io::Result<io::Result<Option<String>>> {
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
        let result = self.beside(&stop, stop.run_until_cancelled(digest)).await?;
        Ok(result.unwrap_or(Ok(None)))
    }

    /// The digest for the record of a whole transfer, where the settings ask for it.
    async fn digest_on_record(&mut self, verb: &str, path: &VirtualPath) -> io::Result<Option<String>> {
        if !self.shared.settings.transfer.sha256 || matches!(verb, "LIST" | "NLST" | "MLSD") {
            return Ok(None);
        }
        match self.storage().and_then(|storage| storage.open_download(path)) {
            Ok(download) => Ok(self.digest(download, Algorithm::Sha256).await?.unwrap_or_default()),
            // Deleted since: the record says nothing rather than something else.
            Err(_) => Ok(None),
        }
    }
}

/// The text of a 150; clients look for the bytes in parentheses.
fn opening(ascii: bool, name: &[u8], size: &str) -> Vec<u8> {
    let mode = if ascii { "ASCII" } else { "BINARY" };
    [format!("Opening {mode} mode data connection for ").as_bytes(), name, size.as_bytes(), b"."].concat()
}
