//! The server's side of the socket.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Mode;
use serde::Serialize;
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::block_in_place;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Answer, REQUEST_LIMIT, Request, TIME_LIMIT, Table};
use crate::page::Page;
use crate::server::Server;

/// Requests that are served at the same time; further ones wait.
const CONNECTIONS: usize = 8;

/// Requests that wait for the kernel to hand them over.
const BACKLOG: i32 = 128;

/// The pause behind a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The socket of a running server.
#[derive(Debug)]
pub struct Admin {
    file: SocketFile,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Admin {
    /// Answers requests at `path` from now on. Its directory is made when it is missing. A socket there whose server is
    /// gone is replaced; one that answers, or a file that is no socket, is left alone and an error.
    pub fn start(server: Server, page: Option<Page>, path: PathBuf) -> io::Result<Self> {
        let (listener, file) = bind(path)?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(accept(listener, Arc::new((server, page)), stop.clone(), tasks.clone()));
        Ok(Self { file, stop, tasks })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Ends it, and takes its file away. From then on it holds nothing of the server.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A socket's file that goes with its server, unless somebody answers there: another one has put its own there.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // systemd may have removed it with its directory.
        let _ = make_way(&self.path);
    }
}

fn bind(path: PathBuf) -> io::Result<(UnixListener, SocketFile)> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let listener = match listen(&path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            make_way(&path)?;
            listen(&path)
        }
        bound => bound,
    }?;
    Ok((listener, SocketFile { path }))
}

/// A socket's file gets the mode that the socket has when it is bound: nobody finds it open, and no name is followed to
/// change it.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    UnixListener::from_std(std::os::unix::net::UnixListener::from(OwnedFd::from(socket)))
}

/// Removes a socket at which nobody listens any more.
fn make_way(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "a file that is no socket is there; name another path"));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::new(ErrorKind::AddrInUse, "another running server answers there; name another path")),
    }
}

async fn accept(
    listener: UnixListener,
    asked: Arc<(Server, Option<Page>)>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let serve = async {
        // They are never closed, so this only waits.
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (asked, stop) = (Arc::clone(&asked), stop.clone());
                    tasks.spawn(async move {
                        let _place = place;
                        // Who is too slow, or goes before the answer, gets none.
                        let _ = stop
                            .run_until_cancelled(timeout(TIME_LIMIT, converse(stream, &asked.0, asked.1.as_ref())))
                            .await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin socket accepts nobody; trying again");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    stop.run_until_cancelled(serve).await;
}

/// One request and its answer.
async fn converse(stream: UnixStream, server: &Server, page: Option<&Page>) -> io::Result<()> {
    let asking = stream.peer_cred()?.uid();
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    (&mut stream).take(REQUEST_LIMIT).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        // Somebody who only looked whether there is a server.
        return Ok(());
    }
    let own = rustix::process::geteuid().as_raw();
    let request = match serde_json::from_slice(&line) {
        _ if asking != 0 && asking != own => Err(format!("user {asking} may not ask; only root and user {own} may")),
        Ok(request) => Ok(request),
        Err(error) => Err(format!("this is no request: {error}")),
    };
    let mut announced = None;
    let answer = match request {
        Err(why) => Answer::Error(why),
        Ok(Request::Health { from }) => {
            announced = Some(server.announce_health_check(from));
            Answer::Ok(Value::Null)
        }
        Ok(Request::Reload) => match server.reload().await {
            Ok(reloaded) => shown(&reloaded.sentences()),
            Err(faults) => Answer::Error(format!("nothing was changed, since there are faults:\n{faults}")),
        },
        Ok(Request::Page) => match page {
            Some(page) => shown(&page.links()),
            None => Answer::Error("there is no page; set page.listen, and start the server again".to_owned()),
        },
        Ok(request) => answer(server, request),
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    stream.write_all(&text).await?;
    if announced.is_some() {
        // Until the check is done, or its time is over.
        stream.read_u8().await?;
    }
    Ok(())
}

fn answer(server: &Server, request: Request) -> Answer {
    match request {
        Request::Sessions => shown(&Table::of(server.connections())),
        Request::Listeners => shown(&server.listeners()),
        Request::Kick { whose } => {
            let kicked = server.kick(&whose);
            if !kicked.is_empty() {
                tracing::info!(?whose, sessions = kicked.len(), "sessions were ended on request");
            }
            shown(&kicked)
        }
        Request::Logins => shown(&server.login_failures()),
        Request::Unblock { user, address } => shown(&server.clear_login_failures(user.as_deref(), address)),
        // It may wait for its store.
        Request::Classroom { ask } => match server.practice() {
            Some(practice) => block_in_place(|| practice.administer(ask)).map_or_else(Answer::Error, Answer::Ok),
            None => Answer::Error("no class is served here; start it: longshore classroom start DIR".to_owned()),
        },
        Request::Page | Request::Reload | Request::Health { .. } => Answer::Ok(Value::Null),
    }
}

fn shown(value: &impl Serialize) -> Answer {
    serde_json::to_value(value).map_or_else(|error| Answer::Error(error.to_string()), Answer::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "precious").unwrap();
        assert_eq!(bind(path.clone()).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(path).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn a_socket_goes_with_its_server_unless_it_is_another_s() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/socket");
        let (listener, file) = bind(path.clone()).unwrap();
        assert_eq!(bind(path.clone()).unwrap_err().kind(), ErrorKind::AddrInUse);
        // A server that stops accepts nobody any more while its last sessions go on.
        drop(listener);
        let (listener, next) = bind(path.clone()).unwrap();
        drop(file);
        assert!(path.exists());
        drop((listener, next));
        assert!(!path.exists());
    }
}
