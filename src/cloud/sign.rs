//! ACS3-HMAC-SHA256, the signature of Alibaba's V3 requests, as a pure function of the request.
//!
//! Implements `docs/contributing/cloud-api.md`, "ACS3-HMAC-SHA256". The tests contain its vectors A and B.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// Block size of HMAC-SHA256 in bytes. Longer keys are hashed first.
const BLOCK: usize = 64;

/// The parts of a request that its signature covers.
pub(super) struct CanonicalRequest<'a> {
    /// HTTP method in upper case.
    pub(super) method: &'a str,
    /// Path as sent; empty means `/`.
    pub(super) path: &'a str,
    /// Names and values of the query, not encoded, in any order.
    pub(super) query: &'a [(&'a str, &'a str)],
    /// All headers of the request; [`Self::authorization`] selects those to sign.
    pub(super) headers: &'a [(&'a str, &'a str)],
    /// Lower-case hexadecimal SHA-256 of the body.
    pub(super) body_sha256: &'a str,
}

impl CanonicalRequest<'_> {
    /// Returns the value of the header `Authorization`.
    pub(super) fn authorization(&self, key_id: &str, secret: &SecretString) -> String {
        let headers = self.signed_headers();
        let names = headers.keys().map(String::as_str).collect::<Vec<_>>().join(";");
        let to_sign = format!("{ALGORITHM}\n{}", sha256(self.canonical_text(&headers, &names).as_bytes()));
        let signature = hmac(secret.expose_secret().as_bytes(), to_sign.as_bytes());
        format!("{ALGORITHM} Credential={key_id},SignedHeaders={names},Signature={signature}")
    }

    fn canonical_text(&self, headers: &BTreeMap<String, String>, names: &str) -> String {
        let path = if self.path.is_empty() { "/" } else { self.path };
        let query = canonical_query(self.query);
        let block: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        format!("{}\n{path}\n{query}\n{block}\n{names}\n{}", self.method, self.body_sha256)
    }

    /// Returns `host`, `content-type` and every header that begins with `x-acs-`: lower-case names, sorted, trimmed
    /// values, repeated values joined by commas.
    fn signed_headers(&self) -> BTreeMap<String, String> {
        let mut signed = BTreeMap::<String, String>::new();
        for (name, value) in self.headers {
            let (name, value) = (name.to_ascii_lowercase(), value.trim());
            if !(name == "host" || name == "content-type" || name.starts_with("x-acs-")) {
                continue;
            }
            signed
                .entry(name)
                .and_modify(|joined| {
                    joined.push(',');
                    joined.push_str(value);
                })
                .or_insert_with(|| value.to_owned());
        }
        signed
    }
}

/// Returns the query string as it is signed, which is also how it must be sent. It is sorted by name, then by value, so
/// that repeated parameters have one order. Both sides are percent-encoded; an empty value stays `name=`.
pub(super) fn canonical_query(pairs: &[(&str, &str)]) -> String {
    let mut pairs = pairs.to_vec();
    pairs.sort_unstable();
    let parts: Vec<_> =
        pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    parts.join("&")
}

/// Returns the lower-case hexadecimal SHA-256.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Percent-encodes everything except RFC 3986's unreserved characters, unlike the form encoding of URL libraries.
fn encode(plain: &str) -> String {
    let mut encoded = String::with_capacity(plain.len());
    for byte in plain.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Returns the lower-case hexadecimal HMAC-SHA256. Pads the key to one block, since the constructor for keys of any
/// length returns an error that cannot occur.
fn hmac(key: &[u8], message: &[u8]) -> String {
    let mut block = [0; BLOCK];
    if key.len() <= BLOCK {
        block[..key.len()].copy_from_slice(key);
    } else {
        block[..32].copy_from_slice(&Sha256::digest(key));
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(message);
    hex(&mac.finalize().into_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::{CanonicalRequest, canonical_query, hmac, sha256};

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn vector_a_the_fixed_example_of_the_v3_page() {
        let canonical = CanonicalRequest {
            method: "POST",
            path: "",
            query: &[
                ("RegionId", "cn-shanghai"),
                ("ImageId", "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"),
            ],
            headers: &[
                ("user-agent", "is not signed"),
                ("x-acs-version", "2014-05-26"),
                ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
                ("Host", "ecs.cn-shanghai.aliyuncs.com"),
                ("X-Acs-Action", "RunInstances"),
                ("x-acs-date", "2023-10-26T10:22:32Z"),
                ("accept", "application/json"),
                ("x-acs-content-sha256", EMPTY),
            ],
            body_sha256: EMPTY,
        };
        assert_eq!(
            canonical.authorization("YourAccessKeyId", &SecretString::from("YourAccessKeySecret")),
            "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,\
             SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,\
             Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
        );
    }

    #[test]
    fn vector_b_joins_repeated_headers_and_keeps_an_empty_parameter() {
        let canonical = CanonicalRequest {
            method: "GET",
            path: "/",
            query: &[("test", "ok"), ("empty", "")],
            headers: &[("x-acs-test", " http "), ("x-acs-test", "https")],
            body_sha256: "55e12e91650d2fec56ec74e1d3e4ddbfce2ef3a65890c2a19ecf88a307e76a23",
        };
        assert_eq!(
            canonical.authorization("acesskey", &SecretString::from("secret")),
            "ACS3-HMAC-SHA256 Credential=acesskey,SignedHeaders=x-acs-test,\
             Signature=d16b30a7699ae9e43875b13195b2f81bcc3ed10c14a9b5eb780e51619aa50be1"
        );
    }

    #[test]
    fn a_query_is_sorted_by_plain_name_and_strictly_encoded() {
        for (pairs, expected) in [
            (&[][..], ""),
            (&[("a", "")], "a="),
            (&[("b", "2"), ("a", "~"), ("B", "*"), ("b", "1"), ("c", "")], "B=%2A&a=~&b=1&b=2&c="),
            (&[("k k", "a+b=c&d/e?f%")], "k%20k=a%2Bb%3Dc%26d%2Fe%3Ff%25"),
            (&[("é", "镜"), ("z", "'()!")], "z=%27%28%29%21&%C3%A9=%E9%95%9C"),
            (&[("A-_.~9", "\"\n")], "A-_.~9=%22%0A"),
        ] {
            assert_eq!(canonical_query(pairs), expected);
        }
    }

    #[test]
    fn a_content_type_is_signed() {
        let canonical = CanonicalRequest {
            method: "POST",
            path: "/",
            query: &[],
            headers: &[("content-type", "application/json"), ("content-length", "2")],
            body_sha256: EMPTY,
        };
        let header = canonical.authorization("k", &SecretString::from("s"));
        assert!(header.contains("SignedHeaders=content-type,"), "{header}");
    }

    /// RFC 4231, cases 2 and 6: a key shorter and one longer than a block.
    #[test]
    fn hmac_takes_keys_of_any_length() {
        assert_eq!(
            hmac(b"Jefe", b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn an_empty_body_has_the_well_known_hash() {
        assert_eq!(sha256(b""), EMPTY);
    }
}
