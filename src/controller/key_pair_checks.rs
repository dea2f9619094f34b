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
    let names = state.bindings.names();
    let bindings = names.iter().filter_map(|name| state.bindings.get(name)?.good.as_ref());
    let registries = bindings.flat_map(|binding| &binding.registries);
    let pairs = registries.filter_map(|registry| match &registry.key.identity.source {
        CredentialSource::AccessKey { secret } => state.credentials.failure(registry).map(|_| secret.clone()),
        CredentialSource::ControllerIdentity | CredentialSource::Rrsa { .. } => None,
    });
    pairs.collect()
}
