//! `kubectl acr status`: what the controller reports on the bindings, as a tree, as JSON or as YAML.
//!
//! ```text
//! bindings ── reports ── tree, JSON or YAML
//! ```
//!
//! It reads bindings and nothing else: their status is bounded, however many namespaces they cover.

mod follow;
mod report;
#[cfg(test)]
mod tests;
mod tree;

pub use self::follow::{Followed, WatchFailure, follow};
pub use self::report::{
    BindingReport, BindingsReport, FailingNamespace, NamespaceFilter, ProblemReport, RegistryReport,
};
pub use self::tree::TreeStyle;

pub(in crate::cli) use self::report::is_from_config_map;

use kube::{Api, Client};

use super::inventory::{ReadError, list, unreadable};
use crate::api::binding::AcrCredentialBinding;

/// Names that a message lists at most.
const LISTED: usize = 5;

/// Reason why there is no status.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The CustomResourceDefinition does not exist.
    #[error(
        "the cluster does not serve AcrCredentialBindings: run kubectl acr check, and follow its line api"
    )]
    NotServed,
    /// No binding has the name.
    #[error("the binding {name} does not exist: {cure}")]
    NotFound {
        /// The name.
        name: String,
        /// What to do.
        cure: String,
    },
    /// The bindings cannot be read.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
}

/// Reads the status of one binding, or of all in the order of their names.
///
/// # Errors
/// [`StatusError`]
pub async fn status(
    client: &Client,
    name: Option<&str>,
    filter: &NamespaceFilter,
) -> Result<BindingsReport, StatusError> {
    let api: Api<AcrCredentialBinding> = Api::all(client.clone());
    let mut bindings = Vec::new();
    match name {
        Some(name) => match api.get_opt(name).await {
            Ok(Some(binding)) => bindings.push(BindingReport::new(&binding, filter)),
            Ok(None) => return Err(not_found(&api, name).await),
            Err(error) => return Err(unreadable("the binding")(error).into()),
        },
        None => {
            let listed = list(&api, None, "the bindings", |binding| {
                bindings.push(BindingReport::new(&binding, filter));
            });
            listed.await.map_err(|error| match &*error.source {
                kube::Error::Api(status) if status.code == 404 => StatusError::NotServed,
                _ => error.into(),
            })?;
        }
    }
    Ok(BindingsReport { bindings })
}

/// Returns the error for a missing binding. It names those that exist, if they may be listed.
async fn not_found(api: &Api<AcrCredentialBinding>, name: &str) -> StatusError {
    let mut names = Vec::new();
    let listed = list(api, None, "the bindings", |binding| names.extend(binding.metadata.name)).await;
    if let Err(ReadError { source, .. }) = &listed
        && matches!(&**source, kube::Error::Api(status) if status.code == 404)
    {
        return StatusError::NotServed;
    }
    let others = names.len().saturating_sub(LISTED);
    let shown = names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    let cure = match (listed.is_ok(), names.len()) {
        (true, 0) => "there is none; apply one first".to_owned(),
        (true, 1..=LISTED) => format!("name one of {shown}"),
        (true, _) => format!("name one of {shown} or {others} more, which kubectl get acb lists"),
        (false, _) => "correct the name".to_owned(),
    };
    StatusError::NotFound { name: name.to_owned(), cure }
}
