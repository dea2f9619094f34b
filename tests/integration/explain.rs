//! `kubectl acr explain`: each cause that needs no kubelet is made, named, and gone once its command was run. No kubelet
//! runs here: the test reports the Pods' state as one would, in the words of containerd.

use std::path::Path;

use acr_lab::docs::commands;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, ResourceQuota, Secret, ServiceAccount};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::documentation::shell;
use crate::harness::{Lab, SECRET, root, spec};
use crate::rights::{account, acr};

const HOST: &str = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com";
const REFUSED: &str = "failed to resolve reference \"x\": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed";

fn image() -> String {
    format!("{HOST}/team/app:1")
}

/// Runs the command, and returns code and command of its verdict. The exit code follows from that.
fn explain(kubeconfig: &Path, namespace: &str, target: &[&str]) -> (String, Value) {
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
        assert_eq!(code(&lab, "team", "pod/says"), expected, "{message}");
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
    let (code_of_reader, verdict) = explain(&reader, "full", &["pod/app"]);
    assert_eq!(code_of_reader, "ACR813", "{verdict:#}");
    let unread = verdict["notRead"][0].as_str().unwrap();
    assert!(unread.contains("the metadata of the pull Secret: ") && unread.contains("forbidden"), "{unread}");
    let stranger = account(&lab.plane, "nothing", &[]).await;
    let (code_of_stranger, _, err) = acr(&stranger, &["explain", "pod/app", "-n", "full"]);
    assert!(code_of_stranger == Some(2) && err.contains("pod/app cannot be read: "), "{err}");
    let (absent, _, err) = acr(&reader, &["explain", "pod/nosuch", "-n", "full"]);
    assert!(absent == Some(2) && err.contains("pod/nosuch does not exist in the namespace full: "), "{err}");

    // A registry that gets no credential.
    let mut denied = spec(&["team"]);
    denied["registries"] = json!([{ "instanceId": "cri-nosuch", "domains": ["img.nosuch.example.com"] }]);
    lab.bind("denied", denied).await;
    lab.until_ready_is("denied", "False", "InstanceNotFound").await;
    let (found, verdict) =
        explain(lab.plane.kubeconfig(), "team", &["image", "img.nosuch.example.com/a/b:1"]);
    assert_eq!(found, "ACR816", "{verdict:#}");
    assert!(verdict["evidence"][0]["value"].as_str().unwrap().contains("INSTANCE_NOT_EXIST"), "{verdict:#}");

    // A binding that is suspended.
    let suspend = json!({ "spec": { "suspend": true } });
    lab.bindings().patch("team", &PatchParams::default(), &Patch::Merge(&suspend)).await.unwrap();
    let target = ["image", &image()];
    follow(&lab, "team", &target, "ACR805");
    assert_eq!(explain(lab.plane.kubeconfig(), "team", &target).0, "none");

    // Without the controller, what is gone stays gone.
    lab.until_settled().await;
    lab.controller.kill();
    lab.namespaced::<Secret>("team").delete(SECRET, &DeleteParams::default()).await.unwrap();
    assert_eq!(explain(lab.plane.kubeconfig(), "team", &target).0, "ACR810");
    let others = json!({ "imagePullSecrets": [{ "name": "theirs" }] });
    let accounts = lab.namespaced::<ServiceAccount>("team");
    accounts.patch("default", &PatchParams::default(), &Patch::Merge(&others)).await.unwrap();
    let (found, verdict) = explain(lab.plane.kubeconfig(), "team", &target);
    assert_eq!(found, "ACR809", "{verdict:#}");
    lab.controller.restart().unwrap();
    lab.controller.until_ready(crate::harness::PATIENCE).await.unwrap();
    until_code(&lab, "team", "sa/default", "none").await;
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
