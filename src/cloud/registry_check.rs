//! Check of a credential at a registry, with the requests of a client that pulls.

mod challenge;
mod realm;

use std::fmt;
use std::time::Duration;

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use reqwest::{Certificate, RequestBuilder, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use self::challenge::Challenge;
use self::realm::AllowedRealms;
use super::error::SetupError;
use super::transport::{self, Timeouts, TransportError};
use crate::model::Credential;

const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(5), total: Duration::from_secs(10) };

/// Limit of a token response's body in bytes. A token for one repository is a few kilobytes.
const MAX_BODY: usize = 256 << 10;

/// Result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// The registry accepts the credential.
    Accepted,
    /// The registry accepts the credential, but not for the requested scope.
    ScopeDenied,
    /// The registry does not accept the credential.
    Rejected,
    /// The registry was not reached, or its response says nothing about the credential.
    Unknown(Inconclusive),
}

/// Cause of an unknown result. Equal causes have equal texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inconclusive {
    /// The domain or the scope cannot be checked.
    InvalidTarget(&'static str),
    /// A host did not respond.
    NoResponse {
        /// Host, as `host[:port]`.
        host: Box<str>,
        /// Transport error.
        error: TransportError,
    },
    /// A host responded unlike a registry.
    UnexpectedResponse {
        /// Host, as `host[:port]`.
        host: Box<str>,
        /// Problem, which continues a sentence that begins with the host's name.
        problem: Box<str>,
    },
    /// The registry names a token server that is not allowed to receive credentials.
    RealmNotAllowed {
        /// The registry's host, as `host[:port]`.
        host: Box<str>,
        /// The token server's host, as `host[:port]`.
        realm: Box<str>,
    },
}

impl fmt::Display for Inconclusive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidTarget(problem) => f.write_str(problem),
            Self::NoResponse { host, error } => write!(f, "{host} {error}"),
            Self::UnexpectedResponse { host, problem } => write!(f, "{host} {problem}"),
            Self::RealmNotAllowed { host, realm } => write!(
                f,
                "{host} requests the credential for {realm}, which is not allowed; allow that host if it belongs to the registry"
            ),
        }
    }
}

/// Configuration of a [`RegistryChecker`].
#[derive(Debug)]
pub(super) struct CheckerConfig<'a> {
    /// User agent.
    pub(super) user_agent: &'a str,
    /// Hosts, as `host[:port]`, that may receive credentials besides Alibaba's hosts and the registry itself.
    pub(super) allowed_auth_hosts: &'a [Box<str>],
    /// Certificates to trust besides the system's.
    pub(super) extra_certificates: &'a [Certificate],
}

/// Checks credentials at registries.
///
/// # Guarantees
/// - It uses HTTPS only, and follows no redirect.
/// - It sends a credential to allowed hosts only, and the token for it to the registry only.
/// - Each request has timeouts of 5 s for the connection and 10 s in all; a check sends at most three.
#[derive(Debug)]
pub(super) struct RegistryChecker {
    http: reqwest::Client,
    realms: AllowedRealms,
    scheme: &'static str,
}

/// A registry and the scope to check there.
struct CheckTarget<'a> {
    /// `<scheme>://<host>/v2/`.
    registry: Url,
    scope: Option<ScopedUrl<'a>>,
}

/// A scope and a URL that it gives access to.
struct ScopedUrl<'a> {
    scope: &'a str,
    url: Url,
}

/// Response of a token server. Not `Debug`: it contains a token.
#[derive(Deserialize)]
struct TokenResponse {
    #[serde(default)]
    token: Option<SecretText>,
    #[serde(default)]
    access_token: Option<SecretText>,
}

/// A string that is secret from its deserialization on.
#[derive(Deserialize)]
#[serde(from = "String")]
struct SecretText(SecretString);

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(SecretString::from(text))
    }
}

impl RegistryChecker {
    /// Creates a checker. Sends no request.
    ///
    /// # Errors
    /// No root certificates can be loaded, or the user agent is not a valid header value.
    pub(super) fn new(config: &CheckerConfig<'_>) -> Result<Self, SetupError> {
        Self::with(config, "https", TIMEOUTS)
    }

