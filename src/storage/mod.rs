//! Files below a root that nothing escapes.

pub mod rights;
