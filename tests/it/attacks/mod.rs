//! Those who mean harm, or are broken: what they may say, do beside the server, and how many they are. Nothing that they
//! do may reach out of the root, go unanswered, or keep others from their files.
//!
//! The short forms run with all tests. `PROPTEST_CASES=100000 cargo test --release --test it attacks::` runs the long
//! ones: each test of random cases then takes so many.

mod dialogue;
mod model;
mod outside;
mod races;

/// How often a test repeats what it does: as often as this, or in the long form longer.
fn rounds(short: u32) -> u32 {
    // Proptest takes 256 cases unless `PROPTEST_CASES` says otherwise.
    short * proptest::test_runner::Config::default().cases.div_ceil(256)
}
