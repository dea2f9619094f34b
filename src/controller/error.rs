//! Reasons why the controller ends.

use crate::api::names;
use crate::cloud::SetupError;
use crate::cluster::client;
use crate::cluster::lease::LeaseThreadError;
use crate::plan::lease::LeaseLost;

/// Reason why the controller ended.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// A task ended that never must.
    #[error("{0} ended, and the controller cannot work without it")]
    Ended(&'static str),
    /// Another replica may hold the lease now, so this one stops. It is started again as a standby.
    #[error("the lease {lease} is lost: {0}", lease = names::LEASE_NAME)]
    Lost(LeaseLost),
    /// A client of the API server cannot be built.
    #[error(transparent)]
    Client(#[from] client::ClientError),
    /// The thread of the lease cannot be started.
    #[error(transparent)]
    Lease(#[from] LeaseThreadError),
    /// The client of the cloud cannot be built.
    #[error(transparent)]
    Cloud(#[from] SetupError),
    /// The token cache could not be read.
    #[error("the token cache {namespace}/{name} cannot be read: {words}", name = names::CACHE_SECRET_NAME)]
    Cache {
        /// The controller's namespace.
        namespace: Box<str>,
        /// The API server's words.
        words: Box<str>,
    },
}
