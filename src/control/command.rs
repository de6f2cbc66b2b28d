//! Commands: the table of verbs, and a line taken apart by it.

use super::reply::Reply;

/// What a client can ask for. Several names may stand for one verb (RFC 775's X-commands).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Abor,
    Acct,
    Allo,
    Appe,
    Auth,
    Ccc,
    Cdup,
    Clnt,
    Cwd,
    Dele,
    Eprt,
    Epsv,
    Feat,
    Hash,
    Help,
    Host,
    List,
    Mdtm,
    Mfmt,
    Mkd,
    Mlsd,
    Mlst,
    Mode,
    Nlst,
    Noop,
    Opts,
    Pass,
    Pasv,
    Pbsz,
    Port,
    Prot,
    Pwd,
    Quit,
    Rein,
    Rest,
    Retr,
    Rmd,
    Rnfr,
    Rnto,
    Site,
    Size,
    Stat,
    Stor,
    Stou,
    Stru,
    Syst,
    Type,
    User,
    Xmd5,
    Xsha256,
}

impl Verb {
    /// Whether it is answered in clear where the control connection must be encrypted: nothing in it is a secret, and a
    /// client needs it to find out.
    pub fn comes_before_tls(self) -> bool {
        matches!(
            self,
            Self::Auth
                | Self::Clnt
                | Self::Feat
                | Self::Help
                | Self::Host
                | Self::Noop
                | Self::Opts
                | Self::Quit
                | Self::Rein
                | Self::Syst
        )
    }

    /// Whether it sets up or uses a data connection.
    pub fn is_about_data(self) -> bool {
        matches!(
            self,
            Self::Appe
                | Self::Eprt
                | Self::Epsv
                | Self::List
                | Self::Mlsd
                | Self::Nlst
                | Self::Pasv
                | Self::Port
                | Self::Retr
                | Self::Stor
                | Self::Stou
        )
    }
}

/// Whether a verb needs an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Argument {
    /// It may be there; where it means nothing it is ignored, as classic servers do.
    Optional,
    Needed,
}

/// One row of the table.
#[derive(Debug)]
pub(super) struct Syntax {
    pub name: &'static str,
    pub verb: Verb,
    argument: Argument,
    /// Whether it is answered before a login.
    pub before_login: bool,
    /// What HELP prints.
    pub usage: &'static str,
}

const fn needs_login(name: &'static str, verb: Verb, argument: Argument, usage: &'static str) -> Syntax {
    Syntax { name, verb, argument, before_login: false, usage }
}

const fn open(name: &'static str, verb: Verb, argument: Argument, usage: &'static str) -> Syntax {
    Syntax { name, verb, argument, before_login: true, usage }
}

use Argument::{Needed, Optional};

