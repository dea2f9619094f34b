//! What is published, when, and which namespaces follow from it.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::clock;
use super::super::state::SharedState;
use super::FEW;
use crate::api::{AcrCredentialBinding, Reason, names};
use crate::model::{Credential, RegistryKey};
use crate::plan::credential_cache::{MintFailure, MintResult, RetryAdvice, SavedCredentials};
use crate::plan::fixture::outdated;
use crate::plan::view::NamespaceFacts;
use crate::plan::withdrawal_guard::WithdrawalGuard;
use crate::plan::{RegistryCredential, Template};

const NAMESPACES: usize = 50;

/// Returns the state of a leader on a cluster with some namespaces.
fn leader() -> Arc<SharedState> {
    let template = Template { name: "ours".into(), labels: [].into(), annotations: [].into() };
    let guard = WithdrawalGuard::new(SignedDuration::from_mins(10));
    let shared = SharedState::new("cn-hangzhou", Arc::new(template), guard);
    for i in 0..NAMESPACES {
        shared.index.put_namespace(&format!("n{i}"), NamespaceFacts::default());
    }
    shared.define(Some(k8s_openapi::jiff::Timestamp::UNIX_EPOCH));
    shared.begin(SavedCredentials::new(), false);
    shared
}

fn object(name: &str, version: u32, namespaces: &Value) -> AcrCredentialBinding {
    serde_json::from_value(json!({
        "apiVersion": "acrcredential.dev/v1alpha1",
        "kind": "AcrCredentialBinding",
        "metadata": {
            "name": name, "uid": name, "resourceVersion": version.to_string(), "generation": version,
            "creationTimestamp": "2026-01-01T00:00:00Z", "finalizers": [names::FINALIZER],
        },
        "spec": {
            "registries": [{ "instanceId": format!("cri-{name}"), "domains": ["d"] }],
            "watchNamespaces": namespaces,
        },
    }))
    .unwrap()
}

fn named(name: &str, namespaces: &[&str]) -> AcrCredentialBinding {
    object(name, 1, &json!({ "names": namespaces }))
}

/// Publishes everything that waits.
fn publish_all(shared: &SharedState) {
    shared.publish_waiting();
}

/// Returns the namespaces that wait for a plan, and forgets them.
fn queued(shared: &SharedState) -> BTreeSet<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut queued = BTreeSet::new();
    runtime.block_on(async {
        while shared.namespaces.depth() > 0 {
            let item = shared.namespaces.next().await;
            shared.report(&item.key, &[]);
            queued.insert(item.key.to_string());
        }
    });
    queued
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Ends an attempt for a binding's registry, and publishes it.
fn end_attempt(shared: &SharedState, binding: &str, result: Result<(), ()>) -> Vec<Arc<str>> {
    let mut state = shared.state();
    let key: RegistryKey =
        state.bindings.get(binding).unwrap().good.as_ref().unwrap().registries[0].key.clone();
    let now = clock::now();
    let credential = Credential {
        username: "u".into(),
        token: "t".into(),
        minted_at: now,
        expires_at: now + SignedDuration::from_hours(1),
        origin: Default::default(),
    };
    let failure = || MintFailure::new(Reason::Unreachable, RetryAdvice::Soon, "no answer");
    let credential = Some(result.map(|()| credential).map_err(|()| failure()));
    state.credentials.record(&key, MintResult { credential, domains: None }, now);
    shared.publish_credentials(&mut state, &[key])
}

#[test]
fn bindings_that_come_together_are_published_together() {
    let shared = leader();
    let before = shared.snapshot();
    for i in 0..30 {
        shared.put_binding(named(&format!("b{i}"), &["n1", "n2"]));
    }
    assert!(Arc::ptr_eq(&before, &shared.snapshot()), "nothing is published between them");
    assert!(queued(&shared).is_empty());
    publish_all(&shared);
    assert_eq!(shared.snapshot().bindings().len(), 30);
    assert_eq!(queued(&shared), set(&["n1", "n2"]));
}

#[test]
fn a_new_binding_waits_neither_for_a_refresh_of_many_namespaces_nor_for_bindings_that_leave() {
    let shared = leader();
    shared.put_binding(object("wide", 1, &json!({ "names": ["n1*", "n2*", "n3*"] })));
    publish_all(&shared);
    assert!(shared.namespaces.depth() > FEW, "its namespaces wait");
    let leaving = (0..20).map(|number| {
        let mut leaving = named(&format!("leaving-{number}"), &["absent"]);
        leaving.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        leaving
    });
    leaving.for_each(|leaving| shared.put_binding(leaving));
    shared.put_binding(named("new", &["n49"]));
    publish_all(&shared);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        assert_eq!(&*shared.namespaces.next().await.key, "n49");
        let next = [shared.bindings.next().await, shared.bindings.next().await];
        assert_eq!(next.map(|item| item.key.to_string()), ["wide", "new"]);
    });
}

#[test]
fn a_landed_credential_concerns_the_namespaces_of_its_bindings_alone() {
    let shared = leader();
    shared.put_binding(named("a", &["n1", "n2"]));
    shared.put_binding(named("b", &["*"]));
    publish_all(&shared);
    assert_eq!(queued(&shared).len(), NAMESPACES);
    assert_eq!(end_attempt(&shared, "a", Ok(())), ["a".into()]);
    assert_eq!(queued(&shared), set(&["n1", "n2"]));
    let snapshot = shared.snapshot();
    let credential = &snapshot.resolved(snapshot.index_of("a").unwrap()).registries[0];
    assert!(matches!(credential, RegistryCredential::Held { .. }));
}

