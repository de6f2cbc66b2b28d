//! The one table of everything that can be set: what a key is called, what it takes, how it is read and shown.

use std::net::SocketAddr;
use std::path::Path;

use config::Value;
use ipnet::IpNet;

use super::address;
use super::value::{self, Bad, Choices, Parsed, choice_name, quoted};
use super::{
    AdminSocket, Advertised, Anonymous, Ascii, ClientCertificates, Encryption, Epsv, LogFormat, LogLevel,
    LoginFailures, PassiveAddress, PassivePeer, Settings, TlsVersion,
};
use crate::storage::PathPattern;

/// A setting.
pub struct Key {
    /// Section and name, such as `server.listen`.
    pub name: &'static str,
    /// What to write, as it follows "write" in a fault.
    pub allowed: &'static str,
    /// When a new value takes effect.
    changes: Changes,
    /// Puts a value as written in its place.
    set: fn(&mut Settings, &Value) -> Parsed<()>,
    /// The value in force, as TOML writes it.
    show: fn(&Settings) -> String,
}

/// When a new value of a setting takes effect.
#[derive(Clone, Copy)]
enum Changes {
    /// At a reload, for what comes next.
    AtReload,
    /// When the server is started again. A reload keeps the value in force, which this copies.
    AtRestart(fn(&mut Settings, &Settings)),
}

use Changes::{AtReload, AtRestart};

const ON_OFF: &Choices<bool> = &[("on", true), ("off", false)];
const PASSIVE_PEER: &Choices<PassivePeer> = &[("same-address", PassivePeer::SameAddress), ("any", PassivePeer::Any)];
const EPSV: &Choices<Epsv> = &[("on", Epsv::On), ("ipv6-only", Epsv::Ipv6Only)];
const ANONYMOUS: &Choices<Anonymous> = &[
    ("off", Anonymous::Off),
    ("read-only", Anonymous::ReadOnly),
    ("read-write", Anonymous::ReadWrite),
    ("add-only", Anonymous::AddOnly),
];
const LOGIN_FAILURES: &Choices<LoginFailures> = &[
    ("user-and-address", LoginFailures::UserAndAddress),
    ("address", LoginFailures::Address),
    ("user", LoginFailures::User),
    ("off", LoginFailures::Off),
];
const ASCII: &Choices<Ascii> = &[("convert", Ascii::Convert), ("binary", Ascii::Binary)];
const ENCRYPTION: &Choices<Encryption> =
    &[("off", Encryption::Off), ("optional", Encryption::Optional), ("required", Encryption::Required)];
const TLS_VERSION: &Choices<TlsVersion> = &[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];
const CLIENT_CERTIFICATES: &Choices<ClientCertificates> = &[
    ("off", ClientCertificates::Off),
    ("request", ClientCertificates::Request),
    ("require", ClientCertificates::Require),
];
const FORMAT: &Choices<LogFormat> = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
const LEVEL: &Choices<LogLevel> = &[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];
const NETWORKS: &str =
    r#"a list of networks and addresses, such as ["192.168.0.0/16", "2001:db8::/32", "203.0.113.7"]"#;
const COUNT: &str = "a whole number from 1 to 1000000, or 0 for no limit";
const RATE: &str = r#"bytes a second, such as 500000 or "500 KB", or 0 for no limit"#;
const PATH_RATES: &str =
    r#"a table of bytes a second by path pattern, such as { "/pub/iso" = "10 MB", "/*/slow.bin" = 20000 }"#;
const TIMEOUT: &str = "whole seconds, from 1 to 86400";

