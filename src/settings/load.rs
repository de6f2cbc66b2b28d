//! The layers of the settings and how they come together: defaults < file < names of the image < environment < flags.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::path::Path;

use config::{Config, ConfigError, Environment, Map, Source, Value, ValueKind};

use super::address;
use super::keys::{self, KEYS};
use super::{Anonymous, ClientCertificates, Encryption, Faults, GIVEN_USERS, Settings, accident, document, image};

/// What the command line sets.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    values: Map<String, Value>,
    port: Option<u16>,
}

impl Flags {
    /// `flag` gives `key` this value.
    pub fn set(&mut self, flag: &str, key: &str, value: &str) {
        let value = Value::new(Some(&flag.to_owned()), value);
        self.values.insert(key.to_owned(), value);
    }

    /// `--port`: each listener keeps its address and gets this port.
    pub fn set_port(&mut self, port: u16) {
        self.port = Some(port);
    }
}

/// The settings in force and where each came from.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    origins: BTreeMap<String, String>,
}

impl Loaded {
    /// Settings that came from nowhere but the program itself.
    pub(crate) fn of(settings: Settings) -> Self {
        Self { settings, origins: BTreeMap::new() }
    }

    /// Where the value of the key `name` came from: `default`, `file:line`, a variable or a flag.
    pub fn origin(&self, name: &str) -> &str {
        self.origins.get(name).map_or("default", String::as_str)
    }
}

/// Loads the settings. Without a `file` none is read: there is no hidden default path.
///
/// Everything that is wrong in any layer is reported, a value too that a higher layer would replace.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    flags: &Flags,
) -> Result<Loaded, Faults> {
    let (loaded, faults) = load_usable(file, environment, flags);
    faults.or(loaded)
}

/// Loads the settings as [`load`] does, but without those that are wrong.
pub(crate) fn load_usable(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    flags: &Flags,
) -> (Loaded, Faults) {
    let mut faults = Faults::default();
    let file = file.map(|file| Layer::from_file(file, &mut faults)).unwrap_or_default();
    let variables = read_variables(environment, &mut faults);
    let said = image::read(&variables, &mut faults);
    let layers = [
        file,
        Layer::of(said.values, &mut faults),
        Layer::from_environment(variables, &mut faults),
        Layer::from_flags(flags, &mut faults),
    ];
    let mut loaded = merge(layers).unwrap_or_else(|more| {
        faults.extend(more);
        Loaded::default()
    });
    loaded.settings.accounts.given = said.users;
    if let Some(port) = flags.port {
        loaded.change_port(port);
    }
    loaded.check(&mut faults);
    (loaded, faults)
}

/// The variables. That one of ours is no text is a fault; others may be what they like.
fn read_variables(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    faults: &mut Faults,
) -> image::Variables {
    let mut variables = image::Variables::new();
    for (name, written) in environment {
        let name = name.to_string_lossy().into_owned();
        match written.into_string() {
            Ok(written) => drop(variables.insert(name, written)),
            Err(_) if name.starts_with("LONGSHORE__") => {
                faults.push(name, "the value is not UTF-8, as all settings are; write it in UTF-8");
            }
            Err(_) => {}
        }
    }
    variables
}

/// What one place sets: values by the full names of their keys, each with its origin.
#[derive(Debug, Clone, Default)]
struct Layer(Map<String, Value>);

impl Layer {
    fn from_file(file: &Path, faults: &mut Faults) -> Self {
        let (table, mut wrong) = document::read(file, "give --config the path of a settings file");
        let mut values_wrong = Faults::default();
        let layer = Self::from_table(table, &mut values_wrong);
        wrong.extend_lines(values_wrong);
        faults.extend(wrong);
        layer
    }

    fn from_table(table: document::Table, faults: &mut Faults) -> Self {
        let mut layer = Self::default();
        for (section, value) in table {
            let origin = origin_of(&value);
            match value.kind {
                _ if !keys::sections().contains(&section.as_str()) => {
                    faults.push_unknown(origin, &section, "among the sections", &keys::sections());
                }
                ValueKind::Table(entries) => {
                    for (name, value) in entries {
                        layer.put(format!("{section}.{name}"), value, faults);
                    }
                }
                _ => faults.push(origin, format!("{section} is a section; write [{section}] and its keys below it")),
            }
        }
        layer
    }

