//! What is printed of a binding.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::binding::AcrCredentialBinding;
use crate::api::names;
use crate::api::status::{NamespaceCounts, PairStatus, RegistryStatus, ServiceAccountCounts};
use crate::api::{ConditionType, Reason};

/// The bindings.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BindingsReport {
    /// The bindings, by name.
    pub bindings: Vec<BindingReport>,
}

impl BindingsReport {
    /// Returns whether every binding is ready, and there is one.
    pub fn is_ready(&self) -> bool {
        !self.bindings.is_empty() && self.bindings.iter().all(BindingReport::is_ready)
    }
}

/// One binding.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BindingReport {
    /// Its name.
    pub name: String,
    /// Whether the controller made it from the ConfigMap `acr-configuration`, which is authoritative.
    pub from_config_map: bool,
    /// Whether it is suspended.
    pub suspended: bool,
    /// Status of the condition `Ready`: `True`, `False` or `Unknown`.
    pub ready: String,
    /// Reason of the condition `Ready`; empty before the first report.
    pub reason: String,
    /// Message of the condition `Ready`; empty before the first report.
    pub message: String,
    /// Whether the status is about the current spec.
    pub current: bool,
    /// Other conditions that need attention.
    pub problems: Vec<ProblemReport>,
    /// The registries, in the order of the spec.
    pub registries: Vec<RegistryReport>,
    /// Counts of the namespaces.
    pub namespaces: NamespaceCounts,
    /// Counts of the ServiceAccounts.
    pub service_accounts: ServiceAccountCounts,
    /// Namespaces that are not ready, by name, as far as the status lists them.
    pub failing: Vec<FailingNamespace>,
    /// Number of namespaces that are not ready and not in `failing`.
    pub failing_omitted: i64,
    /// The refresh that was handled last, as its annotation requested it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_refresh_at: Option<String>,
}

/// A condition that needs attention.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProblemReport {
    /// Type of the condition.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its reason.
    pub reason: String,
    /// Its message.
    pub message: String,
}

/// One registry.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistryReport {
    /// Instance id, or `personal`.
    pub registry: String,
    /// Region of the registry.
    pub region_id: String,
    /// Domains of the credential.
    pub domains: Vec<String>,
    /// The chain of identities that requests the credential.
    pub identity: String,
    /// Status of the condition `Issued`: `True`, `False` or `Unknown`.
    pub issued: String,
    /// Reason of the condition `Issued`.
    pub reason: String,
    /// Message of the condition `Issued`.
    pub message: String,
    /// Expiry of the credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Time of the last refresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refreshed_at: Option<Time>,
    /// Time of the next refresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_refresh_at: Option<Time>,
}

/// A namespace that is not ready, with the registries that share the reason.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailingNamespace {
    /// The namespace.
    pub namespace: String,
    /// The registries: instance ids, or `personal`.
    pub registries: Vec<String>,
    /// Reason of the condition `Ready`.
    pub reason: String,
    /// Message of the condition `Ready`.
    pub message: String,
}

/// The namespaces whose failures are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NamespaceFilter {
    /// All of them.
    #[default]
    Every,
    /// One. Others are only counted.
    One(Box<str>),
}

impl NamespaceFilter {
    fn lists(&self, namespace: &str) -> bool {
        match self {
            Self::Every => true,
            Self::One(one) => **one == *namespace,
        }
    }
}

