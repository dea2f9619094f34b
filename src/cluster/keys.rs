//! The Secrets in the controller's own namespace that hold the AccessKey pairs of the ConfigMap.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Client, ResourceExt};
use secrecy::ExposeSecret;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::error::{CallError, call};
use super::owned::is_labelled;
use crate::api::names;
use crate::model::legacy::{KeyPair, MAX_KEY_PAIRS, key_secret_name};

/// Writes these Secrets. RBAC and the admission policy name each one.
pub struct KeySecrets {
    secrets: Api<Secret>,
    namespace: Box<str>,
    /// The digests of the pairs that their Secrets hold, as far as that is known.
    held: Mutex<HashMap<Box<str>, HeldDigest>>,
}

type HeldDigest = [u8; 32];

impl KeySecrets {
    /// Creates a writer for a namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            secrets: Api::namespaced(client, namespace),
            namespace: namespace.into(),
            held: Mutex::default(),
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Box<str>, HeldDigest>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what these Secrets hold: each is read again.
    pub fn forget(&self, names: &BTreeSet<Box<str>>) {
        self.held().retain(|name, _| !names.contains(name));
    }

    /// Creates or updates the Secret of each pair. A Secret that is up to date is not written, and one that is known to be
    /// is not read.
    ///
    /// # Errors
    /// [`CallError`] of the first that cannot be written.
    pub async fn put(&self, pairs: &[KeyPair]) -> Result<(), CallError> {
        for pair in pairs {
            let digest = digest(pair);
            if self.held().get(&*pair.secret_name) == Some(&digest) {
                continue;
            }
            let existing = call(self.secrets.get_opt(&pair.secret_name)).await?;
            if existing.is_some_and(|secret| holds(&secret, pair)) {
                self.held().insert(pair.secret_name.as_str().into(), digest);
                continue;
            }
            let object = json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": pair.secret_name,
                    "namespace": self.namespace,
                    "labels": { names::LABEL_MANAGED_BY: names::MANAGER },
                },
                "type": "Opaque",
                "stringData": {
                    "accessKeyId": pair.access_key_id.expose_secret(),
                    "accessKeySecret": pair.access_key_secret.expose_secret(),
                },
            });
            let params = PatchParams::apply(names::MANAGER).force();
            call(self.secrets.patch(&pair.secret_name, &params, &Patch::Apply(&object))).await?;
            self.held().insert(pair.secret_name.as_str().into(), digest);
        }
        Ok(())
    }

    /// Deletes those that are not wanted: a key pair must not outlive the ConfigMap that it was copied from.
    ///
    /// # Errors
    /// [`CallError`] of the first that cannot be deleted.
    pub async fn delete_all_but(&self, wanted: &BTreeSet<String>) -> Result<(), CallError> {
        let unwanted = (0..MAX_KEY_PAIRS).map(key_secret_name).filter(|name| !wanted.contains(name));
        let unwanted = self.made(unwanted).await?;
        self.delete(&unwanted).await
    }

    /// Returns all Secrets that the controller created in its own namespace: the key pairs and the token cache's shards.
    ///
    /// # Errors
    /// [`CallError`] of the first that cannot be read.
    pub async fn all(&self) -> Result<Vec<Secret>, CallError> {
        let cache = names::CACHE_SECRET_NAMES.map(str::to_owned);
        self.made((0..MAX_KEY_PAIRS).map(key_secret_name).chain(cache)).await
    }

    /// Returns the Secrets of these names that the controller created.
    async fn made(&self, named: impl Iterator<Item = String>) -> Result<Vec<Secret>, CallError> {
        let mut made = Vec::new();
        for name in named {
            let existing = call(self.secrets.get_opt(&name)).await?;
            made.extend(existing.filter(is_labelled));
        }
        Ok(made)
    }

    /// Deletes these Secrets, unless others of their names replaced them.
    ///
    /// # Errors
    /// [`CallError`] of the first that cannot be deleted.
    pub async fn delete(&self, secrets: &[Secret]) -> Result<(), CallError> {
        for secret in secrets {
            let preconditions = Preconditions { uid: secret.uid(), resource_version: None };
            let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            self.held().remove(&*secret.name_any());
            match call(self.secrets.delete(&secret.name_any(), &params)).await {
                Ok(_) | Err(CallError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn digest(pair: &KeyPair) -> HeldDigest {
    let mut hash = Sha256::new();
    for value in [&pair.access_key_id, &pair.access_key_secret] {
        let value = value.expose_secret();
        hash.update((value.len() as u64).to_be_bytes());
        hash.update(value);
    }
    hash.finalize().into()
}

fn holds(secret: &Secret, pair: &KeyPair) -> bool {
    let value = |key: &str| secret.data.as_ref()?.get(key).map(|bytes| bytes.0.as_slice());
    value("accessKeyId") == Some(pair.access_key_id.expose_secret().as_bytes())
        && value("accessKeySecret") == Some(pair.access_key_secret.expose_secret().as_bytes())
        && is_labelled(secret)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::{Arc, Mutex};

    use kube::Client;
    use serde_json::json;

    use super::KeySecrets;
    use crate::model::legacy::KeyPair;

    /// Returns the Secrets of an API server that answers each read with one of this pair, and the methods that it was asked by.
    fn secrets(held: &'static str) -> (KeySecrets, impl Fn() -> Vec<String>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            log.lock().unwrap().push(request.method().to_string());
            let secret = json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": { "name": "pair", "labels": { "app.kubernetes.io/managed-by": "acr-credential-controller" } },
                "data": { "accessKeyId": k8s_openapi::ByteString(held.into()), "accessKeySecret": "cw==" },
            });
            let body = axum::body::Body::from(serde_json::to_vec(&secret).unwrap());
            async { Ok::<_, tower::BoxError>(http::Response::new(body)) }
        });
        let taken = move || std::mem::take(&mut *asked.lock().unwrap());
        (KeySecrets::new(Client::new(service, "n"), "n"), taken)
    }

    fn pair(id: &str) -> [KeyPair; 1] {
        [KeyPair { secret_name: "pair".into(), access_key_id: id.into(), access_key_secret: "s".into() }]
    }

    #[tokio::test]
    async fn a_pair_is_read_when_it_is_new_or_changed() {
        let (keys, asked) = secrets("i");
        keys.put(&pair("i")).await.unwrap();
        assert_eq!(asked(), ["GET"]);
        keys.put(&pair("i")).await.unwrap();
        assert_eq!(asked(), [""; 0], "it is known");
        keys.put(&pair("j")).await.unwrap();
        assert_eq!(asked(), ["GET", "PATCH"], "another pair");
        keys.put(&pair("j")).await.unwrap();
        assert_eq!(asked(), [""; 0], "it was written");
        keys.forget(&BTreeSet::from(["other".into()]));
        keys.put(&pair("j")).await.unwrap();
        assert_eq!(asked(), [""; 0]);
        keys.forget(&BTreeSet::from(["pair".into()]));
        keys.put(&pair("j")).await.unwrap();
        assert_eq!(asked(), ["GET", "PATCH"], "its Secret changed, and holds another pair");
        keys.delete_all_but(&BTreeSet::from(["acr-configuration-0".to_owned()])).await.unwrap();
        assert!(asked().contains(&"DELETE".to_owned()));
        keys.put(&pair("j")).await.unwrap();
        assert_eq!(asked(), ["GET", "PATCH"], "it was deleted");
    }
}
