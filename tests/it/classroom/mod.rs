//! Classes: made from a roster, served, and played by real clients.

mod export;
mod play;
mod roster;
