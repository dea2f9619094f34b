//! Tests of the status of a binding: one good scene, mutated.

use k8s_openapi::jiff::Timestamp;

use super::{BindingFacts, MAX_PAIRS, RegistryFacts, status};
use crate::api::status::{AcrCredentialBindingStatus, NamespaceCounts, PairStatus, ServiceAccountCounts};
use crate::api::{ConditionType, Reason};
use crate::plan::condition::BindingCondition;
use crate::plan::fixture::at;
use crate::plan::refresh::Life;
use crate::plan::rollup::Rollups;
use crate::plan::secret::DomainConflict;
use crate::plan::{Failure, NamespaceResult};

/// A binding `a` with two registries that serves the namespaces `n1` and `n2`.
struct Scene {
    generation: i64,
    standstill: Option<Failure>,
    blindness: Option<Failure>,
    registries: Vec<RegistryFacts>,
    results: Vec<(String, NamespaceResult)>,
    /// Namespaces that were not reconciled since the spec changed.
    awaited: Vec<&'static str>,
    /// Namespaces that were not reconciled since the credentials changed.
    refreshing: Vec<&'static str>,
    held: Option<(Timestamp, Failure)>,
    excluded_names: Option<String>,
    nothing_covered: Option<String>,
    others: Vec<BindingCondition>,
}

fn registry(name: &str) -> RegistryFacts {
    RegistryFacts {
        registry: name.to_owned(),
        region: "cn-hangzhou".into(),
        domains: vec![format!("{name}.example.com")],
        identity: "worker-role".into(),
        endpoint: Some("cr-vpc.cn-hangzhou.aliyuncs.com".into()),
        remark: None,
        life: Some(Life { minted_at: at(0), expires_at: at(3600) }),
        next_refresh_at: Some(at(2700)),
        failure: None,
        is_unsupported: false,
    }
}

fn result() -> NamespaceResult {
    NamespaceResult {
        binding: "a".into(),
        secret: Ok(()),
        domain_conflicts: [].into(),
        matched: 2,
        bound: 2,
        contended: 0,
        opted_out: 0,
        unattached: None,
        contention: None,
    }
}

fn failure(reason: Reason) -> Failure {
    Failure::new(reason, format!("why {reason}"))
}

fn policies_missing() -> BindingCondition {
    let kind = ConditionType::PoliciesEnforced;
    BindingCondition { kind, holds: false, why: failure(Reason::PoliciesMissing) }
}

fn config_map(reason: Reason) -> BindingCondition {
    BindingCondition { kind: ConditionType::LegacyConfigValid, holds: false, why: failure(reason) }
}

fn good() -> Scene {
    Scene {
        generation: 3,
        standstill: None,
        blindness: None,
        registries: vec![registry("cri-1"), registry("cri-2")],
        results: ["n1", "n2"].map(|n| (n.to_owned(), result())).into(),
        awaited: vec![],
        refreshing: vec![],
        held: None,
        excluded_names: None,
        nothing_covered: None,
        others: vec![],
    }
}

impl Scene {
    fn with(mut self, mutate: impl FnOnce(&mut Self)) -> Self {
        mutate(&mut self);
        self
    }

    fn fail_secret(&mut self, namespace: usize, reason: Reason) {
        self.results[namespace].1.secret = Err(failure(reason));
    }

    /// Sets when the credential of a registry expires, if it has one, and why its last attempt failed.
    fn hold(&mut self, registry: usize, end: Option<i64>, failed: Option<Reason>) {
        let life = |end| Life { minted_at: at(end - 3600), expires_at: at(end) };
        self.registries[registry].life = end.map(life);
        self.registries[registry].failure = failed.map(failure);
    }

    fn status(
        &self,
        previous: Option<&AcrCredentialBindingStatus>,
        now: Timestamp,
    ) -> AcrCredentialBindingStatus {
        let mut rollups = Rollups::default();
        let names = |list: &[&str]| list.iter().map(|n| (*n).into()).collect();
        for (namespace, result) in &self.results {
            rollups.record(&namespace.as_str().into(), std::slice::from_ref(result));
        }
        rollups.expect(&"a".into(), names(&self.refreshing), false);
        if !self.awaited.is_empty() {
            rollups.expect(&"a".into(), names(&self.awaited), true);
        }
        let facts = BindingFacts {
            name: "a",
            generation: self.generation,
            standstill: self.standstill.clone(),
            blindness: self.blindness.clone(),
            registries: self.registries.clone(),
            rollup: rollups.of("a").unwrap(),
            handled_refresh_at: Some("once".into()),
            held: self.held.clone(),
            excluded_names: self.excluded_names.clone(),
            nothing_covered: self.nothing_covered.clone(),
            others: self.others.clone(),
        };
        status(&facts, previous, now)
    }
}

