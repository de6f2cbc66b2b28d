//! Bytes over a data connection.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::Shutdown;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustls::pki_types::CertificateDer;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::task::{block_in_place, yield_now};
use tokio::time::{sleep_until, timeout};

use super::DataConnection;
use super::ascii::{FromNetwork, ToNetwork};
use crate::blocking::briefly;
use crate::sessions::What;
use crate::storage::{Fault, Upload};
use crate::tls::{Channel, Tls};

/// What one sendfile call may carry, or a copy of an old file's head. Between two pieces the session looks at its control connection.
const PIECE: u64 = 4 << 20;

/// What is read and encrypted at once.
const TLS_PIECE: u64 = 256 << 10;

/// A piece that took longer than this was not in memory: copying it takes a millisecond or two.
const SLOW: Duration = Duration::from_millis(10);

/// An upload up to this size is written without leaving the task: a thread hop costs more than the copy (measured: half
/// of the small files a second).
const SMALL: u64 = 64 << 10;

/// The largest upload buffer; it begins at [`SMALL`] and doubles whenever it fills.
const UPLOAD_BUFFER: u64 = 1 << 20;

/// Why a transfer ended early.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Control ended it.
    Stopped,
    /// There was no TLS handshake.
    NoTls(io::Error),
    /// The client did not resume the TLS session of its control connection, as it has to.
    NotResumed,
    /// The client has not shown the certificate of its control connection.
    OtherClient,
    /// The connection broke.
    Lost(io::Error),
    /// Nothing moved for this long.
    Stalled(Duration),
    /// The file became shorter while it was sent.
    Shrunk,
    /// The file could not be read.
    Read(io::Error),
    /// The storage did not take the bytes.
    Storage(Fault),
}

impl DataConnection {
    /// Has the client begin TLS, for a download or an upload. With `resume` it must show by it that it is the control
    /// connection's client; and the `certificate` that it has shown there, it must show again.
    pub async fn encrypt(
        &mut self,
        tls: &Tls,
        resume: bool,
        certificate: Option<CertificateDer<'static>>,
        upload: bool,
    ) -> Result<(), Broken> {
        let (recorder, session) = (&self.terms.recorder, self.terms.recorder.session());
        let handshake = tls.accept_data(&self.stream, session, upload);
        let channel = match self.terms.stop.run_until_cancelled(handshake).await {
            None => return Err(Broken::Stopped),
            Some(Err(error)) => {
                recorder.record_at(self.ends, What::TlsFailed { reason: error.to_string() });
                return Err(Broken::NoTls(error));
            }
            Some(Ok(channel)) => channel,
        };
        if certificate.is_some() && channel.client_certificate() != certificate.as_ref() {
            let reason = "it did not show the certificate of its control connection".to_owned();
            recorder.record_at(self.ends, What::TlsFailed { reason });
            return Err(Broken::OtherClient);
        }
        let resumed = channel.resumed();
        if resumed != Some(session) {
            if resume {
                let reason = "it did not resume the TLS session of its control connection".to_owned();
                recorder.record_at(self.ends, What::TlsFailed { reason });
                return Err(Broken::NotResumed);
            }
            tracing::debug!(session, "a data connection did not resume the TLS session of its control connection");
        }
        let (version, cipher, resumed) = (channel.version(), channel.cipher(), resumed.is_some());
        recorder.record_at(self.ends, What::TlsOpened { version, cipher, resumed });
        self.tls = Some(Mutex::new(channel));
        Ok(())
    }

    /// Ends TLS as it should be, which says that everything was carried.
    pub async fn end(&self) {
        if let Some(tls) = &self.tls {
            lock(tls).close_notify();
            // A peer that has gone in between has everything already or shows it by asking again.
            let _ = self.flush(tls).await;
        }
    }