    /// Creates a checker for `scheme`, which is `https` except in tests.
    fn with(
        config: &CheckerConfig<'_>,
        scheme: &'static str,
        timeouts: Timeouts,
    ) -> Result<Self, SetupError> {
        let builder = transport::builder(timeouts).user_agent(config.user_agent);
        let builder = match scheme {
            "https" => builder.https_only(true).tls_certs_merge(config.extra_certificates.iter().cloned()),
            _ => builder.no_proxy().tls_certs_only([]),
        };
        let http = builder.build()?;
        Ok(Self { http, realms: AllowedRealms::new(scheme, config.allowed_auth_hosts), scheme })
    }

    /// Checks `credential` at the registry of `domain`, which is a key of a Docker configuration. With a `scope`, such
    /// as `repository:ns/app:pull`, it also checks access to that repository.
    ///
    /// # Expected flow
    /// 1. A request without a credential returns the registry's token server.
    /// 2. The token server, if it is allowed, exchanges the credential for a token.
    /// 3. A request with that token shows whether the registry accepts it.
    ///
    /// # Caveats
    /// A token server may issue tokens without access to anonymous callers too. So `Accepted` without a scope says only
    /// that the credential was not rejected; access to a repository shows only with its scope.
    pub(super) async fn check(
        &self,
        domain: &str,
        credential: &Credential,
        scope: Option<&str>,
    ) -> CheckResult {
        match self.run(domain, credential, scope).await {
            Ok(result) => result,
            Err(cause) => CheckResult::Unknown(cause),
        }
    }

    async fn run(
        &self,
        domain: &str,
        credential: &Credential,
        scope: Option<&str>,
    ) -> Result<CheckResult, Inconclusive> {
        let target = self.target(domain, scope)?;
        let token_url = self.token_url(&target).await?;
        match self.exchange(token_url, credential).await? {
            None => Ok(CheckResult::Rejected),
            Some(token) => self.check_token(&target, &token).await,
        }
    }