/// Returns `type=status reason` of each condition.
fn conditions_of(status: &AcrCredentialBindingStatus) -> Vec<String> {
    status.conditions.iter().map(|c| format!("{}={} {}", c.type_, c.status, c.reason)).collect()
}

fn message(status: &AcrCredentialBindingStatus) -> &str {
    &status.conditions[0].message
}

fn pair(pair: &PairStatus) -> (&str, &str, &str) {
    (&pair.registry, &pair.namespace, &pair.conditions[0].reason)
}

type Mutation = fn(&mut Scene);

#[test]
fn a_binding_that_covers_nothing_names_the_rule_and_an_excluded_name_is_said_beside_the_rest() {
    let cases: &[(&str, Mutation, &str)] = &[
        ("nothing", |s| s.results.clear(), "The binding selects no namespace."),
        (
            "a rule",
            |s| {
                s.results.clear();
                s.excluded_names = Some("names".into());
                s.nothing_covered = Some("a rule".into());
            },
            "The binding selects no namespace: a rule.",
        ),
        (
            "no account",
            |s| s.results.iter_mut().for_each(|(_, r)| (r.matched, r.bound) = (0, 0)),
            "The binding selects no ServiceAccount in its namespaces.",
        ),
        (
            "only accounts that opt out",
            |s| {
                for (_, result) in &mut s.results {
                    (result.matched, result.bound, result.opted_out) = (0, 0, 1);
                }
            },
            "The binding selects no ServiceAccount in its namespaces: 2 ServiceAccounts opt out by \
             acrcredential.dev/skip.",
        ),
        (
            "an excluded name",
            |s| s.excluded_names = Some("names".into()),
            "2 registries serve 2 namespaces and 4 ServiceAccounts; names",
        ),
        (
            "an excluded name of a suspended binding",
            |s| {
                s.excluded_names = Some("names".into());
                s.standstill = Some(failure(Reason::Suspended));
            },
            "why Suspended",
        ),
        (
            "an excluded name beside a failure",
            |s| {
                s.excluded_names = Some("names".into());
                s.fail_secret(0, Reason::SecretConflict);
            },
            "1 of 2 namespaces is not ready; n1: why SecretConflict; names",
        ),
    ];
    for (what, mutate, expected) in cases {
        let mut scene = good();
        mutate(&mut scene);
        assert_eq!(message(&scene.status(None, at(100))), *expected, "{what}");
    }
}