/// Every verb that is served, in alphabetical order.
#[rustfmt::skip]
pub(super) static TABLE: [Syntax; 55] = [
    open("ABOR", Verb::Abor, Optional, "ABOR (stop the running transfer)"),
    open("ACCT", Verb::Acct, Optional, "ACCT (not needed here)"),
    needs_login("ALLO", Verb::Allo, Needed, "ALLO bytes (ask for room)"),
    needs_login("APPE", Verb::Appe, Needed, "APPE file (upload to the end of a file)"),
    open("AUTH", Verb::Auth, Needed, "AUTH TLS (encrypt this connection)"),
    open("CCC", Verb::Ccc, Optional, "CCC (not served: this connection stays encrypted)"),
    needs_login("CDUP", Verb::Cdup, Optional, "CDUP (go to the directory above)"),
    open("CLNT", Verb::Clnt, Optional, "CLNT name (the client's name)"),
    needs_login("CWD", Verb::Cwd, Needed, "CWD directory (change the working directory)"),
    needs_login("DELE", Verb::Dele, Needed, "DELE file (delete a file)"),
    needs_login("EPRT", Verb::Eprt, Needed, "EPRT |family|address|port| (active mode: connect to me there)"),
    needs_login("EPSV", Verb::Epsv, Optional, "EPSV [family|ALL] (passive mode: tell me a port)"),
    open("FEAT", Verb::Feat, Optional, "FEAT (list the extensions)"),
    needs_login("HASH", Verb::Hash, Needed, "HASH file (a file's digest; choose with OPTS HASH)"),
    open("HELP", Verb::Help, Optional, "HELP [verb]"),
    open("HOST", Verb::Host, Needed, "HOST name (before USER)"),
    needs_login("LIST", Verb::List, Optional, "LIST [-options] [path] (a listing for people)"),
    needs_login("MDTM", Verb::Mdtm, Needed, "MDTM file (when it was modified)"),
    needs_login("MFMT", Verb::Mfmt, Needed, "MFMT YYYYMMDDhhmmss file (set when it was modified)"),
    needs_login("MKD", Verb::Mkd, Needed, "MKD directory (make a directory)"),
    needs_login("MLSD", Verb::Mlsd, Optional, "MLSD [directory] (a listing for programs)"),
    needs_login("MLST", Verb::Mlst, Optional, "MLST [path] (facts of one file)"),
    open("MODE", Verb::Mode, Needed, "MODE S"),
    needs_login("NLST", Verb::Nlst, Optional, "NLST [-options] [path or pattern] (names only)"),
    open("NOOP", Verb::Noop, Optional, "NOOP (do nothing)"),
    open("OPTS", Verb::Opts, Needed, "OPTS UTF8 ON | MLST fact;fact; | HASH algorithm"),
    open("PASS", Verb::Pass, Optional, "PASS password"),
    needs_login("PASV", Verb::Pasv, Optional, "PASV (passive mode: tell me an address and a port)"),
    open("PBSZ", Verb::Pbsz, Needed, "PBSZ 0 (before PROT)"),
    needs_login("PORT", Verb::Port, Needed, "PORT h1,h2,h3,h4,p1,p2 (active mode: connect to me there)"),
    open("PROT", Verb::Prot, Needed, "PROT P (encrypt data connections) | C (do not)"),
    needs_login("PWD", Verb::Pwd, Optional, "PWD (name the working directory)"),
    open("QUIT", Verb::Quit, Optional, "QUIT"),
    open("REIN", Verb::Rein, Optional, "REIN (log out and start again)"),
    needs_login("REST", Verb::Rest, Needed, "REST offset (where the next transfer begins)"),
    needs_login("RETR", Verb::Retr, Needed, "RETR file (download)"),
    needs_login("RMD", Verb::Rmd, Needed, "RMD directory (remove an empty directory)"),
    needs_login("RNFR", Verb::Rnfr, Needed, "RNFR path (rename this; RNTO follows)"),
    needs_login("RNTO", Verb::Rnto, Needed, "RNTO path (the new name)"),
    needs_login("SITE", Verb::Site, Needed, "SITE CHMOD mode path | UTIME YYYYMMDDhhmmss path | HELP"),
    needs_login("SIZE", Verb::Size, Needed, "SIZE file (its size in bytes; TYPE I)"),
    needs_login("STAT", Verb::Stat, Optional, "STAT [path] (the session's status, or a listing)"),
    needs_login("STOR", Verb::Stor, Needed, "STOR file (upload)"),
    needs_login("STOU", Verb::Stou, Optional, "STOU [name] (upload under a new name)"),
    open("STRU", Verb::Stru, Needed, "STRU F"),
    open("SYST", Verb::Syst, Optional, "SYST (the kind of system)"),
    open("TYPE", Verb::Type, Needed, "TYPE A (text) | I (binary)"),
    open("USER", Verb::User, Needed, "USER name"),
    needs_login("XCUP", Verb::Cdup, Optional, "XCUP (as CDUP)"),
    needs_login("XCWD", Verb::Cwd, Needed, "XCWD directory (as CWD)"),
    needs_login("XMD5", Verb::Xmd5, Needed, "XMD5 file (its MD5)"),
    needs_login("XMKD", Verb::Mkd, Needed, "XMKD directory (as MKD)"),
    needs_login("XPWD", Verb::Pwd, Optional, "XPWD (as PWD)"),
    needs_login("XRMD", Verb::Rmd, Needed, "XRMD directory (as RMD)"),
    needs_login("XSHA256", Verb::Xsha256, Needed, "XSHA256 file (its SHA-256)"),
];

