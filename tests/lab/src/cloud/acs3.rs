//! ACS3-HMAC-SHA256, the signature of Alibaba's V3 requests, written from its public description alone.
//!
//! The canonical request holds only what the client signed, so that the same code checks the published
//! vectors and live requests. [`Authorization::verify`] decides whether the client signed *enough*.

use axum::http::HeaderName;
use hmac::digest::InvalidLength;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::request::{Pairs, Request, canonical_query, hex};

/// The algorithm's name, the scheme of the `Authorization` header.
pub(super) const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// The documented message of a signature that differs from the cloud's own.
pub(super) const NO_MATCH: &str = "Specified signature is not matched with our calculation.";

/// The header that carries a session's token.
pub(super) const SECURITY_TOKEN: &str = "x-acs-security-token";

/// The headers without which a request is not ACS3 at all.
pub(super) const REQUIRED: [&str; 6] =
    ["host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256"];

/// The input of a signature.
#[derive(Debug)]
pub(super) struct Canonical<'a> {
    /// `GET` or `POST`.
    pub(super) method: &'a str,
    /// The path as sent.
    pub(super) path: &'a str,
    /// Decoded query parameters in any order.
    pub(super) query: &'a Pairs,
    /// The signed headers: lower-case names, sorted.
    pub(super) headers: &'a Pairs,
    /// The value of `x-acs-content-sha256`.
    pub(super) payload_hash: &'a str,
}

impl Canonical<'_> {
    /// Returns the canonical request.
    pub(super) fn text(&self) -> String {
        let block: String = self.headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let path = if self.path.is_empty() { "/" } else { self.path };
        let (query, names) = (canonical_query(self.query), signed_names(self.headers));
        format!("{}\n{path}\n{query}\n{block}\n{names}\n{}", self.method, self.payload_hash)
    }

    /// Returns the lower-case hexadecimal HMAC-SHA256; the key is the raw AccessKeySecret, with no
    /// derivation.
    pub(super) fn signature(&self, secret: &str) -> Result<String, InvalidLength> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
        mac.update(format!("{ALGORITHM}\n{}", sha256(self.text().as_bytes())).as_bytes());
        Ok(hex(&mac.finalize().into_bytes()))
    }
}

/// Returns the names joined as `SignedHeaders` has them.
pub(super) fn signed_names(headers: &Pairs) -> String {
    headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";")
}

/// Returns the lower-case hexadecimal SHA-256.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The parsed `Authorization` header.
#[derive(Debug)]
pub(super) struct Authorization {
    /// The AccessKeyId.
    pub(super) credential: String,
    /// In the client's order.
    pub(super) signed_headers: Vec<String>,
    /// Lower-case hexadecimal.
    pub(super) signature: String,
}

impl Authorization {
    /// Reads `ACS3-HMAC-SHA256 Credential=<AK>,SignedHeaders=<a;b>,Signature=<hex>`; commas without spaces.
    pub(super) fn parse(written: &str) -> Option<Self> {
        let mut parts = written.strip_prefix(ALGORITHM)?.strip_prefix(' ')?.split(',');
        let credential = parts.next()?.strip_prefix("Credential=")?.to_owned();
        let names = parts.next()?.strip_prefix("SignedHeaders=")?;
        let signature = parts.next()?.strip_prefix("Signature=")?.to_owned();
        let signed_headers = names.split(';').map(str::to_owned).collect();
        parts.next().is_none().then_some(Self { credential, signed_headers, signature })
    }

    /// Compares the signature with the one that this secret makes of the request.
    ///
    /// # Errors
    /// The fault in words for the refusal's message.
    pub(super) fn verify(&self, request: &Request, secret: &str) -> Result<(), String> {
        if let Some(name) = self.uncovered(request) {
            return Err(format!("The header {name} has to be among SignedHeaders."));
        }
        let headers = self
            .headers(request)
            .ok_or("SignedHeaders has to be sorted and to name only headers that were sent.")?;
        let payload_hash = request.header("x-acs-content-sha256").unwrap_or_default();
        if payload_hash != sha256(&request.body) {
            return Err("x-acs-content-sha256 is not the hash of the body.".to_owned());
        }
        let (method, path) = (request.method.as_str(), request.path.as_str());
        let canonical =
            Canonical { method, path, query: &request.query, headers: &headers, payload_hash: &payload_hash };
        let ours = canonical.signature(secret).map_err(|error| error.to_string())?;
        if ours == self.signature { Ok(()) } else { Err(NO_MATCH.to_owned()) }
    }

