//! What can be in the way of `kubectl acr uninstall`.

use super::grant::GRANTS;
use crate::api::names;
use crate::cluster::error::CallError;

/// An uninstallation that did not end.
#[derive(Debug, thiserror::Error)]
pub enum UninstallError {
    /// The controller is installed in another namespace.
    #[error(
        "the ClusterRoleBinding {role_binding} is for the ServiceAccount {namespace}/{name}, and nothing was changed: to \
         uninstall that controller, run kubectl acr uninstall --namespace {namespace} --service-account {name}"
    )]
    OtherAccount {
        /// The ClusterRoleBinding.
        role_binding: &'static str,
        /// The namespace of the account that it names.
        namespace: String,
        /// The name of that account.
        name: String,
    },
    /// The controller works, and does not end the withdrawal.
    #[error(
        "the controller has not withdrawn these bindings within {limit}: {}. Follow these messages and run it again, or \
         leave out --withdraw: their Secrets and entries stay then", .bindings.join("; ")
    )]
    NotWithdrawn {
        /// The bindings, with what their status says.
        bindings: Vec<String>,
        /// The time that it had.
        limit: String,
    },
    /// Something else gives the controller its rights.
    #[error(
        "{account} may still {right}: {reason}. Remove that account there, such as by kubectl edit clusterrolebinding \
         {}, and run it again", .role_binding.as_deref().unwrap_or("NAME")
    )]
    OtherGrant {
        /// The controller's user.
        account: String,
        /// The right.
        right: String,
        /// The API server's words.
        reason: String,
        /// The ClusterRoleBinding in them.
        role_binding: Option<String>,
    },
    /// A tool creates again what is deleted.
    #[error(
        "the ClusterRoleBinding {role_binding} is there again after each deletion: stop the tool that applies it ({}), and \
         run it again", .managers.join(", ")
    )]
    CreatedAgain {
        /// The ClusterRoleBinding.
        role_binding: &'static str,
        /// The field managers that wrote it.
        managers: Vec<String>,
    },
    /// A tool or another controller undoes what is done.
    #[error(
        "the webhook's configuration or the finalizers of bindings are there again after each removal: stop what writes \
         them, and run it again"
    )]
    Undone,
    /// One call failed.
    #[error("{what}: {why}: {}", cure(.why))]
    Call {
        /// The failed step.
        what: &'static str,
        /// The reason.
        why: CallError,
    },
}

/// Returns what to do about a failed call.
fn cure(why: &CallError) -> &'static str {
    match why {
        CallError::Forbidden(_) => "grant that right to the user, and run it again",
        CallError::Denied(_) => "exempt the user in that policy or webhook, and run it again",
        _ => "check the API server with kubectl cluster-info, and run it again",
    }
}

/// Returns the name among the fixed ones, if it is one of them.
pub(super) fn grant_named(name: &str) -> Option<&'static str> {
    GRANTS.into_iter().find(|grant| *grant == name)
}

/// Returns the label without which an object of our name is another tool's.
pub(super) fn label() -> String {
    format!("{}={}", names::LABEL_MANAGED_BY, names::MANAGER)
}
