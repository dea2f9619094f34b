//! Decisions about the ConfigMap of our MutatingAdmissionPolicy: whether to write it, and what is known of the API
//! server.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::api::names;

/// Time for the API server to apply a new version, where it applied one before. Some milliseconds are usual.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same where nothing shows that the policy exists.
const FIRST_PATIENCE: Duration = Duration::from_secs(2);

/// How often a policy in force is checked again: it may be deleted.
const CHECK_EVERY: Duration = Duration::from_secs(60);

/// Failures that pass by themselves, after which the last result counts no more.
const PASSING_FAILURES: u32 = 5;

/// Data of the ConfigMap.
pub type ParameterData = BTreeMap<String, String>;

/// Returns whether the ConfigMap differs from what is wanted. `data`: `None` where it does not exist or cannot be read;
/// none at all says the same as an empty one.
pub fn differs(wanted: &ParameterData, data: Option<&ParameterData>) -> bool {
    data.map_or(!wanted.is_empty(), |data| data != wanted)
}

/// The version that the API server was seen to apply.
#[derive(Clone, Debug)]
struct AppliedVersion {
    resource_version: Box<str>,
    checked_at: Instant,
}

/// What is known of the API server.
#[derive(Clone, Debug, Default)]
pub struct PolicyState {
    /// Whether it may apply some version of the ConfigMap.
    in_force: bool,
    applied: Option<AppliedVersion>,
    /// Failed checks in a row.
    failures: u32,
}

/// The next step for a version of the ConfigMap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckStep {
    /// It was applied a moment ago: check again after this time, if at all.
    Wait(Option<Duration>),
    /// Nothing is requested, and no version is in force.
    Unused,
    /// Check for this long whether the API server applies it.
    Check(Duration),
}

impl PolicyState {
    /// Returns the state at the start. `in_force`: an earlier leader may have left a version in force.
    pub fn new(in_force: bool) -> Self {
        Self { in_force, ..Self::default() }
    }

    /// Returns the next step for a version. `requested`: whether some binding requests it.
    pub fn step(&self, resource_version: &str, requested: bool, now: Instant) -> CheckStep {
        if let Some(applied) = &self.applied
            && *applied.resource_version == *resource_version
        {
            let left = CHECK_EVERY.saturating_sub(now.duration_since(applied.checked_at));
            if !left.is_zero() {
                return CheckStep::Wait(requested.then_some(left));
            }
        }
        match (requested, self.in_force) {
            (false, false) => CheckStep::Unused,
            (_, true) => CheckStep::Check(PATIENCE),
            (true, false) => CheckStep::Check(FIRST_PATIENCE),
        }
    }

    /// Records that the API server applies a version. Returns when to check again.
    pub fn applied(&mut self, resource_version: Box<str>, requested: bool, now: Instant) -> Option<Duration> {
        let applied = requested.then_some(AppliedVersion { resource_version, checked_at: now });
        *self = Self { in_force: requested, applied, failures: 0 };
        requested.then_some(CHECK_EVERY)
    }

    /// Records that the API server does not apply a version. Returns the number of failures in a row.
    pub fn not_applied(&mut self) -> u32 {
        *self = Self { failures: self.failures.saturating_add(1), ..Self::default() };
        self.failures
    }

    /// Records a call that failed. Returns the number of failures in a row, and whether the state is lost. A failure
    /// that passes by itself changes nothing at first.
    pub fn failed(&mut self, passing: bool) -> (u32, bool) {
        self.failures = self.failures.saturating_add(1);
        let lost = !passing || self.failures > PASSING_FAILURES;
        if lost {
            (self.in_force, self.applied) = (false, None);
        }
        (self.failures, lost)
    }

    /// Returns whether the last check or call failed.
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Reason while the controller runs with `--dry-run`.
pub const DRY_RUN: &str = "nothing is added to any ServiceAccount while the controller runs with --dry-run";

/// Describes another writer that reverts the ConfigMap.
pub fn contended(namespace: &str) -> Box<str> {
    let name = names::ADMISSION_NAME;
    format!(
        "the ConfigMap {namespace}/{name} is changed or deleted again and again by another writer; it is left alone \
         for a while: stop that writer"
    )
    .into()
}

/// Describes a policy that is not in force. `served`: whether the API server serves MutatingAdmissionPolicies.
pub fn not_in_force(served: bool) -> Box<str> {
    if served {
        let name = names::ADMISSION_NAME;
        format!("the MutatingAdmissionPolicy {name} is not in force: apply deploy/admission.yaml").into()
    } else {
        "this API server does not serve MutatingAdmissionPolicy v1, which came with Kubernetes 1.36; apply \
         deploy/webhook.yaml instead"
            .into()
    }
}

#[cfg(test)]
mod tests;
