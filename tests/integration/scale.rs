//! Many bindings and many registries: what an event costs is counted, never timed.

use std::collections::BTreeMap;

use acr_lab::cloud::{Fault as CloudFault, FaultKind};
use acr_lab::plane::{Fault, Target};
use futures::future::join_all;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::harness::{DOMAIN, Lab, SECRET, spec};

/// Namespaces and bindings that all cover each other.
const SIDE: usize = 40;

/// Registries whose host never answers.
const HANGING: usize = 12;

/// Returns a binding of every namespace labelled as one of many, with a domain of its own.
fn shared(i: usize) -> Value {
    json!({
        "registries": [{ "instanceId": "cri-demo0001", "domains": [format!("b{i}.example.com")] }],
        "watchNamespaces": { "selector": { "matchLabels": { "tier": "many" } } },
    })
}

impl Lab {
    async fn create_many_namespaces(&self) -> Vec<String> {
        let names: Vec<String> = (0..SIDE).map(|i| format!("many-{i}")).collect();
        let labels = json!({ "tier": "many" });
        join_all(names.iter().map(|name| self.create_namespace_with(name, labels.clone()))).await;
        names
    }

    async fn until_domains(&self, namespaces: &[String], count: usize) {
        for namespace in namespaces {
            self.until(&format!("{namespace} has {count} domains"), async || {
                self.auths(namespace).await.unwrap_or_default().len() == count
            })
            .await;
        }
    }
}

/// One edit of a cluster is many events: each namespace is written for all of them together.
#[tokio::test(flavor = "multi_thread")]
async fn bindings_that_come_and_go_together_cost_each_namespace_a_write_or_two() {
    let lab = Lab::start().await;
    let namespaces = lab.create_many_namespaces().await;
    let mark = lab.mark();
    let names: Vec<String> = (0..SIDE).map(|i| format!("b{i}")).collect();
    join_all(names.iter().enumerate().map(|(i, name)| lab.bind(name, shared(i)))).await;
    lab.until_domains(&namespaces, SIDE).await;
    let writes = lab.requests(mark).writes().filter(|e| e.name == SECRET).len();
    println!("{writes} writes of {SIDE} Secrets for {SIDE} bindings");
    assert!(writes <= 2 * SIDE, "{writes} writes of {SIDE} Secrets for {SIDE} bindings");
    lab.until_settled().await;

    // A new binding does not wait until those that leave are gone, and nothing is written for each of them alone.
    lab.create_namespace("fresh").await;
    let mark = lab.mark();
    let (bindings, params) = (lab.bindings(), DeleteParams::default());
    join_all(names.iter().map(|name| bindings.delete(name, &params))).await;
    lab.bind("fresh", spec(&["fresh"])).await;
    lab.until_served("fresh", DOMAIN).await;
    for namespace in &namespaces {
        lab.until(&format!("{namespace} has no Secret"), async || lab.secret(namespace).await.is_none())
            .await;
    }
    let writes = lab.requests(mark).writes().filter(|e| e.name == SECRET && e.namespace != "fresh").len();
    println!("{writes} writes of {SIDE} Secrets while {SIDE} bindings left");
    assert!(writes <= 3 * SIDE, "{writes} writes of {SIDE} Secrets while {SIDE} bindings left");
}

