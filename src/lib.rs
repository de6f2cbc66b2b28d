//! longshore: an FTP server that shows its ports.
//!
//! The parts in the order in which a client meets them:
//!
//! - [`server`] binds the listeners, accepts control connections and ends everything in good order.
//! - [`limits`] says how much of the server one client, one address or everybody may have.
//! - `control` is a session: it reads commands, answers them, and goes on reading while a transfer runs.
//! - `engine` is libunftp behind one door: login, and commands that change the namespace.
//! - [`storage`] is the files below a root that nothing escapes; [`accounts`] says who may reach which.
//! - `data` is data connections, and the bytes that go over them straight between socket and storage; `blocking` keeps
//!   a disk that hangs from holding everybody up.
//! - `tls` is the certificate and encrypted connections, for control and data alike.
//! - [`ports`] knows IANA's ranges and hands out passive ports; `reach` says whether clients get to what they are told.
//! - [`sessions`] puts all of that on record, as events; the session log is one reader of them.
//! - [`metrics`] counts what happens for Prometheus, and [`http`] is the listener that serves it.
//! - [`page`] shows the same live in a browser, on the same listeners.
//! - [`admin`] answers what an operator asks of the running server.
//! - [`doctor`] looks at the machine for what hinders a server.
//! - [`classroom`] gives lessons on such a server, and marks them by what it observed.
//! - [`settings`] and [`cli`] are how it is told what to do.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut settings = longshore::settings::Settings::default();
//! settings.server.listen = vec!["127.0.0.1:0".parse()?];
//! let server = longshore::Server::start(settings).await?;
//! println!("{:?}", server.addresses());
//! server.shut_down().await;
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that panics says where"))]

pub mod accounts;
pub mod admin;
mod blocking;
pub mod classroom;
pub mod cli;
mod columns;
mod control;
mod data;
pub mod doctor;
mod engine;
pub mod http;
pub mod limits;
pub mod metrics;
pub mod page;
pub mod ports;
mod reach;
pub mod server;
pub mod sessions;
pub mod settings;
pub mod storage;
mod tls;

pub use control::{Asker, Practice};
pub use server::{Reloaded, Server, StartError};
