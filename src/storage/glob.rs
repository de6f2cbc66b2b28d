//! Shell patterns on bytes: `*`, `?`, `[abc]`, `[a-z]`, `[!x]` and `\` before a character that stands for itself.

/// A compiled pattern for one component of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Token>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// Any characters, or none.
    Star,
    /// Any one character.
    Any,
    /// This character.
    One(Unit),
    /// One of these characters, or none of them.
    Class { negated: bool, ranges: Vec<(Unit, Unit)> },
}

/// A character: a Unicode scalar value where a name is UTF-8 there, else one byte, numbered above all of Unicode.
type Unit = u32;

const FIRST_BYTE: Unit = 0x11_0000;

/// Whether `text` holds anything that a pattern gives a meaning to.
pub(super) fn is_pattern(text: &[u8]) -> bool {
    text.iter().any(|byte| b"*?[\\".contains(byte))
}

impl Pattern {
    /// Every text is a pattern: an unclosed `[` and a final `\` stand for themselves.
    pub fn new(text: &[u8]) -> Self {
        let mut tokens = Vec::new();
        let mut rest = text;
        let mut class_possible = true;
        while let Some(&byte) = rest.first() {
            if byte == b'[' && class_possible {
                if let Some((class, after)) = parse_class(&rest[1..]) {
                    tokens.push(class);
                    rest = after;
                    continue;
                }
                // Looked for in the whole rest, so no later '[' has an end either, and parsing stays linear.
                class_possible = false;
            }
            match byte {
                b'*' => {
                    if tokens.last() != Some(&Token::Star) {
                        tokens.push(Token::Star);
                    }
                    rest = &rest[1..];
                }
                b'?' => {
                    tokens.push(Token::Any);
                    rest = &rest[1..];
                }
                _ => {
                    let (unit, after) = literal(rest);
                    tokens.push(Token::One(unit));
                    rest = after;
                }
            }
        }
        Self(tokens)
    }

    /// The only name that the pattern matches, if it has no wildcard.
    pub fn literal(&self) -> Option<Vec<u8>> {
        let mut name = Vec::new();
        for token in &self.0 {
            let Token::One(unit) = token else { return None };
            match char::from_u32(*unit) {
                Some(character) => name.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
                None => name.push((unit - FIRST_BYTE) as u8),
            }
        }
        Some(name)
    }

    /// How many bytes of a name stand for themselves.
    pub fn literal_bytes(&self) -> usize {
        let bytes = |token: &Token| match token {
            Token::One(unit) => char::from_u32(*unit).map_or(1, char::len_utf8),
            Token::Star | Token::Any | Token::Class { .. } => 0,
        };
        self.0.iter().map(bytes).sum()
    }

    /// Whether `name` matches. A name that begins with a dot needs a pattern that does.
    ///
    /// Only the last `*` is ever taken back, so the time is at most the product of both lengths.
    pub fn matches(&self, name: &[u8]) -> bool {
        let dotted = self.0.first() == Some(&Token::One(u32::from(b'.')));
        (dotted || !name.starts_with(b".")) && self.fits(name)
    }

    /// As [`matches`](Self::matches), but a name that begins with a dot is one like any other.
    pub fn fits(&self, name: &[u8]) -> bool {
        let (mut token, mut rest) = (0, name);
        let mut retry: Option<(usize, &[u8])> = None;
        loop {
            match self.0.get(token) {
                None if rest.is_empty() => return true,
                Some(Token::Star) => {
                    retry = Some((token + 1, rest));
                    token += 1;
                    continue;
                }
                Some(wanted) if !rest.is_empty() => {
                    let (unit, after) = next_unit(rest);
                    if wanted.takes(unit) {
                        (token, rest) = (token + 1, after);
                        continue;
                    }
                }
                _ => {}
            }
            match retry {
                Some((after_star, taken)) if !taken.is_empty() => {
                    (token, rest) = (after_star, next_unit(taken).1);
                    retry = Some((token, rest));
                }
                _ => return false,
            }
        }
    }
}

impl Token {
    fn takes(&self, unit: Unit) -> bool {
        match self {
            Self::Star | Self::Any => true,
            Self::One(wanted) => *wanted == unit,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&unit)) != *negated
            }
        }
    }
}

/// The class whose text follows a '[', and what comes behind its ']'. A ']' that comes first belongs to the class.
fn parse_class(text: &[u8]) -> Option<(Token, &[u8])> {
    let negated = matches!(text.first(), Some(b'!' | b'^'));
    let mut rest = if negated { &text[1..] } else { text };
    let mut ranges = Vec::new();
    while ranges.is_empty() || *rest.first()? != b']' {
        rest.first()?;
        let (first, after) = literal(rest);
        let (last, after) = match after {
            [b'-', next, ..] if *next != b']' => literal(&after[1..]),
            _ => (first, after),
        };
        ranges.push((first, last));
        rest = after;
    }
    Some((Token::Class { negated, ranges }, &rest[1..]))
}

/// The character at the start of a pattern's non-empty `text`, without the backslash before it.
fn literal(text: &[u8]) -> (Unit, &[u8]) {
    match text {
        [b'\\', rest @ ..] if !rest.is_empty() => next_unit(rest),
        _ => next_unit(text),
    }
}

