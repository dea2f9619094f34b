//! From the managed add-on to a binding, by the steps that `kubectl acr convert` prints.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use acr_lab::docs::commands;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use crate::documentation::shell_in;
use crate::harness::{DOMAIN, Lab, SECRET};

const ADDON: &str = r#"{"AcrInstanceInfo":[{"instanceId":"cri-demo0001","regionId":"cn-hangzhou"}],"enableRRSA":false,"expiringThreshold":"15m","serviceAccount":"api","watchNamespace":"api"}"#;
const HEADING: &str = "Move from the managed edition";

/// Installs an `aliyun` that checks its arguments: the lab has no ACK.
fn aliyun(folder: &Path) {
    let script = "#!/bin/sh\n[ \"$1 $2 $4\" = 'cs POST --header' ] && [ \"$5\" = 'Content-Type=application/json' ] && [ \"$6\" = --body ] && echo \"$3 $7\" >> calls\n";
    let path = folder.join("aliyun");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Creates what the managed add-on leaves: its Secret and the entry.
async fn leave_behind(lab: &Lab) -> Secret {
    lab.create_namespace("api").await;
    lab.create_account("api", "api", &[SECRET]).await;
    let auths = json!({ "auths": { DOMAIN: { "auth": "bWFuYWdlZDptYW5hZ2VkLXRva2Vu" } } });
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": SECRET, "namespace": "api" },
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": { ".dockerconfigjson": auths.to_string() },
    });
    lab.plane.apply(&secret.to_string()).await.unwrap();
    lab.secret("api").await.unwrap()
}

/// Returns the commands of numbered steps, without their comments.
fn printed(steps: &str) -> Vec<String> {
    let numbered = steps.lines().filter_map(|line| line.split_once(". "));
    let numbered = numbered.filter(|(number, _)| number.parse::<u8>().is_ok());
    numbered.map(|(_, step)| step.split("    # ").next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_steps_end_with_a_binding_that_is_ready() {
    let lab = Lab::start().await;
    let theirs = leave_behind(&lab).await;
    let folder = tempfile::tempdir().unwrap();
    aliyun(folder.path());
    std::fs::write(folder.path().join("addon.json"), ADDON).unwrap();
    let run = |line: &str| {
        shell_in(&lab.plane, folder.path(), &[folder.path()], line)
            .unwrap_or_else(|error| panic!("{line}: {error}"))
    };
    let documented = commands("docs/migrate.md", HEADING).unwrap();
    assert_eq!(documented[0], "kubectl acr convert addon.json > binding.yaml");
    let steps = run(&format!("{} 2>&1 > /dev/null", documented[0].replace(" > binding.yaml", "")));
    let printed = printed(&steps);
    assert!(!steps.to_lowercase().contains("configmap"), "{steps}");
    run(&documented[0]);
    let filled = |step: &String| {
        step.replace("<printed manifests>", "binding.yaml").replace("<cluster ID>", "$CLUSTER_ID")
    };
    assert_eq!(
        printed.iter().map(filled).collect::<Vec<_>>(),
        documented[1..],
        "the page has the printed steps"
    );
    for step in &printed {
        run(&filled(step));
    }
    let uninstalled = std::fs::read_to_string(folder.path().join("calls")).unwrap();
    assert!(uninstalled.contains("/components/uninstall"), "{uninstalled}");
    let addons: Vec<serde_json::Value> =
        serde_json::from_str(uninstalled.split_once(' ').unwrap().1).unwrap();
    let names: Vec<&str> = addons.iter().map(|addon| addon["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["managed-aliyun-acr-credential-helper", "acr-credential-helper-webhook"]);

    // The last step has waited.
    let (status, reason, _) = lab.condition("acr-configuration", "Ready").await.unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Succeeded"));
    let ours = lab.secret("api").await.unwrap();
    assert_eq!(ours.metadata.uid, theirs.metadata.uid, "taken over in place");
    assert_ne!(lab.token("api", DOMAIN).await.as_deref(), Some("managed-token"));
    assert_eq!(lab.pull_secrets("api", "api").await, [SECRET]);
    lab.until_settled().await;
    assert!(lab.bindings().get_opt("acr-configuration").await.unwrap().is_some(), "no ConfigMap owns it");
}