    fn target<'a>(&self, domain: &str, scope: Option<&'a str>) -> Result<CheckTarget<'a>, Inconclusive> {
        let host = domain.split('/').next().unwrap_or(domain);
        if host.contains('*') {
            return Err(Inconclusive::InvalidTarget("a domain with a * cannot be checked"));
        }
        let url = |path: &str| Url::parse(&format!("{}://{host}/v2/{path}", self.scheme));
        let registry = url("").ok().filter(|url| url.path() == "/v2/" && !host.contains(['@', '\\']));
        let registry = registry.ok_or(Inconclusive::InvalidTarget("the domain is not a host[:port]"))?;
        let Some(scope) = scope else { return Ok(CheckTarget { registry, scope: None }) };
        let url = repository(scope).and_then(|name| url(&format!("{name}/tags/list?n=1")).ok());
        let url =
            url.ok_or(Inconclusive::InvalidTarget("the scope does not match repository:<name>:<actions>"))?;
        Ok(CheckTarget { registry, scope: Some(ScopedUrl { scope, url }) })
    }

    /// Asks the registry for its token server, and returns the URL of a token for the target.
    async fn token_url(&self, target: &CheckTarget<'_>) -> Result<Url, Inconclusive> {
        let registry = &target.registry;
        let response = self.send(registry, self.http.get(registry.clone())).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Err(unexpected_status(registry, &response, "to a request without a credential"));
        }
        let challenge = bearer(response.headers())
            .ok_or_else(|| unexpected(registry, "answers HTTP 401 without a valid Bearer challenge"))?;
        let realm = challenge.get("realm").and_then(|realm| Url::parse(realm).ok());
        let mut realm =
            realm.ok_or_else(|| unexpected(registry, "sends a Bearer realm that is not a URL"))?;
        if !self.realms.allow(&realm, registry) {
            return Err(Inconclusive::RealmNotAllowed { host: host(registry), realm: host(&realm) });
        }
        realm.set_fragment(None);
        let service = challenge.get("service").map(|service| ("service", service));
        let scope = target.scope.as_ref().map(|scoped| ("scope", scoped.scope));
        if service.is_some() || scope.is_some() {
            realm.query_pairs_mut().extend_pairs(service.into_iter().chain(scope));
        }
        Ok(realm)
    }

    /// Exchanges the credential for a token; returns `None` if the token server rejects the credential.
    async fn exchange(
        &self,
        token_url: Url,
        credential: &Credential,
    ) -> Result<Option<SecretString>, Inconclusive> {
        let password = credential.token.expose_secret();
        let request = self.http.get(token_url.clone()).basic_auth(&credential.username, Some(password));
        let response = self.send(&token_url, request).await?;
        match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Ok(None),
            StatusCode::OK => {}
            _ => return Err(unexpected_status(&token_url, &response, "to a request for a token")),
        }
        let body = transport::body(response, MAX_BODY).await;
        let body = body.map_err(|error| Inconclusive::NoResponse { host: host(&token_url), error })?;
        let parsed = serde_json::from_slice::<TokenResponse>(&body).ok();
        let tokens =
            parsed.map(|TokenResponse { token, access_token }| [token, access_token]).into_iter().flatten();
        let mut tokens = tokens.flatten().map(|SecretText(token)| token);
        let token = tokens.find(|token| !token.expose_secret().is_empty());
        token.map(Some).ok_or_else(|| unexpected(&token_url, "answers HTTP 200 without a token"))
    }

    async fn check_token(
        &self,
        target: &CheckTarget<'_>,
        token: &SecretString,
    ) -> Result<CheckResult, Inconclusive> {
        let CheckTarget { registry, scope } = target;
        let url = scope.as_ref().map_or(registry, |scoped| &scoped.url);
        let response = self.send(url, self.http.get(url.clone()).bearer_auth(token.expose_secret())).await?;
        match response.status() {
            StatusCode::OK => Ok(CheckResult::Accepted),
            StatusCode::UNAUTHORIZED => {
                let error = bearer(response.headers());
                let insufficient =
                    error.is_some_and(|error| error.get("error") == Some("insufficient_scope"));
                Ok(if scope.is_some() && insufficient {
                    CheckResult::ScopeDenied
                } else {
                    CheckResult::Rejected
                })
            }
            _ => Err(unexpected_status(url, &response, "to a request with a token")),
        }
    }

    async fn send(&self, url: &Url, request: RequestBuilder) -> Result<Response, Inconclusive> {
        let sent = request.send().await;
        sent.map_err(|error| Inconclusive::NoResponse { host: host(url), error: TransportError::of(&error) })
    }
}

/// Returns the first Bearer challenge, at any position among others.
fn bearer(headers: &HeaderMap) -> Option<Challenge> {
    let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    texts.filter_map(challenge::parse).flatten().find(|challenge| challenge.scheme == "bearer")
}

/// Returns the name in `repository:<name>:<actions>`, unless it contains characters that change a path.
fn repository(scope: &str) -> Option<&str> {
    let (name, actions) = scope.strip_prefix("repository:")?.rsplit_once(':')?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    let part = |part: &str| part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.chars().all(plain);
    let action = |c: char| c.is_ascii_lowercase() || matches!(c, ',' | '*');
    (name.split('/').all(part) && !actions.is_empty() && actions.chars().all(action)).then_some(name)
}

/// Returns the host as `host[:port]`, without the scheme's default port.
fn host(url: &Url) -> Box<str> {
    let name = url.host_str().unwrap_or("a URL without a host");
    // DNS allows 253 characters. A longer name comes from the response and must not fill a message.
    let name = if name.len() <= 253 { name } else { "a host with too long a name" };
    url.port().map_or_else(|| name.into(), |port| format!("{name}:{port}").into())
}

fn unexpected(url: &Url, problem: &str) -> Inconclusive {
    Inconclusive::UnexpectedResponse { host: host(url), problem: problem.into() }
}

fn unexpected_status(url: &Url, response: &Response, request: &str) -> Inconclusive {
    unexpected(url, &format!("answers HTTP {} {request}", response.status().as_u16()))
}

#[cfg(test)]
mod tests;
