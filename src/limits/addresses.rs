//! Which addresses are served, and what counts as one.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use crate::sessions::RefusedBecause;

/// What counts as one address: an IPv4 address, or the /64 of an IPv6 address, since that is what one subscriber has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Origin(IpAddr);

impl Origin {
    pub fn of(client: IpAddr) -> Self {
        Self(match client {
            // Everybody on a link shares the link-local /64.
            IpAddr::V6(ip) if !ip.is_unicast_link_local() => {
                Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into()
            }
            _ => client,
        })
    }

    /// The address, or the first one of the network.
    pub fn address(self) -> IpAddr {
        self.0
    }
}

/// Deny beats allow, and an empty allow list allows everybody.
pub(super) fn admission(client: IpAddr, allow: &[IpNet], deny: &[IpNet]) -> Result<(), RefusedBecause> {
    let is_in = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
    if is_in(deny) {
        Err(RefusedBecause::AddressDenied)
    } else if !allow.is_empty() && !is_in(allow) {
        Err(RefusedBecause::AddressNotAllowed)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deny_beats_allow_and_an_empty_list_allows_all() {
        let networks = |text: &str| -> Vec<IpNet> { text.split_whitespace().map(|net| net.parse().unwrap()).collect() };
        let (denied, missing) = (Err(RefusedBecause::AddressDenied), Err(RefusedBecause::AddressNotAllowed));
        for (client, allow, deny, expected) in [
            ("192.0.2.7", "", "", Ok(())),
            ("2001:db8::1", "", "", Ok(())),
            ("192.0.2.7", "192.0.2.0/24", "", Ok(())),
            ("198.51.100.7", "192.0.2.0/24", "", missing),
            ("2001:db8::1", "0.0.0.0/0", "", missing),
            ("2001:db8::1", "0.0.0.0/0 2001:db8::/32", "", Ok(())),
            ("192.0.2.7", "192.0.2.7/32", "192.0.2.0/24", denied),
            ("192.0.2.7", "", "192.0.2.7/32", denied),
            ("192.0.2.8", "", "192.0.2.7/32", Ok(())),
        ] {
            let decided = admission(client.parse().unwrap(), &networks(allow), &networks(deny));
            assert_eq!(decided, expected, "{client}, allow {allow}, deny {deny}");
        }
    }

    #[test]
    fn neighbours_on_a_link_are_not_one() {
        let origin = |text: &str| Origin::of(text.parse().unwrap());
        assert_ne!(origin("fe80::1"), origin("fe80::2"));
        assert_ne!(origin("192.0.2.1"), origin("192.0.2.2"));
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:1"));
        assert_eq!(origin("2001:db8::1").address(), "2001:db8::".parse::<IpAddr>().unwrap());
    }
}
