//! Patterns for whole paths, which cover what they match and everything below it.

use super::glob::Pattern;
use super::path::VirtualPath;

/// A pattern for paths, such as `/incoming/*.tmp`. Of several that cover a path the longest decides; its length is the
/// number of its bytes that stand for themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    components: Vec<Pattern>,
    length: usize,
}

impl PathPattern {
    /// The pattern as written, or why it can cover no path.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        if !text.starts_with('/') {
            return Err("a path pattern begins with /, which is the home");
        } else if text.chars().any(char::is_control) {
            return Err("it has control characters");
        } else if text.split('/').any(|component| matches!(component, "." | "..")) {
            return Err("no path has . or .. in it");
        } else if text.contains("**") {
            return Err(
                "a * stands for part of one name, and no ** for several; all below what matches is covered anyway",
            );
        }
        let parts = text.split('/').filter(|part| !part.is_empty());
        let components: Vec<Pattern> = parts.map(|part| Pattern::new(part.as_bytes())).collect();
        // The slash before each component, and the root's own.
        let slashes = components.len().max(1);
        let length = slashes + components.iter().map(Pattern::literal_bytes).sum::<usize>();
        Ok(Self { text: text.to_owned(), components, length })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many of its bytes stand for themselves.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Whether it covers every path.
    pub fn is_root(&self) -> bool {
        self.components.is_empty()
    }

    /// Whether it covers the path of these components: matches it, or a directory above it.
    pub fn covers(&self, path: &[&[u8]]) -> bool {
        self.components.len() <= path.len()
            && self.components.iter().zip(path).all(|(pattern, name)| pattern.fits(name))
    }

    /// Whether it may match something below the path of these components.
    pub fn reaches_below(&self, path: &[&[u8]]) -> bool {
        self.components.len() > path.len() && self.components.iter().zip(path).all(|(pattern, name)| pattern.fits(name))
    }
}

/// The value of the longest pattern that covers `path`; of equally long ones `choose` says which.
pub fn longest<T: Copy>(rules: &[(PathPattern, T)], path: &VirtualPath, choose: impl Fn(T, T) -> T) -> Option<T> {
    let components: Vec<&[u8]> = path.components().collect();
    let covering = || rules.iter().filter(|(pattern, _)| pattern.covers(&components));
    let length = covering().map(|(pattern, _)| pattern.length()).max()?;
    covering().filter(|(pattern, _)| pattern.length() == length).map(|(_, value)| *value).reduce(choose)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wildcards_and_classes_do_not_count_and_escapes_do_once() {
        for (pattern, length) in [("/", 1), ("/ab", 3), ("/a/b", 4), ("/*", 1), ("/a?[bc]*", 2), ("/\\*é", 4)] {
            assert_eq!(PathPattern::new(pattern).unwrap().length(), length, "{pattern}");
        }
    }

    #[test]
    fn patterns_are_absolute() {
        for (pattern, good) in [
            ("/", true),
            ("/a/*", true),
            ("", false),
            ("a", false),
            ("/a/../b", false),
            ("/a\n", false),
            ("/**/b", false),
        ] {
            assert_eq!(PathPattern::new(pattern).is_ok(), good, "{pattern:?}");
        }
    }

    #[test]
    fn of_equally_long_patterns_the_caller_chooses() {
        let rules = [("/", 9), ("/a*", 5), ("/*a", 3)].map(|(text, value)| (PathPattern::new(text).unwrap(), value));
        let at = |path: &str| longest(&rules, &VirtualPath::root().resolve(path.as_bytes()).unwrap(), u32::min);
        assert_eq!([at("/aa"), at("/ab"), at("/b/aa"), at("/")], [Some(3), Some(5), Some(9), Some(9)]);
        assert_eq!(longest::<u32>(&[], &VirtualPath::root(), u32::min), None);
    }

    proptest::proptest! {
        #[test]
        fn any_pattern_covers_all_below_what_it_covers(
            pattern in "/[ab*?\\[\\]/]{0,12}", path in vec("[ab]{1,3}", 1..5), more in "[ab]{1,3}",
        ) {
            let pattern = PathPattern::new(&pattern.replace("**", "*?")).unwrap();
            let components: Vec<&[u8]> = path.iter().map(String::as_bytes).collect();
            let below = [components.as_slice(), &[more.as_bytes()]].concat();
            prop_assert!(!pattern.covers(&components) || pattern.covers(&below));
            // What covers something below, and not this, reaches below it.
            prop_assert!(!pattern.covers(&below) || pattern.covers(&components) || pattern.reaches_below(&components));
        }

        #[test]
        fn any_text_is_a_pattern_or_refused(text in any::<String>()) {
            prop_assert!(PathPattern::new(&text).is_err() || text.starts_with('/'));
        }
    }
}
