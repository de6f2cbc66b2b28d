//! Whether clients get to what they are told: the address that PASV names, the passive ports, and the clients' own ports as
//! this machine sees them.
//!
//! Each finding is one sentence: what is the matter, what comes of it, and the cure. Nothing here stops the server.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, Ordering};

use ipnet::{IpNet, Ipv4Net};

use crate::ports::Ephemeral;
use crate::settings::{Advertised, PassiveAddress, Settings};

mod surroundings;

pub(crate) use surroundings::Surroundings;

/// As many ports outside of the kernel's range are enough: a passive port is taken only until its client has connected.
const QUIET_PORTS: usize = 100;

/// As many clients in a row from the gateway are no accident.
const CLIENTS_OF_THE_GATEWAY: u32 = 3;

/// The cure of what PASV says.
const SET: &str = "set server.passive_address (in the image PASV_ADDRESS) to";

/// Everything that shows before the first client comes.
pub(crate) fn findings(settings: &Settings, around: &Surroundings) -> Vec<String> {
    let mut findings = advertised(settings, around);
    findings.extend(passive_ports(&settings.server.passive_ports, &around.ephemeral_ports));
    findings
}

/// What is wrong with the address that PASV names, seen from clients on other machines.
pub(crate) fn advertised(settings: &Settings, around: &Surroundings) -> Vec<String> {
    let mut listeners = settings.server.listen.iter().chain(&settings.tls.implicit);
    if listeners.all(|listener| listener.ip().is_loopback()) {
        return Vec::new();
    }
    let everybody = IpNet::V4(Ipv4Net::default());
    match &settings.server.passive_address {
        PassiveAddress::Auto => own_address(around).into_iter().collect(),
        PassiveAddress::One(advertised) => named(advertised, everybody, around).into_iter().collect(),
        PassiveAddress::ByClient(networks) => {
            networks.iter().filter_map(|(network, advertised)| named(advertised, *network, around)).collect()
        }
    }
}

/// In a network of its own, a container knows no address of itself that others could reach.
fn own_address(around: &Surroundings) -> Option<String> {
    let own = around.outward().next().filter(|_| around.in_container && around.outward().all(is_private))?;
    Some(format!(
        "PASV tells clients this container's own address, {own}, which other machines seldom reach; {SET} the address or \
         name by which clients reach it, be it this one"
    ))
}

/// What is wrong with naming `advertised` to the clients in `network`.
fn named(advertised: &Advertised, network: IpNet, around: &Surroundings) -> Option<String> {
    let cure = format!("{SET} the address by which they reach this machine");
    let (loopback, private, shown) = match advertised {
        Advertised::Address(address) => (address.is_loopback(), is_private(*address), address.to_string()),
        Advertised::Name(name) => (name.eq_ignore_ascii_case("localhost"), false, name.clone()),
    };
    if loopback && !network.addr().is_loopback() {
        return Some(format!(
            "PASV tells clients {shown}, which is their own machine to each of them, so their transfers fail; {cure}"
        ));
    }
    let IpNet::V4(network) = network else { return None };
    let public = around.outward().find(|own| !is_private(*own));
    match (private, reaches(network)) {
        (true, Reach::Public) => Some(format!(
            "PASV tells clients in the public network {network} the private address {shown}, which they cannot reach; \
             {cure}"
        )),
        (true, Reach::Both) => public.map(|public| {
            format!(
                "PASV tells all clients in {network} the private address {shown}, and this machine has a public address, \
                 {public}, too: clients from out there cannot reach the private one; write server.passive_address as a \
                 table by network, such as {{ \"{shown}/16\" = \"{shown}\", \"0.0.0.0/0\" = \"{public}\" }}"
            )
        }),
        _ => None,
    }
}

/// What is said once when PASV has told a public `client` a private address.
pub(crate) fn private_to_public(address: Ipv4Addr, client: IpAddr) -> Option<String> {
    let IpAddr::V4(client) = client else { return None };
    let unreachable = is_private(address) && !is_private(client) && !client.is_loopback();
    unreachable.then(|| {
        format!(
            "PASV has told {client}, a public address, the private address {address}, which it cannot reach; {SET} the \
             address by which clients reach this machine"
        )
    })
}

