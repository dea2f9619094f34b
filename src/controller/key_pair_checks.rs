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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use k8s_openapi::jiff::{SignedDuration, Timestamp};
    use serde_json::json;

    use super::{SharedState, failing};
    use crate::api::Reason;
    use crate::plan::credential_cache::{MintFailure, MintResult, RetryAdvice};
    use crate::plan::secret::Template;
    use crate::plan::withdrawal_guard::WithdrawalGuard;

    #[test]
    fn the_pairs_of_failing_registries_are_checked() {
        let template =
            Template { name: "s".into(), labels: Default::default(), annotations: Default::default() };
        let guard = WithdrawalGuard::new(SignedDuration::ZERO);
        let shared = SharedState::new("cn-hangzhou", Arc::new(template), guard);
        let registry =
            |secret: &str| json!({"instanceId": "cri-abc123", "accessKeySecretRef": {"name": secret}});
        let binding = json!({
            "apiVersion": "acrcredential.dev/v1alpha1",
            "kind": "AcrCredentialBinding",
            "metadata": {"name": "b", "generation": 1, "finalizers": ["acrcredential.dev/withdraw"]},
            "spec": {
                "registries": [registry("good"), registry("bad"), {"instanceId": "cri-def456"}],
                "watchNamespaces": {"names": ["n"]},
            },
        });
        shared.put_binding(serde_json::from_value(binding).unwrap());
        shared.publish_waiting();
        let mut state = shared.state();
        assert_eq!(failing(&state), BTreeSet::new());
        let binding = state.bindings.get("b").and_then(|stored| stored.good.clone()).unwrap();
        for registry in &binding.registries[1..] {
            let failure = MintFailure::new(Reason::SecretNotFound, RetryAdvice::Rarely, "m");
            let result = MintResult { credential: Some(Err(failure)), domains: None };
            state.credentials.record(&registry.key, result, Timestamp::UNIX_EPOCH);
        }
        assert_eq!(failing(&state), BTreeSet::from(["bad".into()]));
    }
}
