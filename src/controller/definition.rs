//! The definition loop: whether the CustomResourceDefinition exists, and since when. Its deletion deletes every
//! binding, and none of these deletions is a request to withdraw.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::clock;
use super::state::SharedState;
use crate::cluster::report::BindingWriter;
use crate::plan::refresh::backoff;
use crate::server::admin::{Readiness, StartupStep};

/// The longest sleep: a clock that was set is noticed after that.
const LONGEST_SLEEP: Duration = Duration::from_secs(600);

/// The definition loop.
pub struct DefinitionLoop {
    /// The shared state.
    pub shared: Arc<SharedState>,
    /// Reads the definition.
    pub writer: BindingWriter,
    /// Notified after the first read.
    pub readiness: Arc<Readiness>,
}

impl DefinitionLoop {
    /// Runs the loop. It reads the definition at the start, after each list of the bindings, and once when the
    /// definition is old enough; nothing at rest.
    pub async fn run(self) {
        let mut attempts = 0;
        loop {
            let changed = self.shared.definition.notified();
            let wait = match self.writer.defined_at().await {
                Ok(created) => {
                    attempts = 0;
                    let (until, now) = (self.shared.define(created), clock::now());
                    self.readiness.done(StartupStep::Definition);
                    (created.is_some() && now < until).then(|| clock::until(until, now).min(LONGEST_SLEEP))
                }
                Err(error) => {
                    attempts += 1;
                    warn!(%error, "the CustomResourceDefinition cannot be read: unclaimed Secrets are left unchanged");
                    Some(backoff(attempts, Duration::from_secs(1), Duration::from_secs(60), "definition"))
                }
            };
            match wait {
                Some(wait) => drop(tokio::time::timeout(wait, changed).await),
                None => changed.await,
            }
        }
    }
}
