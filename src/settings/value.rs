//! From a value as written to a value as used, or what is wrong with it.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use config::{Value, ValueKind};

use super::AdminSocket;
use crate::storage::PathPattern;

/// A value, or part of one, that is not allowed.
#[derive(Debug, PartialEq)]
pub(crate) struct Bad {
    /// Where it was written.
    pub origin: String,
    /// The value as one would write it in TOML.
    pub found: String,
    /// What exactly is wrong, where "not allowed" does not say it.
    pub why: Option<String>,
}

impl Bad {
    /// `value` is of the wrong kind or not one of the choices.
    pub fn not_allowed(value: &Value) -> Vec<Self> {
        let origin = value.origin().unwrap_or_default().to_owned();
        let found = show(value);
        let why = None;
        vec![Self { origin, found, why }]
    }

    /// `value` is not allowed, and this is why.
    pub fn because(value: &Value, why: impl Into<String>) -> Vec<Self> {
        let mut bad = Self::not_allowed(value);
        bad[0].why = Some(why.into());
        bad
    }
}

/// A value as used, or everything that is wrong with it.
pub(crate) type Parsed<T> = Result<T, Vec<Bad>>;

/// The names of an enum's values.
pub(crate) type Choices<T> = [(&'static str, T)];

/// A string as TOML writes it, on one line.
pub(crate) fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|char| match char {
        '"' | '\\' => format!("\\{char}"),
        '\n' => "\\n".to_owned(),
        _ if char.is_control() => format!("\\u{:04X}", u32::from(char)),
        _ => char.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// A value as TOML writes it.
fn show(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match &value.kind {
        ValueKind::String(text) => quoted(text),
        ValueKind::Array(items) => format!("[{}]", list(items.iter().map(show).collect())),
        ValueKind::Table(table) => {
            let entry = |(key, value): (&String, &Value)| format!("{} = {}", quoted(key), show(value));
            format!("{{ {} }}", list(table.iter().map(entry).collect()))
        }
        other => other.to_string(),
    }
}

/// Any string.
pub(crate) fn text(value: &Value) -> Parsed<&str> {
    match &value.kind {
        ValueKind::String(text) => Ok(text),
        _ => Err(Bad::not_allowed(value)),
    }
}

/// One line of text for the client's eyes.
pub(crate) fn line(value: &Value) -> Parsed<String> {
    let line = text(value)?;
    if line.chars().any(char::is_control) {
        return Err(Bad::because(value, "it has control characters"));
    }
    if line.is_empty() || line.len() > 500 {
        return Err(Bad::because(value, "its length must be from 1 to 500 bytes"));
    }
    Ok(line.to_owned())
}

/// A path.
pub(crate) fn path(value: &Value) -> Parsed<PathBuf> {
    match text(value)? {
        "" => Err(Bad::because(value, "it is empty")),
        path if path.contains('\0') => Err(Bad::because(value, "no path may have a NUL")),
        path => Ok(path.into()),
    }
}

/// A path, or `none` where there shall be no file.
pub(crate) fn path_unless(none: &str, value: &Value) -> Parsed<Option<PathBuf>> {
    if text(value)? == none { Ok(None) } else { path(value).map(Some) }
}

/// The longest path that the kernel takes for a Unix socket.
const SOCKET_PATH_LIMIT: usize = 107;

/// Where the admin socket lies.
pub(crate) fn admin_socket(value: &Value) -> Parsed<AdminSocket> {
    match text(value)? {
        "auto" => Ok(AdminSocket::Auto),
        "" => Ok(AdminSocket::Off),
        long if long.len() > SOCKET_PATH_LIMIT => {
            Err(Bad::because(value, format!("a socket's path has {SOCKET_PATH_LIMIT} bytes at most")))
        }
        _ => path(value).map(AdminSocket::At),
    }
}

/// One of a few names.
pub(crate) fn choice<T: Copy>(value: &Value, choices: &Choices<T>) -> Parsed<T> {
    let name = text(value)?;
    let chosen = choices.iter().find(|(choice, _)| *choice == name);
    chosen.map(|(_, chosen)| *chosen).ok_or_else(|| Bad::not_allowed(value))
}

/// The name of a choice, quoted.
pub(crate) fn choice_name<T: PartialEq>(chosen: &T, choices: &Choices<T>) -> String {
    let name = choices.iter().find(|(_, choice)| choice == chosen);
    quoted(name.map_or("", |(name, _)| name))
}

/// On or off, as a word or as a boolean; variables can only be words.
pub(crate) fn switch(value: &Value) -> Parsed<bool> {
    match value.kind {
        ValueKind::Boolean(on) => Ok(on),
        _ => choice(value, &[("on", true), ("off", false), ("true", true), ("false", false)]),
    }
}

/// A whole number.
pub(crate) fn number(value: &Value, bounds: RangeInclusive<u32>) -> Parsed<u32> {
    let bounds = u64::from(*bounds.start())..=u64::from(*bounds.end());
    let number = seconds(value, bounds)?.as_secs();
    u32::try_from(number).map_err(|_| Bad::not_allowed(value))
}

/// Whole seconds.
pub(crate) fn seconds(value: &Value, bounds: RangeInclusive<u64>) -> Parsed<Duration> {
    let number = match &value.kind {
        ValueKind::I64(number) => u64::try_from(*number).ok(),
        ValueKind::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let number = number.filter(|number| bounds.contains(number));
    number.map(Duration::from_secs).ok_or_else(|| Bad::not_allowed(value))
}

/// The units of bytes that people write, after the number.
const UNITS: &[(&str, u64)] = &[
    ("", 1),
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// A number of bytes: as a number, or with a unit as in `50 MB` or `50MiB`.
pub(crate) fn bytes(value: &Value) -> Parsed<u64> {
    let bytes = match &value.kind {
        ValueKind::I64(number) => u64::try_from(*number).ok(),
        ValueKind::String(text) => {
            let text = text.trim();
            let digits = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
            let (number, unit) = text.split_at(digits);
            let unit = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()));
            number.parse().ok().zip(unit).and_then(|(number, (_, unit)): (u64, _)| number.checked_mul(*unit))
        }
        _ => None,
    };
    bytes.ok_or_else(|| Bad::not_allowed(value))
}

/// Bytes a second, or 0 for any number.
pub(crate) fn rate(value: &Value) -> Parsed<u64> {
    match bytes(value)? {
        1..1_000 => Err(Bad::because(value, "a rate is 1000 bytes a second at least")),
        rate => Ok(rate),
    }
}

/// A list as written, or a string with commas, as a variable has to have it.
pub(crate) fn elements(value: &Value) -> Parsed<Vec<Value>> {
    match &value.kind {
        ValueKind::Array(items) => Ok(items.clone()),
        ValueKind::String(list) => {
            let origin = value.origin().map(str::to_owned);
            let items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(items.map(|item| Value::new(origin.as_ref(), item)).collect())
        }
        _ => Err(Bad::not_allowed(value)),
    }
}

/// `name=value` each, as a variable has a table.
pub(crate) fn pairs(value: &Value) -> Parsed<Vec<(String, Value)>> {
    let pair = |element: &Value| {
        let origin = value.origin().map(str::to_owned);
        let (net, address) = text(element)?.split_once('=').ok_or_else(|| Bad::not_allowed(element))?;
        Ok((net.trim().to_owned(), Value::new(origin.as_ref(), address.trim())))
    };
    elements(value)?.iter().map(pair).collect()
}

/// Rates by path pattern: a table, or `pattern=rate,...` in a variable.
pub(crate) fn path_rates(value: &Value) -> Parsed<Vec<(PathPattern, u64)>> {
    let entries = match &value.kind {
        ValueKind::Table(table) => table.iter().map(|(pattern, rate)| (pattern.clone(), rate.clone())).collect(),
        ValueKind::String(text) if text.trim().is_empty() => Vec::new(),
        ValueKind::String(_) => pairs(value)?,
        _ => return Err(Bad::not_allowed(value)),
    };
    let (mut rates, mut bad) = (Vec::new(), Vec::new());
    for (written, bytes) in entries {
        let pattern = PathPattern::new(&written).map_err(|why| {
            let written = Value::new(bytes.origin().map(str::to_owned).as_ref(), written.as_str());
            Bad::because(&written, why)
        });
        match (pattern, rate(&bytes)) {
            (Ok(pattern), Ok(rate)) => rates.push((pattern, rate)),
            (pattern, rate) => bad.extend(pattern.err().into_iter().chain(rate.err()).flatten()),
        }
    }
    if bad.is_empty() { Ok(rates) } else { Err(bad) }
}

/// Permission bits in octal, none of them the owner's. They are written as a string, because TOML has no number `022`.
pub(crate) fn umask(value: &Value) -> Parsed<u32> {
    let digits = text(value)?.trim();
    let octal = !digits.is_empty() && digits.len() <= 4 && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    match u32::from_str_radix(digits, 8) {
        Ok(mask) if octal && mask <= 0o077 => Ok(mask),
        Ok(mask) if octal && mask <= 0o777 => Err(Bad::because(value, "it would take the owner's own rights away")),
        _ => Err(Bad::not_allowed(value)),
    }
}

/// A range of ports, or one port.
pub(crate) fn passive_ports(value: &Value) -> Parsed<RangeInclusive<u16>> {
    let range = text(value)?;
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (Ok(first), Ok(last)) = (first.trim().parse(), last.trim().parse()) else {
        return Err(Bad::not_allowed(value));
    };
    if first > last {
        return Err(Bad::because(value, "the first port is above the last"));
    }
    if first < 1024 {
        return Err(Bad::because(value, "ports below 1024 belong to the system's own services"));
    }
    Ok(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        Value::new(Some(&"VARIABLE".to_owned()), text)
    }

    #[test]
    fn umask_is_octal_and_leaves_the_owner_all_rights() {
        for (written, mask) in [("022", Some(0o022)), ("0", Some(0)), ("0077", Some(0o077)), ("0100", None)] {
            assert_eq!(umask(&value(written)).ok(), mask, "{written}");
        }
        for written in ["", "8", "0o22", "+22", "-1", "00022", "22 2", "777", "1000"] {
            assert!(umask(&value(written)).is_err(), "{written}");
        }
        assert!(umask(&Value::new(None, 22)).is_err(), "a number is decimal in TOML");
    }

    #[test]
    fn bytes_are_numbers_with_or_without_a_unit() {
        for (written, expected) in [
            ("0", Some(0)),
            ("512", Some(512)),
            ("50 MB", Some(50_000_000)),
            (" 50mb ", Some(50_000_000)),
            ("2 GiB", Some(2 << 30)),
            ("1.5 MB", None),
            ("-1", None),
            ("MB", None),
            ("1 XB", None),
            ("99999999999 TB", None),
            ("", None),
        ] {
            assert_eq!(bytes(&value(written)).ok(), expected, "{written}");
        }
        assert_eq!(bytes(&Value::new(None, -1)).ok(), None);
        assert_eq!(
            [rate(&value("0")).ok(), rate(&value("999")).ok(), rate(&value("1 KB")).ok()],
            [Some(0), None, Some(1000)]
        );
    }

    #[test]
    fn rates_by_path_can_be_written_in_a_variable() {
        let rates = path_rates(&value("/*/slow.bin=20 KB, /iso = 0")).unwrap();
        let shown: Vec<_> = rates.iter().map(|(pattern, rate)| (pattern.text(), *rate)).collect();
        assert_eq!(shown, [("/*/slow.bin", 20_000), ("/iso", 0)]);
        assert_eq!(path_rates(&value("")).unwrap(), []);
        assert_eq!(path_rates(&value("iso=5")).unwrap_err().len(), 2);
    }

    #[test]
    fn passive_ports_are_an_ordered_range_above_the_system_ports() {
        for (written, range) in [
            ("49152-65535", Some(49152..=65535)),
            (" 50000 - 50099 ", Some(50000..=50099)),
            ("50000", Some(50000..=50000)),
            ("1024-1024", Some(1024..=1024)),
            ("0-65535", None),
            ("1023-2000", None),
            ("50100-50000", None),
            ("50000-65536", None),
            ("50000-", None),
            ("", None),
            ("a-b", None),
        ] {
            assert_eq!(passive_ports(&value(written)).ok(), range, "{written}");
        }
    }
}
