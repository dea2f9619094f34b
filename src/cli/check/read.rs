//! Reads what is checked, with the caller's rights. What may not be read becomes unknown.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::fmt::rfc2822;
use kube::Client;
use kube::api::{Api, ListParams};
use kube::client::Body;
use serde_json::Value;

use super::decide::LABEL;
use super::fact::{
    CheckedBinding, ComponentFacts, ControllerFacts, DefinitionFacts, DeploymentFacts, Fact, PoliciesFacts,
    PolicyFacts, ServerFacts,
};
use super::report::CheckOptions;
use super::rights;
use crate::api::legacy::{Node, addon, parse_manifest};
use crate::api::{binding, names};
use crate::cli::exceptions::SHIPPED;
use crate::cli::lease::{LeaseObserver, LeaseState};
use crate::cluster::access::{AccessAnswer, AccessReviewer, AccessRight};
use crate::cluster::clock::monotonic;
use crate::cluster::error::{CallError, call_within};
use crate::cluster::installed::Installed;
use crate::cluster::policy_probe::serves;

/// The pause between two observations of the Lease.
const PAUSE: Duration = Duration::from_millis(250);

/// Reviews under way at once.
const REVIEWS: usize = 16;

/// The policies of deploy/policies.yaml.
const POLICY: &str = "ValidatingAdmissionPolicy";

/// Reads the facts of one cluster.
pub(super) struct FactReader<'a> {
    client: &'a Client,
    options: &'a CheckOptions,
    installed: Installed,
    reviewer: AccessReviewer,
}

impl<'a> FactReader<'a> {
    pub(super) fn new(client: &'a Client, options: &'a CheckOptions) -> Self {
        let installed = Installed::new(client.clone(), options.request_timeout);
        let reviewer = AccessReviewer::new(client.clone(), options.request_timeout);
        Self { client, options, installed, reviewer }
    }

