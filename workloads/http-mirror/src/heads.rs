//! Follows HTTP/1 requests through the bytes of a connection, so that addresses reach the HTTP library in the form
//! that it takes: browsers and scripts send quotes, angle brackets and raw bytes, which Mercurial's own server reads.
//!
//! What is taken for a request here decides nothing but that: a client that confuses it spoils its own addresses.

/// So much of a line is looked at for its header's name and number.
const LINE_BYTES: usize = 128;
/// For the access log.
const REQUEST_LINE_BYTES: usize = 1024;

#[derive(Debug, PartialEq, Eq)]
enum At {
    /// Before the next request, or in its first line; so many spaces were there.
    RequestLine {
        spaces: u8,
    },
    Fields,
    Body {
        left: u64,
    },
    /// HTTP/2, or a body whose end is not known here: nothing is changed any more.
    Through,
}

pub struct Heads {
    at: At,
    line: Vec<u8>,
    length: u64,
    chunked: bool,
    /// Requests that have begun.
    pub begun: u64,
    /// Head bytes of the newest request.
    pub head_bytes: u64,
    /// The beginning of the newest request's first line.
    pub request_line: Vec<u8>,
}

impl Default for Heads {
    fn default() -> Heads {
        let at = At::RequestLine { spaces: 0 };
        Heads { at, line: vec![], length: 0, chunked: false, begun: 0, head_bytes: 0, request_line: vec![] }
    }
}

impl Heads {
    pub fn follow(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some((first, rest)) = bytes.split_first() {
            match &mut self.at {
                At::Through => return out.extend_from_slice(bytes),
                At::Body { left } => {
                    let length = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    let (body, after) = bytes.split_at(length);
                    out.extend_from_slice(body);
                    *left -= length as u64;
                    if *left == 0 {
                        self.at = At::RequestLine { spaces: 0 };
                    }
                    bytes = after;
                    continue;
                }
                At::RequestLine { .. } => self.request_line(*first, out),
                At::Fields => {
                    out.push(*first);
                    self.field(*first);
                }
            }
            bytes = rest;
        }
    }

    fn request_line(&mut self, byte: u8, out: &mut Vec<u8>) {
        let At::RequestLine { spaces } = &mut self.at else { return };
        if self.line.is_empty() && matches!(byte, b'\r' | b'\n') {
            return out.push(byte);
        }
        if self.line.is_empty() {
            (self.begun, self.head_bytes) = (self.begun + 1, 0);
            self.request_line.clear();
        }
        self.head_bytes += 1;
        keep(&mut self.line, byte, LINE_BYTES);
        keep(&mut self.request_line, byte, REQUEST_LINE_BYTES);
        match byte {
            b'\n' => {
                self.at = if self.line.starts_with(b"PRI * HTTP/2") { At::Through } else { At::Fields };
                self.line.clear();
                out.push(byte);
            }
            b' ' => {
                *spaces = spaces.saturating_add(1);
                out.push(byte);
            }
            _ if *spaces == 1 && !is_of_an_address(byte) => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            _ => out.push(byte),
        }
    }

    fn field(&mut self, byte: u8) {
        self.head_bytes += 1;
        if byte != b'\n' {
            return keep(&mut self.line, byte, LINE_BYTES);
        }
        let line = std::mem::take(&mut self.line);
        let is_cut = line.len() == LINE_BYTES;
        let line = String::from_utf8_lossy(&line).trim().to_ascii_lowercase();
        if let Some((name, value)) = line.split_once(':') {
            match (name, value.trim().parse()) {
                ("content-length", Ok(length)) if !is_cut => self.length = length,
                // Taken for shorter than it is, a body would be changed, and its rest be somebody's next request.
                ("content-length", _) | ("transfer-encoding", _) => self.chunked = true,
                _ => {}
            }
        } else if line.is_empty() {
            let (length, chunked) = (std::mem::take(&mut self.length), std::mem::take(&mut self.chunked));
            self.at = match (chunked, length) {
                (true, _) => At::Through,
                (false, 0) => At::RequestLine { spaces: 0 },
                (false, left) => At::Body { left },
            };
        }
    }
}

fn keep(line: &mut Vec<u8>, byte: u8, most: usize) {
    if line.len() < most {
        line.push(byte);
    }
}

/// RFC 3986, less the fragment, which no request has. Control characters are nobody's.
fn is_of_an_address(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte) || byte < b' '
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_encoded_wherever_a_request_begins_and_nothing_else_is_changed() {
        let sent = b"\r\nGET /r/log?rev=branch(\"x\") HTTP/1.1\r\nA: <\"\xff>\r\n\r\n\
            POST /<`\xe4 HTTP/1.1\r\ncontent-LENGTH: 7\r\n\r\nGET /<\"GET /a#b|{}\\^ HTTP/1.1\r\n\r\n\
            POST /< HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n<\r\n0\r\n\r\nGET /< HTTP/1.1\r\n\r\n";
        let wanted = b"\r\nGET /r/log?rev=branch(%22x%22) HTTP/1.1\r\nA: <\"\xff>\r\n\r\n\
            POST /%3C%60%E4 HTTP/1.1\r\ncontent-LENGTH: 7\r\n\r\nGET /<\"GET /a%23b%7C%7B%7D%5C%5E HTTP/1.1\r\n\r\n\
            POST /%3C HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n<\r\n0\r\n\r\nGET /< HTTP/1.1\r\n\r\n";
        for cut in 0..sent.len() {
            let (mut heads, mut out) = (Heads::default(), Vec::new());
            heads.follow(&sent[..cut], &mut out);
            heads.follow(&sent[cut..], &mut out);
            assert_eq!(out, wanted, "cut at {cut}: {}", String::from_utf8_lossy(&out));
            assert_eq!((heads.begun, &*heads.request_line), (4, &b"POST /< HTTP/1.1\r\n"[..]));
        }
    }

    #[test]
    fn a_body_whose_length_is_not_known_for_sure_is_left_alone() {
        for length in ["Content-Length: x".to_owned(), format!("Content-Length: {}9", "0".repeat(LINE_BYTES))] {
            let sent = format!("POST / HTTP/1.1\r\n{length}\r\n\r\nGET /<<< <<");
            let (mut heads, mut out) = (Heads::default(), Vec::new());
            heads.follow(sent.as_bytes(), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), sent);
        }
    }

    #[test]
    fn http_2_is_left_alone() {
        let sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04<<<< <<<< \r\n<";
        let (mut heads, mut out) = (Heads::default(), Vec::new());
        heads.follow(sent, &mut out);
        assert_eq!(out, sent);
    }
}
