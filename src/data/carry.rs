//! Bytes over a data connection.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::Shutdown;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::task::{block_in_place, yield_now};
use tokio::time::timeout;

use super::DataConnection;
use super::ascii::{FromNetwork, ToNetwork};
use crate::storage::{Fault, Upload};

/// What one sendfile call may carry, or a copy of an old file's head. Between two pieces the session looks at its control connection.
const PIECE: u64 = 4 << 20;

/// A file up to this size is sent, and an upload up to this size written, without leaving the task: a thread hop costs
/// more than the copy (measured: half of the small files a second).
const SMALL: u64 = 64 << 10;

/// The largest upload buffer; it begins at [`SMALL`] and doubles whenever it fills.
const UPLOAD_BUFFER: usize = 1 << 20;

/// Why a transfer ended early.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Control ended it.
    Stopped,
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
    /// Sends the bytes from `offset` to `end` of `file` as they are.
    pub async fn send_file(&self, file: &File, offset: u64, end: u64) -> Result<(), Broken> {
        let small = end - offset.min(end) <= SMALL;
        let mut at = offset;
        while at < end {
            let piece = usize::try_from((end - at).min(PIECE)).unwrap_or(usize::MAX);
            let send = |at: &mut u64| Ok(rustix::fs::sendfile(&self.stream, file, Some(at), piece)?);
            let sent = self
                .when(Interest::WRITABLE, || if small { send(&mut at) } else { block_in_place(|| send(&mut at)) })
                .await
                .map_err(|broken| match broken {
                    Broken::Lost(error) if !is_about_the_peer(&error) => Broken::Read(error),
                    other => other,
                })?;
            if sent == 0 {
                return Err(Broken::Shrunk);
            }
            if at < end {
                yield_now().await;
            }
        }
        Ok(())
    }

    /// Sends the first `size` bytes of a text `file` with the network's line ends.
    pub async fn send_text_file(&self, mut file: &File, size: u64) -> Result<(), Broken> {
        let (mut converter, mut text, mut out) = (ToNetwork::default(), vec![0; SMALL as usize], Vec::new());
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
        while !bytes.is_empty() {
            let flags = rustix::net::SendFlags::NOSIGNAL;
            let sent = self.when(Interest::WRITABLE, || Ok(rustix::net::send(&self.stream, bytes, flags)?)).await?;
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    /// Writes everything that the client sends to `upload`, until the client closes its side. When the connection
    /// breaks, what has arrived is written first.
    pub async fn receive(&self, upload: &mut Upload, ascii: bool) -> Result<(), Broken> {
        let mut ready = upload.prepare(SMALL).map_err(Broken::Storage)?;
        while !ready {
            if self.terms.stop.is_cancelled() {
                return Err(Broken::Stopped);
            }
            ready = block_in_place(|| upload.prepare(PIECE)).map_err(Broken::Storage)?;
            yield_now().await;
        }
        let mut converter = ascii.then(FromNetwork::default);
        let mut buffer = Vec::with_capacity(SMALL as usize);
        loop {
            let filled = self.fill(&mut buffer).await;
            let last = !matches!(filled, Ok(more) if more);
            store(upload, &buffer, converter.as_mut(), last).map_err(Broken::Storage)?;
            if last {
                return filled.map(drop);
            }
            let capacity = (buffer.capacity() * 2).min(UPLOAD_BUFFER);
            buffer.clear();
            buffer.reserve_exact(capacity);
            yield_now().await;
        }
    }

    /// Fills `buffer` to its capacity; `false` when the client has closed its side.
    async fn fill(&self, buffer: &mut Vec<u8>) -> Result<bool, Broken> {
        while buffer.len() < buffer.capacity() {
            let got =
                self.when(Interest::READABLE, || Ok(rustix::io::read(&self.stream, spare_capacity(buffer))?)).await?;
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

    /// Runs `operation` on the socket, again each time that the socket becomes ready, and counts what it moved.
    ///
    /// The first try does not ask the reactor, which has not seen a fresh connection yet: that saves a small file a
    /// round through epoll.
    async fn when(
        &self,
        interest: Interest,
        mut operation: impl FnMut() -> io::Result<usize>,
    ) -> Result<usize, Broken> {
        if self.terms.stop.is_cancelled() {
            return Err(Broken::Stopped);
        }
        let mut tried = operation();
        loop {
            match tried {
                Ok(count) => {
                    self.terms.moved.fetch_add(count as u64, Ordering::Relaxed);
                    return Ok(count);
                }
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
    if bytes.len() as u64 <= SMALL { upload.write_all(bytes) } else { block_in_place(|| upload.write_all(bytes)) }
}

/// Whether an error of sendfile is the socket's; else it is the file's.
fn is_about_the_peer(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::PIPE | Errno::CONNRESET | Errno::TIMEDOUT | Errno::HOSTUNREACH | Errno::NETUNREACH))
}
