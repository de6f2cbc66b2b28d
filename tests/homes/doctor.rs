//! `longshore doctor` on a machine with each of the firewalls, and in a container.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::engine::{Container, Control, poll};
use crate::systemd::{CONFIG, installed, set};

/// What the doctor says about this.
fn said(container: &Container, about: &str) -> String {
    let (_, report) = container.try_shell(&format!("longshore doctor --config {CONFIG} --json"));
    let report: Value = serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error}: {report}"));
    let findings = report["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["about"] == about).unwrap_or_else(|| panic!("{report:#}"));
    found["text"].as_str().unwrap().to_owned()
}

/// Whether a client of another machine can connect.
fn is_reached(container: &Container) -> bool {
    let address = SocketAddr::new(container.address(), 21);
    TcpStream::connect_timeout(&address, Duration::from_secs(2)).is_ok()
}

/// A client of another machine lists.
fn list(container: &Container) {
    let (mut session, _) = Control::greeted(SocketAddr::new(container.address(), 21)).unwrap();
    session.expect("331", "USER anonymous");
    session.expect("230", "PASS x");
    let _data = session.passive();
    session.expect("150", "NLST");
}

#[test]
fn the_lines_for_each_firewall_let_clients_in() {
    let Some(container) = installed() else { return };
    set(&container, "");
    container.shell("systemctl reload longshore");
    let none = said(&container, "firewall");
    assert!(none.contains("the host's cannot be seen from this container"), "it is not there: {none}");
    list(&container);
    container.shell(
        "export DEBIAN_FRONTEND=noninteractive && apt-get update -q && \
         apt-get install -q -y --no-install-recommends nftables ufw firewalld && systemctl disable --now firewalld",
    );
    let none = said(&container, "firewall");
    assert!(none.starts_with("none is active on this machine"), "{none}");
    for (name, begin, end) in [
        ("firewalld", "systemctl start firewalld", "systemctl stop firewalld"),
        ("ufw", "ufw --force enable", "ufw disable && nft flush ruleset"),
        (
            "nftables",
            "nft add table inet own && nft 'add chain inet own guard { type filter hook input priority 0; policy drop; }' \
             && nft add rule inet own guard iif lo accept && nft add rule inet own guard reject",
            "nft flush ruleset",
        ),
    ] {
        container.shell(begin);
        // firewalld says that it has started, and then makes its rules.
        poll(&format!("{name} keeps clients out"), || (!is_reached(&container)).then_some(()));
        let advice = said(&container, "firewall");
        let line = advice.strip_prefix(&format!("{name} is active; to let clients in: "));
        let line = line.unwrap_or_else(|| panic!("{name}: {advice}"));
        container.shell(line.split(" (").next().unwrap());
        poll(&format!("{name} lets them in by {line}"), || is_reached(&container).then_some(()));
        list(&container);
        container.shell(end);
    }
}

#[test]
fn the_running_service_is_no_fault_and_its_socket_unit_is_known() {
    let Some(container) = installed() else { return };
    let pid = container.shell("systemctl show -P MainPID longshore");
    assert_eq!(
        said(&container, "control port"),
        format!("0.0.0.0:21 is held by longshore (pid {}), which runs already", pid.trim())
    );
    assert!(said(&container, "open files").contains("may have "), "{}", said(&container, "open files"));
    assert!(said(&container, "root").contains("the running server is user "), "{}", said(&container, "root"));
    let clock = said(&container, "clock");
    assert!(clock.contains("synchronised"), "{clock}");
    container.shell("systemctl stop longshore && systemctl start longshore.socket");
    let held = said(&container, "control port");
    assert!(
        held.starts_with("0.0.0.0:21 is held by systemd (pid 1) for a socket unit; if that is longshore.socket"),
        "{held}"
    );
}
