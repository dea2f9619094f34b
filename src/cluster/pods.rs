//! Pods that wait for an image: the part of them that is read, and their replacement.

use k8s_openapi::api::core::v1::{LocalObjectReference, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Api, DeleteParams, Preconditions};
use kube::runtime::events::{Event, EventType};
use kube::{Client, Resource};
use serde::Deserialize;

use super::error::{CallError, call};
use super::events::Events;
use super::policy_probe::is_ours;
use crate::api::event::EventReason;
use crate::plan::stuck_pods::{Owner, StuckPod, is_refusal};

/// Annotation of a mirror Pod, which represents a static Pod of the kubelet.
const ANNOTATION_MIRROR: &str = "kubernetes.io/config.mirror";

/// The part of a Pod that is read. Nothing of it is stored unless the Pod is stuck.
#[derive(Resource, Deserialize, Clone, Debug)]
#[resource(inherit = Pod)]
pub struct WatchedPod {
    /// Its metadata.
    pub metadata: ObjectMeta,
    #[serde(default)]
    spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    service_account_name: String,
    image_pull_secrets: Vec<LocalObjectReference>,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
struct Container {
    name: String,
    image: String,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    container_statuses: Vec<ContainerStatus>,
    init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
struct ContainerStatus {
    name: String,
    state: ContainerState,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
struct ContainerState {
    waiting: Option<ContainerWaiting>,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
struct ContainerWaiting {
    reason: String,
    message: String,
}

/// Progress of a Pod with its images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodState {
    /// Its registry refuses an image.
    Stuck(StuckPod),
    /// It backs off, and its kubelet does not repeat the cause, as before 1.32: the last known state still applies.
    BackingOff,
    /// Any other state.
    Other,
}

impl WatchedPod {
    /// Returns its progress.
    pub fn state(self) -> PodState {
        let metadata = self.metadata;
        let mirror = metadata.annotations.iter().any(|a| a.contains_key(ANNOTATION_MIRROR));
        if mirror || metadata.deletion_timestamp.is_some() {
            return PodState::Other;
        }
        let (mut images, mut backing_off) = (Vec::new(), false);
        let of = |name: &str| {
            let mut all = self.spec.init_containers.iter().chain(&self.spec.containers);
            all.find(|container| container.name == name).map_or("", |container| &*container.image)
        };
        for status in self.status.init_container_statuses.iter().chain(&self.status.container_statuses) {
            let Some(ContainerWaiting { reason, message }) = &status.state.waiting else { continue };
            match reason.as_str() {
                "ErrImagePull" | "ImagePullBackOff" if is_refusal(message, of(&status.name)) => {
                    images.push(of(&status.name).into());
                }
                "ImagePullBackOff" if !message.contains("ErrImagePull") => backing_off = true,
                // A Pod that waits for another reason would wait in a new Pod as well.
                "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName" => {
                    return PodState::Other;
                }
                _ => {}
            }
        }
        if images.is_empty() {
            return if backing_off { PodState::BackingOff } else { PodState::Other };
        }
        let text = |text: Option<String>| text.unwrap_or_default().into();
        let owner =
            metadata.owner_references.unwrap_or_default().into_iter().find(|o| o.controller == Some(true));
        let owner = owner.map(|owner| Owner {
            api_version: owner.api_version.into(),
            kind: owner.kind.into(),
            name: owner.name.into(),
            uid: owner.uid.into(),
        });
        PodState::Stuck(StuckPod {
            namespace: text(metadata.namespace),
            name: text(metadata.name),
            uid: text(metadata.uid),
            resource_version: text(metadata.resource_version),
            created_at: metadata.creation_timestamp.map(|time| time.0).unwrap_or_default(),
            service_account: self.spec.service_account_name.into(),
            pull_secrets: self.spec.image_pull_secrets.into_iter().map(|entry| entry.name.into()).collect(),
            owner,
            images: images.into(),
        })
    }
}

/// Reason why a Pod was not replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeletionError {
    /// The policy that confines these deletions is not enforced.
    PolicyMissing,
    /// The API server refused.
    Call(CallError),
}

/// Deletes stuck Pods.
#[derive(Clone)]
pub struct PodWriter {
    client: Client,
    events: Events,
}

impl PodWriter {
    /// Creates a writer over a connection.
    pub fn new(client: Client) -> Self {
        Self { events: Events::new(client.clone()), client }
    }

