//! Pure decisions: `(model, view, now) → data`. Nothing here does IO or reads a clock.

pub mod admission;
pub mod certificates;
pub mod change;
#[cfg(test)]
pub(crate) mod fixture;
pub mod guard;
pub mod lease;
pub mod namespace;
pub mod refresh;
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
pub use guard::Retained;
pub use namespace::{NamespaceResult, Plan, namespace, namespace_keeping};
pub use rollup::{Failure, Rollup};
pub use secret::{SecretContent, Template};
pub use snapshot::{Phase, RegistryCredential, ResolvedBinding, Snapshot};
pub use view::{NamespaceView, SecretView, ServiceAccountView};
