//! The failure of one run.

use crate::cloud::CloudError;

/// A run that ends without a credential.
#[derive(Debug, thiserror::Error)]
pub enum ProviderFailure {
    /// The request, the file or the environment cannot be used.
    #[error("{0}")]
    BadInput(String),
    /// An identity, the cloud or a registry refuses, or does not answer.
    #[error("{0}")]
    Refused(String),
}

impl ProviderFailure {
    /// Returns the exit code: 2 for input that must be corrected, and otherwise 1.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::BadInput(_) => 2,
            Self::Refused(_) => 1,
        }
    }
}

impl From<CloudError> for ProviderFailure {
    /// Adds the RequestId, since one run is one attempt.
    fn from(error: CloudError) -> Self {
        let id = error.request_id.map(|id| format!(" (RequestId {id})")).unwrap_or_default();
        Self::Refused(format!("{}{id}", error.message))
    }
}