    /// Deletes a Pod as it was last observed, so that its owner creates a new one. Returns the API server's time.
    ///
    /// It is a deletion rather than an eviction, because a disruption budget ignores pending Pods, and an admission
    /// policy sees only a deleted Pod. The policy confines this controller to stuck Pods. A dry run proves first that
    /// it is enforced.
    ///
    /// # Errors
    /// [`DeletionError`]; nothing is deleted while the policy is missing.
    pub async fn delete(&self, pod: &StuckPod, now: Timestamp) -> Result<Timestamp, DeletionError> {
        let pods: Api<WatchedPod> = Api::namespaced(self.client.clone(), &pod.namespace);
        // The policy denies every deletion without preconditions on UID and resourceVersion.
        let probe = DeleteParams { dry_run: true, ..DeleteParams::default() };
        match call(pods.delete(&pod.name, &probe)).await {
            Err(CallError::Denied(message)) if is_ours(&message) => {}
            Ok(_) => return Err(DeletionError::PolicyMissing),
            Err(error) => return Err(DeletionError::Call(error)),
        }
        let preconditions = Preconditions {
            uid: Some(pod.uid.to_string()),
            resource_version: Some(pod.resource_version.to_string()),
        };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let answer = call(pods.delete(&pod.name, &params)).await.map_err(DeletionError::Call)?;
        let at = answer.left().and_then(|pod| {
            let grace =
                SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or_default());
            pod.metadata.deletion_timestamp?.0.checked_sub(grace).ok()
        });
        Ok(at.unwrap_or(now))
    }

    /// Publishes an Event about a Pod's owner, which outlives the Pod. A failure is logged only.
    pub async fn event(&self, pod: &StuckPod, reason: EventReason, note: String) {
        let about = |api_version: &str, kind: &str, name: &str, uid: &str| ObjectReference {
            api_version: Some(api_version.to_owned()),
            kind: Some(kind.to_owned()),
            name: Some(name.to_owned()),
            namespace: Some(pod.namespace.to_string()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        };
        let Some(owner) = &pod.owner else { return };
        let event = Event {
            type_: EventType::Normal,
            reason: reason.as_str().to_owned(),
            note: Some(note),
            action: "Delete".to_owned(),
            secondary: Some(about("v1", "Pod", &pod.name, &pod.uid)),
        };
        let owner = about(&owner.api_version, &owner.kind, &owner.name, &owner.uid);
        self.events.publish(&owner, event).await;
    }
}

#[cfg(test)]
mod tests {
    use super::{PodState, WatchedPod};
    use serde_json::{Value, json};

    fn pod(statuses: Value) -> Value {
        json!({
            "metadata": {
                "name": "p", "namespace": "n", "uid": "u", "resourceVersion": "5",
                "creationTimestamp": "2026-11-20T10:00:00Z",
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "c"},
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "r", "controller": true},
                ],
            },
            "spec": {
                "serviceAccountName": "default",
                "imagePullSecrets": [{"name": "theirs"}],
                "containers": [
                    {"name": "app", "image": "img.example.com/app:1"}, {"name": "side", "image": "img.example.com/side:1"},
                ],
            },
            "status": {"phase": "Pending", "containerStatuses": statuses},
        })
    }

    fn waiting(name: &str, reason: &str, message: &str) -> Value {
        json!({"name": name, "state": {"waiting": {"reason": reason, "message": message}}})
    }

    fn state(object: Value) -> PodState {
        serde_json::from_value::<WatchedPod>(object).unwrap().state()
    }

    #[test]
    fn a_pod_with_a_refused_image_is_stuck() {
        let refused = waiting("app", "ErrImagePull", "401 Unauthorized");
        let running = json!({"name": "side", "state": {"running": {"startedAt": "2026-11-20T10:00:00Z"}}});
        let PodState::Stuck(pod) = state(pod(json!([refused, running]))) else { panic!("it is not stuck") };
        assert_eq!((&*pod.name, &*pod.namespace, &*pod.service_account), ("p", "n", "default"));
        assert_eq!(*pod.images, ["img.example.com/app:1".into()]);
        assert_eq!(*pod.pull_secrets, ["theirs".into()]);
        assert_eq!(&*pod.owner.unwrap().kind, "ReplicaSet");
    }

    #[test]
    fn a_kubelet_that_does_not_repeat_the_cause_changes_nothing() {
        let bare = waiting("app", "ImagePullBackOff", "Back-off pulling image \"img.example.com/app:1\"");
        assert_eq!(state(pod(json!([bare]))), PodState::BackingOff);
    }

    #[test]
    fn other_states_are_ignored() {
        let missing = waiting("app", "ErrImagePull", "img.example.com/app:1: not found");
        let refused = waiting("side", "ErrImagePull", "401 Unauthorized");
        let crashing = waiting("app", "CrashLoopBackOff", "401 Unauthorized");
        for statuses in [json!([missing, refused]), json!([crashing]), json!([])] {
            assert_eq!(state(pod(statuses.clone())), PodState::Other, "{statuses}");
        }
        let mut mirror = pod(json!([refused]));
        mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        assert_eq!(state(mirror), PodState::Other);
        let mut going = pod(json!([refused]));
        going["metadata"]["deletionTimestamp"] = json!("2026-11-20T10:00:00Z");
        assert_eq!(state(going), PodState::Other);
    }
}
