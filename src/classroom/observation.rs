//! What lessons need of the events, in a form that is written down and read back.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::lesson::Type;
use crate::sessions::{Mode, Side, TransferOutcome};

/// Something that was seen of a student's session. Paths are absolute in the student's home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observation {
    /// The student was let in.
    Login {
        /// The client's end of the control connection.
        client: SocketAddr,
        /// The server's.
        server: SocketAddr,
        /// Whether it was encrypted.
        tls: bool,
        /// Whether something was sent before that only programs send.
        program: bool,
        /// Whether the program behaves as Windows' `ftp.exe` does.
        ftp_exe: bool,
        /// The word in the session's FEAT.
        word: String,
    },
    /// Somebody gave the student's name and a wrong password.
    Refused {
        /// The reply's code.
        code: u16,
    },
    /// The session is over, or somebody else's.
    Left,
    /// A command was answered.
    Command {
        /// The verb in capitals.
        verb: String,
        /// What followed it; where that is a path, from the home on; behind PWD the working directory.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        argument: String,
        /// The new path, behind RNTO; `argument` is the old one then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        /// The last reply's code.
        code: u16,
    },
    /// PASV, EPSV, PORT or EPRT named an address.
    Offered {
        /// Which.
        verb: String,
        /// The port.
        port: u16,
        /// The numbers as they were sent.
        numbers: String,
    },
    /// A data connection was opened.
    DataOpened {
        /// Passive or active.
        mode: Mode,
        /// The client's end.
        client: SocketAddr,
        /// The server's.
        server: SocketAddr,
        /// What it is for.
        verb: String,
        /// The file or directory.
        path: String,
    },
    /// A data connection did not come about.
    DataFailed {
        /// Passive or active.
        mode: Mode,
        /// Why.
        reason: String,
    },
    /// A transfer ended, on the data connection that was opened last.
    Transfer {
        /// RETR, STOR, APPE, STOU, LIST, NLST or MLSD.
        verb: String,
        /// The file, or the directory and perhaps a pattern.
        path: String,
        /// The TYPE.
        r#type: Type,
        /// Bytes that were carried.
        bytes: u64,
        /// The file's digest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
        /// How it ended.
        outcome: TransferOutcome,
        /// Which side closed the data connection first.
        closed_first: Side,
    },
}
