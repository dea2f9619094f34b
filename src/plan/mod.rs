//! Pure decisions: `(model, view, now) → data`. Nothing here does IO or reads a clock.

pub mod admission;
pub mod certificates;
pub mod change;
#[cfg(test)]
pub(crate) mod fixture;
pub mod guard;
pub mod heal;
pub mod lease;
pub mod namespace;
pub mod refresh;
pub mod rights;
pub mod rivalry;
pub mod secret;
pub mod service_account;
pub mod snapshot;
pub mod status;
pub mod tally;
pub mod view;
pub mod webhook;

pub use change::Change;
pub use guard::Kept;
pub use namespace::{Plan, Standing, namespace, namespace_keeping};
pub use secret::{Content, Template};
pub use snapshot::{Bound, Issue, Phase, Snapshot};
pub use tally::{Failure, Tally};
pub use view::{NamespaceView, SecretView, ServiceAccountView};