    async fn within<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
        call_within(self.options.request_timeout, request).await
    }

    /// Reads version and clock of the API server.
    pub(super) async fn server(&self) -> Result<ServerFacts, CallError> {
        let request = http::Request::get("/version").body(Body::empty());
        let request = request.map_err(|error| CallError::Invalid(error.to_string()))?;
        let (parts, body) = self
            .within(async {
                let (parts, body) = self.client.send(request).await?.into_parts();
                Ok((parts, body.collect_bytes().await?))
            })
            .await?;
        let local_time = (self.options.clock)();
        let date = parts.headers.get(http::header::DATE).and_then(|date| date.to_str().ok());
        let time = date.and_then(|date| rfc2822::parse(date).ok()).map(|date| date.timestamp());
        let version: Value = serde_json::from_slice(&body).unwrap_or_default();
        let version = version["gitVersion"].as_str();
        let version = version.ok_or_else(|| {
            CallError::Later(
                format!("the API server answered {} and no version", parts.status.as_u16()),
                None,
            )
        })?;
        Ok(ServerFacts { version: version.to_owned(), time, local_time })
    }

    /// Reads the CustomResourceDefinition.
    pub(super) async fn definition(&self) -> Fact<Option<DefinitionFacts>> {
        let name = format!("acrcredentialbindings.{}", names::GROUP);
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let found = self.within(definitions.get_opt(&name)).await;
        found.map(|found| found.as_ref().map(facts_of)).into()
    }

    /// Reads whether the API is served.
    pub(super) async fn served(&self) -> Fact<bool> {
        let version = format!("{}/v1alpha1", names::GROUP);
        match self.within(self.client.list_api_group_resources(&version)).await {
            Ok(found) => {
                Fact::Known(found.resources.iter().any(|found| found.name == "acrcredentialbindings"))
            }
            Err(CallError::NotFound) => Fact::Known(false),
            Err(error) => Fact::Unknown(error.to_string()),
        }
    }

    /// Reads the bindings; none if the API is not served.
    pub(super) async fn bindings(&self) -> Fact<Vec<CheckedBinding>> {
        match self.installed.stored_bindings().await {
            Err(CallError::NotFound) => Fact::Known(Vec::new()),
            listed => listed.map(|all| all.iter().map(CheckedBinding::from).collect()).into(),
        }
    }

    /// Reads the Deployments with the controller's label in its namespace.
    pub(super) async fn deployments(&self) -> Fact<Vec<DeploymentFacts>> {
        let api = Api::namespaced(self.client.clone(), &self.options.namespace);
        self.labelled(api).await.into()
    }

    async fn labelled(&self, api: Api<Deployment>) -> Result<Vec<DeploymentFacts>, CallError> {
        let labelled = ListParams::default().labels(LABEL);
        let found = self.within(api.list(&labelled)).await?;
        Ok(found.items.iter().map(DeploymentFacts::from).collect())
    }

    /// Observes the Lease until it is renewed, or was not for its duration.
    pub(super) async fn lease(&self) -> Fact<LeaseState> {
        let mut observer = LeaseObserver::default();
        loop {
            match self.installed.lease(&self.options.namespace).await {
                Err(error) => return Fact::Unknown(error.to_string()),
                Ok(lease) => match observer.observe(lease, monotonic()) {
                    LeaseState::Unknown => tokio::time::sleep(PAUSE).await,
                    state => return Fact::Known(state),
                },
            }
        }
    }

    /// Reviews the controller's rights.
    pub(super) async fn rights(&self) -> Fact<Vec<(AccessRight, bool)>> {
        let CheckOptions { namespace, service_account, secret_name, .. } = self.options;
        let review =
            async |right: &AccessRight| self.reviewer.of_account(namespace, service_account, right).await;
        reviewed(rights::of_controller(namespace, secret_name), review).await.into()
    }

    /// Reviews the caller's rights to install.
    pub(super) async fn own_rights(&self) -> Fact<Vec<(AccessRight, bool)>> {
        let review = async |right: &AccessRight| self.reviewer.of_caller(right).await;
        reviewed(rights::of_installation(&self.options.namespace), review).await.into()
    }

    /// Reads the policies.
    pub(super) async fn policies(&self) -> Fact<PoliciesFacts> {
        self.try_policies().await.into()
    }

    async fn try_policies(&self) -> Result<PoliciesFacts, CallError> {
        match serves(self.client, "validatingadmissionpolicies").await {
            Ok(true) => {}
            Ok(false) | Err(CallError::NotFound) => return Ok(PoliciesFacts::Unserved),
            Err(error) => return Err(error),
        }
        let policies: Api<ValidatingAdmissionPolicy> = Api::all(self.client.clone());
        let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(self.client.clone());
        let CheckOptions { namespace, service_account, .. } = self.options;
        let user = format!("'system:serviceaccount:{namespace}:{service_account}'");
        let mut found = Vec::new();
        for name in shipped_policies() {
            let policy = self.within(policies.get_opt(&name)).await?;
            let binding = self.within(bindings.get_opt(&name)).await?;
            let spec = binding.map(|binding| binding.spec).unwrap_or_default();
            let denies = spec.validation_actions.iter().any(|action| action == "Deny");
            let names_user = policy.as_ref().is_some_and(|policy| {
                serde_json::to_string(&policy.spec).is_ok_and(|text| text.contains(&user))
            });
            found.push(PolicyFacts {
                exists: policy.is_some(),
                denies: denies && spec.policy_name == name,
                names_user,
                name,
            });
        }
        Ok(PoliciesFacts::Served(found))
    }

    /// Reads the controllers of all namespaces.
    pub(super) async fn controllers(&self) -> Fact<ControllerFacts> {
        let read = async {
            let deployments = self.labelled(Api::all(self.client.clone())).await?;
            let role_binding = self.installed.role_binding(names::MANAGER).await?;
            let subjects = role_binding.into_iter().flat_map(|found| found.subjects.unwrap_or_default());
            let accounts = subjects.filter(|subject| subject.kind == "ServiceAccount");
            let accounts = accounts.map(|found| (found.namespace.unwrap_or_default(), found.name)).collect();
            Ok(ControllerFacts { deployments, accounts })
        };
        read.await.into()
    }

    /// Reads the documented component.
    pub(super) async fn component(&self) -> Fact<ComponentFacts> {
        let read = async {
            let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), names::LEGACY_NAMESPACE);
            let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), names::LEGACY_NAMESPACE);
            let found = self.within(deployments.get_opt(addon::UNMANAGED)).await?;
            let runs = found.is_some_and(|found| DeploymentFacts::from(&found).desired > 0);
            let map = self.within(maps.get_metadata_opt(names::LEGACY_NAME)).await?;
            Ok(ComponentFacts { runs, has_config_map: map.is_some() })
        };
        read.await.into()
    }
}

