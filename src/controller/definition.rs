//! The definition loop: whether the CustomResourceDefinition stands, and since when. Where it was deleted, every binding
//! went with it and nothing was wanted by that.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::clock;
use super::state::SharedState;
use crate::cluster::report::BindingWriter;
use crate::plan::refresh::backoff;
use crate::server::admin::Readiness;

/// The longest sleep: a clock that was set is noticed after that.
const LONGEST_SLEEP: Duration = Duration::from_secs(600);

/// What the loop needs.
pub struct DefinitionLoop {
    /// The shared state.
    pub shared: Arc<SharedState>,
    /// Reads it.
    pub writer: BindingWriter,
    /// Told after the first look.
    pub readiness: Arc<Readiness>,
}

impl DefinitionLoop {
    /// Works for ever. It asks at the start, whenever the bindings were listed anew, and when the definition is no longer
    /// young; nothing at rest.
    pub async fn run(self) {
        let mut attempts = 0;
        loop {
            let told = self.shared.definition.notified();
            let wait = match self.writer.defined_at().await {
                Ok(created) => {
                    attempts = 0;
                    let (until, now) = (self.shared.define(created), clock::now());
                    self.readiness.done("definition");
                    (created.is_some() && now < until).then(|| clock::until(until, now).min(LONGEST_SLEEP))
                }
                Err(error) => {
                    attempts += 1;
                    warn!(%error, "the CustomResourceDefinition cannot be read: what nobody covers is left as it is");
                    Some(backoff(attempts, Duration::from_secs(1), Duration::from_secs(60), "definition"))
                }
            };
            match wait {
                Some(wait) => drop(tokio::time::timeout(wait, told).await),
                None => told.await,
            }
        }
    }
}
