//! Kubernetes: watches, and the writes that execute changes. Never the cloud.

pub mod access;
pub mod apply;
pub mod budget;
pub mod certificates;
pub mod certified_key;
pub mod claim;
pub mod client;
pub mod clock;
mod deadline;
pub mod error;
pub mod events;
pub mod index;
pub mod installed;
pub mod keys;
pub mod label_keys;
pub mod last_writer;
pub mod lease;
pub mod listed_names;
pub mod metadata;
pub mod named_secret;
pub mod notices;
pub mod objects;
pub mod oidc_token;
pub mod owned;
pub mod parameters;
pub mod pods;
pub mod policy_probe;
pub mod report;
pub mod store;
pub mod streams;
pub mod watch;
pub mod watch_health;
pub mod webhook;

pub use apply::{Applier, Outcome};
pub use index::{Index, is_older};
