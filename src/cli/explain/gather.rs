//! Reads what a pull depends on, with the caller's rights: objects by their names, and of Secrets their metadata only.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Namespace, Pod, Secret, ServiceAccount};
use kube::api::{Api, DynamicObject, ListParams};
use kube::{Client, ResourceExt};
use serde_json::Value;

use super::facts::{
    AccountFacts, ContainerFacts, ImageProgress, ObjectFacts, PodFacts, PullFacts, SecretMetadata,
    StoredSpec, TemplateFacts,
};
use super::options::{ExplainError, ExplainOptions};
use super::target::{ExplainTarget, WorkloadKind};
use crate::api::names;
use crate::cli::fact::Fact;
use crate::cluster::access::{AccessReviewer, AccessRight};
use crate::cluster::error::{CallError, call_within};
use crate::cluster::installed::Installed;

/// Pods of a workload that are read.
const MAX_PODS: u32 = 100;

/// The label of a Pod that names its Job.
const JOB_NAME: &str = "batch.kubernetes.io/job-name";

/// The ServiceAccount of Pods that name none.
const DEFAULT_ACCOUNT: &str = "default";

/// Reasons by which a container waits for its image.
const PULL_REASONS: [&str; 6] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "RegistryUnavailable",
    "ImageInspectError",
    "SignatureValidationFailed",
];

/// What is asked about: a Pod, its template, or an image alone.
#[derive(Default)]
struct Asked {
    container: Option<ContainerFacts>,
    pod: Option<PodFacts>,
    template: Option<TemplateFacts>,
    account: String,
}

/// Reads everything about a target.
///
/// # Errors
/// The target does not exist or cannot be read, or the API server cannot be reached.
pub(super) async fn gather(
    client: &Client,
    target: &ExplainTarget,
    options: &ExplainOptions,
) -> Result<PullFacts, ExplainError> {
    let namespace = options.namespace.as_deref().unwrap_or(client.default_namespace());
    let reader = PullReader { client, namespace, limit: options.request_timeout };
    let asked = match target {
        ExplainTarget::Pod(name) => reader.pod(name).await?,
        ExplainTarget::Workload(kind, name) => reader.workload(*kind, name).await?,
        ExplainTarget::ServiceAccount(name) => Asked { account: name.clone(), ..Asked::default() },
        ExplainTarget::Image(image) => Asked {
            container: Some(ContainerFacts { image: image.clone(), ..ContainerFacts::default() }),
            account: options.service_account.to_string(),
            ..Asked::default()
        },
        ExplainTarget::Topic(topic) => return Err(ExplainError::UnknownTopic(topic.clone())),
    };
    let installed = Installed::new(client.clone(), options.request_timeout);
    let account = if asked.account.is_empty() { DEFAULT_ACCOUNT.to_owned() } else { asked.account };
    let (bindings, namespace_object, account_object, secret) = tokio::join!(
        installed.stored_bindings(),
        reader.namespace_object(),
        reader.account(&account),
        reader.secret(&options.secret_name),
    );
    // A silent API server is an error, and not a right that is missing.
    if let (
        Err(CallError::Later(why, _) | CallError::Unanswered(why)),
        ExplainTarget::ServiceAccount(_) | ExplainTarget::Image(_),
    ) = (&account_object, target)
    {
        return Err(ExplainError::Unreachable(why.clone()));
    }
    if let (Ok(None), ExplainTarget::ServiceAccount(_)) = (&account_object, target) {
        return Err(ExplainError::Absent { target: target.to_string(), namespace: namespace.to_owned() });
    }
    let node = asked.pod.as_ref().and_then(|pod| pod.node.as_deref());
    let has_role = matches!(&account_object, Ok(Some(account)) if account.role.is_some());
    let kubelet_may_request = match node.filter(|_| has_role) {
        Some(node) => Some(reader.kubelet_may_request(node, &account).await.into()),
        None => None,
    };
    Ok(PullFacts {
        subject: match target {
            // A Pod of the workload is what fails; the user asked for the workload.
            ExplainTarget::Image(_) => format!("serviceaccount/{account}"),
            other => other.to_string(),
        },
        namespace: namespace.to_owned(),
        secret_name: options.secret_name.to_string(),
        now: (options.clock)(),
        container: asked.container,
        pod: asked.pod,
        template: asked.template,
        namespace_object: namespace_object.into(),
        account_name: account,
        kubelet_may_request,
        account: account_object.into(),
        secret: secret.into(),
        bindings: match bindings {
            Err(CallError::NotFound) => Fact::Known(Vec::new()),
            listed => listed.map(|all| stored(&all)).into(),
        },
    })
}

