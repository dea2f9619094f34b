//! The shapes of objects on the API server, and no decisions.

pub mod binding;
pub mod condition;
pub mod event;
pub mod legacy;
pub mod names;
pub mod status;

pub use binding::{AcrCredentialBinding, AcrCredentialBindingSpec, crd};
pub use condition::{ConditionType, Reason};
pub use status::AcrCredentialBindingStatus;
