//! The settings as the server uses them: typed, checked, complete.
//!
//! [`load`] merges the built-in defaults, a TOML file, the environment and the flags into one [`Settings`] and remembers
//! where each value came from. In the image the environment has other names too, see `image`. [`keys::KEYS`] is the one table of everything that can be set.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::limits::ByteRates;
use crate::storage::PathPattern;

mod accident;
pub(crate) mod address;
pub(crate) mod document;
mod fault;
mod image;
pub mod keys;
mod load;
mod places;
pub(crate) mod value;

pub use fault::{Fault, Faults};
pub(crate) use image::MARK;
pub(crate) use load::load_usable;
pub use load::{Flags, Loaded, load};

/// Everything that can be set. A value that is in here has passed all checks.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Settings {
    /// `[server]`: sockets, ports, clocks.
    pub server: ServerSettings,
    /// `[storage]`: what is served.
    pub storage: StorageSettings,
    /// `[accounts]`: who may log in.
    pub accounts: AccountSettings,
    /// `[limits]`: how much there may be of everything.
    pub limits: LimitSettings,
    /// `[transfer]`: how bytes are carried.
    pub transfer: TransferSettings,
    /// `[tls]`: how connections are encrypted.
    pub tls: TlsSettings,
    /// `[log]`: what is written about it.
    pub log: LogSettings,
    /// `[metrics]`: numbers for Prometheus.
    pub metrics: MetricsSettings,
    /// `[page]`: the live page.
    pub page: PageSettings,
}

/// `[page]`
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PageSettings {
    /// HTTP listeners; none by default.
    pub listen: Vec<SocketAddr>,
    /// Names by which the page may be called, besides addresses and `localhost`.
    pub hosts: Vec<String>,
    /// Whether a listener may be one that the Internet can reach.
    pub public: bool,
}

/// `[metrics]`
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetricsSettings {
    /// HTTP listeners; none by default.
    pub listen: Vec<SocketAddr>,
}

/// `[server]`
#[derive(Debug, Clone, PartialEq)]
pub struct ServerSettings {
    /// Control listeners. IPv6 ones are bound with `IPV6_V6ONLY`, so no client ever shows up with a v4-mapped address.
    pub listen: Vec<SocketAddr>,
    /// The text of the 220 greeting.
    pub greeting: String,
    /// Ports that PASV and EPSV may offer.
    pub passive_ports: RangeInclusive<u16>,
    /// The address that PASV advertises.
    pub passive_address: PassiveAddress,
    /// Who may connect to an offered passive port.
    pub passive_peer: PassivePeer,
    /// Whether EPSV is offered on IPv4 too.
    pub epsv: Epsv,
    /// Whether PORT and EPRT are served.
    pub active: bool,
    /// A session without a command or a transfer for this long is told 421.
    pub idle_timeout: Duration,
    /// A connection that has not logged in by then is told 421.
    pub login_timeout: Duration,
    /// A data connection on which nothing moves for this long is given up.
    pub data_timeout: Duration,
    /// How long running transfers may go on once the server is told to stop.
    pub shutdown_grace: Duration,
    /// Where the server can be asked about its sessions.
    pub admin_socket: AdminSocket,
}

/// Where the server can be asked about its sessions (`admin_socket`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminSocket {
    /// In the directory that the system has for such sockets, if it has one; see [`crate::admin::place`].
    Auto,
    /// Nowhere.
    Off,
    /// At this path.
    At(PathBuf),
}

/// The IPv4 address that PASV advertises (`passive_address`).
#[derive(Debug, Clone, PartialEq)]
pub enum PassiveAddress {
    /// The local address of the control connection.
    Auto,
    /// Always this one.
    One(Advertised),
    /// By the client's network, the longest prefix wins; a client in none of them gets the control connection's own.
    ByClient(Vec<(IpNet, Advertised)>),
}

/// An address to advertise.
#[derive(Debug, Clone, PartialEq)]
pub enum Advertised {
    /// An IPv4 address.
    Address(Ipv4Addr),
    /// A host name, looked up when it is needed.
    Name(String),
}

/// Who may connect to an offered passive port (`passive_peer`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassivePeer {
    /// Only the address that the control connection comes from.
    SameAddress,
    /// Anybody; a foreign address is logged.
    Any,
}

