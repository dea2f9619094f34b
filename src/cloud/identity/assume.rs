//! STS `AssumeRole`: opens a session of a role for a key that the role trusts. See `docs/contributing/cloud-api.md`,
//! "AssumeRole".

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::Deserialize;

use crate::cloud::access_key::AccessKey;
use crate::cloud::call::{Action, Call, CallAuth};
use crate::cloud::client::Client;
use crate::cloud::error::CallFailure;
use crate::cloud::hosts::Hosts;
use crate::cloud::single_flight::RenewableKey;
use crate::model::identity::Arn;

/// Session name, which the audit trail of the role's account records.
pub(super) const SESSION_NAME: &str = "acr-credential-controller";

/// Parameters of `AssumeRole`.
pub(super) struct AssumeRole<'a> {
    /// Hosts of STS.
    pub(super) sts: &'a Hosts,
    /// Role to assume.
    pub(super) role: &'a Arn,
    /// Duration of the session in seconds.
    pub(super) seconds: u32,
    /// Key that signs the call.
    pub(super) caller: &'a AccessKey,
    /// Time of the call.
    pub(super) now: Timestamp,
}

/// Reply of both STS actions. Not `Debug`: it contains a session.
#[derive(Deserialize)]
pub(super) struct AssumeRoleReply {
    #[serde(default, rename = "Credentials")]
    credentials: Option<SessionCredentials>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct SessionCredentials {
    access_key_id: String,
    access_key_secret: String,
    security_token: String,
    expiration: String,
}

/// Sends one signed call and returns the session's key.
///
/// # Errors
/// An error reply, or a reply without a valid session.
pub(super) async fn assume_role(
    client: &Client,
    request: &AssumeRole<'_>,
) -> Result<RenewableKey, CallFailure> {
    let seconds = request.seconds.to_string();
    let call = Call {
        action: Action::AssumeRole,
        host: request.sts.primary(),
        fallback_host: request.sts.fallback(),
        subject: request.role.as_str(),
        query: &[
            ("RoleArn", request.role.as_str()),
            ("RoleSessionName", SESSION_NAME),
            ("DurationSeconds", &seconds),
        ],
        auth: CallAuth::AccessKey(request.caller),
        now: request.now,
    };
    let (reply, _) = client.call::<AssumeRoleReply>(&call).await?;
    session(reply, request.role, request.now).map_err(|problem| CallFailure::Other(call.unexpected(problem)))
}

/// Converts a reply to the session's key, to be renewed after a third of its lifetime. A credential expires with the
/// session that mints it, so a later renewal would let the last credentials be valid for minutes only.
///
/// # Errors
/// The problem with the reply, as the beginning of a message.
pub(super) fn session(
    reply: AssumeRoleReply,
    role: &Arn,
    now: Timestamp,
) -> Result<RenewableKey, &'static str> {
    let credentials = reply.credentials.ok_or("the reply has no field Credentials")?;
    let SessionCredentials { access_key_id, access_key_secret, security_token, expiration } = credentials;
    if [&access_key_id, &access_key_secret, &security_token].iter().any(|field| field.is_empty()) {
        return Err("the reply has no complete Credentials");
    }
    let expires_at: Timestamp = expiration.parse().map_err(|_| "the reply has no valid field Expiration")?;
    let lifetime = expires_at.duration_since(now);
    if lifetime <= SignedDuration::ZERO {
        return Err("the returned session has already expired, check the node's clock");
    }
    let key = AccessKey {
        holder: format!("the role {}", role.as_str()).into(),
        id: access_key_id,
        secret: SecretString::from(access_key_secret),
        token: Some(SecretString::from(security_token)),
        expires_at,
    };
    Ok(RenewableKey { key, renew_at: now + lifetime / 3 })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use secrecy::ExposeSecret;
    use serde_json::{Value, json};

    use super::session;
    use crate::cloud::single_flight::RenewableKey;
    use crate::model::identity::Arn;

    fn reply() -> Value {
        json!({
            "RequestId": "r", "AssumedRoleUser": {"AssumedRoleId": "3:s", "Arn": "acs:ram::2:assumed-role/b/s"},
            "Credentials": {
                "AccessKeyId": "STS.id", "AccessKeySecret": "secret", "SecurityToken": "token",
                "Expiration": "2026-11-20T11:00:00Z",
            },
        })
    }

    fn parsed(reply: Value) -> Result<RenewableKey, &'static str> {
        let now: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        session(serde_json::from_value(reply).unwrap(), &Arn::role("acs:ram::2:role/b").unwrap(), now)
    }

    #[test]
    fn a_session_is_renewed_after_a_third_of_its_lifetime() {
        let RenewableKey { key, renew_at } = parsed(reply()).unwrap();
        assert_eq!((key.id.as_str(), &*key.holder), ("STS.id", "the role acs:ram::2:role/b"));
        assert_eq!(key.secret.expose_secret(), "secret");
        assert_eq!(key.token.unwrap().expose_secret(), "token");
        assert_eq!(key.expires_at, "2026-11-20T11:00:00Z".parse().unwrap());
        assert_eq!(renew_at, "2026-11-20T10:20:00Z".parse().unwrap());
    }

    #[test]
    fn a_reply_without_a_valid_session_is_rejected() {
        for (field, value) in [
            ("AccessKeyId", None),
            ("AccessKeySecret", None),
            ("SecurityToken", None),
            ("SecurityToken", Some("")),
            ("Expiration", None),
            ("Expiration", Some("soon")),
            ("Expiration", Some("2026-11-20T10:00:00Z")),
            ("Expiration", Some("2025-11-20T10:00:00Z")),
        ] {
            let mut reply = reply();
            let credentials = reply["Credentials"].as_object_mut().unwrap();
            match value {
                None => credentials.remove(field),
                Some(value) => credentials.insert(field.to_owned(), json!(value)),
            };
            assert!(parsed(reply).is_err(), "{field} {value:?}");
        }
        assert!(parsed(json!({"RequestId": "r"})).is_err());
    }
}
