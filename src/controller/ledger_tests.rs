//! When a registry is asked for, and what stays when it does not answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret as _;

use super::{CloudFailure, Due, Ledger, Minted, Retry, Want};
use crate::api::Reason;
use crate::cluster::store::{Kept, Tokens};
use crate::model::identity::{Arn, Base, Identity};
use crate::model::{Credential, Edition, Registry, RegistryKey};
use crate::plan::Issue;
use crate::plan::fixture::at;
use crate::plan::refresh::Life;

fn key(instance: &str) -> RegistryKey {
    let identity = Identity { base: Base::Own, assume: None, session_seconds: 3600 };
    RegistryKey { edition: Edition::Enterprise(instance.into()), region: "cn-hangzhou".into(), identity }
}

fn registry(key: &RegistryKey, domains: &[&str]) -> Registry {
    Registry { key: key.clone(), domains: domains.iter().map(|d| (*d).to_owned()).collect() }
}

fn wants(keys: &[&RegistryKey], list_domains: bool) -> HashMap<RegistryKey, Want> {
    let want = Want { threshold: Duration::from_secs(900), list_domains };
    keys.iter().map(|key| ((*key).clone(), want.clone())).collect()
}

/// A registry of which nothing is known yet is asked for its domains too.
fn due(key: &RegistryKey) -> Due {
    Due { key: key.clone(), list_domains: true, domains: Vec::new(), is_good: false }
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

fn minted(token: &str, seconds: i64) -> Minted {
    Minted { credential: Some(Ok(credential(token, seconds))), domains: None }
}

fn refused(message: &str, retry: Retry, request: &str) -> CloudFailure {
    let request_id = Some(request.to_owned());
    CloudFailure { request_id, ..CloudFailure::new(Reason::AccessDenied, retry, message) }
}

fn failed(retry: Retry) -> Minted {
    Minted { credential: Some(Err(refused("no", retry, "r"))), domains: None }
}

/// What is due for a credential that was minted then.
fn due_at(key: &RegistryKey, seconds: i64) -> Timestamp {
    let life = Life { minted_at: at(seconds), expires_at: at(seconds + 3600) };
    life.due_at(Duration::from_secs(900), &key.id())
}

/// A ledger that holds a credential for each key, minted at the given second.
fn holding(held: &[(&RegistryKey, i64)]) -> (Ledger, HashMap<RegistryKey, Want>) {
    let keys: Vec<_> = held.iter().map(|(key, _)| *key).collect();
    let wants = wants(&keys, false);
    let mut ledger = Ledger::default();
    ledger.want(&wants);
    ledger.start_due(&wants, at(0));
    for (key, seconds) in held {
        ledger.record(key, minted("first", *seconds), at(*seconds));
    }
    (ledger, wants)
}

fn started(ledger: &mut Ledger, wants: &HashMap<RegistryKey, Want>, now: Timestamp) -> Vec<RegistryKey> {
    let mut keys: Vec<_> = ledger.start_due(wants, now).0.into_iter().map(|due| due.key).collect();
    keys.sort();
    keys
}

fn token(ledger: &Ledger, registry: &Registry) -> String {
    match ledger.issue(registry) {
        Issue::Held { credential, .. } => credential.token.expose_secret().to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn what_is_not_held_is_due_at_once_and_asked_for_once() {
    let (key, mut ledger) = (key("cri-1"), Ledger::default());
    let wants = wants(&[&key], true);
    ledger.want(&wants);
    assert_eq!(ledger.start_due(&wants, at(0)), (vec![due(&key)], None));
    assert_eq!(ledger.start_due(&wants, at(1)), (vec![], None));
    ledger.want(&wants);
    assert_eq!(ledger.start_due(&wants, at(2)), (vec![], None));
}

#[test]
fn what_is_held_is_due_before_its_end_and_not_sooner() {
    let key = key("cri-1");
    let (mut ledger, wants) = holding(&[(&key, 0)]);
    let due = due_at(&key, 0);
    assert!(due < at(2700) && due > at(2400));
    assert_eq!(ledger.start_due(&wants, due - SignedDuration::from_millis(1)), (vec![], Some(due)));
    assert_eq!(ledger.next_refresh_at(&key, &wants[&key]), Some(due));
    assert_eq!(started(&mut ledger, &wants, due), [key]);
}

/// All of them cost each namespace one write, and stay together from then on.
#[test]
fn what_would_be_due_before_the_next_round_goes_together_with_what_is_due() {
    let (first, second, young) = (key("cri-1"), key("cri-2"), key("cri-3"));
    let due = due_at(&first, 0);
    let now = due.as_second() - at(0).as_second();
    let (mut ledger, wants) = holding(&[(&first, 0), (&second, now - 1200), (&young, now - 60)]);
    assert_eq!(started(&mut ledger, &wants, due - SignedDuration::from_secs(1)), []);
    assert_eq!(started(&mut ledger, &wants, due), [first, second]);
}

/// A new binding, a retry and somebody's request are no reason to renew what is not due for long.
#[test]
fn what_is_asked_for_out_of_turn_takes_nothing_along_but_what_is_due_within_minutes() {
    let (first, half, almost, new) = (key("cri-1"), key("cri-2"), key("cri-3"), key("cri-4"));
    let soon = due_at(&almost, 0).as_second() - at(0).as_second() - 60;
    let (mut ledger, _) = holding(&[(&first, 10), (&half, soon - 1200), (&almost, 0)]);
    ledger.force([first.clone()]);
    let wants = wants(&[&first, &half, &almost, &new], false);
    ledger.want(&wants);
    assert_eq!(started(&mut ledger, &wants, at(soon)), [first, almost, new]);
}

#[test]
fn a_forced_refresh_is_due_at_once_and_only_once() {
    let (first, second) = (key("cri-1"), key("cri-2"));
    let (mut ledger, wants) = holding(&[(&first, 0), (&second, 0)]);
    ledger.force([first.clone(), key("cri-unknown")]);
    assert!(ledger.is_forced(&first) && !ledger.is_forced(&second) && !ledger.is_forced(&key("cri-unknown")));
    assert_eq!(started(&mut ledger, &wants, at(60)), std::slice::from_ref(&first));
    ledger.record(&first, failed(Retry::Soon), at(61));
    assert!(!ledger.is_forced(&first));
    assert_eq!(started(&mut ledger, &wants, at(61)), []);
    assert_eq!(token(&ledger, &registry(&first, &["d"])), "first");
}

#[test]
fn a_failed_attempt_waits_longer_each_time() {
    for (retry, bounds) in [
        (Retry::Soon, [(1.5, 2.0), (3.0, 4.0), (6.0, 8.0), (12.0, 16.0)]),
        (Retry::Rarely, [(11.2, 15.0), (22.5, 30.0), (45.0, 60.0), (90.0, 120.0)]),
    ] {
        let key = key("cri-1");
        let (mut ledger, wants) = (Ledger::default(), wants(&[&key], false));
        ledger.want(&wants);
        let mut now = at(0);
        for (least, most) in bounds {
            assert_eq!(started(&mut ledger, &wants, now), std::slice::from_ref(&key));
            ledger.record(&key, failed(retry), now);
            let next = ledger.next_refresh_at(&key, &wants[&key]).unwrap();
            let waited = next.duration_since(now).as_secs_f64();
            assert!((least..=most).contains(&waited), "{retry:?}: {waited}");
            assert_eq!(started(&mut ledger, &wants, next - SignedDuration::from_millis(1)), []);
            now = next;
        }
        ledger.start_due(&wants, now);
        ledger.record(&key, minted("t", 0), now);
        assert_eq!(ledger.next_refresh_at(&key, &wants[&key]), Some(due_at(&key, 0)));
        ledger.record(&key, failed(retry), now);
        let waited = ledger.next_refresh_at(&key, &wants[&key]).unwrap().duration_since(now).as_secs_f64();
        assert!(waited <= bounds[0].1, "a success ends the run: {waited}");
    }
}

#[test]
fn a_wait_that_the_cloud_asks_for_is_kept() {
    let key = key("cri-1");
    let (mut ledger, wants) = (Ledger::default(), wants(&[&key], false));
    ledger.want(&wants);
    ledger.start_due(&wants, at(0));
    ledger.record(&key, failed(Retry::After(Duration::from_secs(90))), at(0));
    assert_eq!(ledger.start_due(&wants, at(89)), (vec![], Some(at(90))));
    assert_eq!(started(&mut ledger, &wants, at(90)), [key]);
}

/// A failing registry is tried at its own pace, not at its neighbours'.
#[test]
fn what_failed_does_not_join() {
    let (first, second) = (key("cri-1"), key("cri-2"));
    let (mut ledger, wants) = holding(&[(&first, 0), (&second, 0)]);
    let due = due_at(&first, 0).max(due_at(&second, 0));
    assert_eq!(started(&mut ledger, &wants, due), [first.clone(), second.clone()]);
    ledger.record(&second, failed(Retry::After(Duration::from_secs(600))), due);
    ledger.record(&first, minted("second", 2700), due);
    ledger.force([first.clone()]);
    assert_eq!(started(&mut ledger, &wants, due), [first]);
}

#[path = "ledger_keeping_tests.rs"]
mod keeping;
