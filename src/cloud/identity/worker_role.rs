//! The node's worker role, from the metadata service.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::metadata::{MetadataClient, MetadataReply, TOKEN_SECONDS};
use crate::api::condition::Reason;
use crate::cloud::access_key::AccessKey;
use crate::cloud::error::{CloudError, Retry, SetupError};
use crate::cloud::single_flight::{IfRenewalFails, RenewableKey, SingleFlight};

const ROLES_PATH: &str = "ram/security-credentials/";

/// Maximum time before a key's expiry at which it is renewed. It exceeds the default refresh threshold. Otherwise a
/// credential that is minted shortly before the key expires would be due at once.
const MAX_LEAD: SignedDuration = SignedDuration::from_mins(30);

/// Minimum pause between renewals, for a service that still returns the key that is due.
const RENEWAL_PAUSE: SignedDuration = SignedDuration::from_secs(60);

/// Time after which a metadata token is replaced: four fifths of its lifetime.
const TOKEN_RENEWAL: SignedDuration = SignedDuration::from_secs(TOKEN_SECONDS as i64 / 5 * 4);

/// The worker role's key, cached.
///
/// # Guarantees
/// - The key is renewed when a third of its lifetime or 30 minutes remain, whichever is less.
/// - A failed renewal has no effect until the key expires.
#[derive(Debug)]
pub(super) struct WorkerRole {
    metadata: MetadataClient,
    token: Mutex<Option<MetadataToken>>,
    key: SingleFlight,
}

#[derive(Clone, Debug)]
struct MetadataToken {
    value: SecretString,
    renew_at: Timestamp,
}

/// The service's reply for a role. Not `Debug`: it contains a session.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct RoleCredentials {
    code: String,
    access_key_id: String,
    access_key_secret: String,
    security_token: String,
    expiration: String,
    last_updated: Option<String>,
}

impl WorkerRole {
    /// Creates an empty cache for the metadata service at `endpoint`. Sends no request.
    pub(super) fn new(endpoint: &str) -> Result<Self, SetupError> {
        Ok(Self {
            metadata: MetadataClient::new(endpoint)?,
            token: Mutex::default(),
            key: SingleFlight::default(),
        })
    }

    /// Returns the key of the node's role.
    ///
    /// # Errors
    /// `NoIdentity`, if the node has no role or its metadata service does not answer as documented.
    pub(super) async fn key(&self, now: Timestamp) -> Result<AccessKey, CloudError> {
        self.key.get(now, IfRenewalFails::KeepOld, self.fetch(now)).await
    }

    /// Drops a key that the cloud rejected.
    pub(super) fn invalidate(&self, key: &AccessKey) {
        self.key.invalidate(key);
    }

    /// Fetches the key. The role's name is read each time, since the role can change while the node runs.
    async fn fetch(&self, now: Timestamp) -> Result<RenewableKey, CloudError> {
        let role = match self.read(ROLES_PATH, now).await? {
            MetadataReply { status: 200, body } if is_role_name(&body) => body,
            MetadataReply { status: 200, .. } => {
                return Err(self.metadata.unexpected("returns a role name that is not valid"));
            }
            MetadataReply { status: 404, .. } => {
                let message = "the node has no RAM role; grant the node a RAM role (worker role)";
                return Err(CloudError::new(Reason::NoIdentity, Retry::Rarely, message));
            }
            MetadataReply { status, .. } => {
                return Err(self
                    .metadata
                    .unexpected(&format!("answers HTTP {status} to a request for the node's role")));
            }
        };
        match self.read(&format!("{ROLES_PATH}{role}"), now).await? {
            MetadataReply { status: 200, body } => parse_key(&body, &role, now)
                .map_err(|problem| self.metadata.unexpected(&format!("{problem} for the role {role}"))),
            MetadataReply { status, .. } => Err(self
                .metadata
                .unexpected(&format!("answers HTTP {status} to a request for the key of the role {role}"))),
        }
    }

    /// Reads one path. Replaces the metadata token once if the service rejects it, such as after a node's migration.
    async fn read(&self, path: &str, now: Timestamp) -> Result<MetadataReply, CloudError> {
        let reply = self.metadata.get(path, self.token(now).await?.as_ref()).await?;
        if reply.status != 401 {
            return Ok(reply);
        }
        *self.token.lock().await = None;
        self.metadata.get(path, self.token(now).await?.as_ref()).await
    }

    async fn token(&self, now: Timestamp) -> Result<Option<SecretString>, CloudError> {
        let mut cached = self.token.lock().await;
        if let Some(token) = cached.as_ref().filter(|token| now < token.renew_at) {
            return Ok(Some(token.value.clone()));
        }
        let value = self.metadata.token().await?;
        *cached = value.clone().map(|value| MetadataToken { value, renew_at: now + TOKEN_RENEWAL });
        Ok(value)
    }
}

/// Returns whether RAM allows the text as a role's name. This excludes HTML and any text that changes the path.
fn is_role_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=64).contains(&text.len()) && text.chars().all(plain) && text.chars().any(|c| c != '.')
}

