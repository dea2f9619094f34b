//! What a pull depends on, as it was read of the cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde::Deserialize;

use crate::api::status::RegistryStatus;
use crate::api::{AcrCredentialBinding, names};
use crate::cli::fact::Fact;
use crate::cluster::last_writer::writer;
use crate::model::skip::OptOut;
use crate::model::{Binding, Labels};

/// Region for entries without one. It decides nothing here.
const REGION: &str = "cn-hangzhou";

/// Everything that a decision needs.
#[derive(Clone, Debug)]
pub(super) struct PullFacts {
    /// The object that was asked about, such as `pod/x`.
    pub subject: String,
    /// Its namespace.
    pub namespace: String,
    /// Name of the pull Secret.
    pub secret_name: String,
    /// The time.
    pub now: Timestamp,
    /// The container whose image is explained; none for a ServiceAccount.
    pub container: Option<ContainerFacts>,
    /// The Pod, if there is one.
    pub pod: Option<PodFacts>,
    /// The template, if there is one.
    pub template: Option<TemplateFacts>,
    /// The Namespace; `None` if it does not exist.
    pub namespace_object: Fact<Option<ObjectFacts>>,
    /// Name of the ServiceAccount.
    pub account_name: String,
    /// The ServiceAccount; `None` if it does not exist.
    pub account: Fact<Option<AccountFacts>>,
    /// Whether the node's kubelet may request tokens of the ServiceAccount for the cloud; `None` if there is no node, or the
    /// ServiceAccount has no role of the cloud.
    pub kubelet_may_request: Option<Fact<bool>>,
    /// The pull Secret's metadata; `None` if it does not exist.
    pub secret: Fact<Option<SecretMetadata>>,
    /// All bindings, those first that have precedence.
    pub bindings: Fact<Vec<StoredSpec>>,
}

/// A container and its image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ContainerFacts {
    /// Its name; empty for an image without a container.
    pub name: String,
    /// Its image, with its host.
    pub image: String,
    /// Reason of its waiting, such as `ErrImagePull`.
    pub reason: String,
    /// Message of its waiting, or of the last Event on its pull.
    pub message: String,
}

/// A Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PodFacts {
    /// Its name.
    pub name: String,
    /// Names in its `imagePullSecrets`.
    pub pull_secrets: Vec<String>,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// The object that creates it, as `kind/name`; none if a user did.
    pub owner: Option<String>,
    /// Name of its node.
    pub node: Option<String>,
    /// Progress of its images.
    pub progress: ImageProgress,
}

/// Progress of a Pod with its images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum ImageProgress {
    /// An image cannot be pulled.
    Failing,
    /// It waits, and no pull was reported yet.
    #[default]
    Starting,
    /// All its containers run or have ended.
    Running,
    /// Another reason stops it: field and value.
    Other(String, String),
}

/// The template of a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TemplateFacts {
    /// The workload, as `kind/name`.
    pub workload: String,
    /// Names in its `imagePullSecrets`.
    pub pull_secrets: Vec<String>,
}

/// Labels of an object, and its opt-out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ObjectFacts {
    /// Its labels.
    pub labels: Labels,
    /// Whether a label opts it out.
    pub label_skips: bool,
    /// Whether an annotation opts it out.
    pub annotation_skips: bool,
}

impl From<&ObjectMeta> for ObjectFacts {
    fn from(metadata: &ObjectMeta) -> Self {
        let labels: BTreeMap<String, String> = metadata.labels.clone().unwrap_or_default();
        let skips = |values: Option<&BTreeMap<String, String>>| {
            OptOut::of([values.and_then(|all| all.get(names::SKIP)).map(String::as_str)]).skip
        };
        Self {
            label_skips: skips(metadata.labels.as_ref()),
            annotation_skips: skips(metadata.annotations.as_ref()),
            labels: labels.into(),
        }
    }
}

/// A ServiceAccount.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AccountFacts {
    /// Labels and opt-out.
    pub object: ObjectFacts,
    /// Names in its `imagePullSecrets`.
    pub pull_secrets: Vec<String>,
    /// Its role of the cloud, from its annotation.
    pub role: Option<String>,
    /// The last writer other than the controller, as a phrase.
    pub last_writer: String,
}

