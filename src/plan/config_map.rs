//! The next step of the ConfigMap loop, and the condition of the binding that is made from the ConfigMap.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;

use super::condition::BindingCondition;
use super::failure::Failure;
use crate::api::binding::DeletionPolicy;
use crate::api::{AcrCredentialBinding, ConditionType, Reason, names};
use crate::model::legacy::{self, Conversion};

/// State of the ConfigMap and its binding.
#[derive(Clone, Copy, Debug)]
pub struct ConfigMapObservation<'a> {
    /// Whether the watch has listed it.
    pub listed: bool,
    /// The ConfigMap, where it exists.
    pub config_map: Option<&'a ConfigMap>,
    /// Why it may not be read.
    pub forbidden: Option<&'a str>,
    /// The binding of that name, made from the ConfigMap or not.
    pub binding: Option<&'a AcrCredentialBinding>,
    /// Since when it is gone.
    pub gone_since: Option<Instant>,
    /// How long it may be gone before its binding is deleted.
    pub grace: Duration,
}

/// The next step of the ConfigMap loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigMapStep {
    /// Wait for a change.
    Wait,
    /// Report that the ConfigMap may not be read; its binding stays as it is.
    ReportForbidden,
    /// Delete key pairs that no binding names.
    DeleteUnusedKeys,
    /// Report that the ConfigMap is missing, and wait for the rest of its grace.
    ReportMissing(Duration),
    /// Delete the binding.
    DeleteBinding,
    /// Make the binding its user's own.
    Graduate,
    /// Report that a binding of that name was made by a user.
    ReportForeignBinding,
    /// Convert the ConfigMap into its binding.
    Convert,
}

impl<'a> ConfigMapObservation<'a> {
    /// Returns the binding, where it is made from the ConfigMap.
    pub fn converted(&self) -> Option<&'a AcrCredentialBinding> {
        self.binding.filter(|b| b.labels().get(names::LABEL_CONVERTED).is_some_and(|v| v == "true"))
    }

    /// Returns the next step.
    pub fn step(&self, now: Instant) -> ConfigMapStep {
        let converted = self.converted();
        if !self.listed {
            let report = self.forbidden.is_some() && converted.is_some();
            return if report { ConfigMapStep::ReportForbidden } else { ConfigMapStep::Wait };
        }
        let Some(config_map) = self.config_map else { return self.step_without_config_map(now) };
        let authoritative = config_map.annotations().get(names::ANNOTATION_AUTHORITATIVE);
        if authoritative.is_some_and(|value| value == "false") {
            return if converted.is_some() { ConfigMapStep::Graduate } else { ConfigMapStep::Wait };
        }
        if self.binding.is_some() && converted.is_none() {
            return ConfigMapStep::ReportForeignBinding;
        }
        ConfigMapStep::Convert
    }

    /// Returns the next step while the ConfigMap is missing. A GitOps tool may delete it and make it again within seconds,
    /// so its binding stays for a while.
    fn step_without_config_map(&self, now: Instant) -> ConfigMapStep {
        let Some(binding) = self.converted() else { return ConfigMapStep::DeleteUnusedKeys };
        if binding.metadata.deletion_timestamp.is_some() {
            // It names its key pairs for as long as it exists.
            return ConfigMapStep::Wait;
        }
        let gone_for = self.gone_since.map_or(Duration::ZERO, |since| now.duration_since(since));
        match self.grace.saturating_sub(gone_for) {
            Duration::ZERO => ConfigMapStep::DeleteBinding,
            left => ConfigMapStep::ReportMissing(left),
        }
    }
}

/// The conversion of a ConfigMap, and what is reported of it.
#[derive(Debug)]
pub struct Converted {
    /// The conversion.
    pub conversion: Conversion,
    /// The findings, in words.
    pub summary: String,
}

/// The last conversion, which serves for as long as the data of the ConfigMap stay the same. Other bindings change far
/// more often.
#[derive(Debug, Default)]
pub struct LastConversion(Option<(Arc<ConfigMap>, Arc<Converted>)>);

impl LastConversion {
    /// Returns the conversion of a ConfigMap. Data are compared, since a restored etcd gives a version twice.
    pub fn of(
        &mut self,
        config_map: &Arc<ConfigMap>,
        convert: impl FnOnce(&BTreeMap<String, String>) -> Conversion,
    ) -> Arc<Converted> {
        let is_same = |last: &Arc<ConfigMap>| Arc::ptr_eq(last, config_map) || last.data == config_map.data;
        if let Some((_, converted)) = self.0.as_ref().filter(|(last, _)| is_same(last)) {
            return converted.clone();
        }
        let none = BTreeMap::new();
        let conversion = convert(config_map.data.as_ref().unwrap_or(&none));
        let summary = legacy::summarize(&conversion.findings);
        let converted = Arc::new(Converted { conversion, summary });
        self.0 = Some((config_map.clone(), converted.clone()));
        converted
    }
}

/// Returns the condition of a binding whose ConfigMap is missing.
pub fn missing(grace: Duration, policy: DeletionPolicy) -> BindingCondition {
    let message = format!(
        "The ConfigMap is missing. Unless it comes back within {} s of its deletion, this binding is deleted, with \
         deletionPolicy {policy:?}.",
        grace.as_secs(),
    );
    condition(false, Failure::new(Reason::LegacyConfigMissing, message))
}

/// Returns the condition of a binding whose ConfigMap may not be read.
pub fn forbidden(why: &str) -> BindingCondition {
    let message = format!(
        "The ConfigMap cannot be read, and this binding stays as it is: {why}; apply the RBAC of this version"
    );
    condition(false, Failure::new(Reason::Forbidden, message))
}

/// Returns the condition of a binding after the conversion of its ConfigMap. `summary`: the findings, in words.
pub fn converted(valid: bool, summary: &str) -> BindingCondition {
    let why = match (valid, summary.is_empty()) {
        (true, true) => Failure::new(Reason::Succeeded, "The ConfigMap is valid."),
        (true, false) => Failure::new(Reason::Succeeded, summary),
        (false, _) => Failure::new(Reason::LegacyConfigInvalid, summary),
    };
    condition(valid, why)
}

/// Returns the Event's note on a ConfigMap beside a user's own binding of its name.
pub fn foreign_binding_note(binding: &str) -> String {
    format!(
        "The AcrCredentialBinding {binding} is not made from this ConfigMap, which has no effect: delete one of them, or \
         annotate the ConfigMap with {}: \"false\"",
        names::ANNOTATION_AUTHORITATIVE
    )
}

/// Returns the Event's note on a binding whose edit was reverted.
pub fn reverted_note(config_map: &ConfigMap) -> String {
    format!(
        "The edit of this binding was reverted: it is made from the ConfigMap {}/{}, which is authoritative. Edit the \
         ConfigMap instead",
        config_map.namespace().unwrap_or_default(),
        config_map.name_any()
    )
}

fn condition(holds: bool, why: Failure) -> BindingCondition {
    BindingCondition { kind: ConditionType::LegacyConfigValid, holds, why }
}

#[cfg(test)]
mod tests;
