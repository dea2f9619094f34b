//! When a registry is asked for, and what stays when it does not answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret as _;

use super::{CloudError, CredentialCache, Demand, MintRequest, MintResult, Retry};
use crate::api::Reason;
use crate::cluster::store::{Kept, Tokens};
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
    Registry { key: key.clone(), domains: domains.iter().map(|d| (*d).to_owned()).collect() }
}

fn wants(keys: &[&RegistryKey], list_domains: bool) -> HashMap<RegistryKey, Demand> {
    let want = Demand { threshold: Duration::from_secs(900), list_domains };
    keys.iter().map(|key| ((*key).clone(), want.clone())).collect()
}

/// A registry of which nothing is known yet is asked for its domains too.
fn due(key: &RegistryKey) -> MintRequest {
    MintRequest { key: key.clone(), list_domains: true, domains: Vec::new(), is_good: false }
}

/// A credential for an hour from `seconds` on.
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

fn refused(message: &str, retry: Retry, request: &str) -> CloudError {
    let request_id = Some(request.to_owned());
    CloudError { request_id, ..CloudError::new(Reason::AccessDenied, retry, message) }
}

fn failed(retry: Retry) -> MintResult {
    MintResult { credential: Some(Err(refused("no", retry, "r"))), domains: None }
}

/// What is due for a credential that was minted then.
fn due_at(key: &RegistryKey, seconds: i64) -> Timestamp {
    let life = Life { minted_at: at(seconds), expires_at: at(seconds + 3600) };
    life.due_at(Duration::from_secs(900), &key.id())
}

/// A ledger that holds a credential for each key, minted at the given second.
fn holding(held: &[(&RegistryKey, i64)]) -> (CredentialCache, HashMap<RegistryKey, Demand>) {
    let keys: Vec<_> = held.iter().map(|(key, _)| *key).collect();
    let wants = wants(&keys, false);
    let mut cache = CredentialCache::default();
    cache.want(&wants);
    cache.start_due(&wants, at(0));
    for (key, seconds) in held {
        cache.record(key, minted("first", *seconds), at(*seconds));
    }
    (cache, wants)
}