    /// Returns the first header that should have been signed and was not.
    fn uncovered(&self, request: &Request) -> Option<String> {
        let sent = request.headers.keys().map(HeaderName::as_str);
        let present = sent.filter(|name| name.starts_with("x-acs-") || *name == "content-type");
        let mut needed = REQUIRED.into_iter().chain(present);
        needed.find(|name| !self.signed_headers.iter().any(|signed| signed == name)).map(str::to_owned)
    }

    /// Returns the signed headers with their values; `None` if one was not sent, or the list is unsorted or
    /// repeats.
    fn headers(&self, request: &Request) -> Option<Pairs> {
        if !self.signed_headers.is_sorted_by(|left, right| left < right) {
            return None;
        }
        let value = |name: &str| match name {
            "host" => Some(request.host.clone()),
            other => request.header(other),
        };
        self.signed_headers.iter().map(|name| Some((name.clone(), value(name)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Authorization, Canonical, sha256, signed_names};
    use crate::cloud::request::{Pairs, parse_pairs};

    fn pairs(headers: &[(&str, &str)]) -> Pairs {
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn vector_a_the_fixed_example_of_the_v3_page() {
        let query = "RegionId=cn-shanghai&ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd";
        let empty = sha256(b"");
        let headers = pairs(&[
            ("host", "ecs.cn-shanghai.aliyuncs.com"),
            ("x-acs-action", "RunInstances"),
            ("x-acs-content-sha256", &empty),
            ("x-acs-date", "2023-10-26T10:22:32Z"),
            ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
            ("x-acs-version", "2014-05-26"),
        ]);
        let canonical = Canonical {
            method: "POST",
            path: "",
            query: &parse_pairs(query),
            headers: &headers,
            payload_hash: &empty,
        };
        assert_eq!(empty, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(
            signed_names(&headers),
            "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version"
        );
        assert_eq!(
            sha256(canonical.text().as_bytes()),
            "7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259"
        );
        assert_eq!(
            canonical.signature("YourAccessKeySecret").unwrap(),
            "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
        );
    }

    #[test]
    fn vector_b_of_the_python_sdk_joins_values_and_keeps_an_empty_parameter() {
        let canonical = Canonical {
            method: "GET",
            path: "/",
            query: &parse_pairs("test=ok&empty="),
            headers: &pairs(&[("x-acs-test", "http,https")]),
            payload_hash: "55e12e91650d2fec56ec74e1d3e4ddbfce2ef3a65890c2a19ecf88a307e76a23",
        };
        assert_eq!(
            canonical.signature("secret").unwrap(),
            "d16b30a7699ae9e43875b13195b2f81bcc3ed10c14a9b5eb780e51619aa50be1"
        );
    }

    #[test]
    fn the_authorization_header_is_read_only_in_its_documented_form() {
        let read =
            Authorization::parse("ACS3-HMAC-SHA256 Credential=ak,SignedHeaders=a;b,Signature=0f").unwrap();
        assert_eq!((read.credential.as_str(), read.signature.as_str()), ("ak", "0f"));
        assert_eq!(read.signed_headers, ["a", "b"]);
        for wrong in [
            "ACS3-HMAC-SHA1 Credential=ak,SignedHeaders=a,Signature=0f",
            "ACS3-HMAC-SHA256 Credential=ak, SignedHeaders=a, Signature=0f",
            "ACS3-HMAC-SHA256 SignedHeaders=a,Credential=ak,Signature=0f",
            "ACS3-HMAC-SHA256 Credential=ak,SignedHeaders=a",
            "ACS3-HMAC-SHA256 Credential=ak,SignedHeaders=a,Signature=0f,More=1",
        ] {
            assert!(Authorization::parse(wrong).is_none(), "{wrong}");
        }
    }
}
