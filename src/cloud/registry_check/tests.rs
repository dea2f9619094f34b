//! Against real HTTP servers on loopback, which write down who asked them what.

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

use super::{RegistryChecker, Setup, Verdict, Why};
use crate::cloud::transport::{Deadlines, Trouble};
use crate::model::Credential;

const TOKEN: &str = "eyJ0aGUtdG9rZW4i:0f1e";
const ISSUED: &str = "issued-token";
const PULL: &str = "repository:ns/app:pull";

/// A request as its server saw it.
#[derive(Clone, Debug)]
struct Seen {
    target: String,
    host: String,
    authorization: Option<String>,
}

/// A running server and what it saw. It ends with the test's runtime.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    async fn start(answer: impl Fn(&Seen) -> Option<Response<Body>> + Clone + Send + Sync + 'static) -> Self {
        Self::serve(TcpListener::bind(("127.0.0.1", 0)).await.unwrap(), answer)
    }

    fn serve(
        listener: impl Listener<Addr = SocketAddr>,
        answer: impl Fn(&Seen) -> Option<Response<Body>> + Clone + Send + Sync + 'static,
    ) -> Self {
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let record = Arc::clone(&seen);
        let router = Router::new().fallback(move |request: Request| {
            let text =
                |headers: &HeaderMap, name: &str| Some(headers.get(name)?.to_str().unwrap().to_owned());
            let seen = Seen {
                target: request.uri().to_string(),
                host: text(request.headers(), "host").unwrap(),
                authorization: text(request.headers(), "authorization"),
            };
            let answer = answer(&seen);
            record.lock().unwrap().push(seen);
            async move {
                match answer {
                    Some(answer) => answer,
                    None => std::future::pending().await,
                }
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, seen }
    }

    fn domain(&self) -> String {
        self.address.to_string()
    }

    /// `<target> <authorization>`, oldest first.
    fn seen(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .map(|seen| format!("{} {}", seen.target, seen.authorization.as_deref().unwrap_or("-")))
            .collect()
    }
}

/// Speaks TLS with a certificate that nobody vouches for but itself.
struct Tls(TcpListener, TlsAcceptor);

impl Tls {
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

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, peer) = self.0.accept().await.unwrap();
            // Who does not trust the certificate hangs up here.
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

/// What every honest registry does whose tokens are given out at `realm`, or at its own address.
fn honest(seen: &Seen, realm: Option<&str>) -> Option<Response<Body>> {
    let is_token = seen.target.starts_with("/token?");
    match seen.authorization.as_deref() {
        Some(authorization) if is_token && authorization == basic() => {
            reply(200, &[], format!(r#"{{"token":"{ISSUED}","expires_in":300}}"#))
        }
        Some("Bearer issued-token") if !is_token => reply(200, &[], "{}"),
        Some(_) => reply(401, &[], ""),
        None => challenge(realm.unwrap_or(&seen.host)),
    }
}

/// An honest registry but for its answer to one of the three requests, named by the scheme of its `Authorization`.
async fn dishonest(
    at: &'static str,
    answer: impl Fn() -> Option<Response<Body>> + Clone + Send + Sync + 'static,
) -> Server {
    Server::start(move |seen| {
        let scheme = seen.authorization.as_deref().and_then(|text| text.split(' ').next()).unwrap_or("none");
        if scheme == at { answer() } else { honest(seen, None) }
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

async fn prove_with(realms: &[Box<str>], domain: &str, scope: Option<&str>) -> Verdict {
    let deadlines = Deadlines { connect: Duration::from_secs(5), total: Duration::from_millis(500) };
    let prover =
        RegistryChecker::with(&Setup { user_agent: "test", realms, roots: &[] }, "http", deadlines).unwrap();
    let verdict = prover.prove(domain, &credential(), scope).await;
    let mut printed = format!("{prover:?} {verdict:?} {verdict:#?}");
    if let Verdict::Unknown(why) = &verdict {
        printed.push_str(&why.to_string());
    }
    for hidden in [TOKEN, ISSUED, &STANDARD.encode(TOKEN), &basic()["Basic ".len()..]] {
        assert!(!printed.contains(hidden), "{hidden} in {printed}");
    }
    verdict
}

async fn prove(server: &Server, scope: Option<&str>) -> Verdict {
    prove_with(&[], &server.domain(), scope).await
}

fn unexpected(server: &Server, what: &str) -> Verdict {
    Verdict::Unknown(Why::Odd { host: server.domain().into(), what: what.into() })
}

fn unanswered(server: &Server, trouble: Trouble) -> Verdict {
    Verdict::Unknown(Why::Unanswered { host: server.domain().into(), trouble })
}

#[tokio::test]
async fn a_credential_is_exchanged_and_what_it_gives_is_shown_to_the_registry() {
    let registry = Server::start(|seen| honest(seen, None)).await;
    let domain = format!("{}/team-b", registry.domain());
    assert_eq!(prove_with(&[], &domain, None).await, Verdict::Accepted);
    assert_eq!(
        registry.seen(),
        [
            "/v2/ -".to_owned(),
            format!("/token?service=registry%3Acn-hangzhou%3A1 {}", basic()),
            "/v2/ Bearer issued-token".to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_token_may_have_either_name_of_the_two_in_use() {
    for body in [r#"{"access_token":"issued-token"}"#, r#"{"token":"","access_token":"issued-token"}"#] {
        let registry = dishonest("Basic", move || reply(200, &[], body)).await;
        assert_eq!(prove(&registry, None).await, Verdict::Accepted, "{body}");
    }
}

#[tokio::test]
async fn a_credential_that_gives_no_token_is_rejected() {
    for status in [401, 403] {
        let registry = dishonest("Basic", move || reply(status, &[], "denied")).await;
        assert_eq!(prove(&registry, None).await, Verdict::Rejected, "{status}");
        assert_eq!(registry.seen().len(), 2);
    }
}

#[tokio::test]
async fn a_token_that_the_registry_refuses_is_a_rejection() {
    let refusal = || reply(401, &[("www-authenticate", "Bearer realm=\"x\",error=\"invalid_token\"")], "");
    let registry = dishonest("Bearer", refusal).await;
    assert_eq!(prove(&registry, None).await, Verdict::Rejected);
    assert_eq!(prove(&registry, Some(PULL)).await, Verdict::Rejected);
}

#[tokio::test]
async fn the_right_to_pull_is_asked_for_by_its_scope() {
    let registry = Server::start(|seen| honest(seen, None)).await;
    assert_eq!(prove(&registry, Some(PULL)).await, Verdict::Accepted);
    assert_eq!(
        registry.seen(),
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
async fn a_missing_right_to_pull_is_told_from_a_rejection_where_it_was_asked_for() {
    let refusal = || {
        let header = "Bearer realm=\"x\",scope=\"repository:ns/app:pull\",error=\"insufficient_scope\"";
        reply(401, &[("www-authenticate", header)], "")
    };
    let registry = dishonest("Bearer", refusal).await;
    assert_eq!(prove(&registry, Some(PULL)).await, Verdict::NoPullRight);
    assert_eq!(prove(&registry, None).await, Verdict::Rejected);
}

#[tokio::test]
async fn a_realm_elsewhere_gets_no_credential_and_no_request() {
    let elsewhere = Server::start(|seen| honest(seen, None)).await;
    let realm = elsewhere.domain();
    let registry = Server::start({
        let realm = realm.clone();
        move |seen| honest(seen, Some(&realm))
    })
    .await;
    let expected = Why::RealmNotAllowed { host: registry.domain().into(), realm: realm.clone().into() };
    assert_eq!(prove(&registry, None).await, Verdict::Unknown(expected));
    assert_eq!((elsewhere.seen(), registry.seen()), (vec![], vec!["/v2/ -".to_owned()]));

    // Allowed, it gets the credential, and the registry still does not.
    assert_eq!(prove_with(&[realm.into()], &registry.domain(), None).await, Verdict::Accepted);
    assert_eq!(elsewhere.seen(), [format!("/token?service=registry%3Acn-hangzhou%3A1 {}", basic())]);
    assert_eq!(registry.seen(), ["/v2/ -", "/v2/ -", "/v2/ Bearer issued-token"]);
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
        let registry = dishonest(at, move || reply(307, &[("location", &location)], "")).await;
        assert_eq!(prove(&registry, None).await, unexpected(&registry, &format!("answers HTTP 307 {to}")));
    }
    assert_eq!(elsewhere.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn who_hangs_is_not_waited_for() {
    for at in ["none", "Basic", "Bearer"] {
        let registry = dishonest(at, || None).await;
        let verdict = tokio::time::timeout(Duration::from_secs(5), prove(&registry, None)).await;
        assert_eq!(verdict.unwrap(), unanswered(&registry, Trouble::Silent), "{at}");
    }
}

#[tokio::test]
async fn who_does_not_listen_is_named_with_the_trouble() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let domain = listener.local_addr().unwrap().to_string();
    drop(listener);
    let expected = Why::Unanswered { host: domain.as_str().into(), trouble: Trouble::Refused };
    assert_eq!(prove_with(&[], &domain, None).await, Verdict::Unknown(expected));
}

#[tokio::test]
async fn a_page_is_no_answer() {
    let page = || reply(200, &[("content-type", "text/html")], "<html><title>Sign in</title></html>");
    let registry = dishonest("none", page).await;
    assert_eq!(
        prove(&registry, None).await,
        unexpected(&registry, "answers HTTP 200 to a request without a credential")
    );
    let registry = dishonest("Basic", page).await;
    assert_eq!(prove(&registry, None).await, unexpected(&registry, "answers HTTP 200 without a token"));
}

#[tokio::test]
async fn an_answer_of_another_status_says_nothing_about_the_credential() {
    for (at, status, to) in [
        ("none", 500, "to a request without a credential"),
        ("none", 403, "to a request without a credential"),
        ("Basic", 500, "to a request for a token"),
        ("Basic", 429, "to a request for a token"),
        ("Bearer", 500, "to a request with a token"),
        ("Bearer", 404, "to a request with a token"),
    ] {
        let registry = dishonest(at, move || reply(status, &[], ISSUED)).await;
        assert_eq!(
            prove(&registry, None).await,
            unexpected(&registry, &format!("answers HTTP {status} {to}")),
            "{at}"
        );
    }
}

#[tokio::test]
async fn a_challenge_without_a_place_for_tokens_is_odd() {
    let unread = "answers HTTP 401 without a Bearer challenge that can be read";
    let unnamed = "names no URL as its Bearer realm";
    for (header, what) in [
        ("", unread),
        ("Basic realm=\"registry\"", unread),
        ("Bearer realm=\"http://127.0.0.1", unread),
        ("Bearer", unnamed),
        ("Bearer realm=\"registry\"", unnamed),
        ("Bearer realm=\"/token\"", unnamed),
    ] {
        let registry = dishonest("none", move || reply(401, &[("www-authenticate", header)], "")).await;
        assert_eq!(prove(&registry, None).await, unexpected(&registry, what), "{header}");
        assert_eq!(registry.seen(), ["/v2/ -"]);
    }
}

#[tokio::test]
async fn an_answer_without_a_token_is_odd_and_one_without_an_end_is_not_read() {
    for body in ["", "{}", "[]", r#"{"token":""}"#, r#"{"token":1}"#, r#"{"token":null}"#] {
        let registry = dishonest("Basic", move || reply(200, &[], body)).await;
        assert_eq!(
            prove(&registry, None).await,
            unexpected(&registry, "answers HTTP 200 without a token"),
            "{body}"
        );
    }
    let registry = dishonest("Basic", || reply(200, &[], vec![b' '; 300 << 10])).await;
    assert_eq!(prove(&registry, None).await, unanswered(&registry, Trouble::TooLarge));
}

#[tokio::test]
async fn what_names_nobody_is_not_asked() {
    let registry = Server::start(|seen| honest(seen, None)).await;
    let own = registry.domain();
    let (wild, domain, scope) = (
        "a domain with a * names no registry that could be asked",
        "the domain is no host[:port]",
        "the scope is no repository:<name>:<actions>",
    );
    for (key, asked, what) in [
        ("*.cn-hangzhou.cr.aliyuncs.com".to_owned(), None, wild),
        (format!("*/{own}"), None, wild),
        (String::new(), None, domain),
        ("two words".to_owned(), None, domain),
        (format!("user@{own}"), None, domain),
        (format!("{own}?x"), None, domain),
        (own.clone(), Some(""), scope),
        (own.clone(), Some("repository:app"), scope),
        (own.clone(), Some("repository::pull"), scope),
        (own.clone(), Some("repository:app:"), scope),
        (own.clone(), Some("repository:../app:pull"), scope),
        (own.clone(), Some("repository:a//b:pull"), scope),
        (own.clone(), Some("repository:a?b:pull"), scope),
        (own.clone(), Some("registry:catalog:*"), scope),
    ] {
        assert_eq!(
            prove_with(&[], &key, asked).await,
            Verdict::Unknown(Why::Unaskable(what)),
            "{key} {asked:?}"
        );
    }
    assert_eq!(registry.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn in_the_world_a_registry_is_asked_by_https_alone() {
    let registry = Server::start(|seen| honest(seen, None)).await;
    let prover = RegistryChecker::new(&Setup { user_agent: "test", realms: &[], roots: &[] }).unwrap();
    let verdict = prover.prove(&registry.domain(), &credential(), None).await;
    assert_eq!(verdict, unanswered(&registry, Trouble::Untrusted));
    assert_eq!(registry.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn a_certificate_is_trusted_if_it_was_said_to_be() {
    let (listener, root) = Tls::bind().await;
    let registry = Server::serve(listener, |seen| match seen.authorization {
        None => {
            let header = format!("Bearer realm=\"https://{}/token\",service=\"s\"", seen.host);
            reply(401, &[("www-authenticate", &header)], "")
        }
        Some(_) => honest(seen, None),
    });
    for (roots, expected) in
        [(&[][..], unanswered(&registry, Trouble::Untrusted)), (&[root], Verdict::Accepted)]
    {
        let prover = RegistryChecker::new(&Setup { user_agent: "test", realms: &[], roots }).unwrap();
        assert_eq!(prover.prove(&registry.domain(), &credential(), None).await, expected);
    }
    assert_eq!(registry.seen().len(), 3);
}

#[test]
fn why_nothing_is_known_is_said_in_words_that_stay() {
    let host: Box<str> = "img.example.com".into();
    for (why, expected) in [
        (Why::Unaskable("nobody"), "nobody"),
        (
            Why::Unanswered { host: host.clone(), trouble: Trouble::Unresolved },
            "img.example.com has no address in DNS",
        ),
        (Why::Odd { host: host.clone(), what: "is odd".into() }, "img.example.com is odd"),
        (
            Why::RealmNotAllowed { host, realm: "evil.example".into() },
            "img.example.com wants the credential to be sent to evil.example, which is not allowed; \
             allow that host if it is the registry's own",
        ),
    ] {
        assert_eq!(why.to_string(), expected);
    }
}