/// A verb of the table and what followed it.
#[derive(Debug)]
pub(super) struct Command {
    pub syntax: &'static Syntax,
    pub argument: Vec<u8>,
}

/// Takes a line apart: the verb in any case, one space, and all the rest as argument, further spaces included
/// (RFC 3659, 2.2). A line that is refused comes with the name of its verb, as far as it is known.
pub(super) fn parse(line: &[u8]) -> Result<Command, (&'static str, Reply)> {
    let (name, argument) = match line.iter().position(|&byte| byte == b' ') {
        Some(space) => (&line[..space], &line[space + 1..]),
        None => (line, &[][..]),
    };
    let Some(syntax) = find(name) else {
        return Err(("", Reply::new(500, "This command is not known here. HELP lists those that are.")));
    };
    if argument.is_empty() && syntax.argument == Needed {
        let text = format!("{} needs an argument: {}", syntax.name, syntax.usage);
        return Err((syntax.name, Reply::new(501, text)));
    }
    Ok(Command { syntax, argument: argument.to_vec() })
}

/// Whether this is the first line of a request over HTTP. Behind it come the headers and then whatever a page had the
/// browser post: it would be taken for commands of somebody in the browser's own network.
pub(super) fn is_http(line: &[u8]) -> bool {
    let verb = line.split(|&byte| byte == b' ').next().unwrap_or_default();
    [&b" HTTP/1.1"[..], b" HTTP/1.0"].iter().any(|version| line.ends_with(version)) && find(verb).is_none()
}

/// The row of a verb, in any case.
pub(super) fn find(name: &[u8]) -> Option<&'static Syntax> {
    TABLE.iter().find(|syntax| syntax.name.as_bytes().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn parsed(line: &[u8]) -> (Verb, Vec<u8>) {
        let command = parse(line).unwrap();
        (command.syntax.verb, command.argument)
    }

    #[test]
    fn the_verb_s_case_does_not_matter_and_the_argument_s_spaces_do() {
        assert_eq!(parsed(b"retr  a b "), (Verb::Retr, b" a b ".to_vec()));
        assert_eq!(parsed(b"xPwd"), (Verb::Pwd, Vec::new()));
    }

    #[test]
    fn unknown_verbs_and_missing_arguments_are_told_apart() {
        for (line, code) in [(&b"FROB"[..], 500), (b"", 500), (b"STOR", 501), (b"STOR ", 501), (b"\xff\xfe x", 500)] {
            assert_eq!(parse(line).unwrap_err().1.code, code, "{line:?}");
        }
    }

    #[test]
    fn http_is_told_from_a_name_that_looks_like_it() {
        for (line, is) in
            [("POST / HTTP/1.1", true), ("GET /a HTTP/1.0", true), ("RETR x HTTP/1.1", false), ("GET a", false)]
        {
            assert_eq!(is_http(line.as_bytes()), is, "{line}");
        }
    }

    #[test]
    fn the_table_is_in_order() {
        assert!(TABLE.is_sorted_by(|a, b| a.name < b.name));
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_a_verb_with_all_that_follows_or_refused(line in vec(any::<u8>(), 0..60), verb in 0..TABLE.len()) {
            let known = [TABLE[verb].name.to_lowercase().as_bytes(), b" ", &line].concat();
            for line in [&line, &known] {
                match parse(line) {
                    Ok(command) => {
                        let rest = &line[command.syntax.name.len()..];
                        prop_assert!(rest.is_empty() || rest == [b" ", command.argument.as_slice()].concat());
                    }
                    Err((_, reply)) => prop_assert!(matches!(reply.code, 500 | 501)),
                }
            }
            prop_assert_eq!(parse(&known).is_err(), line.is_empty() && TABLE[verb].argument == Needed);
        }
    }
}
