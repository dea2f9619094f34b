//! One binding as it was last seen, and what it means: its phase, its finalizer, the credentials in force for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::credential_cache::CredentialCache;
use super::packed_pairs::PackedPairs;
use super::priority::Priority;
use super::resolved_binding::{Phase, RegistryCredential};
use super::withdrawal_guard::WithdrawalIntent;
use crate::api::{AcrCredentialBinding, AcrCredentialBindingStatus, ConditionType, names};
use crate::model::identity::CredentialSource;
use crate::model::{Binding, InvalidField, Registry, RegistryKey};

/// Registries of earlier specs that are remembered of a binding, at most.
const EARLIER: usize = 64;

/// One binding.
#[derive(Clone, Debug)]
pub struct StoredBinding {
    /// The object, but for the pairs of its status.
    pub object: Arc<AcrCredentialBinding>,
    /// The pairs of its status.
    pairs: PackedPairs,
    /// Errors of its spec.
    pub invalid: Vec<InvalidField>,
    /// The last valid spec: it stays in force.
    pub good: Option<Arc<Binding>>,
    /// Registries of the specs before it that covered the same namespaces, the last ones first.
    earlier: Vec<Registry>,
    /// Whether it carried our finalizer at some time.
    had_finalizer: bool,
    /// The effect of its deletion, once that is decided.
    pub deletion: Option<Phase>,
    /// The refresh request that is under way.
    pub refreshing: Option<String>,
    /// The last refresh request that was handled.
    pub handled_refresh: Option<String>,
}

/// Everything that a binding requests from the cluster or the cloud.
#[derive(PartialEq)]
struct Requests {
    in_force: Option<(Arc<Binding>, Phase)>,
    invalid: Vec<InvalidField>,
    refreshing: Option<String>,
    intent: WithdrawalIntent,
}

/// Difference that an observation made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindingChange {
    /// What the binding requests from the cluster or the cloud changed.
    pub changed: bool,
    /// It requests fresh credentials.
    pub refresh: bool,
}

impl StoredBinding {
    /// Returns the binding as an object describes it. `before`: the same object as it was last seen.
    pub fn observe(mut object: AcrCredentialBinding, before: Option<Self>, cluster_region: &str) -> Self {
        let (good, invalid) = match Binding::parse_stored(&object, cluster_region) {
            Ok(binding) => (Some(Arc::new(binding)), Vec::new()),
            Err(invalid) => (before.as_ref().and_then(|b| b.good.clone()), invalid),
        };
        let handled_refresh =
            before.as_ref().and_then(|b| b.handled_refresh.clone()).or_else(|| reported_refresh(&object));
        let pairs = object.status.as_mut().map(|status| std::mem::take(&mut status.pairs));
        Self {
            pairs: PackedPairs::pack(pairs.unwrap_or_default()),
            earlier: before.as_ref().map(|before| before.earlier_than(good.as_ref())).unwrap_or_default(),
            had_finalizer: before.as_ref().is_some_and(|b| b.had_finalizer || b.has_finalizer()),
            refreshing: pending_refresh(&object, handled_refresh.as_ref()),
            deletion: before.and_then(|b| b.deletion),
            object: Arc::new(object),
            invalid,
            good,
            handled_refresh,
        }
    }

    /// Returns what a newer observation changed.
    pub fn change_since(&self, before: Option<&Self>) -> BindingChange {
        let (before, after) = (before.map(Self::requests), self.requests());
        let asked = before.as_ref().map(|before| &before.refreshing);
        let refresh = self.refreshing.is_some() && asked != Some(&self.refreshing);
        BindingChange { changed: before.as_ref() != Some(&after), refresh }
    }

    /// Starts again from what the object says: a refresh that was requested meanwhile may have been another replica's.
    pub fn restart(&mut self) {
        self.handled_refresh = reported_refresh(&self.object);
        self.refreshing = pending_refresh(&self.object, self.handled_refresh.as_ref());
    }

    /// Returns whether its namespaces are under our care: it carries the finalizer, and the effect of a deletion is
    /// decided.
    pub fn is_governed(&self) -> bool {
        self.has_finalizer() && (!self.is_deleting() || self.good.is_some() && self.deletion.is_some())
    }

