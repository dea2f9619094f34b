//! The flags and environment variables of both programs, as clap reads them. The reference of flags is generated from
//! here.

pub mod acr_credential_controller;
pub mod identity;
pub mod kubectl_acr;
pub mod webhook;
