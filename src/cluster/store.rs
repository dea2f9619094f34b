//! The Secret in the controller's own namespace that stores minted credentials, so that a restart mints nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::error::{CallError, call};
use crate::api::names;
use crate::model::Credential;
use crate::model::credential::Origin;
use crate::plan::credential_cache::{SavedCredential, SavedCredentials};

/// Key of the Secret's data.
const KEY: &str = "tokens.json";

/// One registry as stored. Its `Debug` shows no token.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credential: Option<StoredCredential>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    domains: Option<Vec<String>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredCredential {
    username: String,
    token: String,
    minted_at: Timestamp,
    expires_at: Timestamp,
    #[serde(default)]
    identity: Box<str>,
    #[serde(default)]
    endpoint: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_id: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remark: Option<Box<str>>,
}

impl fmt::Debug for StoredCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredCredential").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// Reads and writes the Secret.
#[derive(Clone)]
pub struct Store {
    secrets: Api<Secret>,
    namespace: Box<str>,
    /// The version that was read or written last. A write in flight while another replica takes over must not restore
    /// older tokens.
    version: Arc<Mutex<Option<String>>>,
}

impl Store {
    /// Creates a store for a namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        let secrets = Api::namespaced(client, namespace);
        Self { secrets, namespace: namespace.into(), version: Arc::default() }
    }

    /// Reads the stored credentials. Unreadable content counts as empty: its credentials are minted again.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn load(&self) -> Result<SavedCredentials, CallError> {
        let secret = call(self.secrets.get_opt(names::CACHE_SECRET_NAME)).await?;
        *self.version() = secret.as_ref().and_then(|secret| secret.metadata.resource_version.clone());
        let bytes = secret.and_then(|s| s.data).and_then(|mut data| data.remove(KEY)).unwrap_or_default();
        Ok(parse(&bytes))
    }

    /// Writes the credentials, also if the Secret was changed or deleted meanwhile. It belongs to this controller
    /// alone, and only the holder of the lease sends writes.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn save(&self, tokens: &SavedCredentials) -> Result<(), CallError> {
        match self.apply(tokens).await {
            Err(CallError::Conflict) => {
                self.load().await?;
                self.apply(tokens).await
            }
            written => written,
        }
    }

    async fn apply(&self, tokens: &SavedCredentials) -> Result<(), CallError> {
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": names::CACHE_SECRET_NAME,
                "namespace": self.namespace,
                "labels": { names::LABEL_MANAGED_BY: names::MANAGER },
            },
            "type": "Opaque",
            "data": { KEY: ByteString(render(tokens)) },
        });
        if let Some(version) = self.version().clone() {
            object["metadata"]["resourceVersion"] = version.into();
        }
        let params = PatchParams::apply(names::MANAGER).force();
        let patch = Patch::Apply(&object);
        let written = call(self.secrets.patch(names::CACHE_SECRET_NAME, &params, &patch)).await?;
        *self.version() = written.metadata.resource_version;
        Ok(())
    }

    fn version(&self) -> MutexGuard<'_, Option<String>> {
        self.version.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(bytes: &ByteString) -> SavedCredentials {
    let stored: BTreeMap<String, Stored> = serde_json::from_slice(&bytes.0).unwrap_or_default();
    let keep = |stored: Stored| SavedCredential {
        credential: stored.credential.map(|c| {
            Arc::new(Credential {
                username: c.username,
                token: SecretString::from(c.token),
                minted_at: c.minted_at,
                expires_at: c.expires_at,
                origin: Origin {
                    identity: c.identity,
                    endpoint: c.endpoint,
                    key_id: c.key_id,
                    remark: c.remark,
                },
            })
        }),
        domains: stored.domains.map(Into::into),
    };
    stored.into_iter().map(|(id, stored)| (id, keep(stored))).collect()
}

fn render(tokens: &SavedCredentials) -> Vec<u8> {
    let stored: BTreeMap<&String, Stored> = tokens
        .iter()
        .map(|(id, kept)| {
            let credential = kept.credential.as_ref().map(|c| StoredCredential {
                username: c.username.clone(),
                token: c.token.expose_secret().to_owned(),
                minted_at: c.minted_at,
                expires_at: c.expires_at,
                identity: c.origin.identity.clone(),
                endpoint: c.origin.endpoint.clone(),
                key_id: c.origin.key_id.clone(),
                remark: c.origin.remark.clone(),
            });
            (id, Stored { credential, domains: kept.domains.as_ref().map(|d| d.to_vec()) })
        })
        .collect();
    // Strings and times always serialize.
    serde_json::to_vec(&stored).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{SavedCredential, SavedCredentials, parse, render};
    use crate::model::Credential;
    use crate::model::credential::Origin;
    use k8s_openapi::ByteString;
    use k8s_openapi::jiff::Timestamp;
    use secrecy::ExposeSecret;
    use std::sync::Arc;

    #[test]
    fn stored_credentials_are_restored() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let origin = Origin {
            identity: "worker-role".into(),
            endpoint: "cr.example".into(),
            key_id: Some("LTAI".into()),
            remark: Some("r".into()),
        };
        let credential = Credential {
            username: "u".into(),
            token: "t:1".into(),
            minted_at: at(1),
            expires_at: at(2),
            origin: origin.clone(),
        };
        let kept = SavedCredential {
            credential: Some(Arc::new(credential)),
            domains: Some(Arc::from(["d".to_owned()])),
        };
        let back = parse(&ByteString(render(&SavedCredentials::from([("id".to_owned(), kept)]))));
        let credential = back["id"].credential.as_ref().unwrap();
        assert_eq!(credential.token.expose_secret(), "t:1");
        assert_eq!((credential.minted_at, credential.expires_at), (at(1), at(2)));
        assert_eq!(credential.origin, origin);
        assert_eq!(back["id"].domains.as_deref(), Some(&["d".to_owned()][..]));
    }

    #[test]
    fn a_cache_of_invalid_json_is_empty() {
        assert!(parse(&ByteString(b"{\"id\": 5".to_vec())).is_empty());
    }
}
