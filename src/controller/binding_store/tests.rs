//! Tests of objects that come late, or without our finalizer.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::{BindingStore, CredentialCache};
use crate::api::{AcrCredentialBinding, names};
use crate::plan::Phase;

fn object(version: &str, instance: &str, finalizers: Value) -> AcrCredentialBinding {
    serde_json::from_value(json!({
        "apiVersion": "acrcredential.dev/v1alpha1",
        "kind": "AcrCredentialBinding",
        "metadata": {
            "name": "b", "uid": "u", "resourceVersion": version, "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z", "finalizers": finalizers,
        },
        "spec": { "registries": [{ "instanceId": instance }], "watchNamespaces": { "names": ["*"] } },
    }))
    .unwrap()
}

fn held(version: &str, instance: &str) -> AcrCredentialBinding {
    object(version, instance, json!([names::FINALIZER]))
}

fn phases(bindings: &BindingStore) -> Vec<Phase> {
    let resolved = bindings.resolved("b", &CredentialCache::default(), Timestamp::UNIX_EPOCH);
    resolved.iter().map(|resolved| resolved.phase).collect()
}

/// An answer to a write, or a read after a conflict, is ahead of a watch that lags.
#[test]
fn an_object_older_than_the_stored_one_changes_nothing() {
    let mut bindings = BindingStore::default();
    let instance = |bindings: &BindingStore| {
        bindings.get("b").unwrap().object.spec.registries[0].instance_id.clone().unwrap_or_default()
    };
    assert!(bindings.put(held("10", "cri-2"), "cn-hangzhou").changed);
    assert!(!bindings.put(held("9", "cri-1"), "cn-hangzhou").changed);
    assert_eq!(instance(&bindings), "cri-2");
    assert!(bindings.put(held("11", "cri-3"), "cn-hangzhou").changed);
    // Another object of that name may have any version.
    let mut another = held("3", "cri-4");
    another.metadata.uid = Some("v".to_owned());
    assert!(bindings.put(another, "cn-hangzhou").changed);
    assert_eq!(instance(&bindings), "cri-4");
}

#[test]
fn a_binding_that_lost_our_finalizer_is_suspended_until_it_has_it_again() {
    let mut bindings = BindingStore::default();
    bindings.put(object("1", "cri-1", json!([])), "cn-hangzhou");
    assert_eq!(phases(&bindings), [], "it never had it");
    bindings.put(held("2", "cri-1"), "cn-hangzhou");
    assert_eq!(phases(&bindings), [Phase::Active]);
    bindings.put(object("3", "cri-1", json!(["another/one"])), "cn-hangzhou");
    assert_eq!(phases(&bindings), [Phase::Suspended]);
    bindings.put(object("4", "cri-1", json!([])), "cn-hangzhou");
    assert_eq!(phases(&bindings), [Phase::Suspended]);
    bindings.put(held("5", "cri-1"), "cn-hangzhou");
    assert_eq!(phases(&bindings), [Phase::Active]);

    // After a start its status shows that it had the finalizer.
    let mut seen = object("6", "cri-1", json!([]));
    seen.status = Some(serde_json::from_value(json!({ "observedGeneration": 1 })).unwrap());
    let mut bindings = BindingStore::default();
    bindings.put(seen.clone(), "cn-hangzhou");
    assert_eq!(phases(&bindings), [Phase::Suspended]);
    seen.metadata.resource_version = Some("7".to_owned());
    seen.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    bindings.put(seen, "cn-hangzhou");
    assert_eq!(phases(&bindings), [], "it is being deleted without a finalizer");
}

/// What is added up for all bindings follows each of their changes.
#[test]
fn totals_follow_every_change_of_a_binding() {
    let mut bindings = BindingStore::default();
    let demanded = |bindings: &BindingStore| {
        let keys = bindings.totals().demands.keys().map(ToString::to_string);
        keys.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
    };
    bindings.put(held("1", "cri-1"), "cn-hangzhou");
    let first = demanded(&bindings);
    assert!(first.contains("cri-1"), "{first}");
    let totals = bindings.totals().clone();
    bindings.put(held("2", "cri-1"), "cn-hangzhou");
    assert!(std::sync::Arc::ptr_eq(&totals, bindings.totals()), "nothing changed");
    bindings.put(held("3", "cri-2"), "cn-hangzhou");
    let second = demanded(&bindings);
    assert!(second.contains("cri-2") && !second.contains("cri-1"), "{second}");
    let keys: Vec<_> = bindings.totals().demands.keys().cloned().collect();
    assert_eq!(bindings.users(&[keys.clone(), keys].concat()), ["b".into()]);
    bindings.decide_deletion("b", Phase::Withdrawing);
    let mut leaving = held("4", "cri-2");
    leaving.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    bindings.put(leaving, "cn-hangzhou");
    assert_eq!(demanded(&bindings), "", "it is being deleted");
    assert!(bindings.tracked().keys().any(|key| key.to_string().contains("cri-2")), "its credential is kept");
    bindings.remove("b");
    assert!(bindings.tracked().is_empty());
}

/// Nothing is withdrawn while it is unknown what a binding covers.
#[test]
fn coverage_is_unknown_from_the_moment_at_which_an_invalid_binding_counts() {
    let mut bindings = BindingStore::default();
    let invalid = |version: &str, finalizers: Value| object(version, "not an id", finalizers);
    bindings.put(invalid("1", json!([])), "cn-hangzhou");
    assert!(!bindings.coverage_unknown());
    assert!(bindings.put(invalid("2", json!([names::FINALIZER])), "cn-hangzhou").changed);
    assert!(bindings.coverage_unknown());
    bindings.put(held("3", "cri-1"), "cn-hangzhou");
    assert!(!bindings.coverage_unknown());
}
