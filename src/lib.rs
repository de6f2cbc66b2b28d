//! longshore: an FTP server that shows its ports.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod ports;
pub mod sessions;
pub mod settings;
pub mod storage;