    /// Returns the registries to remember once `next` is in force. Elsewhere no binding requested them.
    fn earlier_than(&self, next: Option<&Arc<Binding>>) -> Vec<Registry> {
        let before = self.good.as_ref();
        if before.map(|binding| &binding.namespaces) != next.map(|binding| &binding.namespaces) {
            return Vec::new();
        }
        let replaced = before.filter(|_| before != next);
        let replaced = replaced.iter().flat_map(|binding| binding.registries.clone());
        replaced.chain(self.earlier.clone()).take(EARLIER).collect()
    }

    fn requests(&self) -> Requests {
        Requests {
            in_force: self.in_force(),
            invalid: self.invalid.clone(),
            refreshing: self.refreshing.clone(),
            intent: self.intent(),
        }
    }

    /// Returns whether the binding is being deleted.
    pub fn is_deleting(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some()
    }

    /// Returns whether a user has suspended it.
    pub fn is_suspended(&self) -> bool {
        self.good.as_ref().is_some_and(|binding| binding.suspend)
    }

    /// Returns the priority of its next step: one that is new does not wait for hundreds that leave.
    pub fn priority(&self) -> Priority {
        match self.is_deleting() {
            true => Priority::Bulk,
            false if self.object.status.is_none() => Priority::New,
            false => Priority::Changed,
        }
    }

    fn phase(&self, binding: &Binding) -> Phase {
        match (self.is_deleting(), self.deletion) {
            (true, Some(phase)) => phase,
            // Until it is known whether the CRD itself is being deleted, nothing is touched.
            (true, None) => Phase::Suspended,
            (false, _) if binding.suspend => Phase::Suspended,
            (false, _) => Phase::Active,
        }
    }

    /// Returns whether the binding carries our finalizer. Without it nothing is written: our Secrets must not outlive
    /// a deletion that we do not see.
    pub fn has_finalizer(&self) -> bool {
        self.object.finalizers().iter().any(|f| f == names::FINALIZER)
    }

    /// Returns whether it lost our finalizer, as by a replacement of the whole object.
    fn lost_finalizer(&self) -> bool {
        let gone = !self.has_finalizer() && !self.is_deleting();
        gone && (self.had_finalizer || self.has_status())
    }

    /// Returns whether its coverage matters: it carries the finalizer, or did and will again.
    pub fn counts(&self) -> bool {
        self.has_finalizer() || self.lost_finalizer()
    }

    fn has_status(&self) -> bool {
        let status = self.object.status.as_ref();
        status.and_then(|status| status.observed_generation).is_some_and(|g| g >= 0)
    }

    /// Returns the binding, where it is active and requests an entry in ServiceAccounts at their creation.
    pub fn requests_admission(&self) -> Option<Arc<Binding>> {
        let (binding, phase) = self.in_force()?;
        (phase == Phase::Active && binding.admission.is_some()).then_some(binding)
    }

    /// Returns whether its status describes its present spec.
    pub fn is_observed(&self) -> bool {
        let observed = self.object.status.as_ref().and_then(|status| status.observed_generation);
        observed.is_some() && observed == self.object.metadata.generation
    }

    /// Returns what it says about namespaces that it no longer selects.
    pub fn intent(&self) -> WithdrawalIntent {
        let confirmed = self.object.annotations().get(names::ANNOTATION_CONFIRM_WITHDRAWAL);
        let confirmed = confirmed.and_then(|value| value.trim().parse::<i64>().ok());
        match self.is_suspended() {
            _ if self.is_deleting() => WithdrawalIntent::Leaving,
            _ if confirmed.is_some() && confirmed == self.object.metadata.generation => {
                WithdrawalIntent::Confirmed
            }
            true => WithdrawalIntent::Suspended,
            false => WithdrawalIntent::Guarded,
        }
    }

    /// Returns whether it covered namespaces when its status was last written. A binding with a finalizer and without
    /// a status may have.
    pub fn may_have_covered(&self) -> bool {
        let status = self.object.status.as_ref();
        let matched = status.and_then(|status| status.namespaces.as_ref()).is_some_and(|n| n.matched > 0);
        self.counts() && (matched || !self.has_status())
    }