/// Attempts that fail again and again concern their own binding, and change nothing.
#[tokio::test(flavor = "multi_thread")]
async fn registries_that_never_answer_cost_others_nothing_and_rewrite_no_status() {
    let lab = Lab::start().await;
    lab.create_namespace("hung").await;
    for name in ["calm-1", "calm-2", "calm-3"] {
        lab.create_namespace(name).await;
    }
    lab.bind("calm", spec(&["calm-*"])).await;
    lab.until_served("calm-3", DOMAIN).await;
    let ids: Vec<String> = (0..HANGING).map(|i| format!("cri-hang{i:04}")).collect();
    lab.cloud.world(|world| {
        let instance = world.instances["cri-demo0001"].clone();
        world.instances.extend(ids.iter().map(|id| (id.clone(), instance.clone())));
    });
    for id in &ids {
        lab.cloud.fault(CloudFault {
            action: "*".to_owned(),
            instance: Some(id.clone()),
            kind: FaultKind::Hang,
            times: None,
        });
    }
    let entry =
        |(i, id): (usize, &String)| json!({ "instanceId": id, "domains": [format!("h{i}.example.com")] });
    let registries: Vec<Value> = ids.iter().enumerate().map(entry).collect();
    let hung = json!({ "registries": registries, "watchNamespaces": { "names": ["hung"] } });
    lab.bind("hung", hung).await;
    let failures = || {
        let log = lab.controller.log();
        let failed = log.lines().filter(|line| line.contains("credential not issued"));
        failed.filter(|line| line.contains("cri-hang")).count()
    };
    lab.until("every registry failed once", async || failures() >= HANGING).await;
    lab.until_ready_is("hung", "False", "Unreachable").await;
    lab.until_settled().await;

    let (mark, looks, before) = (lab.mark(), lab.reconciled().len(), failures());
    lab.until("every registry failed again", async || failures() >= before + HANGING).await;
    let writes = lab.requests(mark).writes();
    let of = |resource: &str, name: &str| writes.filter(|e| e.target() == resource && e.name == name).len();
    assert_eq!(of("acrcredentialbindings/status", "hung"), 0, "{:?}", writes.counts());
    assert_eq!(of("secrets", "acr-credential-cache"), 0, "{:?}", writes.counts());
    let looked: BTreeMap<String, usize> =
        lab.reconciled()[looks..].iter().fold(BTreeMap::new(), |mut all, namespace| {
            *all.entry(namespace.clone()).or_default() += 1;
            all
        });
    assert!(looked.keys().all(|namespace| !namespace.starts_with("calm")), "{looked:?}");
    let status = lab.bindings().get("hung").await.unwrap().status.unwrap();
    assert!(status.registries.iter().all(|registry| registry.next_refresh_at.is_none()));
}

/// The Secret is in place, so its pair is ready; the refused account shows in the count of accounts.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_account_does_not_make_its_namespace_unready() {
    let lab = Lab::start().await;
    lab.create_namespace("team").await;
    let rule = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
            "metadata": { "name": "locked" }, "spec": spec,
        })
    };
    let policy = json!({
        "matchConstraints": { "resourceRules": [{ "apiGroups": [""], "apiVersions": ["v1"],
            "operations": ["UPDATE"], "resources": ["serviceaccounts"] }] },
        "validations": [{ "expression": "object.metadata.name != 'locked'", "message": "it is locked" }],
    });
    let binding = json!({ "policyName": "locked", "validationActions": ["Deny"] });
    lab.create_account("team", "locked", &[]).await;
    for object in
        [rule("ValidatingAdmissionPolicy", policy), rule("ValidatingAdmissionPolicyBinding", binding)]
    {
        lab.plane.apply(&object.to_string()).await.unwrap();
    }
    let accounts = lab.namespaced::<k8s_openapi::api::core::v1::ServiceAccount>("team");
    lab.until("the policy is in force", async || {
        let patch = kube::api::Patch::Merge(json!({ "metadata": { "labels": { "a": "b" } } }));
        let dry = kube::api::PatchParams { dry_run: true, ..Default::default() };
        accounts.patch("locked", &dry, &patch).await.is_err()
    })
    .await;
    lab.bind("team", spec(&["team"])).await;
    lab.until_served("team", DOMAIN).await;
    lab.until_attached("team", "default").await;
    lab.until("the refusal is reported", async || {
        let ready = lab.condition("team", "Ready").await;
        ready.is_some_and(|(status, _, message)| status == "False" && message.contains("has no entry yet"))
    })
    .await;
    let status = lab.bindings().get("team").await.unwrap().status.unwrap();
    let summary = status.summary.unwrap();
    assert_eq!((&*summary.namespaces, &*summary.service_accounts), ("1/1", "1/2"));
    let pair = &status.pairs[0].conditions[0];
    assert_eq!(pair.status, "True");
    assert!(pair.message.contains("A ServiceAccount has no entry"), "{}", pair.message);
    assert!(pair.message.contains("it is locked"), "{}", pair.message);
}

/// An account that others change at every write is not served, and its binding reports everything else.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_keeps_changing_does_not_hold_back_the_status_of_its_binding() {
    let (lab, proxy) = Lab::proxied().await;
    lab.create_namespace("flapping").await;
    lab.bind("flapping", spec(&["flapping"])).await;
    lab.until_ready_is("flapping", "True", "Succeeded").await;
    let target = || Target::new("patch", "serviceaccounts").in_namespace("flapping");
    const CONFLICTS: usize = 100_000;
    proxy.inject(target(), Fault::Answer(409), CONFLICTS);
    lab.create_account("flapping", "busy", &[]).await;
    lab.until("the account keeps changing", async || proxy.pending() < CONFLICTS - 10).await;
    lab.refresh("flapping", "while it changes").await;
    assert!(lab.pull_secrets("flapping", "busy").await.is_empty());
}
