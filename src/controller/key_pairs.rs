//! The key pairs that bindings name: a bounded number is watched, and the rest is read.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use crate::cluster::error::call;
use crate::cluster::named_secret::{SecretData, SecretState};

/// The choice of the pairs to watch.
pub struct WatchedPairs;

impl WatchedPairs {
    /// Pairs that are watched at most.
    pub const MOST: usize = 64;

    /// Pairs that are read at the same time at most.
    pub const READS: usize = 8;

    /// Returns the pairs to watch among those that are named: the ones that are watched already, then by name.
    pub fn choose<'a>(
        named: &BTreeSet<Box<str>>,
        watched: impl Iterator<Item = &'a str>,
    ) -> BTreeSet<Box<str>> {
        let mut chosen: BTreeSet<Box<str>> = watched.map(Into::into).collect();
        let room = Self::MOST.saturating_sub(chosen.len());
        let new: Vec<_> = named.iter().filter(|name| !chosen.contains(*name)).take(room).cloned().collect();
        chosen.extend(new);
        chosen
    }
}

/// The digest of a pair; `None` where there is none.
type PairDigest = Option<[u8; 32]>;

/// The pairs that are read, each with what it held when it was last read.
pub struct ReadPairs {
    secrets: Api<Secret>,
    last: Mutex<HashMap<Box<str>, PairDigest>>,
}

impl ReadPairs {
    /// Returns the pairs in a namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { secrets: Api::namespaced(client, namespace), last: Mutex::default() }
    }

    /// Forgets what was read of other pairs than these.
    pub fn retain(&self, named: &BTreeSet<Box<str>>) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).retain(|name, _| named.contains(name));
    }

    /// Reads a pair. Returns whether it differs from what was last read; the first time it does not.
    pub async fn read(&self, secret: &str) -> (SecretState, bool) {
        let state = match call(self.secrets.get_opt(secret)).await {
            Ok(Some(found)) => SecretState::Present(Arc::new(SecretData::from(found))),
            Ok(None) => SecretState::Absent,
            Err(error) => SecretState::Refused(error),
        };
        let digest = match &state {
            SecretState::Present(data) => Some(digest(data)),
            SecretState::Absent => None,
            // What it holds is unknown.
            SecretState::Refused(_) => return (state, false),
        };
        let changed = self.note(secret, digest);
        (state, changed)
    }

    fn note(&self, secret: &str, digest: PairDigest) -> bool {
        let before = self.last.lock().unwrap_or_else(PoisonError::into_inner).insert(secret.into(), digest);
        before.is_some_and(|before| before != digest)
    }
}

fn digest(data: &SecretData) -> [u8; 32] {
    let mut hash = Sha256::new();
    for key in ["accessKeyId", "accessKeySecret"] {
        let value = data.get(key).map(ExposeSecret::expose_secret).unwrap_or_default();
        hash.update((value.len() as u64).to_be_bytes());
        hash.update(value);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kube::Client;

    use super::{ReadPairs, WatchedPairs};

    fn named(numbers: std::ops::Range<usize>) -> BTreeSet<Box<str>> {
        numbers.map(|number| format!("pair-{number:03}").into()).collect()
    }

    #[test]
    fn those_that_are_watched_stay_and_the_number_is_bounded() {
        let first = WatchedPairs::choose(&named(0..128), std::iter::empty());
        assert_eq!(first, named(0..64));
        let kept = named(100..110);
        let chosen = WatchedPairs::choose(&named(0..128), kept.iter().map(|name| &**name));
        assert_eq!(chosen.len(), WatchedPairs::MOST);
        assert!(chosen.is_superset(&kept) && chosen.is_superset(&named(0..54)));
        assert_eq!(WatchedPairs::choose(&named(0..3), std::iter::empty()), named(0..3));
    }

    #[tokio::test]
    async fn a_pair_counts_as_changed_from_the_second_read_on() {
        let service = tower::service_fn(|_: http::Request<kube::client::Body>| async {
            Ok::<_, tower::BoxError>(http::Response::new(axum::body::Body::empty()))
        });
        let pairs = ReadPairs::new(Client::new(service, "default"), "n");
        assert!(!pairs.note("a", None));
        assert!(!pairs.note("a", None));
        assert!(pairs.note("a", Some([1; 32])));
        assert!(!pairs.note("a", Some([1; 32])));
        pairs.retain(&BTreeSet::new());
        assert!(!pairs.note("a", Some([2; 32])));
    }
}