/// The character at the start of the non-empty `text`, and the rest.
fn next_unit(text: &[u8]) -> (Unit, &[u8]) {
    let length = match text[0] {
        ..0x80 => return (text[0].into(), &text[1..]),
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
        _ => 1,
    };
    let character = text.get(..length).and_then(|bytes| str::from_utf8(bytes).ok()).and_then(|s| s.chars().next());
    match character {
        Some(character) => (character.into(), &text[length..]),
        None => (FIRST_BYTE + Unit::from(text[0]), &text[1..]),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern.as_bytes()).matches(name.as_bytes())
    }

    #[test]
    fn stars_take_any_number_of_characters() {
        for (pattern, name) in
            [("*", "a"), ("*.txt", "a.txt"), ("a*b*c", "abbc"), ("a*", "a"), ("**", "x"), ("*?", "é")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("*.txt", "a.txt2"), ("a*b", "a"), ("*??", "é"), ("", "a")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_question_mark_takes_one_character_or_one_stray_byte() {
        assert!(matches("?", "é"));
        assert!(matches("a?c", "a€c"));
        assert!(Pattern::new(b"a?c").matches(b"a\xffc"));
        assert!(Pattern::new(b"a??").matches(b"a\xe2\x82"));
        assert!(!matches("?", ""));
    }

    #[test]
    fn classes_have_members_ranges_and_negation() {
        for (pattern, name) in [
            ("[abc]", "b"),
            ("[a-c]x", "cx"),
            ("[!a-c]", "d"),
            ("[^a]", "b"),
            ("[]]", "]"),
            ("[!]]", "a"),
            ("[a-]", "-"),
            ("[\\]]", "]"),
            ("[à-ü]", "é"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("[abc]", "d"), ("[!a-c]", "b"), ("[c-a]", "b"), ("[a]", "")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn unclosed_brackets_and_escaped_characters_stand_for_themselves() {
        assert!(matches("[a", "[a"));
        assert!(matches("*[a*", "x[ab"));
        assert!(matches("\\*", "*"));
        assert!(!matches("\\*", "a"));
        assert!(matches("a\\", "a\\"));
        assert_eq!(Pattern::new(b"\\[x\xff\\?").literal(), Some(b"[x\xff?".to_vec()));
        assert_eq!(Pattern::new(b"a*").literal(), None);
    }

    #[test]
    fn hidden_names_need_a_dot_in_the_pattern() {
        assert!(!matches("*", ".profile"));
        assert!(!matches("?profile", ".profile"));
        assert!(!matches("[.]profile", ".profile"));
        assert!(matches(".*", ".profile"));
    }

    #[test]
    fn hostile_patterns_take_no_exponential_time() {
        let name = "a".repeat(255);
        let started = Instant::now();
        assert!(!matches(&format!("{}b", "*a".repeat(127)), &name));
        assert!(!matches(&"*[".repeat(2000), &name));
        assert!(started.elapsed() < Duration::from_secs(1));
    }

    proptest::proptest! {
        /// Against the plain meaning, for patterns without classes.
        #[test]
        fn any_pattern_matches_what_it_means(pattern in "[ab*?\\\\]{0,10}", name in "[ab*]{0,10}") {
            fn means(pattern: &[char], name: &[char]) -> bool {
                match pattern {
                    [] => name.is_empty(),
                    ['*', rest @ ..] => (0..=name.len()).any(|taken| means(rest, &name[taken..])),
                    ['?', rest @ ..] => !name.is_empty() && means(rest, &name[1..]),
                    ['\\', wanted, rest @ ..] | [wanted, rest @ ..] => name.first() == Some(wanted) && means(rest, &name[1..]),
                }
            }
            let characters = |text: &str| text.chars().collect::<Vec<_>>();
            let meant = means(&characters(&pattern), &characters(&name));
            prop_assert_eq!(Pattern::new(pattern.as_bytes()).fits(name.as_bytes()), meant);
        }

        #[test]
        fn any_name_is_matched_by_itself_escaped_and_by_nothing_else(name in vec(any::<u8>(), 0..60), other in vec(any::<u8>(), 0..60)) {
            let escaped: Vec<u8> = name.iter().flat_map(|byte| if byte.is_ascii() { vec![b'\\', *byte] } else { vec![*byte] }).collect();
            let pattern = Pattern::new(&escaped);
            prop_assert!(pattern.fits(&name));
            prop_assert_eq!(pattern.literal(), Some(name.clone()));
            prop_assert_eq!(pattern.fits(&other), name == other);
        }

        /// As long as a command line and a name can be.
        #[test]
        fn any_pattern_takes_no_longer_than_the_product_of_both_lengths(
            parts in vec(select(&["*", "?", "a", "b", "[", "]", "[a-c]", "[!a]", "-", "\\", "*a*a*a", "[ababababab]", "é"][..]), 0..1000),
            name in "[abé]{0,120}",
        ) {
            let (pattern, began) = (parts.concat(), Instant::now());
            Pattern::new(pattern.as_bytes()).fits(name.as_bytes());
            prop_assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
        }
    }
}
