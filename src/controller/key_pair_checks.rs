//! The checks of key pairs that are not watched.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::sources::ClusterSources;
use super::state::{SharedState, State};
use crate::model::identity::CredentialSource;

/// Time between two reads of the pairs of failing registries.
const EVERY: Duration = Duration::from_secs(10);

/// Reads the pairs of failing registries again and again: no watch reports that the cause is gone.
pub async fn check_failing(shared: Arc<SharedState>, sources: Arc<ClusterSources>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let failing = failing(&shared.state());
        sources.check_pairs(failing).await;
    }
}

/// Returns the Secrets of the pairs that failing registries use.
fn failing(state: &State) -> BTreeSet<Box<str>> {
    let pairs = state.credentials.failing().filter_map(|key| match &key.identity.source {
        CredentialSource::AccessKey { secret } => Some(secret.clone()),
        CredentialSource::ControllerIdentity | CredentialSource::Rrsa { .. } => None,
    });
    pairs.collect()
}
