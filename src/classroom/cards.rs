//! The cards that students get on paper.

use std::io;
use std::net::{IpAddr, UdpSocket};

use anyhow::{Context, bail};

use super::{Card, Student, escape};
use crate::reach::Surroundings;
use crate::settings::Settings;

/// How many fit on a page, of A4 or Letter.
const A_PAGE: usize = 8;

const HEAD: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<title>Cards</title>
<style>
@page { margin: 8mm; }
body { margin: 0; font: 7.5pt/1.25 sans-serif; color: #000; background: #fff; }
.page { display: grid; grid-template-columns: 96mm 96mm; grid-auto-rows: 64mm; break-after: page; }
.page:last-child { break-after: auto; }
.card { box-sizing: border-box; padding: 3mm 4mm; border: 0.3mm dashed #888; overflow: hidden; }
.card h2 { margin: 0 0 1mm; font-size: 11pt; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
dl { margin: 0 0 1.2mm; display: grid; grid-template-columns: 16mm auto; font-size: 9pt; }
dt { align-self: center; }
dd { margin: 0; font: bold 13pt/1.2 monospace; overflow-wrap: anywhere; }
dd small { margin: 0 1mm 0 8mm; font: 9pt sans-serif; }
p { margin: 0 0 1.2mm; }
dl.type { grid-template-columns: 13mm auto; margin: 0; font-size: 7.5pt; }
dl.type dd { font: 8pt/1.25 monospace; }
.long dd:first-of-type { font-size: 8.5pt; }
.long dl.type dd { font-size: 6.5pt; }
dl.type small { margin: 0; font: 7.5pt sans-serif; }
</style>
</head>
<body>
";

/// Where clients connect, as it stands on the cards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// The address HOST:PORT, with brackets around an IPv6 address.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let host_of = |host: &str| match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(ipv6) => ipv6.parse::<IpAddr>().is_ok().then(|| ipv6.to_owned()),
            None => {
                let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
                (!host.is_empty() && host.chars().all(is_name)).then(|| host.to_owned())
            }
        };
        match parts.and_then(|(host, port)| Some((host_of(host)?, port))) {
            Some((host, port @ 1..)) => Ok(Self { host, port }),
            _ => bail!("{text:?} is no address; write HOST:PORT, such as 192.168.1.5:2121"),
        }
    }

    /// This computer's address in the local network, with the port that a class is served at.
    pub fn of(settings: &Settings) -> anyhow::Result<Self> {
        let host = Self::own_host()?;
        match settings.server.listen.first().map(std::net::SocketAddr::port) {
            Some(port @ 1..) => Ok(Self { host: host.to_string(), port }),
            _ => bail!("the settings leave the port to the system; say it with --address HOST:PORT"),
        }
    }

    /// This computer's address in the local network. A network of the class's own may lead nowhere else, so that only the
    /// interface has an address.
    pub fn own_host() -> anyhow::Result<IpAddr> {
        let of_interface = || Surroundings::look().outward().next().map(IpAddr::V4);
        lan_address().ok().or_else(of_interface).context(
            "this computer's address in the network is not known; say it with --address HOST:PORT, as `ip address` shows it",
        )
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As in a URL.
    fn url(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("ftp://{host}:{}/", self.port)
    }
}

/// The address from which this computer would reach others; nothing is sent. The address is one of RFC 5737.
pub fn lan_address() -> io::Result<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect("192.0.2.1:9")?;
    Ok(socket.local_addr()?.ip())
}

/// A page of HTML to print: eight cards a page.
pub fn cards(cards: &[Card], address: &Address) -> String {
    let mut html = HEAD.to_owned();
    for page in cards.chunks(A_PAGE) {
        html.push_str("<section class=\"page\">\n");
        page.iter().for_each(|card| html.push_str(&one(card, address)));
        html.push_str("</section>\n");
    }
    html + "</body>\n</html>\n"
}

