//! Classes: made from a roster, served, and played by real clients.

mod export;
mod homes;
pub mod lab;
mod lesson;
mod play;
mod roster;
mod tasks;