#[test]
fn each_state_has_its_conditions() {
    let cases: &[(&str, Mutation, &[&str])] = &[
        ("all is ready", |_| {}, &["Ready=True Succeeded"]),
        ("nothing is selected", |s| s.results.clear(), &["Ready=True NothingCovered"]),
        (
            "a refresh fails",
            |s| s.hold(0, Some(3600), Some(Reason::Throttled)),
            &["Ready=True RefreshFailing"],
        ),
        (
            "a refresh fails for good",
            |s| s.hold(0, Some(3600), Some(Reason::AccessDenied)),
            &["Ready=True RefreshFailing"],
        ),
        (
            "the first credential is requested",
            |s| s.hold(0, None, None),
            &["Ready=False Progressing", "Reconciling=True Progressing"],
        ),
        (
            "it cannot be minted for now",
            |s| s.hold(1, None, Some(Reason::Unreachable)),
            &["Ready=False Unreachable"],
        ),
        (
            "it cannot be minted",
            |s| s.hold(1, None, Some(Reason::TrustPolicyDenies)),
            &["Ready=False TrustPolicyDenies", "Stalled=True TrustPolicyDenies"],
        ),
        ("it has expired", |s| s.hold(0, Some(10), Some(Reason::Throttled)), &["Ready=False Throttled"]),
        (
            "it has expired and is being renewed",
            |s| s.hold(0, Some(10), None),
            &["Ready=False Progressing", "Reconciling=True Progressing"],
        ),
        (
            "it expires this second",
            |s| s.hold(0, Some(100), Some(Reason::CloudFailing)),
            &["Ready=False CloudFailing"],
        ),
        (
            "a Secret is being made",
            |s| s.fail_secret(0, Reason::Progressing),
            &["Ready=False Progressing", "Reconciling=True Progressing"],
        ),
        (
            "a foreign Secret behind one that is being made",
            |s| {
                s.fail_secret(0, Reason::Progressing);
                s.fail_secret(1, Reason::SecretConflict);
            },
            &["Ready=False SecretConflict", "Stalled=True SecretConflict"],
        ),
        (
            "a write fails",
            |s| s.fail_secret(0, Reason::WriteFailing),
            &["Ready=False WriteFailing", "Reconciling=True WriteFailing"],
        ),
        (
            "a domain is lost",
            |s| {
                let lost =
                    DomainConflict { binding: "a".into(), registry: 1, message: "d is claimed first".into() };
                s.results[1].1.domain_conflicts = [lost].into();
            },
            &["Ready=False DomainContested", "Stalled=True DomainContested"],
        ),
        (
            "another binding loses a domain",
            |s| {
                let lost =
                    DomainConflict { binding: "b".into(), registry: 1, message: "d is claimed first".into() };
                s.results[1].1.domain_conflicts = [lost].into();
            },
            &["Ready=True Succeeded"],
        ),
        (
            "an entry is missing",
            |s| s.results[0].1.bound = 1,
            &["Ready=False Progressing", "Reconciling=True Progressing"],
        ),
        (
            "a new spec did not reach all",
            |s| s.awaited = vec!["n1"],
            &["Ready=False Progressing", "Reconciling=True Progressing"],
        ),
        ("fresh credentials did not reach all", |s| s.refreshing = vec!["n1"], &["Ready=True Succeeded"]),
        (
            "suspended",
            |s| {
                s.standstill = Some(failure(Reason::Suspended));
                s.fail_secret(0, Reason::Suspended);
                s.fail_secret(1, Reason::Suspended);
            },
            &["Ready=False Suspended"],
        ),
        (
            "invalid",
            |s| s.standstill = Some(failure(Reason::InvalidSpec)),
            &["Ready=False InvalidSpec", "Stalled=True InvalidSpec"],
        ),
        (
            "invalid from the beginning",
            |s| {
                s.standstill = Some(failure(Reason::InvalidSpec));
                s.registries.clear();
                s.results.clear();
            },
            &["Ready=False InvalidSpec", "Stalled=True InvalidSpec"],
        ),
        (
            "being deleted",
            |s| s.standstill = Some(failure(Reason::Withdrawing)),
            &["Ready=False Withdrawing", "Reconciling=True Withdrawing"],
        ),
        (
            "a note",
            |s| s.others = vec![policies_missing()],
            &["Ready=True Succeeded", "PoliciesEnforced=False PoliciesMissing"],
        ),
        (
            "a refresh fails for good while another registry has no credential yet",
            |s| {
                s.hold(0, Some(3600), Some(Reason::AccessDenied));
                s.hold(1, None, None);
            },
            &["Ready=False Progressing", "Reconciling=True Progressing"],
        ),
        (
            "the ConfigMap has errors",
            |s| s.others = vec![config_map(Reason::LegacyConfigInvalid)],
            &[
                "Ready=True Succeeded",
                "Stalled=True LegacyConfigInvalid",
                "LegacyConfigValid=False LegacyConfigInvalid",
            ],
        ),
        (
            "the ConfigMap may not be read",
            |s| s.others = vec![config_map(Reason::Forbidden)],
            &["Ready=True Succeeded", "Stalled=True Forbidden", "LegacyConfigValid=False Forbidden"],
        ),
        (
            "the ConfigMap is missing for a while",
            |s| s.others = vec![config_map(Reason::LegacyConfigMissing)],
            &["Ready=True Succeeded", "LegacyConfigValid=False LegacyConfigMissing"],
        ),
        (
            "another writer is undone each time",
            |s| {
                let why = failure(Reason::Contended);
                s.others = vec![BindingCondition { kind: ConditionType::Contended, holds: true, why }];
            },
            &["Ready=True Succeeded", "Contended=True Contended"],
        ),
        (
            "the second of two needs a human",
            |s| {
                s.hold(0, None, Some(Reason::Throttled));
                s.hold(1, None, Some(Reason::KeyInvalid));
            },
            &["Ready=False KeyInvalid", "Stalled=True KeyInvalid"],
        ),
        (
            "the second of two refreshes needs a human",
            |s| {
                s.hold(0, Some(3600), Some(Reason::Throttled));
                s.hold(1, Some(3600), Some(Reason::KeyInvalid));
            },
            &["Ready=True RefreshFailing"],
        ),
        (
            "the second of two namespaces needs a human",
            |s| {
                s.fail_secret(0, Reason::WriteFailing);
                s.fail_secret(1, Reason::QuotaExceeded);
            },
            &["Ready=False QuotaExceeded", "Stalled=True QuotaExceeded"],
        ),
    ];
    for (path, mutate, expected) in cases {
        assert_eq!(conditions_of(&good().with(mutate).status(None, at(100))), *expected, "{path}");
    }
}

