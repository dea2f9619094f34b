//! The files of `deploy/argocd` and `deploy/flux`.

use std::collections::BTreeMap;

use acr_lab::docs::{commands, root};
use acr_lab::health::{Judges, Question};
use k8s_openapi::api::core::v1::ConfigMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{assert_kept, customization, read};
use crate::documentation::shell;
use crate::harness::Lab;

const HEALTH: &str = "resource.customizations.health.acrcredential.dev_AcrCredentialBinding";
const ACTIONS: &str = "resource.customizations.actions.acrcredential.dev_AcrCredentialBinding";
const NAMES: [&str; 3] = ["refresh", "suspend", "resume"];

/// Argo CD's form of actions in a ConfigMap.
#[derive(Debug, PartialEq, Deserialize)]
struct Actions {
    #[serde(rename = "discovery.lua")]
    discovery: String,
    definitions: Vec<Definition>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Definition {
    name: String,
    #[serde(rename = "action.lua")]
    action: String,
}

/// The form of Argo CD's `action_test.yaml`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActionTests {
    discovery_tests: Vec<DiscoveryTest>,
    action_tests: Vec<ActionTest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DiscoveryTest {
    input_path: String,
    result: Vec<Action>,
}

#[derive(Deserialize)]
struct Action {
    name: String,
    #[serde(default)]
    disabled: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActionTest {
    action: String,
    input_path: String,
    expected_output_path: Option<String>,
    expected_error_message: Option<String>,
}

fn action(name: &str) -> String {
    read(customization(&format!("actions/{name}/action.lua")))
}

fn indented(text: &str, by: usize) -> String {
    let line = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("{:by$}{line}\n", "") };
    text.lines().map(line).collect()
}

/// Returns the data of the ConfigMap, made of the files.
fn data() -> BTreeMap<String, String> {
    let discovery = read(customization("actions/discovery.lua"));
    let mut actions = format!("discovery.lua: |\n{}definitions:\n", indented(&discovery, 2));
    for name in NAMES {
        actions += &format!("- name: {name}\n  action.lua: |\n{}", indented(&action(name), 4));
    }
    [(HEALTH, read(customization("health.lua"))), (ACTIONS, actions)]
        .map(|(key, text)| (key.to_owned(), text))
        .into()
}

#[test]
fn the_config_map_of_argo_cd_has_the_lua_of_the_files() {
    let mut text = String::from(
        "# The health check and the actions of resource_customizations/, in the form of Argo CD's ConfigMap.\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cm\n  namespace: argocd\ndata:\n",
    );
    for (key, value) in data().iter().rev() {
        text += &format!("  {key}: |\n{}", indented(value, 4));
    }
    assert_kept(root().join("deploy/argocd/argocd-cm.yaml"), &text);
    let parsed: ConfigMap = serde_saphyr::from_str(&text).unwrap();
    let parsed = parsed.data.unwrap();
    assert_eq!(parsed, data());
    let actions: Actions = serde_saphyr::from_str(&parsed[ACTIONS]).unwrap();
    assert_eq!(actions.discovery, read(customization("actions/discovery.lua")));
    let definitions = NAMES.map(|name| Definition { name: name.to_owned(), action: action(name) });
    assert_eq!(actions.definitions, definitions);
}

#[test]
fn the_tests_of_the_actions_hold_as_argo_cd_runs_them() {
    let path = |file: &str| customization("actions").join(file);
    let tests: ActionTests = serde_saphyr::from_str(&read(path("action_test.yaml"))).unwrap();
    let judges = Judges::find().unwrap();
    let script = read(path("discovery.lua"));
    let mut disabled = BTreeMap::<String, usize>::new();
    for test in &tests.discovery_tests {
        let object = json!(read(path(&test.input_path)));
        let found = judges.ask(&[Question::Actions { script: &script, object: &object }]).unwrap().remove(0);
        let expected = test.result.iter().map(|action| (action.name.clone(), !action.disabled)).collect();
        assert_eq!((found.actions, found.error.as_str()), (expected, ""), "{}", test.input_path);
        for action in test.result.iter().filter(|action| action.disabled) {
            *disabled.entry(action.name.clone()).or_default() += 1;
        }
    }
    // Each action is disabled somewhere, and enabled elsewhere.
    for name in NAMES {
        assert!((1..tests.discovery_tests.len()).contains(&disabled[name]), "{name}: {disabled:?}");
    }
    for test in &tests.action_tests {
        let (script, object) = (action(&test.action), json!(read(path(&test.input_path))));
        let found = judges.ask(&[Question::Run { script: &script, object: &object }]).unwrap().remove(0);
        let name = format!("{} of {}", test.action, test.input_path);
        match (&test.expected_output_path, &test.expected_error_message) {
            (Some(file), None) => {
                assert_eq!(found.error, "", "{name}");
                let mut object = found.object;
                if test.action == "refresh" {
                    let now = &mut object["metadata"]["annotations"]["acrcredential.dev/refresh-at"];
                    assert!(now.is_string(), "{name}");
                    *now = json!("0001-01-01T00:00:00Z");
                }
                assert_kept(path(file), &serde_saphyr::to_string(&object).unwrap());
            }
            (None, Some(message)) => assert_eq!(&found.error, message, "{name}"),
            _ => panic!("{name} expects one of a file and an error"),
        }
    }
}

/// Flux's own types read them. Nothing here judges what Flux does by them.
#[test]
fn the_manifests_of_flux_have_the_fields_of_its_types() {
    let judges = Judges::find().unwrap();
    let read = |file: &str| read(root().join("deploy/flux").join(file));
    let text = [read("controller.yaml"), read("kustomizations.yaml")].join("\n---\n");
    let documents: Vec<Value> = text.split("\n---\n").map(|document| json!(document)).collect();
    let questions: Vec<_> = documents.iter().map(|object| Question::Manifest { object }).collect();
    let kinds: Vec<String> = judges
        .ask(&questions)
        .unwrap()
        .into_iter()
        .inspect(|verdict| assert_eq!(verdict.error, ""))
        .map(|verdict| verdict.status)
        .collect();
    let expected =
        ["GitRepository", "Namespace", "HelmRelease", "Kustomization", "Kustomization", "Kustomization"];
    assert_eq!(kinds, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_gitops_page_work() {
    let lab = Lab::start().await;
    let plane = &lab.plane;
    // Argo CD's own ConfigMap has settings of others.
    plane.kubectl_ok(&["create", "namespace", "argocd"]).await.unwrap();
    let before =
        ["-n", "argocd", "create", "configmap", "argocd-cm", "--from-literal=url=https://argo.example.com"];
    plane.kubectl_ok(&before).await.unwrap();
    for line in commands("docs/gitops.md", "Health and actions in Argo CD").unwrap() {
        shell(plane, &line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    let stored = lab.namespaced::<ConfigMap>("argocd").get("argocd-cm").await.unwrap().data.unwrap();
    let mut expected = data();
    expected.insert("url".to_owned(), "https://argo.example.com".to_owned());
    assert_eq!(stored, expected);

    // The binding of the example is accepted, and is one that a controller serves.
    lab.create_namespace("team-a-dev").await;
    plane.apply_file(root().join("deploy/argocd/binding.yaml")).await.unwrap();
    lab.until_ready_is("team-a", "True", "Succeeded").await;
}