/// Where EPSV is served (`epsv`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epsv {
    /// On IPv4 and IPv6.
    On,
    /// On IPv6 only, so that IPv4 clients fall back to PASV and show its six numbers.
    Ipv6Only,
}

/// `[storage]`
#[derive(Debug, Clone, PartialEq)]
pub struct StorageSettings {
    /// The directory that is served.
    pub root: PathBuf,
    /// Permission bits that new files and directories do not get.
    pub umask: u32,
    /// Whether an upload is on the disk (fsync) before its 226.
    pub fsync: bool,
}

/// `[accounts]`
#[derive(Debug, Clone, PartialEq)]
pub struct AccountSettings {
    /// The accounts file; without one there are no accounts but anonymous.
    pub file: Option<PathBuf>,
    /// What `anonymous` and `ftp` may do.
    pub anonymous: Anonymous,
    /// The directory whose contents homes get that are made at a login; without one they are empty.
    pub template: Option<PathBuf>,
    /// Accounts beside those of the file, which variables of the image give. No key stands for them.
    pub given: Vec<GivenUser>,
}

/// What faults in [`AccountSettings::given`] are about.
const GIVEN_USERS: &str = "accounts.given";

/// An account that variables of the image give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUser {
    /// Which variables.
    pub origin: String,
    /// The login name.
    pub name: String,
    /// The password, or its hash.
    pub password: Secret,
    /// The home, relative to the root or absolute below it, which is made when it is missing; the root without one.
    pub home: Option<String>,
}

/// Text that is not shown by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` to itself.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

/// What anonymous users may do (`anonymous`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymous {
    /// They are not let in.
    Off,
    /// They may list and download.
    ReadOnly,
    /// They may do everything below the root.
    ReadWrite,
    /// They may upload new files, and see none.
    AddOnly,
}

/// `[limits]`
#[derive(Debug, Clone, PartialEq)]
pub struct LimitSettings {
    /// Sessions at the same time.
    pub max_sessions: u32,
    /// Sessions at the same time from one IPv4 address or one IPv6 /64; 0 for any number.
    pub max_sessions_per_ip: u32,
    /// Sessions at the same time of one account, guests left aside; 0 for any number.
    pub max_sessions_per_user: u32,
    /// Sessions at the same time in which nobody has logged in; 0 for any number.
    pub max_unauthenticated: u32,
    /// Connections a second from one IPv4 address or one IPv6 /64; 0 for any number.
    pub accept_rate: u32,
    /// Who is served; empty for everybody.
    pub allow: Vec<IpNet>,
    /// Who is not served, allowed or not.
    pub deny: Vec<IpNet>,
    /// Failed logins that end a session.
    pub login_attempts: u32,
    /// Whose failed logins slow the next ones down.
    pub login_failures: LoginFailures,
    /// The longest that a login waits for its turn.
    pub login_delay_max: Duration,
    /// How long a failed login is remembered.
    pub login_failures_forget: Duration,
    /// How long a passive port is kept for a client that does not use it.
    pub passive_offer_timeout: Duration,
    /// How fast files go over all data connections together.
    pub rates: ByteRates,
    /// How fast they go over those of one session.
    pub session_rates: ByteRates,
    /// How fast each download of a file goes that a pattern covers.
    pub path_download_rates: Vec<(PathPattern, u64)>,
    /// The same for each upload.
    pub path_upload_rates: Vec<(PathPattern, u64)>,
}

/// Whose failed logins are counted together (`login_failures`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginFailures {
    /// Those of one user from one address.
    UserAndAddress,
    /// Those from one address, whoever the user was.
    Address,
    /// Those of one user, from wherever they came.
    User,
    /// Nobody's.
    Off,
}

/// `[transfer]`
#[derive(Debug, Clone, PartialEq)]
pub struct TransferSettings {
    /// What TYPE A does.
    pub ascii: Ascii,
    /// Whether the record of a whole upload or download has the file's SHA-256.
    pub sha256: bool,
}

/// What TYPE A does (`ascii`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ascii {
    /// Line ends are converted, as RFC 959 says.
    Convert,
    /// TYPE A is accepted and nothing is converted.
    Binary,
}

