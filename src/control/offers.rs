//! Where the next data connection comes from: PASV, EPSV (we offer), PORT, EPRT (the client does).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::parameters::number;
use super::reply::Reply;
use super::session::Session;
use crate::data::Offer;
use crate::ports::{PassiveListener, PortClass};
use crate::reach;
use crate::sessions::{Ends, Mode, What};
use crate::settings::{Advertised, Epsv, PassiveAddress};

/// How long a name in `passive_address` may take to be looked up.
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);

/// A client's ports below this one are other services' (RFC 2577, 3): no connection goes there.
const FIRST_CLIENT_PORT: u16 = 1024;

impl Session {
    pub(super) async fn pasv(&mut self) -> Reply {
        if self.parameters.epsv_only {
            return after_epsv_all("PASV");
        }
        let ends = self.recorder.ends();
        let IpAddr::V4(own) = ends.server.ip() else {
            return Reply::new(425, "PASV can name IPv4 addresses only, and this is an IPv6 connection. Use EPSV.");
        };
        let address = match self.advertised(own, ends.client.ip()).await {
            Ok(address) => address,
            Err(reply) => return reply,
        };
        if let Some(text) = reach::private_to_public(address, ends.client.ip()) {
            self.shared.unreachable_said.call_once(|| tracing::warn!("{text}"));
        }
        let listener = match self.passive_listener() {
            Ok(listener) => listener,
            Err(reply) => return reply,
        };
        let port = listener.address().port();
        let ([a, b, c, d], [high, low]) = (address.octets(), port.to_be_bytes());
        let numbers = format!("{a},{b},{c},{d},{high},{low}");
        self.offered("PASV", SocketAddr::new(address.into(), port), &numbers);
        self.offer(Offer::Passive(listener));
        Reply::new(227, format!("Entering Passive Mode ({numbers})."))
    }

    pub(super) fn epsv(&mut self, argument: &[u8]) -> Reply {
        let own = self.recorder.ends().server.ip();
        if own.is_ipv4() && self.shared.in_force().settings.server.epsv == Epsv::Ipv6Only {
            return Reply::new(502, "EPSV is for IPv6 connections here. Use PASV.");
        }
        if argument.eq_ignore_ascii_case(b"ALL") {
            self.parameters.epsv_only = true;
            return Reply::new(200, "From now on EPSV is the only way to a data connection.");
        }
        let family = if own.is_ipv4() { "1" } else { "2" };
        if !argument.is_empty() && argument != family.as_bytes() {
            return Reply::new(
                522,
                format!("A data connection is of the control connection's family, use ({family})."),
            );
        }
        let listener = match self.passive_listener() {
            Ok(listener) => listener,
            Err(reply) => return reply,
        };
        let port = listener.address().port();
        let numbers = format!("|||{port}|");
        self.offered("EPSV", SocketAddr::new(own, port), &numbers);
        self.offer(Offer::Passive(listener));
        Reply::new(229, format!("Entering Extended Passive Mode ({numbers})"))
    }

    pub(super) fn port(&mut self, argument: &[u8]) -> Reply {
        let Some((address, port)) = port_argument(argument) else {
            return Reply::new(501, "PORT needs six numbers from 0 to 255: four of the address, two of the port.");
        };
        self.active_offer("PORT", address.into(), port, argument)
    }

    pub(super) fn eprt(&mut self, argument: &[u8]) -> Reply {
        match eprt_argument(argument) {
            Some(Ok((address, port))) => self.active_offer("EPRT", address, port, argument),
            Some(Err(())) => {
                let family = if self.recorder.ends().client.is_ipv4() { "1" } else { "2" };
                Reply::new(522, format!("This address family is not served, use ({family})."))
            }
            None => Reply::new(501, "EPRT needs |1|IPv4 address|port| or |2|IPv6 address|port|."),
        }
    }

