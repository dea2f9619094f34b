//! Coverage: the namespaces and ServiceAccounts that a binding selects.
//!
//! A [`ObjectSelection`] covers an object whose name matches any of its names, or whose labels match its selector, and whose
//! name matches none of its excluded names. Three readers decide by it: this process ([`BindingCoverage::covers`]), the API
//! server in our `MutatingAdmissionPolicy` ([`BindingCoverage::parameter`]), and the API server before it calls our webhook
//! ([`BindingCoverage::webhook_filters`]). `tests/integration/coverage.rs` holds the three equal on a real API server.

mod expression;
mod parameter;
mod selection_index;
mod webhook_filter;

pub use self::parameter::{FORMAT, Parameter};
pub use self::selection_index::SelectionIndex;
pub use self::webhook_filter::WebhookFilter;

use super::labels::{Labels, Selector};
use super::pattern::Pattern;

/// The objects of one kind that a binding selects.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectSelection {
    /// Names and globs; each match is enough.
    pub names: Vec<Pattern>,
    /// A label selector; its match is enough too.
    pub selector: Option<Selector>,
    /// Names and globs that are never selected. Always empty for ServiceAccounts.
    pub exclude: Vec<Pattern>,
}

impl ObjectSelection {
    /// Returns whether an object is selected.
    pub fn covers(&self, name: &str, labels: &Labels) -> bool {
        self.selects(name, labels) && self.excluded_by(name).is_none()
    }

    /// Returns whether its name or its labels select an object, excluded or not.
    pub fn selects(&self, name: &str, labels: &Labels) -> bool {
        let named = self.names.iter().any(|pattern| pattern.matches(name));
        named || self.selector.as_ref().is_some_and(|selector| selector.matches(labels))
    }

    /// Returns the pattern that excludes a name. For a pattern of names, it excludes every name that matches it.
    pub fn excluded_by(&self, name: &str) -> Option<&Pattern> {
        self.exclude.iter().find(|pattern| pattern.matches(name))
    }

    /// Returns whether an object is selected by its name alone, with any labels.
    pub fn covers_name(&self, name: &str) -> bool {
        self.names.iter().any(|pattern| pattern.matches(name)) && self.excluded_by(name).is_none()
    }
}

/// The ServiceAccounts that a binding covers: those that it selects, in namespaces that it selects.
#[derive(Clone, Copy, Debug)]
pub struct BindingCoverage<'a> {
    /// The selected namespaces.
    pub namespaces: &'a ObjectSelection,
    /// The selected ServiceAccounts.
    pub service_accounts: &'a ObjectSelection,
}

/// An object as a selection sees it.
#[derive(Clone, Copy, Debug)]
pub struct NamedLabels<'a> {
    /// The object's name.
    pub name: &'a str,
    /// The object's labels.
    pub labels: &'a Labels,
}

impl BindingCoverage<'_> {
    /// Returns whether a ServiceAccount in a namespace is covered.
    pub fn covers(&self, namespace: NamedLabels<'_>, service_account: NamedLabels<'_>) -> bool {
        self.namespaces.covers(namespace.name, namespace.labels)
            && self.service_accounts.covers(service_account.name, service_account.labels)
    }
}