/// Whether outgoing connections of this machine can be in the way of passive ports.
pub(crate) fn passive_ports(range: &RangeInclusive<u16>, kernel: &Ephemeral) -> Option<String> {
    let quiet = range.clone().filter(|port| !kernel.contains(*port)).count();
    // Those outside of the kernel's range are offered first.
    if quiet == range.len() || quiet >= QUIET_PORTS {
        return None;
    }
    let (first, last, low, high) = (range.start(), range.end(), kernel.range.start(), kernel.range.end());
    Some(format!(
        "passive ports {first}-{last} lie among those that this machine takes for outgoing connections ({low}-{high}), \
         which can be in their way; choose others, such as 61000-61099, or keep these for longshore: sysctl -w \
         net.ipv4.ip_local_reserved_ports={first}-{last}"
    ))
}

/// Whether all clients come from the gateway, which then stands for them.
#[derive(Debug)]
pub(crate) struct Clients {
    gateway: Option<IpAddr>,
    /// How many came from there and nobody from elsewhere; beyond the number that counts, nothing is said any more.
    of_the_gateway: AtomicU32,
}

impl Clients {
    pub fn behind(gateway: Option<IpAddr>) -> Self {
        Self { gateway, of_the_gateway: AtomicU32::new(0) }
    }

    /// Another client came; what is to be said about it, once.
    pub fn came_from(&self, client: IpAddr) -> Option<String> {
        let gateway = self.gateway.filter(|_| !client.is_loopback())?;
        if client != gateway {
            self.of_the_gateway.store(CLIENTS_OF_THE_GATEWAY, Ordering::Relaxed);
            return None;
        }
        let one_more = |count| (count < CLIENTS_OF_THE_GATEWAY).then_some(count + 1);
        let before = self.of_the_gateway.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        (before + 1 == CLIENTS_OF_THE_GATEWAY).then(|| {
            format!(
                "all clients so far came from {gateway}, this machine's gateway: a proxy or a NAT, such as Docker's, stands \
                 for them, so the client ports on record are not their own, and limits by address hold for all of them \
                 together; with the host's network (docker run --network host) a container sees the clients themselves"
            )
        })
    }
}

/// Who is in a network.
#[derive(Debug, PartialEq)]
enum Reach {
    Private,
    Public,
    Both,
}

fn reaches(network: Ipv4Net) -> Reach {
    let touched = |own: &Ipv4Net| own.contains(&network) || network.contains(own);
    if !PRIVATE.iter().any(touched) {
        Reach::Public
    } else if PRIVATE.iter().any(|own| own.contains(&network)) {
        Reach::Private
    } else {
        Reach::Both
    }
}

/// Addresses that are not routed in the Internet: RFC 1918, RFC 6598, RFC 3927, and loopback.
const PRIVATE: [Ipv4Net; 6] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
];

