//! Keeps what our `MutatingAdmissionPolicy` goes by, and knows what the API server goes by.
//!
//! Guarantees: an entry is detached only after the API server is known not to add it again; where that cannot be known,
//! after [`PATIENCE`]. Nothing is written where it would change nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::admission::{AppliedParameters, Served};
use super::clock;
use super::state::SharedState;
use crate::api::names;
use crate::cluster::error::CallError;
use crate::cluster::parameters::{ParametersState, ParametersWriter};
use crate::plan::Snapshot;
use crate::plan::admission;
use crate::plan::refresh::backoff;
use crate::plan::write_history::Enforced;

/// How long the API server may take to go by what was written, where it went by it before. Some milliseconds are usual.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same where nothing says that the policy stands.
const FIRST_PATIENCE: Duration = Duration::from_secs(2);

/// The policy may be deleted while all is well.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What the loop needs.
pub struct PolicyLoop {
    /// The shared state.
    pub shared: Arc<SharedState>,
    /// Writes and looks.
    pub parameters: ParametersWriter,
    /// The ConfigMap as its watch brings it.
    pub seen: Arc<watch::Sender<Option<ParametersState>>>,
    /// The controller's own namespace.
    pub namespace: Box<str>,
    /// Nothing is written: nothing may be added by the API server either.
    pub dry_run: bool,
}

/// What is known of the API server.
#[derive(Debug, Default)]
struct Proof {
    /// Whether it may go by some version of the ConfigMap.
    in_force: bool,
    /// The version that it was seen to go by, and when.
    of: Option<(Box<str>, Instant)>,
    /// Failed looks in a row.
    attempts: u32,
}

