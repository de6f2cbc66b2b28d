//! The firewall of this machine, and the lines that let clients through it.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use procfs::process::all_processes;
use serde_json::Value;

use super::{Finding, Level};
use crate::settings::Settings;

const ABOUT: &str = "firewall";

/// What is known about the firewall.
#[derive(Debug, PartialEq)]
enum Active {
    Ufw,
    Firewalld,
    /// Chains that turn connections away, as `family table chain`.
    Nftables(Vec<String>),
    /// There is none.
    None,
    /// This user may not know.
    Unknown,
}

pub(super) fn examine(settings: &Settings, in_container: bool) -> Finding {
    match Ports::of(settings) {
        Some(ports) => judge(&ports, look(), in_container),
        None => Finding::new(Level::Good, ABOUT, "none is in the way, since the server listens on loopback only"),
    }
}

fn judge(ports: &Ports, active: Active, in_container: bool) -> Finding {
    let elsewhere = match in_container {
        true => "the host's cannot be seen from this container",
        false => "there may be another in front of this machine",
    };
    let text = match active {
        Active::Ufw => format!("ufw is active; to let clients in: {}", ports.ufw()),
        Active::Firewalld => format!("firewalld is active; to let clients in: {}", ports.firewalld()),
        Active::Nftables(chains) => {
            let lines: Vec<_> = chains.iter().map(|chain| ports.nftables(chain)).collect();
            format!(
                "nftables is active; to let clients in: {} (and the same in /etc/nftables.conf, or it is gone after a boot)",
                lines.join("; ")
            )
        }
        Active::None => {
            let text =
                format!("none is active on this machine; {elsewhere}, which has to let {} through", ports.words());
            return Finding::new(if in_container { Level::Note } else { Level::Good }, ABOUT, text);
        }
        Active::Unknown => format!(
            "which one is active cannot be seen from here (nft list ruleset tells root), and {elsewhere}; to let clients in, \
             with ufw: {}; with firewalld: {}; with nftables: {}",
            ports.ufw(),
            ports.firewalld(),
            ports.nftables("inet filter input")
        ),
    };
    Finding::new(Level::Note, ABOUT, text)
}

/// The ports that clients connect to.
#[derive(Debug, PartialEq)]
struct Ports {
    control: BTreeSet<u16>,
    passive: (u16, u16),
}

impl Ports {
    /// `None` where nobody comes from elsewhere.
    fn of(settings: &Settings) -> Option<Self> {
        let listeners = settings.server.listen.iter().chain(&settings.tls.implicit);
        let mut outside = listeners.filter(|listener| !listener.ip().is_loopback()).peekable();
        outside.peek()?;
        let control = outside.map(SocketAddr::port).filter(|port| *port != 0).collect();
        let passive = &settings.server.passive_ports;
        Some(Self { control, passive: (*passive.start(), *passive.end()) })
    }

    /// Each as this firewall writes ports, with `to` between the ends of a range.
    fn each(&self, to: &str) -> Vec<String> {
        let control = self.control.iter().map(u16::to_string);
        let (first, last) = self.passive;
        let passive = if first == last { first.to_string() } else { format!("{first}{to}{last}") };
        control.chain([passive]).collect()
    }

    fn words(&self) -> String {
        format!("TCP {}", self.each("-").join(", "))
    }

    fn ufw(&self) -> String {
        format!("ufw allow {}/tcp", self.each(":").join(","))
    }

    fn firewalld(&self) -> String {
        let ports: String = self.each("-").iter().map(|port| format!(" --add-port={port}/tcp")).collect();
        format!("firewall-cmd --permanent{ports} && firewall-cmd --reload")
    }

    /// Before the other rules of the chain, of which the last may turn everybody away.
    fn nftables(&self, chain: &str) -> String {
        format!("nft insert rule {chain} tcp dport '{{ {} }}' accept", self.each("-").join(", "))
    }
}

fn look() -> Active {
    if fs::read_to_string("/etc/ufw/ufw.conf").is_ok_and(|text| is_ufw_enabled(&text)) {
        return Active::Ufw;
    }
    let mut processes = all_processes().into_iter().flatten().flatten();
    if processes.any(|process| process.stat().is_ok_and(|stat| stat.comm == "firewalld")) {
        return Active::Firewalld;
    }
    let ruleset = Command::new("nft").args(["--json", "list", "ruleset"]).stdin(Stdio::null()).output();
    match ruleset.ok().filter(|output| output.status.success()).and_then(|it| serde_json::from_slice(&it.stdout).ok()) {
        Some(ruleset) => match guarding_chains(&ruleset) {
            chains if chains.is_empty() => Active::None,
            chains => Active::Nftables(chains),
        },
        None => Active::Unknown,
    }
}

fn is_ufw_enabled(configuration: &str) -> bool {
    configuration.lines().any(|line| line.trim().eq_ignore_ascii_case("ENABLED=yes"))
}

