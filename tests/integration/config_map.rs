//! The legacy ConfigMap.

use std::sync::Arc;
use std::time::{Duration, Instant};

use acr_lab::cloud::world::{Domain, DomainKind};
use acr_lab::plane::Mark;
use acr_lab::registry::{Access, Registry, usable};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::harness::{DOMAIN, Lab, NAMESPACE, SECRET, root};
use crate::migration::Pulling;

const NAME: &str = "acr-configuration";
const IMAGE: &str = "team/app";

/// Returns kind, reason and message of each Event, a line each.
async fn events(lab: &Lab) -> String {
    let line =
        "jsonpath={range .items[*]}{.involvedObject.kind}{\" \"}{.reason}{\" \"}{.message}{\"\\n\"}{end}";
    lab.plane.kubectl_ok(&["get", "events", "-A", "-o", line]).await.unwrap()
}

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

    let looks = |mark| {
        let asked = lab.requests(mark).of("secrets").filter(|e| e.verb == "get");
        asked.filter(|e| e.name.starts_with("acr-configuration-")).len()
    };
    lab.until("leftover key pairs were listed once", async || looks(Mark::default()) >= 8).await;
    let mark = lab.mark();
    lab.put_config_map(json!({ "watch-namespace": "default, apps", "acr-registry-info": "- instanceId: cri-demo0001\n- instanceId: cri-demo0002\n  regionId: cn-beijing\n" })).await;
    lab.until("the binding follows an edit", async || {
        let spec = lab.bindings().get(NAME).await.unwrap().spec;
        spec.watch_namespaces.names == ["default", "apps"] && spec.registries.len() == 2
    })
    .await;
    lab.until("an edit reaches the new namespace", async || {
        lab.auths("apps").await.is_some_and(|a| a.len() >= 5)
    })
    .await;

    assert_eq!(looks(mark), 0, "an edit without key pairs reads no key pairs");

    let hand_edit = json!({ "spec": { "watchNamespaces": { "names": ["kube-public"] } } });
    lab.bindings().patch(NAME, &PatchParams::default(), &Patch::Merge(&hand_edit)).await.unwrap();
    lab.until("a hand edit is reverted", async || {
        lab.bindings().get(NAME).await.unwrap().spec.watch_namespaces.names == ["default", "apps"]
    })
    .await;
    lab.until("an Event names the ConfigMap", async || {
        let matches = |l: &str| {
            l.starts_with("AcrCredentialBinding HandEditReverted")
                && l.contains("kube-system/acr-configuration")
        };
        events(&lab).await.lines().any(matches)
    })
    .await;

    lab.put_config_map(json!({ "acr-registry-info": "- instanceId: [\n" })).await;
    lab.until("the mistake is reported", async || {
        lab.condition(NAME, "LegacyConfigValid").await.is_some_and(|(s, r, m)| {
            s == "False" && r == "LegacyConfigInvalid" && m.contains("acr-registry-info")
        })
    })
    .await;
    lab.until("an Event on the ConfigMap reports it too", async || {
        let matches =
            |l: &str| l.starts_with("ConfigMap LegacyConfigInvalid") && l.contains("acr-registry-info");
        events(&lab).await.lines().any(matches)
    })
    .await;
    lab.until("the metric says so", async || {
        lab.controller.metrics().await.unwrap().contains("acr_legacy_config_valid 0")
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
async fn graduation_makes_the_binding_its_users_own_without_a_write_to_any_namespace() {
    let lab = Lab::start_with(|options| options.arg("--config-map-grace=1s")).await;
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
    // Its grace period has ended long ago.
    let graduated = lab.bindings().get(NAME).await.unwrap();
    assert_eq!(graduated.metadata.annotations.unwrap()["acrcredential.dev/adopt"], "true");
    let status = graduated.status.unwrap();
    assert!(status.conditions.iter().all(|c| c.type_ != "LegacyConfigValid"), "{:?}", status.conditions);
    let writes = lab.requests(mark).writes().filter(|e| !e.namespace.is_empty());
    assert_eq!(writes.counts(), Default::default());
    assert!(lab.mark() > Mark::default());
}

/// Tracking marks of a GitOps tool on the ConfigMap would make it prune the binding, which is not in Git.
#[tokio::test(flavor = "multi_thread")]
async fn tracking_marks_are_neither_copied_to_the_binding_nor_removed_from_it() {
    let lab = Lab::start().await;
    let object = |namespaces: &str| {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": NAME,
                "namespace": "kube-system",
                "labels": {
                    "app.kubernetes.io/instance": "argo",
                    "kustomize.toolkit.fluxcd.io/name": "apps",
                    "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
                },
                "annotations": { "argocd.argoproj.io/tracking-id": "argo:/ConfigMap:kube-system/acr-configuration" },
            },
            "data": { "watch-namespace": namespaces, "acr-registry-info": "- instanceId: cri-demo0001\n" },
        })
    };
    lab.plane.apply(&object("default").to_string()).await.unwrap();
    lab.until_ready_is(NAME, "True", "Succeeded").await;
    let marks = async || {
        let metadata = lab.bindings().get(NAME).await.unwrap().metadata;
        assert!(metadata.owner_references.is_none());
        let keys =
            |map: Option<std::collections::BTreeMap<String, String>>| map.unwrap_or_default().into_keys();
        (keys(metadata.labels).collect::<Vec<_>>(), keys(metadata.annotations).collect::<Vec<_>>())
    };
    let (labels, annotations) = marks().await;
    assert_eq!(labels, ["acrcredential.dev/converted", "app.kubernetes.io/managed-by"]);
    assert_eq!(annotations, ["acrcredential.dev/converted-from"]);

    // A user's own tracking marks on the binding stay, regardless of later changes of the ConfigMap.
    let tracked = json!({ "metadata": {
        "labels": { "team": "a" },
        "annotations": { "argocd.argoproj.io/sync-options": "Prune=false" },
    } });
    lab.bindings().patch(NAME, &PatchParams::default(), &Patch::Merge(&tracked)).await.unwrap();
    lab.plane.apply(&object("default,kube-public").to_string()).await.unwrap();
    lab.until_served("kube-public", DOMAIN).await;
    let graduating =
        ["annotate", "configmap", NAME, "-n", "kube-system", "acrcredential.dev/authoritative=false"];
    lab.plane.kubectl_ok(&graduating).await.unwrap();
    lab.until("only the marks of conversion go", async || {
        marks().await
            == (
                vec!["team".to_owned()],
                vec!["acrcredential.dev/adopt".to_owned(), "argocd.argoproj.io/sync-options".to_owned()],
            )
    })
    .await;
}

