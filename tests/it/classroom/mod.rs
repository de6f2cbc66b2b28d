//! Classes: made from a roster, served, and played by real clients.

mod clients;
mod lab;
mod lesson;
mod play;
mod roster;
mod tasks;
