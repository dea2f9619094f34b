//! Tests of when a registry is due, and which credential stays after a failure.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret as _;

use super::{
    CredentialCache, Demand, MintFailure, MintRequest, MintResult, RetryAdvice, SavedCredential,
    SavedCredentials,
};
use crate::api::Reason;
use crate::model::identity::{Arn, CredentialSource, Identity};
use crate::model::{Credential, Edition, Registry, RegistryKey};
use crate::plan::RegistryCredential;
use crate::plan::fixture::at;
use crate::plan::refresh::Life;

fn key(instance: &str) -> RegistryKey {
    let identity =
        Identity { source: CredentialSource::ControllerIdentity, assume: None, session_seconds: 3600 };
    RegistryKey { edition: Edition::Enterprise(instance.into()), region: "cn-hangzhou".into(), identity }
}

fn registry(key: &RegistryKey, domains: &[&str]) -> Registry {
    let domains = domains.iter().map(|d| (*d).to_owned()).collect();
    Registry { key: key.clone(), domains, unsupported: None }
}

fn demands(keys: &[&RegistryKey], list_domains: bool) -> HashMap<RegistryKey, Demand> {
    let demand = Demand { threshold: Duration::from_secs(900), list_domains };
    keys.iter().map(|key| ((*key).clone(), demand.clone())).collect()
}

/// Returns the request for a registry of which nothing is known yet.
fn due(key: &RegistryKey) -> MintRequest {
    MintRequest { key: key.clone(), list_domains: true, domains: Vec::new(), is_good: false }
}

/// Returns a credential for an hour from `seconds` on.
fn credential(token: &str, seconds: i64) -> Credential {
    let expires_at = at(seconds) + SignedDuration::from_hours(1);
    Credential {
        username: "u".into(),
        token: token.into(),
        minted_at: at(seconds),
        expires_at,
        origin: Default::default(),
    }
}

fn minted(token: &str, seconds: i64) -> MintResult {
    MintResult { credential: Some(Ok(credential(token, seconds))), domains: None }
}

fn refused(message: &str, retry: RetryAdvice, request: &str) -> MintFailure {
    let request_id = Some(request.to_owned());
    MintFailure { request_id, ..MintFailure::new(Reason::AccessDenied, retry, message) }
}

fn failed(retry: RetryAdvice) -> MintResult {
    MintResult { credential: Some(Err(refused("no", retry, "r"))), domains: None }
}

/// Returns the time at which a credential that was minted then is due.
fn due_at(key: &RegistryKey, seconds: i64) -> Timestamp {
    let life = Life { minted_at: at(seconds), expires_at: at(seconds + 3600) };
    life.due_at(Duration::from_secs(900), &key.id())
}

/// Returns a cache with a credential for each key, minted at the given second.
fn holding(held: &[(&RegistryKey, i64)]) -> (CredentialCache, HashMap<RegistryKey, Demand>) {
    let keys: Vec<_> = held.iter().map(|(key, _)| *key).collect();
    let demands = demands(&keys, false);
    let mut cache = CredentialCache::default();
    cache.track(&demands);
    cache.start_due(&demands, at(0));
    for (key, seconds) in held {
        cache.record(key, minted("first", *seconds), at(*seconds));
    }
    (cache, demands)
}

fn started(
    cache: &mut CredentialCache,
    demands: &HashMap<RegistryKey, Demand>,
    now: Timestamp,
) -> Vec<RegistryKey> {
    let mut keys: Vec<_> = cache.start_due(demands, now).0.into_iter().map(|due| due.key).collect();
    keys.sort();
    keys
}

