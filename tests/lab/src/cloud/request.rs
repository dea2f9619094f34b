//! A request as the cloud sees it: the method, the host that the client wrote, and every parameter decoded.

use axum::body::{Bytes, to_bytes};
use axum::http::{HeaderMap, header, request};

use super::reply::Refusal;

/// Names and values, decoded, in the order in which they were sent.
pub(super) type Pairs = Vec<(String, String)>;

/// Far above any documented request (an OIDC token has at most 20,000 characters), and far below a memory
/// problem.
const LONGEST_BODY: usize = 1 << 20;

/// A completely read HTTP request.
#[derive(Debug)]
pub(super) struct Request {
    /// Upper case, as sent.
    pub(super) method: String,
    /// The path as sent, still encoded, since signatures cover that spelling.
    pub(super) path: String,
    /// The `Host` header as sent, with its port if it had one.
    pub(super) host: String,
    /// Parameters of the query string.
    pub(super) query: Pairs,
    /// Parameters of a form body; empty for another content type.
    pub(super) form: Pairs,
    /// Every header.
    pub(super) headers: HeaderMap,
    /// The body's bytes, which ACS3 signs by their hash.
    pub(super) body: Bytes,
}

impl Request {
    /// Reads a request; `None` if its body breaks off or is larger than any documented one.
    pub(super) async fn read(request: axum::extract::Request) -> Option<Self> {
        let (head, body) = request.into_parts();
        Some(Self::new(head, to_bytes(body, LONGEST_BODY).await.ok()?))
    }

    /// Builds a request from the parts of an HTTP request.
    pub(super) fn new(head: request::Parts, body: Bytes) -> Self {
        // A client that uses the simulator as its HTTP proxy sends the absolute form; both spellings name a host.
        let host = joined(&head.headers, header::HOST.as_str())
            .or_else(|| head.uri.authority().map(ToString::to_string))
            .unwrap_or_default();
        let content_type = joined(&head.headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
        let is_form = content_type.starts_with("application/x-www-form-urlencoded");
        let form = if is_form { parse_pairs(&String::from_utf8_lossy(&body)) } else { Pairs::new() };
        let query = parse_pairs(head.uri.query().unwrap_or_default());
        let (method, path) = (head.method.to_string(), head.uri.path().to_owned());
        Self { method, path, host, query, form, headers: head.headers, body }
    }

    /// Returns a header's value, trimmed; repeated ones joined with commas, as ACS3 signs them.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        joined(&self.headers, name)
    }

    /// Returns a parameter from the query or the form. The SDKs differ in where they put them, so the cloud
    /// reads both.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns a parameter without which the action cannot work; an empty one is a missing one.
    pub(super) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.parameter(name).filter(|value| !value.is_empty()).ok_or_else(|| Refusal::missing(name))
    }

    /// Returns every parameter, those of the query first.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &(String, String)> {
        self.query.iter().chain(&self.form)
    }

    /// Returns `Action` and `Version`: headers under ACS3, parameters in the old RPC form.
    pub(super) fn named(&self, header: &str, parameter: &str) -> String {
        self.header(header).or_else(|| self.parameter(parameter).map(str::to_owned)).unwrap_or_default()
    }
}

fn joined(headers: &HeaderMap, name: &str) -> Option<String> {
    let values: Vec<_> = headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
        .collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// Splits `a=1&b=2` and decodes both sides. A plus is a space, as in any HTML form.
pub(super) fn parse_pairs(written: &str) -> Pairs {
    written
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name), decode(value))
        })
        .collect()
}

fn decode(written: &str) -> String {
    let mut bytes = Vec::with_capacity(written.len());
    let mut rest = written.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match tail {
            [high, low, ..] if *first == b'%' => hex_byte(*high, *low),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Percent-encodes all but RFC 3986's unreserved characters, the spelling that both signatures are made over.
pub(super) fn encode(plain: &str) -> String {
    let mut written = String::with_capacity(plain.len());
    for byte in plain.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                written.push(char::from(byte))
            }
            other => written.push_str(&format!("%{other:02X}")),
        }
    }
    written
}

/// Returns `a=1&b=2`, sorted by the plain name, then by value, both sides encoded; an empty value stays `a=`.
pub(super) fn canonical_query<'a>(pairs: impl IntoIterator<Item = &'a (String, String)>) -> String {
    let mut pairs: Vec<_> = pairs.into_iter().collect();
    pairs.sort();
    let parts: Vec<_> =
        pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    parts.join("&")
}

/// Returns lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{canonical_query, encode, parse_pairs};

    #[test]
    fn encoding_keeps_only_the_unreserved_characters() {
        assert_eq!(encode("aZ09-_.~ *+/=é"), "aZ09-_.~%20%2A%2B%2F%3D%C3%A9");
    }

    #[test]
    fn decoding_undoes_encoding_and_reads_a_plus_as_a_space() {
        assert_eq!(
            parse_pairs("a%2Bb=c+d%C3%A9&e=&f&g=%zz%4"),
            [
                ("a+b".to_owned(), "c dé".to_owned()),
                ("e".to_owned(), String::new()),
                ("f".to_owned(), String::new()),
                ("g".to_owned(), "%zz%4".to_owned()),
            ]
        );
    }

    #[test]
    fn the_canonical_query_is_sorted_by_plain_name_and_keeps_repeated_ones() {
        let pairs = parse_pairs("b=2&a=~&B=*&b=1&c");
        assert_eq!(canonical_query(&pairs), "B=%2A&a=~&b=1&b=2&c=");
    }
}
