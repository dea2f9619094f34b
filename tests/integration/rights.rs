//! Accounts that have the rights of a file in this folder and no others, and commands that they run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use acr_lab::plane::Plane;
use serde_json::{Value, json};

use crate::harness::{NAMESPACE, root};

/// Exit code, standard output and standard error.
pub type Done = (Option<i32>, String, String);

/// Returns the roles of files, as kind and name.
fn roles(files: &[&str]) -> Vec<(String, String)> {
    let read = |file: &&str| {
        let path = root().join("tests/integration/rights").join(file);
        let text = std::fs::read_to_string(path).unwrap();
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        documents.into_iter().map(|role| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&role["kind"]), text(&role["metadata"]["name"]))
        })
    };
    files.iter().flat_map(read).collect()
}

/// Creates a ServiceAccount in the controller's namespace with the rights of some files, and returns its kubeconfig.
pub async fn account(plane: &Plane, name: &str, files: &[&str]) -> PathBuf {
    plane.kubectl_ok(&["create", "namespace", NAMESPACE]).await.ok();
    plane.kubectl_ok(&["create", "serviceaccount", name, "-n", NAMESPACE]).await.unwrap();
    for file in files {
        plane.apply_file(root().join("tests/integration/rights").join(file)).await.unwrap();
    }
    for (kind, role) in roles(files) {
        let mut binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": format!("{kind}Binding"),
            "metadata": { "name": format!("{name}-{role}") },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role },
            "subjects": [{ "kind": "ServiceAccount", "namespace": NAMESPACE, "name": name }],
        });
        if kind == "Role" {
            binding["metadata"]["namespace"] = json!(NAMESPACE);
        }
        plane.apply(&binding.to_string()).await.unwrap();
    }
    plane.service_account_kubeconfig(NAMESPACE, name).await.unwrap()
}

/// Runs the plugin with a kubeconfig.
pub fn acr(kubeconfig: &Path, args: &[&str]) -> Done {
    done(&command(kubeconfig, args).output().unwrap())
}

/// Returns the command of the plugin with a kubeconfig.
pub fn command(kubeconfig: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-acr"));
    command.args(args).env("KUBECONFIG", kubeconfig).env_remove("KUBERNETES_SERVICE_HOST");
    command
}

/// Returns what a command has done.
pub fn done(output: &Output) -> Done {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_owned()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}
