//! Invalid input: a clear condition, and no loss of what worked.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::DeleteParams;
use serde_json::json;

use crate::harness::{DOMAIN, Lab, NAMESPACE, SECRET, spec};

const NAME: &str = "acr-configuration";
const PARTNER: &str = "partner-registry.cn-hangzhou.cr.aliyuncs.com";

fn with_registries(namespaces: &[&str], registries: serde_json::Value) -> serde_json::Value {
    let mut spec = spec(namespaces);
    spec["registries"] = registries;
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_cloud_is_reported_with_the_cure_beside_what_works() {
    let lab = Lab::start().await;
    lab.create_namespace("refused").await;
    let good = json!({ "instanceId": "cri-demo0001", "domains": ["good.example.com"] });
    let cases = [
        ("InstanceNotFound", "check instanceId and regionId", json!({ "instanceId": "cri-nosuch" })),
        (
            "InstanceNotFound",
            "check regionId",
            json!({ "instanceId": "cri-demo0001", "regionId": "cn-atlantis" }),
        ),
        (
            "TrustPolicyDenies",
            "acs:ram::2:role/nosuch",
            json!({ "instanceId": "cri-demo0003", "assumeRoleARN": "acs:ram::2:role/nosuch" }),
        ),
        (
            "SessionTooLong",
            "expireDuration",
            json!({ "instanceId": "cri-demo0003", "assumeRoleARN": "acs:ram::2:role/acr-pull", "expireDuration": 43200 }),
        ),
        ("AccessDenied", "2024-09-08", json!({ "regionId": "cn-beijing" })),
        (
            "SecretNotFound",
            "create it with the keys accessKeyId and accessKeySecret",
            json!({ "instanceId": "cri-demo0001", "accessKeySecretRef": { "name": "acr-access-key" } }),
        ),
        (
            "ServiceAccountNotFound",
            "create serviceaccount aliyun-acr-credential-helper",
            json!({ "instanceId": "cri-demo0001", "rrsaRoleARN": "acs:ram::1:role/a", "rrsaOIDCProviderRoleARN": "acs:ram::1:oidc-provider/p" }),
        ),
    ];
    for (reason, cure, bad) in cases {
        lab.bind("refused", with_registries(&["refused"], json!([good.clone(), bad]))).await;
        let message = lab.until_ready_says("refused", "False", reason, "issued for 1 of 2 registries").await;
        assert!(message.contains(cure), "{reason}: {message}");
        lab.until_served("refused", "good.example.com").await;
        lab.until_attached("refused", "default").await;
        let status = lab.bindings().get("refused").await.unwrap().status.unwrap();
        let issued: Vec<&str> = status.registries.iter().map(|r| r.conditions[0].status.as_str()).collect();
        assert_eq!(issued, ["True", "False"], "{reason}");
        let stalled = status.conditions.iter().find(|c| c.type_ == "Stalled").map(|c| c.reason.as_str());
        assert_eq!(stalled, Some(reason));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_is_named_and_its_grant_recovers() {
    let lab = Lab::start().await;
    lab.cloud.world(|w| {
        w.role_mut("1", "KubernetesWorkerRole-demo").unwrap().policy.allow.remove("cr:GetAuthorizationToken");
    });
    lab.create_namespace("ungranted").await;
    lab.bind("ungranted", spec(&["ungranted"])).await;
    let message = lab.until_ready_is("ungranted", "False", "AccessDenied").await;
    assert!(message.contains("cr:GetAuthorizationToken") && message.contains("worker role"), "{message}");
    lab.until_attached("ungranted", "default").await;
    lab.cloud.world(|w| {
        w.role_mut("1", "KubernetesWorkerRole-demo")
            .unwrap()
            .policy
            .allow
            .insert("cr:GetAuthorizationToken".to_owned());
    });
    lab.until_ready_is("ungranted", "True", "Succeeded").await;
}

/// Makes the schema accept any spec.
pub async fn loosen(lab: &Lab) {
    let loose = json!([
        { "op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec",
          "value": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
    ]);
    let crd = "crd/acrcredentialbindings.acrcredential.dev";
    lab.plane.kubectl_ok(&["patch", crd, "--type=json", "-p", &loose.to_string()]).await.unwrap();
}

/// A loosened or older schema accepts specs that the validator refuses.
#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_spec_that_passes_the_schema_keeps_the_last_valid_one_in_force() {
    let lab = Lab::start().await;
    lab.create_namespace("past").await;
    lab.bind("past", spec(&["past"])).await;
    lab.until_ready_is("past", "True", "Succeeded").await;
    let token = lab.token("past", DOMAIN).await;
    loosen(&lab).await;
    let bad = json!({ "instanceId": "cri-demo0001", "regionId": "Hang Zhou", "domains": ["https://img.example.com"], "assumeRoleARN": "acs:ram::.*:role/x" });
    let mut invalid = with_registries(&["elsewhere"], json!([bad]));
    invalid["expiringThreshold"] = json!("0s");
    lab.until("the loose schema is in force", async || lab.try_bind("past", invalid.clone()).await.is_ok())
        .await;
    let message = lab.until_ready_is("past", "False", "InvalidSpec").await;
    for part in
        ["regionId", "domains[0]", "assumeRoleARN", "expiringThreshold", "the last valid spec stays in force"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(lab.token("past", DOMAIN).await, token);
    // A restarted controller knows no last valid spec: then nothing is withdrawn either.
    lab.controller.restart().unwrap();
    lab.controller.until_ready(std::time::Duration::from_secs(20)).await.unwrap();
    lab.until_settled().await;
    assert_eq!(lab.token("past", DOMAIN).await, token);
    assert_eq!(lab.pull_secrets("past", "default").await, [SECRET]);
    // A binding that cannot be parsed stalls no other binding.
    let unreadable = json!({ "registries": "none" });
    let object = json!({ "apiVersion": "acrcredential.dev/v1alpha1", "kind": "AcrCredentialBinding", "metadata": { "name": "unreadable" }, "spec": unreadable });
    lab.plane.apply(&object.to_string()).await.unwrap();
    lab.bind("past", spec(&["past"])).await;
    lab.until_ready_is("past", "True", "Succeeded").await;
}

/// It may name any of the key pairs, and the cloud never shows an AccessKeySecret again.
#[tokio::test(flavor = "multi_thread")]
async fn no_key_pair_is_deleted_while_a_binding_cannot_be_parsed() {
    let lab = Lab::start().await;
    let (id, secret) = lab.key_of("2", "partner-puller");
    let entry =
        format!("- instanceId: cri-demo0003\n  customAccessKey: {id}\n  customAccessKeySecret: {secret}\n");
    lab.put_config_map(json!({ "acr-registry-info": entry })).await;
    lab.until_ready_is(NAME, "True", "Succeeded").await;
    let hand_over =
        ["-n", "kube-system", "annotate", "configmap", NAME, "acrcredential.dev/authoritative=false"];
    lab.plane.kubectl_ok(&hand_over).await.unwrap();
    lab.until("it is its user's", async || {
        lab.bindings().get(NAME).await.unwrap().metadata.labels.unwrap_or_default().is_empty()
    })
    .await;
    lab.namespaced::<ConfigMap>("kube-system").delete(NAME, &DeleteParams::default()).await.unwrap();
    lab.until_settled().await;
    lab.controller.kill();
    loosen(&lab).await;
    let unreadable =
        json!([{ "op": "replace", "path": "/spec", "value": { "registries": "none" } }]).to_string();
    lab.until("it cannot be read", async || {
        lab.plane.kubectl_ok(&["patch", "acb", NAME, "--type=json", "-p", &unreadable]).await.is_ok()
    })
    .await;
    lab.controller.restart().unwrap();
    lab.controller.until_ready(std::time::Duration::from_secs(20)).await.unwrap();
    lab.until_settled().await;
    assert!(lab.namespaced::<Secret>(NAMESPACE).get_opt("acr-configuration-0").await.unwrap().is_some());
    assert!(lab.token("default", PARTNER).await.is_some());
}
