//! Against a real API server.

use acr_lab::plane::{Options, Plane};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use crate::acr::{Done, command, root, run, sample};
use crate::samples::{SAMPLES, cured};

async fn plane() -> &'static Plane {
    let plane = Plane::shared().await.unwrap();
    for file in ["crds/acrcredentialbindings.yaml", "deploy/namespace.yaml"] {
        plane.apply_file(root().join(file)).await.unwrap();
    }
    let crd = "crd/acrcredentialbindings.acrcredential.dev";
    plane.kubectl_ok(&["wait", "--for=condition=Established", crd, "--timeout=20s"]).await.unwrap();
    plane
}

fn on(plane: &Plane, args: &[&str]) -> Done {
    let mut command = command(args);
    command.env("KUBECONFIG", plane.kubeconfig());
    run(command, "")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_object_is_looked_at_by_its_keys() {
    let plane = plane().await;
    let none = on(plane, &["lint", "--live"]);
    assert_eq!(none.code, Some(2));
    assert!(none.err.contains("there is no ConfigMap kube-system/acr-configuration"), "{}", none.err);

    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "acr-configuration", "namespace": "kube-system"},
        "data": {"watch-namespace": "all", "acr-registry-info": "- instanceId: cri-a1b2c3\n  regionId: CN-HANGZHOU\n"},
    });
    let file = plane.dir().join("acr-configuration.json");
    std::fs::write(&file, object.to_string()).unwrap();
    plane.apply_file(&file).await.unwrap();
    let linted = on(plane, &["lint", "--live", "--strict"]);
    assert_eq!(linted.code, Some(1), "{}", linted.err);
    assert!(linted.out.contains("data.acr-registry-info:2:13"), "{}", linted.out);
    let converted = on(plane, &["convert", "--live"]);
    assert_eq!(converted.code, Some(0), "{}", converted.err);
    assert!(
        converted.out.contains("instanceId: cri-a1b2c3") && converted.out.contains("regionId: cn-hangzhou")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_takes_all_that_is_printed_for_the_samples() {
    let plane = plane().await;
    for name in SAMPLES {
        for (kind, text) in [("cured", cured(name)), ("printed", sample(name))] {
            let path = plane.dir().join(format!("{name}-{kind}.yaml"));
            std::fs::write(&path, text).unwrap();
            let converted = on(plane, &["convert", path.to_str().unwrap()]);
            if kind == "printed" && converted.out.is_empty() {
                continue;
            }
            std::fs::write(&path, &converted.out).unwrap();
            let path = path.to_str().unwrap();
            let taken =
                plane.kubectl_ok(&["apply", "--server-side", "--dry-run=server", "-f", path]).await.unwrap();
            assert!(taken.contains("acr-configuration"), "{name}: {taken}");
            assert_eq!(taken.lines().count(), converted.out.matches("\nkind:").count(), "{name}: {taken}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_finds_it_as_its_plugin() {
    let plane = plane().await;
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_kubectl-acr")).parent().unwrap();
    let mut command = std::process::Command::new(plane.kubectl_path());
    command.args(["acr", "lint", "personal.yaml"]).env("PATH", folder);
    command.current_dir(root().join("tests/cli/samples"));
    let done = run(command, "");
    assert_eq!(done.code, Some(2), "{}", done.err);
    assert!(done.out.contains("ACR703"), "{}", done.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_tells_what_would_be_written_and_writes_nothing() {
    let plane = Plane::start(Options::default()).await.unwrap();
    let client = plane.client();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "default");
    for (name, type_) in [
        ("acr-credential-secret-aggregation", "kubernetes.io/dockerconfigjson"),
        ("aliyun-acr-credential-a", "Opaque"),
    ] {
        let object = json!({
            "metadata": { "name": name },
            "type": type_,
            "stringData": { ".dockerconfigjson": "{\"auths\":{}}" },
        });
        secrets.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let pod = json!({
        "metadata": { "name": "by-hand" },
        "spec": {
            "serviceAccountName": "default",
            "imagePullSecrets": [{ "name": "acr-credential-secret-aggregation" }],
            "containers": [{ "name": "c", "image": "i" }],
        },
    });
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "default");
    let labels = json!({ "app": "by-hand" });
    let deployment = json!({
        "metadata": { "name": "by-hand" },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "imagePullSecrets": [{ "name": "acr-credential-secret-aggregation" }],
                    "containers": [{ "name": "c", "image": "i" }],
                },
            },
        },
    });
    deployments.create(&PostParams::default(), &serde_json::from_value(deployment).unwrap()).await.unwrap();
    let path = plane.dir().join("plan.yaml");
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: acr-configuration\n  namespace: kube-system\n\
               data:\n  watch-namespace: \"default,kube-public\"\n  acr-registry-info: |\n    - instanceId: cri-demo0001\n";
    std::fs::write(&path, map).unwrap();
    let mark = plane.audit().mark().unwrap();
    let planned = on(&plane, &["plan", path.to_str().unwrap()]);
    assert_eq!(planned.code, Some(0), "{}", planned.err);
    for line in [
        "default: would change the Secret in place and set imagePullSecrets of default",
        "kube-public: would create the Secret and set imagePullSecrets of default",
        "2 namespaces would be written to, 0 stand already, 0 would not be served; nothing was written",
        "need it for as long as their Pods may be started again: Pod default/by-hand, Deployment default/by-hand",
        "(--remove-leavings deletes them): default/aliyun-acr-credential-a",
    ] {
        assert!(planned.out.contains(line), "{line} in {}", planned.out);
    }
    let writes = plane
        .audit()
        .since(mark)
        .unwrap()
        .writes()
        .filter(|e| e.resource == "secrets" || e.resource == "serviceaccounts");
    let ours = writes.filter(|e| e.namespace == "default" || e.namespace == "kube-public");
    assert_eq!(ours.len(), 0);

    let removed = on(&plane, &["plan", "--remove-leavings", path.to_str().unwrap()]);
    assert_eq!(removed.code, Some(0), "{}", removed.err);
    assert!(secrets.get_opt("aliyun-acr-credential-a").await.unwrap().is_none());
    assert!(secrets.get_opt("acr-credential-secret-aggregation").await.unwrap().is_some());
}
