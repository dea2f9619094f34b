//! The Secrets in the controller's own namespace that store minted credentials, so that a restart mints nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::join_all;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use tracing::warn;

use super::error::{CallError, call};
use crate::api::names;
use crate::model::Credential;
use crate::model::credential::Origin;
use crate::plan::credential_cache::shards::{Layout, count_up_to};
use crate::plan::credential_cache::{SavedCredential, SavedCredentials};

/// Key of the Secrets' data.
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

/// Reads and writes the Secrets.
#[derive(Clone)]
pub struct Store {
    secrets: Api<Secret>,
    namespace: Box<str>,
    known: Arc<Mutex<KnownShards>>,
}

/// What the shards hold, as far as this process read or wrote them.
#[derive(Default)]
struct KnownShards {
    shards: [KnownShard; names::CACHE_SECRET_NAMES.len()],
    /// Number of shards in use.
    count: usize,
}

#[derive(Clone, Default)]
struct KnownShard {
    /// The version that was read or written last. A write in flight while another replica takes over must not restore
    /// older tokens.
    version: Option<String>,
    /// A digest of the content that was read or written last; `None` where there is none.
    content: Option<u64>,
}

/// The result of [`Store::save`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Number of credentials that no Secret has room for.
    pub left_out: usize,
}

/// The new content of one shard.
struct ShardContent {
    shard: usize,
    bytes: Vec<u8>,
}

impl Store {
    /// Creates a store for a namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            secrets: Api::namespaced(client, namespace),
            namespace: namespace.into(),
            known: Arc::default(),
        }
    }

    /// Reads the stored credentials. Unreadable content counts as empty: its credentials are minted again.
    ///
    /// # Errors
    /// [`CallError`]. RBAC of an earlier version grants the first Secret alone; the others count as absent then.
    pub async fn load(&self) -> Result<SavedCredentials, CallError> {
        let reads = (0..names::CACHE_SECRET_NAMES.len()).map(|shard| self.load_shard(shard));
        let (mut all, mut last) = (SavedCredentials::new(), 0);
        for (shard, read) in join_all(reads).await.into_iter().enumerate() {
            let saved = match read {
                Err(CallError::Forbidden(error)) if shard > 0 => {
                    warn!(%error, "a part of the token cache may not be read; apply deploy/rbac.yaml of this version");
                    continue;
                }
                read => read?,
            };
            if !saved.is_empty() {
                last = shard;
            }
            saved.into_iter().for_each(|(id, saved)| merge(&mut all, id, saved));
        }
        self.known().count = count_up_to(last);
        Ok(all)
    }

    /// Writes the credentials, also if a Secret was changed or deleted meanwhile. They belong to this controller alone,
    /// and only the holder of the lease sends writes. A Secret whose content stays is not written.
    ///
    /// # Errors
    /// The first [`CallError`]. Secrets that were not written are tried again with the next save.
    pub async fn save(&self, tokens: &SavedCredentials) -> Result<Saved, CallError> {
        let entries = render(tokens);
        let lengths = entries.iter().map(|(id, entry)| (*id, entry.get().len())).collect();
        let before = self.known().count;
        let layout = Layout::of(&lengths, before);
        let contents = self.changed(&layout, &entries);
        if layout.count == before {
            // One that hangs delays no other.
            let writes = contents.iter().map(|content| self.write(content));
            join_all(writes).await.into_iter().collect::<Result<Vec<()>, _>>()?;
        } else {
            // What moves is written to its new place before it goes from the old one.
            let grows = layout.count > before;
            let (first, second): (Vec<_>, Vec<_>) =
                contents.iter().partition(|content| (content.shard >= before.min(layout.count)) == grows);
            for content in first.into_iter().chain(second) {
                self.write(content).await?;
            }
            self.known().count = layout.count;
        }
        Ok(Saved { left_out: layout.left_out })
    }

    /// Returns the shards whose content changes.
    fn changed(&self, layout: &Layout<'_>, entries: &StoredEntries<'_>) -> Vec<ShardContent> {
        let known = self.known();
        let contents = (0..known.shards.len()).map(|shard| {
            let ids = layout.shards.get(shard).into_iter().flatten();
            let entries: StoredEntries<'_> =
                ids.filter_map(|id| entries.get_key_value(id)).map(|(id, e)| (*id, e.clone())).collect();
            // Raw JSON always serializes.
            let bytes = serde_json::to_vec(&entries).unwrap_or_default();
            (entries.is_empty(), ShardContent { shard, bytes })
        });
        let differs = |(is_empty, content): &(bool, ShardContent)| match known.shards[content.shard].content {
            Some(known) => known != digest(&content.bytes),
            None => !is_empty,
        };
        contents.filter(differs).map(|(_, content)| content).collect()
    }

    async fn load_shard(&self, shard: usize) -> Result<SavedCredentials, CallError> {
        let secret = call(self.secrets.get_opt(names::CACHE_SECRET_NAMES[shard])).await?;
        let version = secret.as_ref().and_then(|secret| secret.metadata.resource_version.clone());
        let bytes = secret.and_then(|s| s.data).and_then(|mut data| data.remove(KEY));
        let content = bytes.as_ref().map(|bytes| digest(&bytes.0));
        self.known().shards[shard] = KnownShard { version, content };
        Ok(parse(&bytes.unwrap_or_default()))
    }

    async fn write(&self, content: &ShardContent) -> Result<(), CallError> {
        match self.apply(content).await {
            Err(CallError::Conflict) => {
                self.load_shard(content.shard).await?;
                self.apply(content).await
            }
            written => written,
        }
    }

    async fn apply(&self, content: &ShardContent) -> Result<(), CallError> {
        let ShardContent { shard, bytes } = content;
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": names::CACHE_SECRET_NAMES[*shard],
                "namespace": self.namespace,
                "labels": { names::LABEL_MANAGED_BY: names::MANAGER },
            },
            "type": "Opaque",
            "data": { KEY: ByteString(bytes.clone()) },
        });
        if let Some(version) = self.known().shards[*shard].version.clone() {
            object["metadata"]["resourceVersion"] = version.into();
        }
        let params = PatchParams::apply(names::MANAGER).force();
        let patch = Patch::Apply(&object);
        let written = call(self.secrets.patch(names::CACHE_SECRET_NAMES[*shard], &params, &patch)).await?;
        let content = Some(digest(bytes));
        self.known().shards[*shard] = KnownShard { version: written.metadata.resource_version, content };
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, KnownShards> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds a saved credential. While shards are divided, one may be in two of them: the newer counts.
fn merge(all: &mut SavedCredentials, id: String, saved: SavedCredential) {
    let minted_at =
        |saved: &SavedCredential| saved.credential.as_ref().map(|credential| credential.minted_at);
    let kept = all.entry(id).or_default();
    if minted_at(kept) <= minted_at(&saved) {
        *kept = saved;
    }
}

/// Returns a digest that is compared within this process only.
fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
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

/// StoredEntries as JSON, by id.
type StoredEntries<'a> = BTreeMap<&'a str, Box<RawValue>>;

fn render(tokens: &SavedCredentials) -> StoredEntries<'_> {
    tokens
        .iter()
        .filter_map(|(id, kept)| {
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
            let stored = Stored { credential, domains: kept.domains.as_ref().map(|d| d.to_vec()) };
            // Strings and times always serialize.
            Some((id.as_str(), serde_json::value::to_raw_value(&stored).ok()?))
        })
        .collect()
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
        let saved = SavedCredentials::from([("id".to_owned(), kept)]);
        let back = parse(&ByteString(serde_json::to_vec(&render(&saved)).unwrap()));
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
