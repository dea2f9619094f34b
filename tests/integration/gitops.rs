//! The health of a binding as Argo CD, Flux and Helm see it, by their own code.
//!
//! The dumps of a binding in each of its states are kept beside the health check of Argo CD, and are the controller's
//! own: `UPDATE_GOLDEN=1 cargo test --test integration gitops` writes them, and what is derived from them.

mod actions;
mod files;
mod kept;
mod states;

use std::path::PathBuf;

use acr_lab::docs::root;
use acr_lab::health::{Expressions, Question, Verdict};
use serde::Deserialize;
use serde_json::Value;

/// A state of a binding, and what each tool says of it.
struct State {
    /// Name of the kept dump.
    name: &'static str,
    /// Status and reason of `Ready`.
    ready: &'static str,
    /// Argo CD, by `health.lua`.
    argo: &'static str,
    /// kstatus: Flux without expressions, and `helm --wait`.
    kstatus: &'static str,
    /// Flux, by the published `healthCheckExprs`.
    cel: &'static str,
}

const fn state(name: &'static str, ready: &'static str, [argo, kstatus, cel]: [&'static str; 3]) -> State {
    State { name, ready, argo, kstatus, cel }
}

const HEALTHY: [&str; 3] = ["Healthy", "Current", "Current"];
/// It passes by itself.
const PROGRESSING: [&str; 3] = ["Progressing", "InProgress", "InProgress"];
/// A person has to act.
const DEGRADED: [&str; 3] = ["Degraded", "Failed", "Failed"];
/// kstatus has no word for it.
const SUSPENDED: [&str; 3] = ["Suspended", "InProgress", "InProgress"];

/// The states in a binding's life. `docs/gitops.md` has the same table.
const STATES: [State; 14] = [
    state("just-created", "", PROGRESSING),
    state("minting", "False Progressing", PROGRESSING),
    state("ready", "True Succeeded", HEALTHY),
    state("refresh-failing", "True RefreshFailing", HEALTHY),
    state("expired", "False CloudFailing", PROGRESSING),
    state("expired-and-denied", "False AccessDenied", DEGRADED),
    state("access-denied", "False AccessDenied", DEGRADED),
    state("invalid-spec", "False InvalidSpec", DEGRADED),
    state("contended", "False Contended", DEGRADED),
    state("coverage-lost", "False CoverageLost", DEGRADED),
    state("config-map-invalid", "True Succeeded", DEGRADED),
    state("suspended", "False Suspended", SUSPENDED),
    state("dry-run", "False DryRun", SUSPENDED),
    state("withdrawing", "False Withdrawing", ["Progressing", "Terminating", "InProgress"]),
];

/// Returns the path of a file of the customization for Argo CD.
fn customization(file: &str) -> PathBuf {
    let folder = "deploy/argocd/resource_customizations/acrcredential.dev/AcrCredentialBinding";
    root().join(folder).join(file)
}

fn read(path: impl Into<PathBuf>) -> String {
    let path = path.into();
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the YAML of a kept dump, for the judges to parse.
fn dump(name: &str) -> Value {
    Value::String(read(customization(&format!("testdata/{name}.yaml"))))
}

fn is_update() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

/// Compares a text with a file; `UPDATE_GOLDEN=1` writes it.
fn assert_kept(path: PathBuf, actual: &str) {
    if is_update() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, actual).unwrap();
    }
    assert_eq!(read(&path), actual, "{}: UPDATE_GOLDEN=1 keeps the new one", path.display());
}

/// The parts of a Flux Kustomization that are read here.
#[derive(Deserialize)]
struct Kustomization {
    spec: KustomizationSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KustomizationSpec {
    #[serde(default)]
    health_check_exprs: Vec<HealthCheck>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HealthCheck {
    api_version: String,
    kind: String,
    #[serde(flatten)]
    expressions: Expressions,
}

/// Returns the expressions that `deploy/flux` publishes for a binding.
fn expressions() -> Expressions {
    let text = read(root().join("deploy/flux/kustomizations.yaml"));
    let checks = text.split("\n---\n").flat_map(|document| {
        serde_saphyr::from_str::<Kustomization>(document).unwrap().spec.health_check_exprs
    });
    let checks: Vec<HealthCheck> = checks.collect();
    assert_eq!(checks.len(), 1);
    assert_eq!(checks[0].api_version, "acrcredential.dev/v1alpha1");
    assert_eq!(checks[0].kind, "AcrCredentialBinding");
    checks[0].expressions.clone()
}

/// The scripts and expressions by which an object is judged.
struct Checks {
    health: String,
    expressions: Expressions,
}

impl Checks {
    fn read() -> Self {
        Self { health: read(customization("health.lua")), expressions: expressions() }
    }

    /// Returns the questions whose answers [`verdicts`] reads, for one object.
    fn questions<'a>(&'a self, object: &'a Value) -> [Question<'a>; 3] {
        [
            Question::Health { script: &self.health, object },
            Question::Kstatus { object },
            Question::Cel { expressions: &self.expressions, object },
        ]
    }
}

/// Asserts that no judge was without an answer, and returns what the three say.
fn verdicts(name: &str, answers: &[Verdict]) -> [String; 3] {
    let said = |index: usize| {
        assert_eq!(answers[index].error, "", "{name}");
        answers[index].status.clone()
    };
    [said(0), said(1), said(2)]
}
