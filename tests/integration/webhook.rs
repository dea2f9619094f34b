//! ServiceAccounts served at their creation by webhook, on an API server that serves no MutatingAdmissionPolicy.

mod certificates;
mod flood;
mod other_writer;
mod replicas;
mod rights;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use acr_lab::controller::ControllerOptions;
use acr_lab::plane::{Options, Plane, ReusedPlane, free_port};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{Lab, NAMESPACE, SECRET, installed_without, root, spec};

const NAME: &str = "acr-credential-webhook";

const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a plane without MutatingAdmissionPolicy, and without the webhook's rights yet.
async fn plane() -> ReusedPlane {
    installed_without(&[], Options::default().without_mutating_policies()).await
}

async fn grant(plane: &Plane) {
    plane.grant_webhook(root().join("deploy/webhook.yaml")).await.unwrap();
}

/// Starts a controller with its webhook and all its rights.
async fn start(change: impl FnOnce(ControllerOptions) -> ControllerOptions) -> Lab {
    let plane = plane().await;
    grant(&plane).await;
    Lab::start_on(plane, |_, options| change(options.webhook(free_port().unwrap(), None))).await
}

fn asking(namespaces: &[&str], policy: &str, seconds: u32) -> Value {
    let mut spec = spec(namespaces);
    spec["webhook"] = json!({ "enable": true, "failurePolicy": policy, "timeoutSeconds": seconds });
    spec
}

fn configurations(lab: &Lab) -> Api<MutatingWebhookConfiguration> {
    Api::all(lab.client.clone())
}

async fn configuration(lab: &Lab) -> Option<MutatingWebhookConfiguration> {
    configurations(lab).get_opt(NAME).await.unwrap()
}

/// Creates a ServiceAccount and returns the API server's answer: no later change can be in it.
async fn created(client: &Client, namespace: &str, name: &str) -> kube::Result<Vec<String>> {
    created_as(client, namespace, json!({ "metadata": { "name": name } }), &PostParams::default()).await
}

async fn created_as(
    client: &Client,
    namespace: &str,
    object: Value,
    params: &PostParams,
) -> kube::Result<Vec<String>> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let account = accounts.create(params, &serde_json::from_value(object).unwrap()).await?;
    Ok(account.image_pull_secrets.unwrap_or_default().into_iter().map(|s| s.name).collect())
}

/// Waits until new ServiceAccounts are served at their creation: an API server reads a configuration by a
/// watch.
async fn until_asked(lab: &Lab, namespace: &str) {
    let mut number = 0;
    lab.until(&format!("{namespace} is served at creation"), async || {
        number += 1;
        created(&lab.client, namespace, &format!("probe-{number}")).await.is_ok_and(|list| list == [SECRET])
    })
    .await;
}

async fn until_served_by_webhook(lab: &Lab, binding: &str) {
    lab.until(&format!("{binding} says that the webhook serves"), async || {
        lab.condition(binding, "AdmissionConfigured")
            .await
            .is_some_and(|(status, reason, _)| status == "True" && reason == "MutatingWebhook")
    })
    .await;
}

/// Creates ServiceAccounts without a break until it is stopped; returns their number and the refusals.
struct Stream {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<(usize, Vec<String>)>,
}

impl Stream {
    fn start(lab: &Lab, namespace: &str) -> Stream {
        static STREAMS: AtomicUsize = AtomicUsize::new(0);
        let stream = STREAMS.fetch_add(1, Ordering::Relaxed);
        let stop = Arc::new(AtomicBool::new(false));
        let (client, namespace, ended) = (lab.client.clone(), namespace.to_owned(), stop.clone());
        let task = tokio::spawn(async move {
            let (mut number, mut wrong) = (0, Vec::new());
            while !ended.load(Ordering::Relaxed) {
                match created(&client, &namespace, &format!("stream-{stream}-{number}")).await {
                    Ok(list) if list == [SECRET] => {}
                    Ok(list) => wrong.push(format!("{number} created with {list:?}")),
                    Err(error) => wrong.push(format!("{number}: {error}")),
                }
                number += 1;
            }
            (number, wrong)
        });
        Stream { stop, task }
    }