/// The author of a binding of that name keeps it.
#[tokio::test(flavor = "multi_thread")]
async fn another_writers_binding_of_the_same_name_is_not_overwritten() {
    let lab = Lab::start().await;
    let theirs = json!({ "registries": [{ "instanceId": "cri-demo0002", "regionId": "cn-beijing" }] });
    let theirs = lab.bind(NAME, theirs).await;
    lab.put_config_map(json!({ "acr-registry-info": "- instanceId: cri-demo0001\n" })).await;
    lab.until("an Event on the ConfigMap says which binding is in the way", async || {
        let matches = |l: &str| {
            l.starts_with("ConfigMap BindingNotConverted") && l.contains("acrcredential.dev/authoritative")
        };
        events(&lab).await.lines().any(matches)
    })
    .await;
    lab.until_settled().await;
    assert_eq!(lab.bindings().get(NAME).await.unwrap().spec, theirs.spec);
}

/// Coverage follows the ConfigMap, and namespaces that stay covered are not touched meanwhile: a real client
/// pulls an image from a real registry there all the time.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_removed_from_the_config_map_is_released_and_a_new_one_is_served() {
    if !usable().unwrap() {
        return;
    }
    let lab = Lab::start().await;
    let registry = Registry::start(&lab.cloud, Access::enterprise("cri-demo0001")).await.unwrap();
    registry.push(IMAGE).await.unwrap();
    let registry = Arc::new(registry);
    let domain = Domain { domain: registry.domain(), kind: DomainKind::User };
    lab.cloud.world(|world| {
        world.instances.get_mut("cri-demo0001").unwrap().endpoints[0].domains.push(domain);
    });
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
    let pulling = Pulling::start(&registry, lab.namespaced("apps"), IMAGE);
    registry.pull(&lab.docker_config("web").await, IMAGE).await.unwrap();

    put("apps", "default").await;
    lab.until("the namespace is released", async || {
        lab.secret("web").await.is_none() && lab.pull_secrets("web", "default").await.is_empty()
    })
    .await;
    lab.until_attached("apps", "default").await;
    put("apps,late", "default,builder").await;
    lab.until_served("late", DOMAIN).await;
    for namespace in ["apps", "late"] {
        lab.until_attached(namespace, "builder").await;
    }
    registry.pull(&lab.docker_config("late").await, IMAGE).await.unwrap();
    put("apps,late", "builder").await;
    lab.until("the ServiceAccount is released", async || {
        lab.pull_secrets("apps", "default").await.is_empty()
    })
    .await;
    lab.until_attached("apps", "builder").await;
    put("all", "*").await;
    lab.until_served("web", DOMAIN).await;
    for account in ["builder", "default"] {
        lab.until_attached("web", account).await;
        lab.until_attached("apps", account).await;
    }
    registry.pull(&lab.docker_config("web").await, IMAGE).await.unwrap();
    lab.until_settled().await;
    assert_eq!(lab.secret("apps").await.unwrap().metadata.resource_version, kept);
    pulling.never_failed().await;
}