/// Every setting, in the order of the annotated default file.
pub static KEYS: &[Key] = &[
    Key {
        name: "server.listen",
        changes: AtRestart(|to, from| to.server.listen.clone_from(&from.server.listen)),
        allowed: r#"a list of "address:port", such as ["0.0.0.0:21", "[::]:21"]"#,
        set: |settings, value| address::listeners(value).map(|it| settings.server.listen = it),
        show: |settings| show_listeners(&settings.server.listen),
    },
    Key {
        name: "server.greeting",
        changes: AtReload,
        allowed: "one line of text",
        set: |settings, value| value::line(value).map(|it| settings.server.greeting = it),
        show: |settings| quoted(&settings.server.greeting),
    },
    Key {
        name: "server.passive_ports",
        changes: AtReload,
        allowed: r#"a range of ports from 1024 to 65535, such as "49152-65535""#,
        set: |settings, value| value::passive_ports(value).map(|it| settings.server.passive_ports = it),
        show: |settings| {
            let ports = &settings.server.passive_ports;
            quoted(&format!("{}-{}", ports.start(), ports.end()))
        },
    },
    Key {
        name: "server.passive_address",
        changes: AtReload,
        allowed: r#""auto", an IPv4 address, a host name, or a table of these by the client's network, such as { "192.168.0.0/16" = "192.168.1.5", "0.0.0.0/0" = "ftp.example.org" }"#,
        set: |settings, value| address::passive_address(value).map(|it| settings.server.passive_address = it),
        show: |settings| show_passive_address(&settings.server.passive_address),
    },
    Key {
        name: "server.passive_peer",
        changes: AtReload,
        allowed: r#""same-address" or "any""#,
        set: |settings, value| value::choice(value, PASSIVE_PEER).map(|it| settings.server.passive_peer = it),
        show: |settings| choice_name(&settings.server.passive_peer, PASSIVE_PEER),
    },
    Key {
        name: "server.epsv",
        changes: AtReload,
        allowed: r#""on" or "ipv6-only""#,
        set: |settings, value| value::choice(value, EPSV).map(|it| settings.server.epsv = it),
        show: |settings| choice_name(&settings.server.epsv, EPSV),
    },
    Key {
        name: "server.active",
        changes: AtReload,
        allowed: r#""on" or "off""#,
        set: |settings, value| value::switch(value).map(|it| settings.server.active = it),
        show: |settings| choice_name(&settings.server.active, ON_OFF),
    },
    Key {
        name: "server.idle_timeout",
        changes: AtReload,
        allowed: TIMEOUT,
        set: |settings, value| value::seconds(value, 1..=86_400).map(|it| settings.server.idle_timeout = it),
        show: |settings| settings.server.idle_timeout.as_secs().to_string(),
    },
    Key {
        name: "server.login_timeout",
        changes: AtReload,
        allowed: TIMEOUT,
        set: |settings, value| value::seconds(value, 1..=86_400).map(|it| settings.server.login_timeout = it),
        show: |settings| settings.server.login_timeout.as_secs().to_string(),
    },
    Key {
        name: "server.data_timeout",
        changes: AtReload,
        allowed: TIMEOUT,
        set: |settings, value| value::seconds(value, 1..=86_400).map(|it| settings.server.data_timeout = it),
        show: |settings| settings.server.data_timeout.as_secs().to_string(),
    },
    Key {
        name: "server.shutdown_grace",
        changes: AtReload,
        allowed: "whole seconds, from 0 to 3600",
        set: |settings, value| value::seconds(value, 0..=3_600).map(|it| settings.server.shutdown_grace = it),
        show: |settings| settings.server.shutdown_grace.as_secs().to_string(),
    },
    Key {
        name: "server.admin_socket",
        changes: AtRestart(|to, from| to.server.admin_socket.clone_from(&from.server.admin_socket)),
        allowed: r#""auto", the path of a Unix socket, or "" for none"#,
        set: |settings, value| value::admin_socket(value).map(|it| settings.server.admin_socket = it),
        show: |settings| match &settings.server.admin_socket {
            AdminSocket::Auto => quoted("auto"),
            AdminSocket::Off => quoted(""),
            AdminSocket::At(path) => quoted(&path.to_string_lossy()),
        },
    },
    Key {
        name: "storage.root",
        changes: AtRestart(|to, from| to.storage.root.clone_from(&from.storage.root)),
        allowed: "the directory to serve",
        set: |settings, value| value::path(value).map(|it| settings.storage.root = it),
        show: |settings| quoted(&settings.storage.root.to_string_lossy()),
    },
    Key {
        name: "storage.umask",
        changes: AtReload,
        allowed: r#"octal digits in quotes, from "000" to "077", such as "022""#,
        set: |settings, value| value::umask(value).map(|it| settings.storage.umask = it),
        show: |settings| quoted(&format!("{:03o}", settings.storage.umask)),
    },
    Key {
        name: "storage.fsync",
        changes: AtReload,
        allowed: "true or false",
        set: |settings, value| value::switch(value).map(|it| settings.storage.fsync = it),
        show: |settings| settings.storage.fsync.to_string(),
    },
    Key {
        name: "accounts.file",
        changes: AtReload,
        allowed: r#"the path of the accounts file, or "" for none"#,
        set: |settings, value| value::path_unless("", value).map(|it| settings.accounts.file = it),
        show: |settings| show_path(settings.accounts.file.as_deref(), ""),
    },
    Key {
        name: "accounts.anonymous",
        changes: AtReload,
        allowed: r#""off", "read-only", "read-write" or "add-only""#,
        set: |settings, value| value::choice(value, ANONYMOUS).map(|it| settings.accounts.anonymous = it),
        show: |settings| choice_name(&settings.accounts.anonymous, ANONYMOUS),
    },
    Key {
        name: "accounts.template",
        changes: AtReload,
        allowed: r#"the directory whose contents new homes get, or "" for none"#,
        set: |settings, value| value::path_unless("", value).map(|it| settings.accounts.template = it),
        show: |settings| quoted(&settings.accounts.template.as_deref().unwrap_or(Path::new("")).to_string_lossy()),
    },
    Key {
        name: "limits.max_sessions",
        changes: AtReload,
        allowed: "a whole number from 1 to 1000000",
        set: |settings, value| value::number(value, 1..=1_000_000).map(|it| settings.limits.max_sessions = it),
        show: |settings| settings.limits.max_sessions.to_string(),
    },
    Key {
        name: "limits.max_sessions_per_ip",
        changes: AtReload,
        allowed: COUNT,
        set: |settings, value| value::number(value, 0..=1_000_000).map(|it| settings.limits.max_sessions_per_ip = it),
        show: |settings| settings.limits.max_sessions_per_ip.to_string(),
    },
    Key {
        name: "limits.max_sessions_per_user",
        changes: AtReload,
        allowed: COUNT,
        set: |settings, value| value::number(value, 0..=1_000_000).map(|it| settings.limits.max_sessions_per_user = it),
        show: |settings| settings.limits.max_sessions_per_user.to_string(),
    },
    Key {
        name: "limits.max_unauthenticated",
        changes: AtReload,
        allowed: COUNT,
        set: |settings, value| value::number(value, 0..=1_000_000).map(|it| settings.limits.max_unauthenticated = it),
        show: |settings| settings.limits.max_unauthenticated.to_string(),
    },
    Key {
        name: "limits.accept_rate",
        changes: AtReload,
        allowed: COUNT,
        set: |settings, value| value::number(value, 0..=1_000_000).map(|it| settings.limits.accept_rate = it),
        show: |settings| settings.limits.accept_rate.to_string(),
    },
    Key {
        name: "limits.allow",
        changes: AtReload,
        allowed: NETWORKS,
        set: |settings, value| address::networks(value).map(|it| settings.limits.allow = it),
        show: |settings| show_networks(&settings.limits.allow),
    },
    Key {
        name: "limits.deny",
        changes: AtReload,
        allowed: NETWORKS,
        set: |settings, value| address::networks(value).map(|it| settings.limits.deny = it),
        show: |settings| show_networks(&settings.limits.deny),
    },
    Key {
        name: "limits.login_attempts",
        changes: AtReload,
        allowed: "a whole number from 1 to 100",
        set: |settings, value| value::number(value, 1..=100).map(|it| settings.limits.login_attempts = it),
        show: |settings| settings.limits.login_attempts.to_string(),
    },
    Key {
        name: "limits.login_failures",
        changes: AtReload,
        allowed: r#""user-and-address", "address", "user" or "off""#,
        set: |settings, value| value::choice(value, LOGIN_FAILURES).map(|it| settings.limits.login_failures = it),
        show: |settings| choice_name(&settings.limits.login_failures, LOGIN_FAILURES),
    },
    Key {
        name: "limits.login_delay_max",
        changes: AtReload,
        allowed: "whole seconds, from 0 to 300",
        set: |settings, value| value::seconds(value, 0..=300).map(|it| settings.limits.login_delay_max = it),
        show: |settings| settings.limits.login_delay_max.as_secs().to_string(),
    },
    Key {
        name: "limits.login_failures_forget",
        changes: AtReload,
        allowed: TIMEOUT,
        set: |settings, value| value::seconds(value, 1..=86_400).map(|it| settings.limits.login_failures_forget = it),
        show: |settings| settings.limits.login_failures_forget.as_secs().to_string(),
    },
    Key {
        name: "limits.passive_offer_timeout",
        changes: AtReload,
        allowed: TIMEOUT,
        set: |settings, value| value::seconds(value, 1..=86_400).map(|it| settings.limits.passive_offer_timeout = it),
        show: |settings| settings.limits.passive_offer_timeout.as_secs().to_string(),
    },
    Key {
        name: "limits.download_rate",
        changes: AtReload,
        allowed: RATE,
        set: |settings, value| value::rate(value).map(|it| settings.limits.rates.download = it),
        show: |settings| settings.limits.rates.download.to_string(),
    },
    Key {
        name: "limits.upload_rate",
        changes: AtReload,
        allowed: RATE,
        set: |settings, value| value::rate(value).map(|it| settings.limits.rates.upload = it),
        show: |settings| settings.limits.rates.upload.to_string(),
    },
    Key {
        name: "limits.session_download_rate",
        changes: AtReload,
        allowed: RATE,
        set: |settings, value| value::rate(value).map(|it| settings.limits.session_rates.download = it),
        show: |settings| settings.limits.session_rates.download.to_string(),
    },
    Key {
        name: "limits.session_upload_rate",
        changes: AtReload,
        allowed: RATE,
        set: |settings, value| value::rate(value).map(|it| settings.limits.session_rates.upload = it),
        show: |settings| settings.limits.session_rates.upload.to_string(),
    },
    Key {
        name: "limits.path_download_rates",
        changes: AtReload,
        allowed: PATH_RATES,
        set: |settings, value| value::path_rates(value).map(|it| settings.limits.path_download_rates = it),
        show: |settings| show_path_rates(&settings.limits.path_download_rates),
    },
    Key {
        name: "limits.path_upload_rates",
        changes: AtReload,
        allowed: PATH_RATES,
        set: |settings, value| value::path_rates(value).map(|it| settings.limits.path_upload_rates = it),
        show: |settings| show_path_rates(&settings.limits.path_upload_rates),
    },
    Key {
        name: "transfer.ascii",
        changes: AtReload,
        allowed: r#""convert" or "binary""#,
        set: |settings, value| value::choice(value, ASCII).map(|it| settings.transfer.ascii = it),
        show: |settings| choice_name(&settings.transfer.ascii, ASCII),
    },
    Key {
        name: "transfer.sha256",
        changes: AtReload,
        allowed: "true or false",
        set: |settings, value| value::switch(value).map(|it| settings.transfer.sha256 = it),
        show: |settings| settings.transfer.sha256.to_string(),
    },
    Key {
        name: "tls.certificate",
        changes: AtReload,
        allowed: r#"the path of a PEM file, or "" for no TLS"#,
        set: |settings, value| value::path_unless("", value).map(|it| settings.tls.certificate = it),
        show: |settings| show_path(settings.tls.certificate.as_deref(), ""),
    },
    Key {
        name: "tls.key",
        changes: AtReload,
        allowed: r#"the path of a PEM file, or "" for no TLS"#,
        set: |settings, value| value::path_unless("", value).map(|it| settings.tls.key = it),
        show: |settings| show_path(settings.tls.key.as_deref(), ""),
    },
    Key {
        name: "tls.control",
        changes: AtReload,
        allowed: r#""off", "optional" or "required""#,
        set: |settings, value| value::choice(value, ENCRYPTION).map(|it| settings.tls.control = it),
        show: |settings| choice_name(&settings.tls.control, ENCRYPTION),
    },
    Key {
        name: "tls.data",
        changes: AtReload,
        allowed: r#""off", "optional" or "required""#,
        set: |settings, value| value::choice(value, ENCRYPTION).map(|it| settings.tls.data = it),
        show: |settings| choice_name(&settings.tls.data, ENCRYPTION),
    },
    Key {
        name: "tls.implicit",
        changes: AtRestart(|to, from| to.tls.implicit.clone_from(&from.tls.implicit)),
        allowed: r#"a list of "address:port", such as ["0.0.0.0:990", "[::]:990"], or [] for none"#,
        set: |settings, value| address::listeners_if_any(value).map(|it| settings.tls.implicit = it),
        show: |settings| show_listeners(&settings.tls.implicit),
    },
    Key {
        name: "tls.require_resumption",
        changes: AtReload,
        allowed: "true or false",
        set: |settings, value| value::switch(value).map(|it| settings.tls.require_resumption = it),
        show: |settings| settings.tls.require_resumption.to_string(),
    },
    Key {
        name: "tls.minimum",
        changes: AtReload,
        allowed: r#""1.2" or "1.3""#,
        set: |settings, value| value::choice(value, TLS_VERSION).map(|it| settings.tls.minimum = it),
        show: |settings| choice_name(&settings.tls.minimum, TLS_VERSION),
    },
    Key {
        name: "tls.client_certificates",
        changes: AtReload,
        allowed: r#""off", "request" or "require""#,
        set: |settings, value| {
            value::choice(value, CLIENT_CERTIFICATES).map(|it| settings.tls.client_certificates = it)
        },
        show: |settings| choice_name(&settings.tls.client_certificates, CLIENT_CERTIFICATES),
    },
    Key {
        name: "tls.client_ca",
        changes: AtReload,
        allowed: r#"the path of a PEM file, or "" for none"#,
        set: |settings, value| value::path_unless("", value).map(|it| settings.tls.client_ca = it),
        show: |settings| show_path(settings.tls.client_ca.as_deref(), ""),
    },
    Key {
        name: "tls.certificate_login",
        changes: AtReload,
        allowed: "true or false",
        set: |settings, value| value::switch(value).map(|it| settings.tls.certificate_login = it),
        show: |settings| settings.tls.certificate_login.to_string(),
    },
    Key {
        name: "log.format",
        changes: AtReload,
        allowed: r#""text" or "json""#,
        set: |settings, value| value::choice(value, FORMAT).map(|it| settings.log.format = it),
        show: |settings| choice_name(&settings.log.format, FORMAT),
    },
    Key {
        name: "log.level",
        changes: AtReload,
        allowed: r#""error", "warn", "info", "debug" or "trace""#,
        set: |settings, value| value::choice(value, LEVEL).map(|it| settings.log.level = it),
        show: |settings| choice_name(&settings.log.level, LEVEL),
    },
    Key {
        name: "log.sessions",
        changes: AtReload,
        allowed: r#"the path of the session log, or "-" for standard output"#,
        set: |settings, value| value::path_unless("-", value).map(|it| settings.log.sessions = it),
        show: |settings| show_path(settings.log.sessions.as_deref(), "-"),
    },
    Key {
        name: "log.xferlog",
        changes: AtReload,
        allowed: r#"the path of a log of transfers in wu-ftpd's format, or "" for none"#,
        set: |settings, value| value::path_unless("", value).map(|it| settings.log.xferlog = it),
        show: |settings| show_path(settings.log.xferlog.as_deref(), ""),
    },
    Key {
        name: "metrics.listen",
        changes: AtRestart(|to, from| to.metrics.listen.clone_from(&from.metrics.listen)),
        allowed: r#"a list of "address:port", such as ["127.0.0.1:9121"], or [] for none"#,
        set: |settings, value| address::listeners_if_any(value).map(|it| settings.metrics.listen = it),
        show: |settings| show_listeners(&settings.metrics.listen),
    },
    Key {
        name: "page.listen",
        changes: AtRestart(|to, from| to.page.listen.clone_from(&from.page.listen)),
        allowed: r#"a list of "address:port", such as ["127.0.0.1:8021"], or [] for none"#,
        set: |settings, value| address::listeners_if_any(value).map(|it| settings.page.listen = it),
        show: |settings| show_listeners(&settings.page.listen),
    },
    Key {
        name: "page.hosts",
        changes: AtRestart(|to, from| to.page.hosts.clone_from(&from.page.hosts)),
        allowed: r#"a list of host names, such as ["ftp.example.org"], or [] for none"#,
        set: |settings, value| address::host_names(value).map(|it| settings.page.hosts = it),
        show: |settings| show_list(settings.page.hosts.iter().map(String::as_str)),
    },
    Key {
        name: "page.public",
        changes: AtRestart(|to, from| to.page.public = from.page.public),
        allowed: "true or false",
        set: |settings, value| value::switch(value).map(|it| settings.page.public = it),
        show: |settings| settings.page.public.to_string(),
    },
];