#[test]
fn one_failing_registry_does_not_hide_the_others() {
    let mut scene = good();
    scene.registries = (0..10).map(|i| registry(&format!("cri-{i}"))).collect();
    scene.hold(4, None, Some(Reason::InstanceNotFound));
    let status = scene.status(None, at(100));
    assert_eq!(status.summary.as_ref().unwrap().registries, "9/10");
    assert_eq!(
        message(&status),
        "Credentials are issued for 9 of 10 registries; cri-4 in cn-hangzhou: why InstanceNotFound"
    );
    let issued: Vec<_> = status.registries.iter().map(|r| r.conditions[0].status == "True").collect();
    assert_eq!(issued, (0..10).map(|i| i != 4).collect::<Vec<_>>());
    assert_eq!(status.pairs.len(), 20);
    let expected = [("cri-4", "n1", "InstanceNotFound"), ("cri-4", "n2", "InstanceNotFound")];
    assert_eq!(
        status.pairs.iter().map(pair).take_while(|p| p.2 != "Succeeded").collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn a_registry_reports_its_credential_and_its_last_refresh() {
    for (end, failed, expected) in [
        (Some(3600), None, "True Issued"),
        (Some(3600), Some(Reason::Throttled), "True RefreshFailing"),
        (Some(10), Some(Reason::Throttled), "False Throttled"),
        (Some(10), None, "False CredentialExpired"),
        (None, Some(Reason::KeyInactive), "False KeyInactive"),
        (None, None, "False NotIssued"),
    ] {
        let status = good().with(|s| s.hold(0, end, failed)).status(None, at(100));
        let condition = &status.registries[0].conditions[0];
        assert_eq!(format!("{} {}", condition.status, condition.reason), expected);
        assert_eq!(status.registries[0].expires_at.as_ref().map(|t| t.0), end.map(at));
        assert_eq!(status.registries[1].conditions[0].status, "True");
    }
}

#[test]
fn a_failing_refresh_quotes_the_cloud() {
    let status = good().with(|s| s.hold(1, Some(3600), Some(Reason::Throttled))).status(None, at(100));
    assert!(message(&status).contains("cri-2 in cn-hangzhou"), "{}", message(&status));
    assert!(message(&status).contains("Throttled: why Throttled"), "{}", message(&status));
}

#[test]
fn the_counts_are_those_of_the_cluster() {
    let scene = good().with(|s| {
        s.results[0].1.bound = 1;
        s.fail_secret(1, Reason::QuotaExceeded);
        s.hold(1, Some(1800), None);
        s.awaited = vec!["n1", "n3"];
    });
    let status = scene.status(None, at(100));
    assert_eq!(status.namespaces, Some(NamespaceCounts { matched: 3, ready: 1 }));
    assert_eq!(status.service_accounts, Some(ServiceAccountCounts { matched: 4, bound: 3 }));
    let summary = status.summary.unwrap();
    assert_eq!((&*summary.namespaces, &*summary.service_accounts), ("1/3", "3/4"));
    assert_eq!(summary.expires_at.map(|t| t.0), Some(at(1800)));
    assert_eq!((status.observed_generation, status.last_handled_refresh_at), (Some(3), Some("once".into())));
}

mod kept;

/// The Secret exists, so the pair is ready. The count of ServiceAccounts shows what is missing, and `Ready` says why.
#[test]
fn a_refused_account_leaves_its_namespace_ready_and_is_explained() {
    let refused = |scene: &mut Scene| {
        let result = &mut scene.results[1].1;
        (result.bound, result.unattached) = (1, Some(failure(Reason::Forbidden)));
    };
    let status = good().with(refused).status(None, at(0));
    let summary = status.summary.as_ref().unwrap();
    assert_eq!((&*summary.namespaces, &*summary.service_accounts), ("2/2", "3/4"));
    let ready = status.conditions.iter().find(|c| c.type_ == "Ready").unwrap();
    assert_eq!((&*ready.status, &*ready.reason), ("False", "Forbidden"));
    assert_eq!(ready.message, "1 of 4 ServiceAccounts has no entry yet; n2: why Forbidden");
    let first = &status.pairs[0];
    assert_eq!((&*first.namespace, &*first.conditions[0].status), ("n2", "True"));
    let message = "The Secret holds a valid credential. A ServiceAccount has no entry: why Forbidden";
    assert_eq!(first.conditions[0].message, message);
    assert!(status.pairs.iter().all(|pair| pair.conditions[0].status == "True"));
}
