//! What one event costs at different sizes: the time must follow what the event concerns, not what exists.
//!
//! Run by `cargo bench --bench scale`.

#![expect(clippy::expect_used, reason = "a bench that cannot begin ends")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use acr_credential_binding::api::{AcrCredentialBinding, names};
use acr_credential_binding::controller::state::SharedState;
use acr_credential_binding::model::{Binding, Credential, RegistryKey};
use acr_credential_binding::plan::credential_cache::{MintResult, SavedCredentials};
use acr_credential_binding::plan::view::{NamespaceFacts, ServiceAccountView};
use acr_credential_binding::plan::withdrawal_guard::WithdrawalGuard;
use acr_credential_binding::plan::{
    NamespaceRecord, NamespaceView, Phase, RegistryCredential, ResolvedBinding, Snapshot, Template, round,
};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// Bindings, and five namespaces for each. The last one is measured, which selects by names at each of these sizes.
const SIZES: [usize; 3] = [1, 301, 2001];

fn template() -> Arc<Template> {
    Arc::new(Template { name: "ours".into(), labels: BTreeMap::new(), annotations: BTreeMap::new() })
}

/// Returns a binding of five namespaces: by their names, by a glob, or by a label.
fn object(i: usize, version: usize, registries: usize) -> AcrCredentialBinding {
    let namespaces: Value = match i % 3 {
        0 => json!({ "names": (0..5).map(|n| format!("team-{i}-{n}")).collect::<Vec<_>>() }),
        1 => json!({ "names": [format!("team-{i}-*")] }),
        _ => json!({ "selector": { "matchLabels": { "team": format!("t{i}") } } }),
    };
    let registry = |r: usize| json!({ "instanceId": format!("cri-{i}-{r}"), "domains": [format!("r{r}.b{i}.example.com")] });
    serde_json::from_value(json!({
        "apiVersion": "acrcredential.dev/v1alpha1",
        "kind": "AcrCredentialBinding",
        "metadata": {
            "name": format!("b{i}"), "uid": format!("u{i}"), "resourceVersion": version.to_string(),
            "generation": version, "creationTimestamp": "2026-01-01T00:00:00Z", "finalizers": [names::FINALIZER],
        },
        "spec": {
            "registries": (0..registries).map(registry).collect::<Vec<_>>(),
            "watchNamespaces": namespaces,
            "expiringThreshold": format!("{}m", 10 + version % 2),
        },
    }))
    .expect("a valid binding")
}

fn facts(i: usize) -> NamespaceFacts {
    let labels = BTreeMap::from([("team".to_owned(), format!("t{i}"))]);
    NamespaceFacts { labels: labels.into(), ..NamespaceFacts::default() }
}

fn credential(token: usize) -> Credential {
    let minted_at = Timestamp::from_second(4_000_000_000).expect("a time");
    Credential {
        username: "cr_temp_user".to_owned(),
        token: format!("{token}{}", "t".repeat(800)).into(),
        minted_at,
        expires_at: minted_at + SignedDuration::from_hours(1),
        origin: Default::default(),
    }
}

fn resolved(object: &AcrCredentialBinding) -> ResolvedBinding {
    let binding = Arc::new(Binding::parse(object, "cn-hangzhou").expect("a valid binding"));
    let held = |(i, registry): (usize, &acr_credential_binding::model::Registry)| RegistryCredential::Held {
        credential: Arc::new(credential(i)),
        domains: registry.domains.clone().into(),
    };
    let registries = binding.registries.iter().enumerate().map(held).collect();
    ResolvedBinding { binding, phase: Phase::Active, registries, keeps_entries: false }
}

/// Returns the state of a leader with bindings, and five namespaces for each.
fn leader(bindings: usize) -> Arc<SharedState> {
    let guard = WithdrawalGuard::new(SignedDuration::from_mins(10));
    let shared = SharedState::new("cn-hangzhou", template(), guard);
    shared.index.namespace_keys.want(["team"]);
    shared.index.namespace_keys.begin();
    for i in 0..bindings {
        (0..5).for_each(|n| drop(shared.index.put_namespace(&format!("team-{i}-{n}"), facts(i))));
        shared.put_binding(object(i, 1, 1));
    }
    shared.define(Some(Timestamp::UNIX_EPOCH));
    shared.begin(SavedCredentials::new(), false);
    publish_all(&shared);
    shared
}

fn publish_all(shared: &SharedState) {
    shared.publish_waiting();
    shared.namespaces.clear();
}

fn covering(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("the bindings of a namespace");
    for size in SIZES {
        let all = (0..size).map(|i| resolved(&object(i, 1, 1))).collect();
        let snapshot = Snapshot::new(template(), all, false);
        let facts = facts(size - 1);
        let name = format!("team-{}-3", size - 1);
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| black_box(snapshot.covering(black_box(&name), &facts)));
        });
    }
}

fn namespace(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("the plan of a namespace, by registries");
    for registries in [1, 64] {
        let snapshot = Snapshot::new(template(), vec![resolved(&object(0, 1, registries))], false);
        let mut view = NamespaceView::new("team-0-3".into());
        view.facts = Some(facts(0));
        view.service_accounts = vec![ServiceAccountView {
            name: "default".into(),
            resource_version: "7".into(),
            labels: Default::default(),
            skip: false,
            unclear_skip: None,
            pull_secrets: ["ours".into()].into(),
        }];
        let mut record = NamespaceRecord::new(view);
        group.bench_function(BenchmarkId::from_parameter(registries), |bencher| {
            bencher.iter(|| black_box(round(&mut record, &snapshot, &[], Timestamp::UNIX_EPOCH)));
        });
    }
}

fn publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a credential that lands, by bindings");
    for size in SIZES {
        let shared = leader(size);
        let key: RegistryKey = resolved(&object(size - 1, 1, 1)).binding.registries[0].key.clone();
        let mut token = 0;
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                token += 1;
                let mut state = shared.state();
                let landed = MintResult { credential: Some(Ok(credential(token))), domains: None };
                state.credentials.record(&key, landed, Timestamp::UNIX_EPOCH);
                shared.publish_credentials(&mut state, std::slice::from_ref(&key));
                drop(state);
                shared.namespaces.clear();
            });
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("a binding that is edited, by bindings");
    for size in SIZES {
        let shared = leader(size);
        let mut version = 1;
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                version += 1;
                shared.put_binding(object(size - 1, version, 1));
                publish_all(&shared);
            });
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("a namespace that changes, by bindings");
    for size in SIZES {
        let shared = leader(size);
        let name: Arc<str> = format!("team-{}-3", size - 1).into();
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                shared.observe_namespace(name.clone());
                shared.namespaces.clear();
            });
        });
    }
}

criterion_group!(benches, covering, namespace, publish);
criterion_main!(benches);
