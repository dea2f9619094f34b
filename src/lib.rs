//! x
pub mod api;
pub mod cloud;
pub mod cluster;
pub mod controller;
pub mod model;
pub mod plan;
pub mod server;
