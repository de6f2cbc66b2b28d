//! The machine around the server.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use crate::ports::Ephemeral;

/// What is seen of the machine, or of the container that is one to the server.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// The addresses of its interfaces, loopback among them.
    pub addresses: Vec<IpAddr>,
    /// Where what is for other networks goes, over IPv4.
    pub gateway: Option<IpAddr>,
    /// Whether this is a container with a network of its own, not the host's.
    pub in_container: bool,
    /// The ports that the kernel takes for outgoing connections.
    pub ephemeral_ports: Ephemeral,
}

impl Surroundings {
    /// As they are now. What cannot be read is taken for not there.
    pub fn look() -> Self {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
        Self {
            addresses: interfaces.iter().map(if_addrs::Interface::ip).collect(),
            gateway: gateway(&routes),
            in_container: is_container() && !has_hardware(),
            ephemeral_ports: Ephemeral::now(),
        }
    }

    /// The IPv4 addresses by which others could reach it.
    pub fn outward(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.addresses.iter().filter_map(|address| match address {
            IpAddr::V4(address) if !address.is_loopback() => Some(*address),
            _ => None,
        })
    }
}

/// What Docker, Podman and Kubernetes leave in their containers.
fn is_container() -> bool {
    ["/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io"].iter().any(|mark| Path::new(mark).exists())
}

/// Whether an interface is a device, as a host's are: those of a container's own network are made of nothing.
fn has_hardware() -> bool {
    let interfaces = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    interfaces.into_iter().any(|interface| interface.path().join("device").exists())
}

/// The gateway of the default route in `/proc/net/route`, whose addresses are written as a little-endian machine sees them.
fn gateway(routes: &str) -> Option<IpAddr> {
    routes.lines().skip(1).find_map(|line| {
        let mut columns = line.split_whitespace();
        let (_, destination, gateway) = (columns.next()?, columns.next()?, columns.next()?);
        let gateway = u32::from_str_radix(gateway, 16).ok().filter(|gateway| *gateway != 0)?;
        (destination == "00000000").then(|| Ipv4Addr::from(gateway.to_ne_bytes()).into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_is_that_of_the_default_route() {
        let routes = "Iface\tDestination\tGateway\tFlags\n\
                      eth0\t000011AC\t00000000\t0001\n\
                      eth0\t00000000\t010011AC\t0003\n";
        assert_eq!(gateway(routes), Some(IpAddr::from(0x0100_11AC_u32.to_ne_bytes())));
        assert_eq!(gateway("Iface\tDestination\tGateway\n"), None);
    }

    #[test]
    fn this_machine_has_a_loopback_address() {
        let around = Surroundings::look();
        assert!(around.addresses.contains(&Ipv4Addr::LOCALHOST.into()), "{around:?}");
        assert!(around.outward().all(|address| !address.is_loopback()));
    }
}