/// The chains in front of this machine's own ports that may turn connections away, as `family table chain`.
fn guarding_chains(ruleset: &Value) -> Vec<String> {
    let entries = || ruleset["nftables"].as_array().into_iter().flatten();
    let named = |of: &Value, chain: &Value| -> Option<String> {
        Some([of["family"].as_str()?, of["table"].as_str()?, chain.as_str()?].join(" "))
    };
    // Those with a rule that does, and round by round those that lead there.
    let mut guarding = BTreeSet::new();
    loop {
        let turns_away = |rule: &Value, statement: &Value| {
            let leads = |verb: &str| named(rule, &statement[verb]["target"]).is_some_and(|it| guarding.contains(&it));
            let refuses = |verb: &str| statement.get(verb).is_some();
            ["drop", "reject", "vmap"].into_iter().any(refuses) || ["jump", "goto"].into_iter().any(leads)
        };
        let found = entries().map(|entry| &entry["rule"]).filter(|rule| {
            let statements = rule["expr"].as_array().into_iter().flatten();
            statements.into_iter().any(|statement| turns_away(rule, statement))
        });
        let found: Vec<_> = found.filter_map(|rule| named(rule, &rule["chain"])).collect();
        let known = guarding.len();
        guarding.extend(found);
        if guarding.len() == known {
            break;
        }
    }
    let filters = entries().map(|entry| &entry["chain"]);
    let filters = filters.filter(|chain| chain["hook"] == "input" && chain["type"] == "filter");
    let places = filters.filter_map(|chain| Some((named(chain, &chain["name"])?, chain["policy"] == "drop")));
    places.filter(|(place, drops)| *drops || guarding.contains(place)).map(|(place, _)| place).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_lines_name_every_port_that_clients_need() {
        let mut settings = Settings::default();
        settings.tls.implicit = vec!["0.0.0.0:990".parse().unwrap()];
        let ports = Ports::of(&settings).unwrap();
        let said = |active| judge(&ports, active, false).text;
        assert_eq!(said(Active::Ufw), "ufw is active; to let clients in: ufw allow 21,990,49152:65535/tcp");
        assert_eq!(
            said(Active::Firewalld),
            "firewalld is active; to let clients in: firewall-cmd --permanent --add-port=21/tcp --add-port=990/tcp \
             --add-port=49152-65535/tcp && firewall-cmd --reload"
        );
        let chain = "inet filter input".to_owned();
        let line = "nft insert rule inet filter input tcp dport '{ 21, 990, 49152-65535 }' accept";
        assert!(said(Active::Nftables(vec![chain])).contains(line));
        let unknown = said(Active::Unknown);
        assert!(
            unknown.contains("cannot be seen from here")
                && ["ufw allow", "firewall-cmd", line].iter().all(|it| unknown.contains(it))
        );
        assert!(said(Active::None).ends_with("has to let TCP 21, 990, 49152-65535 through"));
        let inside = judge(&ports, Active::None, true);
        assert!(inside.level == Level::Note && inside.text.contains("the host's cannot be seen from this container"));
        settings.tls.implicit.clear();
        settings.server.listen = vec!["127.0.0.1:21".parse().unwrap()];
        assert_eq!(Ports::of(&settings), None);
    }

    #[test]
    fn chains_that_let_everybody_in_are_none() {
        let guarding = |policy: &str, statement: Value| {
            let chain = |name: &str, hook: &str, policy: &str| json!({ "chain": { "family": "inet", "table": "t", "name": name, "hook": hook, "type": "filter", "policy": policy } });
            let rule = |family: &str, chain: &str, statement: Value| json!({ "rule": { "family": family, "table": "t", "chain": chain, "expr": [{ "counter": null }, statement] } });
            guarding_chains(&json!({ "nftables": [
                chain("c", "input", policy),
                chain("f", "forward", "drop"),
                rule("inet", "c", statement),
                rule("inet", "leads", json!({ "goto": { "target": "refuses" } })),
                rule("inet", "refuses", json!({ "reject": null })),
                rule("inet", "counts", json!({ "accept": null })),
                rule("ip", "c", json!({ "drop": null })),
            ] }))
        };
        assert!(guarding("accept", json!({ "accept": null })).is_empty());
        assert!(guarding("accept", json!({ "jump": { "target": "counts" } })).is_empty());
        for (policy, statement) in [
            ("drop", json!({ "accept": null })),
            ("accept", json!({ "drop": null })),
            ("accept", json!({ "jump": { "target": "leads" } })),
        ] {
            assert_eq!(guarding(policy, statement.clone()), ["inet t c"], "{policy} {statement}");
        }
    }

    #[test]
    fn ufw_is_active_when_its_settings_say_so() {
        assert!(is_ufw_enabled("# x\nENABLED=yes\nLOGLEVEL=low\n"));
        assert!(!is_ufw_enabled("# ENABLED=yes\nENABLED=no\n"));
    }
}
