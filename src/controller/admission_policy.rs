//! The loop that maintains the ConfigMap of our `MutatingAdmissionPolicy`, and checks what the API server applies.
//!
//! # Guarantees
//! - An entry is detached only once the API server is known not to add it again. Where that cannot be known, it is
//!   detached after a wait.
//! - Nothing is written where it would change nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::clock;
use super::reconciles;
use super::state::SharedState;
use crate::api::names;
use crate::cluster::error::CallError;
use crate::cluster::parameters::{ParametersState, ParametersWriter};
use crate::plan::Snapshot;
use crate::plan::admission_mode::{AppliedParameters, ModeResult};
use crate::plan::policy_parameters::{
    CheckStep, DRY_RUN, ParameterData, PolicyState, contended, differs, not_in_force,
};
use crate::plan::refresh::backoff;
use crate::plan::write_history::Enforced;
use crate::server::Metrics;
use crate::server::metrics::Reconciler;

/// First wait after a failure that passes by itself.
const FIRST_RETRY: Duration = Duration::from_millis(200);

/// First wait after any other failure.
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// The loop.
pub struct PolicyLoop {
    /// The shared state.
    pub shared: Arc<SharedState>,
    /// Reads and writes the ConfigMap.
    pub parameters: ParametersWriter,
    /// The ConfigMap as its watch last saw it.
    pub seen: Arc<watch::Sender<Option<ParametersState>>>,
    /// The controller's own namespace.
    pub namespace: Box<str>,
    /// Nothing is written, and the API server must add nothing either.
    pub dry_run: bool,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// State of the loop.
struct LoopState {
    policy: PolicyState,
    /// The last write, and whether another writer reverts it.
    enforced: Enforced<ParameterData>,
}

impl PolicyLoop {
    /// Runs the loop.
    pub async fn run(self) {
        let (mut snapshots, mut seen) = (self.shared.snapshots(), self.seen.subscribe());
        // An earlier leader may have left a version in force.
        let in_force = data(seen.borrow().as_ref()).is_some_and(|data| !data.is_empty());
        let mut state = LoopState { policy: PolicyState::new(in_force), enforced: Enforced::default() };
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            let existing = seen.borrow_and_update().clone();
            let again = match existing {
                Some(existing) => {
                    let started = std::time::Instant::now();
                    let again = self.reconcile(&snapshot, existing, &mut state).await;
                    let result = if state.policy.is_failing() { Err(()) } else { Ok(again) };
                    reconciles::record(&self.metrics, Reconciler::AdmissionPolicy, started, &result);
                    again
                }
                None => None,
            };
            tokio::select! {
                _ = snapshots.changed() => {}
                _ = seen.changed() => {}
                () = clock::sleep(again) => {}
            }
        }
    }

    /// Writes the ConfigMap and checks the API server. Returns when to do so again, if by no change.
    async fn reconcile(
        &self,
        snapshot: &Snapshot,
        existing: ParametersState,
        state: &mut LoopState,
    ) -> Option<Duration> {
        let parameters = snapshot.parameters();
        let wanted = &parameters.data;
        let requested = !wanted.is_empty() || !parameters.left_out.is_empty();
        self.shared.change_modes(|modes| modes.left_out.clone_from(&parameters.left_out));
        if self.dry_run {
            self.report(requested.then(|| Err(DRY_RUN.into())), AppliedParameters::Nothing);
            return None;
        }
        let now = clock::now();
        if let (true, Some(until)) = (differs(wanted, data(Some(&existing))), state.enforced.quiet_until(now))
        {
            state.policy.reset();
            self.report(requested.then(|| Err(contended(&self.namespace))), AppliedParameters::Nothing);
            return Some(clock::until(until, now));
        }
        let version = match self.enforce(wanted, existing, &mut state.enforced).await {
            Ok(ParametersState::Present { resource_version, .. }) => resource_version,
            Ok(ParametersState::Absent | ParametersState::Refused(_)) => {
                state.policy.reset();
                self.report(None, AppliedParameters::Nothing);
                return None;
            }
            Err(error) => return self.failed(error, requested, &mut state.policy),
        };
        self.check(version, wanted, requested, &mut state.policy).await
    }