/// A GitOps tool may replace the ConfigMap by deleting and recreating it.
#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_that_comes_back_in_time_changes_nothing() {
    const GRACE: Duration = Duration::from_secs(12);
    let grace = format!("--config-map-grace={}s", GRACE.as_secs());
    let lab = Lab::start_with(|options| options.arg(grace)).await;
    let data = json!({ "acr-registry-info": "- instanceId: cri-demo0001\n" });
    lab.put_config_map(data.clone()).await;
    lab.until_ready_is(NAME, "True", "Succeeded").await;
    let uid = lab.bindings().get(NAME).await.unwrap().metadata.uid;
    let mark = lab.mark();
    // Each absence counts by itself.
    for _ in 0..2 {
        let since = Instant::now();
        lab.namespaced::<ConfigMap>("kube-system").delete(NAME, &DeleteParams::default()).await.unwrap();
        lab.until("the condition states the grace", async || {
            lab.condition(NAME, "LegacyConfigValid").await.is_some_and(|(status, reason, message)| {
                status == "False" && reason == "LegacyConfigMissing" && message.contains("within 12 s")
            })
        })
        .await;
        lab.until("the metric says so", async || {
            lab.controller.metrics().await.unwrap().contains("acr_legacy_config_valid 0")
        })
        .await;
        lab.put_config_map(data.clone()).await;
        lab.until("the condition is True again", async || {
            lab.condition(NAME, "LegacyConfigValid").await.is_some_and(|(status, ..)| status == "True")
                && lab.controller.metrics().await.unwrap().contains("acr_legacy_config_valid 1")
        })
        .await;
        lab.until("the grace would be over", async || since.elapsed() > GRACE).await;
    }
    assert_eq!(lab.bindings().get(NAME).await.unwrap().metadata.uid, uid);
    let writes = lab.requests(mark).writes().filter(|e| e.namespace == "default");
    assert_eq!(writes.counts(), Default::default());
    // If the ConfigMap stays deleted, its binding goes when the grace period ends, even if no other event
    // happens.
    let since = Instant::now();
    lab.namespaced::<ConfigMap>("kube-system").delete(NAME, &DeleteParams::default()).await.unwrap();
    lab.until("the binding goes", async || lab.bindings().get_opt(NAME).await.unwrap().is_none()).await;
    assert!(since.elapsed() >= GRACE, "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn key_pairs_are_moved_to_secrets_rotated_with_the_config_map_and_gone_with_it() {
    const PARTNER: &str = "partner-registry.cn-hangzhou.cr.aliyuncs.com";
    let lab = Lab::start_with(|options| options.arg("--config-map-grace=1s")).await;
    let put = async |threshold: &str, entries: usize| {
        let (id, secret) = lab.key_of("2", "partner-puller");
        let pair = format!("  customAccessKey: {id}\n  customAccessKeySecret: {secret}\n");
        let entry = |domains: &str| format!("- instanceId: cri-demo0003\n{domains}{pair}");
        let info: String =
            [entry(""), entry("  domains: second.example.com\n")].into_iter().take(entries).collect();
        lab.put_config_map(json!({ "acr-registry-info": info, "expiring-threshold": threshold })).await;
    };
    put("15m", 1).await;
    lab.until_ready_is(NAME, "True", "Succeeded").await;
    let first = lab.token("default", PARTNER).await.unwrap();
    let secrets = lab.namespaced::<Secret>(NAMESPACE);
    assert!(secrets.get_opt("acr-configuration-0").await.unwrap().is_some());
    // A Secret of such a name that belongs to another writer stays theirs.
    lab.put_secret(NAMESPACE, "acr-configuration-7", json!({ "accessKeyId": "theirs" })).await;

    // An edit that does not change the pair does not write its Secret.
    lab.until_settled().await;
    let mark = lab.mark();
    put("20m", 1).await;
    lab.until("the edit is observed", async || {
        lab.bindings().get(NAME).await.unwrap().spec.expiring_threshold == "20m"
    })
    .await;
    lab.until_settled().await;
    let writes = lab.requests(mark).writes().filter(|e| e.name.starts_with("acr-configuration-"));
    assert_eq!(writes.counts(), Default::default());

    // One pair more, and one less: its Secret comes and goes.
    let second = async || secrets.get_opt("acr-configuration-1").await.unwrap().is_some();
    put("15m", 2).await;
    lab.until("the second pair exists", second).await;
    put("15m", 1).await;
    lab.until("it is gone with its entry", async || !second().await).await;

    lab.give_second_key("2", "partner-puller");
    put("15m", 1).await;
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

    // A controller that was stopped before its sweep sweeps at its next start.
    let left = json!({
        "metadata": { "name": "acr-configuration-3", "labels": { "app.kubernetes.io/managed-by": "acr-credential-controller" } },
        "stringData": { "accessKeyId": "left" },
    });
    secrets.create(&PostParams::default(), &serde_json::from_value(left).unwrap()).await.unwrap();
    lab.controller.restart().unwrap();
    lab.until("what was left is swept", async || {
        secrets.get_opt("acr-configuration-3").await.unwrap().is_none()
    })
    .await;
    assert!(secrets.get_opt("acr-configuration-7").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_registry_of_the_config_map_has_its_own_status() {
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

/// Without a message the status would keep showing the last report.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_config_map_is_reported_and_its_binding_is_kept() {
    let lab = Lab::start().await;
    lab.put_config_map(
        json!({ "watch-namespace": "default", "acr-registry-info": "- instanceId: cri-demo0001\n" }),
    )
    .await;
    lab.until_ready_is(NAME, "True", "Succeeded").await;
    lab.until_settled().await;
    lab.controller.kill();
    let rights = ["delete", "rolebinding", "-n", "kube-system", "acr-credential-controller"];
    lab.plane.kubectl_ok(&rights).await.unwrap();
    let mark = lab.mark();
    lab.controller.restart().unwrap();
    lab.until("the missing right is reported", async || {
        let condition = lab.condition(NAME, "LegacyConfigValid").await;
        condition.is_some_and(|(status, reason, message)| {
            status == "False"
                && reason == "Forbidden"
                && message.contains("configmaps \"acr-configuration\"")
                && message.ends_with("; apply the RBAC of this version")
        })
    })
    .await;
    assert_eq!(lab.condition(NAME, "Ready").await.unwrap().0, "True");
    let writes = lab.requests(mark).writes().filter(|e| e.namespace == "default");
    assert_eq!(writes.counts(), Default::default());
    lab.plane.apply_file(root().join("deploy/rbac.yaml")).await.unwrap();
    lab.until("the condition is True again", async || {
        lab.condition(NAME, "LegacyConfigValid").await.is_some_and(|(status, ..)| status == "True")
    })
    .await;
}
