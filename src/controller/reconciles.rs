//! Metrics of the loops, as controller-runtime counts them.

use std::time::{Duration, Instant};

use crate::server::Metrics;
use crate::server::metrics::{ReconcileResult, Reconciler};

/// Records a reconciliation that began at `started`. `result`: when to repeat it, if at a known time.
pub fn record<E>(
    metrics: &Metrics,
    controller: Reconciler,
    started: Instant,
    result: &Result<Option<Duration>, E>,
) {
    let result = match result {
        Ok(None) => ReconcileResult::Success,
        Ok(Some(_)) => ReconcileResult::RequeueAfter,
        Err(_) => ReconcileResult::Error,
    };
    metrics.observe_reconcile(controller, result, started.elapsed());
}
