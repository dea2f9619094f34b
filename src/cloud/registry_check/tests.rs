//! Checks against real HTTP servers on loopback, which record their requests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Response};
use axum::serve::Listener;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{CheckResult, CheckerConfig, Inconclusive, RegistryChecker};
use crate::cloud::transport::{Timeouts, TransportError};
use crate::model::Credential;

const TOKEN: &str = "eyJ0aGUtdG9rZW4i:0f1e";
const ISSUED: &str = "issued-token";
const PULL: &str = "repository:ns/app:pull";

/// A request as its server received it.
#[derive(Clone, Debug)]
struct ReceivedRequest {
    target: String,
    host: String,
    authorization: Option<String>,
}

/// A running server and the requests it received. It stops with the test's runtime.
struct Server {
    address: SocketAddr,
    received: Arc<Mutex<Vec<ReceivedRequest>>>,
}

impl Server {
    async fn start(
        response: impl Fn(&ReceivedRequest) -> Option<Response<Body>> + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::serve(TcpListener::bind(("127.0.0.1", 0)).await.unwrap(), response)
    }

    fn serve(
        listener: impl Listener<Addr = SocketAddr>,
        response: impl Fn(&ReceivedRequest) -> Option<Response<Body>> + Clone + Send + Sync + 'static,
    ) -> Self {
        let (address, received) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let record = Arc::clone(&received);
        let router = Router::new().fallback(move |request: Request| {
            let text =
                |headers: &HeaderMap, name: &str| Some(headers.get(name)?.to_str().unwrap().to_owned());
            let received = ReceivedRequest {
                target: request.uri().to_string(),
                host: text(request.headers(), "host").unwrap(),
                authorization: text(request.headers(), "authorization"),
            };
            let response = response(&received);
            record.lock().unwrap().push(received);
            async move {
                match response {
                    Some(response) => response,
                    None => std::future::pending().await,
                }
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, received }
    }

    fn domain(&self) -> String {
        self.address.to_string()
    }

    /// Returns `<target> <authorization>`, oldest first.
    fn received(&self) -> Vec<String> {
        let received = self.received.lock().unwrap();
        received
            .iter()
            .map(|received| {
                format!("{} {}", received.target, received.authorization.as_deref().unwrap_or("-"))
            })
            .collect()
    }
}

/// A TLS listener with a self-signed certificate.
struct TlsServer(TcpListener, TlsAcceptor);

impl TlsServer {
    async fn bind() -> (Self, reqwest::Certificate) {
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config =
            config.unwrap().with_no_client_auth().with_single_cert(vec![own.cert.der().clone()], key);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let root = reqwest::Certificate::from_der(own.cert.der()).unwrap();
        (Self(listener, TlsAcceptor::from(Arc::new(config.unwrap()))), root)
    }
}

impl Listener for TlsServer {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, peer) = self.0.accept().await.unwrap();
            // A client that does not trust the certificate closes the connection here.
            if let Ok(stream) = self.1.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Option<Response<Body>> {
    let response = headers
        .iter()
        .fold(Response::builder().status(status), |response, (name, value)| response.header(*name, *value));
    Some(response.body(body.into()).unwrap())
}

fn challenge(realm: &str) -> Option<Response<Body>> {
    let header = format!("Bearer realm=\"http://{realm}/token\",service=\"registry:cn-hangzhou:1\"");
    reply(401, &[("www-authenticate", "Negotiate"), ("www-authenticate", &header)], "")
}

fn basic() -> String {
    format!("Basic {}", STANDARD.encode(format!("cr_temp_user:{TOKEN}")))
}

/// Responds like a correct registry whose token server is `realm`, or the registry itself.
fn correct(received: &ReceivedRequest, realm: Option<&str>) -> Option<Response<Body>> {
    let is_token = received.target.starts_with("/token?");
    match received.authorization.as_deref() {
        Some(authorization) if is_token && authorization == basic() => {
            reply(200, &[], format!(r#"{{"token":"{ISSUED}","expires_in":300}}"#))
        }
        Some("Bearer issued-token") if !is_token => reply(200, &[], "{}"),
        Some(_) => reply(401, &[], ""),
        None => challenge(realm.unwrap_or(&received.host)),
    }
}

/// Starts a registry that is correct except for its response to one of the three requests. `at` names that request by
/// the scheme of its `Authorization`.
async fn faulty(
    at: &'static str,
    response: impl Fn() -> Option<Response<Body>> + Clone + Send + Sync + 'static,
) -> Server {
    Server::start(move |received| {
        let scheme =
            received.authorization.as_deref().and_then(|text| text.split(' ').next()).unwrap_or("none");
        if scheme == at { response() } else { correct(received, None) }
    })
    .await
}

fn credential() -> Credential {
    Credential {
        username: "cr_temp_user".to_owned(),
        token: SecretString::from(TOKEN),
        minted_at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::MAX,
        origin: Default::default(),
    }
}

async fn check_with(allowed_auth_hosts: &[Box<str>], domain: &str, scope: Option<&str>) -> CheckResult {
    let deadlines = Timeouts { connect: Duration::from_secs(5), total: Duration::from_millis(500) };
    let checker = RegistryChecker::with(
        &CheckerConfig { user_agent: "test", allowed_auth_hosts, extra_certificates: &[] },
        "http",
        deadlines,
    )
    .unwrap();
    let result = checker.check(domain, &credential(), scope).await;
    let mut printed = format!("{checker:?} {result:?} {result:#?}");
    if let CheckResult::Unknown(cause) = &result {
        printed.push_str(&cause.to_string());
    }
    for hidden in [TOKEN, ISSUED, &STANDARD.encode(TOKEN), &basic()["Basic ".len()..]] {
        assert!(!printed.contains(hidden), "{hidden} in {printed}");
    }
    result
}

async fn check(server: &Server, scope: Option<&str>) -> CheckResult {
    check_with(&[], &server.domain(), scope).await
}

fn unexpected(server: &Server, problem: &str) -> CheckResult {
    CheckResult::Unknown(Inconclusive::UnexpectedResponse {
        host: server.domain().into(),
        problem: problem.into(),
    })
}

fn no_response(server: &Server, error: TransportError) -> CheckResult {
    CheckResult::Unknown(Inconclusive::NoResponse { host: server.domain().into(), error })
}

#[tokio::test]
async fn a_credential_is_exchanged_for_a_token_which_the_registry_accepts() {
    let registry = Server::start(|received| correct(received, None)).await;
    let domain = format!("{}/team-b", registry.domain());
    assert_eq!(check_with(&[], &domain, None).await, CheckResult::Accepted);
    assert_eq!(
        registry.received(),
        [
            "/v2/ -".to_owned(),
            format!("/token?service=registry%3Acn-hangzhou%3A1 {}", basic()),
            "/v2/ Bearer issued-token".to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_token_is_read_from_either_of_its_two_field_names() {
    for body in [r#"{"access_token":"issued-token"}"#, r#"{"token":"","access_token":"issued-token"}"#] {
        let registry = faulty("Basic", move || reply(200, &[], body)).await;
        assert_eq!(check(&registry, None).await, CheckResult::Accepted, "{body}");
    }
}

#[tokio::test]
async fn a_credential_that_the_token_server_refuses_is_rejected() {
    for status in [401, 403] {
        let registry = faulty("Basic", move || reply(status, &[], "denied")).await;
        assert_eq!(check(&registry, None).await, CheckResult::Rejected, "{status}");
        assert_eq!(registry.received().len(), 2);
    }
}

#[tokio::test]
async fn a_token_that_the_registry_refuses_is_a_rejection() {
    let reply_error =
        || reply(401, &[("www-authenticate", "Bearer realm=\"x\",error=\"invalid_token\"")], "");
    let registry = faulty("Bearer", reply_error).await;
    assert_eq!(check(&registry, None).await, CheckResult::Rejected);
    assert_eq!(check(&registry, Some(PULL)).await, CheckResult::Rejected);
}

#[tokio::test]
async fn access_to_a_repository_is_checked_with_its_scope() {
    let registry = Server::start(|received| correct(received, None)).await;
    assert_eq!(check(&registry, Some(PULL)).await, CheckResult::Accepted);
    assert_eq!(
        registry.received(),
        [
            "/v2/ -".to_owned(),
            format!(
                "/token?service=registry%3Acn-hangzhou%3A1&scope=repository%3Ans%2Fapp%3Apull {}",
                basic()
            ),
            "/v2/ns/app/tags/list?n=1 Bearer issued-token".to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_denied_scope_is_distinguished_from_a_rejected_credential() {
    let reply_error = || {
        let header = "Bearer realm=\"x\",scope=\"repository:ns/app:pull\",error=\"insufficient_scope\"";
        reply(401, &[("www-authenticate", header)], "")
    };
    let registry = faulty("Bearer", reply_error).await;
    assert_eq!(check(&registry, Some(PULL)).await, CheckResult::ScopeDenied);
    assert_eq!(check(&registry, None).await, CheckResult::Rejected);
}

#[tokio::test]
async fn a_realm_that_is_not_allowed_gets_no_request() {
    let elsewhere = Server::start(|received| correct(received, None)).await;
    let realm = elsewhere.domain();
    let registry = Server::start({
        let realm = realm.clone();
        move |received| correct(received, Some(&realm))
    })
    .await;
    let expected =
        Inconclusive::RealmNotAllowed { host: registry.domain().into(), realm: realm.clone().into() };
    assert_eq!(check(&registry, None).await, CheckResult::Unknown(expected));
    assert_eq!((elsewhere.received(), registry.received()), (vec![], vec!["/v2/ -".to_owned()]));

    // Once allowed, it gets the credential, and the registry still does not.
    assert_eq!(check_with(&[realm.into()], &registry.domain(), None).await, CheckResult::Accepted);
    assert_eq!(elsewhere.received(), [format!("/token?service=registry%3Acn-hangzhou%3A1 {}", basic())]);
    assert_eq!(registry.received(), ["/v2/ -", "/v2/ -", "/v2/ Bearer issued-token"]);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(|_| reply(200, &[], r#"{"token":"issued-token"}"#)).await;
    for (at, to) in [
        ("none", "to a request without a credential"),
        ("Basic", "to a request for a token"),
        ("Bearer", "to a request with a token"),
    ] {
        let location = format!("http://{}/v2/", elsewhere.domain());
        let registry = faulty(at, move || reply(307, &[("location", &location)], "")).await;
        assert_eq!(check(&registry, None).await, unexpected(&registry, &format!("answers HTTP 307 {to}")));
    }
    assert_eq!(elsewhere.received(), Vec::<String>::new());
}

#[tokio::test]
async fn a_host_that_hangs_times_out() {
    for at in ["none", "Basic", "Bearer"] {
        let registry = faulty(at, || None).await;
        let result = tokio::time::timeout(Duration::from_secs(5), check(&registry, None)).await;
        assert_eq!(result.unwrap(), no_response(&registry, TransportError::TimedOut), "{at}");
    }
}

#[tokio::test]
async fn a_refused_connection_is_reported_with_the_host() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let domain = listener.local_addr().unwrap().to_string();
    drop(listener);
    let expected =
        Inconclusive::NoResponse { host: domain.as_str().into(), error: TransportError::ConnectionRefused };
    assert_eq!(check_with(&[], &domain, None).await, CheckResult::Unknown(expected));
}

#[tokio::test]
async fn an_html_page_is_an_unexpected_response() {
    let page = || reply(200, &[("content-type", "text/html")], "<html><title>Sign in</title></html>");
    let registry = faulty("none", page).await;
    assert_eq!(
        check(&registry, None).await,
        unexpected(&registry, "answers HTTP 200 to a request without a credential")
    );
    let registry = faulty("Basic", page).await;
    assert_eq!(check(&registry, None).await, unexpected(&registry, "answers HTTP 200 without a token"));
}

#[tokio::test]
async fn a_response_with_another_status_is_inconclusive() {
    for (at, status, to) in [
        ("none", 500, "to a request without a credential"),
        ("none", 403, "to a request without a credential"),
        ("Basic", 500, "to a request for a token"),
        ("Basic", 429, "to a request for a token"),
        ("Bearer", 500, "to a request with a token"),
        ("Bearer", 404, "to a request with a token"),
    ] {
        let registry = faulty(at, move || reply(status, &[], ISSUED)).await;
        assert_eq!(
            check(&registry, None).await,
            unexpected(&registry, &format!("answers HTTP {status} {to}")),
            "{at}"
        );
    }
}

#[tokio::test]
async fn a_challenge_without_a_token_server_is_unexpected() {
    let invalid = "answers HTTP 401 without a valid Bearer challenge";
    let not_a_url = "sends a Bearer realm that is not a URL";
    for (header, problem) in [
        ("", invalid),
        ("Basic realm=\"registry\"", invalid),
        ("Bearer realm=\"http://127.0.0.1", invalid),
        ("Bearer", not_a_url),
        ("Bearer realm=\"registry\"", not_a_url),
        ("Bearer realm=\"/token\"", not_a_url),
    ] {
        let registry = faulty("none", move || reply(401, &[("www-authenticate", header)], "")).await;
        assert_eq!(check(&registry, None).await, unexpected(&registry, problem), "{header}");
        assert_eq!(registry.received(), ["/v2/ -"]);
    }
}

#[tokio::test]
async fn a_response_without_a_token_is_unexpected_and_a_huge_one_is_not_read() {
    for body in ["", "{}", "[]", r#"{"token":""}"#, r#"{"token":1}"#, r#"{"token":null}"#] {
        let registry = faulty("Basic", move || reply(200, &[], body)).await;
        assert_eq!(
            check(&registry, None).await,
            unexpected(&registry, "answers HTTP 200 without a token"),
            "{body}"
        );
    }
    let registry = faulty("Basic", || reply(200, &[], vec![b' '; 300 << 10])).await;
    assert_eq!(check(&registry, None).await, no_response(&registry, TransportError::TooLarge));
}

#[tokio::test]
async fn an_invalid_domain_or_scope_is_not_checked() {
    let registry = Server::start(|received| correct(received, None)).await;
    let host = registry.domain();
    let (wildcard, domain, scope) = (
        "a domain with a * cannot be checked",
        "the domain is not a host[:port]",
        "the scope does not match repository:<name>:<actions>",
    );
    for (key, requested, problem) in [
        ("*.cn-hangzhou.cr.aliyuncs.com".to_owned(), None, wildcard),
        (format!("*/{host}"), None, wildcard),
        (String::new(), None, domain),
        ("two words".to_owned(), None, domain),
        (format!("user@{host}"), None, domain),
        (format!("{host}?x"), None, domain),
        (host.clone(), Some(""), scope),
        (host.clone(), Some("repository:app"), scope),
        (host.clone(), Some("repository::pull"), scope),
        (host.clone(), Some("repository:app:"), scope),
        (host.clone(), Some("repository:../app:pull"), scope),
        (host.clone(), Some("repository:a//b:pull"), scope),
        (host.clone(), Some("repository:a?b:pull"), scope),
        (host.clone(), Some("registry:catalog:*"), scope),
    ] {
        assert_eq!(
            check_with(&[], &key, requested).await,
            CheckResult::Unknown(Inconclusive::InvalidTarget(problem)),
            "{key} {requested:?}"
        );
    }
    assert_eq!(registry.received(), Vec::<String>::new());
}

#[tokio::test]
async fn outside_tests_only_https_is_used() {
    let registry = Server::start(|received| correct(received, None)).await;
    let checker = RegistryChecker::new(&CheckerConfig {
        user_agent: "test",
        allowed_auth_hosts: &[],
        extra_certificates: &[],
    })
    .unwrap();
    let result = checker.check(&registry.domain(), &credential(), None).await;
    assert_eq!(result, no_response(&registry, TransportError::UntrustedCertificate));
    assert_eq!(registry.received(), Vec::<String>::new());
}

#[tokio::test]
async fn an_extra_certificate_is_trusted() {
    let (listener, root) = TlsServer::bind().await;
    let registry = Server::serve(listener, |received| match received.authorization {
        None => {
            let header = format!("Bearer realm=\"https://{}/token\",service=\"s\"", received.host);
            reply(401, &[("www-authenticate", &header)], "")
        }
        Some(_) => correct(received, None),
    });
    for (roots, expected) in [
        (&[][..], no_response(&registry, TransportError::UntrustedCertificate)),
        (&[root], CheckResult::Accepted),
    ] {
        let checker = RegistryChecker::new(&CheckerConfig {
            user_agent: "test",
            allowed_auth_hosts: &[],
            extra_certificates: roots,
        })
        .unwrap();
        assert_eq!(checker.check(&registry.domain(), &credential(), None).await, expected);
    }
    assert_eq!(registry.received().len(), 3);
}

#[test]
fn inconclusive_results_have_stable_texts() {
    let host: Box<str> = "img.example.com".into();
    for (cause, expected) in [
        (Inconclusive::InvalidTarget("not checked"), "not checked"),
        (
            Inconclusive::NoResponse { host: host.clone(), error: TransportError::Unresolved },
            "img.example.com does not resolve in DNS",
        ),
        (
            Inconclusive::UnexpectedResponse { host: host.clone(), problem: "is unusual".into() },
            "img.example.com is unusual",
        ),
        (
            Inconclusive::RealmNotAllowed { host, realm: "evil.example".into() },
            "img.example.com requests the credential for evil.example, which is not allowed; \
             allow that host if it belongs to the registry",
        ),
    ] {
        assert_eq!(cause.to_string(), expected);
    }
}
