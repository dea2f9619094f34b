//! Personal Edition instances made after 2024-09-08: the cloud issues no token for them.

use acr_lab::docs::commands;
use serde_json::{Value, json};

use crate::documentation::shell;
use crate::harness::{Lab, SECRET, root, spec};
use crate::invalid::loosen;

const ID: &str = "crpi-k3v9w2m7q1x8abcd";
const HOST: &str = "crpi-k3v9w2m7q1x8abcd.cn-hangzhou.personal.cr.aliyuncs.com";
const CURE: &str = "kubectl create secret docker-registry";

fn manifest(name: &str, entry: &Value) -> String {
    json!({
        "apiVersion": "acrcredential.dev/v1alpha1",
        "kind": "AcrCredentialBinding",
        "metadata": { "name": name },
        "spec": { "registries": [entry], "watchNamespaces": { "names": ["shop"] } },
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_refuses_it_in_words() {
    let lab = Lab::start().await;
    for (name, entry) in [
        ("personal-new", json!({ "instanceId": ID, "regionId": "cn-hangzhou" })),
        ("personal-new-two", json!({ "regionId": "cn-hangzhou", "domains": [HOST] })),
        ("enterprise", json!({ "instanceId": "cri-demo0001", "domains": [format!("{HOST}:443/team")] })),
        ("glob", json!({ "domains": ["*.cn-hangzhou.personal.cr.aliyuncs.com"] })),
        ("upper", json!({ "domains": [HOST.to_uppercase()] })),
    ] {
        let file = lab.plane.dir().join("personal.json");
        std::fs::write(&file, manifest(name, &entry)).unwrap();
        let done =
            lab.plane.kubectl(&["apply", "--dry-run=server", "-f", file.to_str().unwrap()]).await.unwrap();
        for words in ["2024-09-08", CURE, "Enterprise Edition"] {
            assert!(done.stderr.contains(words), "{name}: {done:?}");
        }
        assert!(!done.stderr.contains("should match"), "{name}: {done:?}");
    }
}

/// A binding that an older schema has accepted reports it, and its other registries go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_stored_one_reports_it_and_costs_no_other_registry() {
    let lab = Lab::start().await;
    lab.create_namespace("shop").await;
    loosen(&lab).await;
    let registries = json!([
        { "instanceId": "cri-demo0001", "domains": ["good.example.com"] },
        { "instanceId": ID, "regionId": "cn-hangzhou", "domains": ["named.example.com"] },
        { "regionId": "cn-hangzhou", "domains": [HOST] },
        { "instanceId": "cri-demo0001", "domains": ["mixed.example.com", format!("{HOST}/team"), "*.*.*.cr.aliyuncs.com"] },
        { "regionId": "cn-hangzhou", "domains": ["registry.cn-hangzhou.aliyuncs.com"] },
        { "instanceId": ID },
    ]);
    let mut stored = spec(&["shop"]);
    stored["registries"] = registries;
    lab.until("the loose schema is in force", async || lab.try_bind("shop", stored.clone()).await.is_ok())
        .await;
    // Each of its updates is judged by the present schema.
    let crd = root().join("crds/acrcredentialbindings.yaml");
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", crd.to_str().unwrap()];
    lab.plane.kubectl_ok(&apply).await.unwrap();
    let check = async || {
        let words = "issued for 2 of 6 registries";
        let message = lab.until_ready_says("shop", "False", "UnsupportedEdition", words).await;
        assert!(message.contains("2024-09-08") && message.contains(CURE), "{message}");
        let (status, reason, _) = lab.condition("shop", "Stalled").await.unwrap();
        assert_eq!((status.as_str(), reason.as_str()), ("True", "UnsupportedEdition"));
        for domain in ["good.example.com", "mixed.example.com", "registry.cn-hangzhou.aliyuncs.com"] {
            lab.until_served("shop", domain).await;
        }
        let auths = lab.auths("shop").await.unwrap();
        assert_eq!(auths.len(), 3, "{:?}", auths.keys());
        let status = lab.bindings().get("shop").await.unwrap().status.unwrap();
        let issued: Vec<(&str, &str)> = status
            .registries
            .iter()
            .map(|r| (r.conditions[0].status.as_str(), r.conditions[0].reason.as_str()))
            .collect();
        let (good, bad) = (("True", "Issued"), ("False", "UnsupportedEdition"));
        assert_eq!(issued, [good, bad, bad, bad, good, bad]);
        assert_eq!(status.registries[1].registry, ID);
    };
    check().await;
    lab.controller.restart().unwrap();
    lab.controller.until_ready(std::time::Duration::from_secs(20)).await.unwrap();
    lab.until_settled().await;
    check().await;
    // The cure: the registries leave the binding.
    lab.bind("shop", spec(&["shop"])).await;
    lab.until_ready_is("shop", "True", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pull_secret_made_by_hand_stays_beside_ours() {
    let lab = Lab::start().await;
    lab.create_namespace("shop").await;
    lab.bind("shop", spec(&["shop"])).await;
    lab.until_ready_is("shop", "True", "Succeeded").await;
    lab.until_attached("shop", "default").await;
    for line in commands("docs/credentials.md", "Personal Edition instances made after 2024-09-08").unwrap() {
        let line = line.replace("$REGISTRY_USERNAME", "user").replace("$REGISTRY_PASSWORD", "password");
        shell(&lab.plane, &line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    lab.until_settled().await;
    let mut entries = lab.pull_secrets("shop", "default").await;
    entries.sort();
    assert_eq!(entries, [SECRET, "personal-registry"]);
    let hand_made =
        lab.namespaced::<k8s_openapi::api::core::v1::Secret>("shop").get("personal-registry").await.unwrap();
    let data = hand_made.data.unwrap();
    assert!(String::from_utf8(data[".dockerconfigjson"].0.clone()).unwrap().contains(HOST));
}
