//! Pods that were created before their ServiceAccount was served. No kubelet runs here: the tests report the
//! Pods' state as one would.

use acr_lab::message::files;
use acr_lab::plane::{Mark, Options};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::harness::{CONTROLLER, DOMAIN, Lab, NAMESPACE, SECRET, root, spec};

const REFUSED: &str = "failed to authorize: failed to fetch anonymous token: 401 Unauthorized";

/// Starts a lab whose ReplicaSets create Pods, with a controller that replaces stuck Pods; `files` are
/// applied before it starts.
async fn lab(files: &[&str], replaces: bool) -> Lab {
    let options = Options { controllers: vec!["replicaset-controller".to_owned()], ..Options::default() };
    let plane = crate::harness::installed_without(&[], options).await;
    for file in files {
        plane.apply_file(root().join(file)).await.unwrap();
    }
    let lab = Lab::start_on(plane, |_, options| match replaces {
        true => options.arg("--replace-stuck-pods"),
        false => options,
    })
    .await;
    lab.until_policies_enforced().await;
    if files.contains(&"deploy/stuck-pods.yaml") {
        until_deletions_are_refused(&lab).await;
    }
    lab
}

/// Waits until the policy of stuck Pods is in force, for which the API server takes a moment.
async fn until_deletions_are_refused(lab: &Lab) {
    let running = json!({
        "metadata": { "name": "running" },
        "spec": { "containers": [{ "name": "app", "image": image() }], "nodeName": "node-1" },
    });
    let pods = lab.namespaced::<Pod>("default");
    lab.until("the Pod is created", async || {
        pods.create(&PostParams::default(), &serde_json::from_value(running.clone()).unwrap()).await.is_ok()
    })
    .await;
    // As the administrator in its name: what the controller itself asks for is counted.
    let user = format!("system:serviceaccount:{NAMESPACE}:{CONTROLLER}");
    let asks = ["delete", "pod", "running", "--namespace=default", "--dry-run=server", "--as", &user];
    lab.until("the policy of stuck Pods is in force", async || {
        lab.plane.kubectl(&asks).await.unwrap().stderr.contains("acr-credential-pods")
    })
    .await;
    pods.delete("running", &DeleteParams::default().grace_period(0)).await.unwrap();
}

fn image() -> String {
    format!("{DOMAIN}/team/app:1")
}

fn template(image: &str, pull_secrets: &[&str]) -> Value {
    let secrets: Vec<Value> = pull_secrets.iter().map(|s| json!({ "name": s })).collect();
    // On a node, a deletion is graceful: with no kubelet, the Pod stays and terminates.
    let containers = json!([{ "name": "app", "image": image }]);
    json!({ "containers": containers, "imagePullSecrets": secrets, "nodeName": "node-1" })
}

async fn replicas(lab: &Lab, namespace: &str, name: &str, count: usize, template: Value) {
    let labels = json!({ "app": name });
    let object = json!({
        "metadata": { "name": name },
        "spec": {
            "replicas": count,
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": template },
        },
    });
    let object = serde_json::from_value(object).unwrap();
    lab.namespaced::<ReplicaSet>(namespace).create(&PostParams::default(), &object).await.unwrap();
    lab.until(&format!("{name} has {count} Pods"), async || pods(lab, namespace, name).await.len() == count)
        .await;
}

async fn pods(lab: &Lab, namespace: &str, app: &str) -> Vec<Pod> {
    let params = ListParams::default().labels(&format!("app={app}"));
    let pods = lab.namespaced::<Pod>(namespace).list(&params).await.unwrap().items;
    pods.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect()
}

/// Writes a Pod's status as a kubelet would.
async fn report(lab: &Lab, pod: &Pod, reason: &str, message: &str) {
    let container = json!({
        "name": "app", "image": image(), "imageID": "", "ready": false, "restartCount": 0,
        "state": { "waiting": { "reason": reason, "message": message } },
    });
    let status = json!({ "status": { "phase": "Pending", "containerStatuses": [container] } });
    let api = lab.namespaced::<Pod>(&pod.namespace().unwrap());
    api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
}

fn entries(pod: &Pod) -> Vec<&str> {
    pod.spec.iter().flat_map(|s| s.image_pull_secrets.iter().flatten()).map(|s| s.name.as_str()).collect()
}

/// Counts the controller's successful deletions of Pods.
fn deletions(lab: &Lab, since: Mark) -> usize {
    lab.requests(since).of("pods").filter(|e| e.verb == "delete" && e.code < 300).len()
}

