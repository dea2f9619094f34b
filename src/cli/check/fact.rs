//! What was read of the cluster.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::DynamicObject;

pub(super) use crate::cli::fact::Fact;

/// The API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerFacts {
    /// Its version, such as `v1.36.2`.
    pub version: String,
    /// The time by its clock, from its answer.
    pub time: Option<Timestamp>,
    /// The time by the clock of this machine, when the answer arrived.
    pub local_time: Timestamp,
}

/// Returns the minor version of Kubernetes 1, if it is one.
pub(super) fn minor(version: &str) -> Option<u32> {
    version.strip_prefix("v1.")?.split('.').next()?.parse().ok()
}

/// The CustomResourceDefinition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DefinitionFacts {
    /// Whether it is being deleted.
    pub is_terminating: bool,
    /// Why it is not established, if it is not.
    pub not_established: Option<String>,
    /// Fields of this version that it lacks.
    pub missing_fields: Vec<String>,
}

/// One policy of deploy/policies.yaml.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PolicyFacts {
    /// Its name.
    pub name: String,
    /// Whether it exists.
    pub exists: bool,
    /// Whether its binding denies.
    pub denies: bool,
    /// Whether it names the controller's user.
    pub names_user: bool,
}

/// The policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PoliciesFacts {
    /// The API server has no ValidatingAdmissionPolicy.
    Unserved,
    /// Those of deploy/policies.yaml.
    Served(Vec<PolicyFacts>),
}

/// A binding, as far as it is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CheckedBinding {
    /// Its name.
    pub name: String,
    /// Whether it asks for admission.
    pub asks_for_admission: bool,
    /// Whether a controller has reported on it.
    pub is_reported: bool,
    /// Type, status and message of its conditions.
    pub conditions: Vec<(String, String, String)>,
}

impl From<&DynamicObject> for CheckedBinding {
    fn from(object: &DynamicObject) -> Self {
        let conditions = object.data.pointer("/status/conditions").and_then(|list| list.as_array());
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let conditions: Vec<_> = conditions
            .into_iter()
            .flatten()
            .map(|condition| {
                (text(&condition["type"]), text(&condition["status"]), text(&condition["message"]))
            })
            .collect();
        Self {
            name: object.name_any(),
            asks_for_admission: object
                .data
                .pointer("/spec/webhook/enable")
                .is_some_and(|value| value == true),
            is_reported: !conditions.is_empty(),
            conditions,
        }
    }
}

impl CheckedBinding {
    /// Returns status and message of a condition.
    pub(super) fn condition(&self, kind: &str) -> Option<(&str, &str)> {
        let found = self.conditions.iter().find(|(found, ..)| found == kind)?;
        Some((&found.1, &found.2))
    }
}

/// A Deployment of a controller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DeploymentFacts {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The replicas that it asks for.
    pub desired: i32,
    /// Those that are ready.
    pub ready: i32,
    /// The region that its flags or variables give.
    pub region: Option<String>,
    /// Whether its controllers only show what they would write.
    pub is_dry_run: bool,
}

impl From<&Deployment> for DeploymentFacts {
    fn from(object: &Deployment) -> Self {
        let spec = object.spec.clone();
        let containers = spec.template.spec.map(|pod| pod.containers).unwrap_or_default();
        let arguments: Vec<&String> = containers.iter().flat_map(|c| c.args.iter().flatten()).collect();
        let flag = |name: &str| {
            let value = |index: usize, argument: &str| match argument.strip_prefix(name)? {
                "" => Some(arguments.get(index + 1).map(|next| next.to_string()).unwrap_or_default()),
                rest => rest.strip_prefix('=').map(str::to_owned),
            };
            arguments.iter().enumerate().find_map(|(index, argument)| value(index, argument))
        };
        let variable = |name: &str| {
            let variables = containers.iter().flat_map(|container| container.env.iter().flatten());
            variables.into_iter().find(|variable| variable.name == name).and_then(|found| found.value.clone())
        };
        Self {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            desired: spec.replicas.unwrap_or(1),
            ready: object.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or_default(),
            region: flag("--region").or_else(|| variable("ACR_REGION")),
            is_dry_run: arguments.iter().any(|argument| *argument == "--dry-run")
                || variable("ACR_DRY_RUN").is_some_and(|value| value == "true"),
        }
    }
}

/// Controllers of the cluster, in any namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ControllerFacts {
    /// The Deployments with the label of the controller.
    pub deployments: Vec<DeploymentFacts>,
    /// Namespaces and names of the ServiceAccounts with the controller's rights.
    pub accounts: Vec<(String, String)>,
}

/// The documented component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ComponentFacts {
    /// Whether its Deployment exists with replicas.
    pub runs: bool,
    /// Whether its ConfigMap exists.
    pub has_config_map: bool,
}
