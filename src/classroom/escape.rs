//! Text of strangers where it could be taken for something else.

/// Text in HTML.
pub(super) fn html(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A cell that no spreadsheet takes for a formula (CWE-1236). Numbers below zero are none.
pub(super) fn cell(text: &str) -> String {
    let is_number = text.strip_prefix('-').is_some_and(|rest| {
        rest.starts_with(|letter: char| letter.is_ascii_digit())
            && rest.bytes().all(|letter| letter.is_ascii_digit() || letter == b'.')
    });
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_number { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_become_text_and_numbers_stay() {
        for text in ["=1+1", "+1", "-1+1", "-x", "-", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0"] {
            assert_eq!(cell(text), format!("'{text}"));
        }
        for text in ["", "0", "-5", "-1.5", "Ann", "a=1", " =1", "2026-11-25"] {
            assert_eq!(cell(text), text);
        }
    }
}
