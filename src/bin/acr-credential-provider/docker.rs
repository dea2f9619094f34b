//! Docker's credential helper.

use std::io::ErrorKind;
use std::process::ExitCode;

use acr_credential_binding::args::credential_provider::{DockerArgs, DockerVerb};
use acr_credential_binding::cloud::{Alibaba, Environment, TokenMode};
use acr_credential_binding::model::Registry;
use acr_credential_binding::model::identity::{Arn, CredentialSource};
use acr_credential_binding::provider::aliyun_cli::{self, CliIdentity};
use acr_credential_binding::provider::config::{MAX_FILE, one_line};
use acr_credential_binding::provider::docker::{MAX_ADDRESS, NOT_FOUND, answer, registry};
use acr_credential_binding::provider::{ProviderFailure, entries};
use clap::Parser;

use crate::run;

/// The identity of one run.
struct OwnIdentity {
    environment: Environment,
    mode: TokenMode,
    /// Role that a profile assumes.
    role: Option<Arn>,
}

/// Answers one request. An error goes to standard output, where the clients look for it.
pub(crate) fn main() -> ExitCode {
    let args = DockerArgs::parse();
    let done = match args.verb {
        DockerVerb::Get => run::within_time(get(&args)),
        DockerVerb::List => Ok("{}".to_owned()),
        DockerVerb::Store | DockerVerb::Erase => Err(ProviderFailure::BadInput(
            "docker-credential-acr stores nothing, since credentials are minted: remove the registry from credHelpers to \
             log in with a password"
                .to_owned(),
        )),
    };
    match done {
        Ok(answer) => {
            run::reply(&answer);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            run::reply(&one_line(&failure.to_string()));
            failure.exit_code().into()
        }
    }
}

async fn get(args: &DockerArgs) -> Result<String, ProviderFailure> {
    let server = run::standard_input(MAX_ADDRESS).await?;
    let server = String::from_utf8_lossy(&server).into_owned();
    let host = registry(&server)?;
    let file = args.config_file().map_err(|error| run::bad_input(&error))?;
    let config = run::config(&file)?;
    let region = run::region(&config, &args.cloud.metadata_endpoint).await?;
    let OwnIdentity { environment, mode, role } = identity(args)?;
    let registries = config.registries(&region)?;
    let registries = registries.into_iter().map(|registry| Ok((with_role(registry, role.as_ref())?, None)));
    let registries = registries.collect::<Result<Vec<_>, ProviderFailure>>()?;
    let settings = args.cloud.settings(&region, mode, environment, args.token());
    let alibaba = Alibaba::new(settings.map_err(|error| run::bad_input(&error))?)
        .map_err(|error| ProviderFailure::BadInput(error.to_string()))?;
    let image = format!("{host}/");
    let found = entries::of_image(&alibaba, registries, &image, run::now()).await?;
    let answered = found.and_then(|entries| answer(&server, host, &entries));
    answered.ok_or_else(|| ProviderFailure::Refused(NOT_FOUND.to_owned()))
}

/// Returns the first identity of: the keys of the environment, its OIDC variables, the command line's profile, and the
/// role of the machine.
fn identity(args: &DockerArgs) -> Result<OwnIdentity, ProviderFailure> {
    let environment = args.environment.identity();
    let own = |environment, mode, role| Ok(OwnIdentity { environment, mode, role });
    if environment.key_pair.is_some() || environment.rrsa.is_some() {
        return own(environment, TokenMode::Auto, None);
    }
    let file = args.cli_file().map(|path| (path.display().to_string(), run::text_of(&path, MAX_FILE)));
    let profile = match file {
        Some((name, Ok(text))) => aliyun_cli::parse(&name, &text, args.profile.as_deref())?,
        Some((name, Err(error))) if error.kind() != ErrorKind::NotFound => {
            return Err(ProviderFailure::BadInput(format!("{name} cannot be read: {error}")));
        }
        _ => None,
    };
    match profile {
        Some(CliIdentity::Pair { holder, pair, role }) => {
            let pair = Environment { key_pair: Some(pair), key_pair_holder: Some(holder), ..environment };
            own(pair, TokenMode::Auto, role)
        }
        Some(CliIdentity::EcsRole) => own(environment, TokenMode::WorkerRole, None),
        None => own(environment, TokenMode::Auto, None),
    }
}

/// Lets an entry be minted as the role of the profile.
fn with_role(mut registry: Registry, role: Option<&Arn>) -> Result<Registry, ProviderFailure> {
    let Some(role) = role.filter(|_| registry.key.identity.source == CredentialSource::ControllerIdentity)
    else {
        return Ok(registry);
    };
    if let Some(other) = &registry.key.identity.assume {
        return Err(ProviderFailure::BadInput(format!(
            "the profile assumes the role {}, and the file's assumeRoleARN {} would be a third step: use a profile of the \
             mode AK",
            role.as_str(),
            other.as_str()
        )));
    }
    registry.key.identity.assume = Some(role.clone());
    Ok(registry)
}
