//! Kubernetes: what is watched, and how changes are written. Never the cloud.

pub mod apply;
pub mod certificates;
pub mod claim;
pub mod client;
pub mod error;
pub mod events;
pub mod index;
pub mod keys;
pub mod lease;
pub mod named_secret;
pub mod objects;
pub mod oidc_token;
pub mod own;
pub mod parameters;
pub mod pods;
pub mod policy;
pub mod report;
pub mod rival;
pub mod store;
pub mod watch;
pub mod webhook;

pub use apply::{Applier, Outcome};
pub use index::{Index, is_older};