impl Key {
    /// Puts `value` in its place in `settings`.
    pub(crate) fn set(&self, settings: &mut Settings, value: &Value) -> Result<(), Vec<Bad>> {
        (self.set)(settings, value)
    }

    /// The value in force, as TOML writes it.
    pub fn show(&self, settings: &Settings) -> String {
        (self.show)(settings)
    }

    /// Whether a new value takes effect only when the server is started again.
    pub fn needs_restart(&self) -> bool {
        matches!(self.changes, AtRestart(_))
    }

    /// Section and name.
    fn parts(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').unwrap_or(("", self.name))
    }
}

/// Gives `settings` those values of `in_force` that only a restart changes.
pub(crate) fn keep_until_restart(settings: &mut Settings, in_force: &Settings) {
    for key in KEYS {
        if let AtRestart(keep) = key.changes {
            keep(settings, in_force);
        }
    }
}

/// The key of this name.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The names of all sections.
pub(crate) fn sections() -> Vec<&'static str> {
    let mut sections: Vec<_> = KEYS.iter().map(|key| key.parts().0).collect();
    sections.dedup();
    sections
}

/// The names of a section's keys, without the section.
pub(crate) fn in_section(section: &str) -> Vec<&'static str> {
    let keys = KEYS.iter().map(Key::parts);
    keys.filter(|(of, _)| *of == section).map(|(_, name)| name).collect()
}

