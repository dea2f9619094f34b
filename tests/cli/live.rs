//! The plugin and a real API server.

use acr_lab::docs::block;
use acr_lab::plane::{Options, Plane};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use crate::acr::{Done, acr, command, root, run, sample};
use crate::samples::{SAMPLES, cured};

pub async fn plane() -> &'static Plane {
    let plane = Plane::shared().await.unwrap();
    install(plane).await;
    plane
}

/// Serves the API.
pub async fn install(plane: &Plane) {
    for file in ["crds/acrcredentialbindings.yaml", "deploy/namespace.yaml"] {
        plane.apply_file(root().join(file)).await.unwrap();
    }
    let crd = "crd/acrcredentialbindings.acrcredential.dev";
    plane.kubectl_ok(&["wait", "--for=condition=Established", crd, "--timeout=20s"]).await.unwrap();
}

pub fn on(plane: &Plane, args: &[&str]) -> Done {
    let mut command = command(args);
    command.env("KUBECONFIG", plane.kubeconfig());
    run(command, "")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_object_is_checked_by_its_keys() {
    let plane = plane().await;
    let none = on(plane, &["lint", "--live"]);
    assert_eq!(none.code, Some(2));
    assert!(none.err.contains("the ConfigMap kube-system/acr-configuration does not exist"), "{}", none.err);

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
async fn the_api_server_accepts_all_output_for_the_samples() {
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
    assert!(done.out.contains("ACR404"), "{}", done.out);
}

/// Writes a text to a file in a folder.
fn written(plane: &Plane, name: &str, text: &str) -> String {
    let path = plane.dir().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Applies manifests by a dry run, and returns how many the API server accepts.
async fn taken(plane: &Plane, name: &str, manifests: &str) -> usize {
    let path = written(plane, name, manifests);
    let args = ["apply", "--server-side", "--dry-run=server", "-f", &path];
    plane.kubectl_ok(&args).await.unwrap().lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_accepts_the_config_maps_of_converted_bindings() {
    let plane = plane().await;
    for name in SAMPLES.into_iter().filter(|name| *name != "key-pair") {
        let binding = written(plane, &format!("{name}-back.yaml"), &acr(&["convert", "-"], &cured(name)).out);
        let back = acr(&["convert", "--reverse", &binding], "");
        assert_eq!(back.code, Some(0), "{name}: {}", back.err);
        assert_eq!(taken(plane, "back.yaml", &back.out).await, 1, "{name}: {}", back.out);
    }
}

/// For any combination of keys.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_accepts_the_conversion_of_any_configuration() {
    let plane = plane().await;
    let infos = [
        "[]",
        "[{instanceId: cri-a1b2c3, regionId: cn-beijing}]",
        "[{instanceId: 'cri-a1b2c3,cri-d4e5f6', domains: 'a.example.com,b.example.com:65001'}]",
        "[{instanceId: '', regionId: cn-hangzhou}, {instanceId: '', regionId: cn-beijing}]",
        "[{instanceId: cri-a1b2c3, assumeRoleARN: 'acs:ram::2:role/b', expireDuration: 7200}]",
        "[{instanceId: cri-a1b2c3, rrsaRoleARN: 'acs:ram::1:role/a', rrsaOIDCProviderRoleARN: 'acs:ram::1:oidc-provider/p', assumeRoleARN: 'acs:ram::2:role/b'}]",
        "[{instanceId: cri-a1b2c3, customAccessKey: LTAIaaaaaaaa, customAccessKeySecret: bbbbbbbb}]",
    ];
    let namespaces = ["", "all", "a, b ,team-*", "default"];
    let accounts = ["", "*", "default,builder"];
    let webhooks = ["", "enable: true\nfailure-policy: Fail\ntimeout-seconds: 5\n", "enable: false\n"];
    let (mut all, mut count) = (String::new(), 0);
    for (number, info) in infos.iter().enumerate() {
        for namespaces in namespaces {
            for accounts in accounts {
                // Pairs of combinations would only repeat this.
                let webhook = webhooks[count % webhooks.len()];
                let data = json!({
                    "acr-registry-info": info,
                    "watch-namespace": namespaces,
                    "service-account": accounts,
                    "expiring-threshold": if count % 2 == 0 { "15m" } else { "1h30m" },
                    "webhook-configuration": webhook,
                    "notify-email": if number % 2 == 0 { "" } else { "cs@example.com" },
                });
                let converted = acr(&["convert", "-"], &json!({ "data": data }).to_string());
                assert_eq!(converted.code, Some(0), "{data}: {}", converted.err);
                all.push_str(&format!("---\n{}", converted.out));
                count += 1;
            }
        }
    }
    let documents = all.matches("\nkind:").count();
    assert!(documents > count && count == 84, "{documents} documents of {count}");
    assert_eq!(taken(plane, "any.yaml", &all).await, documents);
}

/// The diff of a namespace with a Secret by hand, and of one with none.
const PLANNED: &str = r#"--- live/v1.Secret.default.acr-credential-secret-aggregation
+++ planned/v1.Secret.default.acr-credential-secret-aggregation
@@ -1,8 +1,14 @@
 apiVersion: v1
 data:
-  .dockerconfigjson: "***"
+  .dockerconfigjson:
+    auths:
+      (the domains of cri-demo0001 in cn-hangzhou): "*** of cri-demo0001 in cn-hangzhou"
 kind: Secret
 metadata:
+  annotations:
+    acrcredential.dev/namespace: default
+  labels:
+    app.kubernetes.io/managed-by: acr-credential-controller
   name: acr-credential-secret-aggregation
   namespace: default
 type: kubernetes.io/dockerconfigjson
--- live/v1.ServiceAccount.default.default
+++ planned/v1.ServiceAccount.default.default
@@ -1,4 +1,6 @@
 apiVersion: v1
+imagePullSecrets:
+- name: acr-credential-secret-aggregation
 kind: ServiceAccount
 metadata:
   name: default
--- live/v1.Secret.kube-public.acr-credential-secret-aggregation
+++ planned/v1.Secret.kube-public.acr-credential-secret-aggregation
@@ -0,0 +1,14 @@
+apiVersion: v1
+data:
+  .dockerconfigjson:
+    auths:
+      (the domains of cri-demo0001 in cn-hangzhou): "*** of cri-demo0001 in cn-hangzhou"
+kind: Secret
+metadata:
+  annotations:
+    acrcredential.dev/namespace: kube-public
+  labels:
+    app.kubernetes.io/managed-by: acr-credential-controller
+  name: acr-credential-secret-aggregation
+  namespace: kube-public
+type: kubernetes.io/dockerconfigjson
--- live/v1.ServiceAccount.kube-public.default
+++ planned/v1.ServiceAccount.kube-public.default
@@ -1,4 +1,6 @@
 apiVersion: v1
+imagePullSecrets:
+- name: acr-credential-secret-aggregation
 kind: ServiceAccount
 metadata:
   name: default
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_lists_its_changes_and_writes_nothing() {
    let plane = Plane::start(Options::default()).await.unwrap();
    let client = plane.client();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "default");
    let others =
        ["acr-credential-secret-aggregation-p2p", "aliyun-acr-credential-a-p2p", "aliyun-acr-credential"];
    let leftovers = ["aliyun-acr-credential-a", "aliyun-acr-credential-b"];
    for name in [&["acr-credential-secret-aggregation"][..], &leftovers, &others].concat() {
        let object = json!({
            "metadata": { "name": name },
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": { ".dockerconfigjson": "{\"auths\":{}}" },
        });
        secrets.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    }
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "default");
    for (name, secret) in [("old", leftovers[0]), ("by-hand", "acr-credential-secret-aggregation")] {
        let labels = json!({ "app": name });
        let pods = json!({ "imagePullSecrets": [{ "name": secret }], "containers": [{ "name": "c", "image": "i" }] });
        let template = json!({ "metadata": { "labels": labels }, "spec": pods });
        let spec = json!({ "selector": { "matchLabels": labels }, "template": template });
        let object = serde_json::from_value(json!({ "metadata": { "name": name }, "spec": spec })).unwrap();
        deployments.create(&PostParams::default(), &object).await.unwrap();
    }
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: acr-configuration\n  namespace: kube-system\n\
               data:\n  watch-namespace: \"default,kube-public\"\n  acr-registry-info: |\n    - instanceId: cri-demo0001\n";
    let path = written(&plane, "plan.yaml", map);
    let addon = json!({
        "AcrInstanceInfo": [{ "instanceId": "cri-demo0001" }],
        "watchNamespace": "default,kube-public",
    });
    let addon = addon.to_string();
    let mark = plane.audit().mark().unwrap();
    let planned = on(&plane, &["plan", &path]);
    assert_eq!(planned.code, Some(0), "{}", planned.err);
    for line in [
        "default: would change the Secret in place and add our entry to imagePullSecrets of default",
        "kube-public: would create the Secret and add our entry to imagePullSecrets of default",
        "2 namespaces would change, 0 up to date, 0 not served; nothing was written",
        "  default: aliyun-acr-credential-a is referenced by Deployment old",
        "Secrets of the documented component that are no longer updated (--remove-leftovers deletes them): \
         default/aliyun-acr-credential-a, default/aliyun-acr-credential-b",
    ] {
        assert!(planned.out.lines().any(|printed| printed == line), "{line} in {}", planned.out);
    }
    assert!(!planned.out.contains("by-hand"), "what stays may be named: {}", planned.out);
    // The managed add-on's equivalent configuration results in the same plan, also inside Terraform.
    let terraform = format!(
        "resource \"alicloud_cs_kubernetes_addon\" \"acr\" {{\n  name   = \"managed-aliyun-acr-credential-helper\"\n  config = {addon:?}\n}}\n"
    );
    for (name, text) in
        [("addon.json", addon.clone()), ("addon.txt", format!("{addon:?}")), ("addon.tf", terraform)]
    {
        let same = on(&plane, &["plan", &written(&plane, name, &text)]);
        assert_eq!((same.code, same.out), (Some(0), planned.out.clone()), "{name}: {}", same.err);
    }
    let diff = on(&plane, &["plan", "--output", "diff", &path]);
    assert_eq!((diff.code, diff.out.as_str()), (Some(1), PLANNED), "{}", diff.err);
    for page in ["docs/kubectl-acr.md", "docs/zh-CN/kubectl-acr.md"] {
        let heading = if page.contains("zh-CN") { "预览" } else { "Plan" };
        assert!(diff.out.contains(&block(page, heading, "diff").unwrap()), "{page}");
    }
    // The same remarks, apart from the diff: a patch can be read from standard output.
    for line in planned.out.lines().filter(|line| !line.contains(": would ")) {
        assert!(diff.err.lines().any(|printed| printed == line), "{line} in {}", diff.err);
    }
    let broken = written(&plane, "broken.yaml", "data:\n  acr-registry-info: [");
    for args in [&["plan", "-o", "diff", &broken][..], &["plan", "-o", "html", &path]] {
        let failed = on(&plane, args);
        assert_eq!((failed.code, failed.out.as_str()), (Some(2), ""), "{args:?}: {}", failed.err);
    }
    let unreachable = acr(&["plan", "-o", "diff", &path], "");
    assert_eq!((unreachable.code, unreachable.out.as_str()), (Some(2), ""), "{}", unreachable.err);
    let writes = plane
        .audit()
        .since(mark)
        .unwrap()
        .writes()
        .filter(|e| e.resource == "secrets" || e.resource == "serviceaccounts");
    let ours = writes.filter(|e| e.namespace == "default" || e.namespace == "kube-public");
    assert_eq!(ours.len(), 0);

    let both = on(&plane, &["plan", "-o", "diff", "--remove-leftovers", &path]);
    assert_eq!((both.code, both.out.as_str()), (Some(2), ""), "{}", both.err);
    assert!(both.err.contains("pass --remove-leftovers in a call of its own"), "{}", both.err);
    assert!(secrets.get_opt(leftovers[0]).await.unwrap().is_some());
    let removed = on(&plane, &["plan", "--remove-leftovers", &path]);
    assert_eq!(removed.code, Some(0), "{}", removed.err);
    assert!(
        removed.out.contains("aliyun-acr-credential-a is referenced by Deployment old"),
        "{}",
        removed.out
    );
    for name in leftovers {
        assert!(removed.err.contains(&format!("deleted default/{name}\n")), "{}", removed.err);
        assert!(secrets.get_opt(name).await.unwrap().is_none(), "{name}");
    }
    for name in ["acr-credential-secret-aggregation"].iter().chain(&others) {
        assert!(secrets.get_opt(name).await.unwrap().is_some(), "{name} is not theirs");
    }
}
