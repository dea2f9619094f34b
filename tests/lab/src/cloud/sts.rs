//! Security Token Service, version 2015-04-01.

use std::time::Duration;

use serde_json::{Value, json};

use super::acs3::sha256;
use super::clock::{iso8601, millis};
use super::gateway::{Asked, State};
use super::identity::{Identity, parse_role_arn};
use super::reply::Refusal;
use super::vault::Session;
use super::world::World;

/// The shortest session, in seconds.
const SHORTEST: u32 = 900;

/// `DurationSeconds` if none is given.
const USUAL: u32 = 3600;

/// Lengths that the documentation gives for optional parameters. `Policy` is not among them: see [`assume_role`].
const OPTIONAL_LENGTHS: [(&str, usize, usize); 2] = [("ExternalId", 2, 1224), ("SourceIdentity", 2, 64)];

/// Opens a session of a role for one whom its trust policy names.
///
/// # Caveats
/// A session policy (`Policy`) is refused rather than ignored: a simulator that took one without narrowing the
/// session's rights by it would call a wrong client right.
pub(super) fn assume_role(asked: &Asked<'_>, state: &mut State) -> Result<Value, Refusal> {
    let arn = asked.request.required("RoleArn")?;
    let session_name = asked.request.required("RoleSessionName")?;
    let duration = read_duration(asked)?;
    let (account, role) =
        parse_role_arn(arn).ok_or_else(|| invalid("RoleArn", "The RoleArn is not valid."))?;
    check_names(asked, session_name)?;
    check_rights(asked, &state.world)?;
    let held = state
        .world
        .role(account, role)
        .ok_or_else(|| Refusal::new(404, "EntityNotExist.Role", format!("The role not exists: {arn}.")))?;
    if !held.trust.iter().any(|principal| asked.caller.identity.is_meant_by(principal)) {
        return Err(no_permission(asked, "AssumeRolePolicy"));
    }
    if !(SHORTEST..=held.max_session_duration).contains(&duration) {
        return Err(bad_duration(held.max_session_duration));
    }
    let asked_for = Duration::from_secs(duration.into());
    let lives = state.world.lifetimes.session_cap.map_or(asked_for, |cap| asked_for.min(cap));
    let identity = Identity::role(account, role, session_name);
    let session = state.vault.open_session(identity, asked.now, asked.now + millis(lives));
    let mut reply = json!({
        "RequestId": asked.request_id,
        "AssumedRoleUser": {
            "AssumedRoleId": format!("{}:{session_name}", role_id(arn)),
            "Arn": format!("{arn}/{session_name}"),
        },
        "Credentials": credentials(&session),
    });
    if let Some(source) = asked.request.parameter("SourceIdentity") {
        reply["SourceIdentity"] = json!(source);
    }
    Ok(reply)
}

fn credentials(session: &Session) -> Value {
    json!({
        "AccessKeyId": session.access_key_id,
        "AccessKeySecret": session.access_key_secret,
        "SecurityToken": session.security_token,
        "Expiration": iso8601(session.expires),
    })
}

/// A number's absence is the usual hour; what is no number is refused as one out of range is.
fn read_duration(asked: &Asked<'_>) -> Result<u32, Refusal> {
    match asked.request.parameter("DurationSeconds") {
        None | Some("") => Ok(USUAL),
        Some(written) => written.parse().map_err(|_| bad_duration(USUAL)),
    }
}

fn check_names(asked: &Asked<'_>, session_name: &str) -> Result<(), Refusal> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'@' | b'-' | b'_');
    if !(2..=64).contains(&session_name.len()) || !session_name.bytes().all(plain) {
        return Err(invalid("RoleSessionName", "The RoleSessionName is not valid."));
    }
    for (name, shortest, longest) in OPTIONAL_LENGTHS {
        let length = asked.request.parameter(name).map(|value| value.chars().count());
        if length.is_some_and(|length| !(shortest..=longest).contains(&length)) {
            return Err(invalid(name, format!("The {name} is not valid.")));
        }
    }
    if asked.request.parameter("Policy").is_some() {
        return Err(invalid("PolicyGrammar", "The simulator does not evaluate session policies."));
    }
    Ok(())
}

/// An account's own key may not assume roles, whatever it may do otherwise.
fn check_rights(asked: &Asked<'_>, world: &World) -> Result<(), Refusal> {
    let identity = &asked.caller.identity;
    if identity.is_root() {
        return Err(Refusal::new(403, "NoPermission", "Roles may not be assumed by root accounts."));
    }
    if identity.may("sts:AssumeRole", world) {
        return Ok(());
    }
    Err(no_permission(asked, "AccountLevelIdentityBasedPolicy"))
}

fn no_permission(asked: &Asked<'_>, policy_type: &str) -> Refusal {
    let message = "You are not authorized to do this action. You should be authorized by RAM.";
    Refusal::new(403, "NoPermission", message).with_detail(asked.denied("sts:AssumeRole", policy_type))
}

/// The documented message names the maximum as `1hr`; other whole hours are taken to read alike, and a maximum
/// that is none in minutes, as the minimum does.
fn bad_duration(max: u32) -> Refusal {
    let max = if max.is_multiple_of(3600) { format!("{}hr", max / 3600) } else { format!("{}min", max / 60) };
    invalid("DurationSeconds", format!("The Min/Max value of DurationSeconds is 15min/{max}."))
}

fn invalid(ending: &str, message: impl Into<String>) -> Refusal {
    Refusal::new(400, format!("InvalidParameter.{ending}"), message)
}

/// RAM's numeric id of a role: any number will do that is always the same for the same role.
fn role_id(arn: &str) -> String {
    let digits =
        sha256(arn.as_bytes()).bytes().map(|byte| char::from(b'0' + byte % 10)).take(17).collect::<String>();
    format!("3{digits}")
}
