//! Tests of what an object means: its phase, its intent, and the credential in force.

use std::collections::HashMap;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::StoredBinding;
use crate::api::{AcrCredentialBinding, Reason, names};
use crate::plan::credential_cache::{CredentialCache, Demand, MintFailure, MintResult, RetryAdvice};
use crate::plan::fixture::{at, credential};
use crate::plan::withdrawal_guard::WithdrawalIntent;
use crate::plan::{Phase, RegistryCredential};

/// Mark of an object that carries our finalizer.
pub(crate) const FINALIZER: &str = "finalizer";
/// Mark of an object that is being deleted.
pub(crate) const DELETING: &str = "deleting";
/// Mark of an object whose status describes its spec.
pub(crate) const OBSERVED: &str = "observed";
/// Mark of an object that is suspended.
const SUSPENDED: &str = "suspended";
/// Mark of an object that confirms its withdrawals.
const CONFIRMED: &str = "confirmed";
/// Mark of an object that confirmed those of an earlier generation.
const CONFIRMED_BEFORE: &str = "confirmed before";

fn object(marks: &[&str], spec: Value) -> AcrCredentialBinding {
    let mut object = json!({
        "apiVersion": "acrcredential.dev/v1alpha1",
        "kind": "AcrCredentialBinding",
        "metadata": {
            "name": "b", "uid": "u", "generation": 3, "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": { "registries": [{ "instanceId": "cri-1" }], "watchNamespaces": { "names": ["*"] } },
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        object["spec"][key] = value.clone();
    }
    let confirm = names::ANNOTATION_CONFIRM_WITHDRAWAL;
    for mark in marks {
        match *mark {
            FINALIZER => object["metadata"]["finalizers"] = json!([names::FINALIZER]),
            DELETING => object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
            OBSERVED => object["status"] = json!({ "observedGeneration": 3 }),
            SUSPENDED => object["spec"]["suspend"] = json!(true),
            CONFIRMED => object["metadata"]["annotations"] = json!({ confirm: " 3 " }),
            CONFIRMED_BEFORE => object["metadata"]["annotations"] = json!({ confirm: "2" }),
            other => panic!("{other}"),
        }
    }
    serde_json::from_value(object).unwrap()
}

/// Returns a binding that is seen for the first time.
pub(crate) fn stored(marks: &[&str]) -> StoredBinding {
    StoredBinding::observe(object(marks, json!({})), None, "cn-hangzhou")
}

#[test]
fn each_object_has_its_phase_and_its_intent() {
    let phase = |marks: &[&str]| stored(marks).in_force().map(|(_, phase)| phase);
    for (marks, expected, intent) in [
        (&[][..], None, WithdrawalIntent::Guarded),
        (&[FINALIZER], Some(Phase::Active), WithdrawalIntent::Guarded),
        (&[OBSERVED], Some(Phase::Suspended), WithdrawalIntent::Guarded),
        (&[FINALIZER, SUSPENDED], Some(Phase::Suspended), WithdrawalIntent::Suspended),
        (&[FINALIZER, SUSPENDED, CONFIRMED], Some(Phase::Suspended), WithdrawalIntent::Confirmed),
        (&[FINALIZER, CONFIRMED_BEFORE], Some(Phase::Active), WithdrawalIntent::Guarded),
        (&[FINALIZER, DELETING], Some(Phase::Suspended), WithdrawalIntent::Leaving),
        (&[OBSERVED, DELETING], None, WithdrawalIntent::Leaving),
    ] {
        assert_eq!(phase(marks), expected, "{marks:?}");
        assert_eq!(stored(marks).intent(), intent, "{marks:?}");
    }
}

/// The pairs of a status are kept apart, and the status is compared as a whole.
#[test]
fn the_status_is_the_one_that_the_api_server_has() {
    let mut object = object(&[FINALIZER, OBSERVED], json!({}));
    let pair = json!({ "registry": "cri-1", "namespace": "prod", "conditions": [{
        "type": "Ready", "status": "True", "reason": "Succeeded", "message": "m",
        "lastTransitionTime": "2026-01-01T00:00:00Z" }] });
    object.status.get_or_insert_default().pairs = serde_json::from_value(json!([pair])).unwrap();
    let stored = StoredBinding::observe(object.clone(), None, "cn-hangzhou");
    assert_eq!(stored.status(), object.status);
    assert_eq!(stored.reported_namespaces(), ["prod"].into());
}

#[test]
fn a_refresh_request_is_reported_once() {
    let asking = |value: &str| {
        let mut object = object(&[FINALIZER], json!({}));
        object.metadata.annotations = Some([(names::ANNOTATION_REFRESH_AT.into(), value.into())].into());
        object
    };
    let first = StoredBinding::observe(asking("1"), None, "cn-hangzhou");
    assert!(first.change_since(None).refresh);
    let again = StoredBinding::observe(asking("1"), Some(first.clone()), "cn-hangzhou");
    let change = again.change_since(Some(&first));
    assert!(!change.changed && !change.refresh);
    let next = StoredBinding::observe(asking("2"), Some(first.clone()), "cn-hangzhou");
    assert!(next.change_since(Some(&first)).refresh);
}

/// Returns a binding after its registry's role was edited, and whether it still selects the same namespaces.
fn edited(namespaces: &str) -> StoredBinding {
    let registry = json!([{ "instanceId": "cri-1", "domains": ["d"], "assumeRoleARN": "acs:ram::1:role/a" }]);
    let before = json!({ "registries": [{ "instanceId": "cri-1", "domains": ["d"] }] });
    let after = json!({ "registries": registry, "watchNamespaces": { "names": [namespaces] } });
    let before = StoredBinding::observe(object(&[FINALIZER], before), None, "cn-hangzhou");
    StoredBinding::observe(object(&[FINALIZER], after), Some(before), "cn-hangzhou")
}

#[test]
fn the_credential_of_an_earlier_spec_stays_in_force_until_there_is_another() {
    for (case, namespaces, failed, minutes, expected) in [
        ("the first attempt is under way", "*", false, 10, "pending"),
        ("the first attempt failed", "*", true, 10, "earlier"),
        ("the earlier credential has expired", "*", true, 60, "missing"),
        ("other namespaces are selected", "other", true, 10, "missing"),
    ] {
        let binding = edited(namespaces);
        let registry = &binding.good.as_ref().unwrap().registries[0];
        let mut earlier = registry.key.clone();
        earlier.identity.assume = None;
        let mut cache = CredentialCache::default();
        let demand = Demand { threshold: Duration::from_secs(900), list_domains: false };
        let demands: HashMap<_, _> =
            [earlier.clone(), registry.key.clone()].map(|key| (key, demand.clone())).into();
        cache.track(&demands);
        cache.record(
            &earlier,
            MintResult { credential: Some(Ok(credential("earlier"))), domains: None },
            at(0),
        );
        if failed {
            let denied = MintFailure::new(Reason::AccessDenied, RetryAdvice::Rarely, "no");
            cache.record(&registry.key, MintResult { credential: Some(Err(denied)), domains: None }, at(0));
        }
        let found = match binding.credential(registry, &cache, at(60 * minutes)) {
            RegistryCredential::Held { credential, .. } => credential.token.expose_secret().to_owned(),
            RegistryCredential::Pending => "pending".to_owned(),
            RegistryCredential::Missing => "missing".to_owned(),
        };
        assert_eq!(found, expected, "{case}");
    }
}