/// `[tls]`
#[derive(Debug, Clone, PartialEq)]
pub struct TlsSettings {
    /// The server's certificate and those above it, in PEM. Without one nothing is encrypted.
    pub certificate: Option<PathBuf>,
    /// The certificate's private key, in PEM.
    pub key: Option<PathBuf>,
    /// AUTH TLS on the listeners of `server.listen`.
    pub control: Encryption,
    /// PROT P.
    pub data: Encryption,
    /// Listeners whose connections begin with a TLS handshake.
    pub implicit: Vec<SocketAddr>,
    /// Whether a data connection must resume the TLS session of its control connection.
    pub require_resumption: bool,
    /// The oldest version that is spoken.
    pub minimum: TlsVersion,
    /// Whether clients are asked for a certificate.
    pub client_certificates: ClientCertificates,
    /// The issuers of the clients' certificates, in PEM.
    pub client_ca: Option<PathBuf>,
    /// Whether the certificate that an account names stands for its password.
    pub certificate_login: bool,
}

/// `tls.client_certificates`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not.
    Off,
    /// They may show one.
    Request,
    /// Without one there is no TLS.
    Require,
}

/// Whether connections are encrypted (`tls.control`, `tls.data`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// They are not.
    Off,
    /// As the client likes.
    Optional,
    /// They have to be.
    Required,
}

/// `tls.minimum`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 and later.
    V1_2,
    /// TLS 1.3 and later.
    V1_3,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq)]
pub struct LogSettings {
    /// Text for people or JSON for programs.
    pub format: LogFormat,
    /// The least severe diagnostics that are written (`tracing` levels).
    pub level: LogLevel,
    /// Where the session log goes; `None` (`-` in the file) is standard output.
    pub sessions: Option<PathBuf>,
    /// Where transfers are written in wu-ftpd's format; `None` is nowhere.
    pub xferlog: Option<PathBuf>,
}

/// `log.format`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One line of text an event.
    Text,
    /// One JSON object a line.
    Json,
}

/// `log.level`
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Faults of ours.
    Error,
    /// What an administrator should look at.
    Warn,
    /// Start, stop, sessions.
    Info,
    /// Each step.
    Debug,
    /// Everything, the engine's own messages included.
    Trace,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: vec![
                SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 21),
                SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 21),
            ],
            greeting: "longshore: an FTP server that shows its ports".to_owned(),
            passive_ports: 49152..=65535,
            passive_address: PassiveAddress::Auto,
            passive_peer: PassivePeer::SameAddress,
            epsv: Epsv::On,
            active: true,
            idle_timeout: Duration::from_secs(300),
            login_timeout: Duration::from_secs(60),
            data_timeout: Duration::from_secs(120),
            shutdown_grace: Duration::from_secs(30),
            admin_socket: AdminSocket::Auto,
        }
    }
}

impl Default for StorageSettings {
    fn default() -> Self {
        Self { root: PathBuf::from("ftp"), umask: 0o022, fsync: false }
    }
}

impl Default for AccountSettings {
    fn default() -> Self {
        Self { file: None, anonymous: Anonymous::ReadOnly, template: None, given: Vec::new() }
    }
}

/// One address may be a whole class behind a router, so each alone may have many sessions; but none may have all.
impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            max_sessions: 1000,
            max_sessions_per_ip: 250,
            max_sessions_per_user: 0,
            max_unauthenticated: 500,
            accept_rate: 0,
            allow: Vec::new(),
            deny: Vec::new(),
            login_attempts: 3,
            login_failures: LoginFailures::UserAndAddress,
            login_delay_max: Duration::from_secs(30),
            login_failures_forget: Duration::from_secs(600),
            passive_offer_timeout: Duration::from_secs(120),
            rates: ByteRates::default(),
            session_rates: ByteRates::default(),
            path_download_rates: Vec::new(),
            path_upload_rates: Vec::new(),
        }
    }
}

impl Default for TransferSettings {
    fn default() -> Self {
        Self { ascii: Ascii::Convert, sha256: false }
    }
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            certificate: None,
            key: None,
            control: Encryption::Optional,
            data: Encryption::Optional,
            implicit: Vec::new(),
            require_resumption: false,
            minimum: TlsVersion::V1_2,
            client_certificates: ClientCertificates::Off,
            client_ca: None,
            certificate_login: false,
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: LogLevel::Info, sessions: None, xferlog: None }
    }
}
