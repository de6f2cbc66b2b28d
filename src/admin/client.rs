//! The asking side of the socket.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::Value;

use super::{ANSWER_LIMIT, Answer, Request, TIME_LIMIT, place};
use crate::settings::AdminSocket;

/// Where a running server is asked.
#[derive(Debug)]
pub struct Client(PathBuf);

impl Client {
    /// The running server that the setting leads to.
    pub fn find(setting: &AdminSocket) -> anyhow::Result<Self> {
        match setting {
            AdminSocket::Off => bail!("server.admin_socket is \"\", so there is no socket to ask the server at"),
            AdminSocket::At(path) => {
                connect(path).map_err(|error| no_answer(path, &error))?;
                Ok(Self(path.clone()))
            }
            AdminSocket::Auto => Self::find_any(),
        }
    }

    fn find_any() -> anyhow::Result<Self> {
        let (mut answering, mut closed, mut places) = (Vec::new(), None, Vec::new());
        for (directory, sockets) in place::candidates() {
            match sockets {
                Ok(sockets) => {
                    for socket in sockets {
                        match connect(&socket) {
                            Ok(_) => answering.push(socket),
                            Err(error) if error.kind() == ErrorKind::PermissionDenied => closed = Some((socket, error)),
                            // A server that was killed has left it behind.
                            Err(_) => {}
                        }
                    }
                }
                Err(error) => closed = Some((directory.clone(), error)),
            }
            places.push(directory.display().to_string());
        }
        match (&answering[..], closed) {
            ([socket], _) => Ok(Self(socket.clone())),
            ([], Some((path, error))) => Err(no_answer(&path, &error)),
            ([], None) => bail!(
                "no longshore runs that you could ask: there is no socket of one in {}. If one runs, say where its \
                 server.admin_socket is: --socket PATH, or --config FILE",
                places.join(" nor in ")
            ),
            (several, _) => {
                let names: Vec<_> = several.iter().map(|socket| format!("\n  --socket {}", socket.display())).collect();
                bail!("several servers run, named after their control ports; choose one:{}", names.concat())
            }
        }
    }

    /// The process that serves there, as its number, and its user.
    pub fn server(&self) -> io::Result<(i32, u32)> {
        let server = rustix::net::sockopt::socket_peercred(connect(&self.0)?)?;
        Ok((server.pid.as_raw_nonzero().get(), server.uid.as_raw()))
    }

    /// Asks, and returns the answer.
    pub fn ask(&self, request: &Request) -> anyhow::Result<Value> {
        self.ask_and_hold(request).map(|(value, _)| value)
    }

    /// Asks, and returns the answer with the connection, for a request that holds until that is closed.
    pub fn ask_and_hold(&self, request: &Request) -> anyhow::Result<(Value, UnixStream)> {
        let Self(path) = self;
        let mut stream = connect(path).map_err(|error| no_answer(path, &error))?;
        let answer = converse(&mut stream, request)
            .with_context(|| format!("the server at {} gave no answer", path.display()))?;
        match answer {
            Answer::Ok(value) => Ok((value, stream)),
            Answer::Error(why) => bail!("the server says: {}", harmless(&why)),
        }
    }
}

/// What came from a server, for a terminal: root may ask one that somebody else has taken over.
pub fn harmless(text: &str) -> String {
    text.replace(|char: char| char.is_control() && char != '\n', "\u{fffd}")
}

fn converse(stream: &mut UnixStream, request: &Request) -> io::Result<Answer> {
    stream.set_read_timeout(Some(TIME_LIMIT))?;
    stream.set_write_timeout(Some(TIME_LIMIT))?;
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    let mut line = Vec::new();
    BufReader::new((&*stream).take(ANSWER_LIMIT)).read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line)?)
}

fn connect(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path)
}

fn no_answer(path: &Path, error: &io::Error) -> anyhow::Error {
    let path = path.display();
    match error.kind() {
        ErrorKind::NotFound => anyhow::anyhow!("no server runs at {path}: there is no such socket"),
        ErrorKind::ConnectionRefused => anyhow::anyhow!("no server runs at {path}: the one that made it is gone"),
        ErrorKind::PermissionDenied => {
            anyhow::anyhow!("you may not use {path}; ask as root (sudo) or as the user who serves")
        }
        _ => anyhow::anyhow!("connecting to {path}: {error}"),
    }
}