/// Counts the controller's refused deletions of Pods: probes of the policy.
fn probes(lab: &Lab, since: Mark) -> usize {
    lab.requests(since).of("pods").filter(|e| e.verb == "delete" && e.code >= 400).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_was_created_too_early_is_replaced_once_and_the_next_one_can_pull() {
    let lab = lab(&["deploy/stuck-pods.yaml"], true).await;
    lab.create_namespace("early").await;
    replicas(&lab, "early", "app", 2, template(&image(), &[])).await;
    let before = pods(&lab, "early", "app").await;
    for pod in &before {
        report(&lab, pod, "ErrImagePull", REFUSED).await;
    }
    // Nothing exists yet that would help a new Pod.
    let mark = lab.mark();
    lab.bind("early", spec(&["early"])).await;
    lab.until("both Pods are new and carry the entry", async || {
        let now = pods(&lab, "early", "app").await;
        let is_new = |pod: &Pod| before.iter().all(|old| old.uid() != pod.uid()) && entries(pod) == [SECRET];
        now.len() == 2 && now.iter().all(is_new)
    })
    .await;
    assert_eq!(deletions(&lab, mark), 2, "once each");
    // A new Pod that is refused too is left alone.
    for pod in pods(&lab, "early", "app").await {
        report(&lab, &pod, "ErrImagePull", REFUSED).await;
    }
    let events: Api<Event> = Api::namespaced(lab.client.clone(), "early");
    let mut found = Vec::new();
    lab.until("an Event reports each", async || {
        let all = events.list(&ListParams::default()).await.unwrap().items;
        found = all.into_iter().filter(|e| e.reason.as_deref() == Some("StuckPodReplaced")).collect();
        found.len() == 2
    })
    .await;
    let about = found[0].regarding.as_ref().unwrap();
    assert_eq!((about.kind.as_deref(), about.name.as_deref()), (Some("ReplicaSet"), Some("app")));
    assert!(found[0].note.as_ref().unwrap().contains("before the ServiceAccount default had the entry"));
    assert_eq!(found[0].related.as_ref().unwrap().kind.as_deref(), Some("Pod"));
    lab.until_settled().await;
    assert_eq!(deletions(&lab, mark), 2, "a Pod that carries the entry is left");
    assert!(
        lab.controller
            .metrics()
            .await
            .unwrap()
            .contains("acr_stuck_pods_replaced_total{result=\"success\"} 2")
    );
}

/// Each of these waits for its image, and none may be touched. A replaceable Pod comes after them all.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_a_replacement_would_not_help_is_left_alone() {
    let lab = lab(&["deploy/stuck-pods.yaml"], true).await;
    lab.create_namespace("left").await;
    lab.put_secret("left", "mine", json!({ "x": "y" })).await;
    let bare = json!({ "metadata": { "name": "bare", "labels": { "app": "bare" } }, "spec": template(&image(), &[]) });
    let bare = serde_json::from_value(bare).unwrap();
    lab.namespaced::<Pod>("left").create(&PostParams::default(), &bare).await.unwrap();
    replicas(&lab, "left", "own", 1, template(&image(), &["mine"])).await;
    replicas(&lab, "left", "foreign", 1, template("quay.io/team/app:1", &[])).await;
    replicas(&lab, "left", "missing", 1, template(&image(), &[])).await;
    replicas(&lab, "left", "running", 1, template(&image(), &[])).await;
    replicas(&lab, "left", "stuck", 1, template(&image(), &[])).await;
    lab.bind("left", spec(&["left"])).await;
    lab.until_ready_is("left", "True", "Succeeded").await;
    let mark = lab.mark();
    let one = async |app: &str| pods(&lab, "left", app).await.remove(0);
    for app in ["bare", "own", "foreign"] {
        report(&lab, &one(app).await, "ErrImagePull", REFUSED).await;
    }
    report(&lab, &one("missing").await, "ErrImagePull", &format!("{}: not found", image())).await;
    let running = json!({ "status": { "phase": "Running" } });
    let api = lab.namespaced::<Pod>("left");
    let params = PatchParams::default();
    api.patch_status(&one("running").await.name_any(), &params, &Patch::Merge(&running)).await.unwrap();
    let stuck = one("stuck").await;
    report(&lab, &stuck, "ErrImagePull", REFUSED).await;
    // An older kubelet does not repeat the cause while it backs off.
    report(&lab, &stuck, "ImagePullBackOff", "Back-off pulling image").await;
    lab.until("the stuck Pod is replaced", async || {
        let now = pods(&lab, "left", "stuck").await;
        now.len() == 1 && now[0].uid() != stuck.uid()
    })
    .await;
    lab.until_settled().await;
    assert_eq!(deletions(&lab, mark), 1);
}

