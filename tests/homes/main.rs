//! longshore at home: the service under a real systemd, in containers of a real Docker engine.
//!
//! `cargo test` alone leaves them out; `cargo test --test homes` runs them. Where there is no engine nothing is shown:
//! each test says so, and with `LONGSHORE_REQUIRE_ENGINE=1` it fails. The images are made by debootstrap, once a machine.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and says what it saw")]

mod docker;
mod doctor;
mod engine;
mod images;
mod systemd;
