//! STS `AssumeRole`: a session of a role, from a key that the role trusts.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::Deserialize;

use super::AccessKey;
use crate::cloud::call::{Action, At, By, Call};
use crate::cloud::client::Client;
use crate::cloud::error::Denial;
use crate::cloud::single_flight::Held;
use crate::model::identity::Arn;

/// Shows in the audit trail of the role's account.
pub(super) const SESSION_NAME: &str = "acr-credential-controller";

/// Who wants which session.
pub(super) struct Ask<'a> {
    /// STS.
    pub(super) at: At<'a>,
    /// The role.
    pub(super) role: &'a Arn,
    /// How long the session shall last.
    pub(super) seconds: u32,
    /// Who asks.
    pub(super) caller: &'a AccessKey,
    /// When.
    pub(super) now: Timestamp,
}

/// Not `Debug`: it holds a session.
#[derive(Deserialize)]
pub(super) struct Answer {
    #[serde(default, rename = "Credentials")]
    credentials: Option<Credentials>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Credentials {
    access_key_id: String,
    access_key_secret: String,
    security_token: String,
    expiration: String,
}

/// One signed call.
///
/// # Errors
/// What STS says, or an answer without a session that lives.
pub(super) async fn assume_role(client: &Client, ask: &Ask<'_>) -> Result<Held, Denial> {
    let seconds = ask.seconds.to_string();
    let call = Call {
        action: Action::AssumeRole,
        at: ask.at,
        subject: ask.role.as_str(),
        query: &[
            ("RoleArn", ask.role.as_str()),
            ("RoleSessionName", SESSION_NAME),
            ("DurationSeconds", &seconds),
        ],
        by: By::Key(ask.caller),
        now: ask.now,
    };
    let (answer, _) = client.call::<Answer>(&call).await?;
    read(answer, ask.role, ask.now).map_err(|what| Denial::Other(call.unexpected(what)))
}

/// A session is used for what is minted with it, and that ends when the session does. So it is renewed while two
/// thirds of its life remain, or the last token minted would live for minutes only.
pub(super) fn read(answer: Answer, role: &Arn, now: Timestamp) -> Result<Held, &'static str> {
    let credentials = answer.credentials.ok_or("an answer without Credentials")?;
    let Credentials { access_key_id, access_key_secret, security_token, expiration } = credentials;
    if [&access_key_id, &access_key_secret, &security_token].iter().any(|field| field.is_empty()) {
        return Err("an answer whose Credentials lack a field");
    }
    let expires_at: Timestamp = expiration.parse().map_err(|_| "an answer without a readable Expiration")?;
    let life = expires_at.duration_since(now);
    if life <= SignedDuration::ZERO {
        return Err("a session that has ended already; check the node's clock");
    }
    let key = AccessKey {
        holder: format!("the role {}", role.as_str()).into(),
        id: access_key_id,
        secret: SecretString::from(access_key_secret),
        token: Some(SecretString::from(security_token)),
        expires_at,
    };
    Ok(Held { key, renew_at: now + life / 3 })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use secrecy::ExposeSecret;
    use serde_json::{Value, json};

    use super::read;
    use crate::cloud::single_flight::Held;
    use crate::model::identity::Arn;

    fn answer() -> Value {
        json!({
            "RequestId": "r", "AssumedRoleUser": {"AssumedRoleId": "3:s", "Arn": "acs:ram::2:assumed-role/b/s"},
            "Credentials": {
                "AccessKeyId": "STS.id", "AccessKeySecret": "secret", "SecurityToken": "token",
                "Expiration": "2026-11-20T11:00:00Z",
            },
        })
    }

    fn parsed(answer: Value) -> Result<Held, &'static str> {
        let now: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        read(serde_json::from_value(answer).unwrap(), &Arn::role("acs:ram::2:role/b").unwrap(), now)
    }

    #[test]
    fn a_session_is_renewed_after_a_third_of_its_life() {
        let Held { key, renew_at } = parsed(answer()).unwrap();
        assert_eq!((key.id.as_str(), &*key.holder), ("STS.id", "the role acs:ram::2:role/b"));
        assert_eq!(key.secret.expose_secret(), "secret");
        assert_eq!(key.token.unwrap().expose_secret(), "token");
        assert_eq!(key.expires_at, "2026-11-20T11:00:00Z".parse().unwrap());
        assert_eq!(renew_at, "2026-11-20T10:20:00Z".parse().unwrap());
    }

    #[test]
    fn an_answer_without_a_session_that_lives_is_refused() {
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
            let mut answer = answer();
            let credentials = answer["Credentials"].as_object_mut().unwrap();
            match value {
                None => credentials.remove(field),
                Some(value) => credentials.insert(field.to_owned(), json!(value)),
            };
            assert!(parsed(answer).is_err(), "{field} {value:?}");
        }
        assert!(parsed(json!({"RequestId": "r"})).is_err());
    }
}
