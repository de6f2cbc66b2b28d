//! Black-box tests: the real binary, spoken to by an independent client and by every FTP client that is installed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and the fixture says what the server saw")]

mod admin;
mod analysers;
mod attacks;
mod classroom;
mod cli;
mod client_certificates;
mod clients;
mod data_ports;
mod doctor;
mod embedded;
mod faults;
mod fixture;
mod ftp;
mod hosts;
mod image;
mod limits;
mod listing;
mod log;
mod metrics;
mod neighbours;
mod notify;
mod page;
mod permissions;
mod protocol;
mod quota;
mod rates;
mod reach;
mod readme;
mod reload;
mod shutdown;
mod tls;
mod transfers;
mod uploads;