impl PolicyLoop {
    /// Works for ever.
    pub async fn run(self) {
        let (mut snapshots, mut seen) = (self.shared.snapshots(), self.seen.subscribe());
        // Who was here before may have left what the API server goes by.
        let in_force =
            matches!(&*seen.borrow(), Some(ParametersState::Present { data, .. }) if !data.is_empty());
        let mut proof = Proof { in_force, ..Proof::default() };
        let mut upheld = Enforced::default();
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            let now = seen.borrow_and_update().clone();
            let again = match now {
                Some(now) => self.look(&snapshot, now, &mut proof, &mut upheld).await,
                None => None,
            };
            tokio::select! {
                _ = snapshots.changed() => {}
                _ = seen.changed() => {}
                () = clock::rest(again) => {}
            }
        }
    }

    /// One look. Returns when the next one is due, if by nobody's change.
    async fn look(
        &self,
        snapshot: &Snapshot,
        seen: ParametersState,
        proof: &mut Proof,
        upheld: &mut Enforced<BTreeMap<String, String>>,
    ) -> Option<Duration> {
        let wanted = snapshot.parameters();
        let asked = !wanted.data.is_empty() || !wanted.left_out.is_empty();
        self.shared.change_modes(|modes| modes.left_out.clone_from(&wanted.left_out));
        if self.dry_run {
            let why = "nothing is added to any ServiceAccount while the controller runs with --dry-run";
            self.tell(asked.then(|| Err(why.into())), AppliedParameters::Nothing);
            return None;
        }
        let now = clock::now();
        if let (true, Some(until)) = (is_undone(wanted, &seen), upheld.quiet_until(now)) {
            *proof = Proof::default();
            let name = names::ADMISSION_NAME;
            let why = format!(
                "the ConfigMap {}/{name} is written or deleted again and again by somebody else; it is left alone \
                 for a while: stop that writer",
                self.namespace
            );
            self.tell(asked.then(|| Err(why.into())), AppliedParameters::Nothing);
            return Some(clock::until(until, now));
        }
        let version = match self.keep(wanted, seen, upheld).await {
            Ok(ParametersState::Present { resource_version, .. }) => resource_version,
            Ok(ParametersState::Absent | ParametersState::Refused(_)) => {
                *proof = Proof::default();
                self.tell(None, AppliedParameters::Nothing);
                return None;
            }
            Err(error) => return self.failed(error, asked, proof),
        };
        if let Some((of, at)) = &proof.of
            && *of == version
            && at.elapsed() < LOOK_EVERY
        {
            return asked.then(|| LOOK_EVERY.saturating_sub(at.elapsed()));
        }
        if !asked && !proof.in_force {
            self.tell(None, AppliedParameters::Nothing);
            return None;
        }
        let patience = if proof.in_force { PATIENCE } else { FIRST_PATIENCE };
        match self.prove(&version, patience).await {
            Ok(true) => {
                if self.shared.modes().borrow().policy != Some(Ok(())) && asked {
                    info!("the API server adds the entry to new ServiceAccounts itself");
                }
                *proof = Proof { in_force: asked, of: asked.then(|| (version, Instant::now())), attempts: 0 };
                self.tell(asked.then_some(Ok(())), AppliedParameters::By(wanted.data.clone()));
                asked.then_some(LOOK_EVERY)
            }
            Ok(false) => {
                let why = self.why_not().await;
                *proof = Proof { attempts: proof.attempts.saturating_add(1), ..Proof::default() };
                self.tell(asked.then_some(Err(why)), AppliedParameters::Nothing);
                asked.then(|| Self::pause(proof, FIRST_PATIENCE))
            }
            Err(error) => self.failed(error, asked, proof),
        }
    }

    /// Has the ConfigMap say what is wanted. Nothing is written where it does, nor where there is nothing to say.
    async fn keep(
        &self,
        wanted: &admission::PolicyParameters,
        seen: ParametersState,
        upheld: &mut Enforced<BTreeMap<String, String>>,
    ) -> Result<ParametersState, CallError> {
        match &seen {
            ParametersState::Refused(error) if !wanted.data.is_empty() => return Err(error.clone()),
            _ if !is_undone(wanted, &seen) => return Ok(seen),
            _ => {}
        }
        let written = self.parameters.write(&wanted.data, &seen).await?;
        info!(bindings = wanted.data.len(), "the API server is told which new ServiceAccounts to serve");
        upheld.wrote(wanted.data.clone(), clock::now(), names::ADMISSION_NAME);
        self.seen.send_replace(Some(written.clone()));
        Ok(written)
    }

    /// Looks until the API server goes by a version, or for as long as that may take.
    async fn prove(&self, version: &str, patience: Duration) -> Result<bool, CallError> {
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

    async fn why_not(&self) -> Box<str> {
        match self.parameters.can_exist().await {
            Ok(false) => {
                "this API server knows no MutatingAdmissionPolicy v1, which came with Kubernetes 1.36; apply \
                          deploy/webhook.yaml instead"
                    .into()
            }
            Ok(true) | Err(_) => format!(
                "the MutatingAdmissionPolicy {} is not in force: apply deploy/admission.yaml",
                names::ADMISSION_NAME
            )
            .into(),
        }
    }

    /// What did not work is tried again. A passing failure changes nothing of what is known.
    fn failed(&self, error: CallError, asked: bool, proof: &mut Proof) -> Option<Duration> {
        proof.attempts = proof.attempts.saturating_add(1);
        let passing = matches!(error, CallError::Conflict | CallError::Later(..));
        if error != CallError::Conflict {
            warn!(%error, "the API server cannot be told which new ServiceAccounts to serve");
        }
        if !passing || proof.attempts > 5 {
            (proof.in_force, proof.of) = (false, None);
            let cure = match &error {
                CallError::Forbidden(_) => ": apply deploy/rbac.yaml of this version",
                _ => "",
            };
            let why = format!("the ConfigMap {}/{}: {error}{cure}", self.namespace, names::ADMISSION_NAME);
            self.tell(asked.then(|| Err(why.into())), AppliedParameters::Nothing);
        }
        let first = if passing { Duration::from_millis(200) } else { Duration::from_secs(2) };
        (asked || passing).then(|| Self::pause(proof, first))
    }

    fn pause(proof: &Proof, first: Duration) -> Duration {
        backoff(proof.attempts, first, Duration::from_secs(60), names::ADMISSION_NAME)
    }

    fn tell(&self, policy: Option<Served>, applied: AppliedParameters) {
        self.shared.change_modes(|modes| modes.policy = policy);
        self.shared.set_applied(applied);
    }
}

/// Whether the ConfigMap does not say what is wanted. None at all says nothing, too.
fn is_undone(wanted: &admission::PolicyParameters, seen: &ParametersState) -> bool {
    match seen {
        ParametersState::Present { data, .. } => *data != wanted.data,
        ParametersState::Absent | ParametersState::Refused(_) => !wanted.data.is_empty(),
    }
}
