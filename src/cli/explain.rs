//! `kubectl acr explain`: why an image cannot be pulled, with the field that proves it and the command that cures it.
//!
//! ```text
//! gather ── facts ── decide ── verdict ── text, JSON or YAML
//! ```

mod cause;
mod decide;
mod facts;
mod gather;
mod message;
mod options;
mod target;
mod topic;
mod verdict;

pub use self::cause::PullCause;
pub use self::message::{MESSAGES, PullError, RuntimeMessage, recognise};
pub use self::options::{ExplainError, ExplainOptions};
pub use self::target::{ExplainTarget, WorkloadKind};
pub use self::topic::Topic;
pub use self::verdict::{Evidence, ExplainResult, Verdict, schema};

use kube::Client;

/// Explains an object or an image.
///
/// # Errors
/// [`ExplainError`].
pub async fn explain(
    client: &Client,
    target: &ExplainTarget,
    options: &ExplainOptions,
) -> Result<Verdict, ExplainError> {
    Ok(decide::decide(&gather::gather(client, target, options).await?))
}
