//! From a value as written to a value as used, or what is wrong with it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use config::{Value, ValueKind};
use ipnet::IpNet;

use super::{Advertised, PassiveAddress};

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
    if text(value)? == none {
        Ok(None)
    } else {
        path(value).map(Some)
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

/// Permission bits in octal. They are written as a string, because TOML has no number `022`.
pub(crate) fn umask(value: &Value) -> Parsed<u32> {
    let digits = text(value)?.trim();
    let octal = !digits.is_empty() && digits.len() <= 4 && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    let mask = u32::from_str_radix(digits, 8)
        .ok()
        .filter(|mask| octal && *mask <= 0o777);
    mask.ok_or_else(|| Bad::not_allowed(value))
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
        return Err(Bad::because(
            value,
            "ports below 1024 belong to the system's own services",
        ));
    }
    Ok(first..=last)
}

/// A list as written, or a string with commas, as a variable has to have it.
fn elements(value: &Value) -> Parsed<Vec<Value>> {
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

/// Control listeners.
pub(crate) fn listeners(value: &Value) -> Parsed<Vec<SocketAddr>> {
    let mut listeners = Vec::new();
    let mut bad = Vec::new();
    for element in elements(value)? {
        match listener(&element) {
            // Port 0 is a new port each time, so it may come twice.
            Ok(listener) if listener.port() != 0 && listeners.contains(&listener) => {
                bad.extend(Bad::because(&element, "it is there twice"));
            }
            Ok(listener) => listeners.push(listener),
            Err(more) => bad.extend(more),
        }
    }
    match (bad.is_empty(), listeners.is_empty()) {
        (true, true) => Err(Bad::because(value, "the server would listen nowhere")),
        (true, false) => Ok(listeners),
        (false, _) => Err(bad),
    }
}

fn listener(value: &Value) -> Parsed<SocketAddr> {
    let written = text(value)?;
    let listener: SocketAddr = written.parse().map_err(|_| match written.parse::<IpAddr>() {
        Ok(_) => Bad::because(value, "the port is missing"),
        Err(_) => Bad::not_allowed(value),
    })?;
    match listener.ip() {
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => {
            Err(Bad::because(value, "it is an IPv4 address in disguise"))
        }
        _ => Ok(listener),
    }
}

/// What PASV advertises: for everybody, or by the client's network (a table, or `network=address,...` in a variable).
pub(crate) fn passive_address(value: &Value) -> Parsed<PassiveAddress> {
    let by_client = match &value.kind {
        ValueKind::Table(table) => table
            .iter()
            .map(|(net, address)| (net.clone(), address.clone()))
            .collect(),
        ValueKind::String(text) if text == "auto" => return Ok(PassiveAddress::Auto),
        ValueKind::String(text) if text.contains('=') => pairs(value)?,
        _ => return advertised(value).map(PassiveAddress::One),
    };
    let mut networks: Vec<(IpNet, Advertised)> = Vec::new();
    let mut bad = Vec::new();
    for (written, address) in &by_client {
        match (network(written), advertised(address)) {
            (None, _) => bad.extend(Bad::because(address, format!("{} is not a network", quoted(written)))),
            (_, Err(more)) => bad.extend(more),
            (Some(net), _) if networks.iter().any(|(known, _)| *known == net) => {
                bad.extend(Bad::because(address, format!("the network {net} is there twice")));
            }
            (Some(net), Ok(address)) => networks.push((net, address)),
        }
    }
    if networks.is_empty() && bad.is_empty() {
        return Err(Bad::because(value, "the table is empty"));
    }
    if bad.is_empty() {
        Ok(PassiveAddress::ByClient(networks))
    } else {
        Err(bad)
    }
}

fn pairs(value: &Value) -> Parsed<Vec<(String, Value)>> {
    let pair = |element: &Value| {
        let origin = value.origin().map(str::to_owned);
        let (net, address) = text(element)?
            .split_once('=')
            .ok_or_else(|| Bad::not_allowed(element))?;
        Ok((net.trim().to_owned(), Value::new(origin.as_ref(), address.trim())))
    };
    elements(value)?.iter().map(pair).collect()
}

fn network(written: &str) -> Option<IpNet> {
    let net = written.parse::<IpNet>().ok();
    let host = || written.parse::<IpAddr>().ok().map(IpNet::from);
    net.or_else(host).map(|net| net.trunc())
}

fn advertised(value: &Value) -> Parsed<Advertised> {
    let written = text(value)?;
    if written.parse::<std::net::Ipv6Addr>().is_ok() {
        return Err(Bad::because(
            value,
            "PASV can name an IPv4 address only; IPv6 clients use EPSV",
        ));
    }
    match written.parse::<Ipv4Addr>() {
        Ok(ip) if ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast() => {
            Err(Bad::because(value, "no client can connect to that"))
        }
        Ok(ip) => Ok(Advertised::Address(ip)),
        Err(_) if is_host_name(written) => Ok(Advertised::Name(written.to_owned())),
        Err(_) => Err(Bad::not_allowed(value)),
    }
}

/// RFC 1123 names. A last label of digits only would be a mistyped IPv4 address, such as 192.168.1.256; and `auto` has
/// no meaning for one network.
fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
    name.len() <= 253 && name.split('.').all(label) && !is_number && name != "auto"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        Value::new(Some(&"VARIABLE".to_owned()), text)
    }

    #[test]
    fn umask_is_octal_and_at_most_777() {
        for (written, mask) in [
            ("022", Some(0o022)),
            ("0", Some(0)),
            ("0777", Some(0o777)),
            ("1000", None),
        ] {
            assert_eq!(umask(&value(written)).ok(), mask, "{written}");
        }
        for written in ["", "8", "0o22", "+22", "-1", "00022", "22 2"] {
            assert!(umask(&value(written)).is_err(), "{written}");
        }
        assert!(umask(&Value::new(None, 22)).is_err(), "a number is decimal in TOML");
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

    #[test]
    fn passive_address_is_auto_an_ipv4_address_or_a_name() {
        let name = |name: &str| Some(PassiveAddress::One(Advertised::Name(name.to_owned())));
        let address = PassiveAddress::One(Advertised::Address(Ipv4Addr::new(192, 0, 2, 7)));
        for (written, expected) in [
            ("auto", Some(PassiveAddress::Auto)),
            ("192.0.2.7", Some(address)),
            ("ftp.example.org", name("ftp.example.org")),
            ("nas", name("nas")),
            ("192.0.2.256", None),
            ("0.0.0.0", None),
            ("2001:db8::1", None),
            ("ftp example", None),
            ("-ftp.example", None),
            ("", None),
        ] {
            assert_eq!(passive_address(&value(written)).ok(), expected, "{written}");
        }
    }

    #[test]
    fn passive_address_by_network_can_be_written_in_a_variable() {
        let parsed = passive_address(&value("192.168.0.0/16=192.168.1.5, 2001:db8::/32 = ftp.example.org")).unwrap();
        let expected = vec![
            (
                "192.168.0.0/16".parse().unwrap(),
                Advertised::Address(Ipv4Addr::new(192, 168, 1, 5)),
            ),
            (
                "2001:db8::/32".parse().unwrap(),
                Advertised::Name("ftp.example.org".to_owned()),
            ),
        ];
        assert_eq!(parsed, PassiveAddress::ByClient(expected));
        assert!(passive_address(&value("192.168.0.0/33=192.168.1.5")).is_err());
        assert!(passive_address(&value("192.168.0.0/16=auto")).is_err());
        assert!(
            passive_address(&value("10.0.0.1/8=10.0.0.1,10.0.0.0/8=10.0.0.2")).is_err(),
            "one network twice"
        );
    }

    #[test]
    fn listeners_name_every_bad_element() {
        let bad = listeners(&value(
            "0.0.0.0, localhost:21, 0.0.0.0:21, 0.0.0.0:21, [::ffff:10.0.0.1]:21",
        ))
        .unwrap_err();
        let found: Vec<_> = bad.iter().map(|bad| bad.found.as_str()).collect();
        assert_eq!(
            found,
            [
                "\"0.0.0.0\"",
                "\"localhost:21\"",
                "\"0.0.0.0:21\"",
                "\"[::ffff:10.0.0.1]:21\""
            ]
        );
        assert!(listeners(&value("")).is_err());
        assert_eq!(listeners(&value("127.0.0.1:0,127.0.0.1:0")).unwrap().len(), 2);
    }
}
