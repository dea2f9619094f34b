//! The legacy ConfigMap.

use acr_lab::plane::Mark;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::harness::{DOMAIN, Lab, NAMESPACE, SECRET, root};

const NAME: &str = "acr-configuration";

#[tokio::test(flavor = "multi_thread")]
async fn the_config_map_is_authoritative_for_the_binding_made_from_it() {
    let lab = Lab::start_with(|options| options.arg("--config-map-grace=1s")).await;
    lab.create_namespace("apps").await;
    lab.plane.apply_file(root().join("examples/acr-configuration.yaml")).await.unwrap();
    lab.until_ready_is(NAME, "True", "Succeeded").await;
    assert_eq!(
        lab.auths("default").await.unwrap().keys().map(String::as_str).collect::<Vec<_>>(),
        [DOMAIN, "img.example.com"]
    );
    assert_eq!(lab.pull_secrets("default", "default").await, [SECRET]);

    lab.put_config_map(json!({ "watch-namespace": "default, apps", "acr-registry-info": "- instanceId: cri-demo0001\n- instanceId: cri-demo0002\n  regionId: cn-beijing\n" })).await;
    lab.until("an edit reaches the new namespace", async || {
        lab.auths("apps").await.is_some_and(|a| a.len() >= 5)
    })
    .await;

    let hand_edit = json!({ "spec": { "watchNamespaces": { "names": ["kube-public"] } } });
    lab.bindings().patch(NAME, &PatchParams::default(), &Patch::Merge(&hand_edit)).await.unwrap();
    lab.until("a hand edit is reverted", async || {
        lab.bindings().get(NAME).await.unwrap().spec.watch_namespaces.names == ["default", "apps"]
    })
    .await;
    let events = async || {
        lab.plane
            .kubectl_ok(&[
                "get",
                "events",
                "-A",
                "-o",
                "jsonpath={range .items[*]}{.reason}{\" \"}{.message}{\"\\n\"}{end}",
            ])
            .await
            .unwrap()
    };
    lab.until("an Event names the ConfigMap", async || {
        events()
            .await
            .lines()
            .any(|l| l.starts_with("HandEditReverted") && l.contains("kube-system/acr-configuration"))
    })
    .await;

    lab.put_config_map(json!({ "acr-registry-info": "- instanceId: [\n" })).await;
    lab.until("the mistake is told", async || {
        lab.condition(NAME, "LegacyConfigValid").await.is_some_and(|(s, r, m)| {
            s == "False" && r == "LegacyConfigInvalid" && m.contains("acr-registry-info")
        })
    })
    .await;
    lab.until_settled().await;
    assert_eq!(
        lab.bindings().get(NAME).await.unwrap().spec.watch_namespaces.names,
        ["default", "apps"],
        "the last good one stays"
    );
    assert!(lab.token("apps", DOMAIN).await.is_some());

    lab.namespaced::<ConfigMap>("kube-system").delete(NAME, &DeleteParams::default()).await.unwrap();
    lab.until("the binding goes with it", async || lab.bindings().get_opt(NAME).await.unwrap().is_none())
        .await;
    assert!(lab.token("apps", DOMAIN).await.is_some(), "the converted binding retains");
    assert_eq!(lab.pull_secrets("apps", "default").await, [SECRET]);
}

#[tokio::test(flavor = "multi_thread")]
async fn graduation_makes_the_binding_its_users_own_with_no_write_to_any_namespace() {
    let lab = Lab::start().await;
    lab.plane.apply_file(root().join("examples/acr-configuration.yaml")).await.unwrap();
    lab.until_ready_is(NAME, "True", "Succeeded").await;
    lab.until_settled().await;
    let mark = lab.mark();
    lab.plane
        .kubectl_ok(&[
            "annotate",
            "configmap",
            NAME,
            "-n",
            "kube-system",
            "acrcredential.dev/authoritative=false",
        ])
        .await
        .unwrap();
    lab.until("the binding is graduated", async || {
        lab.bindings()
            .get(NAME)
            .await
            .unwrap()
            .metadata
            .labels
            .is_none_or(|l| !l.contains_key("acrcredential.dev/converted"))
    })
    .await;
    lab.namespaced::<ConfigMap>("kube-system").delete(NAME, &DeleteParams::default()).await.unwrap();
    lab.until_settled().await;
    assert!(lab.bindings().get_opt(NAME).await.unwrap().is_some());
    let writes = lab.requests(mark).writes().filter(|e| !e.namespace.is_empty());
    assert_eq!(writes.counts(), Default::default());
    assert!(lab.mark() > Mark::default());
}

