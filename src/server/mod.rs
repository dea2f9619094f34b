//! What this process serves: health and metrics.

pub mod admin;
pub mod metrics;

pub use metrics::Metrics;
