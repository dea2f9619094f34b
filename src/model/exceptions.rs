//! Exceptions of the policies that confine the controller: what other admission controllers may add to its writes.

mod literal;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use literal::{InvalidLiteral, from_cel, to_cel};

use super::labels::{is_key, is_value};
use crate::api::names;

/// Domains whose keys no exception allows, with their subdomains: they give a cloud role or another identity, copy or
/// delete objects, or mark what a GitOps tool owns and prunes. The policies hold the same list.
pub const REFUSED_DOMAINS: &[&str] = &[
    names::GROUP,
    // Roles of clouds, and other identities of ServiceAccounts.
    "eks.amazonaws.com",
    "iam.amazonaws.com",
    "iam.gke.io",
    "azure.workload.identity",
    "pod-identity.alibabacloud.com",
    "tke.cloud.tencent.com",
    "vke.volcengine.com",
    "vault.hashicorp.com",
    "spiffe.io",
    "openshift.io",
    // Tools that copy or delete objects.
    "reflector.v1.k8s.emberstack.com",
    "replicator.v1.mittwald.de",
    "kubernetes-replicator.olli.com",
    "kubed.appscode.com",
    "generate.kyverno.io",
    "cleanup.kyverno.io",
    "clustersecret.io",
    "carvel.dev",
    "k14s.io",
    "synator",
    "kube-syncer",
    "reflector.havulv.io",
    "secretsync.ibm.com",
    "configreflector.github.io",
    "vcluster.loft.sh",
    "karmada.io",
    "janitor",
    // Tools that prune what bears their mark.
    "argoproj.io",
    "fluxcd.io",
    "applyset.kubernetes.io",
    "cattle.io",
    "helm.sh",
    "config.kubernetes.io",
    "config.k8s.io",
    "cli-utils.sigs.k8s.io",
    "configsync.gke.io",
    "configmanagement.gke.io",
    "tanka.dev",
    "werf.io",
    "kops.k8s.io",
    "addonmanager.kubernetes.io",
];

/// Single keys that no exception allows. The policies hold the same list.
pub const REFUSED_KEYS: &[&str] = &[
    "app.kubernetes.io/instance",
    names::LABEL_MANAGED_BY,
    "kubectl.kubernetes.io/last-applied-configuration",
    "kubernetes.io/cluster-service",
    "kubernetes.io/service-account.name",
    "kubernetes.io/service-account.uid",
    "kubernetes.io/enforce-mountable-secrets",
];

/// The only exception for a field of ServiceAccounts.
pub const AUTOMOUNT_FALSE: &str = "automountServiceAccountToken=false";

/// A list of exceptions: a variable of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExceptionList {
    /// Labels of the pull Secret.
    SecretLabels,
    /// Annotations of the pull Secret.
    SecretAnnotations,
    /// Labels of ServiceAccounts.
    ServiceAccountLabels,
    /// Annotations of ServiceAccounts.
    ServiceAccountAnnotations,
    /// Fields of ServiceAccounts.
    ServiceAccountFields,
    /// Pull secrets that others add to ServiceAccounts.
    PullSecrets,
}

impl ExceptionList {
    /// Every list, in the order of the policies.
    pub const ALL: [Self; 6] = [
        Self::SecretLabels,
        Self::SecretAnnotations,
        Self::ServiceAccountLabels,
        Self::ServiceAccountAnnotations,
        Self::ServiceAccountFields,
        Self::PullSecrets,
    ];

    /// Returns the name of the policy.
    pub const fn policy(self) -> &'static str {
        match self {
            Self::SecretLabels | Self::SecretAnnotations => "acr-credential-secrets",
            _ => "acr-credential-serviceaccounts",
        }
    }

    /// Returns the name of the variable.
    pub const fn variable(self) -> &'static str {
        match self {
            Self::SecretLabels | Self::ServiceAccountLabels => "allowedLabels",
            Self::SecretAnnotations | Self::ServiceAccountAnnotations => "allowedAnnotations",
            Self::ServiceAccountFields => "allowedFields",
            Self::PullSecrets => "allowedPullSecrets",
        }
    }

    /// Returns the object of the chart's value `policies.exceptions` that has the list, and the list's name there.
    pub const fn chart_value(self) -> (&'static str, &'static str) {
        match self {
            Self::SecretLabels => ("secrets", "labels"),
            Self::SecretAnnotations => ("secrets", "annotations"),
            Self::ServiceAccountLabels => ("serviceAccounts", "labels"),
            Self::ServiceAccountAnnotations => ("serviceAccounts", "annotations"),
            Self::ServiceAccountFields => ("serviceAccounts", "fields"),
            Self::PullSecrets => ("serviceAccounts", "pullSecrets"),
        }
    }

    /// Checks one exception.
    ///
    /// # Errors
    /// [`InvalidException`]: it is malformed, or nothing can allow it.
    pub fn check(self, exception: &str) -> Result<(), InvalidException> {
        use InvalidException::{Field, OwnPullSecret, PullSecret};
        match self {
            Self::SecretLabels | Self::ServiceAccountLabels => check_key(exception, Keys::Labels),
            Self::SecretAnnotations | Self::ServiceAccountAnnotations => {
                check_key(exception, Keys::Annotations)
            }
            Self::ServiceAccountFields if exception == AUTOMOUNT_FALSE => Ok(()),
            Self::ServiceAccountFields => Err(Field),
            Self::PullSecrets if exception == names::DEFAULT_SECRET_NAME => Err(OwnPullSecret),
            Self::PullSecrets if is_object_name(exception) => Ok(()),
            Self::PullSecrets => Err(PullSecret),
        }
    }
}