    /// Sends the bytes from `offset` to `end` of `file` as they are.
    ///
    /// What the kernel has in memory is sent on the task; giving its thread away for each piece cost a third of the
    /// speed. A piece that took long came from the disk, and the next one may hold up nobody else.
    pub async fn send_file(&self, file: &File, offset: u64, end: u64) -> Result<(), Broken> {
        if self.tls.is_some() {
            return self.send_file_encrypted(file, offset, end).await;
        }
        let (mut at, mut slow) = (offset, false);
        while at < end {
            let piece = self.piece((end - at).min(PIECE));
            let mut send = || Ok(rustix::fs::sendfile(&self.stream, file, Some(&mut at), piece)?);
            let send = || {
                let begun = Instant::now();
                let sent = if slow { block_in_place(&mut send) } else { briefly(&mut send) };
                slow = begun.elapsed() > SLOW;
                sent
            };
            let sent = self.when(Interest::WRITABLE, send).await;
            let sent = sent.map_err(|broken| match broken {
                Broken::Lost(error) if !is_about_the_peer(&error) => Broken::Read(error),
                other => other,
            })?;
            if sent == 0 {
                return Err(Broken::Shrunk);
            }
            // A full socket waits by itself; otherwise the control connection gets its turn here.
            if sent == piece {
                yield_now().await;
            }
        }
        Ok(())
    }

    /// The same over TLS, which the kernel does not do by itself.
    async fn send_file_encrypted(&self, file: &File, offset: u64, end: u64) -> Result<(), Broken> {
        let (mut at, mut slow) = (offset, false);
        let piece = |at: u64| self.piece((end - at).min(TLS_PIECE));
        let mut buffer = vec![0; piece(at.min(end))];
        while at < end {
            let (begun, want) = (Instant::now(), piece(at));
            let mut read = || file.read_at(&mut buffer[..want], at);
            let got = if slow { block_in_place(&mut read) } else { briefly(&mut read) }.map_err(Broken::Read)?;
            slow = begun.elapsed() > SLOW;
            if got == 0 {
                return Err(Broken::Shrunk);
            }
            self.send(&buffer[..got]).await?;
            at += got as u64;
            // The control connection gets its turn.
            yield_now().await;
        }
        Ok(())
    }

    /// Sends the first `size` bytes of a text `file` with the network's line ends.
    pub async fn send_text_file(&self, mut file: &File, size: u64) -> Result<(), Broken> {
        let (mut converter, mut text, mut out) = (ToNetwork::default(), vec![0; self.piece(SMALL)], Vec::new());
        file.seek(SeekFrom::Start(0)).map_err(Broken::Read)?;
        let mut left = size;
        while left > 0 {
            let want = text.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let got = block_in_place(|| file.read(&mut text[..want])).map_err(Broken::Read)?;
            if got == 0 {
                return Err(Broken::Shrunk);
            }
            left -= got as u64;
            out.clear();
            converter.convert(&text[..got], &mut out);
            self.send(&out).await?;
        }
        Ok(())
    }

