//! The subject of a certificate, compared part by part with the one that an account names (RFC 4514).

use std::collections::BTreeSet;
use std::str::{Chars, FromStr};

use x509_parser::parse_x509_certificate;

/// The short names of attributes (RFC 4514, 3) and a few more that certificates have.
const ATTRIBUTES: [(&str, &str); 13] = [
    ("CN", "2.5.4.3"),
    ("SN", "2.5.4.4"),
    ("SERIALNUMBER", "2.5.4.5"),
    ("C", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("STREET", "2.5.4.9"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("GN", "2.5.4.42"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("EMAILADDRESS", "1.2.840.113549.1.9.1"),
];

/// A distinguished name: its parts, the last of the certificate first, each with attributes (by number) and values.
///
/// Two are the same when all attributes and values are, letter by letter; how the certificate encodes a text (as
/// UTF8String or as PrintableString) makes no difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject(Vec<Part>);

type Part = BTreeSet<(String, String)>;

impl Subject {
    /// The subject of a certificate; `None` when it is empty or cannot be read.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (_, certificate) = parse_x509_certificate(certificate).ok()?;
        let mut parts = Vec::new();
        for part in certificate.subject().iter_rdn() {
            let attributes = part.iter().map(|it| Some((it.attr_type().to_id_string(), it.as_str().ok()?.to_owned())));
            parts.push(attributes.collect::<Option<Part>>()?);
        }
        parts.reverse();
        (!parts.is_empty()).then_some(Self(parts))
    }
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut parts, mut part) = (Vec::new(), Part::new());
        let mut rest = text;
        loop {
            let (name, behind) = rest.split_once('=').ok_or("each of its parts must be NAME=VALUE")?;
            let (value, end, behind) = read_value(behind)?;
            part.insert((attribute(name.trim())?, value));
            match end {
                Some('+') => {}
                Some(_) => parts.push(std::mem::take(&mut part)),
                None => {
                    parts.push(part);
                    return Ok(Self(parts));
                }
            }
            rest = behind;
        }
    }
}

fn attribute(name: &str) -> Result<String, String> {
    let known = ATTRIBUTES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    let is_number = name.contains('.') && name.split('.').all(|arc| arc.parse::<u64>().is_ok());
    match known {
        Some((_, number)) => Ok((*number).to_owned()),
        None if is_number => Ok(name.to_owned()),
        None => Err(format!("there is no attribute {name:?}")),
    }
}

