//! Pure decisions: `(model, view, now) → data`. Nothing here does IO or reads a clock.

pub mod admission;
pub mod certificates;
pub mod change;
pub mod failure;
#[cfg(test)]
pub(crate) mod fixture;
pub mod guard;
pub mod lease;
pub mod namespace;
pub mod refresh;
pub mod resolved_binding;
pub mod rights;
pub mod rollup;
pub mod secret;
pub mod service_account;
pub mod snapshot;
pub mod status;
pub mod stuck_pods;
pub mod view;
pub mod webhook;
pub mod write_history;

pub use change::Change;
pub use failure::Failure;
pub use guard::Retained;
pub use namespace::{NamespaceResult, Plan, namespace, namespace_keeping};
pub use resolved_binding::{Phase, RegistryCredential, ResolvedBinding};
pub use rollup::Rollup;
pub use secret::{SecretContent, Template};
pub use snapshot::Snapshot;
pub use view::{NamespaceView, SecretView, ServiceAccountView};