#[test]
fn an_attempt_that_changes_nothing_publishes_nothing() {
    let shared = leader();
    shared.put_binding(named("a", &["n1"]));
    shared.put_binding(named("b", &["n2"]));
    publish_all(&shared);
    queued(&shared);
    // The first failure is news: nothing waits for the credential any more.
    end_attempt(&shared, "a", Err(()));
    assert_eq!(queued(&shared), set(&["n1"]));
    let before = shared.snapshot();
    for _ in 0..5 {
        assert_eq!(end_attempt(&shared, "a", Err(())), ["a".into()], "its status may change");
    }
    assert!(Arc::ptr_eq(&before, &shared.snapshot()));
    assert!(queued(&shared).is_empty());
}

#[test]
fn an_edit_concerns_what_the_binding_covered_and_covers() {
    let shared = leader();
    shared.put_binding(named("a", &["n1", "n2"]));
    shared.put_binding(named("b", &["n3"]));
    publish_all(&shared);
    queued(&shared);
    shared.put_binding(object("a", 2, &json!({ "names": ["n2", "n4?"] })));
    publish_all(&shared);
    let fours: Vec<String> = (40..NAMESPACES).map(|i| format!("n{i}")).collect();
    let expected: BTreeSet<String> = set(&["n1", "n2"]).into_iter().chain(fours).collect();
    assert_eq!(queued(&shared), expected);
}

/// A credential that lands while an edit waits does not publish the edit by halves.
#[test]
fn a_credential_does_not_publish_an_edit_that_waits() {
    let shared = leader();
    shared.put_binding(named("a", &["n1"]));
    publish_all(&shared);
    queued(&shared);
    shared.put_binding(object("a", 2, &json!({ "names": ["n2"] })));
    let before = shared.snapshot();
    end_attempt(&shared, "a", Ok(()));
    assert!(Arc::ptr_eq(&before, &shared.snapshot()));
    publish_all(&shared);
    assert_eq!(queued(&shared), set(&["n1", "n2"]));
}

#[test]
fn a_binding_that_is_gone_before_its_part_was_taken_back_leaves_its_namespaces_to_plan() {
    let shared = leader();
    shared.put_binding(named("a", &["n1", "n2"]));
    publish_all(&shared);
    queued(&shared);
    shared.remove_binding("a");
    publish_all(&shared);
    assert_eq!(queued(&shared), set(&["n1", "n2"]));
    assert!(shared.snapshot().bindings().is_empty());
}

#[test]
fn a_binding_that_is_gone_after_its_part_was_taken_back_concerns_no_namespace() {
    let shared = leader();
    shared.put_binding(named("a", &["n1", "n2"]));
    publish_all(&shared);
    let mut leaving = named("a", &["n1", "n2"]);
    leaving.metadata.resource_version = Some("2".to_owned());
    leaving.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    shared.put_binding(leaving);
    shared.state().bindings.decide_deletion("a", crate::plan::Phase::Withdrawing);
    publish_all(&shared);
    assert_eq!(queued(&shared), set(&["n1", "n2"]));
    shared.remove_binding("a");
    publish_all(&shared);
    assert!(queued(&shared).is_empty());
    assert!(shared.snapshot().bindings().is_empty());
    // The next one of that name is another.
    shared.put_binding(named("a", &["n3"]));
    publish_all(&shared);
    assert_eq!(queued(&shared), set(&["n3"]));
}

#[test]
fn a_new_binding_with_few_namespaces_is_published_at_once_and_one_with_many_awaits_others() {
    let due_now = |namespaces: &Value| {
        let shared = leader();
        shared.put_binding(object("a", 1, namespaces));
        shared.publish_due(crate::cluster::clock::monotonic());
        shared.snapshot().index_of("a").is_some()
    };
    let names = |count: usize| (0..count).map(|i| format!("n{i}")).collect::<Vec<_>>();
    assert!(due_now(&json!({ "names": names(FEW) })));
    assert!(!due_now(&json!({ "names": names(FEW + 1) })));
    assert!(due_now(&json!({ "names": ["other-*"] })), "nothing has to be written for it");
    assert!(!due_now(&json!({ "names": ["*"] })));
    assert!(due_now(&json!({ "names": ["*"], "exclude": ["n1*", "n2*", "n3*", "n4*"] })));
}

#[test]
fn a_requested_refresh_is_made_once_the_request_is_published() {
    let shared = leader();
    shared.put_binding(named("a", &["n1"]));
    publish_all(&shared);
    end_attempt(&shared, "a", Ok(()));
    let key = shared.state().bindings.get("a").unwrap().good.as_ref().unwrap().registries[0].key.clone();
    let mut asking = object("a", 2, &json!({ "names": ["n1"] }));
    let annotations = asking.metadata.annotations.get_or_insert_default();
    annotations.insert(names::ANNOTATION_REFRESH_AT.to_owned(), "now".to_owned());
    shared.put_binding(asking);
    assert!(shared.state().unpublished.contains("a"));
    publish_all(&shared);
    assert!(shared.state().credentials.is_forced(&key));
}

/// Excluding the only namespace takes nothing from a Pod where the Secret was never written.
#[test]
fn a_lost_namespace_is_held_where_our_secret_exists() {
    for is_served in [false, true] {
        let shared = leader();
        shared.put_binding(named("a", &["n1"]));
        publish_all(&shared);
        if is_served {
            shared.index.put_secret("n1", outdated());
        }
        shared.put_binding(object("a", 2, &json!({ "names": ["n1"], "exclude": ["n1"] })));
        publish_all(&shared);
        let held = shared.state().guard.report("a", 2).map(|(_, why)| why.reason);
        assert_eq!(held, is_served.then_some(Reason::CoverageLost));
        assert!(queued(&shared).contains("n1"), "its entries are withdrawn, or what is held is planned");
    }
}
