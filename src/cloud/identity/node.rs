//! The worker role of the node, from its metadata service.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::AccessKey;
use super::metadata::{Answer, Metadata, TICKET_SECONDS};
use crate::api::condition::Reason;
use crate::cloud::error::{Failure, Retry, SetupError};
use crate::cloud::single_flight::{Held, IfRenewalFails, SingleFlight};

const ROLES: &str = "ram/security-credentials/";

/// The longest remainder of life at which a key is renewed. Longer than the usual threshold, or a token that is minted
/// with a key about to end would be due again with it.
const LEAD: SignedDuration = SignedDuration::from_mins(30);

/// The service may go on showing a key that is due; then it is asked again no sooner than this.
const PAUSE: SignedDuration = SignedDuration::from_secs(60);

/// A metadata token is replaced when four fifths of its life have passed.
const TICKET_LIFE: SignedDuration = SignedDuration::from_secs(TICKET_SECONDS as i64 / 5 * 4);

/// The worker role's key, cached.
///
/// # Guarantees
/// - Renewed when a third of its life or 30 minutes remain, whichever is less.
/// - A renewal that fails goes unnoticed until the key truly ends.
#[derive(Debug)]
pub(super) struct Node {
    metadata: Metadata,
    ticket: Mutex<Option<Ticket>>,
    single_flight: SingleFlight,
}

#[derive(Clone, Debug)]
struct Ticket {
    value: SecretString,
    renew_at: Timestamp,
}

/// The service's answer. Not `Debug`: it holds a session.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Document {
    code: String,
    access_key_id: String,
    access_key_secret: String,
    security_token: String,
    expiration: String,
    last_updated: Option<String>,
}

impl Node {
    /// Nothing is asked for yet.
    pub(super) fn new(endpoint: &str) -> Result<Self, SetupError> {
        Ok(Self {
            metadata: Metadata::new(endpoint)?,
            ticket: Mutex::default(),
            single_flight: SingleFlight::default(),
        })
    }

    /// The key of the node's role.
    ///
    /// # Errors
    /// `NoIdentity`, if the node has no role or its metadata service does not answer as documented.
    pub(super) async fn key(&self, now: Timestamp) -> Result<AccessKey, Failure> {
        self.single_flight.get(now, IfRenewalFails::KeepOld, self.fetch(now)).await
    }

    /// Drops a key that the cloud refused.
    pub(super) fn forget(&self, key: &AccessKey) {
        self.single_flight.forget(key);
    }

    /// The role is looked up each time, since it can be changed while the node runs.
    async fn fetch(&self, now: Timestamp) -> Result<Held, Failure> {
        let role = match self.read(ROLES, now).await? {
            Answer { status: 200, body } if is_role(&body) => body,
            Answer { status: 200, .. } => {
                return Err(self.metadata.unexpected("answers what is no role's name"));
            }
            Answer { status: 404, .. } => {
                let message = "the node has no RAM role; grant the node a RAM role (worker role)";
                return Err(Failure::new(Reason::NoIdentity, Retry::Rarely, message));
            }
            Answer { status, .. } => {
                return Err(self
                    .metadata
                    .unexpected(&format!("answers HTTP {status} to a request for the node's role")));
            }
        };
        match self.read(&format!("{ROLES}{role}"), now).await? {
            Answer { status: 200, body } => read(&body, &role, now)
                .map_err(|what| self.metadata.unexpected(&format!("{what} for the role {role}"))),
            Answer { status, .. } => Err(self
                .metadata
                .unexpected(&format!("answers HTTP {status} to a request for the key of the role {role}"))),
        }
    }

    /// One document. A token that is not accepted any more, such as after the node was moved, is replaced once.
    async fn read(&self, path: &str, now: Timestamp) -> Result<Answer, Failure> {
        let answer = self.metadata.get(path, self.ticket(now).await?.as_ref()).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        *self.ticket.lock().await = None;
        self.metadata.get(path, self.ticket(now).await?.as_ref()).await
    }

    async fn ticket(&self, now: Timestamp) -> Result<Option<SecretString>, Failure> {
        let mut held = self.ticket.lock().await;
        if let Some(ticket) = held.as_ref().filter(|ticket| now < ticket.renew_at) {
            return Ok(Some(ticket.value.clone()));
        }
        let value = self.metadata.ticket().await?;
        *held = value.clone().map(|value| Ticket { value, renew_at: now + TICKET_LIFE });
        Ok(value)
    }
}

/// What RAM allows as a role's name. A page of HTML is none, and nothing that could change the path is.
fn is_role(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=64).contains(&text.len()) && text.chars().all(plain) && text.chars().any(|c| c != '.')
}

