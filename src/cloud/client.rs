//! Signed calls over HTTP. One attempt a call, signed anew each time: who calls decides about the next one.

use std::io;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;

use super::call::{By, Call};
use super::classify::classify;
use super::error::{Denial, Failure, Retry, SetupError};
use super::identity::AccessKey;
use super::reply::Reply;
use super::sign::{Canonical, canonical_query, sha256};
use super::transport::{self, Deadlines, Trouble};
use super::{Lab, Reach};
use crate::api::condition::Reason;

const DEADLINES: Deadlines = Deadlines { connect: Duration::from_secs(5), total: Duration::from_secs(10) };

/// The largest real answer, the endpoints of an instance, is a few kilobytes.
const LARGEST_BODY: usize = 1 << 20;

/// Headers that hold what must not show in the HTTP library's own traces.
const SENSITIVE: [&str; 2] = ["authorization", "x-acs-security-token"];

/// The HTTP client for the public APIs. Cheap to clone; keeps connections alive.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    scheme: &'static str,
}

impl Client {
    /// Builds the client. Hosts are reached by HTTPS, through the proxies that the environment names, unless a lab
    /// stands in for them.
    ///
    /// # Errors
    /// An extra certificate that is none, or a user agent that is no header value.
    pub(super) fn new(user_agent: &str, reach: &Reach) -> Result<Self, SetupError> {
        let builder = transport::builder(DEADLINES).user_agent(user_agent);
        let (builder, scheme) = match &reach.lab {
            Some(lab) => (builder.no_proxy().tls_certs_only([]).dns_resolver(Fixed(lab.clone())), "http"),
            None => (builder.https_only(true).tls_certs_merge(reach.extra_certificates.clone()), "https"),
        };
        Ok(Self { http: builder.build()?, scheme })
    }

    /// Signs, sends and reads one call. Returns the answer and the host that gave it.
    ///
    /// # Errors
    /// Everything from an unreachable host to an answer of another shape than `T`.
    pub(super) async fn call<'a, T: DeserializeOwned>(
        &self,
        call: &Call<'a>,
    ) -> Result<(T, &'a str), Denial> {
        let (call, reply) = match (self.exchange(call).await, call.elsewhere()) {
            (Err(Trouble::Unresolved), Some(elsewhere)) => (elsewhere, self.exchange(&elsewhere).await),
            (outcome, _) => (*call, outcome),
        };
        let reply = reply.map_err(|trouble| Denial::Other(failed(trouble, &call)))?;
        let answer = reply.read().map_err(|refusal| classify(&refusal, &call))?;
        Ok((answer, call.at.host))
    }

    async fn exchange(&self, call: &Call<'_>) -> Result<Reply, Trouble> {
        let sent = self.request(call)?.send().await;
        let response = sent.map_err(|error| Trouble::of(&error))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        match transport::body(response, LARGEST_BODY).await {
            Ok(body) => Ok(Reply::new(status, &headers, body)),
            // A gateway that fails often breaks off as well; its status and its hint to wait say more.
            Err(Trouble::Truncated | Trouble::TooLarge) if status >= 500 => {
                Ok(Reply::new(status, &headers, Vec::new()))
            }
            Err(trouble) => Err(trouble),
        }
    }

    fn request(&self, call: &Call<'_>) -> Result<RequestBuilder, Trouble> {
        let (method, path) = call.action.route();
        let url = |query: &[(&str, &str)]| match query {
            [] => format!("{}://{}{path}", self.scheme, call.at.host),
            query => format!("{}://{}{path}?{}", self.scheme, call.at.host, canonical_query(query)),
        };
        let method = if method == "GET" { Method::GET } else { Method::POST };
        match call.by {
            By::Key(key) => {
                Ok(self.http.request(method, url(call.query)).headers(headers(call, key, &nonce())?))
            }
            By::Form(form) => {
                let (date, nonce) = (timestamp(call.now), nonce());
                let mut query = vec![
                    ("Action", call.action.name()),
                    ("Version", call.action.version()),
                    ("Format", "JSON"),
                    ("Timestamp", &date),
                    ("SignatureNonce", &nonce),
                ];
                query.extend_from_slice(call.query);
                let plain = [("accept", "application/json"), ("accept-encoding", "identity")];
                let request = self.http.request(method, url(&query)).form(form.parameters);
                Ok(plain.into_iter().fold(request, |request, (name, value)| request.header(name, value)))
            }
        }
    }
}

/// All headers but `Host`, which the HTTP library writes from the URL as we sign it.
fn headers(call: &Call<'_>, key: &AccessKey, nonce: &str) -> Result<HeaderMap, Trouble> {
    let (body_sha256, date) = (sha256(b""), timestamp(call.now));
    let mut pairs = vec![
        ("host", call.at.host),
        ("x-acs-action", call.action.name()),
        ("x-acs-version", call.action.version()),
        ("x-acs-date", &date),
        ("x-acs-signature-nonce", nonce),
        ("x-acs-content-sha256", &body_sha256),
    ];
    if let Some(token) = &key.token {
        pairs.push(("x-acs-security-token", token.expose_secret()));
        pairs.push(("x-acs-accesskey-id", &key.id));
    }
    let (method, path) = call.action.route();
    let canonical = Canonical { method, path, query: call.query, headers: &pairs, body_sha256: &body_sha256 };
    let authorization = canonical.authorization(&key.id, &key.secret);
    pairs.push(("authorization", &authorization));
    pairs.push(("accept", "application/json"));
    // A compressed answer could grow past its limit while it is unpacked.
    pairs.push(("accept-encoding", "identity"));
    let entries = pairs.into_iter().filter(|(name, _)| *name != "host").map(|(name, value)| {
        let mut value = HeaderValue::from_str(value).map_err(|_| Trouble::Unsendable)?;
        value.set_sensitive(SENSITIVE.contains(&name));
        Ok((HeaderName::from_static(name), value))
    });
    entries.collect()
}

