//! Errors of the API server about our own Secret, each with a cure of its own.

use acr_lab::plane::Options;
use k8s_openapi::api::core::v1::{ResourceQuota, Secret};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::documentation::shell;
use crate::harness::{DOMAIN, Lab, SECRET, spec};

const DELETE: &str = "kubectl -n ours delete secret ";

async fn served() -> Lab {
    let lab = Lab::start().await;
    lab.create_namespace("ours").await;
    lab.bind("ours", spec(&["ours"])).await;
    lab.until_ready_is("ours", "True", "Succeeded").await;
    lab
}

async fn edit(lab: &Lab, patch: Value) {
    lab.namespaced::<Secret>("ours")
        .patch(SECRET, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
}

/// Returns a spec with this number of domains, of 200 characters each.
fn with_domains(count: usize) -> Value {
    let label = "x".repeat(60);
    let domains: Vec<String> =
        (0..count).map(|n| format!("{label}.{label}.{label}.d{n:03}.example.com")).collect();
    let entry = |domains: &[String]| json!({ "instanceId": "cri-demo0001", "domains": domains });
    let mut many = spec(&["ours"]);
    many["registries"] = json!(domains.chunks(32).map(entry).collect::<Vec<_>>());
    many
}

#[tokio::test(flavor = "multi_thread")]
async fn an_immutable_secret_is_reported_at_once_and_returns_after_the_printed_deletion() {
    let lab = Lab::start().await;
    lab.create_namespace("ours").await;
    // It belongs to a user, who asks to have it taken over. Only what the controller wrote is removed by it.
    let object = json!({
        "metadata": { "name": SECRET },
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": { ".dockerconfigjson": "{\"auths\":{}}" },
        "immutable": true,
    });
    let object = serde_json::from_value(object).unwrap();
    let before = lab.namespaced::<Secret>("ours").create(&PostParams::default(), &object).await.unwrap();
    lab.bind("ours", spec(&["ours"])).await;
    lab.annotate("ours", "acrcredential.dev/adopt", "true").await;
    let message = lab.until_ready_is("ours", "False", "SecretImmutable").await;
    let words = "is immutable, so its credential cannot be renewed: delete it (kubectl";
    assert!(message.contains(words), "{message}");
    lab.until_settled().await;
    // The takeover is not even tried, and the content stays.
    let mark = lab.mark();
    lab.refresh("ours", "1").await;
    lab.until_settled().await;
    let tried = lab.requests(mark).of("secrets").filter(|e| e.namespace == "ours");
    assert_eq!(tried.len(), 0, "{:?}", tried.counts());
    assert_eq!(lab.secret("ours").await.unwrap().data, before.data);
    lab.follow(&message, DELETE);
    lab.until_ready_is("ours", "True", "Succeeded").await;
    let after = lab.secret("ours").await.unwrap();
    assert!(after.immutable.is_none() && after.data != before.data, "{:?}", after.metadata);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_our_name_and_label_but_another_type_goes_by_the_printed_deletion() {
    let lab = Lab::start().await;
    lab.create_namespace("ours").await;
    let object = json!({
        "metadata": { "name": SECRET, "labels": { "app.kubernetes.io/managed-by": "acr-credential-controller" } },
        "type": "Opaque",
    });
    let object = serde_json::from_value(object).unwrap();
    lab.namespaced::<Secret>("ours").create(&PostParams::default(), &object).await.unwrap();
    lab.bind("ours", spec(&["ours"])).await;
    let message = lab.until_ready_says("ours", "False", "SecretConflict", "the type Opaque").await;
    lab.follow(&message, DELETE);
    lab.until_ready_is("ours", "True", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn annotations_of_others_that_leave_no_room_go_by_the_printed_deletion() {
    let lab = served().await;
    let ours: usize = {
        let annotations = lab.secret("ours").await.unwrap().metadata.annotations.unwrap();
        annotations.iter().map(|(key, value)| key.len() + value.len()).sum()
    };
    let note = "n".repeat(256 * 1024 - ours - "example.com/note".len());
    edit(&lab, json!({ "metadata": { "annotations": { "example.com/note": note } } })).await;
    lab.bind("ours", with_domains(32)).await;
    let message = lab.until_ready_is("ours", "False", "SecretTooLarge").await;
    assert!(message.contains("too large") && message.contains("if others annotated it"), "{message}");
    assert!(lab.token("ours", DOMAIN).await.is_some(), "the last good credential stays");
    lab.follow(&message, DELETE);
    lab.until_ready_is("ours", "True", "Succeeded").await;
    assert_eq!(lab.auths("ours").await.unwrap().len(), 32);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_etcd_finds_too_large_is_reported_and_fewer_domains_fit() {
    let small =
        Options { extra_etcd_args: vec!["--max-request-bytes=200000".to_owned()], ..Options::default() };
    let lab = Lab::start_without(&[], small).await;
    lab.create_namespace("ours").await;
    lab.bind("ours", with_domains(256)).await;
    let message = lab.until_ready_is("ours", "False", "SecretTooLarge").await;
    assert!(
        message.contains("request is too large") && message.contains("fewer registries or domains"),
        "{message}"
    );
    lab.bind("ours", with_domains(32)).await;
    lab.until_ready_is("ours", "True", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_on_the_count_of_secrets_has_room_after_a_deletion_there() {
    let lab = Lab::start().await;
    lab.create_namespace("ours").await;
    lab.put_secret("ours", "theirs", json!({ "a": "b" })).await;
    let quotas = lab.namespaced::<ResourceQuota>("ours");
    let quota = json!({ "metadata": { "name": "limits" }, "spec": { "hard": { "count/secrets": "1" } } });
    quotas.create(&PostParams::default(), &serde_json::from_value(quota).unwrap()).await.unwrap();
    lab.until("the quota counts", async || {
        let used = quotas.get("limits").await.unwrap().status.and_then(|s| s.used);
        used.is_some_and(|used| used.get("count/secrets").is_some_and(|n| n.0 == "1"))
    })
    .await;
    lab.bind("ours", spec(&["ours"])).await;
    let message = lab.until_ready_is("ours", "False", "QuotaExceeded").await;
    assert!(message.contains("(kubectl -n ours edit resourcequota limits)"), "{message}");
    assert!(message.contains("delete a Secret there"), "{message}");
    lab.namespaced::<Secret>("ours").delete("theirs", &DeleteParams::default()).await.unwrap();
    lab.until_ready_is("ours", "True", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_names_its_file_and_applying_it_gives_the_right() {
    let lab = Lab::start().await;
    lab.create_namespace("ours").await;
    lab.bind("ours", spec(&["ours"])).await;
    lab.until_ready_is("ours", "True", "Succeeded").await;
    let name = "clusterrole/acr-credential-controller";
    let json = lab.plane.kubectl_ok(&["get", name, "-o", "json"]).await.unwrap();
    let mut object: Value = serde_json::from_str(&json).unwrap();
    for rule in object["rules"].as_array_mut().unwrap() {
        if rule["resources"].as_array().unwrap().contains(&json!("serviceaccounts")) {
            rule["verbs"] = json!(["get", "list", "watch"]);
        }
    }
    object["metadata"].as_object_mut().unwrap().remove("managedFields");
    let file = lab.plane.dir().join("role.json");
    std::fs::write(&file, object.to_string()).unwrap();
    lab.plane.kubectl_ok(&["replace", "-f", file.to_str().unwrap()]).await.unwrap();
    lab.create_account("ours", "late", &[]).await;
    let message = lab.until_ready_is("ours", "False", "Forbidden").await;
    assert!(message.ends_with("apply deploy/rbac.yaml of this version"), "{message}");
    shell(&lab.plane, "kubectl apply --server-side --force-conflicts -f deploy/rbac.yaml").unwrap();
    lab.until_ready_is("ours", "True", "Succeeded").await;
}
