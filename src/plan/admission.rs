//! ServiceAccounts that get their entry during admission. The namespace loop attaches it an instant later; a Pod that
//! is created in between has no entry and never gets one.

use super::admission_parameters::enables;
pub use super::admission_parameters::{PolicyParameters, enabling, parameters};
use super::service_account::{Want, pull_secrets};
use super::snapshot::Snapshot;
use super::view::{NamespaceFacts, ServiceAccountView};
use crate::model::Binding;
use crate::model::coverage::NamedLabels;

/// Returns the `imagePullSecrets` that a ServiceAccount is to be created with, or `None` if it needs no change.
pub fn attached(
    snapshot: &Snapshot,
    namespace: &str,
    facts: &NamespaceFacts,
    account: &ServiceAccountView,
) -> Option<Vec<Box<str>>> {
    let covers = |binding: &Binding| {
        let namespace = NamedLabels { name: namespace, labels: &facts.labels };
        binding.coverage().covers(namespace, named(account))
    };
    if facts.skip { None } else { list(snapshot, account, &snapshot.selecting(namespace, facts), covers) }
}

/// Returns the same in a namespace whose labels are not known yet: only its name decides. The namespace loop attaches
/// by labels an instant later.
pub fn attached_unseen(
    snapshot: &Snapshot,
    namespace: &str,
    account: &ServiceAccountView,
) -> Option<Vec<Box<str>>> {
    let selecting = snapshot.selecting(namespace, &NamespaceFacts::default());
    list(snapshot, account, &selecting, |binding| {
        binding.namespaces.covers_name(namespace)
            && binding.service_accounts.covers(&account.name, &account.labels)
    })
}

fn named(account: &ServiceAccountView) -> NamedLabels<'_> {
    NamedLabels { name: &account.name, labels: &account.labels }
}

fn list(
    snapshot: &Snapshot,
    account: &ServiceAccountView,
    selecting: &[usize],
    covers: impl Fn(&Binding) -> bool,
) -> Option<Vec<Box<str>>> {
    let enabling = selecting.iter().map(|&i| snapshot.resolved(i)).filter(|resolved| enables(resolved));
    let wanted = !account.skip && enabling.into_iter().any(|resolved| covers(&resolved.binding));
    let want = if wanted { Want::Attached } else { Want::AsIs };
    pull_secrets(&account.pull_secrets, snapshot.secret_name(), want)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{attached, enabling};
    use crate::plan::fixture::{OURS, bound_with, resolved, template};
    use crate::plan::view::{NamespaceFacts, ServiceAccountView};
    use crate::plan::{Phase, ResolvedBinding, Snapshot};

    fn snapshot(resolved_bindings: Vec<ResolvedBinding>) -> Snapshot {
        Snapshot::new(template(), resolved_bindings, false)
    }

    fn enabled(name: &str) -> ResolvedBinding {
        bound_with(name, json!({ "webhook": { "enable": true } }))
    }

    fn account(name: &str, secrets: &[&str]) -> ServiceAccountView {
        ServiceAccountView {
            name: name.into(),
            resource_version: "".into(),
            labels: Default::default(),
            skip: false,
            unclear_skip: None,
            pull_secrets: secrets.iter().map(|s| (*s).into()).collect(),
        }
    }

    fn answer(
        snapshot: &Snapshot,
        facts: &NamespaceFacts,
        account: &ServiceAccountView,
    ) -> Option<Vec<Box<str>>> {
        attached(snapshot, "n", facts, account)
    }

    #[test]
    fn a_covered_account_gets_the_entry_once_and_last() {
        let (snapshot, facts) = (snapshot(vec![enabled("a")]), NamespaceFacts::default());
        assert_eq!(
            answer(&snapshot, &facts, &account("default", &["b"])),
            Some(vec!["b".into(), OURS.into()])
        );
        assert_eq!(answer(&snapshot, &facts, &account("default", &[OURS, "b"])), None);
        assert_eq!(answer(&snapshot, &facts, &account("other", &[])), None);
    }

    #[test]
    fn an_account_that_opts_out_is_created_unchanged() {
        let snapshot = snapshot(vec![enabled("a")]);
        let skipped = NamespaceFacts { skip: true, ..NamespaceFacts::default() };
        assert_eq!(answer(&snapshot, &skipped, &account("default", &[])), None);
        let account = ServiceAccountView { skip: true, ..account("default", &[]) };
        assert_eq!(answer(&snapshot, &NamespaceFacts::default(), &account), None);
    }

    #[test]
    fn without_the_namespaces_labels_only_its_name_decides() {
        let webhook = json!({ "enable": true });
        let by_absence = json!({ "matchExpressions": [{ "key": "closed", "operator": "DoesNotExist" }] });
        let labelled = bound_with(
            "labels",
            json!({ "webhook": webhook, "watchNamespaces": { "names": ["other"], "selector": by_absence } }),
        );
        let named =
            bound_with("named", json!({ "webhook": webhook, "watchNamespaces": { "names": ["n?"] } }));
        let snapshot = snapshot(vec![labelled, named]);
        let answer = |namespace| super::attached_unseen(&snapshot, namespace, &account("default", &[]));
        assert_eq!(answer("n1"), Some(vec![OURS.into()]));
        assert_eq!(answer("other"), Some(vec![OURS.into()]));
        assert_eq!(answer("unnamed"), None);
    }

    #[test]
    fn only_active_bindings_with_admission_enabled_are_returned() {
        let resolved_bindings = vec![
            resolved("plain"),
            enabled("suspended").phased(Phase::Suspended),
            enabled("leaving").phased(Phase::Withdrawing),
            enabled("left").phased(Phase::Retaining),
        ];
        assert_eq!(enabling(snapshot(resolved_bindings.clone()).bindings()).count(), 0);
        assert_eq!(
            answer(&snapshot(resolved_bindings), &NamespaceFacts::default(), &account("default", &[])),
            None
        );
        assert_eq!(enabling(snapshot(vec![enabled("a")]).bindings()).count(), 1);
    }
}
