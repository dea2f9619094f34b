//! Holds bindings that select by labels which are not complete yet. Until they are, the binding counts as not seen: the
//! one before it stays in force, nothing is withdrawn, and its status does not describe it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use tracing::debug;

use super::state::SharedState;
use crate::api::AcrCredentialBinding;
use crate::cluster::label_keys::LabelKeys;
use crate::model::labels::Selector;

impl SharedState {
    /// Asks for the labels that a binding selects by. Returns the binding if they are complete; if not, it waits.
    pub(super) fn hold_for_labels(&self, object: AcrCredentialBinding) -> Option<AcrCredentialBinding> {
        let mut waiting = self.waiting.lock();
        let name = object.name_any();
        waiting.remove(&name);
        if self.selects_by_known_labels(&object) {
            return Some(object);
        }
        debug!(binding = name, "the binding waits until the labels that it selects by are listed");
        waiting.insert(name, object);
        None
    }

    /// Returns whether all labels that a binding selects by are complete, and asks for them.
    fn selects_by_known_labels(&self, object: &AcrCredentialBinding) -> bool {
        let namespaces = object.spec.watch_namespaces.selector.as_ref();
        let accounts = object.spec.service_accounts.selector.as_ref();
        // Both are asked for, so that both lists begin.
        let namespaces = are_known(&self.index.namespace_keys, namespaces);
        are_known(&self.index.account_keys, accounts) && namespaces
    }

    /// Observes the bindings whose labels are complete now.
    pub fn release_waiting(&self) {
        let mut waiting = self.waiting.lock();
        let released: Vec<_> = waiting.extract_if(|_, object| self.selects_by_known_labels(object)).collect();
        drop(waiting);
        for (_, object) in released {
            self.put_binding(object);
        }
    }
}

/// Returns whether the labels of a selector's keys are complete. An invalid selector selects nothing.
fn are_known(keys: &LabelKeys, selector: Option<&LabelSelector>) -> bool {
    let Some(selector) = selector.and_then(|selector| Selector::parse(selector).ok()) else { return true };
    let selected = || selector.requirements().map(|(key, _)| key);
    keys.want(selected());
    selected().all(|key| keys.is_known(key))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::SharedState;
    use crate::api::AcrCredentialBinding;
    use crate::cluster::listed_names::ListedNames;
    use crate::plan::secret::Template;
    use crate::plan::withdrawal_guard::WithdrawalGuard;

    fn state() -> Arc<SharedState> {
        let template =
            Template { name: "s".into(), labels: Default::default(), annotations: Default::default() };
        let shared = SharedState::new(
            "cn-hangzhou",
            Arc::new(template),
            WithdrawalGuard::new(k8s_openapi::jiff::SignedDuration::ZERO),
        );
        shared.index.namespace_keys.begin();
        shared.index.account_keys.begin();
        shared
    }

    fn binding(generation: i64, namespaces: serde_json::Value) -> AcrCredentialBinding {
        serde_json::from_value(json!({
            "apiVersion": "acrcredential.dev/v1alpha1",
            "kind": "AcrCredentialBinding",
            "metadata": {"name": "b", "generation": generation, "resourceVersion": generation.to_string()},
            "spec": {
                "registries": [{"instanceId": "cri-abc123"}],
                "watchNamespaces": namespaces,
                "serviceAccounts": {"selector": {"matchLabels": {"pulls": "yes"}}},
            },
        }))
        .unwrap()
    }

    fn observed(shared: &SharedState) -> Option<i64> {
        shared.state().bindings.get("b").and_then(|stored| stored.object.metadata.generation)
    }

    #[test]
    fn a_binding_is_observed_once_all_labels_that_it_selects_by_are_listed() {
        let shared = state();
        shared.put_binding(binding(1, json!({"selector": {"matchLabels": {"tier": "app"}}})));
        assert_eq!(observed(&shared), None);
        shared.index.namespace_keys.listed("tier");
        shared.release_waiting();
        assert_eq!(observed(&shared), None, "the ServiceAccounts' labels are missing");
        shared.index.account_keys.listed("pulls");
        shared.release_waiting();
        assert_eq!(observed(&shared), Some(1));
        // The one before stays in force while a new key is listed.
        shared.put_binding(binding(2, json!({"selector": {"matchLabels": {"team": "x"}}})));
        assert_eq!(observed(&shared), Some(1));
        shared.put_binding(binding(3, json!({"names": ["prod"]})));
        shared.index.namespace_keys.listed("team");
        shared.release_waiting();
        assert_eq!(observed(&shared), Some(3), "a later spec replaces one that waits");
    }

    #[test]
    fn a_binding_that_is_gone_does_not_return() {
        let shared = state();
        let by_tier = || binding(1, json!({"selector": {"matchLabels": {"tier": "app"}}}));
        for gone in [(|shared: &SharedState| shared.remove_binding("b")) as fn(&SharedState), |shared| {
            shared.waiting.retain(&ListedNames::default())
        }] {
            shared.put_binding(by_tier());
            gone(&shared);
            shared.release_waiting();
            assert_eq!(observed(&shared), None);
        }
        shared.index.namespace_keys.listed("tier");
        shared.index.account_keys.listed("pulls");
        shared.release_waiting();
        assert_eq!(observed(&shared), None);
    }
}
