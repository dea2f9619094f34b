//! Decisions about the MutatingWebhookConfiguration: whether to maintain it, and whether to write it now.

use std::time::Duration;

use super::admission_mode::ModeResult;

/// Time for the first inspection of the MutatingAdmissionPolicy. A webhook that is not needed should not be configured,
/// not even for a moment.
pub const POLICY_FIRST: Duration = Duration::from_secs(3);

/// Reason where the webhook is off.
const OFF: &str = "the webhook is off: set --webhook-address";

/// Reason while replicas may lack the certificate.
const NOT_ALL: &str = "the right to the webhook's certificate is new: every replica reads the certificate first, within a minute";

/// State from which it follows whether the configuration is needed.
#[derive(Clone, Copy, Debug)]
pub struct WebhookDemand<'a> {
    /// Whether some binding requests an entry at creation.
    pub requested: bool,
    /// Whether the webhook is on.
    pub enabled: bool,
    /// State of the MutatingAdmissionPolicy; `None` before its first inspection.
    pub policy: Option<&'a ModeResult>,
    /// Time since the leader began.
    pub leading_for: Duration,
}

/// Whether the configuration is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DemandStep {
    /// Wait for the MutatingAdmissionPolicy, for this long at most.
    WaitForPolicy(Duration),
    /// Remove the configuration, and report this.
    Remove(Option<ModeResult>),
    /// Maintain the configuration.
    Maintain,
}

impl WebhookDemand<'_> {
    /// Returns whether the configuration is needed: a binding requests it, and no MutatingAdmissionPolicy works.
    pub fn step(&self) -> DemandStep {
        let left = POLICY_FIRST.saturating_sub(self.leading_for);
        if self.policy.is_none() && !left.is_zero() {
            return DemandStep::WaitForPolicy(left);
        }
        let needed = self.requested && !matches!(self.policy, Some(Ok(())));
        match (needed, self.enabled) {
            (true, true) => DemandStep::Maintain,
            (true, false) => DemandStep::Remove(Some(Err(OFF.into()))),
            (false, _) => DemandStep::Remove(None),
        }
    }
}

/// State from which it follows whether to write the configuration.
#[derive(Clone, Debug)]
pub struct ConfigurationObservation {
    /// Whether the configuration exists.
    pub exists: bool,
    /// Whether it has the webhooks that it should have.
    pub is_current: bool,
    /// For how long other replicas may lack the certificate.
    pub replicas_pending: Option<Duration>,
    /// For how long it is left alone, since another writer reverts it, and the report of that.
    pub contended: Option<(Duration, Box<str>)>,
}

/// Whether to write the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigurationStep {
    /// It is as it should be.
    Keep,
    /// Report why it is not in force, and wait.
    Wait(Duration, Box<str>),
    /// Write it.
    Write,
}

impl ConfigurationObservation {
    /// Returns whether to write the configuration.
    pub fn step(self) -> ConfigurationStep {
        if self.is_current {
            return ConfigurationStep::Keep;
        }
        match (self.exists, self.replicas_pending, self.contended) {
            (false, Some(left), _) => ConfigurationStep::Wait(left, NOT_ALL.into()),
            (_, _, Some((left, why))) => ConfigurationStep::Wait(left, why),
            _ => ConfigurationStep::Write,
        }
    }
}

/// Describes another writer that reverts the configuration. `writer`: who wrote it; `None`: it was deleted.
pub fn contended(name: &str, writer: Option<&str>) -> Box<str> {
    let reverted = match writer {
        Some(writer) => format!("rewritten again and again by {writer}"),
        None => "deleted again and again".to_owned(),
    };
    format!(
        "the MutatingWebhookConfiguration {name} is {reverted}; it is left alone for a while: stop that writer"
    )
    .into()
}

/// Returns the part of a wait that is left. `None`: it is over.
pub fn left_of(wait: Duration, elapsed: Duration) -> Option<Duration> {
    Some(wait.saturating_sub(elapsed)).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ConfigurationObservation, ConfigurationStep, DemandStep, WebhookDemand, left_of};
    use crate::plan::admission_mode::ModeResult;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_configuration_is_needed_where_it_is_requested_and_no_policy_works() {
        let (works, fails): (ModeResult, ModeResult) = (Ok(()), Err("p".into()));
        let off = || DemandStep::Remove(Some(Err(super::OFF.into())));
        for (case, requested, enabled, policy, seconds, expected) in [
            ("at first", true, true, None, 1, DemandStep::WaitForPolicy(2 * SECOND)),
            ("nothing is known of the policy", true, true, None, 3, DemandStep::Maintain),
            ("the policy fails", true, true, Some(&fails), 0, DemandStep::Maintain),
            ("the policy works", true, true, Some(&works), 9, DemandStep::Remove(None)),
            ("nothing is requested", false, true, Some(&fails), 9, DemandStep::Remove(None)),
            ("the webhook is off", true, false, Some(&fails), 9, off()),
            ("off and not needed", true, false, Some(&works), 9, DemandStep::Remove(None)),
        ] {
            let leading_for = seconds * SECOND;
            let demand = WebhookDemand { requested, enabled, policy, leading_for };
            assert_eq!(demand.step(), expected, "{case}");
        }
    }

    #[test]
    fn the_configuration_is_written_unless_it_must_wait() {
        let wait = |seconds: u32, why: &str| ConfigurationStep::Wait(seconds * SECOND, why.into());
        let contended = || Some((9 * SECOND, "w".into()));
        for (case, exists, is_current, replicas_pending, contended, expected) in [
            ("current", true, true, Some(SECOND), contended(), ConfigurationStep::Keep),
            ("first", false, false, None, None, ConfigurationStep::Write),
            ("changed", true, false, None, None, ConfigurationStep::Write),
            ("others lack the certificate", false, false, Some(SECOND), None, wait(1, super::NOT_ALL)),
            ("they are called already", true, false, Some(SECOND), None, ConfigurationStep::Write),
            ("reverted", true, false, None, contended(), wait(9, "w")),
        ] {
            let observed = ConfigurationObservation { exists, is_current, replicas_pending, contended };
            assert_eq!(observed.step(), expected, "{case}");
        }
        assert_eq!((left_of(3 * SECOND, SECOND), left_of(SECOND, SECOND)), (Some(2 * SECOND), None));
    }
}