/// Parses a key.
///
/// # Errors
/// The problem, which continues a sentence that begins with the service. It omits the parser's message, since such
/// messages quote the body.
fn parse_key(body: &str, role: &str, now: Timestamp) -> Result<RenewableKey, &'static str> {
    let credentials: RoleCredentials =
        serde_json::from_str(body).map_err(|_| "returns a key that is not valid JSON")?;
    if credentials.code != "Success" {
        return Err("returns a Code other than Success");
    }
    let RoleCredentials {
        access_key_id, access_key_secret, security_token, expiration, last_updated, ..
    } = credentials;
    if [&access_key_id, &access_key_secret, &security_token].iter().any(|field| field.is_empty()) {
        return Err("returns an incomplete key");
    }
    let expires_at: Timestamp = expiration.parse().map_err(|_| "returns a key without a valid Expiration")?;
    if expires_at <= now {
        return Err("returns a key that has already expired (check the node's clock)");
    }
    let issued_at = last_updated.and_then(|text| text.parse().ok()).unwrap_or(now).min(now);
    let lead = (expires_at.duration_since(issued_at) / 3).min(MAX_LEAD);
    let key = AccessKey {
        holder: format!("the worker role {role}").into(),
        id: access_key_id,
        secret: SecretString::from(access_key_secret),
        token: Some(SecretString::from(security_token)),
        expires_at,
    };
    Ok(RenewableKey { key, renew_at: (expires_at - lead).max(now + RENEWAL_PAUSE).min(expires_at) })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use secrecy::ExposeSecret;
    use serde_json::{Value, json};

    use super::{is_role_name, parse_key};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn reply() -> Value {
        json!({
            "AccessKeyId": "STS.id", "AccessKeySecret": "secret", "SecurityToken": "token", "Code": "Success",
            "Expiration": "2024-11-08T09:44:50Z", "LastUpdated": "2024-11-08T03:44:50Z",
        })
    }

    #[test]
    fn a_reply_is_parsed_with_all_its_fields() {
        let renewable = parse_key(&reply().to_string(), "W", at("2024-11-08T04:00:00Z")).unwrap();
        assert_eq!((renewable.key.id.as_str(), &*renewable.key.holder), ("STS.id", "the worker role W"));
        assert_eq!(renewable.key.secret.expose_secret(), "secret");
        assert_eq!(renewable.key.token.unwrap().expose_secret(), "token");
        assert_eq!(renewable.key.expires_at, at("2024-11-08T09:44:50Z"));
    }

    #[test]
    fn a_key_is_renewed_when_a_third_of_its_lifetime_or_30_minutes_remain() {
        for (began, expires, now, renew_at) in [
            // Six hours: 30 minutes before the expiry.
            ("03:44:50", "09:44:50", "04:00:00", "09:14:50"),
            // Half an hour: ten minutes before.
            ("04:00:00", "04:30:00", "04:00:00", "04:20:00"),
            // Due, but the service still returns it: not at every call.
            ("03:44:50", "09:44:50", "09:40:00", "09:41:00"),
            // About to expire: at its expiry.
            ("03:44:50", "09:44:50", "09:44:30", "09:44:50"),
            // The clock is behind the service's: the lifetime counts from now.
            ("04:10:00", "04:40:00", "04:00:00", "04:26:40"),
        ] {
            let mut reply = reply();
            reply["LastUpdated"] = json!(format!("2024-11-08T{began}Z"));
            reply["Expiration"] = json!(format!("2024-11-08T{expires}Z"));
            let renewable = parse_key(&reply.to_string(), "W", at(&format!("2024-11-08T{now}Z"))).unwrap();
            assert_eq!(
                renewable.renew_at,
                at(&format!("2024-11-08T{renew_at}Z")),
                "{began} to {expires} at {now}"
            );
        }
    }

    #[test]
    fn a_reply_without_a_valid_key_is_rejected_and_not_quoted() {
        for (field, value) in [
            ("Code", json!("Failed")),
            ("Code", Value::Null),
            ("AccessKeyId", json!("")),
            ("AccessKeySecret", json!("")),
            ("SecurityToken", json!("")),
            ("Expiration", json!("later")),
            ("Expiration", json!("2024-11-08T04:00:00Z")),
        ] {
            let mut reply = reply();
            reply[field] = value.clone();
            let error = parse_key(&reply.to_string(), "W", at("2024-11-08T04:00:00Z")).unwrap_err();
            assert!(!error.contains("secret") && !error.contains("token"), "{field} {value}: {error}");
        }
        for body in ["", "<html>secret</html>", "[]", "{\"Code\":"] {
            assert!(parse_key(body, "W", at("2024-11-08T04:00:00Z")).is_err(), "{body}");
        }
    }

    #[test]
    fn a_role_name_is_distinguished_from_a_page() {
        for (text, expected) in [
            ("KubernetesWorkerRole-1a_b.c", true),
            ("", false),
            ("..", false),
            ("a/b", false),
            ("a\nb", false),
            ("<html>", false),
            ("a b", false),
        ] {
            assert_eq!(is_role_name(text), expected, "{text}");
        }
    }
}
