//! One write of the namespace loop, and what its failure means.

use std::sync::Arc;

use crate::cluster::budget::{Permit, WriteBudget};
use crate::cluster::error::CallError;
use crate::cluster::{Applier, Outcome};
use crate::controller::work_queue::Pace;
use crate::controller::write_round::Written;
use crate::plan::Change;
use crate::plan::record::WriteResult;
use crate::plan::refusal::{RefusedWrite, is_unauthorized};

/// The answer to a write.
pub(super) struct WriteAnswer {
    pub(super) outcome: Outcome,
    /// It was given at once.
    pub(super) is_quick: bool,
    /// There was none in time.
    pub(super) is_silent: bool,
}

/// Executes a write under a permit. One that is cut has an unknown result: its object is read.
pub(super) async fn write(
    applier: Applier,
    budget: Arc<WriteBudget>,
    pace: Pace<Arc<str>>,
    permit: Permit,
    change: Change,
) -> Written<WriteAnswer> {
    let namespace = pace.key().clone();
    let succeeded = |outcome: &Outcome| matches!(outcome, Outcome::Done | Outcome::Stale);
    let ended = permit.hold(applier.apply(&namespace, &change), succeeded, || pace.slow_down()).await;
    let is_quick = ended.is_quick();
    if is_quick {
        pace.speed_up();
    }
    let is_silent = ended.answer.is_none();
    let mut outcome = ended.answer.unwrap_or_else(|| Outcome::Failed(CallError::unanswered()));
    if is_silent && budget.read(applier.read_again(&namespace, &change)).await == Outcome::Stale {
        // Its result is known by now.
        outcome = Outcome::Failed(CallError::Later(CallError::unanswered().to_string(), None));
    }
    Written { change, result: WriteAnswer { outcome, is_quick, is_silent } }
}

/// Returns what a failed call means for the object that it wrote.
pub(super) fn failed(error: CallError, write: RefusedWrite<'_>) -> WriteResult {
    match error {
        CallError::Terminating | CallError::NotFound | CallError::Conflict => WriteResult::Gone,
        CallError::Quota(message) => WriteResult::Refused(write.by_quota(&message)),
        // The API server forgets and learns tokens within moments, as at a restart.
        CallError::Forbidden(message) if is_unauthorized(&message) => {
            WriteResult::Failed { failure: write.by_rights(&message), at_least: None }
        }
        CallError::Forbidden(message) => WriteResult::Refused(write.by_rights(&message)),
        CallError::Denied(message) => WriteResult::Refused(write.by_admission(&message)),
        CallError::Invalid(message) => WriteResult::Refused(write.as_invalid(&message)),
        CallError::Unanswered(message) => WriteResult::Unanswered(write.passing(&message)),
        CallError::Later(message, at_least) => {
            WriteResult::Failed { failure: write.passing(&message), at_least }
        }
    }
}