fn show_listeners(listeners: &[SocketAddr]) -> String {
    show_list(listeners.iter().map(ToString::to_string))
}

fn show_list(texts: impl Iterator<Item = impl AsRef<str>>) -> String {
    let texts: Vec<_> = texts.map(|text| quoted(text.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

fn show_path(path: Option<&Path>, none: &str) -> String {
    quoted(path.map_or(none.into(), Path::to_string_lossy).as_ref())
}

fn show_networks(networks: &[IpNet]) -> String {
    show_list(networks.iter().map(ToString::to_string))
}

fn show_path_rates(rates: &[(PathPattern, u64)]) -> String {
    match rates {
        [] => "{}".to_owned(),
        rates => {
            let entries = rates.iter().map(|(pattern, rate)| format!("{} = {rate}", quoted(pattern.text())));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

fn show_passive_address(address: &PassiveAddress) -> String {
    let show = |advertised: &Advertised| match advertised {
        Advertised::Address(ip) => quoted(&ip.to_string()),
        Advertised::Name(name) => quoted(name),
    };
    match address {
        PassiveAddress::Auto => quoted("auto"),
        PassiveAddress::One(advertised) => show(advertised),
        PassiveAddress::ByClient(networks) => {
            let entries = networks.iter();
            let entries =
                entries.map(|(net, advertised)| format!("{} = {}", quoted(&net.to_string()), show(advertised)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}
