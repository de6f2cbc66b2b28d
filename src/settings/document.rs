//! A TOML file in which each value knows its line.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;

use config::{Map, Value, ValueKind};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Faults;

/// A table as written: keys in the file's order, each value with `file:line` as its origin.
pub(crate) type Table = Map<String, Value>;

/// Reads and parses a file as [`parse`] does; `missing` says what to do when it is not there.
pub(crate) fn read(path: &Path, missing: &str) -> (Table, Faults) {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, &name),
        Err(err) => {
            let text = match err.kind() {
                ErrorKind::NotFound => format!("there is no such file; {missing}"),
                _ => format!("cannot be read: {err}; name a text file that this user may read"),
            };
            (Table::new(), Faults::one(name, text))
        }
    }
}

/// Parses a file's text; `name` is what the file is called in faults. The table has what can be read in spite of them.
///
/// `config` could parse TOML too, but it keeps no lines, and an error that names no line is half an error.
pub(crate) fn parse(text: &str, name: &str) -> (Table, Faults) {
    let (table, lines, faults) = tree(text, name);
    (lines.table(table), faults)
}

/// The same with spans, for which the lines are given.
pub(crate) fn tree<'a>(text: &'a str, name: &'a str) -> (DeTable<'a>, Lines<'a>, Faults) {
    let lines = Lines { text, name };
    let (table, mut errors) = DeTable::parse_recoverable(text);
    // The parser reports an unclosed bracket before what it found inside, and often one slip several times.
    errors.sort_by_key(|error| lines.number(error.span()));
    errors.dedup_by_key(|error| lines.number(error.span()));
    let mut faults = Faults::default();
    for error in errors {
        let found = error.span().and_then(|span| text.get(span)).unwrap_or_default();
        let what = match error.message() {
            "duplicate key" => format!("{found} is there twice; keep one of them"),
            message => format!("this is not TOML: {}; correct this line", message.replace('\n', ", ")),
        };
        faults.push(lines.origin(error.span()), what);
    }
    (table.into_inner(), lines, faults)
}

/// Turns parsed tables into values with origins.
pub(crate) struct Lines<'a> {
    text: &'a str,
    name: &'a str,
}

impl Lines<'_> {
    /// The line on which a span begins.
    fn number(&self, span: Option<Range<usize>>) -> usize {
        let start = span.map_or(0, |span| span.start).min(self.text.len());
        let before = &self.text.as_bytes()[..start];
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    /// `file:line` of a span.
    pub fn origin(&self, span: Option<Range<usize>>) -> String {
        format!("{}:{}", self.name, self.number(span))
    }

    fn table(&self, table: DeTable<'_>) -> Table {
        let entries = table.into_iter();
        entries.map(|(key, value)| (key.into_inner().into_owned(), self.value(value))).collect()
    }

    fn value(&self, value: Spanned<DeValue<'_>>) -> Value {
        let origin = self.origin(Some(value.span()));
        let kind = match value.into_inner() {
            DeValue::String(text) => ValueKind::String(text.into_owned()),
            // No setting needs more than an i64: a larger number stays text, and the key refuses it as such.
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| ValueKind::String(number.to_string()), ValueKind::I64),
            DeValue::Float(number) => {
                number.as_str().parse().map_or_else(|_| ValueKind::String(number.to_string()), ValueKind::Float)
            }
            DeValue::Boolean(value) => ValueKind::Boolean(value),
            DeValue::Datetime(moment) => ValueKind::String(moment.to_string()),
            DeValue::Array(items) => ValueKind::Array(items.into_iter().map(|item| self.value(item)).collect()),
            DeValue::Table(table) => ValueKind::Table(self.table(table)),
        };
        Value::new(Some(&origin), kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_its_line_and_keys_with_dots_stay_whole() {
        let table = parse("a = 1\n[b]\n\"10.0.0.0/8\" = [\n  2,\n  \"x\"]\n", "f.toml").0;
        assert_eq!(table["a"].origin(), Some("f.toml:1"));
        let inner = table["b"].clone().into_table().unwrap();
        assert_eq!(inner["10.0.0.0/8"].origin(), Some("f.toml:3"));
        let items = inner["10.0.0.0/8"].clone().into_array().unwrap();
        assert_eq!(items[1].origin(), Some("f.toml:5"));
    }

    #[test]
    fn all_syntax_errors_are_reported_with_their_lines_and_hide_no_other_line() {
        let (table, faults) = parse("a = \nb = 1\nc = [1\n", "f.toml");
        assert_eq!(table["b"].kind, ValueKind::I64(1));
        let origins: Vec<_> = faults.iter().map(|fault| fault.origin.as_str()).collect();
        assert_eq!(origins, ["f.toml:1", "f.toml:3"], "{faults}");
    }
}