fn timestamp(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn nonce() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn failed(trouble: Trouble, call: &Call<'_>) -> Failure {
    let cure = match trouble {
        Trouble::Truncated | Trouble::TooLarge => {
            return call.unexpected(format_args!("{} {trouble}", call.at.host));
        }
        Trouble::Unresolved => "check regionId and the cluster's DNS",
        Trouble::Untrusted => "look for a proxy between, and trust its certificate or leave it out",
        Trouble::Unsendable => "check regionId and the credentials that were given",
        Trouble::Refused | Trouble::Silent | Trouble::Broken => {
            "check the network policies, the route and HTTPS_PROXY of the controller"
        }
    };
    let message = format!("{} {trouble} ({}); {cure}", call.at.host, call.described());
    Failure::new(Reason::Unreachable, Retry::Soon, message)
}

/// Resolves every name that has an address in the lab to the lab's. The URL names no port, so the address's own is
/// used, and the `Host` header is the real name.
struct Fixed(Lab);

impl Resolve for Fixed {
    fn resolve(&self, name: Name) -> Resolving {
        let known = !self.0.without_address.iter().any(|unknown| **unknown == *name.as_str());
        let addresses = || -> Addrs { Box::new(std::iter::once(self.0.address)) };
        let unknown = || io::Error::new(io::ErrorKind::NotFound, "the lab gives this name no address");
        Box::pin(std::future::ready(if known { Ok(addresses()) } else { Err(unknown().into()) }))
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::{Trouble, failed, headers, nonce};
    use crate::api::condition::Reason;
    use crate::cloud::call::{Action, At, By, Call};
    use crate::cloud::error::Retry;
    use crate::cloud::identity::AccessKey;

    fn call(key: &AccessKey) -> Call<'_> {
        Call {
            action: Action::GetAuthorizationToken,
            at: At { host: "cr.cn-hangzhou.aliyuncs.com", fallback: None },
            subject: "cri-1 in cn-hangzhou",
            query: &[("InstanceId", "cri-1")],
            by: By::Key(key),
            now: "2026-11-20T10:00:00.9Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_session_sends_and_signs_its_token_and_its_key() {
        let key = AccessKey { token: Some(SecretString::from("token")), ..AccessKey::sample("W") };
        let headers = headers(&call(&key), &key, "n").unwrap();
        let text = |name: &str| headers.get(name).unwrap().to_str().unwrap();
        assert_eq!(text("x-acs-date"), "2026-11-20T10:00:00Z");
        assert_eq!((text("x-acs-security-token"), text("x-acs-accesskey-id")), ("token", key.id.as_str()));
        assert!(text("authorization").contains(
            "SignedHeaders=host;x-acs-accesskey-id;x-acs-action;x-acs-content-sha256;x-acs-date;\
             x-acs-security-token;x-acs-signature-nonce;x-acs-version,"
        ));
        assert!(!headers.contains_key("host"));
        let printed = format!("{headers:?}");
        assert!(!printed.contains("\"token\"") && !printed.contains("Signature="), "{printed}");
    }

    #[test]
    fn a_plain_key_sends_no_token() {
        let key = AccessKey { token: None, ..AccessKey::sample("W") };
        let headers = headers(&call(&key), &key, "n").unwrap();
        assert!(!headers.contains_key("x-acs-security-token") && !headers.contains_key("x-acs-accesskey-id"));
    }

    #[test]
    fn a_token_that_is_no_header_value_is_not_sent() {
        let key = AccessKey { token: Some(SecretString::from("a\nb")), ..AccessKey::sample("W") };
        assert_eq!(headers(&call(&key), &key, "n").unwrap_err(), Trouble::Unsendable);
    }

    #[test]
    fn a_nonce_is_never_used_twice() {
        assert_eq!(nonce().len(), 32);
        assert_ne!(nonce(), nonce());
    }

    #[test]
    fn what_does_not_answer_is_unreachable_and_what_answers_badly_is_unexpected() {
        let key = AccessKey::sample("W");
        for (trouble, reason) in [
            (Trouble::Unresolved, Reason::Unreachable),
            (Trouble::Refused, Reason::Unreachable),
            (Trouble::Untrusted, Reason::Unreachable),
            (Trouble::Silent, Reason::Unreachable),
            (Trouble::Broken, Reason::Unreachable),
            (Trouble::Truncated, Reason::UnexpectedReply),
            (Trouble::TooLarge, Reason::UnexpectedReply),
        ] {
            let failure = failed(trouble, &call(&key));
            assert_eq!((failure.reason, failure.retry), (reason, Retry::Soon), "{trouble:?}");
            assert!(failure.message.starts_with("cr.cn-hangzhou.aliyuncs.com "), "{}", failure.message);
        }
    }
}