    /// Checks whether the API server applies a version, where that is due.
    async fn check(
        &self,
        version: Box<str>,
        wanted: &ParameterData,
        requested: bool,
        policy: &mut PolicyState,
    ) -> Option<Duration> {
        let patience = match policy.step(&version, requested, std::time::Instant::now()) {
            CheckStep::Wait(wait) => return wait,
            CheckStep::Unused => {
                self.report(None, AppliedParameters::Nothing);
                return None;
            }
            CheckStep::Check(patience) => patience,
        };
        match self.applies(&version, patience).await {
            Ok(true) => {
                if self.shared.modes().borrow().policy != Some(Ok(())) && requested {
                    info!("MutatingAdmissionPolicy in force");
                }
                let again = policy.applied(version, requested, std::time::Instant::now());
                self.report(requested.then_some(Ok(())), AppliedParameters::By(wanted.clone()));
                again
            }
            Ok(false) => {
                let why = not_in_force(self.parameters.can_exist().await.unwrap_or(true));
                let failures = policy.not_applied();
                self.report(requested.then_some(Err(why)), AppliedParameters::Nothing);
                requested.then(|| pause(failures, FIRST_WAIT))
            }
            Err(error) => self.failed(error, requested, policy),
        }
    }

    /// Writes what is wanted into the ConfigMap, where it differs.
    async fn enforce(
        &self,
        wanted: &ParameterData,
        existing: ParametersState,
        enforced: &mut Enforced<ParameterData>,
    ) -> Result<ParametersState, CallError> {
        match &existing {
            ParametersState::Refused(error) if !wanted.is_empty() => return Err(error.clone()),
            _ if !differs(wanted, data(Some(&existing))) => return Ok(existing),
            _ => {}
        }
        let written = self.parameters.write(wanted, &existing).await?;
        info!(configmap = names::ADMISSION_NAME, bindings = wanted.len(), "admission parameters updated");
        enforced.wrote(wanted.clone(), clock::now(), names::ADMISSION_NAME);
        self.seen.send_replace(Some(written.clone()));
        Ok(written)
    }

    /// Checks until the API server applies a version, or for as long as that may take.
    async fn applies(&self, version: &str, patience: Duration) -> Result<bool, CallError> {
        let secret = self.shared.template().name.clone();
        let end = Instant::now() + patience;
        loop {
            let others = self.shared.index.read(&self.namespace, |view| {
                let own = view.service_accounts.iter().find(|account| &*account.name == names::MANAGER);
                let entries = own.map(|account| account.pull_secrets.to_vec()).unwrap_or_default();
                entries.into_iter().filter(|entry| **entry != *secret).collect::<Vec<_>>()
            });
            if self.parameters.in_force(version, &secret, &others.unwrap_or_default()).await? {
                return Ok(true);
            }
            if Instant::now() >= end {
                return Ok(false);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Reports a call that failed. Returns when to try again.
    fn failed(&self, error: CallError, requested: bool, policy: &mut PolicyState) -> Option<Duration> {
        let passing = matches!(error, CallError::Conflict | CallError::Later(..) | CallError::Unanswered(_));
        let (failures, lost) = policy.failed(passing);
        if error != CallError::Conflict {
            warn!(%error, "admission parameters not updated");
        }
        if lost {
            let cure = match &error {
                CallError::Forbidden(_) => ": apply deploy/rbac.yaml of this version",
                CallError::Denied(_) => {
                    ": exempt the controller's user there, or apply deploy/policies.yaml of this version"
                }
                _ => "",
            };
            let why = format!("the ConfigMap {}/{}: {error}{cure}", self.namespace, names::ADMISSION_NAME);
            self.report(requested.then(|| Err(why.into())), AppliedParameters::Nothing);
        }
        let first = if passing { FIRST_RETRY } else { FIRST_WAIT };
        (requested || passing).then(|| pause(failures, first))
    }

    fn report(&self, policy: Option<ModeResult>, applied: AppliedParameters) {
        self.shared.change_modes(|modes| modes.policy = policy);
        self.shared.set_applied(applied);
    }
}

fn pause(failures: u32, first: Duration) -> Duration {
    backoff(failures, first, Duration::from_secs(60), names::ADMISSION_NAME)
}

/// Returns the data of the ConfigMap; `None` where it does not exist or cannot be read.
fn data(existing: Option<&ParametersState>) -> Option<&ParameterData> {
    match existing? {
        ParametersState::Present { data, .. } => Some(data),
        ParametersState::Absent | ParametersState::Refused(_) => None,
    }
}