fn one(Card { student, password, pin }: &Card, address: &Address) -> String {
    let [name, alias, user, password] =
        [&student.name, &student.alias, &student.user, password].map(|it| escape::html(it));
    let (host, port, url) = (escape::html(&address.host), address.port, escape::html(&address.url()));
    // An IPv6 address in full has 39 letters.
    let class = if host.len() > 24 { "card long" } else { "card" };
    format!(
        "<article class=\"{class}\">\n\
         <h2>{alias} <small>({name})</small></h2>\n\
         <dl>\n\
         <dt>Server</dt><dd>{host}</dd>\n\
         <dt>Port</dt><dd>{port} <small>PIN</small> {pin}</dd>\n\
         <dt>User</dt><dd>{user}</dd>\n\
         <dt>Password</dt><dd>{password}</dd>\n\
         </dl>\n\
         <p>Nothing appears while you type the password. Plain FTP: everybody on this network can read it. Never type \
         your school's password here. The PIN is for the page that your teacher shows.</p>\n\
         <dl class=\"type\">\n\
         <dt>Windows</dt><dd>ftp <small>and then</small> open {host} {port}</dd>\n\
         <dt>Linux</dt><dd>ftp {host} {port}</dd>\n\
         <dt>macOS</dt><dd>curl -u {user} {url}</dd>\n\
         </dl>\n\
         </article>\n"
    )
}

/// The same as a table for a spreadsheet.
pub fn credentials(cards: &[Card], address: &Address) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["user", "password", "name", "id", "email", "section", "host", "port", "pin"])?;
    for Card { student, password, pin } in cards {
        let Student { user, name, id, email, section, .. } = student;
        let port = address.port.to_string();
        let cells = [user, password, name, id, email, section, &address.host, &port, pin];
        writer.write_record(cells.map(|cell| escape::cell(cell)))?;
    }
    Ok(writer.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(name: &str) -> Card {
        let student = Student { user: "otter".into(), alias: "otter".into(), name: name.into(), ..Student::default() };
        Card { student, password: "river-quick-47".into(), pin: "004711".into() }
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn a_card_has_what_is_to_be_typed() {
        let html = cards(&[card("Ann")], &address("192.168.1.5:2121"));
        for text in [
            "<dd>192.168.1.5</dd>",
            "<dd>2121 <small>PIN</small> 004711</dd>",
            "<dd>otter</dd>",
            "<dd>river-quick-47</dd>",
            "Nothing appears while you type the password.",
            "<dt>Windows</dt><dd>ftp <small>and then</small> open 192.168.1.5 2121</dd>",
            "<dt>Linux</dt><dd>ftp 192.168.1.5 2121</dd>",
            "<dt>macOS</dt><dd>curl -u otter ftp://192.168.1.5:2121/</dd>",
        ] {
            assert!(html.contains(text), "{text} is not in {html}");
        }
        assert!(cards(&[card("Ann")], &address("[fe80::1]:21")).contains("otter ftp://[fe80::1]:21/"));
    }

    #[test]
    fn eight_cards_are_a_page() {
        let count = |cards: usize| {
            let html = super::cards(&vec![card("Ann"); cards], &address("a:1"));
            [html.matches("<section").count(), html.matches("<article").count()]
        };
        assert_eq!([count(0), count(8), count(9)], [[0, 0], [1, 8], [2, 9]]);
    }

    #[test]
    fn what_the_roster_says_stays_text() {
        let html = cards(&[card("<script>alert('1')</script>&\"")], &address("a:1"));
        assert!(
            html.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;") && !html.contains("<script")
        );
        let csv = String::from_utf8(credentials(&[card("=1+1"), card("a,b")], &address("a:1")).unwrap()).unwrap();
        assert!(csv.contains(",'=1+1,") && csv.contains(",\"a,b\","), "{csv}");
    }

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for text in ["", "a", "a:", ":21", "a:0", "a:70000", "<b>:21", "[x]:21", "::1:21"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}