/// Why a document is unreadable is not told further: such texts quote it.
fn read(body: &str, role: &str, now: Timestamp) -> Result<Held, &'static str> {
    let document: Document = serde_json::from_str(body).map_err(|_| "answers what is no key")?;
    if document.code != "Success" {
        return Err("answers a Code other than Success");
    }
    let Document { access_key_id, access_key_secret, security_token, expiration, last_updated, .. } =
        document;
    if [&access_key_id, &access_key_secret, &security_token].iter().any(|field| field.is_empty()) {
        return Err("answers an incomplete key");
    }
    let expires_at: Timestamp =
        expiration.parse().map_err(|_| "answers a key without a readable Expiration")?;
    if expires_at <= now {
        return Err("answers a key that has ended already (check the node's clock)");
    }
    let began = last_updated.and_then(|text| text.parse().ok()).unwrap_or(now).min(now);
    let lead = (expires_at.duration_since(began) / 3).min(LEAD);
    let key = AccessKey {
        holder: format!("the worker role {role}").into(),
        id: access_key_id,
        secret: SecretString::from(access_key_secret),
        token: Some(SecretString::from(security_token)),
        expires_at,
    };
    Ok(Held { key, renew_at: (expires_at - lead).max(now + PAUSE).min(expires_at) })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use secrecy::ExposeSecret;
    use serde_json::{Value, json};

    use super::{is_role, read};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn document() -> Value {
        json!({
            "AccessKeyId": "STS.id", "AccessKeySecret": "secret", "SecurityToken": "token", "Code": "Success",
            "Expiration": "2024-11-08T09:44:50Z", "LastUpdated": "2024-11-08T03:44:50Z",
        })
    }

    #[test]
    fn a_document_is_read_whole() {
        let held = read(&document().to_string(), "W", at("2024-11-08T04:00:00Z")).unwrap();
        assert_eq!((held.key.id.as_str(), &*held.key.holder), ("STS.id", "the worker role W"));
        assert_eq!(held.key.secret.expose_secret(), "secret");
        assert_eq!(held.key.token.unwrap().expose_secret(), "token");
        assert_eq!(held.key.expires_at, at("2024-11-08T09:44:50Z"));
    }

    #[test]
    fn a_key_is_renewed_when_a_third_of_its_life_or_30_minutes_remain() {
        for (began, expires, now, renew_at) in [
            // Six hours: 30 minutes before the end.
            ("03:44:50", "09:44:50", "04:00:00", "09:14:50"),
            // Half an hour: ten minutes before.
            ("04:00:00", "04:30:00", "04:00:00", "04:20:00"),
            // Due already and shown again: not at every ask.
            ("03:44:50", "09:44:50", "09:40:00", "09:41:00"),
            // Almost over: at its end.
            ("03:44:50", "09:44:50", "09:44:30", "09:44:50"),
            // A clock behind the service's: life is counted from now.
            ("04:10:00", "04:40:00", "04:00:00", "04:26:40"),
        ] {
            let mut document = document();
            document["LastUpdated"] = json!(format!("2024-11-08T{began}Z"));
            document["Expiration"] = json!(format!("2024-11-08T{expires}Z"));
            let held = read(&document.to_string(), "W", at(&format!("2024-11-08T{now}Z"))).unwrap();
            assert_eq!(
                held.renew_at,
                at(&format!("2024-11-08T{renew_at}Z")),
                "{began} to {expires} at {now}"
            );
        }
    }

    #[test]
    fn what_is_no_living_key_is_refused_and_not_quoted() {
        for (field, value) in [
            ("Code", json!("Failed")),
            ("Code", Value::Null),
            ("AccessKeyId", json!("")),
            ("AccessKeySecret", json!("")),
            ("SecurityToken", json!("")),
            ("Expiration", json!("later")),
            ("Expiration", json!("2024-11-08T04:00:00Z")),
        ] {
            let mut document = document();
            document[field] = value.clone();
            let error = read(&document.to_string(), "W", at("2024-11-08T04:00:00Z")).unwrap_err();
            assert!(!error.contains("secret") && !error.contains("token"), "{field} {value}: {error}");
        }
        for body in ["", "<html>secret</html>", "[]", "{\"Code\":"] {
            assert!(read(body, "W", at("2024-11-08T04:00:00Z")).is_err(), "{body}");
        }
    }

    #[test]
    fn a_role_is_told_from_a_page() {
        for (text, expected) in [
            ("KubernetesWorkerRole-1a_b.c", true),
            ("", false),
            ("..", false),
            ("a/b", false),
            ("a\nb", false),
            ("<html>", false),
            ("a b", false),
        ] {
            assert_eq!(is_role(text), expected, "{text}");
        }
    }
}
