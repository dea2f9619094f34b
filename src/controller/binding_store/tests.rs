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
    bindings
        .resolved_bindings(&CredentialCache::default(), Timestamp::UNIX_EPOCH)
        .iter()
        .map(|resolved| resolved.phase)
        .collect()
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