fn started(
    cache: &mut CredentialCache,
    wants: &HashMap<RegistryKey, Demand>,
    now: Timestamp,
) -> Vec<RegistryKey> {
    let mut keys: Vec<_> = cache.start_due(wants, now).0.into_iter().map(|due| due.key).collect();
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
fn what_is_not_held_is_due_at_once_and_asked_for_once() {
    let (key, mut cache) = (key("cri-1"), CredentialCache::default());
    let wants = wants(&[&key], true);
    cache.want(&wants);
    assert_eq!(cache.start_due(&wants, at(0)), (vec![due(&key)], None));
    assert_eq!(cache.start_due(&wants, at(1)), (vec![], None));
    cache.want(&wants);
    assert_eq!(cache.start_due(&wants, at(2)), (vec![], None));
}

#[test]
fn what_is_held_is_due_before_its_end_and_not_sooner() {
    let key = key("cri-1");
    let (mut cache, wants) = holding(&[(&key, 0)]);
    let due = due_at(&key, 0);
    assert!(due < at(2700) && due > at(2400));
    assert_eq!(cache.start_due(&wants, due - SignedDuration::from_millis(1)), (vec![], Some(due)));
    assert_eq!(cache.next_refresh_at(&key, &wants[&key]), Some(due));
    assert_eq!(started(&mut cache, &wants, due), [key]);
}

/// All of them cost each namespace one write, and stay together from then on.
#[test]
fn what_would_be_due_before_the_next_round_goes_together_with_what_is_due() {
    let (first, second, young) = (key("cri-1"), key("cri-2"), key("cri-3"));
    let due = due_at(&first, 0);
    let now = due.as_second() - at(0).as_second();
    let (mut cache, wants) = holding(&[(&first, 0), (&second, now - 1200), (&young, now - 60)]);
    assert_eq!(started(&mut cache, &wants, due - SignedDuration::from_secs(1)), []);
    assert_eq!(started(&mut cache, &wants, due), [first, second]);
}

/// A new binding, a retry and somebody's request are no reason to renew what is not due for long.
#[test]
fn what_is_asked_for_out_of_turn_takes_nothing_along_but_what_is_due_within_minutes() {
    let (first, half, almost, new) = (key("cri-1"), key("cri-2"), key("cri-3"), key("cri-4"));
    let soon = due_at(&almost, 0).as_second() - at(0).as_second() - 60;
    let (mut cache, _) = holding(&[(&first, 10), (&half, soon - 1200), (&almost, 0)]);
    cache.force([first.clone()]);
    let wants = wants(&[&first, &half, &almost, &new], false);
    cache.want(&wants);
    assert_eq!(started(&mut cache, &wants, at(soon)), [first, almost, new]);
}

#[test]
fn a_forced_refresh_is_due_at_once_and_only_once() {
    let (first, second) = (key("cri-1"), key("cri-2"));
    let (mut cache, wants) = holding(&[(&first, 0), (&second, 0)]);
    cache.force([first.clone(), key("cri-unknown")]);
    assert!(cache.is_forced(&first) && !cache.is_forced(&second) && !cache.is_forced(&key("cri-unknown")));
    assert_eq!(started(&mut cache, &wants, at(60)), std::slice::from_ref(&first));
    cache.record(&first, failed(Retry::Soon), at(61));
    assert!(!cache.is_forced(&first));
    assert_eq!(started(&mut cache, &wants, at(61)), []);
    assert_eq!(token(&cache, &registry(&first, &["d"])), "first");
}

#[test]
fn a_failed_attempt_waits_longer_each_time() {
    for (retry, resolved_bindings) in [
        (Retry::Soon, [(1.5, 2.0), (3.0, 4.0), (6.0, 8.0), (12.0, 16.0)]),
        (Retry::Rarely, [(11.2, 15.0), (22.5, 30.0), (45.0, 60.0), (90.0, 120.0)]),
    ] {
        let key = key("cri-1");
        let (mut cache, wants) = (CredentialCache::default(), wants(&[&key], false));
        cache.want(&wants);
        let mut now = at(0);
        for (least, most) in resolved_bindings {
            assert_eq!(started(&mut cache, &wants, now), std::slice::from_ref(&key));
            cache.record(&key, failed(retry), now);
            let next = cache.next_refresh_at(&key, &wants[&key]).unwrap();
            let waited = next.duration_since(now).as_secs_f64();
            assert!((least..=most).contains(&waited), "{retry:?}: {waited}");
            assert_eq!(started(&mut cache, &wants, next - SignedDuration::from_millis(1)), []);
            now = next;
        }
        cache.start_due(&wants, now);
        cache.record(&key, minted("t", 0), now);
        assert_eq!(cache.next_refresh_at(&key, &wants[&key]), Some(due_at(&key, 0)));
        cache.record(&key, failed(retry), now);
        let waited = cache.next_refresh_at(&key, &wants[&key]).unwrap().duration_since(now).as_secs_f64();
        assert!(waited <= resolved_bindings[0].1, "a success ends the run: {waited}");
    }
}

#[test]
fn a_wait_that_the_cloud_asks_for_is_kept() {
    let key = key("cri-1");
    let (mut cache, wants) = (CredentialCache::default(), wants(&[&key], false));
    cache.want(&wants);
    cache.start_due(&wants, at(0));
    cache.record(&key, failed(Retry::After(Duration::from_secs(90))), at(0));
    assert_eq!(cache.start_due(&wants, at(89)), (vec![], Some(at(90))));
    assert_eq!(started(&mut cache, &wants, at(90)), [key]);
}

/// A failing registry is tried at its own pace, not at its neighbours'.
#[test]
fn what_failed_does_not_join() {
    let (first, second) = (key("cri-1"), key("cri-2"));
    let (mut cache, wants) = holding(&[(&first, 0), (&second, 0)]);
    let due = due_at(&first, 0).max(due_at(&second, 0));
    assert_eq!(started(&mut cache, &wants, due), [first.clone(), second.clone()]);
    cache.record(&second, failed(Retry::After(Duration::from_secs(600))), due);
    cache.record(&first, minted("second", 2700), due);
    cache.force([first.clone()]);
    assert_eq!(started(&mut cache, &wants, due), [first]);
}

mod keeping;
