//! `deploy/kustomize/`: `kubectl kustomize` builds what the chart renders with the same switches.

use std::collections::BTreeMap;
use std::process::Command;

use acr_lab::docs::root;
use acr_lab::helm::Helm;
use acr_lab::plane::Plane;
use serde_json::Value;

use crate::manifests::PLAIN;
use crate::render;

/// The components, each with the arguments that switch the same on in the chart.
const COMPONENTS: [(&str, &[&str]); 4] = [
    ("ha", &["--values=deploy/helm/values-ha.yaml"]),
    ("admission-policy", &["--set=admission.mode=policy"]),
    ("webhook", &["--set=admission.mode=webhook"]),
    ("stuck-pods", &["--set=replaceStuckPods.enabled=true"]),
];

/// Builds the base with components.
fn build(plane: &Plane, components: &[&str]) -> Vec<Value> {
    let folder = tempfile::tempdir_in(root().join("target")).unwrap();
    let listed: Vec<String> =
        components.iter().map(|name| format!("../../deploy/kustomize/components/{name}")).collect();
    let overlay = serde_json::json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["../../deploy/kustomize/base"],
        "components": listed,
        "sortOptions": { "order": "fifo" },
    });
    std::fs::write(folder.path().join("kustomization.yaml"), overlay.to_string()).unwrap();
    let output = Command::new(plane.kubectl_path()).arg("kustomize").arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_saphyr::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

/// Writes whole numbers alike: kustomize writes 30.0 as 30.
fn whole(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if float.fract() == 0.0 => Value::from(float as i64),
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(whole).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, whole(value))).collect(),
        other => other,
    }
}

fn by_name(objects: impl IntoIterator<Item = Value>) -> BTreeMap<String, Value> {
    let name = |object: &Value| {
        let metadata = &object["metadata"];
        format!("{} {}/{}", object["kind"], metadata["namespace"], metadata["name"])
    };
    objects.into_iter().map(|object| (name(&object), whole(object))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_base_and_each_component_are_what_the_chart_renders() {
    let plane = Plane::shared().await.unwrap();
    let helm = Helm::alone().await.unwrap();
    let all: Vec<&str> = COMPONENTS.iter().map(|(name, _)| *name).filter(|name| *name != "webhook").collect();
    let mut cases: Vec<Vec<&str>> = COMPONENTS.iter().map(|(name, _)| vec![*name]).collect();
    cases.extend([vec![], all]);
    for components in cases {
        let switches = COMPONENTS.iter().filter(|(name, _)| components.contains(name));
        let switches: Vec<String> = switches
            .flat_map(|(_, switches)| switches.iter())
            .map(|switch| switch.replace("deploy/", &format!("{}/deploy/", root().display())))
            .collect();
        let without = ["--set=flowSchema.enabled=false"];
        let switches = switches.iter().map(String::as_str);
        let arguments: Vec<&str> = PLAIN.into_iter().chain(without).chain(switches).collect();
        let rendered = render(&helm, &arguments).await.into_iter().map(|document| document.object);
        let (rendered, built) = (by_name(rendered), by_name(build(plane, &components)));
        for name in rendered.keys().chain(built.keys()) {
            assert_eq!(built.get(name), rendered.get(name), "{components:?}: {name}");
        }
    }
}

/// A kustomization that is applied gives no right before the policies are there, if it keeps the order, as the base's
/// comment says.
#[tokio::test(flavor = "multi_thread")]
async fn the_policies_come_before_the_rights() {
    let plane = Plane::shared().await.unwrap();
    let base = std::fs::read_to_string(root().join("deploy/kustomize/base/kustomization.yaml")).unwrap();
    assert!(base.contains("#   sortOptions: {order: fifo}\n"), "{base}");
    let built = build(plane, &["webhook", "stuck-pods"]);
    let is = |object: &Value, kinds: &[&str]| kinds.contains(&object["kind"].as_str().unwrap());
    let policies = ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"];
    let last = built.iter().rposition(|object| is(object, &policies)).unwrap();
    let rights = ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];
    let first = built.iter().position(|object| is(object, &rights)).unwrap();
    assert!(last < first, "a policy is number {last}, and a right number {first}");
}