    /// Takes the client's offer, if it is the client's own to make: the server connects to nobody else (RFC 2577, 3).
    fn active_offer(&mut self, verb: &'static str, address: IpAddr, port: u16, numbers: &[u8]) -> Reply {
        if self.parameters.epsv_only {
            return after_epsv_all(verb);
        }
        if !self.shared.in_force().settings.server.active {
            return Reply::new(502, "Active mode is switched off here. Use EPSV or PASV (passive mode).");
        }
        let mut client = self.recorder.ends().client;
        if verb == "PORT" && client.is_ipv6() {
            return Reply::new(500, "PORT can name IPv4 addresses only, and this is an IPv6 connection. Use EPRT.");
        }
        // lftp names the unspecified address over IPv6 (`EPRT |2|::|port|`); it can only mean itself.
        let own = address == client.ip() || address.is_unspecified() && address.is_ipv6() == client.is_ipv6();
        if !own {
            let text = format!("{verb} may name your own address only, {}. Behind NAT use passive mode.", client.ip());
            return Reply::new(500, text);
        }
        if port < FIRST_CLIENT_PORT {
            return Reply::new(500, format!("{verb} may name ports from {FIRST_CLIENT_PORT} up only."));
        }
        // The control connection's address with another port: an IPv6 scope stays in it.
        client.set_port(port);
        self.offered(verb, client, &String::from_utf8_lossy(numbers));
        self.offer(Offer::Active(client));
        Reply::new(200, format!("I will connect to {client}."))
    }

    fn offered(&self, verb: &'static str, at: SocketAddr, numbers: &str) {
        let (address, port, port_class) = (at.ip(), at.port(), PortClass::of(at.port()));
        self.recorder.record(What::DataOffered { verb, address, port, port_class, numbers: numbers.to_owned() });
    }

    fn offer(&mut self, offer: Offer) {
        if let Offer::Passive(listener) = &offer {
            self.recorder.now().offered = listener.watch();
        }
        self.offer = Some(offer);
        self.offered_at = Instant::now();
        self.offer_expired = false;
    }

    /// Whether a passive port waits for its client.
    pub(super) fn holds_a_port(&self) -> bool {
        matches!(self.offer, Some(Offer::Passive(_)))
    }

    /// Takes a passive port back that nobody has used.
    pub(super) fn expire_offer(&mut self) {
        let Some(Offer::Passive(listener)) = self.offer.take() else { return };
        self.offer_expired = true;
        let (at, limit) = (listener.address(), self.shared.in_force().settings.limits.passive_offer_timeout.as_secs());
        let (mode, address, port, port_class) = (Mode::Passive, at.ip(), at.port(), PortClass::of(at.port()));
        let reason = format!("no transfer was asked for within {limit} s; the port was taken back");
        self.recorder.record(What::DataFailed { mode, address, port, port_class, reason });
    }

    fn passive_listener(&mut self) -> Result<PassiveListener, Reply> {
        // The session's old port goes back first: it may be the last free one.
        self.offer = None;
        self.shared.in_force().passive.listen(self.recorder.ends().server).map_err(|error| {
            tracing::warn!(%error, "no passive port");
            let text = match error.kind() {
                io::ErrorKind::AddrInUse => {
                    "No passive port is free. Try again in a moment, or use active mode (PORT)."
                }
                _ => "The server cannot listen on a passive port now. Try again in a moment.",
            };
            Reply::new(425, text)
        })
    }

    /// The address that PASV names to this client.
    async fn advertised(&self, own: Ipv4Addr, client: IpAddr) -> Result<Ipv4Addr, Reply> {
        let in_force = self.shared.in_force();
        let advertised = match &in_force.settings.server.passive_address {
            PassiveAddress::Auto => None,
            PassiveAddress::One(advertised) => Some(advertised),
            PassiveAddress::ByClient(networks) => by_client(networks, client),
        };
        match advertised {
            None => Ok(own),
            Some(Advertised::Address(address)) => Ok(*address),
            Some(Advertised::Name(name)) => look_up(name).await.ok_or_else(|| {
                tracing::error!(name, "passive_address cannot be looked up");
                Reply::new(425, "The server does not know its own address now. Use EPSV, or tell the administrator.")
            }),
        }
    }
}

/// The next stranger at the offered port, if there is one; see [`PassiveListener::stranger`].
pub(super) async fn next_stranger(offer: &mut Option<Offer>, client: IpAddr) -> Ends {
    match offer {
        Some(Offer::Passive(listener)) => Ends { client: listener.stranger(client).await, server: listener.address() },
        _ => std::future::pending().await,
    }
}

fn after_epsv_all(verb: &str) -> Reply {
    Reply::new(503, format!("You sent EPSV ALL, so {verb} is not served in this session. Use EPSV."))
}

/// The longest prefix that holds the client.
fn by_client(networks: &[(IpNet, Advertised)], client: IpAddr) -> Option<&Advertised> {
    let holding = networks.iter().filter(|(network, _)| network.contains(&client));
    holding.max_by_key(|(network, _)| network.prefix_len()).map(|(_, advertised)| advertised)
}

