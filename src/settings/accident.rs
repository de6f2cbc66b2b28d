//! What happens to a value on its way through shells, env files and compose files.

/// What has happened to `value`, if it shows, and what to do about it.
///
/// A `password` may have quotes at one end and white space in between; what it cannot have by intention, or only just, is
/// said nevertheless, since a secret that nobody can log in with is found late.
pub(super) fn of(value: &str, password: bool) -> Option<String> {
    let quotes = ['"', '\''];
    let (begins, ends) = (value.starts_with(quotes), value.ends_with(quotes));
    let both = value.len() > 1 && begins && ends && value.chars().next() == value.chars().next_back();
    let what = if value.ends_with('\r') {
        "it ends with a carriage return, since its file has the line ends of Windows; convert the file: sed -i 's/\\r$//' FILE"
    } else if both || (!password && (begins || ends)) {
        "a quote has become part of it; write it without: env files and lists in compose (- NAME=value) keep quotes as they are"
    } else if value.trim() != value {
        "it begins or ends with white space; take that away"
    } else if value.contains("${") || value.contains("$(") {
        "it has a $ that was not replaced; write the value itself: env files and single quotes replace nothing"
    } else {
        return None;
    };
    let file = if password { ", or use the variable with _FILE, since a file is taken as it is" } else { "" };
    Some(format!("{what}{file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accidents_are_told_from_values() {
        for (value, password, what) in [
            ("203.0.113.7", false, None),
            ("it's", false, None),
            ("\"203.0.113.7\"", false, Some("a quote")),
            ("'ann'", true, Some("a quote")),
            ("'ann", false, Some("a quote")),
            ("'ann", true, None),
            ("\"", true, None),
            ("ann\r", false, Some("carriage return")),
            ("secret\r", true, Some("carriage return")),
            (" ann", false, Some("white space")),
            ("two words", true, None),
            ("secret\n", true, Some("white space")),
            ("${SECRET}", true, Some("not replaced")),
            ("$(cat secret)", true, Some("not replaced")),
            ("pa$word", true, None),
        ] {
            let found = of(value, password);
            assert_eq!(found.is_some(), what.is_some(), "{value:?}: {found:?}");
            let text = found.unwrap_or_default();
            assert!(text.contains(what.unwrap_or_default()) && !text.contains("203"), "{value:?}: {text}");
            assert_eq!(text.contains("_FILE"), password && what.is_some());
        }
    }
}
