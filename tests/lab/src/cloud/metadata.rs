//! The ECS metadata service, in its plain and its hardened mode.

use axum::http::StatusCode;
use serde_json::json;

use super::clock::{Millis, iso8601, millis};
use super::gateway::State;
use super::identity::Identity;
use super::reply::Reply;
use super::request::Request;
use super::vault::Session;
use super::world::HttpTokens;

const TOKEN: &str = "/latest/api/token";
const ROLE: &str = "/latest/meta-data/ram/security-credentials/";
const REGION: &str = "/latest/meta-data/region-id";
const ACCOUNT: &str = "/latest/meta-data/owner-account-id";

/// The longest lifetime of a metadata token, in seconds.
const LONGEST_TOKEN_LIFE: i64 = 21_600;

/// Returns the name under which a path is recorded and faults are set.
pub(super) fn action(path: &str) -> &'static str {
    match path {
        TOKEN => "IMDS:token",
        REGION => "IMDS:region-id",
        ACCOUNT => "IMDS:owner-account-id",
        _ => match role_path(path) {
            Some("") => "IMDS:role",
            Some(_) => "IMDS:credentials",
            None => "IMDS:other",
        },
    }
}

/// Returns what follows the credentials' folder. The folder itself may be requested without its last slash.
fn role_path(path: &str) -> Option<&str> {
    path.strip_prefix(ROLE).or_else(|| (path == ROLE.trim_end_matches('/')).then_some(""))
}

/// Answers a request to the metadata service.
pub(super) fn answer(request: &Request, state: &mut State, now: Millis) -> Reply {
    if request.path == TOKEN {
        return token(request, state, now);
    }
    if request.method != "GET" {
        return plain(StatusCode::METHOD_NOT_ALLOWED);
    }
    match request.header("x-aliyun-ecs-metadata-token") {
        Some(token) if !state.vault.knows_metadata_token(&token, now) => {
            return plain(StatusCode::UNAUTHORIZED);
        }
        None if state.world.node.http_tokens == HttpTokens::Required => return plain(StatusCode::FORBIDDEN),
        _ => {}
    }
    match request.path.as_str() {
        REGION => Reply::text(StatusCode::OK, &state.world.cluster_region),
        ACCOUNT => Reply::text(StatusCode::OK, &state.world.cluster_account),
        path => match (role_path(path), state.world.node.role.clone()) {
            (Some(""), Some(role)) => Reply::text(StatusCode::OK, role),
            (Some(asked), Some(role)) if asked == role => credentials(&role, state, now),
            _ => plain(StatusCode::NOT_FOUND),
        },
    }
}

/// Issues a token to a client on the node itself: a forwarded request may come from anyone.
fn token(request: &Request, state: &mut State, now: Millis) -> Reply {
    if request.method != "PUT" {
        return plain(StatusCode::METHOD_NOT_ALLOWED);
    }
    if request.header("x-forwarded-for").is_some() {
        return plain(StatusCode::FORBIDDEN);
    }
    let life =
        request.header("x-aliyun-ecs-metadata-token-ttl-seconds").and_then(|written| written.parse().ok());
    match life {
        Some(seconds @ 1..=LONGEST_TOKEN_LIFE) => {
            Reply::text(StatusCode::OK, state.vault.open_metadata_token(now + seconds * 1000))
        }
        _ => plain(StatusCode::BAD_REQUEST),
    }
}

fn credentials(role: &str, state: &mut State, now: Millis) -> Reply {
    let Some(session) = node_session(role, state, now) else {
        return plain(StatusCode::NOT_FOUND);
    };
    Reply::json(&json!({
        "AccessKeyId": session.access_key_id,
        "AccessKeySecret": session.access_key_secret,
        "Expiration": iso8601(session.expires),
        "SecurityToken": session.security_token,
        "LastUpdated": iso8601(session.began),
        "Code": "Success",
    }))
}

/// Returns the node's session, renewed near its expiry, or `None` if the role does not exist.
fn node_session(role: &str, state: &mut State, now: Millis) -> Option<Session> {
    let world = &state.world;
    let life = millis(world.node.credentials_life);
    let renew_before = millis(world.node.renew_before).min(life / 2);
    world.role(&world.cluster_account, role)?;
    let held = state.node_session.as_ref().filter(|(of, _)| of == role);
    let held = held
        .and_then(|(_, key)| state.vault.session(key))
        .filter(|session| now < session.expires - renew_before);
    if let Some(session) = held {
        return Some(session.clone());
    }
    let identity = Identity::role(&world.cluster_account, role, "ecs-node");
    let session = state.vault.open_session(identity, now, now + life);
    state.node_session = Some((role.to_owned(), session.access_key_id.clone()));
    Some(session)
}

fn plain(status: StatusCode) -> Reply {
    Reply::text(status, status.canonical_reason().unwrap_or_default())
}
