//! The words of answers, each with those that it could be mistaken for.

/// Sets of words of which an answer names one. Several words of a line mean the same; the first is the one that is
/// compared.
const SETS: [&[&[&str]]; 5] = [
    &[&["system", "well-known", "wellknown"], &["user", "registered"], &["dynamic", "private", "ephemeral"]],
    &[&["server"], &["client"]],
    &[&["yes"], &["no"]],
    &[&["same"], &["different"]],
    &[
        &["user"],
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

/// The set that a word belongs to; none where it can be told from no other.
pub(crate) fn choices(word: &str) -> &'static [&'static [&'static str]] {
    let word = word.to_ascii_lowercase();
    let is_verb = SETS[4].iter().any(|names| names[0] == word) && word != "user";
    match is_verb {
        true => SETS[4],
        false => {
            SETS[..4].iter().find(|set| set.iter().any(|names| names.contains(&&*word))).copied().unwrap_or_default()
        }
    }
}
