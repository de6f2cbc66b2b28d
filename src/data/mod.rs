//! Data connections: opened as the client and the server agreed, and the bytes that go over them, straight between
//! socket and storage.

pub(crate) mod ascii;
mod carry;
mod open;

pub(crate) use carry::Broken;
pub(crate) use open::{DataConnection, NotOpened, Offer, Terms, turned_away};
