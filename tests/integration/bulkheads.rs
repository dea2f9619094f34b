//! One namespace whose writes hang or are refused delays no other, and one object delays no neighbour.

use std::collections::BTreeSet;

use acr_lab::hook::{AdmissionHook, Verdict};
use acr_lab::plane::{Fault, FaultProxy, Options, Target};
use futures::future::join_all;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{CONTROLLER, DOMAIN, Lab, NAMESPACE, installed_without, root, spec};
use crate::refusal::validating;

/// Writes of one namespace in flight.
const PER_NAMESPACE: usize = 16;

/// Those of all namespaces.
const ALL: usize = 112;

/// Starts a webhook that never answers to a change of a ServiceAccount by the controller, in namespaces with the label
/// `silent`. The API server itself would wait for 30 s.
async fn silence(lab: &Lab) -> AdmissionHook {
    let user = format!("system:serviceaccount:{NAMESPACE}:{CONTROLLER}");
    let hook = AdmissionHook::start(move |request: &Value| match request["userInfo"]["username"].as_str() {
        Some(name) if name == user => Verdict::NoAnswer,
        _ => Verdict::Deny(403, "reached".to_owned()),
    })
    .await
    .unwrap();
    let rule = json!({ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["serviceaccounts"] });
    let mut configuration = hook.validating("silent", &rule);
    configuration["webhooks"][0]["namespaceSelector"] = json!({ "matchLabels": { "silent": "true" } });
    lab.plane.apply(&configuration.to_string()).await.unwrap();
    hook
}

/// Waits until the API server calls the webhook for this namespace.
async fn until_called(lab: &Lab, namespace: &str) {
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let patch = Patch::Merge(json!({ "metadata": { "labels": { "dry": "run" } } }));
    lab.until("the webhook is called", async || {
        let answer = lab.namespaced::<ServiceAccount>(namespace).patch("default", &dry, &patch).await;
        answer.is_err_and(|error| error.to_string().contains("reached"))
    })
    .await;
}

/// Creates namespaces whose webhook is silent.
async fn create_silent(lab: &Lab, names: &[String]) {
    let label = || json!({ "silent": "true" });
    join_all(names.iter().map(|name| lab.create_namespace_with(name, label()))).await;
}

/// Creates accounts in a good namespace, each after further writes began to hang, and checks that each gets its entry
/// before all those were given up that hung then.
async fn good_accounts_are_served_beside(lab: &Lab, hook: &AdmissionHook, waves: usize) {
    let mut seen = BTreeSet::new();
    for wave in 0..waves {
        let mut hanging = Vec::new();
        lab.until("further writes hang", async || {
            hanging = hook.waiting();
            hanging.iter().any(|number| !seen.contains(number))
        })
        .await;
        let name = format!("wave-{wave}");
        lab.create_account("good", &name, &[]).await;
        lab.until_attached("good", &name).await;
        let waiting = hook.waiting();
        let left = hanging.iter().filter(|number| waiting.contains(number)).count();
        assert!(
            left > 0,
            "{name} had its entry only after all {} hanging writes were given up",
            hanging.len()
        );
        seen.extend(waiting);
        seen.extend(hanging);
    }
}