fn token(cache: &CredentialCache, registry: &Registry) -> String {
    match cache.credential(registry) {
        RegistryCredential::Held { credential, .. } => credential.token.expose_secret().to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_registry_without_a_credential_is_due_at_once_and_once() {
    let (key, mut cache) = (key("cri-1"), CredentialCache::default());
    let demands = demands(&[&key], true);
    cache.track(&demands);
    assert_eq!(cache.start_due(&demands, at(0)), (vec![due(&key)], None));
    assert_eq!(cache.start_due(&demands, at(1)), (vec![], None));
    cache.track(&demands);
    assert_eq!(cache.start_due(&demands, at(2)), (vec![], None));
}

#[test]
fn a_credential_is_due_before_it_expires_and_not_sooner() {
    let key = key("cri-1");
    let (mut cache, demands) = holding(&[(&key, 0)]);
    let due = due_at(&key, 0);
    assert!(due < at(2700) && due > at(2400));
    assert_eq!(cache.start_due(&demands, due - SignedDuration::from_millis(1)), (vec![], Some(due)));
    assert_eq!(cache.next_refresh_at(&key, &demands[&key]), Some(due));
    assert_eq!(started(&mut cache, &demands, due), [key]);
}

/// All of them cost each namespace one write, and stay together from then on.
#[test]
fn a_credential_due_before_the_next_round_is_refreshed_with_those_that_are_due() {
    let (first, second, young) = (key("cri-1"), key("cri-2"), key("cri-3"));
    let due = due_at(&first, 0);
    let now = due.as_second() - at(0).as_second();
    let (mut cache, demands) = holding(&[(&first, 0), (&second, now - 1200), (&young, now - 60)]);
    assert_eq!(started(&mut cache, &demands, due - SignedDuration::from_secs(1)), []);
    assert_eq!(started(&mut cache, &demands, due), [first, second]);
}

/// A new binding, a retry or a request does not refresh what is not due for long.
#[test]
fn a_refresh_out_of_turn_takes_along_only_what_is_due_within_minutes() {
    let (first, half, almost, new) = (key("cri-1"), key("cri-2"), key("cri-3"), key("cri-4"));
    let soon = due_at(&almost, 0).as_second() - at(0).as_second() - 60;
    let (mut cache, _) = holding(&[(&first, 10), (&half, soon - 1200), (&almost, 0)]);
    cache.force([first.clone()]);
    let demands = demands(&[&first, &half, &almost, &new], false);
    cache.track(&demands);
    assert_eq!(started(&mut cache, &demands, at(soon)), [first, almost, new]);
}

#[test]
fn a_forced_refresh_is_due_at_once_and_only_once() {
    let (first, second) = (key("cri-1"), key("cri-2"));
    let (mut cache, demands) = holding(&[(&first, 0), (&second, 0)]);
    cache.force([first.clone(), key("cri-unknown")]);
    assert!(cache.is_forced(&first) && !cache.is_forced(&second) && !cache.is_forced(&key("cri-unknown")));
    assert_eq!(started(&mut cache, &demands, at(60)), std::slice::from_ref(&first));
    cache.record(&first, failed(RetryAdvice::Soon), at(61));
    assert!(!cache.is_forced(&first));
    assert_eq!(started(&mut cache, &demands, at(61)), []);
    assert_eq!(token(&cache, &registry(&first, &["d"])), "first");
}

#[test]
fn a_failed_attempt_waits_longer_each_time() {
    for (retry, resolved_bindings) in [
        (RetryAdvice::Soon, [(1.5, 2.0), (3.0, 4.0), (6.0, 8.0), (12.0, 16.0)]),
        (RetryAdvice::Rarely, [(11.2, 15.0), (22.5, 30.0), (45.0, 60.0), (90.0, 120.0)]),
    ] {
        let key = key("cri-1");
        let (mut cache, demands) = (CredentialCache::default(), demands(&[&key], false));
        cache.track(&demands);
        let mut now = at(0);
        for (least, most) in resolved_bindings {
            assert_eq!(started(&mut cache, &demands, now), std::slice::from_ref(&key));
            cache.record(&key, failed(retry), now);
            let next = cache.next_refresh_at(&key, &demands[&key]).unwrap();
            let waited = next.duration_since(now).as_secs_f64();
            assert!((least..=most).contains(&waited), "{retry:?}: {waited}");
            assert_eq!(started(&mut cache, &demands, next - SignedDuration::from_millis(1)), []);
            now = next;
        }
        cache.start_due(&demands, now);
        cache.record(&key, minted("t", 0), now);
        assert_eq!(cache.next_refresh_at(&key, &demands[&key]), Some(due_at(&key, 0)));
        cache.record(&key, failed(retry), now);
        let waited = cache.next_refresh_at(&key, &demands[&key]).unwrap().duration_since(now).as_secs_f64();
        assert!(waited <= resolved_bindings[0].1, "a success ends the run: {waited}");
    }
}

#[test]
fn a_wait_that_the_cloud_asks_for_is_respected() {
    let key = key("cri-1");
    let (mut cache, demands) = (CredentialCache::default(), demands(&[&key], false));
    cache.track(&demands);
    cache.start_due(&demands, at(0));
    cache.record(&key, failed(RetryAdvice::After(Duration::from_secs(90))), at(0));
    assert_eq!(cache.start_due(&demands, at(89)), (vec![], Some(at(90))));
    assert_eq!(started(&mut cache, &demands, at(90)), [key]);
}

/// A failing registry is tried at its own pace, not at its neighbours'.
#[test]
fn a_failed_registry_does_not_join() {
    let (first, second) = (key("cri-1"), key("cri-2"));
    let (mut cache, demands) = holding(&[(&first, 0), (&second, 0)]);
    let due = due_at(&first, 0).max(due_at(&second, 0));
    assert_eq!(started(&mut cache, &demands, due), [first.clone(), second.clone()]);
    cache.record(&second, failed(RetryAdvice::After(Duration::from_secs(600))), due);
    cache.record(&first, minted("second", 2700), due);
    cache.force([first.clone()]);
    assert_eq!(started(&mut cache, &demands, due), [first]);
}

mod keeping;
mod permits;
