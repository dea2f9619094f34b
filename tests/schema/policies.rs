//! The policies' expressions, type-checked against the resources that they match.

use std::time::{Duration, Instant};

use acr_lab::plane::Plane;
use serde_json::{Value, json};

use crate::server::{plane, root};

/// Returns every shipped ValidatingAdmissionPolicy.
fn policies() -> Vec<Value> {
    let files = std::fs::read_dir(root().join("deploy")).unwrap().map(|entry| entry.unwrap().path());
    let manifests = files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    let documents = manifests.flat_map(|path| {
        let text = std::fs::read_to_string(path).unwrap();
        serde_saphyr::from_multiple::<Value>(&text).unwrap()
    });
    documents.filter(|document| document["kind"] == "ValidatingAdmissionPolicy").collect()
}

/// Makes the API server check a policy's expressions, and returns its warnings. A policy for every version of
/// a resource is never checked, so a copy names the existing one. It is not bound, and refuses nothing.
async fn warnings(plane: &Plane, mut policy: Value) -> Value {
    let name = format!("checked-{}", policy["metadata"]["name"].as_str().unwrap());
    policy["metadata"] = json!({ "name": &name });
    for rule in policy["spec"]["matchConstraints"]["resourceRules"].as_array_mut().unwrap() {
        let version = match rule["apiGroups"][0].as_str().unwrap() {
            "acrcredential.dev" => "v1alpha1",
            _ => "v1",
        };
        rule["apiVersions"] = json!([version]);
    }
    plane.apply(&policy.to_string()).await.unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let text =
            plane.kubectl_ok(&["get", "validatingadmissionpolicies", &name, "-o", "json"]).await.unwrap();
        let read: Value = serde_json::from_str(&text).unwrap();
        if read["status"]["observedGeneration"] == read["metadata"]["generation"] {
            plane.kubectl_ok(&["delete", "validatingadmissionpolicies", &name]).await.unwrap();
            return read["status"]["typeChecking"].clone();
        }
        assert!(Instant::now() < end, "it is not checked: {read}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_expression_of_a_policy_is_of_the_right_type() {
    let plane = plane().await;
    let policies = policies();
    assert!(policies.len() >= 9, "{}", policies.len());
    for policy in policies {
        let name = policy["metadata"]["name"].clone();
        assert_eq!(warnings(plane, policy.clone()).await, json!({}), "{name}");
        // Lists of texts have another type than the empty lists that ship.
        let text = policy.to_string();
        let filled = text.replace(r#""expression":"[]""#, r#""expression":"['a=b', 'c/*']""#);
        if filled != text {
            let filled: Value = serde_json::from_str(&filled).unwrap();
            assert_eq!(warnings(plane, filled).await, json!({}), "{name} with exceptions");
        }
        // A misspelt field proves that the absence of warnings means a completed check.
        let mut misspelt = policy;
        let validations = misspelt["spec"]["validations"].as_array_mut().unwrap();
        validations.push(json!({ "expression": "object.metadata.nome == ''", "message": "none" }));
        let warning = warnings(plane, misspelt).await.to_string();
        assert!(warning.contains("undefined field 'nome'"), "{name}: {warning}");
    }
}

/// The API server evaluates every messageExpression at every write, also of a request that passes.
#[test]
fn a_list_of_names_is_composed_only_where_its_rule_is_broken() {
    let policies = policies();
    let rules = policies.iter().flat_map(|policy| policy["spec"]["validations"].as_array().unwrap());
    let composed: Vec<_> = rules
        .filter_map(|rule| Some((rule["expression"].as_str()?, rule["messageExpression"].as_str()?)))
        .filter(|(_, message)| message.contains("variables.texts"))
        .collect();
    assert!(composed.len() >= 15, "{}", composed.len());
    for (rule, message) in composed {
        assert!(message.starts_with(&format!("{rule} ? '' : ")), "{rule}: {message}");
    }
}
