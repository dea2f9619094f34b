//! The thread of the lease. Work on the other threads, however long it takes, never delays a renewal.

use std::sync::Arc;

use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Callbacks, LeaseConfig, LeaseHolder, LeaseWatch};
use crate::cluster::claim::Claim;
use crate::cluster::client::ClientError;
use crate::plan::lease::{Election, LeaseLost};

/// Reason why the thread of the lease cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum LeaseThreadError {
    /// The configuration of the client is invalid.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The system has no thread for it.
    #[error("the thread of the lease cannot be started")]
    Thread(#[from] std::io::Error),
}

/// What a replica brings into the election.
pub struct Candidate {
    /// Its state in the election.
    pub election: Election,
    /// The claim that all writes check.
    pub claim: Claim,
    /// Notified once the replica is ready to work.
    pub ready: Arc<Notify>,
}

/// A replica's part in the election, on a thread of its own with a connection of its own.
///
/// The lease is neither acquired nor renewed while a task has stopped: a leader that does nothing must make room for
/// another one.
pub struct LeaseThread {
    stop: CancellationToken,
    lost: oneshot::Receiver<LeaseLost>,
    ended: oneshot::Receiver<()>,
}

impl LeaseThread {
    /// Starts the thread. It reads the Lease from the start.
    ///
    /// # Errors
    /// [`LeaseThreadError`].
    pub fn start(
        config: LeaseConfig,
        candidate: Candidate,
        watched: &LeaseWatch,
        callbacks: Callbacks<impl Fn() + Send + 'static, impl Fn() + Send + 'static>,
    ) -> Result<Self, LeaseThreadError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let Candidate { election, claim, ready } = candidate;
        let mut holder = {
            // The client's own tasks run where it is built.
            let _entered = runtime.enter();
            LeaseHolder::new(config, election, claim, watched)?
        };
        let stop = CancellationToken::new();
        let (report_lost, lost) = oneshot::channel();
        let (report_end, ended) = oneshot::channel();
        let stopped = stop.clone();
        std::thread::Builder::new().name("lease".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    loss = holder.keep(ready.notified(), callbacks) => drop(report_lost.send(loss)),
                    () = stopped.cancelled() => holder.release().await,
                }
            });
            drop(report_end);
        })?;
        Ok(Self { stop, lost, ended })
    }

    /// Waits until the lease, once held, is lost; `None` if the thread ended without that.
    pub async fn lost(&mut self) -> Option<LeaseLost> {
        (&mut self.lost).await.ok()
    }

    /// Releases the lease if this replica holds it, so that another acquires it at once, and ends the thread.
    pub async fn release(self) {
        self.stop.cancel();
        // The sender is dropped at the end.
        let _ = self.ended.await;
    }
}
