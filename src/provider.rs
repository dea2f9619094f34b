//! Credentials for one image, without a controller: for the kubelet, which runs a program for each pull, and for Docker's
//! credential helpers.
//!
//! ```text
//! file ─ config ─► registries ──┐
//! request ─ identity of the Pod ┴─► entries (cloud) ─► reply
//! ```
//!
//! # Guarantees
//! - A Pod's credential is minted as the role of its ServiceAccount. The node's role is used only where the file allows it,
//!   and never for a ServiceAccount that names a role of its own.
//! - A reply that the kubelet keeps for the whole registry holds every entry of the registry's host.
//! - No message contains a token, a key or a part of a request.

pub mod address;
pub mod aliyun_cli;
pub mod config;
pub mod docker;
pub mod entries;
pub mod failure;
pub mod kubelet;
pub mod pod_identity;
pub mod sources;

pub use config::ProviderConfig;
pub use failure::ProviderFailure;