    /// Returns since when its status reports a held withdrawal.
    pub fn held_since(&self) -> Option<Timestamp> {
        let conditions = self.object.status.iter().flat_map(|status| &status.conditions);
        let held = ConditionType::WithdrawalHeld.as_str();
        conditions
            .into_iter()
            .find(|c| c.type_ == held && c.status == "True")
            .map(|c| c.last_transition_time.0)
    }

    /// Returns its status, with the pairs.
    pub fn status(&self) -> Option<AcrCredentialBindingStatus> {
        let status = self.object.status.clone()?;
        Some(AcrCredentialBindingStatus { pairs: self.pairs.unpack(), ..status })
    }

    /// Returns the namespaces that its status names.
    pub fn reported_namespaces(&self) -> BTreeSet<&str> {
        self.pairs.namespaces().collect()
    }

    /// Returns the spec in force and its phase.
    pub fn in_force(&self) -> Option<(Arc<Binding>, Phase)> {
        let binding = self.good.clone()?;
        let phase = match self.has_finalizer() {
            true => self.phase(&binding),
            // Until the finalizer is back, nothing is written and nothing is withdrawn.
            false if self.lost_finalizer() => Phase::Suspended,
            false => return None,
        };
        Some((binding, phase))
    }

    /// Returns the credential in force for a registry. A registry that was edited, and has no credential yet, uses the
    /// one of its earlier spec for as long as that is valid.
    pub fn credential(
        &self,
        registry: &Registry,
        credentials: &CredentialCache,
        now: Timestamp,
    ) -> RegistryCredential {
        if !registry.is_served() {
            return RegistryCredential::Missing;
        }
        let current = credentials.credential(registry);
        if !matches!(current, RegistryCredential::Missing) {
            return current;
        }
        let same =
            |key: &RegistryKey| (&key.edition, &key.region) == (&registry.key.edition, &registry.key.region);
        let earlier = self.earlier.iter().filter(|earlier| same(&earlier.key));
        let earlier = earlier.map(|earlier| {
            credentials.credential(&Registry { key: earlier.key.clone(), ..registry.clone() })
        });
        let is_valid = |credential: &RegistryCredential| match credential {
            RegistryCredential::Held { credential, .. } => credential.expires_at > now,
            RegistryCredential::Pending | RegistryCredential::Missing => false,
        };
        earlier.into_iter().find(is_valid).unwrap_or(current)
    }

    /// Returns the names of the Secrets with key pairs that it names, as it is and as it was last valid.
    pub fn key_secrets(&self) -> BTreeSet<String> {
        let written = self.object.spec.registries.iter();
        let written = written.filter_map(|r| Some(r.access_key_secret_ref.as_ref()?.name.clone()));
        let in_force = self.good.iter().flat_map(|binding| &binding.registries);
        let in_force = in_force.filter_map(|registry| match &registry.key.identity.source {
            CredentialSource::AccessKey { secret } => Some(secret.to_string()),
            CredentialSource::ControllerIdentity | CredentialSource::Rrsa { .. } => None,
        });
        written.chain(in_force).collect()
    }
}

/// Returns the namespaces that the status of a binding names, one for each pair.
pub fn reported_namespaces(object: &AcrCredentialBinding) -> impl Iterator<Item = &str> {
    let pairs = object.status.iter().flat_map(|status| &status.pairs);
    pairs.map(|pair| pair.namespace.as_str())
}

/// Returns the refresh request that the status reports as handled.
fn reported_refresh(object: &AcrCredentialBinding) -> Option<String> {
    object.status.as_ref()?.last_handled_refresh_at.clone()
}

/// Returns the refresh request that is still to be handled.
fn pending_refresh(object: &AcrCredentialBinding, handled: Option<&String>) -> Option<String> {
    object.annotations().get(names::ANNOTATION_REFRESH_AT).filter(|asked| handled != Some(*asked)).cloned()
}

#[cfg(test)]
pub(crate) mod tests;