/// Returns the bindings, those first that have precedence. What cannot be read as one is left out.
fn stored(all: &[DynamicObject]) -> Vec<StoredSpec> {
    let mut bindings: Vec<StoredSpec> =
        all.iter().filter_map(|object| object.clone().try_parse().ok()).map(StoredSpec::new).collect();
    bindings.sort_by_key(StoredSpec::precedence);
    bindings
}

/// Reads objects of one namespace.
struct PullReader<'a> {
    client: &'a Client,
    namespace: &'a str,
    limit: Duration,
}

impl PullReader<'_> {
    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    fn failed(&self, target: String) -> impl FnOnce(CallError) -> ExplainError {
        let namespace = self.namespace.to_owned();
        move |error| match error {
            CallError::NotFound => ExplainError::Absent { target, namespace },
            CallError::Later(why, _) | CallError::Unanswered(why) => ExplainError::Unreachable(why),
            error => ExplainError::Unreadable { target, why: error.to_string() },
        }
    }

    async fn namespace_object(&self) -> Result<Option<ObjectFacts>, CallError> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found = call_within(self.limit, namespaces.get_metadata_opt(self.namespace)).await?;
        Ok(found.map(|object| ObjectFacts::from(&object.metadata)))
    }

    async fn account(&self, name: &str) -> Result<Option<AccountFacts>, CallError> {
        let found = call_within(self.limit, self.api::<ServiceAccount>().get_opt(name)).await?;
        Ok(found.as_ref().map(AccountFacts::from))
    }

    /// Returns whether a kubelet may request tokens of a ServiceAccount for the cloud.
    async fn kubelet_may_request(&self, node: &str, account: &str) -> Result<bool, CallError> {
        let right = AccessRight {
            verb: "request-serviceaccounts-token-audience".to_owned(),
            resource: names::STS_AUDIENCE.to_owned(),
            name: Some(account.to_owned()),
            namespace: Some(self.namespace.to_owned()),
            ..AccessRight::default()
        };
        let reviewer = AccessReviewer::new(self.client.clone(), self.limit);
        reviewer.of_kubelet(node, &right).await.map(|answer| answer.allowed)
    }

    async fn secret(&self, name: &str) -> Result<Option<SecretMetadata>, CallError> {
        let found = call_within(self.limit, self.api::<Secret>().get_metadata_opt(name)).await?;
        Ok(found.map(|object| SecretMetadata::from(&object.metadata)))
    }

    async fn pod(&self, name: &str) -> Result<Asked, ExplainError> {
        let pod = call_within(self.limit, self.api::<Pod>().get(name)).await;
        let pod = pod.map_err(self.failed(format!("pod/{name}")))?;
        Ok(self.of_pod(&pod).await)
    }

    async fn of_pod(&self, pod: &Pod) -> Asked {
        let mut container = container_of(pod);
        // Before 1.32, a kubelet that backs off does not repeat the message.
        if container.reason == "ImagePullBackOff"
            && !container.message.contains("ErrImagePull")
            && let Some(message) = self.event(&pod.name_any(), &container.image).await
        {
            container.message = message;
        }
        let spec = pod.spec.as_ref();
        let pull_secrets = spec.and_then(|spec| spec.image_pull_secrets.as_ref()).into_iter().flatten();
        let facts = PodFacts {
            name: pod.name_any(),
            pull_secrets: pull_secrets.map(|entry| entry.name.clone()).collect(),
            created_at: pod.creation_timestamp().map(|time| time.0),
            owner: self.owner(pod).await,
            node: spec.and_then(|spec| spec.node_name.clone()),
            progress: progress(pod, &container),
        };
        Asked {
            container: Some(container),
            pod: Some(facts),
            template: None,
            account: spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_default(),
        }
    }

    /// Returns the object that creates a Pod, as `kind/name`: of a ReplicaSet its Deployment, of a Job its CronJob.
    async fn owner(&self, pod: &Pod) -> Option<String> {
        let owner = pod.owner_references().iter().find(|owner| owner.controller == Some(true))?;
        let kind = WorkloadKind::of_owner(&owner.kind);
        if let Some(kind @ (WorkloadKind::ReplicaSet | WorkloadKind::Job)) = kind {
            let api = Api::namespaced_with(self.client.clone(), self.namespace, &kind.resource());
            let found: Result<DynamicObject, _> = call_within(self.limit, api.get(&owner.name)).await;
            let above = found.ok().and_then(|found| {
                found.owner_references().iter().find(|owner| owner.controller == Some(true)).cloned()
            });
            let above = above.and_then(|above| Some((WorkloadKind::of_owner(&above.kind)?, above.name)));
            if let Some((kind @ (WorkloadKind::Deployment | WorkloadKind::CronJob), name)) = above {
                return Some(format!("{}/{name}", kind.as_str()));
            }
        }
        let kind = kind.map_or_else(|| owner.kind.to_ascii_lowercase(), |kind| kind.as_str().to_owned());
        Some(format!("{kind}/{}", owner.name))
    }

    /// Returns the message of the last failed pull of a Pod, from its Events.
    async fn event(&self, pod: &str, image: &str) -> Option<String> {
        let fields = format!("involvedObject.kind=Pod,involvedObject.name={pod},reason=Failed");
        let params = ListParams::default().fields(&fields).limit(MAX_PODS);
        let events = call_within(self.limit, self.api::<Event>().list(&params)).await.ok()?;
        let failed = events.items.into_iter().filter_map(|event| event.message);
        let mut failed =
            failed.filter(|message| message.starts_with("Failed to pull image") && message.contains(image));
        failed.next_back()
    }

    async fn workload(&self, kind: WorkloadKind, name: &str) -> Result<Asked, ExplainError> {
        let target = format!("{}/{name}", kind.as_str());
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), self.namespace, &kind.resource());
        let object = call_within(self.limit, api.get(name)).await.map_err(self.failed(target.clone()))?;
        let template = kind.template().iter().fold(&object.data, |value, field| &value[*field]);
        let spec = &template["spec"];
        let names = spec["imagePullSecrets"].as_array().into_iter().flatten();
        let template = TemplateFacts {
            workload: target.clone(),
            pull_secrets: names.filter_map(|entry| entry["name"].as_str()).map(str::to_owned).collect(),
        };
        let pods = self.pods_of(&object).await;
        // A Pod that fails says more than the template; those before it run.
        let failing = pods.iter().find(|pod| is_failing(pod)).or_else(|| pods.last());
        let asked = match failing {
            Some(pod) => self.of_pod(pod).await,
            None => {
                let container = &spec["containers"][0];
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                Asked {
                    container: Some(ContainerFacts {
                        name: text(&container["name"]),
                        image: text(&container["image"]),
                        ..ContainerFacts::default()
                    }),
                    account: text(&spec["serviceAccountName"]),
                    ..Asked::default()
                }
            }
        };
        Ok(Asked { template: Some(template), ..asked })
    }

    /// Returns Pods of a workload, by its selector or of its Jobs that run; none if they cannot be read.
    async fn pods_of(&self, object: &DynamicObject) -> Vec<Pod> {
        let labels = object.data["spec"]["selector"]["matchLabels"].as_object();
        let labels: Vec<String> = labels
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)))
            .collect();
        let active = object.data["status"]["active"].as_array().into_iter().flatten();
        let jobs: Vec<&str> = active.filter_map(|job| job["name"].as_str()).collect();
        let selector = match (labels.is_empty(), jobs.is_empty()) {
            (false, _) => labels.join(","),
            (true, false) => format!("{JOB_NAME} in ({})", jobs.join(",")),
            (true, true) => return Vec::new(),
        };
        let params = ListParams::default().labels(&selector).limit(MAX_PODS);
        let pods = call_within(self.limit, self.api::<Pod>().list(&params)).await;
        let mut pods = pods.map(|found| found.items).unwrap_or_default();
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        pods.sort_by_key(|pod| pod.creation_timestamp().map(|time| time.0));
        pods
    }
}