async fn start(names: &[String]) -> Lab {
    let lab = Lab::start().await;
    lab.create_namespace("good").await;
    create_silent(&lab, names).await;
    lab.bind("good", spec(&["good"])).await;
    lab.bind("bad", spec(&["bad-*"])).await;
    lab.until_ready_is("good", "True", "Succeeded").await;
    lab.until_ready_is("bad", "True", "Succeeded").await;
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn two_namespaces_of_which_81_writes_each_hang_delay_no_other_and_are_served_once_they_are_answered() {
    let names = ["bad-0", "bad-1"].map(str::to_owned);
    let lab = start(&names).await;
    let hook = silence(&lab).await;
    for name in &names {
        until_called(&lab, name).await;
    }
    let accounts = names.iter().flat_map(|name| (0..81).map(move |n| (name, format!("account-{n}"))));
    let accounts: Vec<_> = accounts.collect();
    join_all(accounts.iter().map(|(namespace, name)| lab.create_account(namespace, name, &[]))).await;
    good_accounts_are_served_beside(&lab, &hook, 4).await;
    for (namespace, most) in hook.most_waiting() {
        assert!(most <= PER_NAMESPACE, "{most} writes of {namespace} hung at the same time");
    }
    lab.until_ready_says("bad", "False", "WriteFailing", "the API server did not answer in time").await;
    let attached = async || {
        let lists = names.iter().map(async |name| {
            let all = lab.namespaced::<ServiceAccount>(name).list(&ListParams::default()).await.unwrap();
            all.into_iter().filter(|account| account.image_pull_secrets.is_some()).count()
        });
        join_all(lists).await.into_iter().sum::<usize>()
    };
    assert_eq!(attached().await, 2, "the default accounts, from before");
    lab.plane.kubectl_ok(&["delete", "validatingwebhookconfiguration", "silent"]).await.unwrap();
    drop(hook);
    lab.until("all accounts have their entry", async || attached().await == 2 * 82).await;
    lab.until_ready_is("bad", "True", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_namespaces_whose_writes_hang_delay_no_other() {
    let names: Vec<String> = (0..60).map(|n| format!("bad-{n}")).collect();
    let lab = start(&names).await;
    let hook = silence(&lab).await;
    until_called(&lab, "bad-59").await;
    let accounts: Vec<_> =
        names.iter().flat_map(|name| ["one", "two"].map(|account| (name, account))).collect();
    join_all(accounts.iter().map(|(namespace, name)| lab.create_account(namespace, name, &[]))).await;
    good_accounts_are_served_beside(&lab, &hook, 6).await;
    assert!(hook.waiting().len() <= ALL, "{} writes hang", hook.waiting().len());
}

/// Returns how often the API server refused the entry of an account.
fn refusals(proxy: &FaultProxy, account: &str) -> usize {
    let writes = proxy.writes();
    writes.iter().filter(|write| write.request.name == account && write.status >= 400).count()
}

/// Forty accounts are annotated by others at their creation, so that the first write of each fails by its version, and
/// one beside them is refused for good.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_change_at_their_creation_do_not_wait_for_one_that_is_refused() {
    let (lab, proxy) = Lab::proxied().await;
    lab.create_namespace("mixed").await;
    lab.create_account("mixed", "refused", &[]).await;
    for object in validating("serviceaccounts", "mixed", "object.metadata.name != 'refused'", "never") {
        lab.plane.apply(&object.to_string()).await.unwrap();
    }
    let create = |name: String| {
        let object = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
        let accounts = lab.namespaced::<ServiceAccount>("mixed");
        async move { accounts.create(&PostParams::default(), &object).await }
    };
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let patch = Patch::Merge(json!({ "metadata": { "labels": { "dry": "run" } } }));
    lab.until("the policy is in force", async || {
        lab.namespaced::<ServiceAccount>("mixed").patch("refused", &dry, &patch).await.is_err()
    })
    .await;
    lab.bind("mixed", spec(&["mixed"])).await;
    lab.until_attached("mixed", "default").await;
    lab.until("it was refused twice", async || refusals(&proxy, "refused") >= 2).await;
    // Its back-off doubles, so that a slow machine needs another batch at most a few times.
    let mut between = Vec::new();
    for batch in 0..4 {
        let before = refusals(&proxy, "refused");
        proxy.inject(Target::new("patch", "serviceaccounts").in_namespace("mixed"), Fault::Answer(409), 40);
        let names: Vec<String> = (0..40).map(|n| format!("new-{batch}-{n}")).collect();
        join_all(names.iter().map(|name| create(name.clone())))
            .await
            .into_iter()
            .for_each(|made| drop(made.unwrap()));
        for name in &names {
            lab.until_attached("mixed", name).await;
        }
        assert_eq!(proxy.pending(), 0, "each of the first writes was stale");
        between.push(refusals(&proxy, "refused") - before);
        if between.last() == Some(&0) {
            return;
        }
    }
    panic!("no batch was served between two attempts of the refused account: {between:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flow_schema_takes_the_controllers_requests() {
    let fair = "--enable-priority-and-fairness=true".to_owned();
    let plane =
        installed_without(&[], Options { extra_api_server_args: vec![fair], ..Options::default() }).await;
    plane.apply_file(root().join("deploy/flow-schema.yaml")).await.unwrap();
    let lab = Lab::start_on_installed(plane).await;
    lab.create_namespace("tenant").await;
    lab.bind("tenant", spec(&["tenant"])).await;
    lab.until_served("tenant", DOMAIN).await;
    lab.until_attached("tenant", "default").await;
    let dispatched = async |schema: &str, level: &str| {
        let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
        let metrics = lab.client.request_text(request).await.unwrap();
        let labels = [format!("flow_schema=\"{schema}\""), format!("priority_level=\"{level}\"")];
        let of = |line: &&str| {
            line.starts_with("apiserver_flowcontrol_dispatched_requests_total{")
                && labels.iter().all(|label| line.contains(label))
        };
        let count = |line: &str| line.rsplit_once(' ').and_then(|(_, count)| count.parse::<f64>().ok());
        metrics.lines().filter(of).filter_map(count).sum::<f64>()
    };
    // The API server takes a moment to use a schema, and the first writes may precede it.
    let mut number = 0;
    lab.until("writes in namespaces are in a level of their own", async || {
        let name = format!("next-{number}");
        number += 1;
        lab.create_account("tenant", &name, &[]).await;
        lab.until_attached("tenant", &name).await;
        dispatched("acr-credential-tenants", "acr-credential-tenants").await > 0.0
    })
    .await;
    lab.until("the Lease is in the level of elections", async || {
        dispatched("acr-credential-lease", "leader-election").await > 0.0
    })
    .await;
    assert!(dispatched("service-accounts", "workload-low").await > 0.0, "the rest stays where it was");
    let flows = lab.client.request_text(
        http::Request::get("/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/acr-credential-tenants")
            .body(Vec::new())
            .unwrap(),
    );
    let flows: Value = serde_json::from_str(&flows.await.unwrap()).unwrap();
    assert_eq!(flows["spec"]["distinguisherMethod"]["type"], "ByNamespace");
    let dangling = flows["status"]["conditions"].as_array().unwrap();
    assert!(dangling.iter().any(|c| c["type"] == "Dangling" && c["status"] == "False"), "{dangling:?}");
}