    /// Sends `bytes`.
    pub async fn send(&self, mut bytes: &[u8]) -> Result<(), Broken> {
        if let Some(tls) = &self.tls {
            for piece in bytes.chunks(self.piece(TLS_PIECE)) {
                lock(tls).write(piece).map_err(Broken::Lost)?;
                self.flush(tls).await?;
                self.count(piece.len()).await?;
            }
            return Ok(());
        }
        while !bytes.is_empty() {
            let flags = rustix::net::SendFlags::NOSIGNAL;
            let piece = &bytes[..self.piece(bytes.len() as u64)];
            let sent = self.when(Interest::WRITABLE, || Ok(rustix::net::send(&self.stream, piece, flags)?)).await?;
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    /// Sends what is encrypted.
    async fn flush(&self, tls: &Mutex<Channel>) -> Result<(), Broken> {
        self.when_ready(Interest::WRITABLE, || lock(tls).flush(&self.stream)).await
    }

    /// Writes everything that the client sends to `upload`, until the client closes its side. When the connection
    /// breaks, what has arrived is written first.
    pub async fn receive(&self, upload: &mut Upload, ascii: bool) -> Result<(), Broken> {
        let mut ready = briefly(|| upload.prepare(SMALL)).map_err(Broken::Storage)?;
        while !ready {
            if self.terms.stop.is_cancelled() {
                return Err(Broken::Stopped);
            }
            ready = block_in_place(|| upload.prepare(PIECE)).map_err(Broken::Storage)?;
            yield_now().await;
        }
        let mut converter = ascii.then(FromNetwork::default);
        let mut buffer = Vec::with_capacity(self.piece(SMALL));
        loop {
            let filled = self.fill(&mut buffer).await;
            let last = !matches!(filled, Ok(more) if more);
            store(upload, &buffer, converter.as_mut(), last).map_err(Broken::Storage)?;
            if last {
                return filled.map(drop);
            }
            let capacity = self.piece((buffer.capacity() as u64 * 2).min(UPLOAD_BUFFER));
            buffer.clear();
            buffer.reserve_exact(capacity);
            yield_now().await;
        }
    }

    /// Fills `buffer` to its capacity; `false` when the client has closed its side.
    async fn fill(&self, buffer: &mut Vec<u8>) -> Result<bool, Broken> {
        while buffer.len() < buffer.capacity() {
            let read = || match &self.tls {
                None => Ok(rustix::io::read(&self.stream, spare_capacity(buffer))?),
                Some(tls) => lock(tls).read(&self.stream, buffer),
            };
            let got = self.when(Interest::READABLE, read).await?;
            if got == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Bytes carried so far.
    pub fn moved(&self) -> u64 {
        self.terms.moved.load(Ordering::Relaxed)
    }

    /// Closes the connection in the ordinary way, which says that everything was carried. Dropped without this it is
    /// reset: what is missing must not look like the end of a whole file.
    pub fn close(mut self) {
        self.whole = true;
        // A peer that has gone in between has everything already or shows it by asking again.
        let _ = SockRef::from(&self.stream).shutdown(Shutdown::Write);
    }

    /// Runs `operation` on the socket as [`Self::when_ready`] does, and counts what it moved.
    async fn when(&self, interest: Interest, operation: impl FnMut() -> io::Result<usize>) -> Result<usize, Broken> {
        let count = self.when_ready(interest, operation).await?;
        self.count(count).await?;
        Ok(count)
    }

    /// The most of `wanted` bytes that is carried at once.
    fn piece(&self, wanted: u64) -> usize {
        usize::try_from(self.terms.throttles.piece(wanted)).unwrap_or(usize::MAX)
    }

    /// Counts bytes that were carried, and waits until their rates allow more. That is the server's own wait: patience
    /// with the client does not run meanwhile.
    async fn count(&self, bytes: usize) -> Result<(), Broken> {
        let bytes = bytes as u64;
        self.terms.moved.fetch_add(bytes, Ordering::Relaxed);
        let Some(paid_at) = self.terms.throttles.pay(bytes) else { return Ok(()) };
        self.terms.stop.run_until_cancelled(sleep_until(paid_at.into())).await.ok_or(Broken::Stopped)
    }

    /// Runs `operation` on the socket, again each time that the socket becomes ready.
    ///
    /// The first try does not ask the reactor, which has not seen a fresh connection yet: that saves a small file a
    /// round through epoll.
    async fn when_ready<T>(
        &self,
        interest: Interest,
        mut operation: impl FnMut() -> io::Result<T>,
    ) -> Result<T, Broken> {
        if self.terms.stop.is_cancelled() {
            return Err(Broken::Stopped);
        }
        let mut tried = operation();
        loop {
            match tried {
                Ok(done) => return Ok(done),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => tried = operation(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let ready = timeout(self.terms.patience, self.stream.ready(interest));
                    match self.terms.stop.run_until_cancelled(ready).await {
                        None => return Err(Broken::Stopped),
                        Some(Err(_)) => return Err(Broken::Stalled(self.terms.patience)),
                        Some(Ok(Err(error))) => return Err(Broken::Lost(error)),
                        Some(Ok(Ok(_))) => tried = self.stream.try_io(interest, &mut operation),
                    }
                }
                Err(error) => return Err(Broken::Lost(error)),
            }
        }
    }
}

/// No panic leaves a channel half written: what it had would not decrypt, and the transfer is over.
fn lock(tls: &Mutex<Channel>) -> MutexGuard<'_, Channel> {
    tls.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for DataConnection {
    fn drop(&mut self) {
        if !self.whole {
            // Without it the connection is closed in the ordinary way, and the reply still tells.
            let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Writes a buffer of an upload; `last` says that none follows.
fn store(upload: &mut Upload, bytes: &[u8], converter: Option<&mut FromNetwork>, last: bool) -> Result<(), Fault> {
    let mut text = Vec::new();
    let bytes = match converter {
        None => bytes,
        Some(converter) => {
            text.reserve(bytes.len() + 1);
            converter.convert(bytes, &mut text);
            if last {
                converter.finish(&mut text);
            }
            &text
        }
    };
    let write = || upload.write_all(bytes);
    if bytes.len() as u64 <= SMALL { briefly(write) } else { block_in_place(write) }
}

/// Whether an error of sendfile is the socket's; else it is the file's.
fn is_about_the_peer(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::PIPE | Errno::CONNRESET | Errno::TIMEDOUT | Errno::HOSTUNREACH | Errno::NETUNREACH))
}