impl BindingReport {
    /// Reports on a binding from its own status.
    pub fn new(binding: &AcrCredentialBinding, filter: &NamespaceFilter) -> Self {
        let status = binding.status.clone().unwrap_or_default();
        let ready = ReportedCondition::of(&status.conditions, ConditionType::Ready);
        let namespaces = status.namespaces.unwrap_or_default();
        let all = failing(&status.pairs);
        let distinct = |listed: &[FailingNamespace]| {
            let mut names: Vec<&str> = listed.iter().map(|item| item.namespace.as_str()).collect();
            names.dedup();
            i64::try_from(names.len()).unwrap_or(i64::MAX)
        };
        // The counts are exact, and the list of pairs is not. Pairs may fail while the count has not been written yet.
        let total = (namespaces.matched - namespaces.ready).max(distinct(&all));
        let listed: Vec<_> = all.into_iter().filter(|item| filter.lists(&item.namespace)).collect();
        Self {
            name: printable(&binding.name_any()),
            from_config_map: is_from_config_map(binding),
            suspended: binding.spec.suspend,
            ready: ready.status,
            reason: ready.reason,
            message: ready.message,
            current: status.observed_generation == binding.metadata.generation,
            problems: problems(&status.conditions),
            registries: status.registries.iter().map(RegistryReport::new).collect(),
            namespaces,
            service_accounts: status.service_accounts.unwrap_or_default(),
            failing_omitted: total - distinct(&listed),
            failing: listed,
            last_handled_refresh_at: status.last_handled_refresh_at,
        }
    }

    /// Returns whether the binding is ready, by a report on its current spec.
    pub fn is_ready(&self) -> bool {
        self.current && self.ready == "True"
    }

    /// Returns whether a refresh succeeded: the credentials are new, and not the last valid ones.
    pub fn is_refreshed(&self) -> bool {
        self.is_ready() && self.reason != Reason::RefreshFailing.as_str()
    }
}

/// Returns whether the ConfigMap is authoritative for a binding.
pub(in crate::cli) fn is_from_config_map(binding: &AcrCredentialBinding) -> bool {
    binding.labels().get(names::LABEL_CONVERTED).is_some_and(|value| value == "true")
}

impl RegistryReport {
    fn new(registry: &RegistryStatus) -> Self {
        let issued = ReportedCondition::of(&registry.conditions, ConditionType::Issued);
        Self {
            registry: printable(&registry.registry),
            region_id: printable(&registry.region_id),
            domains: registry.domains.iter().map(|domain| printable(domain)).collect(),
            identity: printable(&registry.identity),
            issued: issued.status,
            reason: issued.reason,
            message: issued.message,
            expires_at: registry.expires_at.clone(),
            refreshed_at: registry.refreshed_at.clone(),
            next_refresh_at: registry.next_refresh_at.clone(),
        }
    }
}

/// What a condition says.
struct ReportedCondition {
    status: String,
    reason: String,
    message: String,
}

impl ReportedCondition {
    fn of(conditions: &[Condition], kind: ConditionType) -> Self {
        match conditions.iter().find(|condition| condition.type_ == kind.as_str()) {
            Some(found) => Self {
                status: printable(&found.status),
                reason: printable(&found.reason),
                message: printable(&found.message),
            },
            None => Self { status: "Unknown".to_owned(), reason: String::new(), message: String::new() },
        }
    }
}

/// Returns the conditions that need attention and are not part of `Ready`.
fn problems(conditions: &[Condition]) -> Vec<ProblemReport> {
    let mut found = Vec::new();
    for (kind, bad) in [
        (ConditionType::LegacyConfigValid, "False"),
        (ConditionType::PoliciesEnforced, "False"),
        (ConditionType::AdmissionConfigured, "False"),
        (ConditionType::WithdrawalHeld, "True"),
        (ConditionType::Contended, "True"),
    ] {
        let reported = ReportedCondition::of(conditions, kind);
        if reported.status == bad {
            let kind = kind.as_str().to_owned();
            found.push(ProblemReport { kind, reason: reported.reason, message: reported.message });
        }
    }
    found
}

/// Returns the namespaces whose pairs are not ready, by name. Registries with the same reason are one item.
fn failing(pairs: &[PairStatus]) -> Vec<FailingNamespace> {
    let mut found: BTreeMap<(String, String, String), Vec<String>> = BTreeMap::new();
    for pair in pairs {
        let reported = ReportedCondition::of(&pair.conditions, ConditionType::Ready);
        if reported.status != "True" {
            let key = (printable(&pair.namespace), reported.reason, reported.message);
            found.entry(key).or_default().push(printable(&pair.registry));
        }
    }
    let item = |((namespace, reason, message), registries)| FailingNamespace {
        namespace,
        registries,
        reason,
        message,
    };
    found.into_iter().map(item).collect()
}

/// Returns text on one line, without what a terminal would take for a command.
fn printable(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
