//! ACR Credential Binding: private Alibaba Cloud Container Registry images on Kubernetes, with no password in any
//! manifest.
//!
//! An [`api::AcrCredentialBinding`] names registries, namespaces and ServiceAccounts. The controller mints temporary
//! credentials, keeps one pull Secret a namespace fresh, and attaches it.
//!
//! ```text
//! ConfigMap → model::legacy → AcrCredentialBinding → model::Binding → cloud → Credential
//!                                                         │                       │
//!                                    cluster::Index ── plan::namespace ── Changes → cluster::apply → plan::status
//! ```
//!
//! # Rooms
//! Each may use those to its right: `bin → args → controller, cli, provider → server → cluster → plan → model → api`, and
//! `controller, provider → cloud → model`. A test reads the code and enforces it.
//!
//! # Invariants
//! - At rest, nothing is written and the cloud is not called, and the same holds across a restart.
//! - An event costs its own namespace, never the cluster.
//! - All namespaces and bindings share one token a (registry, identity).
//! - `imagePullSecrets` is atomic and mostly others': writes have a precondition, and keep others' entries and order.
//! - A ServiceAccount gets its entry whether or not the Secret exists. The entry is removed before the Secret.
//! - The last good credential stays until it expires; a failed refresh removes nothing.
//! - Others' objects are never overwritten. What is not wanted any more is withdrawn, also after a crash.
//! - Logs, Events, metrics and statuses never contain a credential.
//! - Only `controller::clock` reads the time.

pub mod api;
pub mod args;
pub mod cli;
pub mod cloud;
pub mod cluster;
pub mod controller;
pub mod model;
pub mod plan;
pub mod provider;
pub mod server;