fn is_failing(pod: &Pod) -> bool {
    PULL_REASONS.contains(&container_of(pod).reason.as_str())
}

/// Returns the container whose image fails, or else the first one.
fn container_of(pod: &Pod) -> ContainerFacts {
    let spec = pod.spec.as_ref();
    let containers = || {
        let init = spec.and_then(|spec| spec.init_containers.as_ref()).into_iter().flatten();
        init.chain(spec.into_iter().flat_map(|spec| &spec.containers))
    };
    let image = |name: &str| {
        let found = containers().find(|container| container.name == name);
        found.and_then(|container| container.image.clone()).unwrap_or_default()
    };
    for (name, reason, message) in waiting(pod) {
        if PULL_REASONS.contains(&reason) {
            return ContainerFacts {
                image: image(name),
                name: name.to_owned(),
                reason: reason.to_owned(),
                message: message.to_owned(),
            };
        }
    }
    let first = spec.and_then(|spec| spec.containers.first());
    let name = first.map(|container| container.name.clone()).unwrap_or_default();
    ContainerFacts { image: image(&name), name, ..ContainerFacts::default() }
}

/// Returns name, reason and message of each container that waits.
fn waiting(pod: &Pod) -> impl Iterator<Item = (&str, &str, &str)> {
    let status = pod.status.as_ref();
    let init = status.and_then(|status| status.init_container_statuses.as_ref()).into_iter().flatten();
    let main = status.and_then(|status| status.container_statuses.as_ref()).into_iter().flatten();
    init.chain(main).filter_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        Some((
            container.name.as_str(),
            waiting.reason.as_deref().unwrap_or_default(),
            waiting.message.as_deref().unwrap_or_default(),
        ))
    })
}

fn progress(pod: &Pod, container: &ContainerFacts) -> ImageProgress {
    if !container.reason.is_empty() {
        return ImageProgress::Failing;
    }
    let other =
        waiting(pod).find(|(_, reason, _)| !["ContainerCreating", "PodInitializing", ""].contains(reason));
    if let Some((name, reason, message)) = other {
        let field = format!("status.containerStatuses[{name}].state.waiting");
        return ImageProgress::Other(field, format!("{reason}: {message}"));
    }
    let status = pod.status.as_ref();
    let mut conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let unscheduled = conditions.find(|found| found.type_ == "PodScheduled" && found.status == "False");
    if let Some(condition) = unscheduled {
        let message = condition.message.clone().unwrap_or_default();
        return ImageProgress::Other("status.conditions[PodScheduled]".to_owned(), message);
    }
    match status.and_then(|status| status.phase.as_deref()) {
        Some("Failed") => {
            let message = status.and_then(|status| status.message.clone()).unwrap_or_default();
            ImageProgress::Other("status.phase".to_owned(), format!("Failed {message}").trim_end().to_owned())
        }
        Some("Running" | "Succeeded") => ImageProgress::Running,
        _ => ImageProgress::Starting,
    }
}
