//! Those who mean harm, or are broken: what they may say, do beside the server, and how many they are. Nothing that they
//! do may reach out of the root, go unanswered, or keep others from their files.
//!
//! The short forms run with all tests. `PROPTEST_CASES=100000 cargo test --release --test it attacks::` runs the long
//! ones: each test of random cases then takes so many.

use std::fs;
use std::path::Path;

mod dialogue;
mod flood;
mod model;
mod outside;
mod races;

/// How often a test repeats what it does: as often as this, or in the long form longer.
fn rounds(short: u32) -> u32 {
    // Proptest takes 256 cases unless `PROPTEST_CASES` says otherwise.
    short * proptest::test_runner::Config::default().cases.div_ceil(256)
}

/// A promise whose test is gone is none.
#[test]
fn the_tests_that_security_md_names_are_there() {
    let base = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut sources, mut pending) = (String::new(), vec![base.join("src"), base.join("tests")]);
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            sources += &fs::read_to_string(path).unwrap();
        }
    }
    let text = fs::read_to_string(base.join("SECURITY.md")).unwrap();
    let names: Vec<&str> = text.split('`').filter(|word| word.contains("::") && !word.contains(' ')).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let function = format!("fn {}(", name.rsplit("::").next().unwrap());
        assert!(sources.contains(&function), "SECURITY.md names {name}, which is no test");
    }
}
