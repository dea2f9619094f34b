use std::sync::Arc;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::refresh;
use crate::api::{AcrCredentialBinding, names};
use crate::cloud::{CallObserver, ObservedCall};
use crate::controller::state::SharedState;
use crate::model::Credential;
use crate::plan::credential_cache::{MintResult, SavedCredentials};
use crate::plan::view::NamespaceFacts;
use crate::plan::withdrawal_guard::WithdrawalGuard;
use crate::plan::{NamespaceResult, Template};
use crate::server::Metrics;

const BINDINGS: usize = 1000;
const NAMESPACES: usize = 10_000;

fn leader() -> Arc<SharedState> {
    let template = Template { name: "ours".into(), labels: [].into(), annotations: [].into() };
    let guard = WithdrawalGuard::new(SignedDuration::from_mins(10));
    let shared = SharedState::new("cn-hangzhou", Arc::new(template), guard);
    shared.define(Some(Timestamp::UNIX_EPOCH));
    shared.begin(SavedCredentials::new(), false);
    shared
}

/// Adds bindings of one registry each, whose credentials were minted for an hour.
fn serve(shared: &SharedState, names: &[String]) {
    let mut state = shared.state();
    for name in names {
        let object: AcrCredentialBinding = serde_json::from_value(json!({
            "apiVersion": "acrcredential.dev/v1alpha1",
            "kind": "AcrCredentialBinding",
            "metadata": {
                "name": name, "uid": name, "resourceVersion": "1", "generation": 1,
                "creationTimestamp": "2026-01-01T00:00:00Z", "finalizers": [names::FINALIZER],
            },
            "spec": {
                "registries": [{ "instanceId": format!("cri-{name}"), "domains": ["d"] }],
                "watchNamespaces": { "names": [format!("{name}-*")] },
            },
        }))
        .unwrap();
        state.bindings.put(object, "cn-hangzhou");
    }
    let totals = state.bindings.totals().clone();
    state.credentials.track(&totals.demands);
    for key in totals.demands.keys() {
        let credential = Credential {
            username: "u".into(),
            token: "t".into(),
            minted_at: now(),
            expires_at: now() + SignedDuration::from_hours(1),
            origin: Default::default(),
        };
        state.credentials.record(key, MintResult { credential: Some(Ok(credential)), domains: None }, now());
    }
}

fn result(binding: &str, matched: u32, bound: u32, contended: u32) -> NamespaceResult {
    NamespaceResult {
        binding: binding.into(),
        secret: Ok(()),
        domain_conflicts: Arc::from([]),
        matched,
        bound,
        contended,
        opted_out: 0,
        unattached: None,
        contention: None,
    }
}

fn scrape(shared: &SharedState, metrics: &Metrics) -> String {
    refresh(shared, metrics, 8);
    metrics.render()
}

