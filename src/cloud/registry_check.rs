//! Whether a registry accepts a credential, asked as a client that pulls would ask it.

mod challenge;
mod realm;

use std::fmt;
use std::time::Duration;

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use reqwest::{Certificate, RequestBuilder, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use self::challenge::Challenge;
use self::realm::Realms;
use super::error::SetupError;
use super::transport::{self, Deadlines, Trouble};
use crate::model::Credential;

const DEADLINES: Deadlines = Deadlines { connect: Duration::from_secs(5), total: Duration::from_secs(10) };

/// A token for one repository is a few kilobytes.
const LARGEST_BODY: usize = 256 << 10;

/// What a registry thinks of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It lets the credential in.
    Accepted,
    /// It lets the credential in, but not to what was asked for.
    NoPullRight,
    /// It does not let the credential in.
    Rejected,
    /// It could not be asked, or did not say. Nothing follows from this about the credential.
    Unknown(Why),
}

/// Why nothing is known. Says the same for the same cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// What was given names nobody and nothing that could be asked for.
    Unaskable(&'static str),
    /// A host did not answer.
    Unanswered {
        /// With its port, if it has one of its own.
        host: Box<str>,
        /// The cause.
        trouble: Trouble,
    },
    /// It answered what no registry should.
    Odd {
        /// With its port, if it has one of its own.
        host: Box<str>,
        /// Continues a sentence that begins with the host's name.
        what: Box<str>,
    },
    /// The registry names a place for tokens to which no credential is sent.
    RealmNotAllowed {
        /// The registry.
        host: Box<str>,
        /// The place's host.
        realm: Box<str>,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unaskable(what) => f.write_str(what),
            Self::Unanswered { host, trouble } => write!(f, "{host} {trouble}"),
            Self::Odd { host, what } => write!(f, "{host} {what}"),
            Self::RealmNotAllowed { host, realm } => write!(
                f,
                "{host} wants the credential to be sent to {realm}, which is not allowed; allow that host if it is the registry's own"
            ),
        }
    }
}

/// What a [`RegistryChecker`] is made from.
#[derive(Debug)]
pub(super) struct Setup<'a> {
    /// What registries see as the client.
    pub(super) user_agent: &'a str,
    /// Hosts, as `host[:port]`, to which credentials may be sent beside Alibaba's own and the registry itself.
    pub(super) realms: &'a [Box<str>],
    /// Trusted beside the system's certificates.
    pub(super) roots: &'a [Certificate],
}

/// Asks registries.
///
/// # Guarantees
/// - HTTPS alone, and no redirect is followed.
/// - A credential is sent to allowed hosts only, and what it is exchanged for to the registry only.
/// - Each request has deadlines of 5 s for the connection and 10 s in all; at most three are made.
#[derive(Debug)]
pub(super) struct RegistryChecker {
    http: reqwest::Client,
    realms: Realms,
    scheme: &'static str,
}

/// A registry, and what of it is asked for.
struct Question<'a> {
    /// `/v2/`.
    registry: Url,
    /// What the right is asked for, if it is: the scope, and the address that it opens.
    right: Option<(&'a str, Url)>,
}

/// What a place for tokens answers. Not `Debug`: it holds one.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: Option<SecretText>,
    #[serde(default)]
    access_token: Option<SecretText>,
}

/// Goes into its safe while it is read.
#[derive(Deserialize)]
#[serde(from = "String")]
struct SecretText(SecretString);

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(SecretString::from(text))
    }
}

impl RegistryChecker {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// No root certificates can be loaded, or the user agent is no header value.
    pub(super) fn new(setup: &Setup<'_>) -> Result<Self, SetupError> {
        Self::with(setup, "https", DEADLINES)
    }

    /// `scheme` is `https`, but for tests on loopback.
    fn with(setup: &Setup<'_>, scheme: &'static str, deadlines: Deadlines) -> Result<Self, SetupError> {
        let builder = transport::builder(deadlines).user_agent(setup.user_agent);
        let builder = match scheme {
            "https" => builder.https_only(true).tls_certs_merge(setup.roots.iter().cloned()),
            _ => builder.no_proxy().tls_certs_only([]),
        };
        let http = builder.build()?;
        Ok(Self { http, realms: Realms::new(scheme, setup.realms), scheme })
    }

    /// Shows `credential` to the registry at `domain`, a Docker configuration's key. With a `scope`, such as
    /// `repository:ns/app:pull`, it also asks whether the credential opens that repository.
    ///
    /// # Expected flow
    /// 1. The registry is asked without any credential, and names the place where its tokens are given out.
    /// 2. That place, if it is an allowed one, exchanges the credential for a token.
    /// 3. The registry is asked with that token.
    ///
    /// # Caveats
    /// A place for tokens may serve anybody, with a token that opens nothing. So `Accepted` without a scope says
    /// that nobody refused the credential; that it opens a repository is known only by its scope.
    pub(super) async fn prove(&self, domain: &str, credential: &Credential, scope: Option<&str>) -> Verdict {
        match self.ask(domain, credential, scope).await {
            Ok(verdict) => verdict,
            Err(why) => Verdict::Unknown(why),
        }
    }

    async fn ask(&self, domain: &str, credential: &Credential, scope: Option<&str>) -> Result<Verdict, Why> {
        let question = self.question(domain, scope)?;
        let place = self.place(&question).await?;
        match self.exchange(place, credential).await? {
            None => Ok(Verdict::Rejected),
            Some(token) => self.judge(&question, &token).await,
        }
    }