/// What is covered follows the ConfigMap, and what stays covered is not touched meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_config_map_names_no_more_is_released_and_what_is_new_is_served() {
    let lab = Lab::start().await;
    for namespace in ["apps", "web", "late"] {
        lab.create_namespace(namespace).await;
        lab.create_account(namespace, "builder", &[]).await;
    }
    let put = async |namespaces: &str, accounts: &str| {
        lab.put_config_map(json!({
            "watch-namespace": namespaces,
            "service-account": accounts,
            "acr-registry-info": "- instanceId: cri-demo0001\n",
            "webhook-configuration": "enable: false\n",
        }))
        .await;
    };
    put("apps,web", "default").await;
    lab.until_served("apps", DOMAIN).await;
    lab.until_served("web", DOMAIN).await;
    lab.until_attached("web", "default").await;
    let kept = lab.secret("apps").await.unwrap().metadata.resource_version;

    put("apps", "default").await;
    lab.until("the namespace is released", async || {
        lab.secret("web").await.is_none() && lab.pull_secrets("web", "default").await.is_empty()
    })
    .await;
    put("apps,late", "default,builder").await;
    lab.until_served("late", DOMAIN).await;
    for namespace in ["apps", "late"] {
        lab.until_attached(namespace, "builder").await;
    }
    put("apps,late", "builder").await;
    lab.until("the ServiceAccount is released", async || {
        lab.pull_secrets("apps", "default").await.is_empty()
    })
    .await;
    lab.until_attached("apps", "builder").await;
    put("all", "*").await;
    lab.until_served("web", DOMAIN).await;
    lab.until_attached("web", "builder").await;
    assert_eq!(lab.secret("apps").await.unwrap().metadata.resource_version, kept);
}

/// A GitOps tool may replace the ConfigMap by deleting it and making it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_that_comes_back_in_time_was_never_gone() {
    let lab = Lab::start().await;
    let data = json!({ "acr-registry-info": "- instanceId: cri-demo0001\n" });
    lab.put_config_map(data.clone()).await;
    lab.until_ready_is(NAME, "True", "Succeeded").await;
    let uid = lab.bindings().get(NAME).await.unwrap().metadata.uid;
    let mark = lab.mark();
    lab.namespaced::<ConfigMap>("kube-system").delete(NAME, &DeleteParams::default()).await.unwrap();
    lab.until("the condition states the grace", async || {
        lab.condition(NAME, "LegacyConfigValid").await.is_some_and(|(status, reason, message)| {
            status == "False" && reason == "LegacyConfigMissing" && message.contains("within 60 s")
        })
    })
    .await;
    lab.until("the metric says so", async || {
        lab.controller.metrics().await.unwrap().contains("acr_legacy_config_valid 0")
    })
    .await;
    lab.put_config_map(data).await;
    lab.until("all is well again", async || {
        lab.condition(NAME, "LegacyConfigValid").await.is_some_and(|(status, ..)| status == "True")
    })
    .await;
    assert_eq!(lab.bindings().get(NAME).await.unwrap().metadata.uid, uid);
    let writes = lab.requests(mark).writes().filter(|e| e.namespace == "default");
    assert_eq!(writes.counts(), Default::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn key_pairs_are_moved_to_secrets_rotated_with_the_config_map_and_gone_with_it() {
    const PARTNER: &str = "partner-registry.cn-hangzhou.cr.aliyuncs.com";
    let lab = Lab::start_with(|options| options.arg("--config-map-grace=1s")).await;
    let put = async || {
        let (id, secret) = lab.key_of("2", "partner-puller");
        let info = format!(
            "- instanceId: cri-demo0003\n  customAccessKey: {id}\n  customAccessKeySecret: {secret}\n"
        );
        lab.put_config_map(json!({ "acr-registry-info": info })).await;
    };
    put().await;
    lab.until_ready_is(NAME, "True", "Succeeded").await;
    let first = lab.token("default", PARTNER).await.unwrap();
    let secrets = lab.namespaced::<Secret>(NAMESPACE);
    assert!(secrets.get_opt("acr-configuration-0").await.unwrap().is_some());

    lab.give_second_key("2", "partner-puller");
    put().await;
    lab.until("another pair means another token", async || {
        lab.token("default", PARTNER).await.is_some_and(|token| token != first)
    })
    .await;

    lab.namespaced::<ConfigMap>("kube-system").delete(NAME, &DeleteParams::default()).await.unwrap();
    lab.until("the pair goes with the ConfigMap", async || {
        secrets.get_opt("acr-configuration-0").await.unwrap().is_none()
    })
    .await;
    assert!(lab.bindings().get_opt(NAME).await.unwrap().is_none());
    let (_, secret) = lab.key_of("2", "partner-puller");
    assert!(!lab.controller.log().contains(&secret));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_registry_of_the_config_map_is_reported_by_itself() {
    let lab = Lab::start().await;
    let info = "- instanceId: cri-demo0001\n- instanceId: ''\n  regionId: cn-shanghai\n- instanceId: cri-demo0003\n  customAccessKey: LTAIexample\n  customAccessKeySecret: very-secret-value\n";
    lab.put_config_map(json!({ "watch-namespace": "default", "acr-registry-info": info })).await;
    lab.until("each registry has its own reason", async || {
        let binding = lab.bindings().get_opt(NAME).await.unwrap();
        let status = binding.and_then(|binding| binding.status).unwrap_or_default();
        let reasons: Vec<&str> = status.registries.iter().map(|r| r.conditions[0].reason.as_str()).collect();
        reasons == ["Issued", "AccessDenied", "KeyInvalid"]
    })
    .await;
    lab.until_served("default", DOMAIN).await;
    let everything = lab.plane.kubectl_ok(&["get", "acb,events", "-A", "-o", "yaml"]).await.unwrap();
    assert!(!everything.contains("very-secret-value") && !lab.controller.log().contains("very-secret-value"));
}
