//! Serving: a binding becomes Secrets and entries.

use acr_lab::cloud::{Fault, FaultKind};
use acr_lab::plane::Mark;
use serde_json::json;

use crate::harness::{DOMAIN, Lab, SECRET, spec};

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_becomes_a_secret_with_a_valid_token_and_an_entry_in_each_service_account() {
    let lab = Lab::start().await;
    lab.create_namespace("team-a-web").await;
    lab.create_namespace("other").await;
    lab.create_account("team-a-web", "builder", &["mine"]).await;
    lab.bind("team-a", spec(&["team-a-*"])).await;
    lab.until_ready_is("team-a", "True", "Succeeded").await;

    let auths = lab.auths("team-a-web").await.expect("the Secret exists");
    let vpc = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com";
    assert_eq!(auths.keys().map(String::as_str).collect::<Vec<_>>(), [vpc, DOMAIN, "img.example.com"]);
    let (user, token) = &auths[DOMAIN];
    assert!(lab.cloud.token_valid(user, token, "cri-demo0001"));
    assert_eq!(lab.pull_secrets("team-a-web", "default").await, [SECRET]);
    assert_eq!(lab.pull_secrets("team-a-web", "builder").await, ["mine", SECRET]);
    assert!(lab.secret("other").await.is_none());
    assert!(lab.pull_secrets("other", "default").await.is_empty());

    let columns =
        lab.plane.kubectl_ok(&["get", "acrcredentialbindings", "team-a", "--no-headers"]).await.unwrap();
    let columns: Vec<&str> = columns.split_whitespace().collect();
    assert_eq!(columns[..5], ["team-a", "True", "1/1", "1/1", "2/2"]);

    // Later namespaces and accounts are served as well.
    lab.create_namespace("team-a-db").await;
    lab.create_account("team-a-web", "late", &[]).await;
    lab.until("the new namespace has its Secret", async || lab.secret("team-a-db").await.is_some()).await;
    lab.until("the new namespace's account is attached", async || {
        lab.pull_secrets("team-a-db", "default").await == [SECRET]
    })
    .await;
    lab.until("the new account is attached", async || {
        lab.pull_secrets("team-a-web", "late").await == [SECRET]
    })
    .await;
    assert_eq!(lab.cloud.count("GetAuthorizationToken"), 1, "one token serves them all");
}

