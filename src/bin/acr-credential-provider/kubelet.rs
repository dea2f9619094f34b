//! The kubelet's plugin.

use std::process::ExitCode;

use acr_credential_binding::args::credential_provider::ProviderArgs;
use acr_credential_binding::cloud::{Alibaba, Environment, TokenMode};
use acr_credential_binding::model::{Registry, RegistryKey};
use acr_credential_binding::provider::config::one_line;
use acr_credential_binding::provider::kubelet::{CredentialRequest, MAX_REQUEST, response};
use acr_credential_binding::provider::sources::TokenSource;
use acr_credential_binding::provider::{ProviderFailure, entries, pod_identity};
use clap::Parser;

use crate::run;

/// Answers one request.
pub(crate) fn main() -> ExitCode {
    let args = ProviderArgs::parse();
    match run::within_time(run(&args)) {
        Ok(response) => {
            run::reply(&response);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("acr-credential-provider: {}", one_line(&failure.to_string()));
            failure.exit_code().into()
        }
    }
}

async fn run(args: &ProviderArgs) -> Result<String, ProviderFailure> {
    let config = run::config(&args.config)?;
    let request = CredentialRequest::parse(&run::standard_input(MAX_REQUEST).await?)?;
    let region = run::region(&config, &args.cloud.metadata_endpoint).await?;
    let identified =
        |registry: Registry| match pod_identity::for_pod(&config, &registry.key.identity, request.pod()) {
            Ok(identity) => (Registry { key: RegistryKey { identity, ..registry.key }, ..registry }, None),
            Err(refused) => (registry, Some(refused)),
        };
    let registries = config.registries(&region)?.into_iter().map(identified).collect();
    let token = request.token.clone().map_or(TokenSource::Absent, TokenSource::Request);
    // The keys in the kubelet's own environment are not the node's role.
    let settings = args.cloud.settings(&region, TokenMode::WorkerRole, Environment::default(), token);
    let alibaba = Alibaba::new(settings.map_err(|error| run::bad_input(&error))?)
        .map_err(|error| ProviderFailure::BadInput(error.to_string()))?;
    let now = run::now();
    let found = entries::of_image(&alibaba, registries, &request.image, now).await?;
    Ok(response(found.as_ref(), now))
}