/// Reviews rights, some at once, and returns them in their order.
async fn reviewed(
    rights: Vec<AccessRight>,
    review: impl AsyncFn(&AccessRight) -> Result<AccessAnswer, CallError>,
) -> Result<Vec<(AccessRight, bool)>, CallError> {
    let review = &review;
    let reviews = rights.into_iter().map(|right| async move {
        let allowed = review(&right).await?.allowed;
        Ok((right, allowed))
    });
    stream::iter(reviews).buffered(REVIEWS).try_collect().await
}

/// Returns the names of the policies of this version.
fn shipped_policies() -> Vec<String> {
    let (documents, _) = parse_manifest(SHIPPED);
    let is_policy = |node: &&Node| node.get("kind").and_then(Node::text) == Some(POLICY);
    let name = |node: &Node| Some(node.get("metadata")?.get("name")?.text()?.to_owned());
    documents.iter().filter(is_policy).filter_map(name).collect()
}

fn facts_of(found: &CustomResourceDefinition) -> DefinitionFacts {
    let conditions = || found.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let is_established =
        conditions().any(|condition| condition.type_ == "Established" && condition.status == "True");
    let refused = conditions().filter(|condition| condition.status == "False");
    let refused: Vec<String> = refused.filter_map(|condition| condition.message.clone()).collect();
    let schema = |definition: &CustomResourceDefinition| {
        let version = definition.spec.versions.iter().find(|version| version.name == "v1alpha1");
        serde_json::to_value(version.and_then(|version| version.schema.as_ref())).unwrap_or_default()
    };
    let mut missing_fields = Vec::new();
    let (wanted, existing) = (schema(&binding::crd()), schema(found));
    missing(&wanted["openAPIV3Schema"], &existing["openAPIV3Schema"], "", &mut missing_fields);
    DefinitionFacts {
        is_terminating: found.metadata.deletion_timestamp.is_some(),
        not_established: (!is_established).then(|| refused.join("; ")),
        missing_fields,
    }
}

/// Collects the fields of a schema that another one lacks, by their paths.
fn missing(wanted: &Value, existing: &Value, path: &str, found: &mut Vec<String>) {
    for (name, wanted) in wanted["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match existing["properties"].get(name) {
            Some(existing) => missing(wanted, existing, &path, found),
            None => found.push(path),
        }
    }
    if wanted["items"].is_object() {
        missing(&wanted["items"], &existing["items"], path, found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{facts_of, missing, shipped_policies};
    use crate::api::binding::crd;

    #[test]
    fn the_policies_of_this_version_are_read_from_their_file() {
        let policies = shipped_policies();
        assert_eq!(policies.len(), 7);
        assert!(policies.contains(&"acr-credential-secrets".to_owned()), "{policies:?}");
    }

    #[test]
    fn a_field_that_an_older_definition_lacks_is_named_by_its_path() {
        assert_eq!(facts_of(&crd()).missing_fields, [""; 0]);
        let mut found = Vec::new();
        let wanted = json!({ "properties": { "spec": { "properties": {
            "a": {}, "list": { "items": { "properties": { "b": {}, "c": {} } } }
        } } } });
        let existing = json!({ "properties": { "spec": { "properties": {
            "list": { "items": { "properties": { "b": {} } } }
        } } } });
        missing(&wanted, &existing, "", &mut found);
        assert_eq!(found, ["spec.a", "spec.list.c"]);
    }
}