fn is_private(address: Ipv4Addr) -> bool {
    PRIVATE.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(addresses: &[&str], in_container: bool) -> Surroundings {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Surroundings { addresses, gateway: None, in_container, ephemeral_ports: Ephemeral::of("32768 60999", "") }
    }

    fn address(text: &str) -> Advertised {
        text.parse().map_or_else(|_| Advertised::Name(text.to_owned()), Advertised::Address)
    }

    fn one(text: &str) -> PassiveAddress {
        PassiveAddress::One(address(text))
    }

    fn table(entries: &[(&str, &str)]) -> PassiveAddress {
        let entry = |(network, advertised): &(&str, &str)| (network.parse().unwrap(), address(advertised));
        PassiveAddress::ByClient(entries.iter().map(entry).collect())
    }

    #[test]
    fn an_address_that_clients_elsewhere_cannot_reach_is_found() {
        let (lan, wan) = (&["127.0.0.1", "192.168.1.5"][..], &["127.0.0.1", "10.0.0.5", "203.0.113.7"][..]);
        for (passive_address, own, in_container, expected) in [
            (PassiveAddress::Auto, lan, false, None),
            (
                PassiveAddress::Auto,
                &["127.0.0.1", "172.17.0.2"],
                true,
                Some("this container's own address, 172.17.0.2,"),
            ),
            (PassiveAddress::Auto, wan, true, None),
            (one("127.0.0.1"), lan, false, Some("PASV tells clients 127.0.0.1, which is their own machine")),
            (one("localhost"), lan, false, Some("PASV tells clients localhost, which is their own machine")),
            (one("192.168.1.5"), lan, false, None),
            (one("192.168.1.5"), lan, true, None),
            (one("203.0.113.7"), lan, false, None),
            (one("ftp.example.org"), wan, false, None),
            (one("10.0.0.5"), wan, false, Some("this machine has a public address, 203.0.113.7, too")),
            (table(&[("10.0.0.0/8", "10.0.0.5"), ("0.0.0.0/0", "203.0.113.7")]), wan, false, None),
            (table(&[("127.0.0.0/8", "127.0.0.1")]), lan, false, None),
            (table(&[("10.0.0.0/8", "127.0.0.1")]), lan, false, Some("127.0.0.1, which is their own machine")),
            (table(&[("198.51.100.0/24", "10.0.0.5")]), lan, false, Some("in the public network 198.51.100.0/24")),
            (table(&[("0.0.0.0/0", "10.0.0.5")]), wan, false, Some("all clients in 0.0.0.0/0 the private")),
        ] {
            let shown = format!("{passive_address:?} at {own:?}");
            let mut settings = Settings::default();
            settings.server.passive_address = passive_address;
            settings.server.passive_ports = 61000..=61099;
            let found = findings(&settings, &around(own, in_container));
            match expected {
                None => assert!(found.is_empty(), "{shown}: {found:?}"),
                Some(part) => assert!(found.len() == 1 && found[0].contains(part), "{shown}: {found:?}"),
            }
            assert!(found.iter().all(|text| text.contains("server.passive_address")), "the cure: {found:?}");
            settings.server.listen = vec!["127.0.0.1:21".parse().unwrap(), "[::1]:21".parse().unwrap()];
            assert!(findings(&settings, &around(own, in_container)).is_empty(), "nobody comes from elsewhere");
        }
    }

    #[test]
    fn passive_ports_in_the_kernel_s_way_are_found() {
        for (range, found) in [
            (61000..=61099, false),
            (21100..=21110, false),
            // 4,536 of the default lie outside, and are offered first.
            (49152..=65535, false),
            (60000..=61098, true),
            (60000..=61099, false),
            (50000..=50009, true),
        ] {
            let text = passive_ports(&range, &Ephemeral::of("32768 60999", ""));
            assert_eq!(text.is_some(), found, "{range:?}");
            let (first, last) = (range.start(), range.end());
            let cure = format!("sysctl -w net.ipv4.ip_local_reserved_ports={first}-{last}");
            assert!(text.is_none_or(|text| text.ends_with(&cure)));
            assert_eq!(passive_ports(&range, &Ephemeral::of("32768 60999", &format!("{first}-{last}"))), None, "cured");
        }
    }

    #[test]
    fn a_private_address_is_no_use_to_a_public_client() {
        for (advertised, client, found) in [
            ("172.17.0.2", "203.0.113.9", true),
            ("100.64.0.1", "203.0.113.9", true),
            ("172.17.0.2", "192.168.1.9", false),
            ("172.17.0.2", "127.0.0.1", false),
            ("203.0.113.7", "203.0.113.9", false),
        ] {
            let text = private_to_public(advertised.parse().unwrap(), client.parse().unwrap());
            assert_eq!(text.is_some(), found, "{advertised} to {client}");
        }
    }

    #[test]
    fn clients_that_all_come_from_the_gateway_are_noticed_once() {
        let came = |gateway: Option<&str>, from: &[&str]| -> usize {
            let clients = Clients::behind(gateway.map(|it| it.parse().unwrap()));
            from.iter().filter_map(|client| clients.came_from(client.parse().unwrap())).count()
        };
        let (gateway, other) = ("172.17.0.1", "192.168.1.9");
        assert_eq!(came(Some(gateway), &[gateway; 2]), 0);
        assert_eq!(came(Some(gateway), &[gateway; 9]), 1);
        assert_eq!(came(Some(gateway), &[gateway, "127.0.0.1", gateway, "127.0.0.1", gateway]), 1);
        assert_eq!(came(Some(gateway), &[gateway, gateway, other, gateway, gateway, gateway, gateway]), 0);
        assert_eq!(came(None, &[gateway; 9]), 0);
    }
}
