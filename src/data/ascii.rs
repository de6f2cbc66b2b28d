//! TYPE A: line ends between this system's LF and the network's CR LF (RFC 959, 3.1.1.1).

/// Turns LF into CR LF. A line that already ends in CR LF stays as it is, so that a DOS text file does not grow CRs.
#[derive(Debug, Default)]
pub struct ToNetwork {
    after_cr: bool,
}

impl ToNetwork {
    /// Appends the network's form of `bytes` to `out`.
    pub fn convert(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, ends) = line.strip_suffix(b"\n").map_or((line, false), |text| (text, true));
            out.extend_from_slice(text);
            self.after_cr = text.last().map_or(self.after_cr, |&last| last == b'\r');
            if ends {
                out.extend_from_slice(if self.after_cr { b"\n" } else { b"\r\n" });
                self.after_cr = false;
            }
        }
    }
}

/// Turns CR LF into LF, and CR NUL (Telnet's way to write a lone CR) into CR. Any other CR stays.
#[derive(Debug, Default)]
pub struct FromNetwork {
    held_cr: bool,
}

impl FromNetwork {
    /// Appends this system's form of `bytes` to `out`.
    pub fn convert(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            match (std::mem::take(&mut self.held_cr), byte) {
                (true, b'\n') => out.push(b'\n'),
                (true, 0) => out.push(b'\r'),
                (held, b'\r') => {
                    out.extend_from_slice(if held { b"\r" } else { b"" });
                    self.held_cr = true;
                }
                (held, _) => {
                    out.extend_from_slice(if held { b"\r" } else { b"" });
                    out.push(byte);
                }
            }
        }
    }

    /// A CR that was the last byte.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.held_cr) {
            out.push(b'\r');
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Every way to cut `bytes` in two gives the same result.
    fn both_ways(bytes: &[u8], convert: impl Fn(&[&[u8]]) -> Vec<u8>) -> Vec<u8> {
        let whole = convert(&[bytes]);
        for cut in 0..=bytes.len() {
            assert_eq!(convert(&[&bytes[..cut], &bytes[cut..]]), whole, "cut at {cut}");
        }
        whole
    }

    fn to_network(bytes: &[u8]) -> Vec<u8> {
        both_ways(bytes, |pieces| {
            let (mut to, mut out) = (ToNetwork::default(), Vec::new());
            pieces.iter().for_each(|piece| to.convert(piece, &mut out));
            out
        })
    }

    fn from_network(bytes: &[u8]) -> Vec<u8> {
        both_ways(bytes, |pieces| {
            let (mut from, mut out) = (FromNetwork::default(), Vec::new());
            pieces.iter().for_each(|piece| from.convert(piece, &mut out));
            from.finish(&mut out);
            out
        })
    }

    #[test]
    fn unix_lines_go_out_with_cr_lf() {
        assert_eq!(to_network(b"a\n\nb"), b"a\r\n\r\nb");
    }

    #[test]
    fn dos_lines_go_out_as_they_are() {
        assert_eq!(to_network(b"a\r\nb\r\r\n"), b"a\r\nb\r\r\n");
    }

    #[test]
    fn network_lines_come_in_with_lf() {
        assert_eq!(from_network(b"a\r\n\r\nb\nc"), b"a\n\nb\nc");
    }

    #[test]
    fn a_lone_cr_is_no_line_end() {
        assert_eq!(from_network(b"a\rb\r\0c\r\r\nd\r"), b"a\rb\rc\r\nd\r");
    }

    proptest::proptest! {
        #[test]
        fn any_text_comes_back_however_it_is_cut(bytes in vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(0), any::<u8>()], 0..40)) {
            let text: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != b'\r').collect();
            prop_assert_eq!(from_network(&to_network(&text)), text);
            // With any CR, too, each cut gives the same.
            let (_, _) = (to_network(&bytes), from_network(&bytes));
        }
    }
}
