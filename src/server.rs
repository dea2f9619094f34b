//! The servers of this process: health, metrics and admission.

pub mod admin;
pub mod admission;
mod connections;
pub mod heartbeats;
pub mod metrics;
pub mod review;
pub mod tls;

pub use metrics::Metrics;
