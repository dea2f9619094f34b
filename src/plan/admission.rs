//! ServiceAccounts that get their entry while they are created. The namespace loop would attach it an instant later;
//! a Pod that is created in that instant would wait for ever.

mod parameters;

pub use self::parameters::{Parameters, parameters};

use super::resolved_binding::Phase;
use super::service_account::{Want, pull_secrets};
use super::snapshot::Snapshot;
use super::view::{NamespaceFacts, ServiceAccountView};
use crate::model::Binding;

/// The bindings that ask for it, in the order of precedence.
pub fn asking(snapshot: &Snapshot) -> impl Iterator<Item = &Binding> {
    let active = snapshot.bindings().iter().filter(|resolved| resolved.phase == Phase::Active);
    active.map(|resolved| &*resolved.binding).filter(|binding| binding.admission.is_some())
}

/// The list of `imagePullSecrets` that a ServiceAccount should be created with, or `None` where it may be created as
/// it is.
pub fn attached(
    snapshot: &Snapshot,
    namespace: &str,
    facts: &NamespaceFacts,
    account: &ServiceAccountView,
) -> Option<Vec<Box<str>>> {
    let covers = |binding: &Binding| binding.namespaces.covers(namespace, &facts.labels);
    if facts.skip { None } else { answer(snapshot, account, covers) }
}

/// The same in a namespace of which nothing is known yet but its name: labels decide nothing then. What they would
/// have decided, the namespace loop does an instant later.
pub fn attached_unseen(
    snapshot: &Snapshot,
    namespace: &str,
    account: &ServiceAccountView,
) -> Option<Vec<Box<str>>> {
    answer(snapshot, account, |binding| binding.namespaces.covers_name(namespace))
}

fn answer(
    snapshot: &Snapshot,
    account: &ServiceAccountView,
    covers_namespace: impl Fn(&Binding) -> bool,
) -> Option<Vec<Box<str>>> {
    let covers = |binding: &Binding| {
        covers_namespace(binding) && binding.service_accounts.covers(&account.name, &account.labels)
    };
    let wanted = !account.skip && asking(snapshot).any(covers);
    let want = if wanted { Want::Attached } else { Want::AsIs };
    pull_secrets(&account.pull_secrets, snapshot.secret_name(), want)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{asking, attached};
    use crate::plan::fixture::{OURS, bound_with, resolved, template};
    use crate::plan::view::{NamespaceFacts, ServiceAccountView};
    use crate::plan::{Phase, ResolvedBinding, Snapshot};

    fn snapshot(resolved_bindings: Vec<ResolvedBinding>) -> Snapshot {
        Snapshot::new(template(), resolved_bindings, false)
    }

    fn asks(name: &str) -> ResolvedBinding {
        bound_with(name, json!({ "webhook": { "enable": true } }))
    }

    fn account(name: &str, secrets: &[&str]) -> ServiceAccountView {
        ServiceAccountView {
            name: name.into(),
            resource_version: "".into(),
            labels: Default::default(),
            skip: false,
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
    fn what_a_binding_that_asks_for_it_covers_gets_the_entry_once_and_last() {
        let (snapshot, facts) = (snapshot(vec![asks("a")]), NamespaceFacts::default());
        assert_eq!(
            answer(&snapshot, &facts, &account("default", &["b"])),
            Some(vec!["b".into(), OURS.into()])
        );
        assert_eq!(answer(&snapshot, &facts, &account("default", &[OURS, "b"])), None);
        assert_eq!(answer(&snapshot, &facts, &account("other", &[])), None);
    }

    #[test]
    fn what_opts_out_is_created_as_it_is() {
        let snapshot = snapshot(vec![asks("a")]);
        let skipped = NamespaceFacts { skip: true, ..NamespaceFacts::default() };
        assert_eq!(answer(&snapshot, &skipped, &account("default", &[])), None);
        let account = ServiceAccountView { skip: true, ..account("default", &[]) };
        assert_eq!(answer(&snapshot, &NamespaceFacts::default(), &account), None);
    }

    #[test]
    fn where_only_the_name_is_known_labels_decide_nothing() {
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
    fn only_an_active_binding_that_says_so_asks() {
        let resolved_bindings = vec![
            resolved("plain"),
            asks("suspended").phased(Phase::Suspended),
            asks("leaving").phased(Phase::Withdrawing),
            asks("left").phased(Phase::Retaining),
        ];
        assert_eq!(asking(&snapshot(resolved_bindings.clone())).count(), 0);
        assert_eq!(
            answer(&snapshot(resolved_bindings), &NamespaceFacts::default(), &account("default", &[])),
            None
        );
        assert_eq!(asking(&snapshot(vec![asks("a")])).count(), 1);
    }
}
