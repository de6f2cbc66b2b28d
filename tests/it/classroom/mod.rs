//! Classes: made from a roster, served, and played by real clients.

mod play;
mod roster;
