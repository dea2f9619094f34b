//! Signed calls over HTTP. Each call is attempted once and has a signature of its own; the caller decides about retries.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;

use super::access_key::AccessKey;
use super::call::{Call, CallAuth};
use super::classify::classify;
use super::error::{CallFailure, CloudError, Retry, SetupError};
use super::network::{NetworkConfig, SimulatedCloud};
use super::observer::{CallObserver, ObservedCall, code_of_error, code_of_reply};
use super::reply::Reply;
use super::sign::{CanonicalRequest, canonical_query, sha256};
use super::transport::{self, Timeouts, TransportError};
use crate::api::condition::Reason;

const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(5), total: Duration::from_secs(10) };

/// Limit of a reply's body in bytes. The largest real reply, an instance's endpoints, is a few kilobytes.
const MAX_BODY: usize = 1 << 20;

/// Headers that the HTTP library must not show in its traces.
const SENSITIVE: [&str; 2] = ["authorization", "x-acs-security-token"];

/// The HTTP client of the public APIs. Clones share connections.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    scheme: &'static str,
    observer: Arc<dyn CallObserver>,
}

impl Client {
    /// Builds the client. It uses HTTPS and the proxies of the environment, unless a simulated cloud is configured.
    ///
    /// # Errors
    /// An extra certificate or the user agent is not valid.
    pub(super) fn new(
        user_agent: &str,
        network: &NetworkConfig,
        observer: Arc<dyn CallObserver>,
    ) -> Result<Self, SetupError> {
        let builder = transport::builder(TIMEOUTS).user_agent(user_agent);
        let (builder, scheme) = match &network.simulator {
            Some(cloud) => {
                let resolver = SimulatorResolver(cloud.clone());
                (builder.no_proxy().tls_certs_only([]).dns_resolver(resolver), "http")
            }
            None => (builder.https_only(true).tls_certs_merge(network.extra_certificates.clone()), "https"),
        };
        Ok(Self { http: builder.build()?, scheme, observer })
    }

