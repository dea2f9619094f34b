//! The stored form of a short binding, and its columns in kubectl.

use acr_credential_binding::api::AcrCredentialBinding;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::server::{Server, plane, valid};

fn shortest() -> Value {
    let mut object = valid();
    object["spec"] = json!({ "registries": [{}] });
    object
}

#[tokio::test]
async fn the_server_stores_the_defaults() {
    let stored = Server::get().await.dry_run(&shortest()).await.unwrap();
    let expected = json!({
        "registries": [{}],
        "watchNamespaces": { "exclude": ["kube-*"] },
        "serviceAccounts": {},
        "expiringThreshold": "15m",
        "webhook": { "enable": false, "failurePolicy": "Ignore", "timeoutSeconds": 10 },
        "deletionPolicy": "Delete",
        "suspend": false,
    });
    assert_eq!(stored["spec"], expected);
    assert_eq!(stored["status"], json!({ "observedGeneration": -1 }));
}

#[tokio::test]
async fn a_default_fills_only_absent_fields() {
    let mut object = shortest();
    object["spec"]["watchNamespaces"] = json!({ "names": ["*"], "exclude": [] });
    object["spec"]["webhook"] = json!({ "enable": true });
    let stored = Server::get().await.dry_run(&object).await.unwrap();
    assert_eq!(stored["spec"]["watchNamespaces"], object["spec"]["watchNamespaces"]);
    let webhook = json!({ "enable": true, "failurePolicy": "Ignore", "timeoutSeconds": 10 });
    assert_eq!(stored["spec"]["webhook"], webhook);
    object["spec"]["watchNamespaces"] = json!({ "names": ["prod"] });
    let stored = Server::get().await.dry_run(&object).await.unwrap();
    assert_eq!(stored["spec"]["watchNamespaces"], json!({ "names": ["prod"], "exclude": ["kube-*"] }));
}

#[tokio::test]
async fn the_typed_object_has_the_same_defaults_as_the_schema() {
    let stored = Server::get().await.dry_run(&shortest()).await.unwrap();
    let stored: AcrCredentialBinding = serde_json::from_value(stored).unwrap();
    let typed: AcrCredentialBinding = serde_json::from_value(shortest()).unwrap();
    assert_eq!(stored.spec, typed.spec);
}

#[tokio::test]
async fn kubectl_shows_it_by_short_name_and_category_in_columns() {
    let plane = plane().await;
    let bindings: Api<AcrCredentialBinding> = Api::all(plane.client());
    let mut object = shortest();
    object["metadata"]["name"] = json!("shown");
    bindings.patch("shown", &PatchParams::apply("user"), &Patch::Apply(&object)).await.unwrap();
    let fresh = row(&plane.kubectl_ok(&["get", "acb", "shown", "--no-headers"]).await.unwrap());
    assert_eq!(fresh[0], "shown");

    let status = json!({ "status": {
        "observedGeneration": 1,
        "summary": {
            "registries": "1/1", "namespaces": "11/12", "serviceAccounts": "39/40", "expiresAt": "2030-01-02T03:04:05Z",
        },
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "Succeeded", "message": "served",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }],
    }});
    bindings.patch_status("shown", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    for name in ["acb", "acr", "acrcredentialbinding", "acrcredentialbindings"] {
        let printed = plane.kubectl_ok(&["get", name]).await.unwrap();
        let mut lines = printed.lines();
        let header = row(lines.next().unwrap());
        let columns = ["NAME", "READY", "REGISTRIES", "NAMESPACES", "SERVICEACCOUNTS", "EXPIRES", "AGE"];
        assert_eq!(header, columns, "{name}");
        let values = row(lines.next().unwrap());
        let expected = ["shown", "True", "1/1", "11/12", "39/40", "2030-01-02T03:04:05Z"];
        assert_eq!(values[..6], expected, "{name}");
    }
    let wide = plane.kubectl_ok(&["get", "acb", "-o", "wide"]).await.unwrap();
    let mut lines = wide.lines();
    assert_eq!(row(lines.next().unwrap()).last().map(String::as_str), Some("STATUS"));
    assert_eq!(row(lines.next().unwrap()).last().map(String::as_str), Some("served"));
}

#[tokio::test]
async fn it_is_cluster_scoped() {
    let args = ["api-resources", "--api-group=acrcredential.dev", "--no-headers"];
    let printed = plane().await.kubectl_ok(&args).await.unwrap();
    let expected =
        ["acrcredentialbindings", "acb", "acrcredential.dev/v1alpha1", "false", "AcrCredentialBinding"];
    assert_eq!(printed.lines().map(row).collect::<Vec<_>>(), [expected]);
}

fn row(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}
