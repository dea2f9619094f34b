//! ServiceAccounts that get their entry while they are created. The namespace loop would attach it an instant later;
//! a Pod that is created in that instant would wait for ever.

mod parameters;

pub use self::parameters::{Parameters, parameters};

use super::service_account::{Want, pull_secrets};
use super::snapshot::{Phase, Snapshot};
use super::view::{NamespaceFacts, ServiceAccountView};
use crate::model::Binding;

/// The bindings that ask for it, in the order of precedence.
pub fn asking(snapshot: &Snapshot) -> impl Iterator<Item = &Binding> {
    let active = snapshot.bindings().iter().filter(|bound| bound.phase == Phase::Active);
    active.map(|bound| &*bound.binding).filter(|binding| binding.admission.is_some())
}

/// The list of `imagePullSecrets` that a ServiceAccount should be created with, or `None` where it may be created as
/// it is.
pub fn attached(
    snapshot: &Snapshot,
    namespace: &str,
    facts: &NamespaceFacts,
    account: &ServiceAccountView,
) -> Option<Vec<Box<str>>> {
    let covers = |binding: &Binding| {
        binding.namespaces.covers(namespace, &facts.labels)
            && binding.service_accounts.covers(&account.name, &account.labels)
    };
    let wanted = !facts.skip && !account.skip && asking(snapshot).any(covers);
    let want = if wanted { Want::Attached } else { Want::AsIs };
    pull_secrets(&account.pull_secrets, snapshot.secret_name(), want)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{asking, attached};
    use crate::plan::fixture::{OURS, bound, bound_with, template};
    use crate::plan::view::{NamespaceFacts, ServiceAccountView};
    use crate::plan::{Bound, Phase, Snapshot};

    fn snapshot(bounds: Vec<Bound>) -> Snapshot {
        Snapshot::new(template(), bounds, false)
    }

    fn asks(name: &str) -> Bound {
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
    fn only_an_active_binding_that_says_so_asks() {
        let bounds = vec![
            bound("plain"),
            asks("suspended").phased(Phase::Suspended),
            asks("leaving").phased(Phase::Withdrawing),
            asks("left").phased(Phase::Retaining),
        ];
        assert_eq!(asking(&snapshot(bounds.clone())).count(), 0);
        assert_eq!(answer(&snapshot(bounds), &NamespaceFacts::default(), &account("default", &[])), None);
        assert_eq!(asking(&snapshot(vec![asks("a")])).count(), 1);
    }
}
