//! An AccessKey that signs requests.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;

/// An AccessKey, of a user or of a session. `Debug` shows neither secret nor token.
#[derive(Clone, Debug)]
pub(super) struct AccessKey {
    /// Owner of the key, for messages: `the worker role W`, or `the role <ARN>`.
    pub(super) holder: Arc<str>,
    /// AccessKeyId, which is not secret.
    pub(super) id: String,
    /// AccessKeySecret.
    pub(super) secret: SecretString,
    /// SecurityToken of a session, sent with every request. `None` for a user's permanent key.
    pub(super) token: Option<SecretString>,
    /// Time from which the cloud rejects the key; `Timestamp::MAX` for a permanent one.
    pub(super) expires_at: Timestamp,
}

#[cfg(test)]
impl AccessKey {
    /// Returns a session key for tests, owned by `holder`.
    pub(super) fn sample(holder: &str) -> Self {
        Self {
            holder: holder.into(),
            id: "STS.sample".to_owned(),
            secret: SecretString::from("sample-secret"),
            token: Some(SecretString::from("sample-token")),
            expires_at: Timestamp::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AccessKey;

    #[test]
    fn debug_output_contains_neither_secret_nor_token() {
        let printed = format!("{:?}", AccessKey::sample("W"));
        assert!(!printed.contains("sample-secret") && !printed.contains("sample-token"), "{printed}");
    }
}