fn series(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#')).count()
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

#[test]
fn service_accounts_are_counted_by_their_state() {
    let (shared, metrics) = (leader(), Metrics::default());
    serve(&shared, &["a".to_owned()]);
    shared.report(&"a-1".into(), &[result("a", 5, 2, 1)]);
    shared.report(&"a-2".into(), &[result("a", 3, 1, 0)]);
    let text = scrape(&shared, &metrics);
    for (state, count) in [("attached", 3), ("pending", 4), ("contended", 1)] {
        let line = format!("acr_serviceaccounts{{binding=\"a\",state=\"{state}\"}} {count}\n");
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}

#[test]
fn service_accounts_of_a_suspended_binding_are_not_pending() {
    let (shared, metrics) = (leader(), Metrics::default());
    serve(&shared, &["a".to_owned()]);
    shared.report(&"a-1".into(), &[result("a", 5, 2, 1)]);
    let mut object = AcrCredentialBinding::clone(&shared.state().bindings.get("a").unwrap().object);
    object.spec.suspend = true;
    object.metadata.resource_version = Some("2".to_owned());
    shared.state().bindings.put(object, "cn-hangzhou");
    let text = scrape(&shared, &metrics);
    for (state, count) in [("attached", 2), ("pending", 0), ("contended", 0), ("suspended", 3)] {
        let line = format!("acr_serviceaccounts{{binding=\"a\",state=\"{state}\"}} {count}\n");
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}

#[test]
fn the_renewal_of_a_credential_is_before_its_expiry() {
    let (shared, metrics) = (leader(), Metrics::default());
    serve(&shared, &["a".to_owned()]);
    let text = scrape(&shared, &metrics);
    let value = |name: &str| -> i64 {
        let line = text.lines().find(|line| line.starts_with(&format!("{name}{{registry=\"cri-a in ")));
        line.unwrap_or_else(|| panic!("{name} is not in\n{text}"))
            .rsplit_once(' ')
            .unwrap()
            .1
            .parse()
            .unwrap()
    };
    let expiry = value("acr_credential_expiration_timestamp_seconds");
    let renewal = value("acr_credential_renewal_timestamp_seconds");
    assert_eq!(expiry, now().as_second() + 3600);
    // An hour's credential is renewed when 15 to 20 minutes of it are left.
    assert!((900..=1200).contains(&(expiry - renewal)), "{renewal}");
}

#[test]
fn series_go_with_their_binding() {
    let (shared, metrics) = (leader(), Metrics::default());
    serve(&shared, &["a".to_owned(), "b".to_owned()]);
    for name in ["a", "b"] {
        shared.report(&format!("{name}-1").into(), &[result(name, 1, 1, 0)]);
    }
    let text = scrape(&shared, &metrics);
    assert!(text.contains("binding=\"b\"") && text.contains("registry=\"cri-b in "), "{text}");
    shared.remove_binding("b");
    let text = scrape(&shared, &metrics);
    assert!(!text.contains("binding=\"b\"") && !text.contains("registry=\"cri-b in "), "{text}");
    assert!(text.contains("binding=\"a\"") && text.contains("registry=\"cri-a in "), "{text}");
}

/// Each binding of one registry has nine: three of its readiness, four of its ServiceAccounts, two of its credential.
#[test]
fn the_number_of_series_follows_the_bindings_and_not_the_namespaces() {
    let count = |namespaces: usize| {
        let (shared, metrics) = (leader(), Metrics::default());
        let names: Vec<String> = (0..BINDINGS).map(|i| format!("b{i}")).collect();
        serve(&shared, &names);
        names.iter().for_each(|name| metrics.set_ready(name, "True"));
        let before = series(&Metrics::default().render());
        for i in 0..namespaces {
            let (namespace, binding) = (format!("b{}-{i}", i % BINDINGS), format!("b{}", i % BINDINGS));
            shared.index.put_namespace(&namespace, NamespaceFacts::default());
            shared.report(&namespace.into(), &[result(&binding, 2, 2, 0)]);
        }
        series(&scrape(&shared, &metrics)) - before
    };
    let of_queues = 2;
    let all = count(NAMESPACES);
    assert_eq!(all, BINDINGS * 9 + of_queues);
    assert_eq!(count(BINDINGS), all, "ten times the namespaces add no series");
}

#[test]
fn calls_of_the_cloud_are_counted_by_action_and_code() {
    let metrics = Metrics::default();
    let call = ObservedCall { action: "assume_role", code: "403" };
    metrics.observe(call, std::time::Duration::from_millis(30));
    let text = metrics.render();
    for line in [
        "acr_api_request_duration_seconds_count{action=\"assume_role\",code=\"403\"} 1\n",
        "acr_api_request_duration_seconds_bucket{le=\"0.025\",action=\"assume_role\",code=\"403\"} 0\n",
        "acr_api_request_duration_seconds_bucket{le=\"0.05\",action=\"assume_role\",code=\"403\"} 1\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
