//! A change to the cluster, as data.

use std::sync::Arc;

use super::secret::Content;

/// One write. `cluster::apply` executes it and decides nothing.
#[derive(Clone, Debug)]
pub enum Change {
    /// Make our Secret. Fails where one stands already.
    CreateSecret {
        /// What it holds.
        content: Arc<Content>,
    },
    /// Bring the Secret that stands there to what it should hold.
    UpdateSecret {
        /// What it should hold.
        content: Arc<Content>,
        /// Precondition.
        resource_version: Box<str>,
        /// Keys of its data that must go.
        extra_keys: Box<[Box<str>]>,
    },
    /// Mark the Secret as left behind on purpose.
    RetainSecret {
        /// Precondition.
        resource_version: Box<str>,
    },
    /// Delete the Secret.
    DeleteSecret {
        /// Precondition.
        uid: Box<str>,
        /// Precondition.
        resource_version: Box<str>,
    },
    /// Set a ServiceAccount's `imagePullSecrets`.
    SetPullSecrets {
        /// The ServiceAccount.
        service_account: Box<str>,
        /// Precondition.
        resource_version: Box<str>,
        /// The whole list.
        pull_secrets: Vec<Box<str>>,
    },
}