impl From<&ServiceAccount> for AccountFacts {
    fn from(account: &ServiceAccount) -> Self {
        let entries = account.image_pull_secrets.iter().flatten();
        Self {
            object: ObjectFacts::from(&account.metadata),
            pull_secrets: entries.map(|entry| entry.name.clone()).collect(),
            role: account.annotations().get(names::ANNOTATION_ROLE_NAME).cloned(),
            last_writer: writer(&account.metadata),
        }
    }
}

/// The metadata of the Secret with the pull Secret's name. Its data is not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SecretMetadata {
    /// Whether the controller wrote it.
    pub is_ours: bool,
    /// Value of the label that names its creator.
    pub managed_by: String,
    /// Domains with the expiry of their credential, from its annotation.
    pub domains: Vec<(String, Timestamp)>,
}

impl From<&ObjectMeta> for SecretMetadata {
    fn from(metadata: &ObjectMeta) -> Self {
        #[derive(Deserialize)]
        struct SecretRegistry {
            domains: Vec<String>,
            expires: Timestamp,
        }
        let label = metadata.labels.as_ref().and_then(|all| all.get(names::LABEL_MANAGED_BY));
        let listed = metadata.annotations.as_ref().and_then(|all| all.get(names::ANNOTATION_REGISTRIES));
        let listed: Vec<SecretRegistry> =
            listed.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let domains = listed.into_iter();
        Self {
            is_ours: label.is_some_and(|value| value == names::MANAGER),
            managed_by: label.cloned().unwrap_or_default(),
            domains: domains
                .flat_map(|one| one.domains.into_iter().map(move |domain| (domain, one.expires)))
                .collect(),
        }
    }
}

/// A binding as it is stored.
#[derive(Clone, Debug)]
pub(super) struct StoredSpec {
    /// The object.
    pub object: AcrCredentialBinding,
    /// Its meaning; none if the spec is invalid.
    pub parsed: Option<Binding>,
}

impl StoredSpec {
    /// Reads the meaning of a binding.
    pub(super) fn new(object: AcrCredentialBinding) -> Self {
        Self { parsed: Binding::parse_stored(&object, REGION).ok(), object }
    }

    /// Returns its name.
    pub(super) fn name(&self) -> String {
        self.object.name_any()
    }

    /// Returns whether it is made of the ConfigMap, which stays authoritative.
    pub(super) fn is_converted(&self) -> bool {
        self.object.labels().get(names::LABEL_CONVERTED).is_some_and(|value| value == "true")
    }

    /// Returns the key by which one binding has precedence over another: the older, then the name's order.
    pub(super) fn precedence(&self) -> (Option<Timestamp>, String) {
        (self.object.creation_timestamp().map(|time| time.0), self.name())
    }

    /// Returns the number of its entries.
    pub(super) fn entries(&self) -> usize {
        self.object.spec.registries.len()
    }

    /// Returns the status of an entry.
    pub(super) fn registry(&self, entry: usize) -> Option<&RegistryStatus> {
        self.object.status.as_ref()?.registries.get(entry)
    }

    /// Returns the domains of an entry: those of its credential, or else those of the spec.
    pub(super) fn domains(&self, entry: usize) -> &[String] {
        match self.registry(entry) {
            Some(status) if !status.domains.is_empty() => &status.domains,
            _ => self.object.spec.registries.get(entry).map_or(&[], |spec| &spec.domains),
        }
    }

    /// Returns a condition of the binding.
    pub(super) fn condition(&self, kind: &str) -> Option<&Condition> {
        self.object.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == kind)
    }

    /// Returns the condition of the pair of an entry and a namespace.
    pub(super) fn pair(&self, entry: usize, namespace: &str) -> Option<&Condition> {
        let registry = &self.registry(entry)?.registry;
        let mut pairs = self.object.status.as_ref()?.pairs.iter();
        pairs.find(|pair| pair.registry == *registry && pair.namespace == namespace)?.conditions.first()
    }

    /// Returns the condition `Issued` of an entry.
    pub(super) fn issued(&self, entry: usize) -> Option<&Condition> {
        self.registry(entry)?.conditions.iter().find(|condition| condition.type_ == "Issued")
    }
}