async fn look_up(name: &str) -> Option<Ipv4Addr> {
    let mut found = timeout(LOOKUP_LIMIT, lookup_host((name, 0))).await.ok()?.ok()?;
    found.find_map(|address| match address.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    })
}

/// `h1,h2,h3,h4,p1,p2`
fn port_argument(argument: &[u8]) -> Option<(Ipv4Addr, u16)> {
    let numbers: Vec<u8> = argument
        .split(|&byte| byte == b',')
        .map(|text| number(text.trim_ascii()).and_then(|number| u8::try_from(number).ok()))
        .collect::<Option<_>>()?;
    let [a, b, c, d, high, low] = numbers.try_into().ok()?;
    Some((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])))
}

/// `|family|address|port|` with any delimiter (RFC 2428, 2); `Err` for a family that is none of ours.
fn eprt_argument(argument: &[u8]) -> Option<Result<(IpAddr, u16), ()>> {
    let text = std::str::from_utf8(argument).ok()?;
    let delimiter = text.chars().next().filter(char::is_ascii_graphic)?;
    let parts: Vec<&str> = text.split(delimiter).collect();
    let ["", family, address, port, ""] = parts.as_slice() else {
        return None;
    };
    let port = u16::try_from(number(port.as_bytes())?).ok()?;
    match *family {
        "1" => Some(Ok((address.parse::<Ipv4Addr>().ok()?.into(), port))),
        "2" => Some(Ok((address.parse::<std::net::Ipv6Addr>().ok()?.into(), port))),
        other => number(other.as_bytes()).map(|_| Err(())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn port_takes_six_bytes_and_nothing_else() {
        assert_eq!(port_argument(b"127,0,0,1,195,81"), Some((Ipv4Addr::LOCALHOST, 50001)));
        for bad in ["127,0,0,1,195", "127,0,0,1,195,256", "127,0,0,1,195,81,1", "a,0,0,1,1,1", "127.0.0.1,1,1", ""] {
            assert_eq!(port_argument(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn eprt_takes_any_delimiter_and_both_families() {
        assert_eq!(eprt_argument(b"|1|192.0.2.7|5000|"), Some(Ok(("192.0.2.7".parse().unwrap(), 5000))));
        assert_eq!(eprt_argument(b"!2!::1!5000!"), Some(Ok(("::1".parse().unwrap(), 5000))));
        assert_eq!(eprt_argument(b"|3|x|5000|"), Some(Err(())));
        for bad in ["|1|::1|5000|", "|2|127.0.0.1|5000|", "|1|127.0.0.1|70000|", "|1|127.0.0.1|5000", "", "|||"] {
            assert_eq!(eprt_argument(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn the_longest_network_names_the_address() {
        let advertised = |text: &str| Advertised::Name(text.to_owned());
        let networks = [("0.0.0.0/0", "wan"), ("10.0.0.0/8", "lan"), ("10.1.0.0/16", "lab")]
            .map(|(network, name)| (network.parse().unwrap(), advertised(name)));
        let for_client = |client: &str| by_client(&networks, client.parse().unwrap());
        assert_eq!(for_client("10.1.2.3"), Some(&advertised("lab")));
        assert_eq!(for_client("10.2.2.3"), Some(&advertised("lan")));
        assert_eq!(for_client("198.51.100.7"), Some(&advertised("wan")));
        assert_eq!(by_client(&networks[1..], "198.51.100.7".parse().unwrap()), None);
    }

    proptest::proptest! {
        #[test]
        fn any_address_is_read_as_it_is_written(
            address in any::<IpAddr>(), port in any::<u16>(), delimiter in "[!-~&&[^0-9a-fA-F.:]]",
        ) {
            let (d, family) = (&delimiter, if address.is_ipv4() { 1 } else { 2 });
            let text = format!("{d}{family}{d}{address}{d}{port}{d}");
            prop_assert_eq!(eprt_argument(text.as_bytes()), Some(Ok((address, port))));
            if let IpAddr::V4(address) = address {
                let [a, b, c, e] = address.octets();
                let text = format!("{a},{b},{c},{e},{},{}", port >> 8, port & 255);
                prop_assert_eq!(port_argument(text.as_bytes()), Some((address, port)));
            }
        }

        #[test]
        fn any_text_is_an_address_or_none(text in "[|!,0-9a-f:. ]{0,60}", bytes in vec(any::<u8>(), 0..60)) {
            for text in [text.as_bytes(), &bytes] {
                let (_, _) = (eprt_argument(text), port_argument(text));
            }
        }
    }
}
