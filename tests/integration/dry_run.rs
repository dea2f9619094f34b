//! A controller that writes nothing to tenants, and reports its planned changes.

use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use serde_json::json;

use crate::harness::{Lab, SECRET, spec};

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_writes_nothing_to_any_namespace_and_reports_its_planned_changes() {
    let lab = Lab::start_with(|options| options.arg("--dry-run")).await;
    for namespace in ["dry", "taken"] {
        lab.create_namespace(namespace).await;
    }
    lab.create_account("dry", "builder", &["mine"]).await;
    let theirs = json!({
        "metadata": { "name": SECRET },
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": { ".dockerconfigjson": "{\"auths\":{}}" },
    });
    let secrets = lab.namespaced::<Secret>("taken");
    let theirs =
        secrets.create(&PostParams::default(), &serde_json::from_value(theirs).unwrap()).await.unwrap();
    let mut all = spec(&["dry", "taken"]);
    all["serviceAccounts"] = json!({ "names": ["*"] });
    lab.bind("dry", all).await;
    lab.annotate("dry", "acrcredential.dev/adopt", "true").await;
    lab.until_ready_says("dry", "False", "DryRun", "2 of 2 namespaces are not ready").await;
    let status = lab.bindings().get("dry").await.unwrap().status.unwrap();
    let said = |namespace: &str| {
        let pair = status.pairs.iter().find(|pair| pair.namespace == namespace).unwrap();
        pair.conditions[0].message.clone()
    };
    assert_eq!(
        said("dry"),
        "would create the Secret and add our entry to imagePullSecrets of builder, default"
    );
    assert!(said("taken").starts_with("would change the Secret in place"), "{}", said("taken"));
    assert_eq!(lab.pull_secrets("dry", "builder").await, ["mine"]);
    let still = secrets.get(SECRET).await.unwrap();
    assert_eq!(still.metadata.resource_version, theirs.metadata.resource_version);
    lab.until_settled().await;
    let writes =
        lab.requests(Default::default()).writes().filter(|e| e.namespace == "dry" || e.namespace == "taken");
    assert_eq!(writes.counts(), Default::default());

    // It comes and goes without a trace.
    lab.bindings().delete("dry", &Default::default()).await.unwrap();
    lab.until("the binding goes", async || lab.bindings().get_opt("dry").await.unwrap().is_none()).await;
}