/// The value at the beginning of `text`, what ended it, and what follows that.
fn read_value(text: &str) -> Result<(String, Option<char>, &str), String> {
    let mut chars = text.trim_start_matches(' ').chars();
    // What stands before `kept` is no space at the end.
    let (mut value, mut kept, mut end) = (Vec::new(), 0, None);
    while let Some(char) = chars.next() {
        match char {
            ',' | '+' => {
                end = Some(char);
                break;
            }
            '"' | ';' | '<' | '>' | '\0' => return Err(format!("{char:?} must have a backslash before it")),
            '#' if value.is_empty() => return Err("values are not read as #hexadecimal numbers".to_owned()),
            '\\' => value.push(escaped(&mut chars)?),
            char => value.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        if char != ' ' {
            kept = value.len();
        }
    }
    value.truncate(kept);
    match String::from_utf8(value) {
        Ok(value) if value.is_empty() => Err("a value is empty".to_owned()),
        Ok(value) => Ok((value, end, chars.as_str())),
        Err(_) => Err("a value is not UTF-8".to_owned()),
    }
}

/// The byte behind a backslash: two hexadecimal digits, or a special character itself.
fn escaped(chars: &mut Chars<'_>) -> Result<u8, String> {
    let text = chars.as_str();
    if let Some(byte) = text.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
        *chars = text[2..].chars();
        return Ok(byte);
    }
    let special = chars.next().filter(|char| " \"#+,;<=>\\".contains(*char));
    special.map(|char| char as u8).ok_or_else(|| "a backslash stands before no special character".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};

    use super::*;

    fn certificate(attributes: &[(DnType, DnValue)]) -> Vec<u8> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        for (kind, value) in attributes {
            parameters.distinguished_name.push(kind.clone(), value.clone());
        }
        parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    static CERTIFICATE: LazyLock<Vec<u8>> = LazyLock::new(|| certificate(&[(DnType::CommonName, "alice".into())]));

    #[test]
    fn a_certificates_subject_is_that_of_rfc_4514() {
        let printable = |text: &str| DnValue::PrintableString(text.try_into().unwrap());
        let country = (DnType::CountryName, printable("DE"));
        let (harbour, alice) = ((DnType::OrganizationName, "Sea, + Co".into()), (DnType::CommonName, "alice".into()));
        let found = Subject::of(&certificate(&[country, harbour, alice])).unwrap();
        for (text, same) in [
            (r"CN=alice,O=Sea\, \+ Co,C=DE", true),
            (r"cn = alice, o = Sea\2c \2B Co , 2.5.4.6=DE", true),
            (r"CN=alice", false),
            (r"C=DE,O=Sea\, \+ Co,CN=alice", false),
            (r"CN=Alice,O=Sea\, \+ Co,C=DE", false),
            (r"CN=alice,O=Sea\, \+ Co,C=DE,C=DE", false),
            (r"CN=alice+O=Sea\, \+ Co,C=DE", false),
        ] {
            assert_eq!(text.parse::<Subject>().unwrap() == found, same, "{text}");
        }
        let as_printable = Subject::of(&certificate(&[(DnType::CommonName, printable("alice"))]));
        assert_eq!(as_printable, Some("CN=alice".parse().unwrap()));
        // One value that looks like two parts.
        let forged = Subject::of(&certificate(&[(DnType::CommonName, "alice,O=Sea".into())])).unwrap();
        assert_ne!(forged, "CN=alice,O=Sea".parse().unwrap());
        assert_eq!(Subject::of(&certificate(&[])), None, "an empty subject is nobody's");
    }

    #[test]
    fn parts_of_several_attributes_have_no_order() {
        let subject = |text: &str| text.parse::<Subject>().unwrap();
        assert_eq!(subject("CN=a+UID=7,O=x"), subject("UID=7 + CN=a, O=x"));
        assert_ne!(subject("CN=a,UID=7"), subject("CN=a+UID=7"));
        assert_eq!(subject(r"CN=\C3\A9\ "), subject("CN=é\\20"));
        assert_ne!(subject("CN=é"), subject(r"CN=é\ "));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in
            ["", "alice", "CN=", "CN=a,", "XX=a", "CN=a;O=b", "CN=#0401", r"CN=a\", r"CN=\zz", r"CN=\ff", "1.x=a"]
        {
            assert!(text.parse::<Subject>().is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_values_are_read_as_rfc_4514_writes_them(values in vec((select(&ATTRIBUTES[..]), "\\PC{1,20}"), 1..4)) {
            let escape = |value: &str| value.bytes().map(|byte| format!("\\{byte:02X}")).collect::<String>();
            let text: Vec<String> = values.iter().map(|((name, _), value)| format!("{name}={}", escape(value))).collect();
            let meant = values.iter().map(|((_, number), value)| Part::from([((*number).to_owned(), value.clone())]));
            prop_assert_eq!(text.join(",").parse(), Ok(Subject(meant.collect())));
        }

        #[test]
        fn any_text_is_a_subject_or_refused(text in "[CNO=,+;\\\\ \"#a0-9.é<>]{0,40}", bytes in vec(any::<u8>(), 0..200)) {
            let parsed = text.parse::<Subject>();
            prop_assert!(parsed.is_err() || text.contains('='));
            prop_assert_eq!(Subject::of(&bytes), None);
        }

        #[test]
        fn any_damage_to_a_certificate_is_survived(at in 0..200usize, byte in any::<u8>(), length in 0..200usize) {
            let mut damaged = CERTIFICATE.clone();
            damaged[at] = byte;
            let _ = Subject::of(&damaged);
            let _ = Subject::of(&damaged[..length]);
        }
    }
}
