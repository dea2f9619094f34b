//! The lab: a real Kubernetes control plane and a simulated Alibaba Cloud, on loopback.
//!
//! It shares no code with the product, so that it can be its oracle: what the product gets wrong, the lab does
//! not get wrong in the same way.

pub mod certificates;
pub mod cloud;
pub mod controller;
pub mod front;
mod listen;
pub mod plane;
pub mod process;
mod tls;
