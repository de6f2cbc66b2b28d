//! An answer taken apart: its numbers, its words, and what is neither.

use std::collections::VecDeque;

/// Sets of words of which an answer names one. Several words of a line mean the same; the first is the one that is
/// compared.
const SETS: [&[&[&str]]; 5] = [
    &[&["system", "well-known", "wellknown"], &["user", "registered"], &["dynamic", "private", "ephemeral"]],
    &[&["server"], &["client"]],
    &[&["yes"], &["no"]],
    &[&["same"], &["different"]],
    // Without USER, which is a class of ports.
    &[
        &["pass"],
        &["acct"],
        &["port"],
        &["pasv"],
        &["eprt"],
        &["epsv"],
        &["list"],
        &["nlst"],
        &["mlsd"],
        &["retr"],
        &["stor"],
        &["appe"],
        &["dele"],
        &["type"],
        &["rest"],
        &["auth"],
        &["feat"],
        &["syst"],
        &["quit"],
    ],
];

/// Words that say nothing in an answer that is compared as a text.
const FILLERS: [&str; 4] = ["a", "an", "and", "the"];

/// The numbers and words of an answer, each in their order.
#[derive(Debug, Default)]
pub(super) struct Words {
    numbers: VecDeque<u32>,
    choices: VecDeque<&'static str>,
    codes: VecDeque<String>,
}

/// The set that a word belongs to; none where it can be told from no other.
pub(crate) fn choices(word: &str) -> &'static [&'static [&'static str]] {
    let word = word.to_ascii_lowercase();
    SETS.iter().find(|set| meant(set, &word).is_some()).copied().unwrap_or_default()
}

/// What a word means in a set.
fn meant(set: &'static [&'static [&'static str]], word: &str) -> Option<&'static str> {
    set.iter().find(|names| names.contains(&word)).map(|names| names[0])
}

/// What a word is compared as; empty where it belongs to no set.
pub(super) fn canonical(word: &str) -> &'static str {
    meant(choices(word), &word.to_ascii_lowercase()).unwrap_or_default()
}

impl Words {
    /// Takes an answer apart. Words count where one of their set is expected.
    pub fn of(text: &str, expected: &[&str]) -> Self {
        let mut words = Self::default();
        let text = text.to_ascii_lowercase();
        let sets: Vec<_> = expected.iter().map(|word| choices(word)).collect();
        for token in joined(&text).split(|letter: char| !is_of_a_token(letter)) {
            let token = token.trim_matches(['-', '.', '*', '+', '=']);
            let choice = sets.iter().find_map(|set| meant(set, token));
            if let Some(number) = number(token) {
                words.numbers.push_back(number);
            } else if let Some(choice) = choice {
                words.choices.push_back(choice);
            } else if is_code_word(token) {
                words.codes.push_back(token.to_owned());
            }
        }
        words
    }

    pub fn number(&mut self) -> Option<u32> {
        self.numbers.pop_front()
    }

    pub fn choice(&mut self) -> Option<&'static str> {
        self.choices.pop_front()
    }

    pub fn code_word(&mut self) -> Option<String> {
        self.codes.pop_front()
    }

    /// Whether more was written than was asked for: whoever writes every answer there is has written the right one, too.
    pub fn has_more(&self) -> bool {
        !(self.numbers.is_empty() && self.choices.is_empty() && self.codes.is_empty())
    }
}

/// Whether an answer is this text, whatever its case, spaces and punctuation.
pub(super) fn is_text(answer: &str, text: &str) -> bool {
    let plain = |text: &str| {
        let text = text.to_lowercase().replace('\'', "");
        let words = text.split(|letter: char| !letter.is_alphanumeric());
        let words = words.filter(|word| !word.is_empty() && !FILLERS.contains(word));
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    plain(answer) == plain(text)
}

/// Without the spaces around the signs of a calculation.
fn joined(text: &str) -> String {
    ["*", "+", "="]
        .iter()
        .fold(text.to_owned(), |text, sign| text.split(sign).map(str::trim).collect::<Vec<_>>().join(sign))
}

fn is_of_a_token(letter: char) -> bool {
    letter.is_alphanumeric() || "-.*+=".contains(letter)
}

/// A number, or the result of a calculation: `50019`, `195*256+99`, or both with `=` in between, where what was
/// calculated counts.
fn number(token: &str) -> Option<u32> {
    let result = token.rsplit('=').next()?;
    let sum = |sum: &str| sum.split('+').map(product).try_fold(0_u32, |sum, factor| sum.checked_add(factor?));
    sum(result)
}

fn product(factors: &str) -> Option<u32> {
    factors.split('*').map(plain_number).try_fold(1_u32, |product, factor| product.checked_mul(factor?))
}

fn plain_number(digits: &str) -> Option<u32> {
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_plain)
}

/// `quick-river-482`, as seeds make them.
fn is_code_word(token: &str) -> bool {
    let parts: Vec<&str> = token.split('-').collect();
    matches!(parts[..], [one, two, number] if plain_number(number).is_some()
        && [one, two].iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str, expected: &[&str]) -> (Vec<u32>, Vec<&'static str>, Vec<String>) {
        let Words { numbers, choices, codes } = Words::of(text, expected);
        (numbers.into(), choices.into(), codes.into())
    }

    #[test]
    fn numbers_and_words_are_found_among_others() {
        let (numbers, words, _) = taken("Port 21, it is a System port (192.168.1.5:50019).", &["user"]);
        assert_eq!((numbers, words), (vec![21, 50019], vec!["system"]));
        assert_eq!(taken("registered / private", &["system"]).1, ["user", "dynamic"]);
        assert_eq!(taken("the server, then the client", &["user"]).1, [""; 0]);
        assert_eq!(taken("EPRT and epsv", &["PASV"]).1, ["eprt", "epsv"]);
        assert_eq!(taken("It is quick-river-482!", &[]).2, ["quick-river-482"]);
    }

    #[test]
    fn calculations_may_be_written_out() {
        for text in ["50019", "195*256+99", "195 * 256 + 99 = 50019", "195*256+99=50019.", "99+195*256"] {
            assert_eq!(taken(text, &[]).0, [50019], "{text}");
        }
        assert_eq!(taken("195*256+99=50020", &[]).0, [50020]);
        assert_eq!(taken("195*99999999999", &[]).0, [0; 0]);
    }

    #[test]
    fn texts_are_equal_whatever_their_case_and_punctuation() {
        assert!(is_text(" The client's  PORT. ", "clients port"));
        assert!(is_text("EPRT, EPSV", "EPRT and EPSV"));
        assert!(!is_text("the client", "client port"));
    }
}