/// Exceptions by list, each valid and given once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exceptions(BTreeMap<ExceptionList, Vec<String>>);

impl Exceptions {
    /// Returns the exceptions of a list.
    pub fn of(&self, list: ExceptionList) -> &[String] {
        self.0.get(&list).map_or(&[], Vec::as_slice)
    }

    /// Adds an exception, unless the list has it already.
    pub fn add(&mut self, list: ExceptionList, exception: &str) {
        let items = self.0.entry(list).or_default();
        if items.iter().all(|item| item != exception) {
            items.push(exception.to_owned());
        }
    }

    /// Returns these exceptions and further ones.
    #[must_use]
    pub fn with(mut self, more: &Self) -> Self {
        for (list, items) in &more.0 {
            items.iter().for_each(|item| self.add(*list, item));
        }
        self
    }

    /// Returns the first exception that is malformed, or that nothing can allow, with its list and the reason.
    pub fn invalid(&self) -> Option<(ExceptionList, &str, InvalidException)> {
        let all = self.0.iter().flat_map(|(list, items)| items.iter().map(move |item| (*list, item)));
        all.into_iter().find_map(|(list, item)| list.check(item).err().map(|why| (list, item.as_str(), why)))
    }
}

/// Reason why an exception is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidException {
    /// It has none of the three forms.
    #[error("write key=value, key or domain/*; a key is a name, or a domain, a slash and a name")]
    Form,
    /// The value cannot be a label's.
    #[error(
        "a label cannot have this value: it has at most 63 letters, digits, dots, dashes and underscores"
    )]
    LabelValue,
    /// The value has characters that no tool writes.
    #[error("the value has a control character")]
    AnnotationValue,
    /// A wildcard beyond one domain.
    #[error("a * is possible only as domain/*, for every key of one domain: name each domain")]
    Wildcard,
    /// The fixed list refuses it.
    #[error(
        "no exception allows this key: {0} is in the policies' fixed list. Such keys give an identity, copy objects, or \
         have a tool prune them. Exempt the controller's user in the policy or webhook that adds it"
    )]
    Refused(String),
    /// A field other than the one that can be allowed.
    #[error("the only possible exception for a field is {AUTOMOUNT_FALSE}")]
    Field,
    /// Not the name of a Secret.
    #[error("write the name of a Secret, without its namespace")]
    PullSecret,
    /// The controller's own entry.
    #[error("this is the controller's own entry, which needs no exception")]
    OwnPullSecret,
}

/// The kind of key that is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    Labels,
    Annotations,
}

fn check_key(exception: &str, keys: Keys) -> Result<(), InvalidException> {
    let (key, value) = match exception.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (exception, None),
    };
    // Every key of a domain has the validity of its domain.
    let domain = key.strip_suffix("/*");
    if key.replacen("/*", "", 1).contains('*') || domain.is_some() && value.is_some() || domain == Some("") {
        return Err(InvalidException::Wildcard);
    }
    let example = domain.map_or_else(|| key.to_owned(), |domain| format!("{domain}/a"));
    let valid = match keys {
        Keys::Labels => is_key(&example),
        // The API server compares annotations without regard to case.
        Keys::Annotations => is_key(&example.to_ascii_lowercase()),
    };
    if !valid {
        return Err(InvalidException::Form);
    }
    if let Some(by) = refused(&example) {
        return Err(InvalidException::Refused(by.to_owned()));
    }
    match (value, keys) {
        (Some(value), Keys::Labels) if !is_value(value) => Err(InvalidException::LabelValue),
        (Some(value), Keys::Annotations) if value.contains(char::is_control) => {
            Err(InvalidException::AnnotationValue)
        }
        _ => Ok(()),
    }
}

/// Returns the entry of the fixed list that refuses a key: a domain, with its subdomains, or the key itself.
pub fn refused(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase();
    let domain = key.split_once('/').map(|(domain, _)| domain);
    let within = |refused: &str| {
        let rest = domain.and_then(|domain| domain.strip_suffix(refused));
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let by_domain = REFUSED_DOMAINS.iter().copied().find(|refused| within(refused));
    by_domain.or_else(|| REFUSED_KEYS.iter().copied().find(|refused| *refused == key))
}

/// Returns whether a text can be the name of a Secret.
fn is_object_name(name: &str) -> bool {
    name.len() <= 253 && is_key(&format!("{name}/a"))
}
