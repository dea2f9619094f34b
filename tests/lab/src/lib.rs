//! The lab: a real Kubernetes control plane, a simulated Alibaba Cloud and a real registry, on loopback.
//!
//! It shares no code with the product, so that it can be its oracle: it does not repeat the product's
//! mistakes.

pub mod canary;
pub mod certificates;
pub mod cgroup;
pub mod cloud;
pub mod controller;
pub mod docs;
pub mod front;
mod go_tool;
pub mod health;
pub mod helm;
pub mod hook;
pub mod image;
pub mod krew;
mod listen;
pub mod message;
pub mod meter;
pub mod node;
pub mod plane;
pub mod process;
pub mod prometheus;
pub mod registry;
mod tls;
pub mod trial;
