//! Security Token Service, version 2015-04-01.

use std::time::Duration;

use serde_json::{Value, json};

use super::acs3::sha256;
use super::clock::{Millis, iso8601, millis};
use super::gateway::{Asked, State};
use super::identity::{Identity, parse_role_arn};
use super::reply::Refusal;
use super::request::Request;
use super::vault::Session;
use super::world::{Role, World};

/// The shortest session, in seconds.
const SHORTEST: u32 = 900;

/// `DurationSeconds` if it is absent.
const USUAL: u32 = 3600;

/// Lengths that the documentation gives for optional parameters. `Policy` is not among them: see [`Wanted::read`].
const OPTIONAL_LENGTHS: [(&str, usize, usize); 2] = [("ExternalId", 2, 1224), ("SourceIdentity", 2, 64)];

/// The session that is requested, by a key or by an OIDC token.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    role_arn: &'a str,
    account: &'a str,
    role: &'a str,
    session_name: &'a str,
    /// Seconds.
    duration: u32,
}

impl<'a> Wanted<'a> {
    /// Reads the parameters that both actions have, and checks their forms.
    ///
    /// # Caveats
    /// A session policy (`Policy`) is refused rather than ignored: a simulator that accepts one without
    /// narrowing the session's rights would accept a wrong client.
    pub(super) fn read(request: &'a Request) -> Result<Self, Refusal> {
        let role_arn = request.required("RoleArn")?;
        let session_name = request.required("RoleSessionName")?;
        let duration = read_duration(request)?;
        let (account, role) =
            parse_role_arn(role_arn).ok_or_else(|| invalid("RoleArn", "The RoleArn is not valid."))?;
        check_session_name(session_name)?;
        if request.parameter("Policy").is_some() {
            return Err(invalid("PolicyGrammar", "The simulator does not evaluate session policies."));
        }
        Ok(Self { role_arn, account, role, session_name, duration })
    }

    /// Returns the role, if it exists.
    pub(super) fn role<'w>(&self, world: &'w World) -> Result<&'w Role, Refusal> {
        world.role(self.account, self.role).ok_or_else(|| {
            Refusal::new(404, "EntityNotExist.Role", format!("The role not exists: {}.", self.role_arn))
        })
    }

    /// Refuses what the role does not grant.
    pub(super) fn check_duration(&self, role: &Role) -> Result<(), Refusal> {
        if (SHORTEST..=role.max_session_duration).contains(&self.duration) {
            return Ok(());
        }
        Err(bad_duration(role.max_session_duration))
    }

    /// Opens the session. Its caller's right was checked before.
    pub(super) fn open(&self, state: &mut State, now: Millis) -> Session {
        let asked_for = Duration::from_secs(self.duration.into());
        let lives = state.world.lifetimes.session_cap.map_or(asked_for, |cap| asked_for.min(cap));
        let identity = Identity::role(self.account, self.role, self.session_name);
        state.vault.open_session(identity, now, now + millis(lives))
    }

    /// Returns the reply of both actions.
    pub(super) fn reply(&self, session: &Session, request_id: &str) -> Value {
        json!({
            "RequestId": request_id,
            "AssumedRoleUser": {
                "AssumedRoleId": format!("{}:{}", role_id(self.role_arn), self.session_name),
                "Arn": format!("{}/{}", self.role_arn, self.session_name),
            },
            "Credentials": credentials(session),
        })
    }
}

/// Opens a session of a role for an identity that its trust policy names.
pub(super) fn assume_role(asked: &Asked<'_>, state: &mut State) -> Result<Value, Refusal> {
    let wanted = Wanted::read(asked.request)?;
    check_optional(asked.request)?;
    check_rights(asked, &state.world)?;
    let role = wanted.role(&state.world)?;
    if !role.trust.iter().any(|principal| asked.caller.identity.is_meant_by(principal)) {
        return Err(no_permission(asked, "AssumeRolePolicy"));
    }
    wanted.check_duration(role)?;
    let session = wanted.open(state, asked.now);
    let mut reply = wanted.reply(&session, asked.request_id);
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

/// Reads the duration: an hour if it is absent. Refuses what is not a number as it refuses one out of range.
fn read_duration(request: &Request) -> Result<u32, Refusal> {
    match request.parameter("DurationSeconds") {
        None | Some("") => Ok(USUAL),
        Some(written) => written.parse().map_err(|_| bad_duration(USUAL)),
    }
}

fn check_session_name(session_name: &str) -> Result<(), Refusal> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'@' | b'-' | b'_');
    if (2..=64).contains(&session_name.len()) && session_name.bytes().all(plain) {
        return Ok(());
    }
    Err(invalid("RoleSessionName", "The RoleSessionName is not valid."))
}

fn check_optional(request: &Request) -> Result<(), Refusal> {
    for (name, shortest, longest) in OPTIONAL_LENGTHS {
        let length = request.parameter(name).map(|value| value.chars().count());
        if length.is_some_and(|length| !(shortest..=longest).contains(&length)) {
            return Err(invalid(name, format!("The {name} is not valid.")));
        }
    }
    Ok(())
}

/// Checks the caller's right. An account's own key may not assume roles, whichever rights it has otherwise.
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

/// Refuses a duration. The documented message writes the maximum as `1hr`; this assumes that other whole
/// hours read alike, and that any other maximum is in minutes, as the minimum is.
fn bad_duration(max: u32) -> Refusal {
    let max = if max.is_multiple_of(3600) { format!("{}hr", max / 3600) } else { format!("{}min", max / 60) };
    invalid("DurationSeconds", format!("The Min/Max value of DurationSeconds is 15min/{max}."))
}

fn invalid(ending: &str, message: impl Into<String>) -> Refusal {
    Refusal::new(400, format!("InvalidParameter.{ending}"), message)
}

/// Derives RAM's numeric ID of a role: the same number for the same role at all times.
fn role_id(arn: &str) -> String {
    let digits =
        sha256(arn.as_bytes()).bytes().map(|byte| char::from(b'0' + byte % 10)).take(17).collect::<String>();
    format!("3{digits}")
}