    async fn end_without_a_refusal(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let (number, wrong) = (&mut self.task).await.unwrap();
        assert!(number > 10, "only {number} were created");
        assert!(wrong.is_empty(), "of {number}: {wrong:#?}");
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_has_its_entry_at_creation_and_uncovered_ones_are_not_sent() {
    let lab = start(|options| options).await;
    for namespace in ["hook-a", "hook-b", "outside"] {
        lab.create_namespace(namespace).await;
    }
    lab.until_settled().await;
    assert!(configuration(&lab).await.is_none(), "no binding asked");
    lab.bind("plain", spec(&["outside"])).await;
    lab.until_ready_is("plain", "True", "Succeeded").await;
    assert!(configuration(&lab).await.is_none(), "no binding asked");
    assert!(lab.condition("plain", "AdmissionConfigured").await.is_none());

    lab.bind("hook", asking(&["hook-*"], "Ignore", 10)).await;
    until_served_by_webhook(&lab, "hook").await;
    until_asked(&lab, "hook-a").await;
    assert_eq!(created(&lab.client, "hook-b", "new").await.unwrap(), [SECRET]);

    // Others' entries stay before ours; ours is not added twice; a dry run gets the same answer.
    let object =
        json!({ "metadata": { "name": "listed" }, "imagePullSecrets": [{ "name": "b" }, { "name": "a" }] });
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    for params in [&dry, &PostParams::default()] {
        let list = created_as(&lab.client, "hook-a", object.clone(), params).await.unwrap();
        assert_eq!(list, ["b", "a", SECRET]);
    }
    let twice =
        json!({ "metadata": { "name": "twice" }, "imagePullSecrets": [{ "name": SECRET }, { "name": "b" }] });
    let list = created_as(&lab.client, "hook-a", twice, &PostParams::default()).await.unwrap();
    assert_eq!(list, [SECRET, "b"]);
    let skipped =
        json!({ "metadata": { "name": "skipped", "annotations": { "acrcredential.dev/skip": "true" } } });
    assert!(created_as(&lab.client, "hook-a", skipped, &PostParams::default()).await.unwrap().is_empty());
    let generated = json!({ "metadata": { "generateName": "job-" } });
    let list = created_as(&lab.client, "hook-a", generated, &PostParams::default()).await.unwrap();
    assert_eq!(list, [SECRET]);

    let attached = lab.controller.metric("acr_admission_requests_total", &["attached"]).await.unwrap();
    assert!(attached >= 4.0, "{attached}");
    let asked = lab.controller.metric("acr_admission_requests_total", &[]).await.unwrap();
    created(&lab.client, "outside", "new").await.unwrap();
    created(&lab.client, "kube-system", "new").await.unwrap();
    created(&lab.client, NAMESPACE, "new").await.unwrap();
    let now = lab.controller.metric("acr_admission_requests_total", &[]).await.unwrap();
    assert_eq!(asked, now, "the webhook is not called for uncovered namespaces");

    // At rest nothing is written. When the last binding stops asking, the configuration is deleted.
    lab.until_settled().await;
    let mark = lab.mark();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(lab.requests(mark).writes().is_empty(), "{:?}", lab.requests(mark).writes().counts());
    lab.bind("hook", spec(&["hook-*"])).await;
    lab.until("the configuration is gone", async || configuration(&lab).await.is_none()).await;
    lab.until("the condition is gone", async || lab.condition("hook", "AdmissionConfigured").await.is_none())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manual_change_is_reverted_and_a_restart_writes_nothing() {
    let lab = start(|options| options).await;
    lab.create_namespace("kept").await;
    lab.bind("kept", asking(&["kept"], "Fail", 15)).await;
    until_served_by_webhook(&lab, "kept").await;
    let configured = configuration(&lab).await.unwrap();
    let webhook = &configured.webhooks.as_ref().unwrap()[0];
    assert_eq!((webhook.failure_policy.as_deref(), webhook.timeout_seconds), (Some("Fail"), Some(15)));
    let patch = json!({ "webhooks": null });
    let params = PatchParams::default();
    configurations(&lab).patch(NAME, &params, &Patch::Merge(&patch)).await.unwrap();
    let same = async || configuration(&lab).await.is_some_and(|now| now.webhooks == configured.webhooks);
    lab.until("the webhooks are back", same).await;
    configurations(&lab).delete(NAME, &DeleteParams::default()).await.unwrap();
    lab.until("the configuration is back", same).await;

    lab.until_settled().await;
    let mark = lab.mark();
    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    until_served_by_webhook(&lab, "kept").await;
    lab.until_settled().await;
    let writes = lab.requests(mark).writes();
    let kept = |event: &acr_lab::plane::AuditEvent| event.target().contains(NAME);
    assert!(!writes.iter().any(kept), "{:?}", writes.counts());
    assert_eq!(created(&lab.client, "kept", "after").await.unwrap(), [SECRET]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_running_webhook_fail_refuses_and_ignore_does_not() {
    let lab = start(|options| options).await;
    for namespace in ["strict", "lax", "outside"] {
        lab.create_namespace(namespace).await;
    }
    lab.bind("strict", asking(&["strict"], "Fail", 2)).await;
    lab.bind("lax", asking(&["lax"], "Ignore", 2)).await;
    until_asked(&lab, "strict").await;
    until_asked(&lab, "lax").await;
    lab.controller.kill();
    let refused = created(&lab.client, "strict", "new").await.unwrap_err().to_string();
    assert!(refused.contains("failed calling webhook") && refused.contains("acrcredential.dev"), "{refused}");
    assert!(created(&lab.client, "lax", "new").await.unwrap().is_empty());
    // Uncovered, opted-out, system and controller namespaces are never delayed.
    created(&lab.client, "outside", "new").await.unwrap();
    created(&lab.client, "kube-system", "new").await.unwrap();
    created(&lab.client, NAMESPACE, "new").await.unwrap();
    let skipped =
        json!({ "metadata": { "name": "skipped", "annotations": { "acrcredential.dev/skip": "true" } } });
    created_as(&lab.client, "strict", skipped, &PostParams::default()).await.unwrap();

    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    lab.until_attached("lax", "new").await;
    // A server that neither answers nor ends delays a request as long as the binding allows.
    lab.controller.signal(acr_lab::process::Signal::STOP).unwrap();
    let began = Instant::now();
    let late = created(&lab.client, "strict", "late").await.unwrap_err().to_string();
    assert!(late.contains("failed calling webhook"), "{late}");
    assert!(began.elapsed() >= Duration::from_millis(1900), "{:?}", began.elapsed());
    assert!(created(&lab.client, "lax", "late").await.unwrap().is_empty());
    lab.controller.signal(acr_lab::process::Signal::CONT).unwrap();
    lab.until_attached("lax", "late").await;
    until_asked(&lab, "strict").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn selectors_decide_which_service_accounts_the_webhook_receives() {
    let lab = start(|options| options).await;
    lab.create_namespace_with("by-label", json!({ "tier": "app" })).await;
    lab.create_namespace_with("other", json!({ "tier": "db" })).await;
    let mut spec = asking(&[], "Fail", 10);
    spec["watchNamespaces"] = json!({ "selector": { "matchLabels": { "tier": "app" } } });
    spec["serviceAccounts"] =
        json!({ "selector": { "matchExpressions": [{ "key": "pull", "operator": "Exists" }] } });
    lab.bind("labels", spec).await;
    until_served_by_webhook(&lab, "labels").await;
    let labelled = |name: &str| json!({ "metadata": { "name": name, "labels": { "pull": "" } } });
    let mut number = 0;
    lab.until("what is labelled is served", async || {
        number += 1;
        let object = labelled(&format!("probe-{number}"));
        created_as(&lab.client, "by-label", object, &PostParams::default()).await.is_ok_and(|l| l == [SECRET])
    })
    .await;
    assert!(created(&lab.client, "by-label", "plain").await.unwrap().is_empty());
    let list = created_as(&lab.client, "other", labelled("x"), &PostParams::default()).await.unwrap();
    assert!(list.is_empty());
    // A new namespace, whose labels the controller may not have observed yet.
    let namespace = json!({ "metadata": { "name": "fresh", "labels": { "tier": "app" } } });
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(lab.client.clone());
    namespaces.create(&PostParams::default(), &serde_json::from_value(namespace).unwrap()).await.unwrap();
    created_as(&lab.client, "fresh", labelled("x"), &PostParams::default()).await.unwrap();
    lab.until_attached("fresh", "x").await;
    // A selector that no label can match selects nothing, and keeps no other binding from being served.
    let mut odd = asking(&["fresh"], "Ignore", 10);
    odd["serviceAccounts"] =
        json!({ "selector": { "matchExpressions": [{ "key": "a b", "operator": "Exists" }] } });
    lab.bind("odd", odd).await;
    lab.until("the configuration names it", async || {
        let webhooks = configuration(&lab).await.unwrap().webhooks.unwrap_or_default();
        webhooks.iter().any(|webhook| webhook.name.starts_with("ignore-10s"))
    })
    .await;
    until_served_by_webhook(&lab, "odd").await;
    // Only without the controller does it show which requests the API server sends.
    lab.controller.kill();
    created(&lab.client, "by-label", "plain-too").await.unwrap();
    created_as(&lab.client, "other", labelled("y"), &PostParams::default()).await.unwrap();
    created_as(&lab.client, "by-label", labelled("y"), &PostParams::default()).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_webhook_configuration_is_followed_through_the_config_map() {
    let lab = start(|options| options).await;
    for namespace in ["from-map", "narrowed"] {
        lab.create_namespace(namespace).await;
    }
    let put = async |namespaces: &str, webhook: &str| {
        lab.put_config_map(json!({
            "acr-registry-info": "- instanceId: \"cri-demo0001\"\n  regionId: \"cn-hangzhou\"\n",
            "watch-namespace": namespaces,
            "service-account": "*",
            "expiring-threshold": "15m",
            "webhook-configuration": webhook,
        }))
        .await;
    };
    let until_it_is = async |policy: &str, seconds: i32| {
        lab.until(&format!("the webhook is {policy} after {seconds} s"), async || {
            let webhooks = configuration(&lab).await.and_then(|configured| configured.webhooks);
            let webhook = webhooks.and_then(|webhooks| webhooks.into_iter().next());
            webhook.is_some_and(|w| {
                w.failure_policy.as_deref() == Some(policy) && w.timeout_seconds == Some(seconds)
            })
        })
        .await;
    };
    let until_not_asked = async |namespace: &str| {
        let mut number = 0;
        lab.until(&format!("{namespace} is not served at creation"), async || {
            number += 1;
            let name = format!("left-{number}");
            created(&lab.client, namespace, &name).await.is_ok_and(|list| list.is_empty())
        })
        .await;
    };
    put("from-map,narrowed", "enable: false\n").await;
    lab.until_ready_is("acr-configuration", "True", "Succeeded").await;
    assert!(configuration(&lab).await.is_none());

    let fail = "enable: true\nfailure-policy: Fail\ntimeout-seconds: 5\n";
    put("from-map,narrowed", fail).await;
    until_it_is("Fail", 5).await;
    until_served_by_webhook(&lab, "acr-configuration").await;
    for namespace in ["from-map", "narrowed"] {
        until_asked(&lab, namespace).await;
    }
    put("from-map", fail).await;
    until_not_asked("narrowed").await;
    assert_eq!(created(&lab.client, "from-map", "still").await.unwrap(), [SECRET]);

    put("from-map", "enable: true\nfailure-policy: Ignore\ntimeout-seconds: 10\n").await;
    until_it_is("Ignore", 10).await;
    assert_eq!(created(&lab.client, "from-map", "now").await.unwrap(), [SECRET]);

    put("from-map", "enable: false\n").await;
    lab.until("the webhook goes", async || configuration(&lab).await.is_none()).await;
    until_not_asked("from-map").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_drops_the_entry_keeps_it_if_the_webhook_receives_updates() {
    let lab = start(|options| options.arg("--webhook-on-update").arg("--withdrawal-grace=0s")).await;
    lab.create_namespace("updates").await;
    lab.bind("updates", asking(&["updates"], "Fail", 15)).await;
    until_asked(&lab, "updates").await;
    created(&lab.client, "updates", "tool").await.unwrap();
    let accounts = lab.namespaced::<ServiceAccount>("updates");
    let before = accounts.get("tool").await.unwrap();
    let patch = json!({ "imagePullSecrets": null });
    let after = accounts.patch("tool", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    assert_eq!(after.image_pull_secrets.as_ref().map(Vec::len), Some(1));
    assert_eq!(after.metadata.resource_version, before.metadata.resource_version, "nothing changed");
    // Our own detaching is not reverted.
    let mut spec = asking(&["elsewhere"], "Fail", 15);
    spec["serviceAccounts"] = json!({ "names": ["*"] });
    lab.bind("updates", spec).await;
    lab.until("the entry is withdrawn", async || lab.pull_secrets("updates", "tool").await.is_empty()).await;
}

/// Another admission plugin changes the list after the webhook, so that the API server calls the webhook
/// again about its own answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_call_about_its_own_answer_adds_nothing() {
    let plane = installed_without(&["deploy/admission.yaml"], Options::default()).await;
    grant(&plane).await;
    let expression = format!(
        "[JSONPatch{{op: 'add', path: '/imagePullSecrets/0', value: Object{{name: 'first'}}}}].filter(p, \
         has(object.imagePullSecrets) && object.imagePullSecrets.exists(s, s.name == '{SECRET}') && \
         !object.imagePullSecrets.exists(s, s.name == 'first'))"
    );
    let policy = json!({
        "apiVersion": "v1",
        "kind": "List",
        "items": [{
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingAdmissionPolicy",
            "metadata": { "name": "after" },
            "spec": {
                "failurePolicy": "Fail",
                "reinvocationPolicy": "IfNeeded",
                "matchConstraints": { "resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["serviceaccounts"],
                }] },
                "mutations": [{ "patchType": "JSONPatch", "jsonPatch": { "expression": expression } }],
            },
        }, {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": { "name": "after" },
            "spec": { "policyName": "after" },
        }],
    });
    plane.apply(&policy.to_string()).await.unwrap();
    let lab = Lab::start_on(plane, |_, options| options.webhook(free_port().unwrap(), None)).await;
    lab.create_namespace("twice").await;
    lab.bind("twice", asking(&["twice"], "Fail", 15)).await;
    let mut number = 0;
    lab.until("both admissions are in force", async || {
        number += 1;
        created(&lab.client, "twice", &format!("probe-{number}")).await.is_ok_and(|list| list.len() > 1)
    })
    .await;
    let asked =
        async |outcome| lab.controller.metric("acr_admission_requests_total", &[outcome]).await.unwrap();
    let before = (asked("attached").await, asked("unchanged").await);
    assert_eq!(created(&lab.client, "twice", "new").await.unwrap(), ["first", SECRET]);
    assert_eq!((asked("attached").await, asked("unchanged").await), (before.0 + 1.0, before.1 + 1.0));
}