/// A Pod copies the list once, at its creation: it must not wait for the cloud.
#[tokio::test(flavor = "multi_thread")]
async fn service_accounts_are_attached_while_the_cloud_hangs() {
    let lab = Lab::start().await;
    let hang = |action: &str| Fault {
        action: action.to_owned(),
        instance: None,
        kind: FaultKind::Hang,
        times: None,
    };
    lab.cloud.fault(hang("GetAuthorizationToken"));
    lab.create_namespace("early").await;
    lab.bind("early", spec(&["early"])).await;
    lab.until("the account is attached", async || lab.pull_secrets("early", "default").await == [SECRET])
        .await;
    lab.until("the Secret exists, empty", async || {
        lab.auths("early").await.is_some_and(|auths| auths.is_empty())
    })
    .await;
    let writes = lab.requests(Mark::default()).writes().filter(|e| e.namespace == "early");
    let first = |resource: &str| writes.iter().find(|e| e.resource == resource).cloned().expect(resource);
    assert!(
        first("serviceaccounts").completed < first("secrets").timestamp,
        "the entry did not wait for the Secret"
    );
    lab.cloud.clear_faults();
    lab.until_ready_is("early", "True", "Succeeded").await;
    assert!(lab.token("early", DOMAIN).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_bindings_share_the_secret_of_a_namespace_and_the_older_wins_a_contested_domain() {
    let lab = Lab::start().await;
    lab.create_namespace("shared").await;
    let registry = |instance: &str, region: &str, domains: &[&str]| json!({ "instanceId": instance, "regionId": region, "domains": domains });
    let of = |registries: serde_json::Value| json!({ "registries": registries, "watchNamespaces": { "names": ["shared"] } });
    lab.bind("older", of(json!([registry("cri-demo0001", "cn-hangzhou", &["img.example.com"])]))).await;
    lab.until_ready_is("older", "True", "Succeeded").await;
    // Ages differ by whole seconds.
    lab.until("a second has passed", async || {
        let created = lab.bindings().get("older").await.unwrap().metadata.creation_timestamp.unwrap().0;
        lab.cloud.now() / 1000 > created.as_second()
    })
    .await;
    lab.bind(
        "newer",
        of(json!([registry("cri-demo0002", "cn-beijing", &["img.example.com", "two.example.com"])])),
    )
    .await;
    let message = lab.until_ready_is("newer", "False", "DomainContested").await;
    assert!(message.contains("img.example.com is claimed first by binding older"), "{message}");

    lab.until_served("shared", "two.example.com").await;
    let auths = lab.auths("shared").await.unwrap();
    let valid =
        |domain: &str, instance: &str| lab.cloud.token_valid(&auths[domain].0, &auths[domain].1, instance);
    assert!(valid("img.example.com", "cri-demo0001") && valid("two.example.com", "cri-demo0002"));
    assert_eq!(lab.pull_secrets("shared", "default").await, [SECRET]);
    assert_eq!(lab.condition("older", "Ready").await.unwrap().0, "True");

    // The loser takes over when the winner goes.
    lab.bindings().delete("older", &Default::default()).await.unwrap();
    lab.until_ready_is("newer", "True", "Succeeded").await;
    let auths = lab.auths("shared").await.unwrap();
    assert!(lab.cloud.token_valid(&auths["img.example.com"].0, &auths["img.example.com"].1, "cri-demo0002"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_of_another_account_is_assumed() {
    let lab = Lab::start().await;
    lab.create_namespace_with("partners", json!({ "uses": "partner-images" })).await;
    lab.plane.apply_file(crate::harness::root().join("examples/assume-role.yaml")).await.unwrap();
    lab.until_ready_is("partner", "True", "Succeeded").await;
    let auths = lab.auths("partners").await.unwrap();
    let (user, token) = auths.values().next().unwrap();
    assert!(lab.cloud.token_valid(user, token, "cri-demo0003"));
    let status = lab.bindings().get("partner").await.unwrap().status.unwrap();
    assert_eq!(status.registries[0].identity, "worker-role → acr-pull");
}

/// Tracking marks of a GitOps tool would make it prune our objects.
#[tokio::test(flavor = "multi_thread")]
async fn tracking_marks_of_a_binding_are_not_copied_to_its_objects() {
    let lab =
        Lab::start_with(|options| options.arg("--secret-label=images.alibabacloud.com/accelerated=true"))
            .await;
    lab.create_namespace("gitops").await;
    let mut object: acr_credential_binding::api::AcrCredentialBinding = serde_json::from_value(json!({
        "apiVersion": "acrcredential.dev/v1alpha1",
        "kind": "AcrCredentialBinding",
        "metadata": { "name": "gitops", "labels": { "app.kubernetes.io/instance": "argo" },
            "annotations": { "argocd.argoproj.io/tracking-id": "argo:x", "kustomize.toolkit.fluxcd.io/prune": "enabled" } },
        "spec": spec(&["gitops"]),
    }))
    .unwrap();
    object.status = None;
    lab.bindings().create(&Default::default(), &object).await.unwrap();
    lab.until_ready_is("gitops", "True", "Succeeded").await;
    let metadata = lab.secret("gitops").await.unwrap().metadata;
    let labels = metadata.labels.unwrap();
    assert_eq!(
        labels.keys().collect::<Vec<_>>(),
        ["app.kubernetes.io/managed-by", "images.alibabacloud.com/accelerated"]
    );
    let annotations = metadata.annotations.unwrap();
    assert_eq!(
        annotations.keys().collect::<Vec<_>>(),
        ["acrcredential.dev/namespace", "acrcredential.dev/registries"]
    );
    assert!(
        annotations["acrcredential.dev/registries"].contains("cri-demo0001 in cn-hangzhou"),
        "{annotations:?}"
    );
    assert!(metadata.owner_references.is_none());
}