    /// One variable at a time, so that each value can name its own: `config` calls them all "the environment".
    ///
    /// Only what begins with `LONGSHORE__` counts. A single underscore would not do: where a service is called `longshore`,
    /// Docker and Kubernetes set `LONGSHORE_PORT` and the like for everybody else.
    fn from_environment(variables: image::Variables, faults: &mut Faults) -> Self {
        let mut layer = Self::default();
        for (variable, written) in variables {
            let source = Map::from_iter([(variable.clone(), written.clone())]);
            let environment = Environment::with_prefix("LONGSHORE").prefix_separator("__").separator("__");
            for (name, value) in environment.source(Some(source)).collect().unwrap_or_default() {
                match accident::of(&written, false) {
                    Some(text) => faults.push_value(&name, &variable, text),
                    None => layer.put(name, Value::new(Some(&variable), value.kind), faults),
                }
            }
        }
        layer
    }

    fn of(values: Map<String, Value>, faults: &mut Faults) -> Self {
        let mut layer = Self::default();
        for (name, value) in values {
            layer.put(name, value, faults);
        }
        layer
    }

    fn from_flags(flags: &Flags, faults: &mut Faults) -> Self {
        Self::of(flags.values.clone(), faults)
    }

    /// Takes the value of the key `name`, if there is such a key and it allows the value.
    fn put(&mut self, name: String, value: Value, faults: &mut Faults) {
        if let Some(key) = keys::find(&name) {
            match key.set(&mut Settings::default(), &value) {
                Ok(()) => drop(self.0.insert(name, value)),
                Err(bad) => faults.push_bad(&name, key.allowed, bad),
            }
            return;
        }
        let origin = origin_of(&value);
        match name.split_once('.') {
            Some((section, key)) if keys::sections().contains(&section) => {
                faults.push_unknown(origin, key, &format!("in [{section}]"), &keys::in_section(section));
            }
            None if keys::sections().contains(&name.as_str()) => {
                let example = format!("LONGSHORE__{name}__{}", keys::in_section(&name)[0]).to_uppercase();
                faults.push(origin, format!("{name} is a section; set one of its keys, such as {example}"));
            }
            _ => faults.push_unknown(origin, &name, "among the sections", &keys::sections()),
        }
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

fn origin_of(value: &Value) -> String {
    value.origin().unwrap_or_default().to_owned()
}

/// Later layers win. The origins are kept beside, because `config` loses those of tables.
fn merge(layers: [Layer; 4]) -> Result<Loaded, Faults> {
    let mut origins = BTreeMap::new();
    let mut builder = Config::builder();
    for layer in layers {
        origins.extend(layer.0.iter().map(|(name, value)| (name.clone(), origin_of(value))));
        builder = builder.add_source(layer);
    }
    let merged = builder.build().map_err(|err| Faults::one("settings", err.to_string()))?;
    let mut settings = Settings::default();
    let mut faults = Faults::default();
    for key in KEYS.iter().filter(|key| origins.contains_key(key.name)) {
        match merged.get::<Value>(key.name) {
            Ok(value) => {
                if let Err(bad) = key.set(&mut settings, &value) {
                    faults.push_bad(key.name, key.allowed, bad);
                }
            }
            Err(err) => faults.push("settings", err.to_string()),
        }
    }
    faults.or(Loaded { settings, origins })
}

impl Loaded {
    fn change_port(&mut self, port: u16) {
        let listeners = &mut self.settings.server.listen;
        for listener in listeners.iter_mut() {
            listener.set_port(port);
        }
        // Two ports of one address have become one.
        let mut known = HashSet::new();
        listeners.retain(|listener| known.insert(*listener));
        self.origins.insert("server.listen".to_owned(), "--port".to_owned());
    }

    /// What only shows when values are seen together.
    pub(crate) fn check(&self, faults: &mut Faults) {
        let accounts = &self.settings.accounts;
        let usable = faults.leave_usable(&["accounts.anonymous", "accounts.file", GIVEN_USERS]);
        let nobody = accounts.anonymous == Anonymous::Off && accounts.file.is_none() && accounts.given.is_empty();
        if usable && nobody {
            faults.push_value(
                "accounts.anonymous",
                self.origin("accounts.anonymous"),
                format!(
                    "accounts.anonymous = \"off\" without an accounts file lets nobody in; set {} too",
                    self.beside("accounts.anonymous", "accounts.file")
                ),
            );
        }
        self.check_tls(faults);
        self.check_page(faults);
    }

    /// What the page shows goes over the network in clear, so the Internet must be meant.
    fn check_page(&self, faults: &mut Faults) {
        let page = &self.settings.page;
        if !faults.leave_usable(&["page.listen", "page.public"]) || page.public {
            return;
        }
        for address in page.listen.iter().filter(|address| !address::is_near(address.ip())) {
            let what = match address.ip().is_unspecified() {
                true => "is every address of this machine, also one that the Internet may reach",
                false => "is an address that the Internet may reach",
            };
            let text = format!(
                "page.listen = {address} {what}, and nothing of the page is encrypted; name an address of the local \
                 network, or set page.public = true (--public-page)"
            );
            faults.push_value("page.listen", self.origin("page.listen"), text);
        }
    }

    /// What to call `other` in a fault about `key`: as somebody knows it who has set `key`.
    fn beside(&self, key: &str, other: &'static str) -> &'static str {
        let in_image = image::name_of(key).is_some_and(|variable| variable == self.origin(key));
        image::name_of(other).filter(|_| in_image).unwrap_or(other)
    }

    /// Whether what is asked for can be had.
    fn check_tls(&self, faults: &mut Faults) {
        let keys = [
            "tls.certificate",
            "tls.key",
            "tls.control",
            "tls.data",
            "tls.implicit",
            "tls.require_resumption",
            "tls.client_certificates",
            "tls.client_ca",
            "tls.certificate_login",
        ];
        if !faults.leave_usable(&keys) {
            return;
        }
        let tls = &self.settings.tls;
        let mut wrong = |key: &str, text: &str| faults.push_value(key, self.origin(key), format!("{key} {text}"));
        match (&tls.certificate, &tls.key) {
            (Some(_), None) => {
                let key = self.beside("tls.certificate", "tls.key");
                wrong("tls.certificate", &format!("is set without its key; set {key} too"));
            }
            (None, Some(_)) => {
                let certificate = self.beside("tls.key", "tls.certificate");
                wrong("tls.key", &format!("is set without its certificate; set {certificate} too"));
            }
            _ => {}
        }
        let clients = tls.client_certificates != ClientCertificates::Off;
        if clients && tls.client_ca.is_none() {
            wrong("tls.client_certificates", "needs the issuers of the clients' certificates; set tls.client_ca too");
        }
        if tls.certificate_login && !clients {
            wrong(
                "tls.certificate_login",
                "needs certificates; set tls.client_certificates to \"request\" or \"require\"",
            );
        }
        let (control, data) = (tls.control == Encryption::Required, tls.data == Encryption::Required);
        let asked = [
            ("tls.control", control),
            ("tls.data", data),
            ("tls.implicit", !tls.implicit.is_empty()),
            ("tls.require_resumption", tls.require_resumption),
            ("tls.client_certificates", clients),
        ];
        if tls.certificate.is_none() && tls.key.is_none() {
            for (key, _) in asked.into_iter().filter(|(_, asked)| *asked) {
                wrong(key, "needs a certificate; set tls.certificate and tls.key too");
            }
        } else if data && tls.control == Encryption::Off && tls.implicit.is_empty() {
            wrong("tls.data", "= \"required\" cannot be done with tls.control = \"off\"; make that \"optional\"");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::io::Write;
    use std::os::unix::ffi::OsStrExt;
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::settings::{Advertised, PassiveAddress};

    const NOTHING: [(OsString, OsString); 0] = [];

    const VALUES: &[&str] = &[
        "true",
        "false",
        "0",
        "1",
        "70000",
        "-1",
        "1.5",
        "\"\"",
        "\"on\"",
        "\"off\"",
        "\"required\"",
        "\"read-only\"",
        "\"auto\"",
        "[]",
        "{}",
        "[\"127.0.0.1:2121\"]",
        "[\"192.0.2.0/24\"]",
        "{ \"/a*\" = 5 }",
        "\"50000-50099\"",
        "\"65535-1\"",
        "\"5 MB\"",
        "\"99999999999 TB\"",
        "\"022\"",
        "\"/tmp/x\"",
        "\"a\\u0000b\"",
        "\"192.0.2.1\"",
        "\"json\"",
        "[",
        "\n",
        "2026-01-01",
        "\"1.3\"",
    ];

    /// Loads `file`, `variables` and `flags`; the file is called `f.toml` in faults.
    fn load_all(file: &str, variables: &[(&str, &str)], flags: &Flags) -> Result<Loaded, String> {
        let mut written = tempfile::NamedTempFile::new().unwrap();
        written.write_all(file.as_bytes()).unwrap();
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        let faults = |faults: Faults| faults.to_string().replace(&written.path().display().to_string(), "f.toml");
        load(Some(written.path()), variables, flags).map_err(faults)
    }

    fn load_file(file: &str) -> Result<Loaded, String> {
        load_all(file, &[], &Flags::default())
    }

    #[test]
    fn nothing_given_means_the_defaults() {
        let loaded = load(None, NOTHING, &Flags::default()).unwrap();
        assert_eq!(loaded.settings, Settings::default());
        assert_eq!(loaded.origin("server.listen"), "default");
    }

    #[test]
    fn annotated_default_file_equals_the_defaults_and_names_every_key() {
        let shipped = include_str!("../../config/longshore.toml");
        let loaded = load_file(shipped).unwrap();
        assert_eq!(loaded.settings, Settings::default());
        for key in KEYS {
            assert_ne!(loaded.origin(key.name), "default", "{} is not in the file", key.name);
            let (_, name) = key.name.split_once('.').unwrap();
            let line = format!("{name} = {}", key.show(&Settings::default()));
            assert!(shipped.lines().any(|shipped| shipped == line), "{line}");
        }
    }

    #[test]
    fn what_check_shows_can_be_written_into_the_file() {
        let mut file = String::from(
            "[server.passive_address]\n\"10.0.0.0/8\" = \"10.0.0.1\"\n\"2001:db8::/32\" = \"a.example\"\n",
        );
        file += "[accounts]\nfile = \"a \\\"b\\\".toml\"\n[log]\nsessions = 'c\\d'";
        let first = load_file(&file).unwrap().settings;
        let mut shown = String::new();
        for section in keys::sections() {
            shown += &format!("[{section}]\n");
            for name in keys::in_section(section) {
                shown += &format!("{name} = {}\n", keys::find(&format!("{section}.{name}")).unwrap().show(&first));
            }
        }
        assert_eq!(load_file(&shown).unwrap().settings, first);
    }

    #[test]
    fn flags_beat_variables_beat_the_file() {
        let mut flags = Flags::default();
        flags.set("--root", "storage.root", "/flag");
        let file = "[storage]\nroot = \"/file\"\numask = \"077\"\n[server]\nidle_timeout = 7\n";
        let variables = [
            ("LONGSHORE__STORAGE__ROOT", "/variable"),
            ("LONGSHORE__SERVER__IDLE_TIMEOUT", "8"),
            ("LONGSHORE__SERVER__LISTEN", "127.0.0.1:2121, [::1]:2121"),
            ("LONGSHORE__STORAGE__FSYNC", "true"),
            ("LONGSHORE_PORT", "tcp://10.0.0.1:21"),
        ];
        let loaded = load_all(file, &variables, &flags).unwrap();
        let settings = &loaded.settings;
        assert_eq!(settings.storage.root, Path::new("/flag"));
        assert_eq!(settings.server.idle_timeout, Duration::from_secs(8));
        assert_eq!(settings.storage.umask, 0o077);
        assert!(settings.storage.fsync);
        assert_eq!(settings.server.listen.len(), 2);
        assert_eq!(loaded.origin("storage.root"), "--root");
        assert_eq!(loaded.origin("server.idle_timeout"), "LONGSHORE__SERVER__IDLE_TIMEOUT");
        assert!(loaded.origin("storage.umask").ends_with(":3"));
    }

    #[test]
    fn networks_survive_the_merge_and_a_variable_replaces_them() {
        let file =
            "[server.passive_address]\n\"192.168.0.0/16\" = \"192.168.1.5\"\n\"2001:db8::/32\" = \"ftp.example.org\"\n";
        let loaded = load_file(file).unwrap();
        let PassiveAddress::ByClient(networks) = loaded.settings.server.passive_address.clone() else {
            panic!("{:?}", loaded.settings.server.passive_address);
        };
        let networks: Vec<_> = networks.iter().map(|(net, _)| net.to_string()).collect();
        assert_eq!(networks, ["192.168.0.0/16", "2001:db8::/32"]);
        assert!(loaded.origin("server.passive_address").ends_with(":1"));

        let variable = [("LONGSHORE__SERVER__PASSIVE_ADDRESS", "ftp.example.org")];
        let replaced = load_all(file, &variable, &Flags::default()).unwrap();
        let name = Advertised::Name("ftp.example.org".to_owned());
        assert_eq!(replaced.settings.server.passive_address, PassiveAddress::One(name));
    }

    #[test]
    fn port_flag_changes_the_port_of_every_listener() {
        let mut flags = Flags::default();
        flags.set_port(2121);
        let defaults = load(None, NOTHING, &flags).unwrap();
        let listeners: Vec<_> = defaults.settings.server.listen.iter().map(ToString::to_string).collect();
        assert_eq!(listeners, ["0.0.0.0:2121", "[::]:2121"]);
        assert_eq!(defaults.origin("server.listen"), "--port");

        let file = "server.listen = [\"127.0.0.1:1\", \"127.0.0.1:2\"]";
        assert_eq!(load_all(file, &[], &flags).unwrap().settings.server.listen.len(), 1);
    }

    #[test]
    fn each_fault_says_where_what_and_what_is_allowed() {
        for (file, expected) in [
            (
                "[server]\nlisten = \"21\"",
                r#"f.toml:2: server.listen = "21" is not allowed (the address is missing); write a list of "address:port", such as ["0.0.0.0:21", "[::]:21"]"#,
            ),
            (
                "[server]\nlisten = [\n  \"0.0.0.0:21\",\n  \"::1\",\n]",
                r#"f.toml:4: server.listen = "::1" is not allowed (the port is missing); write a list of "address:port", such as ["0.0.0.0:21", "[::]:21"]"#,
            ),
            (
                "[server]\npassive_ports = \"600-500\"",
                r#"f.toml:2: server.passive_ports = "600-500" is not allowed (the first port is above the last); write a range of ports from 1024 to 65535, such as "49152-65535""#,
            ),
            (
                "[server]\nlisten_on = 1",
                r#"f.toml:2: there is no "listen_on" in [server] (did you mean listen?); write one of listen, greeting, passive_ports, passive_address, passive_peer, epsv, active, idle_timeout, login_timeout, data_timeout, shutdown_grace, admin_socket"#,
            ),
            (
                "\n[sever]\n",
                r#"f.toml:2: there is no "sever" among the sections (did you mean server?); write one of server, storage, accounts, limits, transfer, tls, log, metrics, page"#,
            ),
            ("log = 3", "f.toml:1: log is a section; write [log] and its keys below it"),
            (
                "[storage]\numask = 18",
                r#"f.toml:2: storage.umask = 18 is not allowed; write octal digits in quotes, from "000" to "077", such as "022""#,
            ),
            (
                "[server]\nidle_timeout = 0",
                "f.toml:2: server.idle_timeout = 0 is not allowed; write whole seconds, from 1 to 86400",
            ),
            (
                "[limits]\nmax_sessions = 0\ndeny = [\"10.0.0.1/8\"]",
                "f.toml:2: limits.max_sessions = 0 is not allowed; write a whole number from 1 to 1000000\n\
                 f.toml:3: limits.deny = \"10.0.0.1/8\" is not allowed (the network of this host is 10.0.0.0/8); write a \
                 list of networks and addresses, such as [\"192.168.0.0/16\", \"2001:db8::/32\", \"203.0.113.7\"]",
            ),
            ("[server]\nepsv = true", r#"f.toml:2: server.epsv = true is not allowed; write "on" or "ipv6-only""#),
            (
                "[accounts]\nanonymous = \"off\"",
                r#"f.toml:2: accounts.anonymous = "off" without an accounts file lets nobody in; set accounts.file too"#,
            ),
            ("[tls]\ncertificate = \"c.pem\"", "f.toml:2: tls.certificate is set without its key; set tls.key too"),
            (
                "[tls]\ncertificate = \"c\"\nkey = \"k\"\nclient_certificates = \"request\"",
                "f.toml:4: tls.client_certificates needs the issuers of the clients' certificates; set tls.client_ca too",
            ),
            (
                "[tls]\ncertificate_login = true",
                "f.toml:2: tls.certificate_login needs certificates; set tls.client_certificates to \"request\" or \"require\"",
            ),
            (
                "[tls]\ncontrol = \"required\"\nimplicit = [\"0.0.0.0:990\"]",
                "f.toml:2: tls.control needs a certificate; set tls.certificate and tls.key too\n\
                 f.toml:3: tls.implicit needs a certificate; set tls.certificate and tls.key too",
            ),
            (
                "[tls]\ncertificate = \"c\"\nkey = \"k\"\ncontrol = \"off\"\ndata = \"required\"",
                r#"f.toml:5: tls.data = "required" cannot be done with tls.control = "off"; make that "optional""#,
            ),
            (
                "[storage]\numask = \"0200\"",
                r#"f.toml:2: storage.umask = "0200" is not allowed (it would take the owner's own rights away); write octal digits in quotes, from "000" to "077", such as "022""#,
            ),
            (
                "[server.passive_address]\n\"x\" = \"10.0.0.1\"",
                r#"f.toml:2: server.passive_address = "x" is not allowed (it is not a network); write "auto", an IPv4 address, a host name, or a table of these by the client's network, such as { "192.168.0.0/16" = "192.168.1.5", "0.0.0.0/0" = "ftp.example.org" }"#,
            ),
            (
                "[log]\nlevel = \"info\"\nlevel = \"warn\"\n[log]\n",
                "f.toml:3: level is there twice; keep one of them\nf.toml:4: log is there twice; keep one of them",
            ),
            (
                "[storage]\nfsync = yes",
                "f.toml:2: this is not TOML: string values must be quoted, expected literal string; correct this line",
            ),
        ] {
            assert_eq!(load_file(file).unwrap_err(), expected);
        }
    }

    #[test]
    fn all_faults_of_all_layers_come_together_from_top_to_bottom() {
        let mut flags = Flags::default();
        flags.set("--listen", "server.listen", "localhost");
        let variables = [
            ("LONGSHORE__LOG__LEVEL", "loud"),
            ("LONGSHORE__LOG__COLOR", "red"),
            ("LONGSHORE__SERVER", "x"),
            ("LONGSHORE__", "x"),
        ];
        let file = "[log]\nlevel = \"quiet\"\nformat = \"xml\"\n[transfer]\nmode = 1\nascii = no\n[log.file]\n\
                    [accounts]\nfile = 1\nfile = 2\nanonymous = \"off\"\n";
        let faults = load_all(file, &variables, &flags).unwrap_err();
        let origins: Vec<_> = faults.lines().map(|line| line.split(": ").next().unwrap()).collect();
        let expected = [
            "f.toml:2",
            "f.toml:3",
            "f.toml:5",
            "f.toml:6",
            "f.toml:7",
            "f.toml:9",
            "f.toml:10",
            "LONGSHORE__LOG__LEVEL",
            "LONGSHORE__LOG__COLOR",
            "LONGSHORE__SERVER",
            "LONGSHORE__",
            "--listen",
        ];
        assert_eq!(origins, expected, "{faults}");
    }

    #[test]
    fn variables_that_cannot_be_meant_are_faults() {
        for (variable, value, expected) in [
            (
                "LONGSHORE__SERVER",
                b"x",
                "LONGSHORE__SERVER: server is a section; set one of its keys, such as LONGSHORE__SERVER__LISTEN",
            ),
            (
                "LONGSHORE__STORAGE__ROOT",
                b"\xff",
                "LONGSHORE__STORAGE__ROOT: the value is not UTF-8, as all settings are; write it in UTF-8",
            ),
        ] {
            let variables = [(variable.into(), OsStr::from_bytes(value).to_owned())];
            let faults = load(None, variables, &Flags::default()).unwrap_err();
            assert_eq!(faults.to_string(), expected);
        }
        let other = [("OTHER".into(), OsStr::from_bytes(b"\xff").to_owned())];
        assert!(load(None, other, &Flags::default()).is_ok());
    }

    #[test]
    fn missing_file_is_a_fault() {
        let faults = load(Some(Path::new("/no/such.toml")), NOTHING, &Flags::default()).unwrap_err();
        let expected = "/no/such.toml: there is no such file; give --config the path of a settings file";
        assert_eq!(faults.to_string(), expected);
    }

    proptest::proptest! {
        /// Of pieces that mean something, so that much of it is nearly right.
        #[test]
        fn any_file_is_loaded_or_says_what_is_wrong(pieces in vec(prop_oneof![
            3 => (0..KEYS.len()).prop_map(|key| {
                let key = &KEYS[key];
                let (section, name) = key.name.split_once('.').unwrap();
                format!("\n[{section}]\n{name} = ")
            }),
            5 => select(VALUES).prop_map(str::to_owned),
            1 => "\\PC{0,8}",
        ], 0..20)) {
            match load_file(&pieces.concat()) {
                Ok(loaded) => {
                    // What is shown of it means the same.
                    let shown = KEYS.iter().map(|key| {
                        let (section, name) = key.name.split_once('.').unwrap();
                        format!("{section}.{name} = {}\n", key.show(&loaded.settings))
                    });
                    prop_assert_eq!(load_file(&shown.collect::<String>()).map(|it| it.settings), Ok(loaded.settings));
                }
                Err(faults) => prop_assert!(!faults.is_empty()),
            }
        }
    }
}
