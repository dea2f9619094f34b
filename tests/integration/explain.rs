//! `kubectl acr explain`: each cause that needs no kubelet is made, named, and gone once its command was run. No kubelet
//! runs here: the test reports the Pods' state as one would, in the words of containerd.

use std::path::Path;

use acr_lab::cloud::{Fault, FaultKind};
use acr_lab::docs::commands;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Pod, ResourceQuota, Secret, ServiceAccount};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::documentation::shell;
use crate::harness::{DOMAIN, Lab, NAMESPACE, SECRET, root, spec};
use crate::rights::{account, acr};

const HOST: &str = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com";
const REFUSED: &str = "failed to resolve reference \"x\": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed";

fn image() -> String {
    format!("{HOST}/team/app:1")
}

/// Runs the command, and returns code and command of its verdict. The exit code follows from that.
pub fn explain(kubeconfig: &Path, namespace: &str, target: &[&str]) -> (String, Value) {
    let (code, out, err) = acr(kubeconfig, &[&["explain", "-o", "json", "-n", namespace], target].concat());
    assert_eq!(err, "", "{target:?}");
    let verdict: Value = serde_json::from_str(&out).unwrap();
    let expected = match verdict["result"].as_str().unwrap() {
        "nothing" => 0,
        "cause" => 1,
        _ => 2,
    };
    assert_eq!(code, Some(expected), "{out}");
    (verdict["code"].as_str().unwrap_or("none").to_owned(), verdict)
}

fn code(lab: &Lab, namespace: &str, target: &str) -> String {
    explain(lab.plane.kubeconfig(), namespace, &[target]).0
}

/// Asserts the code, and runs the command of the verdict as it is written.
fn follow(lab: &Lab, namespace: &str, target: &[&str], expected: &str) {
    let (code, verdict) = explain(lab.plane.kubeconfig(), namespace, target);
    assert_eq!(code, expected, "{verdict:#}");
    let command = verdict["command"].as_str().unwrap();
    shell(&lab.plane, command).unwrap_or_else(|error| panic!("{command}: {error}"));
}

/// Runs the command of a verdict as it is written, with an editor that replaces `from` by `to`.
fn run_command(lab: &Lab, verdict: &Value, (from, to): (&str, &str)) {
    let command = verdict["command"].as_str().unwrap();
    let line = format!("export KUBE_EDITOR=\"sed -i 's/{from}/{to}/'\"; {command}");
    shell(&lab.plane, &line).unwrap_or_else(|error| panic!("{command}: {error}"));
}

/// Asserts that the check, which a verdict names, runs: without a controller it does not pass.
fn run_check(lab: &Lab, verdict: &Value) {
    assert_eq!(verdict["command"], "kubectl acr check", "{verdict:#}");
    let (code, out, _) = acr(lab.plane.kubeconfig(), &["check"]);
    assert!(code == Some(1) && out.contains("lease"), "{out}");
}

async fn until_code(lab: &Lab, namespace: &str, target: &str, expected: &str) {
    let what = format!("{namespace} {target} is {expected}");
    lab.until(&what, async || code(lab, namespace, target) == expected).await;
}

async fn create_pod(lab: &Lab, namespace: &str, name: &str, change: Value) {
    let mut object = json!({
        "metadata": { "name": name },
        "spec": { "containers": [{ "name": "app", "image": image() }] },
    });
    for (key, value) in change.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    let object = serde_json::from_value(object).unwrap();
    lab.namespaced::<Pod>(namespace).create(&PostParams::default(), &object).await.unwrap();
}