    /// Signs and sends one call, and parses the reply. Returns it with the host that sent it.
    ///
    /// # Errors
    /// No reply, an error reply, or a reply that does not parse as `T`.
    pub(super) async fn call<'a, T: DeserializeOwned>(
        &self,
        call: &Call<'a>,
    ) -> Result<(T, &'a str), CallFailure> {
        let started = Instant::now();
        let (call, reply) = match (self.exchange(call).await, call.at_fallback_host()) {
            (Err(TransportError::Unresolved), Some(fallback)) => (fallback, self.exchange(&fallback).await),
            (outcome, _) => (*call, outcome),
        };
        let (code, outcome) = match reply {
            Err(error) => (code_of_error(error), Err(CallFailure::Other(transport_failure(error, &call)))),
            Ok(reply) => {
                let parsed = reply.parse().map_err(|error_reply| classify(&error_reply, &call));
                (code_of_reply(reply.status, parsed.is_ok()), parsed)
            }
        };
        let observed = ObservedCall { action: call.action.label(), code };
        self.observer.observe(observed, started.elapsed());
        Ok((outcome?, call.host))
    }

    async fn exchange(&self, call: &Call<'_>) -> Result<Reply, TransportError> {
        let sent = self.request(call)?.send().await;
        let response = sent.map_err(|error| TransportError::of(&error))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        match transport::body(response, MAX_BODY).await {
            Ok(body) => Ok(Reply::new(status, &headers, body)),
            // A failing gateway often truncates its reply; its status and retry hint are more useful than that.
            Err(TransportError::Truncated | TransportError::TooLarge) if status >= 500 => {
                Ok(Reply::new(status, &headers, Vec::new()))
            }
            Err(error) => Err(error),
        }
    }

    fn request(&self, call: &Call<'_>) -> Result<RequestBuilder, TransportError> {
        let (method, path) = call.action.route();
        let url = |query: &[(&str, &str)]| match query {
            [] => format!("{}://{}{path}", self.scheme, call.host),
            query => format!("{}://{}{path}?{}", self.scheme, call.host, canonical_query(query)),
        };
        let method = if method == "GET" { Method::GET } else { Method::POST };
        match call.auth {
            CallAuth::AccessKey(key) => {
                Ok(self.http.request(method, url(call.query)).headers(headers(call, key, &nonce())?))
            }
            CallAuth::TokenForm(form) => {
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

/// Returns all headers except `Host`, which the HTTP library derives from the URL exactly as it is signed here.
fn headers(call: &Call<'_>, key: &AccessKey, nonce: &str) -> Result<HeaderMap, TransportError> {
    let (body_sha256, date) = (sha256(b""), timestamp(call.now));
    let mut pairs = vec![
        ("host", call.host),
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
    let canonical =
        CanonicalRequest { method, path, query: call.query, headers: &pairs, body_sha256: &body_sha256 };
    let authorization = canonical.authorization(&key.id, &key.secret);
    pairs.push(("authorization", &authorization));
    pairs.push(("accept", "application/json"));
    // A compressed reply could exceed the body limit while it is decompressed.
    pairs.push(("accept-encoding", "identity"));
    let entries = pairs.into_iter().filter(|(name, _)| *name != "host").map(|(name, value)| {
        let mut value = HeaderValue::from_str(value).map_err(|_| TransportError::InvalidRequest)?;
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

fn transport_failure(error: TransportError, call: &Call<'_>) -> CloudError {
    let remedy = match error {
        TransportError::Truncated | TransportError::TooLarge => {
            return call.unexpected(format_args!("{} {error}", call.host));
        }
        TransportError::Unresolved => "check regionId and the cluster's DNS",
        TransportError::UntrustedCertificate => "check for a proxy, and trust its certificate or bypass it",
        TransportError::InvalidRequest => "check regionId and the configured credentials",
        TransportError::ConnectionRefused | TransportError::TimedOut | TransportError::ConnectionFailed => {
            "check the network policies, the routes and HTTPS_PROXY of the controller"
        }
    };
    let message = format!("{} {error} ({}); {remedy}", call.host, call.description());
    CloudError::new(Reason::Unreachable, Retry::Soon, message)
}

/// Resolves every host name to the simulator's address, except the unresolvable ones. URLs contain no port, so the
/// address's port applies, and the `Host` header keeps the real name.
struct SimulatorResolver(SimulatedCloud);

impl Resolve for SimulatorResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolvable = !self.0.unresolvable_hosts.iter().any(|host| **host == *name.as_str());
        let addresses = || -> Addrs { Box::new(std::iter::once(self.0.address)) };
        let not_found =
            || io::Error::new(io::ErrorKind::NotFound, "the simulator does not resolve this name");
        Box::pin(std::future::ready(if resolvable { Ok(addresses()) } else { Err(not_found().into()) }))
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

    use super::{TransportError, headers, nonce, transport_failure};
    use crate::api::condition::Reason;
    use crate::cloud::access_key::AccessKey;
    use crate::cloud::call::{Action, Call, CallAuth};
    use crate::cloud::error::Retry;

    fn call(key: &AccessKey) -> Call<'_> {
        Call {
            action: Action::GetAuthorizationToken,
            host: "cr.cn-hangzhou.aliyuncs.com",
            fallback_host: None,
            subject: "cri-1 in cn-hangzhou",
            query: &[("InstanceId", "cri-1")],
            auth: CallAuth::AccessKey(key),
            now: "2026-11-20T10:00:00.9Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_session_sends_and_signs_its_token_and_its_access_key_id() {
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
    fn a_permanent_key_sends_no_token() {
        let key = AccessKey { token: None, ..AccessKey::sample("W") };
        let headers = headers(&call(&key), &key, "n").unwrap();
        assert!(!headers.contains_key("x-acs-security-token") && !headers.contains_key("x-acs-accesskey-id"));
    }

    #[test]
    fn a_token_that_is_not_a_valid_header_value_is_not_sent() {
        let key = AccessKey { token: Some(SecretString::from("a\nb")), ..AccessKey::sample("W") };
        assert_eq!(headers(&call(&key), &key, "n").unwrap_err(), TransportError::InvalidRequest);
    }

    #[test]
    fn a_nonce_is_never_used_twice() {
        assert_eq!(nonce().len(), 32);
        assert_ne!(nonce(), nonce());
    }

    #[test]
    fn a_missing_reply_is_unreachable_and_a_broken_reply_is_unexpected() {
        let key = AccessKey::sample("W");
        for (error, reason) in [
            (TransportError::Unresolved, Reason::Unreachable),
            (TransportError::ConnectionRefused, Reason::Unreachable),
            (TransportError::UntrustedCertificate, Reason::Unreachable),
            (TransportError::TimedOut, Reason::Unreachable),
            (TransportError::ConnectionFailed, Reason::Unreachable),
            (TransportError::Truncated, Reason::UnexpectedReply),
            (TransportError::TooLarge, Reason::UnexpectedReply),
        ] {
            let error = transport_failure(error, &call(&key));
            assert_eq!((error.reason, error.retry), (reason, Retry::Soon), "{error:?}");
            assert!(error.message.starts_with("cr.cn-hangzhou.aliyuncs.com "), "{}", error.message);
        }
    }
}
