//! ACR Credential Binding: private Alibaba Cloud Container Registry images on Kubernetes, with no password in any
//! manifest.
//!
//! An [`api::AcrCredentialBinding`] says which registries, which namespaces and which ServiceAccounts. The
//! controller mints temporary credentials, keeps one pull Secret a namespace fresh, and attaches it.
//!
//! ```text
//! ConfigMap → model::legacy → AcrCredentialBinding → model::Binding → cloud → Credential
//!                                                         │                       │
//!                                    cluster::Index ── plan::namespace ── Changes → cluster::apply → plan::status
//! ```
//!
//! # Rooms
//! Each may use those to its right: `bin → args → controller, cli → cluster, server → plan → model → api`, and
//! `controller → cloud → model`. A test reads the `use` lines and holds this true.
//!
//! # Invariants
//! - At rest nothing is written and the cloud is not asked; nor across a restart.
//! - An event costs its own namespace, never the cluster.
//! - One token a (registry, identity), shared by all namespaces and bindings.
//! - `imagePullSecrets` is atomic and mostly others': written with a precondition, their entries and order kept.
//! - A ServiceAccount is attached whether or not the Secret stands, and detached before it goes.
//! - The last good credential stays until it ends; a failed refresh removes nothing.
//! - What others made is never overwritten, and what is not wanted any more is withdrawn, also after a crash.
//! - Nothing here logs, prints or reports a credential.
//! - Only `controller::clock` reads the time.

pub mod api;
pub mod args;
pub mod cli;
pub mod cloud;
pub mod cluster;
pub mod controller;
pub mod model;
pub mod plan;
pub mod server;