    fn question<'a>(&self, domain: &str, scope: Option<&'a str>) -> Result<Question<'a>, Why> {
        let host = domain.split('/').next().unwrap_or(domain);
        if host.contains('*') {
            return Err(Why::Unaskable("a domain with a * names no registry that could be asked"));
        }
        let url = |path: &str| Url::parse(&format!("{}://{host}/v2/{path}", self.scheme));
        let registry = url("").ok().filter(|url| url.path() == "/v2/" && !host.contains(['@', '\\']));
        let registry = registry.ok_or(Why::Unaskable("the domain is no host[:port]"))?;
        let Some(scope) = scope else { return Ok(Question { registry, right: None }) };
        let opened = repository(scope).and_then(|name| url(&format!("{name}/tags/list?n=1")).ok());
        let opened = opened.ok_or(Why::Unaskable("the scope is no repository:<name>:<actions>"))?;
        Ok(Question { registry, right: Some((scope, opened)) })
    }

    /// Where the registry has its tokens given out, with what is to be asked there.
    async fn place(&self, question: &Question<'_>) -> Result<Url, Why> {
        let registry = &question.registry;
        let response = self.send(registry, self.http.get(registry.clone())).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Err(unexpected_status(registry, &response, "to a request without a credential"));
        }
        let challenge = bearer(response.headers()).ok_or_else(|| {
            unexpected(registry, "answers HTTP 401 without a Bearer challenge that can be read")
        })?;
        let realm = challenge.get("realm").and_then(|realm| Url::parse(realm).ok());
        let mut realm = realm.ok_or_else(|| unexpected(registry, "names no URL as its Bearer realm"))?;
        if !self.realms.allow(&realm, registry) {
            return Err(Why::RealmNotAllowed { host: host(registry), realm: host(&realm) });
        }
        realm.set_fragment(None);
        let service = challenge.get("service").map(|service| ("service", service));
        let scope = question.right.as_ref().map(|(scope, _)| ("scope", *scope));
        if service.is_some() || scope.is_some() {
            realm.query_pairs_mut().extend_pairs(service.into_iter().chain(scope));
        }
        Ok(realm)
    }

    /// The token that the place gives for the credential; `None` if it refuses the credential.
    async fn exchange(&self, place: Url, credential: &Credential) -> Result<Option<SecretString>, Why> {
        let password = credential.token.expose_secret();
        let request = self.http.get(place.clone()).basic_auth(&credential.username, Some(password));
        let response = self.send(&place, request).await?;
        match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Ok(None),
            StatusCode::OK => {}
            _ => return Err(unexpected_status(&place, &response, "to a request for a token")),
        }
        let body = transport::body(response, LARGEST_BODY).await;
        let body = body.map_err(|trouble| Why::Unanswered { host: host(&place), trouble })?;
        let answer = serde_json::from_slice::<Answer>(&body).ok();
        let tokens = answer.map(|Answer { token, access_token }| [token, access_token]).into_iter().flatten();
        let mut tokens = tokens.flatten().map(|SecretText(token)| token);
        let token = tokens.find(|token| !token.expose_secret().is_empty());
        token.map(Some).ok_or_else(|| unexpected(&place, "answers HTTP 200 without a token"))
    }

    async fn judge(&self, question: &Question<'_>, token: &SecretString) -> Result<Verdict, Why> {
        let Question { registry, right } = question;
        let url = right.as_ref().map_or(registry, |(_, opened)| opened);
        let response = self.send(url, self.http.get(url.clone()).bearer_auth(token.expose_secret())).await?;
        match response.status() {
            StatusCode::OK => Ok(Verdict::Accepted),
            StatusCode::UNAUTHORIZED => {
                let error = bearer(response.headers());
                let insufficient =
                    error.is_some_and(|error| error.get("error") == Some("insufficient_scope"));
                Ok(if right.is_some() && insufficient { Verdict::NoPullRight } else { Verdict::Rejected })
            }
            _ => Err(unexpected_status(url, &response, "to a request with a token")),
        }
    }

    async fn send(&self, url: &Url, request: RequestBuilder) -> Result<Response, Why> {
        let sent = request.send().await;
        sent.map_err(|error| Why::Unanswered { host: host(url), trouble: Trouble::of(&error) })
    }
}

/// The first Bearer challenge, wherever it stands among others.
fn bearer(headers: &HeaderMap) -> Option<Challenge> {
    let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    texts.filter_map(challenge::parse).flatten().find(|challenge| challenge.scheme == "bearer")
}

/// The name in `repository:<name>:<actions>`, if nothing in it could change a path.
fn repository(scope: &str) -> Option<&str> {
    let (name, actions) = scope.strip_prefix("repository:")?.rsplit_once(':')?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    let part = |part: &str| part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.chars().all(plain);
    let action = |c: char| c.is_ascii_lowercase() || matches!(c, ',' | '*');
    (name.split('/').all(part) && !actions.is_empty() && actions.chars().all(action)).then_some(name)
}

/// `img.example.com`, or with a port of its own `img.example.com:5000`.
fn host(url: &Url) -> Box<str> {
    let name = url.host_str().unwrap_or("a URL without a host");
    // No host of DNS is longer; what is stands here only by an answer that we did not write.
    let name = if name.len() <= 253 { name } else { "a host with too long a name" };
    url.port().map_or_else(|| name.into(), |port| format!("{name}:{port}").into())
}

fn unexpected(url: &Url, what: &str) -> Why {
    Why::Odd { host: host(url), what: what.into() }
}

fn unexpected_status(url: &Url, response: &Response, to: &str) -> Why {
    unexpected(url, &format!("answers HTTP {} {to}", response.status().as_u16()))
}

#[cfg(test)]
mod tests;
