//! longshore: an FTP server that shows its ports.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod accounts;
pub mod cli;
pub mod ports;
pub mod sessions;
pub mod settings;
pub mod storage;