/// Reports why the container of a Pod waits, as a kubelet does.
async fn report(lab: &Lab, namespace: &str, name: &str, reason: &str, message: &str) {
    let container = json!({
        "name": "app", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": { "waiting": { "reason": reason, "message": message } },
    });
    let status = json!({ "status": { "phase": "Pending", "containerStatuses": [container] } });
    let pods = lab.namespaced::<Pod>(namespace);
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cause_is_named_and_goes_once_its_command_was_run() {
    let lab = Lab::start().await;
    for namespace in ["team", "foreign", "full"] {
        lab.create_namespace(namespace).await;
    }
    lab.create_namespace_with("skipped", json!({ "acrcredential.dev/skip": "true" })).await;

    // Nothing selects the namespace yet; then the Pod is older than the entry.
    assert_eq!(code(&lab, "team", "sa/default"), "ACR803", "there is no binding");
    let mut narrow = spec(&["other"]);
    narrow["serviceAccounts"] = json!({ "names": ["default"] });
    lab.bind("team", narrow).await;
    lab.until_ready_is("team", "True", "NothingCovered").await;
    create_pod(&lab, "team", "app", json!({})).await;
    report(&lab, "team", "app", "ErrImagePull", REFUSED).await;
    follow(&lab, "team", &["pod/app"], "ACR803");
    lab.until_served("team", HOST).await;
    lab.until_attached("team", "default").await;
    the_page_shows_what_is_printed(&lab).await;
    follow(&lab, "team", &["pod/app"], "ACR807");
    let pod = lab.namespaced::<Pod>("team").get("app").await.unwrap();
    assert_eq!(pod.spec.unwrap().image_pull_secrets.unwrap()[0].name, SECRET);
    assert_eq!(code(&lab, "team", "pod/app"), "none", "it starts with everything");

    // A host that the binding does not have.
    let wrong = image().replace("hangzhou", "beijing");
    let container = json!({ "containers": [{ "name": "app", "image": wrong }] });
    create_pod(&lab, "team", "wrong", container).await;
    report(&lab, "team", "wrong", "ImagePullBackOff", "Back-off pulling image").await;
    follow(&lab, "team", &["pod/wrong"], "ACR802");
    let pod = lab.namespaced::<Pod>("team").get("wrong").await.unwrap();
    assert_eq!(pod.spec.unwrap().containers[0].image.as_deref(), Some(&*image()));

    // A list of its own.
    create_pod(&lab, "team", "own", json!({ "imagePullSecrets": [{ "name": "theirs" }] })).await;
    report(&lab, "team", "own", "ErrImagePull", REFUSED).await;
    follow(&lab, "team", &["pod/own"], "ACR808");
    let pod = lab.namespaced::<Pod>("team").get("own").await.unwrap();
    assert_eq!(pod.spec.unwrap().image_pull_secrets.unwrap()[0].name, SECRET);

    // What the runtime says, once all else is in order.
    create_pod(&lab, "team", "says", json!({})).await;
    for (reason, message, expected) in [
        ("ErrImagePull", REFUSED, "ACR818"),
        ("ErrImagePull", "failed to resolve reference \"x\": x: not found", "ACR819"),
        (
            "ImagePullBackOff",
            "Back-off pulling image \"x\": ErrImagePull: dial tcp: lookup x: no such host",
            "ACR820",
        ),
        (
            "ErrImagePull",
            "tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "ACR821",
        ),
        ("ErrImagePull", "no match for platform in manifest: not found", "ACR822"),
        ("ErrImagePull", "unexpected status code: 429 Too Many Requests", "ACR823"),
        ("ErrImageNeverPull", "Container image \"x\" is not present with pull policy of Never", "ACR824"),
        ("CrashLoopBackOff", "back-off 10s restarting failed container", "ACR801"),
        ("ErrImagePull", "disk quota exceeded", "none"),
    ] {
        report(&lab, "team", "says", reason, message).await;
        let (found, verdict) = explain(lab.plane.kubeconfig(), "team", &["pod/says"]);
        assert_eq!(found, expected, "{message}");
        // Each command runs as it is written. A tag is for the user to choose.
        let command = verdict["command"].as_str().unwrap().replace(":TAG", ":2");
        shell(&lab.plane, &command).unwrap_or_else(|error| panic!("{command}: {error}"));
        let pod = lab.namespaced::<Pod>("team").get("says").await.unwrap();
        let container = &pod.spec.unwrap().containers[0];
        let set = container.image.as_deref().unwrap();
        match expected {
            "ACR819" => assert_eq!(set, format!("{HOST}/team/app:2")),
            "ACR820" => assert_eq!(set, format!("{DOMAIN}/team/app:2")),
            "ACR824" => assert_eq!(container.image_pull_policy.as_deref(), Some("IfNotPresent")),
            _ => {}
        }
    }
    let running = json!({ "status": { "phase": "Running", "containerStatuses": null } });
    let pods = lab.namespaced::<Pod>("team");
    pods.patch_status("says", &PatchParams::default(), &Patch::Merge(&running)).await.unwrap();
    assert_eq!(code(&lab, "team", "pod/says"), "none");

    // A namespace that opts out, and a ServiceAccount that is not selected.
    let names = json!({ "spec": { "watchNamespaces": { "names": ["team", "skipped", "foreign", "full"] } } });
    let foreign = json!({
        "metadata": { "name": SECRET }, "type": "kubernetes.io/dockerconfigjson",
        "stringData": { ".dockerconfigjson": "{\"auths\":{}}" },
    });
    let foreign = serde_json::from_value(foreign).unwrap();
    lab.namespaced::<Secret>("foreign").create(&PostParams::default(), &foreign).await.unwrap();
    let quota = json!({ "metadata": { "name": "tenant" }, "spec": { "hard": { "secrets": "0" } } });
    let quotas = lab.namespaced::<ResourceQuota>("full");
    quotas.create(&PostParams::default(), &serde_json::from_value(quota).unwrap()).await.unwrap();
    lab.until("the quota counts", async || {
        quotas.get("tenant").await.unwrap().status.is_some_and(|status| status.used.is_some())
    })
    .await;
    lab.bindings().patch("team", &PatchParams::default(), &Patch::Merge(&names)).await.unwrap();
    follow(&lab, "skipped", &["sa/default"], "ACR804");
    until_code(&lab, "skipped", "sa/default", "none").await;
    lab.create_account("team", "builder", &[]).await;
    follow(&lab, "team", &["sa/builder"], "ACR806");
    until_code(&lab, "team", "sa/builder", "none").await;
    follow(&lab, "team", &["image", &image(), "--service-account", "absent"], "ACR806");
    assert!(lab.namespaced::<ServiceAccount>("team").get_opt("absent").await.unwrap().is_some());

    // A Secret of another owner, and a quota.
    until_code(&lab, "foreign", "sa/default", "ACR811").await;
    follow(&lab, "foreign", &["sa/default"], "ACR811");
    until_code(&lab, "foreign", "sa/default", "none").await;
    create_pod(&lab, "full", "app", json!({ "imagePullSecrets": [{ "name": SECRET }] })).await;
    report(&lab, "full", "app", "ErrImagePull", REFUSED).await;
    until_code(&lab, "full", "pod/app", "ACR813").await;

    // With a reader's rights, the status of the binding says so too.
    let reader = account(&lab.plane, "explainer", &["explain.yaml"]).await;
    let mark = lab.mark();
    let (code_of_reader, verdict) = explain(&reader, "full", &["pod/app"]);
    assert_eq!(code_of_reader, "ACR813", "{verdict:#}");
    // However large the cluster is: objects by their names, and one page of bindings.
    let requests = lab.plane.audit().since(mark).unwrap().by_service_account(NAMESPACE, "explainer");
    let counts: Vec<(String, usize)> = requests.counts().into_iter().collect();
    let expected =
        ["get namespaces", "get pods", "get secrets", "get serviceaccounts", "list acrcredentialbindings"];
    assert_eq!(counts, expected.map(|what| (what.to_owned(), 1)));
    let unread = verdict["notRead"][0].as_str().unwrap();
    assert!(unread.contains("the metadata of the pull Secret: ") && unread.contains("forbidden"), "{unread}");
    let stranger = account(&lab.plane, "nothing", &[]).await;
    let (code_of_stranger, _, err) = acr(&stranger, &["explain", "pod/app", "-n", "full"]);
    assert!(code_of_stranger == Some(2) && err.contains("pod/app cannot be read: "), "{err}");
    let (absent, _, err) = acr(&reader, &["explain", "pod/nosuch", "-n", "full"]);
    assert!(absent == Some(2) && err.contains("pod/nosuch does not exist in the namespace full: "), "{err}");

    let (_, verdict) = explain(lab.plane.kubeconfig(), "full", &["pod/app"]);
    run_command(&lab, &verdict, ("secrets: .0.", "secrets: 10"));

    // A CronJob and the Pod of its Job, whose template has a list of its own.
    cron_job(&lab).await;

    // A registry that gets no credential.
    let mut denied = spec(&["team"]);
    denied["registries"] = json!([{ "instanceId": "cri-nosuch", "domains": ["img.nosuch.example.com"] }]);
    lab.bind("denied", denied).await;
    lab.until_ready_is("denied", "False", "InstanceNotFound").await;
    let (found, verdict) =
        explain(lab.plane.kubeconfig(), "team", &["image", "img.nosuch.example.com/a/b:1"]);
    assert_eq!(found, "ACR816", "{verdict:#}");
    assert!(verdict["evidence"][0]["value"].as_str().unwrap().contains("INSTANCE_NOT_EXIST"), "{verdict:#}");
    let corrected = json!({ "spec": { "registries": [{ "instanceId": "cri-demo0001", "domains": ["img.nosuch.example.com"] }] } });
    lab.bindings().patch("denied", &PatchParams::default(), &Patch::Merge(&corrected)).await.unwrap();
    run_command(&lab, &verdict, ("", ""));
    lab.until("the corrected registry has a credential", async || {
        explain(lab.plane.kubeconfig(), "team", &["image", "img.nosuch.example.com/a/b:1"]).0 == "none"
    })
    .await;

    // A credential that ends, and that nothing replaces.
    lab.cloud.world(|world| world.lifetimes.registry_token_cap = Some(std::time::Duration::from_secs(6)));
    lab.refresh("team", "short").await;
    let kind =
        FaultKind::Status { status: 503, code: "ServiceUnavailable".to_owned(), message: String::new() };
    lab.cloud.fault(Fault { action: "GetAuthorizationToken".to_owned(), instance: None, kind, times: None });
    // The status follows the expiry, and has the cause.
    lab.until("the credential has expired", async || {
        let (found, verdict) = explain(lab.plane.kubeconfig(), "team", &["pod/own"]);
        found == "ACR817" && verdict["command"] != "kubectl acr check"
    })
    .await;
    let (_, verdict) = explain(lab.plane.kubeconfig(), "team", &["pod/own"]);
    lab.cloud.world(|world| world.lifetimes.registry_token_cap = None);
    lab.cloud.clear_faults();
    run_command(&lab, &verdict, ("", ""));
    until_code(&lab, "team", "pod/own", "none").await;

    // The quota was raised, and the controller has tried again.
    until_code(&lab, "full", "sa/default", "none").await;

    // A binding that is suspended.
    let suspend = json!({ "spec": { "suspend": true } });
    lab.bindings().patch("team", &PatchParams::default(), &Patch::Merge(&suspend)).await.unwrap();
    let target = ["image", &image()];
    follow(&lab, "team", &target, "ACR805");
    assert_eq!(explain(lab.plane.kubeconfig(), "team", &target).0, "none");

    // Without the controller, what is gone stays gone.
    lab.until_settled().await;
    lab.controller.kill();
    let secrets = lab.namespaced::<Secret>("team");
    let hostless = json!({ "metadata": { "annotations": { "acrcredential.dev/registries": "[]" } } });
    secrets.patch(SECRET, &PatchParams::default(), &Patch::Merge(&hostless)).await.unwrap();
    follow(&lab, "team", &target, "ACR814");
    secrets.delete(SECRET, &DeleteParams::default()).await.unwrap();
    let (found, verdict) = explain(lab.plane.kubeconfig(), "team", &target);
    assert_eq!(found, "ACR810", "{verdict:#}");
    run_check(&lab, &verdict);
    let others = json!({ "imagePullSecrets": [{ "name": "theirs" }] });
    let accounts = lab.namespaced::<ServiceAccount>("team");
    accounts.patch("default", &PatchParams::default(), &Patch::Merge(&others)).await.unwrap();
    let (found, verdict) = explain(lab.plane.kubeconfig(), "team", &target);
    assert_eq!(found, "ACR809", "{verdict:#}");
    run_check(&lab, &verdict);
    lab.controller.restart().unwrap();
    lab.controller.until_ready(crate::harness::PATIENCE).await.unwrap();
    until_code(&lab, "team", "sa/default", "none").await;
}

/// Makes a CronJob with a list of its own, explains it and its Pod, and runs the command.
async fn cron_job(lab: &Lab) {
    let template = json!({
        "metadata": { "labels": { "batch.kubernetes.io/job-name": "nightly-1" } },
        "spec": {
            "containers": [{ "name": "app", "image": image() }], "restartPolicy": "Never",
            "imagePullSecrets": [{ "name": "theirs" }],
        },
    });
    let cron_job = json!({
        "metadata": { "name": "nightly" },
        "spec": { "schedule": "0 0 31 2 *", "jobTemplate": { "spec": { "template": template } } },
    });
    let cron_jobs = lab.namespaced::<CronJob>("team");
    let cron_job = serde_json::from_value(cron_job).unwrap();
    let cron_job = cron_jobs.create(&PostParams::default(), &cron_job).await.unwrap();
    let owned = |api: &str, kind: &str, name: &str, uid: &str| json!([{ "apiVersion": api, "kind": kind, "name": name, "uid": uid, "controller": true }]);
    let owner = owned("batch/v1", "CronJob", "nightly", &cron_job.metadata.uid.unwrap());
    let job = json!({
        "metadata": { "name": "nightly-1", "ownerReferences": owner },
        "spec": { "template": template, "suspend": true },
    });
    let job: Job = serde_json::from_value(job).unwrap();
    let job = lab.namespaced::<Job>("team").create(&PostParams::default(), &job).await.unwrap();
    let mut pod = template.clone();
    pod["metadata"]["name"] = json!("nightly-1-x");
    pod["metadata"]["ownerReferences"] = owned("batch/v1", "Job", "nightly-1", &job.metadata.uid.unwrap());
    let pods = lab.namespaced::<Pod>("team");
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    report(lab, "team", "nightly-1-x", "ErrImagePull", REFUSED).await;
    let active = json!({ "status": { "active": [{ "kind": "Job", "name": "nightly-1" }] } });
    cron_jobs.patch_status("nightly", &PatchParams::default(), &Patch::Merge(&active)).await.unwrap();

    let (found, verdict) = explain(lab.plane.kubeconfig(), "team", &["cronjob/nightly"]);
    assert_eq!(found, "ACR808", "{verdict:#}");
    assert_eq!(verdict["image"], json!(image()));
    follow(lab, "team", &["pod/nightly-1-x"], "ACR808");
    let spec = cron_jobs.get("nightly").await.unwrap().spec.job_template.spec.unwrap().template.spec;
    assert_eq!(spec.unwrap().image_pull_secrets, None, "the CronJob's own list is removed");
}

/// Compares the sample of the page with what is printed, except for the time, and runs the other commands.
async fn the_page_shows_what_is_printed(lab: &Lab) {
    let deployment = json!({
        "metadata": { "name": "app" },
        "spec": {
            "selector": { "matchLabels": { "app": "app" } },
            "template": {
                "metadata": { "labels": { "app": "app" } },
                "spec": { "containers": [{ "name": "app", "image": image() }] },
            },
        },
    });
    let deployment = serde_json::from_value(deployment).unwrap();
    lab.namespaced::<Deployment>("team").create(&PostParams::default(), &deployment).await.unwrap();
    let without_time = |text: &str| {
        let lines = text.lines().filter(|line| !line.contains("creationTimestamp"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let (code, out, _) = acr(lab.plane.kubeconfig(), &["explain", "pod/app", "-n", "team"]);
    assert_eq!((code, out.lines().count()), (Some(1), 6), "{out}");
    for page in ["docs/kubectl-acr.md", "docs/zh-CN/kubectl-acr.md"] {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        let sample = text.split("```text\n").find(|block| block.starts_with("cause ")).unwrap();
        let sample = sample.split("```").next().unwrap();
        assert_eq!(without_time(sample), without_time(&out), "{page}");
    }
    let lines = commands("docs/kubectl-acr.md", "Explain").unwrap();
    assert!(shell(&lab.plane, &lines[0]).is_err(), "a cause is found, which is not a success");
    for line in &lines[1..] {
        shell(&lab.plane, line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}
