//! `acr-credential-provider`, the kubelet's plugin; by the name `docker-credential-acr`, Docker's credential helper.
#![allow(clippy::print_stderr, reason = "the protocols have errors on standard error")]

mod docker;
mod kubelet;
mod run;

use std::path::Path;
use std::process::ExitCode;

use acr_credential_binding::args::credential_provider::DOCKER_NAME;

fn main() -> ExitCode {
    // Both kube and reqwest bring a provider; without a default, building the client panics. It fails only if there is a
    // default already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let name = std::env::args_os().next().unwrap_or_default();
    if Path::new(&name).file_name().is_some_and(|name| name == DOCKER_NAME) {
        docker::main()
    } else {
        kubelet::main()
    }
}
