//! The token service: where a registry sends its clients for a token.
//!
//! Guarantees: a wrong password gets 401 and no token. Only the lab itself gets more than the action `pull`.
//! A user who may not pull, or shows no password, gets a token that opens public repositories only, as ACR gives one.

use std::{
    collections::HashSet,
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use axum::extract::Query;
use base64::{Engine, engine::general_purpose::STANDARD};
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{AUTHORIZATION, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::{
    access::{Judge, Verdict},
    token::Signer,
};
use crate::{certificates::Authority, listen::Listening, tls};

/// The path on this service.
pub(super) const PATH: &str = "/auth";

/// A user and a password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
}

/// The rules of the service.
pub(super) struct Rules {
    /// The only service that it issues tokens for.
    pub(super) service: String,
    /// The lab itself, which pushes what others pull.
    pub(super) admin: Login,
    /// Decides about all other users.
    pub(super) judge: Judge,
    pub(super) signer: Signer,
    /// Repositories that anybody may pull.
    pub(super) public: Mutex<HashSet<String>>,
}

/// A running token service; it ends when dropped.
pub(super) struct TokenService {
    listening: Listening,
    rules: Arc<Rules>,
}

impl TokenService {
    pub(super) async fn start(authority: &Authority, rules: Rules) -> anyhow::Result<TokenService> {
        TokenService::serve(authority, Arc::new(rules), (Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// Starts the same service at a further address.
    pub(super) async fn share(
        &self,
        authority: &Authority,
        address: SocketAddr,
    ) -> anyhow::Result<TokenService> {
        TokenService::serve(authority, Arc::clone(&self.rules), address).await
    }

    async fn serve(
        authority: &Authority,
        rules: Arc<Rules>,
        address: SocketAddr,
    ) -> anyhow::Result<TokenService> {
        let (acceptor, shared) = (tls::acceptor(authority)?, Arc::clone(&rules));
        let listening = Listening::start_at(address, move |stream| {
            let (acceptor, rules) = (acceptor.clone(), Arc::clone(&shared));
            async move {
                // A client that does not trust the authority leaves here.
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let answer = service_fn(|request| {
                    let answer = rules.answer(&request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                // An error is a client that left.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            }
        })
        .await?;
        Ok(TokenService { listening, rules })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// Lets anybody pull a repository.
    pub(super) fn open(&self, repository: &str) {
        self.rules.public.lock().unwrap_or_else(PoisonError::into_inner).insert(repository.to_owned());
    }
}

impl Rules {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET || request.uri().path() != PATH {
            return refused(StatusCode::NOT_FOUND, "NOT_FOUND", "only tokens are served here");
        }
        let asked = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
        let asked = asked.map(|Query(pairs)| pairs).unwrap_or_default();
        let named = |name: &'static str| asked.iter().filter(move |(held, _)| held == name);
        if !named("service").map(|(_, value)| value).eq([&self.service]) {
            return refused(StatusCode::BAD_REQUEST, "UNSUPPORTED", "this is another service");
        }
        let Some((subject, allowed)) = self.allowed(request.headers()) else {
            return refused(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "incorrect user or password");
        };
        let scopes = named("scope").flat_map(|(_, value)| value.split(' '));
        let access: Value = {
            let public = self.public.lock().unwrap_or_else(PoisonError::into_inner);
            scopes.filter_map(|scope| granted(scope, allowed, &public)).collect()
        };
        match self.signer.sign(&self.service, &subject, &access) {
            Ok(signed) => {
                let token = &signed.token;
                let body = json!({ "token": token, "access_token": token, "expires_in": signed.expires_in });
                reply(StatusCode::OK, &body)
            }
            Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", &error.to_string()),
        }
    }

    /// Returns the user and the allowed actions, or `None` if the service refuses the user.
    fn allowed(&self, headers: &HeaderMap) -> Option<(String, &'static [&'static str])> {
        let Some(shown) = headers.get(AUTHORIZATION) else {
            return Some((String::new(), &[]));
        };
        let login = Login::read(shown.to_str().ok()?)?;
        if login == self.admin {
            return Some((login.user, &["pull", "push"]));
        }
        match (self.judge)(&login.user, &login.password) {
            Verdict::Rejected => None,
            Verdict::Authenticated => Some((login.user, &[])),
            Verdict::MayPull => Some((login.user, &["pull"])),
        }
    }
}

impl Login {
    /// Reads `Basic base64(user:password)`. A password may hold colons, and those of ACR do.
    fn read(header: &str) -> Option<Login> {
        let decoded = String::from_utf8(STANDARD.decode(header.strip_prefix("Basic ")?).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        Some(Login { user: user.to_owned(), password: password.to_owned() })
    }
}

/// Returns the granted part of a scope such as `repository:team/app:pull,push`, if any.
fn granted(scope: &str, allowed: &[&str], public: &HashSet<String>) -> Option<Value> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    let may = |action: &&str| allowed.contains(action) || *action == "pull" && public.contains(name);
    let actions: Vec<&str> = actions.split(',').filter(may).collect();
    (kind == "repository" && !actions.is_empty())
        .then(|| json!({ "type": kind, "name": name, "actions": actions }))
}

fn refused(status: StatusCode, code: &str, message: &str) -> Response<Full<Bytes>> {
    reply(status, &json!({ "errors": [{ "code": code, "message": message }] }))
}

fn reply(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_granted_as_far_as_its_actions_are_allowed() {
        let all = ["pull", "push"];
        let public = HashSet::from(["open".to_owned()]);
        let table: [(&str, &[&str], &str); 9] = [
            ("repository:team/app:pull", &["pull"], "team/app pull"),
            ("repository:team/app:pull,push", &["pull"], "team/app pull"),
            ("repository:team/app:pull,push", &all, "team/app pull,push"),
            ("repository:host:5000/app:pull", &["pull"], "host:5000/app pull"),
            ("repository:team/app:push", &["pull"], ""),
            ("registry:catalog:pull", &["pull"], ""),
            ("repository:team/app:pull", &[], ""),
            ("repository:open:pull,push", &[], "open pull"),
            ("repository:open/app:pull", &[], ""),
        ];
        for (scope, allowed, expected) in table {
            let written = granted(scope, allowed, &public).map_or(String::new(), |grant| {
                let actions: Vec<&str> = grant["actions"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|action| action.as_str().unwrap())
                    .collect();
                format!("{} {}", grant["name"].as_str().unwrap(), actions.join(","))
            });
            assert_eq!(written, expected, "{scope} {allowed:?}");
        }
    }

    #[test]
    fn a_password_keeps_its_colons() {
        let header = format!("Basic {}", STANDARD.encode("cr_temp_user:eyJ0:1a2b"));
        let login = Login::read(&header).unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("cr_temp_user", "eyJ0:1a2b"));
        assert!(Login::read("Bearer abc").is_none());
        assert!(Login::read("Basic ????").is_none());
    }
}