/// The template's own list happens to equal the ServiceAccount's: the new Pod lacks the entry again.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_whose_pods_never_get_the_entry_loses_only_one_pod() {
    let lab = lab(&["deploy/stuck-pods.yaml"], true).await;
    lab.create_namespace("stubborn").await;
    let theirs = json!({ "imagePullSecrets": [{ "name": "theirs" }] });
    let accounts = lab.namespaced::<ServiceAccount>("stubborn");
    accounts.patch("default", &PatchParams::default(), &Patch::Merge(&theirs)).await.unwrap();
    replicas(&lab, "stubborn", "app", 1, template(&image(), &["theirs"])).await;
    lab.bind("stubborn", spec(&["stubborn"])).await;
    lab.until_ready_is("stubborn", "True", "Succeeded").await;
    assert_eq!(lab.pull_secrets("stubborn", "default").await, ["theirs", SECRET]);
    let mark = lab.mark();
    let first = pods(&lab, "stubborn", "app").await.remove(0);
    report(&lab, &first, "ErrImagePull", REFUSED).await;
    lab.until("the first one is replaced", async || deletions(&lab, mark) == 1).await;
    let mut next = None;
    lab.until("there is a next one", async || {
        next = pods(&lab, "stubborn", "app").await.into_iter().find(|pod| pod.uid() != first.uid());
        next.is_some()
    })
    .await;
    let next = next.unwrap();
    for _ in 0..3 {
        report(&lab, &next, "ErrImagePull", REFUSED).await;
        lab.until_settled().await;
    }
    assert_eq!(deletions(&lab, mark), 1);
    assert!(lab.controller.log().contains("lacks our entry again"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_policy_or_the_flag_no_pod_is_deleted() {
    // The right, but no policy that confines it.
    let granted = lab(&["deploy/stuck-pods.yaml"], true).await;
    for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
        granted.plane.kubectl_ok(&["delete", kind, "acr-credential-pods"]).await.unwrap();
    }
    granted.create_namespace("open").await;
    replicas(&granted, "open", "app", 1, template(&image(), &[])).await;
    let admin = granted.plane.service_account_client(NAMESPACE, CONTROLLER).await.unwrap();
    let pod = pods(&granted, "open", "app").await.remove(0);
    let may_delete = async || {
        let dry_run = DeleteParams { dry_run: true, ..DeleteParams::default() };
        Api::<Pod>::namespaced(admin.clone(), "open").delete(&pod.name_any(), &dry_run).await.is_ok()
    };
    granted.until("the policy is gone", may_delete).await;
    granted.bind("open", spec(&["open"])).await;
    granted.until_ready_is("open", "True", "Succeeded").await;
    report(&granted, &pod, "ErrImagePull", REFUSED).await;
    granted
        .until("the condition names what is missing", async || {
            granted.controller.log().contains("apply deploy/stuck-pods.yaml")
        })
        .await;
    granted.until_settled().await;
    assert_eq!(pods(&granted, "open", "app").await[0].uid(), pod.uid());
    // The cure, as the log says it. The next attempt would be a minute later.
    let log = granted.controller.log();
    let cure = log.lines().find(|line| line.contains("apply deploy/stuck-pods.yaml")).unwrap();
    for file in files(cure) {
        granted.plane.apply_file(root().join(file)).await.unwrap();
    }
    granted.until("the policy is in force", async || !may_delete().await).await;
    granted.controller.restart().unwrap();
    granted
        .until("the Pod is replaced", async || {
            let now = pods(&granted, "open", "app").await;
            now.first().is_some_and(|now| now.uid() != pod.uid())
        })
        .await;

    // The flag is off: the Pods are not even watched.
    let off = lab(&["deploy/stuck-pods.yaml"], false).await;
    off.create_namespace("off").await;
    replicas(&off, "off", "app", 1, template(&image(), &[])).await;
    off.bind("off", spec(&["off"])).await;
    off.until_ready_is("off", "True", "Succeeded").await;
    report(&off, &pods(&off, "off", "app").await[0], "ErrImagePull", REFUSED).await;
    off.until_settled().await;
    assert_eq!(off.requests(Mark::default()).of("pods").len(), 0);
}

/// The reach of a stolen controller token while stuck Pods are replaced.
#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_token_cannot_delete_a_running_pod() {
    let lab = lab(&["deploy/stuck-pods.yaml"], false).await;
    lab.create_namespace("prey").await;
    for app in ["runs", "stuck"] {
        replicas(&lab, "prey", app, 1, template(&image(), &[])).await;
    }
    let runs = pods(&lab, "prey", "runs").await.remove(0);
    let container = json!({
        "name": "app", "image": image(), "imageID": "x", "ready": true, "restartCount": 0,
        "state": { "running": { "startedAt": "2026-11-20T10:00:00Z" } },
    });
    let running = json!({ "status": { "phase": "Running", "containerStatuses": [container] } });
    let api = lab.namespaced::<Pod>("prey");
    api.patch_status(&runs.name_any(), &PatchParams::default(), &Patch::Merge(&running)).await.unwrap();
    let thief = lab.plane.service_account_client(NAMESPACE, CONTROLLER).await.unwrap();
    let pods_of_thief: Api<Pod> = Api::namespaced(thief, "prey");
    let by_version = async |name: &str| {
        let now = api.get(name).await.unwrap();
        let preconditions =
            kube::api::Preconditions { uid: now.uid(), resource_version: now.resource_version() };
        DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }
    };
    let params = by_version(&runs.name_any()).await;
    lab.until("the policy is in force", async || {
        let refused =
            pods_of_thief.delete(&runs.name_any(), &DeleteParams { dry_run: true, ..params.clone() }).await;
        refused.is_err_and(|error| error.to_string().contains("acr-credential-pods"))
    })
    .await;
    let refused = async |name: &str, params: &DeleteParams, why: &str| {
        let error = pods_of_thief.delete(name, params).await.unwrap_err().to_string();
        assert!(error.contains(why), "{name}: {error}");
    };
    refused(&runs.name_any(), &params, "only Pods that wait for an image").await;
    // A Pod that is pending, but not for its image.
    let stuck = pods(&lab, "prey", "stuck").await.remove(0).name_any();
    refused(&stuck, &by_version(&stuck).await, "only Pods that wait for an image").await;
    report(&lab, &api.get(&stuck).await.unwrap(), "ErrImagePull", REFUSED).await;
    refused(&stuck, &DeleteParams::default(), "by its UID and resourceVersion only").await;
    // A bare Pod, and one that has the entry.
    let bare = json!({ "metadata": { "name": "bare", "labels": { "app": "bare" } }, "spec": template(&image(), &[]) });
    api.create(&PostParams::default(), &serde_json::from_value(bare).unwrap()).await.unwrap();
    report(&lab, &api.get("bare").await.unwrap(), "ErrImagePull", REFUSED).await;
    refused("bare", &by_version("bare").await, "only Pods that their owner recreates").await;
    replicas(&lab, "prey", "has", 1, template(&image(), &[SECRET])).await;
    let has = pods(&lab, "prey", "has").await.remove(0);
    report(&lab, &has, "ErrImagePull", REFUSED).await;
    refused(&has.name_any(), &by_version(&has.name_any()).await, "not delete Pods that have its entry").await;
    // RBAC grants nothing but single deletions.
    let all = pods_of_thief.delete_collection(&DeleteParams::default(), &ListParams::default()).await;
    assert!(all.is_err_and(|error| error.to_string().contains("cannot deletecollection")));
    let evicted = pods_of_thief.evict(&runs.name_any(), &Default::default()).await;
    assert!(
        evicted.is_err_and(|error| error.to_string().contains("cannot create resource \"pods/eviction\""))
    );
    assert!(pods_of_thief.logs(&runs.name_any(), &Default::default()).await.is_err());
    let label = json!({ "metadata": { "labels": { "x": "y" } } });
    let params = PatchParams::default();
    assert!(pods_of_thief.patch(&runs.name_any(), &params, &Patch::Merge(&label)).await.is_err());
    // The remaining deletions restart Pods that do not run. All other users delete as before.
    assert!(pods_of_thief.delete(&stuck, &by_version(&stuck).await).await.is_ok());
    assert!(api.delete(&runs.name_any(), &DeleteParams::default()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_stuck_pods_are_replaced_at_a_bounded_rate() {
    let lab = lab(&["deploy/stuck-pods.yaml"], true).await;
    lab.create_namespace("many").await;
    replicas(&lab, "many", "app", 12, template(&image(), &[])).await;
    lab.bind("many", spec(&["many"])).await;
    lab.until_ready_is("many", "True", "Succeeded").await;
    let mark = lab.mark();
    for pod in pods(&lab, "many", "app").await {
        report(&lab, &pod, "ErrImagePull", REFUSED).await;
    }
    lab.until("eight are replaced", async || deletions(&lab, mark) >= 8).await;
    let all = lab.requests(mark).of("pods").filter(|e| e.verb == "delete" && e.code < 300);
    let (first, last) = (all.first().unwrap().timestamp, all.last().unwrap().timestamp);
    let span = last.duration_since(first).as_secs_f64();
    let rate = (all.len() - 1) as f64 / span * 60.0;
    println!("{} Pods replaced in {span:.1} s: {rate:.1} a minute, {} probes", all.len(), probes(&lab, mark));
    assert!((10.0..=31.0).contains(&rate), "{rate}");
    assert!(probes(&lab, mark) <= all.len() + 1);
}
