//! Failures of `kubectl acr withdraw`.

use crate::api::names;
use crate::cli::inventory::ReadError;
use crate::cluster::error::CallError;

/// A withdrawal that did not happen, or stopped early.
#[derive(Debug, thiserror::Error)]
pub enum WithdrawError {
    /// A controller still runs, and would write the same objects.
    #[error(
        "the controller {holder} runs: it renews the Lease {namespace}/{}. Delete its Deployment first, or delete the \
         bindings and let it withdraw them",
        names::LEASE_NAME
    )]
    Running {
        /// The holder of the Lease.
        holder: String,
        /// The namespace of the Lease.
        namespace: Box<str>,
    },
    /// The cluster cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// One call failed.
    #[error("{what}: {why}")]
    Call {
        /// The failed step.
        what: &'static str,
        /// The reason.
        why: CallError,
    },
}

/// Returns a conversion of failed calls that names the step.
pub(super) fn of(what: &'static str) -> impl Fn(CallError) -> WithdrawError {
    move |why| WithdrawError::Call { what, why }
}
