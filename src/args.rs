//! The flags and environment variables of the programs, as clap reads them. The reference of flags is generated from
//! here.

pub mod acr_credential_controller;
pub mod credential_provider;
pub mod identity;
pub mod kubectl_acr;
pub mod network;
pub mod webhook;
