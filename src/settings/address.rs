//! Addresses as written: where to listen, and what PASV advertises.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use config::{Value, ValueKind};
use ipnet::IpNet;

use super::value::{Bad, Parsed, elements, pairs, text};
use super::{Advertised, PassiveAddress};

/// Control listeners, one at least.
pub(crate) fn listeners(value: &Value) -> Parsed<Vec<SocketAddr>> {
    let listeners = listeners_if_any(value)?;
    if listeners.is_empty() { Err(Bad::because(value, "the server would listen nowhere")) } else { Ok(listeners) }
}

/// Further listeners, or none.
pub(crate) fn listeners_if_any(value: &Value) -> Parsed<Vec<SocketAddr>> {
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
    if bad.is_empty() { Ok(listeners) } else { Err(bad) }
}

fn listener(value: &Value) -> Parsed<SocketAddr> {
    let written = text(value)?;
    let listener: SocketAddr = written.parse().map_err(|_| match written.parse::<IpAddr>() {
        Ok(_) => Bad::because(value, "the port is missing"),
        Err(_) if written.bytes().all(|byte| byte.is_ascii_digit()) => Bad::because(value, "the address is missing"),
        Err(_) => Bad::because(value, "it is no address with a port; names are not looked up"),
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
        ValueKind::Table(table) => table.iter().map(|(net, address)| (net.clone(), address.clone())).collect(),
        ValueKind::String(text) if text == "auto" => return Ok(PassiveAddress::Auto),
        ValueKind::String(text) if text.contains('=') => pairs(value)?,
        _ => return advertised(value).map(PassiveAddress::One),
    };
    let mut networks: Vec<(IpNet, Advertised)> = Vec::new();
    let mut bad = Vec::new();
    for (written, address) in &by_client {
        let net = Value::new(address.origin().map(str::to_owned).as_ref(), written.as_str());
        match (network(written), advertised(address)) {
            (None, _) => bad.extend(Bad::because(&net, "it is not a network")),
            (_, Err(more)) => bad.extend(more),
            (Some(known), _) if networks.iter().any(|(other, _)| *other == known) => {
                bad.extend(Bad::because(&net, "this network is there twice"));
            }
            (Some(net), Ok(address)) => networks.push((net, address)),
        }
    }
    if networks.is_empty() && bad.is_empty() {
        return Err(Bad::because(value, "the table is empty"));
    }
    if bad.is_empty() { Ok(PassiveAddress::ByClient(networks)) } else { Err(bad) }
}

/// A list of networks; a single address is one too.
pub(crate) fn networks(value: &Value) -> Parsed<Vec<IpNet>> {
    let mut networks = Vec::new();
    let mut bad = Vec::new();
    for element in elements(value)? {
        let Ok(written) = text(&element) else {
            bad.extend(Bad::not_allowed(&element));
            continue;
        };
        match network(written) {
            Some(IpNet::V6(net)) if net.prefix_len() >= 96 && net.addr().to_ipv4_mapped().is_some() => {
                bad.extend(Bad::because(&element, "it is an IPv4 network in disguise"));
            }
            // Somebody who writes 10.0.0.1/8 may mean the host, and may mean the network.
            Some(net)
                if written.contains('/') && written.parse::<IpNet>().is_ok_and(|as_written| as_written != net) =>
            {
                bad.extend(Bad::because(&element, format!("the network of this host is {net}")));
            }
            Some(net) => networks.push(net),
            None => bad.extend(Bad::because(&element, "it is not a network")),
        }
    }
    if bad.is_empty() { Ok(networks) } else { Err(bad) }
}

fn network(written: &str) -> Option<IpNet> {
    let net = written.parse::<IpNet>().ok();
    let host = || written.parse::<IpAddr>().ok().map(IpNet::from);
    net.or_else(host).map(|net| net.trunc())
}

fn advertised(value: &Value) -> Parsed<Advertised> {
    let written = text(value)?;
    if written.parse::<Ipv6Addr>().is_ok() {
        return Err(Bad::because(value, "PASV can name an IPv4 address only; IPv6 clients use EPSV"));
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

/// A list of host names.
pub(crate) fn host_names(value: &Value) -> Parsed<Vec<String>> {
    let (mut names, mut bad) = (Vec::new(), Vec::new());
    for element in elements(value)? {
        match text(&element) {
            Ok(name) if is_host_name(name) => names.push(name.to_owned()),
            Ok(_) => bad.extend(Bad::because(&element, "it is no host name")),
            Err(more) => bad.extend(more),
        }
    }
    if bad.is_empty() { Ok(names) } else { Err(bad) }
}

/// Whether only the own network can reach this address: a private one, one of the link, or this machine's own.
pub(crate) fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

/// RFC 1123 names. A last label of digits only would be a mistyped IPv4 address, such as 192.168.1.256; and `auto` has
/// no meaning for one network.
fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
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
    fn near_is_what_the_internet_cannot_reach() {
        for (ip, expected) in [
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("172.31.0.1", true),
            ("172.32.0.1", false),
            ("192.168.1.5", true),
            ("169.254.0.1", true),
            ("203.0.113.7", false),
            ("0.0.0.0", false),
            ("::", false),
            ("::1", true),
            ("fe80::1", true),
            ("fd00::1", true),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_near(ip.parse().unwrap()), expected, "{ip}");
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
            ("192.168.0.0/16".parse().unwrap(), Advertised::Address(Ipv4Addr::new(192, 168, 1, 5))),
            ("2001:db8::/32".parse().unwrap(), Advertised::Name("ftp.example.org".to_owned())),
        ];
        assert_eq!(parsed, PassiveAddress::ByClient(expected));
        assert!(passive_address(&value("192.168.0.0/33=192.168.1.5")).is_err());
        assert!(passive_address(&value("192.168.0.0/16=auto")).is_err());
        assert!(passive_address(&value("10.0.0.1/8=10.0.0.1,10.0.0.0/8=10.0.0.2")).is_err(), "one network twice");
    }

    #[test]
    fn networks_are_cidr_in_both_families_and_every_bad_one_is_named() {
        let show = |written: &str| -> Vec<String> {
            networks(&value(written)).unwrap().iter().map(IpNet::to_string).collect()
        };
        assert_eq!(show("192.0.2.0/24, 192.0.2.7, 2001:db8::/32"), ["192.0.2.0/24", "192.0.2.7/32", "2001:db8::/32"]);
        assert!(show("").is_empty());
        let bad = networks(&value("10.0.0.0/33, 10.0.0.1/8, 10.0.0.0/8, lan, ::ffff:10.0.0.1")).unwrap_err();
        let found: Vec<_> = bad.iter().map(|bad| bad.found.as_str()).collect();
        assert_eq!(found, ["\"10.0.0.0/33\"", "\"10.0.0.1/8\"", "\"lan\"", "\"::ffff:10.0.0.1\""]);
    }

    #[test]
    fn listeners_name_every_bad_element() {
        let bad = listeners(&value("0.0.0.0, localhost:21, 0.0.0.0:21, 0.0.0.0:21, [::ffff:10.0.0.1]:21")).unwrap_err();
        let found: Vec<_> = bad.iter().map(|bad| bad.found.as_str()).collect();
        assert_eq!(found, ["\"0.0.0.0\"", "\"localhost:21\"", "\"0.0.0.0:21\"", "\"[::ffff:10.0.0.1]:21\""]);
        assert!(listeners(&value("")).is_err());
        assert_eq!(listeners(&value("127.0.0.1:0,127.0.0.1:0")).unwrap().len(), 2);
    }
}
